//! The groups of two samples, and which sets of them are the same.

use super::sets::{SetId, SetIndex, Sets, Translation};
use alloc::vec;
use alloc::vec::Vec;
use core::cell::OnceCell;

/// The groups of the last sample and of this one.
#[derive(Debug)]
pub struct Link<'l> {
    /// The sets of the last sample.
    pub then: &'l Sets,
    /// The sets of this sample.
    pub now: &'l Sets,
    /// For each group: its number at the last sample. `None` if it did not exist.
    pub groups: Vec<Option<u32>>,
    is_named: Vec<bool>,
    /// The number of groups at the last sample.
    groups_then: usize,
    translation: Translation,
    index_then: OnceCell<SetIndex>,
    index_now: OnceCell<SetIndex>,
    outermost_first: OnceCell<Vec<usize>>,
}

impl<'l> Link<'l> {
    /// Links the sets of two samples. `groups` has for each group its number at the last sample, and
    /// whether the user named it. There were `groups_then` groups at the last sample.
    pub fn new(
        then: &'l Sets,
        now: &'l Sets,
        groups: &[(Option<u32>, bool)],
        groups_then: usize,
    ) -> Link<'l> {
        let mut still = vec![None; groups_then];
        for (number, &(then, _)) in (0..).zip(groups) {
            then.into_iter().for_each(|then| still[then as usize] = Some(number));
        }
        Link {
            then,
            now,
            groups: groups.iter().map(|&(then, _)| then).collect(),
            is_named: groups.iter().map(|&(_, is_named)| is_named).collect(),
            groups_then,
            translation: Translation::new(then, now, &still),
            index_then: OnceCell::new(),
            index_now: OnceCell::new(),
            outermost_first: OnceCell::new(),
        }
    }

    /// Whether the user named the group.
    pub fn is_named(&self, group: usize) -> bool {
        self.is_named[group]
    }

    /// The numbers of the groups that the user named.
    pub fn named(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.is_named).filter(|(_, is_named)| **is_named).map(|(group, _)| group)
    }

    /// The number of groups at the last sample.
    pub fn groups_then(&self) -> usize {
        self.groups_then
    }

    /// Finds groups in the sets of the last sample.
    pub fn index_then(&self) -> &SetIndex {
        self.index_then.get_or_init(|| SetIndex::new(self.then))
    }

    /// Finds groups in the sets of this sample.
    pub fn index_now(&self) -> &SetIndex {
        self.index_now.get_or_init(|| SetIndex::new(self.now))
    }

    /// Whether it is plain that all groups of the set `now` are in the set `then`, and each in the same
    /// way: `then` is the same set, or was made of it.
    pub fn is_subset(&self, now: SetId, then: SetId) -> bool {
        match self.translation.to_then[now.index()] {
            Some(same) if same == then => true,
            Some(same) => self.index_then().is_made_of(then, same),
            None => false,
        }
    }

    /// The groups that the user named, and then the others, first those that are in the fewest others.
    pub fn outermost_first(&self) -> &[usize] {
        self.outermost_first.get_or_init(|| {
            let mut least = vec![u32::MAX; self.groups.len()];
            for (depth, set) in self.now.depths().into_iter().skip(1).zip(self.now.as_slice()) {
                let least = &mut least[set.group as usize];
                *least = depth.min(*least);
            }
            let mut groups: Vec<usize> = (0..self.groups.len()).collect();
            groups.sort_unstable_by_key(|&group| (!self.is_named[group], least[group], group));
            groups
        })
    }
}
