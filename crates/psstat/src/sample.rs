//! A sample: what every process of the machine showed at one time, as plain data sorted by pid.
//!
//! One pass lists the processes, then reads one `stat` each, in rising order of pid. Those whose
//! parent ended meanwhile are asked who adopted them. Membership is worked out from that; only
//! then is it known where a child was read before its parent, and [`reread_early_children`] mends
//! it.

use crate::account::tree::{Tree, index_of};
use crate::error::{ReadError, Reason};
use crate::look::{Births, Range};
use crate::procfs::{Buffer, Procfs, parse::Stat};
use crate::units::{Amounts, BootNanos, CpuNanos, Pid, ProcId, Ticks};
use std::collections::HashMap;

/// CPU time of one process: utime + stime, and cutime + cstime.
pub type Times = Amounts<Ticks>;

/// What is left of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// At least one of its threads runs.
    Alive,
    /// Ended, and not yet waited for: holds its pid and its CPU time, nothing else.
    Zombie,
    /// Seen at the first reading and gone at the second.
    Gone,
}

/// One process, as its `stat` showed it.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Who it is.
    pub id: ProcId,
    /// Its parent, as it said when it was last read.
    pub parent: Pid,
    /// Its CPU time.
    pub times: Times,
    /// Whether it still runs.
    pub life: Life,
    /// How many threads it has.
    pub threads: u32,
    /// Its name, to be looked up in [`Snapshot::names`].
    pub comm: NameId,
}

/// A name within [`Names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameId(u32);

/// The names of the processes, each kept once: ten thousand processes have some hundred names.
#[derive(Debug, Default)]
pub struct Names {
    texts: Vec<Box<[u8]>>,
    ids: HashMap<Box<[u8]>, NameId>,
}

impl Names {
    /// The number of that name, given to it now if it is new.
    pub fn id(&mut self, text: &[u8]) -> NameId {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = NameId(self.texts.len() as u32);
        self.texts.push(text.into());
        self.ids.insert(text.into(), id);
        id
    }

    /// The name itself.
    pub fn text(&self, id: NameId) -> &[u8] {
        &self.texts[id.0 as usize]
    }

    /// All names; the place of a name is its number.
    pub fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.texts.iter().map(|text| &**text)
    }

    /// The place of a name in [`Names::texts`].
    pub fn place(id: NameId) -> usize {
        id.0 as usize
    }
}

/// One control group that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlGroup {
    /// Its path below the root of the hierarchy, without a slash at either end; empty for the
    /// root.
    pub path: Vec<u8>,
    /// The id of the systemd unit that it is, if any.
    pub unit: Option<Vec<u8>>,
    /// Tells it from one that is made under the same path later: the number of its folder. 0
    /// where there is no folder to ask.
    pub id: u64,
    /// What all that ever ran in it and below has used; none where no counter can be read.
    pub used: Option<CpuNanos>,
    /// The processes right in it.
    pub pids: Vec<Pid>,
    /// Processes right in it that have no number here: those of other pid namespaces.
    pub foreign: u64,
    /// The selectors that picked it.
    pub selectors: Vec<usize>,
    /// Where the groups below it end in the list; they begin right behind it.
    pub end: usize,
}

/// Files that could not be read, other than those of processes that had ended.
#[derive(Debug, Default)]
pub struct Unreadable {
    /// How many.
    pub count: usize,
    /// The first of them, to be shown as the example.
    pub first: Option<ReadError>,
}

impl Unreadable {
    /// Counts an error; a process that has ended is none.
    pub fn note(&mut self, error: ReadError) {
        if error.reason != Reason::Vanished {
            self.count += 1;
            self.first.get_or_insert(error);
        }
    }

    fn add(&mut self, other: Unreadable) {
        self.count += other.count;
        if self.first.is_none() {
            self.first = other.first;
        }
    }
}

/// All processes at one time.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// When the scan began: what started later was born after this sample.
    pub taken: BootNanos,
    /// Sorted by pid, no pid twice.
    pub processes: Vec<Process>,
    /// Their names.
    pub names: Names,
    /// What could not be read.
    pub unreadable: Unreadable,
    /// Who descends from whom.
    pub tree: Tree,
    /// Where each reader began in `processes`. Within the part of one reader, a smaller place
    /// means an earlier reading; between parts nothing is known.
    parts: Vec<usize>,
}

impl Snapshot {
    fn of_part() -> Snapshot {
        Snapshot { parts: vec![0], ..Snapshot::default() }
    }

    /// Adds a process that was read just now; its pid is above all that are there.
    fn push(&mut self, pid: Pid, stat: &Stat<'_>) {
        let life = if stat.is_alive() { Life::Alive } else { Life::Zombie };
        let comm = self.names.id(stat.comm);
        self.processes.push(Process {
            id: ProcId { pid, start: stat.start },
            parent: stat.parent,
            times: times(stat),
            life,
            threads: threads(stat),
            comm,
        });
    }

    fn append(&mut self, part: Snapshot) {
        self.parts.push(self.processes.len());
        let ids: Vec<NameId> = part.names.texts().map(|text| self.names.id(text)).collect();
        self.processes.extend(
            part.processes
                .into_iter()
                .map(|process| Process { comm: ids[Names::place(process.comm)], ..process }),
        );
        self.unreadable.add(part.unreadable);
    }

    /// Whether the process at `first` is known to have been read before the one at `second`.
    fn read_before(&self, first: usize, second: usize) -> bool {
        let part = |place| self.parts.partition_point(|&start| start <= place);
        first < second && part(first) == part(second)
    }

    /// The process with that pid.
    pub fn find(&self, pid: Pid) -> Option<usize> {
        index_of(&self.processes, pid)
    }

    /// What was left of that very process, not of another one on its pid.
    pub fn life_of(&self, id: ProcId) -> Life {
        let process = self.find(id.pid).map(|place| &self.processes[place]);
        process.filter(|process| process.id == id).map_or(Life::Gone, |process| process.life)
    }
}

/// The kernel makes no more than `FUTEX_TID_MASK` of them (kernel/fork.c); a made-up procfs may.
fn threads(stat: &Stat<'_>) -> u32 {
    u32::try_from(stat.threads).unwrap_or(u32::MAX)
}

fn times(stat: &Stat<'_>) -> Times {
    Times { own: stat.own, children: stat.children }
}

/// Asks whether a run must come to its end.
pub type OutOfTime<'a> = &'a (dyn Fn() -> bool + Sync);

/// What a scan needs of `/proc`; a simulated world answers as well.
pub trait Scan {
    /// Lists the processes in rising order of pid. Gives the offset that [`Scan::pids_from`] is
    /// to be called with, where the list can be entered in the middle.
    ///
    /// # Errors
    /// [`ReadError`] where that cannot be done at all.
    fn pids(&self, pids: &mut Vec<Pid>) -> Result<Option<i64>, ReadError>;

    /// Adds the processes of a range in rising order of pid, the first `limit` of them.
    ///
    /// # Errors
    /// [`ReadError`] where that cannot be done at all.
    fn pids_from(
        &self,
        offset: i64,
        range: Range,
        limit: u64,
        pids: &mut Vec<Pid>,
    ) -> Result<(), ReadError>;

    /// What the kernel tells of the tasks it has made, samples being so far apart; none where
    /// that cannot be told.
    fn births(&self, interval_nanos: u64) -> Option<Births>;

    /// Reads one of them.
    ///
    /// # Errors
    /// [`Reason::Vanished`] where it has ended since, and the other reasons as they come.
    fn stat<'b>(&self, pid: Pid, buffer: &'b mut Buffer) -> Result<Stat<'b>, ReadError>;
}

impl Scan for Procfs {
    fn pids(&self, pids: &mut Vec<Pid>) -> Result<Option<i64>, ReadError> {
        Procfs::pids(self, pids)
    }

    fn pids_from(
        &self,
        offset: i64,
        range: Range,
        limit: u64,
        pids: &mut Vec<Pid>,
    ) -> Result<(), ReadError> {
        Procfs::pids_from(self, offset, range, limit, pids)
    }

    fn births(&self, interval_nanos: u64) -> Option<Births> {
        Procfs::births(self, interval_nanos)
    }

    fn stat<'b>(&self, pid: Pid, buffer: &'b mut Buffer) -> Result<Stat<'b>, ReadError> {
        Procfs::stat(self, pid, buffer)
    }
}

/// Looks at every process once. `taken` is the time before this call. It stops early, and gives
/// what it has, once `out_of_time` says so. The second answer is the offset of [`Scan::pids`].
///
/// # Errors
/// Where the processes cannot be listed. A process that cannot be read is noted in the snapshot;
/// one that has ended is not there.
pub fn scan(
    source: &impl Scan,
    taken: BootNanos,
    out_of_time: OutOfTime<'_>,
) -> Result<(Snapshot, Option<i64>), ReadError> {
    let mut pids = Vec::new();
    let offset = source.pids(&mut pids)?;
    Ok((read(source, &pids, taken, out_of_time), offset))
}

/// Looks at some processes only, as [`scan`] does at all; `pids` is sorted.
pub fn read(
    source: &impl Scan,
    pids: &[Pid],
    taken: BootNanos,
    out_of_time: OutOfTime<'_>,
) -> Snapshot {
    let mut snapshot = read_all(source, pids, out_of_time);
    snapshot.taken = taken;
    snapshot.tree = find_tree(source, &mut snapshot, pids, out_of_time);
    snapshot
}

/// As [`scan`], with the reading shared out among `readers` threads.
///
/// # Errors
/// As [`scan`].
pub fn scan_in_parallel(
    source: &(impl Scan + Sync),
    taken: BootNanos,
    out_of_time: OutOfTime<'_>,
    readers: usize,
) -> Result<(Snapshot, Option<i64>), ReadError> {
    let mut pids = Vec::new();
    let offset = source.pids(&mut pids)?;
    let mut snapshot = Snapshot { taken, ..Snapshot::default() };
    let share = pids.len().div_ceil(readers.max(1)).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = pids
            .chunks(share)
            .map(|part| scope.spawn(|| read_all(source, part, out_of_time)))
            .collect();
        for thread in threads {
            match thread.join() {
                Ok(part) => snapshot.append(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    snapshot.tree = find_tree(source, &mut snapshot, &pids, out_of_time);
    Ok((snapshot, offset))
}

/// How many processes are read between two looks at the clock.
const READS_PER_LOOK: usize = 64;

fn read_all(source: &impl Scan, pids: &[Pid], out_of_time: OutOfTime<'_>) -> Snapshot {
    let mut snapshot = Snapshot::of_part();
    snapshot.processes.reserve_exact(pids.len());
    let mut buffer = Buffer::default();
    for some in pids.chunks(READS_PER_LOOK) {
        if out_of_time() {
            break;
        }
        for &pid in some {
            match source.stat(pid, &mut buffer) {
                Ok(stat) => snapshot.push(pid, &stat),
                Err(error) => snapshot.unreadable.note(error),
            }
        }
    }
    snapshot
}

/// The tree of what was read. Asks those processes for their parent again whose parent ended between
/// their reading and its own: it was `listed`, and was not there to be read, or was another one.
///
/// An orphan that was adopted within its group belongs to it still, and where it has ended too,
/// its children have been adopted in turn. CPU time stays that of the first reading, which tells
/// what was read before what.
fn find_tree(
    source: &impl Scan,
    snapshot: &mut Snapshot,
    listed: &[Pid],
    out_of_time: OutOfTime<'_>,
) -> Tree {
    let tree = Tree::new(&snapshot.processes);
    let processes = &mut snapshot.processes;
    let mut orphans: Vec<usize> = (0..processes.len())
        .filter(|&place| {
            tree.parent(place).is_none() && listed.binary_search(&processes[place].parent).is_ok()
        })
        .collect();
    if orphans.is_empty() {
        return tree;
    }
    let mut buffer = Buffer::default();
    while let Some(place) = orphans.pop() {
        if out_of_time() {
            break;
        }
        let process = &mut processes[place];
        match source.stat(process.id.pid, &mut buffer) {
            Ok(stat) if stat.start == process.id.start => process.parent = stat.parent,
            _ => {
                process.life = Life::Gone;
                orphans.extend(tree.children(place));
            }
        }
    }
    Tree::new(&snapshot.processes)
}

/// Reads again those `members` that were read before their parent, and all below them, parents
/// first.
///
/// A child that was read alive and then ended, and was waited for before its parent was read,
/// stands in both readings. Read again after its parent it is either still there, so that its
/// parent can't have its time, or it is [`Life::Gone`] and its parent alone answers for it.
/// `members` is sorted; `tree` is that of the snapshot. Where no ancestor `has_waited` for anybody
/// since the last sample, none can have the time of a descendant, whenever that was read; to ask
/// the parent alone would not do, because one further up may have adopted.
pub fn reread_early_children(
    source: &impl Scan,
    snapshot: &mut Snapshot,
    tree: &Tree,
    members: &[usize],
    has_waited: impl Fn(&Process) -> bool,
) {
    let is_member = |place: usize| members.binary_search(&place).is_ok();
    let mut stale: Vec<usize> = members
        .iter()
        .copied()
        .filter(|&child| {
            tree.parent(child).is_some_and(|parent| {
                is_member(parent)
                    && !snapshot.read_before(parent, child)
                    && std::iter::successors(Some(parent), |&at| tree.parent(at))
                        .take(snapshot.processes.len())
                        .any(|above| is_member(above) && has_waited(&snapshot.processes[above]))
            })
        })
        .collect();
    if stale.is_empty() {
        return;
    }
    let mut buffer = Buffer::default();
    let mut done = vec![false; snapshot.processes.len()];
    // From the highest ancestor down: whoever hangs below another stale one is reached from it.
    stale.sort_by_key(|&place| tree.depth(place));
    for top in stale {
        let mut below = vec![top];
        while let Some(place) = below.pop() {
            if std::mem::replace(&mut done[place], true) {
                continue;
            }
            let process = &mut snapshot.processes[place];
            match source.stat(process.id.pid, &mut buffer) {
                Ok(stat) if stat.start == process.id.start => {
                    process.parent = stat.parent;
                    process.times = times(&stat);
                    process.threads = threads(&stat);
                    process.life = if stat.is_alive() { Life::Alive } else { Life::Zombie };
                }
                _ => process.life = Life::Gone,
            }
            below.extend(tree.children(place).filter(|&child| is_member(child)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// A world whose processes always show the same, and which remembers who was looked at.
    struct Still(RefCell<Vec<Pid>>);

    fn still(pid: Pid) -> Stat<'static> {
        // 10 and 11 are children of 20.
        let parent = Pid::new(if pid == Pid::new(20) { 1 } else { 20 });
        Stat {
            comm: b"x",
            state: b'S',
            parent,
            own: Ticks(1),
            children: Ticks(7),
            threads: 1,
            start: Ticks(5),
        }
    }

    impl Scan for Still {
        fn pids(&self, pids: &mut Vec<Pid>) -> Result<Option<i64>, ReadError> {
            *pids = [10, 11, 20].map(Pid::new).to_vec();
            Ok(None)
        }

        fn pids_from(&self, _: i64, _: Range, _: u64, _: &mut Vec<Pid>) -> Result<(), ReadError> {
            unreachable!("the list cannot be entered in the middle")
        }

        fn births(&self, _: u64) -> Option<Births> {
            None
        }

        fn stat<'b>(&self, pid: Pid, _: &'b mut Buffer) -> Result<Stat<'b>, ReadError> {
            self.0.borrow_mut().push(pid);
            Ok(still(pid))
        }
    }

    #[test]
    fn early_children_are_read_again_where_their_parent_has_waited() {
        for has_waited in [true, false] {
            let world = Still(RefCell::default());
            let (mut snapshot, _) = scan(&world, BootNanos(0), &|| false).unwrap();
            world.0.borrow_mut().clear();
            let tree = Tree::new(&snapshot.processes);
            reread_early_children(&world, &mut snapshot, &tree, &[0, 1, 2], |parent| {
                assert_eq!(parent.id.pid, Pid::new(20));
                has_waited
            });
            let expected: &[u32] = if has_waited { &[10, 11] } else { &[] };
            assert_eq!(
                *world.0.borrow(),
                expected.iter().copied().map(Pid::new).collect::<Vec<_>>()
            );
        }
    }
}
