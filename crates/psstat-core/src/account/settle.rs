//! Computes a report for each group, from the groups of one sample and the accounts of the last.
//!
//! *Example:* the last sample was 10 s ago. The ledger of a group computes 30 ticks of 10 ms, and
//! its counter 0.2 s. The group used 0.5 s of CPU time, so the report shows 0.05 cores.

use super::accounts::{Accounts, GroupAccount};
use super::counter::{self, Counter, KnownCounters};
use super::figures::{self, Changes, FigureCounters};
use super::group::{Group, PickedControlGroup};
use super::ledger::{Ledger, Member, Settled, Settlement};
use super::link::Link;
use super::memory::Accounted;
use super::names::JOINT_NAME;
use super::observation::{Machine, Observation};
use super::rates::{self, Before, Counted, Done};
use super::sets::{SetId, Sets};
use super::starts::{self, Started};
use super::summary::{self, Summary};
use super::totals::{self, Totals};
use crate::field::Need;
use crate::model::collect;
use crate::model::control_group::{ControlGroup, Figure};
use crate::model::label::Label;
use crate::model::process::{Life, Process};
use crate::model::readings::Readings;
use crate::model::report::{Rate, Report, Tally};
use crate::model::units::{Amounts, BootNanos, Bytes, Count, CpuNanos, ProcId, Ticks};
use crate::plan::Plan;
use crate::select::selector;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

/// In an interval shorter than this, rounding to ticks can make a CPU rate larger than the machine
/// allows. Then the rate is limited to the number of processors.
pub const SHORT: Ticks = Ticks(10);

/// The outcome of a sample.
#[derive(Debug)]
pub struct Outcome {
    /// A report for each group that has a line. Empty if there was nothing to compare with.
    pub reports: Vec<Report>,
    /// What to keep for the next sample.
    pub accounts: Accounts,
    /// The groups whose CPU time or rates are left out, because it would have taken too long to work them
    /// out.
    pub left_out: Vec<Label>,
}

/// Computes what each group cost since the sample with the accounts `before`. Without these there are no
/// reports.
pub fn settle(
    plan: &Plan,
    groups: &[Group],
    observation: Observation<'_>,
    before: Option<&Accounts>,
) -> Outcome {
    let nothing = Sets::default();
    let groups_then = before.map_or(0, |before| before.groups.len());
    let then: Vec<&Label> = before.into_iter().flat_map(|before| before.groups.keys()).collect();
    let joint = observation.membership.joint;
    let joint_name = joint_name();
    let linked: Vec<(Option<u32>, bool)> = groups
        .iter()
        .map(|group| (number(&then, &group.label), group.named))
        .chain(joint.map(|_| (number(&then, &joint_name), true)))
        .collect();
    let sets_then = before.map_or(&nothing, |before| &before.sets);
    let link = Link::new(sets_then, &observation.membership.sets, &linked, groups_then);
    let accounted = accounted(observation.readings, groups.len());
    let (accounted, link) = (&accounted[..], &link);
    let settling = Settling { plan, groups, observation, before, link, accounted };
    let cpu = settling.cpu();
    let rates = settling.rates();
    let summaries = summary::of_groups(observation, plan.memory, settling.group_count());
    let started = settling.started();

    let now = observation.snapshot.taken;
    let keeps_totals = plan.fields.need(Need::Totals);
    let known_totals = before.filter(|_| keeps_totals).map(|before| before.totals.clone());
    let mut totals = known_totals.unwrap_or_default();
    let mut reports = Vec::new();
    let mut kept = Vec::new();
    for (group, summary) in groups.iter().zip(&summaries) {
        let own_counters: Vec<Counter> = group.counters().cloned().collect();
        let counters_then = settling.counters_then(group);
        let used = settling.used(group, cpu.settled[group.index], &counters_then);
        let own_figures = settling.figures(group);
        let cpu_time = keeps_totals
            .then(|| totals::add(&mut totals, &group.label, used.unwrap_or_default(), now));
        if let Some(before) = before {
            let elapsed = now.since(before.taken);
            // Counters are read before all processes.
            let by_ledger = observation.readings.cpu_read.since(before.cpu_read);
            let cpu_elapsed = if own_counters.is_empty() { by_ledger } else { elapsed };
            let cpu = used.and_then(|used| rate(used, cpu_elapsed, &observation.machine));
            let counts =
                rates.iter().filter_map(|(&rate, done)| Some((rate, done.counts[group.index]?)));
            let counts: Vec<(Rate, Count)> = counts.collect();
            let figures = settling.changes(group, &own_figures, before, &counters_then);
            let starts = started.as_ref().map(|started| started[group.index].count);
            let mut measured = Measured {
                cpu,
                cpu_time,
                counts: &counts,
                elapsed,
                figures,
                starts,
                totals: BTreeMap::new(),
            };
            if keeps_totals {
                let is_kept = |rate| rates.get(&rate).is_some_and(|done| done.is_kept[group.index]);
                measured.totals = settling.count(group, &measured, &is_kept, &mut totals);
            }
            reports.extend(settling.report(group, summary, measured));
        }
        let recent = started.as_ref().map(|started| started[group.index].recent.clone());
        let started = recent.unwrap_or_default();
        kept.push(Kept { counters: own_counters, figures: own_figures, started });
    }
    totals::forget(&mut totals, now);
    let left_out = groups.iter().filter(|group| {
        cpu.settled[group.index].is_left_out
            || rates.values().any(|done| done.is_left_out[group.index])
    });
    let left_out = left_out.map(|group| group.label.clone()).collect();
    let accounts = Accounts { totals, ..settling.accounts(cpu, rates, kept) };
    Outcome { reports, accounts, left_out }
}

/// For each of so many groups: its members that are all the processes of control groups.
fn accounted(readings: &Readings, groups: usize) -> Vec<Option<Accounted>> {
    let mut of_groups: Vec<Option<Accounted>> = vec![None; groups];
    for control_group in &readings.accounted {
        let accounted = Accounted::of(control_group, readings);
        for &group in &control_group.groups {
            match &mut of_groups[group as usize] {
                Some(known) => known.join(&accounted),
                none => *none = Some(accounted),
            }
        }
    }
    of_groups
}

/// The name in the accounts of the group that has the processes of all others: see
/// [`joint`](super::membership::Membership::joint).
fn joint_name() -> Label {
    Label::lossy(JOINT_NAME.as_bytes())
}

/// The place of a label among `labels`, which are sorted.
fn number(labels: &[&Label], label: &Label) -> Option<u32> {
    labels.binary_search(&label).ok().map(|place| place as u32)
}

/// Identifies a selector in other samples.
fn key(plan: &Plan, selector: usize) -> u64 {
    selector::hash(&plan.selectors[selector].key())
}

/// The groups, to be settled.
#[derive(Clone, Copy)]
struct Settling<'s> {
    plan: &'s Plan,
    groups: &'s [Group],
    observation: Observation<'s>,
    before: Option<&'s Accounts>,
    link: &'s Link<'s>,
    /// For each group, by its number: its members that are all the processes of control groups.
    accounted: &'s [Option<Accounted>],
}

/// The CPU time of the members that no counter includes.
struct Cpu {
    /// For each group.
    settled: Vec<Settled<CpuNanos>>,
    /// The ledger to keep.
    ledger: Ledger,
}

/// What is kept of a group besides ledgers.
struct Kept {
    counters: Vec<Counter>,
    figures: Vec<FigureCounters>,
    started: Vec<ProcId>,
}

impl Kept {
    fn is_empty(&self) -> bool {
        self.counters.is_empty() && self.figures.is_empty() && self.started.is_empty()
    }
}

/// What a group used since the last sample.
struct Measured<'m> {
    /// In cores.
    cpu: Option<f64>,
    cpu_time: Option<CpuNanos>,
    counts: &'m [(Rate, Count)],
    /// The time since the last sample, in nanoseconds.
    elapsed: u64,
    figures: Changes,
    starts: Option<u64>,
    totals: BTreeMap<Tally, u64>,
}

impl Settling<'_> {
    /// The number of groups, the joint one included.
    fn group_count(&self) -> usize {
        self.groups.len() + usize::from(self.observation.membership.joint.is_some())
    }

    /// The account of a group at the last sample.
    fn then(&self, group: &Group) -> Option<&GroupAccount> {
        self.before?.groups.get(&group.label)
    }

    /// Settles the ledger of CPU time.
    fn cpu(&self) -> Cpu {
        let Observation { snapshot, machine, membership, ends, .. } = self.observation;
        let is_here = |&(index, &groups): &(usize, &SetId)| {
            groups != SetId::EMPTY && snapshot.processes[index].life != Life::Gone
        };
        let members = membership.ledgered.iter().enumerate().filter(is_here);
        let members: Vec<Member> =
            members.map(|(index, &groups)| self.member(index, groups)).collect();
        let Some(before) = self.before else {
            let settled = vec![Settled::default(); self.group_count()];
            return Cpu { settled, ledger: Ledger { members, debts: Vec::new() } };
        };
        let settlement = Settlement {
            then: &before.ledger,
            since: Ticks::at(before.taken, machine.hz),
            now: &members,
            link: self.link,
            ends,
            are_children_apart: true,
            joint: membership.joint,
        };
        let (mut settled, mut debts) = settlement.settle(&|id| snapshot.life_of(id));
        let mut is_unknown: Vec<bool> = self
            .groups
            .iter()
            .map(|group| self.then(group).is_some_and(|then| !then.has_ledger))
            .collect();
        is_unknown.resize(self.group_count(), false);
        for (settled, _) in settled.iter_mut().zip(&is_unknown).filter(|(_, unknown)| **unknown) {
            settled.used = None;
        }
        debts.retain(|debt| !is_unknown[debt.group as usize]);
        Cpu { settled, ledger: Ledger { members, debts } }
    }

    /// The counters of a group at the last sample.
    fn counters_then(&self, group: &Group) -> KnownCounters<'_> {
        KnownCounters::of(self.then(group).map_or(&[], |account| &account.counters))
    }

    /// The CPU time that a group used since the last sample, `None` if it is not known. `by_ledger` is
    /// that of the members that no counter includes.
    fn used(
        &self,
        group: &Group,
        by_ledger: Settled<CpuNanos>,
        counters_then: &KnownCounters<'_>,
    ) -> Option<CpuNanos> {
        let before = self.before?;
        let picked = group.control_groups.iter();
        let now = picked.filter_map(|picked| Some((picked.counter.as_ref()?, picked)));
        let was_looked_for = |picked| self.was_looked_for(picked, before);
        let by_counter = counter::settle(counters_then, now, was_looked_for);
        if group.counters().next().is_none() {
            // Of processes that cannot be read, only a counter knows what they used.
            let is_exclusive =
                self.observation.membership.joint.is_some_and(|joint| joint.is_exclusive);
            return by_ledger.used.filter(|_| !is_exclusive || group.is_seen_whole());
        }
        if by_ledger.is_left_out {
            return None;
        }
        match by_ledger.used.filter(|_| by_ledger.has_members) {
            Some(used) => Some(used + by_counter.unwrap_or_default()),
            None => by_counter,
        }
    }

    /// Whether the last sample looked for a control group.
    fn was_looked_for(&self, picked: &PickedControlGroup, before: &Accounts) -> bool {
        let mut keys = picked.selectors.iter().map(|&index| key(self.plan, index));
        keys.any(|key| before.watched.contains(&key))
    }

    /// The counters of the control groups of a group, besides that of CPU time. Empty if no field needs them,
    /// or it has other members than those of its control groups.
    fn figures(&self, group: &Group) -> Vec<FigureCounters> {
        if !group.is_of_control_groups() || !self.plan.fields.need_figures() {
            return Vec::new();
        }
        let picked = group.picked(self.observation.control_groups);
        picked.map(FigureCounters::of).collect()
    }

    /// What the control groups of a group, with these counters, counted since the last sample, and have now.
    fn changes(
        &self,
        group: &Group,
        now: &[FigureCounters],
        before: &Accounts,
        counters_then: &KnownCounters<'_>,
    ) -> Changes {
        if now.is_empty() {
            return Changes::default();
        }
        let nothing = GroupAccount::default();
        let then = self.then(group).unwrap_or(&nothing);
        let is_new = |index: usize| {
            let one: &FigureCounters = &now[index];
            // Without its counters, it may have been there.
            let was_there = counters_then.get(&one.path, one.id).is_some();
            !was_there && self.was_looked_for(&group.control_groups[index], before)
        };
        let known = figures::before(&then.figures, now, is_new);
        let mut changes = Changes::default();
        for figure in Figure::COUNTERS {
            if now.iter().all(|one| one.counts.contains_key(&figure)) {
                let gain = figures::gain(figure, &known, now);
                changes.gains.insert(figure, gain);
            }
        }
        let groups: Vec<&ControlGroup> = group.picked(self.observation.control_groups).collect();
        for figure in Figure::LEVELS {
            if let Some(level) = figures::level(figure, &groups) {
                changes.levels.insert(figure, level);
            }
        }
        changes
    }

    /// For each group: its members that have started. `None` if no field needs them.
    fn started(&self) -> Option<Vec<Started>> {
        if !self.plan.fields.need(Need::Starts) {
            return None;
        }
        let Observation { snapshot, tree, membership, machine, .. } = self.observation;
        let now = Ticks::at(snapshot.taken, machine.hz);
        let since = self.before.map(|before| Ticks::at(before.taken, machine.hz));
        let known =
            |group: usize| self.then(&self.groups[group]).map_or(&[][..], |then| &then.started);
        let processes = starts::Processes { snapshot, tree, membership };
        Some(starts::find(processes, (since, now), self.groups.len(), known))
    }

    /// Adds what a group did since the last sample to its totals. Returns those that are known. A rate of
    /// which all members could be read `is_kept`.
    fn count(
        &self,
        group: &Group,
        measured: &Measured<'_>,
        is_kept: &dyn Fn(Rate) -> bool,
        totals: &mut Totals,
    ) -> BTreeMap<Tally, u64> {
        let mut gains: Vec<(Tally, u64)> = Vec::new();
        if group.is_seen_whole() {
            for rate in Rate::ALL.into_iter().filter(|&rate| is_kept(rate)) {
                let count = measured.counts.iter().find(|(counted, _)| *counted == rate);
                gains.push((Tally::Rate(rate), count.map_or(0, |(_, count)| count.0)));
            }
            gains.extend(measured.starts.map(|starts| (Tally::Starts, starts)));
        }
        for (&figure, gain) in &measured.figures.gains {
            let gain = gain.unwrap_or_default();
            let most = if figure.is_part_of_time() { measured.elapsed } else { u64::MAX };
            gains.push((Tally::Figure(figure), gain.min(most)));
        }
        if group.named && group.control_groups.is_empty() {
            // What happened to a unit that does not run now stays known.
            let known = totals.get(&group.label).map(|total| total.counts.clone());
            let of_figures = known.into_iter().flatten();
            let of_figures = of_figures.filter(|(tally, _)| matches!(tally, Tally::Figure(_)));
            gains.extend(of_figures.map(|(tally, _)| (tally, 0)));
        }
        let add = |(tally, gain)| (tally, totals::count(totals, &group.label, tally, gain));
        collect::map(gains.into_iter().map(add))
    }

    /// The member at that index. If its exact time could be read at the last sample and cannot be now,
    /// its ticks may show less than was counted. Then its own time is what was counted.
    fn member(&self, index: usize, groups: SetId) -> Member {
        let Observation { snapshot, readings, machine, .. } = self.observation;
        let process: &Process = &snapshot.processes[index];
        let own = readings.at(&readings.own_times, index).copied().unwrap_or_default();
        let then = self.before.and_then(|before| before.ledger.find(process.id));
        let counted = then.map_or(CpuNanos(0), |then| then.amounts.own);
        let amounts =
            Amounts { own: own.max(counted), children: process.times.children.nanos(machine.hz) };
        Member { id: process.id, parent: process.parent, amounts, groups }
    }

    /// Settles the ledger of each rate that could be read.
    fn rates(&self) -> BTreeMap<Rate, Done> {
        let Observation { snapshot, readings, membership, machine, .. } = self.observation;
        let now = Ticks::at(snapshot.taken, machine.hz);
        let counted = Counted { snapshot, readings, membership, now };
        let taken = self.before.map_or(BootNanos(0), |before| before.taken);
        let since = Ticks::at(taken, machine.hz);
        let shown = Rate::ALL.into_iter().filter(|&rate| self.plan.fields.show_rate(rate));
        let settle = |rate| {
            let ledger = self.before.and_then(|before| before.rates.get(&rate));
            let known = |group: &Group| match self.then(group) {
                _ if self.before.is_none() => Before::Unknown,
                None => Before::Absent,
                Some(then) if then.rates.contains(&rate) => Before::Kept,
                Some(_) => Before::Unknown,
            };
            let joint = membership.joint.map(|_| match self.before {
                None => Before::Unknown,
                Some(_) => Before::Kept,
            });
            let known: Vec<Before> = self.groups.iter().map(known).chain(joint).collect();
            let done = rates::settle(rate, counted, (ledger, since), self.link, &known)?;
            Some((rate, done))
        };
        collect::map(shown.filter_map(settle))
    }

    /// What to keep for the next sample, without totals.
    fn accounts(&self, cpu: Cpu, rates: BTreeMap<Rate, Done>, kept: Vec<Kept>) -> Accounts {
        let Observation { snapshot, readings, membership, watched, .. } = self.observation;
        let Cpu { settled, mut ledger } = cpu;
        let mut is_kept = vec![false; self.group_count()];
        for (group, kept) in kept.iter().enumerate() {
            is_kept[group] = settled[group].is_left_out || !kept.is_empty();
        }
        let debts = ledger.debts.iter().map(|debt| debt.group);
        debts
            .chain(rates.values().flat_map(|done| done.ledger.debts.iter().map(|debt| debt.group)))
            .for_each(|group| is_kept[group as usize] = true);
        let ids = ledger.members.iter().map(|member| member.groups);
        let of_rates = rates.values().flat_map(|done| &done.ledger.members);
        let ids: Vec<SetId> = ids.chain(of_rates.map(|member| member.groups)).collect();
        let (used, _) = membership
            .sets
            .compact(ids.iter().copied(), &Vec::from_iter(0..self.group_count() as u32));
        used.as_slice().iter().for_each(|set| is_kept[set.group as usize] = true);

        let mut groups = BTreeMap::new();
        for ((group, kept), settled) in self.groups.iter().zip(kept).zip(&settled) {
            if is_kept[group.index] {
                let rates = rates.iter().filter(|(_, done)| done.is_kept[group.index]);
                let rates = collect::set(rates.map(|(&rate, _)| rate));
                let has_ledger = !settled.is_left_out;
                let by_descent = group.by_descent;
                let Kept { counters, figures, started } = kept;
                let account =
                    GroupAccount { by_descent, has_ledger, counters, rates, figures, started };
                groups.insert(group.label.clone(), account);
            }
        }
        let joint_name = joint_name();
        if membership.joint.is_some_and(|joint| is_kept[joint.group as usize]) {
            let rates = collect::set(rates.keys().copied());
            // It has all processes.
            let (by_descent, has_ledger) = (true, true);
            let account = GroupAccount { by_descent, has_ledger, rates, ..GroupAccount::default() };
            groups.insert(joint_name.clone(), account);
        }
        let kept: Vec<&Label> = groups.keys().collect();
        let labels = self.groups.iter().map(|group| &group.label);
        let labels = labels.chain(membership.joint.map(|_| &joint_name));
        let numbers = labels.map(|label| number(&kept, label));
        let numbers: Vec<u32> = numbers.map(Option::unwrap_or_default).collect();
        let (sets, new_ids) = membership.sets.compact(ids.into_iter(), &numbers);
        let mut rates = collect::map(rates.into_iter().map(|(rate, done)| (rate, done.ledger)));
        ledger.renumber(&new_ids, &numbers);
        rates.values_mut().for_each(|ledger| ledger.renumber(&new_ids, &numbers));
        Accounts {
            taken: snapshot.taken,
            cpu_read: readings.cpu_read,
            watched: watched.iter().map(|&index| key(self.plan, index)).collect(),
            groups,
            sets,
            ledger,
            rates,
            ..Accounts::default()
        }
    }

    /// The report of a group. `None` if it is not known who belongs to it, if it has no live process and is not
    /// named, or if nobody asked for it.
    fn report(&self, group: &Group, summary: &Summary, measured: Measured<'_>) -> Option<Report> {
        let Observation { snapshot, readings, machine, .. } = self.observation;
        let Measured { cpu, cpu_time, counts, elapsed, figures, starts, totals } = measured;
        let processes = summary.alive + group.foreign;
        let is_hidden = group.rest.is_some_and(|rest| self.plan.hides(rest));
        if is_hidden || group.doubt.is_some() || (!group.named && processes == 0) {
            return None;
        }
        // A sum over some of the processes would look like the sum over all.
        let is_whole = group.is_seen_whole();
        let footprints = readings.footprints.as_ref().filter(|_| is_whole);
        let bytes = footprints.and_then(|_| {
            let accounted = self.accounted[group.index].iter();
            summary.memory.total(self.plan.memory, accounted, machine.memory)
        });
        let open_files = readings.open_files.as_ref().filter(|_| is_whole);
        let age = |start: Ticks| snapshot.taken.since(BootNanos(start.nanos(machine.hz).0));
        let per_second = |count: Count| count.0 as f64 * 1e9 / elapsed as f64;
        let counts = counts.iter().filter(|_| elapsed > 0 && is_whole);
        let gains = figures.gains.into_iter().filter(|_| elapsed > 0);
        let gains = gains.filter_map(|(figure, gain)| {
            let rate = gain? as f64 / elapsed as f64;
            // Its files are read shortly after the sample began.
            Some((figure, if figure.is_part_of_time() { rate.min(1.0) } else { rate }))
        });
        let swap = readings.swap.as_ref().filter(|_| is_whole);
        let swap = swap.and_then(|_| summary.swap.total());
        Some(Report {
            label: group.label.clone(),
            selector: group.selector,
            cpu,
            memory: bytes.and_then(|bytes| fraction(bytes, machine.memory?.total)),
            processes,
            bytes,
            threads: is_whole.then_some(summary.threads),
            zombies: is_whole.then_some(summary.zombies),
            open_files: open_files.and_then(|_| summary.open_files.total()),
            uptime: is_whole.then(|| Duration::from_nanos(summary.started.map_or(0, age))),
            cpu_time,
            rates: collect::map(counts.map(|&(rate, count)| (rate, per_second(count)))),
            swap: figures.levels.get(&Figure::Swap).copied().or(swap).map(Bytes),
            starts: starts.filter(|_| is_whole),
            gains: collect::map(gains),
            levels: figures.levels,
            totals,
        })
    }
}

/// CPU time per elapsed time, in cores. `elapsed` is in nanoseconds. `None` if it is 0.
fn rate(used: CpuNanos, elapsed: u64, machine: &Machine) -> Option<f64> {
    if elapsed == 0 {
        return None;
    }
    let rate = used.0 as f64 / elapsed as f64;
    let ceiling = machine.processors.filter(|_| elapsed < SHORT.nanos(machine.hz).0);
    Some(ceiling.map_or(rate, |processors| rate.min(processors as f64)))
}

/// `part` as a fraction of `whole`. `None` if the whole is 0.
fn fraction(part: Bytes, whole: Bytes) -> Option<f64> {
    (whole > Bytes(0)).then(|| part.0 as f64 / whole.0 as f64)
}
