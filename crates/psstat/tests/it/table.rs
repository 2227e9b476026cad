//! `--format table`: in a pipe, in a file and in a terminal.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use crate::support::fake_proc::{FakeProc, Process};
use crate::support::{Job, OWN_PROCESSES, Run, psstat};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

const LONG_NAME: &str = "a name that is longer than what a narrow terminal has room for";

/// Two servers and a name that nothing has.
fn tree() -> FakeProc {
    let tree = FakeProc::new();
    tree.add(&Process { resident: 1000, ..Process::new(100, 1, "nginx") });
    tree.add(&Process { resident: 500, ..Process::new(101, 100, "nginx") });
    tree.add(&Process { resident: 4000, ..Process::new(200, 1, "postgres") });
    tree
}

fn job<'t>(tree: &'t FakeProc, further: &[&str]) -> Job<'t> {
    let selectors = ["--pid=web:100", "--pattern=down:no-such", "--pid=db:200"];
    let fields = ["--format=table", "--fields=n_proc,mem"];
    let has_mode = further.iter().any(|option| option.starts_with("--memory"));
    let mode = if has_mode { &[][..] } else { &["--memory=rss"] };
    Job::new(tree, [&selectors[..], &fields, mode, further].concat())
}

#[test]
fn in_a_pipe_it_is_plain_text() {
    let tree = tree();
    let text = |further: &[&str]| {
        let run = job(&tree, further).second_run();
        assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        String::from_utf8(run.stdout).unwrap()
    };
    let head = "GROUP             PROCS        MEM\n";
    let [web, down, db] = [
        "web                   2    5.9 MiB\n",
        "down                  0        0 B\n",
        "db                    1   15.6 MiB\n",
    ];
    let total = "total (3 groups)      3  ~21.5 MiB\n";
    assert_eq!(text(&[]), [head, web, down, db, total].concat());
    assert_eq!(text(&["--sort=mem"]), [head, db, web, down, total].concat());
    assert_eq!(text(&["--sort=name"]), [head, db, down, web, total].concat());
    let run = job(&tree, &["--memory=pss"]).second_run();
    let of_pss = String::from_utf8(run.stdout).unwrap();
    assert_eq!(of_pss.lines().last(), Some("total (3 groups)      3  21.5 MiB"), "PSS is exact");
}

#[test]
fn groups_that_overlap_have_no_total() {
    let tree = tree();
    let run = job(&tree, &["--pid=child:101"]).second_run();
    let text = String::from_utf8(run.stdout).unwrap();
    assert!(text.ends_with("\nno total: groups overlap\n"), "{text}");
}

#[test]
fn a_group_whose_members_are_not_known_has_a_row() {
    let tree = tree();
    let directory = tempfile::tempdir().unwrap();
    let pid_file = format!("--pid-file=who:{}", directory.path().display());
    let job = job(&tree, &[&pid_file]);
    job.baseline();
    let text = String::from_utf8(job.run().stdout).unwrap();
    let rows = "\
db                         1   15.6 MiB
who                        ?          ?
total (3 of 4 groups)      3  ~21.5 MiB
";
    assert!(text.ends_with(rows), "{text}");
}

#[test]
fn a_file_has_no_colors_and_whole_names() {
    let tree = tree();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("table");
    let selector = format!("--pid={LONG_NAME}:100");
    let args = ["--format=table", &selector, "--output", path.to_str().unwrap()];
    let job = Job::new(&tree, args);
    job.baseline();
    let mut terminal = Terminal::new(30);
    let mut command = job.command();
    let mut child = command.env("TERM", "xterm").stdout(terminal.end()).spawn().unwrap();
    assert!(child.wait().unwrap().success());
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(LONG_NAME) && !text.contains('\x1b'), "{text}");
}

#[test]
fn the_order_is_for_tables() {
    let run = Run::of(psstat().args(["--pid=1", "--sort=cpu"]));
    run.assert_failed(2, "add --format table");
}

/// A terminal that the test looks at.
struct Terminal {
    screen: BufReader<File>,
    slave: Option<OwnedFd>,
}

impl Terminal {
    fn new(columns: u16) -> Terminal {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(path, flags, Mode::empty()).unwrap();
        let terminal = Terminal { screen: BufReader::new(File::from(master)), slave: Some(slave) };
        terminal.resize(columns);
        terminal
    }

    fn resize(&self, columns: u16) {
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(self.screen.get_ref(), size).unwrap();
    }

    /// The end that a program writes to. The other end then ends with that program.
    fn end(&mut self) -> OwnedFd {
        self.slave.take().unwrap()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.screen.read_line(&mut line).unwrap();
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    /// What is written until the program ends.
    fn rest(mut self) -> String {
        let mut text = Vec::new();
        // A terminal without a program at its other end is an error.
        let _ = self.screen.read_to_end(&mut text);
        String::from_utf8(text).unwrap()
    }
}

fn shown(columns: u16, change: impl FnOnce(&mut Command) -> &mut Command) -> String {
    let tree = tree();
    let selector = format!("--pid={LONG_NAME}:100");
    let job = Job::new(&tree, ["--format=table", &selector]);
    job.baseline();
    let mut terminal = Terminal::new(columns);
    let mut command = job.command();
    command.env("TERM", "xterm").env_remove("NO_COLOR").stdout(terminal.end());
    let mut child = change(&mut command).spawn().unwrap();
    // The command has the end of the terminal too.
    drop(command);
    let text = terminal.rest();
    assert!(child.wait().unwrap().success());
    text
}

#[test]
fn a_terminal_has_colors_unless_somebody_wants_none() {
    let colored = shown(80, |command| command);
    assert!(colored.contains("\x1b[1mGROUP\x1b[0m"), "{colored:?}");
    for (variable, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let plain = shown(80, |command| command.env(variable, value));
        assert!(plain.contains("GROUP ") && !plain.contains('\x1b'), "{plain:?}");
    }
}

/// `psstat explain` has its warnings in its text. In a terminal, standard error would repeat them.
#[test]
fn an_explanation_in_a_terminal_says_warnings_once() {
    let tree = tree();
    let mut terminal = Terminal::new(100);
    let mut command = psstat();
    command.args(["explain", "--wait=1ms", "--timeout=5m", "--exe=x:nginx", "--proc"]);
    command.arg(tree.path()).stdout(terminal.end()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    let text = terminal.rest();
    assert!(child.wait().unwrap().success());
    assert!(text.contains("\r\nwarnings:\r\n  --exe "), "{text}");
    assert_eq!(said, "");
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for columns in [90, 40, 20, 9, 1] {
        let text = shown(columns, |command| command.env("NO_COLOR", "1"));
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(lines.len(), 2, "{text:?}");
        for line in lines {
            assert!(line.chars().count() <= usize::from(columns), "{columns}: {line:?}");
        }
        assert_eq!(text.contains('…'), columns < 90, "{columns}: {text}");
    }
    let unknown = shown(0, |command| command.env("NO_COLOR", "1"));
    assert!(unknown.contains(LONG_NAME) || unknown.contains('…'), "{unknown}");
}

#[test]
fn a_resident_repeats_it_and_follows_the_size_of_the_window() {
    let mut terminal = Terminal::new(60);
    let mut command = psstat();
    let selector = format!("--pid={LONG_NAME}:1");
    command.args(["execd", "--format=table", &selector]).envs([OWN_PROCESSES]);
    command.env("NO_COLOR", "1").stdin(Stdio::piped()).stdout(terminal.end());
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut stdin = child.stdin.take().unwrap();
    for (index, columns) in [60, 30].into_iter().enumerate() {
        terminal.resize(columns);
        stdin.write_all(b"\n").unwrap();
        if index > 0 {
            assert_eq!(terminal.line(), "");
        }
        let [time, header, row] = [0; 3].map(|_| terminal.line());
        assert!(time.ends_with('Z') && time.len() == "2026-11-26T14:03:38Z".len(), "{time}");
        assert!(header.starts_with("GROUP"), "{header}");
        assert!(row.contains('…'), "{row}");
        assert_eq!(row.chars().count(), usize::from(columns), "{row}");
    }
    drop(stdin);
    assert_eq!(terminal.rest(), "");
    assert!(child.wait().unwrap().success());
}
