//! Runs a command and prints what it cost, as getrusage(2) reports it.
//!
//! ```text
//! rusage COMMAND [ARGUMENT ...]
//! ```
//!
//! The last line on standard error has five numbers: the exit status, the CPU time in user mode and in
//! kernel mode in microseconds, the wall time in microseconds, and the peak resident memory in KiB. The
//! command inherits standard input, output and error.
//!
//! The peak of a new process includes the memory of the process that started it, because the kernel
//! copies the value until the new process runs its own program (`exec_mmap` in fs/exec.c). So the
//! starting process must be smaller than the measured program. A Python interpreter is too large.

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use std::error::Error;
use std::process::Command;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1);
    let mut command = Command::new(words.next().ok_or("usage: rusage COMMAND [ARGUMENT ...]")?);
    command.args(words);
    let start = Instant::now();
    let status = command.status()?;
    let wall = start.elapsed().as_micros();
    // This process has waited for no other child, so the usage is that of the command.
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
