//! The CPU clocks of all processes, each as it was when the process was last read.
//!
//! A process takes another name, command line or user, and executes another file, only by running. So
//! the processes that may have become roots are found by their clocks, which cost a twentieth of reading
//! their `stat`. (The file that a process executes can be renamed without it. For selectors by executable,
//! rotation reads processes as well.)
//!
//! *Example:* 10,000 processes have slept since the last sample. This sample checks the clocks of 625
//! of them. One has moved: that process is read.
//!
//! The table is kept only in memory. A program that stays resident has it; a cache file does not
//! contain it.

use crate::kernel::Kernel;
use crate::model::births::PidRange;
use crate::model::snapshot::Snapshot;
use crate::model::units::{CpuNanos, Pid};
use alloc::vec::Vec;

/// The clock of every process is checked once in this many samples.
pub const SAMPLES_PER_ROUND: usize = 16;

/// If there are at most this many processes, every sample checks all their clocks, because this is
/// cheap.
pub const SMALL_POPULATION: usize = 1024;

/// The CPU clock of each process just before it was last read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClockTable {
    /// Sorted by pid.
    clocks: Vec<(Pid, CpuNanos)>,
    /// The pid at which the next sample begins to check.
    cursor: Pid,
}

impl ClockTable {
    /// The clocks of the processes that a sample read. A process without a clock is left out.
    pub fn of(snapshot: &Snapshot) -> ClockTable {
        let processes = snapshot.processes.iter();
        let clocks = processes.filter_map(|process| Some((process.id.pid, process.clock?)));
        ClockTable { clocks: clocks.collect(), cursor: Pid::INIT }
    }

    /// Number of processes in the table.
    pub fn len(&self) -> usize {
        self.clocks.len()
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.clocks.is_empty()
    }

    /// Whether the process with that pid is in the table.
    pub fn contains(&self, pid: Pid) -> bool {
        self.clocks.binary_search_by_key(&pid, |&(pid, _)| pid).is_ok()
    }

    /// Checks the clocks of the processes in that range. Adds to `pids` those that must be read again:
    /// they have run, or ended, since they were last read.
    pub fn check(&self, range: PidRange, kernel: &impl Kernel, pids: &mut Vec<Pid>) {
        let from = self.clocks.partition_point(|&(pid, _)| pid < range.first);
        let in_range = self.clocks[from..].iter().take_while(|&&(pid, _)| pid <= range.last);
        let moved = in_range.filter(|&&entry| has_moved(entry, kernel));
        pids.extend(moved.map(|&(pid, _)| pid));
    }

    /// Checks the clocks of the processes whose turn it is. Adds to `pids` those that must be read
    /// again.
    pub fn check_next(&mut self, kernel: &impl Kernel, pids: &mut Vec<Pid>) {
        let share = if self.len() <= SMALL_POPULATION {
            self.len()
        } else {
            self.len().div_ceil(SAMPLES_PER_ROUND)
        };
        let start = self.clocks.partition_point(|&(pid, _)| pid < self.cursor);
        let turn = self.clocks.iter().cycle().skip(start).take(share);
        let mut last = Pid::NONE;
        for &(pid, clock) in turn {
            last = pid;
            if has_moved((pid, clock), kernel) {
                pids.push(pid);
            }
        }
        self.cursor = Pid::new(last.number() + 1);
    }

    /// Records the clocks of the processes in the snapshot. Removes those that were `listed` to be
    /// read and are not in it. `listed` is sorted.
    pub fn update(&mut self, snapshot: &Snapshot, listed: &[Pid]) {
        let mut added = Vec::new();
        let mut removed = false;
        for &pid in listed {
            let process = snapshot.find(pid).map(|index| &snapshot.processes[index]);
            let clock = process.and_then(|process| process.clock);
            match (self.clocks.binary_search_by_key(&pid, |&(pid, _)| pid), clock) {
                (Ok(index), Some(clock)) => self.clocks[index].1 = clock,
                (Ok(index), None) => {
                    self.clocks[index].1 = ENDED;
                    removed = true;
                }
                (Err(_), Some(clock)) => added.push((pid, clock)),
                (Err(_), None) => {}
            }
        }
        if removed {
            self.clocks.retain(|&(_, clock)| clock != ENDED);
        }
        if !added.is_empty() {
            // Both parts are sorted, which the sort makes use of.
            self.clocks.append(&mut added);
            self.clocks.sort();
        }
    }
}

/// Marks a process that is to be removed. No process has used that much.
const ENDED: CpuNanos = CpuNanos(u64::MAX);

/// Whether the clock has moved, or cannot be read.
fn has_moved((pid, clock): (Pid, CpuNanos), kernel: &impl Kernel) -> bool {
    kernel.cpu_clock(pid) != Some(clock)
}
