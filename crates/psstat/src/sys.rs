//! Repeats interrupted system calls, and classifies their errors; and what the kernel tells each process at its
//! start.
//!
//! The latter, and the clocks of the machine, are asked of the C library. rustix would read
//! `/proc/self/auxv` for them, which a psstat with file capabilities may not open, and panics.

use nix::unistd::{SysconfVar, sysconf};
use psstat_core::model::read_error::Reason;
use rustix::io::Errno;
use std::time::Duration;

/// Repeats a call while it fails with `EINTR`.
pub fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// How long to wait if the kernel refuses to poll, for lack of memory for example, before it is asked again.
pub const PAUSE: Duration = Duration::from_millis(10);

/// The reason for an error of opening or reading a file below `/proc` or `/sys`.
pub fn reason(errno: Errno) -> Reason {
    match errno {
        Errno::NOENT | Errno::SRCH => Reason::Vanished,
        Errno::ACCESS | Errno::PERM => Reason::Denied,
        other => Reason::Failed(std::io::Error::from(other).to_string()),
    }
}

/// Clock ticks per second (sysconf(3)).
pub fn ticks_per_second() -> u64 {
    system_value(SysconfVar::CLK_TCK).unwrap_or(100)
}

/// Bytes per page.
pub fn page_size() -> u64 {
    system_value(SysconfVar::PAGE_SIZE).unwrap_or(4096)
}

fn system_value(variable: SysconfVar) -> Option<u64> {
    sysconf(variable).ok().flatten().and_then(|value| u64::try_from(value).ok())
}
