//! A process, as its `stat` showed it.

use super::units::{Amounts, Pid, ProcId, Ticks};
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
    /// It was there when it was first read, and gone when it was read again.
    Gone,
}

/// The fields of `/proc/PID/stat` that psstat uses (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat<'a> {
    /// Field 2: the name, without parentheses. The process chooses it: any bytes, at most 15 of
    /// them (`TASK_COMM_LEN`), at most 63 for a kernel thread.
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

impl Stat<'_> {
    /// Whether the process still runs. A process whose first thread has ended shows as a zombie
    /// while its other threads run on; only its last thread makes it a zombie.
    pub fn life(&self) -> Life {
        let ended = matches!(self.state, b'Z' | b'X' | b'x') && self.threads <= 1;
        if ended { Life::Zombie } else { Life::Alive }
    }

    /// The process with that pid that these fields describe.
    pub fn process(&self, pid: Pid, names: &mut Names) -> Process {
        Process {
            id: ProcId { pid, start: self.start },
            parent: self.parent,
            times: self.times,
            life: self.life(),
            // The kernel allows no more than `FUTEX_TID_MASK` threads (kernel/fork.c). A made-up
            // procfs may claim more.
            threads: u32::try_from(self.threads).unwrap_or(u32::MAX),
            comm: names.id(self.comm),
        }
    }
}

/// One process.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    /// Its identity.
    pub id: ProcId,
    /// Its parent, as of the last reading.
    pub parent: Pid,
    /// Its CPU time.
    pub times: Times,
    /// Whether it still runs.
    pub life: Life,
    /// Number of threads.
    pub threads: u32,
    /// Its name, to be looked up in [`Names`].
    pub comm: NameId,
}

/// Index of the process with that pid, in a list sorted by pid.
pub fn index_of(processes: &[Process], pid: Pid) -> Option<usize> {
    processes.binary_search_by_key(&pid, |process| process.id.pid).ok()
}

/// A name within [`Names`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameId(u32);

/// The names of processes, each kept once: ten thousand processes have some hundred names.
#[derive(Debug, Default)]
pub struct Names {
    texts: Vec<Box<[u8]>>,
    ids: BTreeMap<Box<[u8]>, NameId>,
}

impl Names {
    /// The id of that name. A new name gets a new id.
    pub fn id(&mut self, text: &[u8]) -> NameId {
        if let Some(&id) = self.ids.get(text) {
            return id;
        }
        let id = NameId(self.texts.len() as u32);
        self.texts.push(text.into());
        self.ids.insert(text.into(), id);
        id
    }

    /// The name of that id.
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
