//! Control groups: where their hierarchies are mounted, who is in them, what they have used.
//!
//! | mounted | who is where | CPU time |
//! |---|---|---|
//! | v2 | `fs/cgroup` | `cpu.stat` |
//! | hybrid | `fs/cgroup/unified` | `cpu.stat` there, else as v1 |
//! | v1 | `fs/cgroup/systemd` | `fs/cgroup/cpuacct`, `cpuacct.usage` |
//!
//! (cgroups(7); Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ of the kernel)

use super::parse;
use crate::error::ReadError;
use crate::sample::ControlGroup;
use crate::unit::{self, Place};
use crate::units::{CpuNanos, Pid};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Deeper folders are not looked at; the kernel allows any depth, people use ten.
const DEPTH_LIMIT: usize = 64;

/// The hierarchies of hybrid mode and v1 that may say who is where, the best first.
const TRACKING: [&str; 5] = ["unified", "systemd", "cpuacct", "cpu,cpuacct", "cpuacct,cpu"];

/// Decides which selectors pick a group, from its path and the id of the unit that it is.
pub type Pick<'a> = &'a dyn Fn(&[u8], Option<&[u8]>) -> Vec<usize>;

/// What the plan looks for, to spare the walk what it does not.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Which selectors pick a group.
    pub pick: Pick<'a>,
    /// Whether units are looked for: then slices are entered.
    pub units: bool,
    /// Whether any path could be meant: then every folder is entered.
    pub paths: bool,
}

/// The mounted hierarchy that says who is where, and the one that counts CPU time.
#[derive(Debug)]
pub struct Hierarchy {
    tracking: PathBuf,
    dir: OwnedFd,
    /// `cpuacct` of v1.
    accounting: Option<OwnedFd>,
    /// The folder that systemd takes for its root: empty but in some containers.
    manager: Vec<u8>,
}

impl Hierarchy {
    /// Finds the hierarchies below `sys`, where sysfs is mounted. `init` is the text of
    /// `/proc/1/cgroup`, which says where systemd's root is in a container.
    ///
    /// # Errors
    /// [`ReadError`] where none is mounted, or it may not be read.
    pub fn open(sys: &Path, init: &[u8]) -> Result<Hierarchy, ReadError> {
        let mount = sys.join("fs/cgroup");
        let root = open_folder(rustix::fs::CWD, &mount)
            .map_err(|errno| ReadError { path: mount.clone(), reason: errno.into() })?;
        let has =
            |dir: &OwnedFd, name: &str| rustix::fs::statat(dir, name, AtFlags::empty()).is_ok();
        let accounting = ["cpuacct", "cpu,cpuacct", "cpuacct,cpu"]
            .iter()
            .find_map(|name| open_folder(&root, *name).ok());
        let is_v1 = accounting.is_some() || has(&root, "systemd") || has(&root, "unified");
        let tracking = if has(&root, "cgroup.procs") || !is_v1 {
            None
        } else {
            // In hybrid mode both are there, and systemd uses one of them.
            let used = |name: &&str| {
                open_folder(&root, *name)
                    .is_ok_and(|dir| has(&dir, "init.scope") || has(&dir, "system.slice"))
            };
            TRACKING
                .iter()
                .find(|name| used(name))
                .or(TRACKING.iter().find(|name| has(&root, name)))
        };
        let (tracking, dir) = match tracking {
            None => (mount, root),
            Some(name) => {
                let path = mount.join(name);
                let dir = open_folder(&root, *name)
                    .map_err(|errno| ReadError { path: path.clone(), reason: errno.into() })?;
                (path, dir)
            }
        };
        let manager = if has(&dir, "init.scope") { Vec::new() } else { parse::manager_root(init) };
        Ok(Hierarchy { tracking, dir, accounting, manager })
    }

    /// Walks the hierarchy and gives the groups that selectors picked and all below them, each
    /// before those below it.
    pub fn walk(&self, wanted: Wanted<'_>) -> Vec<ControlGroup> {
        let mut walk = Walk { hierarchy: self, wanted, groups: Vec::new() };
        let Ok(root) = open_folder(&self.dir, ".") else { return Vec::new() };
        let place =
            if self.manager.is_empty() { Step::Manager } else { Step::Towards(&self.manager) };
        let unit = self.manager.is_empty().then_some(unit::ROOT_SLICE);
        walk.visit(&root, &mut Vec::new(), unit, place, false, 0);
        walk.groups
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.tracking
    }

    fn used(&self, dir: &OwnedFd, path: &[u8]) -> Option<CpuNanos> {
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

/// Where the walk stands in systemd's order.
#[derive(Clone, Copy)]
enum Step<'a> {
    /// Above systemd's root, which is reached through these folders.
    Towards(&'a [u8]),
    /// Where units may be found right below.
    Manager,
    /// Where nothing below is a unit.
    Inside,
}

struct Walk<'w> {
    hierarchy: &'w Hierarchy,
    wanted: Wanted<'w>,
    groups: Vec<ControlGroup>,
}

impl Walk<'_> {
    fn visit(
        &mut self,
        dir: &OwnedFd,
        path: &mut Vec<u8>,
        unit: Option<&[u8]>,
        step: Step<'_>,
        belongs: bool,
        depth: usize,
    ) {
        let selectors = (self.wanted.pick)(path, unit);
        let is_picked = !selectors.is_empty();
        let belongs = belongs || is_picked;
        let at = self.groups.len();
        let Ok(stat) = rustix::fs::fstat(dir) else { return };
        if belongs {
            let (pids, foreign) = members(dir);
            let used = if is_picked { self.hierarchy.used(dir, path) } else { None };
            self.groups.push(ControlGroup {
                path: path.clone(),
                unit: unit.map(<[u8]>::to_vec),
                id: stat.st_ino,
                used,
                pids,
                foreign,
                selectors,
                end: 0,
            });
        }
        // A folder has a link from each folder below it, on file systems that count them.
        let may_have_children = stat.st_nlink != 2 && depth < DEPTH_LIMIT;
        let may_hold_units = self.wanted.units && !matches!(step, Step::Inside);
        if may_have_children && (belongs || self.wanted.paths || may_hold_units) {
            for name in folders(dir) {
                let Ok(below) = open_folder(dir, &name[..]) else { continue };
                let length = path.len();
                if length > 0 {
                    path.push(b'/');
                }
                path.extend_from_slice(&name);
                let (unit, step) = next_step(step, &name);
                // Units of no interest: systemd puts nothing of its own below them.
                if belongs || self.wanted.paths || unit.is_some() || !matches!(step, Step::Inside) {
                    self.visit(&below, path, unit, step, belongs, depth + 1);
                }
                path.truncate(length);
            }
        }
        if belongs {
            self.groups[at].end = self.groups.len();
        }
    }
}

/// The unit of a folder and what may be found in it, given what was known of the one above.
fn next_step<'a>(step: Step<'a>, name: &'a [u8]) -> (Option<&'a [u8]>, Step<'a>) {
    match step {
        Step::Towards(path) => match path.strip_prefix(name) {
            Some([]) => (Some(unit::ROOT_SLICE), Step::Manager),
            Some([b'/', rest @ ..]) => (None, Step::Towards(rest)),
            _ => (None, Step::Inside),
        },
        Step::Manager => match unit::of_folder(name) {
            (unit, Place::Manager) => (unit, Step::Manager),
            (unit, Place::Inside) => (unit, Step::Inside),
        },
        Step::Inside => (None, Step::Inside),
    }
}

/// The processes right in a group. One that has been removed meanwhile has none; neither has a
/// threaded one, whose processes stand in the group that its threads were taken from
/// (`EOPNOTSUPP`, cgroup-v2.rst, "Threads").
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

/// The names of the folders in a folder, sorted.
fn folders(dir: &OwnedFd) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    let mut space = [MaybeUninit::uninit(); 8 * 1024];
    let mut entries = RawDir::new(dir, &mut space);
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name();
        let is_folder = match entry.file_type() {
            FileType::Directory => true,
            FileType::Unknown => rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir()),
            _ => false,
        };
        if is_folder && !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name.to_bytes().to_vec());
        }
    }
    names.sort_unstable();
    names
}

fn open_folder(dir: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(dir, path, flags, Mode::empty())
}

fn open_file(dir: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat(dir, path, flags, Mode::empty())
}

fn read_small(dir: impl AsFd, path: impl rustix::path::Arg, buffer: &mut [u8]) -> Option<&[u8]> {
    let file = open_file(dir, path).ok()?;
    let count = super::retry(|| rustix::io::read(&file, &mut *buffer)).ok()?;
    Some(&buffer[..count])
}

/// What `/proc/PID/cgroup` says of all processes, put into the same shape as a walk: for where no
/// hierarchy can be read. There are no counters then.
pub fn from_processes(
    places: &[(Pid, Vec<u8>)],
    manager: &[u8],
    wanted: Wanted<'_>,
) -> Vec<ControlGroup> {
    let mut folders = Folder::default();
    for (pid, path) in places {
        let mut folder = &mut folders;
        for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
            folder = folder.below.entry(name.to_vec()).or_default();
        }
        folder.pids.push(*pid);
    }
    let mut groups = Vec::new();
    let step = if manager.is_empty() { Step::Manager } else { Step::Towards(manager) };
    let unit = manager.is_empty().then_some(unit::ROOT_SLICE);
    folders.flatten(&mut Vec::new(), unit, step, false, wanted, &mut groups);
    groups
}

/// A folder of a hierarchy that is known from its processes alone.
#[derive(Default)]
struct Folder {
    pids: Vec<Pid>,
    below: std::collections::BTreeMap<Vec<u8>, Folder>,
}

impl Folder {
    fn flatten(
        &self,
        path: &mut Vec<u8>,
        unit: Option<&[u8]>,
        step: Step<'_>,
        belongs: bool,
        wanted: Wanted<'_>,
        groups: &mut Vec<ControlGroup>,
    ) {
        let selectors = (wanted.pick)(path, unit);
        let belongs = belongs || !selectors.is_empty();
        let at = groups.len();
        if belongs {
            groups.push(ControlGroup {
                path: path.clone(),
                unit: unit.map(<[u8]>::to_vec),
                pids: self.pids.clone(),
                selectors,
                ..ControlGroup::default()
            });
        }
        for (name, folder) in &self.below {
            let length = path.len();
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            let (unit, step) = next_step(step, name);
            folder.flatten(path, unit, step, belongs, wanted, groups);
            path.truncate(length);
        }
        if belongs {
            groups[at].end = groups.len();
        }
    }
}
