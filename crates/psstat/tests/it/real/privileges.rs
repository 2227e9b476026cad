//! psstat with more rights than its caller: a copy with file capabilities, run by a user who may nothing.
//! It must read for him what needs a capability below `/proc`, and nothing else.

use super::fixture::{Actor, Fixture, actor_program, unique};
use super::meter::PSSTAT;
use super::needs::{self, is_installed, skip};
use crate::support::Run;
use crate::support::limit::{self, Limited};
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A user who may nothing.
const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

/// What the files contain that nobody may read.
const SECRET: &str = "secret-5f3a";

/// A copy of psstat with file capabilities.
struct Capable {
    fixture: Fixture,
    copy: PathBuf,
}

impl Capable {
    /// `None`, and the test is skipped, where there can be no such copy.
    #[track_caller]
    fn new() -> Option<Capable> {
        if !needs::root() || !is_installed("setcap") {
            return None;
        }
        let fixture = Fixture::new();
        let copy = fixture.copy_of(Path::new(PSSTAT), "psstat");
        let mut setcap = Command::new("setcap");
        let set = setcap.arg("cap_sys_ptrace,cap_dac_read_search,cap_net_raw=ep").arg(&copy);
        let set = limit::output(set).expect("setcap");
        if !set.status.success() {
            let error = String::from_utf8_lossy(&set.stderr);
            skip(&format!("it needs a file system with file capabilities: {}", error.trim()));
            return None;
        }
        // The kernel ignores them under no_new_privs, and on a mount with nosuid.
        let flags = rustix::fs::statvfs(&copy).expect("a file").f_flag;
        let own = rustix::thread::no_new_privs().expect("prctl");
        if own || flags.contains(rustix::fs::StatVfsMountFlags::NOSUID) {
            skip("it needs a temporary directory without nosuid, and no no_new_privs");
            return None;
        }
        Some(Capable { fixture, copy })
    }

    /// A command that runs the copy as nobody.
    fn command(&self) -> Command {
        let mut command = Command::new(NOBODY[0]);
        command.args(&NOBODY[1..]).arg(&self.copy);
        command.env_remove("HOST_PROC").env_remove("HOST_SYS").stdin(Stdio::null());
        command
    }

    fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Run {
        let mut command = self.command();
        Run::of(command.args(["--host=", "--timeout=60s"]).args(args))
    }

    /// A file of root's that nobody may read.
    fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.fixture.path().join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its mode");
        path
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn a_private_configuration_file_is_not_read_for_the_caller() {
    let Some(psstat) = Capable::new() else { return };
    let secret = psstat.secret("secret.toml", &format!("{SECRET} = 1\n"));
    let link = psstat.fixture.path().join("link.toml");
    symlink(&secret, &link).expect("a link");
    for path in [&secret, &link, Path::new("/etc/shadow")] {
        for command in [&["check"][..], &[], &["execd"]] {
            let args = [command, &["--config", text(path)]].concat();
            let run = psstat.run(args);
            run.assert_failed(2, "Permission denied");
            assert!(!run.stderr.contains(SECRET), "{run:?}");
        }
    }
}

#[test]
fn a_private_pid_file_is_not_read_for_the_caller() {
    let Some(psstat) = Capable::new() else { return };
    let pid = std::process::id().to_string();
    let private = psstat.secret("private.pid", &pid);
    let closed = psstat.secret("closed.pid", &pid);
    fs::set_permissions(&closed, Permissions::from_mode(0o000)).expect("its mode");
    let link = psstat.fixture.path().join("link.pid");
    symlink(&private, &link).expect("a link");
    let hidden = psstat.fixture.path().join("hidden");
    fs::create_dir(&hidden).expect("a directory");
    fs::write(hidden.join("pid"), &pid).expect("a pid file");
    fs::set_permissions(&hidden, Permissions::from_mode(0o700)).expect("its mode");
    for path in [private, closed, link, hidden.join("pid")] {
        let group = format!("web:{}", text(&path));
        let run = psstat.run(["--pid-file", &group, "--wait=10ms"]);
        assert!(run.lines().is_empty(), "{path:?}: {run:?}");
        assert!(run.stderr.starts_with("W! no line for web: "), "{path:?}: {run:?}");
        assert!(!run.stderr.contains(&pid), "{path:?}: {run:?}");
    }
}

#[track_caller]
fn assert_tells_nothing(run: &Run) {
    assert!(!run.stderr.contains(SECRET) && run.stdout.is_empty(), "{run:?}");
}

/// A directory of the caller's can have a link to any file in the place of each file of procfs.
#[test]
fn a_procfs_of_the_callers_choice_is_read_with_his_rights() {
    let Some(psstat) = Capable::new() else { return };
    let made_up = psstat.fixture.path().join("proc");
    fs::create_dir_all(made_up.join("77")).expect("a directory");
    let stat = format!("77 ({SECRET}) S 0 77 77 0 -1 0 {}", "0 ".repeat(44));
    let stat = psstat.secret("stat", &stat);
    let line = psstat.secret("cmdline", &format!("{SECRET}\0"));
    for (name, target) in [("stat", &stat), ("cmdline", &line), ("statm", &stat), ("io", &stat)] {
        symlink(target, made_up.join("77").join(name)).expect("a link");
    }
    fs::write(made_up.join("meminfo"), "MemTotal: 1000 kB\n").expect("a file");
    let all = ["--pattern=.", "--cmdline=secret", "--wait=10ms", "--fields=n_proc,io_read"];
    let proc = format!("--proc={}", text(&made_up));
    let run = psstat.run([&all[..], &[&proc]].concat());
    assert_tells_nothing(&run);
    let mut command = psstat.command();
    command.args(["--host=", "--timeout=60s"]).args(all).env("HOST_PROC", &made_up);
    let run = Run::of(&mut command);
    assert_tells_nothing(&run);
    // The test would tell nothing if the files could not be read by those who may.
    let mut command = Command::new(PSSTAT);
    let run = Run::of(command.args(["--host="]).args(all).arg(&proc));
    assert!(String::from_utf8_lossy(&run.stdout).contains(SECRET), "{run:?}");
}

#[test]
fn the_kernels_procfs_under_another_name_is_too() {
    let Some(psstat) = Capable::new() else { return };
    let (_server, glob) = server(&psstat);
    let link = psstat.fixture.path().join("proc");
    symlink("/proc", &link).expect("a link");
    let args = ["--exe", &glob, "--wait=10ms"];
    for proc in ["/proc", "/proc/1/..", text(&link)] {
        let run = psstat.run([&args[..], &["--proc", proc]].concat());
        assert!(run.lines().is_empty(), "{proc}: {run:?}");
        let advice = "psstat has CAP_SYS_PTRACE, and does not use it with --proc or HOST_PROC";
        assert!(run.stderr.contains(advice), "{proc}: {run:?}");
        let mut command = psstat.command();
        let run = Run::of(command.args(["--host="]).args(args).env("HOST_PROC", proc));
        assert!(run.lines().is_empty(), "{proc}: {run:?}");
    }
}

#[test]
fn a_right_that_has_no_effect_is_explained() {
    let Some(psstat) = Capable::new() else { return };
    let (_server, glob) = server(&psstat);
    let args = ["--exe", &glob, "--wait=10ms"];
    let mut command = Command::new(NOBODY[0]);
    command.args(&NOBODY[1..]).args(["setpriv", "--no-new-privs"]).arg(&psstat.copy).args(args);
    let run = Run::of(command.env_remove("HOST_PROC"));
    assert!(run.stderr.contains("NoNewPrivileges="), "{run:?}");
    // Without the restriction it has the right.
    assert!(!psstat.run(args).stderr.contains("NoNewPrivileges="));
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_ptrace", PSSTAT]).args(args).env_remove("HOST_PROC");
    let run = Run::of(&mut command);
    assert!(run.stderr.contains("as root without CAP_SYS_PTRACE"), "{run:?}");
}

#[test]
fn files_are_written_with_the_rights_of_the_caller() {
    let Some(psstat) = Capable::new() else { return };
    let closed = psstat.fixture.path().join("closed");
    fs::create_dir(&closed).expect("a directory");
    let output = format!("--output={}", text(&closed.join("page")));
    psstat.run(["--pid=1", "--wait=10ms", &output]).assert_failed(1, "Permission denied");
    let cache = format!("--cache-dir={}", text(&closed));
    psstat.run(["--pid=1", &cache]).assert_failed(1, "Permission denied");
    assert_eq!(fs::read_dir(&closed).expect("a directory").count(), 0);
}

/// A process of root's, and a glob for its executable.
fn server(psstat: &Capable) -> (Actor, String) {
    let name = unique("srv");
    let program = psstat.fixture.copy_of(&actor_program(), &name);
    (psstat.fixture.actor_of(&program, &[], "root"), format!("server:*/{name}"))
}

/// What the administrator has granted: figures of processes of all users.
#[test]
fn what_needs_a_capability_below_proc_is_read() {
    let Some(psstat) = Capable::new() else { return };
    let (server, glob) = server(&psstat);
    let fields = "--fields=n_proc,p_mem,io_read,io_write,n_fd";
    for more in [&[][..], &["--multi-threaded"]] {
        let args = ["--exe", &glob, "--memory=pss", "--wait=10ms", fields];
        let run = psstat.run([&args[..], more].concat());
        let line = run.line();
        assert_eq!((line.name(), line.n_proc()), ("server", 1), "{run:?}");
        for key in ["p_mem", "io_read", "io_write", "n_fd"] {
            assert!(line.value(key).is_some(), "{key}: {run:?}");
        }
        assert!(line.p_mem().is_some_and(|part| part > 0.0), "{run:?}");
    }
    // Without the capabilities he sees nothing of it.
    let plain = psstat.fixture.copy_of(Path::new(PSSTAT), "plain");
    let mut command = Command::new(NOBODY[0]);
    command.args(&NOBODY[1..]).arg(plain).args(["--host=", "--exe", &glob, "--wait=10ms"]);
    assert!(Run::of(&mut command).lines().is_empty());
    drop(server);
}

#[test]
fn processes_that_are_hidden_are_found() {
    let Some(psstat) = Capable::new() else { return };
    if !needs::namespaces() {
        return;
    }
    for option in ["hidepid=1", "hidepid=2"] {
        let script = "mount -o \"remount,$0\" proc /proc && \"$@\"; exit $?";
        let mut command = Command::new("unshare");
        command.args(["-mpf", "--mount-proc", "/bin/sh", "-c", script, option]);
        command.args(NOBODY).arg(&psstat.copy);
        command.args(["--host=", "--pattern=shells:^sh$", "--wait=50ms", "--memory=pss"]);
        let run = Run::of(command.env_remove("HOST_PROC"));
        // The shell and psstat.
        assert_eq!(run.line().n_proc(), 2, "{option}: {run:?}");
    }
}

/// Nothing is effective between two samples, and the caller cannot look into the process.
#[test]
fn no_capability_is_effective_at_rest() {
    let Some(psstat) = Capable::new() else { return };
    let (_server, glob) = server(&psstat);
    let mut command = psstat.command();
    command.args(["execd", "--host=", "--timeout=60s", "--exe", &glob, "--memory=pss"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("psstat");
    let mut requests = child.stdin.take().expect("a pipe");
    let mut said = BufReader::new(Limited::new(child.stdout.take().expect("a pipe")));
    requests.write_all(b"\n").expect("psstat reads");
    let mut line = String::new();
    said.read_line(&mut line).expect("a line");
    assert!(line.contains("n_proc=1i"), "{line}");
    let path = format!("/proc/{}/status", child.id());
    let status = fs::read_to_string(&path).expect("a status");
    let set = |key: &str| {
        let mut lines = status.lines().filter_map(|line| line.strip_prefix(key));
        let value = lines.next().expect("a line").trim_start_matches(':').trim();
        u64::from_str_radix(value, 16).expect("a set")
    };
    assert_eq!((set("CapEff"), set("CapInh"), set("CapAmb")), (0, 0, 0), "{status}");
    // CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE. CAP_NET_RAW is given up.
    assert_eq!(set("CapPrm"), 1 << 2 | 1 << 19, "{status}");
    // The files of a process that may not be dumped belong to root (proc(5)).
    assert_eq!(fs::metadata(&path).expect("a status").uid(), 0);
    drop(requests);
    limit::end(&mut child);
}

/// The ambient set is the caller's own: nothing is set aside.
#[test]
fn capabilities_of_the_caller_stay_effective() {
    let Some(psstat) = Capable::new() else { return };
    let (_server, glob) = server(&psstat);
    let plain = psstat.fixture.copy_of(Path::new(PSSTAT), "plain");
    let ambient = ["--inh-caps=+sys_ptrace", "--ambient-caps=+sys_ptrace"];
    for variable in [None, Some("/proc")] {
        let mut command = Command::new(NOBODY[0]);
        command.args(&NOBODY[1..]).args(ambient).arg(&plain);
        command.args(["--host=", "--exe", &glob, "--memory=pss", "--wait=10ms"]);
        command.env_remove("HOST_PROC").envs(variable.map(|path| ("HOST_PROC", path)));
        let run = Run::of(&mut command);
        assert_eq!(run.line().n_proc(), 1, "{variable:?}: {run:?}");
    }
}

#[test]
fn a_setuid_or_setgid_psstat_does_not_run() {
    let Some(psstat) = Capable::new() else { return };
    for mode in [0o4755, 0o2755] {
        let copy = psstat.fixture.copy_of(Path::new(PSSTAT), &format!("psstat-{mode:o}"));
        fs::set_permissions(&copy, Permissions::from_mode(mode)).expect("its mode");
        for args in [&["--version"][..], &["--pid=1", "--wait=10ms"]] {
            let mut command = Command::new(NOBODY[0]);
            let run = Run::of(command.args(&NOBODY[1..]).arg(&copy).args(args));
            run.assert_failed(1, "setuid or setgid");
        }
    }
}
