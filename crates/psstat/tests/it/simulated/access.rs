//! What psstat may read of a simulated world.

use super::world::Task;
use std::collections::BTreeSet;

/// A file of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum File {
    Stat,
    Statm,
    Status,
    Cmdline,
    Exe,
    User,
    ControlGroup,
    Storage,
    Faults,
    Switches,
    OpenFiles,
}

impl File {
    /// Files that the kernel may refuse to show.
    pub const ALL: [File; 11] = [
        File::Stat,
        File::Statm,
        File::Status,
        File::Cmdline,
        File::Exe,
        File::User,
        File::ControlGroup,
        File::Storage,
        File::Faults,
        File::Switches,
        File::OpenFiles,
    ];

    pub fn name(self) -> &'static str {
        match self {
            File::Stat | File::Faults => "stat",
            File::Statm => "statm",
            File::Status => "status",
            File::Cmdline => "cmdline",
            File::Exe => "exe",
            File::User => "status",
            File::ControlGroup => "cgroup",
            File::Storage => "io",
            File::Switches => "task",
            File::OpenFiles => "fd",
        }
    }
}

/// What psstat may read.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Files that may not be read, by the number of the process.
    pub denied: BTreeSet<(usize, File)>,
    /// Processes that do not answer, by their number: reading some of their files would block.
    pub silent: BTreeSet<usize>,
    /// Processes that have answered at last.
    pub answered: Vec<usize>,
    /// `hidepid`: `/proc` shows only the processes of that user.
    pub shows_only: Option<u32>,
    /// No hierarchy of control groups can be read.
    pub hides_hierarchy: bool,
    /// No `smaps_rollup` may be read.
    pub hides_rollups: bool,
    /// No `smaps_rollup` can be read, for a reason that passes.
    pub fails_rollups: bool,
    /// `/proc/meminfo` cannot be read.
    pub hides_memory: bool,
}

impl Access {
    /// Whether `/proc` lists the process.
    pub fn shows(&self, task: &Task) -> bool {
        self.shows_only.is_none_or(|user| user == task.user)
    }

    /// Whether the kernel needs a lock of the process to read the file, and the process holds it.
    pub fn blocks(&self, task: &Task, file: File) -> bool {
        let needs_lock =
            matches!(file, File::Cmdline | File::Exe | File::Storage | File::OpenFiles);
        needs_lock && self.silent.contains(&task.life)
    }

    pub fn denies(&self, task: &Task, file: File) -> bool {
        self.denied.contains(&(task.life, file))
    }
}
