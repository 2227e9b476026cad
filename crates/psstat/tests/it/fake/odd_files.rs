//! Files that the kernel would never write. psstat ignores or reports each of them, and counts none
//! wrongly.

use super::{counts, untimed};
use crate::stderr::{assert_line, assert_warning};
use crate::support::fake_proc::{FakeProc, Process};
use crate::support::{Job, Run, make_fifo, may_be_root, run};
use std::os::unix::fs::symlink;
use std::path::Path;

/// What psstat does with a process.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// It counts the process as a member.
    Counted,
    /// It ignores the process, as if it had ended.
    Ignored,
    /// It does not count the process, and warns.
    Warned,
}
use Fate::{Counted, Ignored, Warned};

/// Changes a tree.
type Change<'a> = &'a dyn Fn(&FakeProc);

/// Creates process 200 with `make` as a child of process 100. Returns what psstat does with it.
fn fate(make: impl Fn(&FakeProc)) -> Fate {
    let tree = FakeProc::new();
    tree.add(&Process::new(100, 1, "root"));
    make(&tree);
    let run = Job::new(&tree, ["--pid", "root:100"]).second_run();
    let also = Job::new(&tree, ["--pid", "root:100", "--multi-threaded"]).second_run();
    assert_eq!(untimed(&run), untimed(&also), "on several threads");
    let warned = match run.stderr.as_str() {
        "" => false,
        text => {
            assert_warning(text, &["cannot read", "/200/stat"]);
            true
        }
    };
    match (run.line().n_proc(), warned) {
        (2, false) => Counted,
        (1, false) => Ignored,
        (1, true) => Warned,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_malformed_stat_is_refused() {
    const BEHIND: &str = "0 0 0 -1 0 0 0 0 0";
    let usual = String::from_utf8(Process::new(200, 100, "x").stat()).unwrap();
    let line = |text: String| text.into_bytes();
    let cases: Vec<(&str, Vec<u8>, Fate)> = vec![
        ("as usual", line(usual.clone()), Counted),
        ("without its line feed", line(usual.trim_end().to_owned()), Counted),
        ("fields of a later kernel", line(format!("{} 1 2 3\n", usual.trim_end())), Counted),
        ("empty", line(String::new()), Ignored),
        ("white space", line(" \n".to_owned()), Warned),
        ("garbage", b"\x00\xff\xfe garbage".to_vec(), Warned),
        ("a name only", line("200 (x".to_owned()), Warned),
        ("no name", line(usual.replace("(x)", "x")), Warned),
        ("nothing after the name", line("200 (x)".to_owned()), Warned),
        ("cut after the state", line("200 (x) S".to_owned()), Warned),
        (
            "cut before the start",
            line(usual.split(" 1048576").next().unwrap()[..60].into()),
            Warned,
        ),
        ("a state of two letters", line(usual.replace(" S ", " SS ")), Warned),
        ("no state", line(usual.replace(" S ", " ")), Warned),
        ("a parent below zero", line(usual.replace(" S 100 ", " S -1 ")), Warned),
        ("a parent beyond 32 bits", line(usual.replace(" S 100 ", " S 4294967296 ")), Warned),
        ("a parent beyond all pids", line(usual.replace(" S 100 ", " S 4294967295 ")), Warned),
        ("itself as parent", line(usual.replace(" S 100 ", " S 200 ")), Ignored),
        ("another pid in front", line(usual.replacen("200", "7", 1)), Counted),
        (
            "own time below zero",
            line(format!("200 (x) S 100 {BEHIND} -1 0 0 0 20 0 1 0 1 0\n")),
            Warned,
        ),
        (
            "own time beyond 64 bits",
            line(format!("200 (x) S 100 {BEHIND} 18446744073709551616 0 0 0 20 0 1 0 1 0\n")),
            Warned,
        ),
        (
            "own times that overflow when added",
            line(format!(
                "200 (x) S 100 {BEHIND} 18446744073709551615 18446744073709551615 \
                 18446744073709551615 18446744073709551615 20 0 1 0 1 0\n"
            )),
            Counted,
        ),
        (
            "children's time below zero",
            line(format!("200 (x) S 100 {BEHIND} 0 0 -5 -9223372036854775808 20 0 1 0 1 0\n")),
            Counted,
        ),
        (
            "children's time twice negative",
            line(format!("200 (x) S 100 {BEHIND} 0 0 --5 0 20 0 1 0 1 0\n")),
            Warned,
        ),
        (
            "a nice value and more that are no numbers",
            line(format!("200 (x) S 100 {BEHIND} 0 0 0 0 20 ? 1 ? 1\n")),
            Counted,
        ),
        (
            "a start beyond 64 bits",
            line(format!("200 (x) S 100 {BEHIND} 0 0 0 0 20 0 1 0 99999999999999999999\n")),
            Warned,
        ),
        ("a NUL instead of a space", line(usual.replacen(" S 100 ", " S\x00100 ", 1)), Warned),
        ("a mebibyte of spaces", vec![b' '; 1 << 20], Warned),
        ("a name of a kernel thread's length", Process::new(200, 100, [b'k'; 63]).stat(), Counted),
        ("a name beyond all limits", Process::new(200, 100, [b'k'; 1 << 20]).stat(), Warned),
    ];
    for (what, text, expected) in cases {
        assert_eq!(fate(|tree| tree.write("200/stat", &text)), expected, "{what}");
    }
}

#[test]
fn an_odd_process_directory_does_no_harm() {
    let usual = Process::new(200, 100, "x").stat();
    let cases: [(&str, Change, Fate); 9] = [
        ("no stat in it", &|tree| tree.write("200/cmdline", ""), Ignored),
        ("a plain file", &|tree| tree.write("200", ""), Warned),
        ("stat is a directory", &|tree| tree.write("200/stat/x", ""), Warned),
        (
            "a symbolic link to a directory",
            &|tree| {
                tree.write("elsewhere/stat", &usual);
                symlink("elsewhere", tree.file("200")).unwrap();
            },
            Counted,
        ),
        ("a dangling link", &|tree| symlink("nowhere", tree.file("200")).unwrap(), Ignored),
        ("a link to itself", &|tree| symlink("200", tree.file("200")).unwrap(), Warned),
        (
            "stat is a link to itself",
            &|tree| {
                tree.write("200/statm", "");
                symlink("stat", tree.file("200/stat")).unwrap();
            },
            Warned,
        ),
        (
            "stat is a FIFO",
            &|tree| {
                tree.write("200/statm", "");
                make_fifo(&tree.file("200/stat"));
            },
            Ignored,
        ),
        (
            "stat is a device",
            &|tree| {
                tree.write("200/statm", "");
                symlink("/dev/null", tree.file("200/stat")).unwrap();
            },
            Ignored,
        ),
    ];
    for (what, make, expected) in cases {
        assert_eq!(fate(make), expected, "{what}");
    }
}

#[test]
fn only_valid_pids_name_a_process() {
    let tree = FakeProc::new();
    tree.add_all(&[
        Process::new(100, 1, "root"),
        Process::new(200, 100, "x"),
        Process::new(4_194_304, 100, "x"),
    ]);
    let odd = ["0", "00", "4194305", "99999999", "18446744073709551816", "-5", "+5", "5 ", " 5"];
    let odder = ["0x10", "1e3", "self", "thread-self", "５", "5\n", "..5", "0200", "00000200"];
    for name in odd.iter().chain(&odder) {
        tree.write(Path::new(name).join("stat"), Process::new(7, 100, "y").stat());
    }
    let run = Job::new(&tree, ["--pid", "root:100", "--pattern", "x:x"]).second_run();
    assert_eq!((counts(&run.lines()), run.stderr.as_str()), (vec![("root", 3), ("x", 2)], ""));
}

#[test]
fn a_directory_without_processes_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().to_str().unwrap();
    let args = ["--pid", "1", "--cache-dir", dir, "--proc", dir];
    run(args).assert_failed(1, dir);
    std::fs::create_dir(directory.path().join("5")).unwrap();
    let run = run(args);
    run.assert_failed(1, dir);
    assert_line(&run.stderr, "E! ", &["--proc", "HOST_PROC"]);
}

#[test]
fn an_unreadable_meminfo_omits_p_mem() {
    let cases: [(&str, Change, &str); 7] = [
        ("none", &|_| {}, "p_mem"),
        ("empty", &|tree| tree.write("meminfo", ""), "p_mem"),
        ("no total", &|tree| tree.write("meminfo", "MemFree: 5 kB\nXMemTotal: 7 kB\n"), "p_mem"),
        ("a total without number", &|tree| tree.write("meminfo", "MemTotal: much\n"), "p_mem"),
        ("a FIFO", &|tree| make_fifo(&tree.file("meminfo")), "p_mem"),
        ("a directory", &|tree| tree.write("meminfo/x", ""), "p_mem"),
        ("a total of zero", &|tree| tree.write("meminfo", "MemTotal: 0 kB\n"), ""),
    ];
    for (what, make, named) in cases {
        let tree = FakeProc::new();
        tree.add(&Process { resident: 5, ..Process::new(100, 1, "root") });
        std::fs::remove_file(tree.file("meminfo")).unwrap();
        make(&tree);
        let run = Job::new(&tree, ["--pid", "root:100"]).second_run();
        let line = run.line();
        assert_eq!((line.p_mem(), line.n_proc()), (None, 1), "{what}");
        assert_eq!(line.p_cpu(), Some(0.0), "{what}");
        match named {
            "" => assert_eq!(run.stderr, "", "{what}"),
            field => assert_warning(&run.stderr, &[field, "/meminfo"]),
        }
    }
}

#[test]
fn a_malformed_statm_causes_a_warning_and_leaves_the_memory_out() {
    for text in ["garbage", "1", "1 2", "1 -2 0", "1 99999999999999999999 0"] {
        let tree = FakeProc::new();
        tree.add(&Process { resident: 50, shared: 20, ..Process::new(100, 1, "root") });
        tree.add(&Process { resident: 70, ..Process::new(200, 100, "x") });
        tree.write("200/statm", text);
        let run = Job::new(&tree, ["--pid", "root:100"]).second_run();
        assert_eq!((run.line().p_mem(), run.line().n_proc()), (None, 2), "{text:?}");
        assert_warning(&run.stderr, &["cannot read", "/200/statm"]);
    }
}

#[test]
fn the_owner_of_a_copy_is_no_substitute_for_a_status_that_cannot_be_read() {
    let tree = FakeProc::new();
    let process = |pid| Process { effective_uid: 4321, ..Process::new(pid, 1, "x") };
    tree.add_all(&[process(100), process(200)]);
    let job = Job::new(&tree, ["--user", "u:4321"]);
    assert_eq!(job.second_run().line().n_proc(), 2);
    std::fs::remove_file(tree.file("200/status")).unwrap();
    std::fs::create_dir(tree.file("200/status")).unwrap();
    let run = job.run();
    assert_eq!(run.lines(), []);
    assert_warning(&run.stderr, &["u", "/200/status"]);
}

#[test]
fn a_member_of_a_control_group_that_cannot_be_read_leaves_the_memory_out() {
    let tree = FakeProc::new();
    for pid in [100, 200] {
        tree.add(&Process { resident: 5, ..Process::new(pid, 1, "x") });
    }
    let group = "sys/fs/cgroup/web";
    tree.write(format!("{group}/cgroup.procs"), "100\n200\n");
    tree.write(format!("{group}/cpu.stat"), "usage_usec 5\n");
    tree.write("sys/fs/cgroup/cgroup.procs", "");
    let sys = tree.file("sys");
    let job = Job::new(&tree, ["--sys", sys.to_str().unwrap(), "--cgroup", "web:web"]);
    let line = job.second_run().line();
    assert_eq!((line.p_mem(), line.n_proc()), (Some(0.000_01), 2));
    std::fs::remove_file(tree.file("200/stat")).unwrap();
    std::fs::create_dir(tree.file("200/stat")).unwrap();
    let run = job.run();
    assert_eq!((run.line().p_mem(), run.line().n_proc()), (None, 2), "{run:?}");
    assert_warning(&run.stderr, &["/200/stat"]);
}

#[test]
fn huge_sizes_are_a_finite_number() {
    let tree = FakeProc::new();
    let huge = Process { resident: u64::MAX, shared: u64::MAX, ..Process::new(100, 1, "root") };
    tree.add_all(&[huge.clone(), Process { pid: 200, parent: 100, shared: 0, ..huge }]);
    for mode in ["rss", "shared-once", "pss"] {
        let run = Job::new(&tree, ["--pid", "100", "--memory", mode]).second_run();
        assert!(run.line().p_mem().is_some_and(|part| part.is_finite() && part > 0.0));
    }
}

#[test]
fn unreadable_processes_cause_a_warning_with_the_cure() {
    if !may_be_root("a file that another user may not read") {
        return;
    }
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    let tree = FakeProc::new();
    tree.add_all(&[Process::new(100, 1, "root"), Process::new(200, 100, "x")]);
    let allow = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(tree.path(), 0o755);
    allow(&tree.file("200/stat"), 0o600);
    let job = Job::new(&tree, ["--pid", "root:100"]);
    chown(job.cache_dir(), Some(65534), Some(65534)).unwrap();
    let program = crate::support::public_binary();
    let run = || {
        let mut command = program.command();
        Run::of(command.args(job.arguments()).uid(65534).gid(65534))
    };
    run();
    let run = run();
    assert_eq!(run.line().n_proc(), 1);
    assert_warning(&run.stderr, &["cannot read", "/200/stat", "root"]);
}
