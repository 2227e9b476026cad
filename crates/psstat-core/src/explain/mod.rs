//! What is in each group, and why: plain data, drawn from two samples.
//!
//! *Example:* two samples of `--pattern web:nginx`, a second apart. The group `web` has six rows: the master,
//! which the selector picked, and below it five workers, which are its children. Each row has the CPU time
//! that the process used itself. What children that have ended used is a value of its own, so that the rows
//! add up to the line of the group.

pub mod facts;
pub mod json;
pub mod misses;
pub mod text;

use crate::account::group::{Group, Reason};
use crate::account::memory::{Accounted, Breakdown, Sum};
use crate::engine::Sample;
use crate::model::label::Label;
use crate::model::memory::{AnonymousSource, Footprint, MemoryMode, Share};
use crate::model::process::{Life, Process};
use crate::model::report::Report;
use crate::model::units::{Bytes, Hz, Pid, Ticks};
use crate::plan::Plan;
use crate::select::roots::Root;
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// A group.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// The selectors that form it.
    pub selectors: Vec<String>,
    /// Their indices in the plan.
    pub selector_indices: Vec<usize>,
    /// Its values. `None` if it has no line: it is not known who belongs to it.
    pub report: Option<Report>,
    /// Its members, parents before their children.
    pub rows: Vec<Row>,
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
    let mut groups: Vec<GroupView> = now.groups.iter().map(|group| view.group(group)).collect();
    for (index, selector) in plan.selectors.iter().enumerate() {
        if !groups.iter().any(|group| group.selector_indices.contains(&index)) {
            let mut none = GroupView::none(selector.terms(), index);
            none.left_out = view.left_out(&[index]);
            groups.push(none);
        }
    }
    groups
}

impl GroupView {
    /// In place of a group, for a selector without a name that picks nothing.
    fn none(selector: String, index: usize) -> GroupView {
        GroupView {
            name: String::from("(no group)"),
            selectors: Vec::from([selector]),
            selector_indices: Vec::from([index]),
            report: None,
            rows: Vec::new(),
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
    Some(view.group(group))
}

/// Some samples that follow each other.
struct View<'v> {
    plan: &'v Plan,
    hz: Hz,
    samples: &'v [&'v Sample],
    before: Option<&'v Sample>,
    now: &'v Sample,
}

impl View<'_> {
    fn group(&self, group: &Group) -> GroupView {
        let Sample { reports, control_groups, readings, .. } = self.now;
        let report = reports.iter().find(|report| report.label == group.label).cloned();
        let rows = self.rows(group);
        let used: f64 = rows.iter().filter_map(|row| row.cpu).sum();
        let cpu = report.as_ref().and_then(|report| report.cpu);
        let counted = group.control_groups.iter().filter(|picked| picked.counter.is_some());
        let path = |index: usize| text_of(&control_groups[index].path);
        let indices = self.selectors(group);
        let selectors = indices.iter().map(|&index| self.plan.selectors[index].terms());
        GroupView {
            name: group.label.to_string(),
            selectors: selectors.collect(),
            selector_indices: indices.clone(),
            report,
            cpu_of_ended: cpu.map(|cpu| (cpu - used).max(0.0)),
            counters: counted.map(|picked| path(picked.index)).collect(),
            memory: readings.footprints.as_ref().and_then(|_| self.memory(group)),
            left_out: self.left_out(&indices),
            hidden: group.foreign,
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
        all.filter(|(index, selector)| is_one(*index, selector.name.as_ref()))
            .map(|(index, _)| index)
            .collect()
    }

    /// The members, parents before their children.
    fn rows(&self, group: &Group) -> Vec<Row> {
        let Sample { snapshot, tree, membership, .. } = self.now;
        let is_member = |index: usize| {
            membership.is_member(index, group.index) && snapshot.processes[index].life != Life::Gone
        };
        let all: Vec<usize> = (0..snapshot.processes.len()).filter(|&i| is_member(i)).collect();
        let members: BTreeSet<usize> = all.iter().copied().collect();
        let has_parent =
            |index: usize| tree.parent(index).is_some_and(|parent| members.contains(&parent));
        let mut to_visit: Vec<(usize, usize)> = all
            .iter()
            .rev()
            .filter(|&&index| !has_parent(index))
            .map(|&index| (index, 0))
            .collect();
        let mut rows = Vec::with_capacity(all.len());
        let mut is_met = BTreeSet::new();
        loop {
            while let Some((index, depth)) = to_visit.pop() {
                if !is_met.insert(index) {
                    continue;
                }
                rows.push(self.row(group, index, depth));
                let mut children: Vec<usize> =
                    tree.children(index).filter(|child| members.contains(child)).collect();
                children.sort_unstable_by(|one, other| other.cmp(one));
                to_visit.extend(children.into_iter().map(|child| (child, depth + 1)));
            }
            // The parents in a fabricated procfs can form a cycle.
            match all.iter().find(|index| !is_met.contains(index)) {
                Some(&index) => to_visit.push((index, 0)),
                None => return rows,
            }
        }
    }

    fn row(&self, group: &Group, index: usize, depth: usize) -> Row {
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
            name: text_of(snapshot.names.text(process.comm)),
            is_zombie: process.life == Life::Zombie,
            cpu: self.cpu(index),
            memory: share.map(|share| resident(share).0),
            source: share.map(|share| match share.source {
                _ if is_accounted => MemorySource::Account,
                AnonymousSource::Proportional => MemorySource::Proportional,
                AnonymousSource::Relatives => MemorySource::Relatives,
                AnonymousSource::Resident => MemorySource::Resident,
            }),
            threads: process.threads,
            why: self.why(group, index),
        }
    }

    fn why(&self, group: &Group, index: usize) -> Why {
        let Sample { snapshot, tree, control_groups, .. } = self.now;
        let pid_of = |index: usize| snapshot.processes[index].id.pid;
        let by = |selector: usize| self.plan.selectors[selector].terms();
        match self.now.reason(group, index) {
            Some(Reason::Root { selector }) => {
                let parent = tree.parent(index);
                let is_member =
                    |&parent: &usize| self.now.membership.is_member(parent, group.index);
                let child_of = parent.filter(is_member).map(pid_of);
                Why::Picked { by: by(selector), selector, child_of }
            }
            Some(Reason::ControlGroup { selector, control_group }) => Why::In {
                control_group: text_of(&control_groups[control_group].path),
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

    fn memory(&self, group: &Group) -> Option<MemoryView> {
        let Sample { readings, membership, machine_memory, .. } = self.now;
        let footprints = readings.footprints.as_ref()?;
        if !group.is_seen_whole() {
            return None;
        }
        let mut sum = Sum::default();
        for (&index, footprint) in readings.members.iter().zip(footprints) {
            if membership.is_member(index, group.index) {
                sum.add(self.plan.memory, footprint);
            }
        }
        let number = group.index as u32;
        let of_group = readings.accounted.iter();
        let of_group: Vec<_> =
            of_group.filter(|one| one.groups.binary_search(&number).is_ok()).collect();
        let accounted: Vec<Accounted> = of_group
            .iter()
            .map(|one| {
                let mut accounted = Accounted { account: one.account, ..Accounted::default() };
                for &member in &one.members {
                    if let Some(Footprint::Known(share)) = readings.at(footprints, member) {
                        accounted.add(share);
                    }
                }
                accounted
            })
            .collect();
        let parts = sum.breakdown(self.plan.memory, accounted.iter(), *machine_memory)?;
        let account = |path: &[u8], Bytes(bytes): Bytes| (text_of(path), bytes);
        let accounts =
            of_group.iter().map(|one| account(&one.path, one.account.anonymous)).collect();
        Some(MemoryView { mode: self.plan.memory, parts, accounts })
    }

    /// The processes that would be roots if they were not psstat and did not run it. The first sample
    /// looks at all processes, later ones at those that may have changed.
    fn left_out(&self, selectors: &[usize]) -> Vec<LeftOut> {
        let mut left_out: Vec<LeftOut> = Vec::new();
        for sample in self.samples {
            for Root { selector, process } in &sample.own {
                let Process { id, comm, .. } = &sample.snapshot.processes[*process];
                let is_known = left_out.iter().any(|one| one.pid == id.pid);
                if selectors.contains(selector) && !is_known {
                    left_out.push(LeftOut {
                        pid: id.pid,
                        name: text_of(sample.snapshot.names.text(*comm)),
                        selector: self.plan.selectors[*selector].terms(),
                    });
                }
            }
        }
        left_out
    }
}

/// A text for people, without control characters.
fn text_of(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return String::from("/");
    }
    Label::lossy(bytes).to_string()
}
