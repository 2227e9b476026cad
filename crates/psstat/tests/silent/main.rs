//! Processes and files that do not answer. They are in a test program of their own, because every
//! program that reads all command lines waits for such a process: other tests, and `ps`.

#[path = "../it/support/limit.rs"]
mod limit;
#[allow(dead_code, reason = "the other test program uses the rest")]
#[path = "../it/namespace.rs"]
mod namespace;
#[allow(dead_code, reason = "the other test program uses the rest")]
#[path = "../it/support/skip.rs"]
mod skip;
mod support {
    pub(crate) use crate::limit;
}

use limit::{LIMIT, Limited};
use skip::skip;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Silent processes are there one at a time: most tests count them.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Where the program is that becomes silent.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/silent/silent.py");

fn psstat(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_psstat"));
    command.args(args).args(["--host=", "--timeout=60s"]);
    command.env("HOST_PROC", "/proc").env_remove("HOST_SYS");
    command
}

/// Processes that do not answer. They end when this is dropped.
struct Silent {
    pids: Vec<u32>,
    programs: Vec<(Child, ChildStdin)>,
    _alone: MutexGuard<'static, ()>,
}

impl Silent {
    /// So many processes that do not answer. `None` if that cannot be had here; the test is skipped then.
    #[track_caller]
    fn start(count: usize) -> Option<Silent> {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mut silent = Silent { pids: Vec::new(), programs: Vec::new(), _alone: alone };
        let mut told = Vec::new();
        for _ in 0..count {
            let mut command = Command::new("python3");
            command.arg(PROGRAM).stdin(Stdio::piped()).stdout(Stdio::piped());
            let Ok(mut child) = command.spawn() else {
                skip("it needs python3");
                return None;
            };
            told.push(child.stdout.take().expect("a pipe"));
            let lifeline = child.stdin.take().expect("a pipe");
            silent.programs.push((child, lifeline));
        }
        for stdout in told {
            let mut line = String::new();
            BufReader::new(Limited::new(stdout)).read_line(&mut line).expect("a line");
            let Ok(pid) = line.trim().parse() else {
                skip(&format!("it needs FUSE in a user namespace: {line}"));
                return None;
            };
            silent.pids.push(pid);
        }
        Some(silent)
    }

    /// What psstat says of each.
    fn paths(&self, file: &str) -> Vec<String> {
        self.pids.iter().map(|pid| format!("/proc/{pid}/{file} does not answer")).collect()
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        for (mut child, lifeline) in self.programs.drain(..) {
            drop(lifeline);
            limit::end(&mut child);
        }
    }
}

/// A process with a command line that no other process has.
struct Other {
    child: Child,
    regex: String,
}

impl Other {
    fn start() -> Other {
        let seconds = format!("{}.25", 100_000 + std::process::id());
        let child = Command::new("sleep").arg(&seconds).spawn().expect("sleep");
        Other { regex: format!("other:^sleep {seconds}$"), child }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        limit::end(&mut self.child);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The names of the groups that have lines, and standard error.
fn groups(output: &Output) -> (Vec<String>, String) {
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let name = |line: &str| line.split([',', ' ', '=']).nth(2).unwrap_or_default().to_owned();
    (text(&output.stdout).lines().map(name).collect(), stderr)
}

const NO_PROCESS: &str = "down:^no process has this command line$";

#[test]
fn one_shot_names_the_culprit_and_prints_all_other_groups() {
    let Some(silent) = Silent::start(1) else { return };
    let other = Other::start();
    let pid = format!("pid:{}", silent.pids[0]);
    let selectors =
        ["--wait=50ms", "--cmdline", &other.regex, "--cmdline", NO_PROCESS, "--pid", &pid];
    let (named, stderr) = groups(&limit::output(&mut psstat(&selectors)).expect("run"));
    assert_eq!(named, ["other", "pid"], "nobody knows whether `down` is down: {stderr}");
    let first = stderr.lines().next().unwrap_or_default();
    let culprit = &silent.paths("cmdline")[0];
    assert!(first.starts_with("W! no line for down: ") && first.contains(culprit), "{stderr}");
}

#[test]
fn memory_of_a_silent_process_is_measured_without_its_maps() {
    let Some(silent) = Silent::start(1) else { return };
    let other = Other::start();
    let pids = [format!("silent:{}", silent.pids[0]), format!("other:{}", other.child.id())];
    let args = ["--wait=50ms", "--memory=pss", "--pid", &pids[0], "--pid", &pids[1]];
    let output = limit::output(&mut psstat(&args)).expect("run");
    let (named, stderr) = groups(&output);
    assert_eq!(named, ["silent", "other"], "{stderr}");
    assert!(!text(&output.stdout).contains("p_mem=0,"), "{}", text(&output.stdout));
    assert!(stderr.contains(&silent.paths("smaps_rollup")[0]), "{stderr}");
}

/// The default mode reads maps if processes can share memory by fork.
#[test]
fn by_default_a_silent_process_is_asked_once_and_all_groups_are_printed() {
    let Some(silent) = Silent::start(1) else { return };
    let other = Other::start();
    let pids = [format!("silent:{}", silent.pids[0]), format!("other:{}", other.child.id())];
    // The program that started it has as much memory.
    let with = format!("silent:{}", silent.programs[0].0.id());
    let selectors = ["--pid", &with, "--pid", &pids[0], "--pid", &pids[1]];
    let culprit = &silent.paths("smaps_rollup")[0];
    let check = |lines: &str| {
        for name in ["silent", "other"] {
            let line = lines.lines().find(|line| line.contains(&format!("process_name={name} ")));
            let line = line.unwrap_or_else(|| panic!("no line of {name}: {lines}"));
            assert!(line.contains(",p_mem=0.0") && !line.contains("p_mem=0,"), "{line}");
        }
    };
    let output = limit::output(&mut psstat(&[&["--wait=50ms"], &selectors[..]].concat()));
    let output = output.expect("run");
    check(&text(&output.stdout));
    let stderr = text(&output.stderr);
    assert_eq!(stderr.matches(culprit).count(), 1, "{stderr}");

    let directory = tempfile::tempdir().expect("a directory");
    let cache = ["--cache-dir", directory.path().to_str().expect("UTF-8")];
    let run = || limit::output(&mut psstat(&[&selectors[..], &cache].concat())).expect("run");
    assert!(run().stdout.is_empty());
    let said: Vec<String> = std::iter::repeat_with(|| {
        let output = run();
        check(&text(&output.stdout));
        text(&output.stderr)
    })
    .take(3)
    .collect();
    assert_eq!(said.concat().matches(culprit).count(), 1, "the cache remembers it: {said:?}");

    let mut resident = Resident::start(&selectors);
    for _ in 0..3 {
        resident.request();
        check(&[resident.line(), resident.line()].concat());
    }
    let stderr = resident.end();
    assert_eq!(stderr.matches(culprit).count(), 1, "it is named once: {stderr}");
}

/// Each sample asks the processes that are not known to be silent, and goes on without them.
#[test]
fn many_silent_processes_cost_little_more_than_one() {
    let Some(silent) = Silent::start(6) else { return };
    let other = Other::start();
    let args = ["--wait=50ms", "--cmdline", &other.regex];
    let (named, stderr) = groups(&limit::output(&mut psstat(&args)).expect("run"));
    assert_eq!(named, ["other"], "{stderr}");
    // Of an ordinary user, no more than four are asked.
    let asked = if rustix::process::geteuid().is_root() { 6 } else { 4 };
    let named = silent.paths("cmdline").into_iter().filter(|path| stderr.contains(path));
    assert_eq!(named.count(), asked, "{stderr}");
}

/// A resident psstat.
struct Resident {
    child: Child,
    requests: ChildStdin,
    said: BufReader<Limited<ChildStdout>>,
}

impl Resident {
    fn start(args: &[&str]) -> Resident {
        Resident::of(psstat(&[&["execd"], args].concat()))
    }

    fn of(mut command: Command) -> Resident {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("psstat");
        let requests = child.stdin.take().expect("a pipe");
        let said = BufReader::new(Limited::new(child.stdout.take().expect("a pipe")));
        Resident { child, requests, said }
    }

    fn request(&mut self) {
        self.requests.write_all(b"\n").expect("psstat reads");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("a line");
        line
    }

    fn threads(&self) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        tasks.expect("it runs").count()
    }

    /// Whether its first thread waits for something that only SIGKILL ends (`D` in proc_pid_stat(5)).
    fn is_stuck(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        stat.expect("it runs").contains(") D ")
    }

    /// How many filters of system calls each of its system calls passes (proc_pid_status(5)). 0 before Linux
    /// 5.9, which does not tell.
    fn filters(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("it runs");
        let filters = status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"));
        filters.map_or(0, |count| count.trim().parse().expect("a number"))
    }

    /// Waits for its end, and returns standard error.
    fn end(self) -> String {
        let Resident { child, requests, .. } = self;
        drop(requests);
        let output = limit::finish(child, LIMIT);
        assert!(output.status.success(), "{output:?}");
        text(&output.stderr)
    }
}

#[test]
fn execd_goes_on_and_asks_again_later() {
    let Some(silent) = Silent::start(1) else { return };
    let other = Other::start();
    let mut resident = Resident::start(&["--cmdline", &other.regex, "--cmdline", NO_PROCESS]);
    for _ in 0..3 {
        resident.request();
        assert!(resident.line().contains("process_name=other "));
    }
    assert!(resident.is_stuck(), "the first thread was abandoned");
    assert_eq!(resident.threads(), 3, "one samples, one waits, one is abandoned");
    assert!(resident.filters() <= 1, "a thread that takes over adds no filter of system calls");
    let culprit = silent.paths("cmdline")[0].clone();
    drop(silent);
    // The abandoned read comes back with the end of the process.
    let begin = Instant::now();
    while resident.is_stuck() {
        assert!(begin.elapsed() < LIMIT, "the abandoned read has not come back");
        std::thread::sleep(Duration::from_millis(1));
    }
    resident.request();
    assert!(resident.line().contains("process_name=other "));
    assert!(resident.line().contains("process_name=down p_cpu=0,p_mem=0,n_proc=0i "));
    let stderr = resident.end();
    assert_eq!(stderr.matches(&culprit).count(), 1, "it is named once: {stderr}");
}

/// Runs a command where getent(1) is a program that knows nobody, and writes a line to `log` when it is asked.
/// `None` if that cannot be had here.
#[track_caller]
fn with_getent(directory: &Path, log: &Path, command: &Command) -> Option<Command> {
    let getent = directory.join("getent");
    std::fs::write(&getent, format!("#!/bin/sh\necho >>{}\nexit 2\n", log.display()))
        .expect("written");
    std::fs::set_permissions(&getent, PermissionsExt::from_mode(0o755)).expect("ours");
    let mut inside = Command::new("unshare");
    inside
        .args(["-m", "/bin/sh", "-c", "mount --bind \"$0\" /usr/bin/getent && exec \"$@\""])
        .arg(getent);
    let mut tried = Command::new(inside.get_program());
    let tried = limit::output(tried.args(inside.get_args()).arg("true"));
    if !tried.is_ok_and(|tried| tried.status.success()) {
        skip("it needs root, mount namespaces and getent");
        return None;
    }
    inside.arg(command.get_program()).args(command.get_args());
    inside.env("HOST_PROC", "/proc").env_remove("HOST_SYS");
    Some(inside)
}

#[test]
fn a_thread_that_takes_over_knows_which_users_were_asked_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let log = directory.path().join("log");
    let Some(_silent) = Silent::start(1) else { return };
    let other = Other::start();
    let user = "--user=his:psstat-no-such-user";
    let command = psstat(&["execd", "--cmdline", &other.regex, user]);
    let Some(command) = with_getent(directory.path(), &log, &command) else { return };
    let mut resident = Resident::of(command);
    for _ in 0..2 {
        resident.request();
        assert!(resident.line().contains("process_name=other "));
    }
    assert!(resident.is_stuck(), "the first thread was abandoned");
    let asked = std::fs::read_to_string(&log).expect("getent was asked");
    assert_eq!(asked, "\n", "it is asked once a minute");
    resident.end();
}

#[test]
fn a_thread_that_cannot_open_the_machine_tries_again_at_the_next_request() {
    let directory = tempfile::tempdir().expect("a directory");
    let proc = directory.path().join("proc");
    let link = || std::os::unix::fs::symlink("/proc", &proc).expect("a link");
    let other = Other::start();
    link();
    let path = proc.to_str().expect("UTF-8");
    let mut resident = Resident::start(&["--cmdline", &other.regex, "--proc", path]);
    let mut messages = BufReader::new(Limited::new(resident.child.stderr.take().expect("a pipe")));
    resident.request();
    assert!(resident.line().contains("process_name=other "));
    let Some(_silent) = Silent::start(1) else { return };
    std::fs::remove_file(&proc).expect("a link");
    resident.request();
    let mut message = String::new();
    messages.read_line(&mut message).expect("a line");
    assert!(message.starts_with("E! ") && message.contains(path), "{message}");
    link();
    resident.request();
    assert!(resident.line().contains("process_name=other "));
    assert!(resident.is_stuck(), "the first thread was abandoned");
    resident.end();
}

#[test]
fn execd_obeys_signals_and_the_end_of_input() {
    let Some(_silent) = Silent::start(1) else { return };
    let other = Other::start();
    let start = || {
        let mut resident = Resident::start(&["--cmdline", &other.regex]);
        resident.request();
        assert!(resident.line().contains("process_name=other "));
        resident
    };
    start().end();
    for signal in ["USR1", "TERM"] {
        let mut resident = start();
        let pid = resident.child.id().to_string();
        let sent = limit::output(Command::new("kill").args(["-s", signal, &pid])).expect("kill");
        assert!(sent.status.success());
        if signal == "USR1" {
            assert!(resident.line().contains("process_name=other "));
            resident.end();
        } else {
            assert!(limit::end(&mut resident.child).success());
        }
    }
}

/// Runs psstat where `/mnt/silent/file` never answers. `None` if that cannot be had here.
#[track_caller]
fn beside_silent_file(args: &[&str]) -> Option<Output> {
    let psstat = psstat(args);
    let mut command = Command::new("python3");
    command.arg(PROGRAM).arg(psstat.get_program()).args(psstat.get_args());
    command.env("HOST_PROC", "/proc").env_remove("HOST_SYS");
    let output = limit::output(&mut command);
    let Some(output) = output.ok().filter(|output| !output.stdout.starts_with(b"skip")) else {
        skip("it needs python3, and FUSE in a user namespace");
        return None;
    };
    Some(output)
}

#[test]
fn a_pid_file_that_does_not_answer_costs_only_its_group() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let other = Other::start();
    let pid = format!("other:{}", other.child.id());
    let args = ["--wait=50ms", "--pid-file", "file:/mnt/silent/file", "--pid", &pid];
    let Some(output) = beside_silent_file(&args) else { return };
    let (named, stderr) = groups(&output);
    assert_eq!(named, ["other"], "{stderr}");
    let first = stderr.lines().next().unwrap_or_default();
    let is_named = first.contains("/mnt/silent/file") && first.contains("does not answer");
    assert!(first.starts_with("W! no line for file: ") && is_named, "{stderr}");
}

#[test]
fn a_configuration_file_that_does_not_answer_is_an_error() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(output) = beside_silent_file(&["--config", "/mnt/silent/file"]) else { return };
    let stderr = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()), "{stderr}");
    assert!(stderr.starts_with("E! ") && stderr.contains("does not answer"), "{stderr}");
}
