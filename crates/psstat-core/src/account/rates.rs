//! What a group did since the last sample, of what the kernel counts per process or per thread:
//! storage traffic, major page faults, context switches.
//!
//! Each [`Rate`] has a [ledger] of its own, which is kept only if a field shows the
//! rate.
//!
//! *Example:* a process had read 4096 bytes at the last sample and has read 12288 now. The group
//! read 8192 bytes.

use super::group::Group;
use super::ledger::{self, Ledger, Member};
use crate::model::process::{Life, Process};
use crate::model::readings::{Reading, Readings};
use crate::model::report::Rate;
use crate::model::snapshot::Snapshot;
use crate::model::units::{Amounts, Count, Pid, ProcId, Ticks};
use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// The ledgers of a group. A rate that no field shows, or that could not be read of all members,
/// has none.
pub type RateLedgers = BTreeMap<Rate, Ledger<Count>>;

/// The part of a sample that the rates need.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'s> {
    /// The processes.
    pub snapshot: &'s Snapshot,
    /// What was read of the members.
    pub readings: &'s Readings,
    /// The tick in which this sample began.
    pub now: Ticks,
}

/// What is known of a group from the last sample.
#[derive(Clone, Copy, Debug)]
pub enum Before<'s> {
    /// There was no last sample, or it did not count this. What is counted now is the baseline.
    Unknown,
    /// The group did not exist.
    Absent,
    /// The group had this ledger.
    Kept(&'s Ledger<Count>),
}

/// Computes what a group did since the last sample, which began in tick `since`, and the ledger to
/// keep for the next sample.
///
/// The count is `None` if it is not known. The ledger is `None` if a member could not be read.
pub fn settle(
    rate: Rate,
    group: &Group,
    counted: Counted<'_>,
    before: Before<'_>,
    since: Ticks,
) -> (Option<Count>, Option<Ledger<Count>>) {
    let kept = match before {
        Before::Kept(ledger) => Some(ledger),
        Before::Unknown | Before::Absent => None,
    };
    let Some(members) = members(rate, group, counted, kept) else { return (None, None) };
    if let Before::Unknown = before {
        return (None, Some(Ledger { members, debts: Vec::new() }));
    }
    let kept = kept.map(|kept| after_exec(kept, &members));
    let life_of = |id| counted.life_of(rate, id);
    let (done, ledger) = ledger::settle(kept.as_deref(), since, members, life_of);
    (done, Some(ledger))
}

/// The members of a group for the ledger of a rate. `None` if one of them could not be read.
fn members(
    rate: Rate,
    group: &Group,
    counted: Counted<'_>,
    before: Option<&Ledger<Count>>,
) -> Option<Vec<Member<Count>>> {
    let Counted { snapshot, readings, now } = counted;
    let mut members = Vec::new();
    for &index in &group.members {
        let process = &snapshot.processes[index];
        if let Rate::Switches = rate {
            match readings.at(readings.switches.as_ref()?, index) {
                None | Some(Reading::Gone) => {}
                Some(Reading::Unreadable) => return None,
                Some(Reading::Value(threads)) => members.extend(
                    threads.iter().map(|&(tid, count)| thread(process, tid, count, before, now)),
                ),
            }
            continue;
        }
        // A manager waits for processes of other groups. What it inherits is not of this group, so
        // it is left out.
        let is_init = !group.by_descent && process.id.pid == Pid::INIT;
        let is_lone = group.lone.binary_search(&index).is_ok();
        if !is_lone && (is_init || group.managers.contains(&index)) {
            continue;
        }
        match inherited(rate, readings, index)? {
            Reading::Gone => {}
            Reading::Unreadable => return None,
            Reading::Value(amounts) => {
                let member = Member { id: process.id, parent: process.parent, amounts };
                let is_alone = is_lone && rate == Rate::MajorFaults;
                members.push(if is_alone { member.alone() } else { member });
            }
        }
    }
    // The thread ids of different processes are not in order.
    members.sort_unstable_by_key(|member| member.id.pid);
    members.dedup_by_key(|member| member.id.pid);
    Some(members)
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
    let stayed: BTreeSet<Pid> = threads().filter(stay).map(|thread| thread.parent).collect();
    let mut ledger = Cow::Borrowed(before);
    for thread in threads().filter(|thread| !stayed.contains(&thread.parent)) {
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
    let then = before.and_then(|before| before.find(tid)).map(|thread| thread.id.start);
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
