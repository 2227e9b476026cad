//! How memory is measured, and what was read of one process' memory.

use super::units::{Bytes, Pages};

/// How the memory of a group is measured: the option `--memory`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryMode {
    /// The sum of resident sets, as `ps` shows them. Shared pages count once per process.
    Rss,
    /// The sum of (resident - shared), plus the largest shared part of one member. File and shared
    /// memory that many workers map counts once.
    #[default]
    SharedOnce,
    /// The sum of the kernel's proportional set sizes (PSS).
    Pss,
}

impl MemoryMode {
    /// All modes.
    pub const ALL: [MemoryMode; 3] = [MemoryMode::Rss, MemoryMode::SharedOnce, MemoryMode::Pss];

    /// The name of the mode on the command line.
    pub fn name(self) -> &'static str {
        match self {
            MemoryMode::Rss => "rss",
            MemoryMode::SharedOnce => "shared-once",
            MemoryMode::Pss => "pss",
        }
    }

    /// The mode with that name.
    pub fn named(name: &str) -> Option<MemoryMode> {
        MemoryMode::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// Resident memory of one process, from `/proc/PID/statm` (proc_pid_statm(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statm {
    /// Field 2: pages in memory.
    pub resident: Pages,
    /// Field 3: resident pages that are backed by a file or by shared memory.
    pub shared: Pages,
}

/// The memory of one member, as far as the mode needs it and it could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Footprint {
    /// No memory: the member is a zombie, or ended before it was read.
    #[default]
    None,
    /// Its memory could not be read.
    Unreadable,
    /// From `statm`.
    Resident(Statm),
    /// The proportional set size, from `smaps_rollup`.
    Proportional(Bytes),
}
