//! Reads processes: one pass in rising order of pid. The pass reads the CPU clock of each process and
//! then its `stat`, unless the clock shows that the process has not run since the last sample
//! ([`known`](super::known)). A pass over all processes reads clocks only for the table of clocks
//! ([`clock_table`](super::clock_table)): most processes are in no group.
//!
//! A process whose parent has ended is read again, to find its new parent. The members of the groups
//! are found in the result. Then it is known which children were read before their parents, and
//! [`reread_early_children`] reads these again.

use super::known::Unmoved;
use crate::account::tree::Tree;
use crate::kernel::Kernel;
use crate::model::buffer::Buffer;
use crate::model::process::{Life, Process};
use crate::model::snapshot::{Part, Snapshot};
use crate::model::units::{BootNanos, Pid, ProcId};
use alloc::vec;
use alloc::vec::Vec;

/// The processes that were read, and their tree.
#[derive(Debug)]
pub struct Scan {
    /// The processes.
    pub snapshot: Snapshot,
    /// Their tree.
    pub tree: Tree,
}

/// Reads those of the processes `pids` that may have run. `pids` is sorted. `taken` is the time before
/// this call.
pub fn read(
    kernel: &impl Kernel,
    pids: &[Pid],
    taken: BootNanos,
    unmoved: &mut Unmoved<'_>,
) -> Scan {
    let out_of_time = || kernel.out_of_time();
    let part = Part::read(pids, out_of_time, |pid, part, buffer| {
        let clock = kernel.cpu_clock(pid);
        if !unmoved.add(pid, clock, part) {
            part.add(pid, clock, kernel.stat(pid, buffer));
        }
    });
    with_tree(kernel, Snapshot::new(taken, vec![part]), pids)
}

/// Reads the processes `pids`, which are sorted, with as many readers as the kernel has. `taken` is
/// the time before this call. Their CPU clocks are read only if `with_clocks`.
pub fn read_all(kernel: &impl Kernel, pids: &[Pid], taken: BootNanos, with_clocks: bool) -> Scan {
    with_tree(kernel, Snapshot::new(taken, kernel.processes(pids, with_clocks)), pids)
}

/// Removes processes that have `ended` since they were read, and asks their children for their new
/// parents. `ended` is sorted.
pub fn remove_ended(kernel: &impl Kernel, scan: &mut Scan, ended: &[Pid]) {
    if !ended.is_empty() {
        scan.snapshot.remove(ended);
        scan.tree = find_tree(kernel, &mut scan.snapshot, ended);
    }
}

/// Whether that very process still exists, be it a zombie.
pub fn exists(kernel: &impl Kernel, id: ProcId, buffer: &mut Buffer) -> bool {
    kernel.stat(id.pid, buffer).is_ok_and(|stat| stat.start == id.start)
}

fn with_tree(kernel: &impl Kernel, mut snapshot: Snapshot, pids: &[Pid]) -> Scan {
    let tree = find_tree(kernel, &mut snapshot, pids);
    Scan { snapshot, tree }
}

/// Returns the tree of the processes. Reads a process again, to find its new parent, if its parent
/// has ended since it was read. This is so in two cases:
///
/// - The parent is a zombie. Its children were adopted when it ended.
/// - The parent was `listed`, but could not be read, or its pid belonged to another process.
///
/// So an orphan that was adopted within its group stays in the group. If the orphan has ended too,
/// its children have been adopted in turn, and are read again. The CPU times of the first reading
/// are kept, because the order of reading is known for them.
fn find_tree(kernel: &impl Kernel, snapshot: &mut Snapshot, listed: &[Pid]) -> Tree {
    let tree = Tree::new(&snapshot.processes);
    let processes = &mut snapshot.processes;
    let was_listed = |process: &Process| listed.binary_search(&process.parent).is_ok();
    let is_orphan = |&index: &usize| match tree.parent(index) {
        Some(parent) => processes[parent].life == Life::Zombie,
        None => was_listed(&processes[index]),
    };
    let mut orphans: Vec<usize> = (0..processes.len()).filter(is_orphan).collect();
    if orphans.is_empty() {
        return tree;
    }
    let mut buffer = Buffer::default();
    while let Some(index) = orphans.pop() {
        if kernel.out_of_time() {
            break;
        }
        let process = &mut processes[index];
        match kernel.stat(process.id.pid, &mut buffer) {
            Ok(stat) if stat.start == process.id.start => process.parent = stat.parent,
            _ => {
                process.life = Life::Gone;
                orphans.extend(tree.children(index));
            }
        }
    }
    Tree::new(&snapshot.processes)
}

/// Reads again the `members` that were read before their parent, and all members below them,
/// parents first.
///
/// A child can end after it was read, and its parent can wait for it before the parent is read.
/// Then both readings include the child's CPU time. When the child is read again after its parent,
/// there are two cases. If the child still exists, the parent's reading cannot include its time. If
/// it does not, it becomes [`Life::Gone`], and only the parent's reading is counted.
///
/// *Example:* a child was read with 20 ticks. It ended, its parent waited for it, and the parent
/// was read with a child time of 20. Without the second reading, the 20 ticks would count twice.
///
/// A child whose clock has not moved since the first reading still exists, and that reading holds,
/// unless its parent has ended.
///
/// `members` is sorted. `tree` is the tree of the snapshot. A member is not read again if no
/// ancestor `has_waited` for a child since the last sample, because then no ancestor's reading can
/// include its time. All ancestors are checked, because one further up can have adopted the child.
pub fn reread_early_children(
    kernel: &impl Kernel,
    snapshot: &mut Snapshot,
    tree: &Tree,
    members: &[usize],
    has_waited: impl Fn(&Process) -> bool,
) {
    let is_member = |index: usize| members.binary_search(&index).is_ok();
    let mut waiting = Waiting { known: Vec::new(), tree };
    let has_waited = |above: usize| is_member(above) && has_waited(&snapshot.processes[above]);
    let mut is_early = |&child: &usize| {
        tree.parent(child).is_some_and(|parent| {
            is_member(parent)
                && !snapshot.was_read_before(parent, child)
                && waiting.has_waited(parent, &has_waited)
        })
    };
    let mut stale: Vec<usize> = members.iter().copied().filter(|child| is_early(child)).collect();
    if stale.is_empty() {
        return;
    }
    let mut buffer = Buffer::default();
    let mut done = vec![false; snapshot.processes.len()];
    // Topmost first: a process below another stale one is reached from that one.
    let depths = tree.depths();
    stale.sort_unstable_by_key(|&index| (depths[index], index));
    for top in stale {
        let mut below = vec![top];
        while let Some(index) = below.pop() {
            if core::mem::replace(&mut done[index], true) {
                continue;
            }
            let process = snapshot.processes[index];
            let id = process.id;
            let parent = tree.parent(index).map(|parent| snapshot.processes[parent].life);
            let clock_now = kernel.cpu_clock(id.pid);
            if parent != Some(Life::Alive) || !process.has_not_run(clock_now) {
                match kernel.stat(id.pid, &mut buffer) {
                    Ok(stat) if stat.start == id.start => {
                        snapshot.processes[index] =
                            stat.process(id.pid, clock_now, &mut snapshot.names);
                    }
                    _ => snapshot.processes[index].life = Life::Gone,
                }
            }
            below.extend(tree.children(index).filter(|&child| is_member(child)));
        }
    }
}

/// Which processes have waited for a child, or are below one that has. What is known of one process is kept,
/// so that each is asked once, also in a long line of descendants.
struct Waiting<'t> {
    /// For each process. Empty if nothing is known yet.
    known: Vec<Option<bool>>,
    tree: &'t Tree,
}

impl Waiting<'_> {
    /// Whether a process or one of its ancestors has waited. `of_itself` returns whether a process has. In a
    /// cycle, which the parents in a fabricated procfs can form, each is taken to have waited.
    fn has_waited(&mut self, process: usize, of_itself: &impl Fn(usize) -> bool) -> bool {
        let Waiting { known, tree } = self;
        known.resize(tree.count(), None);
        let mut line = Vec::new();
        let mut next = Some(process);
        let has_waited = loop {
            let Some(above) = next else { break false };
            if let Some(known) = known[above] {
                break known;
            }
            // This value is found again only in a cycle.
            known[above] = Some(true);
            line.push(above);
            if of_itself(above) {
                break true;
            }
            next = tree.parent(above);
        };
        line.into_iter().for_each(|below| known[below] = Some(has_waited));
        has_waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::tree::tests::processes;
    use core::cell::Cell;

    /// A line of descendants in which each process has a smaller pid than its parent.
    fn line(length: u32) -> Tree {
        let parent = |pid| if pid == length { 0 } else { pid + 1 };
        let table: Vec<_> = (1..=length).map(|pid| (pid, parent(pid), 5)).collect();
        Tree::new(&processes(&table))
    }

    #[test]
    fn each_process_of_a_long_line_is_asked_once() {
        let tree = line(1000);
        for waited in [None, Some(0), Some(600), Some(999)] {
            let asked = Cell::new(0);
            let of_itself = |process| {
                asked.set(asked.get() + 1);
                waited == Some(process)
            };
            let mut waiting = Waiting { known: Vec::new(), tree: &tree };
            for process in 0..1000 {
                let is_below = waited.is_some_and(|waited| process <= waited);
                assert_eq!(waiting.has_waited(process, &of_itself), is_below, "{process}");
            }
            assert!(asked.get() <= 1000, "{} questions", asked.get());
        }
    }

    #[test]
    fn the_search_for_a_process_that_has_waited_ends_in_a_cycle() {
        let tree = Tree::new(&processes(&[(5, 6, 1), (6, 5, 1), (7, 6, 1)]));
        let mut waiting = Waiting { known: Vec::new(), tree: &tree };
        assert!([2, 0, 1].map(|process| waiting.has_waited(process, &|_| false)) == [true; 3]);
    }
}
