//! From a plan and the processes to the roots of each group. Pure: whoever reads command lines
//! and pid files hands in what they say.

use crate::plan::{Plan, Source};
use crate::sample::{Names, Snapshot};
use crate::units::Pid;

/// A process that a selector picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// Place of the selector in the plan.
    pub selector: usize,
    /// Place of the process in the snapshot.
    pub process: usize,
}

/// The roots that names pick. `own` is psstat itself, which is never one.
pub fn by_name(plan: &Plan, snapshot: &Snapshot, own: Option<Pid>) -> Vec<Root> {
    if plan.patterns.is_empty() {
        return Vec::new();
    }
    // Each name is matched once, however many processes bear it.
    let hits: Vec<Vec<usize>> =
        snapshot.names.texts().map(|name| plan.patterns.matches(name).collect()).collect();
    let mut roots = Vec::new();
    for (place, process) in snapshot.processes.iter().enumerate() {
        if Some(process.id.pid) != own {
            let selectors = hits[Names::place(process.comm)].iter();
            roots.extend(selectors.map(|&selector| Root { selector, process: place }));
        }
    }
    roots
}

/// The root that a pid picks, where that process is there.
pub fn by_pid(selector: usize, pid: Pid, snapshot: &Snapshot) -> Option<Root> {
    snapshot.find(pid).map(|process| Root { selector, process })
}

/// The selectors that pick a control group, from its path and the id of the unit that it is.
pub fn by_control_group(plan: &Plan, path: &[u8], unit: Option<&[u8]>) -> Vec<usize> {
    let mut selectors: Vec<usize> = Vec::new();
    if let Some(id) = unit.filter(|_| !plan.units.is_empty()) {
        selectors.extend(plan.units.matches(id));
    }
    if path.is_empty() {
        // The root is not below itself: no glob means it, but `/` alone.
        let is_root =
            |source: &Source| matches!(source, Source::ControlGroup(glob) if glob.is_empty());
        let picked =
            plan.selectors.iter().enumerate().filter(|(_, picked)| is_root(&picked.source));
        selectors.extend(picked.map(|(selector, _)| selector));
    } else if !plan.control_groups.is_empty() {
        selectors.extend(plan.control_groups.matches(path));
    }
    selectors
}
