//! The memory that the kernel accounts to control groups: `memory.stat`, which every user may read.

use super::{is_gone, open_directory, open_file, read_small, subdirectories};
use crate::sys::{self, retry};
use psstat_core::model::memory::MemoryAccount;
use psstat_core::model::read_error::{ReadError, Reason};
use psstat_core::model::units::Pid;
use psstat_core::parse::cgroupfs as parse;
use rustix::fs::AtFlags;
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Longer than any `memory.stat` of the kernel, which has some hundred lines on a machine with many nodes.
const STAT_LIMIT: usize = 16 * 1024;

/// A control group with more groups below it has no account: a user can make any number of them, and the
/// processes of all must be looked at.
const MOST_GROUPS: usize = 256;

/// The hierarchy of control groups that accounts memory.
#[derive(Debug)]
pub struct MemoryAccounts {
    root: OwnedFd,
    is_v1: bool,
    /// The mount point, for messages.
    path: PathBuf,
}

impl MemoryAccounts {
    /// Finds the hierarchy below `sys`, where sysfs is mounted. `None` if none can be read.
    pub fn open(sys: &Path) -> Option<MemoryAccounts> {
        let mounts = sys.join("fs/cgroup");
        let open = |name: &str, is_v1| {
            let path = mounts.join(name);
            let root = open_directory(rustix::fs::CWD, &path).ok()?;
            Some(MemoryAccounts { root, is_v1, path })
        };
        if let Some(found) = open("memory", true).filter(|found| found.has(b"", "memory.stat")) {
            return Some(found);
        }
        // On v2, the root lists the controllers that can be enabled.
        let is_v2 = |found: &MemoryAccounts| {
            let mut buffer = [0; 1024];
            let listed = read_small(&found.root, c"cgroup.controllers", &mut buffer).ok().flatten();
            let mut names = listed.unwrap_or_default().split(u8::is_ascii_whitespace);
            names.any(|name| name == b"memory")
        };
        ["", "unified"].into_iter().find_map(|name| open(name, false).filter(is_v2))
    }

    /// The path of the control group of a process in this hierarchy, given its `/proc/PID/cgroup`.
    pub fn path_of(&self, text: &[u8]) -> Option<Vec<u8>> {
        parse::memory_path(text, self.is_v1).map(<[u8]>::to_vec)
    }

    /// The path of the control group that accounts the memory of the processes in the one with that path:
    /// the controller may be enabled only above it.
    pub fn accounted_by(&self, path: &[u8]) -> Option<Vec<u8>> {
        // A path in a copy of a procfs must not lead anywhere else.
        if path.split(|&byte| byte == b'/').any(|name| name == b"..") {
            return None;
        }
        let mut path = path;
        loop {
            if self.has(path, "memory.stat") {
                return Some(path.to_vec());
            }
            if path.is_empty() {
                return None;
            }
            path = &path[..path.iter().rposition(|&byte| byte == b'/').unwrap_or(0)];
        }
    }

    /// Whether a control group has a file.
    fn has(&self, path: &[u8], name: &str) -> bool {
        let path = below(path, name);
        retry(|| rustix::fs::statat(&self.root, &path[..], AtFlags::SYMLINK_NOFOLLOW)).is_ok()
    }

    /// Reads the account of a control group. `visit` is called with each process in it and below it: see
    /// [`Kernel::memory_account`](psstat_core::kernel::Kernel::memory_account).
    ///
    /// # Errors
    /// If a file cannot be read; [`Reason::Vanished`] if there is no such group.
    pub fn read(
        &self,
        path: &[u8],
        left: &mut usize,
        visit: &mut dyn FnMut(Option<Pid>) -> bool,
    ) -> Result<Option<MemoryAccount>, ReadError> {
        self.try_read(path, left, visit).map_err(|reason| {
            let path = self.path.join(OsStr::from_bytes(path));
            ReadError { path: path.display().to_string(), reason }
        })
    }

    fn try_read(
        &self,
        path: &[u8],
        left: &mut usize,
        visit: &mut dyn FnMut(Option<Pid>) -> bool,
    ) -> Result<Option<MemoryAccount>, Reason> {
        let mut to_visit = vec![path.to_vec()];
        let mut visited = 0;
        while let Some(next) = to_visit.pop() {
            visited += 1;
            if visited > MOST_GROUPS || *left == 0 {
                return Ok(None);
            }
            *left -= 1;
            let directory = match open_directory(&self.root, &below(&next, ".")[..]) {
                Err(errno) if is_gone(errno) && next != path => continue,
                opened => opened.map_err(reason)?,
            };
            if !visit_processes(&directory, visit).map_err(reason)? {
                return Ok(None);
            }
            // A directory has a link from each of its subdirectories, on file systems that count them.
            if retry(|| rustix::fs::fstat(&directory)).map_err(reason)?.st_nlink != 2 {
                let names = subdirectories(&directory, MOST_GROUPS + 1).map_err(reason)?;
                to_visit.extend(names.iter().map(|name| super::join(&next, name)));
            }
        }
        let mut buffer = vec![0; STAT_LIMIT];
        let text = read_small(&self.root, &below(path, "memory.stat")[..], &mut buffer);
        let text = text.map_err(reason)?.ok_or(Reason::Vanished)?;
        parse::memory_stat(text, self.is_v1).map(Some).ok_or(Reason::Malformed)
    }
}

fn reason(errno: Errno) -> Reason {
    if is_gone(errno) { Reason::Vanished } else { sys::reason(errno) }
}

/// The path of a file in the control group with that path.
fn below(path: &[u8], name: &str) -> Vec<u8> {
    super::join(path, name.as_bytes())
}

/// Calls `visit` with each process directly in a group, until it returns false. Returns whether it never did.
/// The list is read in parts, because the groups of a whole machine can have thousands.
fn visit_processes(
    directory: &OwnedFd,
    visit: &mut dyn FnMut(Option<Pid>) -> bool,
) -> Result<bool, Errno> {
    let file = match open_file(directory, c"cgroup.procs") {
        Err(errno) if is_gone(errno) => return Ok(true),
        opened => opened?,
    };
    let mut buffer = [0; 4096];
    let mut kept = 0;
    loop {
        let count = match retry(|| rustix::io::read(&file, &mut buffer[kept..])) {
            Ok(count) => count,
            // The processes of a threaded group are in the group above it.
            Err(errno) if is_gone(errno) || errno == Errno::OPNOTSUPP => return Ok(true),
            Err(errno) => return Err(errno),
        };
        let filled = kept + count;
        let end = match count {
            0 => filled,
            _ => buffer[..filled].iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1),
        };
        let lines = buffer[..end].split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        for line in lines {
            if !visit(Pid::parse(line)) {
                return Ok(false);
            }
        }
        if count == 0 || filled - end >= buffer.len() {
            return Ok(true);
        }
        buffer.copy_within(end..filled, 0);
        kept = filled - end;
    }
}
