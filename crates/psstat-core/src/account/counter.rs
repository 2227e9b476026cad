//! CPU time from the counters that the kernel keeps for control groups (cgroups(7)).
//!
//! A counter includes the time of every process that ever ran in its group, also of processes that
//! nobody waited for. So a group with a counter needs no [ledger](super::ledger).
//!
//! *Example:* the counter of a group was at 100 ns at the last sample and is at 130 ns now. The
//! group used 30 ns.

use crate::model::collect;
use crate::model::units::CpuNanos;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A control group's counter at one sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Path of the control group below the root of the hierarchy.
    pub path: Vec<u8>,
    /// Inode number of the directory. Tells the group from one that is made under the same path
    /// later.
    pub id: u64,
    /// CPU time that the group has used since it was made.
    pub used: CpuNanos,
}

/// The counters that a sample found, by control group.
#[derive(Clone, Debug, Default)]
pub struct KnownCounters<'c>(BTreeMap<(&'c [u8], u64), CpuNanos>);

impl<'c> KnownCounters<'c> {
    /// Those counters.
    pub fn of(counters: &'c [Counter]) -> KnownCounters<'c> {
        KnownCounters(collect::map(counters.iter().map(|one| ((&one.path[..], one.id), one.used))))
    }

    /// The counter of the control group with that path and inode number.
    pub fn get(&self, path: &[u8], id: u64) -> Option<CpuNanos> {
        self.0.get(&(path, id)).copied()
    }
}

/// Computes the CPU time that the control groups of the counters `now` used since the last sample,
/// which found the counters `before`.
///
/// Each counter of `now` comes with what `was_watched` needs to say whether the last sample looked for
/// its control group. If it did and did not find the group, the group was made since, and all of its
/// counter is new. If it did not look for the group, the group can have any age, and its counter is only
/// the baseline for the next sample.
///
/// Returns `None` if each counter is only a baseline, or if there is none.
pub fn settle<'c, P>(
    before: &KnownCounters<'_>,
    now: impl IntoIterator<Item = (&'c Counter, P)>,
    was_watched: impl Fn(P) -> bool,
) -> Option<CpuNanos> {
    let mut sum = None;
    for (counter, picked) in now {
        let gain = match before.get(&counter.path, counter.id) {
            // On v1, writing to a counter sets it back to zero (cgroup-v1/cpuacct.rst).
            Some(then) if counter.used < then => counter.used,
            Some(then) => CpuNanos(counter.used.0 - then.0),
            None if was_watched(picked) => counter.used,
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
        let now = now.iter().map(|counter| (counter, ()));
        settle(&KnownCounters::of(before), now, |()| was_watched).map(|nanos| nanos.0)
    }

    #[test]
    fn a_known_group_uses_what_its_counter_gained() {
        let before = [counter("a", 1, 100), counter("b", 2, 7)];
        assert_eq!(used(&before, &[counter("a", 1, 130), counter("b", 2, 8)], true), Some(31));
    }

    #[test]
    fn a_new_group_counts_from_zero() {
        let before = [counter("a", 1, 100)];
        assert_eq!(used(&before, &[counter("a", 9, 30)], true), Some(30));
        assert_eq!(used(&before, &[counter("a", 9, 300)], true), Some(300));
        assert_eq!(used(&before, &[counter("a", 1, 30)], true), Some(30), "reset");
    }

    #[test]
    fn an_unwatched_group_is_its_own_baseline() {
        assert_eq!(used(&[], &[counter("a", 1, 1_000_000)], false), None);
        let before = [counter("a", 1, 10)];
        let now = [counter("a", 1, 15), counter("b", 2, 1_000_000)];
        assert_eq!(used(&before, &now, false), Some(5));
    }
}
