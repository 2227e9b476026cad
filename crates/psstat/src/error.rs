//! Why the program fails, and its exit status.

use crate::cli::UsageError;
use crate::files::cache::CacheError;
use crate::files::io_error;
use crate::files::output::OutputError;
use crate::privilege::PrivilegeError;
use psstat_core::engine::SampleError;
use rustix::io::Errno;
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
    /// The kernel gives no exit records.
    #[error(transparent)]
    ExitRecords(#[from] ExitRecordsError),
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

/// Why the kernel gives no exit records.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ExitRecordsError {
    /// psstat lacks the capability.
    #[error(
        "--exit-records needs CAP_NET_ADMIN: give it to psstat with setcap cap_net_admin=ep, or to its unit with \
         AmbientCapabilities=CAP_NET_ADMIN, or run psstat as root"
    )]
    NotPermitted,
    /// setcap(8) gave its file the capability, in vain.
    #[error(
        "--exit-records needs CAP_NET_ADMIN: setcap(8) gave it to the file of psstat, and that has no effect, \
         because of NoNewPrivileges= or a mount with nosuid: use AmbientCapabilities=CAP_NET_ADMIN"
    )]
    WithoutEffect,
    /// The kernel has no taskstats, or not in this network namespace.
    #[error(
        "--exit-records: the kernel has no taskstats here: it must be built with CONFIG_TASKSTATS, and psstat \
         must run in the network namespace of the host"
    )]
    Missing,
    /// psstat is in a container.
    #[error(
        "--exit-records: the kernel gives exit records only in the pid and user namespace of the host: run \
         psstat outside of the container, or with the host's namespaces (docker run --pid host --network host)"
    )]
    Contained,
    /// `/proc` shows other processes than those that records are about.
    #[error(
        "--exit-records: {0} shows another pid namespace than that of psstat: leave out --proc and HOST_PROC, \
         and run psstat in the pid namespace of the host"
    )]
    OtherProcesses(String),
    /// The records have a form that psstat does not know.
    #[error("--exit-records: psstat does not know the form of this kernel's records: leave it out")]
    OtherForm,
    /// Anything else.
    #[error("--exit-records: the kernel gives no exit records: {}", std::io::Error::from(*.0))]
    Failed(#[from] Errno),
}
