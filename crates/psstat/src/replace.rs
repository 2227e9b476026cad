//! A file that is replaced in one step: whoever reads it finds the old text or the new one, whole.
//!
//! Its folder may be `/tmp`, where everyone may put a file under any name first. So no symbolic
//! link is followed, and only a plain file of this very user, with no second name, is touched.
//! The new text goes to a file beside it, `NAME.new`, which is locked while it is written, so
//! that runs at the same time take turns, and renamed onto the old one. A run that is killed in
//! between leaves `NAME.new` behind for the next one to use.

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::fs::{File, Permissions, TryLockError};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a run waits for others that write: they need well under a millisecond each.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Which file is not touched, and why.
#[derive(Debug)]
pub struct Refusal {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Replaces the file at `path`, or makes it, with these permissions whatever the umask says. Waits
/// for other runs that write, with `patience`, two seconds at the most.
///
/// # Errors
/// [`Refusal`] where that cannot be done; the old file is then as it was.
pub fn replace(path: &Path, bytes: &[u8], mode: Mode, patience: Duration) -> Result<(), Refusal> {
    let mut new = path.to_owned().into_os_string();
    new.push(".new");
    let new = PathBuf::from(new);
    let refused = |path: &Path, reason| Refusal { path: path.to_owned(), reason };
    let failed = |error: std::io::Error| refused(&new, error.to_string());

    // A rename would put a file in the place of a device, too.
    match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => check_stat(&stat).map_err(|reason| refused(path, reason))?,
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(refused(path, explain(errno))),
    }
    let mut file = lock(&new, mode, patience.min(LOCK_PATIENCE))?;
    file.set_len(0).map_err(failed)?;
    // The umask may have taken too much away, and what stood there may be open to others.
    file.set_permissions(Permissions::from_mode(mode.bits())).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    std::fs::rename(&new, path).map_err(failed)
}

/// Opens `path` for this run alone.
fn lock(path: &Path, mode: Mode, patience: Duration) -> Result<File, Refusal> {
    let refused = |reason| Refusal { path: path.to_owned(), reason };
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    loop {
        let file = rustix::fs::open(path, flags, mode).map_err(|errno| refused(explain(errno)))?;
        check(&file).map_err(refused)?;
        let file = File::from(file);
        await_turn(&file, patience).map_err(refused)?;
        // While this run waited, the run before may have renamed the file: then it is in use now,
        // and not to be written to.
        let here = rustix::fs::fstat(&file);
        let there = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW);
        if let (Ok(here), Ok(there)) = (here, there)
            && (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
        {
            return Ok(file);
        }
    }
}

/// Waits until no other run writes. One that has been stopped must not stop all that follow.
fn await_turn(file: &File, patience: Duration) -> Result<(), String> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error.to_string()),
            Err(TryLockError::WouldBlock) if start.elapsed() > patience => {
                return Err("another run of psstat holds it".to_owned());
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Accepts a plain file of this user that has no second name.
///
/// # Errors
/// Says what else it is.
pub fn check(file: impl AsFd) -> Result<(), String> {
    check_stat(&rustix::fs::fstat(file).map_err(explain)?)
}

fn check_stat(stat: &Stat) -> Result<(), String> {
    let reason = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => "a symbolic link",
        FileType::Directory => "a directory",
        FileType::RegularFile if stat.st_uid != rustix::process::geteuid().as_raw() => {
            "belongs to another user"
        }
        FileType::RegularFile if stat.st_nlink > 1 => "has a second name (a hard link)",
        FileType::RegularFile => return Ok(()),
        _ => "not a plain file",
    };
    Err(reason.to_owned())
}

/// Why a file cannot be opened.
pub fn explain(errno: Errno) -> String {
    match errno {
        Errno::LOOP => "a symbolic link".to_owned(),
        Errno::ISDIR => "a directory".to_owned(),
        Errno::NXIO => "not a plain file".to_owned(),
        Errno::NOENT => "there is no such folder".to_owned(),
        other => std::io::Error::from(other).to_string(),
    }
}
