//! What a sample costs psstat itself.

use crate::clock;
use nix::time::ClockId;
use std::time::{Duration, Instant};

/// What a sample cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// How long it took.
    pub time: Duration,
    /// The CPU time of all threads of psstat meanwhile.
    pub cpu: Duration,
}

/// Does something, and says what it cost.
pub fn measured<T>(sample: impl FnOnce() -> T) -> (T, Cost) {
    let used = || clock::now(ClockId::CLOCK_PROCESS_CPUTIME_ID);
    let (since, before) = (Instant::now(), used());
    let taken = sample();
    let cpu = u64::try_from(used() - before).unwrap_or_default();
    (taken, Cost { time: since.elapsed(), cpu: Duration::from_nanos(cpu) })
}
