//! Reads files below `/proc`: where it is mounted, which of its files says what, and what the errors
//! of reading them mean.

pub mod fd_cache;
mod file_path;

use crate::error::OpenError;
use crate::sys::{self, retry};
use file_path::FilePath;
use psstat_core::discovery::tracker;
use psstat_core::model::births::{Births, PidRange};
use psstat_core::model::buffer::Buffer;
use psstat_core::model::memory::Statm;
use psstat_core::model::process::Stat;
use psstat_core::model::read_error::{ReadError, Reason};
use psstat_core::model::readings::Storage;
use psstat_core::model::units::{Amounts, Bytes, Count, Pid, ProcId, Ticks, Uid};
use psstat_core::parse::{line, procfs as parse};
use rustix::fs::{AtFlags, Mode, OFlags, RawDir};
use rustix::io::Errno;
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// `f_type` of a procfs (`PROC_SUPER_MAGIC`, include/uapi/linux/magic.h).
const PROC_SUPER_MAGIC: i64 = 0x9fa0;

/// A command line may be as long as memory allows; what stands behind this is not looked at.
pub const CMDLINE_LIMIT: usize = 256 * 1024;

/// A `status` holds the numbers of all groups of a user: 65,536 of them at most (`NGROUPS_MAX`).
const STATUS_LIMIT: usize = 1024 * 1024;

/// A mounted procfs, or a folder that looks like one.
#[derive(Debug)]
pub struct Procfs {
    dir: OwnedFd,
    path: PathBuf,
    genuine: bool,
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
        Ok(Procfs { dir, path: path.to_owned(), genuine })
    }

    /// Whether the kernel itself answers here. In a copy, the owners of the folders are whoever
    /// unpacked it, and process 1 may simply not have been copied.
    pub fn is_genuine(&self) -> bool {
        self.genuine
    }

    /// Where it is mounted, as it was typed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lists the processes, by pid. Gives the [offset](Procfs::pids_from) at which the list can
    /// be entered in the middle, where that is sure.
    ///
    /// # Errors
    /// [`ReadError`] where the folder cannot be listed.
    pub fn pids(&self, pids: &mut Vec<Pid>) -> Result<Option<i64>, ReadError> {
        pids.clear();
        let mut calibration = Calibration::default();
        self.list(0, |pid, next| {
            calibration.add(pid, next);
            pids.push(pid);
            true
        })?;
        // The kernel lists in rising order, so that this finds nothing to do; a copy may not.
        pids.sort_unstable();
        // As may a folder 007 beside 7.
        pids.dedup();
        Ok(calibration.offset.filter(|&offset| offset >= 0 && self.shows_own_pid_namespace()))
    }

    /// Adds the processes of a range, the first `limit` of them, entering the list in the middle.
    ///
    /// The position of a process in the folder is its pid and an `offset` that is the same for
    /// all (`proc_pid_readdir`, fs/proc/base.c: `tgid + TGID_OFFSET`). That is no promise of the
    /// kernel's: [`Procfs::pids`] finds out whether it holds, from every entry of the list.
    ///
    /// # Errors
    /// [`ReadError`] where the folder cannot be listed.
    pub fn pids_from(
        &self,
        offset: i64,
        range: PidRange,
        limit: u64,
        pids: &mut Vec<Pid>,
    ) -> Result<(), ReadError> {
        let mut left = limit;
        let position = i64::from(range.first.number()) + offset;
        self.list(u64::try_from(position).unwrap_or_default(), |pid, _| {
            if pid > range.last || left == 0 {
                return false;
            }
            if pid >= range.first {
                pids.push(pid);
                left -= 1;
            }
            true
        })
    }

    /// Calls `visit` with each process from a position on, and the position of the next, until it
    /// answers no.
    fn list(
        &self,
        position: u64,
        mut visit: impl FnMut(Pid, u64) -> bool,
    ) -> Result<(), ReadError> {
        let failed = |errno: Errno| ReadError {
            path: self.path.display().to_string(),
            reason: sys::reason(errno),
        };
        rustix::fs::seek(&self.dir, rustix::fs::SeekFrom::Start(position)).map_err(failed)?;
        // What is behind a short range need not be listed; the whole list comes in few calls.
        let mut space = [MaybeUninit::uninit(); 32 * 1024];
        let space = if position == 0 { &mut space[..] } else { &mut space[..1024] };
        let mut entries = RawDir::new(&self.dir, space);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(failed)?;
            if let Some(pid) = Pid::parse(entry.file_name().to_bytes())
                && !visit(pid, entry.next_entry_cookie())
            {
                break;
            }
        }
        Ok(())
    }

    /// Whether the pids here are those of psstat's own pid namespace: of that, `/proc/loadavg` shows
    /// the newest (fs/proc/loadavg.c), and CPU clocks are found by these pids.
    pub fn shows_own_pid_namespace(&self) -> bool {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        self.own_pid().is_some_and(|pid| i64::from(pid.number()) == i64::from(own))
    }

    /// What the kernel tells of the tasks it has made; `interval_nanos` is how long samples lie
    /// apart, which decides whether forks must be counted. None where it cannot be told.
    pub fn births(&self, interval_nanos: u64) -> Option<Births> {
        if !self.genuine {
            return None;
        }
        let mut buffer = Buffer::default();
        let text = self.read(&FilePath::of_system(c"sys/kernel/pid_max"), &mut buffer).ok()?;
        let pid_max = line::number(text)?;
        let forks = if tracker::needs_forks(pid_max, interval_nanos) {
            Some(parse::forks(&self.read_whole(&FilePath::of_system(c"stat")).ok()?)?)
        } else {
            None
        };
        // The newest last: what is born meanwhile is then either below it, or of the next sample.
        let text = self.read(&FilePath::of_system(c"loadavg"), &mut buffer).ok()?;
        let (tasks, newest) = parse::loadavg(text)?;
        Some(Births { newest, tasks, pid_max, forks })
    }

    /// Reads `/proc/PID/stat`.
    ///
    /// # Errors
    /// [`Reason::Vanished`] where the process has ended, and the other reasons as they come.
    pub fn stat<'b>(&self, pid: Pid, buffer: &'b mut Buffer) -> Result<Stat<'b>, ReadError> {
        self.parsed(pid, "stat", buffer, parse::stat)
    }

    /// Reads `/proc/PID/statm`: exact on every kernel, which the `rss` of `stat` is not from
    /// Linux 6.2 on (proc_pid_statm(5), "inaccurate" in mm/percpu counters).
    ///
    /// # Errors
    /// As [`Procfs::stat`].
    pub fn statm(&self, pid: Pid, buffer: &mut Buffer) -> Result<Statm, ReadError> {
        self.parsed(pid, "statm", buffer, parse::statm)
    }

    /// Reads the proportional share of `/proc/PID/smaps_rollup`. The kernel walks all mappings
    /// for it and holds the process's memory lock meanwhile.
    ///
    /// # Errors
    /// As [`Procfs::stat`]; a process of another user gives [`Reason::Denied`].
    pub fn pss(&self, pid: Pid, buffer: &mut Buffer) -> Result<Bytes, ReadError> {
        let path = FilePath::new(pid, "smaps_rollup");
        let text = self.read(&path, buffer)?;
        if text.is_empty() {
            // A kernel thread, or a process that has given up its memory on its way out.
            return Ok(Bytes(0));
        }
        parse::smaps_rollup_pss(text).ok_or_else(|| self.error(&path, Reason::Malformed))
    }

    /// Reads `/proc/PID/cmdline` into `line`, arguments joined by one space; empty for kernel
    /// threads and zombies. At most [`CMDLINE_LIMIT`] bytes of it.
    ///
    /// # Errors
    /// As [`Procfs::stat`].
    pub fn cmdline(&self, pid: Pid, line: &mut Vec<u8>) -> Result<(), ReadError> {
        self.read_up_to(&FilePath::new(pid, "cmdline"), CMDLINE_LIMIT, line)?;
        parse::join_arguments(line);
        Ok(())
    }

    /// Reads `/proc/PID/io`.
    ///
    /// # Errors
    /// As [`Procfs::stat`]; a process of another user gives [`Reason::Denied`].
    pub fn io(&self, pid: Pid, buffer: &mut Buffer) -> Result<Storage, ReadError> {
        self.parsed(pid, "io", buffer, parse::io)
    }

    /// Reads the major page faults of `/proc/PID/stat`.
    ///
    /// # Errors
    /// As [`Procfs::stat`]; [`Reason::Vanished`] also where the number is another process's now.
    pub fn major_faults(
        &self,
        id: ProcId,
        buffer: &mut Buffer,
    ) -> Result<Amounts<Count>, ReadError> {
        let faults = self.parsed(id.pid, "stat", buffer, parse::major_faults)?;
        self.faults_of(id, faults)
    }

    fn faults_of(
        &self,
        id: ProcId,
        (start, faults): (Ticks, Amounts<Count>),
    ) -> Result<Amounts<Count>, ReadError> {
        let stranger = || self.error(&FilePath::new(id.pid, "stat"), Reason::Vanished);
        if start == id.start { Ok(faults) } else { Err(stranger()) }
    }

    /// Lists the threads of a process, in the order of the kernel.
    ///
    /// # Errors
    /// As [`Procfs::stat`].
    pub fn threads(&self, pid: Pid) -> Result<Vec<Pid>, ReadError> {
        let path = FilePath::new(pid, "task");
        let mut threads = Vec::new();
        self.visit(&path, |name| threads.extend(Pid::parse(name)))?;
        // A process without any has ended.
        if threads.is_empty() { Err(self.error(&path, Reason::Vanished)) } else { Ok(threads) }
    }

    /// How often a thread was switched away from: `/proc/PID/task/TID/status`. `text` is space to
    /// read into.
    ///
    /// # Errors
    /// As [`Procfs::stat`], of the thread; [`Reason::Missing`] where it is there, and the file is
    /// not.
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
        let folder = FilePath::of_thread(pid, tid, "");
        let is_there =
            || rustix::fs::statat(&self.dir, folder.as_c_str(), AtFlags::empty()).is_ok();
        match reason {
            Reason::Vanished if is_there() => Err(self.error(&path, Reason::Missing)),
            reason => Err(self.error(&path, reason)),
        }
    }

    /// The path of the file that the process runs: where `/proc/PID/exe` leads. A file that has
    /// been replaced since (an upgrade) gives the path that it had.
    ///
    /// # Errors
    /// [`Reason::Vanished`] also for a kernel thread, which runs no file; [`Reason::Denied`]
    /// where the reader may not trace the process (ptrace(2)).
    pub fn exe(&self, pid: Pid) -> Result<Vec<u8>, ReadError> {
        let path = FilePath::new(pid, "exe");
        let target = rustix::fs::readlinkat(&self.dir, path.as_c_str(), Vec::new())
            .map_err(|errno| self.error(&path, sys::reason(errno)))?;
        let mut target = target.into_bytes();
        if target.ends_with(b" (deleted)") {
            target.truncate(target.len() - b" (deleted)".len());
        }
        Ok(target)
    }

    /// The effective user of a process: who owns its folder (proc(5)).
    ///
    /// In a copy of a procfs the owner is whoever made the copy; there the `Uid:` line of
    /// `status` says it, where it was copied too.
    ///
    /// # Errors
    /// As [`Procfs::stat`].
    pub fn effective_user(&self, pid: Pid, buffer: &mut Buffer) -> Result<Uid, ReadError> {
        if !self.genuine
            && let Ok(uid) = self.parsed(pid, "status", buffer, parse::status_effective_uid)
        {
            return Ok(uid);
        }
        let path = FilePath::new(pid, "");
        rustix::fs::statat(&self.dir, path.as_c_str(), AtFlags::empty())
            .map(|stat| Uid(stat.st_uid))
            .map_err(|errno| self.error(&path, sys::reason(errno)))
    }

    /// Reads `/proc/PID/cgroup` whole: which control group the process is in, hierarchy by
    /// hierarchy.
    ///
    /// # Errors
    /// As [`Procfs::stat`].
    pub fn cgroup<'b>(&self, pid: Pid, buffer: &'b mut Buffer) -> Result<&'b [u8], ReadError> {
        self.read(&FilePath::new(pid, "cgroup"), buffer)
    }

    /// The pid that psstat itself has in this procfs: none where it is a copy or belongs to a
    /// pid namespace that psstat is not in.
    pub fn own_pid(&self) -> Option<Pid> {
        if !self.genuine {
            return None;
        }
        let target = rustix::fs::readlinkat(&self.dir, c"self", Vec::new()).ok()?;
        Pid::parse(target.to_bytes())
    }

    /// Whether that very process is there, ended or not.
    pub fn is_there(&self, id: ProcId) -> bool {
        self.stat(id.pid, &mut Buffer::default()).is_ok_and(|stat| stat.start == id.start)
    }

    /// How many files a process has open: the entries of its `fd` folder.
    ///
    /// From Linux 6.2 on the kernel itself tells how many, as the size of that folder, and tells
    /// everyone (`proc_fd_getattr`, fs/proc/fd.c). Before, and in a copy of a procfs, they are
    /// counted.
    ///
    /// # Errors
    /// As [`Procfs::stat`]; [`Reason::Denied`] where they must be counted and the process is
    /// another user's.
    pub fn open_files(&self, pid: Pid) -> Result<u64, ReadError> {
        let path = FilePath::new(pid, "fd");
        if self.genuine {
            let stat = rustix::fs::statat(&self.dir, path.as_c_str(), AtFlags::empty())
                .map_err(|errno| self.error(&path, sys::reason(errno)))?;
            match u64::try_from(stat.st_size) {
                // An older kernel says so of every process; this one has some open.
                Ok(0) if !self.tells_open_files() => {}
                Ok(count) => return Ok(count),
                Err(_) => {}
            }
        }
        let mut count = 0;
        self.visit(&path, |name| {
            count += u64::from(name.iter().all(u8::is_ascii_digit));
        })?;
        Ok(count)
    }

    /// Whether the size of an `fd` folder is how many there are.
    fn tells_open_files(&self) -> bool {
        rustix::fs::statat(&self.dir, c"self/fd", AtFlags::empty())
            .is_ok_and(|stat| stat.st_size > 0)
    }

    /// Calls `visit` with the name of each entry of a folder.
    fn visit(&self, path: &FilePath, mut visit: impl FnMut(&[u8])) -> Result<(), ReadError> {
        let failed = |errno: Errno| self.error(path, sys::reason(errno));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = retry(|| rustix::fs::openat(&self.dir, path.as_c_str(), flags, Mode::empty()))
            .map_err(failed)?;
        let mut space = [MaybeUninit::uninit(); 8 * 1024];
        let mut entries = RawDir::new(&folder, &mut space);
        while let Some(entry) = entries.next() {
            visit(entry.map_err(failed)?.file_name().to_bytes());
        }
        Ok(())
    }

    /// What the machine has of memory: `MemTotal` of `meminfo`.
    ///
    /// # Errors
    /// [`ReadError`] where the file is missing or says nothing of it.
    pub fn mem_total(&self, buffer: &mut Buffer) -> Result<Bytes, ReadError> {
        let path = FilePath::of_system(c"meminfo");
        let text = self.read(&path, buffer)?;
        parse::mem_total(text).ok_or_else(|| self.error(&path, Reason::Malformed))
    }

    /// What tells this boot of the machine from every other: `sys/kernel/random/boot_id`
    /// (random(4)). Empty where it cannot be read, so that such runs compare as equal and the
    /// clock alone has to tell.
    pub fn boot_id(&self, buffer: &mut Buffer) -> Vec<u8> {
        let path = FilePath::of_system(c"sys/kernel/random/boot_id");
        self.read(&path, buffer).map(|text| text.trim_ascii().to_vec()).unwrap_or_default()
    }

    fn parsed<'b, T>(
        &self,
        pid: Pid,
        name: &str,
        buffer: &'b mut Buffer,
        parse: impl FnOnce(&'b [u8]) -> Option<T>,
    ) -> Result<T, ReadError> {
        let path = FilePath::new(pid, name);
        let text = self.read(&path, buffer)?;
        if text.is_empty() {
            // The kernel never writes an empty one; a process that ends between open and read
            // gives ESRCH. Some container runtimes' emulations give nothing instead.
            return Err(self.error(&path, Reason::Vanished));
        }
        self.understood(pid, name, parse(text))
    }

    /// Turns what a parser could make nothing of into an error.
    fn understood<T>(&self, pid: Pid, name: &str, parsed: Option<T>) -> Result<T, ReadError> {
        parsed.ok_or_else(|| self.error(&FilePath::new(pid, name), Reason::Malformed))
    }

    /// Reads the first `limit` bytes of a file into `text`.
    fn read_up_to(
        &self,
        path: &FilePath,
        limit: usize,
        text: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let file = self.open_file(path)?;
        text.clear();
        while text.len() < limit {
            let filled = text.len();
            text.resize((filled * 2).clamp(1024, limit), 0);
            let count = retry(|| rustix::io::read(&file, &mut text[filled..]))
                .map_err(|errno| self.error(path, sys::reason(errno)))?;
            text.truncate(filled + count);
            if count == 0 {
                break;
            }
        }
        Ok(())
    }

    fn read_whole(&self, path: &FilePath) -> Result<Vec<u8>, ReadError> {
        let file = self.open_file(path)?;
        let mut text = Vec::new();
        std::fs::File::from(file).read_to_end(&mut text).map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            self.error(path, sys::reason(errno))
        })?;
        Ok(text)
    }

    fn read<'b>(&self, path: &FilePath, buffer: &'b mut Buffer) -> Result<&'b [u8], ReadError> {
        let file = self.open_file(path)?;
        let count = retry(|| rustix::io::read(&file, &mut buffer.0[..]))
            .map_err(|errno| self.error(path, sys::reason(errno)))?;
        Ok(&buffer.0[..count])
    }

    fn open_file(&self, path: &FilePath) -> Result<OwnedFd, ReadError> {
        // A copy of a procfs may hold a FIFO; nobody is to be kept waiting by it. The kernel's own
        // files know nothing of the flag.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        retry(|| rustix::fs::openat(&self.dir, path.as_c_str(), flags, Mode::empty()))
            .map_err(|errno| self.error(path, sys::reason(errno)))
    }

    #[cold]
    fn error(&self, path: &FilePath, reason: Reason) -> ReadError {
        let below = String::from_utf8_lossy(path.as_c_str().to_bytes()).into_owned();
        ReadError { path: self.path.join(below).display().to_string(), reason }
    }
}

/// Finds out whether positions in the folder follow the pids.
#[derive(Debug, Default)]
struct Calibration {
    /// The position of the next process, as the last one gave it.
    next: Option<u64>,
    offset: Option<i64>,
    contradicted: bool,
}

impl Calibration {
    fn add(&mut self, pid: Pid, next: u64) {
        if let Some(position) = self.next.replace(next) {
            let offset = i64::try_from(position).map(|at| at - i64::from(pid.number())).ok();
            self.contradicted |= self.offset.is_some() && self.offset != offset;
            self.offset = offset.filter(|_| !self.contradicted);
        }
    }
}
