//! Files of processes that are kept open from sample to sample.
//!
//! Reading an open file again costs half as much as opening, reading and closing it. An open file
//! belongs to one process: when that process has ended, reading fails with `ESRCH`, even if another
//! process has its pid by then (fs/proc/base.c).

use super::Procfs;
use super::file_path::FilePath;
use crate::sys::retry;
use psstat_core::model::buffer::Buffer;
use psstat_core::model::memory::Statm;
use psstat_core::model::process::Stat;
use psstat_core::model::read_error::ReadError;
use psstat_core::model::units::{Amounts, Count, Pid, ProcId};
use psstat_core::parse::procfs as parse;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::cell::RefCell;
use std::collections::HashMap;
use std::os::fd::OwnedFd;

/// Descriptors that are left for everything else.
const RESERVE: u64 = 64;

const FILES_PER_PROCESS: u64 = 2;

/// A procfs, with the files of some processes kept open.
#[derive(Debug)]
pub struct FdCache {
    proc: Procfs,
    files: RefCell<HashMap<Pid, Files>>,
    /// The files of at most this many processes are kept open.
    capacity: usize,
}

/// The files of one process, each opened when it is first read.
#[derive(Debug, Default)]
struct Files {
    stat: Option<OwnedFd>,
    statm: Option<OwnedFd>,
}

impl FdCache {
    /// An empty cache. Its capacity follows from the limit on open files.
    pub fn new(proc: Procfs) -> FdCache {
        let limit = getrlimit(Resource::Nofile).current;
        FdCache { proc, files: RefCell::default(), capacity: capacity(limit) }
    }

    /// Raises the limit on open files as far as this user may. Each cache that was `abandoned` before has
    /// kept half of what was left.
    pub fn raise_limit(&mut self, abandoned: u64) {
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            self.capacity = capacity(limit.maximum);
        }
        let halvings = u32::try_from(abandoned).unwrap_or(u32::MAX).saturating_add(1);
        self.capacity = self.capacity.checked_shr(halvings).unwrap_or(0);
    }

    /// Keeps the files of these processes open from now on, as many as the capacity allows. Closes
    /// the files of all others. `pids` is sorted.
    pub fn keep_open(&self, pids: &[Pid]) {
        let mut files = self.files.borrow_mut();
        files.retain(|pid, _| pids.binary_search(pid).is_ok());
        for &pid in pids {
            if files.len() >= self.capacity {
                break;
            }
            files.entry(pid).or_default();
        }
    }

    /// The procfs, for files that are not kept open.
    pub fn procfs(&self) -> &Procfs {
        &self.proc
    }

    /// As [`Procfs::stat`].
    ///
    /// # Errors
    /// As [`Procfs::stat`].
    pub fn stat<'b>(&self, pid: Pid, buffer: &'b mut Buffer) -> Result<Stat<'b>, ReadError> {
        let mut files = self.files.borrow_mut();
        let count = files.get_mut(&pid).and_then(|files| {
            let count = self.read_again(pid, "stat", &mut files.stat, buffer);
            if count.is_none() {
                // The process that both files belong to has ended.
                files.statm = None;
            }
            count
        });
        match count {
            Some(count) => self.proc.require(pid, "stat", parse::stat(&buffer.0[..count])),
            None => self.proc.stat(pid, buffer),
        }
    }

    /// As [`Procfs::statm`].
    ///
    /// # Errors
    /// As [`Procfs::statm`].
    pub fn statm(&self, pid: Pid, buffer: &mut Buffer) -> Result<Statm, ReadError> {
        let mut files = self.files.borrow_mut();
        let files = files.get_mut(&pid);
        match files.and_then(|files| self.read_again(pid, "statm", &mut files.statm, buffer)) {
            Some(count) => self.proc.require(pid, "statm", parse::statm(&buffer.0[..count])),
            None => self.proc.statm(pid, buffer),
        }
    }

    /// As [`Procfs::major_faults`].
    ///
    /// # Errors
    /// As [`Procfs::major_faults`].
    pub fn major_faults(
        &self,
        id: ProcId,
        buffer: &mut Buffer,
    ) -> Result<Amounts<Count>, ReadError> {
        let mut files = self.files.borrow_mut();
        let files = files.get_mut(&id.pid);
        match files.and_then(|files| self.read_again(id.pid, "stat", &mut files.stat, buffer)) {
            Some(count) => {
                let faults = parse::major_faults(&buffer.0[..count]);
                self.proc.faults_of(id, self.proc.require(id.pid, "stat", faults)?)
            }
            None => self.proc.major_faults(id, buffer),
        }
    }

    /// Reads an open file from its beginning into `buffer`, and opens it first if it is not open.
    /// Returns the number of bytes. `None` if it cannot be opened, or its process has ended: then
    /// the file must be read by its path, because another process may have the pid.
    fn read_again(
        &self,
        pid: Pid,
        name: &str,
        file: &mut Option<OwnedFd>,
        buffer: &mut Buffer,
    ) -> Option<usize> {
        if file.is_none() {
            *file = self.proc.open_file(&FilePath::new(pid, name)).ok();
        }
        let open = file.as_ref()?;
        match retry(|| rustix::io::pread(open, &mut buffer.0[..], 0)) {
            Ok(count) if count > 0 => Some(count),
            _ => {
                *file = None;
                None
            }
        }
    }
}

/// The number of processes whose files can be kept open under a limit on open files. `None` means
/// no limit.
fn capacity(limit: Option<u64>) -> usize {
    let files = limit.unwrap_or(u64::MAX).saturating_sub(RESERVE);
    usize::try_from(files / FILES_PER_PROCESS).unwrap_or(usize::MAX)
}
