//! The table of errors of the contract: standard output, the first line of standard error, exit
//! status. Telegraf drops the lines where the status is not 0, and shows only that first line.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use crate::support::fake_proc::{FakeProc, Process};
use crate::support::{Job, Run, psstat, run};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

fn tree() -> FakeProc {
    let tree = FakeProc::new();
    tree.add(&Process::new(100, 1, "nginx"));
    tree
}

mod usage {
    use super::*;

    #[test]
    fn what_makes_no_sense_ends_with_2_and_the_cure() {
        let cases: &[(&[&str], &str)] = &[
            (&[], "nothing to measure"),
            (&["--nonsense"], "unexpected argument '--nonsense'"),
            (&["--nonsense=1", "--pid", "1"], "unexpected argument '--nonsense'"),
            (&["stray"], "unexpected argument 'stray'"),
            (&["--", "--pid", "1"], "unexpected argument"),
            (&["-x"], "unexpected argument '-x'"),
            (&["--pid"], "--pid needs a value, as in --pid"),
            (&["--pid="], "bad --pid"),
            (&["--pid", "0"], "bad --pid \"0\": not a pid (1 to 4194304)"),
            (&["--pid", "4194305"], "bad --pid"),
            (&["--pid", "-1"], "bad --pid"),
            (&["--pid", "web:x"], "bad --pid"),
            (&["--pid-file", ""], "bad --pid-file"),
            (&["--pattern", "a("], "bad regex \"a(\": unclosed group"),
            (&["--pattern", "ok", "--cmdline", "[z-a]"], "bad regex \"[z-a]\""),
            (&["--pattern", "a{1000000}{1000000}"], "bad regex"),
            (&["--pattern", "web:"], "missing value after NAME:"),
            (&["--pattern", " :x\\"], "bad regex"),
            (&["--exe", "[z-a]"], "bad "),
            (&["--user", "nobody-of-that-name"], "no such user"),
            (&["--user", "4294967296"], "no such user"),
            (&["--pid", "1", "--tag", "x"], "write it as KEY=VALUE"),
            (&["--pid", "1", "--tag", "=x"], "the key is empty"),
            (&["--pid", "1", "--tag", "x="], "the value is empty"),
            (&["--pid", "1", "--tag", "x=\\"], "the value is empty"),
            (&["--pid", "1", "--tag", "process_name=x"], "psstat itself writes process_name"),
            (&["--pid", "1", "--tag", "a=1", "--tag", "a=2"], "that key is given twice"),
            (&["--pid", "1", "--tag", "host=1", "--tag", "host=2"], "that key is given twice"),
            (&["--pid", "1", "--tag", "time=1"], "InfluxDB reserves that key"),
            (&["--pid", "1", "--cache-name", "a/b"], "bad --cache-name"),
            (&["--pid", "1", "--cache-name", ".."], "bad --cache-name"),
            (&["--pid", "1", "--memory", "most"], "use rss, shared-once or pss"),
            (&["--pid", "1", "--wait", "1"], "write durations as 500ms, 1s or 2m"),
            (&["--pid", "1", "--wait", "-1s"], "write durations as 500ms, 1s or 2m"),
            (&["--pid", "1", "--wait", "0s"], "longer than 0"),
            (&["--pid", "1", "--wait", ""], "write durations as 500ms, 1s or 2m"),
            (&["--pid", "1", "--wait", "99999999999999999999s"], "write durations as"),
            (&["--pid", "1", "--timeout", "soon"], "write durations as 500ms, 1s or 2m"),
            (&["--pid", "1", "--timeout", "1s", "--wait", "1s"], "longer than --wait"),
            (&["--pid", "1", "--timeout", "1s", "--wait", "2s"], "longer than --wait"),
            (&["--pid", "1", "--wait", "1s", "--wait", "2s"], "--wait was given twice"),
            (&["--pid", "1", "--multi-threaded=yes"], "--multi-threaded takes no value"),
            (&["--pid", "1", "--interval", "1s"], "use psstat execd --interval"),
            (&["execd", "--pid", "1", "--wait", "1s"], "psstat execd does not take --wait"),
            (&["--pid", "1", "--wait", "1s", "execd"], "psstat execd does not take --wait"),
            (&["chek", "--config", "x"], "did you mean psstat check?"),
            (&["--pattrn", "x"], "did you mean --pattern?"),
            (&["completions", "tcsh"], "use bash, elvish, fish, powershell or zsh"),
            (&["--pid", "1", "man"], "leave them out"),
        ];
        for (args, cause) in cases {
            let run = run(*args);
            run.assert_failed(2, cause);
            assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
            assert!(!run.stderr.contains("Usage"), "usage is for --help: {run:?}");
        }
    }

    #[test]
    fn no_length_of_time_is_too_long_to_reckon_with() {
        let tree = tree();
        // The longest that a duration can be.
        let longest = "18446744073709551615s";
        let run = Job::new(&tree, ["--pid", "100", "--timeout", longest]).second_run();
        assert_eq!(run.line().n_proc(), 1);
        let job = Job::new(&tree, ["--cmdline", "x:^$", "--timeout", longest]);
        assert_eq!(job.second_run().line().n_proc(), 2);

        let job = Job::new(&tree, ["--pid", "100", "--wait", longest]);
        let mut waiting = job.command();
        waiting.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut waiting = waiting.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert_eq!(waiting.try_wait().unwrap(), None, "it ended instead of waiting");
        waiting.kill().unwrap();
        assert_eq!(Run::from(waiting).stderr, "");
    }

    #[test]
    fn a_wrong_argument_cannot_write_to_the_terminal() {
        for hostile in [
            &b"--\x1b[2J\x07"[..],
            b"\x1b]0;title\x07",
            b"--pid=\x1b[31m",
            b"--wait=1\x85s\xc2\x85",
            b"--tag=\x1b=\r\n",
            b"--pattern=(\x1b\n",
            b"--user=\x9b\xff\n",
            b"--memory=\n\n\nE! forged",
            b"-\n--pid",
        ] {
            let run = run([OsStr::from_bytes(hostile)]);
            run.assert_failed(2, "");
            assert_eq!(run.stderr.matches('\n').count(), 1, "{run:?}");
            assert!(!run.stderr.trim_end().chars().any(char::is_control), "{run:?}");
        }
        let long = "x".repeat(100_000);
        run(["--pid", &long]).assert_failed(2, "bad --pid");
        run(["--pattern", &format!("({long}")]).assert_failed(2, "bad regex");
        run([format!("--{long}")]).assert_failed(2, "unexpected argument");
    }

    #[test]
    fn help_and_version_are_the_only_texts_on_standard_output() {
        for flag in ["--help", "-h", "-help"] {
            let run = run([flag]);
            assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
            let text = String::from_utf8(run.stdout).unwrap();
            assert!(text.contains("Usage: psstat [SELECTORS] [OPTIONS]"), "{text}");
            assert!(text.contains("--pid-file") && text.contains("--timeout"), "{text}");
            assert!(!text.contains('\x1b'), "{text}");
        }
        for flag in ["--version", "-v", "-version"] {
            let run = run([flag]);
            assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
            assert_eq!(run.stdout, concat!("psstat ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
        }
    }

    #[test]
    fn the_originals_single_dashes_still_work() {
        let tree = tree();
        tree.write("x.pid", "100");
        let pid_file = format!("file:{}", tree.file("x.pid").display());
        let printed = |dash: &str| {
            let typed = |option: &str| format!("{dash}{option}");
            let args = [
                typed("pid"),
                "one:100".into(),
                typed("pid=two:100"),
                typed("pid-file"),
                pid_file.clone(),
                typed("pattern=nginx"),
                typed("tag"),
                "a=b".into(),
                typed("multi-threaded"),
            ];
            let lines = Job::new(&tree, args).second_run().lines();
            lines.into_iter().map(|line| line.tags).collect::<Vec<_>>()
        };
        assert_eq!(printed("-").len(), 4);
        assert_eq!(printed("-"), printed("--"));
    }
}

mod failures {
    use super::*;

    #[test]
    fn a_procfs_that_cannot_be_read_ends_with_1() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        std::fs::write(dir.join("file"), "").unwrap();
        for name in ["missing", "file", "file/x", ""] {
            let mut command = psstat();
            command.args(["--pid", "1", "--cache-dir"]).arg(dir).arg("--proc").arg(dir.join(name));
            let run = Run::of(&mut command);
            run.assert_failed(1, "is procfs mounted there? --proc or HOST_PROC says where");
        }
        let mut command = psstat();
        command.args(["--pid", "1", "--wait", "1ms"]).env("HOST_PROC", dir.join("missing"));
        Run::of(&mut command).assert_failed(1, "is procfs mounted there?");
    }

    #[test]
    fn the_cause_of_a_failure_stands_before_all_warnings() {
        let tree = tree();
        let job = Job::new(&tree, ["--pid", "100", "--pid", "777"]);
        let path = job.cache_dir().join("cache.new");
        std::fs::create_dir(&path).unwrap();
        job.run().assert_failed(1, "cannot keep the cache in ");
        std::fs::remove_dir(&path).unwrap();
        job.baseline();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = job.command();
        let run = Run::from(command.stdout(full).stderr(Stdio::piped()).spawn().unwrap());
        run.assert_failed(1, "cannot write to standard output: No space left on device");
    }

    #[test]
    fn a_run_that_takes_too_long_says_so() {
        let tree = tree();
        let job = Job::new(&tree, ["--pid", "100", "--timeout", "1ns"]);
        let run = job.run();
        run.assert_failed(1, "the run took longer than its timeout of 1ns: --timeout gives it");
        assert!(!job.cache().exists(), "half a sample is no baseline");
    }

    #[test]
    fn a_full_disk_behind_standard_output_ends_with_1() {
        // As long as it takes to look at all processes of a slow machine.
        let sample = ["--wait", "1ms", "--timeout", "5m", "--pattern", "all:."];
        for args in [&["--help"][..], &["--version"], &sample] {
            let full = File::options().write(true).open("/dev/full").unwrap();
            let mut command = psstat();
            command.args(args).stdout(full).stderr(Stdio::piped());
            let run = Run::from(command.spawn().unwrap());
            run.assert_failed(1, "cannot write to standard output: No space left on device");
        }
    }
}

mod parts {
    use super::*;

    #[test]
    fn what_is_wrong_with_one_part_leaves_the_others() {
        let tree = tree();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("bad"), "no number").unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        for (option, value, warning) in [
            ("--pid-file", path("missing"), "there is none"),
            ("--pid-file", path("bad"), "its first line is not the number of a process"),
            ("--pid-file", path("bad/x"), "Not a directory"),
            ("--pid", "777".to_owned(), "--pid 777: no such process"),
        ] {
            let run = Job::new(&tree, [option, &value, "--pid", "web:100"]).second_run();
            assert_eq!((run.line().name(), run.line().n_proc()), ("web", 1));
            assert!(run.stderr.starts_with("W! "), "{run:?}");
            assert!(run.stderr.contains(warning), "{warning:?} is not in {run:?}");
            assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        }
    }

    #[test]
    fn warnings_stand_before_information_and_within_their_length() {
        let tree = tree();
        let long = format!("/{}", "x".repeat(3000));
        let run = Job::new(&tree, ["--pid-file", &long, "--pid", "777", "--pid", "100"]).run();
        run.assert_first();
        let said: Vec<&str> = run.stderr.split_inclusive('\n').collect();
        assert_eq!(said.len(), 3, "{run:?}");
        assert!(said[0].starts_with("W! pid file ") && said[0].len() <= 512, "{run:?}");
        assert!(said[1].starts_with("W! --pid 777"), "{run:?}");
    }

    #[test]
    fn a_hostile_path_cannot_write_to_the_terminal() {
        let tree = FakeProc::new();
        tree.add(&Process::new(100, 1, "\x1b[2J\n\x07\u{9b}"));
        let folder = tempfile::tempdir().unwrap();
        let name = OsStr::from_bytes(b"\x1b]0;x\x07\nE! forged\r\xff\xc2\x9b.pid");
        let path = folder.path().join(name);
        let job = Job::new(&tree, [OsString::from("--pid-file"), path.clone().into_os_string()]);
        let said = || {
            let run = job.run();
            assert_eq!(run.status, Some(0));
            for line in run.stderr.lines() {
                assert!(line.starts_with("W! ") || line.starts_with("I! "), "{run:?}");
                assert!(!line.chars().any(char::is_control), "{run:?}");
            }
            run.stderr
        };
        assert!(said().contains("there is none"));
        // Nor can the name of a process, where that is told.
        std::fs::write(&path, "100").unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH)
            .unwrap();
        assert!(said().contains("may be stale: process 100 (?[2J\\n??)"));
        // Nor the path of a cache.
        std::fs::create_dir(folder.path().join(OsStr::from_bytes(b"\x1b[2J\n"))).unwrap();
        let mut command = job.command();
        command.arg("--tag").arg(OsStr::from_bytes(b"x=\x1b\n\xff"));
        assert_eq!(Run::of(&mut command).line().tags[1].1, "?\\n?");
        let mut command = psstat();
        command.args(["--pid", "1", "--cache-dir"]).arg(path.join("x"));
        let run = Run::of(&mut command);
        run.assert_failed(1, "cannot keep the cache in ");
        assert!(!run.stderr.trim_end().chars().any(char::is_control), "{run:?}");
    }
}

mod streams {
    use super::*;

    #[test]
    fn a_reader_that_has_gone_is_no_error() {
        let tree = tree();
        let job = Job::new(&tree, ["--pid", "100"]);
        job.baseline();
        let mut help = psstat();
        help.arg("--help");
        for mut command in [job.command(), help] {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let run = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
            let run = Run::from(run);
            assert_eq!((run.status, run.stderr.as_str()), (Some(0), ""));
        }
        assert_eq!(job.run().line().n_proc(), 1);
    }

    /// Runs psstat with the given streams changed by the shell.
    fn with_streams(job: &Job<'_>, change: &str) -> Run {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec \"$@\" {change}"), "sh"]);
        Run::of(command.arg(env!("CARGO_BIN_EXE_psstat")).args(job.arguments()))
    }

    #[test]
    fn streams_may_be_closed() {
        let tree = tree();
        let job = Job::new(&tree, ["--pid", "100", "--pid", "777"]);
        let first = with_streams(&job, "2>&-");
        assert_eq!((first.status, first.stdout.len()), (Some(0), 0));
        assert_eq!(with_streams(&job, "2>&- <&-").line().n_proc(), 1);
        assert_eq!(with_streams(&job, "2>/dev/full").line().n_proc(), 1);
        let deaf = with_streams(&job, ">&-");
        assert_eq!(
            (deaf.status, deaf.stderr.as_str()),
            (Some(0), "W! --pid 777: no such process\n")
        );
        // Nothing that psstat opens has taken the place of a stream.
        assert_eq!(job.run().line().n_proc(), 1);
        assert_eq!(job.state().accounts.groups.len(), 1);
    }

    #[test]
    fn a_warning_that_nobody_reads_does_not_end_the_run() {
        let tree = tree();
        let job = Job::new(&tree, ["--pid", "100", "--pid", "777"]);
        job.baseline();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let run = job.command().stdout(Stdio::piped()).stderr(writer).spawn().unwrap();
        assert_eq!(Run::from(run).line().n_proc(), 1);
    }
}
