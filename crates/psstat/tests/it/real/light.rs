//! Many processes that each use little: their CPU time is exact, although the kernel shows it in
//! ticks of 10 ms.

use crate::support::{limit, psstat};
use psstat_core::model::units::BootNanos;
use psstat_core::state::codec;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How many workers there are.
const WORKERS: usize = 60;

/// Works for a moment, then waits for 0.2 s without making a process.
const WORKER: &str =
    "while :; do for ((i = 0; i < 200; i++)); do :; done; read -r -t 0.2 -u 0; done";

struct Workers(Vec<Child>);

impl Workers {
    fn start() -> Workers {
        let start = |_| {
            let mut command = Command::new("bash");
            // Nothing ever comes from this pipe, so that `read` waits.
            command.args(["-c", WORKER]).stdin(Stdio::piped()).spawn().expect("bash")
        };
        Workers((0..WORKERS).map(start).collect())
    }

    /// What the scheduler gave to all of them, in seconds: the first field of `schedstat`
    /// (Documentation/scheduler/sched-stats.rst).
    fn used(&self) -> f64 {
        let used = |worker: &Child| {
            let text = fs::read_to_string(format!("/proc/{}/schedstat", worker.id()));
            let text = text.expect("the worker runs");
            let nanos = text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok());
            nanos.expect("nanoseconds") as f64 / 1e9
        };
        self.0.iter().map(used).sum()
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for worker in &mut self.0 {
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}

fn taken(cache: &Path) -> BootNanos {
    let bytes = fs::read(cache).expect("a cache file");
    codec::decode(&bytes).expect("a state").accounts.taken
}

#[test]
fn light_workers_are_measured_to_the_millisecond() {
    if !Path::new("/proc/self/schedstat").exists() {
        return crate::support::skip("the kernel has no schedstat");
    }
    let workers = Workers::start();
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = psstat();
    command.args(["--host=", "--fields=p_cpu", "--cache-name=cache", "--cache-dir"]);
    command.arg(directory.path());
    for worker in &workers.0 {
        command.args(["--pid".to_owned(), format!("workers:{}", worker.id())]);
    }
    let cache = directory.path().join("cache");
    let mut sample = || {
        let before = workers.used();
        let output = limit::output(&mut command).expect("psstat runs");
        assert!(output.status.success(), "{output:?}");
        (before, String::from_utf8(output.stdout).expect("UTF-8"), workers.used())
    };
    let mut last = sample();
    let mut then = taken(&cache);
    for _ in 0..5 {
        std::thread::sleep(Duration::from_secs(1));
        let now = sample();
        let elapsed = taken(&cache).since(std::mem::replace(&mut then, taken(&cache))) as f64 / 1e9;
        let rate = now.1.split(['=', ' ']).nth(3).and_then(|rate| rate.parse::<f64>().ok());
        let used = rate.unwrap_or_else(|| panic!("no rate in {:?}", now.1)) * elapsed;
        // The kernel brings the time of a process that is running up to date once per scheduler
        // tick, which is up to 10 ms (CONFIG_HZ). One or two of the workers may be running.
        let slack = 0.02;
        let [least, most] = [now.0 - last.2 - slack, now.2 - last.0 + slack];
        assert!((least..=most).contains(&used), "{used} s is not in {least}..{most}");
        last = now;
    }
}
