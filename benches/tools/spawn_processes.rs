//! Starts groups of idle processes for a benchmark.
//!
//! ```text
//! spawn_processes NAME:SIZE ...
//! ```
//!
//! Each argument creates one group: a leader and its SIZE - 1 children. Every process of a group has
//! NAME as its `comm` and as an argument. The program prints one line per process, `NAME leader PID` or
//! `NAME child PID`, and then `ready`. It ends all of them when its standard input ends.
//!
//! All processes read from one pipe, and only the first process holds the other end. So they end when
//! the first process ends, for whatever reason, and nobody has to kill them by pid.

use std::error::Error;
use std::ffi::CString;
use std::io::{BufRead, BufReader, PipeReader, Write};
use std::process::{Child, Command};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Separates the name of a group from the reason why not all of its processes could be started.
const FAILED: &str = " failed: ";

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--leader", name, size] => lead(name, size.parse()?),
        ["--child", name] => {
            announce(name, "child")?;
            await_end_of_input()
        }
        _ => start_groups(&words),
    }
}

fn start_groups(groups: &[String]) -> Outcome<()> {
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
    // From here on only the started processes hold these ends.
    drop((end, announcements));
    let outcome = relay(announced, total).and_then(|()| await_end_of_input());
    drop(held);
    reap(leaders)?;
    outcome
}

/// Copies the lines of `total` processes to standard output.
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
                // The first process waits for one line per process. This line ends its wait.
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
    // A single write keeps the lines of different processes apart.
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
