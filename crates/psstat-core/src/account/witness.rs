//! Makes the CPU time in exit records exact, by what the parent inherits.
//!
//! A record is up to a tick behind, and the last work of a process is not in it ([`Bounds`]). But the parent
//! that waits for the process inherits all of its time. So what a living process has inherited since the last
//! sample is what its children and their descendants used that have ended since. It is a *witness* of them.
//! Their records say in which order of size, and the witness says how much in all.
//!
//! *Example:* a shell has run 50 processes since the last sample. Each record says 20 ms, and may be up to 4 ms
//! behind. The child time of the shell has risen by 1,110 ms. So 110 ms are spread over the 50 processes.
//!
//! What a witness inherits can be late: it has not waited yet. So what does not fit is carried over to the next
//! sample: time that has been counted and not been inherited, or the other way round. Both are limited. A
//! process that ignores SIGCHLD inherits nothing, and then the records count as they are.

use super::ledger::Quantity;
use crate::model::exit::Bounds;
use crate::model::units::{CpuNanos, ProcId};
use alloc::vec::Vec;

/// A process whose descendants have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Witness {
    /// Its identity.
    pub id: ProcId,
    /// What it had inherited when it was last looked at.
    pub children: CpuNanos,
    /// What it has inherited and has not been counted yet, in nanoseconds. If it is negative: what has been
    /// counted, and not been inherited yet.
    pub carried: i128,
}

fn sum(bounds: &[Bounds], of: fn(&Bounds) -> CpuNanos) -> i128 {
    bounds.iter().map(|bounds| i128::from(of(bounds).0)).sum()
}

/// What each process has used, if together they have used `total`, as far as the bounds allow that.
fn spread(bounds: &[Bounds], total: i128) -> Vec<CpuNanos> {
    let sums = [|one: &Bounds| one.least, |one: &Bounds| one.likely, |one: &Bounds| one.most]
        .map(|of| sum(bounds, of));
    let is_more = total >= sums[1];
    let (from, to) = if is_more { (sums[1], sums[2]) } else { (sums[0], sums[1]) };
    let (part, whole) = (total.clamp(from, to) - from, (to - from).max(1));
    let used = |one: &Bounds| {
        let (low, high) = if is_more { (one.likely, one.most) } else { (one.least, one.likely) };
        let share = i128::from(high.since(low).0) * part / whole;
        // The part of a microsecond is carried over.
        low + CpuNanos(u64::try_from(share / 1000 * 1000).unwrap_or_default())
    };
    bounds.iter().map(used).collect()
}

impl Witness {
    /// A process that was not looked at before: what it has inherited up to now says nothing.
    pub fn new(id: ProcId, children: CpuNanos) -> Witness {
        Witness { id, children, carried: 0 }
    }

    /// What each of the processes has used that have ended below it. `children` is what it has inherited by
    /// now, and `before` the part of it that their descendants had used before.
    pub fn testify(
        &mut self,
        bounds: &[Bounds],
        children: CpuNanos,
        before: i128,
    ) -> Vec<CpuNanos> {
        let inherited = i128::from(children.since(self.children).0) - before;
        self.children = children;
        // What was counted before the last look and has not been inherited since never will be.
        let total = (self.carried + inherited).max(0);
        let used = spread(bounds, total);
        let counted: i128 = used.iter().map(|used| i128::from(used.0)).sum();
        self.carried = (total - counted).min(i128::from(CpuNanos::ROUNDING.0));
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::units::{Pid, Ticks};
    use proptest::prelude::*;

    fn bounds(least: u64, likely: u64, most: u64) -> Bounds {
        let [least, likely, most] = [least, likely, most].map(|micros| CpuNanos(micros * 1000));
        Bounds { least, likely, most }
    }

    fn witness() -> Witness {
        Witness::new(ProcId { pid: Pid::new(7), start: Ticks(5) }, micros(1_000_000))
    }

    fn micros(micros: u64) -> CpuNanos {
        CpuNanos(micros * 1000)
    }

    fn numbers(used: &[CpuNanos]) -> Vec<u64> {
        used.iter().map(|used| used.0 / 1000).collect()
    }

    #[test]
    fn what_was_inherited_is_spread_within_the_bounds() {
        let all = [bounds(10, 20, 40), bounds(30, 30, 70)];
        for (total, expected) in
            [(0, [10, 30]), (45, [15, 30]), (50, [20, 30]), (80, [30, 50]), (999, [40, 70])]
        {
            assert_eq!(numbers(&spread(&all, total * 1000)), expected, "{total}");
        }
        assert!(spread(&[], 7).is_empty());
    }

    #[test]
    fn what_is_late_is_not_spread_again() {
        let mut witness = witness();
        let all = [bounds(10, 10, 40); 3];
        // It has waited for two of three, of 12 each.
        let used = witness.testify(&all, micros(1_000_024), 0);
        assert_eq!(numbers(&used), [10, 10, 10]);
        assert_eq!(witness.carried, -6000);
        // The third comes late, and three more of 12.
        let used = witness.testify(&all, micros(1_000_024 + 48), 0);
        assert_eq!(numbers(&used), [14, 14, 14], "72 in all");
    }

    #[test]
    fn who_inherits_nothing_says_nothing() {
        let mut witness = witness();
        for _ in 0..3 {
            let used = witness.testify(&[bounds(10, 15, 40)], micros(1_000_000), 0);
            assert_eq!((numbers(&used), witness.carried), (Vec::from([10]), -10_000));
        }
    }

    #[test]
    fn what_descendants_had_inherited_before_is_not_new() {
        let mut witness = witness();
        let used = witness.testify(&[bounds(10, 10, 40)], micros(1_000_500), 480_000);
        assert_eq!(numbers(&used), [20]);
    }

    proptest! {
        /// In the end all that was inherited has been counted, if it is within the bounds.
        #[test]
        fn nothing_is_lost_or_counted_twice(
            rounds in proptest::collection::vec(proptest::collection::vec((0u64..1000, 0u64..100), 1..5), 1..6),
            late in 0u64..1000,
        ) {
            let mut witness = witness();
            let (mut counted, mut truth, mut inherited) = (0, 0, 1_000_000);
            for round in &rounds {
                let all: Vec<Bounds> =
                    round.iter().map(|&(least, _)| bounds(least, least, least + 10_000)).collect();
                let used: u64 = round.iter().map(|(least, more)| least + more).sum();
                truth += used;
                // Some of it is late, but no more than what ended in this round.
                let arrived = 1_000_000 + truth - late.min(used);
                inherited = inherited.max(arrived);
                let numbers = numbers(&witness.testify(&all, micros(inherited), 0));
                counted += numbers.iter().sum::<u64>();
            }
            // One more process shows what was late.
            let numbers = numbers(&witness.testify(&[bounds(0, 0, 1 << 20)], micros(1_000_000 + truth), 0));
            counted += numbers.iter().sum::<u64>();
            prop_assert_eq!(counted, truth);
        }
    }
}
