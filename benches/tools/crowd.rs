//! Makes a population of processes that do nothing, to be measured by others.
//!
//! ```text
//! crowd NAME:SIZE ...
//! ```
//!
//! Makes one group per argument: a leader and its SIZE - 1 children, all of which carry NAME as
//! their `comm` and among their arguments. Prints a line `NAME leader PID` or `NAME child PID` for
//! each process, then `ready`, and keeps them until its standard input ends.
//!
//! Every process waits for the end of one and the same pipe, whose other end only the first one
//! holds: however that one ends, all others end with it, and none has to be hunted by its pid.

use std::error::Error;
use std::ffi::CString;
use std::io::{BufRead, BufReader, PipeReader, Write};
use std::process::{Child, Command};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What stands between the name of a group and the reason why it could not be made whole.
const FAILED: &str = " failed: ";

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--leader", name, size] => lead(name, size.parse()?),
        ["--child", name] => {
            announce(name, "child")?;
            await_end_of_input()
        }
        _ => host(&words),
    }
}

fn host(groups: &[String]) -> Outcome<()> {
    let (announced, announcements) = std::io::pipe()?;
    let (end, held) = std::io::pipe()?;
    let program = std::env::current_exe()?;
    let mut total = 0;
    let mut leaders = Vec::new();
    for group in groups {
        let (name, size) = group.split_once(':').ok_or("a group is NAME:SIZE")?;
        total += size.parse::<usize>()?;
        leaders.push(
            Command::new(&program)
                .args(["--leader", name, size])
                .stdin(end.try_clone()?)
                .stdout(announcements.try_clone()?)
                .spawn()?,
        );
    }
    // From here on only the crowd holds these ends.
    drop((end, announcements));
    let outcome = relay(announced, total).and_then(|()| await_end_of_input());
    drop(held);
    reap(leaders)?;
    outcome
}

/// Passes on the announcements of `total` processes.
fn relay(announced: PipeReader, total: usize) -> Outcome<()> {
    let mut stdout = std::io::stdout().lock();
    for line in BufReader::new(announced).lines().take(total) {
        let line = line?;
        if line.contains(FAILED) {
            return Err(line.into());
        }
        writeln!(stdout, "{line}")?;
    }
    writeln!(stdout, "ready")?;
    Ok(stdout.flush()?)
}

fn lead(name: &str, size: usize) -> Outcome<()> {
    announce(name, "leader")?;
    let program = std::env::current_exe()?;
    let child = || Command::new(&program).args(["--child", name]).spawn();
    let mut children = Vec::new();
    for _ in 1..size {
        match child() {
            Ok(child) => children.push(child),
            Err(error) => {
                // The host waits for as many announcements as there should be processes.
                println!("{name}{FAILED}{error}");
                break;
            }
        }
    }
    await_end_of_input()?;
    reap(children)
}

fn announce(name: &str, role: &str) -> Outcome<()> {
    rustix::thread::set_name(&CString::new(name)?)?;
    // One write, so that the lines of many do not mix.
    let line = format!("{name} {role} {}\n", std::process::id());
    Ok(std::io::stdout().write_all(line.as_bytes())?)
}

fn await_end_of_input() -> Outcome<()> {
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}

fn reap(children: Vec<Child>) -> Outcome<()> {
    for mut child in children {
        child.wait()?;
    }
    Ok(())
}
