//! The commands of psstat.

pub mod check;
pub mod completions;
pub mod execd;
pub mod man;
pub mod sample;
mod watchdog;
