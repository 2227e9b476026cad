//! What the engine may ask of a machine.

use crate::model::births::{Births, PidRange};
use crate::model::control_group::ControlGroup;
use crate::model::memory::Statm;
use crate::model::pid_file::{PidFile, PidFileError};
use crate::model::process::Stat;
use crate::model::read_error::ReadError;
use crate::model::readings::Storage;
use crate::model::snapshot::{Buffer, Part};
use crate::model::units::{
    Amounts, BootNanos, Bytes, Count, CpuNanos, Hz, Pid, ProcId, Uid, WallNanos,
};
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

/// What does not change while a machine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constants {
    /// Ticks per second.
    pub hz: Hz,
    /// Bytes per page.
    pub page_size: u64,
    /// Identifies this boot of the machine (`/proc/sys/kernel/random/boot_id`, random(4)). Empty if
    /// it cannot be read.
    pub boot_id: Vec<u8>,
    /// Where procfs is mounted, for messages.
    pub proc_path: String,
    /// Where sysfs is mounted, for messages.
    pub sys_path: String,
}

/// Returns the selectors that pick a control group, given its path and the id of the unit that it
/// is.
pub type Pick<'a> = &'a dyn Fn(&[u8], Option<&[u8]>) -> Vec<usize>;

/// Which control groups are wanted.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Returns the selectors that pick a group.
    pub pick: Pick<'a>,
    /// Whether units are wanted: then slices are entered.
    pub units: bool,
    /// Whether any path can be wanted: then every directory is entered.
    pub paths: bool,
}

/// What the engine may ask of a machine. The program implements this trait for Linux, the tests
/// implement it for simulated machines.
///
/// A process can end at any time. A method that reads a file of a process then fails with
/// [`Reason::Vanished`](crate::model::read_error::Reason::Vanished).
pub trait Kernel {
    /// What does not change while the machine runs.
    fn constants(&self) -> &Constants;

    /// The current time.
    fn clocks(&self) -> Clocks;

    /// Whether the current sample must end now.
    fn out_of_time(&self) -> bool;

    /// Whether a kernel answers, and not a copy of its files.
    fn is_genuine(&self) -> bool;

    /// The pid of psstat itself. `None` if this machine shows another pid namespace.
    fn own_pid(&self) -> Option<Pid>;

    /// Replaces `pids` by the pids of all processes, sorted. Returns the offset to call
    /// [`Kernel::pids_from`] with, or `None` if the list cannot be entered in the middle.
    ///
    /// # Errors
    /// If the processes cannot be listed.
    fn pids(&self, pids: &mut Vec<Pid>) -> Result<Option<i64>, ReadError>;

    /// Adds to `pids` the processes in `range`, sorted, the first `limit` of them.
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

    /// What the kernel tells of the tasks it has made. `interval_nanos` is the time since the last
    /// sample; it decides whether forks must be counted. `None` if it cannot be read.
    fn births(&self, interval_nanos: u64) -> Option<Births>;

    /// Reads `/proc/PID/stat`.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn stat<'b>(&self, pid: Pid, buffer: &'b mut Buffer) -> Result<Stat<'b>, ReadError>;

    /// Reads the `stat` of many processes; `pids` is sorted. A machine that reads on several
    /// threads returns a part for each.
    fn stats(&self, pids: &[Pid]) -> Vec<Part> {
        Vec::from([self.stats_in_order(pids)])
    }

    /// Reads the `stat` of many processes, one after the other; `pids` is sorted.
    fn stats_in_order(&self, pids: &[Pid]) -> Part {
        Part::read(pids, || self.out_of_time(), |pid, buffer| self.stat(pid, buffer))
    }

    /// Reads the CPU clock of a process: the CPU time of all its threads, ended ones included
    /// (clock_getcpuclockid(3)). `None` if the process has gone, or the pid means another process
    /// for the clock than for `/proc`.
    fn cpu_clock(&self, pid: Pid) -> Option<CpuNanos>;

    /// Reads `/proc/PID/statm`.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn statm(&self, pid: Pid) -> Result<Statm, ReadError>;

    /// Reads the proportional set size in `/proc/PID/smaps_rollup`.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn pss(&self, pid: Pid) -> Result<Bytes, ReadError>;

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

    /// How often a thread was switched away from.
    ///
    /// # Errors
    /// If `/proc/PID/task/TID/status` cannot be read.
    fn switches(&self, pid: Pid, tid: Pid) -> Result<Count, ReadError>;

    /// How many file descriptors a process has open.
    ///
    /// # Errors
    /// If that cannot be read.
    fn open_files(&self, pid: Pid) -> Result<u64, ReadError>;

    /// The control groups that are wanted, and all below them. Each stands before those below it.
    /// `None` if no hierarchy can be read.
    fn control_groups(&self, wanted: Wanted<'_>) -> Option<Vec<ControlGroup>>;

    /// Reads a pid file.
    ///
    /// # Errors
    /// [`PidFileError`] if it has no pid.
    fn pid_file(&self, path: &[u8]) -> Result<PidFile, PidFileError>;

    /// The memory of the machine: `MemTotal` of `/proc/meminfo`.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn mem_total(&self) -> Result<Bytes, ReadError>;

    /// The number of processors that are online.
    fn processors_online(&self) -> Option<u64>;

    /// Tells the machine which processes the next sample will read again, sorted by pid.
    fn hold(&mut self, pids: &[Pid]);
}
