//! Which processes a sample reads, and how it reads them.

pub mod clock_table;
pub mod control_groups;
pub mod exits;
pub mod known;
pub mod known_memory;
pub mod scan;
pub mod tracker;
