//! The environment of a run: mounts, tags, time and the cache.

use super::untimed;
use crate::support::fake_proc::{FakeProc, Process};
use crate::support::line;
use crate::support::{Job, Run};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

#[test]
fn proc_overrides_host_proc() {
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
    assert_eq!(Run::of(&mut command).lines().len(), 1, "an empty variable counts as unset");
}

#[test]
fn processors_are_read_below_host_sys() {
    let tree = FakeProc::new();
    tree.add(&Process { resident: 3, ..Process::new(100, 1, "x") });
    let sys = tempfile::tempdir().unwrap();
    // The kernel would not write this. The number of processors is then unknown and limits no rate.
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
fn tags_are_host_then_tag_options_then_process_name() {
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
fn all_lines_of_a_sample_have_the_same_time() {
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
fn the_first_run_prints_no_line_and_the_next_does() {
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
fn wait_writes_no_cache() {
    let tree = FakeProc::new();
    tree.add(&Process::new(100, 1, "x"));
    let job = Job::new(&tree, ["--pid", "100", "--wait", "20ms"]);
    let run = job.run();
    assert_eq!((run.line().p_cpu(), run.stderr.as_str()), (Some(0.0), ""));
    assert_eq!(std::fs::read_dir(job.cache_dir()).unwrap().count(), 0);
}

#[test]
fn the_path_of_procfs_may_have_any_bytes() {
    let tree = FakeProc::new();
    tree.add(&Process::new(100, 1, "x"));
    let directory = tempfile::tempdir().unwrap();
    let odd = directory.path().join(std::ffi::OsStr::from_bytes(b"a b,c=\xff\n\x1b[2J"));
    symlink(tree.path(), &odd).unwrap();
    let mut command = crate::support::psstat();
    command.args(["--wait", "1ms", "--pid", "100", "--pid", "5", "--proc"]).arg(&odd);
    assert_eq!(Run::of(&mut command).line().name(), "x");
}
