//! What only namespaces of pids and of mounts can show: recycled pids, other mounts of procfs,
//! hidden processes.

use super::fixture::{Actor, Fixture, unique};
use super::meter::{Meter, PSSTAT, TICK, psstat, psstat_through};
use super::needs;
use crate::support::limit;
use std::path::Path;

/// An actor as process 1 of a pid namespace of its own, and the procfs of that namespace.
fn init(fixture: &Fixture) -> (Actor, String) {
    let init = fixture.actor_through(&["unshare", "-mpf", "--mount-proc", "--kill-child"], "init");
    assert_eq!(init.obey("pid"), "1");
    // What was started is unshare, which sees the mounts of its child.
    let proc = format!("/proc/{}/root/proc", init.pid);
    (init, proc)
}

/// `used` before and after: whether the pid is given to one that has used more or less.
fn a_recycled_pid_is_another_process(before: u64, after: u64) {
    if !needs::namespaces() {
        return;
    }
    let fixture = Fixture::new();
    let (init, proc) = init(&fixture);
    let old = init.spawn("old");
    old.burn(before);
    let target = format!("target:{}", old.pid);
    let args = ["--proc", &proc, "--pid", &target, "--pid", "all:1"];
    let used = |actor: &Actor| actor.usage().as_secs_f64();
    let first = used(&old);
    let mut meter = Meter::start(&args, &[&init, &old]);
    let second = used(&old);
    old.burn(100);
    let third = used(&old);
    let reading = meter.sample(&[&init, &old]);
    reading.agrees("all", 2);
    let range = third - second - 2.0 * TICK..=used(&old) - first + 2.0 * TICK;
    let seconds = reading.seconds("target");
    assert!(range.contains(&seconds), "{seconds} of {range:?} s: {reading:?}");

    old.exit();
    init.wait_for(&old);
    init.obey(&format!("sh echo {} >/proc/sys/kernel/ns_last_pid", old.pid - 1));
    let new = init.spawn("new");
    assert_eq!(new.pid, old.pid, "the pid was not recycled");
    new.burn(after);
    let first = used(&new);
    let reading = meter.sample(&[&init, &new]);
    let second = used(&new);
    let seconds = reading.seconds("target");
    let range = first - 2.0 * TICK..=second + TICK;
    assert!(range.contains(&seconds), "{seconds} of {range:?} s");
    assert_eq!(reading.said.line("target").processes, 1);
    // The group of both: what the old one had used was counted, and arrives at its parent.
    reading.agrees("all", 3);
    new.burn(100);
    let third = used(&new);
    let reading = meter.sample(&[&init, &new]);
    reading.agrees("all", 2);
    let range = third - second - 2.0 * TICK..=used(&new) - first + 2.0 * TICK;
    let seconds = reading.seconds("target");
    assert!(range.contains(&seconds), "{seconds} of {range:?} s: {reading:?}");
}

#[test]
fn a_recycled_pid_that_uses_more_starts_from_nothing() {
    a_recycled_pid_is_another_process(500, 900);
}

#[test]
fn a_recycled_pid_that_uses_less_starts_from_nothing() {
    a_recycled_pid_is_another_process(900, 300);
}

#[test]
fn procfs_may_be_mounted_elsewhere() {
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    root.spawn("child");
    let selector = format!("root:{}", root.pid);
    let args = ["--pid", &selector, "--wait", "50ms"];
    let here = psstat(&args);
    assert_eq!(here.only_line().processes, 2);

    let link = fixture.path().join("link");
    std::os::unix::fs::symlink("/proc", &link).expect("a link");
    let link = link.to_str().expect("UTF-8");
    let there = psstat(&[&args[..], &["--proc", link]].concat());
    assert_eq!(there.only_line().values, here.only_line().values);

    if let Some(reason) = needs::why_no_namespaces() {
        needs::skip_in_part(&reason);
    } else {
        let dir = fixture.path().join("proc");
        std::fs::create_dir(&dir).expect("a directory");
        let dir = dir.to_str().expect("UTF-8");
        for mount in ["mount --bind /proc \"$0\"", "mount -t proc proc \"$0\""] {
            let script = format!("{mount} && exec \"$@\"");
            let through = ["unshare", "-m", "/bin/sh", "-c", &script, dir];
            // Its own command line matches.
            let itself = format!("itself:psstat .*{dir}");
            let args = [&args[..], &["--proc", dir, "--cmdline", &itself]].concat();
            let there = psstat_through(&through, PSSTAT, &args);
            assert_eq!(there.line("root").values, here.only_line().values, "{mount}");
            assert_eq!(there.line("itself").processes, 0, "{mount}: {there:?}");
        }
    }
}

/// Runs psstat in a namespace whose procfs is mounted with that option, as a user who is nobody,
/// in that group. Process 1 there is root's.
fn in_hiding(option: &str, group: &str, further: &[&str]) -> super::meter::Said {
    let fixture = Fixture::new();
    let copy = fixture.copy_of(Path::new(PSSTAT), "psstat");
    let script = "mount -o \"remount,$0\" proc /proc && \"$@\"; exit $?";
    let groups = format!("--groups={group}");
    let unshare = ["unshare", "-mpf", "--mount-proc", "/bin/sh", "-c", script, option];
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", &groups];
    let selectors = ["--user", "roots:0", "--pattern", "shells:^sh$", "--wait", "50ms"];
    let args = [&selectors[..], further].concat();
    psstat_through(&[&unshare[..], &nobody].concat(), &copy, &args)
}

#[test]
fn hidden_processes_are_warned_of_with_the_cure() {
    if !needs::namespaces() {
        return;
    }
    for option in ["hidepid=2", "hidepid=1"] {
        for further in [&[][..], &["--multi-threaded"]] {
            let said = in_hiding(option, "65534", further);
            println!("{option}: {}", said.stderr);
            assert!(said.lines.is_empty(), "{option}: it is not known whether there are any");
            assert_eq!(said.stderr.lines().count(), 1, "{option}: {}", said.stderr);
            assert!(said.stderr.starts_with("W! no line for "), "{option}: {}", said.stderr);
            assert!(said.stderr.contains("hides processes"), "{option}: {}", said.stderr);
            assert!(said.stderr.contains("as root"), "{option}: {}", said.stderr);
            assert!(said.stderr.contains("hidepid=0"), "{option}: {}", said.stderr);
        }
    }
}

/// `cgroup.procs` lists hidden processes too. The memory of those that are shown is not that of all.
#[test]
fn a_control_group_with_hidden_members_has_no_partial_sums() {
    if !needs::namespaces() {
        return;
    }
    for option in ["hidepid=2", "hidepid=1"] {
        let further = ["--cgroup=all:/", "--fields=p_cpu,p_mem,mem,n_proc,n_thread"];
        let said = in_hiding(option, "65534", &further);
        println!("{option}: {}", said.stderr);
        // Without control groups in sight there is no line, and a warning that says so.
        if let Some(line) = said.lines.iter().find(|line| line.name == "all") {
            let fields = line.values.rsplit_once(' ').expect("fields").1;
            let is_known =
                |field: &str| field.starts_with("p_cpu=") || field.starts_with("n_proc=");
            assert!(fields.split(',').all(is_known), "{option}: {fields}");
            assert!(said.stderr.contains("procfs hides "), "{option}: {}", said.stderr);
        }
    }
}

#[test]
fn the_cures_for_hidden_processes_work() {
    if !needs::namespaces() {
        return;
    }
    for (option, group) in [("hidepid=2,gid=64133", "64133"), ("hidepid=0", "65534")] {
        let said = in_hiding(option, group, &[]);
        assert_eq!(said.stderr, "", "{option}");
        assert_eq!(said.line("shells").processes, 1 + 1, "{option}: sh, and psstat below it");
    }
}

/// Without the host's `/proc`, a service of the host looks as if it were down.
#[test]
fn an_empty_group_in_a_container_is_warned_of() {
    if !needs::namespaces() {
        return;
    }
    let fixture = Fixture::new();
    let name = unique("it");
    let root = fixture.actor("root");
    root.obey(&format!("name {name}"));
    let group = format!("it:^{name}$");
    let args = ["--pattern", &group, "--pattern", "shell:^sh$", "--wait", "50ms"];
    let script = "unset HOST_PROC; \"$0\" \"$@\"; exit $?";
    let inside = ["unshare", "-mpf", "--mount-proc", "/bin/sh", "-c", script];
    let said = psstat_through(&inside, PSSTAT, &args);
    assert_eq!((said.line("it").processes, said.line("shell").processes), (0, 2), "{said:?}");
    let begin = "W! no process found for it: psstat sees only the 2 processes of this container";
    assert!(said.stderr.starts_with(begin) && said.stderr.contains("HOST_PROC"), "{said:?}");
    // Unless somebody has said that these processes are meant.
    let meant = psstat_through(&inside, PSSTAT, &[&args[..], &["--proc=/proc"]].concat());
    assert_eq!((meant.line("it").processes, meant.stderr.as_str()), (0, ""));
    let outside = psstat(&args);
    assert_eq!(outside.line("it").processes, 1);
    assert!(!outside.stderr.contains("found for it"), "{outside:?}");
}

/// In a container, lxcfs mounts files over `/proc/loadavg` and others that show the pids of the host.
/// A new process must be found in the next sample all the same.
#[test]
fn a_foreign_loadavg_does_not_hide_new_processes() {
    if !needs::namespaces() {
        return;
    }
    const SCRIPT: &str = r#"
        set -e
        mount -t proc proc /proc
        for _ in $(seq 300); do sleep 100 & done
        cp /bin/sleep "$1/websrv"
        loadavg() { echo "0 0 0 2/5000 $1" >"$2"; }
        loadavg 1234567 "$1/loadavg"
        mount --bind "$1/loadavg" /proc/loadavg
        sample() {
            "$0" --host= --cache-dir "$1" --cache-name cache --pattern 'web:^websrv$' --fields n_proc
        }
        sample "$1"; sample "$1"
        "$1/websrv" 100 &
        # The name is taken when the program is executed.
        until grep -q websrv "/proc/$!/comm"; do sleep 0.01; done
        loadavg 1234581 "$1/loadavg"
        sample "$1"
    "#;
    let directory = tempfile::tempdir().expect("a directory");
    let mut command = std::process::Command::new("unshare");
    command.args(["--fork", "--pid", "--mount", "--kill-child", "sh", "-c", SCRIPT, PSSTAT]);
    let output = limit::output(command.arg(directory.path())).expect("util-linux is installed");
    let lines = String::from_utf8_lossy(&output.stdout);
    let counts: Vec<&str> = lines.lines().filter_map(|line| line.split(' ').nth(1)).collect();
    assert_eq!(counts, ["n_proc=0i", "n_proc=1i"], "{output:?}");
}
