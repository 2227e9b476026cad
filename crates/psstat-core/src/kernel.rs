//! The trait [`Kernel`], through which the engine reads a machine.

use crate::model::births::{Births, PidRange};
use crate::model::buffer::Buffer;
use crate::model::control_group::{Figure, Hierarchy};
use crate::model::exit::{Exits, FileId};
use crate::model::memory::{MachineMemory, MemoryAccount, Proportional, Statm};
use crate::model::pid_file::{PidFile, PidFileError};
use crate::model::process::{Kinship, Stat};
use crate::model::read_error::ReadError;
use crate::model::readings::Storage;
use crate::model::snapshot::Part;
use crate::model::units::{
    Amounts, BootNanos, Bytes, Count, CpuNanos, Hz, Pid, ProcId, Uid, WallNanos,
};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// The two clocks of a machine, read at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// Time since boot.
    pub boot: BootNanos,
    /// Time since 1970.
    pub wall: WallNanos,
}

/// Properties of a machine that do not change while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constants {
    /// Ticks per second.
    pub hz: Hz,
    /// Bytes per page.
    pub page_size: u64,
    /// Identifies this boot of the machine (`/proc/sys/kernel/random/boot_id`, random(4)). Empty if the
    /// machine has none. `None` if it cannot be read.
    pub boot_id: Option<Vec<u8>>,
    /// Whether the CPU clock of a process moves whenever the process runs. If not, clocks show CPU
    /// time, and do not tell who has run.
    pub clocks_show_runs: bool,
    /// Mount point of procfs, for messages.
    pub proc_path: String,
    /// Mount point of sysfs, for messages.
    pub sys_path: String,
}

/// What is known about the file of a systemd unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitFile {
    /// There is one.
    Exists,
    /// The name is an alias of the unit with this id.
    Alias(String),
    /// There is none.
    Missing,
    /// It cannot be found out.
    Unknown,
}

/// Returns the indices of the selectors that pick a control group, given its path and the id of its
/// unit.
pub type Pick<'a> = &'a dyn Fn(&[u8], Option<&[u8]>) -> Vec<usize>;

/// Which control groups to read.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Returns the selectors that pick a group.
    pub pick: Pick<'a>,
    /// Whether a selector picks units. Then the directories of slices are entered.
    pub units: bool,
    /// Whether a selector of paths may pick a group below that path. Then its directory is entered.
    pub below: &'a dyn Fn(&[u8]) -> bool,
    /// What to read of the groups that selectors pick, besides their CPU time.
    pub figures: &'a [Figure],
}

/// A machine that the engine can read. The program implements this trait for Linux, the tests
/// implement it for simulated machines.
///
/// A process can end at any time. A method that reads a file of a process then fails with
/// [`Reason::Vanished`](crate::model::read_error::Reason::Vanished).
pub trait Kernel {
    /// Properties that do not change while the machine runs.
    fn constants(&self) -> &Constants;

    /// The current time.
    fn clocks(&self) -> Clocks;

    /// Whether the current sample must end now.
    fn out_of_time(&self) -> bool;

    /// Whether a running kernel is read, and not a copy of its files.
    fn is_genuine(&self) -> bool;

    /// The id of the user with that name. `None` if there is none, or it cannot be found out.
    fn find_user(&self, name: &str) -> Option<Uid>;

    /// The names of users, by their ids. Those that are not known are left out.
    fn user_names(&self) -> BTreeMap<Uid, String> {
        BTreeMap::new()
    }

    /// Whether psstat sees only the processes of a container: those of its own pid namespace, which is not
    /// the first one of the machine. `false` if somebody has said that this is what it should see.
    fn is_contained(&self) -> bool;

    /// psstat itself, and the processes that run it: its parent, the parent of that one, and so on, without
    /// process 1. Empty if this machine shows another pid namespace.
    fn own_line(&self) -> Vec<ProcId>;

    /// Whether a process runs the same executable as psstat.
    ///
    /// # Errors
    /// If the link to its executable cannot be read.
    fn is_psstat(&self, pid: Pid) -> Result<bool, ReadError>;

    /// Replaces `pids` by the pids of all processes, sorted. Returns the offset to call
    /// [`Kernel::pids_from`] with, or `None` if the list can only be read from its beginning.
    ///
    /// # Errors
    /// If the processes cannot be listed.
    fn pids(&self, pids: &mut Vec<Pid>) -> Result<Option<i64>, ReadError>;

    /// Appends to `pids` the first `limit` processes in `range`, sorted.
    ///
    /// # Errors
    /// If the processes cannot be listed.
    fn pids_from(
        &self,
        offset: i64,
        range: PidRange,
        limit: u64,
        pids: &mut Vec<Pid>,
    ) -> Result<(), ReadError>;

    /// Which tasks the kernel has made, and how many. `interval_nanos` is the time since the last
    /// sample. It decides whether the number of forks is read. `None` if it cannot be read.
    fn births(&self, interval_nanos: u64) -> Option<Births>;

    /// Reads `/proc/PID/stat`.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn stat<'b>(&self, pid: Pid, buffer: &'b mut Buffer) -> Result<Stat<'b>, ReadError>;

    /// Reads further fields of `/proc/PID/stat`. `None` if they cannot be read.
    fn kinship(&self, _pid: Pid) -> Option<Kinship> {
        None
    }

    /// Reads the CPU clock of a process: the CPU time of all its threads, ended ones included
    /// (clock_getcpuclockid(3)). `None` if the process has gone, or the pid means another process
    /// for the clock than for `/proc`.
    fn cpu_clock(&self, pid: Pid) -> Option<CpuNanos>;

    /// The CPU time of the first thread of a process. `None` if it cannot be read, or if this machine
    /// has CPU clocks, which show more.
    fn first_thread_time(&self, pid: Pid) -> Option<CpuNanos>;

    /// Reads the `stat` of many processes, and before it the CPU clock of each if `with_clocks`.
    /// `pids` is sorted. A machine that reads on several threads returns one part for each.
    fn processes(&self, pids: &[Pid], with_clocks: bool) -> Vec<Part> {
        Vec::from([self.processes_in_order(pids, with_clocks)])
    }

    /// Does the same, one process after the other.
    fn processes_in_order(&self, pids: &[Pid], with_clocks: bool) -> Part {
        let out_of_time = || self.out_of_time();
        Part::read(pids, out_of_time, |pid, part, buffer| {
            let clock = if with_clocks { self.cpu_clock(pid) } else { None };
            part.add(pid, clock, self.stat(pid, buffer));
        })
    }

    /// Reads `/proc/PID/statm`.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn statm(&self, pid: Pid) -> Result<Statm, ReadError>;

    /// Reads the proportional set size in `/proc/PID/smaps_rollup`.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn proportional(&self, pid: Pid) -> Result<Proportional, ReadError>;

    /// Reads the huge pages that a process maps: `HugetlbPages` in `/proc/PID/status`.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn huge_pages(&self, pid: Pid) -> Result<Bytes, ReadError>;

    /// Reads how much memory of a process is swapped out: `VmSwap` in `/proc/PID/status`.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn swap(&self, pid: Pid) -> Result<Bytes, ReadError>;

    /// The path of the control group of a process in the hierarchy of the memory controller. `None` if
    /// there is none.
    ///
    /// # Errors
    /// If `/proc/PID/cgroup` cannot be read.
    fn memory_path(&self, pid: Pid) -> Result<Option<Vec<u8>>, ReadError>;

    /// The path of the control group that accounts the memory of the processes in the one with that
    /// path: the same, or the next above it for which the memory controller is enabled. `None` if there is
    /// none.
    fn accounted_by(&self, path: &[u8]) -> Option<Vec<u8>>;

    /// Reads the account of a control group. `visit` is called with each process in it and below it,
    /// `None` for a process that has no pid here, and stops the reading if it returns false. `None` if it did,
    /// or there are too many groups. At most so many groups are looked at as are `left`, which is counted
    /// down.
    ///
    /// # Errors
    /// If a file cannot be read.
    fn memory_account(
        &self,
        path: &[u8],
        left: &mut usize,
        visit: &mut dyn FnMut(Option<Pid>) -> bool,
    ) -> Result<Option<MemoryAccount>, ReadError>;

    /// Reads `/proc/PID/cmdline` into `line`, arguments joined by one space.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn cmdline(&self, pid: Pid, line: &mut Vec<u8>) -> Result<(), ReadError>;

    /// The path of the executable of a process.
    ///
    /// # Errors
    /// If the link cannot be read.
    fn exe(&self, pid: Pid) -> Result<Vec<u8>, ReadError>;

    /// The effective user of a process.
    ///
    /// # Errors
    /// If it cannot be read.
    fn effective_user(&self, pid: Pid) -> Result<Uid, ReadError>;

    /// Reads `/proc/PID/cgroup` whole.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn cgroup(&self, pid: Pid) -> Result<Vec<u8>, ReadError>;

    /// Reads the storage traffic in `/proc/PID/io`.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn storage(&self, pid: Pid) -> Result<Storage, ReadError>;

    /// Reads the major page faults in `/proc/PID/stat`.
    ///
    /// # Errors
    /// If the file cannot be read, or the pid belongs to another process now.
    fn major_faults(&self, id: ProcId) -> Result<Amounts<Count>, ReadError>;

    /// The thread ids of a process.
    ///
    /// # Errors
    /// If the threads cannot be listed.
    fn threads(&self, pid: Pid) -> Result<Vec<Pid>, ReadError>;

    /// The number of context switches of a thread since it started.
    ///
    /// # Errors
    /// If `/proc/PID/task/TID/status` cannot be read.
    fn switches(&self, pid: Pid, tid: Pid) -> Result<Count, ReadError>;

    /// The number of open file descriptors of a process.
    ///
    /// # Errors
    /// If they cannot be counted.
    fn open_files(&self, pid: Pid) -> Result<u64, ReadError>;

    /// The control groups that are wanted, and all below them. `None` if no hierarchy can be read.
    fn control_groups(&self, wanted: Wanted<'_>) -> Option<Hierarchy>;

    /// What is known about the file of a unit.
    fn unit_file(&self, _id: &str) -> UnitFile {
        UnitFile::Unknown
    }

    /// The pid files that a path means: the file with that path, or all that match it now if it is a glob.
    ///
    /// # Errors
    /// [`PidFileError`] if they cannot be found out.
    fn pid_files(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, PidFileError> {
        Ok(Vec::from([path.to_vec()]))
    }

    /// Reads a pid file.
    ///
    /// # Errors
    /// [`PidFileError`] if no pid can be read from it.
    fn pid_file(&self, path: &[u8]) -> Result<PidFile, PidFileError>;

    /// The memory of the machine (`/proc/meminfo`).
    ///
    /// # Errors
    /// If the file cannot be read.
    fn machine_memory(&self) -> Result<MachineMemory, ReadError>;

    /// The number of processors that are online. `None` if it cannot be read.
    fn processors_online(&self) -> Option<u64>;

    /// The processes of which a file does not answer, and those of which one has answered since this was
    /// last asked, sorted. A process can hold a lock that the kernel needs to read its `cmdline`, `exe`,
    /// `smaps_rollup` or `io`. Reading such a file then fails with
    /// [`Reason::NoAnswer`](crate::model::read_error::Reason::NoAnswer).
    fn to_ask_again(&self) -> Vec<Pid> {
        Vec::new()
    }

    /// The records of the processes that have ended, from the one with the number `from` on. Those before it
    /// are not needed any more. `None` if the kernel is not asked for exit records.
    fn exits(&self, _from: u64) -> Option<Exits> {
        None
    }

    /// The path of an executable, of which the device and inode are known. `None` if it cannot be found out.
    fn path_of(&self, _file: FileId) -> Option<Vec<u8>> {
        None
    }

    /// Announces the processes that the next sample will read again, sorted by pid. The machine can
    /// keep their files open.
    fn hold(&mut self, pids: &[Pid]);
}
