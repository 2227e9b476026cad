//! Every kind of system call that psstat makes fails, one at a time, by strace(1). What psstat then does
//! is what SPEC, "Errors", says.
//!
//! A traced run shows which calls psstat makes. For each kind of call, which is its name and what it is
//! about, and for each error that the kernel can return, psstat runs again and that call fails. By default
//! each kind fails in a few ways, which are the same in each run of the test. With `PSSTAT_FAULTS=all`
//! each fails in every way and at every place, which takes some minutes.
//!
//! | module | owns |
//! |---|---|
//! | `calls` | which calls there are, and how each can fail |
//! | `scene` | what is measured: processes of this machine, and a made-up machine |
//! | `verdict` | what psstat may do when a call fails |
//! | `resident` | `psstat execd` while a call fails |
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

mod calls;
mod resident;
mod scene;
mod verdict;

use crate::namespace;
use crate::support::{Run, is_installed, limit, skip};
use calls::Fault;
use scene::Scene;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use verdict::Expected;

/// If it is `all`, each call fails in every way.
const EXTENT: &str = "PSSTAT_FAULTS";

/// How many samples are requested to see which calls there are.
const FEW_REQUESTS: usize = 2;

/// How many are requested while a call fails, so that some follow.
const MANY_REQUESTS: usize = 5;

/// Which run of psstat a call fails in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A run that finds the cache of the run before.
    Later,
    /// A run that finds no cache.
    First,
    /// The same with a configuration file, which a thread of its own reads.
    Configured,
    /// A run with `--wait`.
    Wait,
    /// `psstat execd`.
    Execd,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Later, Kind::First, Kind::Configured, Kind::Wait, Kind::Execd];
}

/// A place where psstat runs: its own cache, and files for strace.
struct Place<'s> {
    scene: &'s Scene,
    number: usize,
    directory: tempfile::TempDir,
    /// The cache of a run that went well.
    good_cache: Vec<u8>,
}

impl Place<'_> {
    fn new(scene: &Scene, number: usize) -> Place<'_> {
        let directory = tempfile::tempdir().unwrap();
        let mut place = Place { scene, number, directory, good_cache: Vec::new() };
        // The third run on finds known processes in its cache.
        place.run(Kind::First).assert_first();
        for _ in 0..2 {
            assert!(!place.run(Kind::Later).lines().is_empty());
        }
        place.good_cache = fs::read(place.cache()).unwrap();
        place
    }

    fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    fn new_cache(&self) -> PathBuf {
        self.directory.path().join("cache.new")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// Puts the cache back as that kind of run is to find it.
    fn restore(&self, kind: Kind) {
        let _ = fs::remove_file(self.new_cache());
        match kind {
            Kind::First => fs::remove_file(self.cache()).unwrap_or_default(),
            _ => fs::write(self.cache(), &self.good_cache).unwrap(),
        }
    }

    /// The command line of that kind of run below `strace` with these options, or on its own.
    fn command(&self, kind: Kind, strace: Option<&[String]>) -> Command {
        let psstat = Path::new(env!("CARGO_BIN_EXE_psstat"));
        let mut command = match strace {
            None => Command::new(psstat),
            Some(options) => {
                let mut command = Command::new("strace");
                command.args(["-f", "-qq", "-o"]).arg(self.log()).args(options).arg(psstat);
                command
            }
        };
        if kind == Kind::Execd {
            command.arg("execd");
        }
        self.scene.add_arguments(&mut command, self.number);
        match kind {
            Kind::Wait => command.arg("--wait=10ms"),
            Kind::Execd => &mut command,
            Kind::Later | Kind::First | Kind::Configured => {
                if kind == Kind::Configured {
                    command.arg("--config").arg(self.scene.config());
                }
                command.arg("--cache-name=cache").arg("--cache-dir").arg(self.directory.path())
            }
        };
        command
    }

    fn run(&self, kind: Kind) -> Run {
        Run::of(&mut self.command(kind, None))
    }

    /// Runs below strace. A resident psstat is asked for that many samples.
    fn trace(&self, kind: Kind, options: &[String], requests: usize) -> Run {
        self.restore(kind);
        let mut command = self.command(kind, Some(options));
        match kind {
            Kind::Execd => resident::run(&mut command, self.scene.expected().count(), requests),
            _ => Run::from(limit::finish(
                command
                    .stdin(std::process::Stdio::null())
                    .stdout(std::process::Stdio::piped())
                    .stderr(std::process::Stdio::piped())
                    .spawn()
                    .unwrap(),
                verdict::LIMIT,
            )),
        }
    }

    /// Lets a call fail. Returns what is wrong with the outcome, and whether the call was made at all.
    fn try_fault(&self, kind: Kind, fault: &Fault) -> (Result<(), String>, bool) {
        let run = self.trace(kind, &fault.options(), MANY_REQUESTS);
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let fault = fault.as_it_happened(&log);
        // psstat does not always make the same calls in the same order.
        let is_judged = !fault.as_ref().is_some_and(Fault::removes_control_group);
        let verdict = is_judged.then(|| verdict::judge(self, kind, fault.as_ref(), &run));
        (verdict.unwrap_or(Ok(())), fault.is_some())
    }
}

/// The calls of that kind of run, and the faults to try.
fn faults(scene: &Scene, kind: Kind, is_all: bool) -> Vec<Fault> {
    let place = Place::new(scene, 0);
    let options = ["-y", "-s", "0"].map(str::to_owned);
    let run = place.trace(kind, &options, FEW_REQUESTS);
    assert_eq!(run.status, Some(0), "{kind:?}: {run:?}");
    let log = fs::read_to_string(place.log()).unwrap();
    let mut calls = calls::read(&log, |text| scene.without_names(text, place.directory.path()));
    if kind == Kind::Configured {
        calls.retain(|call| call.name.starts_with("clone") || call.is_about("SCENE/config"));
    }
    calls::choose(&calls, is_all, matches!(kind, Kind::Later | Kind::Configured))
}

/// Why calls cannot be made to fail here.
fn why_impossible() -> Option<String> {
    let mut probe = Command::new("strace");
    probe.args(["-f", "-qq", "--seccomp-bpf", "-e", "trace=getppid"]);
    probe.args(["-e", "inject=getppid:error=EPERM", "true"]);
    let probe = limit::output(&mut probe).unwrap();
    (!probe.status.success() || !probe.stderr.is_empty()).then(|| format!("{probe:?}"))
}

/// Tries all faults, on as many threads as there are processors. Returns how many calls failed, and what
/// was wrong.
fn try_all(scene: &Scene, kind: Kind, faults: &[Fault]) -> (usize, Vec<String>) {
    let next = AtomicUsize::new(0);
    let failed = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    let work = |number| {
        let place = Place::new(scene, number);
        while let Some(fault) = faults.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (outcome, has_failed) = place.try_fault(kind, fault);
            failed.fetch_add(usize::from(has_failed), Ordering::Relaxed);
            if let Err(reason) = outcome {
                wrong.lock().unwrap().push(format!("{kind:?}, {fault}: {reason}"));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get().min(4));
    std::thread::scope(|scope| {
        for number in 1..=threads {
            let work = &work;
            scope.spawn(move || work(number));
        }
    });
    (failed.into_inner(), wrong.into_inner().unwrap())
}

fn assert_every_fault_is_survived(scene: &Scene, kinds: &[Kind]) {
    let is_all = std::env::var(EXTENT).is_ok_and(|extent| extent == "all");
    let mut wrong = Vec::new();
    for &kind in kinds {
        let begin = std::time::Instant::now();
        let faults = faults(scene, kind, is_all);
        let (failed, found) = try_all(scene, kind, &faults);
        println!(
            "{kind:?}: {failed} of {} faults happened, {} outcomes are wrong, {:.1?}",
            faults.len(),
            found.len(),
            begin.elapsed()
        );
        // Not every run makes the same calls in the same order.
        assert!(failed * 10 > faults.len() * 8, "{kind:?}: few faults happened");
        wrong.extend(found);
    }
    assert!(wrong.is_empty(), "{} outcomes are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_fault_of_the_kernel_makes_figures_of_real_processes_wrong() {
    const TEST: &str = "faults::no_fault_of_the_kernel_makes_figures_of_real_processes_wrong";
    if !is_installed("strace") {
        return;
    }
    // In a namespace there are few other processes, so that each run makes the same calls.
    if !namespace::is_inside() {
        return namespace::enter(TEST).unwrap_or_else(|reason| skip(&reason));
    }
    if let Some(reason) = why_impossible() {
        return skip(&format!("strace may not let calls fail here: {reason}"));
    }
    assert_every_fault_is_survived(&Scene::of_processes(), &Kind::ALL);
}

#[test]
fn no_fault_of_the_kernel_makes_figures_of_a_made_up_machine_wrong() {
    if !is_installed("strace") {
        return;
    }
    if let Some(reason) = why_impossible() {
        return skip(&format!("strace may not let calls fail here: {reason}"));
    }
    assert_every_fault_is_survived(&Scene::made_up(), &Kind::ALL);
}
