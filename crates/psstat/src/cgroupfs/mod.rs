//! Control groups: where their hierarchies are mounted, their processes, and the CPU time they have
//! used.
//!
//! | mounted | processes | CPU time | memory |
//! |---|---|---|---|
//! | v2 | `fs/cgroup` | `cpu.stat` | `memory.stat` |
//! | hybrid | `fs/cgroup/unified` | `cpu.stat` there, else as v1 | as v1, else `memory.stat` there |
//! | v1 | `fs/cgroup/systemd` | `cpuacct.usage` in `fs/cgroup/cpuacct` | `memory.stat` in `fs/cgroup/memory` |
//!
//! What units feel (throttling, pressure, limits) comes from further files of the groups of v2 ([`figures`]).
//!
//! See cgroups(7), and Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/ of the kernel.

pub mod figures;
pub mod memory;
pub mod walk;

use crate::sys::{self, retry};
use psstat_core::model::read_error::ReadError;
use psstat_core::model::units::{CpuNanos, Pid};
use psstat_core::parse::cgroupfs as parse;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The hierarchies of hybrid mode and v1 that can list the processes, in order of preference.
const TRACKING: [&str; 5] = ["unified", "systemd", "cpuacct", "cpu,cpuacct", "cpuacct,cpu"];

/// The mounted hierarchy that lists the processes, and the one that counts CPU time.
#[derive(Debug)]
pub struct Mounted {
    dir: OwnedFd,
    /// `cpuacct` of v1. `None` if it is not mounted.
    accounting: Option<OwnedFd>,
    /// The path of the control group that systemd uses as its root. Empty, except in some
    /// containers.
    manager: Vec<u8>,
    /// The path of `dir`, for messages.
    path: PathBuf,
}

impl Mounted {
    /// Finds the hierarchies below `sys`, where sysfs is mounted. `init` is the text of
    /// `/proc/1/cgroup`, which has the path of systemd's root in a container.
    ///
    /// # Errors
    /// If no hierarchy is mounted, or it may not be read.
    pub fn open(sys: &Path, init: &[u8]) -> Result<Mounted, Errno> {
        let root = open_directory(rustix::fs::CWD, sys.join("fs/cgroup"))?;
        let has = |dir: &OwnedFd, name: &str| {
            retry(|| rustix::fs::statat(dir, name, AtFlags::empty())).is_ok()
        };
        let mut accounting = None;
        for name in ["cpuacct", "cpu,cpuacct", "cpuacct,cpu"] {
            match open_directory(&root, name) {
                Err(errno) if is_gone(errno) => {}
                opened => {
                    accounting = Some(opened?);
                    break;
                }
            }
        }
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
        let mount = sys.join("fs/cgroup");
        let path = tracking.map_or(mount.clone(), |name| mount.join(name));
        let manager = if has(&dir, "init.scope") { Vec::new() } else { parse::manager_root(init) };
        Ok(Mounted { dir, accounting, manager, path })
    }

    /// The CPU time that a control group has used. `None` if it has no counter.
    ///
    /// # Errors
    /// If it has one that cannot be read.
    fn cpu_time(&self, dir: &OwnedFd, path: &[u8]) -> Result<Option<CpuNanos>, Errno> {
        let mut buffer = [0; 1024];
        let unified = read_small(dir, c"cpu.stat", &mut buffer)?;
        if let Some(used) = unified.and_then(parse::cpu_stat_usage) {
            return Ok(Some(used));
        }
        let Some(accounting) = &self.accounting else { return Ok(None) };
        let mut below = if path.is_empty() { b".".to_vec() } else { path.to_vec() };
        below.extend_from_slice(b"/cpuacct.usage");
        Ok(read_small(accounting, &below[..], &mut buffer)?.and_then(parse::cpuacct_usage))
    }

    fn error(&self, path: &[u8], errno: Errno) -> ReadError {
        let path = self.path.join(OsStr::from_bytes(path));
        ReadError { path: path.display().to_string(), reason: sys::reason(errno) }
    }
}

/// The path of the file or directory `name` in the directory with that path. The path of the root is empty.
fn join(path: &[u8], name: &[u8]) -> Vec<u8> {
    let separator = if path.is_empty() { &b""[..] } else { b"/" };
    [path, separator, name].concat()
}

/// Whether an error means that the group has been removed meanwhile (`kernfs_fop_open` and
/// `kernfs_get_active`, fs/kernfs; cgroup files).
fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::NODEV)
}

/// The processes that are directly in a group, and the number of processes in it that have no pid in
/// this pid namespace. None if the group has been removed meanwhile. None in a threaded group: its
/// processes are in the group above it (`EOPNOTSUPP`, cgroup-v2.rst, "Threads").
///
/// # Errors
/// If they cannot be read.
fn members(dir: &OwnedFd) -> Result<(Vec<Pid>, u64), Errno> {
    let mut text = Vec::new();
    let file = match open_file(dir, c"cgroup.procs") {
        Err(errno) if is_gone(errno) => return Ok((Vec::new(), 0)),
        opened => opened?,
    };
    loop {
        let filled = text.len();
        text.resize((filled * 2).max(4096), 0);
        match retry(|| rustix::io::read(&file, &mut text[filled..])) {
            Ok(0) => {
                text.truncate(filled);
                return Ok(parse::cgroup_procs(&text));
            }
            Ok(count) => text.truncate(filled + count),
            Err(errno) if is_gone(errno) || errno == Errno::OPNOTSUPP => {
                return Ok((Vec::new(), 0));
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// The names of the subdirectories of a directory, sorted, or of so many of them.
///
/// # Errors
/// If it cannot be listed.
fn subdirectories(dir: &OwnedFd, limit: usize) -> Result<Vec<Vec<u8>>, Errno> {
    let mut names = Vec::new();
    let mut space = [MaybeUninit::uninit(); 8 * 1024];
    let mut entries = RawDir::new(dir, &mut space);
    while names.len() < limit
        && let Some(entry) = entries.next()
    {
        let entry = match entry {
            Err(Errno::INTR) => continue,
            entry => entry?,
        };
        let name = entry.file_name();
        let is_directory = match entry.file_type() {
            FileType::Directory => true,
            FileType::Unknown => {
                let stat = retry(|| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW))?;
                FileType::from_raw_mode(stat.st_mode).is_dir()
            }
            _ => false,
        };
        if is_directory && !matches!(name.to_bytes(), b"." | b"..") {
            names.push(name.to_bytes().to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn open_directory(dir: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    open(dir, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC)
}

fn open_file(dir: impl AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    open(dir, path, OFlags::RDONLY | OFlags::CLOEXEC)
}

fn open(dir: impl AsFd, path: impl rustix::path::Arg, flags: OFlags) -> Result<OwnedFd, Errno> {
    path.into_with_c_str(|path| retry(|| rustix::fs::openat(&dir, path, flags, Mode::empty())))
}

/// Reads a file that fits in `buffer`. `None` if there is none.
///
/// # Errors
/// If it cannot be read.
fn read_small(
    dir: impl AsFd,
    path: impl rustix::path::Arg,
    buffer: &mut [u8],
) -> Result<Option<&[u8]>, Errno> {
    let read =
        open_file(dir, path).and_then(|file| retry(|| rustix::io::read(&file, &mut *buffer)));
    match read {
        Ok(count) => Ok(Some(&buffer[..count])),
        Err(errno) if is_gone(errno) => Ok(None),
        Err(errno) => Err(errno),
    }
}
