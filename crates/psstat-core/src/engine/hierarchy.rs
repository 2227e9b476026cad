//! What of the hierarchy of control groups is not known.

use super::doubts::Doubts;
use crate::account::doubts::Subject;
use crate::diagnostics::Warning;
use crate::model::control_group::{ControlGroup, Hierarchy, UnreadDirectory};
use crate::model::read_error::ReadError;
use crate::select::matcher::literal_start;
use crate::select::selector::Source;
use crate::select::selectors::Selectors;
use crate::select::systemd;
use alloc::string::String;
use alloc::vec::Vec;

/// Doubts the groups of control groups that could not be read, or that may be where nobody could look.
/// `sys` is where sysfs is mounted.
pub fn doubt(selectors: &Selectors, hierarchy: &Hierarchy, sys: &str, doubts: &mut Doubts) {
    let mut subjects = Vec::new();
    for (index, group) in hierarchy.groups.iter().enumerate() {
        if !group.selectors.is_empty() && error_within(&hierarchy.groups, index).is_some() {
            subjects.extend(group.selectors.iter().map(|&selector| {
                let is_whole = selectors[selector].takes_control_groups();
                if is_whole { Subject::ControlGroup(index) } else { Subject::Selector(selector) }
            }));
        }
    }
    for (index, selector) in selectors.iter().enumerate() {
        if hierarchy.unread.iter().any(|directory| may_be_below(&selector.source, directory)) {
            subjects.push(Subject::Selector(index));
        }
    }
    // One warning: a user can close as many directories as he wants.
    let of_groups = hierarchy.groups.iter().filter_map(|group| group.error.as_ref());
    let of_others = hierarchy.unread.iter().map(|directory| &directory.error);
    let mut errors: Vec<&ReadError> = of_groups.chain(of_others).collect();
    errors.sort_by(|one, other| one.path.cmp(&other.path));
    errors.dedup();
    if let Some(&first) = errors.first() {
        let (count, first) = (errors.len(), first.clone());
        doubts.add(Warning::ControlGroups { count, first }, subjects);
    }
    let picks_units = |&index: &usize| matches!(selectors[index].source, Source::Unit(_));
    let mut of_units = (0..selectors.as_slice().len()).filter(picks_units).peekable();
    if !hierarchy.has_units && of_units.peek().is_some() {
        let warning = Warning::NoUnitsInSight { sys: String::from(sys) };
        doubts.add(warning, of_units.map(Subject::Selector));
    }
}

/// The selectors whose control groups were looked for everywhere. What they did not find does not exist.
pub fn watched(selectors: &Selectors, hierarchy: &Hierarchy) -> Vec<usize> {
    let is_known = |&index: &usize| {
        let source = &selectors[index].source;
        let mut groups = hierarchy.groups.iter().enumerate();
        selectors[index].takes_control_groups()
            && !hierarchy.unread.iter().any(|directory| may_be_below(source, directory))
            && groups.all(|(at, group)| {
                !group.selectors.contains(&index) || error_within(&hierarchy.groups, at).is_none()
            })
    };
    (0..selectors.as_slice().len()).filter(is_known).collect()
}

/// Why a group, or one below it, is not known.
fn error_within(groups: &[ControlGroup], index: usize) -> Option<&ReadError> {
    groups[index..groups[index].end].iter().find_map(|group| group.error.as_ref())
}

/// Whether a selector may pick a group below that directory.
fn may_be_below(source: &Source, directory: &UnreadDirectory) -> bool {
    match source {
        Source::Unit(_) => directory.may_hold_units,
        Source::ControlGroup(glob) => {
            let mut below = directory.path.clone();
            if !below.is_empty() {
                below.push(b'/');
            }
            let literal = literal_start(glob).as_bytes();
            let is_longer = systemd::is_glob(glob) && below.starts_with(literal);
            literal.starts_with(&below) || is_longer
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::read_error::Reason;
    use alloc::borrow::ToOwned;

    #[test]
    fn a_glob_may_match_below_a_directory_that_its_literal_start_leads_to() {
        let error = ReadError { path: String::new(), reason: Reason::Denied };
        let path = b"user.slice/user-1.slice".to_vec();
        let directory = UnreadDirectory { path, may_hold_units: false, error };
        let may_be_below =
            |glob: &str| may_be_below(&Source::ControlGroup(glob.to_owned()), &directory);
        for glob in ["*", "user.slice/*", "user.slice/user-[0-9]*", "user.slice/user-1.slice/a"] {
            assert!(may_be_below(glob), "{glob}");
        }
        for glob in
            ["", "user.slice", "system.slice/*", "user.slice/user-1.slice", "user.slice/x/*"]
        {
            assert!(!may_be_below(glob), "{glob}");
        }
    }
}
