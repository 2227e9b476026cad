//! Writes samples to standard output, or to a file that each sample replaces.

use super::io_error;
use super::replace::{self, Prepared, Refusal, ReplaceError};
use crate::sys::{PAUSE, retry};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;
use rustix::io::Errno;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Other users may read the file, because a collector often runs as another user.
const MODE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::ROTH);

/// Why a sample cannot be written.
#[derive(Debug, Error)]
pub enum OutputError {
    /// The file of `--output` cannot be replaced.
    #[error("cannot write --output {}: {}: {}", path.display(), reason(path, source), cure(path, source))]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: ReplaceError,
    },
    /// Standard output cannot be written, for example because the disk is full.
    #[error("cannot write to standard output: {}", io_error::text(.0))]
    Stdout(io::Error),
}

impl OutputError {
    /// Whether psstat may not write the file any more, whatever happens to the directory. A new start gets
    /// other rights: psstat gives up its own after its first sample, and systemd gives those of a unit at its
    /// start (`ReadWritePaths=`).
    pub fn lasts(&self) -> bool {
        let OutputError::File { source, .. } = self else { return false };
        match &source.reason {
            Refusal::GivenUp => true,
            Refusal::Io(error) => matches!(
                Errno::from_io_error(error),
                Some(Errno::ACCESS | Errno::PERM | Errno::ROFS)
            ),
            _ => false,
        }
    }
}

/// Why the file cannot be replaced. Names the other file if the reason is about `NAME.new`.
fn reason(path: &Path, error: &ReplaceError) -> String {
    if error.path == path { error.reason.to_string() } else { error.to_string() }
}

fn cure(path: &Path, error: &ReplaceError) -> &'static str {
    match path.to_str() {
        Some("/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1") => {
            "leave out --output for standard output"
        }
        _ if matches!(error.reason, Refusal::GivenUp) => {
            "start psstat again; with --no-sandbox it could use the new directory"
        }
        _ => "fix that, or choose another file",
    }
}

/// Replaces a file by `text`. Waits up to `patience` for other runs that write it.
///
/// # Errors
/// [`OutputError::File`] if it cannot be replaced. The old file is then unchanged.
pub fn replace_file(path: &Path, text: &[u8], patience: Duration) -> Result<(), OutputError> {
    replace::prepare(path, text, MODE, patience)
        .and_then(Prepared::commit)
        .map_err(|source| OutputError::File { path: path.to_owned(), source })
}

/// Checks that a file can be replaced, as far as that shows without writing.
///
/// # Errors
/// [`OutputError::File`] if it cannot.
pub fn check_output(path: &Path) -> Result<(), OutputError> {
    replace::check_path(path).map_err(|source| OutputError::File { path: path.to_owned(), source })
}

/// Writes `text` to standard output. Returns `false` if the reader has closed its end, which is not
/// an error.
///
/// # Errors
/// [`OutputError::Stdout`] if it cannot be written for another reason, such as a full disk.
pub fn print(mut text: &[u8]) -> Result<bool, OutputError> {
    let stdout = rustix::stdio::stdout();
    while !text.is_empty() {
        match rustix::io::write(stdout, text) {
            Ok(count) => text = &text[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => wait_for_room(stdout),
            Err(Errno::PIPE) => return Ok(false),
            Err(errno) => return Err(OutputError::Stdout(errno.into())),
        }
    }
    Ok(true)
}

/// Waits for room in a pipe that does not block. Any process that shares the pipe can set `O_NONBLOCK`.
fn wait_for_room(stdout: BorrowedFd<'_>) {
    if retry(|| poll(&mut [PollFd::new(&stdout, PollFlags::OUT)], None)).is_err() {
        std::thread::sleep(PAUSE);
    }
}
