//! Processes that may have left a group.
//!
//! A daemon that is started twice over (fork, fork, and the one in between ends) has another parent than the
//! process that started it: process 1, or a process that takes over orphans (`PR_SET_CHILD_SUBREAPER`, prctl(2)).
//! It is no descendant of the group any more. The kernel does not say where it came from, but it does say that
//!
//! - its parent is above the group: orphans are handed upwards;
//! - it started after the group;
//! - it is in the control group of a member, because a process is born into that of its parent.
//!
//! If it also resembles a member, it may belong to the group.

use super::facts::{self, Facts, text_of};
use super::misses::named::cures;
use super::{GroupView, Row};
use crate::engine::Sample;
use crate::kernel::Kernel;
use crate::model::buffer::Buffer;
use crate::model::collect;
use crate::model::label::excerpt;
use crate::model::process::Kinship;
use crate::model::units::{Pid, Ticks};
use crate::parse::cgroupfs;
use crate::plan::Plan;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// So many members of a group are compared with.
const MEMBERS: usize = 100;

/// So many processes of a group are told.
const TOLD: usize = 3;

/// What `stat` says of a process.
#[derive(Clone, Copy)]
struct Brief {
    parent: Pid,
    start: Ticks,
}

/// For each group, in the order given: sentences about the processes that may have left it. `now` is the sample
/// that the groups were drawn from.
pub fn notes(
    kernel: &impl Kernel,
    plan: &Plan,
    now: &Sample,
    groups: &[GroupView],
) -> Vec<Vec<String>> {
    let is_looked_at = |group: &GroupView| {
        let mut selectors = group.selector_indices.iter().map(|&index| &plan.selectors[index]);
        selectors.any(|selector| selector.children && !selector.takes_control_groups())
            && !group.rows.is_empty()
    };
    if !groups.iter().any(is_looked_at) {
        return alloc::vec![Vec::new(); groups.len()];
    }
    let around = Around { kernel, taken: taken(now), own: own(kernel), all: all(kernel) };
    let of_group =
        |group| if is_looked_at(group) { around.of_group(&group.rows) } else { Vec::new() };
    groups.iter().map(of_group).collect()
}

/// The processes that are in a group.
fn taken(now: &Sample) -> BTreeSet<Pid> {
    let processes = now.snapshot.processes.iter().zip(&now.membership.members);
    let taken = processes.filter(|&(_, &set)| now.membership.sets.groups(set).next().is_some());
    collect::set(taken.map(|(process, _)| process.id.pid))
}

/// psstat and what runs it.
fn own(kernel: &impl Kernel) -> BTreeSet<Pid> {
    collect::set(kernel.own_line().into_iter().map(|id| id.pid))
}

/// All processes, as far as there is time.
fn all(kernel: &impl Kernel) -> BTreeMap<Pid, Brief> {
    let (mut pids, mut buffer, mut all) = (Vec::new(), Buffer::default(), BTreeMap::new());
    // What cannot be listed is not told.
    let _ = kernel.pids(&mut pids);
    for pid in pids {
        if kernel.out_of_time() {
            break;
        }
        if let Ok(stat) = kernel.stat(pid, &mut buffer) {
            all.insert(pid, Brief { parent: stat.parent, start: stat.start });
        }
    }
    all
}

struct Around<'a, K> {
    kernel: &'a K,
    taken: BTreeSet<Pid>,
    own: BTreeSet<Pid>,
    all: BTreeMap<Pid, Brief>,
}

/// What says that a process may have left a group, the strongest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Evidence {
    Session,
    ProcessGroup,
    Executable,
    Name,
    Unit,
}

/// A process, and what it can be told by.
struct Traits {
    pid: Pid,
    facts: Facts,
    control_group: Option<String>,
}

impl<K: Kernel> Around<'_, K> {
    fn of_group(&self, rows: &[Row]) -> Vec<String> {
        let roots: Vec<Pid> = rows.iter().filter(|row| row.depth == 0).map(|row| row.pid).collect();
        let parents = collect::set(roots.iter().filter_map(|&pid| self.parent(pid)));
        let above = self.above(&parents);
        let starts = rows.iter().filter_map(|row| self.all.get(&row.pid)).map(|brief| brief.start);
        let Some(first) = starts.min() else { return Vec::new() };
        let is_candidate = |(pid, brief): &(&Pid, &Brief)| {
            above.contains(&brief.parent)
                && brief.start >= first
                && !self.taken.contains(pid)
                && !self.own.contains(pid)
        };
        let mut candidates = self.all.iter().filter(is_candidate).peekable();
        if candidates.peek().is_none() {
            return Vec::new();
        }
        let members = rows.iter().take(MEMBERS).filter_map(|row| self.traits(row.pid));
        let members: Vec<Traits> = members.collect();
        let mut found = Vec::new();
        for (&pid, brief) in candidates {
            let Some(one) = self.traits(pid) else { continue };
            let is_orphan = brief.parent == Pid::INIT
                || !parents.contains(&brief.parent)
                || self.has_lost_its_leader(&one);
            let reason = Some(&one).filter(|_| is_orphan);
            let reason = reason.and_then(|one| self.reason(one, &members));
            found.extend(reason.map(|reason| (reason, brief.parent, one)));
        }
        found.sort_by_key(|((evidence, _), _, one)| (*evidence, one.pid));
        let say = |((_, reason), parent, one): &((Evidence, String), Pid, Traits)| {
            let Traits { pid, facts, control_group } = one;
            let unit = control_group.as_deref().and_then(unit_of);
            let command = facts.command.as_deref().filter(|command| !command.is_empty());
            let command = command.map(|command| format!(" ({})", excerpt(command)));
            format!(
                "{pid} {}{}: its parent is process {parent}, and {reason}: {}",
                facts.name,
                command.unwrap_or_default(),
                cures(unit, facts)
            )
        };
        let mut said: Vec<String> = found.iter().take(TOLD).map(say).collect();
        if found.len() > TOLD {
            said.push(format!("{} more", found.len() - TOLD));
        }
        said
    }

    fn parent(&self, pid: Pid) -> Option<Pid> {
        self.all.get(&pid).map(|brief| brief.parent)
    }

    /// These processes and all above them.
    fn above(&self, parents: &BTreeSet<Pid>) -> BTreeSet<Pid> {
        let mut above = BTreeSet::new();
        for &parent in parents {
            let mut next = Some(parent);
            while let Some(pid) = next.filter(|&pid| pid != Pid::NONE && above.insert(pid)) {
                next = self.parent(pid);
            }
        }
        above
    }

    /// `None` if the process has ended, there is no time, or it is a thread of the kernel.
    fn traits(&self, pid: Pid) -> Option<Traits> {
        let (mut known, _) = facts::read(self.kernel, [pid].into_iter());
        let facts = known.remove(&pid)?;
        if facts.kinship.is_some_and(|kinship| kinship.is_kernel_thread) {
            return None;
        }
        let text = self.kernel.cgroup(pid).ok();
        let control_group = text.as_deref().and_then(cgroupfs::cgroup_path).map(text_of);
        Some(Traits { pid, facts, control_group })
    }

    /// Whether the process that made its session or its process group has ended: its parent may have done so too.
    fn has_lost_its_leader(&self, one: &Traits) -> bool {
        let is_gone = |pid: Pid| pid != Pid::NONE && !self.all.contains_key(&pid);
        one.facts.kinship.is_some_and(|kinship| is_gone(kinship.group) || is_gone(kinship.session))
    }

    /// The strongest that a process and a member have in common, and what that is in words.
    fn reason(&self, one: &Traits, members: &[Traits]) -> Option<(Evidence, String)> {
        // A process is born into the control group of its parent. The root says nothing.
        let in_same = |member: &&Traits| match (&member.control_group, &one.control_group) {
            (Some(theirs), Some(own)) => is_below(own, theirs),
            _ => true,
        };
        let near: Vec<&Traits> = members.iter().filter(in_same).collect();
        // A member has made the session or process group, or who made it is gone.
        let share = |of: fn(Kinship) -> Pid| {
            let leader = one.facts.kinship.map(of).filter(|&leader| leader != Pid::NONE)?;
            let is_gone = !self.all.contains_key(&leader);
            let is_known = is_gone || members.iter().any(|member| member.pid == leader);
            let is_in = |member: &&&Traits| member.facts.kinship.map(of) == Some(leader);
            near.iter().filter(|_| is_known).find(is_in).map(|member| member.pid)
        };
        if let Some(pid) = share(|kinship| kinship.session) {
            return Some((Evidence::Session, format!("it is in the session of {pid}")));
        }
        if let Some(pid) = share(|kinship| kinship.group) {
            return Some((Evidence::ProcessGroup, format!("it is in the process group of {pid}")));
        }
        // Many processes run the same interpreter and do something else.
        let like: Vec<&&Traits> =
            near.iter().filter(|member| is_alike(&one.facts, &member.facts)).collect();
        let exe = one.facts.exe.as_ref();
        if let Some(exe) = exe
            && let Some(member) = like.iter().find(|member| member.facts.exe.as_ref() == Some(exe))
        {
            let reason = format!("it runs the same executable as {} ({exe})", member.pid);
            return Some((Evidence::Executable, reason));
        }
        let has_its_name = |member: &&&&Traits| {
            member.facts.name == one.facts.name && member.facts.user == one.facts.user
        };
        if let Some(member) = like.iter().find(has_its_name) {
            let reason = format!("it has the name and the user of {}", member.pid);
            return Some((Evidence::Name, reason));
        }
        let unit = one.control_group.as_deref().and_then(unit_of)?;
        near.iter()
            .find(|member| member.control_group.as_deref().and_then(unit_of) == Some(unit))
            .map(|member| (Evidence::Unit, format!("it is in the unit of {}", member.pid)))
    }
}

/// Whether the command lines of two processes begin alike: the program and its first argument, or the title that a
/// program gives itself, as in `nginx: worker process`.
fn is_alike(one: &Facts, other: &Facts) -> bool {
    let beginning = |facts: &Facts| -> Vec<String> {
        let command = facts.command.as_deref().unwrap_or_default();
        let mut words = command.split(' ');
        let first = words.next().unwrap_or_default();
        let second = words.next().filter(|_| !first.ends_with(':'));
        [Some(first), second].into_iter().flatten().map(ToString::to_string).collect()
    };
    beginning(one) == beginning(other)
}

/// Whether a control group is another one or below it.
fn is_below(path: &str, other: &str) -> bool {
    match path.strip_prefix(other) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || other.is_empty(),
        None => false,
    }
}

/// The service in a path of a control group. A login has a scope, in which whatever the user starts is.
fn unit_of(path: &str) -> Option<&str> {
    let is_service = |part: &&str| part.ends_with(".service") && !part.starts_with("user@");
    path.split('/').find(is_service)
}
