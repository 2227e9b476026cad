//! What a group does per second, of what the kernel counts process by process or thread by thread:
//! traffic with storage, page faults, switches of context. Each has a ledger of its own, kept only
//! if it is asked for.

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

/// What is remembered of a group for its rates: nothing of one that was not asked for, or could
/// not be read.
pub type RateLedgers = BTreeMap<Rate, Ledger<Count>>;

/// A sample, as far as one rate needs it.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'s> {
    /// All processes.
    pub snapshot: &'s Snapshot,
    /// What was read of the members.
    pub readings: &'s Readings,
    /// The tick in which this sample began.
    pub now: Ticks,
}

/// What is known of a group from the last sample.
#[derive(Clone, Copy, Debug)]
pub enum Before<'s> {
    /// There was no last sample, or it did not count this: what is counted now is a beginning.
    Unknown,
    /// The group was not there.
    Absent,
    /// It was, and had this ledger.
    Kept(&'s Ledger<Count>),
}

/// Reckons what a group did since the last sample, which began in tick `since`, and what to
/// remember. No ledger where a member could not be read, and no answer where it is not known.
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

/// The members as the ledger of that rate knows them; none where one of them could not be read.
fn members(
    rate: Rate,
    group: &Group,
    counted: Counted<'_>,
    before: Option<&Ledger<Count>>,
) -> Option<Vec<Member<Count>>> {
    let Counted { snapshot, readings, now } = counted;
    let mut members = Vec::new();
    for &place in &group.members {
        let process = &snapshot.processes[place];
        if let Rate::Switches = rate {
            match readings.at(readings.switches.as_ref()?, place) {
                None | Some(Reading::Gone) => {}
                Some(Reading::Unreadable) => return None,
                Some(Reading::Value(threads)) => members.extend(
                    threads.iter().map(|&(tid, count)| thread(process, tid, count, before, now)),
                ),
            }
            continue;
        }
        // It waits for what ran in other control groups, and what it inherits is not its own.
        let is_init = !group.by_descent && process.id.pid == Pid::INIT;
        let is_lone = group.lone.binary_search(&place).is_ok();
        if !is_lone && (is_init || group.managers.contains(&place)) {
            continue;
        }
        match inherited(rate, readings, place)? {
            Reading::Gone => {}
            Reading::Unreadable => return None,
            Reading::Value(amounts) => {
                let member = Member { id: process.id, parent: process.parent, amounts };
                let is_alone = is_lone && rate == Rate::MajorFaults;
                members.push(if is_alone { member.alone() } else { member });
            }
        }
    }
    // Threads of different processes mingle.
    members.sort_unstable_by_key(|member| member.id.pid);
    members.dedup_by_key(|member| member.id.pid);
    Some(members)
}

/// What a process answers for, of what is inherited; none where that was not read at all.
fn inherited(rate: Rate, readings: &Readings, place: usize) -> Option<Reading<Amounts<Count>>> {
    // Its own and what it inherited come as one number, in which inheritances must be found.
    let merged = |children: Count| Amounts { own: Count(0), children };
    match rate {
        Rate::StorageRead => {
            let reading = readings.at(readings.storage.as_ref()?, place);
            Some(reading.copied().unwrap_or_default().map(|storage| merged(storage.read)))
        }
        Rate::StorageWrite => {
            let reading = readings.at(readings.storage.as_ref()?, place);
            Some(reading.copied().unwrap_or_default().map(|storage| merged(storage.written)))
        }
        Rate::MajorFaults => {
            let reading = readings.at(readings.faults.as_ref()?, place);
            Some(reading.copied().unwrap_or_default())
        }
        Rate::Switches => None,
    }
}

/// The ledger with the counts of those who go by other numbers now.
///
/// A thread that calls execve(2) takes the number of the first one, and its own count along; all
/// others end (`de_thread`, fs/exec.c). What it did under its old number was counted there. So where
/// none of the other threads has stayed, the greatest count of theirs that the first one can have
/// taken over is where its own begins: where they ended otherwise, that is too low, never too high.
fn after_exec<'l>(before: &'l Ledger<Count>, now: &[Member<Count>]) -> Cow<'l, Ledger<Count>> {
    let find = |pid| {
        let place = now.binary_search_by_key(&pid, |member| member.id.pid).ok()?;
        Some(&now[place])
    };
    let threads = || before.members.iter().filter(|member| is_thread(member));
    let stay = |thread: &&Member<Count>| find(thread.id.pid).is_some_and(|now| now.id == thread.id);
    let stayed: BTreeSet<Pid> = threads().filter(stay).map(|thread| thread.parent).collect();
    let mut ledger = Cow::Borrowed(before);
    for thread in threads().filter(|thread| !stayed.contains(&thread.parent)) {
        let first = thread.parent;
        let Ok(place) = ledger.members.binary_search_by_key(&first, |member| member.id.pid) else {
            continue;
        };
        let then = &ledger.members[place];
        let is_taken_over = |now: &Member<Count>| {
            now.id == then.id && (then.amounts.own..=now.amounts.own).contains(&thread.amounts.own)
        };
        if find(first).is_some_and(is_taken_over) {
            ledger.to_mut().members[place].amounts.own = thread.amounts.own;
        }
    }
    ledger
}

/// Whether that is another thread than the first of its process: that process is its parent then,
/// as [`thread`] puts it.
fn is_thread(member: &Member<Count>) -> bool {
    member.parent != Pid::NONE
}

/// A thread as a member of a ledger. Nobody inherits its count: the first one of a process has no
/// parent, and the parent of the others says only where they belong.
///
/// It is known by when it was first seen, because its start would take one more file to read. One
/// that was not there when its process was is new. All threads of a process that was not there are
/// taken for as old as that.
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
    /// What was left of a process when this was counted, which was after the snapshot.
    fn life_of(self, rate: Rate, id: ProcId) -> Life {
        if let Rate::Switches = rate {
            // Nobody inherits what a thread did, so that none leaves a debt.
            return Life::Alive;
        }
        let Counted { snapshot, readings, .. } = self;
        let was_read = |place: &usize| readings.members.binary_search(place).is_ok();
        match snapshot.find(id.pid).filter(was_read) {
            Some(place) if inherited(rate, readings, place) == Some(Reading::Gone) => Life::Gone,
            _ => snapshot.life_of(id),
        }
    }
}
