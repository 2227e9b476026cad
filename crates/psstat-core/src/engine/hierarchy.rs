//! What of the hierarchy of control groups is not known.

use super::doubts::Doubts;
use crate::account::doubts::Subject;
use crate::diagnostics::Warning;
use crate::model::control_group::{ControlGroup, Hierarchy, UnreadDirectory, with_below};
use crate::model::read_error::ReadError;
use crate::select::roots::may_match_below;
use crate::select::selector::{PathPattern, Source};
use crate::select::selectors::Selectors;
use crate::select::systemd;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Doubts the groups of control groups that could not be read, or that may be where nobody could look.
/// `sys` is where sysfs is mounted. Returns the selectors whose control groups were looked for everywhere:
/// what they did not find does not exist.
pub fn doubt(
    selectors: &Selectors,
    hierarchy: &Hierarchy,
    sys: &str,
    doubts: &mut Doubts,
) -> Vec<usize> {
    let Hierarchy { groups, unread, has_units, .. } = hierarchy;
    let mut is_in_doubt = vec![false; selectors.as_slice().len()];
    // One warning: a user can close as many directories as he wants.
    let of_groups = groups.iter().filter_map(|group| group.error.as_ref());
    let mut errors: Vec<&ReadError> =
        of_groups.chain(unread.iter().map(|directory| &directory.error)).collect();
    errors.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    errors.dedup();
    if let Some(&first) = errors.first() {
        let mut subjects = Vec::new();
        for (index, group) in groups.iter().enumerate() {
            if group.selectors.is_empty() || is_read(with_below(groups, index)) {
                continue;
            }
            for &selector in &group.selectors {
                is_in_doubt[selector] = true;
                let is_whole = selectors[selector].takes_control_groups();
                subjects.push(match is_whole {
                    true => Subject::ControlGroup(index),
                    false => Subject::Selector(selector),
                });
            }
        }
        for (index, selector) in selectors.iter().enumerate() {
            if !is_found(&selector.source, groups)
                && unread.iter().any(|directory| may_be_below(&selector.source, directory))
            {
                is_in_doubt[index] = true;
                subjects.push(Subject::Selector(index));
            }
        }
        doubts.add(Warning::ControlGroups { count: errors.len(), first: first.clone() }, subjects);
    }
    let picks_units = |&index: &usize| matches!(selectors[index].source, Source::Unit(_));
    let mut of_units = (0..is_in_doubt.len()).filter(picks_units).peekable();
    if !has_units && of_units.peek().is_some() {
        let warning = Warning::NoUnitsInSight { sys: String::from(sys) };
        doubts.add(warning, of_units.map(Subject::Selector));
    }
    let is_watched =
        |&index: &usize| selectors[index].takes_control_groups() && !is_in_doubt[index];
    (0..is_in_doubt.len()).filter(is_watched).collect()
}

/// Whether all of these groups are known.
fn is_read(groups: &[ControlGroup]) -> bool {
    groups.iter().all(|group| group.error.is_none())
}

/// Whether a selector picks only one control group, which is among these.
fn is_found(source: &Source, groups: &[ControlGroup]) -> bool {
    let Source::ControlGroup(PathPattern::Glob(path)) = source else { return false };
    !systemd::is_glob(path) && groups.iter().any(|group| group.path == path.as_bytes())
}

/// Whether a selector may pick a group below that directory.
fn may_be_below(source: &Source, directory: &UnreadDirectory) -> bool {
    match source {
        Source::Unit(_) => directory.may_hold_units,
        Source::ControlGroup(pattern) => may_match_below(pattern, &directory.path),
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
        let may_be_below = |glob: &str| {
            may_be_below(&Source::ControlGroup(PathPattern::Glob(glob.to_owned())), &directory)
        };
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
