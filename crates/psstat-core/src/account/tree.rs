//! Who descends from whom.

use crate::model::process::{Process, index_of};
use crate::model::units::Pid;
use alloc::vec;
use alloc::vec::Vec;

/// Stands for 'nobody' where a place in the list of processes is meant.
const NOBODY: u32 = u32::MAX;

/// Parents and children of the processes of one snapshot, by their place in it.
#[derive(Debug, Default)]
pub struct Tree {
    parent: Vec<u32>,
    first_child: Vec<u32>,
    next_sibling: Vec<u32>,
}

impl Tree {
    /// Builds the tree of `processes`, sorted by pid.
    ///
    /// A process whose parent is not among them, or is younger than itself, has none: a younger
    /// process on that pid is another one that has been given it since. (Whoever adopts an orphan
    /// is one of its ancestors, hence older: `find_new_reaper`, kernel/exit.c.)
    pub fn new(processes: &[Process]) -> Tree {
        let count = processes.len();
        let mut tree = Tree {
            parent: vec![NOBODY; count],
            first_child: vec![NOBODY; count],
            next_sibling: vec![NOBODY; count],
        };
        // Siblings often stand side by side.
        let mut last = (Pid::NONE, None);
        // Backwards, so that each list of children is in rising order.
        for (place, process) in processes.iter().enumerate().rev() {
            if process.parent != last.0 {
                last = (process.parent, index_of(processes, process.parent));
            }
            let Some(parent) = last.1 else { continue };
            if parent != place && processes[parent].id.start <= process.id.start {
                tree.parent[place] = parent as u32;
                tree.next_sibling[place] = tree.first_child[parent];
                tree.first_child[parent] = place as u32;
            }
        }
        tree
    }

    /// The parent of a process.
    pub fn parent(&self, place: usize) -> Option<usize> {
        some(self.parent[place])
    }

    /// The children of a process, in rising order of pid.
    pub fn children(&self, place: usize) -> impl Iterator<Item = usize> {
        core::iter::successors(some(self.first_child[place]), |&child| {
            some(self.next_sibling[child])
        })
    }

    /// How many ancestors a process has.
    pub fn depth(&self, place: usize) -> usize {
        // Bounded, because a made-up procfs may hold a circle.
        core::iter::successors(self.parent(place), |&at| self.parent(at))
            .take(self.parent.len())
            .count()
    }
}

fn some(place: u32) -> Option<usize> {
    (place != NOBODY).then_some(place as usize)
}

/// Finds the descendants of one group's roots after the other's, each in time that follows the
/// number found.
#[derive(Debug)]
pub struct Descent<'t> {
    tree: &'t Tree,
    /// The last round in which a process was found.
    found_in: Vec<u32>,
    round: u32,
}

impl<'t> Descent<'t> {
    /// Prepares to walk that tree.
    pub fn new(tree: &'t Tree) -> Descent<'t> {
        Descent { tree, found_in: vec![0; tree.parent.len()], round: 0 }
    }

    /// The roots and all that descends from them, each once, sorted.
    pub fn of(&mut self, roots: impl IntoIterator<Item = usize>) -> Vec<usize> {
        self.round += 1;
        let mut members = Vec::new();
        for root in roots {
            self.add(root, &mut members);
        }
        let mut at = 0;
        while at < members.len() {
            let tree = self.tree;
            for child in tree.children(members[at]) {
                self.add(child, &mut members);
            }
            at += 1;
        }
        members.sort_unstable();
        members
    }

    fn add(&mut self, place: usize, members: &mut Vec<usize>) {
        if core::mem::replace(&mut self.found_in[place], self.round) != self.round {
            members.push(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::process::{Life, Names, Times};
    use crate::model::units::{ProcId, Ticks};
    use proptest::prelude::*;

    /// (pid, parent, start), made into processes sorted by pid.
    fn processes(table: &[(u32, u32, u64)]) -> Vec<Process> {
        let comm = Names::default().id(b"x");
        let mut processes: Vec<Process> = table
            .iter()
            .map(|&(pid, parent, start)| Process {
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
        members.iter().map(|&place| processes[place].id.pid.number()).collect()
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
    fn a_younger_process_on_the_parents_pid_is_a_stranger() {
        let processes = processes(&[(5, 1, 100), (9, 5, 50), (10, 5, 100)]);
        let tree = Tree::new(&processes);
        assert_eq!(tree.parent(1), None);
        assert_eq!(tree.parent(2), Some(0), "born in the same tick is fine");
    }

    #[test]
    fn circles_end() {
        let processes = processes(&[(5, 6, 1), (6, 5, 1), (7, 7, 1)]);
        let tree = Tree::new(&processes);
        assert_eq!(pids(&processes, &Descent::new(&tree).of([0])), [5, 6]);
        assert_eq!(tree.depth(0), 3, "bounded");
        assert_eq!(tree.parent(2), None);
    }

    proptest! {
        #[test]
        fn descent_agrees_with_asking_each_process_for_its_ancestors(
            parents in proptest::collection::vec((0u32..40, 0u64..4), 1..40),
            roots in proptest::collection::vec(0usize..40, 0..6),
        ) {
            let table: Vec<_> = parents
                .iter()
                .enumerate()
                .map(|(at, &(parent, start))| (at as u32 + 1, parent, start))
                .collect();
            let processes = processes(&table);
            let roots: Vec<usize> =
                roots.into_iter().filter(|&root| root < processes.len()).collect();
            let descends = |mut place: usize| {
                for _ in 0..=processes.len() {
                    if roots.contains(&place) {
                        return true;
                    }
                    let child = &processes[place];
                    let parent = processes.iter().position(|p| p.id.pid == child.parent);
                    match parent {
                        Some(up) if processes[up].id.start <= child.id.start => place = up,
                        _ => return false,
                    }
                }
                false
            };
            let expected: Vec<usize> = (0..processes.len()).filter(|&at| descends(at)).collect();
            let tree = Tree::new(&processes);
            prop_assert_eq!(Descent::new(&tree).of(roots.iter().copied()), expected);
        }
    }
}
