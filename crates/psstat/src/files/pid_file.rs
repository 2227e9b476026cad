//! Pid files.

use super::io_error;
use psstat_core::model::pid_file::{PidFile, PidFileError};
use psstat_core::parse::procfs as parse;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{Error, Read};
use std::path::Path;

/// Enough for a pid and the lines that some servers write after it.
const SIZE_LIMIT: u64 = 4096;

/// Reads a pid file.
///
/// # Errors
/// [`PidFileError`] if the file cannot be read, or its first line is not a pid.
pub fn read(path: &Path) -> Result<PidFile, PidFileError> {
    // Opening a FIFO must not block.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(explain)?;
    let stat = rustix::fs::fstat(&file).map_err(explain)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(PidFileError::NotRegular);
    }
    let mut text = Vec::new();
    let read = File::from(file).take(SIZE_LIMIT).read_to_end(&mut text);
    read.map_err(|error| PidFileError::Failed(io_error::text(&error)))?;
    let pid = parse::pid_file(&text).ok_or(PidFileError::Malformed)?;
    let seconds: i64 = stat.st_mtime;
    let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
    let written = seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
    Ok(PidFile { pid, written })
}

/// Why a pid file cannot be opened.
fn explain(errno: Errno) -> PidFileError {
    match errno {
        Errno::NOENT => PidFileError::NotFound,
        Errno::ACCESS | Errno::PERM => PidFileError::Denied,
        other => PidFileError::Failed(io_error::text(&Error::from(other))),
    }
}
