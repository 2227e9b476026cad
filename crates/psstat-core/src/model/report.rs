//! What a group cost: the values of one output line.

use super::control_group::Figure;
use super::label::Label;
use super::units::{Bytes, CpuNanos};
use alloc::collections::BTreeMap;
use core::time::Duration;

/// Something that the kernel counts per process or per thread, and that is reported per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rate {
    /// Bytes read from storage.
    StorageRead,
    /// Bytes written to storage.
    StorageWrite,
    /// Page faults that had to wait for storage.
    MajorFaults,
    /// Context switches of all threads.
    Switches,
}

impl Rate {
    /// All rates.
    pub const ALL: [Rate; 4] =
        [Rate::StorageRead, Rate::StorageWrite, Rate::MajorFaults, Rate::Switches];
}

/// Something of which a total is kept for each group, since psstat first saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tally {
    /// What is also reported per second.
    Rate(Rate),
    /// What the counters of control groups gained.
    Figure(Figure),
    /// Processes that were started.
    Starts,
}

/// What a group cost since the last sample. A value that is not known is `None`, and not 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Name of the group.
    pub label: Label,
    /// Index of the selector whose tags the line has.
    pub selector: usize,
    /// CPU time per elapsed time. 1 is one busy core.
    pub cpu: Option<f64>,
    /// Memory, as a fraction of the machine's memory.
    pub memory: Option<f64>,
    /// Number of live processes, zombies not included.
    pub processes: u64,
    /// Memory.
    pub bytes: Option<Bytes>,
    /// Number of threads of the live processes.
    pub threads: Option<u64>,
    /// Number of zombies.
    pub zombies: Option<u64>,
    /// Number of open file descriptors.
    pub open_files: Option<u64>,
    /// Time since the oldest live process started. 0 if there is none.
    pub uptime: Option<Duration>,
    /// CPU time since the group was first seen.
    pub cpu_time: Option<CpuNanos>,
    /// Events or bytes per second.
    pub rates: BTreeMap<Rate, f64>,
    /// Swapped memory.
    pub swap: Option<Bytes>,
    /// How many of its processes whose parents are not in the group were started.
    pub starts: Option<u64>,
    /// What the counters of its control groups gained per second; times in seconds.
    pub gains: BTreeMap<Figure, f64>,
    /// What its control groups have now: bytes.
    pub levels: BTreeMap<Figure, u64>,
    /// Totals since the group was first seen; times in nanoseconds.
    pub totals: BTreeMap<Tally, u64>,
}
