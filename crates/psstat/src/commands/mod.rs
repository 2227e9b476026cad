//! The commands of psstat.

pub mod check;
pub mod completions;
mod cost;
pub mod execd;
pub mod explain;
pub mod man;
mod page;
mod relay;
pub mod sample;
#[cfg(feature = "top")]
pub mod top;
