//! Runs one command and says what it cost.
//!
//! ```text
//! meter COMMAND [ARGUMENT ...]
//! ```
//!
//! Prints, as the last line on standard error: the exit status, CPU time in microseconds in user
//! and in kernel mode, wall time in microseconds, peak resident memory in KiB. The command gets
//! the streams of this program.
//!
//! The kernel counts the memory of whoever starts a process into the peak of the started one,
//! until it runs a program of its own (`exec_mmap`, fs/exec.c). So the starter must be smaller
//! than what is measured; a script's interpreter is not.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use std::error::Error;
use std::process::Command;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1);
    let mut command = Command::new(words.next().ok_or("no command")?);
    command.args(words);
    let start = Instant::now();
    let status = command.status()?;
    let wall = start.elapsed().as_micros();
    // All that this program has ever waited for is that one command.
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = |time: TimeVal| time.num_microseconds();
    eprintln!(
        "{} {} {} {wall} {}",
        status.code().unwrap_or(-1),
        micros(usage.user_time()),
        micros(usage.system_time()),
        usage.max_rss()
    );
    Ok(())
}
