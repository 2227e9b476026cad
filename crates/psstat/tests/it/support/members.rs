//! The members of groups in a state.

use psstat_core::account::accounts::Accounts;
use psstat_core::account::ledger::{Ledger, Member, Quantity};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// The members of all groups, once for each of their groups, with the name of the group. Those whose CPU
/// time a counter includes are left out.
pub fn members(accounts: &Accounts) -> Vec<(String, Member)> {
    let labels: Vec<&str> = accounts.groups.keys().map(|label| label.as_str()).collect();
    let members = accounts.ledger.members.iter();
    members
        .flat_map(|member| {
            let groups = accounts.sets.groups(member.groups);
            groups.map(|set| (labels[set.group as usize].to_owned(), *member))
        })
        .collect()
}

/// All that is kept of each group, in words, whatever the numbers of groups and sets.
pub fn kept(accounts: &Accounts) -> BTreeMap<String, Vec<String>> {
    let groups = accounts.groups.iter();
    let mut kept: BTreeMap<String, Vec<String>> =
        groups.map(|(label, group)| (label.to_string(), vec![format!("{group:?}")])).collect();
    add_ledger(accounts, "cpu", &accounts.ledger, &mut kept);
    for (rate, ledger) in &accounts.rates {
        add_ledger(accounts, &format!("{rate:?}"), ledger, &mut kept);
    }
    kept
}

fn add_ledger<Q: Quantity + Debug>(
    accounts: &Accounts,
    name: &str,
    ledger: &Ledger<Q>,
    kept: &mut BTreeMap<String, Vec<String>>,
) {
    let labels: Vec<&str> = accounts.groups.keys().map(|label| label.as_str()).collect();
    let mut add = |group: u32, text| {
        let label = labels[group as usize].to_owned();
        kept.entry(label).or_default().push(text);
    };
    for Member { id, parent, amounts, groups } in &ledger.members {
        for set in accounts.sets.groups(*groups) {
            let alone = if set.is_alone { "alone" } else { "" };
            add(set.group, format!("{name}: {id:?}, {parent}, {amounts:?} {alone}"));
        }
    }
    for debt in &ledger.debts {
        add(debt.group, format!("{name}: {} owes {:?}", debt.heir, debt.owed));
    }
}
