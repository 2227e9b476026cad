//! The resident job, driven as Telegraf drives it: requests go in, whole samples come out, and it
//! ends when it is told to.

use crate::namespace;
use crate::stderr::assert_warnings;
use crate::support::limit::{self, Limited};
use crate::support::{copy_program, is_installed, skip, skip_in_part};
use rustix::process::{Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const PSSTAT: &str = env!("CARGO_BIN_EXE_psstat");

/// Long enough for anything that happens at all, however busy the machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// So much later a sample that was not asked for would have come.
const SILENCE: Duration = Duration::from_millis(300);

/// The contract says one second; other tests run beside this one.
const END: Duration = Duration::from_secs(5);

/// A psstat that stays, as its parent holds it.
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
        Resident::of(Command::new(PSSTAT).arg("execd").args(args))
    }

    fn ask(&mut self) {
        self.write(b"\n");
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().expect("input is open").write_all(bytes).expect("psstat reads");
    }

    fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        kill_process(pid, signal).expect("psstat is there");
    }

    /// Its lines as they come, until its output ends.
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

    /// Waits until a signal would be caught: until then it cannot be sent.
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

    /// Closes its input and waits for its end. Tells how it ended, how long that took, and what
    /// it said on standard error.
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
        // Of a test that failed; where it has been waited for this does nothing.
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
    fn is_good(&self) {
        assert_eq!((self.status.code(), &*self.stderr), (Some(0), ""), "{:?}", self.status);
        assert!(self.took < END, "it took {:?} to end", self.took);
    }
}

/// A line of output, taken apart.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    name: String,
    fields: BTreeMap<String, f64>,
    time: i64,
}

impl Line {
    /// The names in these tests need no escapes.
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
fn none_comes(lines: &Receiver<Line>) {
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

/// A process of a name of its own; it ends with the test.
struct Named(Child);

impl Named {
    /// Sleeps.
    fn new(folder: &Path, name: &str) -> Named {
        Named::of(Command::new(copied(folder, "/bin/sleep", name)).arg("1000"), name)
    }

    /// Keeps a processor busy.
    fn busy(folder: &Path, name: &str) -> Named {
        let shell = copied(folder, "/bin/sh", name);
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

    /// utime + stime, in seconds.
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

/// The length of a tick in seconds, on every Linux that a distribution ships.
const TICK: f64 = 0.01;

fn copied(folder: &Path, program: &str, name: &str) -> std::path::PathBuf {
    let copy = folder.join(name);
    if !copy.exists() {
        copy_program(Path::new(program), &copy);
    }
    copy
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    // Other users are to run what is in it.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("ours");
    folder
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
fn every_way_to_ask_is_answered_by_one_sample() {
    let signals = [Signal::HUP, Signal::USR1, Signal::USR2];
    for way in std::iter::once(None).chain(signals.map(Some)) {
        let mut psstat = resident_of_own_group(&[]);
        let lines = psstat.lines();
        psstat.await_handlers();
        let mut time = 0;
        for _ in 0..3 {
            match way {
                None => psstat.ask(),
                Some(signal) => psstat.signal(signal),
            }
            let line = next(&lines);
            assert!(line.name == "own" && line.processes() >= 2.0, "{way:?}: {line:?}");
            assert!(line.time > time, "{way:?}: {line:?}");
            time = line.time;
        }
        none_comes(&lines);
        psstat.end().is_good();
    }
}

#[test]
fn an_interval_does_not_drift() {
    const INTERVAL: f64 = 0.1;
    let mut psstat = resident_of_own_group(&["--interval", "100ms"]);
    let lines = psstat.lines();
    let times: Vec<f64> = (0..30).map(|_| next(&lines).time as f64 / 1e9).collect();
    // How late each is on the beat of the first. A busy machine delays some, but not all of ten.
    let late = |time: &f64| {
        let beats = (time - times[0]) / INTERVAL;
        beats - beats.round()
    };
    let least = |times: &[f64]| times.iter().map(late).fold(f64::INFINITY, f64::min);
    let drift = least(&times[20..]) - least(&times[..10]);
    println!("{drift:.3} of an interval in {:.3} s", times[29] - times[0]);
    assert!(drift.abs() < 0.4, "{times:?}");
    psstat.end().is_good();
}

#[test]
fn requests_that_pile_up_are_answered_together() {
    let mut psstat = resident_of_own_group(&[]);
    let lines = psstat.lines();
    psstat.ask();
    next(&lines);
    psstat.write(&[b'\n'; 100]);
    next(&lines);
    let mut count = 1;
    while lines.recv_timeout(SILENCE).is_ok() {
        count += 1;
    }
    assert!((1..=10).contains(&count), "{count} samples for 100 line feeds at once");
    psstat.end().is_good();
}

#[test]
fn a_signal_may_come_as_soon_as_it_can_be_caught() {
    for round in 0..40 {
        let psstat = resident_of_own_group(&[]);
        psstat.await_handlers();
        psstat.signal([Signal::HUP, Signal::USR1, Signal::USR2][round % 3]);
        psstat.end().is_good();
    }
}

#[test]
fn nothing_comes_before_the_handlers() {
    if !is_installed("strace") {
        return;
    }
    let folder = folder();
    let log = folder.path().join("log");
    // No process can be read there, so that it ends before there is much to trace.
    let mut trace = Command::new("strace");
    trace
        .args(["-qq", "-e", "trace=rt_sigaction,openat,open,uname", "-o"])
        .args([log.as_os_str(), PSSTAT.as_ref(), "execd".as_ref(), "--pid=1".as_ref()])
        .args(["--proc".as_ref(), folder.path().as_os_str()]);
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
fn the_end_of_input_ends_it_whatever_came_before() {
    for (input, samples) in [(&b""[..], 0), (b"no line feed", 0), (b"\n", 1), (b"\npart", 1)] {
        let mut psstat = resident_of_own_group(&[]);
        let lines = psstat.lines();
        psstat.write(input);
        psstat.end().is_good();
        let count = std::iter::from_fn(|| lines.recv_timeout(PATIENCE).ok()).count();
        // What has been read in one piece with the end need not be answered any more.
        assert!(count <= samples, "{input:?}: {count} samples");
    }
    let mut psstat = resident_of_own_group(&[]);
    let lines = psstat.lines();
    psstat.write(b"part");
    none_comes(&lines);
    psstat.write(b" and end\n");
    next(&lines);
    psstat.end().is_good();
}

#[test]
fn a_request_is_answered_even_where_the_end_comes_meanwhile() {
    // The first sample is taken while request and end wait in the pipe, the request in front.
    let mut psstat = resident_of_own_group(&[]);
    let lines = psstat.lines();
    psstat.ask();
    psstat.end().is_good();
    assert_eq!(std::iter::from_fn(|| lines.recv_timeout(PATIENCE).ok()).count(), 1);
}

#[test]
fn signals_that_ask_for_the_end_end_it() {
    for signal in [Signal::TERM, Signal::INT] {
        let psstat = resident_of_own_group(&[]);
        psstat.await_handlers();
        psstat.signal(signal);
        psstat.wait().is_good();
    }
}

/// Selectors of many named groups, whose lines are more than a pipe takes.
fn many_groups() -> Vec<String> {
    let pad = "x".repeat(150);
    let group = |number| format!("--pattern=g{number:04}-{pad}:^no such name$");
    ["--host=".to_owned()].into_iter().chain((0..600).map(group)).collect()
}

const MANY: usize = 600;

/// Reads all that is left in a pipe, and checks that it is whole lines.
fn whole_lines(stdout: ChildStdout) -> Vec<Line> {
    let mut text = String::new();
    Limited::new(stdout).read_to_string(&mut text).expect("UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'), "half a line: {:?}", text.lines().last());
    text.lines().map(Line::parse).collect()
}

/// Asks for a sample that nobody reads, and waits until psstat is held up in it.
fn held_up(command: &mut Command) -> (Resident, ChildStdout) {
    let mut psstat = Resident::of(command.args(many_groups()));
    let stdout = psstat.stdout();
    psstat.ask();
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
fn a_reader_that_does_not_read_holds_up_no_end() {
    let mut ways: Vec<(&str, Command)> = vec![("itself", Command::new(PSSTAT))];
    let folder = folder();
    if rustix::process::geteuid().is_root() {
        // A pipe belongs to whoever made it: here it is another's.
        let copy = copied(folder.path(), PSSTAT, "psstat");
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
            let (psstat, stdout) = held_up(again.args(command.get_args()));
            let end = if by_signal { psstat.terminate() } else { psstat.end() };
            println!("as {user}, by signal {by_signal}: ended after {:?}", end.took);
            end.is_good();
            let lines = whole_lines(stdout);
            assert!((1..MANY).contains(&lines.len()), "{} lines", lines.len());
        }
    }
}

#[test]
fn a_slow_reader_gets_whole_samples() {
    let (mut psstat, stdout) = held_up(Command::new(PSSTAT).arg("execd"));
    // Asked for while it is held up: one more sample.
    psstat.write(b"\n\n\n");
    psstat.child.stdout = Some(stdout);
    let lines = psstat.lines();
    let mut samples: BTreeMap<i64, usize> = BTreeMap::new();
    for _ in 0..2 * MANY {
        *samples.entry(next(&lines).time).or_default() += 1;
    }
    none_comes(&lines);
    assert_eq!(samples.into_values().collect::<Vec<_>>(), [MANY, MANY]);
    psstat.end().is_good();
}

#[test]
fn a_reader_that_has_gone_ends_it_quietly() {
    let mut psstat = resident_of_own_group(&[]);
    drop(psstat.stdout());
    psstat.ask();
    psstat.wait().is_good();

    let (psstat, stdout) = held_up(Command::new(PSSTAT).arg("execd"));
    drop(stdout);
    psstat.wait().is_good();
}

#[test]
fn samples_go_to_a_file_as_well() {
    let folder = folder();
    let path = folder.path().join("out");
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
        // Each sample is there at once, not when a buffer is full.
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
fn groups_come_and_go() {
    let folder = folder();
    let patterns = ["--host=", "--pattern=always:^pop-none$", "--pattern=^pop-[ab]$"];
    let mut psstat = Resident::new(&patterns);
    let lines = psstat.lines();
    let mut sample = |groups: &[(&str, f64)]| {
        psstat.ask();
        let seen: Vec<_> = groups.iter().map(|_| next(&lines)).collect();
        let seen: Vec<_> = seen.iter().map(|line| (&*line.name, line.processes())).collect();
        assert_eq!(seen, groups);
        none_comes(&lines);
    };
    sample(&[("always", 0.0)]);
    let first = Named::new(folder.path(), "pop-a");
    sample(&[("always", 0.0), ("pop-a", 1.0)]);
    let others = [Named::new(folder.path(), "pop-b"), Named::new(folder.path(), "pop-b")];
    sample(&[("always", 0.0), ("pop-a", 1.0), ("pop-b", 2.0)]);
    drop(first);
    sample(&[("always", 0.0), ("pop-b", 2.0)]);
    drop(others);
    sample(&[("always", 0.0)]);
    psstat.end().is_good();
}

#[test]
fn what_is_wrong_is_said_when_it_begins() {
    let folder = folder();
    let file = folder.path().join("pid");
    let mut psstat = Resident::new(&["--host=", "--pid-file", &format!("w:{}", file.display())]);
    let lines = psstat.lines();
    let mut sample = || {
        psstat.ask();
        next(&lines).processes()
    };
    let member = Named::new(folder.path(), "by-file");
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
fn a_pid_file_may_come_to_name_an_old_process_with_old_children() {
    let folder = folder();
    let file = folder.path().join("pid");
    let shell = copied(folder.path(), "/bin/sh", "old-parent");
    let mut old = Command::new(shell)
        .args(["-c", "sleep 1000 & a=$!; sleep 1000 & echo; read end; kill $a $!; wait"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut ready = [0];
    let mut stdout = Limited::new(old.stdout.take().expect("a pipe"));
    stdout.read_exact(&mut ready).expect("both run");
    // Start times are in ticks: only after some of them is it older than the samples beyond doubt.
    std::thread::sleep(Duration::from_millis(100));
    let mut psstat = Resident::new(&["--host=", "--pid-file", &format!("w:{}", file.display())]);
    let lines = psstat.lines();
    let mut sample = || {
        psstat.ask();
        next(&lines)
    };
    // So late that rotation has not come to all of them.
    assert_eq!([sample().processes(), sample().processes()], [0.0; 2]);
    fs::write(&file, old.id().to_string()).expect("written");
    let line = sample();
    assert_eq!(line.processes(), 3.0);
    assert_eq!(line.fields.get("p_cpu"), None, "nothing is known of the time before");
    assert!(sample().fields.contains_key("p_cpu"));
    old.stdin = None;
    limit::end(&mut old);
}

#[test]
fn few_open_files_are_enough() {
    let folder = folder();
    let members: Vec<_> = (0..20).map(|_| Named::new(folder.path(), "held")).collect();
    let script = "ulimit -n 70; exec \"$0\" execd --host= --pattern 'held:^held$'";
    let mut psstat = Resident::of(Command::new("sh").args(["-c", script, PSSTAT]));
    let lines = psstat.lines();
    let open_files = |psstat: &Resident| {
        fs::read_dir(format!("/proc/{}/fd", psstat.child.id())).expect("ours").count()
    };
    for _ in 0..4 {
        psstat.ask();
        let line = next(&lines);
        assert_eq!(line.processes(), 20.0);
        assert!(line.fields["p_mem"] > 0.0, "{line:?}");
    }
    let count = open_files(&psstat);
    assert!((8..=70).contains(&count), "{count} open files: some are held, and not all");
    psstat.end().is_good();

    let mut psstat = Resident::new(&["--host=", "--pattern", "held:^held$"]);
    let lines = psstat.lines();
    let counts: Vec<usize> = (0..3)
        .map(|_| {
            psstat.ask();
            assert_eq!(next(&lines).processes(), 20.0);
            open_files(&psstat)
        })
        .collect();
    assert!(counts[2] >= 2 * members.len(), "{counts:?}: two per member");
    assert_eq!(counts[1], counts[2]);
    drop(members);
    psstat.ask();
    assert_eq!(next(&lines).processes(), 0.0);
    assert!(open_files(&psstat) <= counts[2] - 40, "those of the dead are let go of");
    psstat.end().is_good();
}

/// What lines say was used between a sample at `since` and the last of them, in seconds; and how
/// much of that may be rounding of the four decimals.
fn used(mut since: i64, lines: &[Line]) -> (f64, f64) {
    lines.iter().fold((0.0, 0.0), |(used, rounding), line| {
        let seconds = (line.time - std::mem::replace(&mut since, line.time)) as f64 / 1e9;
        (used + line.fields["p_cpu"] * seconds, rounding + 0.00005 * seconds)
    })
}

#[test]
fn what_is_reported_adds_up_to_what_the_kernel_counted() {
    let folder = folder();
    let mut psstat = Resident::new(&["--host=", "--pattern", "burner:^burner$"]);
    let lines = psstat.lines();
    let mut sample = || {
        psstat.ask();
        next(&lines)
    };
    let since = sample().time;
    let burner = Named::busy(folder.path(), "burner");
    let mut seen = Vec::new();
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(250));
        seen.push(sample());
    }
    // Held still, it shows the sample what it shows the test.
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
    // The clocks of stamps and of rates differ by what the wall clock is slewed by, and by what
    // comes between the reading of the one and of the other; within the contract's two ticks.
    assert!((used - truth).abs() < rounding + 0.02, "{used} reported, {truth} used");
    psstat.end().is_good();
}

#[test]
fn a_recycled_pid_is_a_new_process() {
    const TEST: &str = "execd::a_recycled_pid_is_a_new_process";
    if !namespace::is_inside() {
        return namespace::enter(TEST).unwrap_or_else(|reason| skip(&reason));
    }
    let folder = folder();
    let burn = |seconds: f64| {
        let burner = Named::busy(folder.path(), "recycled");
        wait_for("CPU time", || burner.cpu() >= seconds);
        burner.signal(Signal::STOP);
        burner
    };
    let mut psstat = Resident::new(&["--host=", "--pattern", "r:^recycled$"]);
    let lines = psstat.lines();
    let mut sample = || {
        psstat.ask();
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
    // All of its life, not what it is ahead of the first.
    assert!((used - truth).abs() < rounding + 2.5 * TICK, "{used} reported, {truth} used");
    psstat.end().is_good();
}

/// The short form of what shows more the longer it runs.
#[test]
fn a_short_soak() {
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
