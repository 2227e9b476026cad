//! The commands of psstat.

pub mod documents;
pub mod execd;
pub mod sample;
mod watchdog;
