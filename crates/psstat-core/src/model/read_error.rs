//! Why a file below `/proc` or `/sys` could not be read.

use alloc::string::String;
use thiserror::Error;

/// Why one file below `/proc` or `/sys` could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{path}: {reason}")]
pub struct ReadError {
    /// The file.
    pub path: String,
    /// The reason.
    pub reason: Reason,
}

/// The reason why a file could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Reason {
    /// The process has ended: `ENOENT` when its file is opened, `ESRCH` when it is read
    /// (fs/proc/base.c). This is not a fault: processes end.
    #[error("no such file or process")]
    Vanished,
    /// This user may not read the file: `EACCES`, `EPERM`.
    #[error("permission denied")]
    Denied,
    /// The process exists, but the file does not: the kernel was built without it, or a copy of a
    /// procfs lacks it.
    #[error("not found")]
    Missing,
    /// Whoever must answer does not: the kernel waits for a lock that the process holds, or for a file
    /// server.
    #[error("does not answer")]
    NoAnswer,
    /// It was not tried, because too many other files do not answer.
    #[error("not asked, because too many other files do not answer")]
    NotAsked,
    /// The content of the file is not what the kernel writes.
    #[error("unexpected content")]
    Malformed,
    /// The time was up. The directory of a control group and what is below it were not all looked at.
    #[error("not all below it could be looked at in time: set a longer --timeout")]
    OutOfTime,
    /// There were too many control groups. Not all below this one were looked at.
    #[error("there are more control groups below it than psstat looks at")]
    TooMany,
    /// The system call failed for another reason.
    #[error("{0}")]
    Failed(String),
}

impl Reason {
    /// Whether nobody has answered. The file may be read later.
    pub fn is_unanswered(&self) -> bool {
        matches!(self, Reason::NoAnswer | Reason::NotAsked)
    }
}

/// Files that could not be read, except those of processes that had ended.
#[derive(Clone, Debug, Default)]
pub struct Unreadable {
    /// Number of files.
    pub count: usize,
    /// The error of the first file, as an example for messages.
    pub first: Option<ReadError>,
}

impl Unreadable {
    /// Counts an error, unless the process has ended.
    pub fn add(&mut self, error: ReadError) {
        if error.reason != Reason::Vanished {
            self.count += 1;
            self.first.get_or_insert(error);
        }
    }

    /// Adds the files of another collection.
    pub fn extend(&mut self, other: Unreadable) {
        self.count += other.count;
        if self.first.is_none() {
            self.first = other.first;
        }
    }
}
