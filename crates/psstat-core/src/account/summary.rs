//! What the members of each group are and have at one moment.

use super::memory;
use super::observation::Observation;
use super::sets::SetId;
use crate::model::memory::MemoryMode;
use crate::model::process::Life;
use crate::model::readings;
use crate::model::units::Ticks;
use alloc::vec;
use alloc::vec::Vec;

/// What the members of a group are and have now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Processes that are alive.
    pub alive: u64,
    /// Zombies.
    pub zombies: u64,
    /// Threads of those that are alive.
    pub threads: u64,
    /// Their memory.
    pub memory: memory::Sum,
    /// Their open files.
    pub open_files: readings::Sum,
    /// What they have in swap.
    pub swap: readings::Sum,
    /// When the first of them started.
    pub started: Option<Ticks>,
}

impl Summary {
    fn join(&mut self, other: &Summary) {
        self.alive += other.alive;
        self.zombies += other.zombies;
        self.threads += other.threads;
        self.memory.join(&other.memory);
        self.open_files.join(&other.open_files);
        self.swap.join(&other.swap);
        self.started = self.started.into_iter().chain(other.started).min();
    }
}

/// What the members of each of so many groups are and have now.
pub fn of_groups(observation: Observation<'_>, mode: MemoryMode, groups: usize) -> Vec<Summary> {
    let Observation { snapshot, readings, membership, .. } = observation;
    let mut of_sets = vec![Summary::default(); membership.sets.count()];
    for (process, (index, set)) in
        snapshot.processes.iter().zip(membership.members.iter().enumerate())
    {
        let summary = &mut of_sets[set.index()];
        match process.life {
            _ if *set == SetId::EMPTY => continue,
            Life::Gone => continue,
            Life::Zombie => {
                summary.zombies += 1;
                continue;
            }
            Life::Alive => summary.alive += 1,
        }
        summary.threads += u64::from(process.threads);
        summary.started = summary.started.into_iter().chain([process.id.start]).min();
        let footprints = readings.footprints.as_ref();
        if let Some(footprint) = footprints.and_then(|all| readings.at(all, index)) {
            summary.memory.add(mode, footprint);
        }
        let open_files = readings.open_files.as_ref();
        if let Some(open_files) = open_files.and_then(|all| readings.at(all, index)) {
            summary.open_files.add(*open_files);
        }
        let swap = readings.swap.as_ref();
        if let Some(swap) = swap.and_then(|all| readings.at(all, index)) {
            summary.swap.add(*swap);
        }
    }
    let add = |sum: &mut Summary, summary: &Summary, _| sum.join(summary);
    membership.sets.per_group(of_sets, groups, add, Summary::join)
}
