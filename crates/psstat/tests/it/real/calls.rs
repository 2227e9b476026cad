//! Which files a sample opens and reads. It reads no `stat` of a member that has not run.

use super::fixture::{Actor, Fixture, unique};
use super::kernel::await_rest;
use super::meter::{Line, PSSTAT, psstat, psstat_through};
use super::needs;
use super::resident::Resident;
use crate::support::limit;
use std::fs;
use std::path::Path;
use std::process::Command;

/// How many members sleep.
const SLEEPERS: u32 = 50;

/// Whether processes can be traced here; skips this test where not.
fn can_trace() -> bool {
    if !needs::is_installed("strace") {
        return false;
    }
    let tried = limit::output(Command::new("strace").args([
        "-f",
        "--seccomp-bpf",
        "-o",
        "/dev/null",
        "true",
    ]));
    let tried = tried.expect("strace is installed");
    if !tried.status.success() {
        let error = String::from_utf8_lossy(&tried.stderr);
        needs::skip(&format!("strace may not trace: {}", error.trim()));
    }
    tried.status.success()
}

/// A parent and its children, which sleep, and the pids of the children. The parent has several threads,
/// so it is always read.
fn sleepers(fixture: &Fixture) -> (Actor, Vec<u32>) {
    let parent = fixture.actor("parent");
    let pids = parent.pids(&format!("sleepers {SLEEPERS}"));
    (parent, pids)
}

fn assert_all_there(line: &Line) {
    assert_eq!((line.name.as_str(), line.processes), ("sleepers", u64::from(SLEEPERS) + 1));
    assert_eq!(line.cpu, Some(0.0), "they sleep: {line:?}");
}

/// The files of these processes that calls in the trace open, in order: `stat` of `12/stat`.
fn opened<'t>(trace: &'t str, pids: &[u32]) -> Vec<&'t str> {
    let calls = trace.lines().filter(|line| line.contains("open"));
    calls.filter_map(|line| file_of_member(line.split('"').nth(1)?, pids)).collect()
}

/// The files of these processes that calls in the trace read, whenever they were opened.
fn read<'t>(trace: &'t str, pids: &[u32]) -> Vec<&'t str> {
    let calls = trace.lines().filter(|line| line.contains("read"));
    // A descriptor is shown with its path: `7</proc/12/stat>`.
    let path = |line: &'t str| Some(line.split_once('<')?.1.split_once('>')?.0);
    calls.filter_map(|line| file_of_member(path(line)?, pids)).collect()
}

fn file_of_member<'p>(path: &'p str, pids: &[u32]) -> Option<&'p str> {
    let (pid, file) = path.strip_prefix("/proc/").unwrap_or(path).split_once('/')?;
    pid.parse().is_ok_and(|pid: u32| pids.contains(&pid)).then_some(file)
}

/// How often that file is among them.
fn count(files: &[&str], file: &str) -> usize {
    files.iter().filter(|other| **other == file).count()
}

fn tracing(log: &Path) -> Vec<&str> {
    let log = log.to_str().expect("UTF-8");
    let calls = "trace=open,openat,openat2,read,pread64";
    // With a filter the other calls are not slowed down.
    vec!["strace", "-f", "-y", "--seccomp-bpf", "-s", "4096", "-e", calls, "-o", log]
}

#[test]
fn a_run_opens_no_stat_of_members_that_have_slept() {
    if !can_trace() {
        return;
    }
    let fixture = Fixture::new();
    let (parent, pids) = sleepers(&fixture);
    await_rest(&pids);
    let selector = format!("--pid=sleepers:{}", parent.pid);
    let cache = fixture.path().join("cache");
    let args = [&selector, "--cache-dir", cache.to_str().expect("UTF-8"), "--cache-name=cache"];
    let log = fixture.path().join("trace");
    let traced = || {
        let said = psstat_through(&tracing(&log), PSSTAT, &args);
        (said, fs::read_to_string(&log).expect("strace has written it"))
    };
    fs::create_dir(&cache).expect("a directory");
    let (said, trace) = traced();
    assert!(said.lines.is_empty(), "{said:?}");
    // This shows that the trace shows them.
    assert_eq!(count(&opened(&trace, &pids), "stat"), pids.len(), "the first run reads all");
    assert_all_there(psstat(&args).only_line());
    let (said, trace) = traced();
    assert_all_there(said.only_line());
    let mut files = opened(&trace, &pids);
    println!("{} files of {} members opened", files.len(), pids.len());
    assert_eq!(count(&files, "statm"), pids.len(), "{files:?}");
    files.retain(|file| *file != "statm");
    assert_only_in_turn(&files, &pids);
}

/// Panics unless these are files of these processes that one sample may open again: each `stat` is read again
/// once in 64 samples and each `smaps_rollup` once in 1,024, by the pid.
fn assert_only_in_turn(files: &[&str], pids: &[u32]) {
    let at_once = |turns: u32| {
        let same = |pid: &u32| pids.iter().filter(|other| *other % turns == pid % turns).count();
        pids.iter().map(same).max().unwrap_or(0)
    };
    for (file, turns) in [("stat", 64), ("smaps_rollup", 1024)] {
        assert!(count(files, file) <= at_once(turns), "{file} of {pids:?}: {files:?}");
    }
    // A process may have been moved: this is looked at whenever its age has doubled, and in turn.
    let may_be_opened = |file: &&str| ["stat", "smaps_rollup", "cgroup"].contains(file);
    assert!(files.iter().all(may_be_opened), "{files:?}");
}

/// By pid, and by a name, for which all processes are watched.
#[test]
fn a_resident_sample_reads_only_statm_of_members_that_have_slept() {
    if !can_trace() {
        return;
    }
    let fixture = Fixture::new();
    let (parent, pids) = sleepers(&fixture);
    let name = unique("calls");
    parent.obey(&format!("name {name}"));
    await_rest(&pids);
    let by_pid = format!("--pid=sleepers:{}", parent.pid);
    let by_name = format!("--pattern=sleepers:^{name}$");
    for selector in [by_pid, by_name] {
        let log = fixture.path().join("trace");
        let mut resident = Resident::start_through(&tracing(&log), &[&selector], 1);
        for _ in 0..4 {
            assert_all_there(&resident.sample()[0]);
        }
        drop(resident);
        let trace = fs::read_to_string(&log).expect("strace has written it");
        // strace writes two lines if another thread ends meanwhile.
        let is_read = |line: &str| line.contains("read(0") || line.contains("<... read resumed>");
        let is_request = |line: &str| is_read(line) && line.contains(r#""\n", 4096)"#);
        let mut samples = vec![String::new()];
        for line in trace.lines() {
            if is_request(line) {
                samples.push(String::new());
            }
            let sample = samples.last_mut().expect("there is one");
            sample.push_str(line);
            sample.push('\n');
        }
        let opened: Vec<_> = samples.iter().map(|trace| opened(trace, &pids)).collect();
        let read: Vec<_> = samples.iter().map(|trace| read(trace, &pids)).collect();
        let each = |files: &[Vec<&str>], file| -> Vec<usize> {
            files.iter().map(|files| count(files, file)).collect()
        };
        let (stat, statm) = (each(&read, "stat"), each(&read, "statm"));
        println!("{selector}: in each sample {stat:?} stat and {statm:?} statm read");
        assert_eq!(samples.len(), 1 + 4, "{trace}");
        let mut first = opened[0].clone();
        first.retain(|file| *file != "cgroup");
        assert_eq!(first, vec!["stat"; pids.len()], "the first sample reads all");
        assert_eq!(stat[0], pids.len());
        for sample in 3..=4 {
            // Those that are open already are read without being opened.
            let mut again = read[sample].clone();
            again.retain(|file| *file != "statm");
            assert_only_in_turn(&opened[sample], &pids);
            assert_only_in_turn(&again, &pids);
            assert_eq!(statm[sample], pids.len(), "{selector}: {}", samples[sample]);
        }
    }
}
