//! `--timeout`: when a sample must end.

use std::time::{Duration, Instant};

/// When a sample must end.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// `None` if it is later than the clock can count.
    end: Option<Instant>,
    timeout: Duration,
}

impl Deadline {
    /// A deadline `timeout` from now.
    pub fn after(timeout: Duration) -> Deadline {
        Deadline { end: Instant::now().checked_add(timeout), timeout }
    }

    /// The time that is left. Zero after the deadline.
    pub fn time_left(&self) -> Duration {
        self.end.map_or(self.timeout, |end| end.saturating_duration_since(Instant::now()))
    }

    /// Whether less than half of the time is left.
    pub fn is_half_over(&self) -> bool {
        self.time_left() < self.timeout / 2
    }

    /// Whether the deadline has passed.
    pub fn has_passed(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }
}
