//! Which processes a sample must look at, and how they are read.

pub mod control_groups;
pub mod scan;
pub mod tracker;
