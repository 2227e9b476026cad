//! Whether a thread was abandoned. It may keep the process alive for a while: not even SIGKILL ends a read
//! that a FUSE server has begun to answer. So the program closes its output itself before it ends.

use std::sync::atomic::{AtomicBool, Ordering};

static HAS_ABANDONED: AtomicBool = AtomicBool::new(false);

/// Notes that a thread was abandoned.
pub(super) fn note() {
    HAS_ABANDONED.store(true, Ordering::Relaxed);
}

/// Whether a thread was abandoned.
pub fn exists() -> bool {
    HAS_ABANDONED.load(Ordering::Relaxed)
}
