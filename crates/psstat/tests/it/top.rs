//! `psstat top` in a pseudoterminal: it shows groups, answers keys, and leaves the terminal as it was.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use crate::support::{OWN_PROCESSES, is_installed, limit};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PSSTAT: &str = env!("CARGO_BIN_EXE_psstat");

/// How long to wait for an event, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What psstat writes when it leaves the terminal: the ordinary screen, with a cursor.
const LEFT: &str = "\x1b[2J\x1b[?25h\x1b[?1049l";

/// What a person sees: the characters of each line.
#[derive(Default)]
struct Grid {
    lines: Vec<Vec<char>>,
    cursor: (usize, usize),
    /// What has arrived of a character or an escape sequence.
    part: Vec<u8>,
}

impl Grid {
    fn take(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.part.push(byte);
            match &self.part[..] {
                [0x1b] | [0x1b, b'['] => {}
                [0x1b, b'[', parameters @ .., last @ 0x40..=0x7e] => {
                    let (parameters, last) = (String::from_utf8_lossy(parameters), *last);
                    let parameters = parameters.into_owned();
                    self.sequence(&parameters, last);
                    self.part.clear();
                }
                [0x1b, ..] => {}
                part => {
                    if let Ok(text) = std::str::from_utf8(part) {
                        let text = text.to_owned();
                        text.chars().for_each(|one| self.put(one));
                        self.part.clear();
                    }
                }
            }
        }
    }

    fn sequence(&mut self, parameters: &str, last: u8) {
        match last {
            b'H' => {
                let (line, column) = parameters.split_once(';').unwrap();
                let index = |number: &str| number.parse::<usize>().unwrap() - 1;
                self.cursor = (index(line), index(column));
            }
            b'J' => self.lines.clear(),
            b'm' | b'h' | b'l' => {}
            _ => panic!("an unknown sequence: {parameters} {last}"),
        }
    }

    fn put(&mut self, one: char) {
        let (line, column) = self.cursor;
        self.lines.resize(self.lines.len().max(line + 1), Vec::new());
        let cells = &mut self.lines[line];
        cells.resize(cells.len().max(column + 1), ' ');
        cells[column] = one;
        self.cursor.1 += 1;
    }

    fn text(&self) -> String {
        self.lines.iter().flat_map(|line| line.iter().chain(['\n'].iter())).collect()
    }
}

/// A pseudoterminal, with psstat in it.
struct Screen {
    /// The side of the person. `None` if the window was closed.
    master: Option<File>,
    /// The side of the programs.
    slave: OwnedFd,
    /// The modes before psstat started.
    before: String,
    child: Child,
    /// All that psstat has written.
    written: String,
    grid: Grid,
}

/// A pseudoterminal of 80 columns and 24 lines.
fn terminal() -> (File, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(name, flags, Mode::empty()).unwrap();
    resize(&master, 80, 24);
    (File::from(master), slave)
}

fn resize(master: impl AsFd, columns: u16, lines: u16) {
    let size = Winsize { ws_col: columns, ws_row: lines, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(master, size).unwrap();
}

/// The modes that a shell would notice.
fn modes(slave: &OwnedFd) -> String {
    let Termios { local_modes, input_modes, output_modes, control_modes, .. } =
        tcgetattr(slave).unwrap();
    format!("{local_modes:?} {input_modes:?} {output_modes:?} {control_modes:?}")
}

impl Screen {
    /// Runs a command in a new pseudoterminal.
    fn of(command: &mut Command) -> Screen {
        let (master, slave) = terminal();
        let before = modes(&slave);
        let side = || Stdio::from(slave.try_clone().unwrap());
        command.stdin(side()).stdout(side()).stderr(side());
        let child = command.spawn().unwrap();
        let (written, grid) = (String::new(), Grid::default());
        Screen { master: Some(master), slave, before, child, written, grid }
    }

    /// `psstat top` of this test.
    fn new(args: &[&str]) -> Screen {
        Screen::of(&mut top(args))
    }

    /// Waits until `is_there`, and reads what psstat writes meanwhile.
    #[track_caller]
    fn wait_until(&mut self, what: &str, is_there: impl Fn(&Screen) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_there(self) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what:?} is not there:\n{}", self.grid.text());
            let master = self.master.as_mut().unwrap();
            let left = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: 0 };
            if poll(&mut [PollFd::new(master, PollFlags::IN)], Some(&left)) != Ok(1) {
                continue;
            }
            let mut buffer = [0; 4096];
            let count = master.read(&mut buffer).unwrap();
            self.written += &String::from_utf8_lossy(&buffer[..count]);
            self.grid.take(&buffer[..count]);
        }
    }

    /// Waits until a text is on the screen.
    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        self.wait_until(text, |screen| screen.grid.text().contains(text));
    }

    fn press(&mut self, keys: &str) {
        self.master.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for psstat to end well. The terminal must be what it was before.
    #[track_caller]
    fn assert_left(mut self) {
        self.wait_until("the ordinary screen", |screen| screen.written.ends_with(LEFT));
        assert_eq!(limit::end(&mut self.child).code(), Some(0));
        assert_eq!(modes(&self.slave), self.before);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `psstat top` with samples every 100 ms.
fn top(args: &[&str]) -> Command {
    let mut command = Command::new(PSSTAT);
    command.args(["top", "--interval", "100ms"]).args(args).envs([OWN_PROCESSES]);
    command.envs([("TERM", "xterm"), ("LC_ALL", "C.UTF-8")]).env_remove("NO_COLOR");
    command
}

/// The options that select this test itself.
fn own() -> String {
    format!("--pid=own-test:{}", std::process::id())
}

#[test]
fn keys_change_what_is_shown_and_the_terminal_is_left_as_it_was() {
    let pid = std::process::id();
    let mut screen = Screen::new(&[&own(), "--pattern=another:^no such process$"]);
    screen.wait_for("groups: 2");
    screen.wait_for("another");
    assert_ne!(modes(&screen.slave), screen.before, "keys come at once, and without an echo");
    screen.press("/own-t");
    screen.wait_for("groups: 1 of 2");
    screen.press("\r\r");
    screen.wait_for("processes of own-test");
    screen.wait_for(&format!("pid {pid}"));
    screen.press("?");
    screen.wait_for("Ctrl-Z");
    screen.press(" ");
    screen.wait_for("Esc back");
    screen.press("\x1b");
    screen.wait_for("groups: 1 of 2");
    screen.press(" ");
    screen.wait_for("PAUSED");
    screen.press("q");
    screen.assert_left();
}

#[test]
fn groups_without_processes_say_why() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = format!("--pid-file=who:{}", directory.path().display());
    let mut screen = Screen::new(&["--pattern=another:^No such process$", &pid_file]);
    screen.wait_for("groups: 2");
    screen.wait_for("who (not known)");
    screen.press("/another\r\r");
    screen.wait_for("  no process");
    screen.wait_for("  nearest: no process has a name that matches ^No such process$");
    screen.press("\x1b\x1b/who\r\r");
    screen.wait_for("  not known who belongs to it: pid file ");
    screen.press("q");
    screen.assert_left();
}

#[test]
fn signals_leave_the_terminal_as_it_was() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let mut screen = Screen::new(&[&own()]);
        screen.wait_for("own-test");
        screen.signal(signal);
        screen.assert_left();
    }
}

#[test]
fn it_ends_when_its_window_is_closed() {
    let end = |mut screen: Screen| {
        screen.wait_for("own-test");
        screen.master = None;
        limit::end(&mut screen.child)
    };
    assert_eq!(end(Screen::new(&[&own()])).code(), Some(0), "without SIGHUP");
    if !is_installed("setsid") {
        return;
    }
    // The terminal of a session: the kernel sends SIGHUP.
    let mut session = Command::new("setsid");
    session.args(["--ctty", "--wait", PSSTAT]).args(top(&[&own()]).get_args());
    session.envs([OWN_PROCESSES, ("TERM", "xterm"), ("LC_ALL", "C.UTF-8")]);
    assert_eq!(end(Screen::of(&mut session)).code(), Some(0));
}

#[test]
fn it_fills_the_window_when_that_is_resized() {
    let mut screen = Screen::new(&[&own()]);
    screen.wait_for("own-test");
    resize(screen.master.as_ref().unwrap(), 200, 60);
    screen.signal(Signal::WINCH);
    screen.wait_for("CPU TIME");
    assert_eq!(screen.grid.lines.len(), 60, "the keys are in the last line");
    screen.press("q");
    screen.assert_left();
}

#[test]
fn it_stops_and_goes_on() {
    let mut screen = Screen::new(&[&own()]);
    screen.wait_for("own-test");
    screen.press("\x1a");
    screen.wait_until("the ordinary screen", |screen| screen.written.ends_with(LEFT));
    let slave = screen.slave.try_clone().unwrap();
    let before = screen.before.clone();
    screen.wait_until("what it was", |_| modes(&slave) == before);
    screen.signal(Signal::CONT);
    screen.wait_for("own-test");
    screen.press("q");
    screen.assert_left();
}

#[test]
fn colors_and_blocks_are_left_out_on_request() {
    let written = |command: &mut Command| {
        let mut screen = Screen::of(command);
        screen.wait_for("own-test");
        screen.press("q");
        screen.wait_until("the end", |screen| screen.written.ends_with(LEFT));
        screen.written.clone()
    };
    let usual = written(&mut top(&[&own()]));
    assert!(usual.contains("36m") && !usual.is_ascii(), "{usual:?}");
    let plain = written(top(&[&own()]).env("NO_COLOR", "1"));
    assert!(!plain.contains("36m") && !plain.is_ascii(), "{plain:?}");
    let ascii = written(top(&[&own()]).env("LC_ALL", "C"));
    assert!(ascii.contains("36m") && ascii.is_ascii(), "{ascii:?}");
}

#[test]
fn without_a_screen_it_says_what_to_do() {
    let refused = |command: &mut Command| {
        let output = limit::output(command).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(output.stdout, b"");
        String::from_utf8(output.stderr).unwrap()
    };
    let error = refused(&mut top(&[&own()]));
    assert!(error.contains("standard output is none: for a file or a pipe use"), "{error}");
    for term in ["dumb", ""] {
        let error = refused(top(&[&own()]).env("TERM", term));
        assert!(error.contains("that can move its cursor"), "{error}");
    }
}
