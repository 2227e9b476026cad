//! The names of groups: those that the user gave, those of processes and control groups themselves, and
//! those that templates made.

use crate::model::control_group::ControlGroup;
use crate::model::label::Label;
use crate::model::snapshot::Snapshot;
use crate::select::division::{Division, HIDDEN_REST};
use crate::select::roots::Root;
use crate::select::selector::{Naming, Source};
use crate::select::selectors::Selectors;
use crate::select::systemd;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;

/// The name of the group that has the processes of all others (see
/// [`Membership::joint`](super::membership::Membership::joint)) in the accounts. No other group may have it.
pub const JOINT_NAME: &str = "(all groups)";

/// Whether no group may have that name, because psstat uses it itself.
pub fn is_reserved(label: &Label) -> bool {
    label.as_str() == JOINT_NAME || label.as_str() == HIDDEN_REST
}

/// The names that templates made. A root or control group without one has none, because it could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Of roots.
    pub of_roots: BTreeMap<Root, Label>,
    /// Of control groups, by the index of the group and that of the selector.
    pub of_control_groups: BTreeMap<(usize, usize), Label>,
    /// Those that are too many, by the selector. What has such a name is in one group with another name: see
    /// [`Bound::overflow`](crate::select::template::Bound).
    pub too_many: BTreeMap<usize, BTreeSet<Label>>,
}

/// Names the groups of one sample.
#[derive(Clone, Copy, Debug)]
pub struct Names<'n> {
    /// The selectors.
    pub selectors: &'n Selectors,
    /// The processes.
    pub snapshot: &'n Snapshot,
    /// The control groups that selectors picked, and all below them.
    pub control_groups: &'n [ControlGroup],
    /// The names that templates made.
    pub made: &'n Made,
    /// How groups share processes.
    pub division: Option<Division>,
}

impl Names<'_> {
    /// The name of the group of a root. `is_taken` returns whether the user gave that name to a group. `None`
    /// if it is not known.
    pub fn of_root(&self, root: Root, is_taken: impl FnOnce(&Label) -> bool) -> Option<Label> {
        match &self.selectors[root.selector].naming {
            Naming::Given(name) => Some(name.clone()),
            Naming::Own => {
                let comm = self.snapshot.processes[root.process].comm;
                Some(own_label(Label::lossy(self.snapshot.names.text(comm)), is_taken))
            }
            Naming::Template(..) => {
                let made = self.made.of_roots.get(&root)?;
                Some(self.made_label(root.selector, made, is_taken))
            }
        }
    }

    /// The name of the group of a control group that a selector picked, both by index.
    pub fn of_control_group(
        &self,
        index: usize,
        selector: usize,
        is_taken: impl FnOnce(&Label) -> bool,
    ) -> Option<Label> {
        match &self.selectors[selector].naming {
            Naming::Given(name) => Some(name.clone()),
            Naming::Own => {
                let source = &self.selectors[selector].source;
                Some(own_label(own_name(&self.control_groups[index], source), is_taken))
            }
            Naming::Template(..) => {
                let made = self.made.of_control_groups.get(&(index, selector))?;
                Some(self.made_label(selector, made, is_taken))
            }
        }
    }

    /// Any process can take any name, also that of the group for those that are too many.
    fn made_label(
        &self,
        selector: usize,
        made: &Label,
        is_taken: impl FnOnce(&Label) -> bool,
    ) -> Label {
        let too_many = self.made.too_many.get(&selector);
        let is_too_many = too_many.is_some_and(|names| names.contains(made));
        let bound = self.selectors.recipe(selector).map(|(_, bound)| bound);
        match bound.filter(|_| is_too_many) {
            // They may be part of the rest, if the user says so, but of no other group.
            Some(bound) if self.rest_name() == Some(&bound.overflow) => bound.overflow.clone(),
            Some(bound) => own_label(bound.overflow.clone(), is_taken),
            None => own_label(made.clone(), is_taken),
        }
    }

    /// The name of the group of all processes of no other group, if there is one.
    pub fn rest_name(&self) -> Option<&Label> {
        self.division.and_then(|division| self.selectors[division.rest].name())
    }
}

/// The name of a group that the user did not name. If he gave that name to another group (it `is_taken`), it
/// must not belong to that one: any process can take any name.
///
/// *Example:* of `--pid-file db:/run/db.pid --user brk1`, a process of `brk1` that calls itself `db` is in
/// the group `db (own name)`.
fn own_label(label: Label, is_taken: impl FnOnce(&Label) -> bool) -> Label {
    let is_reserved = is_reserved(&label);
    if is_reserved || is_taken(&label) {
        Label::lossy(format!("{label} (own name)").as_bytes())
    } else {
        label
    }
}

/// The name of a control group that the user did not name.
fn own_name(group: &ControlGroup, source: &Source) -> Label {
    match (source, &group.unit) {
        (Source::Unit(_), Some(id)) => Label::lossy(systemd::display_name(id)),
        _ if group.path.is_empty() => Label::lossy(b"/"),
        _ => Label::lossy(&group.path),
    }
}
