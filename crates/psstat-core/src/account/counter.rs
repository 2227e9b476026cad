//! CPU time from the kernel's own counter of a control group: it loses nothing, whoever forks,
//! forgets or adopts whom.

use crate::model::units::CpuNanos;
use alloc::vec::Vec;

/// A control group's counter at one sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Where the group is.
    pub path: Vec<u8>,
    /// Tells the group from one that is made in the same place later.
    pub id: u64,
    /// What it had used since it was made.
    pub used: CpuNanos,
}

/// What the counted groups used since the last sample.
///
/// `was_watched` says of a counter that the last sample would have known its group, had it been
/// there: then a group it did not know was made since, and all of its counter is new. Else the
/// group may be of any age, and is its own baseline. The answer is unknown where that is so of
/// every group.
pub fn settle<'c>(
    before: &[Counter],
    now: impl IntoIterator<Item = &'c Counter>,
    was_watched: impl Fn(&Counter) -> bool,
) -> Option<CpuNanos> {
    let mut sum = None;
    for counter in now {
        let then = before.iter().find(|then| then.path == counter.path && then.id == counter.id);
        let gain = match then {
            // A counter of v1 can be set back to zero, by writing to it.
            Some(then) if counter.used < then.used => counter.used,
            Some(then) => CpuNanos(counter.used.0 - then.used.0),
            None if was_watched(counter) => counter.used,
            None => continue,
        };
        sum = Some(sum.unwrap_or_default() + gain);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(path: &str, id: u64, used: u64) -> Counter {
        Counter { path: path.into(), id, used: CpuNanos(used) }
    }

    fn used(before: &[Counter], now: &[Counter], was_watched: bool) -> Option<u64> {
        settle(before, now, |_| was_watched).map(|nanos| nanos.0)
    }

    #[test]
    fn a_known_group_counts_what_it_gained() {
        let before = [counter("a", 1, 100), counter("b", 2, 7)];
        assert_eq!(used(&before, &[counter("a", 1, 130), counter("b", 2, 8)], true), Some(31));
    }

    #[test]
    fn a_group_made_anew_counts_from_its_own_zero() {
        let before = [counter("a", 1, 100)];
        assert_eq!(used(&before, &[counter("a", 9, 30)], true), Some(30));
        assert_eq!(used(&before, &[counter("a", 9, 300)], true), Some(300));
        assert_eq!(used(&before, &[counter("a", 1, 30)], true), Some(30), "set back");
    }

    #[test]
    fn a_group_that_nobody_looked_for_before_is_its_own_baseline() {
        assert_eq!(used(&[], &[counter("a", 1, 1_000_000)], false), None);
        let before = [counter("a", 1, 10)];
        let now = [counter("a", 1, 15), counter("b", 2, 1_000_000)];
        assert_eq!(used(&before, &now, false), Some(5));
    }
}
