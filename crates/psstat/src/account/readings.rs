//! What is read of the members of groups beside their `stat`, each part only if a field needs it.

use super::memory::Footprint;
use crate::units::{Amounts, Count, Pid};

/// What became of reading a file of one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading<T> {
    /// The member had ended, or has no such thing: a zombie has no open files.
    #[default]
    Gone,
    /// It lives, and its file may not be read, is missing or makes no sense.
    Unreadable,
    /// What the file said.
    Told(T),
}

impl<T> Reading<T> {
    /// The same reading of something made from what was told.
    pub fn map<U>(self, make: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Reading::Gone => Reading::Gone,
            Reading::Unreadable => Reading::Unreadable,
            Reading::Told(told) => Reading::Told(make(told)),
        }
    }
}

/// Traffic of one process with storage since it started, that of the children it has waited for
/// in it: the kernel does not tell the two apart (`wait_task_zombie`, kernel/exit.c). In bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// Read.
    pub read: Count,
    /// Written, or to be written by the page cache.
    pub written: Count,
}

/// What is counted of each thread of a process.
pub type Threads = Vec<(Pid, Count)>;

/// What was read of the members. A part that was not asked for, or could not be finished in time,
/// is none.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    /// Whom it was read of: places in the snapshot, sorted. Each part is in this order.
    pub members: Vec<usize>,
    /// Their memory.
    pub footprints: Option<Vec<Footprint>>,
    /// How many files they have open.
    pub open_files: Option<Vec<Reading<u64>>>,
    /// Their traffic with storage.
    pub storage: Option<Vec<Reading<Storage>>>,
    /// Their major page faults.
    pub faults: Option<Vec<Reading<Amounts<Count>>>>,
    /// The switches of context of each of their threads.
    pub switches: Option<Vec<Reading<Threads>>>,
}

impl Readings {
    /// What that part, one of these, says of the process at that place in the snapshot; none of
    /// one that was not read.
    pub fn at<'r, T>(&self, part: &'r [T], place: usize) -> Option<&'r T> {
        part.get(self.members.binary_search(&place).ok()?)
    }
}

/// Adds up what was read; none where a part of the sum is not known.
pub fn sum<'r>(readings: impl Iterator<Item = &'r Reading<u64>>) -> Option<u64> {
    let mut sum = 0u64;
    for reading in readings {
        match reading {
            Reading::Gone => {}
            Reading::Unreadable => return None,
            Reading::Told(number) => sum = sum.saturating_add(*number),
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_which_a_part_is_not_known_is_not_known() {
        use Reading::{Gone, Told, Unreadable};
        assert_eq!(sum([].iter()), Some(0));
        assert_eq!(sum([Told(3), Gone, Told(4)].iter()), Some(7));
        assert_eq!(sum([Told(3), Unreadable, Told(4)].iter()), None);
        assert_eq!(sum([Told(u64::MAX), Told(1)].iter()), Some(u64::MAX));
    }

    #[test]
    fn each_member_finds_its_own() {
        let readings = Readings { members: vec![2, 5, 9], ..Readings::default() };
        let found = [9, 3, 2].map(|place| readings.at(&['a', 'b', 'c'], place).copied());
        assert_eq!(found, [Some('c'), None, Some('a')]);
        assert_eq!(readings.at(&['a'], 9), None, "a part that is too short");
    }
}
