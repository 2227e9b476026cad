//! From the command line to the exit status.

use psstat::cli::{self, Invocation};
use psstat::error::Error;
use psstat::run::execd::Signals;
use psstat::run::once::Interruptible;
use psstat::{label, run};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match dispatch() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let line = label::diagnostic("E!", &error.to_string(), run::STDERR_LINE);
            // If standard error is gone there is nobody left to tell.
            let _ = std::io::stderr().write_all(line.as_bytes());
            ExitCode::from(error.exit_status())
        }
    }
}

fn dispatch() -> Result<(), Error> {
    // Before anything else: a signal may come at any time.
    let interruptible = Interruptible::install()?;
    let is_execd = std::env::args_os().nth(1).is_some_and(|arg| arg == cli::EXECD);
    let signals = is_execd.then(Signals::install).transpose()?;
    match (cli::parse(std::env::args_os(), &run::surroundings())?, signals) {
        (Invocation::Print(text), _) => run::output::print(text.as_bytes()).map(|_| ()),
        (Invocation::Once(job), _) => run::once::run(&job, &interruptible),
        (Invocation::Execd(job), signals) => {
            let signals = signals.map_or_else(Signals::install, Ok)?;
            interruptible.hold_off();
            run::execd::run(&job, signals)
        }
    }
}
