//! What the accounting is given: what one sample saw.

use super::ledger::Ends;
use super::membership::Membership;
use super::tree::Tree;
use crate::model::control_group::ControlGroup;
use crate::model::memory::MachineMemory;
use crate::model::readings::Readings;
use crate::model::snapshot::Snapshot;
use crate::model::units::{CpuNanos, Hz};

/// The part of a sample that the accounting needs.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'s> {
    /// The processes.
    pub snapshot: &'s Snapshot,
    /// Their tree.
    pub tree: &'s Tree,
    /// The control groups that selectors picked, and all below them.
    pub control_groups: &'s [ControlGroup],
    /// What was read of the members besides their `stat`.
    pub readings: &'s Readings,
    /// Which groups each process belongs to.
    pub membership: &'s Membership,
    /// The processes that have ended, if the kernel tells of each exit.
    pub ends: &'s Ends<CpuNanos>,
    /// The selectors whose control groups were looked for everywhere. One of them that was not found does
    /// not exist.
    pub watched: &'s [usize],
    /// The machine.
    pub machine: Machine,
}

/// The properties of the machine that the accounting needs.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Ticks per second.
    pub hz: Hz,
    /// Its memory. `None` if no field needs it, or it could not be read.
    pub memory: Option<MachineMemory>,
    /// Number of processors, if it limits the CPU rate: see [`SHORT`](super::settle::SHORT).
    pub processors: Option<u64>,
}
