//! What each selector matches.

use super::counts;
use crate::stderr::assert_warning;
use crate::support::fake_proc::{FakeProc, Process};
use crate::support::{Job, make_fifo, ticks_since_boot};
use std::time::Duration;

/// The groups that these selectors form of various processes, and their sizes.
fn found(args: &[&str]) -> Vec<(String, usize)> {
    let tree = FakeProc::new();
    let long = [&[b'x'; 300_000][..], b"needle\0"].concat();
    tree.add_all(&[
        Process {
            cmdline: b"/usr/sbin/nginx\0-g\0daemon off;\0".to_vec(),
            exe: Some("/usr/sbin/nginx (deleted)".into()),
            effective_uid: 33,
            ..Process::new(100, 1, "nginx")
        },
        Process {
            cmdline: b"nginx: worker process\0\0\0\0\0".to_vec(),
            exe: Some("/usr/sbin/nginx".into()),
            effective_uid: 33,
            ..Process::new(101, 100, "nginx")
        },
        Process { cmdline: Vec::new(), ..Process::new(200, 1, "kworker/0:1") },
        Process {
            cmdline: [b"big\0".to_vec(), vec![b'a'; 1 << 20]].concat(),
            exe: Some("/opt/big\nname".into()),
            effective_uid: 4_294_967_294,
            ..Process::new(300, 1, "big")
        },
        Process { cmdline: long, ..Process::new(301, 1, "long") },
        Process { cmdline: b"\xff\xfe\0\x80".to_vec(), ..Process::new(302, 1, "bytes") },
    ]);
    tree.write("303/stat", Process::new(303, 1, "bare").stat());
    let run = Job::new(&tree, args).second_run();
    run.lines().iter().map(|line| (line.name().to_owned(), line.n_proc())).collect()
}

fn names(args: &[&str]) -> Vec<String> {
    found(args).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn pattern_matches_names() {
    assert_eq!(found(&["--pattern", "nginx"]), [("nginx".into(), 2)]);
    assert_eq!(found(&["--pattern", "^ngin$"]), []);
    assert_eq!(names(&["--pattern", "[[:digit:]]:1$"]), ["kworker/0:1"]);
    assert_eq!(names(&["--pattern", ":0:1"]), ["kworker/0:1"], "a leading ':' is no name");
    assert_eq!(names(&["--pattern", "^(?:big|long)$"]), ["big", "long"]);
}

#[test]
fn cmdline_matches_arguments_joined_by_spaces() {
    assert_eq!(found(&["--cmdline", "w:nginx -g daemon off;$"]), [("w".into(), 2)]);
    assert_eq!(found(&["--cmdline", "w:^nginx: worker process$"]), [("w".into(), 1)]);
    assert_eq!(names(&["--cmdline", "^$"]), ["init", "kworker/0:1"], "303 has no such file");
    assert_eq!(names(&["--cmdline", "^big aaaa"]), ["big"]);
    assert_eq!(names(&["--cmdline", r"^\xff\xfe \x80$"]), ["bytes"], "bytes, not characters");
    // Text after the limit is not read.
    assert_eq!(names(&["--cmdline", "needle"]), [""; 0]);
}

#[test]
fn exe_matches_the_whole_path() {
    assert_eq!(found(&["--exe", "/usr/sbin/nginx"]), [("nginx".into(), 2)], "deleted too");
    assert_eq!(names(&["--exe", "nginx"]), [""; 0]);
    assert_eq!(names(&["--exe", "*/[a-c]ig*name"]), ["big"], "over a line feed");
    assert_eq!(names(&["--exe", "*"]), ["big", "nginx"], "not those that run no file");
}

#[test]
fn user_selects_the_effective_user() {
    assert_eq!(found(&["--user", "33"]), [("nginx".into(), 2)]);
    assert_eq!(found(&["--user", "none:4000"]), [("none".into(), 0)], "the real user");
    assert_eq!(names(&["--user", "4294967294"]), ["big"]);
    assert_eq!(found(&["--user", "all:root"]).remove(0).0, "all");
}

#[test]
fn a_pid_file_selects_the_pid_on_its_first_line() {
    let tree = FakeProc::new();
    tree.add_all(&[Process::new(100, 1, "a"), Process::new(200, 1, "b")]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.pid");
    let selector = format!("web:{}", path.display());
    let job = Job::new(&tree, ["--pid-file", &selector, "--pid", "b:200"]);
    job.baseline();
    // Without a pid, nobody knows whether the service runs: no line.
    for (text, count, warning) in [
        ("100", Some(1), ""),
        ("  100\t\r\n/var/lib/x\n", Some(1), ""),
        ("", None, "4194304"),
        ("\n100\n", None, "4194304"),
        ("100 200", None, "4194304"),
        ("-100", None, "4194304"),
        ("0", None, "4194304"),
        ("4194305", None, "4194304"),
        ("300", Some(0), "300"),
    ] {
        std::fs::write(&path, text).unwrap();
        let run = job.run();
        let expected: Vec<_> = count.map(|count| ("web", count)).into_iter().collect();
        assert_eq!(counts(&run.lines()), [&expected[..], &[("b", 1)]].concat(), "{text:?}");
        assert_eq!(run.stderr.is_empty(), warning.is_empty(), "{text:?}: {run:?}");
        if !warning.is_empty() {
            assert_warning(&run.stderr, &[path.to_str().unwrap(), warning]);
            assert_eq!(run.stderr.contains("no line for web"), count.is_none(), "{run:?}");
        }
    }
    std::fs::remove_file(&path).unwrap();
    let run = job.run();
    assert_eq!(counts(&run.lines()), [("web", 0), ("b", 1)], "the service has removed it");
    assert_warning(&run.stderr, &[path.to_str().unwrap(), "not found"]);
    let assert_unknown = |reason: &str| {
        let run = job.run();
        assert_eq!(counts(&run.lines()), [("b", 1)], "{run:?}");
        let path = path.to_str().unwrap();
        assert_warning(&run.stderr, &["no line for web", path, reason, "give the path"]);
    };
    make_fifo(&path);
    assert_unknown("it is a FIFO");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_unknown("it is a directory");
    // A link of another user's can lead to what must not even be opened, such as /proc/kmsg.
    for (target, reason) in [
        ("/proc/self/stat", "it is a file of the kernel"),
        ("/sys/kernel/uevent_seqnum", "it is a file of the kernel"),
        ("/dev/zero", "a device"),
    ] {
        match std::fs::symlink_metadata(&path).unwrap().is_dir() {
            true => std::fs::remove_dir(&path).unwrap(),
            false => std::fs::remove_file(&path).unwrap(),
        }
        std::os::unix::fs::symlink(target, &path).unwrap();
        assert_unknown(reason);
    }
}

/// A name that the user gave is only for the selectors that bear it: any process can take any name.
#[test]
fn a_process_joins_no_named_group_by_its_own_name() {
    let tree = FakeProc::new();
    tree.add_all(&[Process::new(100, 1, "server"), Process::new(200, 1, "db")]);
    let job = Job::new(&tree, ["--pid", "db:100", "--pattern", "^db$", "--pattern", "^server$"]);
    job.baseline();
    let run = job.run();
    assert_eq!(counts(&run.lines()), [("db", 1), ("db (own name)", 1), ("server", 1)]);
}

#[test]
fn a_stale_pid_file_causes_a_warning() {
    let tree = FakeProc::new();
    let path = tree.file("x.pid");
    tree.write("x.pid", "100\n");
    let written = std::time::SystemTime::now() - Duration::from_millis(3_600_500);
    std::fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
    tree.add(&Process { start: ticks_since_boot(), ..Process::new(100, 1, "young\n") });
    let run = Job::new(&tree, ["--pid-file", path.to_str().unwrap()]).second_run();
    assert_eq!(run.line().n_proc(), 1);
    assert_warning(&run.stderr, &[path.to_str().unwrap(), r"100 (young\n)", "36"]);
}
