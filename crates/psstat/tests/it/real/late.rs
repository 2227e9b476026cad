//! Processes that take a matching name, command line or user long after they started. A resident
//! psstat finds them by their CPU clocks.
//!
//! Each test runs in a pid namespace of its own, because the number of processes matters.

use super::fixture::{Actor, Fixture, actor_program, unique};
use super::needs;
use super::resident::Resident;
use crate::namespace;
use crate::support::limit::LIMIT;
use psstat_core::discovery::tracker::ROTATION;
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Among so many processes, a late comer is found in the next sample.
const FEW: usize = 1024;

/// Among more, it is found within so many samples.
const ROUND: usize = 16;

/// How many samples are taken before anything changes. Processes of this age count as old.
const SAMPLES_BEFORE: usize = 20;

/// The clock of a process that runs is up to a tick behind, which is 10 ms if HZ is 100.
const TICKS: Duration = Duration::from_millis(20);

/// How many processes change in each way.
const PER_KIND: usize = 3;

/// The user that some processes change to.
const USER: &str = "64134";

/// How a process comes to match.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// It executes a program of that name.
    Exec,
    /// It changes its name by prctl(2).
    Prctl,
    /// It writes its name into `/proc/self/comm`.
    Comm,
    /// It executes its program again with other arguments.
    Cmdline,
    /// It becomes another user's.
    User,
}

const KINDS: [Kind; 5] = [Kind::Exec, Kind::Prctl, Kind::Comm, Kind::Cmdline, Kind::User];

/// The programs and names of one test.
struct Stage {
    /// The actor, where every user may execute it.
    actor: PathBuf,
    /// The same under a name that matches.
    server: PathBuf,
    /// Names that match, one for each of the first three kinds, and the word in a command line.
    words: [String; 4],
}

impl Stage {
    fn new(fixture: &Fixture) -> Stage {
        let words = ["exec", "prctl", "comm", "word"].map(unique);
        let actor = fixture.copy_of(&actor_program(), "actor");
        let server = fixture.copy_of(&actor_program(), &words[0]);
        Stage { actor, server, words }
    }

    /// The selectors, one for each kind.
    fn selectors(&self) -> Vec<String> {
        let [exec, prctl, comm, word] = &self.words;
        vec![
            format!("--pattern=Exec:^{exec}$"),
            format!("--pattern=Prctl:^{prctl}$"),
            format!("--pattern=Comm:^{comm}$"),
            format!("--cmdline=Cmdline:{word}"),
            format!("--user=User:{USER}"),
        ]
    }

    /// Makes the process match.
    fn change(&self, kind: Kind, process: &Actor) {
        let [_, prctl, comm, word] = &self.words;
        let actor = path(&self.actor);
        match kind {
            Kind::Exec => process.execute(&[path(&self.server), "idle"]),
            Kind::Prctl => drop(process.obey(&format!("name {prctl}"))),
            Kind::Comm => drop(process.obey(&format!("comm {comm}"))),
            Kind::Cmdline => process.execute(&[actor, "idle", word]),
            Kind::User => process.execute(&[
                "setpriv",
                &format!("--reuid={USER}"),
                &format!("--regid={USER}"),
                "--clear-groups",
                actor,
                "idle",
            ]),
        }
        self.await_change(kind, process.pid);
    }

    /// Waits until `/proc` shows the change. A program is executed some time after its order.
    fn await_change(&self, kind: Kind, pid: u32) {
        let [exec, prctl, comm, word] = &self.words;
        let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let contains = |file: &str, text: &str| String::from_utf8_lossy(&read(file)).contains(text);
        let begin = Instant::now();
        while !match kind {
            Kind::Exec => contains("comm", exec),
            Kind::Prctl => contains("comm", prctl),
            Kind::Comm => contains("comm", comm),
            Kind::Cmdline => contains("cmdline", word),
            Kind::User => contains("status", &format!("Uid:\t{USER}")) && contains("comm", "actor"),
        } {
            assert!(begin.elapsed() < LIMIT, "{kind:?}: process {pid} does not change");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The number of processes in this pid namespace.
fn population() -> usize {
    let entries = fs::read_dir("/proc").expect("procfs is mounted");
    let is_pid = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let names = entries.filter_map(|entry| entry.expect("an entry").file_name().into_string().ok());
    names.filter(|name| is_pid(name)).count()
}

/// Among `sleepers` other processes, old ones come to match in every way, one after the other. Each must
/// be found within that many samples. `test` is the name of the test.
fn late_comers_are_found(test: &str, sleepers: usize, samples: usize) {
    if !namespace::is_inside() {
        return namespace::enter(test).unwrap_or_else(|reason| needs::skip(&reason));
    }
    if !needs::clocks_that_show_runs() {
        return;
    }
    let limit = getrlimit(Resource::Nproc).current;
    if limit.is_some_and(|limit| limit < 2 * sleepers as u64) {
        return needs::skip(&format!("only {limit:?} processes are allowed (ulimit -u)"));
    }
    let fixture = Fixture::new();
    let stage = Stage::new(&fixture);
    let crowd = fixture.actor("crowd");
    // Those that change stand among those that do not: psstat goes through them in order of pid.
    let mut late = Vec::new();
    for number in 0..PER_KIND {
        if let Err(error) = crowd.try_to_obey(&format!("sleepers {}", sleepers / PER_KIND)) {
            return needs::skip(&format!("{sleepers} processes are too many: {error}"));
        }
        for kind in KINDS {
            late.push((kind, fixture.actor(&format!("late-{kind:?}-{number}"))));
        }
    }
    let selectors = stage.selectors();
    let mut args: Vec<&str> = selectors.iter().map(String::as_str).collect();
    args.push("--fields=p_cpu,n_proc");
    let mut resident = Resident::start(&args, KINDS.len());
    for _ in 0..SAMPLES_BEFORE {
        for line in resident.sample() {
            assert_eq!(line.processes, 0, "nobody matches yet: {line:?}");
        }
    }
    assert_eq!(population() <= FEW, samples == 1, "{} processes", population());

    // When one is found, psstat reads all processes, to find its children. Then it begins a new round
    // with the smallest pid. So the largest pid comes last.
    late.sort_by_key(|(_, process)| core::cmp::Reverse(process.pid));
    let mut waits = Vec::new();
    let mut expected = vec![0; KINDS.len()];
    for (kind, process) in &late {
        stage.change(*kind, process);
        std::thread::sleep(TICKS);
        expected[*kind as usize] += 1;
        let mut numbers = (0..samples).map(|_| {
            let lines = resident.sample();
            lines.iter().map(|line| line.processes).collect::<Vec<u64>>()
        });
        let wait = numbers.position(|numbers| numbers == expected);
        let wait = wait.unwrap_or_else(|| panic!("{kind:?} is not found: waited {waits:?}"));
        waits.push(wait + 1);
    }
    println!("{} processes; each was found by sample {waits:?}", population());
}

#[test]
fn among_many_processes_a_late_comer_is_found_within_a_round() {
    let test = "real::late::among_many_processes_a_late_comer_is_found_within_a_round";
    late_comers_are_found(test, FEW + 76, ROUND);
}

#[test]
fn among_few_processes_a_late_comer_is_found_in_the_next_sample() {
    let test = "real::late::among_few_processes_a_late_comer_is_found_in_the_next_sample";
    late_comers_are_found(test, 600, 1);
}

/// The file that a process executes can be renamed without the process running. So its clock does not
/// tell, and rotation finds it, among more processes than every sample reads.
#[test]
fn a_process_whose_executable_is_renamed_is_found_in_rotation() {
    let test = "real::late::a_process_whose_executable_is_renamed_is_found_in_rotation";
    if !namespace::is_inside() {
        return namespace::enter(test).unwrap_or_else(|reason| needs::skip(&reason));
    }
    let fixture = Fixture::new();
    let [old, new] = ["old", "new"].map(|name| fixture.path().join(name));
    fs::copy(actor_program(), &old).expect("a copy");
    let _renamed = fixture.actor_of(&old, &[], "renamed");
    let crowd = fixture.actor("crowd");
    if let Err(error) = crowd.try_to_obey("sleepers 400") {
        return needs::skip(&format!("400 processes are too many: {error}"));
    }
    let selector = format!("--exe=renamed:{}", path(&new));
    let mut resident = Resident::start(&[&selector, "--fields=n_proc"], 1);
    let mut processes = || resident.sample()[0].processes;
    for _ in 0..SAMPLES_BEFORE {
        assert_eq!(processes(), 0);
    }
    fs::rename(&old, &new).expect("renamed");
    let found = (0..ROTATION).find(|_| processes() == 1);
    assert!(found.is_some(), "not found in {ROTATION} samples");
}
