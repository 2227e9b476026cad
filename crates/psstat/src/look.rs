//! Which processes to look at, where looking at all of them is not needed. Pure.
//!
//! A group changes by births, by what happens to its members, and by a process that takes a name
//! which a selector knows. Members are looked at in every sample. Who was born since the last one
//! is known from the numbers: the kernel gives them out in rising order, round and round
//! (`alloc_pid`, kernel/pid.c), and `/proc/loadavg` tells the newest. A process that changes its
//! name mostly does so when it is young; so the processes born in one interval are looked at
//! again 1, 2, 4, ... 64 samples later, and of all others a share in rotation.
//!
//! Every shortcut has its ground, and [`View::born`] gives none where the ground is not sure:
//! then all processes are looked at.

use crate::account::group::State;
use crate::error::ReadError;
use crate::sample::{Scan, Snapshot};
use crate::select::Root;
use crate::units::{BootNanos, Hz, Pid, ProcId, Ticks};

/// Processes are looked at again so many samples after their birth, at powers of two.
const YOUTH: usize = 64;

/// At the first sample nothing is known of earlier ones; so many numbers are taken for young.
const FIRST_YOUNG: u32 = 256;

/// Rotation comes to each process once in so many samples, where names or the like pick roots and
/// there are no more processes than it met in its last round.
pub const ROTATION: u64 = 128;

/// Rotation looks at so many processes at least, births not counted, and at no more where only
/// numbers pick roots: then it is there for those few that were made with a chosen number
/// (clone3(2), `set_tid`).
pub const ROTATION_MINIMUM: u64 = 16;

/// As few processes are all looked at in each sample: that is cheap, and misses nothing.
const SMALL_POPULATION: u64 = 256;

/// At the first sample a process is young up to this age.
const YOUTH_NANOS: u64 = 60_000_000_000;

/// The kernel begins the second round here: the numbers below are those of the first processes
/// (`RESERVED_PIDS`, kernel/pid.c).
const RESERVED: u64 = 301;

/// No machine makes more tasks in a second.
const BIRTHS_PER_SECOND: u64 = 100_000;

/// Spaces of so few numbers may be gone through between two samples; there forks are counted.
const SMALL_SPACE: u64 = 1 << 18;

/// An interval after which forks are counted, whatever the space of numbers.
const LONG_NANOS: u64 = 20_000_000_000;

/// What the kernel tells of the tasks it has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Births {
    /// The newest pid or thread id: last field of `/proc/loadavg` (proc_loadavg(5)).
    pub newest: Pid,
    /// Tasks that exist, threads counted: behind the slash of its fourth field.
    pub tasks: u64,
    /// Numbers are below this: `sys/kernel/pid_max`.
    pub pid_max: u64,
    /// Tasks made since boot: `processes` of `/proc/stat`; none where it was not asked for.
    pub forks: Option<u64>,
}

/// Whether the count of forks is needed to tell births, after an interval so long.
pub fn needs_forks(pid_max: u64, interval_nanos: u64) -> bool {
    pid_max <= SMALL_SPACE || interval_nanos > LONG_NANOS
}

/// Pids from the first to the last, both among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The smallest.
    pub first: Pid,
    /// The largest.
    pub last: Pid,
}

impl Range {
    fn holds(self, pid: Pid) -> bool {
        (self.first..=self.last).contains(&pid)
    }
}

/// What is remembered of the machine's processes, to need not look at all of them again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Where `/proc` can be read from the middle: the position of a process less its pid.
    pub offset: i64,
    /// The newest pid at the last sample, at the one before, and so on. [`Pid::NONE`] where it
    /// tells nothing of who was born before it and after it.
    pub newest: Vec<Pid>,
    /// Tasks made since boot, at the last sample, where that was asked for.
    pub forks: Option<u64>,
    /// Where rotation goes on.
    pub cursor: Pid,
    /// How many processes rotation has met in this round.
    pub met: u64,
    /// How many there are: those met in the last round, or in a look at all since.
    pub population: u64,
}

impl View {
    /// What to remember of a sample that looked at all processes, and began at `births`; `before`
    /// is what was remembered then.
    pub fn of_all(
        snapshot: &Snapshot,
        offset: i64,
        births: &Births,
        before: Option<&State>,
        hz: Hz,
    ) -> View {
        let known = before.and_then(|before| Some((before, before.view.clone()?)));
        let then = match known {
            Some((before, mut then)) => {
                let interval_nanos = snapshot.taken.since(before.taken);
                if then.born(births, interval_nanos).is_none() {
                    // Whoever is young now may have any number.
                    if let Some(newest) = then.newest.first_mut() {
                        *newest = Pid::NONE;
                    }
                }
                then
            }
            None => View::first(snapshot, hz),
        };
        let population = snapshot.processes.len() as u64;
        View { offset, population, ..then }.after(births)
    }

    /// What to begin with: those that started not long before the first sample are young too,
    /// though nobody was there to see them born.
    fn first(snapshot: &Snapshot, hz: Hz) -> View {
        let youth = BootNanos(snapshot.taken.0.saturating_sub(YOUTH_NANOS));
        let old = Ticks::at(youth, hz);
        let elders = snapshot.processes.iter().filter(|process| process.id.start <= old);
        let youngest_elder = elders.max_by_key(|process| (process.id.start, process.id.pid));
        let newest = youngest_elder.map(|elder| elder.id.pid).into_iter().collect();
        View { newest, cursor: Pid::INIT, ..View::default() }
    }

    /// What to remember of a sample that began at `births`, in which rotation stood at `self`.
    pub fn after(mut self, births: &Births) -> View {
        if self.newest.is_empty() {
            self.newest.push(Pid::new(births.newest.number().saturating_sub(FIRST_YOUNG)));
        }
        self.newest.insert(0, births.newest);
        self.newest.truncate(YOUTH + 1);
        self.forks = births.forks;
        self
    }

    /// The numbers given out since the last sample; none where that cannot be told for sure.
    pub fn born(&self, births: &Births, interval_nanos: u64) -> Option<Vec<Range>> {
        // What the newest number moves on by, at the most: one for each birth, and one for each
        // number in use that is passed over. Were that a whole round, it would tell nothing.
        let made = match (births.forks, self.forks) {
            (Some(now), Some(then)) => now.checked_sub(then)?,
            _ => interval_nanos / 1_000_000 * (BIRTHS_PER_SECOND / 1000),
        };
        let round = births.pid_max.checked_sub(RESERVED)?;
        if made.saturating_add(births.tasks) >= round {
            return None;
        }
        Some(between(*self.newest.first()?, births.newest))
    }

    /// The numbers of the processes that are young enough to be looked at again: all that were
    /// born just before the last sample, and where names or the like pick roots, older ones too.
    ///
    /// The former because a number is given out a while before there is a process to be seen with
    /// it (`copy_process`, kernel/fork.c).
    pub fn young(&self, names_pick: bool) -> Vec<Range> {
        let oldest = if names_pick { YOUTH } else { 1 };
        let ages = std::iter::successors(Some(1), |age| Some(age * 2));
        ages.take_while(|&age| age <= oldest && age < self.newest.len())
            .flat_map(|age| between(self.newest[age], self.newest[age - 1]))
            .collect()
    }

    /// How many processes rotation looks at in one sample, beside as many as were born since the
    /// last one.
    pub fn share(&self, names_pick: bool) -> u64 {
        if names_pick && self.population <= SMALL_POPULATION {
            u64::MAX
        } else if names_pick {
            self.population.div_ceil(ROTATION).max(ROTATION_MINIMUM)
        } else {
            ROTATION_MINIMUM
        }
    }

    /// Moves rotation on over the processes that it met: those `ahead` of where it stood, and where
    /// these were fewer than `share`, those `behind`, from the beginning of the next round.
    pub fn rotate(&mut self, ahead: &[Pid], behind: &[Pid], share: u64) {
        let (ahead_count, behind_count) = (ahead.len() as u64, behind.len() as u64);
        let all_met = ahead_count + behind_count < share;
        let last = if all_met {
            (self.population, self.met) = (ahead_count + behind_count, 0);
            None
        } else if ahead_count < share {
            (self.population, self.met) = (self.met + ahead_count, behind_count);
            behind.last()
        } else {
            self.met += ahead_count;
            ahead.last()
        };
        self.cursor = last.map_or(Pid::INIT, |last| Pid::new(last.number() + 1));
    }
}

/// The numbers behind `then`, up to `now`, round the end if need be.
fn between(then: Pid, now: Pid) -> Vec<Range> {
    if then == Pid::NONE || now == Pid::NONE {
        return vec![Range { first: Pid::INIT, last: Pid::MAX }];
    }
    let next = Pid::new(then.number() + 1);
    match then.cmp(&now) {
        std::cmp::Ordering::Equal => Vec::new(),
        std::cmp::Ordering::Less => vec![Range { first: next, last: now }],
        std::cmp::Ordering::Greater => {
            vec![Range { first: Pid::INIT, last: now }, Range { first: next, last: Pid::MAX }]
        }
    }
}

/// What a sample looks at where it need not look at all.
#[derive(Debug)]
pub struct Listed {
    /// The processes, sorted, each once.
    pub pids: Vec<Pid>,
    /// The numbers given out since the last sample.
    pub born: Vec<Range>,
    /// What to remember for the next one.
    pub view: View,
}

/// Lists the processes that a sample must look at where it need not look at all: `always` those,
/// which are known by number; the members at the sample `before`; those born since, and the young;
/// and a share of the others in rotation. None where it is not sure who was born.
///
/// `names_pick` says whether a process may become a root by what it does.
///
/// # Errors
/// Where the processes cannot be listed.
pub fn list_some(
    source: &impl Scan,
    before: &State,
    births: &Births,
    taken: BootNanos,
    names_pick: bool,
    always: Vec<Pid>,
) -> Result<Option<Listed>, ReadError> {
    let Some(mut view) = before.view.clone() else { return Ok(None) };
    let Some(born) = view.born(births, taken.since(before.taken)) else { return Ok(None) };
    let mut pids = always;
    pids.extend(members(before).into_iter().map(|id| id.pid));
    let known = pids.len();
    for &range in &born {
        source.pids_from(view.offset, range, u64::MAX, &mut pids)?;
    }
    let newborns = (pids.len() - known) as u64;
    for range in view.young(names_pick) {
        source.pids_from(view.offset, range, u64::MAX, &mut pids)?;
    }
    // Those born since may all stand where rotation comes next. It looks at as many more, or else it
    // might walk behind births until the numbers come round.
    let share = view.share(names_pick).saturating_add(newborns);
    let begin = pids.len();
    let ahead = Range { first: view.cursor, last: Pid::MAX };
    source.pids_from(view.offset, ahead, share, &mut pids)?;
    let end = pids.len();
    let left = share - (end - begin) as u64;
    if left > 0 && view.cursor > Pid::INIT {
        let behind = Range { first: Pid::INIT, last: Pid::new(view.cursor.number() - 1) };
        source.pids_from(view.offset, behind, left, &mut pids)?;
    }
    view.rotate(&pids[begin..end], &pids[end..], share);
    pids.sort_unstable();
    pids.dedup();
    Ok(Some(Listed { pids, born, view: view.after(births) }))
}

/// The members of all groups at the last sample, sorted, each once.
pub fn members(before: &State) -> Vec<ProcId> {
    let ledgers = before.groups.values().map(|known| &known.ledger);
    let mut ids: Vec<ProcId> =
        ledgers.flat_map(|ledger| ledger.members.iter().map(|member| member.id)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Whether all that descends from the roots has been looked at.
///
/// That is so of a root that was a member of a group of descendants at the last sample: its
/// descendants were members as well, or were born since. And it is so of one that was `born`
/// since, in or after the tick `since` of the last sample: among the numbers that were given out
/// stand those that were passed over, because an older process had them. Any other root has a past
/// that nobody has looked at.
pub fn knows_all_descendants(
    before: &State,
    born: &[Range],
    since: Ticks,
    snapshot: &Snapshot,
    roots: &[Root],
) -> bool {
    let groups = before.groups.values().filter(|known| known.by_descent);
    let ledgers: Vec<_> = groups.map(|known| &known.ledger).collect();
    let mut roots: Vec<usize> = roots.iter().map(|root| root.process).collect();
    roots.sort_unstable();
    roots.dedup();
    roots.iter().all(|&root| {
        let id = snapshot.processes[root].id;
        (id.start >= since && born.iter().any(|range| range.holds(id.pid)))
            || ledgers.iter().any(|ledger| ledger.knows_with_children(id))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::group::Known;
    use crate::account::ledger::{Ledger, Member};
    use crate::label::Label;
    use crate::sample::{Life, Process, Times};

    fn births(newest: u32, tasks: u64, pid_max: u64, forks: Option<u64>) -> Births {
        Births { newest: Pid::new(newest), tasks, pid_max, forks }
    }

    fn view(newest: &[u32], forks: Option<u64>) -> View {
        let newest = newest.iter().map(|&pid| Pid::new(pid)).collect();
        View { newest, forks, ..View::default() }
    }

    fn ends(ranges: &[Range]) -> Vec<(u32, u32)> {
        ranges.iter().map(|range| (range.first.number(), range.last.number())).collect()
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn births_lie_between_the_newest_then_and_now() {
        let born = |then, now| {
            let born = view(&[then], None).born(&births(now, 300, 4 << 20, None), SECOND);
            ends(&born.unwrap())
        };
        assert_eq!(born(1000, 1003), [(1001, 1003)]);
        assert_eq!(born(1000, 1000), []);
        assert_eq!(born(4_194_000, 305), [(1, 305), (4_194_001, 4 << 20)], "round the end");
    }

    #[test]
    fn a_whole_round_tells_nothing() {
        let view = view(&[1000], Some(50_000));
        let born = |forks| view.born(&births(2000, 300, 32768, Some(forks)), SECOND);
        assert!(born(51_000).is_some());
        assert!(born(50_000 + 32_768 - 301 - 300 - 1).is_some());
        assert_eq!(born(50_000 + 32_768 - 301 - 300), None);
        assert_eq!(born(49_000), None, "forks that were undone");
    }

    #[test]
    fn without_a_count_of_forks_time_bounds_them() {
        let view = view(&[1000], None);
        let born = |seconds| view.born(&births(2000, 300, 4 << 20, None), seconds * SECOND);
        assert!(born(40).is_some());
        assert_eq!(born(42), None);
        assert!(needs_forks(32768, SECOND) && needs_forks(4 << 20, 30 * SECOND));
        assert!(!needs_forks(4 << 20, 10 * SECOND));
    }

    #[test]
    fn the_young_are_looked_at_again_at_powers_of_two() {
        let numbers: Vec<u32> = (0..70).map(|age| 1000 - age * 10).collect();
        let view_of_many = view(&numbers, None);
        let ages = |names_pick| -> Vec<u32> {
            let young = view_of_many.young(names_pick);
            young.iter().map(|range| (1000 - range.last.number()) / 10 + 1).collect()
        };
        assert_eq!(ages(true), [1, 2, 4, 8, 16, 32, 64]);
        assert_eq!(ages(false), [1], "numbers that had no process yet");
        assert_eq!(view(&[5], None).young(true), []);
        let first = View::default().after(&births(1000, 300, 32768, None));
        assert_eq!(ends(&first.young(false)), [(745, 1000)], "of the first sample as well");
    }

    #[test]
    fn who_was_born_in_a_whole_round_is_young_on_any_number() {
        let young_after = |forks| {
            let view = Some(view(&[1000, 900], Some(50_000)));
            let before = State { view, ..State::default() };
            let births = births(2000, 300, 32768, Some(forks));
            let view = View::of_all(&Snapshot::default(), 0, &births, Some(&before), Hz(100));
            ends(&view.young(false))
        };
        assert_eq!(young_after(51_000), [(1001, 2000)]);
        assert_eq!(young_after(50_000 + 32_768), [(1, Pid::MAX.number())]);
    }

    #[test]
    fn an_old_process_whose_number_was_passed_over_is_not_born() {
        let mut snapshot = Snapshot::default();
        let (pid, comm) = (Pid::new(1500), snapshot.names.id(b"x"));
        let id = ProcId { pid, start: Ticks(70) };
        let (parent, times) = (Pid::INIT, Times::default());
        snapshot.processes.push(Process { id, parent, times, life: Life::Alive, threads: 1, comm });
        let root = [Root { selector: 0, process: 0 }];
        let born = [Range { first: Pid::new(1000), last: Pid::new(2000) }];
        let knows = |born: &[Range], since| {
            knows_all_descendants(&State::default(), born, Ticks(since), &snapshot, &root)
        };
        assert!(knows(&born, 70), "in the tick of the last sample");
        assert!(!knows(&born, 71));
        assert!(!knows(&[], 70));
    }

    #[test]
    fn the_children_are_known_of_those_that_were_members_with_them() {
        let mut snapshot = Snapshot::default();
        let (comm, parent) = (snapshot.names.id(b"x"), Pid::INIT);
        let id = ProcId { pid: Pid::new(1500), start: Ticks(70) };
        let (times, threads) = (Times::default(), 1);
        snapshot.processes.push(Process { id, parent, times, life: Life::Alive, threads, comm });
        let root = [Root { selector: 0, process: 0 }];
        let member = Member { id, parent, amounts: times };
        let knows = |member: Member, by_descent| {
            let ledger = Ledger { members: vec![member], debts: Vec::new() };
            let known = Known { by_descent, ledger, ..Known::default() };
            let groups = [(Label::lossy(b"x"), known)].into();
            let before = State { groups, ..State::default() };
            knows_all_descendants(&before, &[], Ticks(80), &snapshot, &root)
        };
        assert!(knows(member, true));
        assert!(!knows(member.alone(), true), "a past that nobody has looked at");
        assert!(!knows(member, false), "there for its control group");
    }

    #[test]
    fn rotation_comes_round() {
        let mut view = View { cursor: Pid::INIT, population: 4000, ..View::default() };
        assert_eq!(view.share(true), 32);
        assert_eq!(View { population: 256, ..View::default() }.share(true), u64::MAX);
        assert_eq!(view.share(false), 16);
        let pids = [1, 7, 9].map(Pid::new);
        view.rotate(&pids[..2], &[], 2);
        assert_eq!((view.cursor, view.met, view.population), (Pid::new(8), 2, 4000));
        view.rotate(&pids[2..], &pids[..1], 2);
        assert_eq!((view.cursor, view.met, view.population), (Pid::new(2), 1, 3));
        view.rotate(&pids[1..], &pids[..1], 4);
        assert_eq!((view.cursor, view.met, view.population), (Pid::INIT, 0, 3), "all at once");
    }
}
