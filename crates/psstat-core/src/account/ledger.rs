//! The ledger: how much a group used between two samples, of CPU time or of any other quantity that
//! only rises and that a parent inherits from the children it waits for.
//!
//! A process answers for what is its own and for that of the children it has waited for. While it
//! lives, what it gained since the last sample is what was used. When it ends, its whole life
//! moves, in one step, into the children's part of the parent that waits for it; of that life, all
//! up to the last sample has been counted already. So each process that has gone leaves a *debt* of
//! what was counted, to be taken off the gain in the children's part of the ancestor that inherited
//! it.
//!
//! Which ancestor that is cannot always be seen. While the parent lives, it is the parent. After
//! that it is the nearest one that still lives, or, where an orphan was adopted meanwhile, one
//! further up. An inheritance comes whole, so an ancestor that gained less than the debt has not
//! inherited it. And it may come late: a process may end after its parent was read and before it
//! was read itself; then the debt waits for one more sample, after which the time is taken for
//! lost: nobody waited.

use crate::model::process::Life;
use crate::model::units::{Amounts, Count, CpuNanos, Pid, ProcId, Ticks};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Add;

/// What a ledger can be kept of: a counter that only rises. Its default is zero.
pub trait Quantity: Copy + Ord + Default + Add<Output = Self> {
    /// How much less than was counted of a process may show where it is inherited.
    const ROUNDING: Self;

    /// How far this is above `earlier`; nothing where it is below.
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
    /// Whole numbers are added as they are.
    const ROUNDING: Count = Count(0);

    fn since(self, earlier: Count) -> Count {
        Count::since(self, earlier)
    }
}

/// A member as the ledger remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<Q = CpuNanos> {
    /// Who it is.
    pub id: ProcId,
    /// Its parent; often no member. Its own number where it stands here without its children: then
    /// it inherits nothing, and leaves nothing to anybody.
    pub parent: Pid,
    /// What it answered for at the sample.
    pub amounts: Amounts<Q>,
}

/// What was counted of a process that has gone, and has not been seen to arrive anywhere yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debt<Q = CpuNanos> {
    /// The nearest ancestor that was alive when the process was missed.
    pub heir: Pid,
    /// How much of what arrives there has been counted.
    pub owed: Q,
}

/// What is known of one group at one sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger<Q = CpuNanos> {
    /// The members, sorted by pid, zombies among them.
    pub members: Vec<Member<Q>>,
    /// What may still arrive.
    pub debts: Vec<Debt<Q>>,
}

impl<Q: Default> Member<Q> {
    /// The same without its children.
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
    /// Whether that very process was a member together with its children.
    pub fn knows_with_children(&self, id: ProcId) -> bool {
        self.find(id.pid).is_some_and(|member| member.id == id && !member.is_alone())
    }

    /// Whether that very process was a member.
    pub fn knows(&self, id: ProcId) -> bool {
        self.find(id.pid).is_some_and(|member| member.id == id)
    }

    /// The member of that number.
    pub fn find(&self, pid: Pid) -> Option<&Member<Q>> {
        let place = self.members.binary_search_by_key(&pid, |member| member.id.pid).ok()?;
        Some(&self.members[place])
    }
}

/// What the members gained, before debts.
struct Gains<Q> {
    /// In the children's part, by place in the list of members; 0 for those not known before.
    children: Vec<Q>,
    /// As `children`, less what was taken off already.
    left: Vec<Q>,
    /// All else.
    other: Q,
    /// Whether any member's gain is known at all.
    known: bool,
}

/// How much is known of where a debt arrives, and when: most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// The parent lives: it alone can wait for its child.
    Child,
    /// It has waited for a sample: it has arrived by now, or never will.
    Due,
    /// The parent has ended: whoever is above it may have inherited from it, or have adopted.
    Orphan,
}

/// A debt to be settled.
#[derive(Clone, Copy, Debug)]
struct Claim<Q> {
    standing: Standing,
    debt: Debt<Q>,
}

/// What could not be taken off.
struct Rest<Q> {
    debt: Debt<Q>,
    /// Whether someone gained enough, and other debts have taken of that: one of those may be the
    /// late one.
    contested: bool,
}

/// Reckons what a group used since the last sample, and what to remember of it.
///
/// `before` is the group at the last sample, which began in tick `since`; none where the group
/// was not known then. `members` are its members now, sorted by pid. `life_of` tells what is left
/// of a former member, in the group or outside.
///
/// The answer is unknown where every member is older than the last sample and none was known to
/// it: unknown is not zero.
pub fn settle<Q: Quantity>(
    before: Option<&Ledger<Q>>,
    since: Ticks,
    members: Vec<Member<Q>>,
    life_of: impl Fn(ProcId) -> Life,
) -> (Option<Q>, Ledger<Q>) {
    let nothing = Ledger::default();
    let before = before.unwrap_or(&nothing);
    let mut gains = gains(before, since, &members);
    let now = Ledger { members, debts: Vec::new() };

    let mut debts = Vec::new();
    let mut rounding = Vec::new();
    for claim in claims(before, &now, life_of) {
        match take_off(claim, before, &now, &mut gains) {
            Some(rest) if claim.standing != Standing::Due => debts.push(rest.debt),
            Some(rest) if rest.contested && rest.debt.owed <= Q::ROUNDING => {
                add_rounding(&mut rounding, rest.debt);
            }
            Some(rest) if rest.contested => debts.push(rest.debt),
            _ => {}
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

/// All that is owed, in the order to settle it.
fn claims<Q: Quantity>(
    before: &Ledger<Q>,
    now: &Ledger<Q>,
    life_of: impl Fn(ProcId) -> Life,
) -> Vec<Claim<Q>> {
    let mut claims = Vec::new();
    for &debt in &before.debts {
        // Where the heir has ended too, what came to it goes on to its own heir, and may be late
        // once more.
        let heir_stayed = before.find(debt.heir).is_some_and(|heir| now.knows(heir.id));
        let standing = if heir_stayed { Standing::Due } else { Standing::Orphan };
        claims.push(Claim { standing, debt });
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
        claims.push(Claim { standing, debt });
    }
    // What one takes that is late, or was lost, may be the inheritance of another. So those of
    // which most is known come first, and of these the greater: then wherever the one arrived,
    // there is enough for the other as well.
    claims.sort_by_key(|claim| (claim.standing, Reverse(claim.debt.owed)));
    claims
}

/// Whether a process was born since a sample that began in tick `since`. A tick of slack: it gets
/// its start time a moment before it can be seen, and the two may fall into neighbouring ticks
/// (copy_process, kernel/fork.c).
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
                // What the children did of one that stood alone was never counted: all of its past
                // would come at once.
                if !then.is_alone() {
                    children = member.amounts.children.since(then.amounts.children);
                }
            }
            _ if is_born_since(member.id, since) => {
                gains.known = true;
                gains.other = gains.other + member.amounts.total();
            }
            // Older than the last sample, which did not know it as a member: its own baseline.
            _ => {}
        }
        gains.children.push(children);
    }
    gains.left = gains.children.clone();
    gains
}

/// Takes a debt off the gains of those who may have inherited it, the nearest first. What could
/// not be taken off is given back, with the nearest of them as its heir; it is dropped where none
/// of them lives.
fn take_off<Q: Quantity>(
    claim: Claim<Q>,
    before: &Ledger<Q>,
    now: &Ledger<Q>,
    gains: &mut Gains<Q>,
) -> Option<Rest<Q>> {
    let Claim { standing, debt: Debt { heir, mut owed } } = claim;
    let mut nearest = None;
    let mut contested = false;
    let mut up = heir;
    // Bounded in any case, because a made-up procfs may hold a circle.
    let reach = if standing == Standing::Child { 1 } else { before.members.len() + 1 };
    for _ in 0..reach {
        let Some(then) = before.find(up) else { break };
        let place = now.members.binary_search_by_key(&up, |member| member.id.pid);
        if let Ok(place) = place
            && now.members[place].id == then.id
        {
            nearest.get_or_insert(up);
            if owed <= gains.children[place] + Q::ROUNDING {
                let taken = owed.min(gains.left[place]);
                gains.left[place] = gains.left[place].since(taken);
                owed = owed.since(taken);
                if owed == Q::default() {
                    return None;
                }
                contested = true;
            }
        }
        if then.is_alone() {
            break;
        }
        up = then.parent;
    }
    nearest.map(|heir| Rest { debt: Debt { heir, owed }, contested })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn member(pid: u32, parent: u32, start: u64, own: u64, children: u64) -> Member {
        Member {
            id: ProcId { pid: Pid::new(pid), start: Ticks(start) },
            parent: Pid::new(parent),
            amounts: Amounts { own: Ticks(own), children: Ticks(children) },
        }
    }

    fn ledger(members: &[Member]) -> Ledger {
        Ledger { members: members.to_vec(), debts: Vec::new() }
    }

    const SINCE: Ticks = Ticks(1000);

    fn used(before: &Ledger, now: &[Member]) -> (Option<u64>, Ledger) {
        let (used, after) = settle(Some(before), SINCE, now.to_vec(), |_| Life::Gone);
        (used.map(|ticks| ticks.0), after)
    }

    #[test]
    fn a_known_process_counts_what_it_gained() {
        let before = ledger(&[member(10, 1, 5, 100, 40)]);
        assert_eq!(used(&before, &[member(10, 1, 5, 130, 45)]).0, Some(35));
        assert_eq!(used(&before, &[member(10, 1, 5, 90, 30)]).0, Some(0), "never negative");
    }

    #[test]
    fn a_process_born_since_counts_whole_and_an_older_stranger_not_yet() {
        let before = ledger(&[member(10, 1, 5, 0, 0)]);
        let now = [member(10, 1, 5, 0, 0), member(11, 10, 1000, 7, 3), member(12, 10, 998, 500, 0)];
        assert_eq!(used(&before, &now).0, Some(10));
        assert_eq!(settle(None, SINCE, vec![member(12, 10, 998, 500, 0)], |_| Life::Gone).0, None);
        assert_eq!(settle(None, SINCE, Vec::new(), |_| Life::Gone).0, Some(Ticks(0)), "nobody");
    }

    #[test]
    fn a_recycled_pid_is_another_process() {
        let before = ledger(&[member(10, 1, 5, 100, 0)]);
        assert_eq!(used(&before, &[member(10, 1, 2000, 3, 0)]).0, Some(3));
    }

    #[test]
    fn a_childs_past_is_counted_once() {
        // 200 ticks of child 11 were counted; it used 10 more, ended, and was waited for.
        let before = ledger(&[member(10, 1, 5, 0, 50), member(11, 10, 6, 200, 0)]);
        let (ticks, after) = used(&before, &[member(10, 1, 5, 0, 260)]);
        assert_eq!(ticks, Some(10));
        assert_eq!(after.debts, []);
    }

    #[test]
    fn a_whole_line_that_ended_settles_with_the_ancestor_that_lives() {
        let before = ledger(&[
            member(10, 1, 5, 0, 0),
            member(11, 10, 6, 100, 20),
            member(12, 11, 7, 300, 0),
        ]);
        // 12 used 5 more and went to 11; 11 used 1 more and went, with all, to 10.
        assert_eq!(used(&before, &[member(10, 1, 5, 2, 426)]).0, Some(8));
    }

    #[test]
    fn a_child_that_nobody_waited_for_eats_no_other_childs_time() {
        // 11 and its 1000 ticks are lost; the 300 that arrived are those of others.
        let before = ledger(&[member(10, 1, 5, 0, 0), member(11, 10, 6, 1000, 0)]);
        let (ticks, after) = used(&before, &[member(10, 1, 5, 0, 300)]);
        assert_eq!(ticks, Some(300));
        // It may have ended after 10 was read: then it arrives with the next sample.
        let (ticks, after) = used(&after, &[member(10, 1, 5, 0, 1302)]);
        assert_eq!(ticks, Some(2));
        assert_eq!(after.debts, []);
    }

    #[test]
    fn a_debt_waits_for_one_sample_only() {
        let before = ledger(&[member(10, 1, 5, 0, 0), member(11, 10, 6, 100, 0)]);
        let (_, after) = used(&before, &[member(10, 1, 5, 0, 0)]);
        assert_eq!(after.debts, [Debt { heir: Pid::new(10), owed: Ticks(100) }]);
        let (ticks, after) = used(&after, &[member(10, 1, 5, 0, 0)]);
        assert_eq!((ticks, after.debts.len()), (Some(0), 0));
        assert_eq!(used(&after, &[member(10, 1, 5, 0, 150)]).0, Some(150));
    }

    #[test]
    fn a_subreaper_above_inherits_what_the_parent_did_not() {
        // 11 died; 10, which adopts, waited for the orphan 12. 11's parent is 10 as well.
        let before = ledger(&[
            member(10, 1, 5, 0, 0),
            member(11, 10, 6, 0, 0),
            member(12, 11, 7, 500, 0),
            member(13, 12, 8, 0, 0),
        ]);
        // 12 still lives here, and gained nothing; 13's mother is 12. The adopter is above.
        let mut before = before;
        before.members[3].amounts.own = Ticks(400);
        let now = [member(10, 1, 5, 0, 401), member(12, 11, 7, 500, 0)];
        assert_eq!(used(&before, &now).0, Some(1));
    }

    #[test]
    fn debts_that_could_be_there_are_taken_before_any_is_reported_twice() {
        // Two of 60 arrived, one of 100 was lost: which, nobody can tell. Never report old time.
        let before = ledger(&[
            member(10, 1, 5, 0, 0),
            member(11, 10, 6, 100, 0),
            member(12, 10, 6, 60, 0),
            member(13, 10, 6, 60, 0),
        ]);
        assert_eq!(used(&before, &[member(10, 1, 5, 0, 120)]).0, Some(0));
    }

    #[test]
    fn one_who_left_the_group_alive_owes_nothing() {
        let before = ledger(&[member(10, 1, 5, 0, 0), member(11, 10, 6, 100, 0)]);
        let now = vec![member(10, 1, 5, 0, 120)];
        let (ticks, _) = settle(Some(&before), SINCE, now, |_| Life::Alive);
        assert_eq!(ticks, Some(Ticks(120)));
    }

    #[test]
    fn rounding_of_four_counters_does_not_make_a_life_arrive_twice() {
        let before = ledger(&[member(10, 1, 5, 0, 0), member(11, 10, 6, 1000, 0)]);
        assert_eq!(used(&before, &[member(10, 1, 5, 0, 997)]).0, Some(0));
    }

    #[test]
    fn whole_numbers_are_inherited_to_the_last_one() {
        let count = |pid, parent, own, children| Member {
            id: ProcId { pid: Pid::new(pid), start: Ticks(5) },
            parent: Pid::new(parent),
            amounts: Amounts { own: Count(own), children: Count(children) },
        };
        let before =
            Ledger { members: vec![count(10, 1, 7, 0), count(11, 10, 1000, 0)], debts: Vec::new() };
        let used = |now| settle(Some(&before), SINCE, vec![now], |_| Life::Gone).0;
        assert_eq!(used(count(10, 1, 8, 1000)), Some(Count(1)));
        // A life of 1000 cannot have arrived where 997 have, which are others'.
        assert_eq!(used(count(10, 1, 7, 997)), Some(Count(997)));
        assert_eq!(used(count(10, 1, u64::MAX, u64::MAX)), Some(Count(u64::MAX)));
    }

    #[test]
    fn circles_end() {
        let before =
            ledger(&[member(10, 11, 5, 9, 0), member(11, 10, 5, 9, 0), member(12, 11, 5, 9, 0)]);
        let now = [member(10, 11, 5, 9, 0), member(11, 10, 5, 9, 0)];
        assert_eq!(used(&before, &now).0, Some(0));
    }
}
