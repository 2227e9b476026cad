//! `psstat execd`: a resident process that prints a sample per request (Telegraf's `execd`).
//!
//! A request is a line feed on standard input, SIGHUP, SIGUSR1, SIGUSR2, or the end of an interval.
//! All requests that arrive during a sample are answered together by one more sample. The process
//! ends at the end of standard input, at SIGTERM or SIGINT, or when nobody reads its output. With an
//! interval, the end of standard input ends it only if that is a pipe, a socket or a terminal.

mod output;
mod readiness;
mod requests;
mod signals;

pub use signals::Signals;

use super::cost;
use super::page::Pages;
use super::relay::{self, Turn, Watch};
use crate::deadline::{Deadline, Stop};
use crate::error::Error;
use crate::executables::Executables;
use crate::exit_records::ExitRecords;
use crate::files::output::{check_output, replace_file};
use crate::job::Job;
use crate::machine::Machine;
use crate::messages::{self, Messages};
use crate::sandbox::{self, Remaining};
use crate::users::Getent;
use psstat_core::engine::Engine;
use psstat_core::state::State;
use requests::Requests;
use std::collections::HashSet;
use std::sync::Arc;

/// Prints a sample per request until the end. Takes a first sample at once, to compare the first
/// answer with.
///
/// # Errors
/// If the first sample cannot be taken or written, or standard output cannot be written, or the output file may
/// not be written any more. If a later sample fails for another reason, the error is printed and the process
/// goes on.
pub fn run(job: Job, signals: Signals) -> Result<(), Error> {
    let can_block = job.plan.asks_processes() || job.plan.pid_files().next().is_some();
    let exits = ExitRecords::of(&job)?;
    let timeout = job.timeout;
    let stop = signals.stop.clone();
    let session = Session {
        stop: stop.clone(),
        getent: Getent::default(),
        exits,
        requests: Requests::new(signals, job.interval, job.output.is_none()),
        pages: Pages::of(&job),
        job,
        deadline: None,
        already_reported: HashSet::new(),
        last: None,
        has_filter: false,
    };
    relay::run(session, Watch { can_block, timeout, stop }, serve)
}

/// What another thread needs to go on.
struct Session {
    job: Job,
    requests: Requests,
    pages: Pages,
    /// Whether a signal has told psstat to end.
    stop: Stop,
    getent: Getent,
    /// What the kernel tells of processes that end, if it was asked.
    exits: Option<ExitRecords>,
    /// When the sample that is being taken must end.
    deadline: Option<Deadline>,
    already_reported: HashSet<String>,
    /// What the next sample is compared with.
    last: Option<Arc<State>>,
    /// Whether the filter of system calls is in force. It holds for all threads.
    has_filter: bool,
}

/// Takes samples until the end, or until another thread takes over.
fn serve(turn: &Turn<Session>) -> Result<(), Error> {
    let Some(mut session) = turn.begin() else { return Ok(()) };
    if let (Some(path), None) = (&session.job.output, &session.last) {
        // A mistake shows now, before any warning, and not after an hour.
        check_output(path)?;
    }
    let timeout = session.job.timeout;
    let Some(machine) = open(turn, &mut session)? else { return Ok(()) };
    let mut engine = Engine::new(machine.resident(), session.job.plan.clone()).resident();
    // Landlock holds for one thread, so a thread that takes over restricts itself too.
    let mut is_unrestricted = session.job.sandbox;
    loop {
        let stop = session.stop.clone();
        let deadline = || Deadline::after(timeout).or_stop(&stop);
        let deadline = session.deadline.get_or_insert_with(deadline).clone();
        engine.kernel_mut().set_deadline(deadline.clone());
        let last = session.last.clone();
        let taken = turn.sample(session, || cost::measured(|| engine.sample(last.as_deref())));
        let Some((back, (taken, cost))) = taken else { return Ok(()) };
        session = back;
        session.deadline = None;
        if taken.is_err() && session.stop.is_set() {
            // The sample was given up.
            return Ok(());
        }
        let Session { job, requests, pages, exits, already_reported, last, has_filter, .. } =
            &mut session;
        let is_first = last.is_none();
        let written = match taken {
            Err(error) => Err(Error::of_sample(error, timeout)),
            Ok(sample) => {
                let mut messages = Messages::about(&job.mounts);
                if is_first {
                    messages.warn_of(&job.mistakes);
                }
                messages.add(&sample.diagnostics);
                messages.drop_repeated(already_reported);
                messages.write();
                let text = pages.next_page(job, &sample, cost);
                *last = Some(Arc::new(sample.state));
                match &job.output {
                    // There is nothing to write yet.
                    Some(_) if text.is_empty() && is_first => Ok(()),
                    Some(path) => replace_file(path, text.as_bytes(), deadline.time_left())
                        .map_err(Error::from),
                    // Nobody has asked yet.
                    None if is_first => Ok(()),
                    None if output::print(text.as_bytes(), requests)? => Ok(()),
                    None => return Ok(()),
                }
            }
        };
        match written {
            Ok(()) if is_first => readiness::report(),
            Ok(()) => {}
            Err(error) if is_first || error.lasts() => return Err(error),
            Err(error) => messages::write_error(&error),
        }
        if std::mem::take(&mut is_unrestricted) {
            let (plan, mounts, output) = (engine.plan(), &job.mounts, job.output.as_deref());
            let receives = job.exit_records;
            let remaining = Remaining { plan, mounts, output, receives };
            enter_sandbox(remaining, std::mem::replace(has_filter, true));
        }
        // It has the same restrictions.
        exits.iter().for_each(ExitRecords::collect);
        if !requests.wait_for_one() {
            return Ok(());
        }
    }
}

/// Opens the machine. A thread that has taken over tries again at the next request if that fails. `None` at the
/// end.
fn open(turn: &Turn<Session>, session: &mut Session) -> Result<Option<Machine>, Error> {
    loop {
        if session.stop.is_set() {
            return Ok(None);
        }
        let Job { mounts, multi_threaded, timeout, .. } = &session.job;
        let deadline = Deadline::after(*timeout);
        match Machine::open(mounts, *multi_threaded, deadline, turn.reads()) {
            Ok(machine) => {
                let exits = session.exits.as_ref();
                let exits = exits.map(|exits| (exits.clone(), Executables::of(&session.job.plan)));
                return Ok(Some(machine.with_getent(&session.getent).with_exits(exits)));
            }
            Err(error) if session.last.is_none() => return Err(error.into()),
            Err(error) => messages::write_error(&error.into()),
        }
        session.deadline = None;
        if !session.requests.wait_for_one() {
            return Ok(None);
        }
    }
}

/// Gives up what is not needed any more. If the kernel refuses that, psstat measures all the same.
fn enter_sandbox(remaining: Remaining<'_>, has_filter: bool) {
    if let Err(error) = sandbox::enter(remaining, has_filter) {
        let mut messages = Messages::default();
        messages
            .warn(format!("psstat cannot restrict itself: {error}: --no-sandbox leaves it out"));
        messages.write();
    }
}
