//! Why the program fails, and its exit status.

use crate::cli::UsageError;
use crate::files::cache::CacheError;
use crate::files::io_error;
use crate::files::output::OutputError;
use crate::privilege::PrivilegeError;
use psstat_core::engine::SampleError;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Why the program fails.
#[derive(Debug, Error)]
pub enum Error {
    /// The command line or the configuration file is wrong.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// psstat runs with rights that it does not take.
    #[error(transparent)]
    Privilege(#[from] PrivilegeError),
    /// procfs cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The sample took too long.
    #[error(
        "the sample took longer than {}: allow it more time with --timeout",
        humantime::format_duration(*.0)
    )]
    Timeout(Duration),
    /// No sample could be taken.
    #[error(transparent)]
    Sample(SampleError),
    /// The cache file cannot be read or written.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The sample cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// There is no terminal to draw on.
    #[error(transparent)]
    Terminal(#[from] TerminalError),
    /// A thread cannot be made.
    #[error("cannot start a thread: {}", io_error::text(.0))]
    Thread(#[source] std::io::Error),
    /// The signal handlers cannot be installed.
    #[error("cannot handle signals: {}", io_error::text(.0))]
    Signals(#[source] std::io::Error),
}

impl Error {
    /// The exit status: 2 for wrong usage, 1 for everything else.
    pub fn exit_status(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            _ => 1,
        }
    }

    /// Whether it stays while psstat runs, so that only another start can help.
    pub fn lasts(&self) -> bool {
        matches!(self, Error::Output(error) if error.lasts())
    }

    /// What is wrong, one text for each thing. The first is the error as text.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Error::Usage(UsageError::Config(errors)) => {
                errors.iter().map(ToString::to_string).collect()
            }
            other => vec![other.to_string()],
        }
    }

    /// Why a sample could not be taken within `timeout`.
    pub fn of_sample(error: SampleError, timeout: Duration) -> Error {
        match error {
            SampleError::OutOfTime => Error::Timeout(timeout),
            other => Error::Sample(other),
        }
    }
}

/// Why `psstat top` has no screen to draw on.
#[derive(Debug, Error)]
pub enum TerminalError {
    /// Standard output is no terminal.
    #[error(
        "psstat top needs a terminal, and standard output is none: for a file or a pipe use psstat \
         --wait 1s, or psstat execd --interval 2s"
    )]
    NoTerminal,
    /// The terminal cannot move its cursor.
    #[error(
        "psstat top needs a terminal that can move its cursor, and with TERM={0:?} it cannot: set TERM to \
         what the terminal is, such as xterm, or use psstat --wait 1s"
    )]
    Dumb(&'static str),
    /// The terminal cannot be opened, prepared or written.
    #[error("cannot use the terminal: {}", io_error::text(.0))]
    Use(#[source] std::io::Error),
}

/// Why procfs cannot be opened.
#[derive(Debug, Error)]
#[error(
    "cannot open {}: {}: set --proc or HOST_PROC to where procfs is mounted",
    path.display(),
    io_error::text(source)
)]
pub struct OpenError {
    /// The directory.
    pub path: PathBuf,
    /// The reason.
    pub source: std::io::Error,
}
