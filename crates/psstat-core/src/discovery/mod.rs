//! Which processes a sample reads, and how it reads them.

pub mod control_groups;
pub mod scan;
pub mod tracker;
