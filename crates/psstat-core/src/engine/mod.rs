//! Takes samples: decides which processes to read, reads what the plan needs of them, and hands it
//! to the accounting. [`Engine::sample`] is the only way to take a sample.

mod doubts;
mod exits;
mod figures;
mod hierarchy;
mod members;
mod memory;
mod memory_accounts;
mod missing;
mod named_groups;
mod names;
mod roots;
mod warnings;

use crate::account;
use crate::account::accounts::Accounts;
use crate::account::doubts::Subject;
use crate::account::forming;
use crate::account::group::{Group, Population, Reason};
use crate::account::ledger::Ends;
use crate::account::membership::Membership;
use crate::account::names::{Made, Names};
use crate::account::observation::{Machine, Observation};
use crate::account::sets::SetId;
use crate::account::settle::{self, Outcome, SHORT};
use crate::account::tree::Tree;
use crate::diagnostics::{Diagnostics, Warning};
use crate::discovery::exits::{self as ended, KnownExits};
use crate::discovery::known::{Known, Unmoved};
use crate::discovery::known_memory::KnownMemory;
use crate::discovery::scan::{self, Scan};
use crate::discovery::tracker::{self, LastSample, Listed, PidTracker};
use crate::field::{Field, Need};
use crate::kernel::{Clocks, Kernel, Wanted};
use crate::model::births::Births;
use crate::model::control_group::{ControlGroup, Hierarchy};
use crate::model::label::Label;
use crate::model::memory::MachineMemory;
use crate::model::process::{Life, Process};
use crate::model::read_error::ReadError;
use crate::model::readings::Readings;
use crate::model::report::Report;
use crate::model::snapshot::Snapshot;
use crate::model::units::{BootNanos, CpuNanos, Hz, Pid, ProcId, WallNanos};
use crate::plan::Plan;
use crate::select::roots::{Root, by_control_group, may_pick_below};
use crate::select::selectors::NewRoots;
use crate::state::State;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::OnceCell;
use doubts::Doubts;
use exits::ExitReader;
use members::MemberReader;
use memory::MemoryReader;
pub use names::KnownNames;
use names::Namer;
use roots::{FoundRoots, PickedPid, RootFinder};
use thiserror::Error;

/// One sample.
#[derive(Debug)]
pub struct Sample {
    /// When it was taken.
    pub wall: WallNanos,
    /// The processes that were read.
    pub snapshot: Snapshot,
    /// Their tree.
    pub tree: Tree,
    /// The control groups that selectors picked, and all below them.
    pub control_groups: Vec<ControlGroup>,
    /// The groups, in the order to print.
    pub groups: Vec<Group>,
    /// Which of them each process belongs to.
    pub membership: Membership,
    /// What was read of the members besides their `stat`.
    pub readings: Readings,
    /// What would be roots if the process were not psstat, or did not run it.
    pub own: Vec<Root>,
    /// The selectors of which it is not known what they pick, each with a cause.
    pub in_doubt: Vec<(usize, Warning)>,
    /// The memory of the machine. `None` if no field needs it, or it could not be read.
    pub machine_memory: Option<MachineMemory>,
    /// A report for each group that has a line. Empty if there was nothing to compare with.
    pub reports: Vec<Report>,
    /// The groups that have none because it is not known who belongs to them. Empty if there was nothing to
    /// compare with.
    pub unknown: Vec<Label>,
    /// What the next sample is to be compared with.
    pub state: State,
    /// Warnings.
    pub diagnostics: Diagnostics,
}

impl Sample {
    /// Why the process at that index in the snapshot is a member of the group. `None` if it is not.
    pub fn reason(&self, group: &Group, member: usize) -> Option<Reason> {
        let Sample { snapshot, tree, control_groups, .. } = self;
        let population = Population { snapshot, tree, control_groups };
        let is_member = self.membership.is_member(member, group.index);
        if is_member { group.reason(member, population) } else { None }
    }

    /// Whether no process is in two groups, and no control group of one is below that of another. If not,
    /// the sum of the groups counts something twice.
    pub fn are_groups_disjoint(&self) -> bool {
        let sets = &self.membership.sets;
        let is_alone = |&id: &SetId| sets.get(id).is_none_or(|set| set.rest == SetId::EMPTY);
        let picked = self.groups.iter().flat_map(|group| &group.control_groups);
        let mut picked: Vec<usize> = picked.map(|picked| picked.index).collect();
        picked.sort_unstable();
        // Those below a control group come right after it. No group has one below another.
        let are_apart = |pair: &[usize]| pair[1] >= self.control_groups[pair[0]].end;
        picked.windows(2).all(are_apart) && self.membership.members.iter().all(is_alone)
    }
}

/// Why no sample could be taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SampleError {
    /// The processes cannot be listed.
    #[error("cannot list the processes: {0}")]
    List(ReadError),
    /// No process could be read.
    #[error("no process can be read in {0}: set --proc or HOST_PROC to where procfs is mounted")]
    NoProcesses(String),
    /// The time was up before the members of all groups and their CPU time were known.
    #[error("the sample took longer than --timeout allows")]
    OutOfTime,
}

/// Takes samples of one machine for one plan.
#[derive(Debug)]
pub struct Engine<K> {
    kernel: K,
    plan: Plan,
    /// Whether states stay in memory.
    is_resident: bool,
    /// The names that the last sample made, if states stay in memory.
    known_names: KnownNames,
}

/// What is known when a sample begins.
struct Start<'s> {
    clocks: Clocks,
    last: Option<&'s State>,
    births: Option<Births>,
    /// The control groups that selectors pick. `None` if no hierarchy can be read.
    control_groups: Option<Hierarchy>,
    /// The selectors of units that have no file.
    without_file: Vec<usize>,
    /// The processes that selectors pick by pid.
    picked: Vec<PickedPid>,
}

/// The processes that were read, and the roots among them.
struct Found {
    scan: Scan,
    roots: FoundRoots,
    /// The names of roots and control groups that templates made.
    names: Made,
    /// The control groups that the processes name, if no hierarchy can be read.
    control_groups: Option<Hierarchy>,
    tracker: Option<PidTracker>,
    /// The processes that have ended, if the kernel tells of each exit.
    exits: Option<ended::Found>,
    /// Whether `/proc` hides processes.
    hides_processes: bool,
    diagnostics: Diagnostics,
    doubts: Doubts,
}

impl<K: Kernel> Engine<K> {
    /// An engine for that machine and plan.
    pub fn new(kernel: K, plan: Plan) -> Engine<K> {
        Engine { kernel, plan, is_resident: false, known_names: KnownNames::default() }
    }

    /// The same engine for a program that keeps states in memory. They contain the CPU clocks of all
    /// processes, if that helps to find a process that takes a matching name late.
    pub fn resident(self) -> Engine<K> {
        Engine { is_resident: true, ..self }
    }

    /// The same engine, which knows the names that the last sample of another one made.
    pub fn with_names(self, known_names: KnownNames) -> Engine<K> {
        Engine { known_names, ..self }
    }

    /// The names that the last sample made, if states stay in memory.
    pub fn names(&self) -> &KnownNames {
        &self.known_names
    }

    /// The machine.
    pub fn kernel(&self) -> &K {
        &self.kernel
    }

    /// The machine.
    pub fn kernel_mut(&mut self) -> &mut K {
        &mut self.kernel
    }

    /// What is measured.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Takes a sample, to be compared with `last`.
    ///
    /// # Errors
    /// [`SampleError`] if the processes cannot be listed, or the time was up before the members of all
    /// groups and their CPU time were known.
    pub fn sample(&mut self, last: Option<&State>) -> Result<Sample, SampleError> {
        let mut diagnostics = Diagnostics::default();
        let mut doubts = Doubts::default();
        let mut selectors_changed = false;
        let unknown = self.plan.selectors.find_users(|name| {
            let found = self.kernel.find_user(name);
            selectors_changed |= found.is_some();
            found
        });
        for (index, name) in unknown {
            doubts.add(Warning::UnknownUser(name), [Subject::Selector(index)]);
        }
        let mut start = self.start(last, &mut diagnostics, &mut doubts);
        let some = if selectors_changed { None } else { self.read_some(&start)? };
        let found = match some {
            Some(found) => found,
            None => self.read_all(&start)?,
        };
        let Found { scan, roots, names: made, control_groups, tracker, hides_processes, .. } =
            found;
        let mut exits = found.exits;
        let Scan { mut snapshot, tree } = scan;
        // What could not be read may be a root or a member. So the next sample reads all processes again,
        // and not only those that are known to matter.
        let tracker = tracker.filter(|_| !roots.has_undecided && snapshot.unread.is_empty());
        diagnostics.extend(found.diagnostics);
        doubts.extend(found.doubts);
        if self.kernel.out_of_time() {
            return Err(SampleError::OutOfTime);
        }
        let is_mounted = start.control_groups.is_some();
        let hierarchy = control_groups.or(start.control_groups.take()).unwrap_or_default();
        let sys = &self.kernel.constants().sys_path;
        let mut watched = hierarchy::doubt(&self.plan.selectors, &hierarchy, sys, &mut doubts);
        if !is_mounted {
            watched.clear();
        }
        let has_units = hierarchy.has_units;
        let mut control_groups = hierarchy.groups;
        let circumstances = missing::Circumstances {
            without_file: &start.without_file,
            has_units,
            is_first: last.is_none(),
        };
        missing::warn(&self.plan, &control_groups, &circumstances, &mut diagnostics);
        warnings::warn_of_unseen(
            &self.plan,
            &mut control_groups,
            &snapshot,
            hides_processes,
            &mut diagnostics,
        );
        if !hides_processes {
            doubts.add_unread(&snapshot, last.map(|last| &last.accounts));
        }
        let names = Names {
            selectors: &self.plan.selectors,
            snapshot: &snapshot,
            control_groups: &control_groups,
            made: &made,
            division: self.plan.division,
        };
        let (mut groups, membership) = forming::form(names, &roots.list, &tree);
        account::doubts::apply(doubts.as_slice(), &mut groups, &membership, names);
        let in_doubt = doubts.of_selectors();
        // The group that nobody asked for is the last one.
        let is_hidden = |group: &Group| group.rest.is_some_and(|rest| self.plan.hides(rest));
        let shown = groups.len() - usize::from(groups.last().is_some_and(is_hidden));
        doubts.warn(&groups[..shown], &mut diagnostics);
        if last.is_some() {
            let groups = &groups[..shown];
            warnings::warn_of_container(&self.kernel, &self.plan, groups, &mut diagnostics);
        }
        let mut members = membership.all();
        members.truncate(members.partition_point(|&index| index < snapshot.read()));
        let accounts = last.map(|last| &last.accounts);
        let has_waited = HasWaited::new(accounts, self.kernel.constants().hz);
        let has_waited = |parent: &Process| has_waited.since_last_sample(parent);
        scan::reread_early_children(&self.kernel, &mut snapshot, &tree, &members, has_waited);
        let is_gone = |&index: &usize| snapshot.processes[index].life == Life::Gone;
        if let Some(exits) = exits.as_mut().filter(|_| members.iter().any(is_gone)) {
            let inherits = |index: usize| membership.ledgered[index] != SetId::EMPTY;
            self.add_gone(exits, &snapshot, last, inherits);
        }

        let memory = if last.is_some() { self.machine_memory(&mut diagnostics) } else { None };
        let told_swap = figures::tell_swap(&groups, &control_groups);
        if last.is_some() {
            figures::warn(&self.plan, &groups, &control_groups, &mut diagnostics);
        }
        let reader = MemberReader {
            told_swap: &told_swap,
            plan: &self.plan,
            kernel: &self.kernel,
            snapshot: &snapshot,
            tree: &tree,
            membership: &membership,
            last: accounts,
        };
        let mut readings = reader.read(members, &mut diagnostics).ok_or(SampleError::OutOfTime)?;
        // The first sample reports nothing, so it reads no memory.
        let with_memory = last.filter(|_| self.plan.fields.need(Need::Memory));
        let known_memory = with_memory.map_or_else(KnownMemory::default, |last| {
            let reader = MemoryReader {
                plan: &self.plan,
                kernel: &self.kernel,
                snapshot: &snapshot,
                membership: &membership,
                groups: groups.len(),
                hides_processes,
                machine: memory,
                since: last.accounts.taken,
                known: &last.memory,
            };
            reader.read_into(&mut readings, &mut diagnostics)
        });
        let machine = self.machine(memory, readings.cpu_read, &start);
        let (ends, known_exits) = match (&exits, last) {
            (None, _) => (Ends::default(), KnownExits::default()),
            (Some(found), Some(last)) => {
                if !found.is_complete {
                    diagnostics.add(Warning::ExitsLost);
                }
                let (kernel, snapshot, membership) = (&self.kernel, &snapshot, &membership);
                ExitReader { kernel, found, last, snapshot, membership }.read(&groups)
            }
            (Some(found), None) => (Ends::default(), found.known()),
        };
        let observation = Observation {
            snapshot: &snapshot,
            tree: &tree,
            control_groups: &control_groups,
            readings: &readings,
            membership: &membership,
            ends: &ends,
            watched: &watched,
            machine,
        };
        let outcome = settle::settle(&self.plan, &groups, observation, accounts);
        let Outcome { reports, accounts, left_out } = outcome;
        if !left_out.is_empty() {
            diagnostics.add(Warning::TooManyGroups(left_out));
        }
        warnings::warn_of_memory(&self.plan, &reports, &mut diagnostics);
        let mut known = self.known(&roots, &snapshot, &readings.members);
        known.read_again(accounts.heirs());
        if let Some(last) = last {
            known.take_turns(&last.known);
        }
        if self.is_resident {
            self.known_names = KnownNames::of(made, &snapshot);
        }
        groups.truncate(shown);
        let are_unknown = groups.iter().filter(|group| last.is_some() && group.doubt.is_some());
        let unknown = are_unknown.map(|group| group.label.clone()).collect();
        let pid = |&index: &usize| snapshot.processes[index].id.pid;
        let members: Vec<Pid> = readings.members.iter().map(pid).collect();
        self.kernel.hold(&members);
        let boot_id = match (&self.kernel.constants().boot_id, last) {
            (Some(known), _) => known.clone(),
            // It has not changed: otherwise nothing could be compared.
            (None, Some(last)) => last.boot_id.clone(),
            (None, None) => Vec::new(),
        };
        Ok(Sample {
            wall: start.clocks.wall,
            state: State {
                boot_id,
                accounts,
                tracker,
                known,
                memory: known_memory,
                exits: known_exits,
            },
            snapshot,
            tree,
            control_groups,
            groups,
            membership,
            readings,
            own: roots.own,
            in_doubt,
            machine_memory: memory,
            reports,
            unknown,
            diagnostics,
        })
    }

    fn start<'s>(
        &mut self,
        last: Option<&'s State>,
        diagnostics: &mut Diagnostics,
        doubts: &mut Doubts,
    ) -> Start<'s> {
        let clocks = self.kernel.clocks();
        let interval = last.map_or(0, |last| clocks.boot.since(last.accounts.taken));
        let selects_processes = self.plan.selectors.select_processes();
        let births = if selects_processes { self.kernel.births(interval) } else { None };
        let (control_groups, without_file) = self.find_control_groups();
        let selectors = &self.plan.selectors;
        let picked = roots::picked_pids(selectors, &self.kernel, diagnostics, doubts);
        Start { clocks, last, births, control_groups, without_file, picked }
    }

    /// Finds the control groups that selectors pick, and the selectors of units that have no file.
    fn find_control_groups(&mut self) -> (Option<Hierarchy>, Vec<usize>) {
        if !self.plan.selectors.select_control_groups() {
            return (Some(Hierarchy::default()), Vec::new());
        }
        let mut found = self.with_wanted(|wanted| self.kernel.control_groups(wanted));
        let Some(with_units) = found.as_ref().filter(|found| found.has_units) else {
            return (found, Vec::new());
        };
        let selectors = &mut self.plan.selectors;
        let (has_changed, without_file) =
            missing::follow_aliases(selectors, &self.kernel, &with_units.groups);
        if has_changed {
            found = self.with_wanted(|wanted| self.kernel.control_groups(wanted));
        }
        (found, without_file)
    }

    fn with_wanted<T>(&self, call: impl FnOnce(Wanted<'_>) -> T) -> T {
        let selectors = &self.plan.selectors;
        let figures = self.plan.fields.figures();
        let pick = |path: &[u8], unit: Option<&[u8]>| by_control_group(selectors, path, unit);
        call(Wanted {
            pick: &pick,
            units: !selectors.units.is_empty(),
            below: &|path| may_pick_below(selectors, path),
            figures: &figures,
        })
    }

    /// Reads only the processes that can belong to a group, according to the last sample. `None` if
    /// others could belong to one too.
    fn read_some(&self, start: &Start<'_>) -> Result<Option<Found>, SampleError> {
        let selectors = &self.plan.selectors;
        let (Some(last), Some(control_groups)) = (start.last, &start.control_groups) else {
            return Ok(None);
        };
        let groups = &control_groups.groups;
        let in_groups = groups.iter().flat_map(|group| group.pids.iter().copied());
        let picked = start.picked.iter().map(|picked| picked.pid);
        let known = last.known.pids_and_parents();
        let to_ask_again = self.kernel.to_ask_again();
        let always = in_groups.chain(picked).chain(known).chain(to_ask_again);
        let always: Vec<Pid> = always.collect();
        if !selectors.select_processes() {
            let unmoved = Unmoved::new(&last.known, &[]);
            return Ok(Some(self.read(always, unmoved, None, start)));
        }
        let (Some(births), Some(tracker)) = (&start.births, &last.tracker) else {
            return Ok(None);
        };
        let accounts = &last.accounts;
        let new_roots = selectors.new_roots();
        let listed = LastSample { accounts, tracker }
            .list(&self.kernel, births, start.clocks.boot, new_roots, always)
            .map_err(SampleError::List)?;
        let Some(Listed { pids, born, tracker }) = listed else { return Ok(None) };
        let unmoved = Unmoved::new(&last.known, &born);
        let found = self.read(pids, unmoved, Some(tracker), start);
        let with_children =
            found.roots.list.iter().filter(|root| selectors[root.selector].children);
        let is_certain = tracker::knows_all_descendants(
            accounts,
            &born,
            &found.scan.snapshot,
            with_children.copied(),
            self.kernel.constants().hz,
        );
        Ok(is_certain.then_some(found))
    }

    /// Looks at these processes and no others.
    fn read(
        &self,
        mut pids: Vec<Pid>,
        mut unmoved: Unmoved<'_>,
        mut tracker: Option<PidTracker>,
        start: &Start<'_>,
    ) -> Found {
        pids.sort_unstable();
        pids.dedup();
        let scan = scan::read(&self.kernel, &pids, start.clocks.boot, &mut unmoved);
        if let Some(tracker) = &mut tracker {
            tracker.update(&scan.snapshot, &pids, !unmoved.are_all_members());
        }
        self.with_roots(scan, &unmoved, tracker, start)
    }

    /// Reads all processes.
    fn read_all(&self, start: &Start<'_>) -> Result<Found, SampleError> {
        let selects_processes = self.plan.selectors.select_processes();
        if let (false, Some(control_groups)) = (selects_processes, &start.control_groups) {
            // The first sample of a plan that needs only what is in control groups.
            let groups = &control_groups.groups;
            let in_groups = groups.iter().flat_map(|group| group.pids.iter().copied());
            let known = Known::default();
            let unmoved = Unmoved::new(&known, &[]);
            return Ok(self.read(in_groups.collect(), unmoved, None, start));
        }
        let mut pids = Vec::new();
        let offset = self.kernel.pids(&mut pids).map_err(SampleError::List)?;
        let keeps_clocks = self.is_resident
            && start.births.is_some()
            && self.kernel.constants().clocks_show_runs
            && self.plan.selectors.new_roots() != NewRoots::Fixed;
        let scan = scan::read_all(&self.kernel, &pids, start.clocks.boot, keeps_clocks);
        if self.kernel.out_of_time() {
            return Err(SampleError::OutOfTime);
        }
        if scan.snapshot.processes.is_empty() {
            return Err(SampleError::NoProcesses(self.kernel.constants().proc_path.clone()));
        }
        let tracker = match (offset, &start.births) {
            (Some(offset), Some(births)) if scan.snapshot.find(Pid::INIT).is_some() => {
                let last = start.last.and_then(|last| {
                    Some(LastSample { accounts: &last.accounts, tracker: last.tracker.as_ref()? })
                });
                let hz = self.kernel.constants().hz;
                let tracker = PidTracker::of_all(&scan.snapshot, offset, births, last, hz);
                Some(if keeps_clocks { tracker.with_clocks(&scan.snapshot) } else { tracker })
            }
            _ => None,
        };
        let nothing = Known::default();
        Ok(self.with_roots(scan, &Unmoved::new(&nothing, &[]), tracker, start))
    }

    fn with_roots(
        &self,
        mut scan: Scan,
        unmoved: &Unmoved<'_>,
        tracker: Option<PidTracker>,
        start: &Start<'_>,
    ) -> Found {
        let mut diagnostics = Diagnostics::default();
        let mut doubts = Doubts::default();
        let control_groups = match &start.control_groups {
            Some(_) => None,
            None => {
                let sys = self.kernel.constants().sys_path.clone();
                diagnostics.add(Warning::NoControlGroups { sys });
                let last = start.last.map(|last| &last.accounts);
                let (kernel, unseen) = (&self.kernel, &mut diagnostics);
                Some(self.with_wanted(|wanted| {
                    named_groups::find(kernel, wanted, &mut scan, last, unseen)
                }))
            }
        };
        let exits = self.take_in_exits(&mut scan, start);
        let seen = control_groups.as_ref().or(start.control_groups.as_ref());
        let hidden = warnings::hidden_processes(&self.kernel, &scan.snapshot);
        let finder = RootFinder {
            selectors: &self.plan.selectors,
            kernel: &self.kernel,
            snapshot: &scan.snapshot,
            clocks: start.clocks,
            unmoved,
            hidden: hidden.as_ref(),
            exits: exits.as_ref(),
        };
        let seen = seen.map_or(&[][..], |seen| &seen.groups);
        let roots = finder.find(&start.picked, seen, &mut diagnostics, &mut doubts);
        let namer = Namer {
            selectors: &self.plan.selectors,
            kernel: &self.kernel,
            snapshot: &scan.snapshot,
            unmoved,
            known: &self.known_names,
            last: start.last.map(|last| &last.accounts),
        };
        let names = namer.make(&roots, seen, &mut diagnostics, &mut doubts);
        let hides_processes = hidden.is_some();
        Found {
            scan,
            roots,
            names,
            control_groups,
            tracker,
            exits,
            hides_processes,
            diagnostics,
            doubts,
        }
    }

    /// Adds the processes that have ended and were never seen to the scan. `None` if the kernel does not tell
    /// of exits.
    fn take_in_exits(&self, scan: &mut Scan, start: &Start<'_>) -> Option<ended::Found> {
        let nothing = KnownExits::default();
        let known = start.last.map_or(&nothing, |last| &last.exits);
        let exits = self.kernel.exits(known.next)?;
        let accounts = start.last.map(|last| &last.accounts);
        Some(ended::take_in(&self.kernel, exits, (known, accounts), scan))
    }

    /// Looks for the records of members that have gone since they were read.
    fn add_gone(
        &self,
        found: &mut ended::Found,
        snapshot: &Snapshot,
        last: Option<&State>,
        inherits: impl Fn(usize) -> bool,
    ) {
        let from = last.map_or(0, |last| last.exits.next);
        let Some(mut exits) = self.kernel.exits(from) else { return };
        let known = usize::try_from(found.next.saturating_sub(from)).unwrap_or(usize::MAX);
        exits.list.drain(..known.min(exits.list.len()));
        let last = last.map(|last| &last.accounts);
        found.add_gone(&self.kernel, exits, (snapshot, last), inherits);
    }

    /// What the next sample need not read again if it has not run. Nothing if clocks do not tell that.
    fn known(&self, roots: &FoundRoots, snapshot: &Snapshot, members: &[usize]) -> Known {
        if !self.kernel.constants().clocks_show_runs {
            return Known::default();
        }
        Known::of(snapshot, members, roots.picked_by(&self.plan.selectors, snapshot))
    }

    /// The memory of the machine, if a field shows a fraction of it or is limited by it.
    fn machine_memory(&self, diagnostics: &mut Diagnostics) -> Option<MachineMemory> {
        if !self.plan.fields.need(Need::MachineMemory) {
            return None;
        }
        let memory = self.kernel.machine_memory();
        let shows_fraction = self.plan.fields.as_slice().contains(&Field::MemoryShare);
        let warn = |error| {
            if shows_fraction {
                diagnostics.add(Warning::MachineMemory(error));
            }
        };
        memory.map_err(warn).ok()
    }

    /// What is known of the machine. `cpu_read` is when the CPU times of members were read.
    fn machine(
        &self,
        memory: Option<MachineMemory>,
        cpu_read: BootNanos,
        start: &Start<'_>,
    ) -> Machine {
        let constants = self.kernel.constants();
        let is_short = start.last.is_some_and(|last| {
            let by_counter = start.clocks.boot.since(last.accounts.taken);
            let by_ledger = cpu_read.since(last.accounts.cpu_read);
            by_counter.min(by_ledger) < SHORT.nanos(constants.hz).0
        });
        let needs_processors = is_short && self.plan.fields.need(Need::Processors);
        let processors = if needs_processors { self.kernel.processors_online() } else { None };
        Machine { hz: constants.hz, memory, processors }
    }
}

/// Whether a process has waited for a child since the last sample. The list of child times is built
/// when it is first needed.
struct HasWaited<'a> {
    accounts: Option<&'a Accounts>,
    hz: Hz,
    child_times: OnceCell<Vec<(ProcId, CpuNanos)>>,
}

impl<'a> HasWaited<'a> {
    fn new(accounts: Option<&'a Accounts>, hz: Hz) -> HasWaited<'a> {
        HasWaited { accounts, hz, child_times: OnceCell::new() }
    }

    fn since_last_sample(&self, parent: &Process) -> bool {
        let known = self
            .child_times
            .get_or_init(|| self.accounts.map(Accounts::child_times).unwrap_or_default());
        match known.binary_search_by_key(&parent.id, |&(id, _)| id) {
            Ok(index) => known[index].1 != parent.times.children.nanos(self.hz),
            Err(_) => true,
        }
    }
}
