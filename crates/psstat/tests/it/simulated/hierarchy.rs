//! A simulated hierarchy of control groups, version 2 (cgroups(7)): directories with a counter of
//! CPU time each, in the layout of systemd.

use psstat_core::kernel::Wanted;
use psstat_core::model::control_group::ControlGroup;
use psstat_core::model::units::{CpuNanos, Pid};
use psstat_core::select::systemd::Position;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
struct Directory {
    inode: u64,
    /// CPU time of everything that ran in it and below it since it was made, in microseconds.
    used: u64,
    /// Processes of other pid namespaces.
    foreign: u64,
}

/// The directories, by path. The root has the empty path.
#[derive(Clone, Debug)]
pub struct Hierarchy {
    directories: BTreeMap<&'static str, Directory>,
    last_inode: u64,
}

impl Default for Hierarchy {
    fn default() -> Hierarchy {
        let root = Directory { inode: 1, used: 0, foreign: 0 };
        Hierarchy { directories: BTreeMap::from([("", root)]), last_inode: 1 }
    }
}

/// Whether `path` is `top` or below it.
pub fn is_within(path: &str, top: &str) -> bool {
    top.is_empty()
        || path.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The path of the directory above. `None` above the root.
fn above(path: &'static str) -> Option<&'static str> {
    match path.rsplit_once('/') {
        Some((above, _)) => Some(above),
        None => (!path.is_empty()).then_some(""),
    }
}

impl Hierarchy {
    pub fn has(&self, path: &str) -> bool {
        self.directories.contains_key(path)
    }

    /// Makes a directory and those above it. Returns the new ones, topmost first.
    pub fn make(&mut self, path: &'static str) -> Vec<&'static str> {
        let missing = std::iter::successors(Some(path), |&path| above(path));
        let mut missing: Vec<&'static str> = missing.filter(|path| !self.has(path)).collect();
        missing.reverse();
        for &path in &missing {
            self.last_inode += 1;
            let directory = Directory { inode: self.last_inode, used: 0, foreign: 0 };
            self.directories.insert(path, directory);
        }
        missing
    }

    /// Removes a directory, if there is neither a directory nor a foreign process in it.
    pub fn remove(&mut self, path: &'static str) -> bool {
        let is_empty = self.directories.get(path).is_some_and(|directory| directory.foreign == 0)
            && !self.directories.keys().any(|&other| above(other) == Some(path));
        is_empty && !path.is_empty() && self.directories.remove(path).is_some()
    }

    /// How many processes of other pid namespaces are directly in a control group.
    pub fn foreign(&self, path: &str) -> u64 {
        self.directories.get(path).map_or(0, |directory| directory.foreign)
    }

    pub fn add_foreign(&mut self, path: &str) {
        if let Some(directory) = self.directories.get_mut(path) {
            directory.foreign += 1;
        }
    }

    /// Adds CPU time that was used in `path`, in microseconds.
    pub fn charge(&mut self, path: &str, time: u64) {
        for (top, directory) in &mut self.directories {
            if is_within(path, top) {
                directory.used += time;
            }
        }
    }

    /// The wanted control groups and all below them. `members` are the processes directly in each.
    pub fn walk(
        &self,
        wanted: Wanted<'_>,
        members: &BTreeMap<&'static str, Vec<Pid>>,
    ) -> Vec<ControlGroup> {
        let mut walk = Walk { hierarchy: self, wanted, members, groups: Vec::new() };
        let (unit, position) = Position::root(b"");
        walk.visit("", unit, position, false);
        walk.groups
    }
}

struct Walk<'w> {
    hierarchy: &'w Hierarchy,
    wanted: Wanted<'w>,
    members: &'w BTreeMap<&'static str, Vec<Pid>>,
    groups: Vec<ControlGroup>,
}

impl Walk<'_> {
    fn visit(
        &mut self,
        path: &'static str,
        unit: Option<&[u8]>,
        position: Position<'_>,
        inside: bool,
    ) {
        let selectors = (self.wanted.pick)(path.as_bytes(), unit);
        let inside = inside || !selectors.is_empty();
        let index = self.groups.len();
        let directories = &self.hierarchy.directories;
        if inside {
            let Directory { inode, used, foreign } = directories[path];
            self.groups.push(ControlGroup {
                path: path.into(),
                unit: unit.map(Into::into),
                id: inode,
                used: Some(CpuNanos(used * 1000)),
                figures: BTreeMap::new(),
                limits: Vec::new(),
                pids: self.members.get(path).cloned().unwrap_or_default(),
                foreign,
                error: None,
                selectors,
                end: 0,
            });
        }
        for &below in directories.keys().filter(|&&below| above(below) == Some(path)) {
            let name = below.rsplit('/').next().unwrap();
            let (unit, position) = position.enter(name.as_bytes());
            self.visit(below, unit, position, inside);
        }
        if inside {
            self.groups[index].end = self.groups.len();
        }
    }
}
