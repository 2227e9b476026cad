//! A job: what to measure, where, and how. The command line and the configuration file become a job
//! by way of [`Settings`](crate::settings::Settings).

use crate::mistakes::Mistake;
use psstat_core::plan::Plan;
use std::path::PathBuf;
use std::time::Duration;

/// What to measure, where, and how.
#[derive(Debug)]
pub struct Job {
    /// What to measure and how to print it.
    pub plan: Plan,
    /// Where procfs and sysfs are mounted.
    pub mounts: Mounts,
    /// What a sample is compared with, if the run takes only one.
    pub baseline: Baseline,
    /// The file that each sample replaces. `None` means standard output.
    pub output: Option<PathBuf>,
    /// The time between two samples of a resident process. `None` means only on request.
    pub interval: Option<Duration>,
    /// Whether `/proc` is read on several threads.
    pub multi_threaded: bool,
    /// Whether a resident process restricts itself to what it needs.
    pub sandbox: bool,
    /// How long a run may take.
    pub timeout: Duration,
    /// Settings that cannot do what was meant.
    pub mistakes: Vec<Mistake>,
}

/// Where procfs and sysfs are mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounts {
    /// procfs.
    pub proc: PathBuf,
    /// sysfs.
    pub sys: PathBuf,
    /// Whether somebody has said where procfs is. If not, it may be a container's by mistake.
    pub is_proc_chosen: bool,
}

/// What a sample is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// The state that the run before left in this file.
    Cache {
        /// The file's directory.
        dir: PathBuf,
        /// The file's name.
        name: String,
    },
    /// Another sample, taken that long before by the same run.
    Wait(Duration),
}
