//! The machine that psstat runs on: [`Kernel`], implemented with procfs and cgroupfs.

use crate::blocking::reads::{Reads, Stuck, Unanswered};
use crate::cgroupfs::{self, memory::MemoryAccounts};
use crate::clock;
use crate::deadline::Deadline;
use crate::error::OpenError;
use crate::executables::Executables;
use crate::exit_records::ExitRecords;
use crate::files::{glob, pid_file};
use crate::job::Mounts;
use crate::procfs::fd_cache::FdCache;
use crate::procfs::{self, Procfs};
use crate::sys;
use crate::unit_files::UnitFiles;
use crate::users::{self, Getent};
use nix::time::ClockId;
use psstat_core::kernel::{Clocks, Constants, Kernel, UnitFile, Wanted};
use psstat_core::model::births::{Births, PidRange};
use psstat_core::model::buffer::Buffer;
use psstat_core::model::control_group::Hierarchy;
use psstat_core::model::exit::{Exits, FileId};
use psstat_core::model::memory::{MachineMemory, MemoryAccount, Proportional, Statm};
use psstat_core::model::pid_file::{PidFile, PidFileError};
use psstat_core::model::process::{Kinship, Stat};
use psstat_core::model::read_error::{ReadError, Reason};
use psstat_core::model::readings::Storage;
use psstat_core::model::snapshot::Part;
use psstat_core::model::units::{
    Amounts, BootNanos, Bytes, Count, CpuNanos, Hz, Pid, ProcId, Uid, WallNanos,
};
use psstat_core::parse::procfs as parse;
use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::num::NonZero;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The machine that psstat runs on.
#[derive(Debug)]
pub struct Machine {
    files: FdCache,
    sys: PathBuf,
    /// Whether somebody has said where procfs is.
    is_proc_chosen: bool,
    constants: Constants,
    deadline: Deadline,
    /// Makes the reads that can block.
    reads: Reads,
    /// Number of threads that read `/proc` when all processes are read.
    readers: usize,
    /// Whether the files of members are kept open from sample to sample.
    keeps_files_open: bool,
    /// Whether a pid means the same process for a CPU clock as for `/proc`.
    has_clocks: bool,
    /// The processes that run psstat, and the parent of psstat when they were found.
    own_line: RefCell<Option<(Option<rustix::process::Pid>, Vec<ProcId>)>>,
    /// The hierarchy of control groups that accounts memory, when it was first needed.
    memory_accounts: OnceCell<MemoryAccounts>,
    getent: Getent,
    /// What the kernel tells of processes that end, if it was asked.
    exits: Option<(ExitRecords, RefCell<Executables>)>,
    /// Buffers to read into.
    scratch: RefCell<Buffer>,
    text: RefCell<Vec<u8>>,
}

impl Machine {
    /// Opens the machine for one or two samples. Reads `/proc` on several threads if
    /// `multi_threaded`, and files whose reading can block by way of `reads`.
    ///
    /// # Errors
    /// [`OpenError`] if procfs cannot be opened.
    pub fn open(
        mounts: &Mounts,
        multi_threaded: bool,
        deadline: Deadline,
        reads: Reads,
    ) -> Result<Machine, OpenError> {
        let proc = Procfs::open(&mounts.proc)?;
        let proc = if mounts.is_proc_chosen { proc } else { proc.with_surplus() };
        let has_clocks = proc.shows_own_pid_namespace();
        let own = Pid::new(std::process::id());
        let constants = Constants {
            hz: Hz(sys::ticks_per_second()),
            page_size: sys::page_size(),
            clocks_show_runs: has_clocks && clock::show_runs(own, &mounts.sys),
            boot_id: proc.boot_id(&mut Buffer::default()),
            proc_path: mounts.proc.display().to_string(),
            sys_path: mounts.sys.display().to_string(),
        };
        let readers = if multi_threaded {
            std::thread::available_parallelism().map_or(1, NonZero::get)
        } else {
            1
        };
        Ok(Machine {
            has_clocks,
            files: FdCache::new(proc),
            sys: mounts.sys.clone(),
            is_proc_chosen: mounts.is_proc_chosen,
            constants,
            deadline,
            reads,
            readers,
            keeps_files_open: false,
            getent: Getent::default(),
            exits: None,
            own_line: RefCell::default(),
            memory_accounts: OnceCell::new(),
            scratch: RefCell::default(),
            text: RefCell::default(),
        })
    }

    /// The same machine. It asks for users by way of `getent`, which remembers what was asked.
    pub fn with_getent(self, getent: &Getent) -> Machine {
        Machine { getent: getent.clone(), ..self }
    }

    /// The same machine. It tells of processes that end.
    pub fn with_exits(self, exits: Option<(ExitRecords, Executables)>) -> Machine {
        let exits = exits.map(|(exits, executables)| (exits, RefCell::new(executables)));
        Machine { exits, ..self }
    }

    /// The same machine for any number of samples: it keeps the files of members open.
    pub fn resident(mut self) -> Machine {
        self.files.raise_limit(self.reads.takeovers());
        self.keeps_files_open = true;
        self
    }

    /// Sets when the next sample must end.
    pub fn set_deadline(&mut self, deadline: Deadline) {
        self.deadline = deadline;
    }

    fn procfs(&self) -> &Procfs {
        self.files.procfs()
    }

    /// The hierarchy that accounts memory. `None` if there is none. It is looked for again in each sample
    /// that needs it until it is found.
    fn memory_accounts(&self) -> Option<&MemoryAccounts> {
        if let Some(accounts) = self.memory_accounts.get() {
            return Some(accounts);
        }
        let accounts = MemoryAccounts::open(&self.sys)?;
        Some(self.memory_accounts.get_or_init(|| accounts))
    }

    /// Reads the file `name` of a process, which can block.
    fn ask<T>(
        &self,
        pid: Pid,
        name: &'static str,
        read: impl FnOnce() -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let owner = |pid| self.procfs().effective_user(pid, &mut Buffer::default()).ok();
        let is_refused =
            |stuck: &mut Stuck| self.deadline.is_half_over() || stuck.is_enough(pid, owner);
        let read = self.reads.of_process(pid, name, is_refused, read);
        read.unwrap_or_else(|unanswered| {
            let (name, reason) = match unanswered {
                Unanswered::NoAnswer(stuck) => (stuck, Reason::NoAnswer),
                Unanswered::NotAsked => (name, Reason::NotAsked),
            };
            Err(self.procfs().error_of(pid, name, reason))
        })
    }
}

/// The CPU clock of a process, if a pid means the same process for a clock as for `/proc`.
fn cpu_clock(has_clocks: bool, pid: Pid) -> Option<CpuNanos> {
    if has_clocks { clock::read(pid) } else { None }
}

/// The time since boot (`CLOCK_BOOTTIME`, clock_gettime(2)).
pub fn boot_now() -> BootNanos {
    BootNanos(u64::try_from(clock::now(ClockId::CLOCK_BOOTTIME)).unwrap_or_default())
}

fn wall_now() -> WallNanos {
    WallNanos(i64::try_from(clock::now(ClockId::CLOCK_REALTIME)).unwrap_or(i64::MAX))
}

/// The number of processors that are online: `devices/system/cpu/online` below `sys`
/// (Documentation/admin-guide/cputopology.rst of the kernel). `None` if it cannot be read.
pub fn processors_online(sys: &Path) -> Option<u64> {
    let text = std::fs::read(sys.join("devices/system/cpu/online")).ok()?;
    parse::cpu_list(&text)
}

impl Kernel for Machine {
    fn constants(&self) -> &Constants {
        &self.constants
    }

    fn clocks(&self) -> Clocks {
        Clocks { boot: boot_now(), wall: wall_now() }
    }

    fn out_of_time(&self) -> bool {
        // If another thread has taken over, this sample is of no use.
        self.deadline.has_passed() || !self.reads.is_current()
    }

    fn is_genuine(&self) -> bool {
        self.procfs().is_genuine()
    }

    fn find_user(&self, name: &str) -> Option<Uid> {
        let local = self.reads.of_file(&users::passwd(), || users::find_local(name));
        if let Ok(Some(uid)) = local {
            return Some(uid);
        }
        // The sample needs the rest of its time for what is known.
        self.getent.find(name, self.deadline.time_left() / 4, || self.out_of_time())
    }

    fn user_names(&self) -> BTreeMap<Uid, String> {
        let names = self.reads.of_file(&users::passwd(), users::names);
        let names = names.unwrap_or_default().into_iter();
        names.map(|(uid, name)| (Uid(uid), name)).collect()
    }

    fn is_contained(&self) -> bool {
        !self.is_proc_chosen && self.procfs().is_contained()
    }

    fn own_line(&self) -> Vec<ProcId> {
        let parent = rustix::process::getppid();
        let mut known = self.own_line.borrow_mut();
        match &*known {
            Some((of, line)) if *of == parent => line.clone(),
            _ => {
                let (line, is_whole) = self.procfs().own_line();
                *known = is_whole.then(|| (parent, line.clone()));
                line
            }
        }
    }

    fn is_psstat(&self, pid: Pid) -> Result<bool, ReadError> {
        self.ask(pid, "exe", || self.procfs().runs_own_executable(pid))
    }

    fn pids(&self, pids: &mut Vec<Pid>) -> Result<Option<i64>, ReadError> {
        self.procfs().pids(pids)
    }

    fn pids_from(
        &self,
        offset: i64,
        range: PidRange,
        limit: u64,
        pids: &mut Vec<Pid>,
    ) -> Result<(), ReadError> {
        self.procfs().pids_from(offset, range, limit, pids)
    }

    fn births(&self, interval_nanos: u64) -> Option<Births> {
        self.procfs().births(interval_nanos)
    }

    fn stat<'b>(&self, pid: Pid, buffer: &'b mut Buffer) -> Result<Stat<'b>, ReadError> {
        self.files.stat(pid, buffer)
    }

    fn processes(&self, pids: &[Pid], with_clocks: bool) -> Vec<Part> {
        if self.readers <= 1 {
            return vec![self.processes_in_order(pids, with_clocks)];
        }
        let (procfs, deadline) = (self.procfs(), &self.deadline);
        let has_clocks = self.has_clocks && with_clocks;
        let share = pids.len().div_ceil(self.readers).max(1);
        std::thread::scope(|scope| {
            let read = |pids| {
                let out_of_time = || deadline.has_passed();
                Part::read(pids, out_of_time, |pid, part, buffer| {
                    part.add(pid, cpu_clock(has_clocks, pid), procfs.stat(pid, buffer));
                })
            };
            let start = |pids| {
                let thread = std::thread::Builder::new().spawn_scoped(scope, move || read(pids));
                (pids, thread.ok())
            };
            let threads: Vec<_> = pids.chunks(share).map(start).collect();
            let finish = |(pids, thread): (_, Option<std::thread::ScopedJoinHandle<'_, Part>>)| {
                // If no thread could be made, this one reads.
                match thread.map(std::thread::ScopedJoinHandle::join) {
                    None => read(pids),
                    Some(Ok(part)) => part,
                    Some(Err(panic)) => std::panic::resume_unwind(panic),
                }
            };
            threads.into_iter().map(finish).collect()
        })
    }

    fn cpu_clock(&self, pid: Pid) -> Option<CpuNanos> {
        cpu_clock(self.has_clocks, pid)
    }

    fn first_thread_time(&self, pid: Pid) -> Option<CpuNanos> {
        if self.has_clocks || !self.is_genuine() {
            return None;
        }
        self.procfs().first_thread_time(pid, &mut self.scratch.borrow_mut()).ok()
    }

    fn statm(&self, pid: Pid) -> Result<Statm, ReadError> {
        self.files.statm(pid, &mut self.scratch.borrow_mut())
    }

    fn proportional(&self, pid: Pid) -> Result<Proportional, ReadError> {
        let read = || self.procfs().proportional(pid, &mut self.scratch.borrow_mut());
        self.ask(pid, procfs::PSS_FILE, read)
    }

    fn huge_pages(&self, pid: Pid) -> Result<Bytes, ReadError> {
        self.procfs().huge_pages(pid, &mut self.text.borrow_mut())
    }

    fn swap(&self, pid: Pid) -> Result<Bytes, ReadError> {
        self.procfs().swap(pid, &mut self.text.borrow_mut())
    }

    fn memory_path(&self, pid: Pid) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(accounts) = self.memory_accounts() else { return Ok(None) };
        let mut buffer = self.scratch.borrow_mut();
        self.procfs().cgroup(pid, &mut buffer).map(|text| accounts.path_of(text))
    }

    fn accounted_by(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.memory_accounts()?.accounted_by(path)
    }

    fn memory_account(
        &self,
        path: &[u8],
        left: &mut usize,
        visit: &mut dyn FnMut(Option<Pid>) -> bool,
    ) -> Result<Option<MemoryAccount>, ReadError> {
        self.memory_accounts().map_or(Ok(None), |accounts| accounts.read(path, left, visit))
    }

    fn cmdline(&self, pid: Pid, line: &mut Vec<u8>) -> Result<(), ReadError> {
        self.ask(pid, "cmdline", || self.procfs().cmdline(pid, line))
    }

    fn exe(&self, pid: Pid) -> Result<Vec<u8>, ReadError> {
        self.ask(pid, "exe", || self.procfs().exe(pid))
    }

    fn kinship(&self, pid: Pid) -> Option<Kinship> {
        self.procfs().kinship(pid, &mut self.scratch.borrow_mut()).ok()
    }

    fn effective_user(&self, pid: Pid) -> Result<Uid, ReadError> {
        self.procfs().effective_user(pid, &mut self.scratch.borrow_mut())
    }

    fn cgroup(&self, pid: Pid) -> Result<Vec<u8>, ReadError> {
        let mut buffer = self.scratch.borrow_mut();
        self.procfs().cgroup(pid, &mut buffer).map(<[u8]>::to_vec)
    }

    fn storage(&self, pid: Pid) -> Result<Storage, ReadError> {
        self.ask(pid, "io", || self.procfs().io(pid, &mut self.scratch.borrow_mut()))
    }

    fn major_faults(&self, id: ProcId) -> Result<Amounts<Count>, ReadError> {
        self.files.major_faults(id, &mut self.scratch.borrow_mut())
    }

    fn threads(&self, pid: Pid) -> Result<Vec<Pid>, ReadError> {
        self.procfs().threads(pid)
    }

    fn switches(&self, pid: Pid, tid: Pid) -> Result<Count, ReadError> {
        self.procfs().switches(pid, tid, &mut self.text.borrow_mut())
    }

    fn open_files(&self, pid: Pid) -> Result<u64, ReadError> {
        self.ask(pid, "fd", || self.procfs().open_files(pid))
    }

    fn control_groups(&self, wanted: Wanted<'_>) -> Option<Hierarchy> {
        let init = self.cgroup(Pid::INIT).unwrap_or_default();
        let hierarchy = cgroupfs::Mounted::open(&self.sys, &init).ok()?;
        // The sample needs the rest of its time for what is known.
        let end = Deadline::after(self.deadline.time_left() / 4);
        cgroupfs::walk::walk(&hierarchy, wanted, &|| end.has_passed()).ok()
    }

    fn unit_file(&self, id: &str) -> UnitFile {
        UnitFiles::of_machine(&self.sys).map_or(UnitFile::Unknown, |files| files.find(id))
    }

    fn pid_files(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, PidFileError> {
        if !glob::is_glob(path) {
            return Ok(vec![path.to_vec()]);
        }
        let find = || pid_file::find(path);
        let found = self.reads.of_file(Path::new(OsStr::from_bytes(path)), find);
        found.unwrap_or(Err(PidFileError::NoAnswer))
    }

    fn pid_file(&self, path: &[u8]) -> Result<PidFile, PidFileError> {
        let path = Path::new(OsStr::from_bytes(path));
        self.reads.of_file(path, || pid_file::read(path)).unwrap_or(Err(PidFileError::NoAnswer))
    }

    fn machine_memory(&self) -> Result<MachineMemory, ReadError> {
        self.procfs().machine_memory(&mut self.scratch.borrow_mut())
    }

    fn processors_online(&self) -> Option<u64> {
        processors_online(&self.sys)
    }

    fn to_ask_again(&self) -> Vec<Pid> {
        self.reads.to_ask_again()
    }

    fn exits(&self, from: u64) -> Option<Exits> {
        self.exits.as_ref().map(|(exits, _)| exits.from(from))
    }

    fn path_of(&self, file: FileId) -> Option<Vec<u8>> {
        let (_, executables) = self.exits.as_ref()?;
        executables.borrow_mut().path_of(file)
    }

    fn hold(&mut self, pids: &[Pid]) {
        if self.keeps_files_open {
            self.files.keep_open(pids);
        }
    }
}
