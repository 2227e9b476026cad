//! What can go wrong: for the whole run ([`Error`]), and for one file of one process
//! ([`ReadError`]), where 'gone', 'forbidden' and 'unreadable' are three different things.

use rustix::io::Errno;
use std::fmt;
use std::path::PathBuf;

/// Why a run ends without its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// What was typed makes no sense: exit status 2. The text says what and how to mend it.
    Usage(String),
    /// The run could not be done: exit status 1. The text says what and why.
    Failed(String),
}

impl Error {
    /// The status that the program ends with.
    pub fn exit_status(&self) -> u8 {
        match self {
            Error::Usage(_) => 2,
            Error::Failed(_) => 1,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(text) | Error::Failed(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Error {}

/// Why one file below `/proc` or `/sys` gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadError {
    /// Which file.
    pub path: PathBuf,
    /// Which of the reasons that matter to the caller.
    pub reason: Reason,
}

/// The reasons that callers tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The process has ended: `ENOENT` when its file is opened, `ESRCH` when it is read
    /// (fs/proc/base.c). No error: processes end.
    Vanished,
    /// It may not be read by this user: `EACCES`, `EPERM`.
    Denied,
    /// The process lives, and has no such file: the kernel was built without it, or a copy of a
    /// procfs lacks it.
    Missing,
    /// It is not what the kernel writes.
    Malformed,
    /// Any other error of the system call.
    Failed(Errno),
}

impl From<Errno> for Reason {
    fn from(errno: Errno) -> Reason {
        match errno {
            Errno::NOENT | Errno::SRCH => Reason::Vanished,
            Errno::ACCESS | Errno::PERM => Reason::Denied,
            other => Reason::Failed(other),
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Vanished => f.write_str("no such file or process"),
            Reason::Denied => f.write_str("permission denied"),
            Reason::Missing => f.write_str("there is none"),
            Reason::Malformed => f.write_str("not what the kernel writes"),
            Reason::Failed(errno) => errno.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}
