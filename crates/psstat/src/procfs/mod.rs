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
mod system;

use crate::error::OpenError;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// `f_type` of a procfs (`PROC_SUPER_MAGIC`, include/uapi/linux/magic.h).
const PROC_SUPER_MAGIC: i64 = 0x9fa0;

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
}

impl Procfs {
    /// Opens the directory where procfs is mounted.
    ///
    /// # Errors
    /// [`OpenError`] if it is not a directory, or may not be opened.
    pub fn open(path: &Path) -> Result<Procfs, OpenError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let failed = |errno: Errno| OpenError { path: path.to_owned(), source: errno.into() };
        let dir = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
        let genuine = rustix::fs::fstatfs(&dir).map_err(failed)?.f_type as i64 == PROC_SUPER_MAGIC;
        let device = rustix::fs::fstat(&dir).map_err(failed)?.st_dev;
        Ok(Procfs { dir, path: path.to_owned(), genuine, device })
    }

    /// Whether this is a procfs of the kernel. In a copy, the owner of a directory is the user who
    /// made the copy, and process 1 may be missing.
    pub fn is_genuine(&self) -> bool {
        self.genuine
    }
}
