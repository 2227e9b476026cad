//! What is running, to say what comes nearest to a selector that matches nothing.

use psstat_core::explain::GroupView;
use psstat_core::explain::facts::{self, Facts};
use psstat_core::explain::misses::{Surroundings, misses};
use psstat_core::kernel::{Kernel, Wanted};
use psstat_core::model::units::Pid;
use psstat_core::plan::Plan;
use psstat_core::select::selector::{Selector, Source};
use psstat_core::select::systemd;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Everything that is running.
pub struct Near<'n> {
    facts: BTreeMap<Pid, Facts>,
    /// Whether there was time to look at all processes.
    is_complete: bool,
    units: Vec<(String, usize)>,
    users: &'n BTreeMap<u32, String>,
}

impl<'n> Near<'n> {
    /// Looks at all processes and units.
    pub fn look(kernel: &impl Kernel, users: &'n BTreeMap<u32, String>) -> Near<'n> {
        let mut pids = Vec::new();
        // What cannot be listed is not near.
        let _ = kernel.pids(&mut pids);
        // psstat and what runs it have the selectors in their command lines.
        let own = kernel.own_line();
        pids.retain(|pid| !own.iter().any(|id| id.pid == *pid));
        let (mut facts, is_complete) = facts::read(kernel, pids.into_iter());
        let is_psstat = |pid: Pid, facts: &Facts| {
            facts.name.starts_with("psstat") && kernel.is_psstat(pid).unwrap_or(false)
        };
        facts.retain(|&pid, facts| !is_psstat(pid, facts));
        Near { facts, is_complete, units: units(kernel), users }
    }

    /// For each group: what comes nearest to its selectors, if it has no process.
    pub fn misses(
        &self,
        kernel: &impl Kernel,
        plan: &Plan,
        groups: &[GroupView],
    ) -> Vec<Vec<String>> {
        let Near { facts, is_complete, units, users } = self;
        let around = Surroundings { facts, is_complete: *is_complete, units, users };
        let of_group = |group: &GroupView| {
            if !group.is_empty() {
                return Vec::new();
            }
            let selectors = group.selector_indices.iter().map(|&index| &plan.selectors[index]);
            let near = |selector: &Selector| {
                let mut said = Vec::from_iter(link(selector));
                said.extend(misses(selector, named(kernel, selector), &around));
                said
            };
            selectors.flat_map(near).collect()
        };
        groups.iter().map(of_group).collect()
    }
}

/// The process that a selector names by its pid, or why that is not known.
fn named(kernel: &impl Kernel, selector: &Selector) -> Option<Result<Pid, String>> {
    match &selector.source {
        Source::Pid(pid) => Some(Ok(*pid)),
        Source::PidFile(path) => {
            let file = kernel.pid_file(path).map(|file| file.pid);
            Some(file.map_err(|error| format!("pid file {}: {error}", facts::text_of(path))))
        }
        _ => None,
    }
}

/// That a path of an executable is a link. psstat matches the path that the link leads to.
fn link(selector: &Selector) -> Option<String> {
    let path = selector.conditions.exe.as_ref().filter(|path| !systemd::is_glob(path))?;
    let target = std::fs::canonicalize(path).ok().filter(|target| target != Path::new(path))?;
    let target = facts::text_of(target.as_os_str().as_bytes());
    Some(format!("{path} is a link to {target}, which --exe matches: write {target}"))
}

/// The ids of all units in sight, and how many processes are in each and below it.
fn units(kernel: &impl Kernel) -> Vec<(String, usize)> {
    let pick = |_: &[u8], unit: Option<&[u8]>| Vec::from_iter(unit.map(|_| 0));
    let hierarchy =
        kernel.control_groups(Wanted { pick: &pick, units: true, below: &|_| false, figures: &[] });
    let groups = hierarchy.map(|hierarchy| hierarchy.groups).unwrap_or_default();
    let count = |index: usize| -> usize {
        groups[index..groups[index].end].iter().map(|group| group.pids.len()).sum()
    };
    let units = groups.iter().enumerate().filter_map(|(index, group)| {
        let id = facts::text_of(group.unit.as_ref()?);
        let is_slice = id.rsplit('.').next() == Some("slice");
        (!is_slice).then(|| (id, count(index)))
    });
    units.collect()
}
