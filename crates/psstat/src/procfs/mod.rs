//! Files below `/proc`: where procfs is mounted, which file has what, and what the errors of reading
//! it mean.
//!
//! | file | what it owns |
//! |---|---|
//! | `read` | opening and reading files |
//! | `list` | listing the processes |
//! | `process` | the files of one process |
//! | `system` | files that belong to no process |
//! | `fd_cache` | files that are kept open from sample to sample |
//! | `file_path` | paths |

pub mod fd_cache;
mod file_path;
mod list;
mod process;
mod read;
pub mod system;

use crate::error::OpenError;
use crate::privilege::{Raised, Surplus};
use crate::sys::retry;
use file_path::FilePath;
use psstat_core::model::buffer::Buffer;
use psstat_core::model::units::Pid;
use rustix::fs::{Mode, OFlags, PROC_SUPER_MAGIC};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The file of a process that has its proportional set size.
pub const PSS_FILE: &str = "smaps_rollup";

/// A mounted procfs, or a directory with copies of its files.
#[derive(Debug)]
pub struct Procfs {
    dir: OwnedFd,
    path: PathBuf,
    genuine: bool,
    /// The device of the mount (`st_dev`).
    device: u64,
    /// Whether this is the root of a mount.
    is_root: bool,
    /// Capabilities to read with that the caller of psstat has not.
    surplus: Option<Surplus>,
}

/// `st_ino` of the root of a procfs (`PROC_ROOT_INO`, include/linux/proc_ns.h).
const PROC_ROOT_INO: u64 = 1;

impl Procfs {
    /// Opens the directory where procfs is mounted.
    ///
    /// # Errors
    /// [`OpenError`] if it is not a directory, or may not be opened.
    pub fn open(path: &Path) -> Result<Procfs, OpenError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let failed = |errno: Errno| OpenError { path: path.to_owned(), source: errno.into() };
        let dir = retry(|| rustix::fs::open(path, flags, Mode::empty())).map_err(failed)?;
        let file_system = retry(|| rustix::fs::fstatfs(&dir)).map_err(failed)?;
        let genuine = file_system.f_type == PROC_SUPER_MAGIC;
        let stat = retry(|| rustix::fs::fstat(&dir)).map_err(failed)?;
        Ok(Procfs {
            dir,
            path: path.to_owned(),
            genuine,
            device: stat.st_dev,
            is_root: stat.st_ino == PROC_ROOT_INO,
            surplus: None,
        })
    }

    /// The same procfs, read with the capabilities that psstat has and its caller has not. Only the kernel's
    /// procfs at `/proc` is read so: a directory that the caller names can contain links to any file.
    pub fn with_surplus(mut self) -> Procfs {
        if self.genuine && self.is_root && self.path == Path::new("/proc") {
            self.surplus = Surplus::of_this_thread();
        }
        self
    }

    /// Raises the capability to read a file, if psstat has it and its caller has not.
    fn raise_for(&self, path: &FilePath) -> Option<Raised> {
        self.surplus.map(|surplus| surplus.raise(path.is_for_owner_only()))
    }

    /// Whether this is a procfs of the kernel. In a copy, the owner of a directory is the user who
    /// made the copy, and process 1 may be missing.
    pub fn is_genuine(&self) -> bool {
        self.genuine
    }
}

/// Whether the procfs at a path shows process 1 to this thread.
pub fn shows_init(path: &Path) -> bool {
    Procfs::open(path).is_ok_and(|proc| proc.stat(Pid::INIT, &mut Buffer::default()).is_ok())
}
