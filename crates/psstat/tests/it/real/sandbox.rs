//! A resident psstat that has given up what it does not need still measures all it did before. What it has
//! given up is seen from outside.

use super::fixture::{Actor, Fixture, actor_program, unique};
use super::meter::{Line, PSSTAT};
use super::needs::{self, skip};
use super::resident::Resident;
use crate::support::limit::{self, LIMIT, Limited};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// With the default mode, a job reads memory maps of processes, which Landlock forbids. So it is left out.
const MEMORY: &str = "--memory=shared-once";

/// A running `psstat execd` whose messages are read. Requests are SIGHUP.
struct Watched {
    child: Child,
    lines: BufReader<Limited<std::process::ChildStdout>>,
    messages: BufReader<Limited<std::process::ChildStderr>>,
}

impl Watched {
    fn start(through: &[&str], args: &[&str]) -> Watched {
        let is_chosen = args.iter().any(|arg| arg.starts_with("--memory="));
        let memory: &[&str] = if is_chosen { &[] } else { &[MEMORY] };
        let psstat = [PSSTAT, "execd", "--host=", "--timeout=60s"];
        let line = [through, &psstat, memory, args].concat();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).env_remove("HOST_PROC").env_remove("HOST_SYS");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{line:?}: {error}"));
        let lines = BufReader::new(Limited::new(child.stdout.take().expect("a pipe")));
        let messages = BufReader::new(Limited::new(child.stderr.take().expect("a pipe")));
        Watched { child, lines, messages }
    }

    fn request(&mut self) {
        use std::io::Write;
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        stdin.write_all(b"\n").expect("psstat reads");
    }

    fn line(&mut self) -> Line {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        Line::new(line.trim_end())
    }

    fn message(&mut self) -> String {
        let mut line = String::new();
        self.messages.read_line(&mut line).expect("a line");
        line
    }

    fn await_restrictions(&self) {
        let begin = Instant::now();
        while self.restrictions() != ("1".to_owned(), "2".to_owned()) {
            assert!(begin.elapsed() < LIMIT, "it does not restrict itself");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn await_page(&self, page: &Path) {
        let begin = Instant::now();
        while !fs::read_to_string(page).is_ok_and(|text| text.contains("process_name=web")) {
            assert!(begin.elapsed() < LIMIT, "there is no {}", page.display());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The values of `NoNewPrivs` and `Seccomp` in its `status`.
    fn restrictions(&self) -> (String, String) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("a status");
        let value = |key| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap_or("none").trim().to_owned()
        };
        (value("NoNewPrivs:"), value("Seccomp:"))
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        limit::end(&mut self.child);
    }
}

/// Whether the kernel has Landlock, and it is switched on; skips this test where not.
#[track_caller]
fn has_landlock() -> bool {
    let created = landlock::Ruleset::default();
    let status = {
        use landlock::{AccessFs, RulesetAttr, RulesetCreatedAttr as _};
        let rules = created.handle_access(AccessFs::Execute).and_then(landlock::Ruleset::create);
        // Only a thread of its own is restricted, and may still execute what this allows: nothing.
        let tried =
            std::thread::spawn(|| rules.and_then(|rules| rules.no_new_privs(true).restrict_self()));
        tried.join().expect("a thread").map(|status| status.ruleset)
    };
    let has = matches!(status, Ok(landlock::RulesetStatus::FullyEnforced));
    if !has {
        skip("it needs a kernel with Landlock switched on");
    }
    has
}

#[test]
fn a_resident_restricts_itself_unless_told_not_to() {
    let fixture = Fixture::new();
    let config = fixture.path().join("psstat.toml");
    fs::write(&config, "no_sandbox = true\n").expect("a file");
    let config = format!("--config={}", config.display());
    let pid = format!("--pid=web:{}", std::process::id());
    let own = rustix::thread::no_new_privs().expect("prctl");
    let free = (u8::from(own).to_string(), "0".to_owned());
    for selector in [&pid, "--pattern=web:^nobody has it$", "--user=web:no-such-user-5f3a"] {
        for (option, expected) in [
            (&[][..], ("1".to_owned(), "2".to_owned())),
            (&["--no-sandbox"], free.clone()),
            (&[config.as_str()], free.clone()),
        ] {
            // A line that comes in every case.
            let args = [&[selector, "--pid=own:1"], option].concat();
            let mut psstat = Watched::start(&[], &args);
            psstat.request();
            psstat.line();
            assert_eq!(psstat.restrictions(), expected, "{selector} {option:?}");
        }
    }
}

#[test]
fn a_pid_file_is_found_where_it_was_at_the_start() {
    let fixture = Fixture::new();
    let (first, second) = (fixture.actor("first"), fixture.actor("second"));
    for linked in [false, true] {
        let directory = fixture.path().join(format!("pids-{linked}"));
        fs::create_dir(&directory).expect("a directory");
        let file = directory.join("web.pid");
        let path = if linked { fixture.path().join("link.pid") } else { file.clone() };
        if linked {
            symlink(&file, &path).expect("a link");
        }
        fs::write(&file, first.pid.to_string()).expect("a pid file");
        let group = format!("web:{}", path.display());
        let mut psstat = Resident::start(&["--pid-file", &group, MEMORY], 1);
        assert_eq!(psstat.sample()[0].processes, 1);
        fs::remove_file(&file).expect("a pid file");
        assert_eq!(psstat.sample()[0].processes, 0);
        // Written anew, as by a server that is started again.
        fs::write(directory.join("new"), second.pid.to_string()).expect("a pid file");
        fs::rename(directory.join("new"), &file).expect("a pid file");
        assert_eq!(psstat.sample()[0].processes, 1, "linked: {linked}");
    }
}

/// The directory of a pid file may be missing while the server does not run.
#[test]
fn a_directory_of_a_pid_file_that_is_made_later_is_read() {
    let fixture = Fixture::new();
    let server = fixture.actor("server");
    let directory = fixture.path().join("later");
    let file = directory.join("web.pid");
    let group = format!("web:{}", file.display());
    let mut psstat = Resident::start(&["--pid-file", &group, MEMORY], 1);
    assert_eq!(psstat.sample()[0].processes, 0);
    fs::create_dir(&directory).expect("a directory");
    fs::write(&file, server.pid.to_string()).expect("a pid file");
    assert_eq!(psstat.sample()[0].processes, 1);
}

/// One that matches at the start may be a link to another directory.
#[test]
fn pid_files_that_match_a_glob_later_are_read() {
    let fixture = Fixture::new();
    let (first, second) = (fixture.actor("first"), fixture.actor("second"));
    let (directory, elsewhere) = (fixture.path().join("pids"), fixture.path().join("elsewhere"));
    fs::create_dir(&directory).expect("a directory");
    fs::create_dir(&elsewhere).expect("a directory");
    fs::write(elsewhere.join("a"), first.pid.to_string()).expect("a pid file");
    symlink(elsewhere.join("a"), directory.join("a.pid")).expect("a link");
    let group = format!("web:{}/*.pid", directory.display());
    let mut psstat = Resident::start(&["--pid-file", &group, MEMORY], 1);
    assert_eq!(psstat.sample()[0].processes, 1);
    fs::write(directory.join("b.pid"), second.pid.to_string()).expect("a pid file");
    assert_eq!(psstat.sample()[0].processes, 2);
    fs::remove_file(directory.join("a.pid")).expect("a link");
    assert_eq!(psstat.sample()[0].processes, 1);
}

#[test]
fn a_pid_file_that_leads_elsewhere_later_is_refused() {
    if !has_landlock() {
        return;
    }
    let fixture = Fixture::new();
    let server = fixture.actor("server");
    let (directory, elsewhere) = (fixture.path().join("pids"), fixture.path().join("elsewhere"));
    fs::create_dir(&directory).expect("a directory");
    fs::create_dir(&elsewhere).expect("a directory");
    let (file, target) = (directory.join("web.pid"), elsewhere.join("web.pid"));
    fs::write(&file, server.pid.to_string()).expect("a pid file");
    fs::write(&target, server.pid.to_string()).expect("a pid file");
    let file_of_web = format!("web:{}", file.display());
    let args = ["--pid-file", &file_of_web, "--pid=own:1"];
    let mut psstat = Watched::start(&[], &args);
    psstat.request();
    assert_eq!((psstat.line().name.as_str(), psstat.line().name.as_str()), ("web", "own"));
    fs::remove_file(&file).expect("a pid file");
    symlink(&target, &file).expect("a link");
    psstat.request();
    assert_eq!(psstat.line().name, "own");
    let message = psstat.message();
    assert!(message.starts_with("W! no line for web: "), "{message}");
    assert!(message.contains("restart psstat") && message.contains("--no-sandbox"), "{message}");
    // With all rights it follows the link.
    let mut psstat = Watched::start(&[], &[&args[..], &["--no-sandbox"]].concat());
    psstat.request();
    assert_eq!((psstat.line().name.as_str(), psstat.line().name.as_str()), ("web", "own"));
}

#[test]
fn an_output_file_is_replaced_with_each_sample() {
    let fixture = Fixture::new();
    let pid = format!("--pid=web:{}", std::process::id());
    for selector in [&pid, "--pattern=web:^nobody has it$"] {
        let page = fixture.path().join("page");
        let output = format!("--output={}", page.display());
        let mut psstat = Watched::start(&[], &[selector, &output]);
        // The first is that of the start.
        for _ in 0..3 {
            let before = fs::read_to_string(&page).unwrap_or_default();
            psstat.request();
            let begin = Instant::now();
            let is_new = |text: String| !text.is_empty() && text != before;
            while !fs::read_to_string(&page).is_ok_and(is_new) {
                assert!(begin.elapsed() < LIMIT, "{selector}: {before}");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        assert_eq!(psstat.restrictions().0, "1");
        drop(psstat);
        fs::remove_file(&page).expect("a page");
    }
}

#[test]
fn an_output_file_is_not_created_before_there_is_something_to_write() {
    let fixture = Fixture::new();
    let pid = format!("--pid=web:{}", std::process::id());
    let page = fixture.path().join("page");
    let mut psstat = Watched::start(&[], &[&pid, &format!("--output={}", page.display())]);
    let names = || fs::read_dir(fixture.path()).expect("a directory").count();
    psstat.await_restrictions();
    assert_eq!(names(), 0, "neither a page nor a file beside it");
    psstat.request();
    psstat.await_page(&page);
    // A mistake shows at the start all the same.
    let nowhere = fixture.path().join("none/page");
    for output in [nowhere.as_path(), fixture.path(), Path::new("/dev/null")] {
        let mut psstat = Watched::start(&[], &[&pid, &format!("--output={}", output.display())]);
        let message = psstat.message();
        assert!(message.starts_with("E! cannot write --output "), "{message}");
    }
}

#[test]
fn an_output_directory_that_was_replaced_is_reported() {
    if !has_landlock() {
        return;
    }
    let fixture = Fixture::new();
    let pid = format!("--pid=web:{}", std::process::id());
    let directory = fixture.path().join("pages");
    let page = directory.join("page");
    let output = format!("--output={}", page.display());
    for option in [&[][..], &["--no-sandbox"]] {
        fs::create_dir(&directory).expect("a directory");
        let mut psstat = Watched::start(&[], &[&[&*pid, &output], option].concat());
        psstat.request();
        psstat.await_page(&page);
        fs::remove_dir_all(&directory).expect("it is ours");
        psstat.request();
        assert!(psstat.message().contains("directory does not exist"));
        fs::create_dir(&directory).expect("a directory");
        psstat.request();
        if option.is_empty() {
            let message = psstat.message();
            assert!(message.starts_with("E! cannot write --output "), "{message}");
            for text in ["was replaced", "start psstat again", "--no-sandbox"] {
                assert!(message.contains(text), "{text:?} is not in {message}");
            }
            // Whoever has started it can start it again.
            assert_eq!(limit::end(&mut psstat.child).code(), Some(1));
        } else {
            psstat.await_page(&page);
        }
        drop(psstat);
        fs::remove_dir_all(&directory).expect("it is ours");
    }
}

/// A process of another user, and a glob for its executable.
fn server(fixture: &Fixture, through: &[&str]) -> (Actor, String) {
    let name = unique("srv");
    let program = fixture.copy_of(&actor_program(), &name);
    (fixture.actor_of(&program, through, "root"), format!("--exe=web:*/{name}"))
}

#[test]
fn a_restricted_resident_measures_everything() {
    let fixture = Fixture::new();
    let is_root = rustix::process::geteuid().is_root();
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let (server, glob) = server(&fixture, if is_root { &nobody } else { &[] });
    let fields = "--fields=p_cpu,p_mem,n_proc,cpu_time,mem,n_thread,n_zombie,n_fd,io_read,io_write,\
                  faults_major,ctx_switches,uptime";
    let pid = format!("--pid=web:{}", server.pid);
    let cases: [&[&str]; 4] = [
        &[&glob, "--memory=pss"],
        &[&glob, "--multi-threaded"],
        &[&pid, "--memory=pss"],
        &[&pid, "--multi-threaded"],
    ];
    for args in cases {
        let count = |option: &[&str]| {
            let mut psstat = Watched::start(&[], &[args, &[fields], option].concat());
            psstat.request();
            psstat.line();
            server.spawn(&unique("kid"));
            psstat.request();
            let line = psstat.line();
            (line.processes, line.values.matches('=').count())
        };
        let (processes, values) = count(&[]);
        assert_eq!((processes + 1, values), count(&["--no-sandbox"]), "{args:?}");
        assert_eq!(values, 14, "{args:?}");
    }
}

/// Landlock would hide all processes where `hidepid` does not hide them from root.
#[test]
fn root_still_sees_processes_that_are_hidden_from_others() {
    if !needs::namespaces() {
        return;
    }
    let script = "mount -o remount,hidepid=2 proc /proc && \"$@\"; exit $?";
    let through = ["unshare", "-mpf", "--mount-proc", "/bin/sh", "-c", script, "sh"];
    let mut psstat = Watched::start(&through, &["--pid=init:1"]);
    for _ in 0..3 {
        psstat.request();
        assert_eq!(psstat.line().processes, 2, "the shell and psstat");
    }
}

/// Only getent(1) can find him. psstat asks it once a minute.
#[test]
fn getent_finds_a_user_who_is_made_later() {
    if !needs::root() || !needs::namespaces() || !needs::is_installed("/usr/bin/getent") {
        return;
    }
    let fixture = Fixture::new();
    let (passwd, etc) = (fixture.path().join("passwd"), fixture.path().join("etc"));
    fs::copy("/etc/passwd", &passwd).expect("a file");
    fs::create_dir(&etc).expect("a directory");
    let name = unique("usr");
    let script = "mount --bind \"$0\" /etc/passwd && exec \"$@\"";
    let host_etc = format!("HOST_ETC={}", etc.display());
    let passwd = passwd.to_str().expect("UTF-8");
    let through = ["unshare", "-m", "/bin/sh", "-c", script, passwd, "env", &host_etc];
    let user = format!("--user=his:{name}");
    let mut psstat = Watched::start(&through, &[&user, "--pid=own:1"]);
    let begin = Instant::now();
    psstat.request();
    assert_eq!(psstat.line().name, "own");
    assert_eq!(psstat.restrictions(), ("1".to_owned(), "2".to_owned()));
    append(Path::new(passwd), &format!("{name}:x:0:0::/:\n"));
    let mut name = String::new();
    while name != "his" && begin.elapsed().as_secs() < 90 {
        std::thread::sleep(Duration::from_secs(1));
        psstat.request();
        name = psstat.line().name;
        if name == "his" {
            psstat.line();
        }
    }
    assert_eq!(name, "his");
}

fn append(path: &Path, text: &str) {
    use std::io::Write;
    let file = fs::OpenOptions::new().append(true).open(path);
    file.expect("a file").write_all(text.as_bytes()).expect("a file");
}
