//! What makes it impossible to say who belongs to a group. A group in doubt has no line, because a
//! value that is not known is never printed as 0.
//!
//! *Example:* `--exe pg:*/postgres` runs as a user who may not read the executable of process 7. Nobody
//! can say whether 7 belongs to `pg`, so `pg` has no line, and a warning names it and the cure.

use crate::account::accounts::Accounts;
use crate::account::doubts::{Doubt, Subject};
use crate::account::group::Group;
use crate::diagnostics::{Diagnostics, Warning, What};
use crate::model::label::Label;
use crate::model::read_error::Unreadable;
use crate::model::snapshot::Snapshot;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// The doubts of one sample.
#[derive(Debug, Default)]
pub struct Doubts {
    list: Vec<Doubt>,
    causes: Vec<Warning>,
}

impl Doubts {
    /// Adds doubts with the same cause. Without any, the cause is a warning about nothing in
    /// particular.
    pub fn add(&mut self, cause: Warning, subjects: impl IntoIterator<Item = Subject>) {
        let known = self.causes.iter().position(|known| *known == cause);
        let cause = known.unwrap_or_else(|| {
            self.causes.push(cause);
            self.causes.len() - 1
        });
        self.list.extend(subjects.into_iter().map(|subject| Doubt { subject, cause }));
    }

    /// Takes over the doubts of another collection.
    pub fn extend(&mut self, other: Doubts) {
        let mut subjects: Vec<Vec<Subject>> = other.causes.iter().map(|_| Vec::new()).collect();
        for Doubt { subject, cause } in other.list {
            subjects[cause].push(subject);
        }
        for (cause, subjects) in other.causes.into_iter().zip(subjects) {
            self.add(cause, subjects);
        }
    }

    /// Adds that processes could not be read, which is a doubt about each group that had one of them at
    /// the last sample.
    pub fn add_unread(&mut self, snapshot: &Snapshot, last: Option<&Accounts>) {
        let Unreadable { count, first: Some(first) } = snapshot.unreadable.clone() else { return };
        let in_doubt = last.into_iter().flat_map(|last| last.groups_with(&snapshot.unread));
        let subjects = in_doubt.map(|label| Subject::Member(label.clone()));
        self.add(Warning::Unreadable { what: What::Processes, count, first }, subjects);
    }

    /// The selectors of which it is not known what they pick, each with the first cause.
    pub fn of_selectors(&self) -> Vec<(usize, Warning)> {
        let mut found: Vec<(usize, Warning)> = Vec::new();
        for Doubt { subject, cause } in &self.list {
            let selector = match subject {
                Subject::Selector(selector) => *selector,
                Subject::Root(root) | Subject::Unanswered(root) => root.selector,
                Subject::ControlGroup(_) | Subject::Member(_) => continue,
            };
            if !found.iter().any(|(known, _)| *known == selector) {
                found.push((selector, self.causes[*cause].clone()));
            }
        }
        found
    }

    /// All doubts.
    pub fn as_slice(&self) -> &[Doubt] {
        &self.list
    }

    /// Warns of each cause, and of the groups that have no line because of it.
    pub fn warn(self, groups: &[Group], diagnostics: &mut Diagnostics) {
        for (index, cause) in self.causes.into_iter().enumerate() {
            let hidden = groups.iter().filter(|group| group.doubt == Some(index));
            let hidden: Vec<Label> = hidden.map(|group| group.label.clone()).collect();
            diagnostics.add(if hidden.is_empty() {
                cause
            } else {
                Warning::NoLine { groups: hidden, cause: Box::new(cause) }
            });
        }
    }
}
