//! What psstat may do when a call fails.

use super::calls::{Call, Fault};
use super::{Kind, Place};
use crate::support::Run;
use crate::support::line::{self, Line};
use psstat_core::state::codec;
use std::collections::BTreeMap;
use std::fs;
use std::panic::catch_unwind;
use std::time::Duration;

/// No run takes longer, even on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Two ticks of each of three processes.
const CUT: f64 = 0.06;

/// The shortest interval between two samples, in seconds.
const SHORTEST: f64 = 0.01;

/// The fields of a line, by name.
type Fields = BTreeMap<String, f64>;

/// The lines of a run that goes well, by group.
#[derive(Clone, Debug, Default)]
pub struct Expected(BTreeMap<String, Fields>);

/// Each line's time, group and fields.
pub fn read_fields(lines: &[Line]) -> Vec<(i64, String, Fields)> {
    let fields = |line: &Line| {
        let values = line.fields.iter().map(|(key, _)| (key.clone(), line.value(key).unwrap()));
        (line.time, line.name().to_owned(), values.collect())
    };
    lines.iter().map(fields).collect()
}

impl Expected {
    pub fn new(lines: &[(i64, String, Fields)]) -> Expected {
        Expected(lines.iter().map(|(_, name, fields)| (name.clone(), fields.clone())).collect())
    }

    /// How many lines there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Checks the lines of a run. Each value is right, or missing; or too small, if something is said to be
    /// gone. Returns whether a line or a field is missing in the last sample.
    fn check(&self, lines: &[Line], fault: Option<&Fault>) -> Result<bool, String> {
        let may_be_less = fault.is_some_and(Fault::says_gone);
        // Without the clock of a process, its time is that of `stat`, which is cut to ticks.
        let is_cut = fault.is_some_and(|fault| fault.call.name == "clock_gettime");
        let lines = read_fields(lines);
        let mut missing = self.0.clone();
        for (time, name, fields) in &lines {
            if Some(time) == lines.last().map(|(time, ..)| time) {
                let Some(mut left) = missing.remove(name) else {
                    return Err(format!("{name} has two lines, or should have none"));
                };
                left.retain(|field, _| !fields.contains_key(field));
                if !left.is_empty() {
                    missing.insert(name.clone(), left);
                }
            }
            for (field, value) in fields {
                let right = self.0.get(name).and_then(|fields| fields.get(field));
                let right = right.ok_or_else(|| format!("{name} has {field}"))?;
                let bound = match field.as_str() {
                    "cpu_time" if is_cut => CUT.max(*right),
                    "p_cpu" if is_cut => (CUT / SHORTEST).max(*right),
                    _ => *right,
                };
                if !(value == right || ((may_be_less || is_cut) && *value < bound)) {
                    return Err(format!("{name} has {field}={value} instead of {right}"));
                }
            }
        }
        Ok(!missing.is_empty())
    }
}

/// Checks a run during which a call failed, and those after it.
pub fn judge(
    place: &Place<'_>,
    kind: Kind,
    fault: Option<&Fault>,
    run: &Run,
) -> Result<(), String> {
    judge_run(place, kind, fault, run).map_err(|reason| format!("{reason}: {run:?}"))?;
    if matches!(kind, Kind::Wait | Kind::Execd) {
        return Ok(());
    }
    if let Ok(bytes) = fs::read(place.cache()) {
        codec::decode(&bytes).map_err(|error| format!("the cache is damaged: {error}"))?;
    } else if kind != Kind::First {
        return Err("the cache is gone".to_owned());
    }
    let expected = place.scene.expected();
    let first = place.run(Kind::Later);
    // A line of which something is missing is the first one of its group.
    let is_first = read_lines(&first).is_ok_and(|lines| expected.check(&lines, fault) != Ok(false));
    let next = if is_first { place.run(Kind::Later) } else { first };
    let is_fine = next.status == Some(0) && next.stderr.is_empty();
    let lines = read_lines(&next)?;
    let outcome = expected.check(&lines, fault.filter(|fault| fault.call.name == "clock_gettime"));
    if !is_fine || outcome != Ok(false) {
        return Err(format!("the next run is wrong: {outcome:?}, {next:?}; after {run:?}"));
    }
    Ok(())
}

fn judge_run(
    place: &Place<'_>,
    kind: Kind,
    fault: Option<&Fault>,
    run: &Run,
) -> Result<(), String> {
    let expected = place.scene.expected();
    let lines = read_lines(run)?;
    let says_gone = fault.is_some_and(Fault::says_gone);
    let is_incomplete = expected.check(&lines, fault)?;
    let first = run.stderr.lines().next().unwrap_or_default();
    match run.status {
        Some(0) if kind == Kind::First => {
            let is_said = first.starts_with("I! first run") || first.starts_with("W! ");
            let may_be_silent = fault.is_some_and(|fault| fault.call.name == "write");
            if !lines.is_empty() || !(is_said || may_be_silent || fault.is_some_and(may_abort)) {
                return Err("no first run".to_owned());
            }
            Ok(())
        }
        Some(0) if fault.is_some_and(may_end_silently) => Ok(()),
        Some(0) => {
            if kind == Kind::Execd && is_incomplete {
                return Err("no sample is complete".to_owned());
            }
            if is_incomplete && !says_gone && !first.starts_with("W! ") {
                return Err("something is missing, and nothing is said".to_owned());
            }
            if fault.is_none_or(|fault| fault.error == "EINTR")
                && (is_incomplete || !run.stderr.is_empty())
            {
                return Err("an interrupted call changes something".to_owned());
            }
            Ok(())
        }
        Some(status @ (1 | 2)) => {
            if status == 2 && kind != Kind::Configured {
                return Err("its usage is called wrong".to_owned());
            }
            // The lines come before the new cache.
            let is_late = |fault: &Fault| {
                ["fchmod", "rename", "renameat"].contains(&fault.call.name.as_str())
            };
            if kind != Kind::Execd && !lines.is_empty() && !fault.is_some_and(is_late) {
                return Err("it prints lines and fails".to_owned());
            }
            if !first.starts_with("E! ") {
                return Err("it fails without a reason".to_owned());
            }
            if fault.is_none_or(|fault| fault.error == "EINTR") {
                return Err("it fails because of an interrupted call".to_owned());
            }
            Ok(())
        }
        _ if fault.is_some_and(may_abort) => Ok(()),
        _ => Err("it crashes".to_owned()),
    }
}

/// Whether the reader has gone, or standard input cannot be read any more.
fn may_end_silently(fault: &Fault) -> bool {
    let Call { name, .. } = &fault.call;
    (name == "write" && fault.error == "EPIPE") || (name == "read" && fault.call.is_about("pipe:"))
}

/// Calls without which nothing is left but to abort, and why.
const ABORTS: &[(&str, &[&str], &str)] = &[
    ("brk", &["ENOMEM"], "the C library has no memory for the first thread, before `main`"),
    (
        "mprotect",
        &["ENOMEM"],
        "the C library protects what it has relocated, before `main`; std, a stack",
    ),
    ("mmap", &["ENOMEM", "EAGAIN"], "std has no stack for its handler of stack overflows"),
    ("sigaltstack", &["ENOMEM"], "std cannot set that stack"),
];

fn may_abort(fault: &Fault) -> bool {
    ABORTS.iter().any(|(name, errors, _)| *name == fault.call.name && errors.contains(&fault.error))
}

/// The lines, or why they are none.
fn read_lines(run: &Run) -> Result<Vec<Line>, String> {
    catch_unwind(|| line::read(&run.stdout)).map_err(|_| "a line is wrong".to_owned())
}
