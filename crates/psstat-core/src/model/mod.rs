//! Plain data: what was read of a machine, and what is reported. This module imports no other
//! module of the crate.

pub mod births;
pub mod buffer;
pub mod collect;
pub mod control_group;
pub mod exit;
pub mod label;
pub mod memory;
pub mod pid_file;
pub mod process;
pub mod read_error;
pub mod readings;
pub mod report;
pub mod snapshot;
pub mod units;
