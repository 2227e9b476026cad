//! CPU time between two samples: of processes that stay, start and end.

use crate::stderr::{assert_warning, first_line};
use crate::support::fake_proc::{FakeProc, Process};
use crate::support::line::Line;
use crate::support::{Job, boot_now, ticks_since_boot};
use psstat_core::model::units::BootNanos;
use psstat_core::state::codec;
use std::thread::sleep;
use std::time::Duration;

/// Two states of a group, and the CPU time that it used between them, in ticks.
struct Case {
    what: &'static str,
    before: Vec<Process>,
    after: Vec<Process>,
    ticks: Option<u64>,
    alive: usize,
}

/// A process with this CPU time of its own and of its children, in ticks.
fn used(pid: u32, parent: u32, own: u64, children: i64) -> Process {
    Process { own, children, ..Process::new(pid, parent, "x") }
}

/// The ticks that a line reports, given the times at the beginning and the end of the interval.
fn ticks(line: &Line, from: BootNanos, to: BootNanos) -> Option<f64> {
    let seconds = to.since(from) as f64 / 1e9;
    line.p_cpu().map(|rate| rate * seconds * rustix::param::clock_ticks_per_second() as f64)
}

/// Takes a sample of the first states and one of the second states, and compares every group. The
/// root of group `N` has pid `N * 10`.
fn check(cases: &[Case]) {
    let tree = FakeProc::new();
    let root = |index: usize| (index + 1) * 10;
    let selectors = (0..cases.len())
        .flat_map(|index| ["--pid".to_owned(), format!("{}:{}", cases[index].what, root(index))]);
    let job = Job::new(&tree, selectors);
    let shift = |process: &Process, index: usize| {
        let shifted = |pid: u32| if pid >= 10 { pid - 10 + root(index) as u32 } else { pid };
        Process { pid: shifted(process.pid), parent: shifted(process.parent), ..process.clone() }
    };
    for (index, case) in cases.iter().enumerate() {
        case.before.iter().for_each(|process| tree.add(&shift(process, index)));
    }
    job.baseline();
    let from = job.state().accounts.taken;
    // Longer than 10 ticks: in a shorter interval the number of processors limits the rate.
    sleep(Duration::from_millis(300));
    let now = ticks_since_boot();
    for (index, case) in cases.iter().enumerate() {
        let stays = |pid| case.after.iter().any(|process| process.pid == pid);
        for gone in case.before.iter().filter(|process| !stays(process.pid)) {
            tree.remove(shift(gone, index).pid);
        }
        for process in &case.after {
            let start = if process.start == BORN_SINCE { now } else { process.start };
            tree.add(&shift(&Process { start, ..process.clone() }, index));
        }
    }
    let run = job.run();
    let to = job.state().accounts.taken;
    let lines = run.lines();
    assert_eq!(lines.len(), cases.len());
    for (line, case) in lines.iter().zip(cases) {
        assert_eq!((line.name(), line.n_proc()), (case.what, case.alive));
        let reported = ticks(line, from, to);
        match (reported, case.ticks) {
            (Some(reported), Some(ticks)) => {
                assert!(
                    (reported - ticks as f64).abs() < 0.3,
                    "{}: {reported}, not {ticks}",
                    case.what
                );
            }
            (reported, ticks) => assert_eq!(reported.is_some(), ticks.is_some(), "{line:?}"),
        }
    }
}

/// Start time of a process that starts between the two samples.
const BORN_SINCE: u64 = u64::MAX;

fn born(process: Process) -> Process {
    Process { start: BORN_SINCE, ..process }
}

#[test]
fn cpu_time_of_processes_that_stay() {
    check(&[
        Case {
            what: "what it gained",
            before: vec![used(10, 1, 100, 40)],
            after: vec![used(10, 1, 130, 45)],
            ticks: Some(35),
            alive: 1,
        },
        Case {
            what: "never negative",
            before: vec![used(10, 1, 100, 40)],
            after: vec![used(10, 1, 90, 30)],
            ticks: Some(0),
            alive: 1,
        },
        Case {
            what: "a zombie is still paid for",
            before: vec![used(10, 1, 0, 0), used(11, 10, 20, 0)],
            after: vec![used(10, 1, 0, 0), Process { state: 'Z', ..used(11, 10, 25, 0) }],
            ticks: Some(5),
            alive: 1,
        },
        Case {
            what: "an overflown child time is none",
            before: vec![used(10, 1, 0, -5)],
            after: vec![used(10, 1, 0, 10)],
            ticks: Some(10),
            alive: 1,
        },
        Case {
            what: "the root is gone",
            before: vec![used(10, 1, 500, 0), used(11, 10, 20, 0)],
            after: vec![used(11, 1, 25, 0)],
            ticks: Some(0),
            alive: 0,
        },
    ]);
}

#[test]
fn cpu_time_of_new_processes() {
    check(&[
        Case {
            what: "born since counts whole",
            before: vec![used(10, 1, 1, 0)],
            after: vec![used(10, 1, 3, 0), born(used(11, 10, 7, 3))],
            ticks: Some(12),
            alive: 2,
        },
        Case {
            what: "an older stranger is its own baseline",
            before: vec![used(10, 1, 1, 0), used(11, 1, 500, 0)],
            after: vec![used(10, 1, 3, 0), used(11, 10, 600, 0)],
            ticks: Some(2),
            alive: 2,
        },
        Case {
            what: "restarted on the same pid",
            before: vec![used(10, 1, 100, 1000)],
            after: vec![born(used(10, 1, 3, 1))],
            ticks: Some(4),
            alive: 1,
        },
        Case {
            what: "only older strangers are unknown",
            before: vec![],
            after: vec![used(10, 1, 900, 0)],
            ticks: None,
            alive: 1,
        },
    ]);
}

#[test]
fn cpu_time_of_children_that_end() {
    check(&[
        Case {
            what: "the past of a child is counted once",
            before: vec![used(10, 1, 0, 50), used(11, 10, 200, 0)],
            after: vec![used(10, 1, 0, 260)],
            ticks: Some(10),
            alive: 1,
        },
        Case {
            what: "a child nobody waited for costs nothing",
            before: vec![used(10, 1, 0, 0), used(11, 10, 1000, 0)],
            after: vec![used(10, 1, 5, 0)],
            ticks: Some(5),
            alive: 1,
        },
        Case {
            what: "a whole line that ended",
            before: vec![used(10, 1, 0, 0), used(11, 10, 100, 20), used(12, 11, 300, 0)],
            after: vec![used(10, 1, 2, 426)],
            ticks: Some(8),
            alive: 1,
        },
        Case {
            what: "came and went between samples",
            before: vec![used(10, 1, 0, 0)],
            after: vec![used(10, 1, 0, 33)],
            ticks: Some(33),
            alive: 1,
        },
        Case {
            what: "one who left the group owes nothing",
            before: vec![used(10, 1, 0, 0), used(11, 10, 100, 0)],
            after: vec![used(10, 1, 0, 120), used(11, 1, 100, 0)],
            ticks: Some(120),
            alive: 1,
        },
        Case {
            what: "its pid taken by a stranger",
            before: vec![used(10, 1, 0, 0), used(11, 10, 200, 0)],
            after: vec![used(10, 1, 0, 207), born(used(11, 1, 99, 0))],
            ticks: Some(7),
            alive: 1,
        },
    ]);
}

#[test]
fn the_largest_counters_are_a_finite_rate() {
    let tree = FakeProc::new();
    tree.add(&Process::new(100, 1, "x"));
    let job = Job::new(&tree, ["--pid", "x:100"]);
    job.baseline();
    tree.add(&Process { own: u64::MAX, children: i64::MAX, ..Process::new(100, 1, "x") });
    let rate = job.run().line().p_cpu().unwrap();
    assert!(rate.is_finite() && rate > 0.0);
    tree.add(&Process::new(100, 1, "x"));
    assert_eq!(job.run().line().p_cpu(), Some(0.0));
}

#[test]
fn in_a_short_interval_processors_limit_the_rate() {
    let tree = FakeProc::new();
    let sys = tempfile::tempdir().unwrap();
    let cpu = sys.path().join("devices/system/cpu");
    std::fs::create_dir_all(&cpu).unwrap();
    std::fs::write(cpu.join("online"), "0-3,8\n").unwrap();
    let mut own = 0;
    let job = Job::new(&tree, ["--pid", "x:100", "--sys", sys.path().to_str().unwrap()]);
    tree.add(&Process::new(100, 1, "x"));
    job.baseline();
    let mut bound = 0;
    // The time from the start of a run to its sample. If it is long, the time of the sample before is
    // set to shortly before the expected time of the sample.
    let mut lead = 0;
    for _ in 0..50 {
        own += 1_000_000;
        tree.add(&Process { own, ..Process::new(100, 1, "x") });
        let begin = boot_now();
        let mut before = job.state();
        before.accounts.taken.0 =
            before.accounts.taken.0.max((begin + lead).saturating_sub(50_000_000));
        std::fs::write(job.cache(), codec::encode(&before)).unwrap();
        let run = job.run();
        let taken = job.state().accounts.taken;
        lead = taken.0.saturating_sub(begin);
        if run.stdout.is_empty() {
            let cache = job.cache().display().to_string();
            assert_warning(first_line(&run.stderr), &[&cache]);
            continue;
        }
        let rate = run.line().p_cpu().unwrap();
        if taken.since(before.accounts.taken) < 100_000_000 {
            assert_eq!(rate, 5.0);
            bound += 1;
        } else {
            assert!(rate > 5.0, "a long interval is not bound");
        }
    }
    assert!(bound > 0, "all 50 intervals were longer than 10 ticks");
}

#[test]
fn another_boot_id_or_a_missing_one_starts_over() {
    let tree = FakeProc::new();
    tree.add(&Process { own: 100, ..Process::new(100, 1, "x") });
    let job = Job::new(&tree, ["--pid", "x:100"]);
    job.baseline();
    let starts_over = |job: &Job| {
        let run = job.run();
        run.assert_first();
        let cache = job.cache().display().to_string();
        assert_warning(first_line(&run.stderr), &[&cache, "restarted"]);
    };
    tree.write("sys/kernel/random/boot_id", "another\n");
    tree.add(&Process { own: 10, ..Process::new(100, 1, "x") });
    starts_over(&job);
    assert_eq!(job.run().line().p_cpu(), Some(0.0));

    std::fs::remove_file(tree.file("sys/kernel/random/boot_id")).unwrap();
    starts_over(&job);
    assert_eq!(job.run().line().p_cpu(), Some(0.0), "two runs without one are of one boot");
    tree.write("sys/kernel/random/boot_id", "another\n");
    starts_over(&job);
}
