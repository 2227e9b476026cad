//! The text formats of procfs and cgroupfs: bytes in, values out.

pub mod cgroupfs;
pub mod line;
pub mod procfs;
