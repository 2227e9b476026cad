//! The cache file on disk. It is read only if it is a regular file of this user, and it is replaced
//! atomically.

use super::replace::{self, Prepared, Refusal, ReplaceError};
use crate::sys::retry;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Why the cache file cannot be read or replaced.
#[derive(Debug, Error)]
pub enum CacheError {
    /// The file cannot be used.
    #[error(
        "cannot use the cache file {}: {}: fix that, or choose another file with --cache-dir or \
         --cache-name",
        .0.path.display(), .0.reason
    )]
    Unusable(ReplaceError),
    /// The state is larger than psstat would read again.
    #[error(
        "the cache file {} would have {} MiB, and psstat reads at most {} MiB of one: select fewer \
         processes or control groups, or use psstat execd, which needs no cache file",
        path.display(), size.div_ceil(1 << 20), SIZE_LIMIT >> 20
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The size of the state, in bytes.
        size: u64,
    },
}

/// A new state for a cache file. The file is unchanged until this is committed.
#[derive(Debug)]
pub struct PreparedCache(Prepared);

impl PreparedCache {
    /// Replaces the file.
    ///
    /// # Errors
    /// [`CacheError`] if that fails. The old file is then unchanged.
    pub fn commit(self) -> Result<(), CacheError> {
        self.0.commit().map_err(CacheError::Unusable)
    }
}

/// A cache file is a few KiB, and some hundred KiB for ten thousand processes. A larger one is neither
/// read nor written.
const SIZE_LIMIT: u64 = 64 << 20;

/// Only the owner reads and writes it.
const MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// The file where a job keeps its state.
#[derive(Clone, Debug)]
pub struct CacheFile {
    path: PathBuf,
}

impl CacheFile {
    /// The file `name` in `dir`.
    pub fn new(dir: &Path, name: &str) -> CacheFile {
        CacheFile { path: dir.join(name) }
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file. `None` if it does not exist.
    ///
    /// # Errors
    /// [`CacheError`] if it is not a regular file of this user, or cannot be read.
    pub fn load(&self) -> Result<Option<Vec<u8>>, CacheError> {
        let refused =
            |reason| CacheError::Unusable(ReplaceError { path: self.path.clone(), reason });
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match retry(|| rustix::fs::open(&self.path, flags, Mode::empty())) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(refused(Refusal::from(errno))),
        };
        replace::check(&file).map_err(refused)?;
        let mut bytes = Vec::new();
        File::from(file)
            .take(SIZE_LIMIT)
            .read_to_end(&mut bytes)
            .map_err(|error| refused(Refusal::Io(error)))?;
        Ok(Some(bytes))
    }

    /// Prepares to replace the file. Waits up to `patience`, and at most two seconds, for other runs that
    /// write it.
    ///
    /// # Errors
    /// [`CacheError`] if it cannot be replaced.
    pub fn prepare(&self, bytes: &[u8], patience: Duration) -> Result<PreparedCache, CacheError> {
        let size = bytes.len() as u64;
        if size > SIZE_LIMIT {
            return Err(CacheError::TooLarge { path: self.path.clone(), size });
        }
        let prepared = replace::prepare(&self.path, bytes, MODE, patience);
        prepared.map(PreparedCache).map_err(CacheError::Unusable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_not_be_read_is_not_written() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let cache = CacheFile::new(dir.path(), "cache");
        let largest = vec![1; usize::try_from(SIZE_LIMIT)?];
        cache.prepare(&largest, Duration::ZERO)?.commit()?;
        assert!(cache.load()?.is_some_and(|read| read == largest));
        let larger = [&largest[..], &[1]].concat();
        let refused = cache.prepare(&larger, Duration::ZERO).err().ok_or("written")?;
        let text = refused.to_string();
        assert!(text.contains("would have 65 MiB, and psstat reads at most 64 MiB"), "{text}");
        assert!(cache.load()?.is_some_and(|read| read == largest), "the old file is unchanged");
        Ok(())
    }
}
