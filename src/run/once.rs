//! One sample: the `exec` job.

use crate::account::group::{self, Machine, Report, SHORT, Sampled, State};
use crate::account::memory::{Footprint, MemoryMode};
use crate::account::tree::Tree;
use crate::cache::codec;
use crate::cache::store::Store;
use crate::cli::{Baseline, Job};
use crate::emit::influx;
use crate::error::{Error, Reason};
use crate::procfs::cgroup::ControlGroup;
use crate::procfs::{Buffer, Procfs, Sysfs};
use crate::run::discover::{self, Clocks, warn_of_unreadable};
use crate::run::notes::Notes;
use crate::run::watchdog::Watchdog;
use crate::run::{boot_now, output, wall_now};
use crate::sample::{self, Life, Snapshot, Unreadable};
use crate::units::{BootNanos, Hz, Pid, WallNanos};
use signal_hook::consts::SIGTERM;
use std::cell::OnceCell;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Takes a sample and prints one line per group, or stores the first one.
///
/// # Errors
/// Where `/proc` cannot be read, the cache cannot be kept, or standard output cannot be written.
pub fn run(job: &Job) -> Result<(), Error> {
    let interruptible = end_on_sigterm()?;
    let started = Instant::now();
    let watchdog = Watchdog::new(job, started);
    let mut notes = Notes::default();
    let lines = match &job.baseline {
        Baseline::Cache { dir, name } => {
            let store = Store::new(dir, name);
            with_cache(job, &store, &watchdog, &mut notes)
        }
        Baseline::Wait(wait) => after_waiting(job, *wait, &watchdog, &mut notes),
    };
    notes.flush();
    // From here on whole lines or nothing: what has begun to be written is written to its end.
    interruptible.store(false, Ordering::SeqCst);
    output::print(lines?.as_bytes())
}

/// Lets SIGTERM end the run with status 0, as long as the flag stands.
fn end_on_sigterm() -> Result<Arc<AtomicBool>, Error> {
    let interruptible = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(SIGTERM, 0, Arc::clone(&interruptible))
        .map_err(|error| Error::Failed(format!("cannot handle SIGTERM: {error}")))?;
    Ok(interruptible)
}

fn with_cache(
    job: &Job,
    store: &Store,
    watchdog: &Watchdog,
    notes: &mut Notes,
) -> Result<String, Error> {
    let stored = store.load()?;
    let mut sampler = Sampler::open(job)?;
    let before = match stored.map(|bytes| codec::decode(&bytes)) {
        None => None,
        Some(Ok(state)) => usable(state, &sampler, store, notes),
        Some(Err(refusal)) => {
            notes.warn(format!("cache {}: {refusal}: starting over", store.path().display()));
            None
        }
    };
    let sample = sampler.sample(before.as_ref(), watchdog, notes)?;
    store.save(&codec::encode(&sample.state))?;
    if before.is_none() {
        notes.inform(
            "first run: a baseline is stored, no line is printed; later runs print (--wait 1s \
             prints at once)",
        );
    }
    Ok(influx::lines(&sample.reports, &job.plan.tags, sample.wall))
}

/// A state of another boot, or from the future, bends every rate.
fn usable(state: State, sampler: &Sampler<'_>, store: &Store, notes: &mut Notes) -> Option<State> {
    let reason = if state.boot_id != sampler.boot_id {
        "from before the machine was restarted"
    } else if state.taken > boot_now() {
        "from the future"
    } else {
        return Some(state);
    };
    notes.warn(format!("cache {}: {reason}: starting over", store.path().display()));
    None
}

fn after_waiting(
    job: &Job,
    wait: Duration,
    watchdog: &Watchdog,
    notes: &mut Notes,
) -> Result<String, Error> {
    let mut sampler = Sampler::open(job)?;
    // What is wrong at the first sample is said at the second, where it still is.
    let first = sampler.sample(None, watchdog, &mut Notes::default())?;
    std::thread::sleep(wait);
    let second = sampler.sample(Some(&first.state), watchdog, notes)?;
    Ok(influx::lines(&second.reports, &job.plan.tags, second.wall))
}

/// Says that some members cannot be looked at, because they have no number here.
fn warn_of_foreign(control_groups: &[ControlGroup], notes: &mut Notes) {
    let foreign: u64 = control_groups.iter().map(|group| group.foreign).sum();
    if foreign > 0 {
        notes.warn(format!(
            "{foreign} processes of control groups live in another pid namespace: they count in \
             n_proc and p_cpu, not in p_mem; --proc or HOST_PROC with the host's procfs shows them"
        ));
    }
}

/// Counts the processes that control groups list and `/proc` does not show: they are there.
fn count_hidden(control_groups: &mut [ControlGroup], snapshot: &Snapshot) {
    for group in control_groups {
        let hidden = group.pids.iter().filter(|&&pid| snapshot.find(pid).is_none()).count();
        group.foreign += hidden as u64;
    }
}

/// What takes samples for one job.
struct Sampler<'j> {
    job: &'j Job,
    proc: Procfs,
    boot_id: Vec<u8>,
    machine: Machine,
}

struct Sample {
    reports: Vec<Report>,
    state: State,
    wall: WallNanos,
}

impl<'j> Sampler<'j> {
    fn open(job: &'j Job) -> Result<Sampler<'j>, Error> {
        let proc = Procfs::open(&job.proc)?;
        let mut buffer = Buffer::default();
        let boot_id = proc.boot_id(&mut buffer);
        let machine = Machine {
            hz: Hz(rustix::param::clock_ticks_per_second()),
            page_size: rustix::param::page_size() as u64,
            memory: None,
            processors: None,
        };
        Ok(Sampler { job, proc, boot_id, machine })
    }

    fn sample(
        &mut self,
        before: Option<&State>,
        watchdog: &Watchdog,
        notes: &mut Notes,
    ) -> Result<Sample, Error> {
        let plan = &self.job.plan;
        let (taken, wall) = (boot_now(), wall_now());
        let mut control_groups = if plan.looks_at_control_groups() {
            discover::control_groups(plan, &self.proc, &self.job.sys)
        } else {
            Some(Vec::new())
        };
        let control_groups_seen = control_groups.is_some();
        let mut snapshot = match &control_groups {
            Some(groups) if !plan.looks_at_every_process() => self.read(groups, taken, watchdog)?,
            _ => self.scan(taken, watchdog)?,
        };
        let hidden = self.warn_of_hidden(&snapshot, notes);
        let control_groups = control_groups.get_or_insert_with(|| {
            discover::control_groups_of_processes(plan, &self.proc, &snapshot, notes)
        });
        if hidden {
            count_hidden(control_groups, &snapshot);
        } else {
            warn_of_foreign(control_groups, notes);
        }

        let tree = Tree::new(&snapshot.processes);
        let clocks = Clocks { boot: taken, wall, hz: self.machine.hz };
        let out_of_time = &|| watchdog.out_of_time();
        let roots = discover::roots(plan, &self.proc, &snapshot, clocks, out_of_time, notes);
        if watchdog.out_of_time() {
            return Err(watchdog.error());
        }
        let groups = group::form(plan, &snapshot, &tree, &roots, control_groups);
        let members = group::union(&groups);
        // Made only where somebody asks.
        let known = OnceCell::new();
        sample::reread_early_children(&self.proc, &mut snapshot, &tree, &members, |parent| {
            let known = known.get_or_init(|| before.map(State::child_times).unwrap_or_default());
            match known.binary_search_by_key(&parent.id, |&(id, _)| id) {
                Ok(place) => known[place].1 != parent.times.children,
                Err(_) => true,
            }
        });

        // Nothing is reported of a first sample, so that its memory need not be read.
        let footprints = match before {
            Some(_) => self.footprints(&snapshot, &members, watchdog, notes),
            None => Vec::new(),
        };
        self.bound_short_intervals(before, taken);
        let sampled = Sampled {
            boot_id: &self.boot_id,
            snapshot: &snapshot,
            tree: &tree,
            measured: &members,
            footprints: &footprints,
            control_groups_seen,
        };
        let (reports, state) = group::account(plan, groups, sampled, before, &self.machine);
        Ok(Sample { reports, state, wall })
    }

    fn scan(&self, taken: BootNanos, watchdog: &Watchdog) -> Result<Snapshot, Error> {
        let out_of_time = &|| watchdog.out_of_time();
        let snapshot = if self.job.multi_threaded {
            let readers = std::thread::available_parallelism().map_or(1, NonZero::get);
            sample::scan_in_parallel(&self.proc, taken, out_of_time, readers)
        } else {
            sample::scan(&self.proc, taken, out_of_time)
        };
        let path = self.proc.path().display();
        match snapshot {
            Err(error) => Err(Error::Failed(format!("cannot list the processes: {error}"))),
            Ok(_) if watchdog.out_of_time() => Err(watchdog.error()),
            Ok(snapshot) if snapshot.processes.is_empty() => Err(Error::Failed(format!(
                "no process can be read in {path}: is procfs mounted there? --proc or HOST_PROC \
                 says where"
            ))),
            Ok(snapshot) => Ok(snapshot),
        }
    }

    /// Reads the processes of control groups, and no other.
    fn read(
        &self,
        control_groups: &[ControlGroup],
        taken: BootNanos,
        watchdog: &Watchdog,
    ) -> Result<Snapshot, Error> {
        let mut pids: Vec<Pid> =
            control_groups.iter().flat_map(|group| group.pids.iter().copied()).collect();
        pids.sort_unstable();
        pids.dedup();
        let snapshot = sample::read(&self.proc, &pids, taken, &|| watchdog.out_of_time());
        if watchdog.out_of_time() { Err(watchdog.error()) } else { Ok(snapshot) }
    }

    /// Not visible is not gone: says so where `/proc` shows only some of the processes, and
    /// answers whether it does.
    fn warn_of_hidden(&self, snapshot: &Snapshot, notes: &mut Notes) -> bool {
        // Every pid namespace has a process 1. Where it is not shown, others are not either.
        let hidden = self.proc.is_genuine()
            && snapshot.find(Pid::INIT).is_none()
            && !self.proc.shows(Pid::INIT);
        if hidden {
            notes.warn(format!(
                "{} hides processes of other users (hidepid): run psstat as root, or add its user \
                 to the group of the mount option gid=, or mount with hidepid=0",
                self.proc.path().display()
            ));
            return true;
        }
        let cure = "run psstat as root, or mount procfs with hidepid=0";
        warn_of_unreadable("processes", &snapshot.unreadable, cure, notes);
        false
    }

    /// The memory of each member, in their order.
    fn footprints(
        &mut self,
        snapshot: &Snapshot,
        members: &[usize],
        watchdog: &Watchdog,
        notes: &mut Notes,
    ) -> Vec<Footprint> {
        let mut buffer = Buffer::default();
        match self.proc.mem_total(&mut buffer) {
            Ok(total) => self.machine.memory = Some(total),
            Err(error) => {
                notes.warn(format!("p_mem is left out: {error}"));
                return Vec::new();
            }
        }
        let mut unreadable = Unreadable::default();
        let mut shares_denied = Unreadable::default();
        let mut footprints = Vec::with_capacity(members.len());
        for &place in members {
            if watchdog.out_of_time() {
                notes.warn(format!("{}: p_mem is left out", watchdog.error()));
                self.machine.memory = None;
                return Vec::new();
            }
            let process = &snapshot.processes[place];
            let footprint = if process.life != Life::Alive {
                Footprint::None
            } else {
                let pid = process.id.pid;
                self.footprint(pid, &mut buffer, &mut unreadable, &mut shares_denied)
            };
            footprints.push(footprint);
        }
        warn_of_unreadable(
            "proportional shares of memory",
            &shares_denied,
            "run psstat as root or give it CAP_SYS_PTRACE; until then these count as shared-once",
            notes,
        );
        warn_of_unreadable("sizes of processes", &unreadable, "run psstat as root", notes);
        footprints
    }

    fn footprint(
        &self,
        pid: Pid,
        buffer: &mut Buffer,
        unreadable: &mut Unreadable,
        shares_denied: &mut Unreadable,
    ) -> Footprint {
        if self.job.plan.memory == MemoryMode::Pss {
            match self.proc.pss(pid, buffer) {
                Ok(share) => return Footprint::Proportional(share),
                Err(error) if error.reason == Reason::Vanished => {}
                Err(error) => shares_denied.note(error),
            }
        }
        match self.proc.statm(pid, buffer) {
            Ok(statm) => Footprint::Resident { resident: statm.resident, shared: statm.shared },
            Err(error) => {
                unreadable.note(error);
                Footprint::None
            }
        }
    }

    /// Looks up the number of processors where the interval is so short that it must bound a rate.
    fn bound_short_intervals(&mut self, before: Option<&State>, taken: BootNanos) {
        let is_short =
            before.is_some_and(|state| taken.since(state.taken) < SHORT.nanos(self.machine.hz).0);
        self.machine.processors =
            if is_short { Sysfs::new(&self.job.sys).processors_online() } else { None };
    }
}
