//! What the files of procfs say. Pure: bytes in, values out.
//!
//! A parser answers nothing where the bytes are not what the kernel writes; it never guesses.

use crate::units::{Amounts, Bytes, Count, CpuNanos, Pages, Pid, Ticks, Uid};

/// The fields of `/proc/PID/stat` that psstat reckons with (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat<'a> {
    /// Field 2: the name, parentheses off. The process chose it: any bytes, up to 15 of them
    /// (`TASK_COMM_LEN`), up to 63 for a kernel thread.
    pub comm: &'a [u8],
    /// Field 3: `R`, `S`, `D`, `Z`, `T`, `t`, `X`, `I`.
    pub state: u8,
    /// Field 4: the parent, [`Pid::NONE`] where there is none in this pid namespace.
    pub parent: Pid,
    /// Fields 14 and 15: CPU time of the process itself, all threads, in user and kernel mode.
    pub own: Ticks,
    /// Fields 16 and 17: CPU time of the children it has waited for, and of theirs.
    pub children: Ticks,
    /// Field 20: number of threads.
    pub threads: u64,
    /// Field 22: when it started, in ticks since boot.
    pub start: Ticks,
}

impl Stat<'_> {
    /// Whether the process still runs. A leader that has left its other threads behind shows as
    /// a zombie too, though the process lives on: only its last thread makes it one.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x') || self.threads > 1
    }
}

/// Reads the line of `/proc/PID/stat`.
///
/// The name may hold `)`, spaces and line feeds; none of the fields behind it can, so the last
/// `)` ends it.
pub fn stat(line: &[u8]) -> Option<Stat<'_>> {
    let open = memchr::memchr(b'(', line)?;
    let close = memchr::memrchr(b')', line)?;
    let comm = line.get(open + 1..close)?;
    let mut fields = Fields(line.get(close + 1..)?);

    let state = match fields.next()? {
        [state] => *state,
        _ => return None,
    };
    let parent = Pid::new(u32::try_from(fields.number()?).ok()?);
    // pgrp, session, tty_nr, tpgid, flags, minflt, cminflt, majflt, cmajflt
    fields.skip(9)?;
    let user = fields.number()?;
    let system = fields.number()?;
    let children_user = fields.signed()?;
    let children_system = fields.signed()?;
    // priority, nice
    fields.skip(2)?;
    let threads = fields.number()?;
    // itrealvalue
    fields.skip(1)?;
    let start = fields.number()?;
    Some(Stat {
        comm,
        state,
        parent,
        own: Ticks(user) + Ticks(system),
        children: Ticks(children_user) + Ticks(children_system),
        threads,
        start: Ticks(start),
    })
}

/// Major page faults in the line of `/proc/PID/stat`, fields 12 and 13: those of the process itself,
/// and of the children it has waited for; with the start, field 22, which tells whose they are.
pub fn major_faults(line: &[u8]) -> Option<(Ticks, Amounts<Count>)> {
    let close = memchr::memrchr(b')', line)?;
    let mut fields = Fields(line.get(close + 1..)?);
    // state, ppid, pgrp, session, tty_nr, tpgid, flags, minflt, cminflt
    fields.skip(9)?;
    let amounts = Amounts { own: Count(fields.number()?), children: Count(fields.number()?) };
    // utime, stime, cutime, cstime, priority, nice, num_threads, itrealvalue
    fields.skip(8)?;
    Some((Ticks(fields.number()?), amounts))
}

/// Traffic with storage as `/proc/PID/io` tells it (proc_pid_io(5)), in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Io {
    /// `read_bytes`: fetched from storage.
    pub read: Count,
    /// `write_bytes`: sent to storage, or left to the page cache to be sent.
    pub written: Count,
}

/// Reads `/proc/PID/io`.
pub fn io(text: &[u8]) -> Option<Io> {
    let line = |key| Fields(line_after(text, key)?).number().map(Count);
    Some(Io { read: line(b"read_bytes:")?, written: line(b"write_bytes:")? })
}

/// Switches of context in the `status` of a thread, those it asked for and others
/// (proc_pid_status(5)).
pub fn switches(status: &[u8]) -> Option<Count> {
    let line = |key| Fields(line_after(status, key)?).number().map(Count);
    Some(line(b"voluntary_ctxt_switches:")? + line(b"nonvoluntary_ctxt_switches:")?)
}

/// Resident memory of one process as `/proc/PID/statm` tells it (proc_pid_statm(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statm {
    /// Field 2: pages in memory.
    pub resident: Pages,
    /// Field 3: those of them that are backed by a file or by shared memory.
    pub shared: Pages,
}

/// Reads the line of `/proc/PID/statm`.
pub fn statm(line: &[u8]) -> Option<Statm> {
    let mut fields = Fields(line);
    fields.skip(1)?;
    let resident = Pages(fields.number()?);
    let shared = Pages(fields.number()?);
    Some(Statm { resident, shared })
}

/// The proportional share in `/proc/PID/smaps_rollup`: each page divided by the number of
/// processes that map it (proc_pid_smaps(5)).
pub fn smaps_rollup_pss(text: &[u8]) -> Option<Bytes> {
    kib_line(text, b"Pss:")
}

/// `MemTotal` of `/proc/meminfo`: what the machine has (proc_meminfo(5)).
pub fn mem_total(text: &[u8]) -> Option<Bytes> {
    kib_line(text, b"MemTotal:")
}

/// The effective user in the `Uid:` line of `/proc/PID/status` (proc_pid_status(5)): the second
/// of real, effective, saved, file system.
pub fn status_effective_uid(text: &[u8]) -> Option<Uid> {
    let mut fields = Fields(line_after(text, b"Uid:")?);
    fields.skip(1)?;
    u32::try_from(fields.number()?).ok().map(Uid)
}

/// The first line of a pid file: a number and nothing else but white space around it.
pub fn pid_file(text: &[u8]) -> Option<Pid> {
    let first = text.split(|&byte| byte == b'\n').next()?;
    Pid::parse(first.trim_ascii())
}

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
    let micros = Fields(line_after(text, b"usage_usec ")?).number()?;
    Some(CpuNanos(micros.saturating_mul(1000)))
}

/// `cpuacct.usage`: the same on v1, in nanoseconds (cgroup-v1/cpuacct.rst).
pub fn cpuacct_usage(text: &[u8]) -> Option<CpuNanos> {
    number(text).map(CpuNanos)
}

/// The number that is all of a file.
pub fn number(text: &[u8]) -> Option<u64> {
    decimal(text.trim_ascii())
}

/// The tasks that exist, and the newest pid, from `/proc/loadavg` (proc_loadavg(5)): the fourth
/// field behind its slash, and the last.
pub fn loadavg(text: &[u8]) -> Option<(u64, Pid)> {
    let mut fields = Fields(text);
    fields.skip(3)?;
    let mut tasks = fields.next()?.splitn(2, |&byte| byte == b'/');
    let tasks = decimal(tasks.nth(1)?)?;
    Some((tasks, Pid::parse(fields.next()?)?))
}

/// The tasks made since boot: `processes` of `/proc/stat` (proc_stat(5)).
pub fn forks(text: &[u8]) -> Option<u64> {
    Fields(line_after(text, b"processes ")?).number()
}

/// How many processors a list such as `0-3,8` names.
pub fn cpu_list(text: &[u8]) -> Option<u64> {
    let mut count = 0u64;
    for range in text.trim_ascii().split(|&byte| byte == b',') {
        let mut ends = range.splitn(2, |&byte| byte == b'-');
        let first = decimal(ends.next()?)?;
        let last = ends.next().map_or(Some(first), decimal)?;
        count = count.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    Some(count)
}

/// Turns `/proc/PID/cmdline`, where each argument ends in a NUL, into the arguments joined by one
/// space, in place. NULs at the end go: a process that has written a title over its arguments
/// leaves any number of them (proc_pid_cmdline(5)).
pub fn join_arguments(cmdline: &mut Vec<u8>) {
    while cmdline.last() == Some(&0) {
        cmdline.pop();
    }
    for byte in cmdline.iter_mut().filter(|byte| **byte == 0) {
        *byte = b' ';
    }
}

/// The value of `KEY:   N kB`, wherever the line stands.
fn kib_line(text: &[u8], key: &[u8]) -> Option<Bytes> {
    Fields(line_after(text, key)?).number().map(Bytes::from_kib)
}

/// What follows `key` on the line that begins with it.
fn line_after<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(key))
}

/// The words of a line, in order, by the white space between them.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|byte| !byte.is_ascii_whitespace())?;
        let rest = &self.0[start..];
        let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        self.0 = &rest[end..];
        Some(&rest[..end])
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        for _ in 0..count {
            self.next()?;
        }
        Some(())
    }

    fn number(&mut self) -> Option<u64> {
        decimal(self.next()?)
    }

    /// A field that the kernel prints as signed though it counts time: below zero it has
    /// overflowed and says nothing.
    fn signed(&mut self) -> Option<u64> {
        let word = self.next()?;
        match word.strip_prefix(b"-") {
            Some(digits) => decimal(digits).map(|_| 0),
            None => decimal(word),
        }
    }
}

/// Decimal digits, all of them, within 64 bits.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut number = 0u64;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TAIL: &str = "S 7 8 9 10 11 12 13 14 15 16 170 18 19 -20 21 -22 23 24 2500 26 27";

    fn line(comm: &[u8], tail: &str) -> Vec<u8> {
        [b"42 (", comm, b") ", tail.as_bytes(), b"\n"].concat()
    }

    #[test]
    fn the_fields_are_those_of_the_manual_page() {
        let text = line(b"nginx", TAIL);
        let stat = stat(&text).unwrap();
        assert_eq!(stat.comm, b"nginx");
        assert_eq!(stat.state, b'S');
        assert_eq!(stat.parent, Pid::new(7));
        assert_eq!(stat.own, Ticks(170 + 18));
        assert_eq!(stat.children, Ticks(19), "a negative cstime says nothing");
        assert_eq!(stat.threads, 23);
        assert_eq!(stat.start, Ticks(2500));
    }

    #[test]
    fn no_name_moves_the_fields_behind_it() {
        for comm in [
            &b"a) b"[..],
            b"nginx) S 4242 1",
            b"",
            b")",
            b"(",
            b") Z 1 1 1 (",
            b"a\nb",
            b"\xff\xfe",
            b"foo\\",
            b"kworker/u8:2-events_unbound_and_a_very_long_name_of_a_kernel_th",
        ] {
            let text = line(comm, TAIL);
            let stat = stat(&text).unwrap();
            assert_eq!(stat.comm, comm);
            assert_eq!(stat.parent, Pid::new(7));
        }
    }

    #[test]
    fn a_zombie_is_alive_while_other_threads_run() {
        let dead = line(b"x", &TAIL.replacen('S', "Z", 1).replace(" 23 24 ", " 1 24 "));
        assert!(!stat(&dead).unwrap().is_alive());
        let leaderless = line(b"x", &TAIL.replacen('S', "Z", 1));
        assert!(stat(&leaderless).unwrap().is_alive());
    }

    #[test]
    fn what_the_kernel_never_writes_is_refused() {
        for text in [
            &b""[..],
            b"\n",
            b"42",
            b"42 (x",
            b"42 x) S",
            b")(",
            b"42 (x) S",
            b"42 (x) SS 7 8 9 10 11 12 13 14 15 16 170 18 19 20 21 22 23 24 2500 26",
            b"42 (x) S seven 8 9 10 11 12 13 14 15 16 170 18 19 20 21 22 23 24 2500 26",
            b"42 (x) S -1 8 9 10 11 12 13 14 15 16 170 18 19 20 21 22 23 24 2500 26",
            b"42 (x) S 7 8 9 10 11 12 13 14 15 16 99999999999999999999 18 19 20 21 22 23 24 25",
        ] {
            assert_eq!(stat(text), None, "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(statm(b"1 2\n"), None);
        assert_eq!(statm(b"1 x 3\n"), None);
        assert_eq!(mem_total(b"MemFree: 3 kB\n"), None);
    }

    #[test]
    fn memory_files() {
        assert_eq!(
            statm(b"100 20 3 4 0 6 0\n"),
            Some(Statm { resident: Pages(20), shared: Pages(3) })
        );
        assert_eq!(
            mem_total(b"MemTotal:       16316932 kB\nMemFree: 1 kB\n").unwrap().0,
            16708538368
        );
        let rollup =
            b"560a-7ffd ---p 00000000 00:00 0    [rollup]\nRss: 9 kB\nPss: 5 kB\nPss_Dirty: 1 kB\n";
        assert_eq!(smaps_rollup_pss(rollup), Some(Bytes(5 * 1024)));
        assert_eq!(smaps_rollup_pss(b""), None, "a kernel thread has none");
    }

    #[test]
    fn counters_of_events() {
        let faults = (Ticks(2500), Amounts { own: Count(15), children: Count(16) });
        for comm in [&b"x"[..], b"a) S 1 2 (", b"\n"] {
            assert_eq!(major_faults(&line(comm, TAIL)), Some(faults));
        }
        assert_eq!(major_faults(&line(b"x", &TAIL.replace(" 16 ", " -16 "))), None);
        assert_eq!(major_faults(b"42 (x) S 7 8 9 10 11 12 13 14 15 16"), None);

        let text = b"rchar: 1\nwchar: 2\nread_bytes: 4096\nwrite_bytes: 8192\n\
                     cancelled_write_bytes: 9\n";
        assert_eq!(io(text), Some(Io { read: Count(4096), written: Count(8192) }));
        for text in [
            &b""[..],
            b"read_bytes: 1\n",
            b"write_bytes: 1\ncancelled_write_bytes: 1\n",
            b"read_bytes: x\nwrite_bytes: 1\n",
            b"read_bytes: -1\nwrite_bytes: 1\n",
            b"read_bytes: 18446744073709551616\nwrite_bytes: 1\n",
        ] {
            assert_eq!(io(text), None, "{}", String::from_utf8_lossy(text));
        }

        let text = b"Name:\tx\nvoluntary_ctxt_switches:\t512\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(switches(text), Some(Count(519)));
        assert_eq!(switches(b"nonvoluntary_ctxt_switches:\t7\n"), None);
        assert_eq!(switches(b"voluntary_ctxt_switches:\t7\n"), None);
    }

    #[test]
    fn the_effective_user_is_the_second() {
        assert_eq!(status_effective_uid(b"Name:\tx\nUid:\t1\t2\t3\t4\n"), Some(Uid(2)));
        assert_eq!(status_effective_uid(b"Name:\tx\n"), None);
    }

    #[test]
    fn a_pid_file_is_a_number_on_its_first_line() {
        assert_eq!(pid_file(b"42\n"), Some(Pid::new(42)));
        assert_eq!(pid_file(b"  42 \r\nrest\n"), Some(Pid::new(42)));
        assert_eq!(pid_file(b"42"), Some(Pid::new(42)));
        for text in [&b""[..], b"\n42\n", b"0\n", b"-1\n", b"4 2\n", b"pid 42\n", b"99999999999\n"]
        {
            assert_eq!(pid_file(text), None, "{text:?}");
        }
    }

    #[test]
    fn arguments_are_joined_by_one_space() {
        let mut line = b"nginx: master\0-g\0daemon off;\0".to_vec();
        join_arguments(&mut line);
        assert_eq!(line, b"nginx: master -g daemon off;");
        let mut padded = b"postgres: writer\0\0\0\0".to_vec();
        join_arguments(&mut padded);
        assert_eq!(padded, b"postgres: writer");
    }

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

    #[test]
    fn files_that_tell_of_births() {
        let text = b"109.28 32.55 13.29 2/10212 21958\n";
        assert_eq!(loadavg(text), Some((10212, Pid::new(21958))));
        for text in [&b"1 2 3 4 5\n"[..], b"1 2 3 4/5\n", b"1 2 3 4/5 0\n", b""] {
            assert_eq!(loadavg(text), None, "{text:?}");
        }
        assert_eq!(forks(b"cpu 1\nprocesses 119245\nprocs_running 2\n"), Some(119_245));
        assert_eq!(forks(b"cpu 1\n"), None);
        assert_eq!(number(b"4194304\n"), Some(4_194_304));
    }

    #[test]
    fn processors_are_counted_from_ranges() {
        assert_eq!(cpu_list(b"0\n"), Some(1));
        assert_eq!(cpu_list(b"0-3,8,10-11\n"), Some(7));
        for text in [&b"\n"[..], b"3-1\n", b"a\n", b"0-\n"] {
            assert_eq!(cpu_list(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = stat(&bytes);
            let _ = statm(&bytes);
            let _ = major_faults(&bytes);
            let _ = io(&bytes);
            let _ = switches(&bytes);
            let _ = mem_total(&bytes);
            let _ = smaps_rollup_pss(&bytes);
            let _ = status_effective_uid(&bytes);
            let _ = pid_file(&bytes);
            let _ = cgroup_path(&bytes);
            let _ = manager_root(&bytes);
            let _ = cgroup_procs(&bytes);
            let _ = cpu_stat_usage(&bytes);
            let _ = cpu_list(&bytes);
            let _ = loadavg(&bytes);
            let _ = forks(&bytes);
        }

        #[test]
        fn any_name_is_given_back(comm in proptest::collection::vec(any::<u8>(), 0..64)) {
            let text = line(&comm, TAIL);
            let stat = stat(&text).unwrap();
            prop_assert_eq!(stat.comm, &comm[..]);
            prop_assert_eq!(stat.start, Ticks(2500));
        }
    }
}
