//! From the command line to the exit status.

use psstat::cli::{self, Invocation};
use psstat::commands::execd::Signals;
use psstat::commands::sample::Interruptible;
use psstat::commands::{execd, sample};
use psstat::error::Error;
use psstat::files::output;
use psstat::{environment, messages};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            messages::write_error(&error);
            ExitCode::from(error.exit_status())
        }
    }
}

fn run() -> Result<(), Error> {
    // Before anything else: a signal may come at any time.
    let interruptible = Interruptible::install()?;
    let is_execd = std::env::args_os().nth(1).is_some_and(|arg| arg == cli::EXECD);
    let signals = is_execd.then(Signals::install).transpose()?;
    match (cli::parse(std::env::args_os(), &environment::surroundings())?, signals) {
        (Invocation::Print(text), _) => Ok(output::print(text.as_bytes()).map(|_| ())?),
        (Invocation::Once(job), _) => sample::run(*job, &interruptible),
        (Invocation::Execd(job), signals) => {
            let signals = signals.map_or_else(Signals::install, Ok)?;
            interruptible.hold_off();
            execd::run(*job, signals)
        }
    }
}
