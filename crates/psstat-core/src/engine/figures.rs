//! What control groups tell of themselves in files, and what they do not tell.

use crate::account::figures::level;
use crate::account::group::Group;
use crate::diagnostics::{Diagnostics, Warning, What};
use crate::field::Field;
use crate::model::control_group::{ControlGroup, Figure};
use crate::model::read_error::Unreadable;
use crate::plan::Plan;
use alloc::vec::Vec;

/// For each group: whether its control groups tell how much of its memory is swapped out.
pub fn tell_swap(groups: &[Group], control_groups: &[ControlGroup]) -> Vec<bool> {
    let tells = |group: &Group| {
        let picked = || group.picked(control_groups).collect::<Vec<&ControlGroup>>();
        group.is_of_control_groups() && level(Figure::Swap, &picked()).is_some()
    };
    groups.iter().map(tells).collect()
}

/// Warns of the fields of control groups that are left out: no selector picks any, or their files cannot be
/// read.
pub fn warn(
    plan: &Plan,
    groups: &[Group],
    control_groups: &[ControlGroup],
    diagnostics: &mut Diagnostics,
) {
    let fields = plan.fields.as_slice().iter().copied();
    let fields: Vec<Field> = fields.filter(|field| field.is_of_control_groups()).collect();
    if fields.is_empty() {
        return;
    }
    let pointless = plan.pointless_fields();
    if !pointless.is_empty() {
        diagnostics.add(Warning::OnlyOfControlGroups(pointless));
        return;
    }
    let mut picked: Vec<usize> = groups
        .iter()
        .filter(|group| group.is_of_control_groups() && group.doubt.is_none())
        .flat_map(|group| group.control_groups.iter().map(|picked| picked.index))
        .collect();
    picked.sort_unstable();
    picked.dedup();
    for what in
        [What::Throttling, What::Pressure, What::OomKills, What::MemoryLimits, What::MemoryPeaks]
    {
        let mut unreadable = Unreadable::default();
        let mut left_out = Vec::new();
        for &field in &fields {
            let Some(figure) = field.figure().filter(|&figure| file(figure) == Some(what)) else {
                continue;
            };
            let before = unreadable.count;
            for error in picked
                .iter()
                .filter_map(|&index| control_groups[index].figures.get(&figure)?.as_ref().err())
            {
                unreadable.add(error.clone());
            }
            if unreadable.count > before {
                left_out.push(field);
            }
        }
        let Unreadable { count, first } = unreadable;
        if let Some(first) = first {
            diagnostics.add(Warning::FieldsUnreadable { what, count, first, fields: left_out });
        }
    }
}

/// The file that has a figure. `None` if psstat knows another place for it.
fn file(figure: Figure) -> Option<What> {
    match figure {
        Figure::CpuThrottled => Some(What::Throttling),
        Figure::CpuPressure | Figure::MemoryPressure | Figure::IoPressure => Some(What::Pressure),
        Figure::OomKills => Some(What::OomKills),
        Figure::MemoryLimit => Some(What::MemoryLimits),
        Figure::MemoryPeak => Some(What::MemoryPeaks),
        Figure::Swap => None,
    }
}
