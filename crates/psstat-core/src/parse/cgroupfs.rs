//! Parsers for the files of cgroupfs, and for `/proc/PID/cgroup` (cgroups(7)).

use super::line::{Words, decimal, line_after, number};
use crate::model::control_group::NO_LIMIT;
use crate::model::memory::MemoryAccount;
use crate::model::units::{Bytes, CpuNanos, Pid};
use alloc::vec::Vec;

/// Parses the control group of a process in `/proc/PID/cgroup` (cgroups(7)). Returns the path in
/// the hierarchy that systemd uses for its units, without a slash at either end; empty for the
/// root. `None` if no such hierarchy is listed.
///
/// On v2 and in hybrid mode, this is the path in the line `0::`. On v1 this line is missing or has
/// the path `/` for all processes. Then the path is in the line of `name=systemd` or, without
/// systemd, of `cpuacct`. The path of a process outside the reader's root begins with `/..`, which
/// is removed.
pub fn cgroup_path(text: &[u8]) -> Option<&[u8]> {
    let mut best: Option<(u8, &[u8])> = None;
    for line in text.split(|&byte| byte == b'\n') {
        let mut parts = line.splitn(3, |&byte| byte == b':');
        let (Some(number), Some(controllers), Some(path)) =
            (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let path = below_root(path);
        let mut controllers = controllers.split(|&byte| byte == b',');
        let rank = if number == b"0" {
            4
        } else if controllers.clone().any(|name| name == b"name=systemd") {
            3
        } else if controllers.any(|name| name == b"cpuacct") {
            2
        } else {
            continue;
        };
        // A line with the root has the lowest rank, because a line of an unused hierarchy has it.
        let rank = if path.is_empty() { 1 } else { rank };
        if best.is_none_or(|(other, _)| rank > other) {
            best = Some((rank, path));
        }
    }
    best.map(|(_, path)| path)
}

/// A path in `/proc/PID/cgroup`, without a slash at either end, and without the `..` that lead out of the
/// reader's root.
fn below_root(path: &[u8]) -> &[u8] {
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    let mut path = path.strip_prefix(b"/").unwrap_or(path);
    while let Some(inside) = path.strip_prefix(b"..")
        && (inside.is_empty() || inside.starts_with(b"/"))
    {
        path = inside.strip_prefix(b"/").unwrap_or(inside);
    }
    path
}

/// Finds the directory that systemd uses as the root of its units, given `/proc/1/cgroup`. systemd
/// itself runs in `init.scope` directly below it. It is empty, which is the root of the hierarchy,
/// except in some containers.
pub fn manager_root(init: &[u8]) -> Vec<u8> {
    let path = cgroup_path(init).unwrap_or_default();
    path.strip_suffix(b"/init.scope").unwrap_or_default().to_vec()
}

/// Parses `cgroup.procs`. Returns the pids, sorted, and the number of processes of other pid
/// namespaces, which the kernel lists as 0 (cgroup-v2.rst).
pub fn cgroup_procs(text: &[u8]) -> (Vec<Pid>, u64) {
    let mut foreign = 0;
    let mut pids = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        match Pid::parse(line) {
            Some(pid) => pids.push(pid),
            None => foreign += u64::from(line == b"0"),
        }
    }
    // v1 lists pids in any order, and can list a pid twice (cgroup-v1/cgroups.rst).
    pids.sort_unstable();
    pids.dedup();
    (pids, foreign)
}

/// Parses `usage_usec` in `cpu.stat` of v2: the CPU time that the group and all groups below it
/// have used since it was made, processes that have ended included (cgroup-v2.rst). `None` if the
/// line is missing.
pub fn cpu_stat_usage(text: &[u8]) -> Option<CpuNanos> {
    let micros = Words(line_after(text, b"usage_usec ")?).number()?;
    Some(CpuNanos(micros.saturating_mul(1000)))
}

/// Parses `cpuacct.usage`, the same CPU time on v1 (cgroup-v1/cpuacct.rst).
pub fn cpuacct_usage(text: &[u8]) -> Option<CpuNanos> {
    number(text).map(CpuNanos)
}

/// Finds the control group that accounts the memory of a process, in `/proc/PID/cgroup` (cgroups(7)):
/// the path in the line of the controller `memory` on v1, in the line `0::` on v2. Without a slash at
/// either end; empty for the root. `None` if it is not listed.
///
/// The path of a process outside the reader's root begins with `/..`, which is removed.
pub fn memory_path(text: &[u8], is_v1: bool) -> Option<&[u8]> {
    text.split(|&byte| byte == b'\n').find_map(|line| {
        let mut parts = line.splitn(3, |&byte| byte == b':');
        let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let mut controllers = controllers.split(|&byte| byte == b',');
        let is_it = if is_v1 { controllers.any(|name| name == b"memory") } else { number == b"0" };
        is_it.then(|| below_root(path))
    })
}

/// Parses `memory.stat`: the memory of a control group and all below it (cgroup-v2.rst;
/// cgroup-v1/memory.rst). `None` if a line is missing.
pub fn memory_stat(text: &[u8], is_v1: bool) -> Option<MemoryAccount> {
    let keys: [&[u8]; 2] =
        if is_v1 { [b"total_rss ", b"total_mapped_file "] } else { [b"anon ", b"file_mapped "] };
    let [anonymous, mapped] = keys.map(|key| Words(line_after(text, key)?).number().map(Bytes));
    Some(MemoryAccount { anonymous: anonymous?, mapped: mapped? })
}

/// Parses `throttled_usec` in `cpu.stat` of v2, in nanoseconds. `None` if the line is missing: the
/// controller `cpu` is not enabled for the group.
pub fn cpu_stat_throttled(text: &[u8]) -> Option<u64> {
    Some(Words(line_after(text, b"throttled_usec ")?).number()?.saturating_mul(1000))
}

/// Parses `total` in the line `some` of `cpu.pressure`, `memory.pressure` or `io.pressure`
/// (Documentation/accounting/psi.rst), in nanoseconds.
pub fn pressure_total(text: &[u8]) -> Option<u64> {
    let mut words = Words(line_after(text, b"some ")?);
    let total =
        core::iter::from_fn(|| words.word()).find_map(|word| word.strip_prefix(b"total="))?;
    Some(decimal(total)?.saturating_mul(1000))
}

/// Parses `oom_kill` in `memory.events` (cgroup-v2.rst).
pub fn oom_kills(text: &[u8]) -> Option<u64> {
    Words(line_after(text, b"oom_kill ")?).number()
}

/// Parses `memory.max`: bytes, or [`NO_LIMIT`] for `max`.
pub fn memory_limit(text: &[u8]) -> Option<u64> {
    if text.trim_ascii() == b"max" { Some(NO_LIMIT) } else { number(text) }
}

/// Parses `memory.peak` and `memory.swap.current`: bytes.
pub fn bytes(text: &[u8]) -> Option<u64> {
    number(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use proptest::prelude::*;

    #[test]
    fn the_path_is_from_the_line_that_systemd_uses() {
        let path = |text: &str| {
            cgroup_path(text.as_bytes()).map(|path| String::from_utf8_lossy(path).into_owned())
        };
        let v2 = "0::/system.slice/nginx.service\n";
        assert_eq!(path(v2).unwrap(), "system.slice/nginx.service");
        let hybrid =
            "9:name=systemd:/system.slice/x.service\n2:cpu,cpuacct:/\n0::/system.slice/x.service\n";
        assert_eq!(path(hybrid).unwrap(), "system.slice/x.service");
        let v1 = "9:name=systemd:/system.slice/a:b.service\n2:cpu,cpuacct:/other\n0::/\n";
        assert_eq!(path(v1).unwrap(), "system.slice/a:b.service");
        assert_eq!(path("2:cpu,cpuacct:/docker/abc\n0::/\n").unwrap(), "docker/abc");
        assert_eq!(path("3:memory:/elsewhere\n0::/\n").unwrap(), "");
        assert_eq!(path("0::/../../system.slice/x.service\n").unwrap(), "system.slice/x.service");
        assert_eq!(path("0::/..\n").unwrap(), "");
        assert_eq!(path("0::/..a/b\n").unwrap(), "..a/b");
        assert_eq!(path("0::/gone.service (deleted)\n").unwrap(), "gone.service");
        assert_eq!(path(""), None);
    }

    #[test]
    fn systemd_can_have_its_own_root() {
        assert_eq!(manager_root(b"0::/init.scope\n"), b"");
        assert_eq!(manager_root(b"0::/docker/abc/init.scope\n"), b"docker/abc");
        assert_eq!(manager_root(b"0::/docker/abc\n"), b"", "process 1 is not systemd");
        assert_eq!(manager_root(b""), b"");
    }

    #[test]
    fn control_group_files_are_parsed() {
        let pids = |numbers: &[u32]| numbers.iter().map(|&n| Pid::new(n)).collect::<Vec<_>>();
        assert_eq!(cgroup_procs(b"12\n7\n12\n0\n0\n"), (pids(&[7, 12]), 2));
        assert_eq!(cgroup_procs(b""), (pids(&[]), 0));
        let stat = b"usage_usec 611553429\nuser_usec 543045052\n";
        assert_eq!(cpu_stat_usage(stat), Some(CpuNanos(611_553_429_000)));
        assert_eq!(cpu_stat_usage(b"nr_periods 0\n"), None);
        assert_eq!(cpuacct_usage(b"123456789\n"), Some(CpuNanos(123_456_789)));
        assert_eq!(cpuacct_usage(b""), None);
    }

    #[test]
    fn the_memory_of_a_control_group_is_parsed() {
        let listed = b"9:name=systemd:/a\n4:cpu,memory:/b:c (deleted)\n0::/../d\n";
        assert_eq!(memory_path(listed, true), Some(&b"b:c"[..]));
        assert_eq!(memory_path(listed, false), Some(&b"d"[..]));
        assert_eq!(memory_path(b"0::/\n", true), None);
        let v2 = b"anon 4096\nfile 9\nkernel 3\nfile_mapped 8192\n";
        let account = MemoryAccount { anonymous: Bytes(4096), mapped: Bytes(8192) };
        assert_eq!(memory_stat(v2, false), Some(account));
        assert_eq!(memory_stat(v2, true), None);
        let v1 =
            b"rss 1\nmapped_file 2\ntotal_rss 4096\ntotal_rss_huge 7\ntotal_mapped_file 8192\n";
        assert_eq!(memory_stat(v1, true), Some(account));
        assert_eq!(memory_stat(b"anon 4096\n", false), None);
    }

    #[test]
    fn what_a_control_group_feels_is_parsed() {
        let stat = b"usage_usec 9\nnr_throttled 3\nthrottled_usec 1234\nnr_bursts 0\n";
        assert_eq!(cpu_stat_throttled(stat), Some(1_234_000));
        assert_eq!(cpu_stat_throttled(b"usage_usec 9\nnot_throttled_usec 1\n"), None);
        assert_eq!(cpu_stat_throttled(b"throttled_usec 18446744073709551615\n"), Some(u64::MAX));
        let pressure = b"some avg10=1.20 avg60=0.30 avg300=0.00 total=4321\n\
                         full avg10=0.00 avg60=0.00 avg300=0.00 total=99\n";
        assert_eq!(pressure_total(pressure), Some(4_321_000));
        for odd in ["", "full total=9\n", "some avg10=0\n", "some total=\n", "some total=-1\n"] {
            assert_eq!(pressure_total(odd.as_bytes()), None, "{odd:?}");
        }
        let events = b"low 0\nhigh 0\nmax 12\noom 2\noom_kill 7\noom_group_kill 1\n";
        assert_eq!(oom_kills(events), Some(7));
        assert_eq!(oom_kills(b"low 0\noom 2\n"), None);
        assert_eq!(memory_limit(b"67108864\n"), Some(67_108_864));
        assert_eq!(memory_limit(b"max\n"), Some(NO_LIMIT));
        assert_eq!(memory_limit(b"maximum\n"), None);
        assert_eq!((bytes(b"0\n"), bytes(b"1 2\n"), bytes(b"")), (Some(0), None, None));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = cgroup_path(&bytes);
            let _ = manager_root(&bytes);
            let _ = cgroup_procs(&bytes);
            let _ = cpu_stat_usage(&bytes);
            let _ = cpu_stat_throttled(&bytes);
            let _ = pressure_total(&bytes);
            let _ = oom_kills(&bytes);
            let _ = memory_limit(&bytes);
            for is_v1 in [false, true] {
                let _ = memory_path(&bytes, is_v1);
                let _ = memory_stat(&bytes, is_v1);
            }
        }
    }
}
