//! Groups of which each process belongs to one at most: what each of them has.

use super::group::{Group, Population};
use super::membership::{Membership, Owners, Part};
use crate::model::control_group::with_below;
use crate::model::process::Life;
use alloc::vec;
use alloc::vec::Vec;

/// Gives each process to one group. What only a group that has all processes of its control groups can use is
/// taken from the others.
pub fn share(
    groups: &mut [Group],
    parts: Vec<Part>,
    population: Population<'_>,
    rest: u32,
) -> Membership {
    let snapshot = population.snapshot;
    share_foreign(groups, population);
    let mut owners = Owners::new(population.tree, parts);
    // A group without a name has no line while none of its processes is alive.
    let is_alive = |process: usize| snapshot.processes[process].life == Life::Alive;
    let alive = owners.count(groups.len(), is_alive);
    let has_line = |group: &Group| group.named || group.foreign > 0 || alive[group.index] > 0;
    owners.take_from(|index| !has_line(&groups[index]));
    for group in groups.iter_mut() {
        group.by_descent = false;
        let picked = group.control_groups.iter();
        let all = picked.flat_map(|picked| with_below(population.control_groups, picked.index));
        let all = all.flat_map(|group| &group.pids).filter_map(|&pid| snapshot.find(pid));
        group.has_all_of_control_groups &= owners.are_all_of(all, group.index as u32);
    }
    Membership::exclusive(owners, groups.len(), rest)
}

/// Gives the processes of each control group that cannot be read to the first group that has it.
fn share_foreign(groups: &mut [Group], population: Population<'_>) {
    let mut is_taken = vec![false; population.control_groups.len()];
    for group in groups {
        group.foreign = 0;
        for picked in &group.control_groups {
            let below = with_below(population.control_groups, picked.index);
            for (below, is_taken) in below.iter().zip(&mut is_taken[picked.index..]) {
                let foreign = below.foreign;
                if core::mem::replace(is_taken, true) {
                    group.has_all_of_control_groups &= foreign == 0;
                } else {
                    group.foreign += foreign;
                }
            }
        }
    }
}
