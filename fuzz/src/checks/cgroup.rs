//! The files of cgroupfs, and `/proc/PID/cgroup`. The first byte chooses one.

use super::naive::{number, number_after, words_after};
use psstat_core::model::control_group::NO_LIMIT;
use psstat_core::model::units::{Bytes, CpuNanos, Pid};
use psstat_core::parse::cgroupfs as parse;
use std::collections::BTreeSet;

/// Checks the parser of that file. Returns whether it accepts the bytes.
pub fn check(bytes: &[u8]) -> bool {
    let Some((&choice, text)) = bytes.split_first() else { return false };
    match choice % 8 {
        0 => check_path(text),
        1 => {
            let (pids, foreign) = parse::cgroup_procs(text);
            let lines = || text.split(|&byte| byte == b'\n');
            let named: BTreeSet<Pid> = lines().filter_map(Pid::parse).collect();
            assert_eq!(pids, named.into_iter().collect::<Vec<Pid>>());
            assert_eq!(foreign, lines().filter(|line| *line == b"0").count() as u64);
            !pids.is_empty()
        }
        2 => {
            let parsed = parse::cpu_stat_usage(text);
            let naive = number_after(text, "usage_usec ");
            assert_eq!(parsed, naive.map(|micros| CpuNanos(micros.saturating_mul(1000))));
            parsed.is_some()
        }
        4 | 5 => check_memory(text, choice % 8 == 5),
        6 => check_figures(text),
        _ => {
            let parsed = parse::cpuacct_usage(text);
            assert_eq!(parsed, number(text.trim_ascii()).map(CpuNanos));
            parsed.is_some()
        }
    }
}

/// The files that tell what a control group feels.
fn check_figures(text: &[u8]) -> bool {
    let nanos = |micros: u64| micros.saturating_mul(1000);
    let throttled = parse::cpu_stat_throttled(text);
    assert_eq!(throttled, number_after(text, "throttled_usec ").map(nanos));
    let kills = parse::oom_kills(text);
    assert_eq!(kills, number_after(text, "oom_kill "));
    let total = parse::pressure_total(text);
    let words = words_after(text, "some ").unwrap_or_default();
    let naive = words.iter().find_map(|word| word.strip_prefix(b"total="));
    assert_eq!(total, naive.and_then(number).map(nanos));
    let limit = parse::memory_limit(text);
    let is_max = text.trim_ascii() == b"max";
    assert_eq!(limit, if is_max { Some(NO_LIMIT) } else { number(text.trim_ascii()) });
    throttled.is_some() || kills.is_some() || total.is_some() || limit.is_some()
}

/// The account of memory, on v1 or v2.
fn check_memory(text: &[u8], is_v1: bool) -> bool {
    let parsed = parse::memory_stat(text, is_v1);
    let keys = if is_v1 { ["total_rss ", "total_mapped_file "] } else { ["anon ", "file_mapped "] };
    let [anonymous, mapped] = keys.map(|key| number_after(text, key).map(Bytes));
    assert_eq!(parsed.map(|account| account.anonymous), anonymous.filter(|_| mapped.is_some()));
    assert_eq!(parsed.map(|account| account.mapped), mapped.filter(|_| anonymous.is_some()));
    parsed.is_some()
}

/// Of all lines that count, the path is in the one of the highest rank.
fn check_path(text: &[u8]) -> bool {
    let parsed = parse::cgroup_path(text);
    let mut paths: Vec<(u8, &[u8])> = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        let parts: Vec<&[u8]> = line.splitn(3, |&byte| byte == b':').collect();
        let &[id, controllers, path] = &parts[..] else { continue };
        let has = |name: &[u8]| controllers.split(|&byte| byte == b',').any(|one| one == name);
        let path = inside(path);
        let rank = match (id, path) {
            _ if id != b"0" && !has(b"name=systemd") && !has(b"cpuacct") => continue,
            (_, b"") => 1,
            (b"0", _) => 4,
            _ if has(b"name=systemd") => 3,
            _ => 2,
        };
        paths.push((rank, path));
    }
    let best = paths.iter().map(|&(rank, _)| rank).max();
    let naive = paths.iter().find(|&&(rank, _)| Some(rank) == best).map(|&(_, path)| path);
    assert_eq!(parsed, naive);
    for is_v1 in [false, true] {
        let memory = parse::memory_path(text, is_v1);
        let leaves = |path: &[u8]| path == b".." || path.starts_with(b"../");
        let leaving = [parsed, memory].into_iter().flatten().find(|path| leaves(path));
        assert_eq!(leaving, None, "leaves the hierarchy");
    }
    let root = parse::manager_root(text);
    let expected = parsed.and_then(|path| path.strip_suffix(b"/init.scope")).unwrap_or_default();
    assert_eq!(root, expected);
    parsed.is_some()
}

/// A path without `/` at its beginning, and without the `..` of a process outside of the reader's root.
fn inside(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    let mut path = path.strip_prefix(b"/").unwrap_or(path);
    while path == b".." || path.starts_with(b"../") {
        path = path[2..].strip_prefix(b"/").unwrap_or(&path[2..]);
    }
    path
}
