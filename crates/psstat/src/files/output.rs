//! Writes samples to standard output, or to a file that each sample replaces.

use super::replace::{self, ReplaceError};
use rustix::fs::Mode;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::Duration;
use thiserror::Error;

/// Other users may read the file, because a collector often runs as another user.
const MODE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::ROTH);

/// Why a sample cannot be written.
#[derive(Debug, Error)]
pub enum OutputError {
    /// The file of `--output` cannot be replaced.
    #[error("cannot write --output {}: {}: fix that, or choose another file", .0.path.display(), .0.reason)]
    File(ReplaceError),
    /// Standard output cannot be written, for example because the disk is full.
    #[error("cannot write to standard output: {0}")]
    Stdout(io::Error),
}

/// Replaces a file by `text`. Waits up to `patience` for other runs that write it.
///
/// # Errors
/// [`OutputError::File`] if it cannot be replaced. The old file is then unchanged.
pub fn replace_file(path: &Path, text: &[u8], patience: Duration) -> Result<(), OutputError> {
    replace::replace(path, text, MODE, patience).map_err(OutputError::File)
}

/// Writes `text` to standard output. Returns `false` if the reader has closed its end, which is not
/// an error.
///
/// # Errors
/// [`OutputError::Stdout`] if it cannot be written for another reason, such as a full disk.
pub fn print(text: &[u8]) -> Result<bool, OutputError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(OutputError::Stdout(error)),
    }
}
