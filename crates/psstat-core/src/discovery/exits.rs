//! Which processes have ended since the last sample, from exit records.
//!
//! The records are taken after the processes were read. The kernel sends the record of a process before the
//! process can be missed, so a process that has gone has its record here, unless some were lost. A process
//! that was read, and has a record all the same, has ended since, or is a zombie. Its record is kept until
//! the process has gone, because until then it is a member like any other. A process that started after the
//! sample began may be a zombie that was not read: it is looked for. If it has gone, its parent may have
//! inherited from it before that was read, so it belongs to this sample.
//!
//! The order of the records says which process a pid means: that of a parent comes after those of its
//! children, and that of a process is the first with its pid that is not of an older process.

use crate::account::accounts::Accounts;
use crate::account::tree::Tree;
use crate::account::witness::Witness;
use crate::discovery::scan::Scan;
use crate::kernel::Kernel;
use crate::model::buffer::Buffer;
use crate::model::exit::{Exit, Exits};
use crate::model::process::{Life, Process, Times};
use crate::model::snapshot::Snapshot;
use crate::model::units::{Hz, Pid, ProcId, Ticks, Uid};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

/// How much later than a process itself its record may say that it started, if records were lost. Then the
/// order says nothing. In ticks.
const LATE: u64 = 100;

/// What is kept of exit records from one sample to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownExits {
    /// The number of the record that will come next.
    pub next: u64,
    /// How often records were lost so far.
    pub losses: u64,
    /// Records of processes that were still there, in order.
    pub pending: Vec<Exit>,
    /// The processes whose descendants have ended.
    pub witnesses: Vec<Witness>,
}

/// A process that has ended since the last sample.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its index in the snapshot.
    pub index: usize,
    /// Its identity in the snapshot.
    id: ProcId,
    /// Its record.
    pub exit: Exit,
    /// Its index in the ledger of the last sample, if it was a member.
    pub member: Option<usize>,
    /// Whether it started since the last sample.
    pub is_new: bool,
    /// The nearest process above it that is known: one that may still live, or a member of the last sample.
    pub ancestor: Pid,
    /// Whether that is its parent, and has not ended.
    pub is_child: bool,
    /// Whether it is in the groups of its parent, whose index `index` is: its record came after the groups were
    /// formed.
    pub is_by_parent: bool,
    /// The nearest process above it that has not ended.
    pub survivor: Pid,
}

/// The processes that have ended, and what is to be kept.
#[derive(Debug, Default)]
pub struct Found {
    /// The processes that were never seen, in the order of the snapshot, after all that were read.
    pub unseen: Vec<Ended>,
    /// The processes that have ended since they were read.
    pub gone: Vec<Ended>,
    /// Records of processes that are still there, in order.
    pub pending: Vec<Exit>,
    /// The number of the record that will come next.
    pub next: u64,
    /// How often records were lost so far.
    pub losses: u64,
    /// Whether none was lost since the last sample.
    pub is_complete: bool,
}

/// Where a process is whose record has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Still there.
    Pending,
    /// In the snapshot, and gone since it was read.
    Read(usize),
    /// Not in the snapshot.
    Unseen,
    /// It may be a thread, and not a process.
    Dropped,
}

/// Takes in the records that have come, and adds the processes that were never seen to the scan. At the first
/// sample there is nothing to add to.
pub fn take_in(
    kernel: &impl Kernel,
    exits: Exits,
    (known, last): (&KnownExits, Option<&Accounts>),
    scan: &mut Scan,
) -> Found {
    let hz = kernel.constants().hz;
    let Exits { list, next, losses } = exits;
    let is_complete = last.is_none() || losses == known.losses;
    let records = known.pending.iter().cloned().chain(list).collect();
    let records = without_repeated(records, is_complete, hz);
    let mut found = Found { next, losses, is_complete, ..Found::default() };
    if records.is_empty() {
        return found;
    }
    let records = Records::new(&records, is_complete, hz);
    let places = records.places(kernel, &scan.snapshot);
    let pending = places.iter().zip(records.list).filter(|(place, _)| **place == Place::Pending);
    found.pending = pending.map(|(_, exit)| exit.clone()).collect();
    if let Some(last) = last {
        let unseen = records.add_ended(&places, last, &mut scan.snapshot, &mut found);
        if !unseen.is_empty() {
            scan.snapshot.add_unseen(unseen);
            scan.tree = Tree::new(&scan.snapshot.processes);
        }
    }
    found
}

impl Found {
    /// All processes that have ended.
    pub fn ended(&self) -> impl Iterator<Item = &Ended> {
        self.unseen.iter().chain(&self.gone)
    }

    /// What is to be kept for the next sample, without witnesses.
    pub fn known(&self) -> KnownExits {
        let Found { next, losses, pending, .. } = self;
        let (next, losses, pending) = (*next, *losses, pending.clone());
        KnownExits { next, losses, pending, witnesses: Vec::new() }
    }

    /// The record of a process that was never seen, by its made-up pid.
    pub fn record_of(&self, pid: Pid) -> Option<&Exit> {
        let unseen = &self.unseen;
        let at = unseen.binary_search_by_key(&pid, |ended| ended.id.pid).ok()?;
        Some(&unseen[at].exit)
    }

    /// Takes in more records, and looks again at the processes that have gone since they were read. Their
    /// parents were read again, and may have inherited from processes that nobody has read, if they are in a
    /// ledger: `inherits` says that of a process in the snapshot.
    pub fn add_gone(
        &mut self,
        kernel: &impl Kernel,
        exits: Exits,
        (snapshot, last): (&Snapshot, Option<&Accounts>),
        inherits: impl Fn(usize) -> bool,
    ) {
        let hz = kernel.constants().hz;
        self.next = exits.next;
        self.is_complete &= exits.losses == self.losses;
        self.losses = exits.losses;
        let records = core::mem::take(&mut self.pending).into_iter().chain(exits.list);
        let records: Vec<Exit> = records.collect();
        let records = Records::new(&records, self.is_complete, hz);
        for (at, exit) in records.list.iter().enumerate() {
            let found = records.find(at, snapshot);
            let has_no_record = |index: usize| records.of(snapshot.processes[index].id).is_none();
            let parent = || {
                let parent = snapshot.find(exit.parent);
                let parent = parent.filter(|&index| inherits(index) && has_no_record(index));
                parent.filter(|_| !is_there(kernel, exit))
            };
            let is_by_parent = found.is_none();
            let index = match found {
                Some(index) => Some(index).filter(|_| snapshot.processes[index].life == Life::Gone),
                None => parent(),
            };
            let (Some(index), Some(last)) = (index, last) else {
                self.pending.push(exit.clone());
                continue;
            };
            self.gone.push(Ended {
                index,
                id: snapshot.processes[index].id,
                member: records.member(at, last),
                is_new: exit.start >= last.taken,
                ancestor: exit.parent,
                is_child: snapshot.find(exit.parent).is_some(),
                is_by_parent,
                survivor: exit.parent,
                exit: exit.clone(),
            });
        }
    }
}

/// Whether a process with a record has not gone: nobody has waited for it.
fn is_there(kernel: &impl Kernel, exit: &Exit) -> bool {
    let start = Ticks::at(exit.start, kernel.constants().hz);
    kernel.stat(exit.pid, &mut Buffer::default()).is_ok_and(|stat| stat.start <= start)
}

/// The same records, without the first of two of the same process.
fn without_repeated(list: Vec<Exit>, is_complete: bool, hz: Hz) -> Vec<Exit> {
    let records = Records::new(&list, is_complete, hz);
    let is_repeated: Vec<bool> = (0..list.len()).map(|at| records.is_repeated(at)).collect();
    if !is_repeated.contains(&true) {
        return list;
    }
    let kept = list.into_iter().zip(is_repeated).filter(|(_, is_repeated)| !is_repeated);
    kept.map(|(exit, _)| exit).collect()
}

/// Parent and user of processes, and when the oldest of those with these started.
type Siblings = BTreeMap<(Pid, u32), Ticks>;

/// Records, in order.
struct Records<'r> {
    list: &'r [Exit],
    /// Pid and place of each, sorted.
    by_pid: Vec<(Pid, usize)>,
    is_complete: bool,
    hz: Hz,
}

impl<'r> Records<'r> {
    fn new(list: &'r [Exit], is_complete: bool, hz: Hz) -> Records<'r> {
        let mut by_pid: Vec<(Pid, usize)> =
            list.iter().enumerate().map(|(at, exit)| (exit.pid, at)).collect();
        by_pid.sort_unstable();
        Records { list, by_pid, is_complete, hz }
    }

    fn start(&self, exit: &Exit) -> Ticks {
        Ticks::at(exit.start, self.hz)
    }

    /// Whether a record may be that of the process, which has the pid. `start` in a record is never early.
    fn may_be(&self, exit: &Exit, id: ProcId) -> bool {
        let start = self.start(exit);
        start + Ticks(1) >= id.start && (self.is_complete || start <= id.start + Ticks(LATE))
    }

    /// The next record with that pid after a place.
    fn next(&self, pid: Pid, at: usize) -> Option<usize> {
        let after = self.by_pid.partition_point(|&entry| entry <= (pid, at));
        self.by_pid.get(after).filter(|(other, _)| *other == pid).map(|&(_, at)| at)
    }

    /// The record of a process. A pid is given out again later, so it is the first with that pid that is not of
    /// an older process.
    fn of(&self, id: ProcId) -> Option<usize> {
        let first = self.by_pid.partition_point(|&(pid, _)| pid < id.pid);
        let with_pid = self.by_pid[first..].iter().take_while(|(pid, _)| *pid == id.pid);
        with_pid.map(|&(_, at)| at).find(|&at| self.may_be(&self.list[at], id))
    }

    /// The process in the snapshot that a record is of.
    fn find(&self, at: usize, snapshot: &Snapshot) -> Option<usize> {
        let index = snapshot.find(self.list[at].pid)?;
        (self.of(snapshot.processes[index].id) == Some(at)).then_some(index)
    }

    /// The member of the last sample that a record is of.
    fn member(&self, at: usize, last: &Accounts) -> Option<usize> {
        let members = &last.ledger.members;
        let pid = self.list[at].pid;
        let index = members.binary_search_by_key(&pid, |member| member.id.pid).ok()?;
        (self.of(members[index].id) == Some(at)).then_some(index)
    }

    fn places(&self, kernel: &impl Kernel, snapshot: &Snapshot) -> Vec<Place> {
        let siblings = self.siblings(kernel, snapshot);
        let place = |at: usize| {
            let exit = &self.list[at];
            match self.find(at, snapshot) {
                Some(index) if snapshot.processes[index].life == Life::Gone => Place::Read(index),
                Some(_) => Place::Pending,
                None if exit.start >= snapshot.taken && is_there(kernel, exit) => Place::Pending,
                None if !exit.is_process && self.may_be_thread(exit, &siblings) => Place::Dropped,
                None => Place::Unseen,
            }
        };
        (0..self.list.len()).map(place).collect()
    }

    /// Whether a process has another record after this. Before Linux 5.19, a first thread that ends before the others
    /// has one too.
    fn is_repeated(&self, at: usize) -> bool {
        let exit = &self.list[at];
        let next = self.next(exit.pid, at).map(|next| &self.list[next]);
        next.is_some_and(|next| {
            let (start, next_start) = (self.start(exit), self.start(next));
            let is_near = start <= next_start + Ticks(1) && next_start <= start + Ticks(1);
            next.parent == exit.parent && is_near && (*next == *exit || !exit.is_process)
        })
    }

    /// The processes that may have had threads of which records came: parent and user of each, and when the
    /// oldest of them started. Empty if all records are of processes.
    fn siblings(&self, kernel: &impl Kernel, snapshot: &Snapshot) -> Siblings {
        let mut parents: Vec<Pid> =
            self.list.iter().filter(|exit| !exit.is_process).map(|exit| exit.parent).collect();
        parents.sort_unstable();
        let mut siblings = Siblings::new();
        let mut add = |parent, user: Uid, start: Ticks| {
            let oldest = siblings.entry((parent, user.0)).or_insert(start);
            *oldest = start.min(*oldest);
        };
        for process in &snapshot.processes {
            if parents.binary_search(&process.parent).is_ok()
                && let Ok(user) = kernel.effective_user(process.id.pid)
            {
                add(process.parent, user, process.id.start);
            }
        }
        for exit in self.list.iter().filter(|exit| exit.is_process) {
            add(exit.parent, exit.user, self.start(exit));
        }
        siblings
    }

    /// Whether what has ended may be a thread: a process with the same parent and user is at least as old. The
    /// kernel says that much of threads, and does not say of which process they were.
    fn may_be_thread(&self, exit: &Exit, siblings: &Siblings) -> bool {
        let oldest = siblings.get(&(exit.parent, exit.user.0));
        oldest.is_some_and(|&start| start <= self.start(exit) + Ticks(1))
    }

    /// Adds the processes that have ended to what was `found`. Returns those that are to be added to the
    /// snapshot.
    fn add_ended(
        &self,
        places: &[Place],
        last: &Accounts,
        snapshot: &mut Snapshot,
        found: &mut Found,
    ) -> Vec<Process> {
        let mut processes = Vec::new();
        let mut ended: Vec<Option<Ended>> = vec![None; self.list.len()];
        // A parent ends after its children, so it comes first here.
        for at in (0..self.list.len()).rev() {
            let (exit, place) = (&self.list[at], places[at]);
            if matches!(place, Place::Pending | Place::Dropped) {
                continue;
            }
            let parent = self.next(exit.parent, at);
            let above = parent.and_then(|parent| ended[parent].as_ref());
            let (ancestor, survivor, is_child) = match above {
                None => (exit.parent, exit.parent, true),
                Some(above) if above.member.is_some() => (exit.parent, above.survivor, false),
                Some(above) => (above.ancestor, above.survivor, false),
            };
            let mut start = self.start(exit);
            let index = if let Place::Read(index) = place {
                index
            } else {
                let mut parent = exit.parent;
                if let Some(above) = above.filter(|above| above.id.pid >= Snapshot::FIRST_UNSEEN) {
                    parent = above.id.pid;
                    // A record can say that a process started a little later than it did.
                    start = start.max(above.id.start);
                }
                processes.push(Process {
                    clock: None,
                    id: ProcId { pid: made_up(at), start },
                    parent,
                    times: Times::default(),
                    life: Life::Gone,
                    threads: 0,
                    comm: snapshot.names.id(&exit.comm),
                });
                0
            };
            let pid = if let Place::Read(_) = place { exit.pid } else { made_up(at) };
            ended[at] = Some(Ended {
                index,
                id: ProcId { pid, start },
                exit: exit.clone(),
                member: self.member(at, last),
                is_new: exit.start >= last.taken,
                ancestor,
                is_child,
                is_by_parent: false,
                survivor,
            });
        }
        processes.reverse();
        let of_unseen = |ended: &Ended| ended.id.pid >= Snapshot::FIRST_UNSEEN;
        (found.unseen, found.gone) = ended.into_iter().flatten().partition(of_unseen);
        for (index, ended) in (snapshot.processes.len()..).zip(&mut found.unseen) {
            ended.index = index;
        }
        processes
    }
}

/// The pid under which the process of a record is in the snapshot.
fn made_up(at: usize) -> Pid {
    Pid::new(Snapshot::FIRST_UNSEEN.number().saturating_add(u32::try_from(at).unwrap_or(u32::MAX)))
}
