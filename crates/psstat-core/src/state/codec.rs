//! The encoding of the state in the cache file.
//!
//! ```text
//! magic      8 bytes  "psstat\r\n": detects other files, and copies with converted line ends
//! version    u16      little endian
//! checksum   u32      little endian, CRC-32 of all bytes after it
//! boot id    length, bytes
//! taken      nanoseconds since boot
//! cpu read   nanoseconds since boot
//! watched    count, then for each selector of control groups: the hash of its key
//! tracker    0 if there is none, else 1, then: offset, newest (count, then each), forks (0 if
//!            unknown, else the number plus 1), cursor, met, population, rounds left
//! known      names: count, then for each: length, bytes
//!            turn
//!            processes: count, then for each, by rising pid: difference to the pid before, parent,
//!            start as below, own, children, threads, 1 if it is a zombie else 0, 1 if it is a member else 0,
//!            index of its name, clock (0 if there is none, else the number plus 1)
//! groups     count, then for each:
//!   label    length, UTF-8
//!   descent  0 or 1
//!   ledger   1 if its CPU time is in the ledger, else 0
//!   counters count, then for each: path (length, bytes), id, nanoseconds used
//!   rates    count, then for each, by rising number: number
//!   figures  count, then for each control group: path (length, bytes), id, counters (count, then for each, by
//!            rising number: number, value)
//!   started  count, then for each, by rising pid: difference to the pid before, start as below
//! sets       count, then for each: the set that it adds a group to (0 if that is empty, 1 for the first
//!            set here), twice the index of the group, plus 1 if it is without children
//! ledger
//!   members  count, then for each, by rising pid: difference to the pid before, parent, start (the
//!            difference to the one before, see below), own, children, set as above
//!   debts    count, then for each, by rising group: group, heir, owed
//! rates      count, then for each, by rising number: number, members and debts as above
//! totals     count, then for each: label, nanoseconds used, last seen, counts (count, then for each, by
//!            rising number: number, value)
//! memory     turn
//!   paths    count, then for each: length, bytes
//!   members  count, then for each, by rising pid: difference to the pid before, start as above, the control
//!            group that accounts it (0 if unknown, 1 if none, else the index of its path plus 2), huge pages
//!            (0 if unknown, else the clock plus 1, then bytes), `smaps_rollup` (0 if it was not read, 1 if it
//!            cannot be read, else 2, then seven sizes in bytes, the number of relatives and the CPU time)
//!   accounts count, then for each, by rising path: index of the path, hash of the members, hash of their
//!            clocks (0 if unknown, else 1 and the hash), bytes, then 0 for nothing, or 1 and two sizes in bytes, or 2 and the pid and start of a stranger
//! ```
//!
//! Numbers are unsigned LEB128: seven bits per byte, the lowest bits first, and the top bit set in
//! all bytes but the last. A start is twice the difference to the one before it, or one less than twice
//! the distance if it is earlier: processes with pids near each other often started near each other.
//! Groups and totals are sorted by label.

mod memory;
mod primitives;

use super::State;
use crate::account::accounts::{Accounts, GroupAccount};
use crate::account::counter::Counter;
use crate::account::figures::FigureCounters;
use crate::account::ledger::{Debt, Ledger, Member, Quantity};
use crate::account::sets::{Set, SetId, Sets};
use crate::account::totals::Total;
use crate::discovery::known::{Known, KnownProcess};
use crate::discovery::tracker::PidTracker;
use crate::model::control_group::Figure;
use crate::model::label::Label;
use crate::model::process::{Life, Names, Process, Times};
use crate::model::report::{Rate, Tally};
use crate::model::units::{Amounts, BootNanos, CpuNanos, ProcId, Ticks};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use primitives::{Reader, put, put_bytes, put_pid_after, put_start};
use thiserror::Error;

const MAGIC: &[u8; 8] = b"psstat\r\n";
const VERSION: u16 = 7;
const HEADER: usize = MAGIC.len() + 2 + 4;

/// Why bytes could not be decoded to a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// psstat did not write them.
    #[error("not a psstat cache")]
    Foreign,
    /// Another version of psstat wrote them.
    #[error("a psstat cache of format {0}; this psstat has format {VERSION}")]
    Version(u16),
    /// They are incomplete, or have changed since they were written.
    #[error("damaged")]
    Damaged,
}

/// Encodes a state.
pub fn encode(state: &State) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    put_bytes(&mut bytes, &state.boot_id);
    let Accounts { taken, cpu_read, watched, groups, sets, ledger, rates, totals } =
        &state.accounts;
    put(&mut bytes, taken.0);
    put(&mut bytes, cpu_read.0);
    put(&mut bytes, watched.len() as u64);
    for &key in watched {
        put(&mut bytes, key);
    }
    put(&mut bytes, u64::from(state.tracker.is_some()));
    if let Some(tracker) = &state.tracker {
        put_tracker(&mut bytes, tracker);
    }
    put_known(&mut bytes, &state.known);
    put(&mut bytes, groups.len() as u64);
    for (label, account) in groups {
        let GroupAccount { by_descent, has_ledger, counters, rates, figures, started } = account;
        put_bytes(&mut bytes, label.as_str().as_bytes());
        put(&mut bytes, u64::from(*by_descent));
        put(&mut bytes, u64::from(*has_ledger));
        put(&mut bytes, counters.len() as u64);
        for counter in counters {
            put_bytes(&mut bytes, &counter.path);
            put(&mut bytes, counter.id);
            put(&mut bytes, counter.used.0);
        }
        put(&mut bytes, rates.len() as u64);
        for &rate in rates {
            put(&mut bytes, number_of(rate));
        }
        put(&mut bytes, figures.len() as u64);
        for FigureCounters { path, id, counts } in figures {
            put_bytes(&mut bytes, path);
            put(&mut bytes, *id);
            put_numbered(&mut bytes, counts, number_of_figure);
        }
        put(&mut bytes, started.len() as u64);
        let (mut last, mut start) = (0, 0);
        for id in started {
            put_pid_after(&mut bytes, &mut last, id.pid);
            put_start(&mut bytes, &mut start, id.start);
        }
    }
    put(&mut bytes, sets.as_slice().len() as u64);
    for set in sets.as_slice() {
        put(&mut bytes, u64::from(set.rest.number()));
        put(&mut bytes, u64::from(set.group) << 1 | u64::from(set.is_alone));
    }
    put_ledger(&mut bytes, ledger);
    put(&mut bytes, rates.len() as u64);
    for (&rate, ledger) in rates {
        put(&mut bytes, number_of(rate));
        put_ledger(&mut bytes, ledger);
    }
    put(&mut bytes, totals.len() as u64);
    for (label, total) in totals {
        put_bytes(&mut bytes, label.as_str().as_bytes());
        put(&mut bytes, total.used.0);
        put(&mut bytes, total.seen.0);
        put_numbered(&mut bytes, &total.counts, number_of_tally);
    }
    memory::put_memory(&mut bytes, &state.memory);
    let checksum = crc32fast::hash(&bytes[HEADER..]);
    bytes[HEADER - 4..HEADER].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// Decodes a state.
///
/// # Errors
/// [`DecodeError`] if this version of [`encode`] did not write the bytes, or they were changed.
pub fn decode(bytes: &[u8]) -> Result<State, DecodeError> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(DecodeError::Foreign)?;
    let (version, rest) = rest.split_first_chunk().ok_or(DecodeError::Damaged)?;
    let version = u16::from_le_bytes(*version);
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    let (checksum, body) = rest.split_first_chunk().ok_or(DecodeError::Damaged)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
        return Err(DecodeError::Damaged);
    }
    let mut reader = Reader(body);
    let state = reader.state().ok_or(DecodeError::Damaged)?;
    if reader.0.is_empty() { Ok(state) } else { Err(DecodeError::Damaged) }
}

fn put_tracker(bytes: &mut Vec<u8>, tracker: &PidTracker) {
    // The position of a process in `/proc` is its pid plus a positive constant (`TGID_OFFSET`,
    // fs/proc/base.c), so the offset is not negative.
    put(bytes, u64::try_from(tracker.offset).unwrap_or_default());
    put(bytes, tracker.newest.len() as u64);
    for pid in &tracker.newest {
        put(bytes, u64::from(pid.number()));
    }
    put(bytes, tracker.forks.map_or(0, |forks| forks.saturating_add(1)));
    put(bytes, u64::from(tracker.cursor.number()));
    put(bytes, tracker.met);
    put(bytes, tracker.population);
    put(bytes, tracker.rounds_left);
}

fn put_known(bytes: &mut Vec<u8>, known: &Known) {
    let names = known.names.texts();
    put(bytes, names.len() as u64);
    for name in names {
        put_bytes(bytes, name);
    }
    put(bytes, known.turn as u64);
    put(bytes, known.processes.len() as u64);
    let (mut last, mut start) = (0, 0);
    for KnownProcess { process, is_member, .. } in &known.processes {
        put_pid_after(bytes, &mut last, process.id.pid);
        put(bytes, u64::from(process.parent.number()));
        put_start(bytes, &mut start, process.id.start);
        put(bytes, process.times.own.0);
        put(bytes, process.times.children.0);
        put(bytes, u64::from(process.threads));
        put(bytes, u64::from(process.life == Life::Zombie));
        put(bytes, u64::from(*is_member));
        put(bytes, Names::index(process.comm) as u64);
        put(bytes, process.clock.map_or(0, |clock| clock.0.saturating_add(1)));
    }
}

/// The number of a rate in the encoding.
fn number_of(rate: Rate) -> u64 {
    match rate {
        Rate::StorageRead => 0,
        Rate::StorageWrite => 1,
        Rate::MajorFaults => 2,
        Rate::Switches => 3,
    }
}

/// The number of a counter of control groups in the encoding.
fn number_of_figure(figure: Figure) -> u64 {
    match figure {
        Figure::CpuThrottled => 0,
        Figure::CpuPressure => 1,
        Figure::MemoryPressure => 2,
        Figure::IoPressure => 3,
        Figure::OomKills => 4,
        // No state has them.
        Figure::MemoryLimit => 5,
        Figure::MemoryPeak => 6,
        Figure::Swap => 7,
    }
}

/// The number of what is counted in the encoding. Numbers rise as the values do.
fn number_of_tally(tally: Tally) -> u64 {
    match tally {
        Tally::Rate(rate) => number_of(rate),
        Tally::Figure(figure) => 4 + number_of_figure(figure),
        Tally::Starts => 12,
    }
}

fn put_numbered<K: Copy>(bytes: &mut Vec<u8>, counts: &BTreeMap<K, u64>, number: fn(K) -> u64) {
    put(bytes, counts.len() as u64);
    for (&key, &count) in counts {
        put(bytes, number(key));
        put(bytes, count);
    }
}

fn put_ledger<Q: Quantity>(bytes: &mut Vec<u8>, ledger: &Ledger<Q>) {
    put(bytes, ledger.members.len() as u64);
    let (mut last, mut start) = (0, 0);
    for member in &ledger.members {
        put_pid_after(bytes, &mut last, member.id.pid);
        put(bytes, u64::from(member.parent.number()));
        put_start(bytes, &mut start, member.id.start);
        put(bytes, member.amounts.own.number());
        put(bytes, member.amounts.children.number());
        put(bytes, u64::from(member.groups.number()));
    }
    put(bytes, ledger.debts.len() as u64);
    for debt in &ledger.debts {
        put(bytes, u64::from(debt.group));
        put(bytes, u64::from(debt.heir.number()));
        put(bytes, debt.owed.number());
    }
}

impl Reader<'_> {
    fn state(&mut self) -> Option<State> {
        let boot_id = self.bytes()?.to_vec();
        let [taken, cpu_read] = [BootNanos(self.number()?), BootNanos(self.number()?)];
        let mut accounts = Accounts { taken, cpu_read, ..Accounts::default() };
        for _ in 0..self.number()? {
            accounts.watched.push(self.number()?);
        }
        let tracker = if self.flag()? { Some(self.tracker()?) } else { None };
        let known = self.known()?;
        for _ in 0..self.number()? {
            let label = self.label()?;
            if accounts.groups.last_key_value().is_some_and(|(last, _)| *last >= label) {
                return None;
            }
            let account = GroupAccount {
                by_descent: self.flag()?,
                has_ledger: self.flag()?,
                counters: self.counters()?,
                rates: self.rates_of_group()?,
                figures: self.figures()?,
                started: self.started()?,
            };
            accounts.groups.insert(label, account);
        }
        let groups = accounts.groups.len();
        accounts.sets = self.sets(groups)?;
        accounts.ledger = self.ledger(&accounts.sets, groups)?;
        let mut last = None;
        for _ in 0..self.number()? {
            let rate = self.rate_after(&mut last)?;
            accounts.rates.insert(rate, self.ledger(&accounts.sets, groups)?);
        }
        for _ in 0..self.number()? {
            let label = self.label()?;
            if accounts.totals.last_key_value().is_some_and(|(last, _)| *last >= label) {
                return None;
            }
            let [used, seen] = [self.number()?, self.number()?];
            let rates = Rate::ALL.into_iter().map(Tally::Rate);
            let figures = Figure::COUNTERS.into_iter().map(Tally::Figure);
            let all = rates.chain(figures).chain([Tally::Starts]);
            let counts = self.numbered(all, number_of_tally)?;
            let total = Total { used: CpuNanos(used), counts, seen: BootNanos(seen) };
            accounts.totals.insert(label, total);
        }
        let memory = self.memory()?;
        Some(State { boot_id, accounts, tracker, known, memory, ..State::default() })
    }

    fn tracker(&mut self) -> Option<PidTracker> {
        let offset = i64::try_from(self.number()?).ok()?;
        let mut tracker = PidTracker { offset, ..PidTracker::default() };
        for _ in 0..self.number()? {
            tracker.newest.push(self.pid()?);
        }
        tracker.forks = self.number()?.checked_sub(1);
        tracker.cursor = self.pid()?;
        tracker.met = self.number()?;
        tracker.population = self.number()?;
        tracker.rounds_left = self.number()?;
        Some(tracker)
    }

    fn known(&mut self) -> Option<Known> {
        let mut known = Known::default();
        let mut ids = Vec::new();
        for _ in 0..self.number()? {
            ids.push(known.names.id(self.bytes()?));
        }
        known.turn = u32::try_from(self.number()?).ok()?;
        let (mut last, mut start) = (0, 0);
        let count = self.number()?;
        known.processes.reserve_exact(self.at_most(count, 10));
        for _ in 0..count {
            let pid = self.pid_after(&mut last)?;
            let parent = self.pid()?;
            let id = ProcId { pid, start: self.start_after(&mut start)? };
            let times = Times { own: Ticks(self.number()?), children: Ticks(self.number()?) };
            let threads = u32::try_from(self.number()?).ok()?;
            let life = if self.flag()? { Life::Zombie } else { Life::Alive };
            let is_member = self.flag()?;
            let comm = *ids.get(usize::try_from(self.number()?).ok()?)?;
            let clock = self.number()?.checked_sub(1).map(CpuNanos);
            let process = Process { clock, id, parent, times, life, threads, comm };
            known.processes.push(KnownProcess { process, is_member });
        }
        Some(known)
    }

    fn counters(&mut self) -> Option<Vec<Counter>> {
        let mut counters = Vec::new();
        for _ in 0..self.number()? {
            let path = self.bytes()?.to_vec();
            counters.push(Counter { path, id: self.number()?, used: CpuNanos(self.number()?) });
        }
        Some(counters)
    }

    fn figures(&mut self) -> Option<Vec<FigureCounters>> {
        let mut figures = Vec::new();
        for _ in 0..self.number()? {
            let path = self.bytes()?.to_vec();
            let id = self.number()?;
            let counts = self.numbered(Figure::COUNTERS.into_iter(), number_of_figure)?;
            figures.push(FigureCounters { path, id, counts });
        }
        Some(figures)
    }

    fn started(&mut self) -> Option<Vec<ProcId>> {
        let mut started = Vec::new();
        let (mut last, mut start) = (0, 0);
        for _ in 0..self.number()? {
            let pid = self.pid_after(&mut last)?;
            started.push(ProcId { pid, start: self.start_after(&mut start)? });
        }
        Some(started)
    }

    /// A map of these keys, which are written as rising numbers.
    fn numbered<K: Copy + Ord>(
        &mut self,
        keys: impl Iterator<Item = K> + Clone,
        number_of: fn(K) -> u64,
    ) -> Option<BTreeMap<K, u64>> {
        let mut map = BTreeMap::new();
        for _ in 0..self.number()? {
            let number = self.number()?;
            let key = keys.clone().find(|&key| number_of(key) == number)?;
            if map.last_key_value().is_some_and(|(&last, _)| last >= key) {
                return None;
            }
            map.insert(key, self.number()?);
        }
        Some(map)
    }

    fn label(&mut self) -> Option<Label> {
        let text = self.bytes()?;
        Label::new(text).filter(|label| label.as_str().as_bytes() == text)
    }

    fn rates_of_group(&mut self) -> Option<BTreeSet<Rate>> {
        let mut rates = BTreeSet::new();
        let mut last = None;
        for _ in 0..self.number()? {
            rates.insert(self.rate_after(&mut last)?);
        }
        Some(rates)
    }

    /// A rate that comes after the `last`, which it becomes.
    fn rate_after(&mut self, last: &mut Option<Rate>) -> Option<Rate> {
        let number = self.number()?;
        let rate = Rate::ALL.into_iter().find(|&rate| number_of(rate) == number)?;
        let before = last.replace(rate);
        before.is_none_or(|before| before < rate).then_some(rate)
    }

    fn sets(&mut self, groups: usize) -> Option<Sets> {
        let mut sets = Sets::default();
        for _ in 0..self.number()? {
            let rest = SetId::new(u32::try_from(self.number()?).ok()?);
            let group = self.number()?;
            let is_alone = group & 1 == 1;
            let group = u32::try_from(group >> 1).ok()?;
            if group as usize >= groups {
                return None;
            }
            sets.push(Set { rest, group, is_alone })?;
        }
        sets.have_each_group_once(groups).then_some(sets)
    }

    fn ledger<Q: Quantity>(&mut self, sets: &Sets, groups: usize) -> Option<Ledger<Q>> {
        let mut ledger = Ledger { members: Vec::new(), debts: Vec::new() };
        let (mut last, mut before) = (0, 0);
        let count = self.number()?;
        ledger.members.reserve_exact(self.at_most(count, 6));
        for _ in 0..count {
            let pid = self.pid_after(&mut last)?;
            let parent = self.pid()?;
            let start = self.start_after(&mut before)?;
            let own = Q::of(self.number()?);
            let amounts = Amounts { own, children: Q::of(self.number()?) };
            let id = ProcId { pid, start };
            let groups = SetId::new(u32::try_from(self.number()?).ok()?);
            if groups.index() >= sets.count() {
                return None;
            }
            ledger.members.push(Member { id, parent, amounts, groups });
        }
        let mut last = 0;
        for _ in 0..self.number()? {
            let group = u32::try_from(self.number()?).ok()?;
            if group < core::mem::replace(&mut last, group) || group as usize >= groups {
                return None;
            }
            ledger.debts.push(Debt { group, heir: self.pid()?, owed: Q::of(self.number()?) });
        }
        Some(ledger)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::process::NameId;
    use crate::model::units::Pid;
    use core::fmt;
    use proptest::prelude::*;

    fn member<Q: Quantity + fmt::Debug>(pid: u32, sets: u32) -> impl Strategy<Value = Member<Q>> {
        let numbers = (0..=Pid::MAX.number(), any::<u64>(), any::<u64>(), any::<u64>());
        (numbers, 0..sets).prop_map(move |((parent, start, own, children), set)| Member {
            id: ProcId { pid: Pid::new(pid), start: Ticks(start) },
            parent: Pid::new(parent),
            amounts: Amounts { own: Q::of(own), children: Q::of(children) },
            groups: SetId::new(set),
        })
    }

    fn ledger<Q: Quantity + fmt::Debug + 'static>(
        groups: u32,
        sets: u32,
    ) -> impl Strategy<Value = Ledger<Q>> {
        let pids = proptest::collection::btree_set(1..=Pid::MAX.number(), 0..5);
        let members = pids.prop_flat_map(move |pids| {
            pids.into_iter().map(|pid| member(pid, sets)).collect::<Vec<_>>()
        });
        let debt = (0..groups.max(1), 0..=Pid::MAX.number(), any::<u64>()).prop_map(
            |(group, heir, owed)| Debt { group, heir: Pid::new(heir), owed: Q::of(owed) },
        );
        let debts = proptest::collection::vec(debt, if groups > 0 { 0..3 } else { 0..1 });
        (members, debts).prop_map(|(members, mut debts)| {
            debts.sort_by_key(|debt| debt.group);
            Ledger { members, debts }
        })
    }

    /// Sets that have each group at most once: a chain.
    fn sets(groups: u32) -> impl Strategy<Value = Sets> {
        let order = Just((0..groups).collect::<Vec<u32>>()).prop_shuffle();
        (order, proptest::collection::vec(any::<bool>(), groups as usize)).prop_map(
            |(order, alone)| {
                let mut sets = Sets::default();
                for (rest, (group, is_alone)) in (0..).zip(order.into_iter().zip(alone)) {
                    sets.push(Set { rest: SetId::new(rest), group, is_alone });
                }
                sets
            },
        )
    }

    fn account() -> impl Strategy<Value = GroupAccount> {
        let counter = (proptest::collection::vec(any::<u8>(), 0..9), any::<u64>(), any::<u64>())
            .prop_map(|(path, id, used)| Counter { path, id, used: CpuNanos(used) });
        let counters = proptest::collection::vec(counter, 0..3);
        let rate = proptest::sample::select(&Rate::ALL[..]);
        let rates = proptest::collection::btree_set(rate, 0..4);
        let figure = proptest::sample::select(&Figure::COUNTERS[..]);
        let counts = proptest::collection::btree_map(figure, any::<u64>(), 0..6);
        let figures = (proptest::collection::vec(any::<u8>(), 0..9), any::<u64>(), counts)
            .prop_map(|(path, id, counts)| FigureCounters { path, id, counts });
        let figures = proptest::collection::vec(figures, 0..3);
        let started = proptest::collection::btree_map(1..=Pid::MAX.number(), any::<u64>(), 0..3);
        let started = started.prop_map(|all| {
            let id = |(pid, start)| ProcId { pid: Pid::new(pid), start: Ticks(start) };
            all.into_iter().map(id).collect()
        });
        (any::<bool>(), any::<bool>(), counters, rates, figures, started).prop_map(
            |(by_descent, has_ledger, counters, rates, figures, started)| GroupAccount {
                by_descent,
                has_ledger,
                counters,
                rates,
                figures,
                started,
            },
        )
    }

    fn known() -> impl Strategy<Value = Known> {
        let names =
            proptest::collection::btree_set(proptest::collection::vec(any::<u8>(), 0..9), 1..4);
        let pids = proptest::collection::btree_set(1..=Pid::MAX.number(), 0..5);
        (names, pids).prop_flat_map(|(texts, pids)| {
            let mut names = Names::default();
            let ids: Vec<_> = texts.iter().map(|text| names.id(text)).collect();
            let processes = pids.into_iter().map(|pid| known_process(pid, ids.clone()));
            let known = move |(turn, processes)| Known {
                processes,
                names: names.clone(),
                turn,
                picked_by: Vec::new(),
            };
            (0u32..99, processes.collect::<Vec<_>>()).prop_map(known)
        })
    }

    prop_compose! {
        fn known_process(pid: u32, names: Vec<NameId>)(
            parent in 0..=Pid::MAX.number(),
            start: u64,
            times in any::<(u64, u64)>(),
            clock in proptest::option::of(0..u64::MAX),
            threads: u32,
            is_zombie: bool,
            is_member: bool,
            comm in proptest::sample::select(names),
        ) -> KnownProcess {
            let process = Process {
                clock: clock.map(CpuNanos),
                id: ProcId { pid: Pid::new(pid), start: Ticks(start) },
                parent: Pid::new(parent),
                times: Times { own: Ticks(times.0), children: Ticks(times.1) },
                life: if is_zombie { Life::Zombie } else { Life::Alive },
                threads,
                comm,
            };
            KnownProcess { process, is_member }
        }
    }

    prop_compose! {
        fn tracker()(
            offset in 0..i64::MAX,
            newest in proptest::collection::vec(0..=Pid::MAX.number(), 0..9),
            forks in proptest::option::of(0..u64::MAX),
            cursor in 0..=Pid::MAX.number(),
            met: u64,
            population: u64,
            rounds_left: u64,
        ) -> PidTracker {
            let newest = newest.into_iter().map(Pid::new).collect();
            let cursor = Pid::new(cursor);
            let clocks = None;
            PidTracker { offset, newest, forks, cursor, met, population, rounds_left, clocks }
        }
    }

    fn state() -> impl Strategy<Value = State> {
        let label = || proptest::collection::vec(any::<u8>(), 0..9).prop_map(|b| Label::lossy(&b));
        let groups = proptest::collection::btree_map(label(), account(), 0..4);
        let accounts = groups.prop_flat_map(|groups| {
            let count = groups.len() as u32;
            let rate = proptest::sample::select(&Rate::ALL[..]);
            let rates = proptest::collection::btree_map(rate, ledger(count, count + 1), 0..4);
            (Just(groups), sets(count), ledger(count, count + 1), rates)
        });
        let tallies = Rate::ALL.into_iter().map(Tally::Rate);
        let tallies = tallies.chain(Figure::COUNTERS.into_iter().map(Tally::Figure));
        let tallies: Vec<Tally> = tallies.chain([Tally::Starts]).collect();
        let tally = proptest::sample::select(tallies);
        let counts = proptest::collection::btree_map(tally, any::<u64>(), 0..4);
        let total = (any::<u64>(), any::<u64>(), counts).prop_map(|(used, seen, counts)| Total {
            used: CpuNanos(used),
            counts,
            seen: BootNanos(seen),
        });
        let totals = proptest::collection::btree_map(label(), total, 0..4);
        let boot_id = proptest::collection::vec(any::<u8>(), 0..40);
        let watched = proptest::collection::vec(any::<u64>(), 0..3);
        let tracker = proptest::option::of(tracker());
        let known = (known(), memory::tests::memory());
        (boot_id, any::<u64>(), watched, tracker, known, accounts, totals).prop_map(
            |(boot_id, taken, watched, tracker, (known, memory), accounts, totals)| {
                let (groups, sets, ledger, rates) = accounts;
                State {
                    boot_id,
                    accounts: Accounts {
                        taken: BootNanos(taken),
                        cpu_read: BootNanos(taken / 2),
                        watched,
                        groups,
                        sets,
                        ledger,
                        rates,
                        totals,
                    },
                    tracker,
                    known,
                    memory,
                    ..State::default()
                }
            },
        )
    }

    proptest! {
        #[test]
        fn a_state_survives_encoding(state in state()) {
            prop_assert_eq!(decode(&encode(&state)), Ok(state));
        }

        #[test]
        fn every_changed_byte_and_every_cut_is_detected(state in state(), change in 1u8..) {
            let bytes = encode(&state);
            for at in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= change;
                prop_assert!(decode(&damaged).is_err(), "byte {} changed", at);
                prop_assert!(decode(&bytes[..at]).is_err(), "cut to {}", at);
            }
            let longer = [&bytes[..], &[change]].concat();
            prop_assert!(decode(&longer).is_err(), "one byte more");
        }

        #[test]
        fn bytes_with_a_valid_checksum_are_validated(
            body in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut bytes = [&MAGIC[..], &VERSION.to_le_bytes()].concat();
            bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
            bytes.extend_from_slice(&body);
            if let Ok(state) = decode(&bytes) {
                // A decoded state keeps the invariants that the accounting relies on.
                let accounts = state.accounts;
                prop_assert!(accounts.ledger.members.is_sorted_by_key(|member| member.id.pid));
                for ledger in accounts.rates.values() {
                    prop_assert!(ledger.members.is_sorted_by_key(|member| member.id.pid));
                }
                prop_assert!(accounts.sets.have_each_group_once(accounts.groups.len()));
            }
        }
    }

    #[test]
    fn each_reason_for_rejection_has_its_own_error() {
        let bytes = encode(&State::default());
        assert_eq!(decode(b""), Err(DecodeError::Foreign));
        assert_eq!(decode(b"#!/bin/sh\n"), Err(DecodeError::Foreign));
        assert_eq!(decode(&bytes[..bytes.len() - 1]), Err(DecodeError::Damaged));
        let mut newer = bytes;
        newer[8] = 9;
        assert_eq!(decode(&newer), Err(DecodeError::Version(9)));
    }
}
