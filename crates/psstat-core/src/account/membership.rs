//! Which groups each process belongs to, and in which way.

use super::sets::{Set, SetId, SetMaker, Sets};
use super::tree::Tree;
use alloc::vec;
use alloc::vec::Vec;

/// A process and a group that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Index of the process in the snapshot.
    pub process: usize,
    /// Number of the group.
    pub group: u32,
    /// How the process belongs to the group.
    pub kind: Kind,
    /// Which groups come before this one for the process, if it can belong to one only: those with a smaller
    /// number.
    pub order: usize,
}

/// How a process belongs to a group. A process can belong to one in several ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// With all its descendants.
    WithChildren,
    /// Without its children, unless it is a descendant of a process that belongs to it with them.
    Alone,
    /// A counter of the group includes its CPU time.
    Counted,
    /// It is in a control group of the group, and no counter includes its CPU time.
    Uncounted,
    /// It waits for processes of other groups. What it inherits is not of this group, if it is in it.
    Waits,
    /// The same, but only what it inherits besides CPU time.
    WaitsUncounted,
}

/// Which groups each process belongs to. Processes are indices in the snapshot.
#[derive(Debug, Default)]
pub struct Membership {
    /// The sets of groups.
    pub sets: Sets,
    /// For each process: the groups of which it is a member.
    pub members: Vec<SetId>,
    /// For each process: the groups in whose ledger its CPU time is. No counter of theirs includes it.
    pub ledgered: Vec<SetId>,
    /// For each process: the groups in whose ledgers its other amounts are.
    pub rated: Vec<SetId>,
    /// The number of the group that has the processes of all others, if what ends in one group must not
    /// count again in another one. It is only in `ledgered` and `rated`, and there is no [`Group`] of it.
    ///
    /// [`Group`]: super::group::Group
    pub joint: Option<Joint>,
}

/// The group that has all processes, and what is known by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joint {
    /// Its number, which is the number of the other groups.
    pub group: u32,
    /// Whether each other group is a part of it. If not, only the rest is.
    pub is_exclusive: bool,
    /// The group of all processes that no other group has.
    pub rest: u32,
}

impl Joint {
    /// Whether what a group did is worked out as its part of what all did.
    pub fn has_part(&self, group: u32) -> bool {
        group != self.group && (self.is_exclusive || self.rest == group)
    }
}

impl Membership {
    /// Forms the sets of groups. `parts` are all processes that belong to groups by themselves.
    pub fn new(tree: &Tree, parts: Vec<Part>, groups: usize) -> Membership {
        let (maker, membership) = Membership::form(tree, parts, groups);
        Membership { sets: maker.sets, ..membership }
    }

    /// Forms the sets of groups that can overlap, and of the `rest`, which has all processes of no other.
    pub fn with_rest(tree: &Tree, mut parts: Vec<Part>, groups: usize, rest: u32) -> Membership {
        let group = groups as u32;
        let (kind, order) = (Kind::WithChildren, usize::MAX);
        let all = (0..tree.count()).map(|process| Part { process, group, kind, order });
        parts.extend(all);
        let (mut maker, mut membership) = Membership::form(tree, parts, groups + 1);
        for process in 0..tree.count() {
            let members = maker.without(membership.members[process], group);
            membership.members[process] = members;
            if members == SetId::EMPTY {
                membership.give(process, Owner::new(rest), (&mut maker, group));
            }
        }
        let joint = Some(Joint { group, is_exclusive: false, rest });
        Membership { sets: maker.sets, joint, ..membership }
    }

    /// Forms the sets of so many groups of which each process belongs to one. Those without an owner belong to
    /// the `rest`.
    pub fn exclusive(owners: Owners, groups: usize, rest: u32) -> Membership {
        let group = groups as u32;
        let mut maker = SetMaker::default();
        let mut membership = Membership::of_nothing(owners.0.len());
        for (process, owner) in owners.0.into_iter().enumerate() {
            membership.give(process, owner.unwrap_or(Owner::new(rest)), (&mut maker, group));
        }
        let joint = Some(Joint { group, is_exclusive: true, rest });
        Membership { sets: maker.sets, joint, ..membership }
    }

    /// Makes a process belong to that group alone, and to the `joint` one.
    fn give(&mut self, process: usize, owner: Owner, (maker, joint): (&mut SetMaker, u32)) {
        let Owner { group, is_alone } = owner;
        let all = maker.with(Set { rest: SetId::EMPTY, group: joint, is_alone: false });
        let both = maker.with(Set { rest: all, group, is_alone });
        self.members[process] = maker.with(Set { rest: SetId::EMPTY, group, is_alone });
        (self.ledgered[process], self.rated[process]) = (both, both);
    }

    /// So many processes that belong to no group.
    fn of_nothing(processes: usize) -> Membership {
        let none = || vec![SetId::EMPTY; processes];
        Membership { members: none(), ledgered: none(), rated: none(), ..Membership::default() }
    }

    fn form(tree: &Tree, mut parts: Vec<Part>, groups: usize) -> (SetMaker, Membership) {
        parts.sort_unstable();
        parts.dedup();
        let membership = Membership::of_nothing(tree.count());
        if parts.is_empty() {
            return (SetMaker::default(), membership);
        }
        let mut former = Former {
            tree,
            parts: &parts,
            maker: SetMaker::default(),
            is_above: vec![false; groups],
            is_done: vec![false; tree.count()],
            membership,
        };
        for top in (0..tree.count()).filter(|&index| tree.parent(index).is_none()) {
            former.descend(top, Vec::new());
        }
        // The parents in a fabricated procfs can form a cycle. All in it are descendants of each other.
        for start in 0..tree.count() {
            if !former.is_done[start] {
                let (at, groups) = former.cycle(start);
                former.descend(at, groups);
            }
        }
        let Former { maker, membership, .. } = former;
        (maker, membership)
    }

    /// Whether a process is a member of a group. `None` if it is not, else whether without its children.
    pub fn find(&self, process: usize, group: usize) -> Option<bool> {
        let mut groups = self.sets.groups(self.members[process]);
        groups.find(|set| set.group as usize == group).map(|set| set.is_alone)
    }

    /// Whether a process is a member of a group.
    pub fn is_member(&self, process: usize, group: usize) -> bool {
        self.find(process, group).is_some()
    }

    /// The members of all groups, sorted.
    pub fn all(&self) -> Vec<usize> {
        (0..self.members.len()).filter(|&index| self.members[index] != SetId::EMPTY).collect()
    }

    /// The number of members that count, of each of so many groups.
    pub fn count(&self, groups: usize, counts: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut of_sets = vec![0; self.sets.count()];
        for (process, id) in self.members.iter().enumerate() {
            of_sets[id.index()] += usize::from(counts(process));
        }
        let join = |sum: &mut usize, count: &usize| *sum += count;
        self.sets.per_group(of_sets, groups, |sum, count, _| *sum += count, join)
    }
}

/// The only group of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    group: u32,
    /// Whether the process belongs to it without its children.
    is_alone: bool,
}

impl Owner {
    /// That group, with the children of the process.
    fn new(group: u32) -> Owner {
        Owner { group, is_alone: false }
    }
}

/// The only group of each process. `None` if no group has it.
#[derive(Debug)]
pub struct Owners(Vec<Option<Owner>>);

impl Owners {
    /// Gives each process to the first group in their order that has it, and of groups with the same number in
    /// that order to that of the nearest root.
    pub fn new(tree: &Tree, mut parts: Vec<Part>) -> Owners {
        parts.sort_unstable();
        Owners(owners(tree, &parts))
    }

    /// Whether all these processes belong to that group.
    pub fn are_all_of(&self, mut processes: impl Iterator<Item = usize>, group: u32) -> bool {
        processes.all(|process| self.0[process].is_some_and(|owner| owner.group == group))
    }

    /// The number of processes of each of so many groups that count.
    pub fn count(&self, groups: usize, counts: impl Fn(usize) -> bool) -> Vec<usize> {
        let mut of_groups = vec![0; groups];
        for (process, owner) in self.0.iter().enumerate() {
            if let Some(owner) = owner.filter(|_| counts(process)) {
                of_groups[owner.group as usize] += 1;
            }
        }
        of_groups
    }

    /// Takes all its processes from each group that loses them.
    pub fn take_from(&mut self, loses: impl Fn(usize) -> bool) {
        for owner in &mut self.0 {
            *owner = owner.filter(|owner| !loses(owner.group as usize));
        }
    }
}

/// For each process: the group that it belongs to if it belongs to one at most. `parts` are sorted.
fn owners(tree: &Tree, parts: &[Part]) -> Vec<Option<Owner>> {
    let mut owners = vec![None; tree.count()];
    let mut is_done = vec![false; tree.count()];
    // The parents in a fabricated procfs can form a cycle, which is entered anywhere.
    let tops = (0..tree.count()).filter(|&index| tree.parent(index).is_none());
    let mut steps: Vec<(usize, Option<&Part>)> = Vec::new();
    for top in tops.chain(0..tree.count()) {
        steps.push((top, None));
        while let Some((process, above)) = steps.pop() {
            if core::mem::replace(&mut is_done[process], true) {
                continue;
            }
            let from = parts.partition_point(|part| part.process < process);
            let own = parts[from..].iter().take_while(|part| part.process == process);
            let with_children = own.clone().filter(|part| part.kind == Kind::WithChildren);
            // Of two with the same number, the first one is taken: that of the process itself.
            let below = with_children.chain(above).min_by_key(|part| part.order);
            let others = own
                .filter(|part| matches!(part.kind, Kind::Alone | Kind::Counted | Kind::Uncounted));
            let first = below.into_iter().chain(others).min_by_key(|part| part.order);
            owners[process] =
                first.map(|part| Owner { group: part.group, is_alone: part.kind == Kind::Alone });
            steps.extend(tree.children(process).map(|child| (child, below)));
        }
    }
    owners
}

/// Sets that are being formed.
struct Former<'f> {
    tree: &'f Tree,
    /// Sorted by process, then by group.
    parts: &'f [Part],
    maker: SetMaker,
    /// Whether the process in work is in that group together with its children.
    is_above: Vec<bool>,
    is_done: Vec<bool>,
    membership: Membership,
}

/// A step of the way down the tree.
enum Step {
    Down(usize, SetId),
    /// Back up, from a process that these groups were added for.
    Up(Vec<u32>),
}

impl<'f> Former<'f> {
    fn parts_of(&self, process: usize) -> &'f [Part] {
        let parts = self.parts;
        let from = parts.partition_point(|part| part.process < process);
        let length = parts[from..].partition_point(|part| part.process == process);
        &parts[from..from + length]
    }

    /// The groups of a process, and of its children with it.
    fn with_children(&self, process: usize) -> impl Iterator<Item = u32> + use<'f> {
        let parts = self.parts_of(process).iter();
        parts.filter(|part| part.kind == Kind::WithChildren).map(|part| part.group)
    }

    /// The cycle of parents above a process: one of them, and the groups of all.
    fn cycle(&self, start: usize) -> (usize, Vec<u32>) {
        let mut is_met = vec![false; self.tree.count()];
        let mut at = start;
        while let (false, Some(parent)) =
            (core::mem::replace(&mut is_met[at], true), self.tree.parent(at))
        {
            at = parent;
        }
        let mut groups: Vec<u32> = self.with_children(at).collect();
        let mut next = self.tree.parent(at);
        while let Some(index) = next.filter(|&index| index != at) {
            groups.extend(self.with_children(index));
            next = self.tree.parent(index);
        }
        (at, groups)
    }

    /// Forms the sets of a process and all below it. It is in these `groups` together with its children.
    fn descend(&mut self, top: usize, groups: Vec<u32>) {
        let (set, groups) = self.add(SetId::EMPTY, groups.into_iter());
        let mut steps = vec![Step::Up(groups), Step::Down(top, set)];
        while let Some(step) = steps.pop() {
            match step {
                Step::Up(groups) => {
                    groups.into_iter().for_each(|group| self.is_above[group as usize] = false);
                }
                Step::Down(process, _) if self.is_done[process] => {}
                Step::Down(process, above) => {
                    self.is_done[process] = true;
                    let parts = self.parts_of(process);
                    let mut set = above;
                    if !parts.is_empty() {
                        let groups = self.with_children(process);
                        let (with_children, added) = self.add(above, groups);
                        set = with_children;
                        steps.push(Step::Up(added));
                    }
                    self.form(process, set, parts);
                    let children = self.tree.children(process);
                    steps.extend(children.map(|child| Step::Down(child, set)));
                }
            }
        }
    }

    /// Adds groups to a set. Also returns those that were not in it.
    fn add(&mut self, mut set: SetId, groups: impl Iterator<Item = u32>) -> (SetId, Vec<u32>) {
        let mut added = Vec::new();
        for group in groups {
            if !core::mem::replace(&mut self.is_above[group as usize], true) {
                set = self.maker.with(Set { rest: set, group, is_alone: false });
                added.push(group);
            }
        }
        (set, added)
    }

    /// Forms the sets of one process that is in the groups of `set` together with its children.
    fn form(&mut self, process: usize, set: SetId, parts: &[Part]) {
        let (mut members, mut ledgered, mut rated) = (set, set, set);
        for parts in parts.chunk_by(|one, other| one.group == other.group) {
            let group = parts[0].group;
            let has = |kind| parts.iter().any(|part| part.kind == kind);
            let is_above = self.is_above[group as usize];
            let is_lone = has(Kind::Alone) && !is_above;
            let is_member = is_above || is_lone || has(Kind::Counted) || has(Kind::Uncounted);
            let is_ledgered = (is_above || is_lone || has(Kind::Uncounted)) && !has(Kind::Counted);
            let waits = has(Kind::Waits) && is_ledgered;
            let is_rated = is_member && (is_lone || !(waits || has(Kind::WaitsUncounted)));
            let mut put = |id: &mut SetId, is_in: bool, is_alone: bool| {
                if is_above && (is_alone || !is_in) {
                    *id = self.maker.without(*id, group);
                }
                if is_in && (is_alone || !is_above) {
                    *id = self.maker.with(Set { rest: *id, group, is_alone });
                }
            };
            put(&mut members, is_member, is_lone);
            put(&mut ledgered, is_ledgered, is_lone || waits);
            put(&mut rated, is_rated, is_lone);
        }
        self.membership.members[process] = members;
        self.membership.ledgered[process] = ledgered;
        self.membership.rated[process] = rated;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::tree::tests::processes;
    use crate::model::process::Process;
    use proptest::prelude::*;

    /// The roots and all their descendants.
    fn descent(tree: &Tree, roots: &[usize]) -> Vec<usize> {
        let part = |&process| Part { process, group: 0, kind: Kind::WithChildren, order: 0 };
        Membership::new(tree, roots.iter().map(part).collect(), 1).all()
    }

    fn pids(processes: &[Process], members: &[usize]) -> Vec<u32> {
        members.iter().map(|&index| processes[index].id.pid.number()).collect()
    }

    #[test]
    fn nested_and_repeated_roots_count_each_process_once() {
        let processes = processes(&[(1, 0, 0), (10, 1, 5), (11, 10, 6), (12, 11, 7), (20, 1, 8)]);
        let tree = Tree::new(&processes);
        assert_eq!(pids(&processes, &descent(&tree, &[1])), [10, 11, 12]);
        assert_eq!(pids(&processes, &descent(&tree, &[2, 1, 1, 3])), [10, 11, 12]);
        assert_eq!(pids(&processes, &descent(&tree, &[4])), [20]);
        assert_eq!(pids(&processes, &descent(&tree, &[])), [0; 0]);
    }

    #[test]
    fn all_in_a_cycle_of_parents_are_descendants_of_each_other() {
        let processes = processes(&[(5, 6, 1), (6, 5, 1), (7, 7, 1), (8, 6, 1)]);
        let tree = Tree::new(&processes);
        assert_eq!(pids(&processes, &descent(&tree, &[0])), [5, 6, 8]);
        assert_eq!(pids(&processes, &descent(&tree, &[1])), [5, 6, 8]);
    }

    #[test]
    fn the_set_of_a_child_is_that_of_its_parent_and_its_own_groups() {
        // A chain of processes with a group each takes as many sets as it has processes.
        let table: Vec<(u32, u32, u64)> = (1..=1000).map(|pid| (pid, pid - 1, 5)).collect();
        let tree = Tree::new(&processes(&table));
        let part =
            |process| Part { process, group: process as u32, kind: Kind::WithChildren, order: 0 };
        let membership = Membership::new(&tree, (0..1000).map(part).collect(), 1000);
        assert_eq!(membership.sets.as_slice().len(), 1000);
        let sizes: Vec<usize> = (1..=1000).rev().collect();
        assert_eq!(membership.count(1000, |_| true), sizes);
    }

    /// Members, those whose CPU time is in the ledger, and the others that are in ledgers, of one group.
    /// Those without their children are negative.
    fn ways(parts: &[(usize, Kind)]) -> [Vec<i32>; 3] {
        let processes = processes(&[(1, 0, 0), (2, 1, 5), (3, 2, 6), (4, 3, 7)]);
        let tree = Tree::new(&processes);
        let part = |&(process, kind)| Part { process, group: 0, kind, order: 0 };
        let membership = Membership::new(&tree, parts.iter().map(part).collect(), 1);
        [&membership.members, &membership.ledgered, &membership.rated].map(|ids| {
            let sets =
                (1..).zip(ids).filter_map(|(pid, &id)| Some((pid, membership.sets.get(id)?)));
            sets.map(|(pid, set)| if set.is_alone { -pid } else { pid }).collect()
        })
    }

    #[test]
    fn a_process_can_belong_to_a_group_in_several_ways() {
        use Kind::{Alone, Counted, Uncounted, Waits, WaitsUncounted, WithChildren};
        assert_eq!(ways(&[(1, WithChildren), (2, Alone)]), [[2, 3, 4], [2, 3, 4], [2, 3, 4]]);
        assert_eq!(ways(&[(1, Alone), (2, Alone)]), [[-2, -3], [-2, -3], [-2, -3]]);
        assert_eq!(
            ways(&[(1, WithChildren), (2, Counted)]),
            [vec![2, 3, 4], vec![2, 4], vec![2, 3, 4]]
        );
        assert_eq!(ways(&[(1, Uncounted), (2, Counted)]), [vec![2, 3], vec![2], vec![2, 3]]);
        assert_eq!(ways(&[(1, Alone), (1, Counted)]), [vec![-2], vec![], vec![-2]]);
        let uncounted = [(0, Uncounted), (0, Waits), (1, Uncounted)];
        assert_eq!(ways(&uncounted), [vec![1, 2], vec![-1, 2], vec![2]]);
        let init = [(0, WithChildren), (0, Waits), (0, WaitsUncounted)];
        assert_eq!(ways(&init), [vec![1, 2, 3, 4], vec![-1, 2, 3, 4], vec![2, 3, 4]]);
        assert_eq!(ways(&[(0, Counted), (0, Waits)]), [vec![1], vec![], vec![1]]);
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
            prop_assert_eq!(descent(&tree, &roots), expected);
        }
    }
}
