//! The share of each process in the anonymous memory that forked processes have in common.
//!
//! The kernel tells the proportional set size of a process in `smaps_rollup`. Reading it takes 8 ms per GiB,
//! so it is remembered. It is read again when it can have changed: `statm` has changed, relatives have come or
//! gone, or the process has run for long enough to have copied common pages. In between, three things are put
//! right:
//!
//! - What the process has grown or shrunk by since, according to `statm`. This counts as its own.
//! - The number of relatives: its parent, its children, and the children of its parent. If there are twice
//!   as many as when it was read, its share in the common pages is half of what it was.
//! - A process that has not been read yet. It is taken to have as much in common with its siblings as those
//!   that have been read. A process without such a sibling counts whole, less what its parent and its
//!   children hold of the common pages: their shares are counted already.
//!
//! *Example:* 129 workers share 200 MB with their parent. Three of them have been read: each has a share of
//! 1.54 MB (200 MB / 130), and 200 MB in common with others. The 126 others count 1.54 MB each.

use crate::model::memory::{AnonymousSource, Split};
use crate::model::units::{Bytes, CpuNanos, Pid};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What is remembered of a process' `smaps_rollup`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rollup {
    /// The pages in it.
    pub split: Split,
    /// Huge pages that others map too.
    pub shared_huge: Bytes,
    /// Its anonymous memory in `statm` at that time.
    pub anonymous_whole: Bytes,
    /// Its memory of files and shared memory in `statm` at that time.
    pub mapped_whole: Bytes,
    /// The number of its [relatives](Sharer::relatives) at that time.
    pub relatives: u32,
    /// The CPU time that it had used by then.
    pub used: CpuNanos,
}

/// A process that may share memory with others.
#[derive(Clone, Copy, Debug)]
pub struct Sharer {
    /// The process.
    pub pid: Pid,
    /// Its parent.
    pub parent: Pid,
    /// Its anonymous memory, from `statm`.
    pub anonymous_whole: Bytes,
    /// Its memory of files and shared memory, from `statm`.
    pub mapped_whole: Bytes,
    /// How many processes it can share with by fork, itself included: see [`count_relatives`].
    pub relatives: u32,
    /// The CPU time that it has used.
    pub used: CpuNanos,
    /// What is remembered of its `smaps_rollup`.
    pub rollup: Option<Rollup>,
}

/// The share of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// In anonymous memory.
    pub anonymous: Bytes,
    /// In the memory of files and shared memory. 0 if it is not known.
    pub mapped: Bytes,
    /// Where the share in anonymous memory comes from.
    pub source: AnonymousSource,
    /// By how much it can be wrong: what must have changed since `smaps_rollup` was read, or all if it was not
    /// read. 0 if that is too little to read it again.
    pub error: Bytes,
}

/// A process that is larger than this is taken to have nothing in common with its siblings, unless they have
/// been read: it is never read itself.
pub const NEVER_READ_ABOVE: Bytes = Bytes(1 << 30);

/// A process that has run is read again when it has used so many times the CPU time that the reading takes.
const RUNS_PER_READING: u64 = 10;

/// A process can copy so many bytes per nanosecond, if it does nothing else: a page of 4 KiB takes more than
/// 400 ns.
const COPIED_PER_NANO: u64 = 10;

/// A share is read again if it can be wrong by more than this: a hundredth of the memory of the process,
/// but at least 64 KiB and at most 1 MiB.
fn tolerated(whole: Bytes) -> Bytes {
    Bytes((whole.0 / 100).clamp(64 << 10, 1 << 20))
}

impl Rollup {
    /// Its share in the pages that it has in common with others, among so many relatives.
    fn shared(&self, relatives: u32) -> Bytes {
        let Split { anonymous_shared, anonymous_shared_whole, .. } = self.split;
        let [then, now] = [self.relatives, relatives].map(|count| u128::from(count.max(1)));
        let shared = u128::from(anonymous_shared.0) * then / now;
        Bytes(u64::try_from(shared).unwrap_or(u64::MAX)).min(anonymous_shared_whole)
    }
}

impl Sharer {
    /// Whether its `smaps_rollup` may be read: this holds a lock of the process, for 8 ms per GiB.
    pub fn may_be_read(&self) -> bool {
        self.anonymous_whole + self.mapped_whole <= NEVER_READ_ABOVE
    }

    /// The time that reading its `smaps_rollup` takes, as measured on Linux 6.18: 25 µs, and 8 ms per GiB
    /// that it maps.
    pub fn cost(&self) -> CpuNanos {
        const NANOS_PER_GIB: u64 = 8_000_000;
        let mapped = self.anonymous_whole + self.mapped_whole;
        CpuNanos(25_000 + (mapped.0 >> 20).saturating_mul(NANOS_PER_GIB) / 1024)
    }

    /// How much it can have copied of common pages since it was read. 0 if it has not run for long enough to
    /// be read again.
    fn copied(&self, rollup: &Rollup) -> Bytes {
        let used = self.used.since(rollup.used).0;
        if used < self.cost().0.saturating_mul(RUNS_PER_READING) {
            return Bytes(0);
        }
        rollup.split.anonymous_shared_whole.min(Bytes(used.saturating_mul(COPIED_PER_NANO)))
    }

    /// Its share in common pages, if it is known.
    fn shared(&self) -> Bytes {
        self.rollup.map_or(Bytes(0), |rollup| rollup.shared(self.relatives))
    }

    /// The estimate from what was read.
    fn read(&self, rollup: &Rollup) -> Estimate {
        let Split { anonymous, anonymous_shared, mapped, .. } = rollup.split;
        let shared = rollup.shared(self.relatives);
        let grown = self.anonymous_whole.less(rollup.anonymous_whole);
        let shrunk = rollup.anonymous_whole.less(self.anonymous_whole);
        let share = (anonymous.less(anonymous_shared) + shared + grown).less(shrunk);
        let mapped_moved = (self.mapped_whole.less(rollup.mapped_whole))
            .max(rollup.mapped_whole.less(self.mapped_whole));
        let shared_moved = shared.less(anonymous_shared).max(anonymous_shared.less(shared));
        let wrong = |moved: Bytes, whole: Bytes| {
            if moved > tolerated(whole) { moved } else { Bytes(0) }
        };
        Estimate {
            anonymous: share.min(self.anonymous_whole),
            mapped: mapped.min(self.mapped_whole),
            source: AnonymousSource::Proportional,
            error: wrong(grown.max(shrunk), rollup.anonymous_whole)
                + wrong(shared_moved, rollup.anonymous_whole)
                + wrong(mapped_moved, rollup.mapped_whole)
                + wrong(self.copied(rollup), rollup.anonymous_whole),
        }
    }

    /// The estimate for a process that was not read, with so much in common that is counted elsewhere.
    fn unread(&self, common: Bytes) -> Estimate {
        let anonymous = self.anonymous_whole.less(common);
        let source =
            if common > Bytes(0) { AnonymousSource::Relatives } else { AnonymousSource::Resident };
        let error = if self.may_be_read() { self.anonymous_whole } else { Bytes(0) };
        Estimate { anonymous, mapped: Bytes(0), source, error }
    }
}

/// The number of processes that each can share with by fork, if these are all, in the same order: itself, its
/// parent, its children, and the other children of its parent. Processes that process 1 has adopted are no
/// siblings, unless process 1 is one of them.
pub fn count_relatives(processes: impl Iterator<Item = (Pid, Pid)> + Clone) -> Vec<u32> {
    let mut children: BTreeMap<Pid, u32> = BTreeMap::new();
    let mut is_here: Vec<Pid> = Vec::new();
    for (pid, parent) in processes.clone() {
        *children.entry(parent).or_default() += 1;
        is_here.push(pid);
    }
    is_here.sort_unstable();
    let of_parent = |pid: Pid| children.get(&pid).copied().unwrap_or_default();
    let relatives = |(pid, parent): (Pid, Pid)| {
        let has_parent = is_here.binary_search(&parent).is_ok();
        let siblings = if has_parent || parent > Pid::INIT { of_parent(parent) } else { 1 };
        of_parent(pid) + siblings + u32::from(has_parent)
    };
    processes.map(relatives).collect()
}

/// Estimates the share of each process. They are sorted by pid.
pub fn estimate(sharers: &[Sharer]) -> Vec<Estimate> {
    // For each parent: how much its children that were read have in common with others, less their shares in
    // it; and the sum of these shares.
    let mut of_children: BTreeMap<Pid, (Bytes, Bytes)> = BTreeMap::new();
    for sharer in sharers {
        if let Some(rollup) = &sharer.rollup {
            let shared = sharer.shared();
            let elsewhere = rollup.split.anonymous_shared_whole.less(shared);
            let (largest, sum) = of_children.entry(sharer.parent).or_default();
            *largest = elsewhere.max(*largest);
            *sum += shared;
        }
    }
    let find = |pid: Pid| {
        let index = sharers.binary_search_by_key(&pid, |sharer| sharer.pid).ok()?;
        Some(&sharers[index])
    };
    let estimate = |sharer: &Sharer| {
        if let Some(rollup) = &sharer.rollup {
            return sharer.read(rollup);
        }
        let parent = find(sharer.parent);
        let has_siblings = parent.is_some() || sharer.parent > Pid::INIT;
        let with_siblings = of_children
            .get(&sharer.parent)
            .filter(|_| has_siblings && sharer.may_be_read())
            .map_or(Bytes(0), |&(elsewhere, _)| elsewhere);
        let of_parent = parent.map_or(Bytes(0), Sharer::shared);
        let (_, of_children) = of_children.get(&sharer.pid).copied().unwrap_or_default();
        sharer.unread(with_siblings.max(of_parent + of_children))
    };
    sharers.iter().map(estimate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const MIB: u64 = 1 << 20;

    /// A process with so many MiB of anonymous memory.
    fn sharer(pid: u32, parent: u32, mib: u64) -> Sharer {
        Sharer {
            pid: Pid::new(pid),
            parent: Pid::new(parent),
            anonymous_whole: Bytes(mib * MIB),
            mapped_whole: Bytes(0),
            relatives: 1,
            used: CpuNanos(0),
            rollup: None,
        }
    }

    fn with_relatives(mut sharers: Vec<Sharer>) -> Vec<Sharer> {
        let counts = count_relatives(sharers.iter().map(|sharer| (sharer.pid, sharer.parent)));
        for (sharer, relatives) in sharers.iter_mut().zip(counts) {
            sharer.relatives = relatives;
        }
        sharers
    }

    /// Reads it: `own` MiB are its own, and all others it has in common with so many processes.
    fn read(sharer: &mut Sharer, own: u64, mappers: u64) {
        let common = sharer.anonymous_whole.less(Bytes(own * MIB));
        let shared = Bytes(common.0 / mappers);
        sharer.rollup = Some(Rollup {
            split: Split {
                anonymous: Bytes(own * MIB) + shared,
                anonymous_shared: shared,
                anonymous_shared_whole: common,
                mapped: Bytes(0),
            },
            shared_huge: Bytes(0),
            anonymous_whole: sharer.anonymous_whole,
            mapped_whole: sharer.mapped_whole,
            relatives: sharer.relatives,
            used: sharer.used,
        });
    }

    fn sum(sharers: &[Sharer]) -> u64 {
        estimate(sharers).iter().map(|estimate| estimate.anonymous.0).sum::<u64>() / MIB
    }

    fn pool(workers: u32) -> Vec<Sharer> {
        let workers = (11..11 + workers).map(|pid| sharer(pid, 10, 200));
        with_relatives([sharer(10, 1, 200)].into_iter().chain(workers).collect())
    }

    #[test]
    fn relatives_are_parent_children_and_siblings() {
        let rows = [(1, 0), (2, 1), (3, 1), (10, 5), (11, 10), (12, 10), (13, 5), (14, 12)];
        let count = |rows: &[(u32, u32)]| {
            count_relatives(rows.iter().map(|&(pid, parent)| (Pid::new(pid), Pid::new(parent))))
        };
        assert_eq!(count(&rows), [3, 3, 3, 4, 3, 4, 2, 2]);
        assert_eq!(count(&rows[1..]), [1, 1, 4, 3, 4, 2, 2], "process 1 has adopted them");
    }

    #[test]
    fn an_unread_process_counts_as_its_siblings() {
        let mut pool = pool(129);
        assert_eq!(sum(&pool), 130 * 200);
        for index in [0, 5, 77] {
            read(&mut pool[index], 0, 130);
        }
        assert_eq!(sum(&pool), 199, "200 less rounding");
        // One of them has grown by itself.
        pool[9].anonymous_whole += Bytes(50 * MIB);
        assert_eq!(sum(&pool), 249);
    }

    #[test]
    fn a_share_follows_the_number_of_relatives() {
        let mut ten = pool(9);
        for sharer in &mut ten {
            read(sharer, 1, 10);
        }
        assert_eq!(sum(&ten), 199 + 10 - 1, "less rounding");
        let mut all = pool(129);
        for (sharer, known) in all.iter_mut().zip(&ten) {
            sharer.rollup = known.rollup;
        }
        let estimates = estimate(&all);
        assert!(estimates[..10].iter().all(|estimate| estimate.error > Bytes(MIB)));
        let total = estimates.iter().map(|estimate| estimate.anonymous.0).sum::<u64>() / MIB;
        assert!((199..=199 + 130).contains(&total), "{total}");
        // All others end, and one is left that has all to itself.
        let mut one = vec![ten[0]];
        one[0].relatives = 1;
        assert_eq!(sum(&one), 199, "200 less rounding");
    }

    #[test]
    fn a_process_that_is_never_read_counts_what_its_children_do_not() {
        let workers = (11..15).map(|pid| sharer(pid, 10, 900));
        let mut pool = with_relatives([sharer(10, 1, 2000)].into_iter().chain(workers).collect());
        assert_eq!(sum(&pool), 2000 + 4 * 900);
        pool[1..].iter_mut().for_each(|worker| read(worker, 100, 5));
        // 1200 of its own, and its fifth of the 800 that all have.
        assert_eq!(sum(&pool), 2000 + 4 * 100);
        assert_eq!(estimate(&pool)[0].error, Bytes(0));
    }

    #[test]
    fn a_large_sibling_is_not_taken_to_share() {
        let mut two = with_relatives(vec![sharer(11, 10, 900), sharer(12, 10, 1100)]);
        read(&mut two[0], 0, 2);
        assert_eq!(sum(&two), 450 + 1100);
    }

    #[test]
    fn adopted_processes_are_no_siblings() {
        let mut two = with_relatives(vec![sharer(11, 1, 100), sharer(12, 1, 100)]);
        read(&mut two[0], 0, 2);
        assert_eq!(sum(&two), 150);
    }

    #[test]
    fn a_share_is_read_again_if_the_process_has_changed() {
        let mut one = sharer(11, 10, 200);
        read(&mut one, 50, 3);
        let error = |sharer: &Sharer| estimate(&[*sharer])[0].error;
        assert_eq!(error(&one), Bytes(0));
        for moved in [MIB, 3 << 19] {
            let is_read = moved > MIB;
            let grown = Sharer { anonymous_whole: one.anonymous_whole + Bytes(moved), ..one };
            let shrunk = Sharer { anonymous_whole: one.anonymous_whole.less(Bytes(moved)), ..one };
            let mapped = Sharer { mapped_whole: Bytes(moved / 20), ..one };
            for changed in [grown, shrunk, mapped] {
                assert_eq!(error(&changed) > Bytes(0), is_read, "{changed:?}");
            }
        }
        // Reading takes 1.6 ms. In 16 ms it can copy all that it has in common.
        for (millis, copied) in [(1, 0), (15, 0), (17, 150 * MIB)] {
            let busy = Sharer { used: CpuNanos(millis * 1_000_000), ..one };
            assert_eq!(error(&busy), Bytes(copied), "{millis} ms");
        }
        let more = Sharer { relatives: 2, ..one };
        assert_eq!(error(&more), Bytes(25 * MIB));
    }
}
