//! Exclusive groups with a rest add up to the machine, as `/proc/stat` and the list of processes show it.

use super::fixture::{Fixture, unique};
use super::meter::{Said, psstat};
use crate::support::skip;
use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::Duration;

/// `/proc/stat` counts what runs when the timer ticks. While every processor is busy, that is close to what
/// they did.
const TICKS_SEE: f64 = 0.1;

/// The clock tick of each processor, before and after, in seconds; and the time that a line is late.
const EDGES: f64 = 0.2;

/// What all processes have used since boot, in seconds: user, nice and system time (proc_stat(5)).
fn busy() -> f64 {
    let stat = fs::read_to_string("/proc/stat").expect("every kernel has it");
    let all = stat.lines().next().expect("a line of all processors");
    let times = all.split_whitespace().skip(1).take(3);
    times.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}

/// How many tasks were made since boot.
fn forks() -> u64 {
    let stat = fs::read_to_string("/proc/stat").expect("every kernel has it");
    let line = stat.lines().find_map(|line| line.strip_prefix("processes "));
    line.expect("a line of forks").parse().expect("a number")
}

/// The processes that have not ended.
fn living() -> BTreeSet<u32> {
    let pids = fs::read_dir("/proc").expect("procfs").filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
        let end = stat.iter().rposition(|&byte| byte == b')')?;
        (stat.get(end + 2) != Some(&b'Z')).then_some(pid)
    });
    pids.collect()
}

/// Whether this pid namespace is that of the machine, which `/proc/stat` is about.
fn sees_the_machine() -> bool {
    let namespace = fs::read_link("/proc/self/ns/pid").ok();
    // The inode number of the first one (include/linux/proc_ns.h).
    namespace.is_some_and(|namespace| namespace.as_os_str() == "pid:[4026531836]")
}

#[test]
fn exclusive_groups_add_up_to_proc_stat() {
    if !sees_the_machine() {
        return skip("/proc/stat is about more processes than are in sight here");
    }
    let fixture = Fixture::new();
    let name = unique("busy");
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let burner = fixture.actor(&name);
    burner.obey(&format!("name {name}"));
    for _ in 0..=processors {
        fixture.serve("KILL", &["/bin/sh", "-c", "while :; do :; done"]);
    }
    // Short processes too, which a parent in another group waits for.
    fixture.serve("KILL", &["/bin/sh", "-c", "while :; do /bin/true; done"]);
    let config = fixture.path().join("groups.toml");
    let rules = format!(
        "host = ''\nexclusive = true\nrest = 'other'\n\
         [[group]]\nname = 'shells'\npattern = '^sh$'\n\
         [[group]]\nname = 'x-{{comm}}'\npattern = '^({name}|true)$'\n\
         [[group]]\nname = 'again'\npattern = '.'\nuser = 0\n"
    );
    fs::write(&config, rules).expect("a file");
    let (config, cache) =
        (config.to_str().expect("UTF-8"), fixture.path().to_str().expect("UTF-8"));
    let sample = || {
        let before = busy();
        let said = psstat(&["--config", config, "--cache-dir", cache]);
        (before, said, busy())
    };
    let nanos = |said: &Said| said.lines.first().expect("a line").nanos;
    sample();
    let (outer_start, first, inner_start) = sample();
    thread::sleep(Duration::from_secs(3));
    let (before, forks_before) = (living(), forks());
    let (inner_end, last, outer_end) = sample();
    let (after, forked) = (living(), forks() - forks_before);

    let elapsed = (nanos(&last) - nanos(&first)) as f64 / 1e9;
    let used: f64 = last.lines.iter().filter_map(|line| line.cpu).sum::<f64>() * elapsed;
    let least = (inner_end - inner_start) * (1.0 - TICKS_SEE) - EDGES;
    let most = (outer_end - outer_start) * (1.0 + TICKS_SEE) + EDGES;
    assert!(least <= used && used <= most, "{used} s, and not {least} to {most}: {last:?}");
    assert!(least > 1.0, "the processors were busy: {least}");

    let count: u64 = last.lines.iter().map(|line| line.processes).sum();
    let stayed = before.intersection(&after).count() as u64;
    let seen = before.union(&after).count() as u64 + forked;
    assert!((stayed.saturating_sub(1)..=seen).contains(&count), "{count} of {stayed} to {seen}");
    let of = |name: &str| last.line(name).processes;
    assert!(of("shells") > processors as u64 && of(&format!("x-{name}")) == 1, "{last:?}");
}
