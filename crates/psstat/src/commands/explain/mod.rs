//! `psstat explain`: shows which processes are in each group, and why.

pub mod surroundings;

use super::relay::{self, Turn, Watch};
use crate::deadline::{Deadline, Stop};
use crate::error::Error;
use crate::everything;
use crate::files::output;
use crate::job::{Baseline, Job};
use crate::machine::Machine;
use crate::messages::Messages;
use crate::terminal::Terminal;
use crate::users::Getent;
use psstat_core::emit::Format;
use psstat_core::emit::table::Screen;
use psstat_core::engine::{Engine, Sample};
use psstat_core::explain::facts::Facts;
use psstat_core::explain::text::Page;
use psstat_core::explain::{self, GroupView, Row, departed, facts, json, text};
use psstat_core::field::{Field, Fields};
use psstat_core::kernel::Kernel;
use psstat_core::model::units::Pid;
use psstat_core::plan::Plan;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use surroundings::Near;

/// The time between the two samples, if `--wait` does not say it.
const WAIT: Duration = Duration::from_secs(1);

/// Takes two samples, and prints what is in each group of the second, and why.
///
/// # Errors
/// If `/proc` cannot be read, or standard output cannot be written.
pub fn run(job: Job) -> Result<(), Error> {
    let timeout = job.timeout;
    let watch = Watch { can_block: true, timeout, stop: Stop::default() };
    let session = Session { job, getent: Getent::default() };
    relay::run(session, watch, explain_and_print)
}

/// What another thread needs to go on.
#[derive(Debug)]
struct Session {
    job: Job,
    getent: Getent,
}

fn explain_and_print(turn: &Turn<Session>) -> Result<(), Error> {
    let Some(session) = turn.begin() else { return Ok(()) };
    let Job { mounts, multi_threaded, timeout, baseline, .. } = &session.job;
    let (wait, timeout) = (wait(baseline), *timeout);
    let deadline = Deadline::after(timeout.saturating_add(wait));
    let machine = Machine::open(mounts, *multi_threaded, deadline, turn.reads())?;
    let machine = machine.with_getent(&session.getent);
    let plan = complete(&session.job.plan);
    let mut engine = Engine::new(machine, plan.clone()).resident();
    // The first sample looks at all processes, and the second reads the clocks of the members. So the third is
    // compared with exact times.
    let taken = turn.sample(session, || {
        let all = engine.sample(None)?;
        let before = engine.sample(Some(&all.state))?;
        Ok((all, before))
    });
    let Some((session, taken)) = taken else { return Ok(()) };
    let (all, before) = taken.map_err(|error| Error::of_sample(error, timeout))?;
    std::thread::sleep(wait);
    let taken = turn.sample(session, || {
        let now = engine.sample(Some(&before.state))?;
        let groups = explain::groups(&plan, engine.kernel().constants().hz, &[&all, &before, &now]);
        let pids = groups.iter().flat_map(|group| group.rows.iter().map(|row| row.pid));
        // Without the facts of a process, its row shows its name.
        let (facts, _) = facts::read(engine.kernel(), pids.collect::<BTreeSet<_>>().into_iter());
        let shown = Shown::of(&plan, groups, &facts);
        let known = Known::of(engine.kernel(), &plan, &now, (&shown.groups, facts));
        Ok((now, shown, known))
    });
    let Some((session, taken)) = taken else { return Ok(()) };
    let (now, shown, known) = taken.map_err(|error| Error::of_sample(error, timeout))?;
    let mut messages = Messages::about(&session.job.mounts);
    messages.warn_of(&session.job.mistakes);
    messages.add(&now.diagnostics);
    messages.add_others(&all.diagnostics);
    let mut terminal = Terminal::of_stdout();
    let mut text = text_of(&session.job.plan, &now, &shown, (&known, terminal.screen()));
    let is_json = session.job.plan.format == Format::Json;
    if !is_json {
        text += &warnings(&messages);
    }
    output::print(text.as_bytes())?;
    // A terminal shows them once. Whoever reads a file or pipe has those that belong to it there.
    if is_json || !terminal.is_there() {
        messages.write();
    }
    Ok(())
}

/// The warnings, as a part of the text: many of them are the reason for what is shown.
fn warnings(messages: &Messages) -> String {
    let lines = messages.warnings().map(|warning| format!("  {}\n", facts::visible(warning)));
    let lines: String = lines.collect();
    if lines.is_empty() { lines } else { format!("\nwarnings:\n{lines}") }
}

fn wait(baseline: &Baseline) -> Duration {
    match baseline {
        Baseline::Wait(wait) => *wait,
        Baseline::Cache { .. } => WAIT,
    }
}

/// The plan with all fields that an explanation shows.
fn complete(plan: &Plan) -> Plan {
    let mut fields = plan.fields.as_slice().to_vec();
    for field in [Field::CpuShare, Field::MemoryShare, Field::Memory, Field::Threads] {
        if !fields.contains(&field) {
            fields.push(field);
        }
    }
    Plan { fields: Fields::new(fields), ..plan.clone() }
}

/// The groups that are shown.
struct Shown {
    groups: Vec<GroupView>,
    /// How many groups of kernel threads are not.
    of_kernel: usize,
}

impl Shown {
    /// Every machine has many kernel threads. They are left out if nobody has said what to show.
    fn of(plan: &Plan, mut groups: Vec<GroupView>, facts: &BTreeMap<Pid, Facts>) -> Shown {
        let is_everything = plan.selectors.iter().eq(&everything::selectors(false));
        let count = groups.len();
        if is_everything && plan.format != Format::Json {
            let is_thread = |row: &Row| {
                let kinship = facts.get(&row.pid).and_then(|facts| facts.kinship);
                kinship.is_some_and(|kinship| kinship.is_kernel_thread)
            };
            groups.retain(|group| group.is_empty() || !group.rows.iter().all(is_thread));
        }
        Shown { of_kernel: count - groups.len(), groups }
    }
}

/// What is known besides the groups.
struct Known {
    facts: BTreeMap<Pid, Facts>,
    /// For each group: what comes nearest to the selectors that pick no process.
    misses: Vec<Vec<String>>,
    /// For each group: which processes may have left it.
    departed: Vec<Vec<String>>,
    users: BTreeMap<u32, String>,
}

impl Known {
    fn of(
        kernel: &impl Kernel,
        plan: &Plan,
        now: &Sample,
        (groups, facts): (&[GroupView], BTreeMap<Pid, Facts>),
    ) -> Known {
        let users = crate::users::names();
        let misses = if groups.iter().all(|group| group.idle.is_empty()) {
            vec![Vec::new(); groups.len()]
        } else {
            Near::look(kernel, plan, now, &users).misses(kernel, plan, groups)
        };
        let departed = departed::notes(kernel, plan, now, groups);
        Known { facts, misses, departed, users }
    }
}

fn text_of(plan: &Plan, now: &Sample, shown: &Shown, (known, screen): (&Known, Screen)) -> String {
    let groups = &shown.groups[..];
    let Known { facts, misses, departed, users } = known;
    let as_sent = Plan { format: Format::Influx, ..plan.clone() };
    let line = |group: &GroupView| {
        let report = group.report.as_ref();
        report
            .map_or_else(String::new, |report| as_sent.text(std::slice::from_ref(report), now.wall))
    };
    let lines: Vec<String> = groups.iter().map(line).collect();
    let width = screen.columns;
    let page = Page { groups, lines: &lines, misses, departed, facts, users, width };
    if plan.format == Format::Json {
        return json::lines(&page);
    }
    let mut text = text::page(&page);
    match shown.of_kernel {
        0 => {}
        1 => text += "\n1 group of kernel threads is left out: --pattern shows it\n",
        count => {
            text +=
                &format!("\n{count} groups of kernel threads are left out: --pattern shows them\n");
        }
    }
    text
}
