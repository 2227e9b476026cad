//! The cache file: damaged, locked, at a hostile path, and after signals. psstat never crashes, never
//! prints a wrong number and never changes a file that is not its own.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use crate::stderr::{assert_line, assert_warning, first_line};
use crate::support::fake_proc::{FakeProc, Process};
use crate::support::limit::{self, Limited};
use crate::support::{Job, Run, make_fifo, may_be_root, psstat, public_binary, skip};
use psstat::machine::processors_online;
use psstat_core::account::ledger::Member;
use psstat_core::account::sets::{SetId, Sets};
use psstat_core::model::units::{BootNanos, CpuNanos, Ticks};
use psstat_core::state::State;
use psstat_core::state::codec;
use rustix::process::{Signal, kill_process};
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A user that owns nothing.
const NOBODY: u32 = 65534;

/// A root with two children that have used CPU time.
fn small_tree() -> FakeProc {
    let tree = FakeProc::new();
    tree.add_all(&[
        Process { own: 1000, children: 50, ..Process::new(100, 1, "server") },
        Process { own: 2000, ..Process::new(101, 100, "worker") },
        Process { own: 3000, ..Process::new(102, 100, "worker") },
    ]);
    tree
}

const SMALL: [&str; 2] = ["--pid", "web:100"];

/// Checks that the directory contains only files that psstat may leave there.
fn assert_clean(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(name == "cache" || name == "cache.new", "{name:?} was left in the directory");
    }
}

/// Checks that the run warned of the cache, named the reason, printed nothing, and wrote a new cache.
fn assert_starts_over(job: &Job<'_>, run: &Run, reason: &str) {
    run.assert_first();
    let path = job.cache().display().to_string();
    assert_warning(first_line(&run.stderr), &[&path, reason]);
    assert_eq!(fs::metadata(job.cache()).unwrap().mode() & 0o7777, 0o600);
    assert_clean(job.cache_dir());
}

mod damage {
    use super::*;

    #[test]
    fn a_cache_with_any_changed_byte_is_discarded() {
        let tree = small_tree();
        let job = Job::new(&tree, SMALL);
        job.baseline();
        let good = fs::read(job.cache()).unwrap();
        for index in 0..good.len() {
            let mut bad = good.clone();
            bad[index] ^= 1 << (index % 8);
            fs::write(job.cache(), bad).unwrap();
            assert_starts_over(&job, &job.run(), "");
        }
        assert_eq!(job.run().line().p_cpu(), Some(0.0));
    }

    #[test]
    fn a_cache_cut_at_any_length_is_discarded() {
        let tree = small_tree();
        let job = Job::new(&tree, SMALL);
        job.baseline();
        let good = fs::read(job.cache()).unwrap();
        for length in 0..good.len() {
            fs::write(job.cache(), &good[..length]).unwrap();
            assert_starts_over(&job, &job.run(), "");
        }
        fs::write(job.cache(), [&good[..], b"\0"].concat()).unwrap();
        assert_starts_over(&job, &job.run(), "");
        fs::write(job.cache(), [&good[..], &good[..]].concat()).unwrap();
        assert_starts_over(&job, &job.run(), "");
    }

    #[test]
    fn a_file_that_is_not_a_cache_is_replaced_with_a_warning() {
        let tree = small_tree();
        let job = Job::new(&tree, SMALL);
        job.baseline();
        let mut later = fs::read(job.cache()).unwrap();
        later[8..10].copy_from_slice(&513u16.to_le_bytes());
        for (bytes, reason) in
            [(&b""[..], ""), (b"#!/bin/sh\n", ""), (&[0xff; 4096], ""), (&later, "513")]
        {
            fs::write(job.cache(), bytes).unwrap();
            assert_starts_over(&job, &job.run(), reason);
        }
        // Too large to read into memory.
        File::create(job.cache()).unwrap().set_len(1 << 40).unwrap();
        assert_starts_over(&job, &job.run(), "");
    }

    #[test]
    fn a_state_of_another_boot_or_the_future_is_discarded() {
        let tree = small_tree();
        let job = Job::new(&tree, SMALL);
        job.baseline();
        let state = job.state();
        let store = |state: &State| fs::write(job.cache(), codec::encode(state)).unwrap();
        store(&state);
        assert_eq!(job.run().line().p_cpu(), Some(0.0), "the state as it was is taken");

        for taken in [state.accounts.taken.0 + 3_600_000_000_000, u64::MAX] {
            let mut changed = state.clone();
            changed.accounts.taken = BootNanos(taken);
            store(&changed);
            assert_starts_over(&job, &job.run(), "future");
        }
        for boot_id in [b"another".to_vec(), Vec::new()] {
            store(&State { boot_id, ..state.clone() });
            assert_starts_over(&job, &job.run(), "restarted");
        }
    }

    #[test]
    fn a_boot_id_that_cannot_be_read_once_costs_no_line() {
        let tree = small_tree();
        let boot_id = "sys/kernel/random/boot_id";
        tree.write(boot_id, "a-boot");
        let job = Job::new(&tree, SMALL);
        job.baseline();
        let path = tree.file(boot_id);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(job.run().line().n_proc(), 3, "it is a directory");
        fs::remove_dir(&path).unwrap();
        tree.write(boot_id, "a-boot");
        assert_eq!(job.run().line().n_proc(), 3, "it is what it was");
        tree.write(boot_id, "another");
        assert_starts_over(&job, &job.run(), "restarted");
    }

    /// The next run then shows what was used since the last line that somebody got.
    #[test]
    fn lines_that_nobody_gets_leave_the_cache_as_it_is() {
        let tree = small_tree();
        let job = Job::new(&tree, SMALL);
        job.baseline();
        let before = fs::read(job.cache()).unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (reader, closed) = std::io::pipe().unwrap();
        drop(reader);
        for (stdout, status) in [(Stdio::from(full), 1), (Stdio::from(closed), 0)] {
            let mut command = job.command();
            let run = Run::from(command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap());
            assert_eq!(run.status, Some(status), "{run:?}");
            assert_eq!(fs::read(job.cache()).unwrap(), before);
            assert!(!job.cache_dir().join("cache.new").exists());
        }
        assert_eq!(job.run().line().n_proc(), 3);
        assert_ne!(fs::read(job.cache()).unwrap(), before);
    }

    #[test]
    fn odd_content_of_a_valid_state_causes_no_wrong_rate() {
        let tree = small_tree();
        let job = Job::new(&tree, SMALL);
        job.baseline();
        let state = job.state();
        let after = |change: &dyn Fn(&mut State)| {
            let mut state = state.clone();
            change(&mut state);
            fs::write(job.cache(), codec::encode(&state)).unwrap();
            let line = job.run().line();
            assert_eq!(line.n_proc(), 3);
            line.p_cpu()
        };
        let members = |state: &mut State, change: &dyn Fn(usize, &mut Member)| {
            let ledger = &mut state.accounts.ledger;
            ledger.members.iter_mut().enumerate().for_each(|(index, member)| change(index, member));
        };
        // If a counter is lower than in the cache, the rate is zero, not negative.
        assert_eq!(
            after(&|state| members(state, &|_, m| m.amounts.own = CpuNanos(u64::MAX))),
            Some(0.0)
        );
        // No such group, no such process, other processes with the same pids.
        let forget_groups = |state: &mut State| {
            state.accounts.groups.clear();
            state.accounts.sets = Sets::default();
            members(state, &|_, m| m.groups = SetId::EMPTY);
        };
        assert_eq!(after(&forget_groups), None);
        assert_eq!(after(&|state| state.accounts.ledger.members.clear()), None);
        assert_eq!(after(&|state| members(state, &|_, m| m.id.start = Ticks(7))), None);
        // A cycle of parents, and a process whose count is higher than that of all others.
        assert_eq!(
            after(&|state| {
                members(state, &|index, m| {
                    m.parent = psstat_core::model::units::Pid::new([102, 100, 101][index]);
                    if index == 2 {
                        m.id.start = Ticks(9);
                        m.amounts.own = CpuNanos(u64::MAX);
                    }
                });
            }),
            Some(0.0)
        );
    }
}

mod hostile_paths {
    use super::*;

    /// The two names that psstat opens: the cache file, and the file that it renames to it.
    const NAMES: [&str; 2] = ["cache", "cache.new"];

    /// Checks that the run fails with an error that names the cache, the reason and the options.
    fn assert_refused(job: &Job<'_>, reason: &str) {
        let run = job.run();
        let path = job.cache().display().to_string();
        run.assert_failed(1, reason);
        assert_line(&run.stderr, "E! ", &[&path, "--cache-dir", "--cache-name"]);
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let tree = small_tree();
        for name in NAMES {
            let job = Job::new(&tree, SMALL);
            job.baseline();
            let elsewhere = tempfile::tempdir().unwrap();
            let target = elsewhere.path().join("target");
            let link = job.cache_dir().join(name);
            let _ = fs::remove_file(&link);
            symlink(&target, &link).unwrap();
            assert_refused(&job, "symbolic link");
            assert!(!target.exists(), "a dangling link was written through");

            fs::write(&target, "precious").unwrap();
            assert_refused(&job, "symbolic link");
            assert_eq!(fs::read(&target).unwrap(), b"precious");
            assert_eq!(fs::read_link(&link).unwrap(), target);

            fs::remove_file(&link).unwrap();
            symlink(link.file_name().unwrap(), &link).unwrap();
            assert_refused(&job, "symbolic link");
        }
    }

    #[test]
    fn a_fifo_directory_socket_or_hard_link_is_left_alone() {
        let tree = small_tree();
        for name in NAMES {
            let job = Job::new(&tree, SMALL);
            let path = job.cache_dir().join(name);

            make_fifo(&path);
            assert_refused(&job, "regular file");
            assert!(fs::symlink_metadata(&path).unwrap().file_type().is_fifo());
            fs::remove_file(&path).unwrap();

            fs::create_dir(&path).unwrap();
            assert_refused(&job, "directory");
            fs::remove_dir(&path).unwrap();

            let other = job.cache_dir().join("other");
            fs::write(&other, "precious").unwrap();
            fs::hard_link(&other, &path).unwrap();
            assert_refused(&job, "hard link");
            assert_eq!(fs::read(&other).unwrap(), b"precious");
            fs::remove_file(&other).unwrap();

            let socket = job.cache_dir().join("socket");
            let _socket = std::os::unix::net::UnixListener::bind(&socket).unwrap();
            fs::rename(&socket, &path).unwrap();
            assert_refused(&job, "regular file");
        }
    }

    #[test]
    fn a_device_is_left_alone() {
        use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
        if !may_be_root("a device") {
            return;
        }
        let tree = small_tree();
        for name in NAMES {
            let job = Job::new(&tree, SMALL);
            let path = job.cache_dir().join(name);
            let null = makedev(1, 3);
            if let Err(error) = mknodat(CWD, &path, FileType::CharacterDevice, Mode::RWXU, null) {
                skip(&format!("no device can be made here: {error}"));
                return;
            }
            assert_refused(&job, "regular file");
            assert!(fs::symlink_metadata(&path).unwrap().file_type().is_char_device());
        }
    }

    #[test]
    fn a_file_of_another_user_is_left_alone() {
        if !may_be_root("a file of another user") {
            return;
        }
        let tree = small_tree();
        for name in NAMES {
            let job = Job::new(&tree, SMALL);
            job.baseline();
            let path = job.cache_dir().join(name);
            fs::write(&path, "precious").unwrap();
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
            assert_refused(&job, "another user");
            assert_eq!(fs::read(&path).unwrap(), b"precious");
            assert_eq!(fs::metadata(&path).unwrap().uid(), NOBODY);
        }
    }

    #[test]
    fn users_cannot_use_the_cache_of_another_user() {
        if !may_be_root("running as another user") {
            return;
        }
        let tree = small_tree();
        fs::set_permissions(tree.path(), Permissions::from_mode(0o755)).unwrap();
        let program = public_binary();
        let job = Job::new(&tree, SMALL);
        let as_nobody = || {
            let mut command = program.command();
            Run::of(command.args(job.arguments()).uid(NOBODY).gid(NOBODY))
        };
        let mode = |mode| {
            fs::set_permissions(job.cache_dir(), Permissions::from_mode(mode)).unwrap();
        };
        mode(0o755);
        as_nobody().assert_failed(1, "Permission denied");
        assert_eq!(fs::read_dir(job.cache_dir()).unwrap().count(), 0);

        // In a directory like /tmp, the cache of root is neither read nor replaced.
        mode(0o1777);
        job.baseline();
        let before = fs::read(job.cache()).unwrap();
        as_nobody().assert_failed(1, job.cache().to_str().unwrap());
        assert_eq!(fs::read(job.cache()).unwrap(), before);

        fs::remove_file(job.cache()).unwrap();
        as_nobody().assert_first();
        let found = fs::metadata(job.cache()).unwrap();
        assert_eq!((found.uid(), found.mode() & 0o7777), (NOBODY, 0o600));
        // Root does not use the cache of another user.
        assert_refused(&job, "another user");
    }

    #[test]
    fn a_missing_cache_directory_is_an_error() {
        let tree = small_tree();
        let job = Job::new(&tree, SMALL);
        fs::remove_dir(job.cache_dir()).unwrap();
        assert_refused(&job, "directory");
        assert!(!job.cache_dir().exists(), "psstat does not create it");
        fs::write(job.cache_dir(), "").unwrap();
        assert_refused(&job, "Not a directory");
        fs::remove_file(job.cache_dir()).unwrap();
        fs::create_dir(job.cache_dir()).unwrap();
    }

    #[test]
    fn a_full_disk_leaves_the_old_state() {
        if !may_be_root("mounting a small disk") {
            return;
        }
        let tree = small_tree();
        let job = Job::new(&tree, SMALL);
        // The disk has room for one file of one page: the baseline, but not the next state.
        let script = r#"
            mount -t tmpfs -o size=4k psstat "$1" || exit 77
            shift
            "$@" || exit 1
            "$@" && exit 2
            [ -s "$CACHE" ] || exit 3
            mount -o remount,size=64k "$DIR" || exit 77
            "$@"
        "#;
        let run = Run::of(
            Command::new("unshare")
                .args(["-m", "sh", "-c", script, "sh"])
                .arg(job.cache_dir())
                .arg(env!("CARGO_BIN_EXE_psstat"))
                .args(job.arguments())
                .env("DIR", job.cache_dir())
                .env("CACHE", job.cache()),
        );
        if matches!(run.status, Some(77)) || run.stderr.starts_with("unshare: ") {
            skip(&format!("nothing can be mounted here: {}", run.stderr));
            return;
        }
        assert_eq!(run.line().n_proc(), 3, "the old state serves once there is room");
        let lines: Vec<&str> = run.stderr.lines().collect();
        assert_eq!(lines.len(), 2, "{run:?}");
        assert!(lines[0].starts_with("I! first run"), "{run:?}");
        assert!(lines[1].starts_with("E! "), "{run:?}");
        assert!(lines[1].contains("No space left on device"), "{run:?}");
    }

    #[test]
    fn a_limit_of_the_size_of_files_is_an_error_like_any_other() {
        let tree = small_tree();
        let job = Job::new(&tree, SMALL);
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -f 0; exec \"$0\" \"$@\""]);
        command.arg(job.command().get_program()).args(job.arguments());
        let run = Run::of(&mut command);
        run.assert_failed(1, "cache");
        assert_eq!(fs::read_dir(job.cache_dir()).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn the_cache_has_mode_0600_whatever_the_umask() {
        let tree = small_tree();
        for umask in ["0", "077", "0777"] {
            let job = Job::new(&tree, SMALL);
            let run = || {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]);
                Run::of(command.arg(env!("CARGO_BIN_EXE_psstat")).args(job.arguments()))
            };
            run().assert_first();
            assert_eq!(fs::metadata(job.cache()).unwrap().mode() & 0o7777, 0o600, "{umask}");
            // A file of the same user that every user may write.
            let new = job.cache_dir().join("cache.new");
            fs::write(&new, "x".repeat(100_000)).unwrap();
            fs::set_permissions(&new, Permissions::from_mode(0o666)).unwrap();
            assert_eq!(run().line().n_proc(), 3);
            assert_eq!(fs::metadata(job.cache()).unwrap().mode() & 0o7777, 0o600, "{umask}");
            assert_eq!(job.state().accounts.groups.len(), 1, "the old content is gone");
            assert_clean(job.cache_dir());
        }
    }
}

mod contention {
    use super::*;

    /// A process that keeps one processor busy.
    struct Busy(Child);

    impl Busy {
        fn new() -> Busy {
            Busy(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap())
        }
    }

    impl Drop for Busy {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn fifty_simultaneous_runs_share_a_cache() {
        let busy = Busy::new();
        let directory = tempfile::tempdir().unwrap();
        let selector = format!("busy:{}", busy.0.id());
        let command = || {
            let mut command = psstat();
            command.args(["--cache-name", "cache", "--pid", &selector, "--cache-dir"]);
            command.arg(directory.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
            // Fifty simultaneous runs take long on a busy machine.
            command.args(["--timeout", "5m"]);
            command
        };
        Run::of(&mut command()).assert_first();
        // Above ten ticks one process can be rounded up by two, and is on one processor.
        let processors = processors_online(Path::new("/sys")).unwrap();
        let most = (processors as f64).max(1.2);
        for _ in 0..3 {
            let runs: Vec<Child> = (0..50).map(|_| command().spawn().unwrap()).collect();
            for run in runs {
                let run = Run::from(run);
                let line = run.line();
                assert_eq!((line.n_proc(), run.stderr.as_str()), (1, ""));
                // Two runs may start at the same time. Then there is no rate.
                assert!(line.p_cpu().is_none_or(|rate| rate <= most), "{line:?}");
            }
            codec::decode(&fs::read(directory.path().join("cache")).unwrap()).unwrap();
            assert_clean(directory.path());
        }
        assert_eq!(Run::of(&mut command()).line().n_proc(), 1);
    }

    #[test]
    fn a_locked_cache_is_an_error_after_a_wait() {
        let tree = small_tree();
        let job = Job::new(&tree, SMALL);
        job.baseline();
        let before = fs::read(job.cache()).unwrap();
        let stopped = File::create(job.cache_dir().join("cache.new")).unwrap();
        stopped.lock().unwrap();
        let run = job.run();
        run.assert_failed(1, job.cache().to_str().unwrap());
        assert_line(&run.stderr, "E! ", &["locked"]);
        assert_eq!(fs::read(job.cache()).unwrap(), before);
        drop(stopped);
        assert_eq!(job.run().line().n_proc(), 3);
    }

    /// psstat makes `cache.new` so that nobody else may open it, and thus lock it. An older one may be
    /// locked by anybody.
    #[test]
    fn a_new_file_that_others_may_open_stops_one_run_at_most() {
        let tree = small_tree();
        let job = Job::new(&tree, SMALL);
        job.baseline();
        let new = job.cache_dir().join("cache.new");
        let hostile = File::create(&new).unwrap();
        fs::set_permissions(&new, Permissions::from_mode(0o644)).unwrap();
        hostile.lock().unwrap();
        job.run().assert_failed(1, "locked");
        assert_eq!(job.run().line().n_proc(), 3, "the lock is still held");
        assert_clean(job.cache_dir());
    }

    #[test]
    fn fifty_simultaneous_first_runs_leave_a_valid_cache() {
        let tree = small_tree();
        let job = Job::new(&tree, SMALL);
        let spawn = |_| {
            let mut command = job.command();
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let runs: Vec<Child> = (0..50).map(spawn).collect();
        for run in runs {
            let run = Run::from(run);
            if run.stdout.is_empty() {
                run.assert_first();
            } else {
                assert!(run.line().p_cpu().is_none_or(|rate| rate == 0.0), "{run:?}");
            }
        }
        assert_eq!(job.run().line().p_cpu(), Some(0.0));
        assert_clean(job.cache_dir());
    }
}

mod signals {
    use super::*;

    /// Enough processes that a run takes some milliseconds and prints more than a pipe holds.
    const MANY: u32 = 700;

    fn large_tree() -> FakeProc {
        let tree = FakeProc::new();
        for pid in 100..100 + MANY {
            let process = Process { own: 7, ..Process::new(pid, 1, format!("p{pid:-<60}")) };
            tree.write(format!("{pid}/stat"), process.stat());
            tree.write(format!("{pid}/statm"), "9 3 2 1 0 1 0\n");
        }
        tree
    }

    fn spawn(job: &Job<'_>) -> Child {
        job.command().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// How long a run takes, so that signals can be sent in each part of it.
    fn length_of_a_run(job: &Job<'_>) -> Duration {
        let start = Instant::now();
        assert_eq!(job.run().lines().len(), MANY as usize);
        start.elapsed()
    }

    #[test]
    fn a_killed_run_does_not_affect_the_next() {
        let tree = large_tree();
        let job = Job::new(&tree, ["--pattern", "^p"]);
        job.baseline();
        let length = length_of_a_run(&job);
        let steps = 100;
        for step in 0..steps {
            let mut run = spawn(&job);
            sleep(length * step / steps);
            run.kill().unwrap();
            limit::end(&mut run);
            let next = job.run();
            assert_eq!(next.stderr, "", "the old state or the new one is there, whole");
            let lines = next.lines();
            assert_eq!(lines.len(), MANY as usize);
            assert!(lines.iter().all(|line| line.p_cpu() == Some(0.0) && line.n_proc() == 1));
            assert_clean(job.cache_dir());
        }
    }

    /// Waits until the process has a handler for SIGTERM. Returns `false` if it ended before.
    fn handles_sigterm(run: &mut Child) -> bool {
        let status = format!("/proc/{}/status", run.id());
        loop {
            let text = fs::read_to_string(&status).unwrap();
            let caught = text.lines().find_map(|line| line.strip_prefix("SigCgt:\t"));
            let Some(caught) = caught else { return false };
            let mask = u64::from_str_radix(caught, 16).unwrap();
            if mask >> (Signal::TERM.as_raw() - 1) & 1 == 1 {
                return true;
            }
            if run.try_wait().unwrap().is_some() {
                return false;
            }
        }
    }

    /// Sends SIGTERM. Only for a run that has not been waited for: until then the pid is its own.
    fn terminate(run: &Child) {
        let _ = kill_process(rustix::process::Pid::from_child(run), Signal::TERM);
    }

    #[test]
    fn sigterm_leaves_all_lines_or_none() {
        let tree = large_tree();
        let job = Job::new(&tree, ["--pattern", "^p"]);
        job.baseline();
        let length = length_of_a_run(&job);
        let (steps, mut silent, mut whole) = (40, 0, 0);
        for step in 0..steps {
            let mut run = spawn(&job);
            if handles_sigterm(&mut run) {
                sleep(length * step / steps);
                terminate(&run);
            }
            // The pipe is read only now, so the signal may arrive while the run writes.
            let run = Run::from(run);
            assert_eq!(run.stderr, "");
            match run.lines().len() {
                0 => silent += 1,
                all => {
                    assert_eq!(all, MANY as usize);
                    whole += 1;
                }
            }
            assert_eq!(job.run().lines().len(), MANY as usize, "the cache is sound");
        }
        assert!(silent > 0, "no signal arrived during a run");
        println!("{silent} runs ended without lines, {whole} with all");
    }

    #[test]
    fn sigterm_ends_wait() {
        let tree = small_tree();
        let job = Job::new(&tree, ["--pid", "100", "--wait", "1h"]);
        let mut run = spawn(&job);
        assert!(handles_sigterm(&mut run));
        terminate(&run);
        let run = Run::from(run);
        assert_eq!((run.status, run.stdout.len(), run.stderr.as_str()), (Some(0), 0, ""));
    }

    #[test]
    fn sigterm_cuts_no_line_of_a_slow_reader() {
        let tree = large_tree();
        let job = Job::new(&tree, ["--pattern", "^p"]);
        job.baseline();
        let mut run = spawn(&job);
        // After the first byte the run is writing, and the output does not fit in the pipe.
        let mut stdout = Limited::new(run.stdout.take().unwrap());
        let mut text = vec![0];
        stdout.read_exact(&mut text).unwrap();
        terminate(&run);
        // If the pipe were read at once, the run could write the rest before the signal arrives.
        sleep(Duration::from_millis(100));
        stdout.read_to_end(&mut text).unwrap();
        assert!(text.len() > 1 << 16, "it all fits in the pipe");
        assert_eq!(limit::end(&mut run).code(), Some(0));
        assert_eq!(crate::support::line::read(&text).len(), MANY as usize);
    }
}
