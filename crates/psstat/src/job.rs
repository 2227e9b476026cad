//! A job: what to measure, and where and how. What is typed and what is written in a file become
//! this, by way of [`Settings`](crate::settings::Settings).

use crate::plan::Plan;
use std::path::PathBuf;
use std::time::Duration;

/// What to measure, and where and how.
#[derive(Debug)]
pub struct Job {
    /// What to measure.
    pub plan: Plan,
    /// Where procfs is mounted.
    pub proc: PathBuf,
    /// Where sysfs is mounted.
    pub sys: PathBuf,
    /// What a sample is compared with, where the run takes one.
    pub baseline: Baseline,
    /// The file that each sample replaces; none: standard output.
    pub output: Option<PathBuf>,
    /// How far apart a resident process samples by itself; none: only when asked.
    pub interval: Option<Duration>,
    /// Whether `/proc` is read by several threads.
    pub multi_threaded: bool,
    /// How long the run may last.
    pub timeout: Duration,
}

/// What a sample is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// The sample that the run before has left in this file.
    Cache {
        /// The file's folder.
        dir: PathBuf,
        /// Its name.
        name: String,
    },
    /// Another sample, taken that long before by the same run.
    Wait(Duration),
}
