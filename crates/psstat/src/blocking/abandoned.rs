//! What a program that has abandoned a thread must do before it ends.

use rustix::fs::{Mode, OFlags};
use std::sync::atomic::{AtomicBool, Ordering};

static HAS_ABANDONED: AtomicBool = AtomicBool::new(false);

/// Notes that a thread was abandoned.
pub(super) fn note() {
    HAS_ABANDONED.store(true, Ordering::Relaxed);
}

/// Gives up standard output and standard error if a thread was abandoned, so that their readers see their
/// end. The thread may keep the process alive for a while: not even SIGKILL ends a read that a FUSE server
/// has begun to answer.
pub fn give_up_output() {
    // Nothing can be read or written by way of such a descriptor, so even a sandbox allows it.
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    if !HAS_ABANDONED.load(Ordering::Relaxed) {
        return;
    }
    if let Ok(nothing) = rustix::fs::open("/", flags, Mode::empty()) {
        // If this fails, the readers see the end when the process has ended.
        let _ = rustix::stdio::dup2_stdout(&nothing);
        let _ = rustix::stdio::dup2_stderr(&nothing);
    }
}
