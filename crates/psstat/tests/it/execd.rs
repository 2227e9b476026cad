//! `psstat execd`, used as Telegraf uses it: it answers each request with a whole sample, and ends
//! when it is told to.

mod ending;

use crate::namespace;
use crate::stderr::assert_warnings;
use crate::support::fake_proc::{FakeProc, Process};
use crate::support::limit::{self, Limited};
use crate::support::{OWN_PROCESSES, copy_program, is_installed, make_fifo, skip, skip_in_part};
use rustix::process::{Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const PSSTAT: &str = env!("CARGO_BIN_EXE_psstat");

/// How long to wait for an event, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait to be sure that no sample comes.
const SILENCE: Duration = Duration::from_millis(300);

/// The end may take one second (SPEC), and longer here because other tests run at the same time.
const END: Duration = Duration::from_secs(5);

/// A running `psstat execd`.
struct Resident {
    child: Child,
    stdin: Option<ChildStdin>,
}

impl Resident {
    fn of(command: &mut Command) -> Resident {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("psstat starts");
        let stdin = child.stdin.take();
        Resident { child, stdin }
    }

    fn new(args: &[&str]) -> Resident {
        Resident::of(Command::new(PSSTAT).arg("execd").args(args).envs([OWN_PROCESSES]))
    }

    fn request(&mut self) {
        self.write(b"\n");
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().expect("input is open").write_all(bytes).expect("psstat reads");
    }

    fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        kill_process(pid, signal).expect("psstat is there");
    }

    /// Receives its lines until its output ends.
    fn lines(&mut self) -> Receiver<Line> {
        let stdout = self.child.stdout.take().expect("output is not taken");
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let line = Line::parse(&line.expect("UTF-8"));
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        receiver
    }

    /// Waits until the signal handlers are installed.
    fn await_handlers(&self) {
        let caught = |status: &str| {
            let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
            u64::from_str_radix(mask.trim(), 16).ok()
        };
        let path = format!("/proc/{}/status", self.child.id());
        let last_installed = 1 << (Signal::INT.as_raw() - 1);
        wait_for("handlers", || {
            fs::read_to_string(&path).ok().and_then(|status| caught(&status)).unwrap_or_default()
                & last_installed
                != 0
        });
    }

    /// Closes its input and waits for its end.
    fn end(mut self) -> End {
        self.stdin = None;
        self.wait()
    }

    fn terminate(self) -> End {
        self.signal(Signal::TERM);
        self.wait()
    }

    fn wait(mut self) -> End {
        let begin = Instant::now();
        let mut status = None;
        wait_for("psstat to end", || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        let took = begin.elapsed();
        let mut stderr = String::new();
        let pipe = self.child.stderr.take().map(Limited::new);
        pipe.map(|mut pipe| pipe.read_to_string(&mut stderr).expect("UTF-8"));
        End { status: status.expect("it has ended"), took, stderr }
    }

    fn stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().expect("output is not taken")
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        // For a test that failed. After a wait this does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct End {
    status: ExitStatus,
    took: Duration,
    stderr: String,
}

impl End {
    #[track_caller]
    fn assert_clean(&self) {
        assert_eq!((self.status.code(), &*self.stderr), (Some(0), ""), "{:?}", self.status);
        assert!(self.took < END, "it took {:?} to end", self.took);
    }
}

/// A parsed line of output.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    name: String,
    fields: BTreeMap<String, f64>,
    time: i64,
}

impl Line {
    /// Parses a line. The names in these tests have no escapes.
    #[track_caller]
    fn parse(line: &str) -> Line {
        let parts: Vec<&str> = line.split(' ').collect();
        let [tags, fields, time] = parts[..] else { panic!("no line of ours: {line:?}") };
        let name = tags.strip_prefix("psstat,process_name=").expect("the one tag");
        let field = |field: &str| {
            let (key, value) = field.split_once('=').expect("key=value");
            (key.to_owned(), value.trim_end_matches('i').parse().expect("a number"))
        };
        Line {
            name: name.to_owned(),
            fields: fields.split(',').map(field).collect(),
            time: time.parse().expect("nanoseconds"),
        }
    }

    fn processes(&self) -> f64 {
        self.fields["n_proc"]
    }
}

#[track_caller]
fn next(lines: &Receiver<Line>) -> Line {
    lines.recv_timeout(PATIENCE).expect("a line")
}

#[track_caller]
fn assert_no_line(lines: &Receiver<Line>) {
    assert_eq!(lines.recv_timeout(SILENCE), Err(RecvTimeoutError::Timeout));
}

#[track_caller]
fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_there() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A process with a chosen name. It is killed at the end of the test.
struct Named(Child);

impl Named {
    /// A process that sleeps.
    fn new(directory: &Path, name: &str) -> Named {
        Named::of(Command::new(copied(directory, "/bin/sleep", name)).arg("1000"), name)
    }

    /// A process that uses one processor.
    fn busy(directory: &Path, name: &str) -> Named {
        let shell = copied(directory, "/bin/sh", name);
        Named::of(Command::new(shell).args(["-c", "while :; do :; done"]), name)
    }

    fn of(command: &mut Command, name: &str) -> Named {
        let child = command.stdin(Stdio::null()).spawn().expect("it starts");
        let comm = format!("/proc/{}/comm", child.id());
        wait_for(name, || fs::read_to_string(&comm).is_ok_and(|comm| comm.trim_end() == name));
        Named(child)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn signal(&self, signal: Signal) {
        kill_process(rustix::process::Pid::from_child(&self.0), signal).expect("it is there");
    }

    /// Its CPU time (utime + stime), in seconds.
    fn cpu(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it is there");
        let fields: Vec<&str> = stat[stat.rfind(')').expect("a name")..].split(' ').collect();
        let ticks = |field: usize| -> f64 { fields[field - 2].parse().expect("a number") };
        (ticks(14) + ticks(15)) * TICK
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The length of a tick in seconds. All distributions use 100 ticks per second.
const TICK: f64 = 0.01;

fn copied(directory: &Path, program: &str, name: &str) -> std::path::PathBuf {
    let copy = directory.join(name);
    if !copy.exists() {
        copy_program(Path::new(program), &copy);
    }
    copy
}

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    // Other users must be able to run programs in it.
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    directory
}

fn own_group() -> [String; 4] {
    ["--host", "", "--pid", &format!("own:{}", std::process::id())].map(str::to_owned)
}

fn resident_of_own_group(more: &[&str]) -> Resident {
    let own = own_group();
    let args: Vec<&str> = own.iter().map(String::as_str).chain(more.iter().copied()).collect();
    Resident::new(&args)
}

#[test]
fn every_kind_of_request_is_answered_by_one_sample() {
    let signals = [Signal::HUP, Signal::USR1, Signal::USR2];
    for way in std::iter::once(None).chain(signals.map(Some)) {
        let mut psstat = resident_of_own_group(&[]);
        let lines = psstat.lines();
        psstat.await_handlers();
        let mut time = 0;
        for _ in 0..3 {
            match way {
                None => psstat.request(),
                Some(signal) => psstat.signal(signal),
            }
            let line = next(&lines);
            assert!(line.name == "own" && line.processes() >= 2.0, "{way:?}: {line:?}");
            assert!(line.time > time, "{way:?}: {line:?}");
            time = line.time;
        }
        assert_no_line(&lines);
        psstat.end().assert_clean();
    }
}

#[test]
fn an_interval_does_not_drift() {
    const INTERVAL: f64 = 0.1;
    let mut psstat = resident_of_own_group(&["--interval", "100ms"]);
    let lines = psstat.lines();
    let times: Vec<f64> = (0..30).map(|_| next(&lines).time as f64 / 1e9).collect();
    // How late each sample is, in intervals since the first. A busy machine delays some samples, but
    // not ten in a row.
    let late = |time: &f64| {
        let beats = (time - times[0]) / INTERVAL;
        beats - beats.round()
    };
    let least = |times: &[f64]| times.iter().map(late).fold(f64::INFINITY, f64::min);
    let drift = least(&times[20..]) - least(&times[..10]);
    println!("{drift:.3} of an interval in {:.3} s", times[29] - times[0]);
    assert!(drift.abs() < 0.4, "{times:?}");
    psstat.end().assert_clean();
}

#[test]
fn pending_requests_are_answered_together() {
    let mut psstat = resident_of_own_group(&[]);
    let lines = psstat.lines();
    psstat.request();
    next(&lines);
    psstat.write(&[b'\n'; 100]);
    next(&lines);
    let mut count = 1;
    while lines.recv_timeout(SILENCE).is_ok() {
        count += 1;
    }
    assert!((1..=10).contains(&count), "{count} samples for 100 line feeds at once");
    psstat.end().assert_clean();
}

#[test]
fn a_signal_right_after_start_does_not_end_it() {
    for round in 0..40 {
        let psstat = resident_of_own_group(&[]);
        psstat.await_handlers();
        psstat.signal([Signal::HUP, Signal::USR1, Signal::USR2][round % 3]);
        psstat.end().assert_clean();
    }
}

#[test]
fn signal_handlers_are_installed_first() {
    if !is_installed("strace") {
        return;
    }
    let directory = directory();
    let log = directory.path().join("log");
    // The directory has no processes, so psstat ends early and the trace is short.
    let mut trace = Command::new("strace");
    trace
        .args(["-qq", "-e", "trace=rt_sigaction,openat,open,uname", "-o"])
        .args([log.as_os_str(), PSSTAT.as_ref(), "execd".as_ref(), "--pid=1".as_ref()])
        .args(["--proc".as_ref(), directory.path().as_os_str()]);
    let trace = limit::output(&mut trace);
    let log = fs::read_to_string(log).unwrap_or_default();
    if log.is_empty() {
        skip(&format!("strace may not trace here: {trace:?}"));
        return;
    }
    let first_of = |name: &str| log.lines().position(|line| line.contains(name));
    let own_doing = first_of("uname(").expect("the host's name is asked for");
    for signal in ["SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTERM"] {
        let handled =
            log.lines().position(|line| line.contains(&format!("{signal}, {{sa_handler=0x")));
        assert!(handled.is_some_and(|line| line < own_doing), "{signal}:\n{log}");
    }
}

#[test]
fn the_end_of_input_ends_it() {
    for (input, samples) in [(&b""[..], 0), (b"no line feed", 0), (b"\n", 1), (b"\npart", 1)] {
        let mut psstat = resident_of_own_group(&[]);
        let lines = psstat.lines();
        psstat.write(input);
        psstat.end().assert_clean();
        let count = std::iter::from_fn(|| lines.recv_timeout(PATIENCE).ok()).count();
        // A request that is read together with the end need not be answered.
        assert!(count <= samples, "{input:?}: {count} samples");
    }
    let mut psstat = resident_of_own_group(&[]);
    let lines = psstat.lines();
    psstat.write(b"part");
    assert_no_line(&lines);
    psstat.write(b" and end\n");
    next(&lines);
    psstat.end().assert_clean();
}

#[test]
fn a_request_before_the_end_of_input_is_answered() {
    // The request and the end wait in the pipe while the first sample is taken.
    let mut psstat = resident_of_own_group(&[]);
    let lines = psstat.lines();
    psstat.request();
    psstat.end().assert_clean();
    assert_eq!(std::iter::from_fn(|| lines.recv_timeout(PATIENCE).ok()).count(), 1);
}

#[test]
fn sigterm_and_sigint_end_it() {
    for signal in [Signal::TERM, Signal::INT] {
        let psstat = resident_of_own_group(&[]);
        psstat.await_handlers();
        psstat.signal(signal);
        psstat.wait().assert_clean();
    }
}

/// SIGTERM ends it within a second, also in the middle of a sample.
#[test]
fn a_slow_getent_does_not_delay_the_end() {
    let directory = directory();
    let getent = directory.path().join("getent");
    let asked = directory.path().join("asked");
    fs::write(&getent, format!("#!/bin/sh\necho >>{}\nexec sleep 1000\n", asked.display()))
        .expect("written");
    fs::set_permissions(&getent, fs::Permissions::from_mode(0o755)).expect("ours");
    let users = (0..20).map(|number| format!("--user=u{number}:psstat-no-such-user-{number}"));
    for cause in ["--pid=1", "--cmdline=w:^no process$"] {
        let script = "mount --bind \"$0\" /usr/bin/getent && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["-m", "/bin/sh", "-c", script]).arg(&getent).arg(PSSTAT);
        command.args(["execd", "--host=", "--timeout=60s", cause]).args(users.clone());
        let mut psstat = Resident::of(&mut command);
        let begin = Instant::now();
        while !asked.exists() {
            if psstat.child.try_wait().expect("a child").is_some() {
                skip("it needs root, mount namespaces and getent");
                return;
            }
            assert!(begin.elapsed() < PATIENCE, "getent was not asked");
            std::thread::sleep(Duration::from_millis(2));
        }
        let stdout = psstat.stdout();
        psstat.terminate().assert_clean();
        assert_eq!(whole_lines(stdout), []);
        fs::remove_file(&asked).expect("written");
    }
}

/// To open a FIFO that nobody writes to takes for ever.
#[test]
fn a_sample_that_never_ends_does_not_delay_the_end() {
    let tree = FakeProc::new();
    tree.add(&Process::new(1, 0, "init"));
    let sys = directory();
    let procs = sys.path().join("fs/cgroup/a/cgroup.procs");
    fs::create_dir_all(procs.parent().expect("a directory")).expect("made");
    let mut psstat = Command::new(PSSTAT);
    psstat.args(["execd", "--host=", "--timeout=60s", "--cgroup=a:/a", "--cmdline=w:x", "--proc"]);
    psstat.arg(tree.path()).arg("--sys").arg(sys.path());
    for is_first in [true, false] {
        if is_first {
            make_fifo(&procs);
        } else {
            fs::write(&procs, "").expect("written");
        }
        let mut psstat = Resident::of(&mut psstat);
        let lines = psstat.lines();
        psstat.await_handlers();
        if !is_first {
            psstat.request();
            assert_eq!([next(&lines), next(&lines)].map(|line| line.name), ["a", "w"]);
            fs::remove_file(&procs).expect("written");
            make_fifo(&procs);
            psstat.request();
        }
        wait_for("psstat to open the FIFO", || {
            let wait = fs::read_to_string(format!("/proc/{}/wchan", psstat.child.id()));
            wait.is_ok_and(|wait| wait == "wait_for_partner")
        });
        psstat.terminate().assert_clean();
        assert_eq!(lines.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
        fs::remove_file(&procs).expect("made");
    }
}

/// Selectors of many named groups. Their lines do not fit in a pipe.
fn many_groups() -> Vec<String> {
    let pad = "x".repeat(150);
    let group = |number| format!("--pattern=g{number:04}-{pad}:^no such name$");
    ["--host=".to_owned()].into_iter().chain((0..600).map(group)).collect()
}

const MANY: usize = 600;

/// Reads a pipe to its end, and checks that it contains whole lines.
fn whole_lines(stdout: ChildStdout) -> Vec<Line> {
    let mut text = String::new();
    Limited::new(stdout).read_to_string(&mut text).expect("UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'), "half a line: {:?}", text.lines().last());
    text.lines().map(Line::parse).collect()
}

/// Requests a sample that nobody reads, and waits until psstat waits for room in the pipe.
fn waiting_for_room(command: &mut Command) -> (Resident, ChildStdout) {
    let mut psstat = Resident::of(command.args(many_groups()).envs([OWN_PROCESSES]));
    let stdout = psstat.stdout();
    psstat.request();
    let pending = || rustix::io::ioctl_fionread(&stdout).expect("a pipe");
    let mut last = 0;
    wait_for("the pipe to be full", || {
        std::thread::sleep(Duration::from_millis(100));
        let now = pending();
        now > 32 * 1024 && std::mem::replace(&mut last, now) == now
    });
    (psstat, stdout)
}

#[test]
fn a_reader_that_does_not_read_does_not_delay_the_end() {
    let mut ways: Vec<(&str, Command)> = vec![("itself", Command::new(PSSTAT))];
    let directory = directory();
    if rustix::process::geteuid().is_root() {
        // The pipe belongs to the user who created it, not to the user who writes to it.
        let copy = copied(directory.path(), PSSTAT, "psstat");
        let mut other = Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(copy);
        ways.push(("another user", other));
    } else {
        skip_in_part("it needs root to be another user");
    }
    for (user, mut command) in ways {
        command.arg("execd");
        for by_signal in [false, true] {
            let mut again = Command::new(command.get_program());
            let (psstat, stdout) = waiting_for_room(again.args(command.get_args()));
            let end = if by_signal { psstat.terminate() } else { psstat.end() };
            println!("as {user}, by signal {by_signal}: ended after {:?}", end.took);
            end.assert_clean();
            let lines = whole_lines(stdout);
            assert!((1..MANY).contains(&lines.len()), "{} lines", lines.len());
        }
    }
}

/// A full pipe behind standard error delays neither samples nor the end.
#[test]
fn messages_that_nobody_reads_stop_nothing() {
    let directory = directory();
    let missing = |number| format!("--pid-file=w{number}:{}/{number}", directory.path().display());
    let many: Vec<String> = (0..400).map(missing).collect();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let mut child = Command::new(PSSTAT)
        .args(["execd", "--host=", "--fields=n_proc", "--pid=1"])
        .args(&many)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(writer)
        .spawn()
        .expect("psstat starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut lines = BufReader::new(Limited::new(child.stdout.take().expect("a pipe"))).lines();
    for _ in 0..2 {
        stdin.write_all(b"\n").expect("a request");
        for _ in 0..=many.len() {
            lines.next().expect("a line").expect("in time");
        }
    }
    drop(stdin);
    assert_eq!(limit::end(&mut child).code(), Some(0));
    drop(reader);
}

#[test]
fn a_slow_reader_receives_whole_samples() {
    let (mut psstat, stdout) = waiting_for_room(Command::new(PSSTAT).arg("execd"));
    // Requests while it waits for room: one more sample.
    psstat.write(b"\n\n\n");
    psstat.child.stdout = Some(stdout);
    let lines = psstat.lines();
    let mut samples: BTreeMap<i64, usize> = BTreeMap::new();
    for _ in 0..2 * MANY {
        *samples.entry(next(&lines).time).or_default() += 1;
    }
    assert_no_line(&lines);
    assert_eq!(samples.into_values().collect::<Vec<_>>(), [MANY, MANY]);
    psstat.end().assert_clean();
}

#[test]
fn a_closed_reader_ends_it_without_a_message() {
    let (psstat, stdout) = waiting_for_room(Command::new(PSSTAT).arg("execd"));
    drop(stdout);
    psstat.wait().assert_clean();
}

/// It ends without having anything to write, while its input is open.
#[test]
fn a_reader_that_leaves_between_samples_ends_it() {
    for interval in [&[][..], &["--interval=1h"]] {
        let mut psstat = resident_of_own_group(interval);
        psstat.await_handlers();
        drop(psstat.stdout());
        psstat.wait().assert_clean();
    }
    let (reader, writer) = UnixStream::pair().expect("a pair of sockets");
    let mut child = Command::new(PSSTAT)
        .arg("execd")
        .args(own_group())
        .stdin(Stdio::piped())
        .stdout(OwnedFd::from(writer))
        .spawn()
        .expect("psstat starts");
    let stdin = child.stdin.take();
    drop(reader);
    assert_eq!(limit::end(&mut child).code(), Some(0));
    drop(stdin);
}

#[test]
fn with_a_file_it_needs_no_reader() {
    let directory = directory();
    let path = directory.path().join("page");
    let mut psstat = resident_of_own_group(&[&format!("--output={}", path.display())]);
    drop(psstat.stdout());
    for _ in 0..2 {
        psstat.request();
        wait_for("a page", || fs::remove_file(&path).is_ok());
    }
    psstat.end().assert_clean();
}

#[test]
fn an_output_that_cannot_be_written_is_named_before_any_warning() {
    let directory = directory();
    let missing = directory.path().join("missing");
    let run = crate::support::run([
        "execd".to_owned(),
        format!("--pid-file=x:{}", missing.display()),
        format!("--output={}/page", missing.display()),
    ]);
    assert_eq!(run.status, Some(1));
    assert!(run.stderr.starts_with("E! cannot write --output "), "{}", run.stderr);
}

#[test]
fn standard_output_may_be_a_file() {
    let directory = directory();
    let path = directory.path().join("out");
    fs::write(&path, "kept\n").expect("written");
    let file = fs::File::options().append(true).open(&path).expect("opened");
    let mut child = Command::new(PSSTAT)
        .arg("execd")
        .args(own_group())
        .stdin(Stdio::piped())
        .stdout(file)
        .spawn()
        .expect("psstat starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    for count in 2..4 {
        stdin.write_all(b"\n").expect("psstat reads");
        // Each sample is written at once, not when a buffer is full.
        wait_for("a sample", || fs::read_to_string(&path).expect("text").lines().count() == count);
    }
    drop(stdin);
    assert!(limit::end(&mut child).success());
    let text = fs::read_to_string(&path).expect("text");
    let (kept, lines) = text.split_once('\n').expect("lines");
    assert_eq!(kept, "kept");
    assert_eq!(lines.lines().map(|line| Line::parse(line).name).collect::<Vec<_>>(), ["own"; 2]);
}

#[test]
fn lines_follow_groups_that_start_and_end() {
    let directory = directory();
    let patterns = ["--host=", "--pattern=always:^pop-none$", "--pattern=^pop-[ab]$"];
    let mut psstat = Resident::new(&patterns);
    let lines = psstat.lines();
    let mut sample = |groups: &[(&str, f64)]| {
        psstat.request();
        let seen: Vec<_> = groups.iter().map(|_| next(&lines)).collect();
        let seen: Vec<_> = seen.iter().map(|line| (&*line.name, line.processes())).collect();
        assert_eq!(seen, groups);
        assert_no_line(&lines);
    };
    sample(&[("always", 0.0)]);
    let first = Named::new(directory.path(), "pop-a");
    sample(&[("always", 0.0), ("pop-a", 1.0)]);
    let others = [Named::new(directory.path(), "pop-b"), Named::new(directory.path(), "pop-b")];
    sample(&[("always", 0.0), ("pop-a", 1.0), ("pop-b", 2.0)]);
    drop(first);
    sample(&[("always", 0.0), ("pop-b", 2.0)]);
    drop(others);
    sample(&[("always", 0.0)]);
    psstat.end().assert_clean();
}

#[test]
fn a_warning_is_printed_once_while_it_lasts() {
    let directory = directory();
    let file = directory.path().join("pid");
    let mut psstat = Resident::new(&["--host=", "--pid-file", &format!("w:{}", file.display())]);
    let lines = psstat.lines();
    let mut sample = || {
        psstat.request();
        next(&lines).processes()
    };
    let member = Named::new(directory.path(), "by-file");
    assert_eq!([sample(), sample(), sample()], [0.0; 3]);
    fs::write(&file, format!("{}\n", member.pid())).expect("written");
    assert_eq!([sample(), sample()], [1.0; 2]);
    fs::remove_file(&file).expect("removed");
    assert_eq!([sample(), sample()], [0.0; 2]);
    let end = psstat.end();
    let path = file.display().to_string();
    assert_eq!(end.status.code(), Some(0));
    assert_warnings(&end.stderr, &[&[&path], &[&path]]);
}

#[test]
fn a_pid_file_may_change_to_an_older_process_tree() {
    let directory = directory();
    let file = directory.path().join("pid");
    let shell = copied(directory.path(), "/bin/sh", "old-parent");
    let mut old = Command::new(shell)
        .args(["-c", "sleep 1000 & a=$!; sleep 1000 & echo; read end; kill $a $!; wait"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut ready = [0];
    let mut stdout = Limited::new(old.stdout.take().expect("a pipe"));
    stdout.read_exact(&mut ready).expect("both run");
    // Start times have a resolution of one tick. After some ticks it is certainly older than the
    // samples.
    std::thread::sleep(Duration::from_millis(100));
    let mut psstat = Resident::new(&["--host=", "--pid-file", &format!("w:{}", file.display())]);
    let lines = psstat.lines();
    let mut sample = || {
        psstat.request();
        next(&lines)
    };
    // The change comes so early that rotation has not read all of them.
    assert_eq!([sample().processes(), sample().processes()], [0.0; 2]);
    fs::write(&file, old.id().to_string()).expect("written");
    let line = sample();
    assert_eq!(line.processes(), 3.0);
    assert_eq!(line.fields.get("p_cpu"), None, "the CPU time before is unknown");
    assert!(sample().fields.contains_key("p_cpu"));
    old.stdin = None;
    limit::end(&mut old);
}

#[test]
fn open_files_stay_within_their_limit() {
    let directory = directory();
    let members: Vec<_> = (0..20).map(|_| Named::new(directory.path(), "held")).collect();
    let script = "ulimit -n 70; exec \"$0\" execd --host= --pattern 'held:^held$'";
    let mut psstat = Resident::of(Command::new("sh").args(["-c", script, PSSTAT]));
    let lines = psstat.lines();
    let open_files = |psstat: &Resident| {
        fs::read_dir(format!("/proc/{}/fd", psstat.child.id())).expect("ours").count()
    };
    for _ in 0..4 {
        psstat.request();
        let line = next(&lines);
        assert_eq!(line.processes(), 20.0);
        assert!(line.fields["p_mem"] > 0.0, "{line:?}");
    }
    let count = open_files(&psstat);
    assert!((8..=70).contains(&count), "{count} open files: some are kept open, but not all");
    psstat.end().assert_clean();

    let mut psstat = Resident::new(&["--host=", "--pattern", "held:^held$"]);
    let lines = psstat.lines();
    let counts: Vec<usize> = (0..3)
        .map(|_| {
            psstat.request();
            assert_eq!(next(&lines).processes(), 20.0);
            open_files(&psstat)
        })
        .collect();
    // The `stat` of a member that sleeps is read again, and then kept open, once in 64 samples.
    assert!(counts[2] >= members.len(), "{counts:?}: `statm` of each member");
    assert!(counts[1].abs_diff(counts[2]) <= 2, "{counts:?}");
    drop(members);
    psstat.request();
    assert_eq!(next(&lines).processes(), 0.0);
    assert!(open_files(&psstat) <= counts[2] - 20, "files of processes that ended are closed");
    psstat.end().assert_clean();
}

/// The CPU time between a sample at `since` and the last of `lines`, in seconds, and its error from
/// rounding to four decimals.
fn used(mut since: i64, lines: &[Line]) -> (f64, f64) {
    lines.iter().fold((0.0, 0.0), |(used, rounding), line| {
        let seconds = (line.time - std::mem::replace(&mut since, line.time)) as f64 / 1e9;
        (used + line.fields["p_cpu"] * seconds, rounding + 0.000_000_5 * seconds)
    })
}

#[test]
fn rates_add_up_to_the_cpu_time_of_the_kernel() {
    let directory = directory();
    let mut psstat = Resident::new(&["--host=", "--pattern", "burner:^burner$"]);
    let lines = psstat.lines();
    let mut sample = || {
        psstat.request();
        next(&lines)
    };
    let since = sample().time;
    let burner = Named::busy(directory.path(), "burner");
    let mut seen = Vec::new();
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(250));
        seen.push(sample());
    }
    // While it is stopped, the sample and the test read the same CPU time.
    burner.signal(Signal::STOP);
    wait_for("the burner to stop", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", burner.pid())).expect("it is there");
        stat.contains(") T ")
    });
    seen.push(sample());
    let (used, rounding) = used(since, &seen);
    let truth = burner.cpu();
    println!("the burner used {truth} s, the samples say {used:.4} s");
    assert!(truth > 0.1, "the burner has had {truth} s only");
    // Timestamps and rates use different clocks, which differ by clock adjustments and by the time
    // between the two readings. The tolerance is two ticks (SPEC).
    assert!((used - truth).abs() < rounding + 0.02, "{used} reported, {truth} used");
    psstat.end().assert_clean();
}

#[test]
fn a_recycled_pid_is_a_new_process() {
    const TEST: &str = "execd::a_recycled_pid_is_a_new_process";
    if !namespace::is_inside() {
        return namespace::enter(TEST).unwrap_or_else(|reason| skip(&reason));
    }
    let directory = directory();
    let burn = |seconds: f64| {
        let burner = Named::busy(directory.path(), "recycled");
        wait_for("CPU time", || burner.cpu() >= seconds);
        burner.signal(Signal::STOP);
        burner
    };
    let mut psstat = Resident::new(&["--host=", "--pattern", "r:^recycled$"]);
    let lines = psstat.lines();
    let mut sample = || {
        psstat.request();
        next(&lines)
    };
    let first = burn(0.2);
    let pid = first.pid();
    let before = sample();
    assert_eq!(before.processes(), 1.0);
    drop(first);
    namespace::next_pid(pid);
    let second = burn(0.4);
    assert_eq!(second.pid(), pid, "the number was given out again");
    let after = sample();
    assert_eq!(after.processes(), 1.0);
    let (used, rounding) = used(before.time, std::slice::from_ref(&after));
    let truth = second.cpu();
    println!("the second used {truth} s, the sample says {used:.4} s");
    // All of its CPU time counts, not the difference to the first process.
    assert!((used - truth).abs() < rounding + 2.5 * TICK, "{used} reported, {truth} used");
    psstat.end().assert_clean();
}

/// A short run of the soak test, which finds more the longer it runs.
#[test]
fn a_short_soak_passes() {
    if !is_installed("python3") {
        return;
    }
    let mut soak = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/soak"));
    soak.args(["--seconds", "12", "--missed", "0.5", "--psstat", PSSTAT]);
    let soak = limit::output(&mut soak).expect("Python is there");
    let stdout = String::from_utf8_lossy(&soak.stdout);
    println!("{stdout}");
    assert!(soak.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&soak.stderr));
}
