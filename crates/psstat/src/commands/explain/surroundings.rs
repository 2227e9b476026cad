//! What is running, to say what comes nearest to a selector that matches nothing.

use psstat_core::account::sets::SetId;
use psstat_core::engine::Sample;
use psstat_core::explain::GroupView;
use psstat_core::explain::facts::{self, Facts};
use psstat_core::explain::misses::around::Surroundings;
use psstat_core::explain::misses::misses;
use psstat_core::kernel::{Kernel, Wanted};
use psstat_core::model::control_group::with_below;
use psstat_core::model::pid_file::PidFileError;
use psstat_core::model::process::Process;
use psstat_core::model::units::Pid;
use psstat_core::plan::Plan;
use psstat_core::select::selector::{PathPattern, Selector, Source};
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
    control_groups: Vec<(String, usize)>,
    users: &'n BTreeMap<u32, String>,
    /// The only group of each process that is in one, if each belongs to one at most.
    owners: BTreeMap<Pid, String>,
}

impl<'n> Near<'n> {
    /// Looks at all processes and units. `now` is the sample that is explained.
    pub fn look(
        kernel: &impl Kernel,
        plan: &Plan,
        now: &Sample,
        users: &'n BTreeMap<u32, String>,
    ) -> Near<'n> {
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
        let [units, control_groups] = control_groups(kernel);
        let owners = if plan.is_exclusive() { owners(now) } else { BTreeMap::new() };
        Near { facts, is_complete, units, control_groups, users, owners }
    }

    /// For each group: what comes nearest to its selectors that pick no process.
    pub fn misses(
        &self,
        kernel: &impl Kernel,
        plan: &Plan,
        groups: &[GroupView],
    ) -> Vec<Vec<String>> {
        let Near { facts, is_complete, units, control_groups, users, owners } = self;
        let is_complete = *is_complete;
        let around = Surroundings { facts, is_complete, units, control_groups, users, owners };
        let of_group = |group: &GroupView| {
            // If there are several, it must be said which.
            let is_alone = group.selector_indices.len() == 1;
            let near = |selector: &Selector| -> Vec<String> {
                let said = link(selector).into_iter();
                let said = said.chain(misses(selector, named(kernel, selector), &around));
                let with_selector = |one: String| {
                    let terms = selector.terms_and_place();
                    if is_alone { one } else { format!("{terms} matches nothing: {one}") }
                };
                said.map(with_selector).collect()
            };
            group.idle.iter().map(|&index| &plan.selectors[index]).flat_map(near).collect()
        };
        groups.iter().map(of_group).collect()
    }
}

/// The first group of each process that is in one.
fn owners(now: &Sample) -> BTreeMap<Pid, String> {
    let processes = now.snapshot.processes.iter().zip(&now.membership.members);
    let owner = |(process, &set): (&Process, &SetId)| {
        let first = now.membership.sets.groups(set).next()?;
        let group = now.groups.get(first.group as usize)?;
        Some((process.id.pid, group.label.to_string()))
    };
    processes.filter_map(owner).collect()
}

/// The process that a selector names by its pid, or why that is not known.
fn named(kernel: &impl Kernel, selector: &Selector) -> Option<Result<Pid, String>> {
    match &selector.source {
        Source::Pid(pid) => Some(Ok(*pid)),
        Source::PidFile(path) => {
            let found = kernel.pid_files(path).map(|found| found.into_iter().next());
            let file = found.and_then(|path| path.ok_or(PidFileError::NoMatch));
            let file = file.and_then(|path| kernel.pid_file(&path)).map(|file| file.pid);
            Some(file.map_err(|error| format!("pid file {}: {error}", facts::text_of(path))))
        }
        _ => None,
    }
}

/// That a path of an executable is a link. psstat matches the path that the link leads to.
fn link(selector: &Selector) -> Option<String> {
    let exe = selector.conditions.exe.as_ref().and_then(PathPattern::glob);
    let path = exe.filter(|path| path.starts_with('/') && !systemd::is_glob(path))?;
    let target = std::fs::canonicalize(path).ok().filter(|target| target != Path::new(path))?;
    let target = facts::text_of(target.as_os_str().as_bytes());
    Some(format!("{path} is a link to {target}, which --exe matches: write {target}"))
}

/// All units and all control groups in sight, each with the number of processes in it and below it.
fn control_groups(kernel: &impl Kernel) -> [Vec<(String, usize)>; 2] {
    let wanted = Wanted { pick: &|_, _| vec![0], units: true, below: &|_| true, figures: &[] };
    let hierarchy = kernel.control_groups(wanted);
    let groups = hierarchy.map(|hierarchy| hierarchy.groups).unwrap_or_default();
    let count = |index: usize| -> usize {
        with_below(&groups, index).iter().map(|group| group.pids.len()).sum()
    };
    let (mut units, mut paths) = (Vec::new(), Vec::new());
    for (index, group) in groups.iter().enumerate() {
        let count = count(index);
        paths.push((facts::text_of(&group.path), count));
        let id = group.unit.as_ref().map(|id| facts::text_of(id));
        units.extend(id.filter(|id| !id.ends_with(".slice")).map(|id| (id, count)));
    }
    [units, paths]
}
