//! Groups: which processes are counted together, under which name, and what they cost.

use super::cpu::{self, Ledger, Member};
use super::memory::{self, Footprint, MemoryMode};
use super::tree::{Descent, Tree};
use crate::label::Label;
use crate::plan::Plan;
use crate::sample::{Life, Process, Snapshot};
use crate::select::Root;
use crate::units::{BootNanos, Bytes, Hz, Ticks};
use std::collections::{BTreeMap, BTreeSet};

/// Processes that are counted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What it is called in the output.
    pub label: Label,
    /// Whether the user named it: then it is reported even when nothing is in it.
    pub named: bool,
    /// Places of its members in the snapshot, sorted, each once; zombies among them.
    pub members: Vec<usize>,
}

/// What a group cost since the last sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What it is called.
    pub label: Label,
    /// CPU time per time, 1 for one core kept busy; none where it is not known yet.
    pub cpu: Option<f64>,
    /// Part of the machine's memory; none where it is not known how much that has.
    pub memory: Option<f64>,
    /// Processes alive, zombies not counted.
    pub processes: u64,
}

/// What is remembered from one sample to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Which boot of the machine this was.
    pub boot_id: Vec<u8>,
    /// When the sample began.
    pub taken: BootNanos,
    /// Each group.
    pub ledgers: BTreeMap<Label, Ledger>,
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

/// Forms the groups: by the selectors' names, else by the roots' own, in the order in which their
/// first selector was typed, then by name. A named group is there even with no process in it.
pub fn form(plan: &Plan, snapshot: &Snapshot, tree: &Tree, roots: &[Root]) -> Vec<Group> {
    /// First selector, and roots.
    type Draft = (usize, Vec<usize>);
    let mut drafts: BTreeMap<Label, Draft> = BTreeMap::new();
    let mut named = BTreeSet::new();
    for (order, selector) in plan.selectors.iter().enumerate() {
        if let Some(name) = &selector.name {
            named.insert(name.clone());
            drafts.entry(name.clone()).or_insert((order, Vec::new()));
        }
    }
    // Roots that share a name share its label; it is made once per name.
    let mut labels: Vec<Option<Label>> = vec![None; snapshot.names.texts().count()];
    for root in roots {
        let label = plan.selectors[root.selector].name.clone().unwrap_or_else(|| {
            let comm = snapshot.processes[root.process].comm;
            let label = &mut labels[crate::sample::Names::place(comm)];
            label.get_or_insert_with(|| Label::lossy(snapshot.names.text(comm))).clone()
        });
        let draft = drafts.entry(label).or_insert((root.selector, Vec::new()));
        draft.0 = draft.0.min(root.selector);
        draft.1.push(root.process);
    }
    let mut drafts: Vec<(Label, Draft)> = drafts.into_iter().collect();
    // Stable, so that groups of one selector stay in the order of their names.
    drafts.sort_by_key(|&(_, (order, _))| order);
    let mut descent = Descent::new(tree);
    drafts
        .into_iter()
        .map(|(label, (_, roots))| {
            let named = named.contains(&label);
            Group { label, named, members: descent.of(roots) }
        })
        .collect()
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
    /// Those whose memory was read: places in the snapshot, sorted.
    pub measured: &'s [usize],
    /// Their memory, in the same order; empty where none was read.
    pub footprints: &'s [Footprint],
}

impl Sampled<'_> {
    fn footprint(&self, place: usize) -> Footprint {
        let found = self.measured.binary_search(&place).ok();
        found.and_then(|at| self.footprints.get(at)).copied().unwrap_or_default()
    }
}

/// Reckons what each group cost since `before`, and what to remember. Without `before` there is
/// nothing to report, only to remember.
pub fn account(
    groups: Vec<Group>,
    sampled: Sampled<'_>,
    before: Option<&State>,
    mode: MemoryMode,
    machine: &Machine,
) -> (Vec<Report>, State) {
    let snapshot = sampled.snapshot;
    let since = before.map_or(BootNanos(0), |state| state.taken);
    let elapsed = snapshot.taken.since(since);
    let mut reports = Vec::new();
    let mut state = State {
        boot_id: sampled.boot_id.to_vec(),
        taken: snapshot.taken,
        ledgers: BTreeMap::new(),
    };
    for group in groups {
        let present = || {
            let places = group.members.iter().copied();
            places.filter(|&place| snapshot.processes[place].life != Life::Gone)
        };
        if !group.named && present().next().is_none() {
            continue;
        }
        let members = present().map(|place| member(&snapshot.processes[place])).collect();
        let ledger = before.and_then(|state| state.ledgers.get(&group.label));
        let life_of = |id| snapshot.life_of(id);
        let (used, ledger) = match before {
            Some(_) => cpu::settle(ledger, Ticks::at(since, machine.hz), members, life_of),
            None => (None, Ledger { members, debts: Vec::new() }),
        };
        if before.is_some() {
            let alive = |place: &usize| snapshot.processes[*place].life == Life::Alive;
            let footprints = present().map(|place| sampled.footprint(place));
            let bytes = memory::sum(mode, footprints, machine.page_size);
            reports.push(Report {
                label: group.label.clone(),
                cpu: used.and_then(|used| rate(used, elapsed, machine)),
                memory: share(bytes, machine.memory),
                processes: present().filter(alive).count() as u64,
            });
        }
        state.ledgers.insert(group.label, ledger);
    }
    (reports, state)
}

fn member(process: &Process) -> Member {
    Member { id: process.id, parent: process.parent, times: process.times }
}

/// CPU time per time. `elapsed` in nanoseconds; none where no time has passed.
fn rate(used: Ticks, elapsed: u64, machine: &Machine) -> Option<f64> {
    if elapsed == 0 {
        return None;
    }
    let rate = used.nanos(machine.hz).0 as f64 / elapsed as f64;
    let ceiling = machine.processors.filter(|_| elapsed < SHORT.nanos(machine.hz).0);
    Some(ceiling.map_or(rate, |processors| rate.min(processors as f64)))
}

/// Part of the whole; none where the whole is not known.
fn share(part: Bytes, whole: Option<Bytes>) -> Option<f64> {
    let whole = whole.filter(|&whole| whole > Bytes(0))?;
    Some(part.0 as f64 / whole.0 as f64)
}
