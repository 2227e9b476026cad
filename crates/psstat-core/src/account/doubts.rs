//! Which groups are in doubt: it is not known who belongs to them.

use super::group::{Group, own_label};
use crate::model::label::Label;
use crate::model::snapshot::Snapshot;
use crate::select::roots::Root;
use crate::select::selectors::Selectors;
use alloc::collections::BTreeMap;

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
    /// What is in this control group, by its index, or below it.
    ControlGroup(usize),
    /// A process that was a member of this group at the last sample.
    Member(Label),
}

/// Notes in each group the cause of the first doubt about it.
///
/// A process that may be a root does not matter to a group that it is a member of anyway.
pub fn apply(doubts: &[Doubt], groups: &mut [Group], selectors: &Selectors, snapshot: &Snapshot) {
    if doubts.is_empty() {
        return;
    }
    let labels = groups.iter().enumerate();
    let labels: BTreeMap<Label, usize> =
        labels.map(|(index, group)| (group.label.clone(), index)).collect();
    for Doubt { subject, cause } in doubts {
        let doubt = |group: &mut Group| {
            group.doubt.get_or_insert(*cause);
        };
        let name = match subject {
            Subject::Selector(selector) => selectors[*selector].name.clone(),
            Subject::Root(root) => {
                let is_taken =
                    |label: &Label| labels.get(label).is_some_and(|&at| groups[at].named);
                Some(name_of(root, selectors, snapshot, is_taken))
            }
            Subject::Member(label) => Some(label.clone()),
            Subject::ControlGroup(_) => None,
        };
        let group =
            name.as_ref().and_then(|name| labels.get(name)).map(|&index| &mut groups[index]);
        match (subject, group) {
            (Subject::ControlGroup(index), _) => {
                let picked = groups.iter_mut().filter(|group| group.picks(*index));
                picked.for_each(doubt);
            }
            (Subject::Selector(selector), None) if name.is_none() => {
                groups.iter_mut().filter(|group| group.is_picked_by(*selector)).for_each(doubt);
            }
            (Subject::Root(root), Some(group))
                if group.members.binary_search(&root.process).is_ok() => {}
            (_, Some(group)) => doubt(group),
            (_, None) => {}
        }
    }
}

/// The name of the group that the process would belong to as a root.
fn name_of(
    root: &Root,
    selectors: &Selectors,
    snapshot: &Snapshot,
    is_taken: impl Fn(&Label) -> bool,
) -> Label {
    let comm = || Label::lossy(snapshot.names.text(snapshot.processes[root.process].comm));
    let own = |label: Label| {
        let is_taken = is_taken(&label);
        own_label(label, is_taken)
    };
    selectors[root.selector].name.clone().unwrap_or_else(|| own(comm()))
}
