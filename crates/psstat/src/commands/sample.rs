//! `psstat`: takes one sample (Telegraf exec).

use super::cost::{self, Cost};
use super::page::Pages;
use super::relay::{self, Turn, Watch};
use crate::deadline::{Deadline, Stop};
use crate::error::Error;
use crate::files::cache::{CacheFile, PreparedCache};
use crate::files::{output, pid_file};
use crate::job::{Baseline, Job};
use crate::machine::{Machine, boot_now};
use crate::messages::Messages;
use crate::users::Getent;
use psstat_core::diagnostics::Diagnostics;
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
pub fn run(job: Job, interruptible: Interruptible) -> Result<(), Error> {
    let can_block = job.plan.asks_processes() || pid_file::may_block(job.plan.pid_files());
    let timeout = job.timeout;
    let deadline = Deadline::after(timeout);
    let earlier = Diagnostics::default();
    let getent = Getent::default();
    let (last, cost) = (None, Cost::default());
    let session = Session { job, interruptible, deadline, getent, last, cost, earlier };
    // SIGTERM ends the process by itself.
    relay::run(session, Watch { can_block, timeout, stop: Stop::default() }, sample_and_print)
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

/// What another thread needs to go on.
#[derive(Debug)]
struct Session {
    job: Job,
    interruptible: Interruptible,
    deadline: Deadline,
    getent: Getent,
    /// What the sample is compared with, once that is known.
    last: Option<Arc<State>>,
    /// What the last sample cost.
    cost: Cost,
    /// The warnings of the sample that it is compared with, if this run took that one.
    earlier: Diagnostics,
}

fn sample_and_print(turn: &Turn<Session>) -> Result<(), Error> {
    let Some(session) = turn.begin() else { return Ok(()) };
    let Job { plan, mounts, multi_threaded, .. } = &session.job;
    let deadline = session.deadline.clone();
    let machine = Machine::open(mounts, *multi_threaded, deadline, turn.reads())?;
    let machine = machine.with_getent(&session.getent);
    let run = Run { turn, engine: Engine::new(machine, plan.clone()) };
    let mut messages = Messages::about(&session.job.mounts);
    let taken = match session.job.baseline.clone() {
        Baseline::Cache { dir, name } => {
            run.with_cache(session, &CacheFile::new(&dir, &name), &mut messages)
        }
        Baseline::Wait(wait) => run.after_waiting(session, wait),
    };
    // A failure is reported alone, because Telegraf shows only the first line of standard error.
    let Some(Taken { session, sample, cache }) = taken? else { return Ok(()) };
    // Mistakes come first: whatever else is mended, they stay.
    messages.warn_of(&session.job.mistakes);
    messages.add(&sample.diagnostics);
    // What could not be read only then can be the reason why a value is missing now.
    messages.add_others(&session.earlier);
    let text = Pages::of(&session.job).page(&session.job, &sample, session.cost);
    // SIGTERM must not cut a line, nor come between the lines and the cache file: from here on both are
    // written to their end. The lines come first. If nobody gets them, the next run compares with the
    // old state, so that its lines contain what these would have shown.
    session.interruptible.hold_off();
    let has_reader = match &session.job.output {
        Some(path) => {
            output::replace_file(path, text.as_bytes(), session.deadline.time_left())?;
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

/// A sample that was taken.
struct Taken {
    session: Session,
    sample: Sample,
    /// The state that the sample leaves. `None` if it leaves none.
    cache: Option<PreparedCache>,
}

struct Run<'r> {
    turn: &'r Turn<Session>,
    engine: Engine<Machine>,
}

impl Run<'_> {
    /// Takes a sample, compared with the last one of the session. `None` if another thread has taken
    /// over.
    fn sample(&mut self, session: Session) -> Result<Option<(Session, Sample)>, Error> {
        let (last, timeout) = (session.last.clone(), session.job.timeout);
        let taken =
            self.turn.sample(session, || cost::measured(|| self.engine.sample(last.as_deref())));
        let Some((mut session, (taken, cost))) = taken else { return Ok(None) };
        session.cost = cost;
        let sample = taken.map_err(|error| Error::of_sample(error, timeout))?;
        Ok(Some((session, sample)))
    }

    /// Takes a sample, compared with the state in the cache file, and prepares to replace that state.
    fn with_cache(
        mut self,
        mut session: Session,
        cache: &CacheFile,
        messages: &mut Messages,
    ) -> Result<Option<Taken>, Error> {
        if session.last.is_none() {
            session.last = self.load(cache, messages)?.map(Arc::new);
        }
        let is_first = session.last.is_none();
        let Some((mut session, sample)) = self.sample(session)? else { return Ok(None) };
        // Free memory before the new state is encoded: a group can have ten thousand processes.
        session.last = None;
        let time_left = session.deadline.time_left();
        let prepared = cache.prepare(&codec::encode(&sample.state), time_left)?;
        if is_first {
            messages.inform(
                "first run: psstat stored a baseline and printed no line; later runs print lines \
                 (--wait 1s prints at once)",
            );
        }
        Ok(Some(Taken { session, sample, cache: Some(prepared) }))
    }

    /// The state in the cache file, if a sample can be compared with it.
    fn load(&self, cache: &CacheFile, messages: &mut Messages) -> Result<Option<State>, Error> {
        let Some(bytes) = cache.load()? else { return Ok(None) };
        let refused = match codec::decode(&bytes) {
            Ok(state) => match self.refuse(&state) {
                None => return Ok(Some(state)),
                Some(reason) => reason.to_owned(),
            },
            Err(error) => error.to_string(),
        };
        warn_of_new_start(cache, &refused, messages);
        Ok(None)
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
    fn after_waiting(
        mut self,
        mut session: Session,
        wait: Duration,
    ) -> Result<Option<Taken>, Error> {
        if session.last.is_none() {
            let Some((back, first)) = self.sample(session)? else { return Ok(None) };
            session = back;
            session.last = Some(Arc::new(first.state));
            session.earlier = first.diagnostics;
            std::thread::sleep(wait);
        }
        let taken = self.sample(session)?;
        Ok(taken.map(|(session, sample)| Taken { session, sample, cache: None }))
    }
}

/// Warns that the cache file is replaced by a new baseline.
fn warn_of_new_start(cache: &CacheFile, reason: &str, messages: &mut Messages) {
    messages.warn(format!(
        "the cache file {} cannot be used: {reason}: psstat replaces it by a new baseline",
        cache.path().display()
    ));
}
