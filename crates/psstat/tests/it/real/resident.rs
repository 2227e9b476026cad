//! A resident psstat that is asked for samples.

use super::meter::{Line, PSSTAT};
use crate::support::OWN_PROCESSES;
use crate::support::limit::{self, Limited};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A running `psstat execd`. When this is dropped it is told to end, and has ended afterwards.
pub struct Resident {
    child: Child,
    requests: Option<ChildStdin>,
    said: BufReader<Limited<ChildStdout>>,
    /// The number of lines of a sample.
    groups: usize,
}

impl Resident {
    /// Starts it with these arguments, which select so many groups. Each of them has a name.
    pub fn start(args: &[&str], groups: usize) -> Resident {
        Resident::start_through(&[], args, groups)
    }

    /// Starts it by way of a program that runs what stands behind its own arguments.
    pub fn start_through(through: &[&str], args: &[&str], groups: usize) -> Resident {
        let line = [through, &[PSSTAT, "execd", "--host=", "--timeout=60s"], args].concat();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).envs([OWN_PROCESSES]).env_remove("HOST_SYS");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{line:?}: {error}"));
        let requests = child.stdin.take();
        let said = BufReader::new(Limited::new(child.stdout.take().expect("a pipe")));
        Resident { child, requests, said, groups }
    }

    /// From now on each sample has so many lines.
    pub fn expect(&mut self, groups: usize) {
        self.groups = groups;
    }

    /// Takes a sample, and returns its lines.
    pub fn sample(&mut self) -> Vec<Line> {
        let requests = self.requests.as_mut().expect("it has not been told to end");
        requests.write_all(b"\n").expect("psstat reads");
        let mut line = || {
            let mut line = String::new();
            self.said.read_line(&mut line).expect("a line");
            Line::new(line.strip_suffix('\n').expect("a whole line"))
        };
        (0..self.groups).map(|_| line()).collect()
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        drop(self.requests.take());
        limit::end(&mut self.child);
    }
}
