//! Which groups are in doubt: it is not known who belongs to them.

use super::group::Group;
use super::membership::Membership;
use super::names::Names;
use crate::model::collect;
use crate::model::label::Label;
use crate::model::process::Life;
use crate::select::roots::Root;
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
    let Names { selectors, snapshot, .. } = names;
    if doubts.is_empty() {
        return;
    }
    let living = OnceCell::new();
    let count = groups.len();
    let has_living = |group: &Group| {
        let is_alive = |process: usize| snapshot.processes[process].life == Life::Alive;
        living.get_or_init(|| membership.count(count, is_alive))[group.index] > 0
    };
    let labels = groups.iter().enumerate();
    let labels = collect::map(labels.map(|(index, group)| (group.label.clone(), index)));
    for Doubt { subject, cause } in doubts {
        let about = |group: &mut Group| {
            group.doubt.get_or_insert(*cause);
        };
        let named = match subject {
            Subject::ControlGroup(index) => {
                groups.iter_mut().filter(|group| group.picks(*index)).for_each(about);
                continue;
            }
            Subject::Selector(selector) => match selectors[*selector].name() {
                Some(name) => name.clone(),
                None => {
                    groups.iter_mut().filter(|group| group.is_picked_by(*selector)).for_each(about);
                    continue;
                }
            },
            Subject::Root(root) | Subject::Unanswered(root) => {
                let is_taken =
                    |label: &Label| labels.get(label).is_some_and(|&at| groups[at].named);
                match names.of_root(*root, is_taken) {
                    Some(name) => name,
                    // It may belong to any group of its selector. One that does not answer may only hide a group
                    // without any other process, and that has no line without a name.
                    None if matches!(subject, Subject::Unanswered(_)) => continue,
                    None => {
                        let picked =
                            groups.iter_mut().filter(|one| one.is_picked_by(root.selector));
                        picked.for_each(about);
                        continue;
                    }
                }
            }
            Subject::Member(label) => label.clone(),
        };
        let is_certain = |group: &Group| match subject {
            Subject::Root(root) => membership.is_member(root.process, group.index),
            Subject::Unanswered(_) => group.foreign > 0 || has_living(group),
            _ => false,
        };
        let group = labels.get(&named).map(|&index| &mut groups[index]);
        group.filter(|group| !is_certain(group)).into_iter().for_each(about);
    }
}
