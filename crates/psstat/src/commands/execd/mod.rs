//! `psstat execd`: a resident process that prints a sample per request (Telegraf's `execd`).
//!
//! A request is a line feed on standard input, SIGHUP, SIGUSR1, SIGUSR2, or the end of an interval.
//! All requests that arrive during a sample are answered together by one more sample. The process
//! ends at the end of standard input, at SIGTERM or SIGINT, or when nobody reads its output.

mod output;
mod requests;
mod signals;

pub use signals::Signals;

use crate::deadline::Deadline;
use crate::error::Error;
use crate::files::output::replace_file;
use crate::job::{Job, Mounts};
use crate::machine::Machine;
use crate::messages::{self, Messages};
use crate::sandbox::{self, Remaining};
use psstat_core::engine::Engine;
use psstat_core::plan::Plan;
use psstat_core::state::State;
use requests::Requests;
use std::collections::HashSet;
use std::path::Path;

/// Prints a sample per request until the end. Takes a first sample at once, to compare the first
/// answer with.
///
/// # Errors
/// If the first sample cannot be taken or written, or standard output cannot be written. If a later
/// sample fails, the error is printed and the process goes on.
pub fn run(job: Job, signals: Signals) -> Result<(), Error> {
    let Job { plan, mounts, output, interval, multi_threaded, sandbox, timeout, .. } = job;
    let mut requests = Requests::new(signals, interval);
    let machine = Machine::open(&mounts, multi_threaded, Deadline::after(timeout))?.resident();
    let mut engine = Engine::new(machine, plan).resident();
    let mut already_reported = HashSet::new();
    let mut state: Option<State> = None;
    loop {
        let deadline = Deadline::after(timeout);
        engine.kernel_mut().set_deadline(deadline);
        let is_first = state.is_none();
        let written = match engine.sample(state.as_ref()) {
            Err(error) => Err(Error::of_sample(error, timeout)),
            Ok(sample) => {
                let mut messages = Messages::default();
                messages.add(&sample.diagnostics);
                messages.drop_repeated(&mut already_reported);
                messages.write();
                let text = engine.plan().text(&sample.reports, sample.wall);
                state = Some(sample.state);
                match &output {
                    Some(path) => replace_file(path, text.as_bytes(), deadline.time_left())
                        .map_err(Error::from),
                    None if output::print(text.as_bytes(), &mut requests)? => Ok(()),
                    None => return Ok(()),
                }
            }
        };
        match written {
            Ok(()) => {}
            Err(error) if is_first => return Err(error),
            Err(error) => messages::write_error(&error),
        }
        if is_first && sandbox {
            enter_sandbox(engine.plan(), &mounts, output.as_deref());
        }
        if !requests.wait_for_one() {
            return Ok(());
        }
    }
}

/// Gives up what is not needed any more. If the kernel refuses that, psstat measures all the same.
fn enter_sandbox(plan: &Plan, mounts: &Mounts, output: Option<&Path>) {
    if let Err(error) = sandbox::enter(Remaining { plan, mounts, output }) {
        let mut messages = Messages::default();
        messages
            .warn(format!("psstat cannot restrict itself: {error}: --no-sandbox leaves it out"));
        messages.write();
    }
}
