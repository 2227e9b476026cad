//! A control group (cgroups(7)).

use super::units::{CpuNanos, Pid};
use alloc::vec::Vec;

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
    /// CPU time used by everything that ever ran in it or below it. `None` if no counter can be
    /// read.
    pub used: Option<CpuNanos>,
    /// The processes directly in it.
    pub pids: Vec<Pid>,
    /// Number of processes directly in it that have no pid here: those of other pid namespaces,
    /// and those that `/proc` hides.
    pub foreign: u64,
    /// Indices of the selectors that picked it.
    pub selectors: Vec<usize>,
    /// Index after the last group below it, in the list of control groups. The groups below it
    /// come directly after it.
    pub end: usize,
}
