//! From the command line to the exit status.

use psstat::error::Error;
use psstat::{cli, label, run};
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
    let surroundings = run::surroundings();
    match cli::parse(std::env::args_os(), &surroundings)? {
        cli::Invocation::Print(text) => run::output::print(text.as_bytes()),
        cli::Invocation::Once(job) => run::once::run(&job),
    }
}
