//! `psstat check`: shows what a job would measure, and how many processes each group has now.

use super::relay::{self, Turn, Watch};
use crate::deadline::{Deadline, Stop};
use crate::error::Error;
use crate::files::{output, pid_file};
use crate::job::{Baseline, Job};
use crate::machine::Machine;
use crate::messages::Messages;
use crate::users::{self, Getent};
use psstat_core::account::group::{Group, PickedControlGroup};
use psstat_core::diagnostics::Warning;
use psstat_core::engine::{Engine, Sample};
use psstat_core::field::{Field, Fields};
use psstat_core::model::label::printable;
use psstat_core::model::process::Life;
use psstat_core::plan::Plan;
use psstat_core::select::selector::{Selector, User};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Prints what the job would measure, and warns of mistakes. That there is a job means that command line and file are
/// valid. It stays valid if the processes cannot be counted, because it may be for another machine.
///
/// # Errors
/// If standard output cannot be written.
pub fn run(job: Job) -> Result<(), Error> {
    // The members are enough. So nothing is read of them.
    let plan = Plan { fields: Fields::new([Field::Processes]), ..job.plan.clone() };
    let can_block = plan.asks_processes() || pid_file::may_block(plan.pid_files());
    let timeout = job.timeout;
    let deadline = Deadline::after(timeout);
    let session = Session { job, plan, deadline, getent: Getent::default() };
    relay::run(session, Watch { can_block, timeout, stop: Stop::default() }, check)
}

/// What another thread needs to go on.
struct Session {
    job: Job,
    /// What to look at.
    plan: Plan,
    deadline: Deadline,
    getent: Getent,
}

fn check(turn: &Turn<Session>) -> Result<(), Error> {
    let Some(session) = turn.begin() else { return Ok(()) };
    let Job { mounts, multi_threaded, timeout, .. } = &session.job;
    let timeout = *timeout;
    let machine = Machine::open(mounts, *multi_threaded, session.deadline.clone(), turn.reads());
    let (job, plan, taken) = match machine {
        Err(error) => (session.job, session.plan, Err(error.into())),
        Ok(machine) => {
            let machine = machine.with_getent(&session.getent);
            let mut engine = Engine::new(machine, session.plan.clone());
            let Some((session, taken)) = turn.sample(session, || engine.sample(None)) else {
                return Ok(());
            };
            let taken = taken.map_err(|error| Error::of_sample(error, timeout));
            (session.job, engine.plan().clone(), taken)
        }
    };
    let mut messages = Messages::about(&job.mounts);
    messages.warn_of(&job.mistakes);
    // The sample is of processes alone.
    let pointless = job.plan.pointless_fields();
    if !pointless.is_empty() {
        messages.warn(Warning::OnlyOfControlGroups(pointless).to_string());
    }
    match &taken {
        Ok(sample) => messages.add(&sample.diagnostics),
        Err(error) => {
            messages.warn(format!("the processes of the groups were not counted: {error}"))
        }
    }
    let counted = taken.ok().map(Counted::new);
    output::print(summary(&job, &plan, counted.as_ref()).as_bytes())?;
    messages.write();
    Ok(())
}

/// A sample, and the number of processes of each group.
struct Counted {
    sample: Sample,
    /// By the index of the group. Those that cannot be read are counted too.
    processes: Vec<u64>,
    /// How many processes two groups have in common, by the indices of the groups.
    common: BTreeMap<(usize, usize), u64>,
}

impl Counted {
    fn new(sample: Sample) -> Counted {
        let is_alive = |process: usize| sample.snapshot.processes[process].life == Life::Alive;
        let counts = sample.membership.count(sample.groups.len(), is_alive);
        let counts = sample.groups.iter().zip(counts);
        let processes = counts.map(|(group, count)| count as u64 + group.foreign).collect();
        let common = common(&sample);
        Counted { sample, processes, common }
    }

    /// The groups that have processes in common with a group, and how many.
    fn overlaps(&self, group: &Group) -> Vec<String> {
        let of_group = self.common.range((group.index, 0)..(group.index + 1, 0));
        let other = |(&(_, other), count): (&(usize, usize), &u64)| {
            let label = self.sample.groups.get(other).map(|other| other.label.to_string());
            format!(
                "{} with {}",
                counted_as(*count, "process", "processes"),
                label.unwrap_or_default()
            )
        };
        of_group.take(MOST_LISTED).map(other).collect()
    }
}

/// How many processes groups have in common with each other. Of a process that is in many groups, some count.
fn common(sample: &Sample) -> BTreeMap<(usize, usize), u64> {
    let mut common = BTreeMap::new();
    for &set in &sample.membership.members {
        let groups = sample.membership.sets.groups(set).map(|set| set.group as usize);
        let groups: Vec<usize> = groups.take(MOST_LISTED).collect();
        for &one in &groups {
            for &other in groups.iter().filter(|&&other| other != one) {
                *common.entry((one, other)).or_default() += 1;
            }
        }
    }
    common
}

/// Selector by selector, with the tags of its lines. An option that has slipped below `[tags]` is
/// visible there. `looked_up` is the plan with the users that were found meanwhile.
fn summary(job: &Job, looked_up: &Plan, counted: Option<&Counted>) -> String {
    let plan = &job.plan;
    let mut text = String::from("valid; psstat would measure\n");
    let has_own_fields = plan.fields_of.iter().any(|fields| *fields != plan.fields);
    let selectors = plan.selectors.iter().zip(&plan.tags).enumerate();
    for (index, (selector, tags)) in selectors.filter(|(index, _)| !plan.hides(*index)) {
        let place = selector.place.as_ref().map_or_else(String::new, |place| format!(" ({place})"));
        text += &format!("  {selector}{place}\n");
        let known = looked_up.selectors[index].conditions.user.as_ref();
        if let Some(known) = known {
            text += &format!("    user: {}\n", user(known));
        }
        let parts = parts(plan, selector);
        if parts > 1 {
            text += &format!("    one group of {parts} selectors with the same name\n");
        }
        if let Some(counted) = counted {
            text += &format!("    now: {}\n", now(selector, index, counted));
            let groups = counted.sample.groups.iter();
            let of_selector = groups.filter(|group| group.selector == index && group.named);
            for overlap in of_selector.flat_map(|group| counted.overlaps(group)) {
                text += &format!("    in common: {overlap}\n");
            }
        }
        let tags: Vec<String> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        text += &format!("    tags: {}\n", tags.join(", "));
        if has_own_fields {
            text += &format!("    fields: {}\n", names(&plan.fields_of[index]));
        }
    }
    let fields =
        if has_own_fields { "those of each group".to_owned() } else { names(&plan.fields) };
    text += &format!("  fields: {fields}; memory: {}\n", plan.memory.name());
    text += &format!("  {}\n", running(job).join("; "));
    if !job.files.is_empty() {
        text += &format!("  files: {}\n", list(&job.files));
    }
    text
}

fn names(fields: &Fields) -> String {
    let names: Vec<&str> = fields.as_slice().iter().map(|field| field.name()).collect();
    names.join(", ")
}

fn list(files: &[PathBuf]) -> String {
    let mut text = String::new();
    for (index, file) in files.iter().enumerate() {
        text.push_str(if index > 0 { ", " } else { "" });
        printable(file.as_os_str().as_bytes(), &mut text);
    }
    text
}

/// The name and the id of a user.
fn user(user: &User) -> String {
    match user {
        User::Named { name, id: Some(uid) } => format!("{name}, uid {}", uid.0),
        User::Named { name, id: None } => format!("{name} is unknown"),
        User::Id(uid) => match users::name_of(*uid) {
            Some(name) => format!("{name}, uid {}", uid.0),
            None => format!("uid {}, without a name in {}", uid.0, users::passwd().display()),
        },
    }
}

/// How many selectors make the group of this one.
fn parts(plan: &Plan, selector: &Selector) -> usize {
    let is_part = |other: &&Selector| other.name().is_some() && other.name() == selector.name();
    plan.selectors.iter().filter(is_part).count()
}

/// So many groups of a selector without a name are listed.
const MOST_LISTED: usize = 10;

/// What a selector picks now.
fn now(selector: &Selector, index: usize, counted: &Counted) -> String {
    let Counted { sample, processes, .. } = counted;
    let Some(name) = selector.name() else {
        let is_own = |group: &&Group| !group.named && group.is_picked_by(index);
        let own: Vec<&Group> = sample.groups.iter().filter(is_own).collect();
        if own.is_empty() {
            return "no group, because nothing matches".to_owned();
        }
        let listed = own.iter().take(MOST_LISTED);
        let listed = listed.map(|group| format!("{}: {}", group.label, size(group, processes)));
        let listed = listed.collect::<Vec<_>>().join(", ");
        let rest = own.len().saturating_sub(MOST_LISTED);
        let rest = if rest > 0 { format!(", and {rest} more") } else { String::new() };
        return format!("{}: {listed}{rest}", counted_as(own.len() as u64, "group", "groups"));
    };
    // A group with a name is always there.
    let Some(group) = sample.groups.iter().find(|group| group.label == *name) else {
        return "not known".to_owned();
    };
    let size = size(group, processes);
    if group.doubt.is_some() {
        return size;
    }
    if selector.takes_control_groups() {
        let picks = |picked: &&PickedControlGroup| picked.selectors.contains(&index);
        let count = group.control_groups.iter().filter(picks).count() as u64;
        return format!("{size}; picks {}", counted_as(count, "control group", "control groups"));
    }
    let count = group.roots.iter().filter(|root| root.selector == index).count() as u64;
    format!("{size}; matches {}", counted_as(count, "process", "processes"))
}

/// How many processes a group has, if that is known.
fn size(group: &Group, processes: &[u64]) -> String {
    match group.doubt {
        Some(_) => "not known (a W! says why)".to_owned(),
        None => counted_as(processes[group.index], "process", "processes"),
    }
}

fn counted_as(count: u64, one: &str, many: &str) -> String {
    match count {
        0 => format!("no {one}"),
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    }
}

/// How samples are taken and printed.
fn running(job: &Job) -> Vec<String> {
    let format = format!("format: {}", job.plan.format.name());
    let mut running = vec![format];
    if let Some(path) = &job.output {
        let mut shown = String::from("output: ");
        printable(path.as_os_str().as_bytes(), &mut shown);
        running.push(shown);
    }
    if let Baseline::Wait(wait) = job.baseline {
        running.push(format!("wait: {}", humantime::format_duration(wait)));
    }
    let interval = job.interval.map(|interval| humantime::format_duration(interval).to_string());
    running.push(format!("interval: {}", interval.as_deref().unwrap_or("none")));
    if job.plan.is_exclusive() {
        running.push("exclusive: each process is in one group".to_owned());
    }
    running
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Invocation, parse};
    use crate::files::config::ReadConfigError;
    use crate::settings::Surroundings;
    use psstat_core::model::units::Uid;
    use std::ffi::OsString;

    fn summary_of(args: &[&str]) -> String {
        let surroundings = Surroundings::made_up(|_| Err(ReadConfigError::TooLong));
        let args = [&["psstat", "check"], args].concat();
        match parse(args.iter().map(OsString::from), &surroundings) {
            Ok(Invocation::Check(job)) => summary(&job, &job.plan, None),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_summary_has_selectors_tags_and_options() {
        assert_eq!(
            summary_of(&["--pattern=web:nginx", "--tag=env=x", "--pid=7"]),
            "valid; psstat would measure\n  web: pattern nginx\n    tags: host=tengu, env=x\n  (by \
             their own names): pid 7\n    tags: host=tengu, env=x\n  fields: p_cpu, p_mem, n_proc; \
             memory: auto\n  format: influx; interval: none\n"
        );
        let further = ["--pid=7", "--format=json", "--output=/x", "--wait=2s", "--interval=1m"];
        let all = summary_of(&further);
        let last = all.lines().last();
        assert_eq!(last, Some("  format: json; output: /x; wait: 2s; interval: 1m"));
    }

    #[test]
    fn selectors_of_one_name_are_said_to_be_one_group() {
        let said = summary_of(&["--pattern=web:a", "--pid=web:7", "--pid=other:8", "--pid=9"]);
        let merged = "\n    one group of 2 selectors with the same name\n";
        assert_eq!(said.matches(merged).count(), 2, "{said}");
    }

    #[test]
    fn a_user_has_name_and_id() {
        let known = User::Named { name: "web".to_owned(), id: Some(Uid(33)) };
        assert_eq!(user(&known), "web, uid 33");
        assert_eq!(user(&User::named("web")), "web is unknown");
        assert_eq!(user(&User::Id(Uid(0))), "root, uid 0");
        let said = user(&User::Id(Uid(4_000_000_007)));
        assert!(said.starts_with("uid 4000000007, without a name in "), "{said}");
    }
}
