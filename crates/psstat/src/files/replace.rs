//! Replaces a file atomically: a reader finds the whole old text or the whole new text.
//!
//! [`prepare`] does everything that can fail for reasons that a user must mend, such as a full disk.
//! [`Prepared::commit`] only renames. So a caller can do something in between that must not be done if
//! the file cannot be replaced, or that decides whether it is replaced.
//!
//! The directory may be `/tmp`, where every user can create a file with any name. So psstat follows
//! no symbolic link, and writes only to a regular file of its own user that has no hard links. It
//! writes the new text to `NAME.new` in the same directory and renames that file to `NAME`. It locks
//! `NAME.new` meanwhile, so that runs at the same time take turns. Nobody else may open `NAME.new`:
//! whoever can open a file can lock it. A run that is killed leaves `NAME.new` behind, and the next run
//! uses it.

use super::io_error;
use crate::sys::retry;
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::fs::{File, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// Its directory has taken the place of the one that psstat may still write to: see
    /// [`sandbox`](crate::sandbox).
    #[error("its directory was replaced after psstat had given up all others")]
    GivenUp,
    /// Another run of psstat has locked it.
    #[error("another run of psstat has locked it")]
    Locked,
    /// A system call failed for another reason.
    #[error("{}", io_error::text(.0))]
    Io(#[from] io::Error),
}

/// Whether this process has given up all files but those that it needs.
static IS_RESTRICTED: AtomicBool = AtomicBool::new(false);

/// Notes that this process has given up all files but those that it needs.
pub fn set_restricted() {
    IS_RESTRICTED.store(true, Ordering::Relaxed);
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

/// Only its owner may open `NAME.new`.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

/// A new text for a file, in `NAME.new`. It is removed unless it is committed.
#[derive(Debug)]
pub struct Prepared {
    file: File,
    new: PathBuf,
    path: PathBuf,
    mode: Mode,
    is_committed: bool,
}

impl Prepared {
    /// Gives the file this text, and exactly the permissions `mode` of [`prepare`].
    ///
    /// # Errors
    /// [`ReplaceError`] if that fails. The old file is then unchanged.
    pub fn commit(mut self) -> Result<(), ReplaceError> {
        let permissions = Permissions::from_mode(self.mode.bits());
        let done = self.file.set_permissions(permissions);
        let rename =
            || retry(|| rustix::fs::rename(&self.new, &self.path)).map_err(io::Error::from);
        let done = done.and_then(|()| rename());
        self.is_committed = done.is_ok();
        done.map_err(|error| ReplaceError { path: self.new.clone(), reason: error.into() })
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if !self.is_committed {
            // If it stays, the next run uses it.
            let _ = std::fs::remove_file(&self.new);
        }
    }
}

/// Writes a new text for the file at `path`, which is replaced or created when the result is committed,
/// with exactly the permissions `mode`; the umask has no effect. Waits up to `patience`, and at most two
/// seconds, for other runs that write it.
///
/// # Errors
/// [`ReplaceError`] if the file cannot be replaced.
pub fn prepare(
    path: &Path,
    bytes: &[u8],
    mode: Mode,
    patience: Duration,
) -> Result<Prepared, ReplaceError> {
    let mut new = path.to_owned().into_os_string();
    new.push(".new");
    let new = PathBuf::from(new);
    let refused = |path: &Path, reason| ReplaceError { path: path.to_owned(), reason };

    check_old(path)?;
    let file = lock(&new, patience.min(LOCK_PATIENCE)).map_err(|error| {
        match error.reason {
            // The directory is that of both files, and the caller knows this one.
            Refusal::NoDirectory => refused(path, Refusal::NoDirectory),
            Refusal::Io(error)
                if Errno::from_io_error(&error) == Some(Errno::ACCESS) && was_given_up(&new) =>
            {
                refused(path, Refusal::GivenUp)
            }
            reason => ReplaceError { reason, ..error },
        }
    })?;
    let mut prepared = Prepared { file, new, path: path.to_owned(), mode, is_committed: false };
    let file = &mut prepared.file;
    let written = file.set_len(0).and_then(|()| file.write_all(bytes));
    match written {
        Ok(()) => Ok(prepared),
        Err(error) => Err(refused(&prepared.new, Refusal::Io(error))),
    }
}

/// Checks that the file at `path` can be replaced or created, as far as that shows without writing.
///
/// # Errors
/// [`ReplaceError`] if it cannot.
pub fn check_path(path: &Path) -> Result<(), ReplaceError> {
    check_old(path)?;
    let allowed = access_to_directory_of(path);
    allowed.map_err(|errno| ReplaceError { path: path.to_owned(), reason: errno.into() })
}

/// Checks what is at `path`, if anything is. rename(2) would replace a device, too.
fn check_old(path: &Path) -> Result<(), ReplaceError> {
    let checked = match retry(|| rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)) {
        Ok(stat) => check_stat(&stat),
        Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    };
    checked.map_err(|reason| ReplaceError { path: path.to_owned(), reason })
}

/// Whether the permissions of its directory let psstat's user create a file.
fn access_to_directory_of(path: &Path) -> Result<(), Errno> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let access = Access::WRITE_OK | Access::EXEC_OK;
    retry(|| rustix::fs::accessat(CWD, directory, access, AtFlags::EACCESS))
}

/// Whether psstat has given up the right to create a file: the permissions of its directory allow it. Landlock
/// forbids that, and does not change what access(2) says. sysfs lets nobody create files, with the same error.
fn was_given_up(path: &Path) -> bool {
    let named = || retry(|| rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW));
    IS_RESTRICTED.load(Ordering::Relaxed)
        && named().is_err_and(|errno| errno == Errno::NOENT)
        && access_to_directory_of(path).is_ok()
}

/// Opens or creates the file at `path` and locks it.
fn lock(path: &Path, patience: Duration) -> Result<File, ReplaceError> {
    let refused = |reason| ReplaceError { path: path.to_owned(), reason };
    let flags =
        OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    loop {
        let file = retry(|| rustix::fs::open(path, flags, PRIVATE))
            .map_err(|errno| refused(errno.into()))?;
        check(&file).map_err(refused)?;
        let file = File::from(file);
        wait_for_lock(&file, patience).map_err(|refusal| {
            if may_be_opened_by_others(&file) && is_named(&file, path) {
                // An older psstat left it, or a run that was killed just before it renamed it. Whoever
                // holds the lock must not stop the next run too.
                let _ = std::fs::remove_file(path);
            }
            refused(refusal)
        })?;
        // If another run renamed the file while this run waited for the lock, the open file is now
        // the one that readers use. Then start again with a new file.
        if is_named(&file, path) {
            return Ok(file);
        }
    }
}

/// Whether the path still leads to that file.
fn is_named(file: &File, path: &Path) -> bool {
    let opened = retry(|| rustix::fs::fstat(file));
    let named = retry(|| rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW));
    let (Ok(opened), Ok(named)) = (opened, named) else { return false };
    (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)
}

fn may_be_opened_by_others(file: &File) -> bool {
    let others = Mode::RWXG.union(Mode::RWXO);
    retry(|| rustix::fs::fstat(file)).is_ok_and(|stat| stat.st_mode & others.bits() != 0)
}

/// Locks a file. Gives up after `patience`: a run that was stopped with SIGSTOP must not block all
/// later runs.
fn wait_for_lock(file: &File, patience: Duration) -> Result<(), Refusal> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Interrupted => {}
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
    check_stat(&retry(|| rustix::fs::fstat(&file))?)
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
