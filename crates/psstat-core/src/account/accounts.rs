//! What the accounting keeps from one sample to the next.

use super::counter::Counter;
use super::figures::FigureCounters;
use super::ledger::{Ledger, Quantity};
use super::sets::Sets;
use super::totals::Totals;
use crate::model::label::Label;
use crate::model::report::Rate;
use crate::model::units::{BootNanos, Count, CpuNanos, Pid, ProcId};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

/// What the accounting keeps from one sample to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// When the sample began.
    pub taken: BootNanos,
    /// When the CPU time of the members was read. A sample that reads all processes reads it after them.
    pub cpu_read: BootNanos,
    /// The hashed keys of the selectors whose control groups were looked for, found or not.
    pub watched: Vec<u64>,
    /// Each group. Its number is its place in this order.
    pub groups: BTreeMap<Label, GroupAccount>,
    /// The sets of groups that processes belong to.
    pub sets: Sets,
    /// CPU time of the members of groups, unless a counter of the group includes it.
    pub ledger: Ledger,
    /// The ledgers of the rates that the plan shows.
    pub rates: BTreeMap<Rate, Ledger<Count>>,
    /// CPU time of each group since it was first seen, if a field shows it.
    pub totals: Totals,
}

/// What the accounting keeps of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupAccount {
    /// Whether every descendant of a member is a member too, except below members that are in the
    /// ledger without their children. `false` if the group has control groups.
    pub by_descent: bool,
    /// Whether its CPU time is in the ledger.
    pub has_ledger: bool,
    /// The counters of the group's control groups.
    pub counters: Vec<Counter>,
    /// The rates that it has in their ledgers. A rate that could not be read of all members is not one.
    pub rates: BTreeSet<Rate>,
    /// What else is counted of its control groups, if a field needs it.
    pub figures: Vec<FigureCounters>,
    /// Its members that had started just before the sample, or during it, if a field needs them. Sorted.
    pub started: Vec<ProcId>,
}

impl Accounts {
    /// The child time of each member of any group at that sample, sorted.
    pub fn child_times(&self) -> Vec<(ProcId, CpuNanos)> {
        let members = self.ledger.members.iter();
        let mut times: Vec<_> =
            members.map(|member| (member.id, member.amounts.children)).collect();
        times.sort_unstable();
        times
    }

    /// The heirs of debts that may still arrive. Debts that are no larger than the rounding are left
    /// out: they may stay for good.
    pub fn heirs(&self) -> impl Iterator<Item = Pid> {
        let debts = self.ledger.debts.iter();
        debts.filter(|debt| debt.owed > CpuNanos::ROUNDING).map(|debt| debt.heir)
    }

    /// The members of all groups at that sample, sorted, each once.
    pub fn members(&self) -> impl Iterator<Item = ProcId> {
        self.ledger.members.iter().map(|member| member.id)
    }

    /// The groups that have a member with one of these pids, which are sorted.
    pub fn groups_with(&self, pids: &[Pid]) -> Vec<&Label> {
        let mut of_sets = vec![false; self.sets.count()];
        for &pid in pids {
            let member = self.ledger.with_pid(pid);
            member.into_iter().for_each(|member| of_sets[member.groups.index()] = true);
        }
        let add = |has: &mut bool, set_has: &bool, _| *has |= set_has;
        let join = |has: &mut bool, set_has: &bool| *has |= set_has;
        let has: Vec<bool> = self.sets.per_group(of_sets, self.groups.len(), add, join);
        let groups = self.groups.keys().zip(has);
        groups.filter(|(_, has)| *has).map(|(label, _)| label).collect()
    }

    /// For each set, by the index of its id: whether it has a group in which every descendant of a member
    /// is a member, and its processes are in that group with their children.
    pub fn sets_by_descent(&self) -> Vec<bool> {
        let by_descent: Vec<bool> = self.groups.values().map(|group| group.by_descent).collect();
        let mut sets = vec![false; self.sets.count()];
        for (index, set) in self.sets.as_slice().iter().enumerate() {
            let is_one = by_descent[set.group as usize] && !set.is_alone;
            sets[index + 1] = is_one || sets[set.rest.index()];
        }
        sets
    }
}
