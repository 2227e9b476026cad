//! Groups: which processes are counted together, under which name, and why.

use super::counter::Counter;
use super::tree::Tree;
use crate::model::control_group::{ControlGroup, with_below};
use crate::model::label::Label;
use crate::model::snapshot::Snapshot;
use crate::select::roots::Root;
use alloc::vec::Vec;

/// Processes that are counted together. Processes are indices in the snapshot; each list of them
/// is sorted and has no index twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name in the output.
    pub label: Label,
    /// Index of the selector whose tags the line has: the first that names the group or, if none
    /// does, the first that picked a part of it.
    pub selector: usize,
    /// Whether the user named it. A named group has a line even if it has no process.
    pub named: bool,
    /// The processes that selectors picked, with the selector of each.
    pub roots: Vec<Root>,
    /// Its index in the list of groups, which is its number in
    /// [`Membership`](super::membership::Membership).
    pub index: usize,
    /// How many members it has, zombies included.
    pub size: usize,
    /// The control groups that selectors picked, none of them below another.
    pub control_groups: Vec<PickedControlGroup>,
    /// Number of processes in its control groups that cannot be read: they have no pid in this pid
    /// namespace, `/proc` hides them, or their `stat` could not be read.
    pub foreign: u64,
    /// Whether every descendant of a member is a member, except below those that belong to it without
    /// their children.
    pub by_descent: bool,
    /// Whether it has all processes of its control groups. Not so if another group has some of them, and each
    /// process belongs to one group at most.
    pub has_all_of_control_groups: bool,
    /// The selector of all processes of no other group, if it has these.
    pub rest: Option<usize>,
    /// The cause of the first [doubt](super::doubts) about it. `None` if all its members are known.
    pub doubt: Option<usize>,
}

/// A control group that selectors picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PickedControlGroup {
    /// Index in the list of control groups.
    pub index: usize,
    /// Indices of the selectors that picked it for this group.
    pub selectors: Vec<usize>,
    /// Its counter of CPU time, if it can be read.
    pub counter: Option<Counter>,
}

/// Why a process is a member of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A selector picked it.
    Root {
        /// Index of the selector.
        selector: usize,
    },
    /// It is in a control group that a selector picked, or below one.
    ControlGroup {
        /// Index of the selector.
        selector: usize,
        /// Index of the control group that was picked.
        control_group: usize,
    },
    /// It is a child of a member.
    Child {
        /// Index of its parent in the snapshot.
        parent: usize,
    },
}

impl Group {
    /// Whether all its processes can be read. If not, sums over its members are too low.
    pub fn is_seen_whole(&self) -> bool {
        self.foreign == 0
    }

    /// Whether its members are exactly the processes of its control groups.
    pub fn is_of_control_groups(&self) -> bool {
        self.roots.is_empty() && !self.control_groups.is_empty() && self.has_all_of_control_groups
    }

    /// Whether a selector picked the control group with that index for it.
    pub fn picks(&self, control_group: usize) -> bool {
        self.control_groups.iter().any(|picked| picked.index == control_group)
    }

    /// The control groups that selectors picked for it, in that list.
    pub fn picked<'c>(
        &self,
        control_groups: &'c [ControlGroup],
    ) -> impl Iterator<Item = &'c ControlGroup> {
        self.control_groups.iter().map(|picked| &control_groups[picked.index])
    }

    /// Whether a selector picked a root or a control group of it.
    pub fn is_picked_by(&self, selector: usize) -> bool {
        let roots = self.roots.iter().map(|root| root.selector);
        let control_groups =
            self.control_groups.iter().flat_map(|one| one.selectors.iter().copied());
        roots.chain(control_groups).any(|one| one == selector)
    }

    /// The counters of its control groups.
    pub fn counters(&self) -> impl Iterator<Item = &Counter> {
        self.control_groups.iter().filter_map(|picked| picked.counter.as_ref())
    }

    /// Why the process with index `member`, which is one, belongs to the group.
    pub fn reason(&self, member: usize, population: Population<'_>) -> Option<Reason> {
        let Population { snapshot, tree, control_groups } = population;
        let first = self.roots.partition_point(|root| root.process < member);
        if let Some(root) = self.roots.get(first).filter(|root| root.process == member) {
            return Some(Reason::Root { selector: root.selector });
        }
        let pid = snapshot.processes[member].id.pid;
        for picked in &self.control_groups {
            let below = with_below(control_groups, picked.index);
            if below.iter().any(|group| group.pids.contains(&pid)) {
                let selector = *picked.selectors.first()?;
                return Some(Reason::ControlGroup { selector, control_group: picked.index });
            }
        }
        match self.rest {
            Some(selector) => Some(Reason::Root { selector }),
            None => tree.parent(member).map(|parent| Reason::Child { parent }),
        }
    }
}

/// The processes and control groups of which groups are formed.
#[derive(Clone, Copy, Debug)]
pub struct Population<'p> {
    /// The processes.
    pub snapshot: &'p Snapshot,
    /// Their tree.
    pub tree: &'p Tree,
    /// The control groups that selectors picked, and all below them.
    pub control_groups: &'p [ControlGroup],
}
