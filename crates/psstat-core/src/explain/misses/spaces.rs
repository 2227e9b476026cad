//! Selectors that would match but for spaces at the ends of their values.

use super::around::{Surroundings, all, checks};
use super::matching::{glob_of, path_of, regex_of};
use super::words::{examples, first_of, matches_it, named_of, paths_of};
use crate::model::units::Uid;
use crate::select::selector::{Conditions, PathPattern, Selector, Source, User};
use crate::select::systemd;
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// That a selector would match but for the spaces at the ends of its values.
pub(super) fn near_without_spaces(
    selector: &Selector,
    around: &Surroundings<'_>,
    said: &mut Vec<String>,
) {
    let mut say = |typed: &[&str], found: &str| {
        let of_one = |typed: &&str| Some(format!("{typed:?} {} with a space", space_at(typed)?));
        let typed: Vec<String> = typed.iter().filter_map(of_one).collect();
        let (spaces, them) = if typed.len() > 1 { ("spaces", "them") } else { ("space", "it") };
        said.push(format!(
            "{}, which must match too: remove the {spaces}. Without {them}, {found}",
            typed.join(" and ")
        ));
    };
    fn with_processes(of: &[(String, usize)], matches: impl Fn(&str) -> bool) -> Vec<String> {
        let found = of.iter().filter(|(name, count)| *count > 0 && matches(name));
        found.map(|(name, _)| name.clone()).collect()
    }
    match &selector.source {
        Source::Unit(id) => {
            let typed = typed_unit(id);
            let found = with_processes(around.units, glob_of(&systemd::expand(typed.trim())));
            if typed.trim() != typed && !found.is_empty() {
                say(&[&typed], &format!("it matches {}", first_of(found)));
            }
        }
        Source::ControlGroup(pattern) => {
            let trimmed = trimmed_path(pattern);
            let found = with_processes(around.control_groups, path_of(&trimmed));
            if trimmed != *pattern && !found.is_empty() {
                say(&[pattern.as_str()], &format!("it matches {}", paths_of(found)));
            }
        }
        Source::All | Source::Rest | Source::Pid(_) | Source::PidFile(_) => {}
    }
    let Conditions { pattern, cmdline, exe, user } = &selector.conditions;
    let without = Conditions {
        pattern: pattern.as_deref().map(trimmed_regex),
        cmdline: cmdline.as_deref().map(trimmed_regex),
        exe: exe.as_ref().map(trimmed_path),
        user: user.as_ref().map(trimmed_user),
    };
    let typed_user = match user {
        Some(User::Named { name, .. }) => Some(name.as_str()),
        Some(User::Id(_)) | None => None,
    };
    let changed = [
        (pattern != &without.pattern).then_some(pattern.as_deref()),
        (cmdline != &without.cmdline).then_some(cmdline.as_deref()),
        (exe != &without.exe).then_some(exe.as_ref().map(PathPattern::as_str)),
        (user != &without.user).then_some(typed_user),
    ];
    let changed: Vec<&str> = changed.into_iter().flatten().flatten().collect();
    if changed.is_empty() {
        return;
    }
    let checks = checks(&without, around);
    let found = all(around, |facts| checks.iter().all(|check| (check.meets)(facts)));
    if !found.is_empty() {
        let found = format!("{}: {}", matches_it(found.len()), examples(&found, named_of));
        say(&changed, &found);
    }
}

/// What was typed as a unit. A name without a type got `.service` behind its space.
pub(super) fn typed_unit(id: &str) -> Cow<'_, str> {
    match id.strip_suffix(" .service") {
        Some(name) => format!("{name} ").into(),
        None => id.into(),
    }
}

/// At which end of a text a space is: it `begins` or `ends` with it.
pub(super) fn space_at(text: &str) -> Option<&'static str> {
    if text.starts_with(char::is_whitespace) {
        Some("begins")
    } else {
        text.ends_with(char::is_whitespace).then_some("ends")
    }
}

/// A regex without spaces at its ends, but for one that a backslash makes a part of it. One that matches
/// everything without them stays as it is.
fn trimmed_regex(regex: &str) -> String {
    let trimmed = regex.trim();
    let stays = trimmed.ends_with('\\') || regex_of(trimmed)("");
    if stays { regex } else { trimmed }.to_string()
}

fn trimmed_path(pattern: &PathPattern) -> PathPattern {
    match pattern {
        PathPattern::Glob(glob) => {
            let stays = glob_of(glob.trim())("");
            PathPattern::Glob(if stays { glob } else { glob.trim() }.to_string())
        }
        PathPattern::Regex(regex) => PathPattern::Regex(trimmed_regex(regex)),
    }
}

fn trimmed_user(user: &User) -> User {
    match user {
        User::Named { name, .. } if name.trim() != name => {
            let uid = name.trim().parse().ok();
            uid.map_or_else(|| User::named(name.trim()), |uid| User::Id(Uid(uid)))
        }
        User::Named { .. } | User::Id(_) => user.clone(),
    }
}
