//! From the command line to the exit status.

use psstat::blocking::abandoned;
use psstat::cli::{self, Invocation};
use psstat::commands::execd::Signals;
use psstat::commands::sample::Interruptible;
use psstat::commands::{check, completions, execd, man, sample};
use psstat::error::Error;
use psstat::files::output;
use psstat::{environment, messages, privilege};
use std::process::ExitCode;

fn main() -> ExitCode {
    let status = messages::exit_status(&run());
    abandoned::give_up_output();
    ExitCode::from(status)
}

fn run() -> Result<(), Error> {
    privilege::set_aside()?;
    // Signals are handled before the command line is read, because they may come at any time. Telegraf signals
    // a resident process as soon as it has started it.
    let interruptible = Interruptible::install()?;
    let is_execd = std::env::args_os().nth(1).is_some_and(|arg| arg == cli::EXECD);
    let signals = is_execd.then(Signals::install).transpose()?;
    match cli::parse(std::env::args_os(), &environment::surroundings())? {
        Invocation::Print(text) => Ok(output::print(text.as_bytes()).map(|_| ())?),
        Invocation::Once(job) => sample::run(*job, interruptible),
        Invocation::Execd(job) => {
            let signals = signals.map_or_else(Signals::install, Ok)?;
            interruptible.hold_off();
            execd::run(*job, signals)
        }
        Invocation::Check(job) => check::run(&job),
        Invocation::Man => man::run(),
        Invocation::Completions(shell) => completions::run(shell),
    }
}
