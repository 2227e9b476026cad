//! The cache file on disk: opened so that nobody can make psstat read or write elsewhere, and
//! replaced in one step.
//!
//! The folder may be `/tmp`, where everyone may put a file under any name first. So no symbolic
//! link is followed, and only a plain file of this very user, with no second name, is touched.
//! The new state goes to a file beside it, `NAME.new`, which is locked while it is written, so
//! that runs at the same time take turns, and renamed onto the old one. A run that is killed in
//! between leaves `NAME.new` behind for the next one to use.

use crate::error::Error;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::{File, Permissions, TryLockError};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A cache is a few KiB, some hundred for ten thousand processes: more is not psstat's.
const SIZE_LIMIT: u64 = 64 << 20;

/// Nobody else has business with it.
const MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// How long a run waits for others that write: they need well under a millisecond each.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// Where a job keeps its state.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
}

impl Store {
    /// The file `name` in `dir`.
    pub fn new(dir: &Path, name: &str) -> Store {
        Store { path: dir.join(name) }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file; nothing where there is none.
    ///
    /// # Errors
    /// [`Error::Failed`] where what stands there is not a plain file of this user, or cannot be
    /// read: it could not be replaced either.
    pub fn load(&self) -> Result<Option<Vec<u8>>, Error> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&self.path, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(self.refused(&self.path, &explain(errno))),
        };
        self.check(&self.path, &file)?;
        let mut bytes = Vec::new();
        File::from(file)
            .take(SIZE_LIMIT)
            .read_to_end(&mut bytes)
            .map_err(|error| self.refused(&self.path, &error.to_string()))?;
        Ok(Some(bytes))
    }

    /// Replaces the file. Waits for other runs that write, with `patience`, two seconds at
    /// the most.
    ///
    /// # Errors
    /// [`Error::Failed`] where that cannot be done; the old file is then as it was.
    pub fn save(&self, bytes: &[u8], patience: Duration) -> Result<(), Error> {
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        let new = PathBuf::from(new);
        let failed = |error: std::io::Error| self.refused(&new, &error.to_string());

        let mut file = self.lock(&new, patience.min(LOCK_PATIENCE))?;
        file.set_len(0).map_err(failed)?;
        // The umask may have taken too much away, and what stood there may be open to others.
        file.set_permissions(Permissions::from_mode(MODE.bits())).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        std::fs::rename(&new, &self.path).map_err(failed)
    }

    /// Opens `path` for this run alone.
    fn lock(&self, path: &Path, patience: Duration) -> Result<File, Error> {
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        loop {
            let file = rustix::fs::open(path, flags, MODE)
                .map_err(|errno| self.refused(path, &explain(errno)))?;
            self.check(path, &file)?;
            let file = File::from(file);
            self.await_turn(path, &file, patience)?;
            // While this run waited, the run before may have renamed the file: then it is the
            // cache now, and not to be written to.
            let here = rustix::fs::fstat(&file);
            let there = rustix::fs::statat(rustix::fs::CWD, path, AtFlags::SYMLINK_NOFOLLOW);
            if let (Ok(here), Ok(there)) = (here, there)
                && (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
            {
                return Ok(file);
            }
        }
    }

    /// Waits until no other run writes. One that has been stopped must not stop all that follow.
    fn await_turn(&self, path: &Path, file: &File, patience: Duration) -> Result<(), Error> {
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(error)) => {
                    return Err(self.refused(path, &error.to_string()));
                }
                Err(TryLockError::WouldBlock) if start.elapsed() > patience => {
                    return Err(self.refused(path, "another run of psstat holds it"));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Accepts a plain file of this user that has no second name.
    fn check(&self, path: &Path, file: impl AsFd) -> Result<(), Error> {
        let stat = rustix::fs::fstat(file).map_err(|errno| self.refused(path, &explain(errno)))?;
        let reason = if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            "not a plain file"
        } else if stat.st_uid != rustix::process::geteuid().as_raw() {
            "belongs to another user"
        } else if stat.st_nlink > 1 {
            "has a second name (a hard link)"
        } else {
            return Ok(());
        };
        Err(self.refused(path, reason))
    }

    fn refused(&self, path: &Path, reason: &str) -> Error {
        Error::Failed(format!(
            "cannot keep the cache in {}: {reason}: mend that, or choose another place with \
             --cache-dir or --cache-name",
            path.display()
        ))
    }
}

fn explain(errno: Errno) -> String {
    match errno {
        Errno::LOOP => "a symbolic link".to_owned(),
        Errno::ISDIR => "a directory".to_owned(),
        Errno::NXIO => "not a plain file".to_owned(),
        Errno::NOENT => "there is no such folder".to_owned(),
        other => std::io::Error::from(other).to_string(),
    }
}
