//! Warnings about processes and control groups that a sample could not see.

use crate::account::group::Group;
use crate::diagnostics::{Diagnostics, Warning};
use crate::field::Field;
use crate::kernel::Kernel;
use crate::model::buffer::Buffer;
use crate::model::control_group::ControlGroup;
use crate::model::label::Label;
use crate::model::report::Report;
use crate::model::snapshot::Snapshot;
use crate::model::units::Pid;
use crate::plan::Plan;
use crate::select::selector::Source;
use alloc::vec::Vec;

/// Warns of processes and control groups that cannot be seen, among them those that `/proc` hides if
/// processes `are_hidden`. Counts the processes that control groups list and nobody could read.
pub fn warn_of_unseen(
    plan: &Plan,
    control_groups: &mut [ControlGroup],
    snapshot: &Snapshot,
    are_hidden: bool,
    diagnostics: &mut Diagnostics,
) {
    let lacks_them = |field: &Field| {
        !matches!(field, Field::Processes | Field::CpuShare | Field::CpuTime)
            && !field.is_of_control_groups()
    };
    let is_complete = !plan.fields.as_slice().iter().any(lacks_them);
    let mut warn = |count: u64, warning: fn(u64) -> Warning| {
        if count > 0 && !is_complete {
            diagnostics.add(warning(count));
        }
    };
    let foreign = control_groups.iter().map(|group| group.foreign).sum();
    warn(foreign, Warning::ForeignMembers);
    let is_unread = |&&pid: &&Pid| {
        (are_hidden && snapshot.find(pid).is_none()) || snapshot.unread.binary_search(&pid).is_ok()
    };
    let mut unread = 0;
    for group in control_groups {
        let in_group = group.pids.iter().filter(is_unread).count() as u64;
        group.foreign += in_group;
        unread += in_group;
    }
    if are_hidden {
        warn(unread, Warning::HiddenMembers);
    }
}

/// The warning that `/proc` hides processes (hidepid), if it does. Every pid namespace has a process 1,
/// so if `/proc` does not show it, it hides others too.
pub fn hidden_processes(kernel: &impl Kernel, snapshot: &Snapshot) -> Option<Warning> {
    let are_hidden = kernel.is_genuine()
        && snapshot.find(Pid::INIT).is_none()
        && kernel.stat(Pid::INIT, &mut Buffer::default()).is_err();
    let proc = || kernel.constants().proc_path.clone();
    are_hidden.then(|| Warning::HiddenProcesses { proc: proc() })
}

/// Warns of groups whose line shows no process if psstat sees only the processes of a container. `groups`
/// are all groups. Those of units are left out: they are the container's own, or there would be none in
/// sight.
pub fn warn_of_container(
    kernel: &impl Kernel,
    plan: &Plan,
    groups: &[Group],
    diagnostics: &mut Diagnostics,
) {
    let is_of_units =
        |group: &Group| matches!(plan.selectors[group.selector].source, Source::Unit(_));
    let is_empty = |group: &&Group| {
        group.named
            && group.doubt.is_none()
            && group.size == 0
            && group.foreign == 0
            && !is_of_units(group)
    };
    let empty = groups.iter().filter(is_empty).map(|group| group.label.clone());
    let groups: Vec<Label> = empty.collect();
    let mut pids = Vec::new();
    if !groups.is_empty() && kernel.is_contained() && kernel.pids(&mut pids).is_ok() {
        diagnostics.add(Warning::OnlyContainer { groups, processes: pids.len() });
    }
}

/// Warns of groups that hold more memory than the machine has, according to the mode.
pub fn warn_of_memory(plan: &Plan, reports: &[Report], diagnostics: &mut Diagnostics) {
    if !plan.fields.as_slice().contains(&Field::MemoryShare) {
        return;
    }
    let is_too_much = |report: &&Report| report.memory.is_some_and(|share| share > 1.0);
    let groups = reports.iter().filter(is_too_much).map(|report| report.label.clone());
    let groups: Vec<Label> = groups.collect();
    if !groups.is_empty() {
        diagnostics.add(Warning::MoreThanMachine { groups, mode: plan.memory.name() });
    }
}
