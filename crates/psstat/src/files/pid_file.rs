//! Pid files.

use super::glob::{self, GlobError};
use super::io_error;
use super::of_kernel::is_of_kernel;
use crate::sys::retry;
use psstat_core::model::pid_file::{PidFile, PidFileError};
use psstat_core::parse::procfs as parse;
use rustix::fs::{
    Access, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, StatxFlags, openat2, statx,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Error, Read};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Enough for a pid and the lines that some servers write after it.
const SIZE_LIMIT: u64 = 4096;

/// If there are more pid files than this, to look at each costs more than to expect that one blocks.
const FEW: usize = 8;

/// Whether reading one of these files can block for ever. The root file system and `/run` are local: if they
/// did not answer, nothing on the machine would.
///
/// This does not block itself: the kernel looks only at what it has in memory (`RESOLVE_CACHED` of
/// openat2(2), since Linux 5.12; `AT_STATX_DONT_SYNC` of statx(2)). If that does not tell, the answer is
/// `true`.
pub fn may_block<'p>(paths: impl Iterator<Item = &'p [u8]>) -> bool {
    let mut paths = paths.peekable();
    if paths.peek().is_none() {
        return false;
    }
    let local = [device_of(Path::new("/")), device_of(Path::new("/run"))];
    let is_local = |path: &[u8]| {
        let device = device_of(Path::new(OsStr::from_bytes(path)));
        device.is_some() && local.contains(&device)
    };
    let looked_at = paths.by_ref().take(FEW).all(is_local);
    !looked_at || paths.next().is_some()
}

/// The device of a file, if the kernel has it in memory.
fn device_of(path: &Path) -> Option<(u32, u32)> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED).ok()?;
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = statx(&file, "", flags, StatxFlags::TYPE).ok()?;
    Some((stat.stx_dev_major, stat.stx_dev_minor))
}

/// The pid files that match a glob now, sorted. See [`glob::find`].
///
/// # Errors
/// [`PidFileError`] if a directory cannot be read, or there are too many.
pub fn find(glob: &[u8]) -> Result<Vec<Vec<u8>>, PidFileError> {
    glob::find(glob).map_err(|error| match error {
        GlobError::TooMany => PidFileError::TooMany,
        GlobError::OfKernel => PidFileError::OfKernel,
        GlobError::Failed(errno) => explain(errno),
    })
}

/// Reads a pid file. It can be a symbolic link, which leads wherever another user wants. So a device, a
/// FIFO or a file of procfs or sysfs is not opened: that alone can have an effect, as on `/proc/kmsg`.
///
/// # Errors
/// [`PidFileError`] if the file cannot be read, or its first line is not a pid.
pub fn read(path: &Path) -> Result<PidFile, PidFileError> {
    let seen = retry(|| rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()));
    let seen = seen.map_err(explain)?;
    let stat = retry(|| rustix::fs::fstat(&seen)).map_err(explain)?;
    let file_system = retry(|| rustix::fs::fstatfs(&seen)).map_err(explain)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => return Err(PidFileError::Directory),
        FileType::RegularFile if is_of_kernel(file_system.f_type) => {
            return Err(PidFileError::OfKernel);
        }
        FileType::RegularFile => {}
        _ => return Err(PidFileError::NotRegular),
    }
    // The same file, whatever the path leads to by now.
    let same = format!("/proc/self/fd/{}", seen.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file =
        retry(|| rustix::fs::open(&same, flags, Mode::empty())).map_err(|errno| match errno {
            // The file is there. What is not there is `/proc`.
            Errno::NOENT => PidFileError::Failed("/proc is not mounted".to_owned()),
            // Landlock forbids to open files, and does not change what access(2) says.
            Errno::ACCESS if is_readable(&same) => PidFileError::Failed(GIVEN_UP.to_owned()),
            errno => explain(errno),
        })?;
    let mut text = Vec::new();
    let read = File::from(file).take(SIZE_LIMIT).read_to_end(&mut text);
    read.map_err(|error| PidFileError::Failed(io_error::text(&error)))?;
    let pid = parse::pid_file(&text).ok_or(PidFileError::Malformed)?;
    let seconds: i64 = stat.st_mtime;
    let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
    let written = seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    Ok(PidFile { pid, written })
}

/// Why psstat may not open a file that its user may read: see [`sandbox`](crate::sandbox).
const GIVEN_UP: &str = "it is now in a directory that psstat gave up at its start: restart psstat, or \
                        start it with --no-sandbox";

/// Whether the permissions of a file let psstat's user read it.
fn is_readable(path: &str) -> bool {
    rustix::fs::accessat(CWD, path, Access::READ_OK, AtFlags::EACCESS).is_ok()
}

/// Why a pid file cannot be opened.
fn explain(errno: Errno) -> PidFileError {
    match errno {
        Errno::NOENT => PidFileError::NotFound,
        Errno::ACCESS | Errno::PERM => PidFileError::Denied,
        other => PidFileError::Failed(io_error::text(&Error::from(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_beside_the_systems_own_cannot_block() {
        let is_here = |path: &str| !may_block([path.as_bytes()].into_iter());
        assert!(!may_block(std::iter::empty()), "there is nothing to read");
        // Otherwise the kernel is older than Linux 5.12, and everything may block.
        if device_of(Path::new("/")).is_some() {
            assert!(is_here("/"));
            assert!(!may_block([&b"/"[..]; FEW].into_iter()));
        }
        assert!(may_block([&b"/"[..]; FEW + 1].into_iter()), "looking at each would cost more");
        assert!(!is_here("/proc/self/stat"), "another file system");
        assert!(!is_here("/no such file"));
    }
}
