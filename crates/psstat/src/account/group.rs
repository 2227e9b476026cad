//! Groups: which processes are counted together, under which name, and what they cost.

use super::counter::{self, Counter};
use super::ledger::{self, Ledger, Member};
use super::memory;
use super::rates::{self, Before, Counted, Ledgers, Rate};
use super::readings::{self, Readings};
use super::totals::{self, Totals};
use super::tree::{Descent, Tree};
use crate::emit::Field;
use crate::label::Label;
use crate::look::View;
use crate::plan::{self, Plan};
use crate::sample::{ControlGroup, Life, Names, Process, Snapshot};
use crate::select::Root;
use crate::selector::Source;
use crate::unit;
use crate::units::{BootNanos, Bytes, Count, CpuNanos, Hz, Pid, ProcId, Ticks};
use std::collections::BTreeMap;
use std::time::Duration;

/// Processes that are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What it is called in the output.
    pub label: Label,
    /// Whose tags its line bears: the first selector that names it, whatever else falls into it by
    /// its own name; where none does, the first that picked any of it.
    pub selector: usize,
    /// Whether the user named it: then it is reported even when nothing is in it.
    pub named: bool,
    /// Places of its members in the snapshot, sorted, each once; zombies among them.
    pub members: Vec<usize>,
    /// Those of them whose CPU time no counter holds: it is reckoned process by process.
    pub ledgered: Vec<usize>,
    /// Those of the ledgered that wait for the children of other groups: what these used is not
    /// theirs.
    pub managers: Vec<usize>,
    /// Those that are here without their children, whose time is not theirs either; sorted.
    pub lone: Vec<usize>,
    /// The counters of its control groups, none within another, with the selectors that picked
    /// each.
    pub counters: Vec<(Counter, Vec<usize>)>,
    /// Processes that run in its control groups and have no number here.
    pub foreign: u64,
    /// Whether all that descends from a member is a member, but from those that are alone.
    pub by_descent: bool,
}

impl Group {
    /// Whether all its processes can be looked at, so that what is added up of them is no part.
    fn is_seen_whole(&self) -> bool {
        self.foreign == 0
    }
}

/// What a group cost since the last sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What it is called.
    pub label: Label,
    /// The selector of its group: its tags are those of the line.
    pub selector: usize,
    /// CPU time per time, 1 for one core kept busy; none where it is not known yet.
    pub cpu: Option<f64>,
    /// Part of the machine's memory; none where it is not known how much that has.
    pub memory: Option<f64>,
    /// Processes alive, zombies not counted.
    pub processes: u64,
    /// Memory in bytes; none where it was not read.
    pub bytes: Option<Bytes>,
    /// Threads of the processes alive; none where some of these cannot be looked at.
    pub threads: Option<u64>,
    /// Processes that have ended and that nobody has waited for yet; none as above.
    pub zombies: Option<u64>,
    /// Files that the processes have open; none where that was not read of all of them.
    pub open_files: Option<u64>,
    /// How long the oldest process alive has run, no time where none is alive; none as above.
    pub uptime: Option<Duration>,
    /// CPU time that the group has used since it was first seen; none where that is not kept.
    pub cpu_time: Option<CpuNanos>,
    /// What it did per second; those that are known.
    pub rates: BTreeMap<Rate, f64>,
}

impl Report {
    /// A group in which nothing is alive, and of which nothing else is known.
    pub fn of_nothing(label: Label) -> Report {
        Report {
            label,
            selector: 0,
            cpu: None,
            memory: None,
            processes: 0,
            bytes: None,
            threads: None,
            zombies: None,
            open_files: None,
            uptime: None,
            cpu_time: None,
            rates: BTreeMap::new(),
        }
    }
}

/// What is remembered from one sample to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Which boot of the machine this was.
    pub boot_id: Vec<u8>,
    /// When the sample began.
    pub taken: BootNanos,
    /// The control groups that were looked for, whether found or not: the hashed keys of their
    /// selectors.
    pub watched: Vec<u64>,
    /// The machine's processes, as far as one must know them to need not look at all again; none
    /// where that is not to be.
    pub view: Option<View>,
    /// Each group.
    pub groups: BTreeMap<Label, Known>,
    /// CPU time of each group since it was first seen, where that is asked for.
    pub totals: Totals,
}

/// What is remembered of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Whether all that descends from a member is a member too, but from those that the ledger has
    /// alone: so it is but in groups that hold processes for their control group.
    pub by_descent: bool,
    /// Its processes, as far as no counter holds their CPU time.
    pub ledger: Ledger,
    /// The counters of its control groups.
    pub counters: Vec<Counter>,
    /// What is counted besides.
    pub rates: Ledgers,
}

impl State {
    /// The child time of each member of any group at that sample, sorted.
    pub fn child_times(&self) -> Vec<(ProcId, Ticks)> {
        let mut times: Vec<_> = self
            .groups
            .values()
            .flat_map(|known| &known.ledger.members)
            .map(|member| (member.id, member.amounts.children))
            .collect();
        times.sort_unstable();
        times
    }
}

/// What the machine is made of, as far as the accounting must know.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Ticks per second.
    pub hz: Hz,
    /// Bytes per page.
    pub page_size: u64,
    /// All memory; none where it could not be read.
    pub memory: Option<Bytes>,
    /// Processors, where that must bound a rate: see [`SHORT`].
    pub processors: Option<u64>,
}

/// Over so few ticks the rounding of one process can exceed the whole machine; there no rate is
/// above the number of processors.
pub const SHORT: Ticks = Ticks(10);

/// A group in the making.
#[derive(Default)]
struct Draft {
    /// The first selector that makes it.
    order: usize,
    /// The first selector that names it.
    named_by: Option<usize>,
    /// Places of its roots in the snapshot.
    roots: Vec<usize>,
    /// Places of those that come without their children.
    lone: Vec<usize>,
    /// Places of its control groups in their list.
    control_groups: Vec<usize>,
    /// Whether it is meant to hold control groups, be there any or none.
    counts_control_groups: bool,
}

impl Draft {
    /// One that comes after all that are picked by any selector.
    fn last() -> Draft {
        Draft { order: usize::MAX, ..Draft::default() }
    }

    fn picked_by(&mut self, selector: usize) -> &mut Draft {
        self.order = self.order.min(selector);
        self
    }
}

impl Known {
    fn is_worth_keeping(&self) -> bool {
        self.ledger != Ledger::default()
            || !self.counters.is_empty()
            || self.rates.values().any(|ledger| *ledger != Ledger::default())
    }
}

/// Forms the groups: by the selectors' names, else by the roots' own, in the order in which their
/// first selector was typed, then by name. A named group is there even with no process in it.
///
/// `control_groups` are those that selectors picked, and all below them.
pub fn form(
    plan: &Plan,
    snapshot: &Snapshot,
    tree: &Tree,
    roots: &[Root],
    control_groups: &[ControlGroup],
) -> Vec<Group> {
    let mut drafts: BTreeMap<Label, Draft> = BTreeMap::new();
    for (order, selector) in plan.selectors.iter().enumerate() {
        if let Some(name) = &selector.name {
            let draft = || Draft { order, named_by: Some(order), ..Draft::default() };
            let draft = drafts.entry(name.clone()).or_insert_with(draft);
            draft.counts_control_groups |= selector.takes_control_groups();
        }
    }
    // Roots that share a name share its label; it is made once per name.
    let mut labels: Vec<Option<Label>> = vec![None; snapshot.names.texts().count()];
    for root in roots {
        let label = plan.selectors[root.selector].name.clone().unwrap_or_else(|| {
            let comm = snapshot.processes[root.process].comm;
            let label = &mut labels[Names::place(comm)];
            label.get_or_insert_with(|| Label::lossy(snapshot.names.text(comm))).clone()
        });
        let draft = drafts.entry(label).or_insert_with(Draft::last).picked_by(root.selector);
        let children = plan.selectors[root.selector].children;
        if children { &mut draft.roots } else { &mut draft.lone }.push(root.process);
    }
    for (place, group) in control_groups.iter().enumerate() {
        let whole = |&&selector: &&usize| plan.selectors[selector].takes_control_groups();
        for &selector in group.selectors.iter().filter(whole) {
            let label = plan.selectors[selector].name.clone();
            let label = label.unwrap_or_else(|| own_name(group, &plan.selectors[selector].source));
            let draft = drafts.entry(label).or_insert_with(Draft::last).picked_by(selector);
            draft.control_groups.push(place);
        }
    }
    let mut drafts: Vec<(Label, Draft)> = drafts.into_iter().collect();
    // Stable, so that groups of one selector stay in the order of their names.
    drafts.sort_by_key(|(_, draft)| draft.order);
    let mut descent = Descent::new(tree);
    drafts
        .into_iter()
        .map(|(label, draft)| {
            let mut members = descent.of(draft.roots);
            let mut lone = draft.lone;
            lone.retain(|place| members.binary_search(place).is_err());
            lone.sort_unstable();
            lone.dedup();
            let by_descent = draft.control_groups.is_empty();
            members.extend_from_slice(&lone);
            members.sort_unstable();
            let mut group = Group {
                label,
                selector: draft.named_by.unwrap_or(draft.order),
                named: draft.named_by.is_some(),
                ledgered: members.clone(),
                members,
                managers: Vec::new(),
                lone,
                counters: Vec::new(),
                foreign: 0,
                by_descent,
            };
            add_control_groups(&mut group, &draft.control_groups, control_groups, snapshot);
            if draft.counts_control_groups {
                // Process 1 waits for what ran in units, whose counters have counted it already.
                let is_init = |place: &usize| snapshot.processes[*place].id.pid == Pid::INIT;
                let init = group.ledgered.iter().copied().find(is_init);
                group.managers.extend(init);
            }
            group
        })
        .collect()
}

/// What a control group is called where the user did not name it.
fn own_name(group: &ControlGroup, source: &Source) -> Label {
    match (source, &group.unit) {
        (Source::Unit(_), Some(id)) => Label::lossy(unit::display_name(id)),
        _ if group.path.is_empty() => Label::lossy(b"/"),
        _ => Label::lossy(&group.path),
    }
}

/// Adds the processes and counters of control groups to a group. `picked` are places in `all`,
/// rising, and each stands there before those below it.
fn add_control_groups(
    group: &mut Group,
    picked: &[usize],
    all: &[ControlGroup],
    snapshot: &Snapshot,
) {
    if picked.is_empty() {
        return;
    }
    let mut counted = Vec::new();
    let mut covered_up_to = 0;
    for &top in picked {
        if top < covered_up_to {
            // Within the one before, or picked twice.
            continue;
        }
        covered_up_to = all[top].end;
        let below = &all[top..all[top].end];
        let pids = below.iter().flat_map(|inner| &inner.pids);
        let places: Vec<usize> = pids.filter_map(|&pid| snapshot.find(pid)).collect();
        group.foreign += below.iter().map(|inner| inner.foreign).sum::<u64>();
        if let Some(used) = all[top].used {
            let counter = Counter { path: all[top].path.clone(), id: all[top].id, used };
            group.counters.push((counter, all[top].selectors.clone()));
            counted.extend_from_slice(&places);
        } else {
            group.ledgered.extend_from_slice(&places);
            if all[top].unit.as_deref() == Some(unit::MANAGER_SCOPE) {
                group.managers.extend_from_slice(&places);
            }
        }
        group.members.extend(places);
    }
    for places in [&mut group.members, &mut group.ledgered, &mut counted] {
        places.sort_unstable();
        places.dedup();
    }
    group.ledgered.retain(|place| counted.binary_search(place).is_err());
}

/// All that belong to any group, sorted, each once.
pub fn union(groups: &[Group]) -> Vec<usize> {
    let mut all: Vec<usize> =
        groups.iter().flat_map(|group| group.members.iter().copied()).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// One sample, as the accounting sees it.
#[derive(Clone, Copy, Debug)]
pub struct Sampled<'s> {
    /// Which boot of the machine it was taken in.
    pub boot_id: &'s [u8],
    /// The processes.
    pub snapshot: &'s Snapshot,
    /// What was read of the members besides.
    pub readings: &'s Readings,
    /// Whether the hierarchy of control groups could be read, so that one that was not found was
    /// not there.
    pub control_groups_seen: bool,
}

/// Reckons what each group cost since `before`, and what to remember. Without `before` there is
/// nothing to report, only to remember.
pub fn account(
    plan: &Plan,
    groups: Vec<Group>,
    sampled: Sampled<'_>,
    before: Option<&State>,
    machine: &Machine,
) -> (Vec<Report>, State) {
    let now = sampled.snapshot.taken;
    let keeps_totals = plan.asks_for(&[Field::CpuTime]);
    let mut state = State {
        boot_id: sampled.boot_id.to_vec(),
        taken: now,
        watched: if sampled.control_groups_seen { watched(plan) } else { Vec::new() },
        totals: before.filter(|_| keeps_totals).map(|b| b.totals.clone()).unwrap_or_default(),
        ..State::default()
    };
    let mut reports = Vec::new();
    for group in groups {
        let (used, mut known) = used(plan, &group, &sampled, before, machine);
        let (done, ledgers) = done(plan, &group, &sampled, before, machine);
        known.rates = ledgers;
        let cpu_time = keeps_totals
            .then(|| totals::add(&mut state.totals, &group.label, used.unwrap_or_default(), now));
        if let Some(before) = before
            && let Some(report) = report(plan, &group, &sampled, machine)
        {
            let elapsed = now.since(before.taken);
            let cpu = used.and_then(|used| rate(used, elapsed, machine));
            let per_second = |count: Count| count.0 as f64 * 1e9 / elapsed as f64;
            let done = done.into_iter().filter(|_| elapsed > 0 && group.is_seen_whole());
            let rates = done.map(|(rate, count)| (rate, per_second(count))).collect();
            reports.push(Report { cpu, cpu_time, rates, ..report });
        }
        if known.is_worth_keeping() {
            state.groups.insert(group.label, known);
        }
    }
    totals::forget(&mut state.totals, now);
    (reports, state)
}

/// What a group did since `before`, of all that is told per second, as far as it is known; and what
/// to remember of it.
fn done(
    plan: &Plan,
    group: &Group,
    sampled: &Sampled<'_>,
    before: Option<&State>,
    machine: &Machine,
) -> (Vec<(Rate, Count)>, Ledgers) {
    let Sampled { snapshot, readings, .. } = *sampled;
    let counted = Counted { snapshot, readings, now: Ticks::at(snapshot.taken, machine.hz) };
    let since = Ticks::at(before.map_or(BootNanos(0), |before| before.taken), machine.hz);
    let mut all = Vec::new();
    let mut ledgers = Ledgers::new();
    for rate in Rate::ALL.into_iter().filter(|&rate| plan.asks_for(&[Field::Rate(rate)])) {
        let known = before.map(|before| before.groups.get(&group.label));
        let then = match known {
            None => Before::Unknown,
            Some(None) => Before::Absent,
            Some(Some(known)) => known.rates.get(&rate).map_or(Before::Unknown, Before::Kept),
        };
        let (done, ledger) = rates::settle(rate, group, counted, then, since);
        all.extend(done.map(|done| (rate, done)));
        ledgers.extend(ledger.map(|ledger| (rate, ledger)));
    }
    (all, ledgers)
}

/// The keys of the selectors that pick control groups.
fn watched(plan: &Plan) -> Vec<u64> {
    let selectors = plan.selectors.iter();
    selectors
        .filter(|selector| selector.takes_control_groups())
        .map(|selector| plan::hash(&selector.key()))
        .collect()
}

/// The CPU time that a group used since `before`, where that is known; and what to remember.
fn used(
    plan: &Plan,
    group: &Group,
    sampled: &Sampled<'_>,
    before: Option<&State>,
    machine: &Machine,
) -> (Option<CpuNanos>, Known) {
    let snapshot = sampled.snapshot;
    let here = group.ledgered.iter().filter(|&&place| snapshot.processes[place].life != Life::Gone);
    let members: Vec<Member> = here
        .map(|&place| {
            let member = member(&snapshot.processes[place]);
            let is_alone =
                group.managers.contains(&place) || group.lone.binary_search(&place).is_ok();
            if is_alone { member.alone() } else { member }
        })
        .collect();
    let counters = group.counters.iter().map(|(counter, _)| counter.clone()).collect();
    let Some(before) = before else {
        let ledger = Ledger { members, debts: Vec::new() };
        return (
            None,
            Known { by_descent: group.by_descent, ledger, counters, ..Known::default() },
        );
    };
    let nothing = Known::default();
    let then = before.groups.get(&group.label);
    let was_watched = |counter: &Counter| {
        let found = group.counters.iter().find(|(other, _)| other == counter);
        found.is_some_and(|(_, selectors)| {
            let mut keys = selectors.iter().map(|&at| plan::hash(&plan.selectors[at].key()));
            keys.any(|key| before.watched.contains(&key))
        })
    };
    let has_members = !members.is_empty();
    let since = Ticks::at(before.taken, machine.hz);
    let life_of = |id| snapshot.life_of(id);
    let (by_ledger, ledger) =
        ledger::settle(then.map(|known| &known.ledger), since, members, life_of);
    let by_counter = counter::settle(&then.unwrap_or(&nothing).counters, &counters, was_watched);
    let by_ledger = by_ledger.map(|ticks| ticks.nanos(machine.hz));
    let used = if group.counters.is_empty() {
        by_ledger
    } else {
        match by_ledger.filter(|_| has_members) {
            Some(used) => Some(used + by_counter.unwrap_or_default()),
            None => by_counter,
        }
    };
    (used, Known { by_descent: group.by_descent, ledger, counters, ..Known::default() })
}

/// What a group is at the moment; none where nobody named it and nothing in it is alive.
fn report(plan: &Plan, group: &Group, sampled: &Sampled<'_>, machine: &Machine) -> Option<Report> {
    let Sampled { snapshot, readings, .. } = sampled;
    let with = |life: Life| {
        let places = group.members.iter().copied();
        places.filter(move |&place| snapshot.processes[place].life == life)
    };
    let alive = || with(Life::Alive);
    let processes = alive().count() as u64 + group.foreign;
    if !group.named && processes == 0 {
        return None;
    }
    let bytes = readings.footprints.as_ref().map(|footprints| {
        let footprints = alive().filter_map(|place| readings.at(footprints, place)).copied();
        memory::sum(plan.memory, footprints, machine.page_size)
    });
    let is_whole = group.is_seen_whole();
    let open_files = readings.open_files.as_ref().filter(|_| is_whole);
    let started = alive().map(|place| snapshot.processes[place].id.start).min();
    let age = |start: Ticks| snapshot.taken.since(BootNanos(start.nanos(machine.hz).0));
    Some(Report {
        selector: group.selector,
        memory: bytes.and_then(|bytes| share(bytes, machine.memory)),
        processes,
        bytes,
        threads: is_whole
            .then(|| alive().map(|place| u64::from(snapshot.processes[place].threads)).sum()),
        zombies: is_whole.then(|| with(Life::Zombie).count() as u64),
        open_files: open_files.and_then(|counts| {
            readings::sum(alive().filter_map(|place| readings.at(counts, place)))
        }),
        uptime: is_whole.then(|| Duration::from_nanos(started.map_or(0, age))),
        ..Report::of_nothing(group.label.clone())
    })
}

fn member(process: &Process) -> Member {
    Member { id: process.id, parent: process.parent, amounts: process.times }
}

/// CPU time per time. `elapsed` in nanoseconds; none where no time has passed.
fn rate(used: CpuNanos, elapsed: u64, machine: &Machine) -> Option<f64> {
    if elapsed == 0 {
        return None;
    }
    let rate = used.0 as f64 / elapsed as f64;
    let ceiling = machine.processors.filter(|_| elapsed < SHORT.nanos(machine.hz).0);
    Some(ceiling.map_or(rate, |processors| rate.min(processors as f64)))
}

/// Part of the whole; none where the whole is not known.
fn share(part: Bytes, whole: Option<Bytes>) -> Option<f64> {
    let whole = whole.filter(|&whole| whole > Bytes(0))?;
    Some(part.0 as f64 / whole.0 as f64)
}
