//! What the accounting keeps from one sample to the next.

use super::counter::Counter;
use super::ledger::{Ledger, Quantity};
use super::rates::RateLedgers;
use super::totals::Totals;
use crate::model::label::Label;
use crate::model::units::{BootNanos, CpuNanos, Pid, ProcId};
use alloc::collections::BTreeMap;
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
    /// Each group.
    pub groups: BTreeMap<Label, GroupAccount>,
    /// CPU time of each group since it was first seen, if a field shows it.
    pub totals: Totals,
}

/// What the accounting keeps of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupAccount {
    /// Whether every descendant of a member is a member too, except below members that are in the
    /// ledger without their children. `false` if the group has control groups.
    pub by_descent: bool,
    /// CPU time of the members that no counter includes.
    pub ledger: Ledger,
    /// The counters of the group's control groups.
    pub counters: Vec<Counter>,
    /// The ledgers of the rates that the plan shows.
    pub rates: RateLedgers,
}

impl Accounts {
    /// The child time of each member of any group at that sample, sorted.
    pub fn child_times(&self) -> Vec<(ProcId, CpuNanos)> {
        let members = self.groups.values().flat_map(|group| &group.ledger.members);
        let mut times: Vec<_> =
            members.map(|member| (member.id, member.amounts.children)).collect();
        times.sort_unstable();
        times
    }

    /// The heirs of debts that may still arrive. Debts that are no larger than the rounding are left
    /// out: they may stay for good.
    pub fn heirs(&self) -> impl Iterator<Item = Pid> {
        let debts = self.groups.values().flat_map(|group| &group.ledger.debts);
        debts.filter(|debt| debt.owed > CpuNanos::ROUNDING).map(|debt| debt.heir)
    }

    /// The members of all groups at that sample, sorted, each once.
    pub fn members(&self) -> Vec<ProcId> {
        let members = self.groups.values().flat_map(|group| &group.ledger.members);
        let mut ids: Vec<ProcId> = members.map(|member| member.id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

impl GroupAccount {
    /// Whether the account contains anything that the next sample needs.
    pub fn is_worth_keeping(&self) -> bool {
        self.ledger != Ledger::default()
            || !self.counters.is_empty()
            || self.rates.values().any(|ledger| *ledger != Ledger::default())
    }
}
