//! One sample: the `exec` job.

use crate::account::group::State;
use crate::cache::codec;
use crate::cache::store::Store;
use crate::error::Error;
use crate::job::{Baseline, Job};
use crate::run::notes::Notes;
use crate::run::sampler::Sampler;
use crate::run::watchdog::Watchdog;
use crate::run::{boot_now, output};
use signal_hook::consts::SIGTERM;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Takes a sample and prints one line per group, or stores the first one.
///
/// # Errors
/// Where `/proc` cannot be read, the cache cannot be kept, or standard output cannot be written.
pub fn run(job: &Job, interruptible: &Interruptible) -> Result<(), Error> {
    let watchdog = Watchdog::new(job);
    let mut notes = Notes::default();
    let lines = match &job.baseline {
        Baseline::Cache { dir, name } => {
            let store = Store::new(dir, name);
            with_cache(job, &store, &watchdog, &mut notes)
        }
        Baseline::Wait(wait) => after_waiting(job, *wait, &watchdog, &mut notes),
    };
    // The cause of a failure is said alone: Telegraf shows the first line of standard error only.
    let lines = lines?;
    // From here on whole lines or nothing: what has begun to be written is written to its end.
    interruptible.hold_off();
    let reader_listens = match &job.output {
        Some(path) => {
            output::replace_file(path, lines.as_bytes(), watchdog.time_left())?;
            true
        }
        None => output::print(lines.as_bytes())?,
    };
    if reader_listens {
        notes.flush();
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
    /// [`Error::Failed`] where the system refuses.
    pub fn install() -> Result<Interruptible, Error> {
        let flag = Arc::new(AtomicBool::new(true));
        signal_hook::flag::register_conditional_shutdown(SIGTERM, 0, Arc::clone(&flag))
            .map_err(|error| Error::Failed(format!("cannot handle SIGTERM: {error}")))?;
        Ok(Interruptible(flag))
    }

    /// Lets SIGTERM pass from now on.
    pub fn hold_off(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

fn with_cache(
    job: &Job,
    store: &Store,
    watchdog: &Watchdog,
    notes: &mut Notes,
) -> Result<String, Error> {
    let stored = store.load()?;
    let mut sampler = Sampler::open(job)?;
    let before = match stored.map(|bytes| codec::decode(&bytes)) {
        None => None,
        Some(Ok(state)) => usable(state, &sampler, store, notes),
        Some(Err(refusal)) => {
            notes.warn(format!("cache {}: {refusal}: starting over", store.path().display()));
            None
        }
    };
    let sample = sampler.sample(before.as_ref(), watchdog, notes)?;
    store.save(&codec::encode(&sample.state), watchdog.time_left())?;
    if before.is_none() {
        notes.inform(
            "first run: a baseline is stored, no line is printed; later runs print (--wait 1s \
             prints at once)",
        );
    }
    Ok(job.plan.text(&sample.reports, sample.wall))
}

/// A state of another boot, or from the future, bends every rate.
fn usable(state: State, sampler: &Sampler<'_>, store: &Store, notes: &mut Notes) -> Option<State> {
    let reason = if state.boot_id != sampler.boot_id() {
        "from before the machine was restarted"
    } else if state.taken > boot_now() {
        "from the future"
    } else {
        return Some(state);
    };
    notes.warn(format!("cache {}: {reason}: starting over", store.path().display()));
    None
}

fn after_waiting(
    job: &Job,
    wait: Duration,
    watchdog: &Watchdog,
    notes: &mut Notes,
) -> Result<String, Error> {
    let mut sampler = Sampler::open(job)?;
    // What is wrong at the first sample is said at the second, where it still is.
    let first = sampler.sample(None, watchdog, &mut Notes::default())?;
    std::thread::sleep(wait);
    let second = sampler.sample(Some(&first.state), watchdog, notes)?;
    Ok(job.plan.text(&second.reports, second.wall))
}
