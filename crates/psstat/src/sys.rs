//! System calls, and what their errors mean.

use psstat_core::model::read_error::Reason;
use rustix::io::Errno;

/// Repeats a call that a signal interrupted.
pub fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// What an error means when a file below `/proc` or `/sys` is opened or read.
pub fn reason(errno: Errno) -> Reason {
    match errno {
        Errno::NOENT | Errno::SRCH => Reason::Vanished,
        Errno::ACCESS | Errno::PERM => Reason::Denied,
        other => Reason::Failed(std::io::Error::from(other).to_string()),
    }
}
