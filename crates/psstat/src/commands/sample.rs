//! `psstat`: takes one sample (Telegraf exec).

use crate::deadline::Deadline;
use crate::error::Error;
use crate::files::cache::{CacheFile, PreparedCache};
use crate::files::output;
use crate::job::{Baseline, Job};
use crate::machine::{Machine, boot_now};
use crate::messages::Messages;
use psstat_core::engine::{Engine, Sample};
use psstat_core::kernel::Kernel;
use psstat_core::state::{State, codec};
use signal_hook::consts::{SIGTERM, SIGXFSZ};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Takes a sample and prints one line per group, or stores the first sample.
///
/// # Errors
/// If `/proc` cannot be read, the cache file cannot be used, or the sample cannot be written.
pub fn run(job: Job, interruptible: &Interruptible) -> Result<(), Error> {
    let deadline = Deadline::after(job.timeout);
    super::watchdog::watch(&job, deadline);
    let Job { plan, mounts, baseline, output, multi_threaded, timeout, .. } = job;
    let machine = Machine::open(&mounts, multi_threaded, deadline)?;
    let mut run = Run { engine: Engine::new(machine, plan), deadline, timeout };
    let mut messages = Messages::default();
    let taken = match baseline {
        Baseline::Cache { dir, name } => {
            run.with_cache(&CacheFile::new(&dir, &name), &mut messages)
        }
        Baseline::Wait(wait) => run.after_waiting(wait).map(|sample| (sample, None)),
    };
    // A failure is reported alone, because Telegraf shows only the first line of standard error.
    let (sample, cache) = taken?;
    messages.add(&sample.diagnostics);
    let text = run.engine.plan().text(&sample.reports, sample.wall);
    // SIGTERM must not cut a line, nor come between the lines and the cache file: from here on both are
    // written to their end. The lines come first. If nobody gets them, the next run compares with the
    // old state, so that its lines contain what these would have shown.
    interruptible.hold_off();
    let has_reader = match output {
        Some(path) => {
            output::replace_file(&path, text.as_bytes(), deadline.time_left())?;
            true
        }
        None => output::print(text.as_bytes())?,
    };
    if has_reader {
        if let Some(cache) = cache {
            cache.commit()?;
        }
        messages.write();
    }
    Ok(())
}

/// Whether SIGTERM ends the process, with status 0.
#[derive(Debug)]
pub struct Interruptible(Arc<AtomicBool>);

impl Interruptible {
    /// Lets SIGTERM end the process from now on.
    ///
    /// # Errors
    /// [`Error::Signals`] if the handler cannot be installed.
    pub fn install() -> Result<Interruptible, Error> {
        // A file that would become larger than allowed (RLIMIT_FSIZE) is an error like any other.
        signal_hook::flag::register(SIGXFSZ, Arc::default()).map_err(Error::Signals)?;
        let flag = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_shutdown(SIGTERM, 0, Arc::clone(&flag))
            .map_err(Error::Signals)?;
        Ok(Interruptible(flag))
    }

    /// Ignores SIGTERM from now on.
    pub fn hold_off(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

struct Run {
    engine: Engine<Machine>,
    deadline: Deadline,
    timeout: Duration,
}

impl Run {
    /// Takes a sample, compared with the one that `last` describes.
    fn sample(&mut self, last: Option<&State>) -> Result<Sample, Error> {
        self.engine.sample(last).map_err(|error| Error::of_sample(error, self.timeout))
    }

    /// Takes a sample, compared with the state in the cache file, and prepares to replace that state.
    fn with_cache(
        &mut self,
        cache: &CacheFile,
        messages: &mut Messages,
    ) -> Result<(Sample, Option<PreparedCache>), Error> {
        let last = match cache.load()?.map(|bytes| codec::decode(&bytes)) {
            None => None,
            Some(Ok(state)) => match self.refuse(&state) {
                None => Some(state),
                Some(reason) => {
                    warn_of_new_start(cache, reason, messages);
                    None
                }
            },
            Some(Err(error)) => {
                warn_of_new_start(cache, &error.to_string(), messages);
                None
            }
        };
        let sample = self.sample(last.as_ref())?;
        let is_first = last.is_none();
        // Free memory before the new state is encoded: a group can have ten thousand processes.
        drop(last);
        let prepared = cache.prepare(&codec::encode(&sample.state), self.deadline.time_left())?;
        if is_first {
            messages.inform(
                "first run: psstat stored a baseline and printed no line; later runs print lines \
                 (--wait 1s prints at once)",
            );
        }
        Ok((sample, Some(prepared)))
    }

    /// Why a sample cannot be compared with `state`. `None` if it can. All rates would be wrong if
    /// the state were of another boot, or from the future.
    fn refuse(&self, state: &State) -> Option<&'static str> {
        let boot_id = &self.engine.kernel().constants().boot_id;
        // If it cannot be read now, only the time can tell.
        if boot_id.as_ref().is_some_and(|boot_id| state.boot_id != *boot_id) {
            Some("it was written before the machine was restarted")
        } else if state.accounts.taken > boot_now() {
            Some("its time is in the future")
        } else {
            None
        }
    }

    /// Takes two samples. Returns the second, compared with the first.
    fn after_waiting(&mut self, wait: Duration) -> Result<Sample, Error> {
        // The warnings of the first sample are dropped, because the second has them too.
        let first = self.sample(None)?;
        std::thread::sleep(wait);
        self.sample(Some(&first.state))
    }
}

/// Warns that the cache file is replaced by a new baseline.
fn warn_of_new_start(cache: &CacheFile, reason: &str, messages: &mut Messages) {
    messages.warn(format!(
        "the cache file {} cannot be used: {reason}: psstat replaces it by a new baseline",
        cache.path().display()
    ));
}
