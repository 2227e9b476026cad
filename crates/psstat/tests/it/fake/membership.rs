//! Which processes belong to a group, and the order of lines.

use super::{counts, untimed};
use crate::stderr::assert_warnings;
use crate::support::Job;
use crate::support::fake_proc::{FakeProc, Process};

#[test]
fn descendants_are_found_in_any_order_of_pids() {
    let tree = FakeProc::new();
    tree.add_all(&[
        Process::new(900, 1, "root"),
        Process::new(50, 900, "worker"),
        Process::new(70, 50, "helper"),
        Process::new(60, 70, "helper"),
        Process::new(40, 60, "helper"),
        Process::new(901, 40, "helper"),
        Process::new(902, 1, "stranger"),
    ]);
    for threads in [&["--pid", "root:900"][..], &["--pid", "root:900", "--multi-threaded"]] {
        let run = Job::new(&tree, threads).second_run();
        assert_eq!((run.line().n_proc(), run.stderr.as_str()), (6, ""));
    }
}

#[test]
fn a_missing_or_younger_parent_is_not_a_parent() {
    let tree = FakeProc::new();
    tree.add_all(&[
        Process { start: 50, ..Process::new(100, 1, "root") },
        Process { start: 50, ..Process::new(101, 100, "born in the same tick") },
        Process { start: 49, ..Process::new(102, 100, "older: 100 was another") },
        Process { start: 60, ..Process::new(103, 777, "of one who left") },
    ]);
    let run = Job::new(&tree, ["--pid", "root:100"]).second_run();
    assert_eq!(run.line().n_proc(), 2);
}

#[test]
fn a_cycle_of_parents_does_not_hang() {
    let tree = FakeProc::new();
    tree.add_all(&[
        Process::new(100, 102, "a"),
        Process::new(101, 100, "b"),
        Process::new(102, 101, "c"),
        Process::new(103, 102, "below the circle"),
        Process::new(104, 104, "its own parent"),
    ]);
    let job = Job::new(&tree, ["--pid", "a:100", "--pid", "b:101", "--pid", "own:104"]);
    let run = job.second_run();
    assert_eq!(counts(&run.lines()), [("a", 4), ("b", 4), ("own", 1)]);
    // When one of them ends, settling its CPU time must not loop for ever.
    tree.remove(101);
    assert_eq!(counts(&job.run().lines()), [("a", 1), ("b", 0), ("own", 1)]);
}

#[test]
fn n_proc_does_not_count_zombies() {
    let tree = FakeProc::new();
    tree.add_all(&[
        Process { state: 'R', ..Process::new(100, 1, "root") },
        Process { state: 'Z', ..Process::new(101, 100, "zombie") },
        Process { state: 'X', ..Process::new(102, 100, "dead") },
        Process { state: 'Z', threads: 3, ..Process::new(103, 100, "leader gone") },
        Process::new(104, 101, "child of a zombie"),
    ]);
    let run = Job::new(&tree, ["--pid", "root:100"]).second_run();
    assert_eq!(run.line().n_proc(), 3);
}

#[test]
fn a_process_counts_once_in_each_of_its_groups() {
    let tree = FakeProc::new();
    tree.write("one.pid", "101\n");
    tree.add_all(&[
        Process::new(100, 1, "server"),
        Process::new(101, 100, "worker"),
        Process::new(102, 101, "worker"),
    ]);
    let pid_file = format!("all:{}", tree.file("one.pid").display());
    let args = ["--pid", "all:100", "--pattern", "all:.", "--pid-file", &pid_file];
    let more = ["--pid", "all:100", "--pattern", "part:worker", "--user", "all:0"];
    let run = Job::new(&tree, args.iter().chain(&more)).second_run();
    assert_eq!(counts(&run.lines()), [("all", 4), ("part", 2)]);
}

#[test]
fn lines_follow_the_order_of_selectors_then_names() {
    let tree = FakeProc::new();
    tree.add_all(&[
        Process { effective_uid: 7, ..Process::new(100, 1, "zeta") },
        Process { effective_uid: 7, ..Process::new(90, 1, "beta") },
        Process { effective_uid: 7, ..Process::new(110, 1, "alpha") },
        Process::new(120, 1, "late"),
    ]);
    let names = |args: &[&str]| {
        let run = Job::new(&tree, args).second_run();
        run.lines().iter().map(|line| line.name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        names(&["--pid", "120", "--user", "7", "--pattern", "n:beta", "--pid", "m:110"]),
        ["late", "alpha", "beta", "zeta", "n", "m"]
    );
    assert_eq!(
        names(&["--pid", "m:110", "--pattern", "n:beta", "--user", "7", "--pid", "120"]),
        ["m", "n", "alpha", "beta", "zeta", "late"]
    );
    // The first selector of a group decides its position.
    assert_eq!(
        names(&["--pid", "b:100", "--pid", "a:90", "--pid", "b:120"]),
        ["b", "a"],
        "by the first selector"
    );
    assert_eq!(names(&["--pattern", "ta", "--user", "7"]), ["beta", "zeta", "alpha"]);
}

#[test]
fn equal_input_yields_equal_output() {
    let tree = FakeProc::new();
    for pid in 100..160u32 {
        let parent = if pid % 3 == 0 { pid / 2 + 60 } else { 1 };
        let comm = format!("name{}", pid % 7);
        tree.add(&Process { resident: u64::from(pid), ..Process::new(pid, parent, comm) });
    }
    let selectors =
        [["--pattern", "g:name[12]"], ["--pid", "g:140"], ["--user", "all:0"], ["--pid", "150"]];
    let printed = |order: [usize; 4]| {
        untimed(&Job::new(&tree, order.map(|index| selectors[index]).concat()).second_run())
    };
    let first = printed([0, 1, 2, 3]);
    assert_eq!(first.lines().count(), 3);
    assert_eq!(first, printed([0, 1, 2, 3]));
    // The order of selectors of one group has no effect.
    assert_eq!(first, printed([1, 0, 2, 3]));
    assert_eq!(first, printed([0, 2, 1, 3]));
    // The order of groups changes the order of lines, but not the lines.
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_ne!(first, printed([3, 2, 1, 0]));
    assert_eq!(sorted(&first), sorted(&printed([3, 2, 1, 0])));
}

#[test]
fn only_a_named_group_has_a_line_when_it_is_down() {
    let tree = FakeProc::new();
    let job = Job::new(
        &tree,
        ["--pid", "web:500", "--pid", "501", "--pattern", "db:none", "--pattern", "none"],
    );
    let run = job.second_run();
    let text = untimed(&run);
    assert_eq!(
        text,
        "psstat,host=tengu,process_name=web p_cpu=0,p_mem=0,n_proc=0i\n\
         psstat,host=tengu,process_name=db p_cpu=0,p_mem=0,n_proc=0i\n"
    );
    assert_warnings(&run.stderr, &[&["--pid", "500"], &["--pid", "501"]]);
    // It started before the last sample, so its CPU time does not count in this interval.
    tree.add(&Process { own: 5000, ..Process::new(500, 1, "nginx") });
    let line = job.run().lines().remove(0);
    assert_eq!((line.name(), line.p_cpu(), line.n_proc()), ("web", None, 1));
}

#[test]
fn a_new_group_has_no_p_cpu_in_its_first_line() {
    let tree = FakeProc::new();
    tree.add(&Process { own: 900, resident: 7, ..Process::new(100, 1, "old") });
    tree.add(&Process { own: 800, resident: 8, ..Process::new(200, 1, "new") });
    let job = Job::new(&tree, ["--pid", "old:100"]);
    job.baseline();
    let job = job.with(["--pid", "old:100", "--pid", "new:200"]);
    assert_eq!(
        untimed(&job.run()),
        "psstat,host=tengu,process_name=old p_cpu=0,p_mem=0.000007,n_proc=1i\n\
         psstat,host=tengu,process_name=new p_mem=0.000008,n_proc=1i\n"
    );
    assert_eq!(
        untimed(&job.run()),
        "psstat,host=tengu,process_name=old p_cpu=0,p_mem=0.000007,n_proc=1i\n\
         psstat,host=tengu,process_name=new p_cpu=0,p_mem=0.000008,n_proc=1i\n"
    );
}
