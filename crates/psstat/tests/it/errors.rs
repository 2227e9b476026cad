//! Each kind of error: standard output, the first line of standard error, exit status. If the status
//! is not 0, Telegraf drops the output and shows only that first line.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use crate::stderr::{assert_line, assert_warning};
use crate::support::fake_proc::{FakeProc, Process};
use crate::support::limit::{self, Limited};
use crate::support::{Job, Run, psstat, run};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
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
    fn wrong_usage_exits_with_2_and_names_the_cure() {
        let cases: &[(&[&str], &str)] = &[
            (&[], "--pid"),
            (&["--nonsense"], "--nonsense"),
            (&["--nonsense=1", "--pid", "1"], "--nonsense"),
            (&["stray"], "stray"),
            (&["--", "--pid", "1"], "--pid"),
            (&["-x"], "-x"),
            (&["--pid"], "--pid"),
            (&["--pid="], "--pid"),
            (&["--pid", "0"], "4194304"),
            (&["--pid", "4194305"], "4194305"),
            (&["--pid", "-1"], "-1"),
            (&["--pid", "web:x"], "web:x"),
            (&["--pid-file", ""], "--pid-file"),
            (&["--pattern", "a("], "a("),
            (&["--pattern", "ok", "--cmdline", "[z-a]"], "[z-a]"),
            (&["--pattern", "a{1000000}{1000000}"], "a{1000000}{1000000}"),
            (&["--pattern", "web:"], ".*"),
            (&["--pattern", " :x\\"], "x\\"),
            (&["--exe", "[z-a]"], "[z-a]"),
            (&["--pid", "1", "--tag", "x"], "KEY=VALUE"),
            (&["--pid", "1", "--tag", "=x"], "=x"),
            (&["--pid", "1", "--tag", "x="], "x="),
            (&["--pid", "1", "--tag", "x=\\"], "--tag"),
            (&["--pid", "1", "--tag", "process_name=x"], "process_name"),
            (&["--pid", "1", "--tag", "a=1", "--tag", "a=2"], "a=2"),
            (&["--pid", "1", "--tag", "host=1", "--tag", "host=2"], "host=2"),
            (&["--pid", "1", "--tag", "time=1"], "time"),
            (&["--pid", "1", "--cache-name", "a/b"], "--cache-name"),
            (&["--pid", "1", "--cache-name", ".."], "--cache-name"),
            (&["--pid", "1", "--memory", "most"], "shared-once"),
            (&["--pid", "1", "--wait", "1"], "500ms"),
            (&["--pid", "1", "--wait", "-1s"], "500ms"),
            (&["--pid", "1", "--wait", "0s"], "--wait"),
            (&["--pid", "1", "--wait", ""], "500ms"),
            (&["--pid", "1", "--wait", "99999999999999999999s"], "500ms"),
            (&["--pid", "1", "--timeout", "soon"], "500ms"),
            (&["--pid", "1", "--timeout", "1s", "--wait", "1s"], "--wait"),
            (&["--pid", "1", "--timeout", "1s", "--wait", "2s"], "--wait"),
            (&["--pid", "1", "--wait", "1s", "--wait", "2s"], "--wait"),
            (&["--pid", "1", "--multi-threaded=yes"], "--multi-threaded"),
            (&["--pid", "1", "--interval", "1s"], "psstat execd --interval"),
            (&["execd", "--pid", "1", "--wait", "1s"], "--wait"),
            (&["--pid", "1", "--wait", "1s", "execd"], "--wait"),
            (&["chek", "--config", "x"], "psstat check"),
            (&["--pattrn", "x"], "--pattern"),
            (&["completions", "tcsh"], "powershell"),
            (&["--pid", "1", "man"], "man"),
        ];
        for (args, named) in cases {
            let run = run(*args);
            run.assert_failed(2, named);
            assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
            assert!(!run.stderr.contains("Usage"), "usage is for --help: {run:?}");
        }
    }

    #[test]
    fn the_longest_duration_is_accepted() {
        let tree = tree();
        // The longest duration.
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
    fn control_characters_of_arguments_are_not_printed() {
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
        run(["--pid", &long]).assert_failed(2, "--pid");
        run(["--pattern", &format!("({long}")]).assert_failed(2, "(xxx");
        run([format!("--{long}")]).assert_failed(2, "--xxx");
    }

    #[test]
    fn help_and_version_go_to_standard_output() {
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
    fn options_may_have_a_single_dash() {
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
    fn an_unreadable_procfs_exits_with_1() {
        let directory = tempfile::tempdir().unwrap();
        let dir = directory.path();
        std::fs::write(dir.join("file"), "").unwrap();
        for name in ["missing", "file", "file/x", ""] {
            let mut command = psstat();
            command.args(["--pid", "1", "--cache-dir"]).arg(dir).arg("--proc").arg(dir.join(name));
            let run = Run::of(&mut command);
            run.assert_failed(1, dir.to_str().unwrap());
            assert_line(&run.stderr, "E! ", &["--proc", "HOST_PROC"]);
        }
        let mut command = psstat();
        command.args(["--pid", "1", "--wait", "1ms"]).env("HOST_PROC", dir.join("missing"));
        Run::of(&mut command).assert_failed(1, dir.join("missing").to_str().unwrap());
    }

    /// sysfs refuses new files although the permissions of its directories allow them to root.
    #[test]
    fn a_directory_in_which_nobody_can_create_files_is_refused_for_that() {
        for args in [["--cache-name=x", "--cache-dir=/sys"], ["--wait=1ms", "--output=/sys/x"]] {
            let run = Run::of(psstat().args(["--pid=1"]).args(args));
            run.assert_failed(1, "/sys/x");
            assert!(!run.stderr.contains("was replaced"), "{run:?}");
        }
    }

    #[test]
    fn an_error_is_printed_without_warnings() {
        let tree = tree();
        let job = Job::new(&tree, ["--pid", "100", "--pid", "777"]);
        let path = job.cache_dir().join("cache.new");
        std::fs::create_dir(&path).unwrap();
        job.run().assert_failed(1, path.to_str().unwrap());
        std::fs::remove_dir(&path).unwrap();
        job.baseline();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut command = job.command();
        let run = Run::from(command.stdout(full).stderr(Stdio::piped()).spawn().unwrap());
        run.assert_failed(1, "No space left on device");
    }

    #[test]
    fn a_run_that_takes_too_long_names_timeout() {
        let tree = tree();
        let job = Job::new(&tree, ["--pid", "100", "--timeout", "1ns"]);
        let run = job.run();
        run.assert_failed(1, "1ns");
        assert_line(&run.stderr, "E! ", &["--timeout"]);
        assert!(!job.cache().exists(), "half a sample is no baseline");
    }

    #[test]
    fn a_full_disk_behind_standard_output_exits_with_1() {
        // A slow machine needs long to read all processes.
        let sample = ["--wait", "1ms", "--timeout", "5m", "--pattern", "all:."];
        for args in [&["--help"][..], &["--version"], &sample] {
            let full = File::options().write(true).open("/dev/full").unwrap();
            let mut command = psstat();
            command.args(args).stdout(full).stderr(Stdio::piped());
            let run = Run::from(command.spawn().unwrap());
            run.assert_failed(1, "No space left on device");
        }
    }
}

mod parts {
    use super::*;

    #[test]
    fn a_missing_procfs_is_reported_in_plain_words() {
        let run = run(["--wait=1ms", "--pid=1", "--proc=/no such directory"]);
        run.assert_failed(
            1,
            "cannot open /no such directory: No such file or directory: set --proc",
        );
    }

    #[test]
    fn a_fault_of_one_selector_does_not_affect_the_others() {
        let tree = tree();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("bad"), "no number").unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        for (option, value) in [
            ("--pid-file", path("missing")),
            ("--pid-file", path("bad")),
            ("--pid-file", path("bad/x")),
            ("--pid", "777".to_owned()),
        ] {
            let run = Job::new(&tree, [option, &value, "--pid", "web:100"]).second_run();
            assert_eq!((run.line().name(), run.line().n_proc()), ("web", 1));
            assert_warning(&run.stderr, &[&value]);
        }
    }

    #[test]
    fn warnings_come_before_information_and_are_cut() {
        let tree = tree();
        let long = format!("/{}", "x".repeat(3000));
        let run = Job::new(&tree, ["--pid", "777", "--pid-file", &long, "--pid", "100"]).run();
        run.assert_first();
        let mut lines: Vec<&str> = run.stderr.split_inclusive('\n').collect();
        assert_eq!(lines.len(), 3, "{run:?}");
        lines[..2].sort_unstable();
        assert_warning(lines[0], &["--pid", "777"]);
        assert_warning(lines[1], &["/xxx"]);
        assert_line(lines[2], "I! ", &[]);
    }

    #[test]
    fn control_characters_of_paths_and_names_are_not_printed() {
        let tree = FakeProc::new();
        tree.add(&Process::new(100, 1, "\x1b[2J\n\x07\u{9b}"));
        let directory = tempfile::tempdir().unwrap();
        let name = OsStr::from_bytes(b"\x1b]0;x\x07\nE! forged\r\xff\xc2\x9b.pid");
        let path = directory.path().join(name);
        let job = Job::new(&tree, [OsString::from("--pid-file"), path.clone().into_os_string()]);
        let warnings = || {
            let run = job.run();
            assert_eq!(run.status, Some(0));
            for line in run.stderr.lines() {
                assert!(line.starts_with("W! ") || line.starts_with("I! "), "{run:?}");
                assert!(!line.chars().any(char::is_control), "{run:?}");
            }
            run.stderr
        };
        assert!(warnings().contains("E! forged"), "the warning names the file");
        // The same for the name of a process in a warning,
        std::fs::write(&path, "100").unwrap();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH)
            .unwrap();
        assert!(warnings().contains("100 (?[2J\\n??)"));
        // for a tag, and for the path of a cache.
        std::fs::create_dir(directory.path().join(OsStr::from_bytes(b"\x1b[2J\n"))).unwrap();
        let mut command = job.command();
        command.arg("--tag").arg(OsStr::from_bytes(b"x=\x1b\n\xff"));
        assert_eq!(Run::of(&mut command).line().tags[1].1, "?\\n?");
        let mut command = psstat();
        command.args(["--pid", "1", "--cache-dir"]).arg(path.join("x"));
        let run = Run::of(&mut command);
        run.assert_failed(1, "--cache-dir");
        assert!(!run.stderr.trim_end().chars().any(char::is_control), "{run:?}");
    }
}

mod streams {
    use super::*;

    #[test]
    fn a_closed_reader_is_not_an_error() {
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

    /// Any process that shares the pipe can set `O_NONBLOCK`.
    #[test]
    fn a_pipe_that_does_not_block_gets_whole_lines() {
        let tree = FakeProc::new();
        for pid in 100..900 {
            tree.write(format!("{pid}/stat"), Process::new(pid, 1, format!("p{pid}")).stat());
            tree.write(format!("{pid}/statm"), "9 3 2 1 0 1 0\n");
        }
        let job = Job::new(&tree, ["--tag", &format!("x={}", "y".repeat(100)), "--pattern", "^p"]);
        job.baseline();
        let (reader, writer) = std::io::pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let mut run = job.command().stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        // The pipe is full before it is read.
        std::thread::sleep(std::time::Duration::from_millis(300));
        let mut text = Vec::new();
        Limited::new(reader).read_to_end(&mut text).unwrap();
        assert!(text.len() > 1 << 16, "it all fits in the pipe");
        assert_eq!(crate::support::line::read(&text).len(), 800);
        assert_eq!(limit::end(&mut run).code(), Some(0));
    }

    /// Runs psstat with redirections of the shell.
    fn with_streams(job: &Job<'_>, change: &str) -> Run {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec \"$@\" {change}"), "sh"]);
        Run::of(command.arg(env!("CARGO_BIN_EXE_psstat")).args(job.arguments()))
    }

    #[test]
    fn standard_streams_may_be_closed() {
        let tree = tree();
        let job = Job::new(&tree, ["--pid", "100", "--pid", "777"]);
        let first = with_streams(&job, "2>&-");
        assert_eq!((first.status, first.stdout.len()), (Some(0), 0));
        assert_eq!(with_streams(&job, "2>&- <&-").line().n_proc(), 1);
        assert_eq!(with_streams(&job, "2>/dev/full").line().n_proc(), 1);
        let deaf = with_streams(&job, ">&-");
        assert_eq!(deaf.status, Some(0));
        assert_warning(&deaf.stderr, &["--pid", "777"]);
        // No file that psstat opened got the descriptor of a closed stream.
        assert_eq!(job.run().line().n_proc(), 1);
        assert_eq!(job.state().accounts.groups.len(), 1);
    }

    #[test]
    fn a_closed_standard_error_does_not_end_the_run() {
        let tree = tree();
        let job = Job::new(&tree, ["--pid", "100", "--pid", "777"]);
        job.baseline();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let run = job.command().stdout(Stdio::piped()).stderr(writer).spawn().unwrap();
        assert_eq!(Run::from(run).line().n_proc(), 1);
    }
}
