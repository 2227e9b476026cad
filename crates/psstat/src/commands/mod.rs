//! The commands of psstat.

pub mod check;
pub mod completions;
pub mod execd;
pub mod explain;
pub mod man;
mod relay;
pub mod sample;
