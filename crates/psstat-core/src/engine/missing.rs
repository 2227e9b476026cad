//! Units and control groups that are selected and do not exist, and aliases of units.

use crate::diagnostics::{Diagnostics, Warning};
use crate::kernel::{Kernel, UnitFile};
use crate::model::control_group::ControlGroup;
use crate::plan::Plan;
use crate::select::selector::{PathPattern, Source};
use crate::select::selectors::Selectors;
use crate::select::systemd;
use alloc::borrow::ToOwned;
use alloc::vec::Vec;

/// Asks for the file of each unit that is selected by its exact name and does not run. If the name is an
/// alias, the selector picks the unit that it means from now on. Returns whether a selector picks another
/// unit than before, and the selectors of units that have no file.
pub fn follow_aliases(
    selectors: &mut Selectors,
    kernel: &impl Kernel,
    control_groups: &[ControlGroup],
) -> (bool, Vec<usize>) {
    let is_absent = |&(index, _): &(usize, _)| !is_found(index, control_groups);
    let unit = |(index, source): (usize, &Source)| match source {
        Source::Unit(id) if !systemd::is_glob(id) => Some((index, id.clone())),
        _ => None,
    };
    let sources = selectors.iter().map(|selector| &selector.source).enumerate();
    let absent: Vec<_> = sources.filter(is_absent).filter_map(unit).collect();
    let (mut has_changed, mut without_file) = (false, Vec::new());
    for (index, id) in absent {
        let (alias, is_missing) = match kernel.unit_file(&id) {
            UnitFile::Alias(meant) => (Some(meant), false),
            UnitFile::Missing => (None, true),
            UnitFile::Exists | UnitFile::Unknown => (None, false),
        };
        has_changed |= selectors.set_alias(index, alias);
        if is_missing && systemd::has_file(&id) {
            without_file.push(index);
        }
    }
    (has_changed, without_file)
}

fn is_found(selector: usize, control_groups: &[ControlGroup]) -> bool {
    control_groups.iter().any(|group| group.selectors.contains(&selector))
}

/// What decides about the warnings of a sample.
pub struct Circumstances<'c> {
    /// The selectors of units that have no file.
    pub without_file: &'c [usize],
    /// Whether there are units at all.
    pub has_units: bool,
    /// Whether this is the first sample.
    pub is_first: bool,
}

/// Warns of units and control groups that are selected and do not exist.
///
/// A unit or control group with a group name needs no warning when it is stopped: its line has `n_proc=0`.
/// Without a name there is no line, and a misspelt name would go unnoticed. A name is certainly wrong if a
/// unit of that name has no file. Of control groups, only the first sample warns: there are no files to
/// compare with, and a service may be stopped later.
pub fn warn(
    plan: &Plan,
    control_groups: &[ControlGroup],
    circumstances: &Circumstances<'_>,
    diagnostics: &mut Diagnostics,
) {
    let Circumstances { without_file, has_units, is_first } = *circumstances;
    let selectors = plan.selectors.iter().enumerate();
    for (index, selector) in selectors.filter(|&(index, _)| !is_found(index, control_groups)) {
        let is_named = selector.name().is_some();
        let warning = match &selector.source {
            Source::Unit(id) if without_file.contains(&index) => Warning::NoUnitFile(id.clone()),
            // If there are no units, another warning says so.
            Source::Unit(id) if has_units && !is_named && !systemd::is_glob(id) => {
                Warning::NoUnit(id.clone())
            }
            Source::ControlGroup(PathPattern::Regex(pattern)) if is_first => {
                Warning::NoControlGroupOfRegex(pattern.clone())
            }
            Source::ControlGroup(PathPattern::Glob(glob)) if systemd::is_glob(glob) && is_first => {
                Warning::NoMatchingControlGroup(glob.clone())
            }
            Source::ControlGroup(PathPattern::Glob(path))
                if !systemd::is_glob(path) && (is_first || !is_named) =>
            {
                let path = if path.is_empty() { "/" } else { path };
                Warning::NoControlGroup(path.to_owned())
            }
            _ => continue,
        };
        diagnostics.add(warning);
    }
}
