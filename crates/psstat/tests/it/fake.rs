//! Folders that look like a procfs, with every odd content: what psstat makes of what the kernel
//! would never write, and the arithmetic of CPU and memory on what it would.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use crate::stderr::{assert_line, assert_warning, assert_warnings, first_line};
use crate::support::fake_proc::{FakeProc, Process};
use crate::support::line::{self, Line};
use crate::support::{Job, Run, boot_now, make_fifo, may_be_root, run, ticks_since_boot};
use psstat_core::model::units::BootNanos;
use psstat_core::state::codec;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

/// Names and numbers of processes, line by line.
fn counts(lines: &[Line]) -> Vec<(&str, usize)> {
    lines.iter().map(|line| (line.name(), line.n_proc())).collect()
}

/// What is printed without the time stamps.
fn untimed(run: &Run) -> String {
    run.lines();
    let text = String::from_utf8(run.stdout.clone()).unwrap();
    text.lines().map(|line| format!("{}\n", line.rsplit_once(' ').unwrap().0)).collect()
}

mod odd_files {
    use super::*;

    /// What becomes of a process whose files are odd.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Fate {
        /// Counted as a member like any other.
        Counted,
        /// As if it had ended.
        Ignored,
        /// Not counted, and standard error says so.
        Warned,
    }
    use Fate::{Counted, Ignored, Warned};

    /// Changes a tree.
    type Change<'a> = &'a dyn Fn(&FakeProc);

    /// Puts process 200 below process 100 as `make` says, and tells what psstat makes of it.
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
                assert_warning(text, &["1 ", "/200/stat"]);
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
    fn a_stat_line_is_taken_only_where_the_kernel_could_have_written_it() {
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
            ("nothing behind the name", line("200 (x)".to_owned()), Warned),
            ("cut behind the state", line("200 (x) S".to_owned()), Warned),
            (
                "cut before the start",
                line(usual.split(" 1048576").next().unwrap()[..60].into()),
                Warned,
            ),
            ("a state of two letters", line(usual.replace(" S ", " SS ")), Warned),
            ("no state", line(usual.replace(" S ", " ")), Warned),
            ("a parent below zero", line(usual.replace(" S 100 ", " S -1 ")), Warned),
            ("a parent beyond 32 bits", line(usual.replace(" S 100 ", " S 4294967296 ")), Warned),
            ("a parent beyond all pids", line(usual.replace(" S 100 ", " S 4294967295 ")), Ignored),
            ("itself as parent", line(usual.replace(" S 100 ", " S 200 ")), Ignored),
            ("another number in front", line(usual.replacen("200", "7", 1)), Counted),
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
            ("a NUL for a space", line(usual.replacen(" S 100 ", " S\x00100 ", 1)), Warned),
            ("a mebibyte of spaces", vec![b' '; 1 << 20], Warned),
            (
                "a name of a kernel thread's length",
                Process::new(200, 100, [b'k'; 63]).stat(),
                Counted,
            ),
            ("a name beyond all limits", Process::new(200, 100, [b'k'; 1 << 20]).stat(), Warned),
        ];
        for (what, text, expected) in cases {
            assert_eq!(fate(|tree| tree.write("200/stat", &text)), expected, "{what}");
        }
    }

    #[test]
    fn a_folder_of_a_process_may_be_anything() {
        let usual = Process::new(200, 100, "x").stat();
        let cases: [(&str, Change, Fate); 9] = [
            ("no stat in it", &|tree| tree.write("200/cmdline", ""), Ignored),
            ("a plain file", &|tree| tree.write("200", ""), Warned),
            ("stat is a folder", &|tree| tree.write("200/stat/x", ""), Warned),
            (
                "a symbolic link to a folder",
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
    fn only_numbers_that_the_kernel_gives_out_name_a_process() {
        let tree = FakeProc::new();
        tree.add_all(&[
            Process::new(100, 1, "root"),
            Process::new(200, 100, "x"),
            Process::new(4_194_304, 100, "x"),
        ]);
        let odd =
            ["0", "00", "4194305", "99999999", "18446744073709551816", "-5", "+5", "5 ", " 5"];
        let odder = ["0x10", "1e3", "self", "thread-self", "５", "5\n", "..5", "0200", "00000200"];
        for name in odd.iter().chain(&odder) {
            tree.write(Path::new(name).join("stat"), Process::new(7, 100, "y").stat());
        }
        let run = Job::new(&tree, ["--pid", "root:100", "--pattern", "x:x"]).second_run();
        assert_eq!((counts(&run.lines()), run.stderr.as_str()), (vec![("root", 3), ("x", 2)], ""));
    }

    #[test]
    fn a_folder_without_any_process_is_no_procfs() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().to_str().unwrap();
        let args = ["--pid", "1", "--cache-dir", dir, "--proc", dir];
        run(args).assert_failed(1, dir);
        std::fs::create_dir(folder.path().join("5")).unwrap();
        let run = run(args);
        run.assert_failed(1, dir);
        assert_line(&run.stderr, "E! ", &["--proc", "HOST_PROC"]);
    }

    #[test]
    fn memory_that_cannot_be_read_leaves_p_mem_out() {
        let cases: [(&str, Change, &str); 7] = [
            ("none", &|_| {}, "p_mem"),
            ("empty", &|tree| tree.write("meminfo", ""), "p_mem"),
            (
                "no total",
                &|tree| tree.write("meminfo", "MemFree: 5 kB\nXMemTotal: 7 kB\n"),
                "p_mem",
            ),
            ("a total without number", &|tree| tree.write("meminfo", "MemTotal: much\n"), "p_mem"),
            ("a FIFO", &|tree| make_fifo(&tree.file("meminfo")), "p_mem"),
            ("a folder", &|tree| tree.write("meminfo/x", ""), "p_mem"),
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
    fn a_size_that_cannot_be_read_is_said_and_the_others_counted() {
        for text in ["garbage", "1", "1 2", "1 -2 0", "1 99999999999999999999 0"] {
            let tree = FakeProc::new();
            tree.add(&Process { resident: 50, shared: 20, ..Process::new(100, 1, "root") });
            tree.add(&Process { resident: 70, ..Process::new(200, 100, "x") });
            tree.write("200/statm", text);
            let run = Job::new(&tree, ["--pid", "root:100"]).second_run();
            assert_eq!((run.line().p_mem(), run.line().n_proc()), (Some(0.000_05), 2), "{text:?}");
            assert_warning(&run.stderr, &["1 ", "/200/statm"]);
        }
    }

    #[test]
    fn sizes_beyond_all_bounds_still_give_a_number() {
        let tree = FakeProc::new();
        let huge = Process { resident: u64::MAX, shared: u64::MAX, ..Process::new(100, 1, "root") };
        tree.add_all(&[huge.clone(), Process { pid: 200, parent: 100, shared: 0, ..huge }]);
        for mode in ["rss", "shared-once", "pss"] {
            let run = Job::new(&tree, ["--pid", "100", "--memory", mode]).second_run();
            assert!(run.line().p_mem().is_some_and(|part| part.is_finite() && part > 0.0));
        }
    }

    #[test]
    fn processes_that_may_not_be_read_are_said_with_the_cure() {
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
        assert_warning(&run.stderr, &["1 ", "/200/stat", "root"]);
    }
}

mod membership {
    use super::*;

    #[test]
    fn descent_is_by_parent_whatever_the_order_of_pids() {
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
    fn a_missing_parent_or_a_younger_one_is_none() {
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
    fn parents_in_a_circle_end() {
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
        // One of them ends: its debt must not go round for ever.
        tree.remove(101);
        assert_eq!(counts(&job.run().lines()), [("a", 1), ("b", 0), ("own", 1)]);
    }

    #[test]
    fn zombies_belong_and_are_not_counted() {
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
    fn a_process_counts_once_in_each_group_and_groups_may_overlap() {
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
    fn groups_stand_in_the_order_typed_across_kinds_then_by_name() {
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
        // A group stands where the first of its selectors was typed.
        assert_eq!(
            names(&["--pid", "b:100", "--pid", "a:90", "--pid", "b:120"]),
            ["b", "a"],
            "by the first selector"
        );
        assert_eq!(names(&["--pattern", "ta", "--user", "7"]), ["beta", "zeta", "alpha"]);
    }

    #[test]
    fn the_same_state_gives_the_same_bytes() {
        let tree = FakeProc::new();
        for pid in 100..160u32 {
            let parent = if pid % 3 == 0 { pid / 2 + 60 } else { 1 };
            let comm = format!("name{}", pid % 7);
            tree.add(&Process { resident: u64::from(pid), ..Process::new(pid, parent, comm) });
        }
        let selectors = [
            ["--pattern", "g:name[12]"],
            ["--pid", "g:140"],
            ["--user", "all:0"],
            ["--pid", "150"],
        ];
        let printed = |order: [usize; 4]| {
            untimed(&Job::new(&tree, order.map(|at| selectors[at]).concat()).second_run())
        };
        let first = printed([0, 1, 2, 3]);
        assert_eq!(first.lines().count(), 3);
        assert_eq!(first, printed([0, 1, 2, 3]));
        // Selectors of one group may change places.
        assert_eq!(first, printed([1, 0, 2, 3]));
        assert_eq!(first, printed([0, 2, 1, 3]));
        // Between groups the order of lines follows; the lines stay the same.
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_ne!(first, printed([3, 2, 1, 0]));
        assert_eq!(sorted(&first), sorted(&printed([3, 2, 1, 0])));
    }

    #[test]
    fn down_is_a_value_for_a_named_group_only() {
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
        // It comes up, having started before the last sample: its past is not this interval's.
        tree.add(&Process { own: 5000, ..Process::new(500, 1, "nginx") });
        let line = job.run().lines().remove(0);
        assert_eq!((line.name(), line.p_cpu(), line.n_proc()), ("web", None, 1));
    }

    #[test]
    fn a_group_added_today_has_no_p_cpu_in_its_first_line() {
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
}

mod selectors {
    use super::*;

    /// Groups and their sizes on a tree of all kinds of processes.
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
    fn patterns_find_names() {
        assert_eq!(found(&["--pattern", "nginx"]), [("nginx".into(), 2)]);
        assert_eq!(found(&["--pattern", "^ngin$"]), []);
        assert_eq!(names(&["--pattern", "[[:digit:]]:1$"]), ["kworker/0:1"]);
        assert_eq!(names(&["--pattern", ":0:1"]), ["kworker/0:1"], "a leading ':' is no name");
        assert_eq!(names(&["--pattern", "^(?:big|long)$"]), ["big", "long"]);
    }

    #[test]
    fn command_lines_are_joined_by_spaces() {
        assert_eq!(found(&["--cmdline", "w:nginx -g daemon off;$"]), [("w".into(), 2)]);
        assert_eq!(found(&["--cmdline", "w:^nginx: worker process$"]), [("w".into(), 1)]);
        assert_eq!(names(&["--cmdline", "^$"]), ["init", "kworker/0:1"], "303 has no such file");
        assert_eq!(names(&["--cmdline", "^big aaaa"]), ["big"]);
        assert_eq!(names(&["--cmdline", r"^\xff\xfe \x80$"]), ["bytes"], "bytes, not characters");
        // What stands behind the limit is not looked at, and costs nothing.
        assert_eq!(names(&["--cmdline", "needle"]), [""; 0]);
    }

    #[test]
    fn executables_match_whole() {
        assert_eq!(found(&["--exe", "/usr/sbin/nginx"]), [("nginx".into(), 2)], "deleted too");
        assert_eq!(names(&["--exe", "nginx"]), [""; 0]);
        assert_eq!(names(&["--exe", "*/[a-c]ig*name"]), ["big"], "over a line feed");
        assert_eq!(names(&["--exe", "*"]), ["big", "nginx"], "not those that run no file");
    }

    #[test]
    fn users_are_effective_users() {
        assert_eq!(found(&["--user", "33"]), [("nginx".into(), 2)]);
        assert_eq!(found(&["--user", "none:4000"]), [("none".into(), 0)], "the real user");
        assert_eq!(names(&["--user", "4294967294"]), ["big"]);
        assert_eq!(found(&["--user", "all:root"]).remove(0).0, "all");
    }

    #[test]
    fn pid_files_name_one_process() {
        let tree = FakeProc::new();
        tree.add_all(&[Process::new(100, 1, "a"), Process::new(200, 1, "b")]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pid");
        let selector = format!("web:{}", path.display());
        let job = Job::new(&tree, ["--pid-file", &selector, "--pid", "b:200"]);
        job.baseline();
        for (text, count, warning) in [
            ("100", 1, ""),
            ("  100\t\r\n/var/lib/x\n", 1, ""),
            ("", 0, "4194304"),
            ("\n100\n", 0, "4194304"),
            ("100 200", 0, "4194304"),
            ("-100", 0, "4194304"),
            ("0", 0, "4194304"),
            ("4194305", 0, "4194304"),
            ("300", 0, "300"),
        ] {
            std::fs::write(&path, text).unwrap();
            let run = job.run();
            assert_eq!(counts(&run.lines()), [("web", count), ("b", 1)], "{text:?}");
            assert_eq!(run.stderr.is_empty(), warning.is_empty(), "{text:?}: {run:?}");
            if !warning.is_empty() {
                assert_warning(&run.stderr, &[path.to_str().unwrap(), warning]);
            }
        }
        std::fs::remove_file(&path).unwrap();
        let assert_warned = |named: &str| {
            let run = job.run();
            assert_eq!(counts(&run.lines()), [("web", 0), ("b", 1)], "{named}");
            assert_warning(&run.stderr, &[path.to_str().unwrap(), named]);
        };
        assert_warned("");
        make_fifo(&path);
        assert_warned("regular file");
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_warned("regular file");
    }

    #[test]
    fn a_stranger_on_a_recycled_pid_is_reported_and_told() {
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
}

mod cpu {
    use super::*;

    /// The two states of one group and what it used between them, in ticks.
    struct Case {
        what: &'static str,
        before: Vec<Process>,
        after: Vec<Process>,
        ticks: Option<u64>,
        alive: usize,
    }

    /// Time of its own and of its children, as `stat` shows it.
    fn used(pid: u32, parent: u32, own: u64, children: i64) -> Process {
        Process { own, children, ..Process::new(pid, parent, "x") }
    }

    /// Ticks that a line reports, given what the interval began and ended with.
    fn ticks(line: &Line, from: BootNanos, to: BootNanos) -> Option<f64> {
        let seconds = to.since(from) as f64 / 1e9;
        line.p_cpu().map(|rate| rate * seconds * rustix::param::clock_ticks_per_second() as f64)
    }

    /// Runs psstat on the first states, then on the second ones, and compares every group. Group
    /// `N` has its root at pid `N * 10`.
    fn check(cases: &[Case]) {
        let tree = FakeProc::new();
        let root = |at: usize| (at + 1) * 10;
        let selectors = (0..cases.len())
            .flat_map(|at| ["--pid".to_owned(), format!("{}:{}", cases[at].what, root(at))]);
        let job = Job::new(&tree, selectors);
        let shift = |process: &Process, at: usize| {
            let shifted = |pid: u32| if pid >= 10 { pid - 10 + root(at) as u32 } else { pid };
            Process {
                pid: shifted(process.pid),
                parent: shifted(process.parent),
                ..process.clone()
            }
        };
        for (at, case) in cases.iter().enumerate() {
            case.before.iter().for_each(|process| tree.add(&shift(process, at)));
        }
        job.baseline();
        let from = job.state().accounts.taken;
        // Longer than 10 ticks, below which no rate is above the number of processors.
        sleep(Duration::from_millis(300));
        let now = ticks_since_boot();
        for (at, case) in cases.iter().enumerate() {
            let stays = |pid| case.after.iter().any(|process| process.pid == pid);
            for gone in case.before.iter().filter(|process| !stays(process.pid)) {
                tree.remove(shift(gone, at).pid);
            }
            for process in &case.after {
                let start = if process.start == BORN_SINCE { now } else { process.start };
                tree.add(&shift(&Process { start, ..process.clone() }, at));
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

    /// Stands for the time between the two samples.
    const BORN_SINCE: u64 = u64::MAX;

    fn born(process: Process) -> Process {
        Process { start: BORN_SINCE, ..process }
    }

    #[test]
    fn of_processes_that_stay() {
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
    fn of_processes_that_come() {
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
    fn of_children_that_go() {
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
    fn counters_at_their_end_give_a_number() {
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
    fn an_interval_too_short_for_a_rate_is_bound_by_the_processors() {
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
        // How long after its start a run takes its sample: where that is long, the sample before is
        // made to look as if it had been taken shortly before it.
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
        assert!(bound > 0, "every one of 50 intervals was longer than 10 ticks");
    }

    #[test]
    fn another_boot_starts_over_and_no_boot_id_is_one_too() {
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
}

mod memory {
    use super::*;

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
    fn each_mode_sums_in_its_own_way() {
        let tree = tree();
        assert_eq!(part(&tree, "rss"), (Some(0.002_35), String::new()));
        assert_eq!(part(&tree, "shared-once"), (Some(0.001_41), String::new()));
        assert_eq!(part(&tree, "pss"), (Some(0.000_907), String::new()));
        let usual = Job::new(&tree, ["--pid", "x:100"]).second_run();
        assert_eq!(usual.line().p_mem(), Some(0.001_41), "shared-once if nothing is said");
    }

    #[test]
    fn a_share_that_is_no_number_counts_as_shared_once_with_a_warning() {
        let tree = tree();
        tree.write("101/smaps_rollup", "Rss: 5 kB\n");
        tree.write("102/smaps_rollup", "Pss: lots\n");
        // 400 of the first; 300 and 10 of their own, and 900 that they may share.
        let (part, stderr) = part(&tree, "pss");
        assert_eq!(part, Some(0.001_61));
        assert_warning(&stderr, &["2 ", "/101/smaps_rollup"]);
    }

    #[test]
    fn a_process_without_memory_maps_has_none() {
        let tree = tree();
        tree.write("101/smaps_rollup", "");
        assert_eq!(part(&tree, "pss"), (Some(0.000_407), String::new()));
    }
}

mod surroundings {
    use super::*;

    #[test]
    fn mounts_come_from_the_environment_unless_typed() {
        let (one, other) = (FakeProc::new(), FakeProc::new());
        one.add(&Process::new(100, 1, "one"));
        other.add(&Process::new(100, 1, "other"));
        let names = |host_proc: &Path, args: &[&str]| {
            let mut command = crate::support::psstat();
            command.env("HOST_PROC", host_proc).env("HOST_SYS", one.path());
            let run = Run::of(command.args(["--wait", "1ms", "--pid", "100"]).args(args));
            run.line().name().to_owned()
        };
        assert_eq!(names(one.path(), &[]), "one");
        assert_eq!(names(one.path(), &["--proc", other.path().to_str().unwrap()]), "other");
        let own = std::process::id().to_string();
        let mut command = crate::support::psstat();
        command.env("HOST_PROC", "").args(["--wait", "1ms", "--pid", &own]);
        assert_eq!(Run::of(&mut command).lines().len(), 1, "empty is as good as unset");
    }

    #[test]
    fn processors_are_read_below_host_sys() {
        let tree = FakeProc::new();
        tree.add(&Process { resident: 3, ..Process::new(100, 1, "x") });
        let sys = tempfile::tempdir().unwrap();
        // Not what the kernel writes: then no rate is bound, and nothing ends.
        for text in ["", "0-", "x", "3-1", "0-99999999999999999999"] {
            let cpu = sys.path().join("devices/system/cpu");
            std::fs::create_dir_all(&cpu).unwrap();
            std::fs::write(cpu.join("online"), text).unwrap();
            let job = Job::new(&tree, ["--pid", "x:100"]);
            job.baseline();
            let run = Run::of(job.command().env("HOST_SYS", sys.path()));
            assert_eq!(run.line().p_cpu(), Some(0.0), "{text:?}");
        }
    }

    #[test]
    fn tags_are_host_then_those_typed_then_process_name() {
        let tree = FakeProc::new();
        tree.add(&Process::new(100, 1, "nginx"));
        let tags = |args: &[&str]| {
            let mut command = crate::support::psstat();
            command.arg("--proc").arg(tree.path());
            let run = Run::of(command.args(["--wait", "1ms", "--pid", "100"]).args(args));
            let tags = run.line().tags;
            tags.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
        };
        let host = String::from_utf8(rustix::system::uname().nodename().to_bytes().to_vec());
        let host = format!("host={}", host.unwrap());
        assert_eq!(tags(&[]), [host.as_str(), "process_name=nginx"]);
        assert_eq!(tags(&["--host", "oni"]), ["host=oni", "process_name=nginx"]);
        assert_eq!(tags(&["--host", ""]), ["process_name=nginx"]);
        assert_eq!(tags(&["--host", "\\"]), ["process_name=nginx"], "nothing is left of it");
        assert_eq!(
            tags(&["-tag", "z=1", "--tag=a,b =c=d\\,", "--host=x y", "--tag", "ключ=значение"]),
            ["host=x y", "z=1", "a,b =c=d,", "ключ=значение", "process_name=nginx"]
        );
        assert_eq!(
            tags(&["--tag", "z=1", "--tag", "host=oni", "--host", "lost"]),
            ["host=oni", "z=1", "process_name=nginx"]
        );
        assert_eq!(
            tags(&["--host", "", "--tag", "x=a\nb\t\x1b"]),
            ["x=a\\nb\\t?", "process_name=nginx"]
        );
    }

    #[test]
    fn all_lines_of_a_sample_carry_one_time() {
        let tree = FakeProc::new();
        for pid in 100..150 {
            tree.add(&Process::new(pid, 1, format!("p{pid}")));
        }
        let wall = || rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let nanos = |time: rustix::time::Timespec| time.tv_sec * 1_000_000_000 + time.tv_nsec;
        let job = Job::new(&tree, ["--pattern", "^p"]);
        job.baseline();
        let before = nanos(wall());
        let lines = job.run().lines();
        assert_eq!(lines.len(), 50);
        assert!(lines.iter().all(|line| line.time == lines[0].time));
        assert!((before..=nanos(wall())).contains(&lines[0].time));
    }

    #[test]
    fn the_first_run_says_so_and_the_next_prints() {
        let tree = FakeProc::new();
        tree.add(&Process { resident: 42, ..Process::new(100, 1, "nginx") });
        let job = Job::new(&tree, ["--pattern", "nginx"]);
        let first = job.run();
        first.assert_first();
        assert_eq!(first.stderr.lines().count(), 1, "{first:?}");
        let second = job.run();
        assert_eq!(second.stderr, "");
        assert_eq!(
            untimed(&second),
            "psstat,host=tengu,process_name=nginx p_cpu=0,p_mem=0.000042,n_proc=1i\n"
        );
        assert_eq!(line::read(&second.stdout)[0].fields.len(), 3);
    }

    #[test]
    fn two_samples_in_one_run_leave_no_cache() {
        let tree = FakeProc::new();
        tree.add(&Process::new(100, 1, "x"));
        let job = Job::new(&tree, ["--pid", "100", "--wait", "20ms"]);
        let run = job.run();
        assert_eq!((run.line().p_cpu(), run.stderr.as_str()), (Some(0.0), ""));
        assert_eq!(std::fs::read_dir(job.cache_dir()).unwrap().count(), 0);
    }

    #[test]
    fn the_folder_of_procfs_may_have_any_name() {
        let tree = FakeProc::new();
        tree.add(&Process::new(100, 1, "x"));
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join(std::ffi::OsStr::from_bytes(b"a b,c=\xff\n\x1b[2J"));
        symlink(tree.path(), &odd).unwrap();
        let mut command = crate::support::psstat();
        command.args(["--wait", "1ms", "--pid", "100", "--pid", "5", "--proc"]).arg(&odd);
        assert_eq!(Run::of(&mut command).line().name(), "x");
    }
}
