//! Which groups are in doubt: it is not known who belongs to them.

use super::group::Group;
use super::membership::Membership;
use super::names::Names;
use crate::model::collect;
use crate::model::label::Label;
use crate::model::process::Life;
use crate::select::roots::Root;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::OnceCell;

/// Something that makes it impossible to say who belongs to some groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// What is in doubt.
    pub subject: Subject,
    /// Index of the cause. Doubts can share a cause.
    pub cause: usize,
}

/// What is in doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// Whatever this selector may pick, by its index.
    Selector(usize),
    /// Whether this process is a root.
    Root(Root),
    /// Whether this process, which does not answer, is a root. Any user can have such a process, so it
    /// must not hide a group that runs. But without any other process, nobody knows whether the group runs.
    Unanswered(Root),
    /// What is in this control group, by its index, or below it.
    ControlGroup(usize),
    /// A process that was a member of this group at the last sample.
    Member(Label),
}

/// Notes in each group the cause of the first doubt about it.
///
/// A process that may be a root does not matter to a group that it is a member of anyway.
pub fn apply(doubts: &[Doubt], groups: &mut [Group], membership: &Membership, names: Names<'_>) {
    if doubts.is_empty() {
        return;
    }
    let labels = groups.iter().enumerate();
    let labels = collect::map(labels.map(|(index, group)| (group.label.clone(), index)));
    let living = OnceCell::new();
    let found = Found { groups, membership, names, labels: &labels, living: &living };
    let concerned: Vec<(Vec<usize>, usize)> =
        doubts.iter().map(|doubt| (found.concerned(&doubt.subject), doubt.cause)).collect();
    for (concerned, cause) in concerned {
        for index in concerned {
            groups[index].doubt.get_or_insert(cause);
        }
    }
}

/// The groups of a sample.
struct Found<'f> {
    groups: &'f [Group],
    membership: &'f Membership,
    names: Names<'f>,
    /// The index of each group.
    labels: &'f BTreeMap<Label, usize>,
    /// The number of live processes of each group, once it is counted.
    living: &'f OnceCell<Vec<usize>>,
}

impl Found<'_> {
    /// The groups that something is a doubt about.
    fn concerned(&self, subject: &Subject) -> Vec<usize> {
        let mut concerned = self.may_have(subject);
        // Who may be in one group may not be in another one, if each process is in one only.
        let Some(joint) = self.membership.joint.filter(|_| !concerned.is_empty()) else {
            return concerned;
        };
        if let Subject::Unanswered(_) = subject {
            return concerned;
        }
        if joint.is_exclusive {
            match subject {
                Subject::Root(root) => {
                    let owner = self.membership.members[root.process];
                    let owner = self.membership.sets.get(owner).map(|set| set.group as usize);
                    concerned.extend(owner);
                }
                // It may take any process from those that come later.
                _ => {
                    let first = concerned.iter().copied().min().unwrap_or_default();
                    concerned.extend(first + 1..self.groups.len());
                }
            }
        }
        concerned.push(joint.rest as usize);
        concerned
    }

    /// The groups that may have processes which they do not have now, or the other way round.
    fn may_have(&self, subject: &Subject) -> Vec<usize> {
        let Names { selectors, .. } = self.names;
        let all = |holds: &dyn Fn(&Group) -> bool| -> Vec<usize> {
            self.groups.iter().filter(|group| holds(group)).map(|group| group.index).collect()
        };
        let named = match subject {
            Subject::ControlGroup(index) => return all(&|group| group.picks(*index)),
            Subject::Selector(selector) => match selectors[*selector].name() {
                Some(name) => name.clone(),
                None => return all(&|group| group.is_picked_by(*selector)),
            },
            Subject::Root(root) | Subject::Unanswered(root) => {
                let is_taken =
                    |label: &Label| self.labels.get(label).is_some_and(|&at| self.groups[at].named);
                match self.names.of_root(*root, is_taken) {
                    Some(name) => name,
                    // It may belong to any group of its selector. One that does not answer may only hide a group
                    // without any other process, and that has no line without a name.
                    None if matches!(subject, Subject::Unanswered(_)) => return Vec::new(),
                    None => return all(&|group| group.is_picked_by(root.selector)),
                }
            }
            Subject::Member(label) => label.clone(),
        };
        let is_certain = |group: &Group| match subject {
            Subject::Root(root) => self.membership.is_member(root.process, group.index),
            Subject::Unanswered(_) => group.foreign > 0 || self.has_living(group),
            _ => false,
        };
        let group = self.labels.get(&named).map(|&index| &self.groups[index]);
        group.filter(|group| !is_certain(group)).map(|group| group.index).into_iter().collect()
    }

    fn has_living(&self, group: &Group) -> bool {
        let processes = &self.names.snapshot.processes;
        let is_alive = |process: usize| processes[process].life == Life::Alive;
        let count = || self.membership.count(self.groups.len(), is_alive);
        self.living.get_or_init(count)[group.index] > 0
    }
}
