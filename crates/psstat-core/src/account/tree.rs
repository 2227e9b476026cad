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

    /// How many processes there are.
    pub fn count(&self) -> usize {
        self.parent.len()
    }

    /// The number of ancestors of each process. Those in a cycle, which the parents in a fabricated procfs
    /// can form, have some number.
    pub fn depths(&self) -> Vec<u32> {
        let mut depths = vec![NONE; self.count()];
        let mut line = Vec::new();
        for start in 0..self.count() {
            let mut next = Some(start);
            while let Some(index) = next.filter(|&index| depths[index] == NONE) {
                depths[index] = 0;
                line.push(index);
                next = self.parent(index);
            }
            let mut depth = next.map_or(0, |above| depths[above] + 1);
            while let Some(index) = line.pop() {
                depths[index] = depth;
                depth += 1;
            }
        }
        depths
    }
}

fn some(index: u32) -> Option<usize> {
    (index != NONE).then_some(index as usize)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::process::{Life, Names, Times};
    use crate::model::units::{ProcId, Ticks};

    /// Makes processes, sorted by pid, from rows of pid, parent and start.
    pub fn processes(table: &[(u32, u32, u64)]) -> Vec<Process> {
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

    #[test]
    fn a_younger_process_is_not_a_parent() {
        let processes = processes(&[(5, 1, 100), (9, 5, 50), (10, 5, 100)]);
        let tree = Tree::new(&processes);
        assert_eq!(tree.parent(1), None);
        assert_eq!(tree.parent(2), Some(0), "started in the same tick");
    }

    #[test]
    fn the_depth_is_the_number_of_ancestors() {
        let processes = processes(&[(3, 9, 7), (9, 20, 6), (10, 9, 7), (20, 1, 5), (30, 3, 8)]);
        assert_eq!(Tree::new(&processes).depths(), [2, 1, 2, 0, 3]);
    }

    #[test]
    fn cycles_of_parents_end() {
        let processes = processes(&[(5, 6, 1), (6, 5, 1), (7, 7, 1)]);
        let tree = Tree::new(&processes);
        assert_eq!(tree.depths().len(), 3);
        assert_eq!(tree.parent(2), None);
    }
}
