//! What `/proc` says of a process, read by other files than those that psstat reads.

use crate::support::limit::LIMIT;
use psstat_core::model::units::{CpuNanos, Pid};
use std::path::Path;
use std::time::{Duration, Instant};

/// A line of `/proc/meminfo`, in bytes.
pub fn meminfo(key: &str) -> u64 {
    kilobytes(Path::new("/proc/meminfo"), key)
}

/// Resident memory as `ps` shows it, in bytes.
pub fn rss(pid: u32) -> u64 {
    kilobytes(&Path::new("/proc").join(pid.to_string()).join("status"), "VmRSS")
}

/// Resident memory that files have, in bytes.
pub fn file_rss(pid: u32) -> u64 {
    kilobytes(&Path::new("/proc").join(pid.to_string()).join("status"), "RssFile")
}

/// Proportional share of memory, in bytes.
pub fn pss(pid: u32) -> u64 {
    kilobytes(&Path::new("/proc").join(pid.to_string()).join("smaps_rollup"), "Pss")
}

/// Threads of a process.
pub fn threads(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = text.lines().find_map(|line| line.strip_prefix("Threads:"));
    line.expect("the line is there").trim().parse().expect("a number")
}

/// Files that a process has open, counted one by one.
pub fn open_files(pid: u32) -> u64 {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("the process lives").count() as u64
}

fn kilobytes(path: &Path, key: &str) -> u64 {
    let text = std::fs::read_to_string(path).expect("the process lives");
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let number = line.expect("the line is there").trim().trim_end_matches(" kB");
    number.parse::<u64>().expect("a number of kB") * 1024
}

/// The processes whose parent that is.
pub fn children(parent: u32) -> Vec<u32> {
    let wanted = format!("PPid:\t{parent}");
    let pids = std::fs::read_dir("/proc").expect("procfs is mounted");
    let pids = pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &u32| {
        // One that has ended since is nobody's child.
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line == wanted)
    })
    .collect()
}

/// Waits until none of these processes has run for a while: until their CPU clocks stand still.
pub fn await_rest(pids: &[u32]) {
    let clocks = || -> Vec<Option<CpuNanos>> {
        pids.iter().map(|&pid| psstat::clock::read(Pid::new(pid))).collect()
    };
    let begin = Instant::now();
    let mut last = clocks();
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let now = clocks();
        if now == last {
            return;
        }
        assert!(begin.elapsed() < LIMIT, "they do not rest: {pids:?}");
        last = now;
    }
}

/// What the scheduler gave to the first thread of a process, in seconds: the first field of
/// `schedstat` (Documentation/scheduler/sched-stats.rst).
pub fn scheduled(pid: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("it lives");
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok());
    nanos.expect("nanoseconds") as f64 / 1e9
}

/// Whether a process waits for something to happen.
pub fn sleeps(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    status.lines().any(|line| line.starts_with("State:\tS"))
}

/// Nanoseconds that the wall clock is ahead of the time since boot.
pub fn date_of_boot() -> i128 {
    use rustix::time::{ClockId, clock_gettime};
    let nanos = |clock| {
        let now = clock_gettime(clock);
        i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
    };
    nanos(ClockId::Realtime) - nanos(ClockId::Boottime)
}
