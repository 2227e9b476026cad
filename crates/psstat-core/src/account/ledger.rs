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
//!
//! If the kernel tells of each exit ([`Ends`]), there are two more:
//!
//! 9. A member that has ended has used what it had at its end, less what was counted. A process that was
//!    never seen, and that started since the last sample, has used all that it had at its end.
//!    *Example:* a member had 20 + 0 at the last sample, and 30 at its end. It used 10.
//! 10. What is counted so is part of the debt. So it does not matter whether an ancestor in the group
//!     inherits it. A process that was never seen leaves a debt too, if a member may have waited for it.
//!     *Example:* the parent of that member is in the group, and its child time rises by 30. The debt of 30
//!     is taken off. 10 were used, as without records. If the parent is not in the group, or waits for
//!     nobody, 10 were used as well.

use super::link::Link;
use super::membership::Joint;
use super::sets::{Set, SetId, Sets};
use crate::model::process::Life;
use crate::model::units::{Amounts, Count, CpuNanos, Pid, ProcId, Ticks};
use alloc::collections::BTreeMap;
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

    /// The value as a number.
    fn number(self) -> u64;

    /// Makes a value of a number.
    fn of(number: u64) -> Self;
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

    fn number(self) -> u64 {
        self.0
    }

    fn of(number: u64) -> CpuNanos {
        CpuNanos(number)
    }
}

impl Quantity for Count {
    /// The kernel adds whole numbers exactly.
    const ROUNDING: Count = Count(0);

    fn since(self, earlier: Count) -> Count {
        Count::since(self, earlier)
    }

    fn number(self) -> u64 {
        self.0
    }

    fn of(number: u64) -> Count {
        Count(number)
    }
}

/// A member of groups at one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<Q = CpuNanos> {
    /// Its identity.
    pub id: ProcId,
    /// Its parent, which is often not a member.
    pub parent: Pid,
    /// Its amounts at the sample.
    pub amounts: Amounts<Q>,
    /// The groups that it is a member of. In a group without its children it inherits nothing, and no
    /// ancestor inherits from it.
    pub groups: SetId,
}

/// The counted amount of a member that has ended and that no ancestor was seen to inherit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debt<Q = CpuNanos> {
    /// The number of the group that it is a debt of.
    pub group: u32,
    /// The nearest ancestor that was alive at the sample that first missed the member.
    pub heir: Pid,
    /// How much of the inheritance has been counted already.
    pub owed: Q,
}

/// The members of all groups at one sample, each once, and the debts that were open then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger<Q = CpuNanos> {
    /// The members, sorted by pid, zombies included.
    pub members: Vec<Member<Q>>,
    /// The debts that may still be inherited, sorted by group.
    pub debts: Vec<Debt<Q>>,
}

impl<Q> Ledger<Q> {
    /// Whether the process is a member of a group. Another process with its pid does not count.
    pub fn knows(&self, id: ProcId) -> bool {
        self.find(id).is_some()
    }

    /// The process, if it is a member of a group. Another process with its pid does not count.
    pub fn find(&self, id: ProcId) -> Option<&Member<Q>> {
        self.with_pid(id.pid).filter(|member| member.id == id)
    }

    /// The member with that pid.
    pub fn with_pid(&self, pid: Pid) -> Option<&Member<Q>> {
        Some(&self.members[index_of(&self.members, pid)?])
    }

    /// Gives the sets and the groups other numbers.
    pub fn renumber(&mut self, sets: &[SetId], groups: &[u32]) {
        for member in &mut self.members {
            member.groups = sets[member.groups.index()];
        }
        for debt in &mut self.debts {
            debt.group = groups[debt.group as usize];
        }
        sort_by_group(&mut self.debts);
    }

    fn debts_of(&self, group: u32) -> &[Debt<Q>] {
        let from = self.debts.partition_point(|debt| debt.group < group);
        let length = self.debts[from..].partition_point(|debt| debt.group == group);
        &self.debts[from..from + length]
    }
}

/// Sorts debts by group. Those of one group stay in their order.
fn sort_by_group<Q>(debts: &mut [Debt<Q>]) {
    debts.sort_by_key(|debt| debt.group);
}

/// Index of the member with that pid in `members`, which are sorted by pid.
fn index_of<Q>(members: &[Member<Q>], pid: Pid) -> Option<usize> {
    members.binary_search_by_key(&pid, |member| member.id.pid).ok()
}

/// Index of the member in `members`, which are sorted by pid.
fn index_of_same<Q>(members: &[Member<Q>], id: ProcId) -> Option<usize> {
    index_of(members, id.pid).filter(|&index| members[index].id == id)
}

/// The processes that have ended since the last sample, as exit records tell. Empty if there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends<Q> {
    /// The members of the last sample: the index of each, sorted, and its own amount at its end.
    pub members: Vec<(usize, Q)>,
    /// The processes that no sample has seen, and that started since the last one.
    pub unseen: Vec<Unseen<Q>>,
    /// For each group of this sample: whether the unseen are not counted, because a counter of the group
    /// may include them.
    pub are_counted: Vec<bool>,
}

impl<Q> Default for Ends<Q> {
    fn default() -> Ends<Q> {
        Ends { members: Vec::new(), unseen: Vec::new(), are_counted: Vec::new() }
    }
}

impl<Q> Ends<Q> {
    /// Whether the unseen count in that group.
    fn counts(&self, group: usize) -> bool {
        !self.are_counted.get(group).is_some_and(|is_counted| *is_counted)
    }
}

/// A process that no sample has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unseen<Q> {
    /// The nearest process above it that was not unseen itself.
    pub ancestor: Pid,
    /// Whether that is its parent, and lives.
    pub is_child: bool,
    /// The groups of this sample that it belonged to.
    pub groups: SetId,
    /// Its own amount at its end.
    pub own: Q,
}

/// What one group did since the last sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled<Q> {
    /// The amount. `None` if there are members, and each is older than the last sample and was not known
    /// then. An unknown amount is not zero.
    pub used: Option<Q>,
    /// Whether the group has members now.
    pub has_members: bool,
    /// Whether it would have taken too long to work out the amount: see [`MOST_CLAIMS`].
    pub is_left_out: bool,
}

/// What the members of a set gained since the last sample, before debts are taken off.
#[derive(Clone, Copy, Debug, Default)]
struct Gain {
    own: u128,
    children: u128,
    /// How many members have a known gain.
    known: usize,
    members: usize,
    is_left_out: bool,
}

impl Gain {
    fn add(&mut self, other: &Gain) {
        self.own += other.own;
        self.children += other.children;
        self.known += other.known;
        self.members += other.members;
        self.is_left_out |= other.is_left_out;
    }

    /// The same for a group that the members are in without their children.
    fn add_alone(&mut self, other: &Gain) {
        self.add(&Gain { children: 0, ..*other });
    }
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

/// How many debts are settled at most in one sample, added up over all groups that the user did not
/// name. A debt of a process in many such groups counts once for each. The outermost groups come first.
/// If the number is reached, the amounts of the others are left out.
///
/// 4,000 processes that each have a group of their own and all those below as members leave 2,000,000
/// debts if half of them end: as many as there are groups times processes. 10,000 processes that end in
/// the same interval, ten groups deep, leave 100,000.
pub const MOST_CLAIMS: usize = 1 << 18;

/// How many ancestors are asked at most for these debts, and how many groups are looked at of members
/// that have left a group or joined one.
pub const MOST_STEPS: usize = 1 << 22;

/// A debt that is to be settled now.
#[derive(Clone, Copy, Debug)]
struct Claim<Q> {
    standing: Standing,
    /// The part of the debt that could not be taken off yet.
    owed: Q,
    /// The next ancestor that may have inherited it.
    ancestor: Pid,
    /// Whether no sample has seen the process. Then the ancestor may be as new.
    is_unseen: bool,
    /// How many more living ancestors are asked.
    steps: usize,
    /// The nearest ancestor that is alive.
    heir: Option<Pid>,
    /// Whether an ancestor gained enough for the debt, but other debts were taken off that gain.
    /// Then one of those may be the late one.
    contested: bool,
}

/// The members of all groups at two samples.
#[derive(Debug)]
pub struct Settlement<'s, Q> {
    /// The ledger of the last sample.
    pub then: &'s Ledger<Q>,
    /// The tick in which that sample began.
    pub since: Ticks,
    /// The members now, sorted by pid.
    pub now: &'s [Member<Q>],
    /// The groups of both samples.
    pub link: &'s Link<'s>,
    /// The processes that have ended.
    pub ends: &'s Ends<Q>,
    /// Whether it matters that a member is in a group without its children: the amounts of its children
    /// are apart from its own.
    pub are_children_apart: bool,
    /// The group that has the members of all others, if what some groups used is a part of what it used.
    pub joint: Option<Joint>,
}

impl<Q: Quantity> Settlement<'_, Q> {
    /// Computes what each group used since the last sample, and the debts to keep for the next one.
    ///
    /// `life_of` returns whether a former member still runs, inside or outside the group.
    pub fn settle(&self, life_of: &impl Fn(ProcId) -> Life) -> (Vec<Settled<Q>>, Vec<Debt<Q>>) {
        let mut steps = MOST_STEPS;
        let mut gains = self.gains(&mut steps);
        let (gone, rests) = self.gone(life_of);
        let mut ended = vec![Gain::default(); gains.len()];
        self.add_ended(&rests, &mut ended);
        gains.iter_mut().zip(&ended).for_each(|(gain, ended)| gain.add(ended));
        let mut settled: Vec<Settled<Q>> = gains.iter().map(Gain::settled).collect();
        let mut debts = Vec::new();
        let mut taken_of_joint = BTreeMap::new();
        if gone.is_empty() && self.then.debts.is_empty() && self.ends.unseen.is_empty() {
            self.divide(&taken_of_joint, ended, &mut settled);
            return (settled, debts);
        }
        let is_alive = |id: ProcId| life_of(id) == Life::Alive;
        let (claimants, left_out) = self.claimants(&gone);
        for group in left_out {
            settled[group].is_left_out = true;
        }
        let mut heirs = vec![(0, None); self.then.members.len()];
        for (round, Claimant { group, then, gone, unseen }) in (1..).zip(claimants) {
            settled[group].is_left_out |= steps == 0 && !self.link.is_named(group);
            if settled[group].is_left_out {
                continue;
            }
            let heirs = Heirs { settlement: self, group, then, of: &mut heirs, round };
            let mut account = Account { heirs, gains: BTreeMap::new() };
            let left = account.settle(&gone, &unseen, &is_alive, &mut steps);
            debts.extend(left);
            if self.joint.is_some_and(|joint| joint.group as usize == group) {
                let taken = account.gains.iter().map(|(&heir, gain)| (heir, gain.taken()));
                taken_of_joint = taken.collect();
            }
            let taken = account.gains.values().map(|gain| u128::from(gain.taken())).sum::<u128>();
            let Gain { own, children, .. } = gains[group];
            let used = settled[group].used.as_mut();
            used.into_iter()
                .for_each(|used| *used = quantity((own + children).saturating_sub(taken)));
        }
        for settled in settled.iter_mut().filter(|settled| settled.is_left_out) {
            settled.used = None;
        }
        debts.retain(|debt: &Debt<Q>| !settled[debt.group as usize].is_left_out);
        sort_by_group(&mut debts);
        self.divide(&taken_of_joint, ended, &mut settled);
        (settled, debts)
    }

    /// Replaces what the parts of the joint group used by their parts of what all used.
    ///
    /// A process that ends in one group can be waited for in another one. What was counted of it is taken off
    /// the gain of whoever waited, whatever group that is in. So the sum of all groups has it once. What it
    /// used since the last sample is counted where it was waited for, unless an exit record tells it: `ended` is
    /// what the ended processes of each group used, as records tell.
    fn divide(&self, taken: &BTreeMap<usize, u64>, ended: Vec<Gain>, groups: &mut [Settled<Q>]) {
        let Some(joint) = self.joint else { return };
        let mut gains = ended;
        for (index, member) in self.now.iter().enumerate() {
            let Some(owner) = self.owner(member, joint) else { continue };
            gains[owner.group as usize].members += 1;
            let gain = match self.then.find(member.id) {
                Some(then) => self.gain(member, then, joint.group),
                None if is_born_since(member.id, self.since) => Some(Gain::of(member.amounts)),
                None => None,
            };
            let Some(Gain { own, children, .. }) = gain else { continue };
            let taken = taken.get(&index).copied().unwrap_or_default();
            let children = children.saturating_sub(taken.into());
            gains[owner.group as usize].add(&Gain { own, known: 1, ..Gain::default() });
            // The children of a process that is in its group without them are in the rest.
            let is_alone = self.is_alone(owner.is_alone);
            let heir = if is_alone { joint.rest } else { owner.group };
            gains[heir as usize].children += children;
        }
        for (group, (settled, gain)) in groups.iter_mut().zip(&gains).enumerate() {
            if joint.has_part(group as u32) {
                *settled = gain.settled();
            }
        }
    }

    /// The members of the last sample that have gone and leave a debt, with their amounts at their end as far
    /// as they are known; and for each set of the last sample, what its members used between that sample and
    /// their end.
    fn gone(&self, life_of: impl Fn(ProcId) -> Life) -> (Vec<Member<Q>>, Vec<Q>) {
        let mut gone = Vec::new();
        let mut rests = vec![Q::default(); self.link.then.count()];
        let mut ends = self.ends.members.iter().peekable();
        for (index, member) in self.then.members.iter().enumerate() {
            let end = ends.next_if(|(ended, _)| *ended == index);
            if life_of(member.id) != Life::Gone {
                continue;
            }
            let own = end.map_or(member.amounts.own, |&(_, own)| own.max(member.amounts.own));
            let rest = &mut rests[member.groups.index()];
            *rest = *rest + own.since(member.amounts.own);
            let amounts = Amounts { own, ..member.amounts };
            if amounts.total() != Q::default() {
                gone.push(Member { amounts, ..*member });
            }
        }
        (gone, rests)
    }

    /// Adds what ended processes used to the gains of their groups. `rests` is what the members of each set
    /// of the last sample used between that sample and their end.
    fn add_ended(&self, rests: &[Q], gains: &mut [Gain]) {
        let add = |sum: &mut u128, used: &u128, _| *sum += used;
        let join = |sum: &mut u128, used: &u128| *sum += used;
        if !self.ends.members.is_empty() {
            let of_sets = rests.iter().map(|rest| u128::from(rest.number())).collect();
            let sums: Vec<u128> =
                self.link.then.per_group(of_sets, self.link.groups_then(), add, join);
            for (gain, then) in gains.iter_mut().zip(&self.link.groups) {
                gain.own += then.map_or(0, |then| sums[then as usize]);
            }
        }
        if !self.ends.unseen.is_empty() {
            let mut of_sets = vec![0; self.link.now.count()];
            for unseen in &self.ends.unseen {
                of_sets[unseen.groups.index()] += u128::from(unseen.own.number());
            }
            let sums: Vec<u128> = self.link.now.per_group(of_sets, gains.len(), add, join);
            for (group, (gain, sum)) in gains.iter_mut().zip(sums).enumerate() {
                gain.own += if self.ends.counts(group) { sum } else { 0 };
            }
        }
    }

    /// The part of the joint group that a member belongs to. It is the only group of an exclusive member
    /// besides the joint one.
    fn owner(&self, member: &Member<Q>, joint: Joint) -> Option<Set> {
        let mut groups = self.link.now.groups(member.groups);
        groups.find(|set| joint.has_part(set.group))
    }

    /// What the members of each group gained, before debts are taken off.
    fn gains(&self, steps: &mut usize) -> Vec<Gain> {
        let mut of_sets = vec![Gain::default(); self.link.now.count()];
        let mut of_groups = vec![Gain::default(); self.link.groups.len()];
        for member in self.now {
            of_sets[member.groups.index()].members += 1;
            let Some(then) = self.then.find(member.id) else {
                if is_born_since(member.id, self.since) {
                    of_sets[member.groups.index()].add(&Gain::of(member.amounts));
                }
                continue;
            };
            // In these groups it was known.
            let mut known = member.groups;
            while !self.link.is_subset(known, then.groups) {
                let Some(set) = self.link.now.get(known) else { break };
                if *steps == 0 {
                    of_sets[known.index()].is_left_out = true;
                    self.add_to_named(member, known, &mut of_groups);
                    known = SetId::EMPTY;
                    break;
                }
                *steps -= 1;
                let gain = self.gain(member, then, set.group);
                gain.into_iter().for_each(|gain| of_groups[set.group as usize].add(&gain));
                known = set.rest;
            }
            let gained = Amounts {
                own: member.amounts.own.since(then.amounts.own),
                children: member.amounts.children.since(then.amounts.children),
            };
            of_sets[known.index()].add(&Gain::of(gained));
        }
        let add = |sum: &mut Gain, gain: &Gain, is_alone: bool| match is_alone {
            true if self.are_children_apart => sum.add_alone(gain),
            _ => sum.add(gain),
        };
        let groups = of_groups.len();
        let mut sums: Vec<Gain> = self.link.now.per_group(of_sets, groups, add, Gain::add);
        for (group, (sum, gain)) in sums.iter_mut().zip(&of_groups).enumerate() {
            sum.add(gain);
            sum.is_left_out &= !self.link.is_named(group);
        }
        sums
    }

    /// Adds the gain of a member to those groups of a set that the user named.
    fn add_to_named(&self, member: &Member<Q>, set: SetId, of_groups: &mut [Gain]) {
        let Some(then) = self.then.find(member.id) else { return };
        for group in self.link.named() {
            if self.link.index_now().find(set, group).is_some() {
                let gain = self.gain(member, then, group);
                gain.into_iter().for_each(|gain| of_groups[group as usize].add(&gain));
            }
        }
    }

    /// The gain of a member of one group. `None` if it is older than the last sample and was not a member
    /// then.
    fn gain(&self, member: &Member<Q>, then: &Member<Q>, group: u32) -> Option<Gain> {
        let is_alone = self.is_alone(self.link.index_now().find(member.groups, group)?);
        let was_alone = self.link.groups[group as usize]
            .and_then(|group| self.link.index_then().find(then.groups, group));
        let gain = match was_alone {
            Some(was_alone) => Gain::of(Amounts {
                own: member.amounts.own.since(then.amounts.own),
                children: if self.is_alone(was_alone) {
                    // The children of a member that was alone were never counted. Their whole past would
                    // be reported as new.
                    Q::default()
                } else {
                    member.amounts.children.since(then.amounts.children)
                },
            }),
            None if is_born_since(member.id, self.since) => Gain::of(member.amounts),
            None => return None,
        };
        Some(if is_alone { Gain { children: 0, ..gain } } else { gain })
    }

    fn is_alone(&self, is_alone: bool) -> bool {
        is_alone && self.are_children_apart
    }

    /// The groups with debts, each with the members of it that have `gone`, and the groups that are too
    /// many.
    fn claimants(&self, gone: &[Member<Q>]) -> (Vec<Claimant<Q>>, Vec<usize>) {
        let (then, now) = (self.link.then, self.link.now);
        let unseen: Vec<&Unseen<Q>> =
            self.ends.unseen.iter().filter(|unseen| self.may_be_inherited(unseen)).collect();
        let counts_then = count(then, gone.iter().map(|gone| gone.groups), self.link.groups_then());
        let counts_now =
            count(now, unseen.iter().map(|unseen| unseen.groups), self.link.groups.len());
        let mut left = MOST_CLAIMS;
        let mut claimants = Vec::new();
        let mut left_out = Vec::new();
        // Which of the claimants a group of the last sample is, and one of this sample.
        let mut places_then = vec![None; self.link.groups_then()];
        let mut places_now = vec![None; self.link.groups.len()];
        for &group in self.link.outermost_first() {
            if self.joint.is_some_and(|joint| joint.has_part(group as u32)) {
                continue;
            }
            let then = self.link.groups[group];
            let claims_then =
                then.map_or(0, |then| counts_then[then as usize] + self.then.debts_of(then).len());
            let claims_now = if self.ends.counts(group) { counts_now[group] } else { 0 };
            let claims = claims_then + claims_now;
            if claims == 0 {
                continue;
            }
            if claims > left && !self.link.is_named(group) {
                left_out.push(group);
                continue;
            }
            left = left.saturating_sub(claims);
            let place = Some(claimants.len());
            then.into_iter().for_each(|then| places_then[then as usize] = place);
            places_now[group] = place.filter(|_| claims_now > 0);
            claimants.push(Claimant { group, then, gone: Vec::new(), unseen: Vec::new() });
        }
        self.hand_out(
            then,
            &places_then,
            gone,
            |gone| gone.groups,
            |place, gone| {
                claimants[place].gone.push(*gone);
            },
        );
        self.hand_out(
            now,
            &places_now,
            &unseen,
            |unseen| unseen.groups,
            |place, unseen| {
                claimants[place].unseen.push(**unseen);
            },
        );
        (claimants, left_out)
    }

    /// Calls `give` for each of the `items` and each group that it is in together with its children, with the
    /// place of that group, if it has one.
    fn hand_out<T>(
        &self,
        sets: &Sets,
        places: &[Option<usize>],
        items: &[T],
        groups: impl Fn(&T) -> SetId,
        mut give: impl FnMut(usize, &T),
    ) {
        if items.is_empty() {
            return;
        }
        // For each set: the nearest one that it is made of whose group has a place.
        let mut next = vec![SetId::EMPTY; sets.count()];
        for (id, set) in (1..).map(SetId::new).zip(sets.as_slice()) {
            let is_here = places[set.group as usize].is_some() && !self.is_alone(set.is_alone);
            next[id.index()] = if is_here { id } else { next[set.rest.index()] };
        }
        for item in items {
            let mut at = next[groups(item).index()];
            while let Some(set) = sets.get(at) {
                places[set.group as usize].into_iter().for_each(|place| give(place, item));
                at = next[set.rest.index()];
            }
        }
    }

    /// Whether a member may have waited for a process that was unseen. If not, it leaves no debt.
    fn may_be_inherited(&self, unseen: &Unseen<Q>) -> bool {
        unseen.own != Q::default()
            && (index_of(self.now, unseen.ancestor).is_some()
                || self.then.with_pid(unseen.ancestor).is_some())
    }
}

/// How many of the processes that are in these sets are in each of so many groups.
fn count(sets: &Sets, ids: impl Iterator<Item = SetId>, groups: usize) -> Vec<usize> {
    let mut of_sets = vec![0; sets.count()];
    ids.for_each(|id| of_sets[id.index()] += 1);
    let join = |sum: &mut usize, count: &usize| *sum += count;
    sets.per_group(of_sets, groups, |sum, count, _| *sum += count, join)
}

/// A group with debts.
struct Claimant<Q> {
    group: usize,
    /// Its number at the last sample. `None` if it did not exist.
    then: Option<u32>,
    /// Its members that have gone.
    gone: Vec<Member<Q>>,
    /// Those that no sample has seen.
    unseen: Vec<Unseen<Q>>,
}

fn quantity<Q: Quantity>(number: u128) -> Q {
    Q::of(u64::try_from(number).unwrap_or(u64::MAX))
}

impl Gain {
    fn of<Q: Quantity>(amounts: Amounts<Q>) -> Gain {
        Gain {
            own: u128::from(amounts.own.number()),
            children: u128::from(amounts.children.number()),
            known: 1,
            ..Gain::default()
        }
    }

    fn settled<Q: Quantity>(&self) -> Settled<Q> {
        let has_members = self.members > 0;
        let is_known = self.known > 0 || !has_members;
        let used = (is_known && !self.is_left_out).then(|| quantity(self.own + self.children));
        Settled { used, has_members, is_left_out: self.is_left_out }
    }
}

/// What a member gained in its children amount, and the part of it from which no debt has been taken off
/// yet.
#[derive(Clone, Copy, Debug)]
struct ChildGain<Q> {
    whole: Q,
    left: Q,
}

impl<Q: Quantity> ChildGain<Q> {
    fn taken(&self) -> u64 {
        self.whole.since(self.left).number()
    }
}

/// One group, whose debts are being settled.
struct Account<'a, Q> {
    heirs: Heirs<'a, Q>,
    /// By index among the members now.
    gains: BTreeMap<usize, ChildGain<Q>>,
}

impl<Q: Quantity> Account<'_, Q> {
    /// Takes the debts of the group off the gains of its members. Returns the debts that are left.
    fn settle(
        &mut self,
        gone: &[Member<Q>],
        unseen: &[Unseen<Q>],
        is_alive: &impl Fn(ProcId) -> bool,
        steps: &mut usize,
    ) -> Vec<Debt<Q>> {
        let mut debts = Vec::new();
        let mut rounding = Vec::new();
        let mut claims = self.claims(gone, unseen, is_alive);
        for claims in claims.chunk_by_mut(|one, other| one.standing == other.standing) {
            self.take_off(claims, steps);
        }
        let group = self.heirs.group as u32;
        for Claim { standing, owed, heir, contested, .. } in claims {
            let Some(heir) = heir.filter(|_| owed > Q::default()) else { continue };
            let debt = Debt { group, heir, owed };
            match (standing, contested) {
                (Standing::Due, false) => {}
                (Standing::Due, true) if owed <= Q::ROUNDING => add_rounding(&mut rounding, debt),
                _ => debts.push(debt),
            }
        }
        debts.extend(rounding);
        debts
    }

    /// All debts, in the order to settle them.
    fn claims(
        &self,
        gone: &[Member<Q>],
        unseen: &[Unseen<Q>],
        is_alive: &impl Fn(ProcId) -> bool,
    ) -> Vec<Claim<Q>> {
        let Heirs { settlement, then, .. } = &self.heirs;
        let before = settlement.then;
        let claim = |standing, heir, owed| Claim {
            standing,
            owed,
            ancestor: heir,
            is_unseen: false,
            steps: if standing == Standing::Child { 1 } else { MOST_HEIRS },
            heir: None,
            contested: false,
        };
        let mut claims = Vec::new();
        for debt in then.map_or(&[][..], |then| before.debts_of(then)) {
            // If the heir has ended too, its own heir inherits the debt with it, and this can be late
            // again.
            let heir = self.heirs.member(debt.heir).map(|index| before.members[index].id);
            let heir_stayed = heir.is_some_and(|heir| self.heirs.member_now(heir).is_some());
            let standing = if heir_stayed { Standing::Due } else { Standing::Orphan };
            claims.push(claim(standing, debt.heir, debt.owed));
        }
        for gone in gone {
            let parent = self.heirs.member(gone.parent).map(|index| before.members[index].id);
            let parent_lives = parent.is_some_and(is_alive);
            let standing = if parent_lives { Standing::Child } else { Standing::Orphan };
            claims.push(claim(standing, gone.parent, gone.amounts.total()));
        }
        for unseen in unseen {
            let standing = if unseen.is_child { Standing::Child } else { Standing::Orphan };
            claims.push(Claim { is_unseen: true, ..claim(standing, unseen.ancestor, unseen.own) });
        }
        // A debt that is late or lost must not use up the gain that another debt needs. So the debts
        // with the most certain heirs come first. Among these the largest come first, because each gain
        // that is enough for a larger debt is enough for a smaller one.
        claims.sort_by_key(|claim| (claim.standing, Reverse(claim.owed)));
        claims
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
    fn take_off(&mut self, claims: &mut [Claim<Q>], steps: &mut usize) {
        let mut goes_on = true;
        while goes_on {
            goes_on = false;
            for claim in claims.iter_mut().filter(|claim| claim.owed > Q::default()) {
                *steps = steps.saturating_sub(1);
                let Some(heir) = self.climb(claim) else { continue };
                goes_on = true;
                let whole = || self.heirs.gain(heir);
                let gain = self.gains.entry(heir.now).or_insert_with(|| {
                    let whole = whole();
                    ChildGain { whole, left: whole }
                });
                if claim.owed <= gain.whole + Q::ROUNDING {
                    let taken = claim.owed.min(gain.left);
                    gain.left = gain.left.since(taken);
                    claim.owed = claim.owed.since(taken);
                    claim.contested = true;
                }
            }
        }
    }

    /// Goes up to the next living ancestor that may have inherited the debt.
    fn climb(&mut self, claim: &mut Claim<Q>) -> Option<Heir> {
        claim.steps = claim.steps.checked_sub(1)?;
        let newborn = if claim.is_unseen { self.heirs.newborn(claim.ancestor) } else { None };
        let Some(heir) = newborn.or_else(|| self.heirs.nearest(claim.ancestor)) else {
            claim.steps = 0;
            return None;
        };
        let Settlement { then, now, .. } = self.heirs.settlement;
        let member = heir.then.map_or(&now[heir.now], |index| &then.members[index]);
        claim.heir.get_or_insert(member.id.pid);
        claim.ancestor = member.parent;
        if heir.then.is_some_and(|index| self.heirs.was_alone(index)) {
            claim.steps = 0;
        }
        Some(heir)
    }
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

/// Whether a process was born since a sample that began in tick `since`.
///
/// One tick is tolerated: the kernel sets the start time of a process shortly before the process
/// becomes visible, and a tick can begin in between (`copy_process`, kernel/fork.c).
pub fn is_born_since(id: ProcId, since: Ticks) -> bool {
    id.start + Ticks(1) >= since
}

/// A member of a group that lives, by its index among the members of both samples.
#[derive(Clone, Copy, Debug)]
struct Heir {
    /// `None` if it was no member then.
    then: Option<usize>,
    now: usize,
}

/// Finds the heirs in one group.
struct Heirs<'h, Q> {
    settlement: &'h Settlement<'h, Q>,
    group: usize,
    /// The number of the group at the last sample. `None` if it did not exist.
    then: Option<u32>,
    /// For each member then: the round in which its heir was found, and the heir. `None` if none of its
    /// ancestors in the group lives. A round is one group.
    of: &'h mut [(u32, Option<Heir>)],
    round: u32,
}

impl<Q: Quantity> Heirs<'_, Q> {
    /// Index of the member of the group with that pid at the last sample.
    fn member(&self, pid: Pid) -> Option<usize> {
        let members = &self.settlement.then.members;
        let index = index_of(members, pid)?;
        self.settlement.link.index_then().find(members[index].groups, self.then?)?;
        Some(index)
    }

    /// Index of the member of the group now.
    fn member_now(&self, id: ProcId) -> Option<usize> {
        let Settlement { now, link, .. } = self.settlement;
        let index = index_of_same(now, id)?;
        link.index_now().find(now[index].groups, self.group as u32)?;
        Some(index)
    }

    /// Whether the member with that index was in the group without its children.
    fn was_alone(&self, index: usize) -> bool {
        let Settlement { then, link, .. } = self.settlement;
        let group =
            self.then.and_then(|group| link.index_then().find(then.members[index].groups, group));
        group.is_some_and(|is_alone| self.settlement.is_alone(is_alone))
    }

    /// The gain of an heir's children amount.
    fn gain(&self, heir: Heir) -> Q {
        let Settlement { then, now, .. } = self.settlement;
        let now = &now[heir.now];
        let gain = match heir.then {
            Some(then_index) => {
                self.settlement.gain(now, &then.members[then_index], self.group as u32)
            }
            // All that a new member has inherited counts.
            None => is_born_since(now.id, self.settlement.since).then(|| Gain::of(now.amounts)),
        };
        gain.map_or(Q::default(), |gain| quantity(gain.children))
    }

    /// The process with that pid, if it is a member now together with its children, and was not at the last
    /// sample.
    fn newborn(&self, pid: Pid) -> Option<Heir> {
        let Settlement { then, now, link, .. } = self.settlement;
        let index = index_of(now, pid)?;
        let is_alone = link.index_now().find(now[index].groups, self.group as u32)?;
        let is_new = index_of_same(&then.members, now[index].id).is_none();
        (is_new && !self.settlement.is_alone(is_alone)).then_some(Heir { then: None, now: index })
    }

    /// The nearest living member among the process with that pid and its ancestors. Each member is looked
    /// at once, because a user can end a chain of thousands of processes.
    fn nearest(&mut self, pid: Pid) -> Option<Heir> {
        let members = &self.settlement.then.members;
        let mut line = Vec::new();
        let mut heir = None;
        let mut next = self.member(pid);
        while let Some(index) = next {
            // A cycle of parents, which a fabricated procfs can show, ends here too.
            if self.of[index].0 == self.round {
                heir = self.of[index].1;
                break;
            }
            self.of[index] = (self.round, None);
            line.push(index);
            let now = self.member_now(members[index].id);
            heir = now.map(|now| Heir { then: Some(index), now });
            if heir.is_some() || self.was_alone(index) {
                break;
            }
            next = self.member(members[index].parent);
        }
        for index in line {
            self.of[index].1 = heir;
        }
        heir
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::sets::SetMaker;
    use proptest::prelude::*;

    /// That many ticks of 10 ms.
    fn ticks(count: u64) -> CpuNanos {
        CpuNanos(count * 10_000_000)
    }

    /// The only group of these tests.
    const GROUP: SetId = SetId::new(1);

    fn member(pid: u32, parent: u32, start: u64, own: u64, children: u64) -> Member {
        Member {
            id: ProcId { pid: Pid::new(pid), start: Ticks(start) },
            parent: Pid::new(parent),
            amounts: Amounts { own: ticks(own), children: ticks(children) },
            groups: GROUP,
        }
    }

    /// Settles one group.
    fn settle<Q: Quantity>(
        before: Option<&Ledger<Q>>,
        since: Ticks,
        members: Vec<Member<Q>>,
        life_of: impl Fn(ProcId) -> Life,
    ) -> (Option<Q>, Ledger<Q>) {
        let mut sets = Sets::default();
        sets.push(Set { rest: SetId::EMPTY, group: 0, is_alone: false });
        let empty = Ledger::default();
        let then = before.unwrap_or(&empty);
        let link = Link::new(&sets, &sets, &[(before.map(|_| 0), false)], 1);
        let now = &members;
        let ends = &Ends::default();
        let settlement = Settlement {
            then,
            since,
            now,
            link: &link,
            ends,
            are_children_apart: true,
            joint: None,
        };
        let (settled, debts) = settlement.settle(&life_of);
        assert!(!settled[0].is_left_out);
        (settled[0].used, Ledger { members, debts })
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

    /// Settles one group of which these processes have ended.
    fn used_with(before: &Ledger, now: &[Member], ends: &Ends<CpuNanos>) -> (u64, Vec<u64>) {
        let mut sets = Sets::default();
        sets.push(Set { rest: SetId::EMPTY, group: 0, is_alone: false });
        let link = Link::new(&sets, &sets, &[(Some(0), false)], 1);
        let settlement = Settlement {
            then: before,
            since: SINCE,
            now,
            link: &link,
            ends,
            are_children_apart: true,
            joint: None,
        };
        let life_of = |id: ProcId| match now.iter().any(|member| member.id == id) {
            true => Life::Alive,
            false => Life::Gone,
        };
        let (settled, debts) = settlement.settle(&life_of);
        let number = |nanos: CpuNanos| nanos.0 / 10_000_000;
        let used = settled[0].used.map_or(u64::MAX, number);
        (used, debts.iter().map(|debt| number(debt.owed)).collect())
    }

    fn unseen(ancestor: u32, own: u64) -> Unseen<CpuNanos> {
        Unseen { ancestor: Pid::new(ancestor), is_child: true, groups: GROUP, own: ticks(own) }
    }

    #[test]
    fn the_life_of_a_member_ends_exactly() {
        let before = ledger(&[member(10, 1, 5, 100, 0), member(11, 10, 6, 20, 0)]);
        let ends = Ends { members: Vec::from([(1, ticks(30))]), ..Ends::default() };
        // The parent inherits it, or waits for nobody.
        assert_eq!(used_with(&before, &[member(10, 1, 5, 100, 30)], &ends), (10, Vec::new()));
        assert_eq!(used_with(&before, &[member(10, 1, 5, 100, 0)], &ends), (10, Vec::from([30])));
        // All have ended.
        let ends = Ends { members: Vec::from([(0, ticks(104)), (1, ticks(30))]), ..ends };
        assert_eq!(used_with(&before, &[], &ends), (14, Vec::new()));
    }

    #[test]
    fn a_process_that_was_never_seen_counts_once() {
        let before = ledger(&[member(10, 1, 5, 100, 0)]);
        let ends = Ends { unseen: Vec::from([unseen(10, 7), unseen(99, 3)]), ..Ends::default() };
        // A member waited for one of them, and nobody in the group for the other.
        assert_eq!(used_with(&before, &[member(10, 1, 5, 100, 7)], &ends), (10, Vec::new()));
        assert_eq!(used_with(&before, &[member(10, 1, 5, 100, 0)], &ends), (10, Vec::from([7])));
        // A new member waited for it.
        let ends = Ends { unseen: Vec::from([unseen(12, 7)]), ..Ends::default() };
        let now = [member(10, 1, 5, 100, 0), member(12, 1, 1001, 2, 7)];
        assert_eq!(used_with(&before, &now, &ends), (9, Vec::new()));
        // A counter of the group may include it.
        let ends = Ends { are_counted: Vec::from([true]), ..ends };
        assert_eq!(used_with(&before, &[member(10, 1, 5, 103, 0)], &ends), (3, Vec::new()));
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
        assert_eq!(after.debts, [Debt { group: 0, heir: Pid::new(10), owed: ticks(100) }]);
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
        assert_eq!(after.debts, [Debt { group: 0, heir: Pid::new(10), owed: CpuNanos(4_000_000) }]);
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
        assert_eq!(after.debts, [Debt { group: 0, heir: Pid::new(10), owed: ticks(2) }]);
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
            groups: GROUP,
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

    /// Members with these pids, of nested groups: each process has the set of its parent, or one that adds
    /// a group to it.
    fn nested(pids: core::ops::Range<u32>) -> impl Strategy<Value = (Sets, Vec<Member>)> {
        let row = (any::<prop::sample::Index>(), any::<bool>(), 0u32..5, any::<bool>());
        let amounts = (0u64..4, 0u64..6, 990u64..1002, 0u32..6);
        proptest::collection::vec((row, amounts), pids.len()).prop_map(move |rows| {
            let mut maker = SetMaker::default();
            let mut members: Vec<Member> = Vec::new();
            let rows = pids.clone().zip(rows);
            for (pid, ((above, adds, group, is_alone), (own, children, start, absent))) in rows {
                let above = above.index(members.len() + 1);
                let parent = above.checked_sub(1).map(|above| members[above]);
                // A process without its children is not in the groups of their descendants.
                let mut rest = parent.map_or(SetId::EMPTY, |parent| parent.groups);
                while let Some(set) = maker.sets.get(rest).filter(|set| set.is_alone) {
                    rest = set.rest;
                }
                let is_new = maker.sets.groups(rest).all(|set| set.group != group);
                let set = Set { rest, group, is_alone };
                let groups = if adds && is_new { maker.with(set) } else { rest };
                let parent = parent.map_or(1, |parent| parent.id.pid.number());
                let start = if absent == 0 { start + 100 } else { start.min(998) };
                members.push(Member {
                    groups,
                    ..member(pid, parent, start, own * 100, children * 100)
                });
            }
            (maker.sets, members)
        })
    }

    /// The same members as if there was only that group.
    fn only(sets: &Sets, members: &[Member], group: u32) -> Vec<Member> {
        let of_group = |member: &Member| {
            let mut groups = sets.groups(member.groups).filter(|set| set.group == group);
            let id = if groups.next()?.is_alone { 2 } else { 1 };
            Some(Member { groups: SetId::new(id), ..*member })
        };
        members.iter().filter_map(of_group).collect()
    }

    proptest! {
        /// All groups at once have the same results as each by itself.
        #[test]
        fn nested_groups_do_not_change_each_other(
            then in nested(10..24),
            now in nested(10..28),
            gone in proptest::collection::btree_set(10u32..28, 0..10),
            debts in proptest::collection::vec((0u32..5, 10u32..24, 1u64..400), 0..4),
        ) {
            let (sets_then, then) = then;
            let (sets_now, mut now) = now;
            now.retain(|member| !gone.contains(&member.id.pid.number()));
            // Most processes of both samples are the same, and have used more.
            for now in &mut now {
                if let Some(then) = then.iter().find(|then| then.id.pid == now.id.pid)
                    && now.id.start < Ticks(1000)
                {
                    now.id = then.id;
                    now.amounts.own += then.amounts.own;
                    now.amounts.children += then.amounts.children;
                }
            }
            let mut debts: Vec<Debt> = debts
                .into_iter()
                .map(|(group, heir, owed)| Debt { group, heir: Pid::new(heir), owed: ticks(owed) })
                .collect();
            debts.sort_by_key(|debt| debt.group);
            let life_of = |id: ProcId| {
                let is_here = now.iter().any(|now| now.id == id);
                if is_here { Life::Alive } else { Life::Gone }
            };
            let ledger = Ledger { members: then.clone(), debts };
            let groups: Vec<(Option<u32>, bool)> = (0..5).map(|group| (Some(group), false)).collect();
            let link = Link::new(&sets_then, &sets_now, &groups, 5);
            let ends = &Ends::default();
            let all = Settlement {
                then: &ledger, since: SINCE, now: &now, link: &link, ends, are_children_apart: true,
                joint: None,
            };
            let (settled, left) = all.settle(&life_of);

            let mut sets = Sets::default();
            for is_alone in [false, true] {
                sets.push(Set { rest: SetId::EMPTY, group: 0, is_alone });
            }
            let link = Link::new(&sets, &sets, &[(Some(0), false)], 1);
            for group in 0..5 {
                let debts = ledger.debts_of(group).iter().map(|debt| Debt { group: 0, ..*debt });
                let debts = debts.collect();
                let then = Ledger { members: only(&sets_then, &then, group), debts };
                let now = only(&sets_now, &now, group);
                let one = Settlement {
                    then: &then, since: SINCE, now: &now, link: &link, ends, are_children_apart: true,
                joint: None,
                };
                let (alone, debts) = one.settle(&life_of);
                prop_assert_eq!(settled[group as usize], alone[0], "group {}", group);
                let debts = debts.into_iter().map(|debt| Debt { group, ..debt });
                let left: Vec<Debt> = left.iter().filter(|debt| debt.group == group).copied().collect();
                prop_assert_eq!(left, debts.collect::<Vec<Debt>>(), "group {}", group);
            }
        }
    }

    /// A chain of processes with a group each, as two samples see it.
    fn chain(length: u32, own: u64) -> (Sets, Vec<Member>) {
        let mut sets = Sets::default();
        let members = (1..=length).map(|number| {
            let rest = SetId::new(number - 1);
            let groups =
                sets.push(Set { rest, group: number - 1, is_alone: false }).unwrap_or_default();
            Member { groups, ..member(number + 9, number + 8, 5, own, 0) }
        });
        let members = members.collect();
        (sets, members)
    }

    #[test]
    fn too_many_debts_are_left_out_from_the_innermost_group_on() {
        let (sets, then) = chain(2000, 7);
        let (_, now) = chain(1000, 8);
        // The half of them that is innermost has ended. That leaves 1,000 debts in each of the others.
        let ledger = Ledger { members: then, debts: Vec::new() };
        let mut groups: Vec<(Option<u32>, bool)> =
            (0..2000).map(|group| (Some(group), false)).collect();
        groups[999].1 = true;
        let link = Link::new(&sets, &sets, &groups, 2000);
        let settlement = Settlement {
            then: &ledger,
            since: SINCE,
            now: &now,
            link: &link,
            ends: &Ends::default(),
            are_children_apart: true,
            joint: None,
        };
        let life_of = |id: ProcId| if id.pid.number() > 1009 { Life::Gone } else { Life::Alive };
        let (settled, debts) = settlement.settle(&life_of);
        let settled = &settled[..1000];
        let left_out = settled.iter().position(|settled| settled.is_left_out).unwrap_or_default();
        assert_eq!(left_out, MOST_STEPS / (1000 * MOST_HEIRS) + 1, "the last is begun");
        assert!(settled[left_out..999].iter().all(|one| one.is_left_out && one.used.is_none()));
        assert_eq!(settled[999].used, Some(ticks(1)), "it has a name");
        assert_eq!(settled[0].used, Some(ticks(1000)));
        assert!(debts.len() <= MOST_CLAIMS);
    }
}
