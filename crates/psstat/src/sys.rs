//! Repeats interrupted system calls, and classifies their errors.

use psstat_core::model::read_error::Reason;
use rustix::io::Errno;

/// Repeats a call while it fails with `EINTR`.
pub fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// The reason for an error of opening or reading a file below `/proc` or `/sys`.
pub fn reason(errno: Errno) -> Reason {
    match errno {
        Errno::NOENT | Errno::SRCH => Reason::Vanished,
        Errno::ACCESS | Errno::PERM => Reason::Denied,
        other => Reason::Failed(std::io::Error::from(other).to_string()),
    }
}
