//! Whoever looks only at those processes that can belong to a group finds the same members as who
//! looks at all: on the real kernel, under a storm of births, renames, orphans and kills.
//!
//! Each sample of the one stands between two of the other, because processes come and go
//! meanwhile: what both of those hold it must hold, and what neither holds it must not.

use crate::namespace;
use crate::support::limit::{self, Limited};
use crate::support::{self, copy_program, skip, skip_in_part};
use psstat::blocking::reads::Reads;
use psstat::cli::{self, Invocation};
use psstat::deadline::Deadline;
use psstat::environment::surroundings;
use psstat::job::Job;
use psstat::machine::Machine;
use psstat_core::account::ledger::Member;
use psstat_core::engine::{Engine, Sample};
use psstat_core::model::units::{Hz, ProcId, Ticks};
use psstat_core::state::State;
use rustix::process::{WaitOptions, getpid, set_child_subreaper, wait};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const TEST: &str = "equivalence::partial_samples_find_all_members";

/// In the process that adopts orphans: the directory of its storm.
const REAPER: &str = "PSSTAT_TEST_REAPER";

/// Births that belong to no group; processes that take a name of a group at once, and such as do
/// so late, with children from before; orphans; kills. Ends when there is a file `end`.
const STORM: &str = r#"
noise() {
    while [ ! -e end ]; do /bin/true; done
}
kin() {
    while [ ! -e end ]; do
        ./kin-a -c 'sleep 0.4 & (sleep 0.9 & sleep 0.2) & sleep 0.6; wait' &
        ./kin-b -c 'sleep 0.8 & wait' &
        sleep 0.1
        kill -9 $!
    done
    wait
}
late() {
    while [ ! -e end ]; do
        (sleep 0.3; exec ./late -c 'sleep 1.5; :') &
        (sleep 3 & sleep 0.9; exec ./late -c 'sleep 2.5 & sleep 2; :') &
        sleep 0.7
    done
    wait
}
noise & noise & kin & late &
wait
"#;

/// Everything here comes to be a child of the process that adopts orphans.
const ORPHANS: &str = r#"
while [ ! -e end ]; do
    (sleep 0.3 & (sleep 0.5 & sleep 0.1) & :)
    sleep 0.05
done
"#;

/// What takes a file to say: a group without children, under two conditions.
const ALONE: &str =
    "[[group]]\nname = 'alone'\npattern = '^kin-'\ncmdline = 'sleep'\nchildren = false\n";

/// Processes that nobody asks for, so that there are many to be left alone.
const BYSTANDERS: usize = 300;

#[test]
fn partial_samples_find_all_members() {
    if let Some(directory) = std::env::var_os(REAPER) {
        return adopt_orphans(Path::new(&directory));
    }
    let storm = Storm::new();
    if !namespace::is_inside() {
        compare(&storm, 8);
        drop(storm);
        return namespace::enter(TEST).unwrap_or_else(|reason| skip_in_part(&reason));
    }
    let pid_max = Path::new("/proc/sys/kernel/pid_max");
    if !namespace::has_limits_of_its_own() {
        skip_in_part("kernel.pid_max is the whole machine's here (before Linux 6.14)");
        compare(&storm, 30);
        return;
    }
    // Whole rounds are gone through between two samples.
    fs::write(pid_max, "800").expect("inside, as root");
    compare(&storm, 8);
    // Ends of a round, and never a whole one.
    let limit = 30_000 + namespace::tasks();
    fs::write(pid_max, limit.to_string()).expect("inside, as root");
    namespace::next_pid(limit - 600);
    let mut shortcuts = [0; 2];
    for _ in 0..3 {
        let more = compare(&storm, 12);
        shortcuts = [shortcuts[0] + more[0], shortcuts[1] + more[1]];
        namespace::next_pid(limit - 400);
    }
    // A root that comes late takes a full look.
    let [names, numbers] = shortcuts;
    assert!(names >= 4 && numbers >= 18, "{names} and {numbers} shortcuts taken in 36 samples");
}

#[test]
fn the_processes_of_another_namespace_are_all_looked_at() {
    let mut inner = Command::new("unshare");
    inner.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", "echo; read end"]);
    let spawned = inner.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut inner = spawned.expect("util-linux is there");
    let mut ready = [0];
    let mut stdout = Limited::new(inner.stdout.take().expect("a pipe"));
    if std::io::Read::read_exact(&mut stdout, &mut ready).is_err() {
        skip("cannot make a pid namespace (it takes root and unshare)");
        limit::end(&mut inner);
        return;
    }
    let children = format!("/proc/{0}/task/{0}/children", inner.id());
    let first = fs::read_to_string(children).expect("it is there");
    let proc = format!("--proc=/proc/{}/root/proc", first.trim());
    let job = job(&["--pattern=all:.", &proc]);
    let mut engine = job.engine();
    let first = sample(&mut engine, None);
    assert!(first.state.tracker.is_none(), "{:?}", first.state.tracker);
    let second = sample(&mut engine, Some(&first.state));
    assert_eq!(members(&second).len(), 1);
    drop(inner.stdin.take());
    limit::end(&mut inner);
}

/// A storm that rages, and the process that adopts orphans.
struct Storm {
    directory: PathBuf,
    children: Vec<Child>,
}

impl Storm {
    fn new() -> Storm {
        let directory = tempfile::tempdir().expect("a directory").keep();
        for name in ["kin-a", "kin-b", "late"] {
            copy_program(Path::new("/bin/sh"), &directory.join(name));
        }
        let sh = |script: &str| {
            Command::new("sh").args(["-c", script]).current_dir(&directory).spawn().expect("sh")
        };
        let reaper = Command::new(std::env::current_exe().expect("a path"))
            .args([TEST, "--exact", "--nocapture"])
            .env(REAPER, &directory)
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut children = vec![reaper, sh(STORM)];
        let sleep = |_| Command::new("sleep").arg("1000").spawn().expect("sleep");
        children.extend((0..BYSTANDERS).map(sleep));
        Storm { directory, children }
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        // Not the storm's, whose own children would be left.
        let _ = fs::write(self.directory.join("end"), "");
        for child in &mut self.children[2..] {
            let _ = child.kill();
        }
        for child in &mut self.children {
            limit::end(child);
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Is the process that orphans come to, and waits for all of them.
fn adopt_orphans(directory: &Path) {
    set_child_subreaper(Some(getpid())).expect("Linux 3.4");
    let mut root = Command::new("sh");
    let child = root.args(["-c", ORPHANS]).current_dir(directory).spawn().expect("sh");
    // It is waited for with all others.
    drop(child);
    while wait(WaitOptions::empty()).is_ok() {}
}

/// A command line, from which any number of engines can be made.
struct CommandLine(Vec<String>);

impl CommandLine {
    fn job(&self) -> Job {
        let args = self.0.iter().map(OsString::from);
        match cli::parse(args, &surroundings()) {
            Ok(Invocation::Once(job)) => *job,
            other => panic!("{:?}: {other:?}", self.0),
        }
    }

    /// An engine for one sample after the other, without the files of members kept open.
    fn engine(&self) -> Engine<Machine> {
        let job = self.job();
        let deadline = Deadline::after(job.timeout);
        let machine =
            Machine::open(&job.mounts, job.multi_threaded, deadline, Reads::of_first_thread())
                .expect("procfs");
        Engine::new(machine, job.plan)
    }

    /// An engine as `execd` has it.
    fn resident_engine(&self) -> Engine<Machine> {
        let job = self.job();
        let deadline = Deadline::after(job.timeout);
        let machine =
            Machine::open(&job.mounts, job.multi_threaded, deadline, Reads::of_first_thread())
                .expect("procfs");
        Engine::new(machine.resident(), job.plan).resident()
    }
}

fn job(args: &[&str]) -> CommandLine {
    let fixed = ["psstat", "--timeout=60s", "--host="];
    CommandLine(fixed.iter().chain(args).map(|&arg| arg.to_owned()).collect())
}

fn sample(engine: &mut Engine<Machine>, last: Option<&State>) -> Sample {
    engine.kernel_mut().set_deadline(Deadline::after(Duration::from_secs(60)));
    engine.sample(last).expect("a sample")
}

/// How many processes a sample has read.
fn read(sample: &Sample) -> usize {
    sample.snapshot.processes.len()
}

/// The members of each group.
fn members(sample: &Sample) -> BTreeMap<(String, ProcId), Member> {
    let members = support::members::members(&sample.state.accounts).into_iter();
    members.map(|(label, member)| ((label, member.id), member)).collect()
}

/// One job, sampled in both ways.
struct Both {
    some: Engine<Machine>,
    all: Engine<Machine>,
    state: State,
    /// When each sample began.
    taken: Vec<Ticks>,
    /// In which sample a member was first one, and in how many it was missed since.
    seen: BTreeMap<(String, ProcId), (usize, usize)>,
    shortcuts: usize,
}

impl Both {
    fn new(job: &CommandLine) -> Both {
        let mut some = job.resident_engine();
        let state = sample(&mut some, None).state;
        let all = job.engine();
        let taken = vec![begin(&state)];
        Both { some, all, state, taken, seen: BTreeMap::new(), shortcuts: 0 }
    }

    fn compare(&mut self) {
        let earlier = sample(&mut self.all, None);
        let some = sample(&mut self.some, Some(&self.state));
        let later = sample(&mut self.all, None);
        let now = self.taken.len();
        self.taken.push(begin(&some.state));
        self.shortcuts += usize::from(read(&some) < read(&earlier) * 2 / 3);

        let (was, is, will_be) = (members(&earlier), members(&some), members(&later));
        let lasting: BTreeSet<_> = was.keys().filter(|key| will_be.contains_key(key)).collect();
        for &key in &lasting {
            let (since, missed) = *self.seen.entry(key.clone()).or_insert((now, 0));
            if is.contains_key(key) {
                continue;
            }
            self.seen.insert(key.clone(), (since, missed + 1));
            let top = top(key, &was);
            if top != *key {
                assert!(!is.contains_key(&top), "{key:?} is missing, {top:?} is there");
                continue;
            }
            if key.1.start < self.taken[0] {
                // Born before the first sample: found in rotation.
                continue;
            }
            let age = since - self.taken.partition_point(|&taken| taken < key.1.start).min(since);
            assert!(
                missed < patience(age),
                "{key:?} missing since sample {since} of {now}, at an age of {age}: {missed}"
            );
        }
        for key in is.keys().filter(|key| !was.contains_key(key) && !will_be.contains_key(key)) {
            let was_there = key.1.start < begin(&earlier.state);
            assert!(!(was_there && is_alive(key.1)), "{key:?} is no member");
        }
        self.state = some.state;
    }
}

/// The ancestor by which a member belongs to its group.
fn top(key: &(String, ProcId), members: &BTreeMap<(String, ProcId), Member>) -> (String, ProcId) {
    let mut at = key.clone();
    while let Some(parent) =
        members.keys().find(|other| other.0 == at.0 && other.1.pid == members[&at].parent)
    {
        at = parent.clone();
    }
    at
}

/// For how many samples a process may be missed that took its name so many samples after it was
/// first looked at: until the next power of two. When it started tells its age but for one sample:
/// its number, by which it is looked at, was given out before.
fn patience(age: usize) -> usize {
    (age.saturating_sub(1)..=age + 1)
        .map(|age| age.next_power_of_two().max(1) - age.max(1))
        .max()
        .unwrap_or_default()
}

fn begin(state: &State) -> Ticks {
    Ticks::at(state.accounts.taken, Hz(rustix::param::clock_ticks_per_second()))
}

fn is_alive(id: ProcId) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", id.pid)).unwrap_or_default();
    let behind_name = stat.rfind(')').map_or("", |end| &stat[end..]);
    behind_name.split(' ').nth(20) == Some(&id.start.0.to_string())
}

/// Compares so many samples, of names and of numbers. Tells in how many each left many processes
/// alone.
fn compare(storm: &Storm, samples: usize) -> [usize; 2] {
    let reaper = format!("--pid=reaper:{}", storm.children[0].id());
    let file = storm.directory.join("psstat.toml");
    fs::write(&file, ALONE).expect("a file");
    let alone = format!("--config={}", file.display());
    let names = job(&["--pattern=^kin-", "--pattern=late:^late$", &alone]);
    let jobs = [names, job(&[&reaper])];
    let mut both = [Both::new(&jobs[0]), Both::new(&jobs[1])];
    let mut compared = 0;
    for _ in 0..samples {
        std::thread::sleep(Duration::from_millis(150));
        for both in &mut both {
            both.compare();
        }
        compared += both.iter().map(|both| members_of(&both.state)).sum::<usize>();
    }
    let shortcuts = [both[0].shortcuts, both[1].shortcuts];
    let late = both[0].seen.values().filter(|(_, missed)| *missed > 0).count();
    println!("{samples} samples, {compared} members, {late} found late, {shortcuts:?} shortcuts");
    assert!(compared > 5 * samples, "{compared} members in {samples} samples: there is no storm");
    shortcuts
}

fn members_of(state: &State) -> usize {
    support::members::members(&state.accounts).len()
}
