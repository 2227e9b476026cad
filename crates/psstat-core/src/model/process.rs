//! A process, as its `/proc/PID/stat` showed it.

use super::units::{Amounts, CpuNanos, Hz, Pid, ProcId, Ticks};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// CPU time of one process: own is utime + stime, children is cutime + cstime.
pub type Times = Amounts<Ticks>;

/// Whether a process still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// At least one of its threads runs.
    Alive,
    /// It has ended, and its parent has not waited for it yet. It keeps its pid and its CPU time.
    Zombie,
    /// It could be read first, but had ended when it was read again.
    Gone,
}

/// The fields of `/proc/PID/stat` that psstat uses (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat<'a> {
    /// Field 2: the name, without parentheses. The process chooses it. It has at most 15 bytes
    /// (`TASK_COMM_LEN`), or 63 for a kernel thread, and any byte but 0 is possible.
    pub comm: &'a [u8],
    /// Field 3: `R`, `S`, `D`, `Z`, `T`, `t`, `X` or `I`.
    pub state: u8,
    /// Field 4: the parent. [`Pid::NONE`] if it has none in this pid namespace.
    pub parent: Pid,
    /// Fields 14 to 17: CPU time of the process itself with all threads, and of the children it
    /// has waited for.
    pub times: Times,
    /// Field 20: number of threads.
    pub threads: u64,
    /// Field 22: when it started, in ticks since boot.
    pub start: Ticks,
}

/// Further fields of `/proc/PID/stat`, which an explanation uses (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinship {
    /// Field 5: the process group, which has the pid of the process that made it.
    pub group: Pid,
    /// Field 6: the session, which has the pid of the process that made it.
    pub session: Pid,
    /// Field 9: whether it is a thread of the kernel (`PF_KTHREAD`, include/linux/sched.h).
    pub is_kernel_thread: bool,
}

impl Stat<'_> {
    /// Whether the process still runs. If its first thread has ended, the state is `Z` although
    /// other threads may still run. It is a zombie only when all threads have ended.
    pub fn life(&self) -> Life {
        let ended = matches!(self.state, b'Z' | b'X' | b'x') && self.threads <= 1;
        if ended { Life::Zombie } else { Life::Alive }
    }

    /// The process with that pid and these fields, and the clock that was read before them. Its name
    /// is added to `names`.
    pub fn process(&self, pid: Pid, clock: Option<CpuNanos>, names: &mut Names) -> Process {
        Process {
            clock,
            id: ProcId { pid, start: self.start },
            parent: self.parent,
            times: self.times,
            life: self.life(),
            // The kernel allows no more than `FUTEX_TID_MASK` threads (kernel/fork.c). A fabricated
            // procfs can show more.
            threads: u32::try_from(self.threads).unwrap_or(u32::MAX),
            comm: names.id(self.comm),
        }
    }
}

/// The longest name of a program in bytes: `TASK_COMM_LEN` without its final NUL (include/linux/sched.h). That of a
/// kernel thread can be longer in `/proc/PID/stat`.
pub const LONGEST_COMM: usize = 15;

/// One process: its CPU clock, and then its `stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its CPU clock just before its `stat` was read: the CPU time of all its threads, ended ones
    /// included (clock_getcpuclockid(3)). `None` if it was not read. If the clock still shows this,
    /// the process has not run since ([`known`](crate::discovery::known) says what that means for its
    /// `stat`).
    pub clock: Option<CpuNanos>,
    /// Its identity.
    pub id: ProcId,
    /// Its parent when it was last read.
    pub parent: Pid,
    /// Its CPU time.
    pub times: Times,
    /// Whether it still runs.
    pub life: Life,
    /// Number of threads.
    pub threads: u32,
    /// Its name, in the [`Names`] of the snapshot.
    pub comm: NameId,
}

impl Process {
    /// Whether it has not run since it was read, if its clock shows `clock_now`.
    pub fn has_not_run(&self, clock_now: Option<CpuNanos>) -> bool {
        clock_now.is_some() && clock_now == self.clock
    }

    /// Its own CPU time, as exactly as it is known: its `exact` time, or the time in `stat` if that is
    /// larger. It is if the process has run on since the exact time was read, or if the exact time
    /// does not include threads that have ended.
    ///
    /// `stat` shows utime and stime, each cut to ticks. Their sum is less than two ticks behind the
    /// exact time (`cputime_adjust`, kernel/sched/cputime.c). An exact time that is further ahead is
    /// not used: if it was read before `stat`, it belonged to another process, which had the same pid.
    pub fn own_time(&self, exact: Option<CpuNanos>, hz: Hz) -> CpuNanos {
        let shown = self.times.own.nanos(hz);
        let largest = shown + Ticks(2).nanos(hz);
        exact.filter(|&exact| exact < largest).map_or(shown, |exact| exact.max(shown))
    }
}

/// Index of the process with that pid in `processes`, which are sorted by pid.
pub fn index_of(processes: &[Process], pid: Pid) -> Option<usize> {
    processes.binary_search_by_key(&pid, |process| process.id.pid).ok()
}

/// Id of a name in [`Names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameId(u32);

/// The names of processes. Each name is stored once, because many processes share a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    texts: Vec<Box<[u8]>>,
    ids: BTreeMap<Box<[u8]>, NameId>,
}

impl Names {
    /// Returns the id of a name. Adds the name if it is new.
    pub fn id(&mut self, text: &[u8]) -> NameId {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = NameId(self.texts.len() as u32);
        self.texts.push(text.into());
        self.ids.insert(text.into(), id);
        id
    }

    /// The name with that id.
    pub fn text(&self, id: NameId) -> &[u8] {
        &self.texts[Names::index(id)]
    }

    /// All names, in the order of their ids.
    pub fn texts(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.texts.iter().map(|text| &**text)
    }

    /// The index of a name in [`Names::texts`].
    pub fn index(id: NameId) -> usize {
        id.0 as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_time_is_exact_if_the_exact_time_can_be_its_own() {
        let process = Process {
            clock: None,
            id: ProcId { pid: Pid::INIT, start: Ticks(0) },
            parent: Pid::NONE,
            times: Times { own: Ticks(3), children: Ticks(0) },
            life: Life::Alive,
            threads: 1,
            comm: Names::default().id(b"x"),
        };
        let own = |exact: Option<u64>| process.own_time(exact.map(CpuNanos), Hz(100)).0;
        assert_eq!(own(None), 30_000_000);
        assert_eq!(own(Some(31_234_567)), 31_234_567);
        assert_eq!(own(Some(49_999_999)), 49_999_999);
        assert_eq!(own(Some(50_000_000)), 30_000_000, "of another process");
        assert_eq!(own(Some(12_345_678)), 30_000_000, "behind `stat`");
    }
}
