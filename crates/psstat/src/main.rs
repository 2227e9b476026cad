//! From the command line to the exit status.

use psstat::cli::{self, Invocation};
use psstat::commands::execd::Signals;
use psstat::commands::sample::Interruptible;
use psstat::commands::{check, completions, execd, explain, man, sample};
use psstat::error::Error;
use psstat::files::output;
use psstat::privilege::{self, PrivilegeError};
use psstat::{ending, environment};
use std::process::ExitCode;

fn main() -> ExitCode {
    // Until the command line is understood, this word decides whether it is Telegraf's execd that reads.
    ending::leave_time_to_read(std::env::args_os().any(|arg| arg == cli::EXECD));
    ExitCode::from(ending::end(&run()))
}

fn run() -> Result<(), Error> {
    privilege::set_aside()?;
    // Signals are handled before the command line is read, because they may come at any time. Telegraf signals
    // a resident process as soon as it has started it.
    let interruptible = Interruptible::install()?;
    let is_execd = std::env::args_os().nth(1).is_some_and(|arg| arg == cli::EXECD);
    let signals = is_execd.then(Signals::install).transpose()?;
    let invocation = cli::parse(std::env::args_os(), &environment::surroundings())?;
    ending::leave_time_to_read(matches!(invocation, Invocation::Execd(_)));
    if !matches!(invocation, Invocation::Execd(_)) {
        privilege::give_up_asking_for_exits().map_err(PrivilegeError::from)?;
    }
    match invocation {
        Invocation::Print(text) => Ok(output::print(text.as_bytes()).map(|_| ())?),
        Invocation::Once(job) => sample::run(*job, interruptible),
        Invocation::Execd(job) => {
            let signals = signals.map_or_else(Signals::install, Ok)?;
            interruptible.hold_off();
            execd::run(*job, signals)
        }
        #[cfg(feature = "top")]
        Invocation::Top(watched) => {
            interruptible.hold_off();
            psstat::commands::top::run(*watched)
        }
        Invocation::Check(job) => check::run(*job),
        Invocation::Explain(job) => explain::run(*job),
        Invocation::Man(page) => man::run(page),
        Invocation::Completions(shell) => completions::run(shell),
    }
}
