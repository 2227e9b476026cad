//! Finds configuration files, and reads the text of one.

use super::glob::{self, GlobError};
use super::io_error;
use crate::blocking::within::within;
use crate::sys::retry;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Longer than any configuration file.
const SIZE_LIMIT: u64 = 1 << 20;

/// Why a configuration file cannot be read.
#[derive(Debug, Error)]
pub enum ReadConfigError {
    /// It cannot be opened or read.
    #[error("{}", io_error::text(.0))]
    Io(#[from] io::Error),
    /// Its file system does not answer.
    #[error("does not answer: is it on a file server that is down?")]
    NoAnswer,
    /// It is a directory.
    #[error("it is a directory: give the path of a file in it")]
    Directory,
    /// It is a socket.
    #[error("it is a socket: give the path of a file")]
    Socket,
    /// It is a device without an end.
    #[error("it is a device: give the path of a file")]
    Device,
    /// It is a FIFO, and nothing came from it.
    #[error("it is a FIFO, and nobody writes to it: give the path of a file")]
    EmptyFifo,
    /// It is too long to be a configuration file.
    #[error("longer than 1 MiB: is that the right file?")]
    TooLong,
    /// A glob matches too many.
    #[error("too many files match")]
    TooMany,
    /// A glob is in a directory of procfs or sysfs.
    #[error("it is a directory of the kernel: give that of the configuration files")]
    OfKernel,
    /// It is not text.
    #[error("not UTF-8: is that the right file?")]
    NotUtf8,
}

/// How long to wait for the text. It can come from a program, as in `--config <(...)`.
const PATIENCE: Duration = Duration::from_secs(4);

/// The configuration files that a path or glob means, in the order of their names. A path means itself,
/// whether or not there is a file.
///
/// # Errors
/// [`ReadConfigError`] if a directory cannot be read, or there are too many files.
pub fn find(path: &Path) -> Result<Vec<PathBuf>, ReadConfigError> {
    let glob = path.as_os_str().as_bytes().to_vec();
    let found = within(PATIENCE, move || glob::find(&glob)).ok_or(ReadConfigError::NoAnswer)?;
    let found = found.map_err(|error| match error {
        GlobError::TooMany => ReadConfigError::TooMany,
        GlobError::OfKernel => ReadConfigError::OfKernel,
        GlobError::Failed(errno) => io::Error::from(errno).into(),
    })?;
    Ok(found.into_iter().map(|path| OsString::from_vec(path).into()).collect())
}

/// Reads the text of a configuration file.
///
/// # Errors
/// [`ReadConfigError`] if it cannot be read, or cannot be a configuration file.
pub fn read(path: &Path) -> Result<String, ReadConfigError> {
    let path = path.to_owned();
    within(PATIENCE, move || read_all(&path)).unwrap_or(Err(ReadConfigError::NoAnswer))
}

fn read_all(path: &Path) -> Result<String, ReadConfigError> {
    // Opening a FIFO without a writer must not block. A FIFO with a writer, as in
    // `--config <(...)`, is read to its end.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let failed = |errno: Errno| io::Error::from(errno);
    let opened = retry(|| rustix::fs::open(path, flags, Mode::empty()));
    let file = opened.map_err(|errno| match errno {
        Errno::NXIO => ReadConfigError::Socket,
        errno => failed(errno).into(),
    })?;
    let kind = retry(|| rustix::fs::fstat(&file)).map_err(failed)?;
    let kind = FileType::from_raw_mode(kind.st_mode);
    if kind == FileType::Directory {
        return Err(ReadConfigError::Directory);
    }
    rustix::fs::fcntl_setfl(&file, OFlags::empty()).map_err(failed)?;
    let mut text = Vec::new();
    File::from(file).take(SIZE_LIMIT + 1).read_to_end(&mut text)?;
    match kind {
        FileType::CharacterDevice | FileType::BlockDevice if text.len() as u64 > SIZE_LIMIT => {
            Err(ReadConfigError::Device)
        }
        _ if text.len() as u64 > SIZE_LIMIT => Err(ReadConfigError::TooLong),
        FileType::Fifo if text.is_empty() => Err(ReadConfigError::EmptyFifo),
        _ => String::from_utf8(text).map_err(|_| ReadConfigError::NotUtf8),
    }
}
