//! The accounting: from two samples to what each group cost between them. Pure; time and the
//! constants of the kernel are handed in.

pub mod counter;
pub mod group;
pub mod ledger;
pub mod memory;
pub mod rates;
pub mod readings;
pub mod totals;
pub mod tree;
