//! Files below `/proc` that belong to no process.

use super::Procfs;
use super::file_path::FilePath;
use crate::sys;
use psstat_core::discovery::tracker;
use psstat_core::model::births::Births;
use psstat_core::model::buffer::Buffer;
use psstat_core::model::memory::MachineMemory;
use psstat_core::model::read_error::{ReadError, Reason};
use psstat_core::model::units::{Bytes, Pid, ProcId};
use psstat_core::parse::{line, procfs as parse};

/// Longer than any `stat` of the kernel. It lists all processors and interrupts.
const STAT_LIMIT: usize = 16 * 1024 * 1024;

impl Procfs {
    /// What the kernel reports about the tasks it has made (`loadavg`, `sys/kernel/pid_max`, `stat`).
    /// `interval_nanos` is the time since the last sample; it decides whether forks must be counted.
    /// `None` if a file cannot be read, if this is a copy,
    /// or if another file system is mounted over one of the files, as lxcfs does.
    pub fn births(&self, interval_nanos: u64) -> Option<Births> {
        if !self.genuine {
            return None;
        }
        let mut text = Vec::new();
        self.read_own_file(&FilePath::of_system(c"sys/kernel/pid_max"), STAT_LIMIT, &mut text)?;
        let pid_max = line::number(&text)?;
        let forks = if tracker::needs_forks(pid_max, interval_nanos) {
            self.read_own_file(&FilePath::of_system(c"stat"), STAT_LIMIT, &mut text)?;
            Some(parse::forks(&text)?)
        } else {
            None
        };
        // The newest pid is read last: a process that starts meanwhile has a pid up to the newest,
        // or belongs to the next sample.
        self.read_own_file(&FilePath::of_system(c"loadavg"), STAT_LIMIT, &mut text)?;
        let (tasks, newest) = parse::loadavg(&text)?;
        Some(Births { newest, tasks, pid_max, forks })
    }

    /// The memory of the machine, from `meminfo` (proc_meminfo(5)).
    ///
    /// # Errors
    /// [`ReadError`] if the file cannot be read; [`Reason::Malformed`] if it has no `MemTotal`.
    pub fn machine_memory(&self, buffer: &mut Buffer) -> Result<MachineMemory, ReadError> {
        let path = FilePath::of_system(c"meminfo");
        let text = self.read(&path, buffer)?;
        parse::meminfo(text).ok_or_else(|| self.error(&path, Reason::Malformed))
    }

    /// Identifies this boot of the machine: `sys/kernel/random/boot_id` (random(4)). Empty if there is no
    /// such file: two samples without it count as of the same boot, and only the clock can tell that the
    /// machine was restarted. `None` if it cannot be read.
    pub fn boot_id(&self, buffer: &mut Buffer) -> Option<Vec<u8>> {
        let path = FilePath::of_system(c"sys/kernel/random/boot_id");
        match self.read(&path, buffer) {
            Ok(text) => Some(text.trim_ascii().to_vec()),
            Err(error) if error.reason == Reason::Vanished => Some(Vec::new()),
            Err(_) => None,
        }
    }

    /// Whether this procfs shows the pid namespace of psstat, and that is not the first one of the
    /// machine. `false` if it cannot be found out.
    pub fn is_contained(&self) -> bool {
        /// The link of the first pid namespace: `PROC_PID_INIT_INO`, include/linux/proc_ns.h.
        const FIRST: &[u8] = b"pid:[4026531836]";
        let own = self.link_target(&FilePath::of_system(c"self/ns/pid"));
        self.shows_own_pid_namespace() && own.is_ok_and(|own| own != FIRST)
    }

    /// psstat in this procfs, and its ancestors without process 1; and whether these are all.
    pub fn own_line(&self) -> (Vec<ProcId>, bool) {
        /// More than any line of shells, supervisors and collectors.
        const LONGEST: usize = 32;
        let mut buffer = Buffer::default();
        let mut line = Vec::new();
        let mut next = self.own_pid();
        while let Some(pid) = next.filter(|&pid| pid > Pid::INIT && line.len() < LONGEST) {
            let stat = again(|| {
                let stat = self.stat(pid, &mut buffer)?;
                Ok((stat.start, stat.parent))
            });
            let Ok((start, parent)) = stat else { return (line, false) };
            line.push(ProcId { pid, start });
            next = Some(parent);
        }
        let is_whole = next.is_some() || !self.genuine;
        (line, is_whole)
    }

    /// Whether a process runs an executable of the same path as psstat.
    ///
    /// The files themselves are not looked at: a user can have one on a file server that does not answer.
    ///
    /// # Errors
    /// [`ReadError`] if it cannot be found out.
    pub fn runs_own_executable(&self, pid: Pid) -> Result<bool, ReadError> {
        let own = self.link_target(&FilePath::of_system(c"self/exe"))?;
        let own = own.strip_suffix(b" (deleted)").unwrap_or(&own);
        Ok(self.exe(pid)? == own)
    }

    /// The pid of psstat in this procfs: the target of `self`. `None` if this is a copy, or shows a
    /// pid namespace that psstat is not in.
    pub fn own_pid(&self) -> Option<Pid> {
        if !self.genuine {
            return None;
        }
        Pid::parse(&again(|| self.link_target(&FilePath::of_system(c"self"))).ok()?)
    }
}

/// The resident memory of this process. `None` if it cannot be read.
pub fn own_memory() -> Option<Bytes> {
    let statm = parse::statm(&std::fs::read("/proc/self/statm").ok()?)?;
    Some(Bytes(statm.resident.0.saturating_mul(sys::page_size())))
}

/// Reads again if that fails. The reason may be over at once, such as a lack of memory or of open files.
fn again<T>(mut read: impl FnMut() -> Result<T, ReadError>) -> Result<T, ReadError> {
    read().or_else(|_| read())
}
