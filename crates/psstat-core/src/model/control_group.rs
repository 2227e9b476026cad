//! A control group (cgroups(7)).

use super::read_error::ReadError;
use super::units::{CpuNanos, Pid};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Something that the kernel tells of a control group of version 2 in a file of its own (cgroup-v2.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Figure {
    /// `throttled_usec` of `cpu.stat`: how long its CPU quota has kept it from running, summed over the
    /// processors. In nanoseconds, since the group was made.
    CpuThrottled,
    /// `total` of the line `some` of `cpu.pressure`: how long some task has waited for a processor. In
    /// nanoseconds, since the group was made.
    CpuPressure,
    /// The same of `memory.pressure`.
    MemoryPressure,
    /// The same of `io.pressure`.
    IoPressure,
    /// `oom_kill` of `memory.events`: how many processes in it or below it the kernel has killed because
    /// memory was used up, since the group was made.
    OomKills,
    /// `memory.max`: the limit of its memory, in bytes. [`NO_LIMIT`] if it has none.
    MemoryLimit,
    /// `memory.peak`: the most memory it ever had, in bytes.
    MemoryPeak,
    /// `memory.swap.current`: how much of its memory is swapped out, in bytes.
    Swap,
}

impl Figure {
    /// The figures that only rise while a group exists.
    pub const COUNTERS: [Figure; 5] = [
        Figure::CpuThrottled,
        Figure::CpuPressure,
        Figure::MemoryPressure,
        Figure::IoPressure,
        Figure::OomKills,
    ];

    /// The figures that tell how much there is now.
    pub const LEVELS: [Figure; 3] = [Figure::MemoryLimit, Figure::MemoryPeak, Figure::Swap];

    /// All figures.
    pub fn all() -> impl Iterator<Item = Figure> {
        Figure::COUNTERS.into_iter().chain(Figure::LEVELS)
    }

    /// Whether it is a part of the time that has passed, so that it does not grow faster than time does.
    pub fn is_part_of_time(self) -> bool {
        matches!(self, Figure::CpuPressure | Figure::MemoryPressure | Figure::IoPressure)
    }
}

/// The [`Figure::MemoryLimit`] of a group without a limit.
pub const NO_LIMIT: u64 = u64::MAX;

/// What a walk over the hierarchy of control groups has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hierarchy {
    /// The wanted groups and all below them. Each comes before those below it.
    pub groups: Vec<ControlGroup>,
    /// The directories that could not be looked into. Wanted groups can be below them.
    pub unread: Vec<UnreadDirectory>,
    /// How many directories were looked at.
    pub visited: usize,
    /// Whether a directory of a systemd unit was seen below the root, which is one in any case (`-.slice`).
    pub has_units: bool,
}

/// A directory in the hierarchy that could not be looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadDirectory {
    /// Its path, as [`ControlGroup::path`].
    pub path: Vec<u8>,
    /// Whether units can be below it.
    pub may_hold_units: bool,
    /// Why it could not be looked into.
    pub error: ReadError,
}

/// A control group that a selector picked, or one below such a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlGroup {
    /// Path below the root of the hierarchy, without a slash at either end. Empty for the root.
    pub path: Vec<u8>,
    /// Id of the systemd unit that it belongs to. `None` if it is not the directory of a unit.
    pub unit: Option<Vec<u8>>,
    /// Inode number of its directory. Tells it from a group that is made under the same path
    /// later. 0 if no hierarchy can be read.
    pub id: u64,
    /// CPU time used by everything that ever ran in it or below it. `None` if it has no counter.
    pub used: Option<CpuNanos>,
    /// What the kernel tells of it, of the wanted figures, if a selector picked it.
    pub figures: BTreeMap<Figure, Result<u64, ReadError>>,
    /// The memory limits of the root, of each group above it, and of it, in this order: one for each
    /// component of its path, and one more. Empty unless [`Figure::MemoryLimit`] is among the figures.
    pub limits: Vec<u64>,
    /// The processes directly in it.
    pub pids: Vec<Pid>,
    /// Number of processes directly in it that have no pid here: those of other pid namespaces,
    /// and those that `/proc` hides.
    pub foreign: u64,
    /// Why its processes, its counter or the groups below it are not known. They are empty then.
    pub error: Option<ReadError>,
    /// Indices of the selectors that picked it.
    pub selectors: Vec<usize>,
    /// Index after the last group below it, in the list of control groups. The groups below it
    /// come directly after it.
    pub end: usize,
}

/// The control group with that index, and all below it.
pub fn with_below(groups: &[ControlGroup], index: usize) -> &[ControlGroup] {
    &groups[index..groups[index].end]
}
