//! Builds the hierarchy of control groups from the `/proc/PID/cgroup` of all processes. This is for
//! machines on which no hierarchy can be read. The groups then have no counters.

use crate::kernel::Wanted;
use crate::model::control_group::{ControlGroup, Hierarchy};
use crate::model::units::Pid;
use crate::select::systemd::Position;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Returns the wanted control groups and all below them. Each group comes before those below it.
/// `paths` has the path of the control group of each process. `manager` is the path of systemd's
/// root.
pub fn from_processes(paths: &[(Pid, Vec<u8>)], manager: &[u8], wanted: Wanted<'_>) -> Hierarchy {
    let mut root = Directory::default();
    for (pid, path) in paths {
        let mut directory = &mut root;
        for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
            directory = directory.below.entry(name.to_vec()).or_default();
        }
        directory.pids.push(*pid);
    }
    let mut walk = Walk { wanted, path: Vec::new(), found: Hierarchy::default() };
    let (unit, position) = Position::root(manager);
    walk.visit(&root, unit, position, false);
    walk.found
}

/// A directory in the hierarchy, with the processes directly in it.
#[derive(Default)]
struct Directory {
    pids: Vec<Pid>,
    below: BTreeMap<Vec<u8>, Directory>,
}

struct Walk<'w> {
    wanted: Wanted<'w>,
    path: Vec<u8>,
    found: Hierarchy,
}

impl Walk<'_> {
    /// Adds `directory` if it is wanted or `inside` a wanted group, and all below it.
    fn visit(
        &mut self,
        directory: &Directory,
        unit: Option<&[u8]>,
        position: Position<'_>,
        inside: bool,
    ) {
        let selectors = (self.wanted.pick)(&self.path, unit);
        let inside = inside || !selectors.is_empty();
        let index = self.found.groups.len();
        self.found.has_units |= unit.is_some() && !self.path.is_empty();
        if inside {
            self.found.groups.push(ControlGroup {
                path: self.path.clone(),
                unit: unit.map(ToOwned::to_owned),
                pids: directory.pids.clone(),
                selectors,
                ..ControlGroup::default()
            });
        }
        for (name, below) in &directory.below {
            let length = self.path.len();
            if length > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name);
            let (unit, position) = position.enter(name);
            self.visit(below, unit, position, inside);
            self.path.truncate(length);
        }
        if inside {
            self.found.groups[index].end = self.found.groups.len();
        }
    }
}
