//! The ledger: how much CPU time a group used between two samples.
//!
//! A process answers for its own time and for that of the children it has waited for. While it
//! lives, what it gained since the last sample is what was used. When it ends, its whole life
//! moves, in one step, into the child time of the parent that waits for it; of that life, all up
//! to the last sample has been counted already. So each process that has gone leaves a *debt* of
//! what was counted, to be taken off the gain in child time of the ancestor that inherited it.
//!
//! Which ancestor that is cannot be seen. It is the nearest one that still lives, or, where that
//! one's own parent had adopted the orphan meanwhile, one further up. An inheritance comes whole,
//! so an ancestor that gained less than the debt has not inherited it. And it may come late: a
//! process may end after its parent was read and before it was read itself; then the debt waits
//! for one more sample, after which the time is taken for lost: nobody waited.

use crate::sample::Times;
use crate::units::{Pid, ProcId, Ticks};

/// A whole life is the sum of four counters, each cut to whole ticks on its own.
const ROUNDING: Ticks = Ticks(4);

/// A member as the ledger remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who it is.
    pub id: ProcId,
    /// Its parent; often no member.
    pub parent: Pid,
    /// Its CPU time at the sample.
    pub times: Times,
}

/// What was counted of a process that has gone, and has not been seen to arrive anywhere yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debt {
    /// The nearest ancestor that was alive when the process was missed.
    pub heir: Pid,
    /// How much of what arrives there has been counted.
    pub owed: Ticks,
}

/// What is known of one group at one sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// The members, sorted by pid, zombies among them.
    pub members: Vec<Member>,
    /// What may still arrive.
    pub debts: Vec<Debt>,
}

impl Ledger {
    fn find(&self, pid: Pid) -> Option<&Member> {
        let place = self.members.binary_search_by_key(&pid, |member| member.id.pid).ok()?;
        Some(&self.members[place])
    }
}

/// What the members gained, before debts.
struct Gains {
    /// In child time, by place in the list of members; 0 for those not known before.
    children: Vec<Ticks>,
    /// As `children`, less what was taken off already.
    left: Vec<Ticks>,
    /// All else.
    other: Ticks,
    /// Whether any member's gain is known at all.
    known: bool,
}

/// Reckons what a group used since the last sample, and what to remember of it.
///
/// `before` is the group at the last sample, which began in tick `since`; none where the group
/// was not known then. `members` are its members now, sorted by pid. `lives_on` tells of a former
/// member whether it still exists, outside the group.
///
/// The answer is unknown where every member is older than the last sample and none was known to
/// it: unknown is not zero.
pub fn settle(
    before: Option<&Ledger>,
    since: Ticks,
    members: Vec<Member>,
    lives_on: impl Fn(ProcId) -> bool,
) -> (Option<Ticks>, Ledger) {
    let nothing = Ledger::default();
    let before = before.unwrap_or(&nothing);
    let mut gains = gains(before, since, &members);
    let now = Ledger { members, debts: Vec::new() };

    let mut debts = Vec::new();
    for &debt in &before.debts {
        take_off(debt, before, &now, &mut gains);
    }
    for gone in &before.members {
        let stayed = now.find(gone.id.pid).is_some_and(|member| member.id == gone.id);
        if stayed || gone.times.total() == Ticks(0) || lives_on(gone.id) {
            continue;
        }
        let debt = Debt { heir: gone.parent, owed: gone.times.total() };
        debts.extend(take_off(debt, before, &now, &mut gains));
    }

    let unknown = !gains.known && !now.members.is_empty();
    let used = gains.left.iter().fold(gains.other, |sum, &gain| sum + gain);
    ((!unknown).then_some(used), Ledger { debts, ..now })
}

fn gains(before: &Ledger, since: Ticks, members: &[Member]) -> Gains {
    let mut gains = Gains { children: Vec::new(), left: Vec::new(), other: Ticks(0), known: false };
    gains.children.reserve_exact(members.len());
    for member in members {
        let mut children = Ticks(0);
        match before.find(member.id.pid) {
            Some(then) if then.id == member.id => {
                gains.known = true;
                gains.other += member.times.own.since(then.times.own);
                children = member.times.children.since(then.times.children);
            }
            // Born since. A tick of slack: a process gets its start time a moment before it can
            // be seen, and the two may fall into neighbouring ticks (copy_process, kernel/fork.c).
            _ if member.id.start + Ticks(1) >= since => {
                gains.known = true;
                gains.other += member.times.total();
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
fn take_off(debt: Debt, before: &Ledger, now: &Ledger, gains: &mut Gains) -> Option<Debt> {
    let mut owed = debt.owed;
    let mut touched = false;
    let mut nearest = None;
    let mut up = debt.heir;
    // Bounded, because a made-up procfs may hold a circle.
    for _ in 0..=before.members.len() {
        let Some(then) = before.find(up) else { break };
        let place = now.members.binary_search_by_key(&up, |member| member.id.pid);
        if let Ok(place) = place
            && now.members[place].id == then.id
        {
            nearest.get_or_insert(up);
            if touched || owed <= gains.children[place] + ROUNDING {
                let taken = owed.min(gains.left[place]);
                gains.left[place] = gains.left[place].since(taken);
                owed = owed.since(taken);
                touched |= taken > Ticks(0);
                if owed == Ticks(0) {
                    return None;
                }
            }
        }
        up = then.parent;
    }
    nearest.map(|heir| Debt { heir, owed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(pid: u32, parent: u32, start: u64, own: u64, children: u64) -> Member {
        Member {
            id: ProcId { pid: Pid::new(pid), start: Ticks(start) },
            parent: Pid::new(parent),
            times: Times { own: Ticks(own), children: Ticks(children) },
        }
    }

    fn ledger(members: &[Member]) -> Ledger {
        Ledger { members: members.to_vec(), debts: Vec::new() }
    }

    const SINCE: Ticks = Ticks(1000);

    fn used(before: &Ledger, now: &[Member]) -> (Option<u64>, Ledger) {
        let (used, after) = settle(Some(before), SINCE, now.to_vec(), |_| false);
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
        assert_eq!(settle(None, SINCE, vec![member(12, 10, 998, 500, 0)], |_| false).0, None);
        assert_eq!(settle(None, SINCE, Vec::new(), |_| false).0, Some(Ticks(0)), "nobody");
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
        before.members[3].times.own = Ticks(400);
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
        let (ticks, _) = settle(Some(&before), SINCE, now, |id| id.pid == Pid::new(11));
        assert_eq!(ticks, Some(Ticks(120)));
    }

    #[test]
    fn rounding_of_four_counters_does_not_make_a_life_arrive_twice() {
        let before = ledger(&[member(10, 1, 5, 0, 0), member(11, 10, 6, 1000, 0)]);
        assert_eq!(used(&before, &[member(10, 1, 5, 0, 997)]).0, Some(0));
    }

    #[test]
    fn circles_end() {
        let before =
            ledger(&[member(10, 11, 5, 9, 0), member(11, 10, 5, 9, 0), member(12, 11, 5, 9, 0)]);
        let now = [member(10, 11, 5, 9, 0), member(11, 10, 5, 9, 0)];
        assert_eq!(used(&before, &now).0, Some(0));
    }
}
