//! `--timeout`: when a sample must end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Whether the program has been told to end. All clones tell the same.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Is set by the handler of a signal.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// Whether the program has been told to end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// When a sample must end.
#[derive(Clone, Debug)]
pub struct Deadline {
    /// `None` if it is later than the clock can count.
    end: Option<Instant>,
    timeout: Duration,
    stop: Option<Stop>,
}

impl Deadline {
    /// A deadline `timeout` from now.
    pub fn after(timeout: Duration) -> Deadline {
        Deadline { end: Instant::now().checked_add(timeout), timeout, stop: None }
    }

    /// The same deadline, but no later than the program is told to end.
    pub fn or_stop(self, stop: &Stop) -> Deadline {
        Deadline { stop: Some(stop.clone()), ..self }
    }

    fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(Stop::is_set)
    }

    /// The time that is left. Zero after the deadline.
    pub fn time_left(&self) -> Duration {
        if self.is_stopped() {
            return Duration::ZERO;
        }
        self.end.map_or(self.timeout, |end| end.saturating_duration_since(Instant::now()))
    }

    /// Whether less than half of the time is left.
    pub fn is_half_over(&self) -> bool {
        self.time_left() < self.timeout / 2
    }

    /// Whether the deadline has passed.
    pub fn has_passed(&self) -> bool {
        self.is_stopped() || self.end.is_some_and(|end| Instant::now() >= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_passes_when_the_program_is_told_to_end() {
        let stop = Stop::default();
        let hour = Duration::from_secs(3600);
        let deadlines = [hour, Duration::MAX].map(|time| Deadline::after(time).or_stop(&stop));
        assert!(
            deadlines.iter().all(|deadline| !deadline.has_passed() && !deadline.is_half_over())
        );
        stop.flag().store(true, Ordering::Relaxed);
        assert!(deadlines.iter().all(|deadline| deadline.has_passed() && deadline.is_half_over()));
        assert_eq!(deadlines.map(|deadline| deadline.time_left()), [Duration::ZERO; 2]);
        assert!(!Deadline::after(hour).has_passed());
    }
}
