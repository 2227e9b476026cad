//! What comes nearest to a unit or a control group.

use super::around::Surroundings;
use super::matching::{glob_of, path_of};
use super::spaces::{space_at, typed_unit};
use super::words::{first_of, paths_of, processes};
use crate::explain::facts::text_of;
use crate::select::selector::{PathPattern, Source};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Where a process must be, besides that it meets the conditions: `in unit nginx.service`.
pub(super) fn place(source: &Source) -> Option<String> {
    match source {
        Source::All | Source::Rest => None,
        Source::Pid(pid) => Some(format!("process {pid}")),
        Source::PidFile(path) => Some(format!("the process in {}", text_of(path))),
        Source::Unit(glob) => Some(format!("in unit {glob}")),
        Source::ControlGroup(glob) => Some(format!("in control group {glob}")),
    }
}

/// What comes nearest to a glob of paths of control groups.
pub(super) fn near_control_groups(
    pattern: &PathPattern,
    around: &Surroundings<'_>,
    said: &mut Vec<String>,
) {
    let shown = if pattern.glob() == Some("") { "/" } else { pattern.as_str() };
    let matches = path_of(pattern);
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

pub(super) fn near_units(glob: &str, around: &Surroundings<'_>, said: &mut Vec<String>) {
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
        let typed = typed_unit(glob);
        let shown = match space_at(&typed) {
            Some(_) => format!("{typed:?}, with the space,"),
            None => typed.into_owned(),
        };
        said.push(format!("no unit that matches {shown} is running"));
    }
}
