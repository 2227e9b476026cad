//! A real Telegraf: it takes every line of psstat through the inputs `exec` and `execd`, its log has what
//! psstat says, and neither of the two leaves the other in trouble when it ends.
//!
//! Each test starts its own Telegraf. Set `TELEGRAF` to the path of its program, or install it in `PATH`.
//! Where there is none, these tests are skipped.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

mod agent;

use crate::names::{self, NAMES, Named};
use crate::servers::TAGS;
use crate::support::limit;
use crate::support::line::{self, Line};
use crate::support::{REPOSITORY, Run, psstat, skip_in_part};
use agent::{Agent, Telegraf, send};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

const EXAMPLES: [&str; 7] = [
    "exec",
    "exec-string",
    "execd-none",
    "execd-sighup",
    "execd-sigusr1",
    "execd-sigusr2",
    "execd-stdin",
];

/// An example of the package, with the paths and the short times of a test. Its lines have its name as the
/// tag `example`.
fn example(name: &str, cache: &Path) -> String {
    let path = format!("{REPOSITORY}/packaging/telegraf/{name}.conf");
    let mut text = fs::read_to_string(path).unwrap();
    let is_exec = !name.starts_with("execd");
    let cache = cache.to_str().unwrap();
    let mut replace = |old: &str, new: &str, is_there: bool| {
        assert_eq!(text.contains(old), is_there, "{old:?} in {name}");
        text = text.replace(old, new);
    };
    replace("/usr/bin/psstat", env!("CARGO_BIN_EXE_psstat"), true);
    replace("/run/psstat", cache, is_exec);
    replace("timeout = \"5s\"", "timeout = \"600s\"", is_exec);
    replace("restart_delay = \"10s\"", "restart_delay = \"10ms\"", !is_exec);
    replace("\"--interval\", \"10s\"", "\"--interval\", \"100ms\"", name == "execd-none");
    // A busy machine is no error.
    let is_list = name != "exec-string";
    replace("\"web:nginx\",", "\"web:nginx\", \"--timeout\", \"5m\",", is_list);
    replace("web:nginx --", "web:nginx --timeout 5m --", !is_list);
    let input = if is_exec { "exec" } else { "execd" };
    format!("{text}  [inputs.{input}.tags]\n    example = \"{name}\"\n")
}

/// A control group of nginx, with this process.
fn nginx_is(pid: &str, sys: &Path) {
    let unit = sys.join("fs/cgroup/system.slice/nginx.service");
    fs::create_dir_all(&unit).unwrap();
    fs::write(sys.join("fs/cgroup/cgroup.controllers"), "cpu memory\n").unwrap();
    for directory in [&sys.join("fs/cgroup"), unit.parent().unwrap(), &unit] {
        fs::write(directory.join("cgroup.procs"), "").unwrap();
        fs::write(directory.join("cpu.stat"), "usage_usec 7\n").unwrap();
    }
    fs::write(unit.join("cgroup.procs"), format!("{pid}\n")).unwrap();
}

/// A shell that waits for its first line, and uses some CPU time before it waits for the next.
struct Worker(Child);

impl Worker {
    fn new() -> Worker {
        let script = "read -r l; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; read -r l";
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script, "python3", "worker"]).stdin(Stdio::piped());
        Worker(shell.spawn().unwrap())
    }

    fn work(&mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        limit::end(&mut self.0);
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn every_example_delivers_lines() {
    let Some(telegraf) = Telegraf::find() else { return };
    let (web, _database, _jobs) = (Named::new(b"nginx"), Named::new(b"postgres"), Worker::new());
    let mut agent = Agent::new(&telegraf);
    nginx_is(&web.pid(), &agent.file("sys"));
    agent.set("HOST_SYS", agent.file("sys"));
    let mut names = EXAMPLES.to_vec();
    if !telegraf.is_new() {
        skip_in_part("exec.conf needs Telegraf 1.39 or newer");
        names.retain(|&name| name != "exec");
    }
    for name in &names {
        let cache = agent.file(&format!("cache-{name}"));
        fs::create_dir(&cache).unwrap();
        agent.configure(name, &example(name, &cache));
    }
    agent.start();
    for name in &names {
        // The second, so that it is known to go on.
        let lines = agent.eventually(name, |agent| {
            let lines = agent.lines().into_iter().filter(|line| line.tag("example") == Some(name));
            Some(lines.collect::<Vec<_>>()).filter(|lines| lines.len() > 3)
        });
        let groups: Vec<&str> = lines.iter().map(Line::name).collect();
        assert_eq!(&groups[..3], ["web", "database", "jobs"], "{name}");
        for line in &lines {
            assert!(line.n_proc() > 0 && line.p_mem().unwrap() > 0.0, "{name}: {line:?}");
            assert!(line.p_cpu().is_some(), "{name}: {line:?}");
        }
    }
    agent.stop();
    assert_eq!(agent.complaints(), [""; 0]);
    let first_runs = agent.log().matches("first run").count();
    assert_eq!(first_runs, usize::from(telegraf.is_new()), "exec.conf shows what psstat says");
}

/// The tags of each line, without the time.
fn tags_of(lines: &[Line]) -> BTreeSet<BTreeMap<String, String>> {
    lines.iter().map(|line| line.tags.iter().cloned().collect()).collect()
}

#[test]
fn names_and_tags_arrive_unchanged() {
    let Some(telegraf) = Telegraf::find() else { return };
    let processes: Vec<Named> = NAMES.iter().map(|(name, _)| Named::new(name)).collect();
    let mut arguments = words(&["--timeout", "5m"]);
    arguments.extend(TAGS.iter().flat_map(|tag| words(&["--tag", tag])));
    arguments.extend(processes.iter().flat_map(|process| words(&["--pid", &process.pid()])));
    let said = Run::of(psstat().args(["--wait", "10ms"]).args(&arguments));
    let said = tags_of(&said.lines());
    for input in ["exec", "execd"] {
        let mut agent = Agent::new(&telegraf);
        let cache = agent.file("cache");
        fs::create_dir(&cache).unwrap();
        let own = words(&["--cache-dir", cache.to_str().unwrap()]);
        agent.configure(
            "psstat",
            &match input {
                "exec" => telegraf.exec(&[&own[..], &arguments].concat()),
                _ => Telegraf::execd(&arguments),
            },
        );
        agent.start();
        let groups = names::expected().len();
        let lines = agent.eventually("two samples", |agent| {
            Some(agent.lines()).filter(|lines| lines.len() >= 2 * groups)
        });
        agent.stop();
        let (first, second) = (&lines[..groups], &lines[groups..2 * groups]);
        for sample in [first, second] {
            assert_eq!(names::found(sample), names::expected(), "{input}");
            assert_eq!(tags_of(sample), said, "{input}");
            assert!(sample.iter().all(|line| line.time == sample[0].time), "{input}");
        }
        assert_eq!(agent.complaints(), [""; 0], "{input}");
    }
}

#[test]
fn the_tag_host_is_that_of_psstat_unless_it_is_empty() {
    let Some(telegraf) = Telegraf::find() else { return };
    let mut agent = Agent::new(&telegraf);
    let pid = std::process::id();
    let group = |name: &str| format!("--pid={name}:{pid}");
    agent.configure("default", &Telegraf::execd(&[group("default")]));
    agent.configure("given", &Telegraf::execd(&[group("given"), "--host=of-psstat".to_owned()]));
    agent.configure("empty", &Telegraf::execd(&[group("empty"), "--host=".to_owned()]));
    agent.start();
    let own = rustix::system::uname().nodename().to_str().unwrap().to_owned();
    for (name, host) in [("default", &*own), ("given", "of-psstat"), ("empty", "of-telegraf")] {
        assert_eq!(agent.await_line(name).tag("host"), Some(host), "{name}");
    }
}

/// Telegraf with a job for each input, which measure the CPU time of a worker.
fn with_both_inputs<'t>(telegraf: &'t Telegraf, worker: &Worker) -> Agent<'t> {
    let agent = Agent::new(telegraf);
    let cache = agent.file("cache");
    fs::create_dir(&cache).unwrap();
    let fields = "--fields=n_proc,cpu_time";
    let pid = worker.0.id();
    let exec = [format!("--pid=exec:{pid}"), format!("--cache-dir={}", cache.display())];
    let exec = [words(&[fields, "--timeout=5m"]), exec.to_vec()].concat();
    agent.configure("exec", &telegraf.exec(&exec));
    agent.configure("execd", &Telegraf::execd(&[format!("--pid=execd:{pid}"), fields.to_owned()]));
    agent
}

fn cpu_time(line: &Line) -> f64 {
    line.value("cpu_time").unwrap()
}

/// Waits until each job has counted what the worker has used, and returns that.
fn counted(agent: &Agent, worker: &mut Worker) -> f64 {
    for name in ["exec", "execd"] {
        agent.await_line(name);
    }
    worker.work();
    let used = |name: &str| {
        agent.eventually("CPU time", |agent| {
            let last = agent.lines_of(name).pop()?;
            (cpu_time(&last) > 0.0).then(|| cpu_time(&last))
        })
    };
    used("execd");
    used("exec")
}

#[test]
fn a_reload_takes_the_new_configuration_and_keeps_the_baseline() {
    let Some(telegraf) = Telegraf::find() else { return };
    let mut worker = Worker::new();
    let mut agent = with_both_inputs(&telegraf, &worker);
    agent.start();
    let before = counted(&agent, &mut worker);
    let old = agent.eventually("execd", |agent| Some(agent.jobs()).filter(|jobs| !jobs.is_empty()));
    let own = format!("--pid=later:{}", std::process::id());
    agent.configure("later", &Telegraf::execd(&[own]));
    agent.signal(Signal::HUP);
    agent.await_line("later");
    for name in ["exec", "execd"] {
        agent.await_line(name);
    }
    agent.await_end(&old);
    // Only an `exec` that kept its baseline still knows what the worker used before.
    assert!(cpu_time(&agent.await_line("exec")) >= before, "{before}");
    agent.stop();
    assert_eq!(agent.complaints(), [""; 0]);
}

#[test]
fn a_restart_keeps_the_baseline() {
    let Some(telegraf) = Telegraf::find() else { return };
    let mut worker = Worker::new();
    let mut agent = with_both_inputs(&telegraf, &worker);
    agent.start();
    let before = counted(&agent, &mut worker);
    agent.stop();
    agent.start();
    assert!(cpu_time(&agent.await_line("exec")) >= before, "{before}");
    agent.await_line("execd");
    agent.stop();
    assert_eq!(agent.complaints(), [""; 0]);
}

/// Telegraf with one psstat, whose group `own` has this process.
fn with_own_group(telegraf: &Telegraf) -> Agent<'_> {
    let agent = Agent::new(telegraf);
    let own = format!("--pid=own:{}", std::process::id());
    agent.configure("psstat", &Telegraf::execd(&[own]));
    agent
}

#[test]
fn a_killed_psstat_is_started_again() {
    let Some(telegraf) = Telegraf::find() else { return };
    let mut agent = with_own_group(&telegraf);
    agent.start();
    agent.await_line("own");
    for _ in 0..3 {
        let killed = agent.await_jobs(1);
        send(killed[0], Signal::KILL);
        agent.await_end(&killed);
        assert_ne!(agent.await_jobs(1), killed);
        agent.await_line("own");
    }
    assert_eq!(agent.log().matches("signal: killed").count(), 3, "{}", agent.log());
    agent.stop();
}

#[test]
fn psstat_ends_with_a_telegraf_that_is_killed() {
    let Some(telegraf) = Telegraf::find() else { return };
    let mut agent = Agent::new(&telegraf);
    let ways = EXAMPLES.into_iter().filter(|name| name.starts_with("execd"));
    let count =
        ways.map(|name| agent.configure(name, &example(name, Path::new("/nowhere")))).count();
    agent.start();
    agent.await_line("jobs");
    agent.await_jobs(count);
    agent.kill();
    agent.await_jobs(0);
}

/// As systemd does with `KillMode=control-group`: it tells the main process, then all others.
#[test]
fn both_end_if_both_are_told_to() {
    let Some(telegraf) = Telegraf::find() else { return };
    let mut agent = with_own_group(&telegraf);
    for _ in 0..5 {
        agent.start();
        agent.await_line("own");
        let jobs = agent.await_jobs(1);
        agent.signal(Signal::TERM);
        send(jobs[0], Signal::TERM);
        agent.finish();
        // Neither this one nor another that Telegraf has started instead.
        agent.await_jobs(0);
    }
    // Telegraf may notice the end of psstat, a good one, before it stops it itself.
    let noticed = [" exited: <nil>", "writing to stdin failed: write |1: broken pipe"];
    let is_that = |line: &String| noticed.iter().any(|end| line.ends_with(end));
    let complaints = agent.complaints();
    assert!(complaints.iter().all(is_that), "{complaints:#?}");
}

/// What Telegraf has lost of what psstat said at its ends, or what it complained of.
struct Loss {
    lost: usize,
    of: usize,
    log: String,
}

/// Telegraf has 100 ms to read what psstat says at its end. On a busy machine it may wait longer than that for
/// a processor, so one of some attempts must succeed. Without the 100 ms, none does: each has many ends of psstat,
/// and Telegraf loses what about half of them, or all, have said. If it loses only one of those, and says itself that
/// it could not read, the machine is too busy to tell.
#[track_caller]
fn one_attempt_succeeds(attempt: impl Fn() -> Result<(), Loss>) {
    let mut losses = Vec::new();
    for _ in 0..8 {
        match attempt() {
            Ok(()) => return,
            Err(loss) => losses.push(loss),
        }
    }
    let is_of_telegraf = |loss: &&Loss| loss.lost == 1 && loss.log.contains("read |0");
    if let Some(loss) = losses.iter().find(is_of_telegraf) {
        skip_in_part(&format!(
            "Telegraf did not read {} of {} messages in time: the machine is too busy",
            loss.lost, loss.of
        ));
        return;
    }
    let last = losses.pop().unwrap();
    panic!("{} of {} are lost:\n{}", last.lost, last.of, last.log);
}

#[test]
fn stops_are_quiet() {
    const STOPS: usize = 15;
    let Some(telegraf) = Telegraf::find() else { return };
    one_attempt_succeeds(|| {
        let mut agent = with_own_group(&telegraf);
        for _ in 0..STOPS {
            agent.start();
            agent.await_line("own");
            agent.stop();
            agent.await_jobs(0);
        }
        let errors = agent.log_of(" E! ");
        let loss = Loss { lost: errors.len(), of: STOPS, log: errors.join("\n") };
        if errors.is_empty() { Ok(()) } else { Err(loss) }
    });
}

/// What psstat says before it ends, in each of its starts.
#[test]
fn the_log_says_why_psstat_has_ended() {
    const STARTS: usize = 10;
    let Some(telegraf) = Telegraf::find() else { return };
    let cases: [(&[&str], i32, &str); 4] = [
        (&["--pid=1", "--nonsense"], 2, "unexpected argument '--nonsense'"),
        (&[], 2, "nothing to measure"),
        (&["--config=/no/such.toml"], 2, "cannot read --config /no/such.toml"),
        (&["--pid=1", "--proc=/no/such"], 1, "/no/such"),
    ];
    for (arguments, status, reason) in cases {
        let arguments = words(arguments);
        one_attempt_succeeds(|| {
            let mut agent = Agent::new(&telegraf);
            agent.configure("psstat", &Telegraf::execd(&arguments));
            agent.start();
            let exited = format!("exited: exit status {status}\n");
            let log = agent.eventually("starts", |agent| {
                let log = agent.log();
                let (end, _) = log.match_indices(&exited).nth(STARTS - 1)?;
                Some(log[..end].to_owned())
            });
            let said = log.lines().filter(|line| line.contains("E! [inputs.execd] "));
            let said = said.filter(|line| line.contains(reason)).count();
            if said == STARTS {
                Ok(())
            } else {
                Err(Loss { lost: STARTS.saturating_sub(said), of: STARTS, log })
            }
        });
        // Each `exec` that fails is an error with the reason in it.
        let mut agent = Agent::new(&telegraf);
        agent.configure("psstat", &telegraf.exec(&arguments));
        agent.start();
        let failed = format!("exec: exit status {status} for command");
        let errors = agent.eventually("an error", |agent| {
            Some(agent.log_of(&failed)).filter(|errors| !errors.is_empty())
        });
        assert!(errors.iter().all(|line| line.contains(reason)), "{errors:?}");
    }
}

#[test]
fn warnings_are_in_the_log() {
    let Some(telegraf) = Telegraf::find() else { return };
    let warning = "/no/such.pid";
    let arguments = words(&["--pid-file", "web:/no/such.pid"]);
    let mut agent = Agent::new(&telegraf);
    agent.configure("execd", &Telegraf::execd(&arguments));
    agent.start();
    agent.await_line("web");
    agent.stop();
    let complaints = agent.complaints();
    assert_eq!(complaints.len(), 1, "once while it lasts: {complaints:?}");
    assert!(complaints[0].contains("W! [inputs.execd] ") && complaints[0].contains(warning));
    if !telegraf.is_new() {
        skip_in_part("exec shows warnings with Telegraf 1.39 or newer");
        return;
    }
    let mut agent = Agent::new(&telegraf);
    let cache = words(&["--timeout=5m", "--cache-dir", agent.directory().to_str().unwrap()]);
    agent.configure("exec", &telegraf.exec(&[cache, arguments].concat()));
    agent.start();
    agent.await_line("web");
    agent.stop();
    let complaints = agent.complaints();
    let of_exec = |line: &String| line.contains("W! [inputs.exec] ") && line.contains(warning);
    assert!(!complaints.is_empty() && complaints.iter().all(of_exec), "{complaints:?}");
}

#[test]
fn telegraf_test_shows_lines_the_second_time() {
    let Some(telegraf) = Telegraf::find() else { return };
    let agent = Agent::new(&telegraf);
    let own = format!("--pid=own:{}", std::process::id());
    let cache = words(&["--timeout=5m", "--cache-dir", agent.directory().to_str().unwrap()]);
    agent.configure("psstat", &telegraf.exec(&[cache, words(&[&own])].concat()));
    let shown = || {
        let (out, log) = agent.test();
        let lines: String = out
            .lines()
            .filter_map(|line| line.strip_prefix("> ").map(|line| format!("{line}\n")))
            .collect();
        (line::read(lines.as_bytes()), log)
    };
    let (lines, log) = shown();
    assert_eq!(lines, []);
    assert_eq!(log.contains("I! [inputs.exec] first run"), telegraf.is_new(), "{log}");
    for _ in 0..2 {
        let (lines, log) = shown();
        let groups: Vec<&str> = lines.iter().map(Line::name).collect();
        assert_eq!(groups, ["own"], "{log}");
    }
    // Or the first time, with --wait or execd.
    let waiting = telegraf.exec(&words(&["--wait=100ms", "--timeout=5m", &own]));
    for inputs in [waiting, Telegraf::execd(&[own])] {
        agent.configure("psstat", &inputs);
        let (lines, log) = shown();
        assert_eq!(lines.iter().map(Line::name).collect::<Vec<_>>(), ["own"], "{log}");
    }
}
