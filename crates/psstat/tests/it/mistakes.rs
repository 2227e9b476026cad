//! Settings that cannot do what was meant: psstat says so, and measures all the same.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails a test")]

use crate::stderr::{assert_warning, assert_warnings};
use crate::support::{OWN_PROCESSES, Run, psstat};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

/// Selectors that cannot match what was meant, and what the warning about each contains.
const MISTAKES: [(&str, &[&str]); 5] = [
    ("--cmdline=spaced: no-such-line", &["--cmdline", "spaced: no-such-line", "space"]),
    ("--user=nobody: no-such-user", &["--user", "nobody: no-such-user", "space"]),
    ("--pattern=long:gunicorn-of-the-web", &["gunicorn-of-the-web", "15 bytes", "--exe"]),
    ("--exe=no-slash:no-such-program", &["no-such-program", "slash", "*/no-such-program"]),
    ("--cgroup=mount:/sys/fs/cgroup/no/such", &["/sys/fs/cgroup/no/such", "uses no/such"]),
];

/// The warnings that are about mistakes.
fn warnings_of_mistakes(stderr: &str) -> String {
    let is_of_mistake = |line: &&str| MISTAKES.iter().any(|(_, texts)| line.contains(texts[0]));
    stderr.split_inclusive('\n').filter(is_of_mistake).collect()
}

#[test]
fn a_run_warns_of_each_mistake_once() {
    let selectors = MISTAKES.map(|(selector, _)| selector);
    let expected = MISTAKES.map(|(_, texts)| texts);
    let run = |more: &[&str]| {
        Run::of(psstat().args(more).args(selectors).arg("--pid=own:1").envs([OWN_PROCESSES]))
    };
    let once = run(&["--wait=1ms"]);
    assert!(String::from_utf8_lossy(&once.stdout).contains("process_name=own"), "{once:?}");
    assert_warnings(&warnings_of_mistakes(&once.stderr), &expected);
    let check = run(&["check"]);
    assert_eq!(check.status, Some(0), "{check:?}");
    assert_warnings(&warnings_of_mistakes(&check.stderr), &expected);
}

#[test]
fn a_check_warns_of_fields_that_no_group_has() {
    for how in ["--wait=1ms", "check"] {
        let args = [how, "--pid=own:1", "--fields=n_proc,cpu_throttled"];
        let run = Run::of(psstat().args(args).envs([OWN_PROCESSES]));
        assert_warning(&run.stderr, &["cpu_throttled is left out", "--systemd and --cgroup"]);
    }
}

#[test]
fn a_resident_warns_of_mistakes_and_options_once() {
    let mut child = psstat()
        .args(["execd", "--pid=own:1", "--cache-dir=/nowhere", "--cache-name=x"])
        .args(MISTAKES.map(|(selector, _)| selector))
        .envs([OWN_PROCESSES])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        stdin.write_all(b"\n").unwrap();
        assert!(lines.by_ref().any(|line| line.unwrap().contains("process_name=own")));
    }
    drop((stdin, lines));
    let run = Run::from(child);
    assert_eq!(run.status, Some(0), "{run:?}");
    assert_warnings(&warnings_of_mistakes(&run.stderr), &MISTAKES.map(|(_, texts)| texts));
    for option in ["--cache-dir", "--cache-name"] {
        let about = run.stderr.lines().filter(|line| line.contains(&format!("ignores {option}:")));
        assert_eq!(about.count(), 1, "{run:?}");
    }
}
