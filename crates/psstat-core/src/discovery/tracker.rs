//! Which processes to read when it is not necessary to read all of them.
//!
//! A group changes when a process is born, when a member changes, and when a process takes a name
//! that a selector matches. So a sample reads:
//!
//! - The members of the last sample, and their ancestors. Those that have not run since need not be
//!   read: see [`known`](super::known).
//! - The processes born since the last sample, which are found by their pids. The kernel gives pids
//!   out in rising order, and after the largest begins again with small ones (`alloc_pid`,
//!   kernel/pid.c). `/proc/loadavg` shows the newest. *Example:* the newest pid was 1000 and is
//!   1003. The processes with pids from 1001 to 1003 are read.
//! - The processes that started recently, because most processes that change their name do so soon after
//!   they started. The processes born in one interval are read again 1, 2, 4, ... 64 samples later, or
//!   only in the next sample if processes are selected only by pid.
//! - A share of all other processes, in rotation.
//!
//! A program that stays resident and selects by attributes checks the CPU clocks of the last two
//! instead, and reads those that have run: see [`clock_table`]. It reads in rotation only a few, for
//! processes that are not in the table; or the usual share, if a selector needs executables, which can
//! be renamed without the process running.
//!
//! If it is not certain which processes were born, [`LastSample::list`] returns `None`, and the
//! sample reads all processes.

use super::clock_table::{self, ClockTable};
use crate::account::accounts::Accounts;
use crate::kernel::Kernel;
use crate::model::births::{Births, PidRange};
use crate::model::read_error::ReadError;
use crate::model::snapshot::Snapshot;
use crate::model::units::{BootNanos, Hz, Pid, Ticks};
use crate::select::roots::Root;
use crate::select::selectors::NewRoots;
use alloc::vec;
use alloc::vec::Vec;

/// Processes are read again up to this many samples after their birth, at powers of two.
const RECENT_SAMPLES: usize = 64;

/// If the tracker has no earlier newest pid, this many of the newest pids count as recently started.
const FIRST_RECENT_PIDS: u32 = 256;

/// Rotation reads each process once in this many samples, if processes are selected by attributes
/// and the number of processes has not grown since the last round.
pub const ROTATION: u64 = 128;

/// Rotation reads at least this many processes per sample, and as many more as were born. If
/// processes are selected only by pid, it reads just this many. Then it is needed only for the few
/// processes that were made with a chosen pid (clone3(2), `set_tid`).
pub const ROTATION_MINIMUM: u64 = 16;

/// If processes are selected only by pid, rotation is slow after this many rounds in which no member
/// has run: only a process that runs makes others. The first of these rounds may have begun before.
const ROUNDS_AFTER_LAST_RUN: u64 = 2;

/// Slow rotation reads this many processes per sample. A process can still become a child of a member
/// that sleeps: the first process of a pid namespace adopts orphans whose parents came from outside
/// (setns(2); `find_new_reaper`, kernel/exit.c).
const SLOW_ROTATION: u64 = ROTATION_MINIMUM / 2;

/// If there are at most this many processes, every sample reads all of them, because this is cheap.
const SMALL_POPULATION: u64 = 256;

/// At the first sample, processes up to this age count as recently started.
const FIRST_RECENT_NANOS: u64 = 60_000_000_000;

/// The second round of pids begins here. Lower pids are given out only once after boot
/// (`RESERVED_PIDS`, kernel/pid.c).
const RESERVED_PIDS: u64 = 301;

/// Upper bound on the number of tasks that a machine makes per second.
const BIRTHS_PER_SECOND: u64 = 100_000;

/// If `pid_max` is at most this, the pids can make a whole round between two samples. Then forks
/// are counted.
const SMALL_PID_MAX: u64 = 1 << 18;

/// After an interval longer than this, forks are counted with every `pid_max`.
const LONG_NANOS: u64 = 20_000_000_000;

/// Whether the number of forks must be read to find the processes born in an interval of that
/// length.
pub fn needs_forks(pid_max: u64, interval_nanos: u64) -> bool {
    pid_max <= SMALL_PID_MAX || interval_nanos > LONG_NANOS
}

/// The state that lets the next sample read only some of the processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PidTracker {
    /// The position of a process in the list of processes, minus its pid. With it, the list can be
    /// read from any pid on: see [`Kernel::pids_from`].
    pub offset: i64,
    /// The newest pid at the last sample, at the one before, and so on. [`Pid::NONE`] for a sample
    /// after which the pids born earlier are not known.
    pub newest: Vec<Pid>,
    /// Number of tasks made since boot, at the last sample, if it was read.
    pub forks: Option<u64>,
    /// The pid at which rotation continues.
    pub cursor: Pid,
    /// Number of processes that rotation has met in this round.
    pub met: u64,
    /// Number of processes that exist, from the last round or a later sample of all processes.
    pub population: u64,
    /// How many rounds rotation still makes at full speed if no member runs and processes are selected
    /// only by pid.
    pub rounds_left: u64,
    /// The CPU clocks of all processes. Only a resident program that selects processes by attributes
    /// has them. They are not encoded in a cache file.
    pub clocks: Option<ClockTable>,
}

/// The last sample, as far as discovery needs it.
#[derive(Clone, Copy, Debug)]
pub struct LastSample<'s> {
    /// The members of all groups, and when the sample was taken.
    pub accounts: &'s Accounts,
    /// The tracker that the sample left.
    pub tracker: &'s PidTracker,
}

impl PidTracker {
    /// The tracker after a sample that read all processes and found `births` at its beginning.
    pub fn of_all(
        snapshot: &Snapshot,
        offset: i64,
        births: &Births,
        last: Option<LastSample<'_>>,
        hz: Hz,
    ) -> PidTracker {
        let then = match last {
            Some(LastSample { accounts, tracker }) => {
                let mut then = tracker.clone();
                let interval_nanos = snapshot.taken.since(accounts.taken);
                if then.born(births, interval_nanos).is_none() {
                    // A process that started recently can have any pid.
                    if let Some(newest) = then.newest.first_mut() {
                        *newest = Pid::NONE;
                    }
                }
                then
            }
            None => PidTracker::first(snapshot, hz),
        };
        let population = snapshot.processes.len() as u64;
        // All processes were read just now.
        let rounds_left = 0;
        PidTracker { offset, population, rounds_left, ..then }.after(births)
    }

    /// The same tracker with the CPU clocks of the processes that were read, if they have clocks.
    pub fn with_clocks(self, snapshot: &Snapshot) -> PidTracker {
        let clocks = Some(ClockTable::of(snapshot)).filter(|clocks| !clocks.is_empty());
        PidTracker { clocks, ..self }
    }

    /// Records what the sample found in the processes that were `listed` to be read. `has_run` is
    /// whether any of the members may have run.
    pub fn update(&mut self, snapshot: &Snapshot, listed: &[Pid], has_run: bool) {
        if has_run {
            self.rounds_left = ROUNDS_AFTER_LAST_RUN;
        }
        if let Some(clocks) = &mut self.clocks {
            clocks.update(snapshot, listed);
        }
    }

    /// The tracker before the first sample. Processes that started shortly before it count as
    /// recently started.
    fn first(snapshot: &Snapshot, hz: Hz) -> PidTracker {
        let recent = BootNanos(snapshot.taken.0.saturating_sub(FIRST_RECENT_NANOS));
        let recent = Ticks::at(recent, hz);
        let older = snapshot.processes.iter().filter(|process| process.id.start <= recent);
        let newest_older = older.max_by_key(|process| (process.id.start, process.id.pid));
        let newest = newest_older.map(|process| process.id.pid).into_iter().collect();
        PidTracker { newest, cursor: Pid::INIT, ..PidTracker::default() }
    }

    /// The tracker after a sample that found `births` at its beginning. Rotation does not move.
    fn after(mut self, births: &Births) -> PidTracker {
        if self.newest.is_empty() {
            self.newest.push(Pid::new(births.newest.number().saturating_sub(FIRST_RECENT_PIDS)));
        }
        self.newest.insert(0, births.newest);
        self.newest.truncate(RECENT_SAMPLES + 1);
        self.forks = births.forks;
        self
    }

    /// The pids given out since the last sample. `None` if they are not certain.
    fn born(&self, births: &Births, interval_nanos: u64) -> Option<Vec<PidRange>> {
        // The newest pid advances by at most one for each birth and one for each pid in use that is
        // skipped. If this could be a whole round, the range of new pids is not known.
        let made = match (births.forks, self.forks) {
            (Some(now), Some(then)) => now.checked_sub(then)?,
            _ => interval_nanos / 1_000_000 * (BIRTHS_PER_SECOND / 1000),
        };
        let round = births.pid_max.checked_sub(RESERVED_PIDS)?;
        if made.saturating_add(births.tasks) >= round {
            return None;
        }
        Some(between(*self.newest.first()?, births.newest))
    }

    /// The pids of the processes that were born 1, 2, 4, ... `oldest` samples ago.
    ///
    /// Those born just before the last sample are read again in any case, because the kernel gives a
    /// pid out before the process becomes visible (`copy_process`, kernel/fork.c).
    fn recently_started(&self, oldest: usize) -> Vec<PidRange> {
        let ages = core::iter::successors(Some(1), |age| Some(age * 2));
        ages.take_while(|&age| age <= oldest && age < self.newest.len())
            .flat_map(|age| between(self.newest[age], self.newest[age - 1]))
            .collect()
    }

    /// The number of processes that rotation meets in one sample, without those added for births.
    fn share(&self, new_roots: NewRoots) -> u64 {
        match new_roots {
            NewRoots::Fixed if self.rounds_left == 0 => SLOW_ROTATION,
            NewRoots::Fixed => ROTATION_MINIMUM,
            NewRoots::ByRunning if self.clocks.is_some() => ROTATION_MINIMUM,
            _ if self.population <= SMALL_POPULATION => u64::MAX,
            _ => self.population.div_ceil(ROTATION).max(ROTATION_MINIMUM),
        }
    }

    /// The processes that rotation meets in this sample, of which `newborns` were born since the last
    /// one. Moves rotation past them.
    fn next_in_rotation(
        &mut self,
        kernel: &impl Kernel,
        new_roots: NewRoots,
        newborns: u64,
    ) -> Result<Vec<Pid>, ReadError> {
        let mut met = Vec::new();
        let share = self.share(new_roots);
        // All processes that rotation meets may be newborns. So it meets as many more. Otherwise it
        // might not advance faster than pids are given out.
        let share = share.saturating_add(newborns);
        let ahead = PidRange { first: self.cursor, last: Pid::MAX };
        kernel.pids_from(self.offset, ahead, share, &mut met)?;
        let end = met.len();
        let left = share - end as u64;
        if left > 0 && self.cursor > Pid::INIT {
            let behind = PidRange { first: Pid::INIT, last: Pid::new(self.cursor.number() - 1) };
            kernel.pids_from(self.offset, behind, left, &mut met)?;
        }
        self.rotate(&met[..end], &met[end..], share);
        Ok(met)
    }

    /// Moves rotation past the processes that it met: those `ahead` of the cursor and, if these
    /// were fewer than `share`, those `behind` it, which begin the next round.
    fn rotate(&mut self, ahead: &[Pid], behind: &[Pid], share: u64) {
        let (ahead_count, behind_count) = (ahead.len() as u64, behind.len() as u64);
        let all_met = ahead_count + behind_count < share;
        if all_met || ahead_count < share {
            self.rounds_left = self.rounds_left.saturating_sub(1);
        }
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
        // A state has no place for a pid after the largest, which is met once more.
        let after = |last: &Pid| Pid::new(last.number() + 1).min(Pid::MAX);
        self.cursor = last.map_or(Pid::INIT, after);
    }
}

/// The pids after `then`, up to `now`. If `now` is smaller, the kernel has begun again with small
/// pids.
fn between(then: Pid, now: Pid) -> Vec<PidRange> {
    if then == Pid::NONE || now == Pid::NONE {
        return vec![PidRange { first: Pid::INIT, last: Pid::MAX }];
    }
    let next = Pid::new(then.number() + 1);
    match then.cmp(&now) {
        core::cmp::Ordering::Equal => Vec::new(),
        core::cmp::Ordering::Less => vec![PidRange { first: next, last: now }],
        core::cmp::Ordering::Greater => {
            vec![PidRange { first: Pid::INIT, last: now }, PidRange { first: next, last: Pid::MAX }]
        }
    }
}

/// The processes that a sample reads when it need not read all.
#[derive(Debug)]
pub struct Listed {
    /// The processes, sorted, each once.
    pub pids: Vec<Pid>,
    /// The pids given out since the last sample.
    pub born: Vec<PidRange>,
    /// The tracker for the next sample.
    pub tracker: PidTracker,
}

impl LastSample<'_> {
    /// Lists the processes that the next sample reads: those in `always`, the members of the last
    /// sample, those born since, those that started recently, and a share of all others in
    /// rotation. `None` if it is not certain which processes were born.
    ///
    /// The sample begins at `now` and finds `births`. `new_roots` is how a process can become a root.
    ///
    /// # Errors
    /// If the processes cannot be listed.
    pub fn list(
        self,
        kernel: &impl Kernel,
        births: &Births,
        now: BootNanos,
        new_roots: NewRoots,
        always: Vec<Pid>,
    ) -> Result<Option<Listed>, ReadError> {
        let mut tracker = self.tracker.clone();
        let interval_nanos = now.since(self.accounts.taken);
        let Some(born) = tracker.born(births, interval_nanos) else { return Ok(None) };
        let mut pids = always;
        pids.extend(self.accounts.members().map(|id| id.pid));
        let known = pids.len();
        for &range in &born {
            kernel.pids_from(tracker.offset, range, u64::MAX, &mut pids)?;
        }
        let newborns = (pids.len() - known) as u64;
        let are_read = new_roots != NewRoots::Fixed && tracker.clocks.is_none();
        let oldest = if are_read { RECENT_SAMPLES } else { 1 };
        for range in tracker.recently_started(oldest) {
            kernel.pids_from(tracker.offset, range, u64::MAX, &mut pids)?;
        }
        if let Some(clocks) = &tracker.clocks {
            // A round of the clocks reaches whatever is older.
            for range in tracker.recently_started(clock_table::SAMPLES_PER_ROUND / 2) {
                clocks.check(range, kernel, &mut pids);
            }
        }
        let mut met = tracker.next_in_rotation(kernel, new_roots, newborns)?;
        if let Some(clocks) = &mut tracker.clocks {
            if new_roots == NewRoots::ByRunning {
                met.retain(|&pid| !clocks.contains(pid));
            }
            clocks.check_next(kernel, &mut pids);
            clocks.take_orphans(&mut pids);
        }
        pids.extend(met);
        pids.sort_unstable();
        pids.dedup();
        Ok(Some(Listed { pids, born, tracker: tracker.after(births) }))
    }
}

/// Whether all descendants of the `roots` were read.
///
/// This is so in two cases:
///
/// - The root was a member at the last sample, of a group in which every descendant of a member is
///   a member. Its descendants were members too, or were born since.
/// - The root was born since, so its descendants were too. Its pid is in `born`, and it did not
///   start before the tick of the last sample. The pid alone is not enough: the range includes pids
///   that the kernel skipped because older processes have them.
///
/// Any other root can have descendants that no sample has read.
pub fn knows_all_descendants(
    accounts: &Accounts,
    born: &[PidRange],
    snapshot: &Snapshot,
    roots: impl Iterator<Item = Root>,
    hz: Hz,
) -> bool {
    let since = Ticks::at(accounts.taken, hz);
    let by_descent = accounts.sets_by_descent();
    let was_member =
        |id| accounts.ledger.find(id).is_some_and(|one| by_descent[one.groups.index()]);
    // Those that have ended have no descendants that only they lead to.
    let roots = roots.map(|root| root.process).filter(|&root| root < snapshot.read());
    let mut roots: Vec<usize> = roots.collect();
    roots.sort_unstable();
    roots.dedup();
    roots.iter().all(|&root| {
        let id = snapshot.processes[root].id;
        (id.start >= since && born.iter().any(|range| range.contains(id.pid))) || was_member(id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::accounts::GroupAccount;
    use crate::account::ledger::{Ledger, Member};
    use crate::account::sets::{Set, SetId, Sets};
    use crate::model::label::Label;
    use crate::model::process::{Life, Process, Times};
    use crate::model::units::{Amounts, ProcId};

    fn births(newest: u32, tasks: u64, pid_max: u64, forks: Option<u64>) -> Births {
        Births { newest: Pid::new(newest), tasks, pid_max, forks }
    }

    fn tracker(newest: &[u32], forks: Option<u64>) -> PidTracker {
        let newest = newest.iter().map(|&pid| Pid::new(pid)).collect();
        PidTracker { newest, forks, ..PidTracker::default() }
    }

    fn ends(ranges: &[PidRange]) -> Vec<(u32, u32)> {
        ranges.iter().map(|range| (range.first.number(), range.last.number())).collect()
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn new_pids_lie_between_the_newest_then_and_now() {
        let born = |then, now| {
            let born = tracker(&[then], None).born(&births(now, 300, 4 << 20, None), SECOND);
            ends(&born.unwrap())
        };
        assert_eq!(born(1000, 1003), [(1001, 1003)]);
        assert_eq!(born(1000, 1000), []);
        assert_eq!(born(4_194_000, 305), [(1, 305), (4_194_001, 4 << 20)], "past the end");
    }

    #[test]
    fn births_are_unknown_after_a_whole_round() {
        let tracker = tracker(&[1000], Some(50_000));
        let born = |forks| tracker.born(&births(2000, 300, 32768, Some(forks)), SECOND);
        assert!(born(51_000).is_some());
        assert!(born(50_000 + 32_768 - 301 - 300 - 1).is_some());
        assert_eq!(born(50_000 + 32_768 - 301 - 300), None);
        assert_eq!(born(49_000), None, "fewer forks than before");
    }

    #[test]
    fn time_bounds_births_if_forks_are_not_counted() {
        let tracker = tracker(&[1000], None);
        let born = |seconds| tracker.born(&births(2000, 300, 4 << 20, None), seconds * SECOND);
        assert!(born(40).is_some());
        assert_eq!(born(42), None);
        assert!(needs_forks(32768, SECOND) && needs_forks(4 << 20, 30 * SECOND));
        assert!(!needs_forks(4 << 20, 10 * SECOND));
    }

    #[test]
    fn recently_started_processes_are_read_again() {
        let numbers: Vec<u32> = (0..70).map(|age| 1000 - age * 10).collect();
        let many = tracker(&numbers, None);
        let ages = |oldest| -> Vec<u32> {
            let recent = many.recently_started(oldest);
            recent.iter().map(|range| (1000 - range.last.number()) / 10 + 1).collect()
        };
        assert_eq!(ages(RECENT_SAMPLES), [1, 2, 4, 8, 16, 32, 64]);
        assert_eq!(ages(1), [1], "pids whose process was not visible yet");
        assert_eq!(tracker(&[5], None).recently_started(RECENT_SAMPLES), []);
        let first = PidTracker::default().after(&births(1000, 300, 32768, None));
        assert_eq!(ends(&first.recently_started(1)), [(745, 1000)], "after the first sample too");
    }

    #[test]
    fn after_a_whole_round_any_pid_may_be_recent() {
        let recent_after = |forks| {
            let accounts = Accounts::default();
            let last =
                LastSample { accounts: &accounts, tracker: &tracker(&[1000, 900], Some(50_000)) };
            let births = births(2000, 300, 32768, Some(forks));
            let now = PidTracker::of_all(&Snapshot::default(), 0, &births, Some(last), Hz(100));
            ends(&now.recently_started(1))
        };
        assert_eq!(recent_after(51_000), [(1001, 2000)]);
        assert_eq!(recent_after(50_000 + 32_768), [(1, Pid::MAX.number())]);
    }

    /// Process 1500, which started in tick 70.
    fn snapshot_of_one() -> Snapshot {
        let mut snapshot = Snapshot::default();
        let comm = snapshot.names.id(b"x");
        snapshot.processes.push(Process {
            clock: None,
            id: ProcId { pid: Pid::new(1500), start: Ticks(70) },
            parent: Pid::INIT,
            times: Times::default(),
            life: Life::Alive,
            threads: 1,
            comm,
        });
        snapshot
    }

    #[test]
    fn an_old_process_in_the_new_range_is_not_new() {
        let snapshot = snapshot_of_one();
        let root = [Root { selector: 0, process: 0 }];
        let born = [PidRange { first: Pid::new(1000), last: Pid::new(2000) }];
        let knows = |born: &[PidRange], since: u64| {
            let taken = BootNanos(since * 10_000_000);
            let accounts = Accounts { taken, ..Accounts::default() };
            knows_all_descendants(&accounts, born, &snapshot, root.into_iter(), Hz(100))
        };
        assert!(knows(&born, 70), "in the tick of the last sample");
        assert!(!knows(&born, 71));
        assert!(!knows(&[], 70));
    }

    #[test]
    fn descendants_of_former_members_are_known() {
        let snapshot = snapshot_of_one();
        let Process { id, parent, .. } = snapshot.processes[0];
        let root = [Root { selector: 0, process: 0 }];
        let member = Member { id, parent, amounts: Amounts::default(), groups: SetId::new(1) };
        let knows = |is_alone, by_descent| {
            let ledger = Ledger { members: vec![member], debts: Vec::new() };
            let account = GroupAccount { by_descent, ..GroupAccount::default() };
            let groups = [(Label::lossy(b"x"), account)].into();
            let mut sets = Sets::default();
            sets.push(Set { rest: SetId::EMPTY, group: 0, is_alone });
            let taken = BootNanos(800_000_000);
            let accounts = Accounts { taken, groups, sets, ledger, ..Accounts::default() };
            knows_all_descendants(&accounts, &[], &snapshot, root.into_iter(), Hz(100))
        };
        assert!(knows(false, true));
        assert!(!knows(true, true), "its descendants were not read");
        assert!(!knows(false, false), "a group of control groups");
    }

    #[test]
    fn rotation_meets_all_processes() {
        let mut tracker =
            PidTracker { cursor: Pid::INIT, population: 4000, ..PidTracker::default() };
        assert_eq!(tracker.share(NewRoots::ByRunning), 32);
        assert_eq!(
            PidTracker { population: 256, ..PidTracker::default() }.share(NewRoots::ByRunning),
            u64::MAX
        );
        assert_eq!(tracker.share(NewRoots::Fixed), 8, "no member has run");
        assert_eq!(
            PidTracker { rounds_left: 1, ..PidTracker::default() }.share(NewRoots::Fixed),
            16
        );
        let pids = [1, 7, 9].map(Pid::new);
        tracker.rotate(&pids[..2], &[], 2);
        assert_eq!((tracker.cursor, tracker.met, tracker.population), (Pid::new(8), 2, 4000));
        tracker.rotate(&pids[2..], &pids[..1], 2);
        assert_eq!((tracker.cursor, tracker.met, tracker.population), (Pid::new(2), 1, 3));
        tracker.rotate(&pids[1..], &pids[..1], 4);
        assert_eq!(
            (tracker.cursor, tracker.met, tracker.population),
            (Pid::INIT, 0, 3),
            "all at once"
        );
        tracker.rotate(&[Pid::MAX], &[], 1);
        assert_eq!(tracker.cursor, Pid::MAX);
    }
}
