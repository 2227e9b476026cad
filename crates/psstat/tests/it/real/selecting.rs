//! Each selector on real processes, and psstat beside itself.

use super::fixture::{Fixture, actor_program, unique};
use super::meter::{PSSTAT, psstat, psstat_through, second_of_two};
use super::needs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

const AT_ONCE: [&str; 2] = ["--wait", "50ms"];

#[test]
fn waiting_prints_at_once_and_leaves_no_file() {
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    root.obey("busy");
    let cache = fixture.path().join("cache");
    std::fs::create_dir(&cache).expect("a directory");
    let root = format!("root:{}", root.pid);
    let cache_dir = ["--cache-dir", cache.to_str().expect("UTF-8")];
    let said = psstat(&[&["--pid", &root, "--wait", "300ms"][..], &cache_dir].concat());
    let line = said.only_line();
    assert_eq!((line.name.as_str(), line.processes, said.stderr.as_str()), ("root", 1, ""));
    // How much a busy process gets depends on the machine; that it gets something does not.
    assert!(line.cpu.is_some_and(|cpu| cpu > 0.0), "{line:?}");
    assert_eq!(std::fs::read_dir(&cache).expect("a directory").count(), 0);
}

#[test]
fn reading_on_several_threads_says_the_same() {
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    let child = root.spawn("child");
    child.spawn("grandchild");
    let root = ["--pid", &format!("root:{}", root.pid), "--pid", &format!("child:{}", child.pid)];
    let values = |further: &[&str]| {
        let said = second_of_two(&[&root[..], further].concat());
        said.lines.into_iter().map(|line| line.values).collect::<Vec<_>>()
    };
    let single = values(&[]);
    assert!(single[0].ends_with("n_proc=3i") && single[1].ends_with("n_proc=2i"), "{single:?}");
    assert_eq!(values(&["--multi-threaded"]), single);
    assert_eq!(values(&["--multi-threaded", "--memory", "rss"]), values(&["--memory", "rss"]));
}

/// A user that nobody knows ends no job. He is looked up again, also in the host's `/etc`.
#[test]
fn an_unknown_user_leaves_out_his_line_alone() {
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    let own = rustix::process::geteuid().as_raw();
    let etc = fixture.path().join("etc");
    std::fs::create_dir(&etc).expect("a directory");
    let name = unique("usr");
    let selectors = [format!("--user=his:{name}"), format!("--pid=root:{}", root.pid)];
    let host_etc = format!("HOST_ETC={}", etc.display());
    let through = ["env", &host_etc];
    let args = [&selectors[0], &selectors[1], "--wait", "50ms"];
    let said = psstat_through(&through, PSSTAT, &args);
    assert_eq!(said.only_line().name, "root");
    let begin = format!("W! no line for his: no user {name}");
    assert!(said.stderr.starts_with(&begin) && said.stderr.contains("uid"), "{said:?}");
    std::fs::write(etc.join("passwd"), format!("x:x:1:1::/:\n{name}:x:{own}:0::/:\n"))
        .expect("a file");
    let said = psstat_through(&through, PSSTAT, &args);
    assert!(said.line("his").processes >= 1, "{said:?}");
    assert_eq!((said.line("root").processes, said.stderr.as_str()), (1, ""));
}

#[test]
fn a_resident_finds_a_user_who_is_made_later() {
    let fixture = Fixture::new();
    let etc = fixture.path().join("etc");
    std::fs::create_dir(&etc).expect("a directory");
    let name = unique("usr");
    let host_etc = format!("HOST_ETC={}", etc.display());
    let through = ["env", &host_etc];
    let user = format!("--user=his:{name}");
    let own = format!("--pid=own:{}", std::process::id());
    let mut resident = super::resident::Resident::start_through(&through, &[&own, &user], 1);
    assert_eq!(resident.sample()[0].name, "own", "there is no line of his");
    let uid = rustix::process::geteuid().as_raw();
    std::fs::write(etc.join("passwd"), format!("{name}:x:{uid}:0::/:\n")).expect("a file");
    resident.expect(2);
    let lines = resident.sample();
    assert_eq!(lines[1].name, "his");
    assert!(lines[1].processes >= 1, "{lines:?}");
}

#[test]
fn without_threads_one_reads() {
    if !needs::root() {
        return;
    }
    let fixture = Fixture::new();
    let copy = fixture.copy_of(Path::new(PSSTAT), "psstat");
    // RLIMIT_NPROC does not hold for root.
    let script = "ulimit -u 0; exec \"$0\" \"$@\"";
    let user = ["setpriv", "--reuid=64135", "--regid=64135", "--clear-groups"];
    let through = [&user[..], &["bash", "-c", script]].concat();
    let root = fixture.actor("root");
    let group = format!("root:{}", root.pid);
    let args = [&["--pid", &group, "--multi-threaded"][..], &AT_ONCE].concat();
    assert_eq!(psstat_through(&through, &copy, &args).only_line().processes, 1);
    let config = fixture.path().join("config");
    std::fs::write(&config, "timeout = \"1m\"\n").expect("written");
    let config = config.to_str().expect("UTF-8");
    let args = [&["--pid", &group, "--config", config][..], &AT_ONCE].concat();
    assert_eq!(psstat_through(&through, &copy, &args).only_line().processes, 1);
}

#[test]
fn a_replaced_executable_still_matches_its_path() {
    let fixture = Fixture::new();
    let program = fixture.copy_of(&actor_program(), "server");
    let server = fixture.actor_of(&program, &[], "root");
    server.spawn("child");
    let directory = format!("server:{}/*", fixture.path().display());
    let count =
        |glob: &str| psstat(&[&["--exe", glob][..], &AT_ONCE].concat()).only_line().processes;
    assert_eq!(count(&directory), 2);
    std::fs::remove_file(&program).expect("an upgrade");
    assert_eq!(count(&directory), 2);
    assert_eq!(count(&format!("server:{}/serve?", fixture.path().display())), 2);
    assert_eq!(count(&format!("server:{}/serve", fixture.path().display())), 0);
}

/// Nobody may read what root executes, nor a private pid file.
#[test]
fn what_may_not_be_read_is_no_zero() {
    if !needs::root() {
        return;
    }
    let fixture = Fixture::new();
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let copy = fixture.copy_of(Path::new(PSSTAT), "psstat");
    let name = unique("srv");
    let program = fixture.copy_of(&actor_program(), &name);
    let server = fixture.actor_of(&program, &[], "root");
    let pid_file = fixture.path().join("private.pid");
    std::fs::write(&pid_file, server.pid.to_string()).expect("a pid file");
    std::fs::set_permissions(&pid_file, std::fs::Permissions::from_mode(0o0)).expect("its mode");
    let pid_file = format!("file:{}", pid_file.display());
    let by_name = format!("server:*/{name}");
    let anywhere = format!("anywhere:{}/*", fixture.path().display());
    let renamed = unique("cut");
    server.obey(&format!("name {renamed}"));
    let args = [
        &["--exe", &by_name, "--exe", &anywhere, "--exe=none:*/no-such-program"][..],
        &["--pid-file", &pid_file, "--fields=n_proc"],
        &AT_ONCE,
    ];
    let args = args.concat();
    let said = psstat_through(&nobody, &copy, &args);
    assert!(said.lines.is_empty(), "{said:?}");
    let warnings: Vec<&str> = said.stderr.lines().collect();
    assert_eq!(warnings.len(), 2, "{said:?}");
    for (groups, cause, cure) in [
        ("file", "private.pid", "let psstat's user"),
        ("server, anywhere, none", "exe", "CAP_SYS_PTRACE"),
    ] {
        let begin = format!("W! no line for {groups}: ");
        let line = warnings.iter().find(|line| line.starts_with(&begin));
        let line = line.unwrap_or_else(|| panic!("{begin}: {said:?}"));
        assert!(line.contains(cause) && line.contains(cure), "{line}");
    }
    // Root may read both.
    let said = psstat(&args);
    for group in ["server", "anywhere", "file"] {
        assert_eq!(said.line(group).processes, 1, "{said:?}");
    }
    assert_eq!(said.line("none").processes, 0, "{said:?}");
}

#[test]
fn a_command_line_is_known_by_its_arguments() {
    let fixture = Fixture::new();
    let marker = unique("mark");
    fixture.actor(&marker).spawn("child");
    let regex = format!("web:serve .*{marker}$");
    let said = psstat(&[&["--cmdline", &regex][..], &AT_ONCE].concat());
    assert_eq!(said.only_line().processes, 2);
}

#[test]
fn psstat_never_measures_itself() {
    let fixture = Fixture::new();
    let name = unique("self");
    let copy = fixture.copy_of(Path::new(PSSTAT), &name);
    // Each of these picks psstat, by its command line or its own name, and an actor.
    let actor = fixture.copy_of(&actor_program(), &format!("{name}-actor"));
    let actor = fixture.actor_of(&actor, &[], "root");
    actor.obey(&format!("name {name}"));
    for (option, value) in [
        ("--cmdline", format!("group:{name}")),
        ("--exe", format!("group:*{name}*")),
        ("--pattern", format!("group:{name}")),
    ] {
        let args = [&[option, &value][..], &AT_ONCE].concat();
        let said = psstat_through(&[], &copy, &args);
        assert_eq!(said.only_line().processes, 1, "{option}: {said:?}");
        let threads = psstat_through(&[], &copy, &[&args[..], &["--multi-threaded"]].concat());
        assert_eq!(threads.only_line().processes, 1, "{option}: {threads:?}");
    }
}

/// The command line of a shell, of `timeout` and of another psstat contain what psstat looks for.
#[test]
fn who_runs_psstat_and_other_psstats_are_no_roots() {
    let word = unique("kafka");
    let group = format!("broker:{word}");
    let args = ["--cmdline", &group, "--wait", "50ms"];
    let other = super::resident::Resident::start(&["--cmdline", &group], 1);
    for through in [
        &["/bin/sh", "-c", "\"$0\" \"$@\"; exit $?"][..],
        &["timeout", "60", "/bin/sh", "-c", "\"$0\" \"$@\"; exit $?"],
    ] {
        let said = psstat_through(through, PSSTAT, &args);
        assert_eq!(said.only_line().processes, 0, "{through:?}: {said:?}");
    }
    drop(other);
    // A shell that does not run psstat is one.
    let fixture = Fixture::new();
    let _shell = fixture.actor(&word);
    let said = psstat_through(&["/bin/sh", "-c", "\"$0\" \"$@\"; exit $?"], PSSTAT, &args);
    assert_eq!(said.only_line().processes, 1, "{said:?}");
}

#[test]
fn a_user_owns_his_processes_and_not_psstat() {
    if !needs::root() {
        return;
    }
    let fixture = Fixture::new();
    let uid = "64131";
    let through = ["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups"];
    let copy = fixture.copy_of(Path::new(PSSTAT), "psstat");
    // psstat as that user, alone: nothing is there.
    let user = format!("his:{uid}");
    let args = [&["--user", &user][..], &AT_ONCE].concat();
    assert_eq!(psstat_through(&through, &copy, &args).only_line().processes, 0);
    let program = fixture.copy_of(&actor_program(), "actor");
    fixture.actor_of(&program, &through, "root").spawn("child");
    assert_eq!(psstat_through(&through, &copy, &args).only_line().processes, 2);
    assert_eq!(psstat(&args).only_line().processes, 2);
}

/// A process that gives up root by itself, as servers do, is owned by root in `/proc` but for
/// its directory (task_dump_owner, fs/proc/base.c).
#[test]
fn a_server_that_gave_up_root_is_its_new_users() {
    if !needs::root() || !needs::is_installed("python3") {
        return;
    }
    const PROGRAM: &str = "
import os, sys
os.setgid(64132)
os.setuid(64132)
print('given up', flush=True)
sys.stdin.read()
";
    let fixture = Fixture::new();
    fixture.start(&["/usr/bin/python3", "-c", PROGRAM]).line();
    let said = psstat(&[&["--user", "his:64132"][..], &AT_ONCE].concat());
    assert_eq!(said.only_line().processes, 1);
}

#[test]
fn a_stale_pid_file_is_warned_of_and_its_process_reported() {
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    let pid_file = fixture.path().join("root.pid");
    std::fs::write(&pid_file, format!("{}\n", root.pid)).expect("written");
    let selector = format!("root:{}", pid_file.display());
    let args = [&["--pid-file", &selector][..], &AT_ONCE].concat();
    let fresh = psstat(&args);
    assert_eq!((fresh.only_line().processes, fresh.stderr.as_str()), (1, ""));

    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let file = std::fs::File::options().write(true).open(&pid_file).expect("one's own file");
    file.set_modified(an_hour_ago).expect("one's own file");
    let stale = psstat(&args);
    assert_eq!(stale.only_line().processes, 1);
    let warning = format!("W! pid file {} may be stale: process {}", pid_file.display(), root.pid);
    assert!(stale.stderr.starts_with(&warning), "{}", stale.stderr);
    assert_eq!(stale.stderr.lines().count(), 1, "{}", stale.stderr);
}
