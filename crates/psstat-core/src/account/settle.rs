//! Computes a report for each group, from the groups of one sample and the accounts of the last.
//!
//! *Example:* the last sample was 10 s ago. The ledger of a group computes 30 ticks of 10 ms, and
//! its counter 0.2 s. The group used 0.5 s of CPU time, so the report shows 0.05 cores.

use super::accounts::{Accounts, GroupAccount};
use super::counter::{self, Counter};
use super::group::Group;
use super::ledger::{self, Ledger, Member};
use super::memory;
use super::rates::{self, Before, Counted, RateLedgers};
use super::totals;
use crate::field::Need;
use crate::model::process::{Life, Process};
use crate::model::readings::{self, Readings};
use crate::model::report::{Rate, Report};
use crate::model::snapshot::Snapshot;
use crate::model::units::{Amounts, BootNanos, Bytes, Count, CpuNanos, Hz, ProcId, Ticks};
use crate::plan::Plan;
use crate::select::selector;
use alloc::vec::Vec;
use core::time::Duration;

/// The properties of the machine that the accounting needs.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Ticks per second.
    pub hz: Hz,
    /// Bytes per page.
    pub page_size: u64,
    /// Total memory. `None` if no field needs it, or it could not be read.
    pub memory: Option<Bytes>,
    /// Number of processors, if it limits the CPU rate: see [`SHORT`].
    pub processors: Option<u64>,
}

/// In an interval shorter than this, rounding to ticks can make a CPU rate larger than the machine
/// allows. Then the rate is limited to the number of processors.
pub const SHORT: Ticks = Ticks(10);

/// The part of a sample that the accounting needs.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'s> {
    /// The processes.
    pub snapshot: &'s Snapshot,
    /// What was read of the members besides their `stat`.
    pub readings: &'s Readings,
    /// The selectors whose control groups were looked for everywhere. One of them that was not found does
    /// not exist.
    pub watched: &'s [usize],
    /// The machine.
    pub machine: Machine,
}

/// Computes what each group cost since the sample with the accounts `before`. Returns the reports,
/// and the accounts to keep for the next sample. Without `before` there are no reports.
pub fn settle(
    plan: &Plan,
    groups: &[Group],
    observation: Observation<'_>,
    before: Option<&Accounts>,
) -> (Vec<Report>, Accounts) {
    let Observation { snapshot, machine, .. } = observation;
    let now = snapshot.taken;
    let keeps_totals = plan.fields.need(Need::CpuTotals);
    let known_totals = before.filter(|_| keeps_totals).map(|before| before.totals.clone());
    let mut accounts = Accounts {
        taken: now,
        cpu_read: observation.readings.cpu_read,
        watched: observation.watched.iter().map(|&index| key(plan, index)).collect(),
        totals: known_totals.unwrap_or_default(),
        groups: Default::default(),
    };
    let mut reports = Vec::new();
    for group in groups {
        let settling = Settling { plan, group, observation, before };
        let (used, ledger, counters) = settling.cpu();
        let (counts, rates) = settling.rates();
        let cpu_time = keeps_totals.then(|| {
            totals::add(&mut accounts.totals, &group.label, used.unwrap_or_default(), now)
        });
        if let Some(before) = before {
            let elapsed = now.since(before.taken);
            // Counters are read before all processes.
            let by_ledger = observation.readings.cpu_read.since(before.cpu_read);
            let cpu_elapsed = if counters.is_empty() { by_ledger } else { elapsed };
            let cpu = used.and_then(|used| rate(used, cpu_elapsed, &machine));
            reports.extend(settling.report(cpu, cpu_time, &counts, elapsed));
        }
        let account = GroupAccount { by_descent: group.by_descent, ledger, counters, rates };
        if account.is_worth_keeping() {
            accounts.groups.insert(group.label.clone(), account);
        }
    }
    totals::forget(&mut accounts.totals, now);
    (reports, accounts)
}

/// Identifies a selector in other samples.
fn key(plan: &Plan, selector: usize) -> u64 {
    selector::hash(&plan.selectors[selector].key())
}

/// One group, to be settled.
#[derive(Clone, Copy)]
struct Settling<'s> {
    plan: &'s Plan,
    group: &'s Group,
    observation: Observation<'s>,
    before: Option<&'s Accounts>,
}

impl Settling<'_> {
    fn life(&self, index: usize) -> Life {
        self.observation.snapshot.processes[index].life
    }

    /// Computes the CPU time that the group used since the last sample, `None` if it is not known.
    /// Also returns the ledger and the counters to keep.
    fn cpu(&self) -> (Option<CpuNanos>, Ledger, Vec<Counter>) {
        let Settling { group, before, .. } = *self;
        let Observation { snapshot, machine, .. } = self.observation;
        let then = before.and_then(|before| before.groups.get(&group.label));
        let known = then.map(|account| &account.ledger);
        let here = group.ledgered.iter().filter(|&&index| self.life(index) != Life::Gone);
        let members: Vec<Member> = here.map(|&index| self.member(index, known)).collect();
        let counters: Vec<Counter> = group.counters().cloned().collect();
        let Some(before) = before else {
            return (None, Ledger { members, debts: Vec::new() }, counters);
        };
        let has_members = !members.is_empty();
        let since = Ticks::at(before.taken, machine.hz);
        let life_of = |id: ProcId| snapshot.life_of(id);
        let (by_ledger, ledger) = ledger::settle(known, since, members, life_of);
        let counters_then = then.map_or(&[][..], |account| &account.counters);
        let was_watched = |counter: &Counter| self.was_watched(counter, before);
        let by_counter = counter::settle(counters_then, &counters, was_watched);
        let used = if counters.is_empty() {
            by_ledger
        } else {
            match by_ledger.filter(|_| has_members) {
                Some(used) => Some(used + by_counter.unwrap_or_default()),
                None => by_counter,
            }
        };
        (used, ledger, counters)
    }

    /// Whether the last sample looked for the control group of a counter.
    fn was_watched(&self, counter: &Counter, before: &Accounts) -> bool {
        let picked = self.group.control_groups.iter();
        let mut picked = picked.filter(|picked| picked.counter.as_ref() == Some(counter));
        picked.next().is_some_and(|picked| {
            let mut keys = picked.selectors.iter().map(|&index| key(self.plan, index));
            keys.any(|key| before.watched.contains(&key))
        })
    }

    /// The member at that index. If its exact time could be read at the last sample and cannot be now,
    /// its ticks may show less than was counted. Then its own time is what was counted.
    fn member(&self, index: usize, known: Option<&Ledger>) -> Member {
        let Observation { snapshot, readings, machine, .. } = self.observation;
        let process: &Process = &snapshot.processes[index];
        let own = readings.at(&readings.own_times, index).copied().unwrap_or_default();
        let then = known.and_then(|known| known.find(process.id.pid));
        let then = then.filter(|then| then.id == process.id);
        let counted = then.map_or(CpuNanos(0), |then| then.amounts.own);
        let amounts =
            Amounts { own: own.max(counted), children: process.times.children.nanos(machine.hz) };
        let member = Member { id: process.id, parent: process.parent, amounts };
        let is_alone = self.group.managers.binary_search(&index).is_ok()
            || self.group.lone.binary_search(&index).is_ok();
        if is_alone { member.alone() } else { member }
    }

    /// Computes the count of each rate since the last sample, if it is known. Also returns the
    /// ledgers to keep.
    fn rates(&self) -> (Vec<(Rate, Count)>, RateLedgers) {
        let Observation { snapshot, readings, machine, .. } = self.observation;
        let counted = Counted { snapshot, readings, now: Ticks::at(snapshot.taken, machine.hz) };
        let taken = self.before.map_or(BootNanos(0), |before| before.taken);
        let since = Ticks::at(taken, machine.hz);
        let mut counts = Vec::new();
        let mut ledgers = RateLedgers::new();
        for rate in Rate::ALL.into_iter().filter(|&rate| self.plan.fields.show_rate(rate)) {
            let known = self.before.map(|before| before.groups.get(&self.group.label));
            let then = match known {
                None => Before::Unknown,
                Some(None) => Before::Absent,
                Some(Some(known)) => known.rates.get(&rate).map_or(Before::Unknown, Before::Kept),
            };
            let (count, ledger) = rates::settle(rate, self.group, counted, then, since);
            counts.extend(count.map(|count| (rate, count)));
            ledgers.extend(ledger.map(|ledger| (rate, ledger)));
        }
        (counts, ledgers)
    }

    /// The report of the group. `None` if it is not known who belongs to it, or if it has no live process
    /// and is not named. `elapsed` is in
    /// nanoseconds.
    fn report(
        &self,
        cpu: Option<f64>,
        cpu_time: Option<CpuNanos>,
        counts: &[(Rate, Count)],
        elapsed: u64,
    ) -> Option<Report> {
        let Settling { plan, group, .. } = *self;
        let Observation { snapshot, readings, machine, .. } = self.observation;
        let with = |life: Life| {
            let members = group.members.iter().copied();
            members.filter(move |&index| self.life(index) == life)
        };
        let alive = || with(Life::Alive);
        let processes = alive().count() as u64 + group.foreign;
        if group.doubt.is_some() || (!group.named && processes == 0) {
            return None;
        }
        let bytes = readings.footprints.as_ref().map(|footprints| {
            let footprints = alive().filter_map(|index| readings.at(footprints, index)).copied();
            memory::sum(plan.memory, footprints, machine.page_size)
        });
        let is_whole = group.is_seen_whole();
        let threads = || alive().map(|index| u64::from(snapshot.processes[index].threads)).sum();
        let open_files = readings.open_files.as_ref().filter(|_| is_whole);
        let started = alive().map(|index| snapshot.processes[index].id.start).min();
        let age = |start: Ticks| snapshot.taken.since(BootNanos(start.nanos(machine.hz).0));
        let per_second = |count: Count| count.0 as f64 * 1e9 / elapsed as f64;
        let counts = counts.iter().filter(|_| elapsed > 0 && is_whole);
        Some(Report {
            label: group.label.clone(),
            selector: group.selector,
            cpu,
            memory: bytes.and_then(|bytes| fraction(bytes, machine.memory)),
            processes,
            bytes,
            threads: is_whole.then(threads),
            zombies: is_whole.then(|| with(Life::Zombie).count() as u64),
            open_files: open_files.and_then(|counts| {
                readings::sum(alive().filter_map(|index| readings.at(counts, index)))
            }),
            uptime: is_whole.then(|| Duration::from_nanos(started.map_or(0, age))),
            cpu_time,
            rates: counts.map(|&(rate, count)| (rate, per_second(count))).collect(),
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

/// `part` as a fraction of `whole`. `None` if the whole is not known.
fn fraction(part: Bytes, whole: Option<Bytes>) -> Option<f64> {
    let whole = whole.filter(|&whole| whole > Bytes(0))?;
    Some(part.0 as f64 / whole.0 as f64)
}
