//! The cache file on disk: read only where it is psstat's own, and replaced in one step.

use crate::error::Error;
use crate::replace::{self, Refusal};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A cache is a few KiB, some hundred for ten thousand processes: more is not psstat's.
const SIZE_LIMIT: u64 = 64 << 20;

/// Nobody else has business with it.
const MODE: Mode = Mode::RUSR.union(Mode::WUSR);

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
        let refused = |reason| self.refused(&Refusal { path: self.path.clone(), reason });
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&self.path, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(refused(replace::explain(errno))),
        };
        replace::check(&file).map_err(refused)?;
        let mut bytes = Vec::new();
        File::from(file)
            .take(SIZE_LIMIT)
            .read_to_end(&mut bytes)
            .map_err(|error| refused(error.to_string()))?;
        Ok(Some(bytes))
    }

    /// Replaces the file. Waits for other runs that write, with `patience`, two seconds at
    /// the most.
    ///
    /// # Errors
    /// [`Error::Failed`] where that cannot be done; the old file is then as it was.
    pub fn save(&self, bytes: &[u8], patience: Duration) -> Result<(), Error> {
        replace::replace(&self.path, bytes, MODE, patience)
            .map_err(|refusal| self.refused(&refusal))
    }

    fn refused(&self, Refusal { path, reason }: &Refusal) -> Error {
        Error::Failed(format!(
            "cannot keep the cache in {}: {reason}: mend that, or choose another place with \
             --cache-dir or --cache-name",
            path.display()
        ))
    }
}
