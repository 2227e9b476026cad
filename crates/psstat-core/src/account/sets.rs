//! Sets of groups. Each process is in one set, which says to which groups the process belongs.
//!
//! Groups nest: a selector without a name makes a group for each name that it finds, and each group has
//! all descendants of its roots. A list of members per group would take as much space as there are
//! groups times processes. So the members are stored once, and a set is stored as another set and one
//! more group.
//!
//! *Example:* `sshd` has the child `bash`, which has the children `make` and `vi`. Each of these names is
//! a group. There are four sets: {sshd}, {sshd} with bash, that with make, and that with vi.
//!
//! What the groups have used is added up along the sets, from the last to the first
//! ([`Sets::per_group`]): this takes as many steps as there are sets.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

/// A set of groups, by its number in [`Sets`]. The default is the empty set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SetId(u32);

impl SetId {
    /// No group.
    pub const EMPTY: SetId = SetId(0);

    /// Makes an id of a number. 0 is [`SetId::EMPTY`].
    pub const fn new(number: u32) -> SetId {
        SetId(number)
    }

    /// The id as a number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The index in a list that has an entry for the empty set and for each other set.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set that is not empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Set {
    /// The other groups.
    pub rest: SetId,
    /// A group that is not among the others, by its number.
    pub group: u32,
    /// Whether processes of this set belong to that group without their children.
    pub is_alone: bool,
}

/// Sets of groups. Each comes after the one that it adds a group to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    list: Vec<Set>,
}

impl Sets {
    /// Adds a set. `None` if the rest of it is not known yet.
    pub fn push(&mut self, set: Set) -> Option<SetId> {
        if set.rest.index() > self.list.len() {
            return None;
        }
        self.list.push(set);
        u32::try_from(self.list.len()).ok().map(SetId)
    }

    /// The sets that are not empty, in the order of their ids, which begin with 1.
    pub fn as_slice(&self) -> &[Set] {
        &self.list
    }

    /// How many ids there are, that of the empty set included.
    pub fn count(&self) -> usize {
        self.list.len() + 1
    }

    /// The set with that id. `None` for the empty set.
    pub fn get(&self, id: SetId) -> Option<Set> {
        Some(self.list[id.index().checked_sub(1)?])
    }

    /// The groups of a set, the one that was added last first.
    pub fn groups(&self, id: SetId) -> impl Iterator<Item = Set> {
        core::iter::successors(self.get(id), |set| self.get(set.rest))
    }

    /// Adds up for each group, which are at least so many `groups`, what the processes of its sets have. `of_sets` has what the
    /// processes of each set have, by the index of its id. `add` adds to what a group has; it is told
    /// whether the processes of the set are in the group without their children. `join` adds to what
    /// another set has.
    pub fn per_group<T, G: Clone + Default>(
        &self,
        mut of_sets: Vec<T>,
        groups: usize,
        mut add: impl FnMut(&mut G, &T, bool),
        mut join: impl FnMut(&mut T, &T),
    ) -> Vec<G> {
        let most = self.list.iter().map(|set| set.group as usize + 1).max().unwrap_or_default();
        let mut of_groups = vec![G::default(); groups.max(most)];
        for (index, set) in self.list.iter().enumerate().rev() {
            let (rest, this) = of_sets.split_at_mut(index + 1);
            add(&mut of_groups[set.group as usize], &this[0], set.is_alone);
            join(&mut rest[set.rest.index()], &this[0]);
        }
        of_groups
    }

    /// Whether no group is twice in a set, of so many groups.
    pub fn have_each_group_once(&self, groups: usize) -> bool {
        let index = SetIndex::new(self);
        let is_new = |set: &Set| index.find(set.rest, set.group).is_none();
        self.list.iter().all(|set| (set.group as usize) < groups && is_new(set))
    }

    /// The number of groups in each set, by the index of its id.
    pub fn depths(&self) -> Vec<u32> {
        let mut depths = vec![0; self.count()];
        for (index, set) in self.list.iter().enumerate() {
            depths[index + 1] = depths[set.rest.index()] + 1;
        }
        depths
    }

    /// The same sets, but only those with an id that is `used` and those that they add groups to, in the
    /// order of their use, and with other numbers for the groups. Also returns the new id of each set, by
    /// the index of its id.
    pub fn compact(&self, used: impl Iterator<Item = SetId>, groups: &[u32]) -> (Sets, Vec<SetId>) {
        let mut sets = Sets::default();
        let mut ids = vec![SetId::EMPTY; self.count()];
        let mut line = Vec::new();
        for id in used {
            let mut at = id;
            while let Some(set) = self.get(at).filter(|_| ids[at.index()] == SetId::EMPTY) {
                line.push((at, set));
                at = set.rest;
            }
            while let Some((at, set)) = line.pop() {
                let (rest, group) = (ids[set.rest.index()], groups[set.group as usize]);
                ids[at.index()] = sets.push(Set { rest, group, ..set }).unwrap_or_default();
            }
        }
        (sets, ids)
    }
}

/// Makes sets, each once.
#[derive(Debug, Default)]
pub struct SetMaker {
    /// The sets.
    pub sets: Sets,
    ids: BTreeMap<Set, SetId>,
    without: BTreeMap<(SetId, u32), SetId>,
}

impl SetMaker {
    /// That set, with one more group.
    pub fn with(&mut self, set: Set) -> SetId {
        if let Some(&id) = self.ids.get(&set) {
            return id;
        }
        // There are as many sets as roots and groups at most, so the numbers do not run out.
        let id = self.sets.push(set).unwrap_or_default();
        self.ids.insert(set, id);
        id
    }

    /// The set with that id, without a group that is in it.
    pub fn without(&mut self, id: SetId, group: u32) -> SetId {
        let mut above = Vec::new();
        let mut at = id;
        let mut result = loop {
            if let Some(&known) = self.without.get(&(at, group)) {
                break known;
            }
            match self.sets.get(at) {
                None => break at,
                Some(set) if set.group == group => break set.rest,
                Some(set) => {
                    above.push((at, set));
                    at = set.rest;
                }
            }
        };
        for (at, set) in above.into_iter().rev() {
            result = self.with(Set { rest: result, ..set });
            self.without.insert((at, group), result);
        }
        result
    }
}

/// Finds out whether a group is in a set, without going through the groups of the set.
///
/// The sets form a tree: the parent of a set is the one that it adds a group to. All sets with a group
/// are below the sets that add it, and the numbers of those below a set follow each other.
#[derive(Debug)]
pub struct SetIndex {
    /// The place of each set in the tree, by the index of its id: each before those below it.
    places: Vec<u32>,
    /// The end of those below it.
    ends: Vec<u32>,
    /// For each set: its group, its place, and whether its processes are in it without their children.
    /// Sorted.
    of_groups: Vec<(u32, u32, SetId, bool)>,
}

impl SetIndex {
    /// The index of these sets.
    pub fn new(sets: &Sets) -> SetIndex {
        let count = sets.count();
        let mut sizes = vec![1; count];
        for (index, set) in sets.list.iter().enumerate().rev() {
            sizes[set.rest.index()] += sizes[index + 1];
        }
        let mut places = vec![0; count];
        let mut next = vec![1; count];
        for (index, set) in sets.list.iter().enumerate() {
            let place = next[set.rest.index()];
            next[set.rest.index()] += sizes[index + 1];
            (places[index + 1], next[index + 1]) = (place, place + 1);
        }
        let ends = (0..count).map(|index| places[index] + sizes[index]).collect();
        let groups = sets.list.iter().enumerate();
        let mut of_groups: Vec<_> = groups
            .map(|(index, set)| {
                (set.group, places[index + 1], SetId(index as u32 + 1), set.is_alone)
            })
            .collect();
        of_groups.sort_unstable();
        SetIndex { places, ends, of_groups }
    }

    /// Whether a set has all groups of the `other`, because it was made of it.
    pub fn is_made_of(&self, id: SetId, other: SetId) -> bool {
        let place = self.places[id.index()];
        (self.places[other.index()]..self.ends[other.index()]).contains(&place)
    }

    /// Whether the processes of the set are in the group: `None` if not, else whether without their
    /// children.
    pub fn find(&self, id: SetId, group: u32) -> Option<bool> {
        let place = self.places[id.index()];
        let after = self.of_groups.partition_point(|entry| (entry.0, entry.1) <= (group, place));
        let &(found, _, set, is_alone) = self.of_groups.get(after.checked_sub(1)?)?;
        (found == group && self.is_made_of(id, set)).then_some(is_alone)
    }
}

/// Which sets of two samples are the same.
#[derive(Debug)]
pub struct Translation {
    /// For each set of the last sample: the same set in this one.
    pub to_now: Vec<Option<SetId>>,
    /// For each set of this sample: the same set in the last one.
    pub to_then: Vec<Option<SetId>>,
}

impl Translation {
    /// Compares the sets of the last sample with those of this one. `groups` has the number in this
    /// sample of each group of the last one that still exists.
    pub fn new(then: &Sets, now: &Sets, groups: &[Option<u32>]) -> Translation {
        let mut by_content: Vec<(Set, SetId)> =
            (1..).map(SetId).zip(&now.list).map(|(id, set)| (*set, id)).collect();
        by_content.sort_unstable();
        let mut to_now = vec![None; then.count()];
        let mut to_then = vec![None; now.count()];
        (to_now[0], to_then[0]) = (Some(SetId::EMPTY), Some(SetId::EMPTY));
        for (id, set) in (1..).map(SetId).zip(&then.list) {
            let same = to_now[set.rest.index()].zip(groups[set.group as usize]);
            let same = same.map(|(rest, group)| Set { rest, group, ..*set });
            let found =
                same.and_then(|same| by_content.binary_search_by_key(&same, |&(set, _)| set).ok());
            if let Some(found) = found {
                let now = by_content[found].1;
                to_now[id.index()] = Some(now);
                to_then[now.index()] = Some(id);
            }
        }
        Translation { to_now, to_then }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use proptest::prelude::*;

    /// Sets that have each group at most once.
    fn sets() -> impl Strategy<Value = Sets> {
        proptest::collection::vec((any::<prop::sample::Index>(), 0u32..6, any::<bool>()), 0..30)
            .prop_map(|drafts| {
                let mut maker = SetMaker::default();
                for (rest, group, is_alone) in drafts {
                    let rest = SetId::new(rest.index(maker.sets.count()) as u32);
                    if maker.sets.groups(rest).all(|set| set.group != group) {
                        maker.with(Set { rest, group, is_alone });
                    }
                }
                maker.sets
            })
    }

    fn ids(sets: &Sets) -> impl Iterator<Item = SetId> {
        (0..sets.count() as u32).map(SetId::new)
    }

    fn content(sets: &Sets, id: SetId) -> BTreeSet<(u32, bool)> {
        sets.groups(id).map(|set| (set.group, set.is_alone)).collect()
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_search_finds(sets in sets()) {
            let index = SetIndex::new(&sets);
            for id in ids(&sets) {
                for group in 0..7 {
                    let mut searched = sets.groups(id).filter(|set| set.group == group);
                    prop_assert_eq!(index.find(id, group), searched.next().map(|set| set.is_alone));
                }
                for other in ids(&sets) {
                    let mut line = core::iter::successors(Some(id), |&id| Some(sets.get(id)?.rest));
                    prop_assert_eq!(index.is_made_of(id, other), line.any(|id| id == other));
                }
            }
        }

        #[test]
        fn each_group_adds_up_its_sets(sets in sets()) {
            let values: Vec<u64> = (1..=sets.count() as u64).map(|number| number * 1000).collect();
            let add = |sum: &mut u64, value: &u64, _| *sum += value;
            let sums: Vec<u64> = sets.per_group(values.clone(), 6, add, |sum, value| *sum += value);
            for group in 0..6 {
                let has = |id: &SetId| sets.groups(*id).any(|set| set.group == group);
                let sum: u64 = ids(&sets).filter(has).map(|id| values[id.index()]).sum();
                prop_assert_eq!(sums[group as usize], sum);
            }
        }

        #[test]
        fn a_set_without_a_group_has_all_others(sets in sets(), group in 0u32..6) {
            let mut maker = SetMaker::default();
            sets.as_slice().iter().for_each(|&set| { maker.with(set); });
            for id in ids(&sets) {
                let without = maker.without(id, group);
                let mut expected = content(&sets, id);
                expected.retain(|entry| entry.0 != group);
                prop_assert_eq!(content(&maker.sets, without), expected);
            }
        }

        #[test]
        fn sets_keep_their_content(sets in sets(), used in 0u32..30) {
            let used = SetId::new(used % sets.count() as u32);
            let groups = [5, 4, 3, 2, 1, 0];
            let (compact, new) = sets.compact(core::iter::once(used), &groups);
            let renamed = content(&sets, used).into_iter();
            let renamed: BTreeSet<_> = renamed.map(|(group, alone)| (5 - group, alone)).collect();
            prop_assert_eq!(content(&compact, new[used.index()]), renamed);
            prop_assert_eq!(compact.count(), sets.groups(used).count() + 1);
        }

        #[test]
        fn the_same_sets_of_two_samples_are_found(then in sets(), now in sets()) {
            let groups = [Some(1), Some(0), None, Some(3), Some(4), Some(5)];
            let translation = Translation::new(&then, &now, &groups);
            for id in ids(&then) {
                let renamed = |set: Set| Some((groups[set.group as usize]?, set.is_alone));
                let line: Option<Vec<_>> = then.groups(id).map(renamed).collect();
                let same = ids(&now).find(|&id| {
                    let now = now.groups(id).map(|set| (set.group, set.is_alone));
                    line.as_ref().is_some_and(|line| now.eq(line.iter().copied()))
                });
                prop_assert_eq!(translation.to_now[id.index()], same);
                if let Some(same) = same {
                    prop_assert_eq!(translation.to_then[same.index()], Some(id));
                }
            }
        }
    }
}
