//! The text formats of cgroupfs, and of `/proc/PID/cgroup` (cgroups(7)). A parser returns `None` if
//! the bytes are not what the kernel writes.

use super::line::{Words, line_after, number};
use crate::model::units::{CpuNanos, Pid};
use alloc::vec::Vec;

/// The control group of a process, from `/proc/PID/cgroup` (cgroups(7)): the path in the hierarchy
/// that systemd keeps its units in, without slashes at its ends; empty for the root.
///
/// That is the `0::` line where it says anything: on v2, and in hybrid mode. On v1 it is absent, or
/// says `/` of everyone; then the `name=systemd` line counts, and without systemd that of
/// `cpuacct`. A process outside the reader's own root shows as `/../...`.
pub fn cgroup_path(text: &[u8]) -> Option<&[u8]> {
    let mut best: Option<(u8, &[u8])> = None;
    for line in text.split(|&byte| byte == b'\n') {
        let mut parts = line.splitn(3, |&byte| byte == b':');
        let (Some(number), Some(controllers), Some(path)) =
            (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
        let mut path = path.strip_prefix(b"/").unwrap_or(path);
        while let Some(inside) = path.strip_prefix(b"..") {
            path = inside.strip_prefix(b"/").unwrap_or(inside);
        }
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
        // A line that says nothing but the root yields to any that says more.
        let rank = if path.is_empty() { 1 } else { rank };
        if best.is_none_or(|(other, _)| rank > other) {
            best = Some((rank, path));
        }
    }
    best.map(|(_, path)| path)
}

/// The folder that systemd takes for the root of its units, from `/proc/1/cgroup`: itself it runs
/// in `init.scope` right below. Empty, which is the root of the hierarchy, but in containers.
pub fn manager_root(init: &[u8]) -> Vec<u8> {
    let path = cgroup_path(init).unwrap_or_default();
    path.strip_suffix(b"/init.scope").unwrap_or_default().to_vec()
}

/// The processes listed in `cgroup.procs`, sorted, and how many more there are that have no number
/// here: those of foreign pid namespaces stand as 0.
pub fn cgroup_procs(text: &[u8]) -> (Vec<Pid>, u64) {
    let mut foreign = 0;
    let mut pids = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        match Pid::parse(line) {
            Some(pid) => pids.push(pid),
            None => foreign += u64::from(line == b"0"),
        }
    }
    // v1 lists them in any order, and may list one twice (cgroup-v1/cgroups.rst).
    pids.sort_unstable();
    pids.dedup();
    (pids, foreign)
}

/// `usage_usec` of `cpu.stat`: what the group and all below it have used since it was made,
/// whatever has become of the processes (cgroup-v2.rst).
pub fn cpu_stat_usage(text: &[u8]) -> Option<CpuNanos> {
    let micros = Words(line_after(text, b"usage_usec ")?).number()?;
    Some(CpuNanos(micros.saturating_mul(1000)))
}

/// `cpuacct.usage`: the same on v1, in nanoseconds (cgroup-v1/cpuacct.rst).
pub fn cpuacct_usage(text: &[u8]) -> Option<CpuNanos> {
    number(text).map(CpuNanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use proptest::prelude::*;

    #[test]
    fn the_control_group_is_that_of_the_line_that_systemd_uses() {
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
        assert_eq!(path("0::/gone.service (deleted)\n").unwrap(), "gone.service");
        assert_eq!(path(""), None);
    }

    #[test]
    fn systemd_may_have_a_root_of_its_own() {
        assert_eq!(manager_root(b"0::/init.scope\n"), b"");
        assert_eq!(manager_root(b"0::/docker/abc/init.scope\n"), b"docker/abc");
        assert_eq!(manager_root(b"0::/docker/abc\n"), b"", "process 1 is no systemd");
        assert_eq!(manager_root(b""), b"");
    }

    #[test]
    fn control_group_files() {
        let pids = |numbers: &[u32]| numbers.iter().map(|&n| Pid::new(n)).collect::<Vec<_>>();
        assert_eq!(cgroup_procs(b"12\n7\n12\n0\n0\n"), (pids(&[7, 12]), 2));
        assert_eq!(cgroup_procs(b""), (pids(&[]), 0));
        let stat = b"usage_usec 611553429\nuser_usec 543045052\n";
        assert_eq!(cpu_stat_usage(stat), Some(CpuNanos(611_553_429_000)));
        assert_eq!(cpu_stat_usage(b"nr_periods 0\n"), None);
        assert_eq!(cpuacct_usage(b"123456789\n"), Some(CpuNanos(123_456_789)));
        assert_eq!(cpuacct_usage(b""), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = cgroup_path(&bytes);
            let _ = manager_root(&bytes);
            let _ = cgroup_procs(&bytes);
            let _ = cpu_stat_usage(&bytes);
        }
    }
}
