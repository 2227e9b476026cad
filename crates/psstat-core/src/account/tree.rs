//! The process tree: parents, children and descendants.

use crate::model::process::{Process, index_of};
use crate::model::units::Pid;
use alloc::vec;
use alloc::vec::Vec;

/// Stands for "no process" in a list of indices.
const NONE: u32 = u32::MAX;

/// Parents and children of the processes of one snapshot. Processes are indices in the snapshot.
#[derive(Debug, Default)]
pub struct Tree {
    parent: Vec<u32>,
    first_child: Vec<u32>,
    next_sibling: Vec<u32>,
}

impl Tree {
    /// Builds the tree of `processes`, sorted by pid.
    ///
    /// A process has no parent in the tree if its parent is not in `processes`, or started later
    /// than the process itself. Such a parent is another process that got the pid later: a process
    /// that adopts an orphan is one of its ancestors and so is older (`find_new_reaper`,
    /// kernel/exit.c).
    pub fn new(processes: &[Process]) -> Tree {
        let count = processes.len();
        let mut tree = Tree {
            parent: vec![NONE; count],
            first_child: vec![NONE; count],
            next_sibling: vec![NONE; count],
        };
        // Consecutive processes often have the same parent. Its index is looked up once.
        let mut last = (Pid::NONE, None);
        // The order is reversed, so that each list of children is in rising order.
        for (index, process) in processes.iter().enumerate().rev() {
            if process.parent != last.0 {
                last = (process.parent, index_of(processes, process.parent));
            }
            let Some(parent) = last.1 else { continue };
            if parent != index && processes[parent].id.start <= process.id.start {
                tree.parent[index] = parent as u32;
                tree.next_sibling[index] = tree.first_child[parent];
                tree.first_child[parent] = index as u32;
            }
        }
        tree
    }

    /// The parent of a process.
    pub fn parent(&self, index: usize) -> Option<usize> {
        some(self.parent[index])
    }

    /// The children of a process, in rising order of pid.
    pub fn children(&self, index: usize) -> impl Iterator<Item = usize> {
        core::iter::successors(some(self.first_child[index]), |&child| {
            some(self.next_sibling[child])
        })
    }

    /// The number of ancestors of a process.
    pub fn depth(&self, index: usize) -> usize {
        // The number is bounded, because the parents in a fabricated procfs can form a cycle.
        core::iter::successors(self.parent(index), |&above| self.parent(above))
            .take(self.parent.len())
            .count()
    }
}

fn some(index: u32) -> Option<usize> {
    (index != NONE).then_some(index as usize)
}

/// Finds the descendants of the roots of many groups. For each group this takes time in proportion
/// to the number of processes found.
#[derive(Debug)]
pub struct Descent<'t> {
    tree: &'t Tree,
    /// For each process: the last round in which it was found. A round is one group.
    found_in: Vec<u32>,
    round: u32,
}

impl<'t> Descent<'t> {
    /// Creates a search of `tree`.
    pub fn new(tree: &'t Tree) -> Descent<'t> {
        Descent { tree, found_in: vec![0; tree.parent.len()], round: 0 }
    }

    /// Returns the roots and their descendants, sorted, each once.
    pub fn of(&mut self, roots: impl IntoIterator<Item = usize>) -> Vec<usize> {
        self.round += 1;
        let mut members = Vec::new();
        for root in roots {
            self.add(root, &mut members);
        }
        let mut next = 0;
        while next < members.len() {
            let tree = self.tree;
            for child in tree.children(members[next]) {
                self.add(child, &mut members);
            }
            next += 1;
        }
        members.sort_unstable();
        members
    }

    fn add(&mut self, index: usize, members: &mut Vec<usize>) {
        if core::mem::replace(&mut self.found_in[index], self.round) != self.round {
            members.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::process::{Life, Names, Times};
    use crate::model::units::{ProcId, Ticks};
    use proptest::prelude::*;

    /// Makes processes, sorted by pid, from rows of pid, parent and start.
    fn processes(table: &[(u32, u32, u64)]) -> Vec<Process> {
        let comm = Names::default().id(b"x");
        let mut processes: Vec<Process> = table
            .iter()
            .map(|&(pid, parent, start)| Process {
                clock: None,
                id: ProcId { pid: Pid::new(pid), start: Ticks(start) },
                parent: Pid::new(parent),
                times: Times::default(),
                life: Life::Alive,
                threads: 1,
                comm,
            })
            .collect();
        processes.sort_by_key(|process| process.id.pid);
        processes
    }

    fn pids(processes: &[Process], members: &[usize]) -> Vec<u32> {
        members.iter().map(|&index| processes[index].id.pid.number()).collect()
    }

    #[test]
    fn nested_and_repeated_roots_count_each_process_once() {
        let processes = processes(&[(1, 0, 0), (10, 1, 5), (11, 10, 6), (12, 11, 7), (20, 1, 8)]);
        let tree = Tree::new(&processes);
        let mut descent = Descent::new(&tree);
        assert_eq!(pids(&processes, &descent.of([1])), [10, 11, 12]);
        assert_eq!(pids(&processes, &descent.of([2, 1, 1, 3])), [10, 11, 12]);
        assert_eq!(pids(&processes, &descent.of([4])), [20]);
        assert_eq!(pids(&processes, &descent.of([])), [0; 0]);
    }

    #[test]
    fn a_younger_process_is_not_a_parent() {
        let processes = processes(&[(5, 1, 100), (9, 5, 50), (10, 5, 100)]);
        let tree = Tree::new(&processes);
        assert_eq!(tree.parent(1), None);
        assert_eq!(tree.parent(2), Some(0), "started in the same tick");
    }

    #[test]
    fn cycles_of_parents_end() {
        let processes = processes(&[(5, 6, 1), (6, 5, 1), (7, 7, 1)]);
        let tree = Tree::new(&processes);
        assert_eq!(pids(&processes, &Descent::new(&tree).of([0])), [5, 6]);
        assert_eq!(tree.depth(0), 3, "bounded");
        assert_eq!(tree.parent(2), None);
    }

    proptest! {
        #[test]
        fn descent_matches_a_search_of_ancestors(
            parents in proptest::collection::vec((0u32..40, 0u64..4), 1..40),
            roots in proptest::collection::vec(0usize..40, 0..6),
        ) {
            let table: Vec<_> = parents
                .iter()
                .enumerate()
                .map(|(index, &(parent, start))| (index as u32 + 1, parent, start))
                .collect();
            let processes = processes(&table);
            let roots: Vec<usize> =
                roots.into_iter().filter(|&root| root < processes.len()).collect();
            let descends = |mut index: usize| {
                for _ in 0..=processes.len() {
                    if roots.contains(&index) {
                        return true;
                    }
                    let child = &processes[index];
                    let parent = processes.iter().position(|p| p.id.pid == child.parent);
                    match parent {
                        Some(above) if processes[above].id.start <= child.id.start => index = above,
                        _ => return false,
                    }
                }
                false
            };
            let expected: Vec<usize> = (0..processes.len()).filter(|&index| descends(index)).collect();
            let tree = Tree::new(&processes);
            prop_assert_eq!(Descent::new(&tree).of(roots.iter().copied()), expected);
        }
    }
}
