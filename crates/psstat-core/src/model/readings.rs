//! What was read of the members of groups besides their `stat`. Each part but CPU time is read only if
//! a field needs it.

use super::memory::{Footprint, MemoryAccount};
use super::units::{Amounts, BootNanos, Count, CpuNanos, Pid};
use alloc::vec::Vec;

/// Outcome of reading a file of one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading<T> {
    /// The member had ended, or has no such value: a zombie has no open files.
    #[default]
    Gone,
    /// The member runs, but its file cannot be read, does not exist or is malformed.
    Unreadable,
    /// The value in the file.
    Value(T),
}

impl<T> Reading<T> {
    /// The same reading, with its value converted.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Reading<U> {
        match self {
            Reading::Gone => Reading::Gone,
            Reading::Unreadable => Reading::Unreadable,
            Reading::Value(value) => Reading::Value(convert(value)),
        }
    }
}

/// Storage traffic of one process since it started, in bytes. The traffic of the children it has
/// waited for is included: the kernel does not separate them (`wait_task_zombie`, kernel/exit.c).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// `read_bytes` of `/proc/PID/io` (proc_pid_io(5)): bytes read from storage.
    pub read: Count,
    /// `write_bytes` of `/proc/PID/io`: bytes sent to storage, or left in the page cache to be sent
    /// later.
    pub written: Count,
}

/// Thread id and count of each thread of a process.
pub type Threads = Vec<(Pid, Count)>;

/// A control group whose processes are all members of the same groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountedGroup {
    /// Its path in the hierarchy of the memory controller.
    pub path: Vec<u8>,
    /// Its account.
    pub account: MemoryAccount,
    /// Its processes that have memory: indices in the snapshot, sorted.
    pub members: Vec<usize>,
    /// The groups that all of them belong to, by their numbers.
    pub groups: Vec<u32>,
}

/// What was read of the members. A part that no field needs, or that could not be finished in
/// time, is `None`.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    /// The members that were read: indices in the snapshot, sorted. Each part is in this order.
    pub members: Vec<usize>,
    /// Own CPU time, as exactly as it is known.
    pub own_times: Vec<CpuNanos>,
    /// When that was read.
    pub cpu_read: BootNanos,
    /// Memory.
    pub footprints: Option<Vec<Footprint>>,
    /// The control groups whose account counts instead of the memory of their members.
    pub accounted: Vec<AccountedGroup>,
    /// Number of open file descriptors.
    pub open_files: Option<Vec<Reading<u64>>>,
    /// Swapped memory, in bytes. Only of the members of groups for which no control group tells it.
    pub swap: Option<Vec<Reading<u64>>>,
    /// Storage traffic.
    pub storage: Option<Vec<Reading<Storage>>>,
    /// Major page faults.
    pub faults: Option<Vec<Reading<Amounts<Count>>>>,
    /// Context switches of each thread.
    pub switches: Option<Vec<Reading<Threads>>>,
}

impl Readings {
    /// The entry of `part` for the process with that index in the snapshot. `None` if the process
    /// is not a member.
    pub fn at<'r, T>(&self, part: &'r [T], index: usize) -> Option<&'r T> {
        part.get(self.members.binary_search(&index).ok()?)
    }
}

/// A sum of readings. It is not known if one of them is [`Reading::Unreadable`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    added: u64,
    is_unknown: bool,
}

impl Sum {
    /// Adds a reading.
    pub fn add(&mut self, reading: Reading<u64>) {
        match reading {
            Reading::Gone => {}
            Reading::Unreadable => self.is_unknown = true,
            Reading::Value(value) => self.added = self.added.saturating_add(value),
        }
    }

    /// Adds another sum.
    pub fn join(&mut self, other: &Sum) {
        self.added = self.added.saturating_add(other.added);
        self.is_unknown |= other.is_unknown;
    }

    /// The sum, if it is known.
    pub fn total(&self) -> Option<u64> {
        (!self.is_unknown).then_some(self.added)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum<'r>(readings: impl Iterator<Item = &'r Reading<u64>>) -> Option<u64> {
        let [mut all, mut others] = [Sum::default(); 2];
        for (index, &reading) in readings.enumerate() {
            if index % 2 == 0 { &mut all } else { &mut others }.add(reading);
        }
        all.join(&others);
        all.total()
    }

    #[test]
    fn a_sum_with_an_unreadable_part_is_unknown() {
        use Reading::{Gone, Unreadable, Value};
        assert_eq!(sum([Value(3), Gone, Value(4)].iter()), Some(7));
        assert_eq!(sum([Value(3), Unreadable].iter()), None);
        assert_eq!(sum([].iter()), Some(0));
        assert_eq!(sum([Value(u64::MAX), Value(2)].iter()), Some(u64::MAX));
    }

    #[test]
    fn each_member_finds_its_own_entry() {
        let readings = Readings { members: Vec::from([2, 5, 9]), ..Readings::default() };
        let found = [9, 3, 2].map(|index| readings.at(&['a', 'b', 'c'], index).copied());
        assert_eq!(found, [Some('c'), None, Some('a')]);
    }
}
