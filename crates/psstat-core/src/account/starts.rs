//! Which processes were started since the last sample.
//!
//! A start is a process that is a member of a group and whose parent is not: a service that is started, and
//! not the workers that it forks. So a restart loop shows, and a server that forks for each connection does
//! not. A process that has just become a member counts only if it has started since the last sample.
//!
//! *Example:* the main process 10 of a unit, with its workers 11 and 12, is killed. systemd starts it again as
//! 20, with its workers 21 and 22. That is one start.

use super::ledger;
use super::membership::Membership;
use super::tree::Tree;
use crate::model::process::Life;
use crate::model::snapshot::Snapshot;
use crate::model::units::{ProcId, Ticks};
use alloc::vec;
use alloc::vec::Vec;

/// The processes, and the groups that they belong to.
#[derive(Clone, Copy)]
pub struct Processes<'p> {
    /// The processes.
    pub snapshot: &'p Snapshot,
    /// Their tree.
    pub tree: &'p Tree,
    /// Which groups each of them belongs to.
    pub membership: &'p Membership,
}

/// The members of a group that have started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Started {
    /// How many have started since the last sample, of those whose parents are not in the group.
    pub count: u64,
    /// The members that started so late that the next sample could count them again. Sorted.
    pub recent: Vec<ProcId>,
}

/// Finds those of each of so many groups. The last sample began in the first of the ticks, this one in the
/// second. `known` returns what was [recent](Started::recent) at the last sample.
pub fn find<'k>(
    processes: Processes<'_>,
    (since, now): (Option<Ticks>, Ticks),
    groups: usize,
    known: impl Fn(usize) -> &'k [ProcId],
) -> Vec<Started> {
    let Processes { snapshot, tree, membership } = processes;
    let mut started = vec![Started::default(); groups];
    let mut is_of_parent = vec![false; groups];
    for (index, process) in snapshot.processes.iter().enumerate() {
        let id = process.id;
        let is_new = since.is_some_and(|since| ledger::is_born_since(id, since));
        let is_recent = ledger::is_born_since(id, now);
        if !(is_new || is_recent) || process.life == Life::Gone {
            continue;
        }
        let parents = tree.parent(index).map(|parent| membership.members[parent]);
        let of_parent = |parents| membership.sets.groups(parents).map(|set| set.group as usize);
        parents.into_iter().flat_map(of_parent).for_each(|group| is_of_parent[group] = true);
        for set in membership.sets.groups(membership.members[index]) {
            let group = set.group as usize;
            let is_known = || known(group).binary_search(&id).is_ok();
            if is_new && !is_of_parent[group] && !is_known() {
                started[group].count += 1;
            }
            if is_recent {
                started[group].recent.push(id);
            }
        }
        parents.into_iter().flat_map(of_parent).for_each(|group| is_of_parent[group] = false);
    }
    started.iter_mut().for_each(|started| started.recent.sort_unstable());
    started
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::membership::{Kind, Part};
    use crate::account::tree::tests::processes;
    use crate::model::units::Pid;

    /// How many of these processes (pid, parent, start) have started, if the samples were taken in these ticks;
    /// and which are recent. The roots of the group are the processes with these indices.
    fn started(
        table: &[(u32, u32, u64)],
        roots: &[usize],
        (since, now): (u64, u64),
        known: &[(u32, u64)],
    ) -> (u64, Vec<u32>) {
        let processes = processes(table);
        let tree = Tree::new(&processes);
        let part = |&process| Part { process, group: 0, kind: Kind::WithChildren, order: 0 };
        let membership = Membership::new(&tree, roots.iter().map(part).collect(), 1);
        let mut snapshot = Snapshot::default();
        snapshot.processes = processes;
        let id = |&(pid, start)| ProcId { pid: Pid::new(pid), start: Ticks(start) };
        let known: Vec<ProcId> = known.iter().map(id).collect();
        let all = Processes { snapshot: &snapshot, tree: &tree, membership: &membership };
        let found = find(all, (Some(Ticks(since)), Ticks(now)), 1, |_| &known[..]);
        let [Started { count, recent }] = &found[..] else { panic!("{found:?}") };
        (*count, recent.iter().map(|id| id.pid.number()).collect())
    }

    #[test]
    fn a_root_that_started_since_counts_and_its_children_do_not() {
        let table = [(1, 0, 0), (10, 1, 150), (11, 10, 160), (20, 1, 50)];
        assert_eq!(started(&table, &[1, 3], (100, 200), &[]), (1, vec![]));
        assert_eq!(
            started(&table, &[3], (100, 200), &[]),
            (0, vec![]),
            "older than the last sample"
        );
        assert_eq!(
            started(&table, &[2], (100, 200), &[]),
            (1, vec![]),
            "its parent is in no group"
        );
        assert_eq!(
            started(&table, &[1, 2], (100, 200), &[]),
            (1, vec![]),
            "its parent is a root too"
        );
        assert_eq!(started(&table, &[0], (100, 200), &[]), (0, vec![]));
    }

    #[test]
    fn one_that_started_during_a_sample_counts_once() {
        let table = [(1, 0, 0), (10, 1, 199), (11, 10, 201)];
        assert_eq!(started(&table, &[1], (100, 200), &[]), (1, vec![10, 11]));
        let known = [(10, 199), (11, 201)];
        assert_eq!(started(&table, &[1], (200, 300), &known), (0, vec![]));
        assert_eq!(started(&table, &[1], (200, 300), &[(10, 198)]), (1, vec![]), "another process");
        let orphan = [(1, 0, 0), (11, 1, 201)];
        assert_eq!(started(&orphan, &[1], (200, 300), &known), (0, vec![]), "its parent has ended");
    }
}
