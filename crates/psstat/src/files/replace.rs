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
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long a run waits for others that write: they need well under a millisecond each.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Which file cannot be replaced, and why.
#[derive(Debug, Error)]
#[error("{}: {reason}", path.display())]
pub struct ReplaceError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: Refusal,
}

/// Why psstat does not touch a file.
#[derive(Debug, Error)]
pub enum Refusal {
    /// It is a symbolic link.
    #[error("a symbolic link")]
    Symlink,
    /// It is a directory.
    #[error("a directory")]
    Directory,
    /// It is a FIFO, a device or a socket.
    #[error("not a regular file")]
    NotRegular,
    /// Another user owns it.
    #[error("belongs to another user")]
    OtherUser,
    /// It has a second name.
    #[error("has a second name (a hard link)")]
    HardLink,
    /// Its directory does not exist.
    #[error("no such directory")]
    NoDirectory,
    /// Another run of psstat has locked it.
    #[error("another run of psstat has locked it")]
    Locked,
    /// A system call failed for another reason.
    #[error(transparent)]
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

/// Replaces the file at `path`, or makes it, with these permissions whatever the umask says. Waits
/// for other runs that write, with `patience`, two seconds at the most.
///
/// # Errors
/// [`Refusal`] where that cannot be done; the old file is then as it was.
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

    // A rename would put a file in the place of a device, too.
    match rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => check_stat(&stat).map_err(|reason| refused(path, reason))?,
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(refused(path, errno.into())),
    }
    let mut file = lock(&new, mode, patience.min(LOCK_PATIENCE))?;
    file.set_len(0).map_err(failed)?;
    // The umask may have taken too much away, and what stood there may be open to others.
    file.set_permissions(Permissions::from_mode(mode.bits())).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    std::fs::rename(&new, path).map_err(failed)
}

/// Opens `path` for this run alone.
fn lock(path: &Path, mode: Mode, patience: Duration) -> Result<File, ReplaceError> {
    let refused = |reason| ReplaceError { path: path.to_owned(), reason };
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    loop {
        let file = rustix::fs::open(path, flags, mode).map_err(|errno| refused(errno.into()))?;
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
fn await_turn(file: &File, patience: Duration) -> Result<(), Refusal> {
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

/// Accepts a plain file of this user that has no second name.
///
/// # Errors
/// Says what else it is.
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
