//! Files of processes that are kept open from sample to sample.
//!
//! Reading an open file again costs half of opening, reading and closing it. An open file also
//! belongs to one process for good: when that process has ended, reading fails with `ESRCH`, even if
//! another process has its pid by then (fs/proc/base.c).

use super::{FilePath, Procfs};
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
    /// How many processes can be held.
    capacity: usize,
}

/// The files of one process, each opened when it is first read.
#[derive(Debug, Default)]
struct Files {
    stat: Option<OwnedFd>,
    statm: Option<OwnedFd>,
}

impl FdCache {
    /// Holds nothing yet, and no more than the limit on open files allows.
    pub fn new(proc: Procfs) -> FdCache {
        let limit = getrlimit(Resource::Nofile).current;
        FdCache { proc, files: RefCell::default(), capacity: capacity(limit) }
    }

    /// Raises the limit on open files as far as this user may.
    pub fn raise_limit(&mut self) {
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            self.capacity = capacity(limit.maximum);
        }
    }

    /// Holds these processes from now on, as many as the limit on open files allows, and lets go
    /// of all others.
    pub fn hold(&self, pids: &[Pid]) {
        let mut files = self.files.borrow_mut();
        files.retain(|pid, _| pids.binary_search(pid).is_ok());
        for &pid in pids {
            if files.len() >= self.capacity {
                break;
            }
            files.entry(pid).or_default();
        }
    }

    /// The procfs itself, for files that are not held.
    pub fn procfs(&self) -> &Procfs {
        &self.proc
    }

    /// As [`Procfs::statm`].
    ///
    /// # Errors
    /// As [`Procfs::statm`].
    pub fn statm(&self, pid: Pid, buffer: &mut Buffer) -> Result<Statm, ReadError> {
        let mut files = self.files.borrow_mut();
        let held = files.get_mut(&pid);
        match held.and_then(|files| self.fill(pid, "statm", &mut files.statm, buffer)) {
            Some(count) => self.proc.understood(pid, "statm", parse::statm(&buffer.0[..count])),
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
        let held = files.get_mut(&id.pid);
        match held.and_then(|files| self.fill(id.pid, "stat", &mut files.stat, buffer)) {
            Some(count) => {
                let faults = parse::major_faults(&buffer.0[..count]);
                self.proc.faults_of(id, self.proc.understood(id.pid, "stat", faults)?)
            }
            None => self.proc.major_faults(id, buffer),
        }
    }

    /// Reads a held file from its beginning, opening it first if need be. None where it cannot be
    /// opened, or its process has ended: whoever has its number now is to be asked by name.
    fn fill(
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

/// How many processes can be held under a limit on open files; none means no limit.
fn capacity(limit: Option<u64>) -> usize {
    let files = limit.unwrap_or(u64::MAX).saturating_sub(RESERVE);
    usize::try_from(files / FILES_PER_PROCESS).unwrap_or(usize::MAX)
}

impl FdCache {
    /// As [`Procfs::stat`].
    ///
    /// # Errors
    /// As [`Procfs::stat`].
    pub fn stat<'b>(&self, pid: Pid, buffer: &'b mut Buffer) -> Result<Stat<'b>, ReadError> {
        let mut files = self.files.borrow_mut();
        let count = files.get_mut(&pid).and_then(|files| {
            let count = self.fill(pid, "stat", &mut files.stat, buffer);
            if count.is_none() {
                // The process that both files belonged to has ended.
                files.statm = None;
            }
            count
        });
        match count {
            Some(count) => self.proc.understood(pid, "stat", parse::stat(&buffer.0[..count])),
            None => self.proc.stat(pid, buffer),
        }
    }
}
