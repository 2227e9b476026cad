//! The processes of a machine at one time.

use super::buffer::Buffer;
use super::process::{Life, NameId, Names, Process, Stat, index_of};
use super::read_error::{ReadError, Reason, Unreadable};
use super::units::{BootNanos, CpuNanos, Pid, ProcId};
use alloc::vec::Vec;

/// Processes that one reader read, one after the other.
#[derive(Debug, Default)]
pub struct Part {
    /// Sorted by pid, in the order of reading.
    pub processes: Vec<Process>,
    /// Their names.
    pub names: Names,
    /// Processes that could not be read.
    pub unreadable: Unreadable,
    /// Their pids, sorted.
    pub unread: Vec<Pid>,
}

/// Number of processes that are read before the deadline is checked again.
const READS_PER_DEADLINE_CHECK: usize = 64;

impl Part {
    /// Reads the processes `pids`, in order. Stops early if `out_of_time` returns true, and returns
    /// what was read up to then. A process that has ended is not in the result.
    ///
    /// `read` adds a process to the part.
    pub fn read(
        pids: &[Pid],
        out_of_time: impl Fn() -> bool,
        mut read: impl FnMut(Pid, &mut Part, &mut Buffer),
    ) -> Part {
        let mut part = Part::default();
        part.processes.reserve_exact(pids.len());
        let mut buffer = Buffer::default();
        for chunk in pids.chunks(READS_PER_DEADLINE_CHECK) {
            if out_of_time() {
                break;
            }
            for &pid in chunk {
                read(pid, &mut part, &mut buffer);
            }
        }
        part
    }

    /// Adds a process whose clock was read, and then its `stat`.
    pub fn add(&mut self, pid: Pid, clock: Option<CpuNanos>, stat: Result<Stat<'_>, ReadError>) {
        match stat {
            Ok(stat) => self.processes.push(stat.process(pid, clock, &mut self.names)),
            Err(error) => {
                if error.reason != Reason::Vanished {
                    self.unread.push(pid);
                }
                self.unreadable.add(error);
            }
        }
    }
}

/// The processes of a machine at one time, or some of them.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// When the scan began. A process that started later belongs to the next sample.
    pub taken: BootNanos,
    /// Sorted by pid, no pid twice.
    pub processes: Vec<Process>,
    /// Their names.
    pub names: Names,
    /// Processes that could not be read.
    pub unreadable: Unreadable,
    /// Their pids, sorted.
    pub unread: Vec<Pid>,
    /// How many processes at the end have ended and were never seen: exit records tell of them. Their pids are
    /// made up, because their own may belong to others by now.
    unseen: usize,
    /// Index in `processes` at which the part of each reader begins. Within a part, a process with
    /// a smaller index was read earlier. The order between parts is not known.
    parts: Vec<usize>,
}

impl Snapshot {
    /// The first pid of those that were never seen. The kernel gives out none as large.
    pub const FIRST_UNSEEN: Pid = Pid::new(1 << 30);

    /// Joins the parts of one or more readers. The parts are in order of pid.
    pub fn new(taken: BootNanos, parts: Vec<Part>) -> Snapshot {
        let mut parts = parts.into_iter();
        let Part { processes, names, unreadable, unread } = parts.next().unwrap_or_default();
        let parts_at = Vec::from([0]);
        let mut snapshot =
            Snapshot { taken, processes, names, unreadable, unread, unseen: 0, parts: parts_at };
        for part in parts {
            snapshot.parts.push(snapshot.processes.len());
            let ids: Vec<NameId> = part.names.texts().map(|text| snapshot.names.id(text)).collect();
            let renamed =
                |process: Process| Process { comm: ids[Names::index(process.comm)], ..process };
            snapshot.processes.extend(part.processes.into_iter().map(renamed));
            snapshot.unreadable.extend(part.unreadable);
            snapshot.unread.extend(part.unread);
        }
        snapshot
    }

    /// Removes the processes with these pids, which are sorted.
    pub fn remove(&mut self, pids: &[Pid]) {
        let is_removed = |process: &Process| pids.binary_search(&process.id.pid).is_ok();
        for start in &mut self.parts {
            let before = self.processes[..*start].iter();
            *start -= before.filter(|process| is_removed(process)).count();
        }
        self.processes.retain(|process| !is_removed(process));
    }

    /// Adds processes that have ended and were never seen. Their pids rise, from
    /// [`Snapshot::FIRST_UNSEEN`] on.
    pub fn add_unseen(&mut self, unseen: Vec<Process>) {
        self.parts.push(self.processes.len());
        self.unseen += unseen.len();
        self.processes.extend(unseen);
    }

    /// How many processes were read. They come before those that were never seen.
    pub fn read(&self) -> usize {
        self.processes.len() - self.unseen
    }

    /// Whether the process with index `first` is known to have been read before the one with index
    /// `second`.
    pub fn was_read_before(&self, first: usize, second: usize) -> bool {
        let part = |index| self.parts.partition_point(|&start| start <= index);
        first < second && part(first) == part(second)
    }

    /// Index of the process with that pid.
    pub fn find(&self, pid: Pid) -> Option<usize> {
        index_of(&self.processes, pid)
    }

    /// Whether a process still runs. Another process with its pid does not count. One that could not be
    /// read counts as gone: if it ends before the next sample, what was counted of it must not count again
    /// with the parent that waits for it.
    pub fn life_of(&self, id: ProcId) -> Life {
        let process = self.find(id.pid).map(|index| &self.processes[index]);
        process.filter(|process| process.id == id).map_or(Life::Gone, |process| process.life)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::process::Times;
    use crate::model::units::Ticks;

    /// A part with processes of these pids.
    fn part(pids: &[u32]) -> Part {
        let pids: Vec<Pid> = pids.iter().copied().map(Pid::new).collect();
        let stat = Stat {
            comm: b"x",
            state: b'S',
            parent: Pid::INIT,
            times: Times::default(),
            threads: 1,
            start: Ticks(5),
        };
        Part::read(&pids, || false, |pid, part, _| part.add(pid, None, Ok(stat)))
    }

    #[test]
    fn removed_processes_leave_the_parts_of_their_readers() {
        let parts = Vec::from([part(&[1, 4, 5]), part(&[7, 8]), part(&[9, 12])]);
        let mut snapshot = Snapshot::new(BootNanos(0), parts);
        snapshot.remove(&[1, 7, 8, 10].map(Pid::new));
        let find = |pid| snapshot.find(Pid::new(pid));
        assert_eq!(
            [1, 4, 5, 7, 8, 9, 12].map(find),
            [None, Some(0), Some(1), None, None, Some(2), Some(3)]
        );
        assert!(snapshot.was_read_before(0, 1) && snapshot.was_read_before(2, 3));
        assert!(!snapshot.was_read_before(1, 2), "read by different readers");
    }
}
