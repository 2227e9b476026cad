//! Hostile names. A process can set its name to any bytes except NUL. No name may break a line, lose
//! a batch, or change the parent of a process.
//!
//! These tests parse the output with the strict parser of `support::line`. The tests in `servers` use
//! real databases.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use crate::support::fake_proc::{FakeProc, Process};
use crate::support::limit::{self, Limited};
use crate::support::line::Line;
use crate::support::{Job, Run, psstat};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

/// Names, each with the `process_name` that is printed for it. At most 15 bytes, as for a real
/// process.
pub const NAMES: [(&[u8], &str); 44] = [
    (b"nginx", "nginx"),
    (b"a) b", "a) b"),
    (b"nginx) S 4242 1", "nginx) S 4242 1"),
    (b") S 1 1 1 0 -1", ") S 1 1 1 0 -1"),
    (b"(((", "((("),
    (b")))", ")))"),
    (b"foo\\", "foo"),
    (b"bar\\\\", "bar"),
    (b"a\\b", "a\\b"),
    (b"a\\\\b", "a?\\b"),
    (b"a\\,b", "a?,b"),
    (b"a\\ b", "a? b"),
    (b"a\\=b", "a?=b"),
    (b"a\\\\,b", "a??,b"),
    (b"\\,", "?,"),
    (b"x\\,a\\=y", "x?,a?=y"),
    (b"a\\ \\=\"", "a? ?=\""),
    (b"\\n", "\\n"),
    (b"", "?"),
    (b"\\", "?"),
    (b"\\\\\\", "?"),
    (b"\n", "\\n"),
    (b"a\nb", "a\\nb"),
    (b"x\npsstat y=1 1", "x\\npsstat y=1 1"),
    (b"a\tb\rc", "a\\tb\\rc"),
    (b"\xff", "?"),
    (b"q\xfe\xff", "q??"),
    (b"caf\xc3", "caf?"),
    (b"fourteen bytes\xe2", "fourteen bytes?"),
    (b"gr\xc3\xb6\xc3\x9fe", "größe"),
    (b"a,b=c d", "a,b=c d"),
    (b",", ","),
    (b"=", "="),
    (b" ", " "),
    (b"  two  ", "  two  "),
    (b"end ", "end "),
    (b"#x", "#x"),
    (b"\"q\"", "\"q\""),
    (b"'q'", "'q'"),
    (b"a\x1b[31mred", "a?[31mred"),
    (b"del\x7f", "del?"),
    (b"nel\xc2\x85", "nel?"),
    (b"\x01\x02\x0b\x0c", "????"),
    (b"\xf0\x9f\x90\x80", "\u{1f400}"),
];

/// The expected number of processes for each printed name.
pub fn expected() -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (_, text) in NAMES {
        *counts.entry(text.to_owned()).or_insert(0) += 1;
    }
    counts
}

pub fn found(lines: &[Line]) -> BTreeMap<String, usize> {
    lines.iter().map(|line| (line.name().to_owned(), line.n_proc())).collect()
}

/// Process 100 has a child with each name. Processes 1 and 4242 have none of these children.
pub fn tree_of_all_names() -> FakeProc {
    let tree = FakeProc::new();
    tree.add_all(&[Process::new(100, 1, "mother"), Process::new(4242, 1, "stranger")]);
    for (index, (name, _)) in NAMES.iter().enumerate() {
        let memory = 1000 + index as u64;
        tree.add(&Process { resident: memory, ..Process::new(200 + index as u32, 100, name) });
    }
    tree
}

/// An option `--pid` for each of these children.
pub fn each_by_pid() -> Vec<String> {
    (0..NAMES.len()).flat_map(|index| ["--pid".to_owned(), (200 + index).to_string()]).collect()
}

#[test]
fn every_name_is_printed_as_documented() {
    let tree = tree_of_all_names();
    let run = Job::new(&tree, each_by_pid()).second_run();
    assert_eq!(run.stderr, "");
    assert_eq!(found(&run.lines()), expected());
}

#[test]
fn a_name_cannot_change_the_parent() {
    let tree = tree_of_all_names();
    let args = ["--pid", "mother:100", "--pid", "stranger:4242", "--pid", "grown:200"];
    let run = Job::new(&tree, args).second_run();
    let counts = run.lines().iter().map(Line::n_proc).collect::<Vec<_>>();
    assert_eq!(counts, [NAMES.len() + 1, 1, 1]);
}

#[test]
fn a_name_cannot_change_the_line_of_another() {
    for (name, text) in NAMES {
        let tree = FakeProc::new();
        tree.add(&Process::new(100, 1, "before"));
        tree.add(&Process::new(200, 1, name));
        tree.add(&Process::new(300, 1, "behind"));
        let run = Job::new(&tree, ["--pid", "100", "--pid", "200", "--pid", "300"]).second_run();
        let lines = run.lines();
        let names: Vec<&str> = lines.iter().map(Line::name).collect();
        assert_eq!(names, ["before", text, "behind"]);
        assert!(lines.iter().all(|line| line.n_proc() == 1 && line.fields.len() == 3));
    }
}

#[test]
fn names_that_print_the_same_share_a_line() {
    let tree = FakeProc::new();
    tree.add_all(&[
        Process::new(100, 1, "foo"),
        Process::new(101, 1, "foo\\"),
        Process::new(102, 1, "foo\\\\"),
        Process::new(103, 1, "\x01"),
        Process::new(104, 1, "\x02"),
        Process::new(105, 1, "?"),
    ]);
    let run = Job::new(&tree, ["--pattern", "foo", "--pattern", "^.$"]).second_run();
    assert_eq!(found(&run.lines()), [("?".to_owned(), 3), ("foo".to_owned(), 3)].into());
}

/// A real process that has set its own name. It ends when this value is dropped.
pub struct Named {
    child: Child,
}

impl Named {
    pub fn new(name: &[u8]) -> Named {
        // The shell writes to its own comm. An empty name needs a NUL, because writing no bytes has no
        // effect.
        let octal =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("\\{byte:03o}")).collect() };
        let name = octal(if name.is_empty() { b"\0" } else { name });
        let script = format!("printf '{name}' >/proc/$$/comm && echo named && read -r end");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let stdout = Limited::new(child.stdout.take().unwrap());
        BufReader::new(stdout).read_line(&mut line).unwrap();
        assert_eq!(line, "named\n");
        Named { child }
    }

    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        if let Some(mut stdin) = self.child.stdin.take() {
            let _ = stdin.write_all(b"\n");
        }
        limit::end(&mut self.child);
    }
}

#[test]
fn real_processes_may_have_every_name() {
    let processes: Vec<Named> = NAMES.iter().map(|(name, _)| Named::new(name)).collect();
    for (process, (name, _)) in processes.iter().zip(NAMES) {
        let stat = std::fs::read(format!("/proc/{}/stat", process.pid())).unwrap();
        let shown = [b"(", name, b")"].concat();
        assert!(stat.windows(shown.len()).any(|part| part == shown), "the name is not {name:?}");
    }
    let mut command = psstat();
    command.args(["--wait", "10ms", "--timeout", "5m", "--host", "tengu"]);
    for process in &processes {
        command.args(["--pid", &process.pid()]);
    }
    let run = Run::of(&mut command);
    assert_eq!(run.stderr, "");
    assert_eq!(found(&run.lines()), expected());

    // They are all children of this process, whatever their names.
    let own = format!("own:{}", std::process::id());
    let args = ["--wait", "10ms", "--timeout", "5m", "--pid", &own, "--pattern", "all:."];
    let lines = Run::of(psstat().args(args)).lines();
    assert!(lines[0].n_proc() > NAMES.len(), "{lines:?}");
}
