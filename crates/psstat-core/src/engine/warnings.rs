//! Warnings about processes and control groups that a sample could not see.

use crate::account::group::Group;
use crate::diagnostics::{Diagnostics, Warning};
use crate::field::Field;
use crate::kernel::Kernel;
use crate::model::buffer::Buffer;
use crate::model::control_group::ControlGroup;
use crate::model::label::Label;
use crate::model::snapshot::Snapshot;
use crate::model::units::Pid;
use crate::plan::Plan;
use crate::select::selector::Source;
use alloc::vec::Vec;

/// Warns of processes and control groups that cannot be seen. If processes `are_hidden`, counts those
/// that control groups list and `/proc` hides.
pub fn warn_of_unseen(
    plan: &Plan,
    control_groups: &mut [ControlGroup],
    snapshot: &Snapshot,
    are_hidden: bool,
    diagnostics: &mut Diagnostics,
) {
    if !are_hidden {
        warn_of_foreign(plan, control_groups, diagnostics);
    }
    count_unread(control_groups, snapshot, are_hidden);
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

/// Counts the processes that control groups list as foreign members if they could not be read, or if
/// `/proc` hides processes and does not show them.
fn count_unread(control_groups: &mut [ControlGroup], snapshot: &Snapshot, are_hidden: bool) {
    let is_unread = |&&pid: &&Pid| {
        (are_hidden && snapshot.find(pid).is_none()) || snapshot.unread.binary_search(&pid).is_ok()
    };
    for group in control_groups {
        group.foreign += group.pids.iter().filter(is_unread).count() as u64;
    }
}

/// Warns of members that have no pid in this pid namespace, if a field needs their files.
fn warn_of_foreign(plan: &Plan, control_groups: &[ControlGroup], diagnostics: &mut Diagnostics) {
    let foreign: u64 = control_groups.iter().map(|group| group.foreign).sum();
    let lacks_them =
        |field: &Field| !matches!(field, Field::Processes | Field::CpuShare | Field::CpuTime);
    if foreign > 0 && plan.fields.as_slice().iter().any(lacks_them) {
        diagnostics.add(Warning::ForeignMembers(foreign));
    }
}
