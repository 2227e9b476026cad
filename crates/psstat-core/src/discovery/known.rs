//! Processes that need not be read again as long as they have not run.
//!
//! A process whose CPU clock has not moved has not run. So it has not forked, waited, executed,
//! changed its name or ended, and everything in its `stat` is unchanged but its parent. Reading the
//! clock costs a tenth of reading `stat`.
//!
//! *Example:* the clock of a member showed 7.2 ms just before its `stat` was read for the last
//! sample, and shows 7.2 ms now. What was read then is used again.
//!
//! Three things can change without the process running:
//!
//! - Its parent, when that ends. So a sample also looks at the ancestors of the members, and asks a
//!   process again whose parent has ended (see [`scan`](super::scan)).
//! - The name of a kernel worker, which shows what it works on (`wq_worker_comm`,
//!   kernel/workqueue.c). Kernel workers are always read.
//! - Its pid can belong to another process, whose clock shows just the same. Pids that were given
//!   out since the last sample are always read, and so are processes that have never run: their
//!   clocks show 0.
//!
//! The clock of a process that is running on another processor may be up to a scheduler tick behind
//! (`thread_group_cputime`, kernel/sched/cputime.c). What the process did in that time appears in the
//! next sample.

use crate::model::births::PidRange;
use crate::model::process::{Life, Names, Process};
use crate::model::snapshot::{Part, Snapshot};
use crate::model::units::{CpuNanos, Pid};
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

/// How the names of kernel workers begin (Documentation/core-api/workqueue.rst of the kernel).
const KERNEL_WORKER: &[u8] = b"kworker/";

/// The members of the last sample and their ancestors, as they were read then. Empty if no clock can
/// be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Sorted by pid.
    pub processes: Vec<KnownProcess>,
    /// Their names.
    pub names: Names,
}

/// A process that the last sample found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownProcess {
    /// The process as it was read. Its clock is `None` if it must be read again in any case.
    pub process: Process,
    /// Whether it was a member of a group, and not only an ancestor of one.
    pub is_member: bool,
    /// The selectors that picked it among all processes, sorted. `None` if they must be found again,
    /// as after a state was encoded.
    pub picked_by: Option<Vec<usize>>,
}

impl Known {
    /// The `members` and their ancestors. `members` are indices in the snapshot, sorted. `picked_by`
    /// returns the selectors that picked a process, if they are to be known.
    pub fn of(
        snapshot: &Snapshot,
        members: &[usize],
        picked_by: impl Fn(usize) -> Option<Vec<usize>>,
    ) -> Known {
        let mut indices = BTreeSet::new();
        for &member in members {
            let parent = |&index: &usize| {
                let parent = Some(snapshot.processes[index].parent);
                snapshot.find(parent.filter(|&parent| parent != Pid::INIT)?)
            };
            let line = core::iter::successors(Some(member), parent);
            // An ancestor that was met before has had its ancestors added.
            line.take_while(|&index| indices.insert(index)).for_each(drop);
        }
        let mut known = Known::default();
        for index in indices {
            let process = snapshot.processes[index];
            if process.life != Life::Gone {
                let name = snapshot.names.text(process.comm);
                let is_sure =
                    process.clock != Some(CpuNanos(0)) && !name.starts_with(KERNEL_WORKER);
                let clock = process.clock.filter(|_| is_sure);
                let comm = known.names.id(name);
                let process = Process { clock, comm, ..process };
                let is_member = members.binary_search(&index).is_ok();
                let picked_by = picked_by(index);
                known.processes.push(KnownProcess { process, is_member, picked_by });
            }
        }
        let has_clocks = known.processes.iter().any(|known| known.process.clock.is_some());
        if has_clocks { known } else { Known::default() }
    }

    /// Has these processes and their ancestors read again in any case.
    ///
    /// A sample found that a child had ended, and not who waited for it. The one who did has run, even
    /// if its clock does not show it yet. So the next sample must read whoever it can be.
    pub fn read_again(&mut self, heirs: impl IntoIterator<Item = Pid>) {
        for heir in heirs {
            let mut pid = heir;
            // The number of steps is bounded, because the parents in a fabricated procfs can form a
            // cycle.
            for _ in 0..self.processes.len() {
                let index = self.processes.binary_search_by_key(&pid, |known| known.process.id.pid);
                let Ok(index) = index else { break };
                let process = &mut self.processes[index].process;
                process.clock = None;
                pid = process.parent;
            }
        }
    }

    /// The processes and their parents. A sample must look at these to know whether each process still
    /// has the same parent. Process 1 is left out, because it never ends.
    pub fn pids_and_parents(&self) -> impl Iterator<Item = Pid> {
        let processes = self.processes.iter().map(|known| &known.process);
        let pids = processes.flat_map(|process| [process.id.pid, process.parent]);
        pids.filter(|&pid| pid > Pid::INIT)
    }
}

/// Recognizes the known processes that have not run, in a scan in rising order of pid.
pub struct Unmoved<'k> {
    known: &'k Known,
    /// Pids that may belong to other processes now.
    born: &'k [PidRange],
    /// Index of the first known process that the scan has not passed.
    next: usize,
    /// The processes that have not run, sorted.
    unmoved: Vec<Pid>,
    /// Number of members among them.
    members: usize,
}

impl<'k> Unmoved<'k> {
    /// `born` are the pids that were given out since the last sample.
    pub fn new(known: &'k Known, born: &'k [PidRange]) -> Unmoved<'k> {
        Unmoved { known, born, next: 0, unmoved: Vec::new(), members: 0 }
    }

    /// Whether it is certain that no member has run.
    pub fn are_all_members(&self) -> bool {
        let members = self.known.processes.iter().filter(|known| known.is_member).count();
        members > 0 && members == self.members
    }

    /// The selectors that picked a process among all for the last sample, if they pick it still.
    pub fn picked_by(&self, pid: Pid) -> Option<&[usize]> {
        self.unmoved.binary_search(&pid).ok()?;
        let known = &self.known.processes;
        let index = known.binary_search_by_key(&pid, |known| known.process.id.pid).ok()?;
        known[index].picked_by.as_deref()
    }

    /// Adds the process to the part as it was read for the last sample, if its clock shows that it
    /// has not run since. Returns whether it did.
    pub fn add(&mut self, pid: Pid, clock: Option<CpuNanos>, part: &mut Part) -> bool {
        let Known { processes, names } = self.known;
        while processes.get(self.next).is_some_and(|known| known.process.id.pid < pid) {
            self.next += 1;
        }
        let known = processes.get(self.next).filter(|known| known.process.id.pid == pid);
        let is_new = || self.born.iter().any(|range| range.contains(pid));
        match known.filter(|known| known.process.has_not_run(clock) && !is_new()) {
            Some(&KnownProcess { process, is_member, .. }) => {
                self.unmoved.push(pid);
                let comm = part.names.id(names.text(process.comm));
                part.processes.push(Process { comm, ..process });
                self.members += usize::from(is_member);
                true
            }
            None => false,
        }
    }
}
