//! Runs of psstat, and the comparison of a run with the actors' own account.

use super::fixture::Actor;
use super::kernel::date_of_boot;
use crate::support::{OWN_PROCESSES, limit};
use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// The program under test.
pub const PSSTAT: &str = env!("CARGO_BIN_EXE_psstat");

/// One clock tick, in seconds: each of the kernel's counters is cut to whole ones.
pub const TICK: f64 = 0.01;

/// A line of output.
#[derive(Debug)]
pub struct Line {
    pub name: String,
    pub cpu: Option<f64>,
    pub memory: Option<f64>,
    pub processes: u64,
    /// All but the time stamp.
    pub values: String,
    /// The time stamp.
    pub nanos: i128,
}

impl Line {
    pub fn new(text: &str) -> Line {
        let (values, nanos) = text.rsplit_once(' ').expect("a time stamp");
        let (tags, _) = values.rsplit_once(' ').expect("fields");
        let name = tags.strip_prefix("psstat,process_name=").expect("one tag");
        let field = |key: &str| value_of(values, key);
        let number = |text: &str| text.parse::<f64>().expect("a number");
        let processes = field("n_proc").and_then(|count| count.strip_suffix('i'));
        let line = Line {
            name: name.to_owned(),
            cpu: field("p_cpu").map(number),
            memory: field("p_mem").map(number),
            processes: processes.expect("n_proc").parse().expect("an integer"),
            values: values.to_owned(),
            nanos: nanos.parse().expect("a time stamp"),
        };
        for value in [line.cpu, line.memory].into_iter().flatten() {
            assert!(value >= 0.0 && value.is_finite(), "{text}");
        }
        line
    }

    /// A field with decimals.
    pub fn decimal(&self, key: &str) -> f64 {
        let value = value_of(&self.values, key).and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("no {key}: {self:?}"))
    }
}

/// The value of a field in a line without its time stamp.
fn value_of<'v>(values: &'v str, key: &str) -> Option<&'v str> {
    let (_, fields) = values.rsplit_once(' ')?;
    let mut pairs = fields.split(',').filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(other, value)| (key == other).then_some(value))
}

/// What a run said.
#[derive(Debug)]
pub struct Said {
    pub lines: Vec<Line>,
    pub stderr: String,
}

impl Said {
    /// The line of that group.
    pub fn line(&self, name: &str) -> &Line {
        let line = self.lines.iter().find(|line| line.name == name);
        line.unwrap_or_else(|| panic!("no line of {name}: {self:?}"))
    }

    /// The one line there is.
    pub fn only_line(&self) -> &Line {
        assert_eq!(self.lines.len(), 1, "{self:?}");
        &self.lines[0]
    }
}

/// Runs psstat with these arguments.
pub fn psstat(args: &[&str]) -> Said {
    psstat_through(&[], PSSTAT, args)
}

/// Runs psstat twice with an empty directory for its cache, and gives what the second run said.
pub fn second_of_two(args: &[&str]) -> Said {
    let cache = tempfile::tempdir().expect("a temporary directory");
    let args = [args, &["--cache-dir", cache.path().to_str().expect("UTF-8")]].concat();
    assert!(psstat(&args).lines.is_empty());
    psstat(&args)
}

/// Runs that copy of psstat by way of a program that runs what stands behind its own arguments.
pub fn psstat_through(through: &[&str], psstat: impl AsRef<OsStr>, args: &[&str]) -> Said {
    let mut command = match through {
        [] => Command::new(psstat),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(psstat);
            command
        }
    };
    // A machine under load is no error here.
    command.args(["--host", "", "--timeout", "60s"]).args(args);
    command.envs([OWN_PROCESSES]).env_remove("HOST_SYS");
    let output = limit::output(&mut command).expect("it can be run");
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(output.status.success(), "{args:?}: {}: {stderr}", output.status);
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    Said { lines: stdout.lines().map(Line::new).collect(), stderr }
}

/// One job that is run again and again, with a cache.
pub struct Meter {
    args: Vec<String>,
    cache: TempDir,
    last: Option<Moment>,
}

/// What was known when a sample was taken.
struct Moment {
    /// When, in nanoseconds since boot.
    taken: i128,
    /// What the actors had used before psstat was run, and after it had ended.
    used: (Duration, Duration),
}

impl Meter {
    /// Stores the baseline. Two runs, because only lines tell when their sample was taken.
    pub fn start(args: &[&str], actors: &[&Actor]) -> Meter {
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        let cache = tempfile::tempdir().expect("a temporary directory");
        let mut meter = Meter { args, cache, last: None };
        let first = meter.run();
        assert!(first.lines.is_empty(), "{first:?}");
        meter.last = Some(meter.take(actors).1);
        meter
    }

    /// Takes a sample. `actors` are those who account for the group's CPU time: all that are in
    /// it or have been.
    pub fn sample(&mut self, actors: &[&Actor]) -> Reading {
        let (said, now) = self.take(actors);
        let elapsed = self.last.as_ref().map_or(0, |last| now.taken - last.taken);
        let last = self.last.replace(now).expect("started");
        let now = self.last.as_ref().expect("just set");
        let used = |after: Duration, before: Duration| after.as_secs_f64() - before.as_secs_f64();
        Reading {
            said,
            elapsed: elapsed as f64 / 1e9,
            least: used(now.used.0, last.used.1),
            most: used(now.used.1, last.used.0),
        }
    }

    fn run(&self) -> Said {
        let mut args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        // Empty for ever, and so a line that always tells the time.
        args.extend(["--pattern", "clock:^nobody has it$"]);
        args.extend(["--cache-dir", self.cache.path().to_str().expect("UTF-8")]);
        psstat(&args)
    }

    fn take(&self, actors: &[&Actor]) -> (Said, Moment) {
        let used = || actors.iter().map(|actor| actor.usage()).sum();
        let before = used();
        let mut said = self.run();
        let date_of_boot = date_of_boot();
        let after = used();
        let clock = said.lines.pop().expect("the clock's line");
        assert_eq!((clock.name.as_str(), clock.processes), ("clock", 0));
        (said, Moment { taken: clock.nanos - date_of_boot, used: (before, after) })
    }
}

/// A sample, beside the actors' own account of the same time.
#[derive(Debug)]
pub struct Reading {
    pub said: Said,
    /// Since the sample before, in seconds.
    pub elapsed: f64,
    /// What the actors used in that time: at least, and at most.
    pub least: f64,
    pub most: f64,
}

impl Reading {
    /// CPU time that psstat reports of the group, in seconds.
    pub fn seconds(&self, name: &str) -> f64 {
        let cpu = self.said.line(name).cpu;
        cpu.unwrap_or_else(|| panic!("no p_cpu: {self:?}")) * self.elapsed
    }

    /// Holds psstat to the actors' account, within a part of it.
    #[track_caller]
    pub fn agrees_within(&self, name: &str, part: f64) {
        let seconds = self.seconds(name);
        let least = self.least * (1.0 - part);
        let most = self.most * (1.0 + part);
        assert!((least..=most).contains(&seconds), "{seconds} s is not true: {self:?}");
        report(name, seconds, self);
    }

    /// Holds psstat to the actors' account, within what cutting counters to whole ticks does:
    /// two ticks for each process alive at either sample.
    #[track_caller]
    pub fn agrees(&self, name: &str, processes: u32) {
        let seconds = self.seconds(name);
        let off = f64::from(2 * processes) * TICK;
        let range = self.least - off..=self.most + off;
        assert!(range.contains(&seconds), "{seconds} s is not true: {self:?}");
        report(name, seconds, self);
    }
}

/// Shown by `cargo test -- --nocapture`.
fn report(name: &str, seconds: f64, reading: &Reading) {
    let Reading { elapsed, least, most, .. } = reading;
    println!("{name}: {seconds:.3} s in {elapsed:.3} s; getrusage: {least:.3} to {most:.3} s");
}
