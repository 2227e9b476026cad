//! What comes nearest to a selector that matches nothing.
//!
//! *Example:* `--pattern postgres-exporter` matches nothing, because names have at most 15 bytes. Two processes
//! are called `postgres-export`, and one has `postgres-exporter` in its command line. Both are said.

use super::facts::{Facts, text_of};
use crate::model::units::{Pid, Uid};
use crate::select::matcher::Matcher;
use crate::select::selector::{Conditions, PathPattern, Selector, Source, User};
use crate::select::systemd;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The longest name of a process (`TASK_COMM_LEN`, include/linux/sched.h).
const LONGEST_NAME: usize = 15;

/// How many examples a sentence gives.
const EXAMPLES: usize = 3;

/// What is running, to look for what is near.
#[derive(Debug)]
pub struct Surroundings<'s> {
    /// All processes.
    pub facts: &'s BTreeMap<Pid, Facts>,
    /// Whether there was time to look at all of them.
    pub is_complete: bool,
    /// The ids of all units in sight, and how many processes each has.
    pub units: &'s [(String, usize)],
    /// The paths of all control groups in sight, and how many processes are in each and below it.
    pub control_groups: &'s [(String, usize)],
    /// The names of users, by their ids.
    pub users: &'s BTreeMap<u32, String>,
    /// The only group of each process that is in one. Empty if a process can be in several.
    pub owners: &'s BTreeMap<Pid, String>,
}

/// Sentences about what comes nearest to a selector that matches no process. `named` is the process that it names
/// by its pid, or why that is not known.
pub fn misses(
    selector: &Selector,
    named: Option<Result<Pid, String>>,
    around: &Surroundings<'_>,
) -> Vec<String> {
    let mut said = Vec::new();
    let is_running = |pid: &Pid| around.facts.contains_key(pid);
    let named_is_absent = !named.as_ref().is_some_and(|one| one.as_ref().is_ok_and(is_running));
    match named {
        Some(Ok(pid)) => near_named(pid, selector, around, &mut said),
        Some(Err(reason)) => {
            said.push(reason);
            if let Source::PidFile(path) = &selector.source
                && let Some(end) = space_at(&text_of(path))
            {
                said.push(format!("the path of the pid file {end} with a space"));
            }
        }
        None => {}
    }
    if let Source::PidFile(path) = &selector.source
        && named_is_absent
    {
        near_pid_file(path, around, &mut said);
    }
    if !said.is_empty() {
        return said;
    }
    near_without_spaces(selector, around, &mut said);
    if said.is_empty() {
        match &selector.source {
            Source::Unit(glob) => near_units(glob, around, &mut said),
            Source::ControlGroup(glob) => near_control_groups(glob, around, &mut said),
            Source::All | Source::Rest | Source::Pid(_) | Source::PidFile(_) => {}
        }
        if !selector.conditions.is_empty() {
            near_processes(selector, around, &mut said);
        }
    }
    if !around.is_complete {
        said.push("not all processes were looked at in time".to_string());
    }
    said
}

/// That a selector would match but for the spaces at the ends of its values.
fn near_without_spaces(selector: &Selector, around: &Surroundings<'_>, said: &mut Vec<String>) {
    let mut say = |typed: &[&str], found: &str| {
        let of_one = |typed: &&str| Some(format!("{typed:?} {} with a space", space_at(typed)?));
        let typed: Vec<String> = typed.iter().filter_map(of_one).collect();
        let (spaces, them) = if typed.len() > 1 { ("spaces", "them") } else { ("space", "it") };
        said.push(format!(
            "{}, which must match too: remove the {spaces}. Without {them}, {found}",
            typed.join(" and ")
        ));
    };
    let with_processes = |of: &[(String, usize)], matcher: Option<Matcher>| {
        let is_one = |(name, count): &&(String, usize)| {
            let is_in = |matcher: &Matcher| matcher.matches(name.as_bytes()).next().is_some();
            *count > 0 && matcher.as_ref().is_some_and(is_in)
        };
        of.iter().filter(is_one).map(|(name, _)| name.clone()).collect::<Vec<String>>()
    };
    match &selector.source {
        Source::Unit(id) => {
            // What was typed had no type.
            let typed = id.strip_suffix(" .service").map_or(id.clone(), |name| format!("{name} "));
            let glob = systemd::expand(typed.trim());
            let matcher = Matcher::of_globs([(0, &*glob)].into_iter()).ok();
            let found = with_processes(around.units, matcher);
            if typed.trim() != typed && !found.is_empty() {
                say(&[&typed], &format!("it matches {}", first_of(found)));
            }
        }
        Source::ControlGroup(pattern) => {
            let trimmed = trimmed_path(pattern);
            let matcher = Matcher::of_paths([(0, &trimmed)].into_iter()).ok();
            let found = with_processes(around.control_groups, matcher);
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
        Some(User::Named(name)) => Some(name.as_str()),
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
    let [of_typed, of_trimmed] = [&selector.conditions, &without].map(|all| checks(all, around));
    let found = all(around, |facts| of_trimmed.iter().all(|check| (check.meets)(facts)));
    if !found.is_empty() && of_typed.len() == of_trimmed.len() {
        let found = format!("{}: {}", matches_it(found.len()), examples(&found, named_of));
        say(&changed, &found);
    }
}

/// At which end of a text a space is: it `begins` or `ends` with it.
fn space_at(text: &str) -> Option<&'static str> {
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
    let stays = trimmed.ends_with('\\') || of_regex(trimmed)("");
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
        User::Named(name) => {
            let trimmed = name.trim();
            let uid = if trimmed == name { None } else { trimmed.parse().ok() };
            uid.map_or_else(|| User::Named(trimmed.to_string()), |uid| User::Id(Uid(uid)))
        }
        User::Id(uid) => User::Id(*uid),
    }
}

/// What is wrong with the process that a selector names by its pid.
fn near_named(pid: Pid, selector: &Selector, around: &Surroundings<'_>, said: &mut Vec<String>) {
    let Some(facts) = around.facts.get(&pid) else {
        if around.is_complete {
            said.push(format!("process {pid} is not running"));
        }
        // A daemon whose parent ends keeps its process group and its session.
        let left = all(around, |facts| {
            facts.kinship.is_some_and(|kin| kin.group == pid || kin.session == pid)
        });
        if !left.is_empty() {
            said.push(format!(
                "{} of the process group or session of {pid} still run{}: {}: {}",
                processes(left.len()),
                if left.len() == 1 { "s" } else { "" },
                examples(&left, named_of),
                cures(None, left[0].1)
            ));
        }
        return;
    };
    for check in checks(&selector.conditions, around).iter().filter(|check| !(check.meets)(facts)) {
        said.push(format!(
            "process {pid} is {}, and its {} is {}, which {} does not match",
            facts.name,
            check.name,
            (check.value)(facts),
            check.wanted
        ));
    }
}

/// How to select a process that may have left a group. `unit` is its unit, if it has one.
pub fn cures(unit: Option<&str>, facts: &Facts) -> String {
    let unit = unit.map_or_else(String::new, |unit| format!("--systemd {unit}, "));
    let pattern = quoted(&format!("^{}$", facts.name));
    format!("to count it, use {unit}--pid-file with its pid file, or --pattern {pattern}")
}

/// A text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A process with the name of a pid file that names no running process: `nginx` for `/run/nginx.pid`.
fn near_pid_file(path: &[u8], around: &Surroundings<'_>, said: &mut Vec<String>) {
    let path = text_of(path);
    let file = path.rsplit('/').next().unwrap_or_default();
    let stem = file.strip_suffix(".pid").unwrap_or(file);
    let is_it = |facts: &Facts| {
        let exe = facts.exe.as_deref().and_then(|exe| exe.rsplit('/').next());
        !stem.is_empty() && (facts.name == stem || exe == Some(stem))
    };
    let found = all(around, is_it);
    if let [(_, first), ..] = found[..] {
        said.push(format!(
            "{} called {stem}: {}: {}",
            if found.len() == 1 {
                "1 process is".into()
            } else {
                format!("{} processes are", found.len())
            },
            examples(&found, named_of),
            cures(None, first)
        ));
    }
}

/// Where a process must be, besides that it meets the conditions: `in unit nginx.service`.
fn place(source: &Source) -> Option<String> {
    match source {
        Source::All | Source::Rest => None,
        Source::Pid(pid) => Some(format!("process {pid}")),
        Source::PidFile(path) => Some(format!("the process in {}", text_of(path))),
        Source::Unit(glob) => Some(format!("in unit {glob}")),
        Source::ControlGroup(glob) => Some(format!("in control group {glob}")),
    }
}

/// The first of some texts, and how many more there are.
fn first_of(mut texts: Vec<String>) -> String {
    let count = texts.len();
    texts.truncate(EXAMPLES);
    if count > EXAMPLES {
        texts.push(format!("and {} more", count - EXAMPLES));
    }
    texts.join(", ")
}

/// The same for paths of control groups.
fn paths_of(mut paths: Vec<String>) -> String {
    for root in paths.iter_mut().filter(|path| path.is_empty()) {
        root.push_str("the root");
    }
    first_of(paths)
}

/// Some processes, as examples.
fn examples(found: &[(Pid, &Facts)], show: impl Fn(&Facts) -> String) -> String {
    let (shown, others) = found.split_at(found.len().min(EXAMPLES));
    let mut text: Vec<String> =
        shown.iter().map(|(pid, facts)| format!("{pid} {}", show(facts))).collect();
    text.extend(others.iter().map(|_| String::new()));
    first_of(text)
}

fn processes(count: usize) -> String {
    if count == 1 { "1 process".to_string() } else { format!("{count} processes") }
}

/// What comes nearest to a glob of paths of control groups.
fn near_control_groups(pattern: &PathPattern, around: &Surroundings<'_>, said: &mut Vec<String>) {
    let shown = if pattern.glob() == Some("") { "/" } else { pattern.as_str() };
    let matcher = Matcher::of_paths([(0, pattern)].into_iter()).ok();
    let is_in = |matcher: &Matcher, path: &str| matcher.matches(path.as_bytes()).next().is_some();
    let matches = |path: &str| matcher.as_ref().is_some_and(|matcher| is_in(matcher, path));
    let empty: Vec<String> = around
        .control_groups
        .iter()
        .filter(|(path, _)| matches(path))
        .map(|(path, _)| path.clone())
        .collect();
    if !empty.is_empty() {
        said.push(format!("no process is in {}", paths_of(empty)));
        return;
    }
    let Some(glob) = pattern.glob() else {
        said.push(format!("no control group has a path in which {shown} matches"));
        return;
    };
    said.push(format!(
        "no control group matches {shown}: it must be the whole path below the root, as in \
         /proc/PID/cgroup"
    ));
    let last =
        glob.rsplit('/').find(|part| part.bytes().any(|byte| byte != b'*')).unwrap_or_default();
    let stem = last.split(['*', '?', '[']).find(|part| !part.is_empty()).unwrap_or_default();
    let stem = stem.to_lowercase();
    let is_near = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or(path);
        !stem.is_empty() && name.to_lowercase().contains(&stem)
    };
    let near = around.control_groups.iter().filter(|(path, count)| *count > 0 && is_near(path));
    let near: Vec<String> =
        near.map(|(path, count)| format!("{path} ({})", processes(*count))).collect();
    if !near.is_empty() {
        said.push(format!("control groups with a similar name: {}", first_of(near)));
    }
}

/// Whether a text matches a glob.
fn glob_of(glob: &str) -> impl Fn(&str) -> bool + use<> {
    let matcher = Matcher::of_globs([(0, glob)].into_iter()).ok();
    move |text| {
        matcher.as_ref().is_some_and(|matcher| matcher.matches(text.as_bytes()).next().is_some())
    }
}

fn near_units(glob: &str, around: &Surroundings<'_>, said: &mut Vec<String>) {
    let parts = glob.split(['.', '@', '*', '?', '[']);
    let stem = parts.into_iter().find(|part| !part.is_empty()).unwrap_or_default().to_lowercase();
    let is_near = |id: &str| !stem.is_empty() && id.to_lowercase().contains(&stem);
    let matches = glob_of(glob);
    let empty = around.units.iter().filter(|(id, count)| matches(id) && *count == 0);
    let empty: Vec<String> = empty.map(|(id, _)| id.clone()).collect();
    match empty.as_slice() {
        [] => {}
        [id] => said.push(format!("{id} has no process: it may only start other units")),
        _ => said.push(format!("no process is in these units: {}", first_of(empty))),
    }
    let near: Vec<String> = around
        .units
        .iter()
        .filter(|(id, count)| is_near(id) && !matches(id) && *count > 0)
        .map(|(id, count)| format!("{id} ({})", processes(*count)))
        .collect();
    if !near.is_empty() {
        said.push(format!("units with a similar name run: {}", first_of(near)));
    } else if !around.units.iter().any(|(id, _)| matches(id)) {
        let typed = glob.strip_suffix(" .service").map(|name| format!("{name} "));
        let shown = match typed.as_deref().unwrap_or(glob) {
            typed if space_at(typed).is_some() => format!("{typed:?}, with the space,"),
            typed => typed.to_string(),
        };
        said.push(format!("no unit that matches {shown} is running"));
    }
}

/// How one condition is checked: whether a process meets it, and the value that it has instead.
struct Check<'c> {
    name: &'static str,
    wanted: String,
    meets: alloc::boxed::Box<dyn Fn(&Facts) -> bool + 'c>,
    value: alloc::boxed::Box<dyn Fn(&Facts) -> String + 'c>,
}

fn checks<'c>(conditions: &'c Conditions, around: &'c Surroundings<'_>) -> Vec<Check<'c>> {
    use alloc::boxed::Box;
    let mut checks: Vec<Check<'c>> = Vec::new();
    let regex = |text: &'c str| Matcher::of_regexes([(0, text)].into_iter()).ok();
    let is_in = |matcher: &Matcher, text: &str| matcher.matches(text.as_bytes()).next().is_some();
    if let Some((text, matcher)) =
        conditions.pattern.as_deref().and_then(|text| Some((text, regex(text)?)))
    {
        checks.push(Check {
            name: "name",
            wanted: format!("pattern {text}"),
            meets: Box::new(move |facts| is_in(&matcher, &facts.name)),
            value: Box::new(|facts| facts.name.clone()),
        });
    }
    if let Some((text, matcher)) =
        conditions.cmdline.as_deref().and_then(|text| Some((text, regex(text)?)))
    {
        checks.push(Check {
            name: "command line",
            wanted: format!("cmdline {text}"),
            meets: Box::new(move |facts| {
                facts.command.as_ref().is_some_and(|command| is_in(&matcher, command))
            }),
            value: Box::new(|facts| facts.command.clone().unwrap_or_else(|| "unreadable".into())),
        });
    }
    let paths = |pattern: &'c PathPattern| Matcher::of_paths([(0, pattern)].into_iter()).ok();
    if let Some((pattern, matcher)) =
        conditions.exe.as_ref().and_then(|pattern| Some((pattern, paths(pattern)?)))
    {
        checks.push(Check {
            name: "executable",
            wanted: format!("{} {pattern}", pattern.key("exe", "exe_regex")),
            meets: Box::new(move |facts| {
                facts.exe.as_ref().is_some_and(|exe| is_in(&matcher, exe))
            }),
            value: Box::new(|facts| facts.exe.clone().unwrap_or_else(|| "unreadable".into())),
        });
    }
    if let Some(user) = &conditions.user {
        let name_of = |facts: &Facts| match facts.user {
            Some(uid) => around.users.get(&uid).cloned().unwrap_or_else(|| uid.to_string()),
            None => String::from("unknown"),
        };
        checks.push(Check {
            name: "user",
            wanted: format!("user {user}"),
            meets: Box::new(move |facts| match user {
                User::Id(uid) => facts.user == Some(uid.0),
                User::Named(name) => name_of(facts) == *name,
            }),
            value: Box::new(name_of),
        });
    }
    checks
}

/// That processes which meet the conditions of a selector belong to groups before its own.
fn of_others(taken: &[(Pid, &Facts)], around: &Surroundings<'_>) -> String {
    let owners: BTreeSet<&String> =
        taken.iter().filter_map(|(pid, _)| around.owners.get(pid)).collect();
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

fn near_processes(selector: &Selector, around: &Surroundings<'_>, said: &mut Vec<String>) {
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
            said.push(format!(
                "{} meet{} {}",
                processes(count),
                if count == 1 { "s" } else { "" },
                check.wanted
            ));
        }
        for (index, check) in checks.iter().enumerate() {
            let fails_only_this = |facts: &Facts| {
                checks.iter().enumerate().all(|(other, one)| (one.meets)(facts) == (other != index))
            };
            let found: Vec<(Pid, &Facts)> = all(around, fails_only_this);
            if !found.is_empty() {
                said.push(format!(
                    "{} would match but for the {}: {}",
                    processes(found.len()),
                    check.name,
                    examples(&found, |facts| format!("{} ({})", facts.name, (check.value)(facts)))
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

fn near_users(user: &User, around: &Surroundings<'_>, said: &mut Vec<String>) {
    let typed = match user {
        User::Named(name) => name,
        User::Id(uid) => match around.users.get(&uid.0) {
            Some(name) => {
                said.push(format!("no process runs as the user {name} (uid {})", uid.0));
                return;
            }
            None => {
                said.push(format!("no process runs as the user {user}"));
                return;
            }
        },
    };
    said.push(match space_at(typed) {
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

fn all<'a>(around: &Surroundings<'a>, holds: impl Fn(&Facts) -> bool) -> Vec<(Pid, &'a Facts)> {
    let all = around.facts.iter().filter(|(_, facts)| holds(facts));
    all.map(|(&pid, facts)| (pid, facts)).collect()
}

fn of_regex(text: &str) -> impl Fn(&str) -> bool + use<> {
    let matcher = Matcher::of_regexes([(0, text)].into_iter()).ok();
    move |text| {
        matcher.as_ref().is_some_and(|matcher| matcher.matches(text.as_bytes()).next().is_some())
    }
}

fn named_of(facts: &Facts) -> String {
    facts.name.clone()
}

fn command(facts: &Facts) -> String {
    let command = facts.command.clone().unwrap_or_default();
    match command.char_indices().nth(60) {
        Some((end, _)) => format!("`{}…`", &command[..end]),
        None => format!("`{command}`"),
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
    let is_whole = |name: &&str| name.len() > LONGEST_NAME && name.starts_with(&facts.name);
    let is_cut = facts.name.len() == LONGEST_NAME;
    names.find(is_whole).filter(|_| is_cut).map(ToString::to_string)
}

fn near_names(pattern: &str, around: &Surroundings<'_>, said: &mut Vec<String>) {
    let in_whole = of_regex(pattern);
    if pattern.len() > LONGEST_NAME && is_literal(pattern) && pattern.is_char_boundary(LONGEST_NAME)
    {
        let cut = &pattern[..LONGEST_NAME];
        let found = all(around, |facts| facts.name == cut);
        said.push(format!(
            "--pattern matches the first {LONGEST_NAME} bytes of a name, and {pattern} is longer; {} called \
             {cut}",
            if found.len() == 1 { "1 process is".into() } else { format!("{} processes are", found.len()) }
        ));
    }
    let is_cut = |facts: &Facts| whole_name(facts).is_some_and(|whole| in_whole(&whole));
    let found = if said.is_empty() { all(around, is_cut) } else { Vec::new() };
    if !found.is_empty() {
        said.push(format!(
            "--pattern matches the first {LONGEST_NAME} bytes of a name; {} with {} whole name: {}: use \
             --exe or --cmdline",
            matches_it(found.len()),
            if found.len() == 1 { "its" } else { "their" },
            examples(&found, |facts| {
                format!("{} ({})", facts.name, whole_name(facts).unwrap_or_default())
            })
        ));
    } else if said.is_empty() && needs_more_than(pattern, LONGEST_NAME) {
        said.push(format!(
            "--pattern matches the first {LONGEST_NAME} bytes of a name, and whatever matches {pattern} is \
             longer"
        ));
    }
    // No name matches as it is.
    let ignoring_case = of_regex(&format!("(?i){pattern}"));
    let found = all(around, |facts| ignoring_case(&facts.name));
    if !found.is_empty() {
        said.push(format!(
            "{} in another case: {}: (?i) in front ignores case",
            matches_it(found.len()),
            examples(&found, named_of)
        ));
    }
    let in_command = of_regex(pattern);
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

fn matches_it(count: usize) -> String {
    if count == 1 { "1 process matches".to_string() } else { format!("{count} processes match") }
}

fn near_commands(cmdline: &str, around: &Surroundings<'_>, said: &mut Vec<String>) {
    let [matches, ignoring_case] =
        [cmdline.to_string(), format!("(?i){cmdline}")].map(|text| of_regex(&text));
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

/// The programs that run scripts, without the numbers of versions, and the letters of their options behind which
/// there is code, or the name of a module, and no script.
const INTERPRETERS: [(&str, &str); 15] = [
    ("ash", "cs"),
    ("awk", ""),
    ("bash", "cs"),
    ("dash", "cs"),
    ("fish", "c"),
    ("gawk", ""),
    ("ksh", "cs"),
    ("lua", "e"),
    ("mawk", ""),
    ("node", "ep"),
    ("perl", "eE"),
    ("php", "rBRE"),
    ("python", "cm"),
    ("ruby", "e"),
    ("sh", "cs"),
];

/// The long options of that kind.
const CODE: [&str; 4] = ["--command", "--eval", "--print", "--run"];

/// The script that a process runs, if its executable is only the interpreter: its first argument that is no option.
/// The kernel names a process by its script, so one that has the name of the file is taken for it too.
fn script(facts: &Facts) -> Option<&str> {
    let (command, exe) = (facts.command.as_deref()?, facts.exe.as_deref()?);
    let base = |path: &'_ str| path.rsplit('/').next().unwrap_or_default().to_string();
    let mut words = command.split(' ');
    let first = words.next()?;
    let options: Vec<&str> = words.clone().take_while(|word| word.starts_with('-')).collect();
    let path = words.nth(options.len())?;
    let (file, program) = (base(path), base(exe));
    // It is many programs, and the first word says which. A login shell has a `-` in front.
    let applet = if program == "busybox" { base(first) } else { program.clone() };
    let kind = applet.trim_start_matches('-');
    let kind = kind.trim_end_matches(|last: char| last.is_ascii_digit() || last == '.');
    let is_named_by_it = file.len() >= facts.name.len()
        && file.starts_with(&facts.name)
        && (file == facts.name || facts.name.len() == LONGEST_NAME);
    let runs_file = match INTERPRETERS.into_iter().find(|(name, _)| *name == kind) {
        // Without this option there is a program in its place.
        Some((_, "")) => options.iter().any(|option| option.ends_with('f')),
        Some((_, letters)) => !options.iter().any(|option| is_code(option, letters)),
        None => is_named_by_it,
    };
    (file != program && runs_file).then_some(path)
}

/// Whether what follows an option is no script. `letters` are those of short options of this kind, which are the
/// first or the last of several: `-c`, `-lc`, `-ne`. In a shell they can be anywhere: `-ce`.
fn is_code(option: &str, letters: &str) -> bool {
    if option.starts_with("--") {
        return CODE.contains(&option.split('=').next().unwrap_or_default());
    }
    let option = option.trim_start_matches('-');
    let is_of_shell = letters.starts_with("cs");
    let ends = [option.chars().next(), option.chars().next_back()];
    ends.into_iter().flatten().any(|letter| letters.contains(letter))
        || is_of_shell && option.contains('c')
}

/// Processes that run a file with such a path as a script.
fn near_scripts(pattern: &PathPattern, around: &Surroundings<'_>, said: &mut Vec<String>) {
    let Ok(matcher) = Matcher::of_paths([(0, pattern)].into_iter()) else { return };
    let is_in = |path: &str| matcher.matches(path.as_bytes()).next().is_some();
    let found = all(around, |facts| script(facts).is_some_and(is_in));
    let paths: BTreeSet<&str> = found.iter().filter_map(|(_, facts)| script(facts)).collect();
    if paths.is_empty() {
        return;
    }
    let advice =
        paths.into_iter().map(|path| format!("--cmdline {}", quoted(&regex::escape(path))));
    said.push(format!(
        "{} such a file as a script, and the executable is its interpreter: {}: use {}",
        if found.len() == 1 {
            "1 process runs".to_string()
        } else {
            format!("{} processes run", found.len())
        },
        examples(&found, |facts| {
            format!("{} ({})", facts.name, facts.exe.as_deref().unwrap_or_default())
        }),
        first_of(advice.collect())
    ));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::label::Label;
    use crate::model::process::Kinship;
    use alloc::borrow::ToOwned;

    fn facts() -> BTreeMap<Pid, Facts> {
        let rows = [
            (
                100,
                "postgres",
                "postgres: checkpointer",
                Some("/usr/lib/postgresql/15/bin/postgres"),
                108,
            ),
            (
                101,
                "postgres-export",
                "/usr/bin/postgres-exporter --web",
                Some("/usr/bin/postgres-exporter"),
                999,
            ),
            (102, "Xorg", "/usr/lib/xorg/Xorg :0", None, 0),
            (103, "su", "su - postgres", Some("/usr/bin/su"), 0),
        ];
        let make = |(pid, name, command, exe, user): (u32, &str, &str, Option<&str>, u32)| {
            let facts = Facts {
                name: name.to_owned(),
                command: Some(command.to_owned()),
                exe: exe.map(str::to_owned),
                user: Some(user),
                state: Some('S'),
                parent: Some(Pid::INIT),
                kinship: None,
            };
            (Pid::new(pid), facts)
        };
        rows.into_iter().map(make).collect()
    }

    static NO_FACTS: BTreeMap<Pid, Facts> = BTreeMap::new();
    static NO_USERS: BTreeMap<u32, String> = BTreeMap::new();
    static NO_OWNERS: BTreeMap<Pid, String> = BTreeMap::new();

    /// Those of a machine that shows nothing but these processes.
    fn only(facts: &BTreeMap<Pid, Facts>) -> Surroundings<'_> {
        Surroundings {
            facts,
            is_complete: true,
            units: &[],
            control_groups: &[],
            users: &NO_USERS,
            owners: &NO_OWNERS,
        }
    }

    fn said(selector: &Selector) -> String {
        let (facts, users) = (facts(), BTreeMap::from([(108, "postgres".to_owned())]));
        let units = [
            ("postgresql.service".to_owned(), 0),
            ("postgresql@15-main.service".to_owned(), 7),
            ("nginx.service".to_owned(), 5),
        ];
        let control_groups = [
            ("system.slice/nginx.service".to_owned(), 5),
            ("system.slice/idle.service".to_owned(), 0),
        ];
        let control_groups = &control_groups;
        let around = Surroundings { units: &units, control_groups, users: &users, ..only(&facts) };
        misses(selector, None, &around).join("\n")
    }

    #[test]
    fn what_belongs_to_another_group_is_named_with_it() {
        let facts = facts();
        let owners = BTreeMap::from([(Pid::new(100), "db".to_owned())]);
        let said = |pattern: &str| {
            let around = Surroundings { owners: &owners, ..only(&facts) };
            let conditions = Conditions { pattern: text(pattern), ..Conditions::default() };
            misses(&Selector::of_all(Label::new(b"x"), conditions), None, &around)
        };
        assert_eq!(
            said("^postgres$"),
            ["1 process matches, and belongs to db, which comes first (exclusive): 100 postgres"]
        );
        let both = said("^(postgres|Xorg)$");
        assert!(both.len() == 2 && both[0].contains("belongs to db"), "{both:?}");
        assert!(both[1].starts_with("1 process matches now, and did not when"), "{both:?}");
    }

    fn of(conditions: Conditions) -> String {
        said(&Selector::of_all(Label::new(b"x"), conditions))
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_name_that_is_too_long_is_named_with_what_it_is_cut_to() {
        let said = of(Conditions { pattern: text("postgres-exporter"), ..Conditions::default() });
        assert!(said.contains("first 15 bytes"), "{said}");
        assert!(said.contains("1 process is called postgres-export"), "{said}");
        assert!(said.contains("in the command line (--cmdline): 101 postgres-export"), "{said}");
    }

    #[test]
    fn another_case_is_named() {
        let said = of(Conditions { pattern: text("xorg"), ..Conditions::default() });
        assert!(said.contains("in another case: 102 Xorg: (?i)"), "{said}");
    }

    #[test]
    fn a_regex_that_matches_a_cut_name_only_as_a_whole_is_explained() {
        let pattern =
            |regex: &str| of(Conditions { pattern: text(regex), ..Conditions::default() });
        for regex in ["exporter$", "postgres-exporter|mysqld-exporter99", "^(postgres-exporter)$"] {
            let said = pattern(regex);
            let cut = "first 15 bytes of a name; 1 process matches with its whole name: \
                       101 postgres-export (postgres-exporter): use --exe or --cmdline";
            assert!(said.contains(cut), "{regex}: {said}");
        }
        for regex in
            ["node-exporter-123|mysqld-exporter9", "^(?:node-exporter-123|mysqld-exporter9)$"]
        {
            let said = pattern(regex);
            assert!(said.contains(&format!("whatever matches {regex} is longer")), "{said}");
        }
        let said = pattern("mysqld|mysqld-exporter9");
        assert_eq!(said, "no process has a name that matches mysqld|mysqld-exporter9");
    }

    #[test]
    fn another_case_of_an_executable_a_unit_or_a_user_is_named() {
        let said_of = |conditions| of(conditions);
        let exe = text("*/Postgres").map(PathPattern::Glob);
        let said = said_of(Conditions { exe, ..Conditions::default() });
        let near = "1 process matches in another case: 100 /usr/lib/postgresql/15/bin/postgres";
        assert!(said.contains(near), "{said}");
        let user = Some(User::Named("Postgres".to_owned()));
        let said = said_of(Conditions { user, ..Conditions::default() });
        assert_eq!(said, "there is no user Postgres\nthere is a user postgres, who has 1 process");
        let said = self::said(&Selector::new(None, Source::Unit("Nginx.service".to_owned())));
        assert_eq!(said, "units with a similar name run: nginx.service (5 processes)");
    }

    #[test]
    fn a_control_group_that_is_missing_is_said_with_those_that_are_similar() {
        let of = |glob: &str| {
            let glob = PathPattern::Glob(glob.to_owned());
            said(&Selector::new(None, Source::ControlGroup(glob)))
        };
        let missing = of("Nginx.service");
        assert!(
            missing.starts_with("no control group matches Nginx.service: it must be the whole")
        );
        let near = "\ncontrol groups with a similar name: system.slice/nginx.service (5 processes)";
        assert!(missing.ends_with(near), "{missing}");
        assert_eq!(of("system.slice/idle*"), "no process is in system.slice/idle.service");
        assert_eq!(of("kafka").lines().count(), 1);
        let control_groups = [(String::new(), 0)];
        let around = Surroundings { control_groups: &control_groups, ..only(&NO_FACTS) };
        let root = Source::ControlGroup(PathPattern::Glob("*".to_owned()));
        let said = misses(&Selector::new(None, root), None, &around);
        assert_eq!(said, ["no process is in the root"]);
    }

    #[test]
    fn what_a_process_has_left_behind_is_named() {
        let mut facts = facts();
        let (group, session) = (Pid::new(90), Pid::new(91));
        let kinship = Some(Kinship { group, session, is_kernel_thread: false });
        facts.entry(Pid::new(103)).and_modify(|facts| facts.kinship = kinship);
        let around = only(&facts);
        for pid in [90, 91] {
            let pid = Pid::new(pid);
            let said = misses(&Selector::new(None, Source::Pid(pid)), Some(Ok(pid)), &around);
            assert_eq!(
                said,
                [
                    format!("process {pid} is not running"),
                    format!(
                        "1 process of the process group or session of {pid} still runs: 103 su: to count \
                         it, use --pid-file with its pid file, or --pattern '^su$'"
                    )
                ]
            );
        }
        let selector = Selector::new(None, Source::PidFile(b"/run/postgres.pid".to_vec()));
        for named in [Err("pid file: not found".to_owned()), Ok(Pid::new(7))] {
            let said = misses(&selector, Some(named), &around).join("\n");
            let near = "1 process is called postgres: 100 postgres: to count it, use --pid-file";
            assert!(said.contains(near), "{said}");
        }
    }

    #[test]
    fn an_executable_elsewhere_is_named() {
        let said = of(Conditions {
            exe: text("/opt/postgres").map(PathPattern::Glob),
            ..Conditions::default()
        });
        assert!(said.contains("100 /usr/lib/postgresql/15/bin/postgres"), "{said}");
        assert!(said.contains("the executable of 1 process cannot be read"), "{said}");
    }

    #[test]
    fn a_script_is_named_with_its_interpreter() {
        let row = |pid: u32, name: &str, command: &str, exe: &str| {
            let (command, exe) = (Some(command.to_owned()), Some(exe.to_owned()));
            (Pid::new(pid), Facts { name: name.to_owned(), command, exe, ..Facts::default() })
        };
        let facts = BTreeMap::from([
            row(200, "wrapper.sh", "/bin/sh -e /usr/local/bin/wrapper.sh -x", "/usr/bin/dash"),
            row(201, "sh", "sh /usr/local/bin/wrapper.sh", "/usr/bin/bash"),
            row(202, "python3", "python3 -u /srv/app.py", "/usr/bin/python3.11"),
            row(203, "a-name-of-its-ow", "tool /srv/a-name-of-its-own", "/opt/tool"),
            row(204, "vi", "vi /usr/local/bin/wrapper.sh", "/usr/bin/vi"),
            row(205, "app.py", "/srv/app.py", "/srv/app.py"),
        ]);
        let of = |exe: PathPattern| {
            let conditions = Conditions { exe: Some(exe), ..Conditions::default() };
            misses(&Selector::of_all(None, conditions), None, &only(&facts)).join("\n")
        };
        let glob = |glob: &str| of(PathPattern::Glob(glob.to_owned()));
        assert_eq!(
            glob("/usr/local/bin/wrapper.sh"),
            "2 processes run such a file as a script, and the executable is its interpreter: 200 \
             wrapper.sh (/usr/bin/dash), 201 sh (/usr/bin/bash): use --cmdline \
             '/usr/local/bin/wrapper\\.sh'"
        );
        assert!(glob("*/srv/app.p?").contains("1 process matches now"), "it is a program too");
        assert!(glob("*/srv/*own").starts_with("no process has"), "the name is not of 15 bytes");
        let by_regex = of(PathPattern::Regex("/wrapper".to_owned()));
        assert!(by_regex.starts_with("2 processes run such a file as a script"), "{by_regex}");
    }

    #[test]
    fn what_an_interpreter_runs_that_is_no_file_is_no_script() {
        let of = |exe: &str, command: &str| {
            let (exe, command) = (Some(exe.to_owned()), Some(command.to_owned()));
            let name = "x".to_owned();
            script(&Facts { name, exe, command, ..Facts::default() }).map(ToOwned::to_owned)
        };
        for (exe, command) in [
            ("/usr/bin/dash", "sh -c /usr/local/bin/app --x"),
            ("/usr/bin/bash", "bash -lc /usr/local/bin/app"),
            ("/usr/bin/bash", "bash -ce /usr/local/bin/app"),
            ("/usr/bin/bash", "bash -s /usr/local/bin/app"),
            ("/usr/bin/python3.11", "python3 -I -m /app"),
            ("/usr/bin/python3.11", "python3 -c /app"),
            ("/usr/bin/perl", "perl -ne /app/"),
            ("/usr/bin/node", "node --eval /app/"),
            ("/usr/bin/fish", "fish --command=x /app"),
            ("/usr/bin/mawk", "awk /app/ /var/log/syslog"),
            ("/bin/busybox", "vi /app"),
            ("/bin/busybox", "-sh -c /app"),
            ("/bin/sh", "sh"),
        ] {
            assert_eq!(of(exe, command), None, "{command}");
        }
        for (exe, command) in [
            ("/usr/bin/dash", "sh -e /app -c x"),
            ("/usr/bin/bash", "bash --login -- /app"),
            ("/usr/bin/python3.11", "python3 -u -E /app -m x"),
            ("/usr/bin/perl", "perl -w /app"),
            ("/usr/bin/gawk", "awk -f /app"),
            ("/bin/busybox", "/bin/sh /app"),
        ] {
            assert_eq!(of(exe, command).as_deref(), Some("/app"), "{command}");
        }
    }

    #[test]
    fn each_script_is_in_the_advice_as_a_shell_takes_it() {
        let row = |pid: u32, script: &str| {
            let (command, exe) = (format!("sh {script}"), Some("/usr/bin/dash".to_owned()));
            let (name, command) = ("sh".to_owned(), Some(command));
            (Pid::new(pid), Facts { name, command, exe, ..Facts::default() })
        };
        let facts = BTreeMap::from([row(1, "/srv/b"), row(2, "/srv/it's"), row(3, "/srv/b")]);
        let exe = Some(PathPattern::Glob("/srv/*".to_owned()));
        let selector = Selector::of_all(None, Conditions { exe, ..Conditions::default() });
        let said = misses(&selector, None, &only(&facts)).join("\n");
        assert!(said.ends_with(r": use --cmdline '/srv/b', --cmdline '/srv/it'\''s'"), "{said}");
    }

    #[test]
    fn a_space_at_an_end_is_named_if_it_is_the_reason() {
        let pattern =
            |regex: &str| of(Conditions { pattern: text(regex), ..Conditions::default() });
        assert_eq!(
            pattern("^su "),
            "\"^su \" ends with a space, which must match too: remove the space. Without it, 1 process \
             matches: 103 su"
        );
        assert!(pattern(" su").starts_with("\" su\" begins with a space"));
        // The space is not the reason, or not one.
        for regex in ["kafka ", " ", "su\\ ", " $", "x* "] {
            assert!(!pattern(regex).contains("with a space"), "{regex}");
        }
        let exe = text("/usr/bin/su ").map(PathPattern::Glob);
        let both = of(Conditions { exe, pattern: text("^su$"), ..Conditions::default() });
        assert!(both.starts_with("\"/usr/bin/su \" ends") && !both.contains('\n'), "{both}");
        let exe = text(" /usr/bin/su").map(PathPattern::Glob);
        let both = of(Conditions { exe, pattern: text("^su "), ..Conditions::default() });
        assert_eq!(
            both,
            "\"^su \" ends with a space and \" /usr/bin/su\" begins with a space, which must match too: \
             remove the spaces. Without them, 1 process matches: 103 su"
        );
        let user = |name: &str| Some(User::Named(name.to_owned()));
        let nobody = of(Conditions { user: user("kafka "), ..Conditions::default() });
        assert_eq!(nobody, "there is no user \"kafka \", which ends with a space");
        let reason = "pid file /run/x.pid : not found".to_owned();
        let by_file = Selector::new(None, Source::PidFile(b"/run/x.pid ".to_vec()));
        let by_file = misses(&by_file, Some(Err(reason)), &only(&BTreeMap::new()));
        assert_eq!(by_file[1..], ["the path of the pid file ends with a space"]);
        let kafka = said(&Selector::new(None, Source::Unit(systemd::expand("kafka "))));
        assert_eq!(kafka, "no unit that matches \"kafka \", with the space, is running");
        for name in ["postgres ", "108 "] {
            let by_user = of(Conditions { user: user(name), ..Conditions::default() });
            assert!(by_user.contains("ends with a space"), "{by_user}");
            assert!(by_user.contains("1 process matches: 100 postgres"), "{by_user}");
        }
        let unit = |name: &str| Selector::new(None, Source::Unit(systemd::expand(name)));
        for name in ["nginx ", "nginx.service ", "ngin* "] {
            let by_unit = said(&unit(name));
            let expected = format!("{name:?} ends with a space, which must match too: remove");
            assert!(by_unit.starts_with(&expected), "{by_unit}");
            assert!(by_unit.ends_with("Without it, it matches nginx.service"), "{by_unit}");
        }
        assert!(!said(&unit("postgresql ")).contains("with a space"), "it has no process");
        let glob = PathPattern::Glob(" system.slice/ngin*".to_owned());
        let by_path = said(&Selector::new(None, Source::ControlGroup(glob)));
        assert!(
            by_path.ends_with("Without it, it matches system.slice/nginx.service"),
            "{by_path}"
        );
    }

    #[test]
    fn of_several_conditions_the_one_that_fails_is_named_with_its_value() {
        let user = Some(User::Id(Uid(108)));
        let said = of(Conditions { cmdline: text("^su"), user, ..Conditions::default() });
        assert!(said.contains("1 process meets cmdline ^su"), "{said}");
        assert!(said.contains("1 process would match but for the user: 103 su (0)"), "{said}");
        assert!(said.contains("but for the command line: 100 postgres (postgres: check"), "{said}");
    }

    #[test]
    fn an_empty_unit_is_named_with_those_that_run() {
        let unit = Source::Unit("postgresql.service".to_owned());
        let said = said(&Selector::new(None, unit));
        assert!(said.contains("postgresql.service has no process"), "{said}");
        assert!(said.contains("run: postgresql@15-main.service (7 processes)"), "{said}");
        assert!(!said.contains("nginx"), "{said}");
    }

    #[test]
    fn what_matches_elsewhere_is_not_called_another_case() {
        let conditions = Conditions { pattern: text("^postgres$"), ..Conditions::default() };
        let in_place = |source| {
            said(&Selector { conditions: conditions.clone(), ..Selector::new(None, source) })
        };
        assert_eq!(
            in_place(Source::Unit("nginx.service".to_owned())),
            "1 process matches, but is not in unit nginx.service: 100 postgres"
        );
        assert_eq!(
            in_place(Source::PidFile(b"/run/\x1bx".to_vec())),
            "1 process matches, but is not the process in /run/?x: 100 postgres"
        );
        let said = of(conditions.clone());
        assert_eq!(
            said,
            "1 process matches now, and did not when the sample was taken: 100 postgres"
        );
    }

    #[test]
    fn a_source_without_conditions_says_nothing_of_processes() {
        assert_eq!(said(&Selector::new(None, Source::Pid(Pid::new(7)))), "");
    }

    #[test]
    fn many_units_are_not_all_named() {
        let facts = BTreeMap::new();
        let units: Vec<_> = (0..9).map(|number| (format!("web@{number}.service"), 1)).collect();
        let around = Surroundings { is_complete: false, units: &units, ..only(&facts) };
        let unit = Source::Unit("web.service".to_owned());
        let said = misses(&Selector::new(None, unit), None, &around);
        assert_eq!(
            said,
            [
                "units with a similar name run: web@0.service (1 process), web@1.service (1 process), \
                 web@2.service (1 process), and 6 more",
                "not all processes were looked at in time"
            ]
        );
    }

    #[test]
    fn nothing_near_is_said_too() {
        let said = of(Conditions { pattern: text("kafka"), ..Conditions::default() });
        assert_eq!(said, "no process has a name that matches kafka");
    }

    #[test]
    fn a_process_that_is_named_by_its_pid_is_said_with_what_is_wrong() {
        let facts = facts();
        let around = only(&facts);
        let named = |pid: u32, exe: &str| {
            let mut selector = Selector::new(Label::new(b"x"), Source::Pid(Pid::new(pid)));
            selector.conditions.exe = text(exe).map(PathPattern::Glob);
            misses(&selector, Some(Ok(Pid::new(pid))), &around).join("; ")
        };
        assert_eq!(named(7, "*"), "process 7 is not running");
        assert_eq!(
            named(103, "*/sudo"),
            "process 103 is su, and its executable is /usr/bin/su, which exe */sudo does not match"
        );
        let reason = "pid file /run/x.pid: not found".to_owned();
        let selector = Selector::new(None, Source::PidFile(b"/run/x.pid".to_vec()));
        assert_eq!(misses(&selector, Some(Err(reason.clone())), &around), [reason]);
    }
}
