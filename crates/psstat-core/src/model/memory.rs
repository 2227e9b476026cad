//! How memory is measured, and what was read of the memory of processes and control groups.

use super::units::{Bytes, Pages};

/// How the memory of a group is measured: the option `--memory`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryMode {
    /// Each page once, as far as psstat can know ([`account::memory`](crate::account::memory)).
    #[default]
    Auto,
    /// The sum of resident sets, as `ps` shows them. Shared pages count once per process.
    Rss,
    /// The sum of (resident - shared), plus the largest shared part of one member. File and shared
    /// memory that many workers map counts once. Pages that forked processes share count once per process.
    SharedOnce,
    /// The sum of the kernel's proportional set sizes (PSS).
    Pss,
}

impl MemoryMode {
    /// All modes.
    pub const ALL: [MemoryMode; 4] =
        [MemoryMode::Auto, MemoryMode::SharedOnce, MemoryMode::Pss, MemoryMode::Rss];

    /// The name of the mode on the command line.
    pub fn name(self) -> &'static str {
        match self {
            MemoryMode::Auto => "auto",
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

impl Statm {
    /// The anonymous pages. The kernel changes the two counters separately, so a reading can show more
    /// shared than resident pages.
    pub fn anonymous(self) -> Pages {
        Pages(self.resident.0.saturating_sub(self.shared.0))
    }

    /// The pages of files and of shared memory.
    pub fn mapped(self) -> Pages {
        self.shared.min(self.resident)
    }
}

/// The proportional set size of one process, from `/proc/PID/smaps_rollup` (proc_pid_smaps(5)). Each page
/// counts divided by the number of processes that map it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proportional {
    /// `Pss`: all pages.
    pub total: Bytes,
    /// Which pages these are. `None` before Linux 5.4.
    pub split: Option<Split>,
    /// `Shared_Hugetlb`: huge pages that others map too, each counted whole.
    pub shared_huge: Bytes,
}

/// What pages a proportional set size consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// `Pss_Anon`: anonymous pages.
    pub anonymous: Bytes,
    /// `Pss_File` and `Pss_Shmem`: pages of files and of shared memory.
    pub mapped: Bytes,
    /// The part of `anonymous` that belongs to pages which others map too. At least that: the kernel does not
    /// say which of the private pages (`Private_Dirty`) are anonymous, so all are taken as such.
    pub anonymous_shared: Bytes,
    /// The whole size of these pages.
    pub anonymous_shared_whole: Bytes,
}

/// The account that the kernel keeps of the memory of a control group and all below it: `memory.stat`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryAccount {
    /// Anonymous memory, each page once: `anon` on v2 (cgroup-v2.rst), `total_rss` on v1
    /// (cgroup-v1/memory.rst).
    pub anonymous: Bytes,
    /// Mapped memory of files, and mapped shared memory, each page once: `file_mapped` on v2,
    /// `total_mapped_file` on v1.
    pub mapped: Bytes,
}

/// The memory of the machine, from `/proc/meminfo` (proc_meminfo(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineMemory {
    /// `MemTotal`.
    pub total: Bytes,
    /// Huge pages that are in use: `Hugetlb`, less the free ones of the default size (`HugePages_Free`).
    pub huge_in_use: Bytes,
}

/// The memory of one member, as far as the mode needs it and it could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Footprint {
    /// No memory: the member is a zombie, or ended before it was read.
    #[default]
    None,
    /// Its memory could not be read.
    Unreadable,
    /// Its memory.
    Known(Share),
}

/// The memory of one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Its resident anonymous memory, from `statm`.
    pub anonymous_whole: Bytes,
    /// Its resident memory of files and shared memory, from `statm`.
    pub mapped_whole: Bytes,
    /// Its proportional set size, if the mode is [`MemoryMode::Pss`] and it could be read.
    pub proportional: Option<Bytes>,
    /// Its share of the anonymous memory, in [`MemoryMode::Auto`]. Not more than the whole.
    pub anonymous: Bytes,
    /// Where that comes from.
    pub source: AnonymousSource,
    /// Its share of the memory of files and shared memory, as far as it is known. Not more than the whole.
    pub mapped: Bytes,
    /// Huge pages (hugetlbfs), without those below.
    pub huge: Bytes,
    /// Huge pages that others map too.
    pub shared_huge: Bytes,
}

/// Where the share of a member in the anonymous memory comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnonymousSource {
    /// Resident - shared, in `statm`: the member shares nothing, or nothing is known of it.
    #[default]
    Resident,
    /// `Pss_Anon` in `smaps_rollup`.
    Proportional,
    /// Resident - shared, less what processes that it shares with by fork are known to share.
    Relatives,
}
