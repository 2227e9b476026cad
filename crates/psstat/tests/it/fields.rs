//! Each field of processes except the default three, on copies of a procfs: its value, its reaction to malformed
//! files, and that its files are read only if the field is requested.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use crate::stderr::{assert_warning, assert_warnings};
use crate::support::fake_proc::{FakeProc, MEMORY_PAGES, Process};
use crate::support::line::{Line, Number};
use crate::support::{Job, Run, may_be_root, ticks_since_boot};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

const ALL: &str = "p_cpu,p_mem,n_proc,cpu_time,mem,n_thread,n_zombie,n_fd,io_read,io_write,\
                   faults_major,ctx_switches,uptime,swap,starts";

/// The fields that are counted, each with a way to set what a process has counted so far.
const COUNTED: [(&str, Set); 4] = [
    ("io_read", |tree, pid, count| tree.set_io(pid, count, 7)),
    ("io_write", |tree, pid, count| tree.set_io(pid, 7, count)),
    ("faults_major", set_faults),
    ("ctx_switches", |tree, pid, count| tree.set_threads(pid, &[(pid, count)])),
];

type Set = fn(&FakeProc, u32, u64);

/// All faults are inherited. Processes 101 to 199 are children of process 100, all others of
/// process 1.
fn set_faults(tree: &FakeProc, pid: u32, count: u64) {
    let parent = if (101..200).contains(&pid) { 100 } else { 1 };
    tree.add(&Process { faults: (0, count), ..Process::new(pid, parent, "x") });
}

/// A job that prints these fields of the group `web`: process 100 and its descendants.
fn job<'t>(tree: &'t FakeProc, fields: &str) -> Job<'t> {
    Job::new(tree, ["--pid", "web:100", "--fields", fields])
}

/// A process 100 with one child, 101. All files are well-formed.
fn usual() -> FakeProc {
    let tree = FakeProc::new();
    for pid in [100, 101] {
        let parent = if pid == 100 { 1 } else { 100 };
        let process = Process::new(pid, parent, "x");
        tree.add(&Process { resident: 50, threads: 2, swap: 16, ..process });
        tree.set_io(pid, 1000, 2000);
        tree.set_threads(pid, &[(pid, 30), (pid + 1000, 9)]);
        tree.set_open_files(pid, 5);
    }
    tree
}

fn keys(line: &Line) -> String {
    let keys: Vec<&str> = line.fields.iter().map(|(key, _)| key.as_str()).collect();
    keys.join(",")
}

/// The increase of a counter between two runs, calculated from the rate and the times in the cache.
fn counted_by(job: &Job<'_>, field: &str, change: impl FnOnce()) -> (Option<f64>, Run) {
    let from = job.state().accounts.taken;
    sleep(Duration::from_millis(20));
    change();
    let run = job.run();
    let seconds = job.state().accounts.taken.since(from) as f64 / 1e9;
    (run.line().value(field).map(|rate| (rate * seconds).round()), run)
}

#[test]
fn fields_are_printed_in_the_order_of_the_option() {
    let tree = usual();
    let run = job(&tree, ALL).second_run();
    assert_eq!((keys(&run.line()).as_str(), run.stderr.as_str()), (ALL, ""));
    let line = run.line();
    let page = rustix::param::page_size() as f64;
    for (key, expected) in [
        ("n_proc", 2.0),
        ("mem", 100.0 * page),
        ("p_mem", 100.0 / MEMORY_PAGES as f64),
        ("n_thread", 4.0),
        ("n_zombie", 0.0),
        ("n_fd", 10.0),
        ("cpu_time", 0.0),
        ("io_read", 0.0),
        ("io_write", 0.0),
        ("faults_major", 0.0),
        ("ctx_switches", 0.0),
        ("swap", 32.0 * 1024.0),
        ("starts", 0.0),
    ] {
        assert_eq!(line.value(key), Some(expected), "{key}");
    }
    let is_integer = |key: &str| {
        matches!(line.fields.iter().find(|(name, _)| name == key), Some((_, Number::Integer(_))))
    };
    for key in ALL.split(',') {
        let count = key.starts_with("n_") || ["mem", "swap", "starts"].contains(&key);
        assert_eq!(is_integer(key), count, "{key}");
    }
}

#[test]
fn a_file_that_no_field_needs_is_not_read() {
    /// A file, the fields that need it, and a function that makes it malformed.
    type Spoiled = (&'static str, &'static [&'static str], fn(&FakeProc));
    const SPOILED: [Spoiled; 6] = [
        ("meminfo", &["p_mem"], |tree| tree.write("meminfo", "garbage")),
        ("statm", &["p_mem", "mem"], |tree| tree.write("101/statm", "garbage")),
        ("fd", &["n_fd"], |tree| {
            std::fs::remove_dir_all(tree.file("101/fd")).unwrap();
            tree.write("101/fd", "garbage");
        }),
        ("io", &["io_read", "io_write"], |tree| tree.write("101/io", "garbage")),
        ("status", &["ctx_switches"], |tree| tree.write("101/task/1101/status", "garbage")),
        ("/101/status", &["swap"], |tree| tree.write("101/status", "garbage")),
    ];
    for (file, of_file, spoil) in SPOILED {
        let tree = usual();
        spoil(&tree);
        for field in ALL.split(',') {
            let run = job(&tree, &format!("n_proc,{field}").replace("n_proc,n_proc", "n_proc"))
                .second_run();
            assert_eq!(run.line().n_proc(), 2);
            let is_named = run.stderr.starts_with("W! ") && run.stderr.contains(file);
            assert_eq!(is_named, of_file.contains(&field), "{file}, {field}: {run:?}");
            assert_eq!(run.stderr.is_empty(), !is_named, "{file}, {field}: {run:?}");
        }
    }
    // Only `stat` exists.
    let tree = usual();
    for file in ["meminfo", "100/statm", "100/io", "100/status", "101/statm", "101/io"] {
        std::fs::remove_file(tree.file(file)).unwrap();
    }
    for directory in ["100/fd", "100/task", "101/fd", "101/task"] {
        std::fs::remove_dir_all(tree.file(directory)).unwrap();
    }
    let fields = "p_cpu,n_proc,cpu_time,n_thread,n_zombie,faults_major,uptime,starts";
    let run = job(&tree, fields).second_run();
    assert_eq!((keys(&run.line()).as_str(), run.stderr.as_str()), (fields, ""));
}

/// A malformed file omits a field from the line of its group and causes one warning. The line keeps
/// its other fields, and the lines of other groups keep all.
#[test]
fn a_malformed_file_omits_its_fields_and_nothing_else() {
    type Odd = (&'static str, fn(&FakeProc), &'static [&'static str], &'static str);
    const CASES: [Odd; 17] = [
        ("no io", |t| remove(t, "101/io"), &["io_read", "io_write"], "CONFIG_TASK_IO_ACCOUNTING"),
        ("empty io", |t| t.write("101/io", ""), &["io_read", "io_write"], "/101/io"),
        (
            "half of io",
            |t| t.write("101/io", "read_bytes: 1\n"),
            &["io_read", "io_write"],
            "/101/io",
        ),
        ("io below zero", |t| t.set_io(101, -1, 1), &["io_read", "io_write"], "/101/io"),
        (
            "io beyond 64 bits",
            |t| t.set_io(101, "18446744073709551616", 1),
            &["io_read", "io_write"],
            "/101/io",
        ),
        ("a directory for io", |t| directory(t, "101/io"), &["io_read", "io_write"], "/101/io"),
        ("no threads", |t| t.set_threads(101, &[]), &["ctx_switches"], "/101/task:"),
        (
            "no status of a thread",
            |t| remove(t, "101/task/1101/status"),
            &["ctx_switches"],
            "/101/task/1101/status",
        ),
        (
            "empty status",
            |t| t.write("101/task/101/status", ""),
            &["ctx_switches"],
            "/101/task/101/status",
        ),
        (
            "one of the two counts",
            |t| t.write("101/task/101/status", "voluntary_ctxt_switches:\t1\n"),
            &["ctx_switches"],
            "/101/task/101/status",
        ),
        (
            "a count that is none",
            |t| {
                let text = "voluntary_ctxt_switches:\tx\nnonvoluntary_ctxt_switches:\t1\n";
                t.write("101/task/101/status", text);
            },
            &["ctx_switches"],
            "/101/task/101/status",
        ),
        (
            "a status without end",
            |t| t.write("101/task/101/status", vec![b'x'; 3 << 20]),
            &["ctx_switches"],
            "/101/task/101/status",
        ),
        ("no status", |t| remove(t, "101/status"), &["swap"], "/101/status"),
        ("half of status", |t| t.write("101/status", "State:\tS\n"), &["swap"], "/101/status"),
        (
            "swap that is no number",
            |t| t.write("101/status", "Name:\tx\nVmSwap:\t -4 kB\n"),
            &["swap"],
            "/101/status",
        ),
        ("no fd", |t| std::fs::remove_dir_all(t.file("101/fd")).unwrap(), &["n_fd"], "/101/fd"),
        (
            "a file for fd",
            |t| {
                std::fs::remove_dir_all(t.file("101/fd")).unwrap();
                t.write("101/fd", "");
            },
            &["n_fd"],
            "/101/fd",
        ),
    ];
    for (what, spoil, left_out, named) in CASES {
        let tree = usual();
        tree.add(&Process::new(300, 1, "other"));
        tree.set_io(300, 1, 1);
        tree.set_threads(300, &[(300, 1)]);
        tree.set_open_files(300, 1);
        let job = Job::new(&tree, ["--pid", "web:100", "--pid", "other:300", "--fields", ALL]);
        job.baseline();
        spoil(&tree);
        let run = job.run();
        let lines = run.lines();
        assert_eq!(keys(&lines[1]), ALL, "{what}");
        let kept: Vec<&str> = ALL.split(',').filter(|key| !left_out.contains(key)).collect();
        assert_eq!(keys(&lines[0]), kept.join(","), "{what}");
        assert_warning(&run.stderr, &[&["cannot read", named], left_out].concat());

        // After the repair, counters stay unknown for one more sample.
        let counted = |key: &&str| COUNTED.iter().any(|(other, _)| other == key);
        let _ = std::fs::remove_dir(tree.file("101/io"));
        tree.set_io(101, 5000, 5000);
        tree.set_threads(101, &[(101, 4000), (1101, 4000)]);
        let _ = std::fs::remove_file(tree.file("101/fd"));
        tree.set_open_files(101, 3);
        tree.write("101/status", "Name:\tx\nVmSwap:\t 3 kB\n");
        let run = job.run();
        let kept: Vec<&str> =
            ALL.split(',').filter(|key| !(left_out.contains(key) && counted(key))).collect();
        assert_eq!((keys(&run.lines()[0]), run.stderr.as_str()), (kept.join(","), ""), "{what}");
        let run = job.run();
        assert_eq!((keys(&run.lines()[0]).as_str(), run.stderr.as_str()), (ALL, ""), "{what}");
    }

    fn remove(tree: &FakeProc, file: &str) {
        std::fs::remove_file(tree.file(file)).unwrap();
    }

    fn directory(tree: &FakeProc, file: &str) {
        remove(tree, file);
        std::fs::create_dir(tree.file(file)).unwrap();
    }
}

#[test]
fn unreadable_files_cause_a_warning_with_the_cure() {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    if !may_be_root("a file that another user may not read") {
        return;
    }
    let tree = usual();
    let allow = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(tree.path(), 0o755);
    allow(&tree.file("101/io"), 0o400);
    allow(&tree.file("101/fd"), 0o500);
    let job = job(&tree, "n_proc,n_fd,io_write,uptime");
    chown(job.cache_dir(), Some(65534), Some(65534)).unwrap();
    let program = crate::support::public_binary();
    let run = || Run::of(program.command().args(job.arguments()).uid(65534).gid(65534));
    run();
    let run = run();
    assert_eq!(keys(&run.line()), "n_proc,uptime");
    let path = |file| tree.file(file).display().to_string();
    let capabilities = ["CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"];
    let fd = [&path("101/fd"), "n_fd", "root"];
    let io = [&path("101/io"), "io_write", "root", capabilities[0], capabilities[1]];
    assert_warnings(&run.stderr, &[&fd, &io]);
}

/// The files of a process without memory belong to root, whatever its user.
#[test]
fn an_unreadable_io_of_a_zombie_omits_nothing() {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    if !may_be_root("a file that another user may not read") {
        return;
    }
    let tree = usual();
    std::fs::set_permissions(tree.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let job = job(&tree, "io_write,n_zombie");
    chown(job.cache_dir(), Some(65534), Some(65534)).unwrap();
    let program = crate::support::public_binary();
    let run = || Run::of(program.command().args(job.arguments()).uid(65534).gid(65534));
    let counted = || {
        let from = job.state().accounts.taken;
        sleep(Duration::from_millis(20));
        let run = run();
        let seconds = job.state().accounts.taken.since(from) as f64 / 1e9;
        (run.line().value("io_write").map(|rate| (rate * seconds).round()), run.stderr)
    };
    let end = |pid: u32, start: u64| {
        tree.add(&Process { state: 'Z', start, ..Process::new(pid, 100, "x") });
        tree.set_io(pid, 1, 1);
        let denied = std::fs::Permissions::from_mode(0o400);
        std::fs::set_permissions(tree.file(format!("{pid}/io")), denied).unwrap();
    };
    let started = Process::new(101, 100, "x").start;
    run();
    end(101, started);
    end(102, ticks_since_boot());
    let none = String::new;
    assert_eq!(counted(), (Some(0.0), none()), "one that was known, and one born since");
    tree.set_io(100, 1000, 2003);
    assert_eq!(counted(), (Some(3.0), none()));
    // One had written 2000 and 5 more, the other 70. Now the parent has waited for both.
    tree.remove(101);
    tree.remove(102);
    tree.set_io(100, 1000, 2003 + 2005 + 70);
    assert_eq!(counted(), (Some(75.0), none()));
    // How much of the count of an older, unknown process is new cannot be known.
    end(103, started);
    let (io, stderr) = counted();
    assert_eq!(io, None);
    assert_warning(&stderr, &["cannot read", "/103/io", "io_write"]);
}

#[test]
fn counters_of_processes_that_stay_start_and_end() {
    for (field, set) in COUNTED {
        let inherits = field != "ctx_switches";
        let tree = FakeProc::new();
        let (first, second) = (Process::new(100, 1, "x"), Process::new(101, 100, "x"));
        tree.add_all(&[first, second]);
        set(&tree, 100, 1000);
        set(&tree, 101, 500_000);
        let job = job(&tree, &format!("n_proc,{field}"));
        job.baseline();
        let counted = |change: &dyn Fn()| counted_by(&job, field, change).0;
        assert_eq!(counted(&|| ()), Some(0.0), "{field}");
        let both = || {
            set(&tree, 100, 1300);
            set(&tree, 101, 500_020);
        };
        assert_eq!(counted(&both), Some(320.0), "{field}");

        // The child has counted 4 more and ended. Its parent inherits its count, if anything does.
        let inherited = if inherits { 500_024 } else { 0 };
        let gone = || {
            tree.remove(101);
            set(&tree, 100, 1300 + inherited + 6);
        };
        let expected = if inherits { 10.0 } else { 6.0 };
        assert_eq!(counted(&gone), Some(expected), "{field}: a life that ended makes no spike");
        assert_eq!(counted(&|| ()), Some(0.0), "{field}");

        // A process that started since the last sample counts in full.
        let born = || {
            set(&tree, 102, 88);
            let start = ticks_since_boot();
            tree.add(&Process { start, faults: (80, 8), ..Process::new(102, 100, "x") });
        };
        assert_eq!(counted(&born), Some(88.0), "{field}");
        // An older process that was not a member before starts with a new baseline.
        let joined = || {
            tree.add(&Process::new(103, 100, "x"));
            set(&tree, 103, 900_000);
        };
        assert_eq!(counted(&joined), Some(0.0), "{field}");
        assert_eq!(counted(&|| set(&tree, 103, 900_003)), Some(3.0), "{field}");
        // A decreasing counter counts as zero, and the largest counter is a finite rate.
        assert_eq!(counted(&|| set(&tree, 103, 1)), Some(0.0), "{field}");
        let huge = counted(&|| set(&tree, 103, u64::MAX)).unwrap();
        assert!(huge.is_finite() && huge > 1e19, "{field}: {huge}");
    }
}

#[test]
fn unknown_counters_have_no_rate_and_empty_groups_zero() {
    for (field, set) in COUNTED {
        let tree = FakeProc::new();
        let fields = format!("n_proc,{field}");
        let job = job(&tree, &fields);
        job.baseline();
        assert_eq!(keys(&job.run().line()), fields, "{field}: nobody is there");
        tree.add(&Process::new(100, 1, "x"));
        set(&tree, 100, 5000);
        assert_eq!(keys(&job.run().line()), "n_proc", "{field}: unknown is not 0");
        let (counted, _) = counted_by(&job, field, || set(&tree, 100, 5001));
        assert_eq!(counted, Some(1.0), "{field}");
    }
}

#[test]
fn a_new_field_is_omitted_from_its_first_line() {
    for (field, _) in COUNTED {
        let tree = usual();
        let before = Job::new(&tree, ["--pid", "web:100"]);
        assert_eq!(before.second_run().line().value("p_cpu"), Some(0.0));
        // A new process, the only one whose count would be known.
        let born = Process { start: ticks_since_boot(), ..Process::new(102, 100, "x") };
        tree.add(&born);
        tree.set_io(102, 1, 1);
        tree.set_threads(102, &[(102, 1)]);
        let fields = format!("p_cpu,{field}");
        let job = before.with(["--pid", "web:100", "--fields", &fields]);
        let run = job.run();
        assert_eq!((keys(&run.line()).as_str(), run.stderr.as_str()), ("p_cpu", ""), "{field}");
        assert_eq!(keys(&job.run().line()), fields);
        // Its ledger is dropped while the field is not requested.
        let job = job.with(["--pid", "web:100"]);
        job.run();
        assert!(
            job.state().accounts.groups.values().all(|known| known.rates.is_empty()),
            "{field}"
        );
        let job = job.with(["--pid", "web:100", "--fields", &fields]);
        assert_eq!(keys(&job.run().line()), "p_cpu", "{field}");
    }
}

#[test]
fn context_switches_of_threads_that_start_and_end() {
    let tree = usual();
    let job = job(&tree, "ctx_switches");
    job.baseline();
    let counted = |threads: &[(u32, u64)]| {
        counted_by(&job, "ctx_switches", || tree.set_threads(101, threads)).0
    };
    assert_eq!(counted(&[(101, 30), (1101, 19)]), Some(10.0));
    assert_eq!(counted(&[(101, 31)]), Some(1.0), "one of 19 has ended");
    assert_eq!(counted(&[(101, 31), (1102, 7), (1103, 4)]), Some(11.0), "two were born");
    assert_eq!(counted(&[(101, 31), (1102, 8), (1103, 4)]), Some(1.0), "and are known now");
    assert_eq!(counted(&[(1102, 8), (1103, 4), (101, 31)]), Some(0.0), "in any order");
    // Another, younger process 101: all its threads are new.
    let born = || {
        tree.add(&Process { start: ticks_since_boot(), ..Process::new(101, 100, "x") });
        tree.set_threads(101, &[(101, 2), (1102, 3)]);
    };
    assert_eq!(counted_by(&job, "ctx_switches", born).0, Some(5.0));
}

/// A thread that calls execve(2) takes over the id of the first thread (execve(2)). Its switches
/// before that were counted under its own id.
#[test]
fn execve_in_a_thread_adds_no_old_context_switches() {
    let tree = usual();
    let job = job(&tree, "ctx_switches");
    tree.set_threads(101, &[(101, 30), (1101, 9000), (1102, 400)]);
    job.baseline();
    let counted = |threads: &[(u32, u64)]| {
        counted_by(&job, "ctx_switches", || tree.set_threads(101, threads)).0
    };
    assert_eq!(counted(&[(101, 9002), (1103, 5)]), Some(7.0), "1101 is 101 now, and has another");
    assert_eq!(counted(&[(101, 9003), (1103, 5)]), Some(1.0));
    assert_eq!(counted(&[(101, 9004)]), Some(1.0), "one that just ended");
    assert_eq!(counted(&[(101, 9004), (1104, 8000)]), Some(8000.0));
    assert_eq!(counted(&[(101, 8001)]), Some(0.0), "1104 is 101 now, which had done more");
}

#[test]
fn a_zombie_has_no_files_or_memory_but_keeps_its_counters() {
    let tree = usual();
    let fields = "n_proc,n_zombie,n_thread,n_fd,mem,io_read,uptime";
    let job = job(&tree, fields);
    job.baseline();
    let (counted, run) = counted_by(&job, "io_read", || {
        tree.add(&Process { state: 'Z', resident: 99, ..Process::new(101, 100, "x") });
        std::fs::remove_dir_all(tree.file("101/fd")).unwrap();
        tree.set_io(101, 1024, 2000);
    });
    assert_eq!((counted, run.stderr.as_str()), (Some(24.0), ""));
    let values = ["n_proc", "n_zombie", "n_thread", "n_fd"].map(|key| run.line().value(key));
    assert_eq!(values, [Some(1.0), Some(1.0), Some(2.0), Some(5.0)]);
    let page = rustix::param::page_size() as f64;
    assert_eq!(run.line().value("mem"), Some(50.0 * page));
}

#[test]
fn uptime_is_that_of_the_oldest_process() {
    let tree = FakeProc::new();
    let fields = "n_proc,uptime";
    assert_eq!(job(&tree, fields).second_run().line().value("uptime"), Some(0.0), "down");
    let hz = rustix::param::clock_ticks_per_second();
    let start = ticks_since_boot() - 12 * hz;
    tree.add(&Process { start, ..Process::new(100, 1, "x") });
    tree.add(&Process { start: start + hz, ..Process::new(101, 100, "x") });
    // Older, but a zombie.
    tree.add(&Process { start: 1, state: 'Z', ..Process::new(102, 100, "x") });
    let uptime = || job(&tree, fields).second_run().line().value("uptime").unwrap();
    let at_least = |least: f64, uptime: f64| assert!(uptime >= least && uptime < least + 600.0);
    at_least(12.0, uptime());
    // A start in the future counts as now.
    tree.remove(101);
    tree.add(&Process { start: u64::MAX, ..Process::new(100, 1, "x") });
    assert_eq!(uptime(), 0.0);
}

/// What is a rate elsewhere is a counter for Prometheus, which takes the rate itself.
#[test]
fn a_page_has_counters_that_never_fall() {
    let tree = usual();
    let fields = "io_read,io_write,faults_major,ctx_switches,starts";
    let args = ["--pattern", "web:^x$", "--fields", fields, "--format", "prometheus"];
    let job = Job::new(&tree, args);
    let values = || -> Vec<u64> {
        let run = job.run();
        assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
        let page = String::from_utf8(run.stdout).unwrap();
        let lines = page.lines().filter(|line| line.contains("process_name="));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
    };
    job.baseline();
    assert_eq!(values(), [0; 5], "since it was first seen");
    tree.set_io(101, 1500, 2001);
    set_faults(&tree, 101, 9);
    tree.set_threads(101, &[(101, 37), (1101, 9)]);
    assert_eq!(values(), [500, 1, 7, 7, 0]);
    assert_eq!(values(), [500, 1, 7, 7, 0]);
    // The group is down, and comes back.
    tree.remove(100);
    tree.remove(101);
    assert_eq!(values(), [500, 1, 7, 7, 0]);
    let start = ticks_since_boot();
    tree.add(&Process { start, faults: (1, 0), ..Process::new(300, 1, "x") });
    tree.set_io(300, 20, 30);
    tree.set_threads(300, &[(300, 4)]);
    assert_eq!(values(), [520, 31, 8, 11, 1]);
}

/// A start is a member whose parent is not a member, and which is younger than the last sample.
#[test]
fn starts_are_roots_that_started_since_the_last_sample() {
    let tree = FakeProc::new();
    let old = |pid, parent| tree.add(&Process::new(pid, parent, "x"));
    let new = |pid, parent| {
        sleep(Duration::from_millis(40));
        tree.add(&Process { start: ticks_since_boot(), ..Process::new(pid, parent, "x") });
    };
    let args = ["--pattern", "web:^x$", "--pid", "one:100", "--pid", "no:77", "--fields=starts"];
    let job = Job::new(&tree, args);
    let starts = || {
        let lines = job.run().lines();
        lines.iter().map(|line| line.value("starts").unwrap()).collect::<Vec<_>>()
    };
    old(100, 1);
    job.baseline();
    assert_eq!(starts(), [0.0; 3]);
    old(200, 1);
    assert_eq!(starts(), [0.0; 3], "it is older than the last sample");
    new(101, 100);
    new(102, 101);
    assert_eq!(starts(), [0.0; 3], "workers, which members have forked");
    new(300, 1);
    new(301, 300);
    assert_eq!(starts(), [1.0, 0.0, 0.0]);
    assert_eq!(starts(), [0.0; 3], "once");
    // A restart loop, with one restart in each interval.
    for _ in 0..3 {
        for pid in [100, 101, 102] {
            let _ = std::fs::remove_dir_all(tree.file(pid.to_string()));
        }
        new(100, 1);
        assert_eq!(starts(), [1.0, 1.0, 0.0]);
    }
    // It starts in the very tick of the sample.
    tree.remove(100);
    tree.add(&Process { start: ticks_since_boot() + 1, ..Process::new(100, 1, "x") });
    assert_eq!([starts(), starts()], [[1.0, 1.0, 0.0], [0.0; 3]], "once");
}

#[test]
fn swapped_memory_of_the_living_adds_up() {
    let tree = FakeProc::new();
    tree.add(&Process { swap: 1000, ..Process::new(100, 1, "x") });
    tree.add(&Process { swap: 24, ..Process::new(101, 100, "x") });
    tree.add(&Process { swap: 500, state: 'Z', ..Process::new(102, 100, "x") });
    tree.add(&Process::new(103, 100, "kernel"));
    tree.write("103/status", "Name:\tkernel\nUid:\t0\t0\t0\t0\n");
    let swap = || job(&tree, "n_proc,swap").second_run().line().value("swap");
    assert_eq!(swap(), Some(1024.0 * 1024.0));
    tree.add(&Process { swap: u64::MAX, ..Process::new(101, 100, "x") });
    assert_eq!(swap(), None, "more than a field can hold");
}

#[test]
fn a_value_beyond_64_bits_is_omitted() {
    let tree = usual();
    tree.write("101/statm", format!("9 {} 0 1 0 1 0\n", u64::MAX / 4096));
    let args = ["--pid", "web:100", "--fields", "n_proc,mem", "--memory=rss"];
    let run = Job::new(&tree, args).second_run();
    assert_eq!(keys(&run.line()), "n_proc");
}

#[test]
fn cpu_time_continues_after_a_group_was_down() {
    let tree = FakeProc::new();
    let process = |own| Process { own, ..Process::new(100, 1, "x") };
    let seconds = |ticks: u64| ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    let job = Job::new(&tree, ["--pattern", "^x$", "--pid", "n:100", "--fields", "cpu_time"]);
    tree.add(&process(500));
    job.baseline();
    let totals = || {
        let lines = job.run().lines();
        lines.iter().map(|line| line.value("cpu_time").unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(totals(), [0.0, 0.0], "since it was first seen");
    tree.add(&process(510));
    assert_eq!(totals(), [seconds(10); 2]);
    assert_eq!(totals(), [seconds(10); 2]);
    tree.remove(100);
    assert_eq!(totals(), [seconds(10)], "the named group alone has a line");
    tree.add(&Process { start: ticks_since_boot(), ..process(3) });
    assert_eq!(totals(), [seconds(13); 2]);
    // CPU time from before the process was first seen is in no total.
    tree.remove(100);
    totals();
    tree.add(&process(70_000));
    assert_eq!(totals(), [seconds(13); 2]);
    assert_eq!(job.state().accounts.totals.len(), 2);
}

#[test]
fn changing_names_do_not_grow_the_cache() {
    const NAMES: u32 = 300;
    let tree = FakeProc::new();
    let job = Job::new(&tree, ["--pattern", "^evil", "--fields", "cpu_time,n_proc"]);
    job.baseline();
    let mut sizes = Vec::new();
    for round in 0..8 {
        for index in 0..NAMES {
            let start = ticks_since_boot();
            let pid = 1000 + index;
            let name = format!("evil{round}\n{index}");
            tree.write(
                format!("{pid}/stat"),
                Process { start, own: 4, ..Process::new(pid, 1, name) }.stat(),
            );
        }
        assert_eq!(job.run().lines().len(), NAMES as usize);
        let state = job.state();
        assert!(
            state.accounts.totals.len() <= 1024 + NAMES as usize,
            "{}",
            state.accounts.totals.len()
        );
        sizes.push(std::fs::metadata(job.cache()).unwrap().len());
    }
    assert!(sizes[7] < sizes[5] + 2000, "{sizes:?}");
}

#[test]
fn every_format_has_every_field() {
    let tree = usual();
    let text = |format: &str| {
        let args = ["--pid", "web:100", "--fields", ALL, "--format", format];
        let job = Job::new(&tree, args);
        job.run();
        let run = job.run();
        assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
        String::from_utf8(run.stdout).unwrap()
    };
    let json = text("json");
    for key in ALL.split(',') {
        assert!(json.contains(&format!("\"{key}\":")), "{key}: {json}");
    }
    let page = text("prometheus");
    let mut names = Vec::new();
    let blocks = page.split("# HELP ").filter(|block| block.contains("process_name="));
    for block in blocks {
        let lines: Vec<&str> = block.lines().collect();
        let (name, help) = lines[0].split_once(' ').unwrap();
        assert!(help.ends_with('.'), "{block}");
        let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
        assert_eq!(lines[1], format!("# TYPE {name} {kind}"));
        assert!(lines[2].starts_with(&format!("{name}{{host=\"tengu\",")), "{block}");
        assert_eq!(lines.len(), 3, "{block}");
        names.push(name.strip_prefix("psstat_").unwrap());
    }
    assert_eq!(
        names,
        [
            "cpu_cores",
            "memory_ratio",
            "processes",
            "cpu_seconds_total",
            "memory_bytes",
            "threads",
            "zombies",
            "open_fds",
            "io_read_bytes_total",
            "io_write_bytes_total",
            "major_page_faults_total",
            "context_switches_total",
            "uptime_seconds",
            "swap_bytes",
            "starts_total",
        ]
    );
}
