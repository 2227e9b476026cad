//! Which tasks the kernel has made, and how many.

use super::units::Pid;

/// Which tasks the kernel has made, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Births {
    /// The newest pid or thread id: the last field of `/proc/loadavg` (proc_loadavg(5)).
    pub newest: Pid,
    /// Number of tasks that exist, threads included: the fourth field of `/proc/loadavg`, after
    /// the slash.
    pub tasks: u64,
    /// All pids are smaller than this: `/proc/sys/kernel/pid_max` (proc_sys_kernel(5)).
    pub pid_max: u64,
    /// Number of tasks made since boot: `processes` in `/proc/stat` (proc_stat(5)). `None` if it
    /// was not read.
    pub forks: Option<u64>,
}

/// A range of pids, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PidRange {
    /// The smallest.
    pub first: Pid,
    /// The largest.
    pub last: Pid,
}

impl PidRange {
    /// Whether the range contains `pid`.
    pub fn contains(self, pid: Pid) -> bool {
        (self.first..=self.last).contains(&pid)
    }
}
