//! `--exit-records`: short-lived processes, whose parents are outside of their group, count as the kernel says
//! that they used CPU time.

use super::fixture::{Fixture, unique};
use super::meter::PSSTAT;
use super::needs::{self, is_installed, skip};
use super::resident::Resident;
use crate::support::Run;
use crate::support::limit::{self, Limited};
use rustix::thread::CapabilitySet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// The user of the short-lived processes. Nobody else is this one.
const USER: u32 = 54_321;

/// Microseconds per tick.
const TICK: f64 = 0.01;

/// Whether the kernel gives exit records here. It must, to root in the first pid and user namespace.
#[track_caller]
fn are_given() -> bool {
    let set = rustix::thread::capabilities(None).expect("capabilities").effective;
    let is_first = |kind: &str, first: &str| {
        let link = fs::read_link(format!("/proc/self/ns/{kind}")).unwrap_or_default();
        link.to_string_lossy() == format!("{kind}:[{first}]")
    };
    // `PROC_PID_INIT_INO` and `PROC_USER_INIT_INO`, include/linux/proc_ns.h.
    let is_host = is_first("pid", "4026531836") && is_first("user", "4026531837");
    let run = execd(&[PSSTAT], &["--pid=p:1"]);
    if run.status == Some(0) {
        return true;
    }
    let may_ask = set.contains(CapabilitySet::NET_ADMIN) && is_host;
    assert!(!may_ask || run.stderr.contains("no taskstats"), "{run:?}");
    skip(&format!("the kernel gives no exit records: {}", run.stderr.trim()));
    false
}

/// Runs a resident psstat with exit records up to the end of its empty input.
fn execd(through: &[&str], args: &[&str]) -> Run {
    let mut command = Command::new(through[0]);
    command.args(&through[1..]).args(["execd", "--exit-records", "--host="]).args(args);
    Run::of(command.env_remove("HOST_PROC").env_remove("HOST_SYS").stdin(Stdio::null()))
}

/// A shell that runs one short-lived process after the other, as another user, and then waits for its input to
/// end.
struct Loop {
    shell: Child,
    said: BufReader<Limited<std::process::ChildStdout>>,
}

impl Loop {
    fn start(program: &Path, count: u32) -> Loop {
        let work = "i=0; while [ $i -lt 15000 ]; do i=$((i+1)); done";
        let script = format!(
            "n=0; while [ $n -lt {count} ]; do n=$((n+1)); \
             setpriv --reuid={USER} --clear-groups {} -c '{work}'; \
             [ $n -eq {} ] && echo half; done; echo done; read end",
            program.display(),
            count / 2,
        );
        let mut command = Command::new("sh");
        command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = command.spawn().expect("a shell");
        let said = BufReader::new(Limited::new(shell.stdout.take().expect("a pipe")));
        Loop { shell, said }
    }

    fn wait_for(&mut self, word: &str) {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("a word");
        assert_eq!(line.trim_end(), word);
    }

    /// What its children used, in seconds, as the kernel says: `cutime` and `cstime`.
    fn children(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.shell.id())).expect("stat");
        let (_, rest) = stat.rsplit_once(')').expect("a name");
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<u32>().expect("a number");
        f64::from(ticks(13) + ticks(14)) * TICK
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        limit::end(&mut self.shell);
    }
}

#[test]
fn short_lives_count_by_user_name_and_executable() {
    if !needs::root() || !is_installed("setpriv") || !are_given() {
        return;
    }
    let fixture = Fixture::new();
    let name = unique("x");
    let program = fixture.copy_of(Path::new("/bin/sh"), &name);
    let args = [
        "--exit-records",
        "--fields=cpu_time,n_proc",
        &format!("--user=user:{USER}"),
        &format!("--pattern=name:^{name}$"),
        &format!("--exe=exe:{}", program.display()),
    ];
    let mut psstat = Resident::start(&args, 3);
    psstat.sample();
    let mut shell = Loop::start(&program, 200);
    shell.wait_for("half");
    psstat.sample();
    shell.wait_for("done");
    let used = shell.children();
    let lines = psstat.sample();
    // Child time is cut to whole ticks, twice. And a process that has not executed its program yet when the
    // sample in the middle is taken is not seen to belong to the group of its name.
    let tolerance = used / 100.0 + 2.0 * TICK;
    for (line, group) in lines.iter().zip(["user", "name", "exe"]) {
        let counted = line.decimal("cpu_time");
        let is_near = (counted - used).abs() <= tolerance;
        // An old kernel does not tell the executable.
        let is_untold = group == "exe" && counted < used / 2.0 && !tells_executables();
        assert!(is_near || is_untold, "{group}: {counted} s, the kernel says {used} s");
    }
}

/// Whether exit records tell the executable: Linux 5.19 or newer.
fn tells_executables() -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(5), Some(19))
}

#[test]
fn a_process_with_threads_counts_as_a_whole() {
    if !needs::root() || !is_installed("python3") || !are_given() {
        return;
    }
    let fixture = Fixture::new();
    let name = unique("x");
    let program = fixture.path().join(&name);
    // The threads work, and end one after the other.
    let script = "#!/usr/bin/env python3\n\
        import threading, sys\n\
        open('/proc/self/comm', 'w').write(sys.argv[1])\n\
        def work():\n    sum(range(800000))\n\
        all = [threading.Thread(target=work) for _ in range(4)]\n\
        [one.start() for one in all]\n[one.join() for one in all]\n";
    fs::write(&program, script).expect("a script");
    let mut psstat = Resident::start(
        &["--exit-records", "--fields=cpu_time,n_proc", &format!("--pattern=name:^{name}$")],
        1,
    );
    psstat.sample();
    let run = format!(
        "n=0; while [ $n -lt 12 ]; do n=$((n+1)); python3 {} {name}; done; ",
        program.display()
    );
    let script = format!("{run} echo half; echo done; read end");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut shell = command.spawn().expect("a shell");
    let said = BufReader::new(Limited::new(shell.stdout.take().expect("a pipe")));
    let mut shell = Loop { shell, said };
    shell.wait_for("half");
    shell.wait_for("done");
    let used = shell.children();
    let counted = psstat.sample()[0].decimal("cpu_time");
    let tolerance = used / 100.0 + 2.0 * TICK;
    assert!((counted - used).abs() <= tolerance, "{counted} s, the kernel says {used} s");
}

#[test]
fn who_may_not_have_records_is_told_why() {
    if !needs::root() || !is_installed("setpriv") {
        return;
    }
    let copy = Fixture::new();
    let psstat = copy.copy_of(Path::new(PSSTAT), "psstat");
    let psstat = psstat.to_str().expect("UTF-8");
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", psstat];
    let run = execd(&nobody, &["--pid=p:1"]);
    // Where there is no taskstats at all, that is the reason.
    let causes = ["CAP_NET_ADMIN", "no taskstats"];
    assert!(causes.iter().any(|cause| run.stderr.contains(cause)), "{run:?}");
    assert!(
        run.status == Some(1) && run.stdout.is_empty() && run.stderr.starts_with("E! "),
        "{run:?}"
    );
    if !are_given() || !needs::namespaces() {
        return;
    }
    let run = execd(&["unshare", "-mpf", "--mount-proc", psstat], &["--pid=p:1"]);
    run.assert_failed(1, "pid and user namespace of the host");
    let run = execd(&["unshare", "-mpf", psstat], &["--pid=p:1"]);
    assert!(run.status == Some(1) && run.stderr.starts_with("E! --exit-records"), "{run:?}");
    let run = execd(&["unshare", "--net", psstat], &["--pid=p:1"]);
    run.assert_failed(1, "network namespace of the host");
}

#[test]
fn the_right_to_ask_is_given_up() {
    if !needs::root() || !is_installed("setpriv") || !are_given() {
        return;
    }
    let copy = Fixture::new();
    let psstat = copy.copy_of(Path::new(PSSTAT), "psstat");
    let psstat = psstat.to_str().expect("UTF-8");
    // As a unit with AmbientCapabilities= has it, and as root has it.
    let as_user = [
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        "--inh-caps=+net_admin",
        "--ambient-caps=+net_admin",
    ];
    for through in [&as_user[..], &[]] {
        let line = [through, &[psstat, "execd", "--exit-records", "--host=", "--pid=p:1"]].concat();
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("psstat");
        let mut said = BufReader::new(Limited::new(child.stdout.take().expect("a pipe")));
        std::io::Write::write_all(child.stdin.as_mut().expect("a pipe"), b"\n")
            .expect("psstat reads");
        said.read_line(&mut String::new()).expect("a line");
        let threads = fs::read_dir(format!("/proc/{}/task", child.id())).expect("threads");
        let mut count = 0;
        for thread in threads {
            let status = thread.expect("a thread").path().join("status");
            let status = fs::read_to_string(status).expect("a status");
            for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
                let line = status.lines().find_map(|line| line.strip_prefix(set)).expect("a set");
                let bits =
                    u64::from_str_radix(line.trim_start_matches(':').trim(), 16).expect("hex");
                assert_eq!(bits & CapabilitySet::NET_ADMIN.bits(), 0, "{set} {through:?}");
            }
            count += 1;
        }
        assert!(count >= 2, "a thread receives records");
        drop(child.stdin.take());
        limit::end(&mut child);
    }
}
