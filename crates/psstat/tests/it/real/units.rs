//! Units of the machine's own systemd, compared with the controllers of their control groups:
//! memory, CPU quota, number of tasks, a limit that kills. It takes control groups of version 2 with
//! all controllers, as Debian boots, which the sandbox of `tests/systemd` has not.

use super::fixture::unique;
use super::kernel;
use super::needs;
use crate::support::limit::{self, LIMIT};
use crate::support::line::Line;
use crate::support::{Run, psstat};
use psstat_core::model::units::BootNanos;
use psstat_core::state::codec;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const MIB: f64 = (1 << 20) as f64;

/// A transient service, which ends with this value.
struct Unit {
    name: String,
    group: PathBuf,
}

fn systemctl(args: &[&str]) -> String {
    let output = limit::output(Command::new("systemctl").args(args)).expect("it can be run");
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

impl Unit {
    /// Starts a program as a service with these properties, and waits until its control group has
    /// so many processes.
    fn start(properties: &[&str], line: &[&str], processes: usize) -> Unit {
        let name = format!("psstat-{}", unique("test"));
        let mut run = Command::new("systemd-run");
        // Should nobody stop it, it ends by itself.
        run.args(["--quiet", "--collect", "--unit", &name, "--property=RuntimeMaxSec=1h"]);
        for accounting in ["CPU", "Memory", "Tasks"] {
            run.arg(format!("--property={accounting}Accounting=yes"));
        }
        run.args(properties.iter().map(|property| format!("--property={property}")));
        let started = limit::output(run.arg("--").args(line)).expect("it can be run");
        assert!(started.status.success(), "{started:?}");
        let group = systemctl(&["show", "--property=ControlGroup", "--value", &name]);
        let unit = Unit { name, group: Path::new("/sys/fs/cgroup").join(&group[1..]) };
        unit.wait_for("its processes", |unit| unit.processes().len() == processes);
        unit
    }

    fn wait_for(&self, what: &str, is_so: impl Fn(&Unit) -> bool) {
        let started = Instant::now();
        while !is_so(self) {
            assert!(started.elapsed() < LIMIT, "{}: waited in vain for {what}", self.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.group.join(name)).expect("a file of its control group")
    }

    /// The number behind a key of such a file.
    fn count(&self, name: &str, key: &str) -> u64 {
        let text = self.file(name);
        let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
        let value = pairs.find_map(|(other, value)| (other == key).then_some(value));
        value.expect("the key is there").parse().expect("a number")
    }

    fn processes(&self) -> Vec<u32> {
        self.file("cgroup.procs").lines().map(|pid| pid.parse().expect("a pid")).collect()
    }

    /// CPU time by its control group's counter, in seconds.
    fn cpu_time(&self) -> f64 {
        self.count("cpu.stat", "usage_usec") as f64 / 1e6
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        let mut kill = Command::new("systemctl");
        let _ = limit::output(kill.args(["kill", "--signal=KILL", &self.name]));
        let _ = limit::output(Command::new("systemctl").args(["stop", &self.name]));
    }
}

/// One job, run again and again.
struct Job<'u> {
    unit: &'u Unit,
    memory: &'static str,
    cache: TempDir,
}

/// A sample, beside the counter of CPU time just before and after it was taken.
struct Reading {
    line: Option<Line>,
    taken: BootNanos,
    counter: [f64; 2],
}

impl Job<'_> {
    fn new<'u>(unit: &'u Unit, memory: &'static str) -> Job<'u> {
        Job { unit, memory, cache: tempfile::tempdir().expect("a directory") }
    }

    fn sample(&self) -> Reading {
        let cache = self.cache.path();
        let mut command = psstat();
        command.args(["--host=", "--timeout=60s", "--fields=p_cpu,p_mem,n_proc,mem,n_thread"]);
        command.args(["--systemd", &self.unit.name, "--memory", self.memory]);
        command.args(["--cache-name=cache", "--cache-dir"]).arg(cache);
        let before = self.unit.cpu_time();
        let run = Run::of(&mut command);
        let counter = [before, self.unit.cpu_time()];
        let state = std::fs::read(cache.join("cache")).expect("it was stored");
        let taken = codec::decode(&state).expect("a cache").accounts.taken;
        Reading { line: run.lines().pop(), taken, counter }
    }

    /// The line of one sample, without regard to rates.
    fn line(&self) -> Line {
        self.sample();
        self.sample().line.expect("the unit runs")
    }
}

/// Holds the CPU time that was reported between two samples to the counter.
fn assert_cpu_time(first: &Reading, second: &Reading) -> (f64, f64) {
    let seconds = second.taken.since(first.taken) as f64 / 1e9;
    let line = second.line.as_ref().expect("a line");
    let used = line.p_cpu().expect("a rate") * seconds;
    // Of the rate four decimals are printed.
    let off = 0.0001 * seconds;
    let [least, most] =
        [second.counter[0] - first.counter[1], second.counter[1] - first.counter[0]];
    assert!((0.99 * least - off..=1.01 * most + off).contains(&used), "{least} {used} {most}");
    println!("{used:.4} s reported in {seconds:.3} s, the counter says {least:.4} to {most:.4} s");
    (used, seconds)
}

#[test]
fn memory_of_a_unit_is_what_its_controller_counts() {
    const PROGRAM: &str = "
import mmap, os, threading
own = mmap.mmap(-1, 48 << 20, flags=mmap.MAP_PRIVATE)
own[::4096] = b'x' * (len(own) // 4096)
stay = threading.Event()
threading.Thread(target=stay.wait).start()
open(os.environ['READY'] + str(os.getpid()), 'w')
stay.wait()
";
    if !needs::controllers() || !needs::is_installed("python3") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let ready = directory.path().join("ready").display().to_string();
    let environment = format!("Environment=READY={ready}");
    // Three that share no more than their program.
    let script =
        "for i in 1 2; do /usr/bin/python3 -c \"$0\" & done; exec /usr/bin/python3 -c \"$0\"";
    let unit = Unit::start(&[&environment], &["/bin/sh", "-c", script, PROGRAM], 3);
    unit.wait_for("their memory", |_| directory.path().read_dir().expect("ours").count() == 3);
    let pids = unit.processes();

    let anonymous = || unit.count("memory.stat", "anon") as f64;
    let files: Vec<f64> = pids.iter().map(|&pid| kernel::file_rss(pid) as f64).collect();
    let all: f64 = files.iter().sum();
    let largest = files.iter().copied().fold(0.0, f64::max);
    assert!(anonymous() > 3.0 * 48.0 * MIB, "{}", anonymous());
    // The counter says whose pages of memory are that no file has; what each mode adds of those
    // that a file has is at least nothing (the controller counts them for whoever read them first).
    for (memory, most_of_files) in [("rss", all), ("shared-once", largest), ("pss", all)] {
        let before = anonymous();
        let line = Job::new(&unit, memory).line();
        let after = anonymous();
        let (least, most) = (before.min(after), before.max(after) + most_of_files);
        let bytes = line.value("mem").expect("mem");
        println!("{memory}: {:.1} MiB of {:.1} to {:.1}", bytes / MIB, least / MIB, most / MIB);
        assert!((0.98 * least..=1.02 * most).contains(&bytes), "{memory}: {least} {bytes} {most}");
        let part = bytes / kernel::meminfo("MemTotal") as f64;
        assert!((line.p_mem().expect("p_mem") - part).abs() < 2e-6, "{memory}: {part} {line:?}");
        assert_eq!(line.n_proc(), 3);
        let tasks: f64 = unit.file("pids.current").trim().parse().expect("a number");
        assert_eq!((line.value("n_thread"), tasks), (Some(6.0), 6.0), "{memory}");
    }
}

#[test]
fn cpu_time_of_a_unit_under_a_quota_is_what_it_was_given() {
    if !needs::controllers() {
        return;
    }
    let script = "while :; do :; done & while :; do :; done";
    let unit = Unit::start(&["CPUQuota=20%"], &["/bin/sh", "-c", script], 2);
    let processors = std::thread::available_parallelism().expect("a number").get() as f64;
    let job = Job::new(&unit, "rss");
    let mut last = job.sample();
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(1500));
        let next = job.sample();
        let (used, seconds) = assert_cpu_time(&last, &next);
        // It is given so much of each tenth of a second, of which one has begun before and one ends
        // after; and each processor has a slice of 5 ms that it need not give back.
        let most = 0.2 * (seconds + 0.2) + 0.005 * processors;
        assert!(used <= most, "{used} s in {seconds} s");
        last = next;
    }
    assert!(unit.count("cpu.stat", "nr_throttled") > 0, "the quota has held nobody back");
}

#[test]
fn cpu_time_of_a_member_killed_by_memory_max_counts() {
    const PROGRAM: &str = "
import os, time
while not os.path.exists(os.environ['GO']):
    time.sleep(0.01)
held = []
while True:
    held.append(bytearray(b'x') * (1 << 20))
";
    if !needs::controllers() || !needs::is_installed("python3") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let go = directory.path().join("go");
    let environment = format!("Environment=GO={}", go.display());
    let limits = ["MemoryMax=64M", "MemorySwapMax=0", "OOMPolicy=continue", &environment];
    let script = "/usr/bin/python3 -c \"$0\" & wait; exec sleep 1000";
    let unit = Unit::start(&limits, &["/bin/sh", "-c", script, PROGRAM], 2);
    let job = Job::new(&unit, "shared-once");
    job.sample();
    let first = job.sample();
    assert_eq!(first.line.as_ref().map(Line::n_proc), Some(2));
    std::fs::write(go, "").expect("one's own directory");
    unit.wait_for("the kernel to kill it", |unit| {
        unit.count("memory.events", "oom_kill") > 0 && unit.processes().len() == 1
    });
    let second = job.sample();
    let (used, _) = assert_cpu_time(&first, &second);
    assert!(used > 0.0, "it has filled 64 MiB");
    let line = second.line.expect("a line");
    assert_eq!(line.n_proc(), 1);
    let limit = unit.file("memory.max").trim().parse::<f64>().expect("a number");
    assert_eq!(limit, 64.0 * MIB);
    assert!(line.value("mem").is_some_and(|bytes| bytes < limit), "{line:?}");
}
