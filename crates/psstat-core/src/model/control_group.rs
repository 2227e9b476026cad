//! A control group (cgroups(7)).

use super::read_error::ReadError;
use super::units::{CpuNanos, Pid};
use alloc::vec::Vec;

/// What a walk over the hierarchy of control groups has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hierarchy {
    /// The wanted groups and all below them. Each comes before those below it.
    pub groups: Vec<ControlGroup>,
    /// The directories that could not be looked into. Wanted groups can be below them.
    pub unread: Vec<UnreadDirectory>,
    /// How many directories were looked at.
    pub visited: usize,
    /// Whether a directory of a systemd unit was seen below the root, which is one in any case (`-.slice`).
    pub has_units: bool,
}

/// A directory in the hierarchy that could not be looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreadDirectory {
    /// Its path, as [`ControlGroup::path`].
    pub path: Vec<u8>,
    /// Whether units can be below it.
    pub may_hold_units: bool,
    /// Why it could not be looked into.
    pub error: ReadError,
}

/// A control group that a selector picked, or one below such a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ControlGroup {
    /// Path below the root of the hierarchy, without a slash at either end. Empty for the root.
    pub path: Vec<u8>,
    /// Id of the systemd unit that it belongs to. `None` if it is not the directory of a unit.
    pub unit: Option<Vec<u8>>,
    /// Inode number of its directory. Tells it from a group that is made under the same path
    /// later. 0 if no hierarchy can be read.
    pub id: u64,
    /// CPU time used by everything that ever ran in it or below it. `None` if it has no counter.
    pub used: Option<CpuNanos>,
    /// The processes directly in it.
    pub pids: Vec<Pid>,
    /// Number of processes directly in it that have no pid here: those of other pid namespaces,
    /// and those that `/proc` hides.
    pub foreign: u64,
    /// Why its processes, its counter or the groups below it are not known. They are empty then.
    pub error: Option<ReadError>,
    /// Indices of the selectors that picked it.
    pub selectors: Vec<usize>,
    /// Index after the last group below it, in the list of control groups. The groups below it
    /// come directly after it.
    pub end: usize,
}
