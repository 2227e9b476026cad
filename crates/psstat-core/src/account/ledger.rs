//! The ledger: how much a group used between two samples.
//!
//! It works for CPU time and for every other quantity that only rises and that a parent inherits
//! from the children it waits for (wait(2)).
//!
//! # Rules
//!
//! The kernel shows two amounts for each process: its own, and that of the children it has waited
//! for ([`Amounts`]). The examples write them as own + children, in ticks.
//!
//! 1. A member that was known at the last sample has used what its amounts gained since.
//!    *Example:* it had 100 + 40 and has 130 + 45. It used 35.
//! 2. A member that started since the last sample has used all of its amounts.
//!    *Example:* it has 7 + 3. It used 10.
//! 3. Any other member is older than the last sample and was not known then. Its amounts are the
//!    baseline for the next sample.
//!    *Example:* it has 500 + 0, which counts as 0. At the next sample it has 503 + 0. It used 3.
//! 4. A member that has ended leaves a *debt*: the amount that was counted up to the last sample.
//!    When a parent waits for a child, the kernel adds all of the child's amounts to the parent's
//!    children amount. The debt is taken off that gain, so that nothing is counted twice.
//!    *Example:* a child had 20 + 0 at the last sample. It used 10 more and ended, and its parent
//!    waited for it. The parent's child time rises by 30. The debt of 20 is taken off, 10 are new.
//! 5. The *heir* of a debt is the parent while it lives. If the parent has ended too, the heir is
//!    the nearest ancestor that lives, or an ancestor further up that adopted an orphan. The debts
//!    are taken off the gains of the nearest heirs first.
//!    *Example:* 12 had 300 + 0, used 5 more, and ended. Its parent 11 had 100 + 20, used 1 more,
//!    and ended. The child time of 10, the parent of 11, rises by 426. The debts of 300 and 120 are
//!    taken off, 6 are new.
//! 6. A process inherits all amounts of a child at once. An ancestor that gained less than the debt
//!    has not inherited it.
//!    *Example:* a child had 1000 + 0 and ended. The parent's child time rises by 300. This is the
//!    time of other children, and all 300 are new.
//! 7. A debt that could not be taken off waits for one more sample, because a process can end after
//!    its parent was read and before it was read itself. Then the debt is dropped: nobody waited
//!    for the process, and its time is lost.
//!    *Example:* the child of rule 6 had ended after its parent was read. At the next sample the
//!    parent's child time rises by 1002. The debt of 1000 is taken off, 2 are new.
//! 8. The children amount of CPU time is cut to whole ticks, so an inheritance can show up to
//!    [`Quantity::ROUNDING`] less than it is. What does not show yet stays as a debt of that heir,
//!    never more than the rounding.
//!    *Example:* a child had 3.4 ticks at the last sample and ended. The parent's child time rises
//!    by 3. The debt of 3.4 takes these off; 0.4 stay, and are taken off the next tick that shows.

use crate::model::process::Life;
use crate::model::units::{Amounts, Count, CpuNanos, Pid, ProcId, Ticks};
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Add;

/// A value of a counter that only rises, of which a ledger can be kept. The default is zero.
pub trait Quantity: Copy + Ord + Default + Add<Output = Self> {
    /// By how much an inherited amount may be smaller than the amount that was counted.
    const ROUNDING: Self;

    /// The difference to an `earlier` value, or zero if that is larger.
    fn since(self, earlier: Self) -> Self;
}

impl Quantity for CpuNanos {
    /// Two ticks. A process' own time is exact, but the kernel shows child time as two counters,
    /// cutime and cstime, each cut to whole ticks. So an inheritance can show up to two ticks less
    /// than it is. A tick is 10 ms (`USER_HZ` is 100 on every architecture except alpha,
    /// include/uapi/asm-generic/param.h).
    const ROUNDING: CpuNanos = CpuNanos(20_000_000);

    fn since(self, earlier: CpuNanos) -> CpuNanos {
        CpuNanos::since(self, earlier)
    }
}

impl Quantity for Count {
    /// The kernel adds whole numbers exactly.
    const ROUNDING: Count = Count(0);

    fn since(self, earlier: Count) -> Count {
        Count::since(self, earlier)
    }
}

/// A member of a group at one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<Q = CpuNanos> {
    /// Its identity.
    pub id: ProcId,
    /// Its parent, which is often not a member. If this is its own pid, it is a member without its
    /// children: it inherits nothing, and no ancestor inherits from it.
    pub parent: Pid,
    /// Its amounts at the sample.
    pub amounts: Amounts<Q>,
}

/// The counted amount of a member that has ended and that no ancestor was seen to inherit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debt<Q = CpuNanos> {
    /// The nearest ancestor that was alive at the sample that first missed the member.
    pub heir: Pid,
    /// How much of the inheritance has been counted already.
    pub owed: Q,
}

/// The members of one group at one sample, and the debts that were open then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger<Q = CpuNanos> {
    /// The members, sorted by pid, zombies included.
    pub members: Vec<Member<Q>>,
    /// The debts that may still be inherited.
    pub debts: Vec<Debt<Q>>,
}

impl<Q: Default> Member<Q> {
    /// The same member without its children.
    pub fn alone(mut self) -> Member<Q> {
        self.parent = self.id.pid;
        self.amounts.children = Q::default();
        self
    }
}

impl<Q> Member<Q> {
    fn is_alone(&self) -> bool {
        self.parent == self.id.pid
    }
}

impl<Q> Ledger<Q> {
    /// Whether the process is a member together with its children. Another process with its pid
    /// does not count.
    pub fn knows_with_children(&self, id: ProcId) -> bool {
        self.find(id.pid).is_some_and(|member| member.id == id && !member.is_alone())
    }

    /// Whether the process is a member. Another process with its pid does not count.
    pub fn knows(&self, id: ProcId) -> bool {
        self.find(id.pid).is_some_and(|member| member.id == id)
    }

    /// The member with that pid.
    pub fn find(&self, pid: Pid) -> Option<&Member<Q>> {
        Some(&self.members[self.index(pid)?])
    }

    fn index(&self, pid: Pid) -> Option<usize> {
        self.members.binary_search_by_key(&pid, |member| member.id.pid).ok()
    }
}

/// What the members gained since the last sample, before debts are taken off.
struct Gains<Q> {
    /// The gain of each member's children amount, in the order of the members. 0 if the member was
    /// not known at the last sample.
    children: Vec<Q>,
    /// The part of `children` from which no debt has been taken off yet.
    left: Vec<Q>,
    /// The sum of all other gains.
    other: Q,
    /// Whether the gain of at least one member is known.
    known: bool,
}

/// How certain the heir of a debt is, the most certain first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// The parent lives. No other process can wait for its child.
    Child,
    /// The debt has waited for a sample. It has been inherited by now, or never will be.
    Due,
    /// The parent has ended. Any ancestor above it may have inherited from it or adopted its
    /// children.
    Orphan,
}

/// How many living ancestors are asked at most whether they have inherited a debt. A user can make a
/// chain of thousands of processes; an orphan is adopted a few levels further up.
const MOST_HEIRS: usize = 100;

/// A debt that is to be settled now.
#[derive(Clone, Copy, Debug)]
struct Claim<Q> {
    standing: Standing,
    /// The part of the debt that could not be taken off yet.
    owed: Q,
    /// The next ancestor that may have inherited it.
    ancestor: Pid,
    /// How many more living ancestors are asked.
    steps: usize,
    /// The nearest ancestor that is alive.
    heir: Option<Pid>,
    /// Whether an ancestor gained enough for the debt, but other debts were taken off that gain.
    /// Then one of those may be the late one.
    contested: bool,
}

/// Computes what a group used since the last sample, and the ledger to keep for the next one.
///
/// `before` is the ledger of the last sample, which began in tick `since`; `None` if the group was
/// not known then. `members` are the members now, sorted by pid. `life_of` returns whether a former
/// member still runs, inside or outside the group.
///
/// The amount is `None` if there are members, and each is older than the last sample and was not
/// known then. An unknown amount is not zero.
pub fn settle<Q: Quantity>(
    before: Option<&Ledger<Q>>,
    since: Ticks,
    members: Vec<Member<Q>>,
    life_of: impl Fn(ProcId) -> Life,
) -> (Option<Q>, Ledger<Q>) {
    let empty = Ledger::default();
    let before = before.unwrap_or(&empty);
    let mut gains = gains(before, since, &members);
    let now = Ledger { members, debts: Vec::new() };

    let mut debts = Vec::new();
    let mut rounding = Vec::new();
    let mut claims = claims(before, &now, life_of);
    if !claims.is_empty() {
        let heirs = Heirs::new(before, &now);
        for claims in claims.chunk_by_mut(|one, other| one.standing == other.standing) {
            take_off(claims, before, &heirs, &mut gains);
        }
    }
    for Claim { standing, owed, heir, contested, .. } in claims {
        let Some(heir) = heir.filter(|_| owed > Q::default()) else { continue };
        let debt = Debt { heir, owed };
        match (standing, contested) {
            (Standing::Due, false) => {}
            (Standing::Due, true) if owed <= Q::ROUNDING => add_rounding(&mut rounding, debt),
            _ => debts.push(debt),
        }
    }
    debts.extend(rounding);

    let unknown = !gains.known && !now.members.is_empty();
    let used = gains.left.iter().fold(gains.other, |sum, &gain| sum + gain);
    ((!unknown).then_some(used), Ledger { debts, ..now })
}

/// Adds to the one debt that stays with an heir for good: what has arrived there, and does not show
/// yet because child time is cut to whole ticks. That is never more than the rounding; what is
/// above it was lost.
fn add_rounding<Q: Quantity>(rounding: &mut Vec<Debt<Q>>, debt: Debt<Q>) {
    match rounding.iter_mut().find(|known| known.heir == debt.heir) {
        Some(known) => known.owed = (known.owed + debt.owed).min(Q::ROUNDING),
        None => rounding.push(debt),
    }
}

/// All debts, in the order to settle them.
fn claims<Q: Quantity>(
    before: &Ledger<Q>,
    now: &Ledger<Q>,
    life_of: impl Fn(ProcId) -> Life,
) -> Vec<Claim<Q>> {
    let mut claims = Vec::new();
    let mut claim = |standing, debt: Debt<Q>| {
        claims.push(Claim {
            standing,
            owed: debt.owed,
            ancestor: debt.heir,
            steps: if standing == Standing::Child { 1 } else { MOST_HEIRS },
            heir: None,
            contested: false,
        });
    };
    for &debt in &before.debts {
        // If the heir has ended too, its own heir inherits the debt with it, and this can be late
        // again.
        let heir_stayed = before.find(debt.heir).is_some_and(|heir| now.knows(heir.id));
        let standing = if heir_stayed { Standing::Due } else { Standing::Orphan };
        claim(standing, debt);
    }
    for gone in &before.members {
        if now.knows(gone.id)
            || gone.amounts.total() == Q::default()
            || life_of(gone.id) != Life::Gone
        {
            continue;
        }
        let parent = before.find(gone.parent);
        let parent_lives = parent.is_some_and(|parent| life_of(parent.id) == Life::Alive);
        let standing = if parent_lives { Standing::Child } else { Standing::Orphan };
        let debt = Debt { heir: gone.parent, owed: gone.amounts.total() };
        claim(standing, debt);
    }
    // A debt that is late or lost must not use up the gain that another debt needs. So the debts
    // with the most certain heirs come first. Among these the largest come first, because each gain
    // that is enough for a larger debt is enough for a smaller one.
    claims.sort_by_key(|claim| (claim.standing, Reverse(claim.owed)));
    claims
}

/// Whether a process was born since a sample that began in tick `since`.
///
/// One tick is tolerated: the kernel sets the start time of a process shortly before the process
/// becomes visible, and a tick can begin in between (`copy_process`, kernel/fork.c).
pub fn is_born_since(id: ProcId, since: Ticks) -> bool {
    id.start + Ticks(1) >= since
}

fn gains<Q: Quantity>(before: &Ledger<Q>, since: Ticks, members: &[Member<Q>]) -> Gains<Q> {
    let mut gains =
        Gains { children: Vec::new(), left: Vec::new(), other: Q::default(), known: false };
    gains.children.reserve_exact(members.len());
    for member in members {
        let mut children = Q::default();
        match before.find(member.id.pid) {
            Some(then) if then.id == member.id => {
                gains.known = true;
                gains.other = gains.other + member.amounts.own.since(then.amounts.own);
                // The children of a member that was alone were never counted. Their whole past
                // would be reported as new.
                if !then.is_alone() {
                    children = member.amounts.children.since(then.amounts.children);
                }
            }
            _ if is_born_since(member.id, since) => {
                gains.known = true;
                gains.other = gains.other + member.amounts.total();
            }
            // It is older than the last sample and was not a member then.
            _ => {}
        }
        gains.children.push(children);
    }
    gains.left = gains.children.clone();
    gains
}

/// Takes debts off the gains of the ancestors that may have inherited them: first each off its nearest
/// living ancestor, then what is left of each off the next one, and so on.
///
/// An inheritance goes past a living ancestor only if one further up adopts orphans. So the nearest
/// ancestor is the likeliest, and if two debts of the same size meet, the one that has come further is
/// the one that remains, with an heir further down.
///
/// *Limit:* two debts that differ by less than [`Quantity::ROUNDING`] can meet at an ancestor that
/// both have come to past living ones in different branches. If one was inherited there and the other
/// is late, the wrong one may remain, and the late one counts twice.
fn take_off<Q: Quantity>(
    claims: &mut [Claim<Q>],
    before: &Ledger<Q>,
    heirs: &Heirs,
    gains: &mut Gains<Q>,
) {
    let mut goes_on = true;
    while goes_on {
        goes_on = false;
        for claim in claims.iter_mut().filter(|claim| claim.owed > Q::default()) {
            let Some(index) = claim.climb(before, heirs) else { continue };
            goes_on = true;
            if claim.owed <= gains.children[index] + Q::ROUNDING {
                let taken = claim.owed.min(gains.left[index]);
                gains.left[index] = gains.left[index].since(taken);
                claim.owed = claim.owed.since(taken);
                claim.contested = true;
            }
        }
    }
}

impl<Q: Quantity> Claim<Q> {
    /// Goes up to the next living ancestor that may have inherited the debt. Returns its index among
    /// the members now.
    fn climb(&mut self, before: &Ledger<Q>, heirs: &Heirs) -> Option<usize> {
        self.steps = self.steps.checked_sub(1)?;
        let heir = before.index(self.ancestor).and_then(|index| heirs.of[index]);
        let Some(Heir { before: index, now }) = heir else {
            self.steps = 0;
            return None;
        };
        let then = &before.members[index];
        self.heir.get_or_insert(then.id.pid);
        self.ancestor = then.parent;
        if then.is_alone() {
            self.steps = 0;
        }
        Some(now)
    }
}

/// The nearest heir of each member at the last sample.
struct Heirs {
    /// In the order of the members then. `None` if none of its ancestors lives.
    of: Vec<Option<Heir>>,
}

/// A member that lives, by its index in both ledgers.
#[derive(Clone, Copy)]
struct Heir {
    before: usize,
    now: usize,
}

impl Heirs {
    /// Finds the nearest living member among each member and its ancestors. Each member is looked at
    /// once, because a user can end a chain of thousands of processes.
    fn new<Q>(before: &Ledger<Q>, now: &Ledger<Q>) -> Heirs {
        let mut of = vec![None; before.members.len()];
        let mut is_done = vec![false; before.members.len()];
        let mut line = Vec::new();
        for start in 0..before.members.len() {
            let mut next = Some(start);
            let mut heir = None;
            while let Some(index) = next {
                // A cycle of parents, which a fabricated procfs can show, ends here too.
                if core::mem::replace(&mut is_done[index], true) {
                    heir = of[index];
                    break;
                }
                line.push(index);
                let then = &before.members[index];
                let index_now = now.index(then.id.pid);
                let index_now = index_now.filter(|&index| now.members[index].id == then.id);
                heir = index_now.map(|now| Heir { before: index, now });
                if heir.is_some() || then.is_alone() {
                    break;
                }
                next = before.index(then.parent);
            }
            for index in line.drain(..) {
                of[index] = heir;
            }
        }
        Heirs { of }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That many ticks of 10 ms.
    fn ticks(count: u64) -> CpuNanos {
        CpuNanos(count * 10_000_000)
    }

    fn member(pid: u32, parent: u32, start: u64, own: u64, children: u64) -> Member {
        Member {
            id: ProcId { pid: Pid::new(pid), start: Ticks(start) },
            parent: Pid::new(parent),
            amounts: Amounts { own: ticks(own), children: ticks(children) },
        }
    }

    fn ledger(members: &[Member]) -> Ledger {
        Ledger { members: members.to_vec(), debts: Vec::new() }
    }

    const SINCE: Ticks = Ticks(1000);

    fn used(before: &Ledger, now: &[Member]) -> (Option<u64>, Ledger) {
        let (used, after) = settle(Some(before), SINCE, now.to_vec(), |_| Life::Gone);
        (used.map(|nanos| nanos.0 / 10_000_000), after)
    }

    #[test]
    fn a_known_member_counts_its_gain() {
        let before = ledger(&[member(10, 1, 5, 100, 40)]);
        assert_eq!(used(&before, &[member(10, 1, 5, 130, 45)]).0, Some(35));
        assert_eq!(used(&before, &[member(10, 1, 5, 90, 30)]).0, Some(0), "never negative");
    }

    #[test]
    fn new_processes_count_fully_older_strangers_later() {
        let before = ledger(&[member(10, 1, 5, 0, 0)]);
        let now = [member(10, 1, 5, 0, 0), member(11, 10, 1000, 7, 3), member(12, 10, 998, 500, 0)];
        assert_eq!(used(&before, &now).0, Some(10));
        assert_eq!(settle(None, SINCE, vec![member(12, 10, 998, 500, 0)], |_| Life::Gone).0, None);
        assert_eq!(settle(None, SINCE, Vec::new(), |_| Life::Gone).0, Some(ticks(0)), "empty");
    }

    #[test]
    fn a_recycled_pid_is_another_process() {
        let before = ledger(&[member(10, 1, 5, 100, 0)]);
        assert_eq!(used(&before, &[member(10, 1, 2000, 3, 0)]).0, Some(3));
    }

    #[test]
    fn a_child_that_ended_is_counted_once() {
        // 200 ticks of child 11 were counted. It used 10 more and ended, and 10 waited for it.
        let before = ledger(&[member(10, 1, 5, 0, 50), member(11, 10, 6, 200, 0)]);
        let (used_now, after) = used(&before, &[member(10, 1, 5, 0, 260)]);
        assert_eq!(used_now, Some(10));
        assert_eq!(after.debts, []);
    }

    #[test]
    fn debts_settle_with_the_nearest_living_ancestor() {
        let before = ledger(&[
            member(10, 1, 5, 0, 0),
            member(11, 10, 6, 100, 20),
            member(12, 11, 7, 300, 0),
        ]);
        // 12 used 5 more and ended, and 11 waited for it. 11 used 1 more and ended, and 10 waited.
        assert_eq!(used(&before, &[member(10, 1, 5, 2, 426)]).0, Some(8));
    }

    #[test]
    fn a_lost_child_takes_no_time_of_other_children() {
        // Nobody waited for 11, which had used 1000 ticks. The 300 ticks are of other children.
        let before = ledger(&[member(10, 1, 5, 0, 0), member(11, 10, 6, 1000, 0)]);
        let (used_now, after) = used(&before, &[member(10, 1, 5, 0, 300)]);
        assert_eq!(used_now, Some(300));
        // If 11 ended after 10 was read, the next sample shows its time.
        let (used_now, after) = used(&after, &[member(10, 1, 5, 0, 1302)]);
        assert_eq!(used_now, Some(2));
        assert_eq!(after.debts, []);
    }

    #[test]
    fn a_debt_waits_for_one_sample() {
        let before = ledger(&[member(10, 1, 5, 0, 0), member(11, 10, 6, 100, 0)]);
        let (_, after) = used(&before, &[member(10, 1, 5, 0, 0)]);
        assert_eq!(after.debts, [Debt { heir: Pid::new(10), owed: ticks(100) }]);
        let (used_now, after) = used(&after, &[member(10, 1, 5, 0, 0)]);
        assert_eq!((used_now, after.debts.len()), (Some(0), 0));
        assert_eq!(used(&after, &[member(10, 1, 5, 0, 150)]).0, Some(150));
    }

    #[test]
    fn a_subreaper_inherits_from_adopted_orphans() {
        // 12, the parent of 13, still runs and has waited for no child. 10 is a subreaper above it
        // and waited for 13.
        let before = ledger(&[
            member(10, 1, 5, 0, 0),
            member(11, 10, 6, 0, 0),
            member(12, 11, 7, 500, 0),
            member(13, 12, 8, 400, 0),
        ]);
        let now = [member(10, 1, 5, 0, 401), member(12, 11, 7, 500, 0)];
        assert_eq!(used(&before, &now).0, Some(1));
    }

    #[test]
    fn uncertain_debts_report_no_old_time() {
        // 10 inherited 60 ticks of 12 and 60 of 13, and nobody waited for 11. This is not visible:
        // the 120 ticks could also be the 100 of 11 and 20 new ones. No old time is reported.
        let before = ledger(&[
            member(10, 1, 5, 0, 0),
            member(11, 10, 6, 100, 0),
            member(12, 10, 6, 60, 0),
            member(13, 10, 6, 60, 0),
        ]);
        assert_eq!(used(&before, &[member(10, 1, 5, 0, 120)]).0, Some(0));
    }

    #[test]
    fn a_member_that_leaves_alive_leaves_no_debt() {
        let before = ledger(&[member(10, 1, 5, 0, 0), member(11, 10, 6, 100, 0)]);
        let now = vec![member(10, 1, 5, 0, 120)];
        let (used_now, _) = settle(Some(&before), SINCE, now, |_| Life::Alive);
        assert_eq!(used_now, Some(ticks(120)));
    }

    #[test]
    fn rounding_does_not_report_old_time_again() {
        let before = ledger(&[member(10, 1, 5, 0, 0), member(11, 10, 6, 1000, 0)]);
        assert_eq!(used(&before, &[member(10, 1, 5, 0, 998)]).0, Some(0));
    }

    #[test]
    fn what_ticks_hide_is_taken_off_later() {
        // The child's clock showed 3.4 ticks. It ended, and its parent's child time shows 3.
        let child = Member {
            amounts: Amounts { own: CpuNanos(34_000_000), children: CpuNanos(0) },
            ..member(11, 10, 6, 0, 0)
        };
        let before = ledger(&[member(10, 1, 5, 0, 0), child]);
        let (used_now, after) = used(&before, &[member(10, 1, 5, 0, 3)]);
        assert_eq!(used_now, Some(0));
        assert_eq!(after.debts, [Debt { heir: Pid::new(10), owed: CpuNanos(4_000_000) }]);
        // It stays while nothing more shows, and is taken off the next tick.
        let (_, after) = used(&after, &[member(10, 1, 5, 0, 3)]);
        assert_eq!(after.debts.len(), 1);
        let (total, after) = settle(Some(&after), SINCE, vec![member(10, 1, 5, 0, 4)], gone);
        assert_eq!(total, Some(CpuNanos(6_000_000)));
        assert_eq!(after.debts, []);
    }

    #[test]
    fn what_ticks_hide_is_never_more_than_two_ticks() {
        let child = |pid| Member {
            amounts: Amounts { own: CpuNanos(9_000_000), children: CpuNanos(0) },
            ..member(pid, 10, 6, 0, 0)
        };
        let mut members = vec![member(10, 1, 5, 0, 0)];
        members.extend((11..31).map(child));
        // All are lost: nobody waited for them. They may still arrive with the next sample.
        let (_, after) = used(&ledger(&members), &[member(10, 1, 5, 0, 0)]);
        assert_eq!(after.debts.iter().map(|debt| debt.owed.0).sum::<u64>(), 180_000_000);
        let (_, after) = used(&after, &[member(10, 1, 5, 0, 0)]);
        assert_eq!(after.debts, [Debt { heir: Pid::new(10), owed: ticks(2) }]);
    }

    fn gone(_: ProcId) -> Life {
        Life::Gone
    }

    #[test]
    fn counts_are_inherited_exactly() {
        let count = |pid, parent, own, children| Member {
            id: ProcId { pid: Pid::new(pid), start: Ticks(5) },
            parent: Pid::new(parent),
            amounts: Amounts { own: Count(own), children: Count(children) },
        };
        let before =
            Ledger { members: vec![count(10, 1, 7, 0), count(11, 10, 1000, 0)], debts: Vec::new() };
        let used = |now| settle(Some(&before), SINCE, vec![now], |_| Life::Gone).0;
        assert_eq!(used(count(10, 1, 8, 1000)), Some(Count(1)));
        // The gain of 997 is too small to include the 1000, so it is of other children.
        assert_eq!(used(count(10, 1, 7, 997)), Some(Count(997)));
        assert_eq!(used(count(10, 1, u64::MAX, u64::MAX)), Some(Count(u64::MAX)));
    }

    #[test]
    fn cycles_of_parents_end() {
        let before =
            ledger(&[member(10, 11, 5, 9, 0), member(11, 10, 5, 9, 0), member(12, 11, 5, 9, 0)]);
        let now = [member(10, 11, 5, 9, 0), member(11, 10, 5, 9, 0)];
        assert_eq!(used(&before, &now).0, Some(0));
    }
}
