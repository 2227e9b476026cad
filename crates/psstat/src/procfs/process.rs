//! The files of one process.
//!
//! A process can end at any time. Each method then fails with [`Reason::Vanished`].

use super::Procfs;
use super::file_path::FilePath;
use psstat_core::model::buffer::Buffer;
use psstat_core::model::memory::{Proportional, Split, Statm};
use psstat_core::model::process::{Kinship, Stat};
use psstat_core::model::read_error::{ReadError, Reason};
use psstat_core::model::readings::Storage;
use psstat_core::model::units::{Amounts, Bytes, Count, CpuNanos, Pid, ProcId, Ticks, Uid};
use psstat_core::parse::procfs as parse;

/// Only so many bytes of a command line are matched. The kernel allows longer ones.
const CMDLINE_LIMIT: usize = 256 * 1024;

/// Longer than any `status` of the kernel. It lists all groups of a user, at most 65,536
/// (`NGROUPS_MAX`).
const STATUS_LIMIT: usize = 1024 * 1024;

impl Procfs {
    /// Reads `stat` (proc_pid_stat(5)).
    ///
    /// # Errors
    /// [`ReadError`] if the file cannot be read or parsed.
    pub fn stat<'b>(&self, pid: Pid, buffer: &'b mut Buffer) -> Result<Stat<'b>, ReadError> {
        self.read_and_parse(pid, "stat", buffer, parse::stat)
    }

    /// Reads `statm`. It is exact on every kernel; `rss` in `stat` is not since Linux 6.2
    /// (proc_pid_statm(5), "inaccurate" in mm/percpu counters).
    ///
    /// # Errors
    /// [`ReadError`] if the file cannot be read or parsed.
    pub fn statm(&self, pid: Pid, buffer: &mut Buffer) -> Result<Statm, ReadError> {
        self.read_and_parse(pid, "statm", buffer, parse::statm)
    }

    /// Reads the proportional set size in `smaps_rollup`. Zero for a kernel thread, and for a
    /// process that is ending and has released its memory.
    ///
    /// The kernel walks all mappings, and holds the memory lock of the process meanwhile.
    ///
    /// # Errors
    /// [`ReadError`] if the file cannot be read or parsed; [`Reason::Denied`] if the process belongs
    /// to another user.
    pub fn proportional(&self, pid: Pid, buffer: &mut Buffer) -> Result<Proportional, ReadError> {
        let path = FilePath::new(pid, super::PSS_FILE);
        let text = self.read(&path, buffer)?;
        if text.is_empty() {
            return Ok(Proportional { split: Some(Split::default()), ..Proportional::default() });
        }
        parse::smaps_rollup(text).ok_or_else(|| self.error(&path, Reason::Malformed))
    }

    /// Reads the huge pages that a process maps in `status`, into `text`. Zero for a kernel thread, and on
    /// a kernel without huge pages.
    ///
    /// # Errors
    /// [`ReadError`] if the file cannot be read.
    pub fn huge_pages(&self, pid: Pid, text: &mut Vec<u8>) -> Result<Bytes, ReadError> {
        self.read_up_to(&FilePath::new(pid, "status"), STATUS_LIMIT, text)?;
        Ok(parse::status_huge_pages(text).unwrap_or_default())
    }

    /// Reads how much memory of a process is swapped out in `status`, into `text`. Zero for a kernel thread.
    ///
    /// # Errors
    /// [`ReadError`] if the file cannot be read.
    pub fn swap(&self, pid: Pid, text: &mut Vec<u8>) -> Result<Bytes, ReadError> {
        self.read_up_to(&FilePath::new(pid, "status"), STATUS_LIMIT, text)?;
        let malformed = || self.error_of(pid, "status", Reason::Malformed);
        parse::status_swap(text).ok_or_else(malformed)
    }

    /// Reads the first 256 KiB of `cmdline` into `line`, arguments joined by one
    /// space. Empty for kernel threads and zombies.
    ///
    /// # Errors
    /// [`ReadError`] if the file cannot be read.
    pub fn cmdline(&self, pid: Pid, line: &mut Vec<u8>) -> Result<(), ReadError> {
        self.read_up_to(&FilePath::new(pid, "cmdline"), CMDLINE_LIMIT, line)?;
        parse::join_arguments(line);
        Ok(())
    }

    /// Reads the CPU time of the first thread in `schedstat`. Every user may read it.
    ///
    /// # Errors
    /// [`ReadError`] if the file cannot be read or parsed; [`Reason::Vanished`] also if the kernel was
    /// built without it (`CONFIG_SCHED_INFO`).
    pub fn first_thread_time(&self, pid: Pid, buffer: &mut Buffer) -> Result<CpuNanos, ReadError> {
        self.read_and_parse(pid, "schedstat", buffer, parse::schedstat)
    }

    /// Reads `io` (proc_pid_io(5)).
    ///
    /// # Errors
    /// [`ReadError`] if the file cannot be read or parsed; [`Reason::Denied`] if the process belongs
    /// to another user.
    pub fn io(&self, pid: Pid, buffer: &mut Buffer) -> Result<Storage, ReadError> {
        self.read_and_parse(pid, "io", buffer, parse::io)
    }

    /// Reads process group, session and flags in `stat`.
    ///
    /// # Errors
    /// [`ReadError`] if the file cannot be read or parsed.
    pub fn kinship(&self, pid: Pid, buffer: &mut Buffer) -> Result<Kinship, ReadError> {
        self.read_and_parse(pid, "stat", buffer, parse::kinship)
    }

    /// Reads the major page faults in `stat`.
    ///
    /// # Errors
    /// [`ReadError`] if the file cannot be read or parsed; [`Reason::Vanished`] also if the pid
    /// belongs to another process now.
    pub fn major_faults(
        &self,
        id: ProcId,
        buffer: &mut Buffer,
    ) -> Result<Amounts<Count>, ReadError> {
        let faults = self.read_and_parse(id.pid, "stat", buffer, parse::major_faults)?;
        self.faults_of(id, faults)
    }

    /// The faults that were read of the pid of `id`, if the start time is that of `id`.
    pub(super) fn faults_of(
        &self,
        id: ProcId,
        (start, faults): (Ticks, Amounts<Count>),
    ) -> Result<Amounts<Count>, ReadError> {
        let other_process = || self.error(&FilePath::new(id.pid, "stat"), Reason::Vanished);
        if start == id.start { Ok(faults) } else { Err(other_process()) }
    }

    /// The thread ids of a process, in the order of the kernel.
    ///
    /// # Errors
    /// [`ReadError`] if `task` cannot be listed.
    pub fn threads(&self, pid: Pid) -> Result<Vec<Pid>, ReadError> {
        let path = FilePath::new(pid, "task");
        let mut threads = Vec::new();
        self.visit_entries(&path, |name| threads.extend(Pid::parse(name)))?;
        // Only a process that has ended has no threads.
        if threads.is_empty() { Err(self.error(&path, Reason::Vanished)) } else { Ok(threads) }
    }

    /// The number of context switches of a thread, in `task/TID/status`. Reads into `text`.
    ///
    /// # Errors
    /// [`ReadError`] if the file cannot be read or parsed; [`Reason::Vanished`] if the thread has
    /// ended; [`Reason::Missing`] if the thread exists and the file does not.
    pub fn switches(&self, pid: Pid, tid: Pid, text: &mut Vec<u8>) -> Result<Count, ReadError> {
        let path = FilePath::of_thread(pid, tid, "status");
        let read = self.read_up_to(&path, STATUS_LIMIT, text);
        let reason = match read {
            Ok(()) if !text.is_empty() => {
                let switches = parse::switches(text);
                return switches.ok_or_else(|| self.error(&path, Reason::Malformed));
            }
            Ok(()) => Reason::Vanished,
            Err(error) => error.reason,
        };
        let exists = || self.attributes(&FilePath::of_thread(pid, tid, "")).is_ok();
        match reason {
            Reason::Vanished if exists() => Err(self.error(&path, Reason::Missing)),
            reason => Err(self.error(&path, reason)),
        }
    }

    /// The path of the executable: the target of `exe`. If the file has been replaced since, for
    /// example by an upgrade, its path before that.
    ///
    /// # Errors
    /// [`ReadError`] if the link cannot be read; [`Reason::Vanished`] also for a kernel thread, which
    /// has no executable; [`Reason::Denied`] if psstat may not trace the process (ptrace(2)).
    pub fn exe(&self, pid: Pid) -> Result<Vec<u8>, ReadError> {
        let mut target = self.link_target(&FilePath::new(pid, "exe"))?;
        if target.ends_with(b" (deleted)") {
            target.truncate(target.len() - b" (deleted)".len());
        }
        Ok(target)
    }

    /// The effective user of a process: the owner of its directory (proc(5)).
    ///
    /// In a copy, the owner is the user who made the copy. There the `Uid:` line of `status` is
    /// used, if that file exists.
    ///
    /// # Errors
    /// [`ReadError`] if the attributes of the directory cannot be read.
    pub fn effective_user(&self, pid: Pid, buffer: &mut Buffer) -> Result<Uid, ReadError> {
        if !self.genuine {
            match self.read_and_parse(pid, "status", buffer, parse::status_effective_uid) {
                Err(error) if error.reason == Reason::Vanished => {}
                read => return read,
            }
        }
        self.attributes(&FilePath::new(pid, "")).map(|stat| Uid(stat.st_uid))
    }

    /// Reads `cgroup`: the control group of the process in each hierarchy (cgroups(7)).
    ///
    /// # Errors
    /// [`ReadError`] if the file cannot be read.
    pub fn cgroup<'b>(&self, pid: Pid, buffer: &'b mut Buffer) -> Result<&'b [u8], ReadError> {
        self.read(&FilePath::new(pid, "cgroup"), buffer)
    }

    /// How many file descriptors a process has open.
    ///
    /// Since Linux 6.2 the size of the directory `fd` is their number, and every user may read it
    /// (`proc_fd_getattr`, fs/proc/fd.c). On older kernels, and in a copy, the entries of `fd` are
    /// counted.
    ///
    /// # Errors
    /// [`ReadError`] if the number cannot be read; [`Reason::Denied`] if the entries must be counted
    /// and the process belongs to another user.
    pub fn open_files(&self, pid: Pid) -> Result<u64, ReadError> {
        let path = FilePath::new(pid, "fd");
        if self.genuine {
            let size = self.attributes(&path)?.st_size;
            match u64::try_from(size) {
                // On an older kernel the size is always 0. psstat itself has files open.
                Ok(0) if !self.has_fd_sizes() => {}
                Ok(count) => return Ok(count),
                Err(_) => {}
            }
        }
        let mut count = 0;
        self.visit_entries(&path, |name| {
            count += u64::from(name.iter().all(u8::is_ascii_digit));
        })?;
        Ok(count)
    }

    /// Whether the size of a directory `fd` is the number of open file descriptors.
    fn has_fd_sizes(&self) -> bool {
        self.attributes(&FilePath::of_system(c"self/fd")).is_ok_and(|stat| stat.st_size > 0)
    }
}
