//! Processes that need not be read again as long as they have not run.
//!
//! A process whose CPU clock has not moved has not run. So it has not forked, waited, executed,
//! changed its name or ended, and all that psstat uses of its `stat` is unchanged, except its parent.
//! Reading the clock costs less than a tenth of reading `stat`.
//!
//! *Example:* the clock of a member showed 7.2 ms just before its `stat` was read for the last
//! sample, and shows 7.2 ms now. What was read then is used again.
//!
//! Some things can change without the clock moving:
//!
//! - The number of threads: the last moments of a thread that ends are in no clock
//!   (`__exit_signal`, kernel/exit.c). Processes with several threads are always read.
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
//!
//! All this rests on how the kernel accounts CPU time. So each process is read again every 64 samples,
//! whatever its clock shows: if a kernel ever let a process run without its clock moving, no report
//! would stay wrong.

use crate::model::births::PidRange;
use crate::model::process::{Life, Names, Process};
use crate::model::snapshot::{Part, Snapshot};
use crate::model::units::{CpuNanos, Pid, ProcId};
use alloc::vec;
use alloc::vec::Vec;

/// How the names of kernel workers begin (Documentation/core-api/workqueue.rst of the kernel).
const KERNEL_WORKER: &[u8] = b"kworker/";

/// Each known process is read again once in this many samples, whatever its clock shows.
const READ_AGAIN_EVERY: u32 = 64;

/// The members of the last sample and their ancestors, as they were read then. Empty if no clock was
/// read before their `stat`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Sorted by pid.
    pub processes: Vec<KnownProcess>,
    /// Their names.
    pub names: Names,
    /// The selectors that picked a process among all processes, sorted, for those processes of which they
    /// are known, sorted by pid. Empty after a state was encoded: then they must be found again.
    pub picked_by: Vec<(Pid, Vec<usize>)>,
    /// Which of them the next sample reads in any case: those whose pid leaves this remainder when it is
    /// divided by 64.
    pub turn: u32,
}

/// A process that the last sample found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownProcess {
    /// The process as it was read. Its clock is `None` if it must be read again in any case.
    pub process: Process,
    /// Whether it was a member of a group, and not only an ancestor of one.
    pub is_member: bool,
}

impl Known {
    /// The `members` and their ancestors. `members` are indices in the snapshot, sorted. `picked_by`
    /// returns the selectors that picked a process, if they are to be known.
    pub fn of(
        snapshot: &Snapshot,
        members: &[usize],
        picked_by: impl Fn(usize) -> Option<Vec<usize>>,
    ) -> Known {
        let processes = &snapshot.processes;
        // Otherwise the result would be made for nothing.
        if members.iter().all(|&member| processes[member].clock.is_none()) {
            return Known::default();
        }
        let mut is_met = vec![false; processes.len()];
        for &member in members {
            let parent = |&index: &usize| {
                let parent = Some(processes[index].parent);
                snapshot.find(parent.filter(|&parent| parent != Pid::INIT)?)
            };
            let line = core::iter::successors(Some(member), parent);
            // An ancestor that was met before has had its ancestors met.
            line.take_while(|&index| !core::mem::replace(&mut is_met[index], true)).for_each(drop);
        }
        let indices = (0..processes.len()).filter(|&index| is_met[index]);
        let mut known = Known::default();
        known.processes.reserve_exact(is_met.iter().filter(|&&is_met| is_met).count());
        for index in indices {
            let process = processes[index];
            if process.life != Life::Gone {
                let name = snapshot.names.text(process.comm);
                let is_sure = process.clock != Some(CpuNanos(0))
                    && process.threads <= 1
                    && !name.starts_with(KERNEL_WORKER);
                let clock = process.clock.filter(|_| is_sure);
                let comm = known.names.id(name);
                let process = Process { clock, comm, ..process };
                let is_member = members.binary_search(&index).is_ok();
                known.processes.push(KnownProcess { process, is_member });
                let picked_by = picked_by(index);
                known.picked_by.extend(picked_by.map(|selectors| (process.id.pid, selectors)));
            }
        }
        let has_clocks = known.processes.iter().any(|known| known.process.clock.is_some());
        if has_clocks { known } else { Known::default() }
    }

    /// Lets the next sample read other processes again than the last one, which was compared with
    /// `last`.
    pub fn take_turns(&mut self, last: &Known) {
        self.turn = last.turn.wrapping_add(1) % READ_AGAIN_EVERY;
    }

    /// Has these processes and their ancestors read again in any case.
    ///
    /// A sample found that a child had ended, and not who waited for it. The one who did has run, even
    /// if its clock does not show it yet. So the next sample must read whoever it can be.
    pub fn read_again(&mut self, heirs: impl IntoIterator<Item = Pid>) {
        let mut is_met = vec![false; self.processes.len()];
        for heir in heirs {
            let mut pid = heir;
            while let Some(index) = self.index(pid) {
                if core::mem::replace(&mut is_met[index], true) {
                    break;
                }
                let process = &mut self.processes[index].process;
                process.clock = None;
                pid = process.parent;
            }
        }
    }

    fn index(&self, pid: Pid) -> Option<usize> {
        self.processes.binary_search_by_key(&pid, |known| known.process.id.pid).ok()
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

    /// Whether the process with that pid was known, and has not run since the last sample.
    pub fn has_not_run(&self, pid: Pid) -> bool {
        self.unmoved.binary_search(&pid).is_ok()
    }

    /// The selectors that picked a process among all for the last sample, if they pick it still.
    pub fn picked_by(&self, pid: Pid) -> Option<&[usize]> {
        if !self.has_not_run(pid) {
            return None;
        }
        let picked_by = &self.known.picked_by;
        let index = picked_by.binary_search_by_key(&pid, |&(pid, _)| pid).ok()?;
        Some(&picked_by[index].1)
    }

    /// The selectors that picked a process among all for the last sample.
    pub fn picked_before(&self, id: ProcId) -> Option<&[usize]> {
        let known = &self.known.processes[self.known.index(id.pid)?];
        let picked_by = &self.known.picked_by;
        let index = picked_by.binary_search_by_key(&id.pid, |&(pid, _)| pid).ok()?;
        (known.process.id == id).then(|| &picked_by[index].1[..])
    }

    /// Adds the process to the part as it was read for the last sample, if its clock shows that it
    /// has not run since. Returns whether it did.
    pub fn add(&mut self, pid: Pid, clock: Option<CpuNanos>, part: &mut Part) -> bool {
        let Known { processes, names, turn, .. } = self.known;
        while processes.get(self.next).is_some_and(|known| known.process.id.pid < pid) {
            self.next += 1;
        }
        let known = processes.get(self.next).filter(|known| known.process.id.pid == pid);
        let is_new = || self.born.iter().any(|range| range.contains(pid));
        match known.filter(|known| known.process.has_not_run(clock) && !is_new()) {
            Some(&KnownProcess { process, is_member, .. }) => {
                self.members += usize::from(is_member);
                if pid.number() % READ_AGAIN_EVERY == *turn {
                    return false;
                }
                self.unmoved.push(pid);
                let comm = part.names.id(names.text(process.comm));
                part.processes.push(Process { comm, ..process });
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::process::Times;
    use crate::model::units::{BootNanos, Ticks};

    #[test]
    fn every_known_process_is_read_again_once_in_64_samples() {
        let mut part = Part::default();
        let comm = part.names.id(b"x");
        part.processes.extend((2..102).map(|pid| Process {
            clock: Some(CpuNanos(5)),
            id: ProcId { pid: Pid::new(pid), start: Ticks(7) },
            parent: Pid::INIT,
            times: Times::default(),
            life: Life::Alive,
            threads: 1,
            comm,
        }));
        let snapshot = Snapshot::new(BootNanos(0), Vec::from([part]));
        let members: Vec<usize> = (0..100).collect();
        let mut known = Known::of(&snapshot, &members, |_| None);
        let mut read = [0; 100];
        for _ in 0..READ_AGAIN_EVERY {
            let mut unmoved = Unmoved::new(&known, &[]);
            let mut part = Part::default();
            for (index, process) in snapshot.processes.iter().enumerate() {
                let is_kept = unmoved.add(process.id.pid, process.clock, &mut part);
                read[index] += u32::from(!is_kept);
            }
            assert!(unmoved.are_all_members(), "none of them has run");
            let last = core::mem::replace(&mut known, Known::of(&snapshot, &members, |_| None));
            known.take_turns(&last);
        }
        assert_eq!(read, [1; 100]);
    }
}
