//! Forms groups of the roots and control groups that selectors picked.

use super::counter::Counter;
use super::exclusive;
use super::group::{Group, PickedControlGroup, Population};
use super::membership::{Kind, Membership, Part};
use super::names::Names;
use super::tree::Tree;
use crate::model::control_group::with_below;
use crate::model::label::Label;
use crate::model::process;
use crate::model::units::Pid;
use crate::select::division::Division;
use crate::select::roots::{self, Root};
use crate::select::selector::Naming;
use crate::select::systemd;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

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

/// Forms the groups, in the order of their first selectors, then by name.
///
/// A group named by a selector exists even if it has no process. A root or control group whose name is not
/// known is in no group.
pub fn form(names: Names<'_>, roots: &[Root], tree: &Tree) -> (Vec<Group>, Membership) {
    let Names { snapshot, control_groups, division, .. } = names;
    let population = Population { snapshot, tree, control_groups };
    let drafts = drafts(names, roots);
    let is_rest = |(label, _): &(Label, Draft)| Some(label) == names.rest_name();
    let rest = drafts.iter().position(is_rest);
    let mut parts = Vec::new();
    let drafts = drafts.into_iter().enumerate();
    let mut groups: Vec<Group> = drafts
        .map(|(index, (label, draft))| {
            group((index, label), draft, (population, division), &mut parts)
        })
        .collect();
    let membership = match division.zip(rest) {
        None => Membership::new(tree, parts, groups.len()),
        Some((division, rest)) => {
            groups[rest].rest = Some(division.rest);
            let membership = if division.is_exclusive {
                exclusive::share(&mut groups, parts, population, rest as u32)
            } else {
                Membership::with_rest(tree, parts, groups.len(), rest as u32)
            };
            for group in &mut groups {
                let index = group.index;
                group.roots.retain(|root| membership.is_member(root.process, index));
            }
            membership
        }
    };
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
    (population, division): (Population<'_>, Option<Division>),
    parts: &mut Vec<Part>,
) -> Group {
    let Population { snapshot, control_groups, .. } = population;
    // A group with a name has the place of its first selector, others that of who picked the process.
    let named_by = draft.named_by;
    let mut add = |process, kind, selector: usize| {
        let order = named_by.unwrap_or(selector);
        parts.push(Part { process, group: index as u32, kind, order });
    };
    // Who is in the rest depends on who is in the other groups.
    let rest = division.map(|division| division.rest);
    let of_others = draft.roots.iter().filter(|root| Some(root.selector) != rest);
    of_others.for_each(|root| add(root.process, Kind::WithChildren, root.selector));
    draft.lone.iter().for_each(|root| add(root.process, Kind::Alone, root.selector));
    let mut picked = picked(&draft.control_groups, population, &mut add);
    if division.is_some_and(|division| division.is_exclusive) {
        // A counter counts all processes of its control group, and some may belong to other groups.
        picked.iter_mut().for_each(|picked| picked.counter = None);
    }
    let by_descent = draft.control_groups.is_empty();
    if let Some(init) = snapshot.find(Pid::INIT) {
        // Process 1 waits for processes of units. The counters of the units include their time.
        if draft.counts_control_groups {
            add(init, Kind::Waits, draft.order);
        }
        if !by_descent {
            add(init, Kind::WaitsUncounted, draft.order);
        }
    }
    let mut roots = draft.roots;
    roots.extend(draft.lone);
    roots::sort(&mut roots);
    let foreign = |picked: &PickedControlGroup| {
        with_below(control_groups, picked.index).iter().map(|group| group.foreign).sum::<u64>()
    };
    Group {
        label,
        selector: draft.named_by.unwrap_or(draft.order),
        named: draft.named_by.is_some(),
        by_descent,
        rest: None,
        has_all_of_control_groups: true,
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
    mut add: impl FnMut(usize, Kind, usize),
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
        let pids = with_below(all, index).iter().flat_map(|below| &below.pids);
        for process in pids.filter_map(|&pid| snapshot.find(pid)) {
            if counter.is_some() {
                add(process, Kind::Counted, same[0].selector);
                continue;
            }
            add(process, Kind::Uncounted, same[0].selector);
            if is_manager {
                add(process, Kind::Waits, same[0].selector);
            }
        }
        let selectors = same.iter().map(|picked| picked.selector).collect();
        topmost.push(PickedControlGroup { index, selectors, counter });
    }
    topmost
}
