//! Skipped tests: a test that cannot run here says so, and why, with these functions alone.
//!
//! Rust's test harness counts a test that returns as passed, and keeps what it prints. So the word
//! goes to standard error past the harness, and into the file that `PSSTAT_SKIPPED` names, from
//! which `scripts/test` counts.

use super::limit;
use crate::namespace;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::panic::Location;
use std::path::Path;
use std::process::Command;

/// The variable with the path of the file that skipped tests are written to.
const FILE: &str = "PSSTAT_SKIPPED";

/// Says that this test is skipped. It has checked nothing, and is not counted as passed.
#[track_caller]
pub fn skip(reason: &str) {
    say("SKIPPED", reason);
}

/// Says that a part of this test is skipped. It has checked the rest, and is counted as passed.
#[track_caller]
pub fn skip_in_part(reason: &str) {
    say("SKIPPED IN PART", reason);
}

#[track_caller]
fn say(what: &str, reason: &str) {
    let thread = std::thread::current();
    // Where tests run one at a time they run in the main thread, which does not bear their names.
    let test = match thread.name() {
        Some(name) if name != "main" => name.to_owned(),
        _ => namespace::inside().unwrap_or_else(|| Location::caller().to_string()),
    };
    let line = format!("{what} {test}: {}\n", reason.trim().replace('\n', "; "));
    // If standard error is gone there is nobody left to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
    if let Some(path) = std::env::var_os(FILE) {
        let file = OpenOptions::new().append(true).create(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.unwrap_or_else(|error| panic!("{FILE}={}: {error}", path.display()));
    }
}

/// Whether the tests may act for other users; skips this test where not.
#[track_caller]
pub fn may_be_root(what: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip(&format!("{what} needs root"));
    }
    root
}

/// Whether a program, or the file at a path, is there; skips this test where not.
#[track_caller]
pub fn is_installed(program: &str) -> bool {
    let missing = why_not_installed(program);
    if let Some(reason) = &missing {
        skip(reason);
    }
    missing.is_none()
}

/// Why a program, or the file at a path, cannot be used; none where it is there.
pub fn why_not_installed(program: &str) -> Option<String> {
    let there = if program.starts_with('/') {
        Path::new(program).exists()
    } else {
        let mut found = Command::new("sh");
        found.args(["-c", "command -v \"$0\"", program]);
        limit::output(&mut found).is_ok_and(|output| output.status.success())
    };
    (!there).then(|| format!("{program} is not installed"))
}
