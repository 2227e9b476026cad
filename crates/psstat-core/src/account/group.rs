//! Groups: which processes are counted together, under which name, and why.

use super::counter::Counter;
use super::membership::{Kind, Membership, Owners, Part};
use super::names::Names;
use super::tree::Tree;
use crate::model::control_group::ControlGroup;
use crate::model::label::Label;
use crate::model::process::{self, Life};
use crate::model::snapshot::Snapshot;
use crate::model::units::Pid;
use crate::select::division::Division;
use crate::select::roots::Root;
use crate::select::selector::Naming;
use crate::select::systemd;
use alloc::collections::BTreeMap;
use alloc::vec;
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
    /// Its index in the list of groups, which is its number in [`Membership`].
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
        self.roots.is_empty() && !self.control_groups.is_empty()
    }

    /// Whether a selector picked the control group with that index for it.
    pub fn picks(&self, control_group: usize) -> bool {
        self.control_groups.iter().any(|picked| picked.index == control_group)
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
            let below = control_groups.get(picked.index..)?;
            let end = below.first()?.end - picked.index;
            if below[..end].iter().any(|group| group.pids.contains(&pid)) {
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

/// A group whose parts are being collected.
#[derive(Default)]
struct Draft {
    /// The first selector that picked a part of it.
    order: usize,
    /// The first selector that names it.
    named_by: Option<usize>,
    /// The roots whose descendants belong to the group.
    roots: Vec<Root>,
    /// The roots whose descendants do not belong to the group.
    lone: Vec<Root>,
    /// Its control groups.
    control_groups: Vec<Picked>,
    /// Whether a selector picks whole control groups for it, even if there are none now.
    counts_control_groups: bool,
}

/// A control group, and a selector that picked it.
#[derive(Clone, Copy)]
struct Picked {
    /// Index of the control group.
    index: usize,
    /// Index of the selector.
    selector: usize,
}

impl Draft {
    fn picked_by(&mut self, selector: usize) -> &mut Draft {
        self.order = self.order.min(selector);
        self
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

/// Forms the groups, in the order of their first selectors, then by name.
///
/// A group named by a selector exists even if it has no process. A root or control group whose name is not
/// known is in no group.
pub fn form(
    names: Names<'_>,
    roots: &[Root],
    tree: &Tree,
    division: Division,
) -> (Vec<Group>, Membership) {
    let Names { snapshot, control_groups, .. } = names;
    let population = Population { snapshot, tree, control_groups };
    let drafts = drafts(names, roots);
    let order: Vec<usize> = drafts.iter().map(|(_, draft)| draft.order).collect();
    let rest_name = division.rest.and_then(|rest| names.selectors[rest].name());
    let rest = rest_name.and_then(|name| drafts.iter().position(|(label, _)| label == name));
    let rest = rest.map(|index| index as u32);
    let mut parts = Vec::new();
    let drafts = drafts.into_iter().enumerate();
    let mut groups: Vec<Group> = drafts
        .map(|(index, (label, draft))| {
            group((index, label), draft, (population, division), &mut parts)
        })
        .collect();
    if let Some(group) = rest.and_then(|rest| groups.get_mut(rest as usize)) {
        group.rest = division.rest;
    }
    let membership = match (division.is_exclusive, rest) {
        (true, rest) => {
            let mut owners = Owners::new(tree, parts, &order);
            if rest.is_some() {
                // A group without a name has no line while none of its processes is alive.
                let is_alive = |process: usize| snapshot.processes[process].life == Life::Alive;
                let alive = owners.count(groups.len(), is_alive);
                let has_line =
                    |group: &Group| group.named || group.foreign > 0 || alive[group.index] > 0;
                owners.take_from(|index| !has_line(&groups[index]));
            }
            groups.iter_mut().for_each(|group| group.by_descent = false);
            Membership::exclusive(owners, groups.len(), rest)
        }
        (false, Some(rest)) => Membership::with_rest(tree, parts, groups.len(), rest),
        (false, None) => Membership::new(tree, parts, groups.len()),
    };
    if division.is_joint() {
        for group in &mut groups {
            let index = group.index;
            group.roots.retain(|root| membership.is_member(root.process, index));
        }
    }
    let sizes = membership.count(groups.len(), |process| process < snapshot.read());
    for (group, size) in groups.iter_mut().zip(sizes) {
        group.size = size;
    }
    (groups, membership)
}

fn drafts(names: Names<'_>, roots: &[Root]) -> Vec<(Label, Draft)> {
    let Names { selectors, snapshot, control_groups, .. } = names;
    let last = || Draft { order: usize::MAX, ..Draft::default() };
    let mut drafts: BTreeMap<Label, Draft> = BTreeMap::new();
    for (order, selector) in selectors.iter().enumerate() {
        if let Some(name) = selector.name() {
            let draft = || Draft { order, named_by: Some(order), ..Draft::default() };
            let draft = drafts.entry(name.clone()).or_insert_with(draft);
            draft.counts_control_groups |= selector.takes_control_groups();
        }
    }
    fn is_given(drafts: &BTreeMap<Label, Draft>) -> impl Fn(&Label) -> bool {
        |label| drafts.get(label).is_some_and(|draft| draft.named_by.is_some())
    }
    // Roots with the same name of their own share a label, which is made once per name.
    let mut labels: Vec<Option<Label>> = vec![None; snapshot.names.texts().len()];
    for &root in roots {
        let selector = &selectors[root.selector];
        let label = if selector.naming == Naming::Own {
            let label = &mut labels[process::Names::index(snapshot.processes[root.process].comm)];
            if label.is_none() {
                *label = names.of_root(root, is_given(&drafts));
            }
            label.clone()
        } else {
            names.of_root(root, is_given(&drafts))
        };
        let Some(label) = label else { continue };
        let draft = drafts.entry(label).or_insert_with(last).picked_by(root.selector);
        if selector.children { &mut draft.roots } else { &mut draft.lone }.push(root);
    }
    for (index, control_group) in control_groups.iter().enumerate() {
        let whole = |&&selector: &&usize| selectors[selector].takes_control_groups();
        for &selector in control_group.selectors.iter().filter(whole) {
            let label = names.of_control_group(index, selector, is_given(&drafts));
            let Some(label) = label else { continue };
            let draft = drafts.entry(label).or_insert_with(last);
            draft.picked_by(selector).control_groups.push(Picked { index, selector });
        }
    }
    let mut drafts: Vec<(Label, Draft)> = drafts.into_iter().collect();
    // Groups of one selector are in the order of their names.
    drafts.sort_unstable_by(|(one, draft), (other, after)| {
        (draft.order, one).cmp(&(after.order, other))
    });
    drafts
}

/// Forms a group, and adds the processes that belong to it by themselves to `parts`.
fn group(
    (index, label): (usize, Label),
    draft: Draft,
    (population, division): (Population<'_>, Division),
    parts: &mut Vec<Part>,
) -> Group {
    let Population { snapshot, control_groups, .. } = population;
    let mut add = |process, kind| parts.push(Part { process, group: index as u32, kind });
    // Who is in the rest depends on who is in the other groups.
    let of_others = draft.roots.iter().filter(|root| Some(root.selector) != division.rest);
    of_others.for_each(|root| add(root.process, Kind::WithChildren));
    draft.lone.iter().for_each(|root| add(root.process, Kind::Alone));
    let mut picked = picked(&draft.control_groups, population, &mut add);
    if division.is_exclusive {
        // A counter counts all processes of its control group, and some may belong to other groups.
        picked.iter_mut().for_each(|picked| picked.counter = None);
    }
    let by_descent = draft.control_groups.is_empty();
    if let Some(init) = snapshot.find(Pid::INIT) {
        // Process 1 waits for processes of units. The counters of the units include their time.
        if draft.counts_control_groups {
            add(init, Kind::Waits);
        }
        if !by_descent {
            add(init, Kind::WaitsUncounted);
        }
    }
    let mut roots = draft.roots;
    roots.extend(draft.lone);
    roots.sort_unstable_by_key(|root| (root.process, root.selector));
    let foreign = |picked: &PickedControlGroup| {
        let below = &control_groups[picked.index..control_groups[picked.index].end];
        below.iter().map(|group| group.foreign).sum::<u64>()
    };
    Group {
        label,
        selector: draft.named_by.unwrap_or(draft.order),
        named: draft.named_by.is_some(),
        by_descent,
        rest: None,
        doubt: None,
        foreign: picked.iter().map(foreign).sum(),
        control_groups: picked,
        roots,
        index,
        size: 0,
    }
}

/// The control groups that were picked, with their counters. `picked` is sorted by index. Adds their
/// processes.
fn picked(
    picked: &[Picked],
    population: Population<'_>,
    mut add: impl FnMut(usize, Kind),
) -> Vec<PickedControlGroup> {
    let Population { snapshot, control_groups: all, .. } = population;
    let mut topmost = Vec::new();
    let mut covered_up_to = 0;
    for same in picked.chunk_by(|one, other| one.index == other.index) {
        let index = same[0].index;
        if index < covered_up_to {
            // It is below the one before.
            continue;
        }
        let top = &all[index];
        covered_up_to = top.end;
        let counter = top.used.map(|used| Counter { path: top.path.clone(), id: top.id, used });
        let is_manager = top.unit.as_deref() == Some(systemd::MANAGER_SCOPE);
        let pids = all[index..top.end].iter().flat_map(|below| &below.pids);
        for process in pids.filter_map(|&pid| snapshot.find(pid)) {
            if counter.is_some() {
                add(process, Kind::Counted);
                continue;
            }
            add(process, Kind::Uncounted);
            if is_manager {
                add(process, Kind::Waits);
            }
        }
        let selectors = same.iter().map(|picked| picked.selector).collect();
        topmost.push(PickedControlGroup { index, selectors, counter });
    }
    topmost
}
