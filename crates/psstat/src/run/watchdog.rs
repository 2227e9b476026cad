//! `--timeout`: a run never lasts longer.
//!
//! Whoever loops asks [`Watchdog::out_of_time`]. That does not help where one read hangs: the
//! kernel takes a process's memory lock to read its command line or its memory map, and the lock of
//! its execve(2) to read its traffic with storage; a process in trouble may hold these for minutes.
//! For plans that read those files a thread stands by, and ends the run.

use crate::account::memory::MemoryMode;
use crate::error::Error;
use crate::job::Job;
use crate::label::diagnostic;
use crate::run::STDERR_LINE;
use crate::run::members::{OF_MEMORY, OF_STORAGE};
use std::io::Write;
use std::time::{Duration, Instant};

/// How long a run that notices by itself is given to end in order.
const GRACE: Duration = Duration::from_millis(100);

/// Knows when a run must end.
#[derive(Debug)]
pub struct Watchdog {
    /// None where that is further than the clock goes.
    end: Option<Instant>,
    timeout: Duration,
}

impl Watchdog {
    /// Watches a run that begins now.
    pub fn new(job: &Job) -> Watchdog {
        let watchdog = Watchdog::of_sample(job);
        let reads_maps = job.plan.memory == MemoryMode::Pss && job.plan.asks_for(&OF_MEMORY);
        let reads_io = job.plan.asks_for(&OF_STORAGE);
        let may_hang = !job.plan.cmdlines.is_empty() || reads_maps || reads_io;
        if may_hang {
            let (left, error) = (job.timeout.saturating_add(GRACE), watchdog.error());
            // Where no thread can be made, the run goes without.
            let _ = std::thread::Builder::new().spawn(move || {
                std::thread::sleep(left);
                let line = diagnostic("E!", &error.to_string(), STDERR_LINE);
                let _ = std::io::stderr().write_all(line.as_bytes());
                std::process::exit(i32::from(error.exit_status()));
            });
        }
        watchdog
    }

    /// Watches one sample of a process that lives on: it is left out where it takes too long.
    pub fn of_sample(job: &Job) -> Watchdog {
        Watchdog { end: Instant::now().checked_add(job.timeout), timeout: job.timeout }
    }

    /// How long the run may go on.
    pub fn time_left(&self) -> Duration {
        self.end.map_or(self.timeout, |end| end.saturating_duration_since(Instant::now()))
    }

    /// Whether the run must end.
    pub fn out_of_time(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// What is said then.
    pub fn error(&self) -> Error {
        Error::Failed(format!(
            "the run took longer than its timeout of {}: --timeout gives it more",
            humantime::format_duration(self.timeout)
        ))
    }
}
