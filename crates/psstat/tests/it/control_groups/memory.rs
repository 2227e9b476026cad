//! The memory that the kernel accounts to control groups, whatever selects their processes.

use super::machine::{Machine, Mounted, Process};
use super::{CRON, NGINX, with_services};
use std::fs;

/// What a worker has, in pages: most of it in common with the others.
const WORKER: Process = Process {
    comm: "worker",
    state: 'S',
    parent: 10,
    own: 0,
    children: 0,
    start: 100,
    resident: 1000,
    shared: 100,
};

/// What a server and three workers have, if each is counted by itself.
const WHOLE: u64 = 4 * 900 + 100;

/// The hierarchies that account memory.
const ACCOUNTING: [Mounted; 5] =
    [Mounted::V2, Mounted::Hybrid, Mounted::OldHybrid, Mounted::V1, Mounted::V1Joined];

/// A service with a server and three workers that have 1000 anonymous pages and 150 of files.
fn with_workers(mounted: Mounted) -> Machine {
    let machine = with_services(mounted);
    machine.put(NGINX, &[10, 11, 12, 13]);
    machine.process(10, Process { comm: "server", parent: 1, ..WORKER });
    [11, 12, 13].into_iter().for_each(|pid| machine.process(pid, WORKER));
    machine.set_account(NGINX, 1000, 150);
    machine
}

/// The memory of a group that the second sample reports.
fn pages(machine: &Machine, selectors: &[&str], name: &str) -> u64 {
    let sample = machine.sample(selectors);
    assert_eq!(sample.stderr, "");
    sample.pages(name)
}

#[test]
fn the_account_counts_whatever_selects_the_processes() {
    for mounted in ACCOUNTING {
        let machine = with_workers(mounted);
        machine.write("proc/server.pid", "10\n");
        let pid_file = machine.group("").ancestors().find_map(|above| {
            let path = above.join("proc/server.pid");
            path.exists().then(|| format!("--pid-file=web:{}", path.display()))
        });
        let pid_file = pid_file.unwrap();
        let cgroup = format!("--cgroup=web:{NGINX}");
        for selector in
            ["--systemd=web:nginx", &cgroup, "--pid=web:10", &pid_file, "--pattern=web:server"]
        {
            assert_eq!(pages(&machine, &[selector], "web"), 1150, "{mounted:?}, {selector}");
        }
        let rss = pages(&machine, &["--pid=web:10", "--memory=rss"], "web");
        assert_eq!(rss, 4000, "{mounted:?}: another mode");
    }
}

/// The account is only of use within what is possible.
#[test]
fn an_account_counts_at_least_the_largest_process_and_at_most_all() {
    for (account, expected) in [((0, 0), 900 + 100), ((5000, 50), WHOLE), ((1234, 99), 1334)] {
        let machine = with_workers(Mounted::V2);
        machine.set_account(NGINX, account.0, account.1);
        assert_eq!(pages(&machine, &["--pid=web:10"], "web"), expected, "{account:?}");
    }
}

#[test]
fn a_process_of_no_group_voids_the_account() {
    for mounted in ACCOUNTING {
        let machine = with_workers(mounted);
        machine.put(NGINX, &[10, 11, 12, 13, 14]);
        assert_eq!(pages(&machine, &["--pid=web:10"], "web"), WHOLE, "{mounted:?}");
        assert_eq!(
            pages(&machine, &["--systemd=web:nginx"], "web"),
            1150,
            "{mounted:?}: it is one"
        );
        // A zombie has no memory, and what is listed may have ended.
        machine.process(14, Process { state: 'Z', ..WORKER });
        assert_eq!(pages(&machine, &["--pid=web:11", "--pid=web:10"], "web"), 1150, "{mounted:?}");
        machine.end(14);
        assert_eq!(pages(&machine, &["--pid=web:10"], "web"), 1150, "{mounted:?}");
    }
}

/// A process in another pid namespace is listed as 0.
#[test]
fn a_process_of_another_namespace_voids_the_account() {
    let machine = with_workers(Mounted::V2);
    machine.write(machine.account(NGINX).join("cgroup.procs"), "0\n10\n11\n12\n13\n");
    assert_eq!(pages(&machine, &["--pid=web:10"], "web"), WHOLE);
}

#[test]
fn without_the_controller_the_group_above_has_the_account() {
    for mounted in ACCOUNTING {
        let machine = with_workers(mounted);
        machine.put(NGINX, &[10]);
        let below = format!("{NGINX}/payload");
        machine.put(&below, &[11, 12, 13]);
        assert!(!machine.account(&below).join("memory.stat").exists());
        assert_eq!(pages(&machine, &["--pid=web:10"], "web"), 1150, "{mounted:?}");
        // It also contains the memory of the server.
        let workers = format!("--cgroup=workers:{below}");
        assert_eq!(pages(&machine, &[&workers], "workers"), 2800, "{mounted:?}");
    }
}

/// Two groups overlap: one has a control group, the other also the one above it.
#[test]
fn each_group_has_the_account_that_fits() {
    for mounted in ACCOUNTING {
        let machine = with_workers(mounted);
        let below = format!("{NGINX}/payload");
        machine.put(NGINX, &[10]);
        machine.put(&below, &[11, 12, 13]);
        machine.set_account(&below, 950, 120);
        let workers = format!("--cgroup=workers:{below}");
        let mut job = machine.job(&["--systemd=web:nginx", &workers, "--pid=one:13"]);
        job.sample();
        for _ in 0..20 {
            let sample = job.sample();
            let all = ["web", "workers", "one"].map(|name| sample.pages(name));
            assert_eq!(all, [1150, 1070, 1000], "{mounted:?}");
        }
    }
}

/// A file that cannot be read is a directory here: root may read every file.
#[test]
fn an_account_that_cannot_be_read_once_changes_nothing() {
    for mounted in ACCOUNTING {
        let machine = with_workers(mounted);
        let mut job = machine.job(&["--pid=web:10", "--pattern=named:server"]);
        job.sample();
        let check = |sample: &super::machine::Sample, expected, what: &str| {
            let all = ["web", "named"].map(|name| sample.pages(name));
            assert_eq!((all, &*sample.stderr), ([expected; 2], ""), "{mounted:?}, {what}");
        };
        check(&job.sample(), 1150, "all is well");
        for name in ["memory.stat", "cgroup.procs"] {
            let file = machine.account(NGINX).join(name);
            let text = fs::read(&file).unwrap();
            fs::remove_file(&file).unwrap();
            fs::create_dir(&file).unwrap();
            check(&job.sample(), 1150, name);
            fs::remove_dir(&file).unwrap();
            fs::write(&file, text).unwrap();
            check(&job.sample(), 1150, name);
        }
        let file = machine.account(NGINX).join("memory.stat");
        let text = fs::read(&file).unwrap();
        for malformed in ["", "anon lots\ntotal_rss lots\n", "anon 5\ntotal_rss 5\n", "\0\n"] {
            fs::write(&file, malformed).unwrap();
            check(&job.sample(), 1150, malformed);
            fs::write(&file, &text).unwrap();
            check(&job.sample(), 1150, malformed);
        }
        fs::remove_file(&file).unwrap();
        check(&job.sample(), 1150, "no account");
        check(&job.sample(), WHOLE, "no account any more");
        fs::write(&file, &text).unwrap();
        let again = (0..600).find(|_| job.sample().pages("web") == 1150);
        assert!(again.is_some(), "{mounted:?}: it is looked for again in turn");
    }
}

/// In a copy of a procfs a path could lead anywhere.
#[test]
fn a_path_that_leads_upwards_has_no_account() {
    for (path, expected) in [
        (format!("{NGINX}/../nginx.service"), WHOLE),
        (format!("../../{NGINX}/.."), WHOLE),
        // The path of a process outside the reader's root.
        (format!("../../{NGINX}"), 1150),
    ] {
        let machine = with_workers(Mounted::V2);
        for pid in 10..=13 {
            machine.write(format!("proc/{pid}/cgroup"), format!("0::/{path}\n"));
        }
        assert_eq!(pages(&machine, &["--pid=web:10"], "web"), expected, "{path}");
    }
}

/// What was charged to a control group stays charged to it when the processes move away.
#[test]
fn a_control_group_that_all_have_left_counts_for_no_group() {
    let machine = with_workers(Mounted::V2);
    machine.process(20, Process { resident: 40, shared: 30, ..Process::default() });
    let mut job = machine.job(&["--pid=web:10", "--pid=cron:20", "--systemd=gone:gone"]);
    job.sample();
    assert_eq!(job.sample().pages("web"), 1150);
    machine.put(CRON, &[10, 11, 12, 13, 20]);
    machine.put(NGINX, &[]);
    for _ in 0..3 {
        let sample = job.sample();
        let all = ["web", "cron", "gone"].map(|name| sample.pages(name));
        assert_eq!(all, [WHOLE, 40, 0]);
    }
}

#[test]
fn recycled_workers_and_a_remade_control_group_are_seen_at_once() {
    for mounted in ACCOUNTING {
        let machine = with_workers(mounted);
        let mut job = machine.job(&["--pid=web:10", "--systemd=nginx"]);
        job.sample();
        for round in 1..20u32 {
            let workers = [11, 12, 13].map(|pid| pid + 3 * round);
            workers.iter().for_each(|pid| machine.end(pid - 3));
            fs::remove_dir_all(machine.account(NGINX)).unwrap();
            machine.put(NGINX, &[&[10], &workers[..]].concat());
            workers.iter().for_each(|&pid| machine.process(pid, WORKER));
            machine.set_account(NGINX, 1000 + u64::from(round), 150);
            let sample = job.sample();
            let all = ["web", "nginx"].map(|name| sample.pages(name));
            assert_eq!(all, [1150 + u64::from(round); 2], "{mounted:?}, {round}");
        }
    }
}

#[test]
fn a_group_of_zombies_has_no_memory() {
    let machine = with_workers(Mounted::V2);
    for pid in 10..=13 {
        let parent = if pid == 10 { 1 } else { 10 };
        machine.process(pid, Process { state: 'Z', parent, ..WORKER });
    }
    let sample = machine.sample(&["--systemd=web:nginx"]);
    assert_eq!((sample.count("web"), sample.pages("web"), &*sample.stderr), (0, 0, ""));
}

/// The account of the kernel has no huge pages. Every user may read how many a process has, and only some
/// which of them it shares.
#[test]
fn huge_pages_of_an_accounted_group_count_once() {
    let machine = with_workers(Mounted::V2);
    machine.write(
        "proc/meminfo",
        "MemTotal: 4000000 kB\nHugePages_Free: 0\nHugepagesize: 2048 kB\nHugetlb: 16384 kB\n",
    );
    // Each has one huge page of its own, and two in common with all.
    for pid in 10..=13 {
        machine.write(format!("proc/{pid}/status"), "Name:\tx\nHugetlbPages:\t6144 kB\n");
    }
    let mut job = machine.job(&["--pid=web:10"]);
    job.sample();
    assert_eq!(job.sample().pages("web"), 1150 + 8 * 512, "not more than are in use");
    for pid in 10..=13 {
        machine.write(
            format!("proc/{pid}/smaps_rollup"),
            "Pss: 1000 kB\nPss_Anon: 1000 kB\nPss_File: 0 kB\nPss_Shmem: 0 kB\nPrivate_Dirty: 0 kB\n\
             Anonymous: 3600 kB\nShared_Hugetlb: 4096 kB\nPrivate_Hugetlb: 2048 kB\n",
        );
    }
    assert_eq!(pages(&machine, &["--pid=web:10"], "web"), 1150 + 6 * 512);
}
