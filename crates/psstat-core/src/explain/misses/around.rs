//! What is running, and which processes meet conditions.

use super::matching::{path_of, regex_of};
use crate::explain::facts::Facts;
use crate::model::units::Pid;
use crate::select::selector::{Conditions, User};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

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

pub(super) fn all<'a>(
    around: &Surroundings<'a>,
    holds: impl Fn(&Facts) -> bool,
) -> Vec<(Pid, &'a Facts)> {
    let all = around.facts.iter().filter(|(_, facts)| holds(facts));
    all.map(|(&pid, facts)| (pid, facts)).collect()
}

/// How one condition is checked: whether a process meets it, and the value that it has instead, if that may be
/// read.
pub(super) struct Check<'c> {
    pub(super) name: &'static str,
    pub(super) wanted: String,
    pub(super) meets: Of<'c, bool>,
    pub(super) value: Of<'c, Option<String>>,
}

/// Something of a process.
type Of<'c, T> = Box<dyn Fn(&Facts) -> T + 'c>;

pub(super) fn checks<'c>(
    conditions: &'c Conditions,
    around: &'c Surroundings<'_>,
) -> Vec<Check<'c>> {
    let mut checks: Vec<Check<'c>> = Vec::new();
    if let Some(text) = conditions.pattern.as_deref() {
        let matches = regex_of(text);
        checks.push(Check {
            name: "name",
            wanted: format!("pattern {text}"),
            meets: Box::new(move |facts| matches(&facts.name)),
            value: Box::new(|facts| Some(facts.name.clone())),
        });
    }
    if let Some(text) = conditions.cmdline.as_deref() {
        let matches = regex_of(text);
        checks.push(Check {
            name: "command line",
            wanted: format!("cmdline {text}"),
            meets: Box::new(move |facts| {
                facts.command.as_ref().is_some_and(|command| matches(command))
            }),
            value: Box::new(|facts| facts.command.clone()),
        });
    }
    if let Some(pattern) = &conditions.exe {
        let matches = path_of(pattern);
        checks.push(Check {
            name: "executable",
            wanted: format!("{} {pattern}", pattern.key("exe", "exe_regex")),
            meets: Box::new(move |facts| facts.exe.as_ref().is_some_and(|exe| matches(exe))),
            value: Box::new(|facts| facts.exe.clone()),
        });
    }
    if let Some(user) = &conditions.user {
        let name_of = |facts: &Facts| {
            let uid = facts.user?;
            Some(around.users.get(&uid).cloned().unwrap_or_else(|| uid.to_string()))
        };
        checks.push(Check {
            name: "user",
            wanted: format!("user {user}"),
            meets: Box::new(move |facts| match user {
                User::Id(uid) | User::Named { id: Some(uid), .. } => facts.user == Some(uid.0),
                User::Named { name, id: None } => name_of(facts).as_ref() == Some(name),
            }),
            value: Box::new(name_of),
        });
    }
    checks
}
