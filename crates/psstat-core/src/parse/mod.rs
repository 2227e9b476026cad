//! Parsers for the text formats of procfs and cgroupfs.

pub mod cgroupfs;
pub mod line;
pub mod procfs;
