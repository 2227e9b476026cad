//! Control groups: where their hierarchies are mounted, their processes, and the CPU time they have
//! used.
//!
//! | mounted | processes | CPU time |
//! |---|---|---|
//! | v2 | `fs/cgroup` | `cpu.stat` |
//! | hybrid | `fs/cgroup/unified` | `cpu.stat` there, else as v1 |
//! | v1 | `fs/cgroup/systemd` | `cpuacct.usage` in `fs/cgroup/cpuacct` |
//!
//! See cgroups(7), and Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ of the kernel.

use crate::sys::retry;
use psstat_core::kernel::Wanted;
use psstat_core::model::control_group::ControlGroup;
use psstat_core::model::units::{CpuNanos, Pid};
use psstat_core::parse::cgroupfs as parse;
use psstat_core::select::systemd::Position;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Directories nested deeper than this are ignored. The kernel has no limit; ten levels are usual.
const DEPTH_LIMIT: usize = 64;

/// The hierarchies of hybrid mode and v1 that can list the processes, in order of preference.
const TRACKING: [&str; 5] = ["unified", "systemd", "cpuacct", "cpu,cpuacct", "cpuacct,cpu"];

/// The mounted hierarchy that lists the processes, and the one that counts CPU time.
#[derive(Debug)]
pub struct Hierarchy {
    dir: OwnedFd,
    /// `cpuacct` of v1. `None` if it is not mounted.
    accounting: Option<OwnedFd>,
    /// The path of the control group that systemd uses as its root. Empty, except in some
    /// containers.
    manager: Vec<u8>,
}

impl Hierarchy {
    /// Finds the hierarchies below `sys`, where sysfs is mounted. `init` is the text of
    /// `/proc/1/cgroup`, which has the path of systemd's root in a container.
    ///
    /// # Errors
    /// If no hierarchy is mounted, or it may not be read.
    pub fn open(sys: &Path, init: &[u8]) -> Result<Hierarchy, Errno> {
        let root = open_directory(rustix::fs::CWD, sys.join("fs/cgroup"))?;
        let has =
            |dir: &OwnedFd, name: &str| rustix::fs::statat(dir, name, AtFlags::empty()).is_ok();
        let accounting = ["cpuacct", "cpu,cpuacct", "cpuacct,cpu"]
            .iter()
            .find_map(|name| open_directory(&root, *name).ok());
        let is_v1 = accounting.is_some() || has(&root, "systemd") || has(&root, "unified");
        let tracking = if has(&root, "cgroup.procs") || !is_v1 {
            None
        } else {
            // In hybrid mode `unified` and `systemd` are both mounted, and systemd uses one of them.
            let used = |name: &&str| {
                open_directory(&root, *name)
                    .is_ok_and(|dir| has(&dir, "init.scope") || has(&dir, "system.slice"))
            };
            TRACKING
                .iter()
                .find(|name| used(name))
                .or(TRACKING.iter().find(|name| has(&root, name)))
        };
        let dir = match tracking {
            None => root,
            Some(name) => open_directory(&root, *name)?,
        };
        let manager = if has(&dir, "init.scope") { Vec::new() } else { parse::manager_root(init) };
        Ok(Hierarchy { dir, accounting, manager })
    }

    /// Walks the hierarchy. Returns the wanted groups and all groups below them, each before those
    /// below it.
    pub fn walk(&self, wanted: Wanted<'_>) -> Vec<ControlGroup> {
        let Ok(root) = open_directory(&self.dir, ".") else { return Vec::new() };
        let mut walk =
            Walk { hierarchy: self, wanted, path: Vec::new(), depth: 0, groups: Vec::new() };
        let (unit, position) = Position::root(&self.manager);
        walk.visit(&root, unit, position, false);
        walk.groups
    }

    /// The CPU time that a control group has used. `None` if no counter can be read.
    fn cpu_time(&self, dir: &OwnedFd, path: &[u8]) -> Option<CpuNanos> {
        let mut buffer = [0; 1024];
        let unified = read_small(dir, c"cpu.stat", &mut buffer).and_then(parse::cpu_stat_usage);
        unified.or_else(|| {
            let mut below = if path.is_empty() { b".".to_vec() } else { path.to_vec() };
            below.extend_from_slice(b"/cpuacct.usage");
            let file = self.accounting.as_ref()?;
            read_small(file, &below[..], &mut buffer).and_then(parse::cpuacct_usage)
        })
    }
}

/// A walk in progress, and the groups that it has found.
struct Walk<'w> {
    hierarchy: &'w Hierarchy,
    wanted: Wanted<'w>,
    /// The path of the current directory.
    path: Vec<u8>,
    /// How many directories are above it.
    depth: usize,
    groups: Vec<ControlGroup>,
}

impl Walk<'_> {
    /// Adds the group of `directory` if it is wanted, or is `inside` a wanted group, and all below
    /// it.
    fn visit(
        &mut self,
        directory: &OwnedFd,
        unit: Option<&[u8]>,
        position: Position<'_>,
        inside: bool,
    ) {
        let selectors = (self.wanted.pick)(&self.path, unit);
        let is_picked = !selectors.is_empty();
        let inside = inside || is_picked;
        let index = self.groups.len();
        let Ok(stat) = rustix::fs::fstat(directory) else { return };
        if inside {
            let (pids, foreign) = members(directory);
            let used =
                if is_picked { self.hierarchy.cpu_time(directory, &self.path) } else { None };
            self.groups.push(ControlGroup {
                path: self.path.clone(),
                unit: unit.map(<[u8]>::to_vec),
                id: stat.st_ino,
                used,
                pids,
                foreign,
                selectors,
                end: 0,
            });
        }
        // A directory has a link from each of its subdirectories, on file systems that count them.
        let may_have_children = stat.st_nlink != 2 && self.depth < DEPTH_LIMIT;
        let may_hold_units = self.wanted.units && position != Position::Inside;
        if may_have_children && (inside || self.wanted.paths || may_hold_units) {
            for name in subdirectories(directory) {
                self.enter(directory, &name, position, inside);
            }
        }
        if inside {
            self.groups[index].end = self.groups.len();
        }
    }

    /// Visits the directory `name`, unless nothing wanted can be in it.
    fn enter(&mut self, directory: &OwnedFd, name: &[u8], position: Position<'_>, inside: bool) {
        let Ok(below) = open_directory(directory, name) else { return };
        let (unit, position) = position.enter(name);
        // systemd creates no units below a unit.
        if !inside && !self.wanted.paths && unit.is_none() && position == Position::Inside {
            return;
        }
        let length = self.path.len();
        if length > 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name);
        self.depth += 1;
        self.visit(&below, unit, position, inside);
        self.depth -= 1;
        self.path.truncate(length);
    }
}

/// The processes that are directly in a group, and the number of processes in it that have no pid in
/// this pid namespace. None if the group has been removed meanwhile. None in a threaded group: its
/// processes are in the group above it (`EOPNOTSUPP`, cgroup-v2.rst, "Threads").
fn members(dir: &OwnedFd) -> (Vec<Pid>, u64) {
    let mut text = Vec::new();
    let Ok(file) = open_file(dir, c"cgroup.procs") else { return (Vec::new(), 0) };
    loop {
        let filled = text.len();
        text.resize((filled * 2).max(4096), 0);
        match rustix::io::read(&file, &mut text[filled..]) {
            Ok(count) => {
                text.truncate(filled + count);
                if count == 0 {
                    break;
                }
            }
            Err(Errno::INTR) => text.truncate(filled),
            Err(_) => {
                text.truncate(filled);
                break;
            }
        }
    }
    parse::cgroup_procs(&text)
}

/// The names of the subdirectories of a directory, sorted.
fn subdirectories(dir: &OwnedFd) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    let mut space = [MaybeUninit::uninit(); 8 * 1024];
    let mut entries = RawDir::new(dir, &mut space);
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name();
        let is_directory = match entry.file_type() {
            FileType::Directory => true,
            FileType::Unknown => rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir()),
            _ => false,
        };
        if is_directory && !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name.to_bytes().to_vec());
        }
    }
    names.sort_unstable();
    names
}

fn open_directory(dir: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(dir, path, flags, Mode::empty())
}

fn open_file(dir: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat(dir, path, flags, Mode::empty())
}

/// Reads a file that fits in `buffer`. `None` if it cannot be read.
fn read_small(dir: impl AsFd, path: impl rustix::path::Arg, buffer: &mut [u8]) -> Option<&[u8]> {
    let file = open_file(dir, path).ok()?;
    let count = retry(|| rustix::io::read(&file, &mut *buffer)).ok()?;
    Some(&buffer[..count])
}
