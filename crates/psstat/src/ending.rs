//! How the program ends.

use crate::blocking::abandoned;
use crate::error::Error;
use crate::messages;
use rustix::fs::{Mode, OFlags};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long Telegraf's execd gets to read the rest of the output. It closes its side as soon as the process
/// has ended, and drops what it has not read yet.
const TIME_TO_READ: Duration = Duration::from_millis(100);

static LEAVES_TIME_TO_READ: AtomicBool = AtomicBool::new(false);

/// Sets whether the process leaves its readers time to read before it ends.
pub fn leave_time_to_read(leaves_time: bool) {
    LEAVES_TIME_TO_READ.store(leaves_time, Ordering::Relaxed);
}

/// Writes the error of a command, if there is one, and closes the output where somebody waits for its end.
/// Returns the exit status. Nothing can be written after this.
pub fn end(result: &Result<(), Error>) -> u8 {
    let status = messages::exit_status(result);
    let leaves_time = LEAVES_TIME_TO_READ.load(Ordering::Relaxed);
    if leaves_time || abandoned::exists() {
        close_output();
    }
    if leaves_time {
        std::thread::sleep(TIME_TO_READ);
    }
    status
}

/// Closes standard output and standard error, so that their readers see their end. The descriptors stay in
/// use: otherwise the next file to be opened would get their numbers.
fn close_output() {
    // Nothing can be read or written by way of such a descriptor, so even a sandbox allows it.
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    if let Ok(nothing) = rustix::fs::open("/", flags, Mode::empty()) {
        // If this fails, the readers see the end when the process has ended.
        let _ = rustix::stdio::dup2_stdout(&nothing);
        let _ = rustix::stdio::dup2_stderr(&nothing);
    }
}
