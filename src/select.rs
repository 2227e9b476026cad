//! From a plan and the processes to the roots of each group. Pure: whoever reads command lines
//! and pid files hands in what they say.

use crate::plan::{Plan, Selector, Source};
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

/// What identifies a job: its selectors, spelled out, so that two spellings of the same job are
/// one and no two jobs are.
pub fn job_key(selectors: &[Selector]) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let mut key = Vec::new();
    for selector in selectors {
        let number;
        let (kind, value): (&str, &[u8]) = match &selector.source {
            Source::Pid(pid) => {
                number = pid.to_string();
                ("pid", number.as_bytes())
            }
            Source::PidFile(path) => ("pid-file", path.as_os_str().as_bytes()),
            Source::Pattern(regex) => ("pattern", regex.as_bytes()),
            Source::Cmdline(regex) => ("cmdline", regex.as_bytes()),
            Source::Exe(glob) => ("exe", glob.as_bytes()),
            Source::User(uid) => {
                number = uid.0.to_string();
                ("user", number.as_bytes())
            }
        };
        let name = selector.name.as_ref().map_or("", |name| name.as_str());
        for part in [kind.as_bytes(), name.as_bytes(), value] {
            key.extend_from_slice(part);
            // No part holds a NUL: none can be typed.
            key.push(0);
        }
    }
    key
}
