//! What is in each group, and why: plain data, drawn from two samples.
//!
//! *Example:* two samples of `--pattern web:nginx`, a second apart. The group `web` has six rows: the master,
//! which the selector picked, and below it five workers, which are its children. Each row has the CPU time
//! that the process used itself. What children that have ended used is a value of its own, so that the rows
//! add up to the line of the group.

pub mod departed;
pub mod facts;
pub mod json;
pub mod misses;
pub mod text;

use crate::account::group::{Group, Population, Reason};
use crate::account::memory::{Accounted, Anonymous, Breakdown, Sum};
use crate::account::sets::SetIndex;
use crate::account::sharing;
use crate::diagnostics::Warning;
use crate::engine::Sample;
use crate::model::collect;
use crate::model::control_group::{ControlGroup, with_below};
use crate::model::label::Label;
use crate::model::memory::{AnonymousSource, Footprint, MemoryMode, Share};
use crate::model::process::{Life, Process};
use crate::model::report::Report;
use crate::model::units::{Bytes, Hz, Pid, Ticks};
use crate::plan::Plan;
use crate::select::roots::Root;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// A group has at most so many rows.
const ROWS_OF_GROUP: usize = 500;

/// All groups together have at most so many rows.
const ROWS: usize = 20_000;

/// A row names at most so many other groups of its process.
const ALSO_IN: usize = 3;

/// A group.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// The selectors that form it.
    pub selectors: Vec<String>,
    /// Their indices in the plan.
    pub selector_indices: Vec<usize>,
    /// The indices of those that pick no process.
    pub idle: Vec<usize>,
    /// Its values. `None` if it has no line: it is not known who belongs to it.
    pub report: Option<Report>,
    /// Why it is not known who belongs to it. `None` if it is known.
    pub unknown: Option<String>,
    /// Its members, parents before their children. If there are too many, some of them.
    pub rows: Vec<Row>,
    /// How many members have no row.
    pub more: usize,
    /// How many cores children that have ended used, and whatever else the counter shows besides what live
    /// processes used. `None` if it is not known.
    pub cpu_of_ended: Option<f64>,
    /// The control groups whose counter the CPU time comes from.
    pub counters: Vec<String>,
    /// Where its memory comes from. `None` if the memory was not read.
    pub memory: Option<MemoryView>,
    /// Processes that match a selector and are left out.
    pub left_out: Vec<LeftOut>,
    /// How many processes in its control groups cannot be read.
    pub hidden: u64,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its pid.
    pub pid: Pid,
    /// The number of its ancestors that are members, without a gap.
    pub depth: usize,
    /// Its name.
    pub name: String,
    /// Whether it has ended and was not waited for.
    pub is_zombie: bool,
    /// How many cores it used itself. `None` if it is not known.
    pub cpu: Option<f64>,
    /// Its resident memory, in bytes. `None` if it is not known.
    pub memory: Option<u64>,
    /// Where its share of the anonymous memory comes from. `None` if the memory was not read.
    pub source: Option<MemorySource>,
    /// Number of threads.
    pub threads: u32,
    /// Why it is a member.
    pub why: Why,
    /// Other groups that it is in. Some of them, if it is in many.
    pub also_in: Vec<String>,
}

/// Why a process is a member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// A selector picked it.
    Picked {
        /// The selector.
        by: String,
        /// Its index in the plan.
        selector: usize,
        /// Its parent, if that is a member too: without the selector, it would be one all the same.
        child_of: Option<Pid>,
    },
    /// It is in a control group that a selector picked, or below one.
    In {
        /// The path of the control group.
        control_group: String,
        /// The selector.
        by: String,
    },
    /// It is a child of a member.
    ChildOf(Pid),
}

/// Where the anonymous memory of a process comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemorySource {
    /// The account of its control group.
    Account,
    /// `smaps_rollup`.
    Proportional,
    /// Resident - shared, less what relatives are known to share.
    Relatives,
    /// `statm`.
    Resident,
}

/// Where the memory of a group comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryView {
    /// The mode.
    pub mode: MemoryMode,
    /// The parts.
    pub parts: Breakdown,
    /// The control groups whose account counts, with their anonymous memory in bytes.
    pub accounts: Vec<(String, u64)>,
    /// The number of processes whose memory is known from `statm` only. In [`MemoryMode::Auto`], of those that
    /// may have memory in common, which counts once for each of them. 0 if it makes no difference.
    pub by_statm: usize,
}

/// A process that matches a selector and is left out, because it is psstat or runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The process.
    pub pid: Pid,
    /// Its name.
    pub name: String,
    /// The selector that it matches.
    pub selector: String,
}

/// Describes each group of the last of some samples, which follow each other, and then each selector that forms
/// none. CPU time is that since the sample before. The machine has `hz` ticks per second. There is nothing to
/// describe if there is no sample.
pub fn groups(plan: &Plan, hz: Hz, samples: &[&Sample]) -> Vec<GroupView> {
    let Some((&now, earlier)) = samples.split_last() else { return Vec::new() };
    let view = View { plan, hz, samples, before: earlier.last().copied(), now };
    let context = view.context(None);
    let mut groups: Vec<GroupView> =
        now.groups.iter().map(|group| view.group(group, &context)).collect();
    let described = groups.iter().flat_map(|group| group.selector_indices.iter().copied());
    let described: BTreeSet<usize> = collect::set(described);
    for (index, selector) in plan.selectors.iter().enumerate() {
        if !described.contains(&index) && !plan.hides(index) {
            let mut none = GroupView::none(selector.terms_and_place(), index);
            let doubt = now.in_doubt.iter().find(|(selector, _)| *selector == index);
            none.unknown = doubt.map(|(_, cause)| cause.to_string());
            none.left_out = view.left_out(&[index], |_, _| true);
            groups.push(none);
        }
    }
    groups
}

impl GroupView {
    /// Whether it has no process.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.more == 0
    }

    /// In place of a group, for a selector without a name that picks nothing.
    fn none(selector: String, index: usize) -> GroupView {
        GroupView {
            name: String::from("(no group)"),
            selectors: Vec::from([selector]),
            selector_indices: Vec::from([index]),
            idle: Vec::from([index]),
            report: None,
            unknown: None,
            rows: Vec::new(),
            more: 0,
            cpu_of_ended: None,
            counters: Vec::new(),
            memory: None,
            left_out: Vec::new(),
            hidden: 0,
        }
    }
}

/// Describes one group, as [`groups`] does. `None` if there is no such group.
pub fn group(plan: &Plan, hz: Hz, samples: &[&Sample], label: &Label) -> Option<GroupView> {
    let (&now, earlier) = samples.split_last()?;
    let view = View { plan, hz, samples, before: earlier.last().copied(), now };
    let group = now.groups.iter().find(|group| group.label == *label)?;
    Some(view.group(group, &view.context(Some(group.index))))
}

/// Some samples that follow each other.
struct View<'v> {
    plan: &'v Plan,
    hz: Hz,
    samples: &'v [&'v Sample],
    before: Option<&'v Sample>,
    now: &'v Sample,
}

/// What is worked out for all groups together. With one pass for each group, the time would grow with the
/// square of the number of groups that are below each other.
struct Context<'s> {
    /// The reports of the groups that have one.
    reports: BTreeMap<&'s Label, &'s Report>,
    /// For each group: the members that have a row, sorted.
    shown: Vec<Vec<usize>>,
    /// For each group: what its members have together.
    totals: Vec<Totals>,
    /// For each control group whose account counts: the memory of its members.
    accounted: Vec<Accounted>,
    /// For each process: how many cores it used itself.
    cpu: Vec<Option<f64>>,
    /// Why it is not known who belongs to a group.
    causes: BTreeMap<Label, String>,
    index: SetIndex,
}

/// What some processes have together.
#[derive(Clone, Copy, Default)]
struct Totals {
    /// How many there are.
    count: usize,
    /// How many cores they used themselves.
    cpu: f64,
    memory: Sum,
    /// How many have memory that is known from `statm` only, and may have it in common.
    by_statm: usize,
    /// Their anonymous memory.
    statm: Anonymous,
}

impl Totals {
    fn join(&mut self, other: &Totals) {
        self.count += other.count;
        self.cpu += other.cpu;
        self.memory.join(&other.memory);
        self.by_statm += other.by_statm;
        self.statm.join(&other.statm);
    }
}

/// How many rows each of some groups with so many members gets.
fn share_out(counts: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut left = ROWS;
    let take = |count: usize| {
        let rows = count.min(ROWS_OF_GROUP).min(left);
        left -= rows;
        rows
    };
    counts.map(take).collect()
}

impl View<'_> {
    /// If `only` is the number of a group, no other needs rows.
    fn context(&self, only: Option<usize>) -> Context<'_> {
        let Sample { snapshot, membership, readings, groups, reports, diagnostics, .. } = self.now;
        let sets = &membership.sets;
        let cpu: Vec<Option<f64>> =
            (0..snapshot.processes.len()).map(|index| self.cpu(index)).collect();
        let totals = sets.per_group(
            self.totals_of_sets(&cpu),
            groups.len(),
            |sum: &mut Totals, totals, _| sum.join(totals),
            Totals::join,
        );
        let is_shown = |index: usize| only.is_none_or(|only| only == index);
        let counts = totals.iter().enumerate();
        let rows =
            share_out(counts.map(|(index, totals)| if is_shown(index) { totals.count } else { 0 }));
        let mut left: usize = rows.iter().sum();
        let mut shown: Vec<Vec<usize>> = vec![Vec::new(); groups.len()];
        for (index, &set) in membership.members.iter().enumerate() {
            if left == 0 {
                break;
            }
            if snapshot.processes[index].life == Life::Gone {
                continue;
            }
            for group in sets.groups(set).map(|set| set.group as usize) {
                if shown[group].len() < rows[group] {
                    shown[group].push(index);
                    left -= 1;
                }
            }
        }
        let accounted = readings.accounted.iter().map(|one| Accounted::of(one, readings));
        let mut causes = BTreeMap::new();
        for warning in diagnostics.iter() {
            if let Warning::NoLine { groups, cause } = warning {
                let why = cause.to_string();
                causes.extend(groups.iter().map(|label| (label.clone(), why.clone())));
            }
        }
        let index = SetIndex::new(sets);
        let reports = reports.iter().map(|report| (&report.label, report)).collect();
        Context { reports, shown, totals, accounted: accounted.collect(), cpu, causes, index }
    }

    /// For each set of groups: what the processes in exactly these groups have together.
    fn totals_of_sets(&self, cpu: &[Option<f64>]) -> Vec<Totals> {
        let Sample { snapshot, membership, readings, .. } = self.now;
        let mut of_sets = vec![Totals::default(); membership.sets.count()];
        for (index, set) in membership.members.iter().enumerate() {
            if snapshot.processes[index].life != Life::Gone {
                let totals = &mut of_sets[set.index()];
                totals.count += 1;
                totals.cpu += cpu[index].unwrap_or_default();
            }
        }
        let processes = snapshot.processes.iter().map(|process| (process.id.pid, process.parent));
        let relatives = sharing::count_relatives(processes);
        let accounted = readings.accounted.iter().flat_map(|one| one.members.iter().copied());
        let accounted: BTreeSet<usize> = collect::set(accounted);
        let footprints = readings.footprints.iter().flatten();
        for (&index, footprint) in readings.members.iter().zip(footprints) {
            let totals = &mut of_sets[membership.members[index].index()];
            totals.memory.add(self.plan.memory, footprint);
            let Footprint::Known(share) = footprint else { continue };
            let is_by_statm = match self.plan.memory {
                MemoryMode::Auto => {
                    let is_from_statm = share.source == AnonymousSource::Resident;
                    is_from_statm && relatives[index] > 1 && !accounted.contains(&index)
                }
                // A kernel thread has no memory.
                MemoryMode::Pss => {
                    let has_memory = share.anonymous_whole + share.mapped_whole > Bytes(0);
                    share.proportional.is_none() && has_memory
                }
                MemoryMode::SharedOnce | MemoryMode::Rss => false,
            };
            if is_by_statm {
                totals.by_statm += 1;
                totals.statm.add(share.anonymous_whole);
            }
        }
        of_sets
    }

    fn group(&self, group: &Group, context: &Context<'_>) -> GroupView {
        let Sample { control_groups, readings, membership, snapshot, .. } = self.now;
        let report = context.reports.get(&group.label).map(|&report| report.clone());
        let totals = &context.totals[group.index];
        let rows = self.rows(group, context);
        let cpu = report.as_ref().and_then(|report| report.cpu);
        let counted = group.control_groups.iter().filter(|picked| picked.counter.is_some());
        let path = |index: usize| path_of(&control_groups[index].path);
        let indices = self.selectors(group);
        let selectors = indices.iter().map(|&index| self.plan.selectors[index].terms_and_place());
        let unknown = group.doubt.map(|_| {
            let cause = context.causes.get(&group.label).cloned();
            cause.unwrap_or_else(|| String::from("see the warnings"))
        });
        let is_member = |pid: Pid| {
            let found = snapshot.find(pid);
            let set = found.map(|index| membership.members[index]);
            set.is_some_and(|set| context.index.find(set, group.index as u32).is_some())
        };
        let is_readable = unknown.is_none() && readings.footprints.is_some();
        GroupView {
            name: group.label.to_string(),
            selectors: selectors.collect(),
            selector_indices: indices.clone(),
            idle: indices.iter().copied().filter(|&index| self.is_idle(group, index)).collect(),
            report,
            cpu_of_ended: cpu.map(|cpu| (cpu - totals.cpu).max(0.0)),
            counters: counted.map(|picked| path(picked.index)).collect(),
            memory: if is_readable { self.memory(group, context) } else { None },
            unknown,
            left_out: self.left_out(&indices, |pid, name| {
                // Without a name of its own, a group has the processes of one name.
                !is_member(pid) && (group.named || *name == *group.label.as_str())
            }),
            hidden: group.foreign,
            more: totals.count - rows.len(),
            rows,
        }
    }

    /// The selectors that name the group or, if none does, those that picked a part of it.
    fn selectors(&self, group: &Group) -> Vec<usize> {
        let all = self.plan.selectors.iter().enumerate();
        let is_one = |index: usize, name: Option<&Label>| match name {
            Some(name) => group.named && *name == group.label,
            None => group.is_picked_by(index),
        };
        all.filter(|(index, selector)| is_one(*index, selector.name()))
            .map(|(index, _)| index)
            .collect()
    }

    /// Whether a selector picks no process for the group.
    fn is_idle(&self, group: &Group, selector: usize) -> bool {
        let all = &self.now.control_groups;
        let has_process = |index: usize| {
            with_below(all, index).iter().any(|one| !one.pids.is_empty() || one.foreign > 0)
        };
        let picks = |(index, one): (usize, &ControlGroup)| {
            one.selectors.contains(&selector) && has_process(index)
        };
        let is_control_group = self.plan.selectors[selector].takes_control_groups();
        if is_control_group {
            !all.iter().enumerate().any(picks)
        } else {
            !group.is_picked_by(selector)
        }
    }

    /// The members that have a row, parents before their children.
    fn rows(&self, group: &Group, context: &Context<'_>) -> Vec<Row> {
        let tree = &self.now.tree;
        let all = &context.shown[group.index];
        let mut children: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
        for &index in all {
            let parent = tree.parent(index).filter(|parent| all.binary_search(parent).is_ok());
            children.entry(parent).or_default().push(index);
        }
        let mut to_visit: Vec<(usize, usize)> = Vec::new();
        let mut add_below = |parent: Option<usize>, depth: usize, to_visit: &mut Vec<_>| {
            let below = children.remove(&parent).unwrap_or_default();
            to_visit.extend(below.into_iter().rev().map(|index| (index, depth)));
        };
        add_below(None, 0, &mut to_visit);
        let mut rows = Vec::with_capacity(all.len());
        let mut is_met = BTreeSet::new();
        let mut others = all.iter();
        loop {
            while let Some((index, depth)) = to_visit.pop() {
                if !is_met.insert(index) {
                    continue;
                }
                rows.push(self.row(group, (index, depth), context));
                add_below(Some(index), depth + 1, &mut to_visit);
            }
            // The parents in a fabricated procfs can form a cycle.
            match others.find(|index| !is_met.contains(index)) {
                Some(&index) => to_visit.push((index, 0)),
                None => return rows,
            }
        }
    }

    fn row(&self, group: &Group, (index, depth): (usize, usize), context: &Context<'_>) -> Row {
        let Sample { snapshot, readings, .. } = self.now;
        let process = &snapshot.processes[index];
        let footprints = readings.footprints.as_ref();
        let share = footprints.and_then(|all| readings.at(all, index));
        let share = match share {
            Some(Footprint::Known(share)) => Some(share),
            _ => None,
        };
        let mut accounted = readings.accounted.iter();
        let is_accounted = accounted.any(|accounted| {
            accounted.members.binary_search(&index).is_ok()
                && accounted.groups.binary_search(&(group.index as u32)).is_ok()
        });
        let resident = |share: &Share| {
            share.proportional.unwrap_or(share.anonymous_whole + share.mapped_whole)
                + share.huge
                + share.shared_huge
        };
        Row {
            pid: process.id.pid,
            depth,
            name: name_of(snapshot.names.text(process.comm)),
            is_zombie: process.life == Life::Zombie,
            cpu: context.cpu[index],
            memory: share.map(|share| resident(share).0),
            source: share.map(|share| match share.source {
                _ if is_accounted => MemorySource::Account,
                _ if share.proportional.is_some() => MemorySource::Proportional,
                AnonymousSource::Proportional => MemorySource::Proportional,
                AnonymousSource::Relatives => MemorySource::Relatives,
                AnonymousSource::Resident => MemorySource::Resident,
            }),
            threads: process.threads,
            why: self.why(group, index, context),
            also_in: self.also_in(group, index),
        }
    }

    fn also_in(&self, group: &Group, index: usize) -> Vec<String> {
        let Sample { membership, groups, .. } = self.now;
        let of_process = membership.sets.groups(membership.members[index]);
        let numbers = of_process.map(|set| set.group as usize);
        let others = numbers.filter(|&number| number != group.index).take(ALSO_IN);
        others.filter_map(|number| groups.get(number)).map(|one| one.label.to_string()).collect()
    }

    fn why(&self, group: &Group, index: usize, context: &Context<'_>) -> Why {
        let Sample { snapshot, tree, control_groups, membership, .. } = self.now;
        let population = Population { snapshot, tree, control_groups };
        let pid_of = |index: usize| snapshot.processes[index].id.pid;
        let by = |selector: usize| self.plan.selectors[selector].terms_and_place();
        match group.reason(index, population) {
            Some(Reason::Root { selector }) => {
                let parent = tree.parent(index);
                let is_member = |&parent: &usize| {
                    let set = membership.members[parent];
                    context.index.find(set, group.index as u32).is_some()
                };
                let child_of = parent.filter(is_member).map(pid_of);
                Why::Picked { by: by(selector), selector, child_of }
            }
            Some(Reason::ControlGroup { selector, control_group }) => Why::In {
                control_group: path_of(&control_groups[control_group].path),
                by: by(selector),
            },
            Some(Reason::Child { parent }) => Why::ChildOf(pid_of(parent)),
            None => Why::ChildOf(snapshot.processes[index].parent),
        }
    }

    /// How many cores a process used itself since the sample before.
    fn cpu(&self, index: usize) -> Option<f64> {
        let before = self.before?;
        let process = &self.now.snapshot.processes[index];
        let elapsed = self.now.readings.cpu_read.since(before.readings.cpu_read);
        let own = |sample: &Sample, index: usize| {
            sample.readings.at(&sample.readings.own_times, index).copied()
        };
        let now = own(self.now, index)?;
        let then = match before.snapshot.find(process.id.pid) {
            Some(index) if before.snapshot.processes[index].id == process.id => own(before, index),
            _ => None,
        };
        let is_new = process.id.start >= Ticks::at(before.snapshot.taken, self.hz);
        let used = match then {
            Some(then) => now.since(then),
            None if is_new => now,
            None => return None,
        };
        (elapsed > 0).then(|| used.0 as f64 / elapsed as f64)
    }

    fn memory(&self, group: &Group, context: &Context<'_>) -> Option<MemoryView> {
        let Sample { readings, machine_memory, .. } = self.now;
        if !group.is_seen_whole() {
            return None;
        }
        let Totals { memory, by_statm, statm, .. } = &context.totals[group.index];
        let number = group.index as u32;
        let of_group: Vec<_> = readings
            .accounted
            .iter()
            .zip(&context.accounted)
            .filter(|(one, _)| one.groups.binary_search(&number).is_ok())
            .collect();
        let accounted = of_group.iter().map(|(_, accounted)| *accounted);
        let mode = self.plan.memory;
        let parts = memory.breakdown(mode, accounted, *machine_memory)?;
        let makes_a_difference = mode != MemoryMode::Auto || statm.can_be_shared();
        let accounts =
            of_group.iter().map(|(one, _)| (path_of(&one.path), one.account.anonymous.0));
        Some(MemoryView {
            mode,
            parts,
            accounts: accounts.collect(),
            by_statm: if makes_a_difference { *by_statm } else { 0 },
        })
    }

    /// The processes that would be roots if they were not psstat and did not run it. The first sample
    /// looks at all processes, later ones at those that may have changed. A member is not left out.
    fn left_out(&self, selectors: &[usize], is_one: impl Fn(Pid, &str) -> bool) -> Vec<LeftOut> {
        let mut left_out: Vec<LeftOut> = Vec::new();
        for sample in self.samples {
            for Root { selector, process } in &sample.own {
                let Process { id, comm, .. } = &sample.snapshot.processes[*process];
                let is_known = left_out.iter().any(|one| one.pid == id.pid);
                let name = name_of(sample.snapshot.names.text(*comm));
                if selectors.contains(selector) && !is_known && is_one(id.pid, &name) {
                    left_out.push(LeftOut {
                        pid: id.pid,
                        name,
                        selector: self.plan.selectors[*selector].terms_and_place(),
                    });
                }
            }
        }
        left_out
    }
}

/// The path of a control group, for people.
fn path_of(bytes: &[u8]) -> String {
    if bytes.is_empty() { String::from("/") } else { facts::text_of(bytes) }
}

/// The name of a process, for people.
fn name_of(bytes: &[u8]) -> String {
    if bytes.is_empty() { String::from("?") } else { facts::text_of(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_shared_out_up_to_both_limits() {
        let shared = share_out([3, ROWS_OF_GROUP + 1].into_iter());
        assert_eq!(shared, [3, ROWS_OF_GROUP]);
        let shared = share_out(core::iter::repeat_n(ROWS_OF_GROUP * 2, 1000));
        assert_eq!(shared.iter().sum::<usize>(), ROWS);
        assert_eq!(shared[ROWS / ROWS_OF_GROUP], 0, "nothing is left for it");
    }

    #[test]
    fn a_name_is_never_a_path() {
        assert_eq!((name_of(b"").as_str(), path_of(b"").as_str()), ("?", "/"));
        assert_eq!(name_of("a\u{202e}b".as_bytes()), "a?b");
    }
}
