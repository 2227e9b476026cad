//! What comes nearest to the conditions that processes must meet.

use super::around::{Surroundings, all, checks};
use super::matching::{glob_of, regex_of};
use super::places::place;
use super::scripts::near_scripts;
use super::spaces::space_at;
use super::words::{EXAMPLES, command, examples, matches_it, named_of, processes, these};
use crate::explain::facts::Facts;
use crate::model::collect;
use crate::model::process::LONGEST_COMM;
use crate::model::units::Pid;
use crate::select::selector::{PathPattern, Selector, User};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

pub(super) fn near_processes(
    selector: &Selector,
    around: &Surroundings<'_>,
    said: &mut Vec<String>,
) {
    let conditions = &selector.conditions;
    let checks = checks(conditions, around);
    let found = all(around, |facts| checks.iter().all(|check| (check.meets)(facts)));
    let is_taken = |&(pid, _): &(Pid, &Facts)| around.owners.contains_key(&pid);
    let (taken, found): (Vec<_>, Vec<_>) = found.into_iter().partition(is_taken);
    if !taken.is_empty() {
        said.push(of_others(&taken, around));
    }
    if !found.is_empty() {
        let why = match place(&selector.source) {
            Some(place) if found.len() == 1 => format!(", but is not {place}"),
            Some(place) => format!(", but are not {place}"),
            None => " now, and did not when the sample was taken".to_string(),
        };
        let matching = matches_it(found.len());
        said.push(format!("{matching}{why}: {}", examples(&found, named_of)));
    }
    if !taken.is_empty() || !found.is_empty() {
        return;
    }
    if checks.len() > 1 {
        // Each condition by itself, and who fails only one.
        for check in &checks {
            let count = around.facts.values().filter(|facts| (check.meets)(facts)).count();
            said.push(format!("{} {}", these(count, "meets", "meet"), check.wanted));
        }
        for (index, check) in checks.iter().enumerate() {
            let fails_only_this = |facts: &Facts| {
                checks.iter().enumerate().all(|(other, one)| (one.meets)(facts) == (other != index))
            };
            let found: Vec<(Pid, &Facts)> = all(around, fails_only_this);
            if !found.is_empty() {
                let with_value = |facts: &Facts| {
                    let value = (check.value)(facts).unwrap_or_else(|| "unreadable".to_string());
                    format!("{} ({value})", facts.name)
                };
                said.push(format!(
                    "{} would match but for the {}: {}",
                    processes(found.len()),
                    check.name,
                    examples(&found, with_value)
                ));
            }
        }
        return;
    }
    if let Some(pattern) = &conditions.pattern {
        near_names(pattern, around, said);
    }
    if let Some(cmdline) = &conditions.cmdline {
        near_commands(cmdline, around, said);
    }
    if let Some(pattern) = &conditions.exe {
        near_scripts(pattern, around, said);
        match pattern {
            PathPattern::Glob(glob) => near_executables(glob, around, said),
            PathPattern::Regex(_) => {}
        }
        if said.is_empty() {
            said.push(format!("no process has an executable whose path matches {pattern}"));
        }
    }
    if let Some(user) = &conditions.user {
        near_users(user, around, said);
    }
}

/// That processes which meet the conditions of a selector belong to groups before its own.
fn of_others(taken: &[(Pid, &Facts)], around: &Surroundings<'_>) -> String {
    let owners = collect::set(taken.iter().filter_map(|(pid, _)| around.owners.get(pid)));
    let named: Vec<&str> = owners.iter().take(EXAMPLES).map(|owner| owner.as_str()).collect();
    let named = match owners.len().saturating_sub(EXAMPLES) {
        0 => named.join(", "),
        more => format!("{} and {more} more groups", named.join(", ")),
    };
    let belong = if taken.len() == 1 { "belongs" } else { "belong" };
    let come = if owners.len() == 1 { "comes" } else { "come" };
    format!(
        "{}, and {belong} to {named}, which {come} first (exclusive): {}",
        matches_it(taken.len()),
        examples(taken, named_of)
    )
}

fn near_users(user: &User, around: &Surroundings<'_>, said: &mut Vec<String>) {
    if let Some(uid) = user.id() {
        let name = match user {
            User::Named { name, .. } => Some(name),
            User::Id(_) => around.users.get(&uid.0),
        };
        said.push(match name {
            Some(name) => format!("no process runs as the user {name} (uid {})", uid.0),
            None => format!("no process runs as the user {user}"),
        });
        return;
    }
    let typed = user.to_string();
    said.push(match space_at(&typed) {
        Some(end) => format!("there is no user {typed:?}, which {end} with a space"),
        None => format!("there is no user {typed}"),
    });
    let lower = typed.trim().to_lowercase();
    let near = around.users.iter().filter(|(_, name)| name.to_lowercase() == lower);
    for (uid, name) in near {
        let of_user = around.facts.values().filter(|facts| facts.user == Some(*uid)).count();
        said.push(format!("there is a user {name}, who has {}", processes(of_user)));
    }
}

/// Whether a regex is a text that matches only itself.
fn is_literal(regex: &str) -> bool {
    !regex.contains(['\\', '.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$'])
}

/// Whether every text that matches a regex is longer than so many bytes. It is known of alternatives that are
/// texts: `a|b`, `^(a|b)$`.
fn needs_more_than(regex: &str, bytes: usize) -> bool {
    let text = regex.strip_prefix("(?i)").unwrap_or(regex);
    let inner = |text: &'_ str| -> Option<String> {
        let text = text.strip_prefix('^').unwrap_or(text);
        let text = text.strip_suffix('$').unwrap_or(text);
        let text = text.strip_prefix('(')?.strip_suffix(')')?;
        Some(text.strip_prefix("?:").unwrap_or(text).to_string())
    };
    let alternatives = inner(text).unwrap_or_else(|| text.to_string());
    alternatives.split('|').all(|text| {
        let text = text.strip_prefix('^').unwrap_or(text);
        let text = text.strip_suffix('$').unwrap_or(text);
        is_literal(text) && text.len() > bytes
    })
}

/// The whole name of a process whose name is cut: that of its executable, or of the program in its command line.
fn whole_name(facts: &Facts) -> Option<String> {
    let program = facts.command.as_deref().and_then(|command| command.split(' ').next());
    let paths = [facts.exe.as_deref(), program];
    let mut names = paths.into_iter().flatten().filter_map(|path| path.rsplit('/').next());
    let is_whole = |name: &&str| name.len() > LONGEST_COMM && name.starts_with(&facts.name);
    let is_cut = facts.name.len() == LONGEST_COMM;
    names.find(is_whole).filter(|_| is_cut).map(ToString::to_string)
}

fn near_names(pattern: &str, around: &Surroundings<'_>, said: &mut Vec<String>) {
    let in_whole = regex_of(pattern);
    if pattern.len() > LONGEST_COMM && is_literal(pattern) && pattern.is_char_boundary(LONGEST_COMM)
    {
        let cut = &pattern[..LONGEST_COMM];
        let found = all(around, |facts| facts.name == cut);
        said.push(format!(
            "--pattern matches the first {LONGEST_COMM} bytes of a name, and {pattern} is longer; {} called \
             {cut}",
            these(found.len(), "is", "are")
        ));
    }
    let is_cut = |facts: &Facts| whole_name(facts).is_some_and(|whole| in_whole(&whole));
    let found = if said.is_empty() { all(around, is_cut) } else { Vec::new() };
    if !found.is_empty() {
        said.push(format!(
            "--pattern matches the first {LONGEST_COMM} bytes of a name; {} with {} whole name: {}: use \
             --exe or --cmdline",
            matches_it(found.len()),
            if found.len() == 1 { "its" } else { "their" },
            examples(&found, |facts| {
                format!("{} ({})", facts.name, whole_name(facts).unwrap_or_default())
            })
        ));
    } else if said.is_empty() && needs_more_than(pattern, LONGEST_COMM) {
        said.push(format!(
            "--pattern matches the first {LONGEST_COMM} bytes of a name, and whatever matches {pattern} is \
             longer"
        ));
    }
    // No name matches as it is.
    let ignoring_case = regex_of(&format!("(?i){pattern}"));
    let found = all(around, |facts| ignoring_case(&facts.name));
    if !found.is_empty() {
        said.push(format!(
            "{} in another case: {}: (?i) in front ignores case",
            matches_it(found.len()),
            examples(&found, named_of)
        ));
    }
    let in_command = regex_of(pattern);
    let found = all(around, |facts| {
        !in_command(&facts.name)
            && facts.command.as_ref().is_some_and(|command| in_command(command))
    });
    if !found.is_empty() {
        said.push(format!(
            "the name of no process matches; {} in the command line (--cmdline): {}",
            matches_it(found.len()),
            examples(&found, |facts| format!("{} {}", facts.name, command(facts)))
        ));
    }
    if said.is_empty() {
        said.push(format!("no process has a name that matches {pattern}"));
    }
}

fn near_commands(cmdline: &str, around: &Surroundings<'_>, said: &mut Vec<String>) {
    let [matches, ignoring_case] =
        [cmdline.to_string(), format!("(?i){cmdline}")].map(|text| regex_of(&text));
    let found = all(around, |facts| facts.command.as_ref().is_some_and(|one| ignoring_case(one)));
    if !found.is_empty() {
        said.push(format!(
            "{} in another case: {}: (?i) in front ignores case",
            matches_it(found.len()),
            examples(&found, command)
        ));
    }
    let found = all(around, |facts| matches(&facts.name));
    if !found.is_empty() {
        said.push(format!(
            "{} by name (--pattern): {}",
            matches_it(found.len()),
            examples(&found, |facts| format!("{} {}", facts.name, command(facts)))
        ));
    }
    let unread = around.facts.values().filter(|facts| facts.command.is_none()).count();
    if unread > 0 {
        said.push(format!("the command line of {} cannot be read", processes(unread)));
    }
    if said.is_empty() {
        said.push(format!("no process has a command line that matches {cmdline}"));
    }
}

fn near_executables(glob: &str, around: &Surroundings<'_>, said: &mut Vec<String>) {
    let matches_lower = glob_of(&glob.to_lowercase());
    let found = all(around, |facts| {
        facts.exe.as_ref().is_some_and(|exe| matches_lower(&exe.to_lowercase()))
    });
    if !found.is_empty() {
        said.push(format!(
            "{} in another case: {}",
            matches_it(found.len()),
            examples(&found, |facts| facts.exe.clone().unwrap_or_default())
        ));
    }
    let last = glob.rsplit('/').next().unwrap_or(glob);
    let base =
        |facts: &Facts| facts.exe.as_ref().and_then(|exe| exe.rsplit('/').next().map(String::from));
    let is_last = glob_of(last);
    let found = all(around, |facts| base(facts).is_some_and(|base| is_last(&base)));
    if !found.is_empty() && last.bytes().any(|byte| byte != b'*') {
        said.push(format!(
            "--exe matches the whole path; {} with another path: {}",
            matches_it(found.len()),
            examples(&found, |facts| facts.exe.clone().unwrap_or_default())
        ));
    }
    let unread = |facts: &&Facts| {
        facts.exe.is_none() && facts.command.as_ref().is_none_or(|command| !command.is_empty())
    };
    // In some containers nobody may read that of process 1.
    let others = around.facts.iter().filter(|(pid, _)| **pid != Pid::INIT);
    let unread = others.map(|(_, facts)| facts).filter(unread).count();
    if unread > 0 {
        said.push(format!("the executable of {} cannot be read", processes(unread)));
    }
}
