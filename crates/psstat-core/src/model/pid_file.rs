//! The content of a pid file.

use super::units::Pid;
use alloc::string::String;
use thiserror::Error;

/// The content of a pid file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PidFile {
    /// The pid on its first line.
    pub pid: Pid,
    /// When the file was last written (`st_mtime`), in nanoseconds since 1970.
    pub written: i64,
}

/// Why no pid could be read from a pid file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PidFileError {
    /// The file does not exist.
    #[error("not found")]
    NotFound,
    /// No file matches a glob.
    #[error("no file matches")]
    NoMatch,
    /// Too many files match a glob.
    #[error("too many files or directories match: write a glob that matches fewer")]
    TooMany,
    /// psstat's user may not read it.
    #[error("permission denied: select the unit with --systemd, or let psstat's user read it")]
    Denied,
    /// It is a directory.
    #[error("it is a directory: give the path of the file in it that the service writes")]
    Directory,
    /// It is a FIFO, a device or a socket.
    #[error(
        "it is a FIFO, a device or a socket: give the path of the ordinary file that the service writes"
    )]
    NotRegular,
    /// It is a file in which the kernel shows itself.
    #[error(
        "it is a file of the kernel, as those in /proc and /sys are: give the path of the file that the \
         service writes"
    )]
    OfKernel,
    /// Its first line is not a pid.
    #[error("its first line is not a pid, a number from 1 to 4194304: is it the right file?")]
    Malformed,
    /// The file system does not answer.
    #[error("does not answer: psstat asks again in the next sample")]
    NoAnswer,
    /// A system call failed for another reason.
    #[error("{0}")]
    Failed(String),
}
