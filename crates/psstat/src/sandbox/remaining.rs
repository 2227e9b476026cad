//! What a job still does after its first sample.

use crate::cgroupfs::memory::MemoryAccounts;
use crate::job::Mounts;
use psstat_core::field::Need;
use psstat_core::model::memory::MemoryMode;
use psstat_core::plan::Plan;
use psstat_core::select::selector::{Selector, User};
use std::path::Path;

/// What a job still does after its first sample.
#[derive(Clone, Copy, Debug)]
pub struct Remaining<'a> {
    /// What is measured.
    pub plan: &'a Plan,
    /// Where procfs and sysfs are mounted.
    pub mounts: &'a Mounts,
    /// The file that each sample replaces.
    pub output: Option<&'a Path>,
    /// Whether it receives exit records.
    pub receives: bool,
}

impl Remaining<'_> {
    /// Whether it runs getent(1), which reads any file, loads libraries and asks servers: if it has a user
    /// whose id is not known yet.
    pub fn asks_getent(&self) -> bool {
        let is_unknown = |selector: &Selector| {
            matches!(selector.conditions.user, Some(User::Named { id: None, .. }))
        };
        self.plan.selectors.iter().any(is_unknown)
    }

    /// Whether it reads what only who may trace a process may read. A process with Landlock may trace only
    /// processes with the same restrictions, whatever its capabilities (`hook_ptrace_access_check`,
    /// security/landlock/task.c).
    pub fn traces(&self) -> bool {
        // Among all processes, psstat must know other psstats, by their `exe`.
        let knows_psstats = |selector: &Selector| selector.source.is_all();
        let Plan { selectors, fields, memory, .. } = self.plan;
        let reads_rollups = match memory {
            // The kernel accounts the memory of a control group as a whole.
            MemoryMode::Auto => {
                !selectors.iter().all(Selector::takes_control_groups)
                    || MemoryAccounts::open(&self.mounts.sys).is_none()
            }
            MemoryMode::Pss => true,
            MemoryMode::SharedOnce | MemoryMode::Rss => false,
        };
        selectors.iter().any(knows_psstats)
            || selectors.read_executables()
            || (reads_rollups && fields.need(Need::Memory))
            || fields.need(Need::Storage)
    }
}
