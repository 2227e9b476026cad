//! The CPU clocks of all processes, each as it was when the process was last read.
//!
//! A process takes another name, command line or user, and executes another file, only by running. It
//! takes another parent only if its parent ends. So the processes that may have joined a group are found
//! by their clocks, which cost less than a tenth of reading their `stat`. (The file that a process executes
//! can be renamed without it. For selectors by executable, rotation reads processes as well.)
//!
//! *Example:* 10,000 processes have slept since the last sample. This sample checks the clocks of 625
//! of them. One has moved: that process is read.
//!
//! The table is kept only in memory. A program that stays resident has it; a cache file does not
//! contain it.

use crate::kernel::Kernel;
use crate::model::births::PidRange;
use crate::model::process::Life;
use crate::model::snapshot::Snapshot;
use crate::model::units::{CpuNanos, Pid};
use alloc::vec::Vec;

/// The clock of every process is checked once in this many samples.
pub const SAMPLES_PER_ROUND: usize = 16;

/// If there are at most this many processes, every sample checks all their clocks, because this is
/// cheap.
pub const CHECKED_AT_ONCE: usize = 1024;

/// The CPU clock of each process just before it was last read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockTable {
    /// Sorted by pid.
    entries: Vec<Entry>,
    /// The pid at which the next sample begins to check.
    cursor: Pid,
    /// The number of samples that are left of this round.
    samples_left: usize,
    /// Processes whose parents have ended, to be read by the next sample.
    orphans: Vec<Pid>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    pid: Pid,
    parent: Pid,
    clock: CpuNanos,
}

impl Entry {
    /// Whether the clock has moved, or cannot be read.
    fn has_moved(self, kernel: &impl Kernel) -> bool {
        kernel.cpu_clock(self.pid) != Some(self.clock)
    }
}

impl ClockTable {
    /// The clocks of the processes that a sample read. A process without a clock is left out.
    pub fn of(snapshot: &Snapshot) -> ClockTable {
        let entries = snapshot.processes.iter().filter_map(|process| {
            Some(Entry { pid: process.id.pid, parent: process.parent, clock: process.clock? })
        });
        ClockTable { entries: entries.collect(), ..ClockTable::default() }
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the process with that pid is in the table.
    pub fn contains(&self, pid: Pid) -> bool {
        self.find(pid).is_ok()
    }

    fn find(&self, pid: Pid) -> Result<usize, usize> {
        self.entries.binary_search_by_key(&pid, |entry| entry.pid)
    }

    /// Checks the clocks of the processes in that range. Adds to `pids` those that must be read again:
    /// they have run, or ended, since they were last read.
    pub fn check(&self, range: PidRange, kernel: &impl Kernel, pids: &mut Vec<Pid>) {
        let from = self.entries.partition_point(|entry| entry.pid < range.first);
        let in_range = self.entries[from..].iter().take_while(|entry| entry.pid <= range.last);
        let moved = in_range.filter(|entry| entry.has_moved(kernel));
        pids.extend(moved.map(|entry| entry.pid));
    }

    /// Checks the clocks of the processes whose turn it is. Adds to `pids` those that must be read
    /// again.
    pub fn check_next(&mut self, kernel: &impl Kernel, pids: &mut Vec<Pid>) {
        if self.samples_left == 0 {
            (self.cursor, self.samples_left) = (Pid::INIT, SAMPLES_PER_ROUND);
        }
        let from = self.entries.partition_point(|entry| entry.pid < self.cursor);
        let rest = &self.entries[from..];
        if self.entries.len() <= CHECKED_AT_ONCE {
            self.samples_left = 1;
        }
        // The rest of the round, however many processes were added to it meanwhile.
        let turn = &rest[..rest.len().div_ceil(self.samples_left)];
        let moved = turn.iter().filter(|entry| entry.has_moved(kernel));
        pids.extend(moved.map(|entry| entry.pid));
        self.samples_left -= 1;
        if let Some(last) = turn.last() {
            self.cursor = Pid::new(last.pid.number() + 1);
        }
    }

    /// Adds to `pids` the processes whose parents had ended at the last sample.
    pub fn take_orphans(&mut self, pids: &mut Vec<Pid>) {
        pids.append(&mut self.orphans);
    }

    /// Records the clocks of the processes in the snapshot. Removes those that were `listed` to be
    /// read and are not in it. `listed` is sorted.
    pub fn update(&mut self, snapshot: &Snapshot, listed: &[Pid]) {
        let (mut added, mut removed, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for &pid in listed {
            let process = snapshot.find(pid).map(|index| snapshot.processes[index]);
            let clock = process.and_then(|process| process.clock);
            let parent = process.map_or(Pid::NONE, |process| process.parent);
            if process.is_none_or(|process| process.life != Life::Alive) {
                ended.push(pid);
            }
            match (self.find(pid), clock) {
                (Ok(index), Some(clock)) => self.entries[index] = Entry { pid, parent, clock },
                (Ok(_), None) => removed.push(pid),
                (Err(_), Some(clock)) => added.push(Entry { pid, parent, clock }),
                (Err(_), None) => {}
            }
        }
        if !removed.is_empty() {
            self.entries.retain(|entry| removed.binary_search(&entry.pid).is_err());
        }
        if !added.is_empty() {
            // Both parts are sorted, which the sort makes use of.
            self.entries.append(&mut added);
            self.entries.sort();
        }
        if !ended.is_empty() {
            let orphans = self.entries.iter();
            let orphans = orphans.filter(|entry| ended.binary_search(&entry.parent).is_ok());
            self.orphans = orphans.map(|entry| entry.pid).collect();
        }
    }
}
