//! What a group did since the last sample, of what the kernel counts per process or per thread:
//! storage traffic, major page faults, context switches.
//!
//! Each [`Rate`] has a [ledger](super::ledger) of its own, which is kept only if a field shows the
//! rate.
//!
//! *Example:* a process had read 4096 bytes at the last sample and has read 12288 now. The group
//! read 8192 bytes.

use super::ledger::{Ends, Ledger, Member, Settled, Settlement};
use super::link::Link;
use super::membership::Membership;
use super::sets::SetId;
use crate::model::process::{Life, Process};
use crate::model::readings::{Reading, Readings};
use crate::model::report::Rate;
use crate::model::snapshot::Snapshot;
use crate::model::units::{Amounts, Count, Pid, ProcId, Ticks};
use alloc::borrow::Cow;
use alloc::vec;
use alloc::vec::Vec;

/// The part of a sample that the rates need.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'s> {
    /// The processes.
    pub snapshot: &'s Snapshot,
    /// What was read of the members.
    pub readings: &'s Readings,
    /// Which groups each process belongs to.
    pub membership: &'s Membership,
    /// The tick in which this sample began.
    pub now: Ticks,
}

/// What is known of a group from the last sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// There was no last sample, or it did not count this of the group. What is counted now is the
    /// baseline.
    Unknown,
    /// The group did not exist.
    Absent,
    /// The group was in the ledger.
    Kept,
}

/// What was counted of a rate.
#[derive(Debug)]
pub struct Done {
    /// For each group: what it did since the last sample. `None` if that is not known.
    pub counts: Vec<Option<Count>>,
    /// For each group: whether the next sample can be compared with the ledger. Not so if a member could
    /// not be read.
    pub is_kept: Vec<bool>,
    /// For each group: whether it would have taken too long to work out the count.
    pub is_left_out: Vec<bool>,
    /// The ledger to keep for the next sample.
    pub ledger: Ledger<Count>,
}

/// Computes what the groups did since the last sample, which began in tick `since` and left the ledger
/// `then`. `before` tells what is known of each group. `None` if the rate could not be read.
pub fn settle(
    rate: Rate,
    counted: Counted<'_>,
    then: (Option<&Ledger<Count>>, Ticks),
    link: &Link<'_>,
    before: &[Before],
) -> Option<Done> {
    let (then, since) = then;
    let (members, is_kept) = members(rate, counted, then, before.len())?;
    let mut done = Done {
        counts: vec![None; before.len()],
        is_left_out: vec![false; before.len()],
        is_kept,
        ledger: Ledger { members, debts: Vec::new() },
    };
    if before.iter().all(|before| *before == Before::Unknown) {
        return Some(done);
    }
    let empty = Ledger::default();
    let now = &done.ledger.members;
    let then = after_exec(then.unwrap_or(&empty), now);
    // The kernel does not separate the storage traffic of a process and what it inherited.
    let are_children_apart = rate == Rate::MajorFaults;
    let joint = counted.membership.joint;
    let ends = &Ends::default();
    let settlement = Settlement { then: &then, since, now, link, ends, are_children_apart, joint };
    let (settled, mut debts) = settlement.settle(&|id| counted.life_of(rate, id));
    for (group, Settled { used, is_left_out, .. }) in settled.into_iter().enumerate() {
        let is_known = done.is_kept[group] && before[group] != Before::Unknown;
        done.is_left_out[group] = is_known && is_left_out;
        done.counts[group] = used.filter(|_| is_known);
        done.is_kept[group] &= !is_left_out;
    }
    debts.retain(|debt| {
        let group = debt.group as usize;
        done.is_kept[group] && before[group] != Before::Unknown
    });
    done.ledger.debts = debts;
    Some(done)
}

/// The members of all groups for the ledger of a rate, and for each group whether all of its members could
/// be read. `None` if the rate was not read.
fn members(
    rate: Rate,
    counted: Counted<'_>,
    before: Option<&Ledger<Count>>,
    groups: usize,
) -> Option<(Vec<Member<Count>>, Vec<bool>)> {
    let Counted { snapshot, readings, membership, now } = counted;
    let mut members = Vec::new();
    let mut is_unread = vec![false; membership.sets.count()];
    let mut unread = Vec::new();
    for (index, process) in snapshot.processes.iter().enumerate() {
        let groups = membership.rated[index];
        if groups == SetId::EMPTY {
            continue;
        }
        if let Rate::Switches = rate {
            match readings.at(readings.switches.as_ref()?, index) {
                None | Some(Reading::Gone) => {}
                Some(Reading::Unreadable) => is_unread[groups.index()] = true,
                Some(Reading::Value(threads)) => {
                    members.extend(threads.iter().map(|&(tid, count)| Member {
                        groups,
                        ..thread(process, tid, count, before, now)
                    }));
                }
            }
            continue;
        }
        match inherited(rate, readings, index)? {
            Reading::Gone => {}
            Reading::Unreadable => {
                is_unread[groups.index()] = true;
                unread.push(index);
            }
            Reading::Value(amounts) => {
                members.push(Member { id: process.id, parent: process.parent, amounts, groups });
            }
        }
    }
    // The thread ids of different processes are not in order.
    members.sort_unstable_by_key(|member| member.id.pid);
    members.dedup_by_key(|member| member.id.pid);
    let add = |is_whole: &mut Whole, is_unread: &bool, _| is_whole.0 &= !is_unread;
    let join = |is_unread: &mut bool, other: &bool| *is_unread |= other;
    let whole: Vec<Whole> = membership.sets.per_group(is_unread, groups, add, join);
    let mut whole: Vec<bool> = whole.into_iter().map(|whole| whole.0).collect();
    if let Some(joint) = membership.joint {
        // What cannot be read in one group is no reason to leave out the others, except those that inherit it
        // at its end.
        whole[joint.group as usize] = true;
        for heir in ancestors(snapshot, &unread) {
            let owner = membership.sets.get(membership.members[heir]);
            owner.into_iter().for_each(|owner| whole[owner.group as usize] = false);
        }
    }
    Some((members, whole))
}

/// The ancestors of these processes, each once.
fn ancestors(snapshot: &Snapshot, processes: &[usize]) -> Vec<usize> {
    let mut is_met = vec![false; snapshot.processes.len()];
    let mut ancestors = Vec::new();
    for &process in processes {
        let mut next = snapshot.find(snapshot.processes[process].parent);
        while let Some(index) = next.filter(|&index| !core::mem::replace(&mut is_met[index], true))
        {
            ancestors.push(index);
            next = snapshot.find(snapshot.processes[index].parent);
        }
    }
    ancestors
}

/// Whether all members of a group could be read.
#[derive(Clone, Copy)]
struct Whole(bool);

impl Default for Whole {
    fn default() -> Whole {
        Whole(true)
    }
}

/// The amounts of a process, for a rate that parents inherit. `None` if the rate was not read, or
/// is [`Rate::Switches`], which nobody inherits.
fn inherited(rate: Rate, readings: &Readings, index: usize) -> Option<Reading<Amounts<Count>>> {
    // The kernel shows a process's own traffic and what it inherited as one number. It is passed as
    // the children amount, so that the ledger can take debts off it.
    let merged = |children: Count| Amounts { own: Count(0), children };
    match rate {
        Rate::StorageRead => {
            let reading = readings.at(readings.storage.as_ref()?, index);
            Some(reading.copied().unwrap_or_default().map(|storage| merged(storage.read)))
        }
        Rate::StorageWrite => {
            let reading = readings.at(readings.storage.as_ref()?, index);
            Some(reading.copied().unwrap_or_default().map(|storage| merged(storage.written)))
        }
        Rate::MajorFaults => {
            let reading = readings.at(readings.faults.as_ref()?, index);
            Some(reading.copied().unwrap_or_default())
        }
        Rate::Switches => None,
    }
}

/// The ledger, corrected for processes that called execve(2) in another thread than the first.
///
/// The thread that calls execve takes the thread id of the first thread and keeps its own count.
/// All other threads end (`de_thread`, fs/exec.c). What that thread did before has been counted
/// under its old id. So if none of the other threads is left, the first thread's new baseline is
/// the largest of their counts that lies between its old and its new count. If the threads ended
/// for another reason, the result is too low, but never too high.
///
/// *Example:* thread 10 had a count of 5, and thread 11 had 70. 11 calls execve, and now 10 has 73.
/// The baseline is 70, and 3 are new.
fn after_exec<'l>(before: &'l Ledger<Count>, now: &[Member<Count>]) -> Cow<'l, Ledger<Count>> {
    let find = |pid| {
        let index = now.binary_search_by_key(&pid, |member| member.id.pid).ok()?;
        Some(&now[index])
    };
    let threads = || before.members.iter().filter(|member| is_thread(member));
    let stay = |thread: &&Member<Count>| find(thread.id.pid).is_some_and(|now| now.id == thread.id);
    let mut stayed: Vec<Pid> = threads().filter(stay).map(|thread| thread.parent).collect();
    stayed.sort_unstable();
    let mut ledger = Cow::Borrowed(before);
    let ended = |thread: &&Member<Count>| stayed.binary_search(&thread.parent).is_err();
    for thread in threads().filter(ended) {
        let first = thread.parent;
        let Ok(index) = ledger.members.binary_search_by_key(&first, |member| member.id.pid) else {
            continue;
        };
        let then = &ledger.members[index];
        let is_taken_over = |now: &Member<Count>| {
            now.id == then.id && (then.amounts.own..=now.amounts.own).contains(&thread.amounts.own)
        };
        if find(first).is_some_and(is_taken_over) {
            ledger.to_mut().members[index].amounts.own = thread.amounts.own;
        }
    }
    ledger
}

/// Whether the member is a thread, but not the first of its process. [`thread`] stores the pid of
/// its process as its parent.
fn is_thread(member: &Member<Count>) -> bool {
    member.parent != Pid::NONE
}

/// A thread as a member of a ledger. Nobody inherits its count. The parent is the pid of its
/// process, or [`Pid::NONE`] for the first thread.
///
/// Its start is when it was first seen, because reading the true start would take one more file per
/// thread. A thread that was not in the ledger `before`, while its process was, is new: it started
/// `now`. The threads of a process that was not in the ledger count as started with the process.
fn thread(
    process: &Process,
    tid: Pid,
    count: Count,
    before: Option<&Ledger<Count>>,
    now: Ticks,
) -> Member<Count> {
    let started = process.id.start;
    let then = before.and_then(|before| before.with_pid(tid)).map(|thread| thread.id.start);
    let start = match then {
        _ if tid == process.id.pid => started,
        Some(then) if then >= started => then,
        _ if before.is_some_and(|before| before.knows(process.id)) => now,
        _ => started,
    };
    Member {
        id: ProcId { pid: tid, start },
        parent: if tid == process.id.pid { Pid::NONE } else { process.id.pid },
        amounts: Amounts { own: count, children: Count(0) },
        groups: SetId::EMPTY,
    }
}

impl Counted<'_> {
    /// Whether a process still ran when the rate was read, which was after the snapshot.
    fn life_of(self, rate: Rate, id: ProcId) -> Life {
        if let Rate::Switches = rate {
            // Nobody inherits what a thread did, so no thread leaves a debt.
            return Life::Alive;
        }
        let Counted { snapshot, readings, .. } = self;
        let was_read = |index: &usize| readings.members.binary_search(index).is_ok();
        match snapshot.find(id.pid).filter(was_read) {
            Some(index) if inherited(rate, readings, index) == Some(Reading::Gone) => Life::Gone,
            _ => snapshot.life_of(id),
        }
    }
}
