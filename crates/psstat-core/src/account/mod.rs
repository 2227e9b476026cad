//! The accounting: computes from two samples what each group cost between them.

pub mod accounts;
pub mod counter;
pub mod doubts;
pub mod exclusive;
pub mod figures;
pub mod forming;
pub mod group;
pub mod ledger;
pub mod link;
pub mod membership;
pub mod memory;
pub mod names;
pub mod observation;
pub mod rates;
pub mod sets;
pub mod settle;
pub mod sharing;
pub mod starts;
pub mod summary;
pub mod totals;
pub mod tree;
pub mod witness;
