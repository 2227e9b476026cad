//! Memory in each mode of `--memory`.

use crate::stderr::assert_warning;
use crate::support::fake_proc::{FakeProc, Process};
use crate::support::{Job, Run};

fn tree() -> FakeProc {
    let tree = FakeProc::new();
    let worker = |pid, resident, shared, pss| Process {
        resident,
        shared,
        pss,
        ..Process::new(pid, if pid == 100 { 1 } else { 100 }, "x")
    };
    let page = rustix::param::page_size() as u64;
    tree.add_all(&[
        worker(100, 1100, 1000, Some(400 * page / 1024)),
        worker(101, 1200, 900, Some(500 * page / 1024)),
        worker(102, 50, 40, Some(7 * page / 1024)),
        Process { state: 'Z', ..worker(103, 5000, 0, Some(5000)) },
    ]);
    tree
}

fn part(tree: &FakeProc, mode: &str) -> (Option<f64>, String) {
    let run = Job::new(tree, ["--pid", "x:100", "--memory", mode]).second_run();
    assert_eq!(run.line().n_proc(), 3);
    (run.line().p_mem(), run.stderr)
}

#[test]
fn each_memory_mode_has_its_own_sum() {
    let tree = tree();
    assert_eq!(part(&tree, "rss"), (Some(0.002_35), String::new()));
    assert_eq!(part(&tree, "shared-once"), (Some(0.001_41), String::new()));
    assert_eq!(part(&tree, "pss"), (Some(0.000_907), String::new()));
    // These files do not say which part is anonymous, as before Linux 5.4.
    assert_eq!(part(&tree, "auto"), (Some(0.001_41), String::new()));
}

/// `smaps_rollup`, in pages: of the anonymous pages the share of the process, all, and those that only it has.
fn rollup(share: u64, whole: u64, own: u64, mapped: (u64, u64)) -> String {
    let kib = rustix::param::page_size() as u64 / 1024;
    let [share, whole, own, file, shmem] =
        [share, whole, own, mapped.0, mapped.1].map(|pages| pages * kib);
    format!(
        "00400000-7ff000 ---p 00000000 00:00 0 [rollup]\nRss: 9 kB\nPss: {} kB\nPss_Dirty: 1 kB\n\
         Pss_Anon: {share} kB\nPss_File: {file} kB\nPss_Shmem: {shmem} kB\nShared_Clean: 3 kB\n\
         Private_Clean: 2 kB\nPrivate_Dirty: {own} kB\nAnonymous: {whole} kB\n",
        share + file + shmem
    )
}

/// A server with three workers: each has 800 pages in common with the others, and 100 of its own.
fn with_workers() -> FakeProc {
    let tree = FakeProc::new();
    for pid in 100..=103 {
        let parent = if pid == 100 { 1 } else { 100 };
        tree.add(&Process { resident: 1000, shared: 100, ..Process::new(pid, parent, "x") });
        tree.write(format!("{pid}/smaps_rollup"), rollup(300, 900, 100, (20, 5)));
    }
    tree
}

/// The pages that a run shows.
fn pages(run: &Run) -> u64 {
    format!("{:.0}", run.line().p_mem().unwrap() * 1e6).parse().unwrap()
}

#[test]
fn each_page_counts_once_unless_another_mode_is_chosen() {
    let tree = with_workers();
    let once = 4 * 300 + 100;
    for (selector, name) in [("--pid", "x:100"), ("--pattern", "x:^x$")] {
        let run = Job::new(&tree, [selector, name]).second_run();
        assert_eq!((pages(&run), &*run.stderr), (once, ""), "{selector}");
    }
    for (mode, expected) in [("auto", once), ("shared-once", 3700), ("rss", 4000), ("pss", 1300)] {
        let run = Job::new(&tree, ["--pid", "x:100", "--memory", mode]).second_run();
        assert_eq!((pages(&run), &*run.stderr), (expected, ""), "{mode}");
    }
}

/// The shares in files count if they are more than the largest of one process.
#[test]
fn files_of_many_processes_count_as_the_sum_of_their_shares() {
    let tree = with_workers();
    for pid in 100..=103 {
        tree.write(format!("{pid}/smaps_rollup"), rollup(300, 900, 100, (60, 30)));
    }
    let run = Job::new(&tree, ["--pid", "x:100"]).second_run();
    assert_eq!((pages(&run), &*run.stderr), (4 * 300 + 4 * 90, ""));
}

/// That a file of another user cannot be read is usual. A directory is what root cannot read.
#[test]
fn what_cannot_be_read_counts_by_itself_without_a_warning() {
    let truncated = rollup(300, 900, 100, (20, 5)).replace("Pss_Anon", "Pss_anon");
    for text in [None, Some(""), Some("Pss: lots\n"), Some(&*truncated), Some("\0\u{1}")] {
        let tree = with_workers();
        for pid in 100..=103 {
            let file = format!("{pid}/smaps_rollup");
            std::fs::remove_file(tree.file(&file)).unwrap();
            match text {
                Some(text) => tree.write(file, text),
                None => std::fs::create_dir(tree.file(file)).unwrap(),
            }
        }
        let run = Job::new(&tree, ["--pid", "x:100"]).second_run();
        assert_eq!((pages(&run), &*run.stderr), (3700, ""), "{text:?}");
    }
}

/// What is known of the others tells enough of the one that cannot be read.
#[test]
fn a_worker_that_cannot_be_read_counts_like_the_others() {
    let tree = with_workers();
    tree.write("102/smaps_rollup", "Pss: lots\n");
    let run = Job::new(&tree, ["--pid", "x:100"]).second_run();
    assert_eq!((pages(&run), &*run.stderr), (1300, ""));
}

#[test]
fn what_was_read_is_remembered_in_the_cache_and_adjusted() {
    let tree = with_workers();
    let job = Job::new(&tree, ["--pid", "x:100"]);
    assert_eq!(pages(&job.second_run()), 1300);
    let all: Vec<String> = (100..=103).map(|pid| format!("{pid}/smaps_rollup")).collect();
    all.iter().for_each(|file| tree.write(file, "Pss: lots\n"));
    // In turn each of them is read again and found to be unreadable. Until then it is remembered.
    let known = pages(&job.run());
    assert_eq!(known, 1300);
    // It has grown by less than what makes it worth to read it again.
    tree.add(&Process { resident: 1004, shared: 100, ..Process::new(102, 100, "x") });
    assert_eq!(pages(&job.run()), 1304);
    tree.add(&Process { resident: 997, shared: 100, ..Process::new(102, 100, "x") });
    assert_eq!(pages(&job.run()), 1297);
    // Now it has grown by more.
    tree.add(&Process { resident: 1500, shared: 100, ..Process::new(102, 100, "x") });
    tree.write(&all[2], rollup(800, 1400, 600, (20, 5)));
    assert_eq!(pages(&job.run()), 1800);
    // One has ended: the share of each is a third. They are read again.
    tree.remove(101);
    for pid in [100, 102, 103] {
        let own = if pid == 102 { 600 } else { 100 };
        tree.write(format!("{pid}/smaps_rollup"), rollup(own + 266, own + 800, own, (20, 5)));
    }
    assert_eq!(pages(&job.run()), 866 + 2 * 366 + 100);
}

#[test]
fn huge_pages_count_in_every_mode() {
    let tree = with_workers();
    let kib = rustix::param::page_size() as u64 / 1024;
    let meminfo = |total: u64, free: u64| {
        format!(
            "MemTotal: {} kB\nHugePages_Total: {total}\nHugePages_Free: {free}\nHugePages_Rsvd: 0\n\
             HugePages_Surp: 0\nHugepagesize: {} kB\nHugetlb: {} kB\n",
            1_000_000 * kib,
            512 * kib,
            total * 512 * kib
        )
    };
    for pid in [100, 102] {
        tree.write(
            format!("{pid}/status"),
            format!("Name:\tx\nHugetlbPages:\t{} kB\n", 1024 * kib),
        );
    }
    for (total, free, huge) in [(16, 4, 2048), (16, 13, 1536), (16, 16, 0), (0, 0, 0)] {
        tree.write("meminfo", meminfo(total, free));
        for (mode, small) in [("auto", 1300), ("shared-once", 3700), ("rss", 4000), ("pss", 1300)] {
            let run = Job::new(&tree, ["--pid", "x:100", "--memory", mode]).second_run();
            let what = format!("{mode}, {free} of {total} free");
            assert_eq!((pages(&run), &*run.stderr), (small + huge, ""), "{what}");
        }
    }
    // They have one of the two in common.
    tree.write("meminfo", meminfo(16, 4));
    for pid in [100, 102] {
        let text = rollup(300, 900, 100, (20, 5));
        let text = format!("{text}Shared_Hugetlb: {0} kB\nPrivate_Hugetlb: {0} kB\n", 512 * kib);
        tree.write(format!("{pid}/smaps_rollup"), text);
    }
    for (mode, small) in [("auto", 1300), ("pss", 1300)] {
        let run = Job::new(&tree, ["--pid", "x:100", "--memory", mode]).second_run();
        assert_eq!(pages(&run), small + 3 * 512, "{mode}");
    }
}

#[test]
fn more_memory_than_the_machine_has_is_warned_of_in_other_modes() {
    let tree = with_workers();
    let kib = rustix::param::page_size() as u64 / 1024;
    tree.write("meminfo", format!("MemTotal: {} kB\n", 3900 * kib));
    for (mode, part) in [("rss", 1.025_641), ("shared-once", 0.948_718), ("auto", 0.333_333)] {
        let run = Job::new(&tree, ["--pid", "x:100", "--memory", mode]).second_run();
        assert_eq!(run.line().p_mem(), Some(part), "{mode}");
        match mode {
            "rss" => assert_warning(&run.stderr, &["x", "p_mem", "--memory rss", "--memory auto"]),
            _ => assert_eq!(run.stderr, "", "{mode}"),
        }
    }
    // Without the shares, the sum would be more than there is.
    (100..=103).for_each(|pid| tree.write(format!("{pid}/smaps_rollup"), ""));
    tree.write("meminfo", format!("MemTotal: {} kB\n", 3000 * kib));
    let run = Job::new(&tree, ["--pid", "x:100"]).second_run();
    assert_eq!((run.line().p_mem(), &*run.stderr), (Some(1.0), ""));
}

#[test]
fn a_malformed_pss_counts_as_shared_once_with_a_warning() {
    let tree = tree();
    tree.write("101/smaps_rollup", "Rss: 5 kB\n");
    tree.write("102/smaps_rollup", "Pss: lots\n");
    // 400 of the first; 300 and 10 unshared pages of the others, and 900 pages that they may share.
    let (part, stderr) = part(&tree, "pss");
    assert_eq!(part, Some(0.001_61));
    assert_warning(&stderr, &["2 ", "/101/smaps_rollup"]);
}

#[test]
fn a_process_without_memory_maps_has_no_pss() {
    let tree = tree();
    tree.write("101/smaps_rollup", "");
    assert_eq!(part(&tree, "pss"), (Some(0.000_407), String::new()));
}
