//! Parsers for the text formats of procfs and cgroupfs, and for the messages of taskstats.

pub mod cgroupfs;
pub mod line;
pub mod procfs;
pub mod taskstats;
