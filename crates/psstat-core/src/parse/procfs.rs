//! Parsers for the files of procfs (proc(5)). Each returns `None` if the bytes are not what the
//! kernel writes.

use super::line::{Words, decimal, kib_line, line_after};
use crate::model::memory::{MachineMemory, Proportional, Split, Statm};
use crate::model::process::{Kinship, Stat};
use crate::model::readings::Storage;
use crate::model::units::{Amounts, Bytes, Count, CpuNanos, Pages, Pid, Ticks, Uid};
use alloc::vec::Vec;

/// Parses `/proc/PID/stat` (proc_pid_stat(5)).
///
/// The name can contain `)`, spaces and line feeds. The fields after it cannot contain `)`, so the
/// name ends at the last `)`.
pub fn stat(line: &[u8]) -> Option<Stat<'_>> {
    let open = memchr::memchr(b'(', line)?;
    let close = memchr::memrchr(b')', line)?;
    let comm = line.get(open + 1..close)?;
    let mut words = Words(line.get(close + 1..)?);

    let state = match words.word()? {
        [state] => *state,
        _ => return None,
    };
    let parent = Pid::checked(words.number()?)?;
    // pgrp, session, tty_nr, tpgid, flags, minflt, cminflt, majflt, cmajflt
    words.skip(9)?;
    let user = words.number()?;
    let system = words.number()?;
    let children_user = words.signed()?;
    let children_system = words.signed()?;
    // priority, nice
    words.skip(2)?;
    let threads = words.number()?;
    // itrealvalue
    words.skip(1)?;
    let start = words.number()?;
    Some(Stat {
        comm,
        state,
        parent,
        times: Amounts {
            own: Ticks(user) + Ticks(system),
            children: Ticks(children_user) + Ticks(children_system),
        },
        threads,
        start: Ticks(start),
    })
}

/// Parses process group, session and flags in `/proc/PID/stat` (proc_pid_stat(5)).
pub fn kinship(line: &[u8]) -> Option<Kinship> {
    const PF_KTHREAD: u64 = 0x0020_0000;
    let close = memchr::memrchr(b')', line)?;
    let mut words = Words(line.get(close + 1..)?);
    // state, ppid
    words.skip(2)?;
    let group = Pid::checked(words.number()?)?;
    let session = Pid::checked(words.number()?)?;
    // tty_nr, tpgid
    words.skip(2)?;
    Some(Kinship { group, session, is_kernel_thread: words.number()? & PF_KTHREAD != 0 })
}

/// Parses the major page faults in `/proc/PID/stat` (proc_pid_stat(5)): field 12, of the process
/// itself, and field 13, of the children it has waited for. Also returns the start of the process,
/// field 22, so that the caller can check which process was read.
pub fn major_faults(line: &[u8]) -> Option<(Ticks, Amounts<Count>)> {
    let close = memchr::memrchr(b')', line)?;
    let mut words = Words(line.get(close + 1..)?);
    // state, ppid, pgrp, session, tty_nr, tpgid, flags, minflt, cminflt
    words.skip(9)?;
    let amounts = Amounts { own: Count(words.number()?), children: Count(words.number()?) };
    // utime, stime, cutime, cstime, priority, nice, num_threads, itrealvalue
    words.skip(8)?;
    Some((Ticks(words.number()?), amounts))
}

/// Parses the CPU time in `/proc/PID/schedstat`, the first of three numbers
/// (Documentation/scheduler/sched-stats.rst of the kernel).
pub fn schedstat(line: &[u8]) -> Option<CpuNanos> {
    Words(line).number().map(CpuNanos)
}

/// Parses `/proc/PID/io` (proc_pid_io(5)).
pub fn io(text: &[u8]) -> Option<Storage> {
    let line = |key| Words(line_after(text, key)?).number().map(Count);
    Some(Storage { read: line(b"read_bytes:")?, written: line(b"write_bytes:")? })
}

/// Parses the context switches, voluntary and involuntary, in `/proc/PID/task/TID/status`
/// (proc_pid_status(5)). Returns the sum.
pub fn switches(status: &[u8]) -> Option<Count> {
    let line = |key| Words(line_after(status, key)?).number().map(Count);
    Some(line(b"voluntary_ctxt_switches:")? + line(b"nonvoluntary_ctxt_switches:")?)
}

/// Parses `/proc/PID/statm` (proc_pid_statm(5)).
pub fn statm(line: &[u8]) -> Option<Statm> {
    let mut words = Words(line);
    words.skip(1)?;
    let resident = Pages(words.number()?);
    let shared = Pages(words.number()?);
    Some(Statm { resident, shared })
}

/// Parses the proportional set size (PSS) in `/proc/PID/smaps_rollup`. Each page counts divided by
/// the number of processes that map it (proc_pid_smaps(5)).
pub fn smaps_rollup(text: &[u8]) -> Option<Proportional> {
    let line = |key: &[u8]| kib_line(text, key);
    let split = || {
        let anonymous = line(b"Pss_Anon:")?;
        let own = line(b"Private_Dirty:")?;
        let whole = line(b"Anonymous:")?;
        Some(Split {
            anonymous,
            mapped: line(b"Pss_File:")? + line(b"Pss_Shmem:")?,
            anonymous_shared: anonymous.less(own),
            anonymous_shared_whole: whole.less(own),
        })
    };
    Some(Proportional {
        total: line(b"Pss:")?,
        split: split(),
        shared_huge: line(b"Shared_Hugetlb:").unwrap_or_default(),
    })
}

/// Parses the memory of the machine in `/proc/meminfo` (proc_meminfo(5)). A kernel without huge pages has no
/// lines for them.
pub fn meminfo(text: &[u8]) -> Option<MachineMemory> {
    let line = |key: &[u8]| kib_line(text, key);
    let free = || {
        let pages = Words(line_after(text, b"HugePages_Free:")?).number()?;
        let size = line(b"Hugepagesize:")?;
        Some(Bytes(size.0.saturating_mul(pages)))
    };
    let reserved = line(b"Hugetlb:").unwrap_or_default();
    let huge_in_use = reserved.less(free().unwrap_or_default());
    Some(MachineMemory { total: line(b"MemTotal:")?, huge_in_use })
}

/// Parses the huge pages (hugetlbfs) that a process maps, in `/proc/PID/status` (proc_pid_status(5)).
/// `None` if there is no such line: a kernel thread has none.
pub fn status_huge_pages(text: &[u8]) -> Option<Bytes> {
    kib_line(text, b"HugetlbPages:")
}

/// Parses the swapped memory of a process in `/proc/PID/status` (proc_pid_status(5)). Zero if there is no such
/// line: a kernel thread has none, nor has a process that has given up its memory.
pub fn status_swap(text: &[u8]) -> Option<Bytes> {
    match line_after(text, b"VmSwap:") {
        Some(_) => kib_line(text, b"VmSwap:"),
        None => text.starts_with(b"Name:").then_some(Bytes(0)),
    }
}

/// Parses the effective user in `/proc/PID/status` (proc_pid_status(5)). The line `Uid:` has the
/// real, effective, saved and file system user.
pub fn status_effective_uid(text: &[u8]) -> Option<Uid> {
    let mut words = Words(line_after(text, b"Uid:")?);
    words.skip(1)?;
    u32::try_from(words.number()?).ok().map(Uid)
}

/// Parses the first line of a pid file: a pid, with white space around it or not.
pub fn pid_file(text: &[u8]) -> Option<Pid> {
    let first = text.split(|&byte| byte == b'\n').next()?;
    Pid::parse(first.trim_ascii())
}

/// Parses `/proc/loadavg` (proc_loadavg(5)). Returns the number of tasks that exist, which comes
/// after the slash of the fourth field, and the newest pid, which is the fifth field.
pub fn loadavg(text: &[u8]) -> Option<(u64, Pid)> {
    let mut words = Words(text);
    words.skip(3)?;
    let mut tasks = words.word()?.splitn(2, |&byte| byte == b'/');
    let tasks = decimal(tasks.nth(1)?)?;
    Some((tasks, Pid::parse(words.word()?)?))
}

/// Parses `processes` in `/proc/stat`, the number of tasks made since boot (proc_stat(5)).
pub fn forks(text: &[u8]) -> Option<u64> {
    Words(line_after(text, b"processes ")?).number()
}

/// Counts the processors in a list such as `0-3,8`, the format of `/sys/devices/system/cpu/online`.
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

/// Converts `/proc/PID/cmdline`, in which each argument ends in a NUL, into the arguments joined by
/// one space, in place. All NULs at the end are removed: a process that overwrites its arguments
/// with a title can leave many (proc_pid_cmdline(5)).
pub fn join_arguments(cmdline: &mut Vec<u8>) {
    while cmdline.last() == Some(&0) {
        cmdline.pop();
    }
    for byte in cmdline.iter_mut().filter(|byte| **byte == 0) {
        *byte = b' ';
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::process::Life;
    use crate::parse::line::number;
    use alloc::string::String;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const TAIL: &str = "S 7 8 9 10 11 12 13 14 15 16 170 18 19 -20 21 -22 23 24 2500 26 27";

    fn line(comm: &[u8], tail: &str) -> Vec<u8> {
        [b"42 (", comm, b") ", tail.as_bytes(), b"\n"].concat()
    }

    #[test]
    fn stat_fields_match_the_manual_page() {
        let text = line(b"nginx", TAIL);
        let stat = stat(&text).unwrap();
        assert_eq!(stat.comm, b"nginx");
        assert_eq!(stat.state, b'S');
        assert_eq!(stat.parent, Pid::new(7));
        assert_eq!(stat.times.own, Ticks(170 + 18));
        assert_eq!(stat.times.children, Ticks(19), "a negative cstime counts as 0");
        assert_eq!(stat.threads, 23);
        assert_eq!(stat.start, Ticks(2500));
    }

    #[test]
    fn kinship_is_that_of_the_manual_page() {
        let of_tail = |tail: &str| kinship(&line(b"a) b", tail));
        let (group, session) = (Pid::new(8), Pid::new(9));
        let of_process = Kinship { group, session, is_kernel_thread: false };
        assert_eq!(of_tail("S 7 8 9 0 -1 4194560 13"), Some(of_process));
        let of_kernel = Kinship { is_kernel_thread: true, ..of_process };
        assert_eq!(of_tail("I 2 8 9 0 -1 69238880 13"), Some(of_kernel));
        assert_eq!(of_tail("S 7 8"), None);
    }

    #[test]
    fn a_name_does_not_shift_the_fields_after_it() {
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
        assert_eq!(stat(&dead).unwrap().life(), Life::Zombie);
        let leaderless = line(b"x", &TAIL.replacen('S', "Z", 1));
        assert_eq!(stat(&leaderless).unwrap().life(), Life::Alive);
    }

    #[test]
    fn malformed_files_are_rejected() {
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
            b"42 (x) S 4194305 8 9 10 11 12 13 14 15 16 170 18 19 20 21 22 23 24 2500 26",
            b"42 (x) S 7 8 9 10 11 12 13 14 15 16 99999999999999999999 18 19 20 21 22 23 24 25",
        ] {
            assert_eq!(stat(text), None, "{}", String::from_utf8_lossy(text));
        }
        assert_eq!(statm(b"1 2\n"), None);
        assert_eq!(statm(b"1 x 3\n"), None);
        assert_eq!(meminfo(b"MemFree: 3 kB\n"), None);
    }

    #[test]
    fn memory_files_are_parsed() {
        assert_eq!(
            statm(b"100 20 3 4 0 6 0\n"),
            Some(Statm { resident: Pages(20), shared: Pages(3) })
        );
        let memory = meminfo(b"MemTotal:       16316932 kB\nMemFree: 1 kB\n").unwrap();
        let total = Bytes(16_316_932 * 1024);
        assert_eq!(memory, MachineMemory { total, huge_in_use: Bytes(0) });
        let text = b"MemTotal: 9000 kB\nHugePages_Total: 3\nHugePages_Free: 1\n\
                     Hugepagesize: 2048 kB\nHugetlb: 6144 kB\n";
        assert_eq!(meminfo(text).unwrap().huge_in_use, Bytes(4096 * 1024));
        let rollup =
            b"560a-7ffd ---p 00000000 00:00 0    [rollup]\nRss: 9 kB\nPss: 5 kB\nPss_Dirty: 1 kB\n";
        let total = Bytes(5 * 1024);
        let old = Proportional { total, split: None, shared_huge: Bytes(0) };
        assert_eq!(smaps_rollup(rollup), Some(old));
        assert_eq!(smaps_rollup(b""), None, "a kernel thread has none");
        let text = [
            &rollup[..],
            b"Pss_Anon: 30 kB\nPss_File: 4 kB\nPss_Shmem: 3 kB\nPrivate_Dirty: 10 kB\n\
              Anonymous: 90 kB\nShared_Hugetlb: 2048 kB\nPrivate_Hugetlb: 1 kB\n",
        ];
        let kib = |kib: u64| Bytes(kib * 1024);
        let split = Split {
            anonymous: kib(30),
            mapped: kib(7),
            anonymous_shared: kib(20),
            anonymous_shared_whole: kib(80),
        };
        let new = Proportional { total, split: Some(split), shared_huge: kib(2048) };
        assert_eq!(smaps_rollup(&text.concat()), Some(new));
        assert_eq!(status_huge_pages(b"VmSwap: 1 kB\nHugetlbPages:\t 4 kB\n"), Some(kib(4)));
        assert_eq!(status_huge_pages(b"Name:\tx\n"), None);
        assert_eq!(
            status_swap(b"VmRSS:\t 9 kB\nVmSwap:\t    4 kB\nHugetlbPages:\t 0 kB\n"),
            Some(kib(4))
        );
        assert_eq!(status_swap(b"Name:\tx\n"), Some(Bytes(0)), "a kernel thread");
        assert_eq!(status_swap(b"Name:\tx\nVmSwap: x kB\n"), None);
        assert_eq!(status_swap(b""), None);
    }

    #[test]
    fn event_counters_are_parsed() {
        let faults = (Ticks(2500), Amounts { own: Count(15), children: Count(16) });
        for comm in [&b"x"[..], b"a) S 1 2 (", b"\n"] {
            assert_eq!(major_faults(&line(comm, TAIL)), Some(faults));
        }
        assert_eq!(major_faults(&line(b"x", &TAIL.replace(" 16 ", " -16 "))), None);
        assert_eq!(major_faults(b"42 (x) S 7 8 9 10 11 12 13 14 15 16"), None);

        let text = b"rchar: 1\nwchar: 2\nread_bytes: 4096\nwrite_bytes: 8192\n\
                     cancelled_write_bytes: 9\n";
        assert_eq!(io(text), Some(Storage { read: Count(4096), written: Count(8192) }));
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
    fn the_effective_user_is_the_second_uid() {
        assert_eq!(status_effective_uid(b"Name:\tx\nUid:\t1\t2\t3\t4\n"), Some(Uid(2)));
        assert_eq!(status_effective_uid(b"Name:\tx\n"), None);
    }

    #[test]
    fn a_pid_file_has_a_number_on_its_first_line() {
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
    fn loadavg_and_stat_show_new_tasks() {
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
    fn cpu_lists_are_counted() {
        assert_eq!(cpu_list(b"0\n"), Some(1));
        assert_eq!(cpu_list(b"0-3,8,10-11\n"), Some(7));
        for text in [&b"\n"[..], b"3-1\n", b"a\n", b"0-\n"] {
            assert_eq!(cpu_list(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = stat(&bytes);
            let _ = statm(&bytes);
            let _ = major_faults(&bytes);
            let _ = io(&bytes);
            let _ = switches(&bytes);
            let _ = meminfo(&bytes);
            let _ = status_huge_pages(&bytes);
            let _ = status_swap(&bytes);
            let _ = smaps_rollup(&bytes);
            let _ = status_effective_uid(&bytes);
            let _ = pid_file(&bytes);
            let _ = cpu_list(&bytes);
            let _ = loadavg(&bytes);
            let _ = forks(&bytes);
        }

        #[test]
        fn any_name_is_parsed(comm in proptest::collection::vec(any::<u8>(), 0..64)) {
            let text = line(&comm, TAIL);
            let stat = stat(&text).unwrap();
            prop_assert_eq!(stat.comm, &comm[..]);
            prop_assert_eq!(stat.start, Ticks(2500));
        }
    }
}
