//! Replaces a file atomically: a reader finds the whole old text or the whole new text.
//!
//! The directory may be `/tmp`, where every user can create a file with any name. So psstat follows
//! no symbolic link, and writes only to a regular file of its own user that has no hard links. It
//! writes the new text to `NAME.new` in the same directory and renames that file to `NAME`. It locks
//! `NAME.new` meanwhile, so that runs at the same time take turns. A run that is killed leaves
//! `NAME.new` behind, and the next run uses it.

use super::io_error;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::fs::{File, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long a run waits for other runs that write. Each needs less than a millisecond.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// A file cannot be replaced.
#[derive(Debug, Error)]
#[error("{}: {reason}", path.display())]
pub struct ReplaceError {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub reason: Refusal,
}

/// Why a file cannot be read or replaced.
#[derive(Debug, Error)]
pub enum Refusal {
    /// It is a symbolic link.
    #[error("it is a symbolic link")]
    Symlink,
    /// It is a directory.
    #[error("it is a directory")]
    Directory,
    /// It is a FIFO, a device or a socket.
    #[error("it is not a regular file")]
    NotRegular,
    /// Another user owns it.
    #[error("it belongs to another user")]
    OtherUser,
    /// It has more than one name.
    #[error("it has another name (a hard link)")]
    HardLink,
    /// Its directory does not exist.
    #[error("its directory does not exist")]
    NoDirectory,
    /// Another run of psstat has locked it.
    #[error("another run of psstat has locked it")]
    Locked,
    /// A system call failed for another reason.
    #[error("{}", io_error::text(.0))]
    Io(#[from] io::Error),
}

impl From<Errno> for Refusal {
    /// Why a file cannot be opened.
    fn from(errno: Errno) -> Refusal {
        match errno {
            Errno::LOOP => Refusal::Symlink,
            Errno::ISDIR => Refusal::Directory,
            Errno::NXIO => Refusal::NotRegular,
            Errno::NOENT => Refusal::NoDirectory,
            other => Refusal::Io(other.into()),
        }
    }
}

/// Replaces the file at `path`, or creates it, with exactly the permissions `mode`; the umask has no
/// effect. Waits up to `patience`, and at most two seconds, for other runs that write it.
///
/// # Errors
/// [`ReplaceError`] if it cannot be replaced. The old file is then unchanged.
pub fn replace(
    path: &Path,
    bytes: &[u8],
    mode: Mode,
    patience: Duration,
) -> Result<(), ReplaceError> {
    let mut new = path.to_owned().into_os_string();
    new.push(".new");
    let new = PathBuf::from(new);
    let refused = |path: &Path, reason| ReplaceError { path: path.to_owned(), reason };
    let failed = |error: io::Error| refused(&new, Refusal::Io(error));

    // rename(2) would replace a device, too.
    match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => check_stat(&stat).map_err(|reason| refused(path, reason))?,
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(refused(path, errno.into())),
    }
    let mut file = lock(&new, mode, patience.min(LOCK_PATIENCE)).map_err(|error| {
        match error.reason {
            // The directory is that of both files, and the caller knows this one.
            Refusal::NoDirectory => refused(path, Refusal::NoDirectory),
            _ => error,
        }
    })?;
    file.set_len(0).map_err(failed)?;
    // The umask may have removed permissions, and an older `NAME.new` may have too many.
    file.set_permissions(Permissions::from_mode(mode.bits())).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    std::fs::rename(&new, path).map_err(failed)
}

/// Opens or creates the file at `path` and locks it.
fn lock(path: &Path, mode: Mode, patience: Duration) -> Result<File, ReplaceError> {
    let refused = |reason| ReplaceError { path: path.to_owned(), reason };
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    loop {
        let file = rustix::fs::open(path, flags, mode).map_err(|errno| refused(errno.into()))?;
        check(&file).map_err(refused)?;
        let file = File::from(file);
        wait_for_lock(&file, patience).map_err(refused)?;
        // If another run renamed the file while this run waited for the lock, the open file is now
        // the one that readers use. Then start again with a new file.
        let opened = rustix::fs::fstat(&file);
        let named = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW);
        if let (Ok(opened), Ok(named)) = (opened, named)
            && (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)
        {
            return Ok(file);
        }
    }
}

/// Locks a file. Gives up after `patience`: a run that was stopped with SIGSTOP must not block all
/// later runs.
fn wait_for_lock(file: &File, patience: Duration) -> Result<(), Refusal> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(Refusal::Io(error)),
            Err(TryLockError::WouldBlock) if start.elapsed() > patience => {
                return Err(Refusal::Locked);
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Checks that a file is a regular file of this user without hard links.
///
/// # Errors
/// [`Refusal`] if it is not.
pub fn check(file: impl AsFd) -> Result<(), Refusal> {
    check_stat(&rustix::fs::fstat(file)?)
}

fn check_stat(stat: &Stat) -> Result<(), Refusal> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => Err(Refusal::Symlink),
        FileType::Directory => Err(Refusal::Directory),
        FileType::RegularFile if stat.st_uid != rustix::process::geteuid().as_raw() => {
            Err(Refusal::OtherUser)
        }
        FileType::RegularFile if stat.st_nlink > 1 => Err(Refusal::HardLink),
        FileType::RegularFile => Ok(()),
        _ => Err(Refusal::NotRegular),
    }
}
