//! What is wrong with the process that a selector names by its pid.

use super::around::{Surroundings, all, checks};
use super::words::{examples, named_of, processes, quoted, these};
use crate::explain::facts::{Facts, text_of};
use crate::model::units::Pid;
use crate::select::selector::Selector;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// What is wrong with the process that a selector names by its pid.
pub(super) fn near_named(
    pid: Pid,
    selector: &Selector,
    around: &Surroundings<'_>,
    said: &mut Vec<String>,
) {
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
        let value = match (check.value)(facts) {
            Some(value) if value.is_empty() => "is empty".to_string(),
            Some(value) => format!("is {value}, which {} does not match", check.wanted),
            None => "cannot be read".to_string(),
        };
        said.push(format!("process {pid} is {}, and its {} {value}", facts.name, check.name));
    }
}

/// How to select a process that may have left a group. `unit` is its unit, if it has one.
pub fn cures(unit: Option<&str>, facts: &Facts) -> String {
    let unit = unit.map_or_else(String::new, |unit| format!("--systemd {unit}, "));
    let pattern = quoted(&format!("^{}$", facts.name));
    format!("to count it, use {unit}--pid-file with its pid file, or --pattern {pattern}")
}

/// A process with the name of a pid file that names no running process: `nginx` for `/run/nginx.pid`.
pub(super) fn near_pid_file(path: &[u8], around: &Surroundings<'_>, said: &mut Vec<String>) {
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
            these(found.len(), "is", "are"),
            examples(&found, named_of),
            cures(None, first)
        ));
    }
}
