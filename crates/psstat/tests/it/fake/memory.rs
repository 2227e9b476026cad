//! Memory in each mode of `--memory`.

use crate::stderr::assert_warning;
use crate::support::Job;
use crate::support::fake_proc::{FakeProc, Process};

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
    let usual = Job::new(&tree, ["--pid", "x:100"]).second_run();
    assert_eq!(usual.line().p_mem(), Some(0.001_41), "shared-once if nothing is said");
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
