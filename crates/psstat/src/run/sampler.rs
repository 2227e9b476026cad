//! Takes samples: decides which processes to look at, reads what the plan needs of them, and hands
//! it to the accounting.

use crate::account::group::{self, Machine, Report, SHORT, Sampled, State};
use crate::account::tree::Tree;
use crate::emit::Field;
use crate::error::Error;
use crate::job::Job;
use crate::look::{self, Births, Listed, View};
use crate::plan::Plan;
use crate::procfs::held::Held;
use crate::procfs::{Buffer, Procfs, Sysfs};
use crate::run::discover::{self, Clocks, Numbered, Places, warn_of_unreadable};
use crate::run::members::Members;
use crate::run::notes::Notes;
use crate::run::watchdog::Watchdog;
use crate::run::{boot_now, wall_now};
use crate::sample::{self, ControlGroup, Process, Scan, Snapshot};
use crate::select::Root;
use crate::selector::Source;
use crate::unit;
use crate::units::{BootNanos, Hz, Pid, Ticks, WallNanos};
use std::cell::OnceCell;
use std::num::NonZero;

/// One sample, ready to be printed and remembered.
#[derive(Debug)]
pub struct Sample {
    /// A line's worth for each group; empty where there was nothing to compare with.
    pub reports: Vec<Report>,
    /// What the next sample is to be compared with.
    pub state: State,
    /// When it was taken.
    pub wall: WallNanos,
    /// How many processes were looked at for it.
    pub looked_at: usize,
}

/// What takes samples for one job.
#[derive(Debug)]
pub struct Sampler<'j> {
    job: &'j Job,
    source: Held,
    boot_id: Vec<u8>,
    machine: Machine,
    /// Whether there will be many samples, so that it pays to hold files.
    resident: bool,
}

/// The processes that were looked at, and the roots among them.
struct Looked {
    snapshot: Snapshot,
    tree: Tree,
    roots: Vec<Root>,
    /// Control groups as the processes tell of them, where no hierarchy does.
    control_groups: Option<Vec<ControlGroup>>,
    view: Option<View>,
    notes: Notes,
}

/// When a sample began, and what was known then.
struct Start<'s> {
    taken: BootNanos,
    wall: WallNanos,
    births: Option<Births>,
    /// Control groups that the plan picks; none where their hierarchy cannot be read.
    control_groups: Option<Vec<ControlGroup>>,
    /// Processes that the plan picks by number.
    numbered: Vec<Numbered>,
    watchdog: &'s Watchdog,
}

impl<'j> Sampler<'j> {
    /// A sampler for one sample, or two.
    ///
    /// # Errors
    /// [`Error::Failed`] where procfs cannot be opened.
    pub fn open(job: &'j Job) -> Result<Sampler<'j>, Error> {
        let proc = Procfs::open(&job.proc)?;
        let mut buffer = Buffer::default();
        let boot_id = proc.boot_id(&mut buffer);
        let machine = Machine {
            hz: Hz(rustix::param::clock_ticks_per_second()),
            page_size: rustix::param::page_size() as u64,
            memory: None,
            processors: None,
        };
        Ok(Sampler { job, source: Held::new(proc), boot_id, machine, resident: false })
    }

    /// A sampler for any number of samples: it holds the members' files open.
    ///
    /// # Errors
    /// As [`Sampler::open`].
    pub fn open_resident(job: &'j Job) -> Result<Sampler<'j>, Error> {
        let mut sampler = Sampler::open(job)?;
        sampler.source.raise_limit();
        sampler.resident = true;
        Ok(sampler)
    }

    /// Which boot of the machine this is.
    pub fn boot_id(&self) -> &[u8] {
        &self.boot_id
    }

    /// Takes a sample, to be compared with `before`.
    ///
    /// # Errors
    /// [`Error::Failed`] where the processes cannot be listed, or time has run out before it is
    /// known who belongs to which group.
    pub fn sample(
        &mut self,
        before: Option<&State>,
        watchdog: &Watchdog,
        notes: &mut Notes,
    ) -> Result<Sample, Error> {
        let plan = &self.job.plan;
        let mut start = self.start(before, watchdog, notes);
        let looked = match before.map(|before| self.look_at_some(before, &start)).transpose()? {
            Some(Some(looked)) => looked,
            _ => self.look_at_all(before, &mut start)?,
        };
        let Looked { mut snapshot, tree, roots, control_groups, view, notes: said } = looked;
        notes.extend(said);
        if watchdog.out_of_time() {
            return Err(watchdog.error());
        }
        let control_groups_seen = start.control_groups.is_some();
        let mut control_groups = control_groups.or(start.control_groups.take()).unwrap_or_default();
        self.warn_of_unseen(&mut control_groups, &snapshot, notes);
        let groups = group::form(plan, &snapshot, &tree, &roots, &control_groups);
        let members = group::union(&groups);
        // Made only where somebody asks.
        let known = OnceCell::new();
        let has_waited = |parent: &Process| {
            let known = known.get_or_init(|| before.map(State::child_times).unwrap_or_default());
            match known.binary_search_by_key(&parent.id, |&(id, _)| id) {
                Ok(place) => known[place].1 != parent.times.children,
                Err(_) => true,
            }
        };
        sample::reread_early_children(&self.source, &mut snapshot, &tree, &members, has_waited);

        if before.is_some() {
            self.learn_memory(notes);
        }
        let reader = Members {
            plan,
            source: &self.source,
            snapshot: &snapshot,
            tree: &tree,
            before,
            hz: self.machine.hz,
            watchdog,
        };
        let readings = reader.read(members, notes);
        self.bound_short_intervals(before, start.taken);
        let sampled = Sampled {
            boot_id: &self.boot_id,
            snapshot: &snapshot,
            readings: &readings,
            control_groups_seen,
        };
        let (reports, mut state) = group::account(plan, groups, sampled, before, &self.machine);
        state.view = view;
        if self.resident {
            let pid = |&place: &usize| snapshot.processes[place].id.pid;
            let pids: Vec<Pid> = readings.members.iter().map(pid).collect();
            self.source.hold(&pids);
        }
        Ok(Sample { reports, state, wall: start.wall, looked_at: snapshot.processes.len() })
    }

    fn start<'s>(
        &self,
        before: Option<&State>,
        watchdog: &'s Watchdog,
        notes: &mut Notes,
    ) -> Start<'s> {
        let plan = &self.job.plan;
        let (taken, wall) = (boot_now(), wall_now());
        let interval = before.map_or(0, |state| taken.since(state.taken));
        let births = if plan.looks_at_processes() { self.source.births(interval) } else { None };
        let control_groups = if plan.looks_at_control_groups() {
            discover::control_groups(plan, self.source.procfs(), &self.job.sys)
        } else {
            Some(Vec::new())
        };
        let numbered = discover::numbered(plan, notes);
        Start { taken, wall, births, control_groups, numbered, watchdog }
    }

    /// Looks at those processes that can belong to a group, as far as is known from `before`.
    /// None where that is not sure.
    fn look_at_some(&self, before: &State, start: &Start<'_>) -> Result<Option<Looked>, Error> {
        let plan = &self.job.plan;
        let Some(control_groups) = &start.control_groups else { return Ok(None) };
        let in_groups = control_groups.iter().flat_map(|group| group.pids.iter().copied());
        let numbered = start.numbered.iter().map(|numbered| numbered.pid);
        let always: Vec<Pid> = in_groups.chain(numbered).collect();
        if !plan.looks_at_processes() {
            return Ok(Some(self.look_at(always, start)));
        }
        let Some(births) = &start.births else { return Ok(None) };
        let names_pick = plan.names_pick();
        let listed = look::list_some(&self.source, before, births, start.taken, names_pick, always)
            .map_err(|error| Error::Failed(format!("cannot list the processes: {error}")))?;
        let Some(Listed { pids, born, view }) = listed else { return Ok(None) };
        let looked = self.look_at(pids, start);
        let Looked { snapshot, roots, .. } = &looked;
        let with_children: Vec<Root> =
            roots.iter().filter(|root| plan.selectors[root.selector].children).copied().collect();
        let since = Ticks::at(before.taken, self.machine.hz);
        let is_sure = look::knows_all_descendants(before, &born, since, snapshot, &with_children);
        Ok(is_sure.then_some(Looked { view: Some(view), ..looked }))
    }

    /// Looks at those processes, and no other.
    fn look_at(&self, mut pids: Vec<Pid>, start: &Start<'_>) -> Looked {
        pids.sort_unstable();
        pids.dedup();
        let out_of_time = &|| start.watchdog.out_of_time();
        let snapshot = sample::read(&self.source, &pids, start.taken, out_of_time);
        self.with_roots(snapshot, None, start)
    }

    /// Looks at every process.
    fn look_at_all(&self, before: Option<&State>, start: &mut Start<'_>) -> Result<Looked, Error> {
        let plan = &self.job.plan;
        if let (false, Some(control_groups)) = (plan.looks_at_processes(), &start.control_groups) {
            // The first sample of a plan that needs no others.
            let in_groups = control_groups.iter().flat_map(|group| group.pids.iter().copied());
            return Ok(self.look_at(in_groups.collect(), start));
        }
        let (snapshot, offset) = self.scan(start)?;
        let view = match (offset, &start.births) {
            (Some(offset), Some(births)) if snapshot.find(Pid::INIT).is_some() => {
                Some(View::of_all(&snapshot, offset, births, before, self.machine.hz))
            }
            _ => None,
        };
        Ok(self.with_roots(snapshot, view, start))
    }

    fn with_roots(&self, mut snapshot: Snapshot, view: Option<View>, start: &Start<'_>) -> Looked {
        let mut notes = Notes::default();
        let plan = &self.job.plan;
        let proc = self.source.procfs();
        let tree = std::mem::take(&mut snapshot.tree);
        let control_groups = match &start.control_groups {
            Some(_) => None,
            None => {
                notes.warn(format!(
                    "no control groups can be read below {}: /proc/PID/cgroup of every process \
                     stands in, and CPU time comes in ticks; --sys or HOST_SYS says where sysfs is \
                     mounted",
                    self.job.sys.display()
                ));
                Some(discover::control_groups_of_processes(plan, proc, &snapshot, &mut notes))
            }
        };
        let seen = control_groups.as_deref().or(start.control_groups.as_deref());
        let places = Places { numbered: &start.numbered, control_groups: seen.unwrap_or_default() };
        let clocks = Clocks { boot: start.taken, wall: start.wall, hz: self.machine.hz };
        let out_of_time = &|| start.watchdog.out_of_time();
        let roots = discover::roots(plan, proc, &snapshot, places, clocks, out_of_time, &mut notes);
        Looked { snapshot, tree, roots, control_groups, view, notes }
    }

    fn scan(&self, start: &Start<'_>) -> Result<(Snapshot, Option<i64>), Error> {
        let out_of_time = &|| start.watchdog.out_of_time();
        let scanned = if self.job.multi_threaded {
            let readers = std::thread::available_parallelism().map_or(1, NonZero::get);
            sample::scan_in_parallel(self.source.procfs(), start.taken, out_of_time, readers)
        } else {
            sample::scan(&self.source, start.taken, out_of_time)
        };
        let path = self.source.procfs().path().display();
        match scanned {
            Err(error) => Err(Error::Failed(format!("cannot list the processes: {error}"))),
            Ok(_) if start.watchdog.out_of_time() => Err(start.watchdog.error()),
            Ok((snapshot, _)) if snapshot.processes.is_empty() => Err(Error::Failed(format!(
                "no process can be read in {path}: is procfs mounted there? --proc or HOST_PROC \
                 says where"
            ))),
            Ok(scanned) => Ok(scanned),
        }
    }

    /// Says which processes and control groups cannot be seen, and counts processes that control
    /// groups list and `/proc` hides.
    fn warn_of_unseen(
        &self,
        control_groups: &mut [ControlGroup],
        snapshot: &Snapshot,
        notes: &mut Notes,
    ) {
        let hidden = self.warn_of_hidden(snapshot, notes);
        warn_of_missing(&self.job.plan, control_groups, notes);
        if hidden {
            count_hidden(control_groups, snapshot);
        } else {
            warn_of_foreign(&self.job.plan, control_groups, notes);
        }
    }

    /// Whether process 1 can be looked at, as every process can where nothing is hidden.
    fn reads_init(&self) -> bool {
        self.source.procfs().stat(Pid::INIT, &mut Buffer::default()).is_ok()
    }

    /// Not visible is not gone: says so where `/proc` shows only some of the processes, and
    /// answers whether it does.
    fn warn_of_hidden(&self, snapshot: &Snapshot, notes: &mut Notes) -> bool {
        // Every pid namespace has a process 1. Where it is not shown, others are not either.
        let hidden = self.source.procfs().is_genuine()
            && snapshot.find(Pid::INIT).is_none()
            && !self.reads_init();
        if hidden {
            notes.warn(format!(
                "{} hides processes of other users (hidepid): run psstat as root, or add its user \
                 to the group of the mount option gid=, or mount with hidepid=0",
                self.source.procfs().path().display()
            ));
            return true;
        }
        let cure = "run psstat as root, or mount procfs with hidepid=0";
        warn_of_unreadable("processes", &snapshot.unreadable, cure, notes);
        false
    }

    /// Looks up how much memory the machine has, where a part of it is to be told.
    fn learn_memory(&mut self, notes: &mut Notes) {
        if !self.job.plan.asks_for(&[Field::MemoryShare]) {
            return;
        }
        match self.source.procfs().mem_total(&mut Buffer::default()) {
            Ok(total) => self.machine.memory = Some(total),
            Err(error) => {
                self.machine.memory = None;
                notes.warn(format!("p_mem is left out: {error}"));
            }
        }
    }

    /// Looks up the number of processors where the interval is so short that it must bound a rate.
    fn bound_short_intervals(&mut self, before: Option<&State>, taken: BootNanos) {
        let is_short =
            before.is_some_and(|state| taken.since(state.taken) < SHORT.nanos(self.machine.hz).0);
        let is_short = is_short && self.job.plan.asks_for(&[Field::CpuShare]);
        self.machine.processors =
            if is_short { Sysfs::new(&self.job.sys).processors_online() } else { None };
    }
}

/// Counts the processes that control groups list and `/proc` does not show: they are there.
fn count_hidden(control_groups: &mut [ControlGroup], snapshot: &Snapshot) {
    for group in control_groups {
        let hidden = group.pids.iter().filter(|&&pid| snapshot.find(pid).is_none()).count();
        group.foreign += hidden as u64;
    }
}

/// Says which units and control groups were spelt out, have no line of their own, and are not there:
/// a misspelt one would be silent for ever.
fn warn_of_missing(plan: &Plan, control_groups: &[ControlGroup], notes: &mut Notes) {
    let nameless = plan.selectors.iter().enumerate().filter(|(_, picked)| picked.name.is_none());
    for (selector, picked) in nameless {
        if control_groups.iter().any(|group| group.selectors.contains(&selector)) {
            continue;
        }
        match &picked.source {
            Source::Unit(id) if !unit::is_glob(id) => {
                notes.warn(format!("--systemd {id}: no such unit runs"));
            }
            Source::ControlGroup(path) if !unit::is_glob(path) => {
                let path = if path.is_empty() { "/" } else { path };
                notes.warn(format!("--cgroup {path}: there is no such control group"));
            }
            _ => {}
        }
    }
}

/// Says that some members cannot be looked at, because they have no number here; where a field is
/// asked for that lacks them.
fn warn_of_foreign(plan: &Plan, control_groups: &[ControlGroup], notes: &mut Notes) {
    let foreign: u64 = control_groups.iter().map(|group| group.foreign).sum();
    let lacks_them =
        |field: &Field| !matches!(field, Field::Processes | Field::CpuShare | Field::CpuTime);
    if foreign > 0 && plan.fields.iter().any(lacks_them) {
        let text = format!(
            "members of control groups that live in another pid namespace count in n_proc and \
             CPU time, not in memory, and all other fields of their groups are left out: \
             {foreign}; --proc or HOST_PROC with the host's procfs shows them"
        );
        notes.warn_about("foreign", text);
    }
}
