//! The control groups that processes name in their `/proc/PID/cgroup`, for machines on which no
//! hierarchy of control groups can be read.

use crate::account::accounts::Accounts;
use crate::diagnostics::{Diagnostics, What};
use crate::discovery::control_groups;
use crate::discovery::scan::{self, Scan};
use crate::kernel::{Kernel, Wanted};
use crate::model::buffer::Buffer;
use crate::model::control_group::{ControlGroup, Hierarchy};
use crate::model::process::Process;
use crate::model::read_error::{Reason, Unreadable};
use crate::model::units::Pid;
use crate::parse::cgroupfs;
use alloc::vec::Vec;

/// The wanted control groups, from `/proc/PID/cgroup` of every process. They have no counters.
///
/// A process that has ended since the scan names no group. It is removed from the scan: as a parent
/// outside the group, it would hide which member inherits from its children. A process is also
/// removed if its pid belongs to another process by now. A process that exists and has no such file
/// stays: the kernel was built without control groups, or this is a copy of a procfs.
pub fn find(
    kernel: &impl Kernel,
    wanted: Wanted<'_>,
    scan: &mut Scan,
    last: Option<&Accounts>,
    diagnostics: &mut Diagnostics,
) -> Hierarchy {
    let init = kernel.cgroup(Pid::INIT).unwrap_or_default();
    let mut unreadable = Unreadable::default();
    let mut paths = Vec::with_capacity(scan.snapshot.processes.len());
    let mut ended = Vec::new();
    let mut buffer = Buffer::default();
    for process in &scan.snapshot.processes {
        match kernel.cgroup(process.id.pid) {
            Ok(text) => {
                let path = cgroupfs::cgroup_path(&text);
                paths.extend(path.map(|path| (process.id.pid, path.to_vec())));
            }
            Err(error) if error.reason != Reason::Vanished => unreadable.add(error),
            Err(_) if scan::exists(kernel, process.id, &mut buffer) => {}
            Err(_) => ended.push(process.id.pid),
        }
    }
    diagnostics.add_unreadable(What::ControlGroups, unreadable);
    let manager = cgroupfs::manager_root(&init);
    let mut found = control_groups::from_processes(&paths, &manager, wanted);
    ended.extend(replaced(kernel, &mut found.groups, scan, last));
    ended.sort_unstable();
    ended.dedup();
    scan::remove_ended(kernel, scan, &ended);
    found
}

/// The pids that belong to another process by now, of the processes that matter: those in the
/// groups, which are taken out of them, and the members of the last sample.
fn replaced(
    kernel: &impl Kernel,
    groups: &mut [ControlGroup],
    scan: &Scan,
    last: Option<&Accounts>,
) -> Vec<Pid> {
    let snapshot = &scan.snapshot;
    let find = |pid: Pid| snapshot.find(pid).map(|index| &snapshot.processes[index]);
    let members = last.into_iter().flat_map(Accounts::members);
    let are_read = members.filter(|id| find(id.pid).is_some_and(|one| one.id == *id));
    let mut pids: Vec<Pid> = are_read.map(|id| id.pid).collect();
    pids.extend(groups.iter().flat_map(|group| &group.pids));
    pids.sort_unstable();
    pids.dedup();
    let mut buffer = Buffer::default();
    let mut is_same = |process: &Process| scan::exists(kernel, process.id, &mut buffer);
    pids.retain(|&pid| !kernel.out_of_time() && find(pid).is_none_or(|process| !is_same(process)));
    for group in groups {
        group.pids.retain(|pid| pids.binary_search(pid).is_err());
    }
    pids
}
