//! The text of a sample, as its format and the place that it goes to require.

use super::cost::Cost;
use crate::job::Job;
use crate::terminal::Terminal;
use psstat_core::diagnostics::{MISTAKE, Warning};
use psstat_core::emit::Format;
use psstat_core::emit::prometheus::{self, About};
use psstat_core::emit::table::{Groups, Screen};
use psstat_core::engine::Sample;
use psstat_core::model::label::Label;
use psstat_core::model::units::WallNanos;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// Makes the texts of the samples of one run.
#[derive(Debug, Default)]
pub struct Pages {
    terminal: Terminal,
    /// Whether one has been made.
    has_begun: bool,
}

impl Pages {
    /// No page yet. Asks for the terminal if the job prints a table there.
    pub fn of(job: &Job) -> Pages {
        let is_shown = job.plan.format == Format::Table && job.output.is_none();
        let terminal = if is_shown { Terminal::of_stdout() } else { Terminal::default() };
        Pages { terminal, has_begun: false }
    }

    /// The text of a sample: whole lines, or nothing.
    pub fn page(&mut self, job: &Job, sample: &Sample, cost: Cost) -> String {
        let Sample { reports, unknown, wall, .. } = sample;
        if job.plan.format == Format::Prometheus {
            return job.plan.text(reports, *wall) + &about(job, sample, cost);
        }
        if job.plan.format != Format::Table {
            return job.plan.text(reports, *wall);
        }
        let screen = self.terminal.screen();
        let groups = Groups { unknown, are_disjoint: sample.are_groups_disjoint() };
        job.plan.text_on(screen, reports, *wall, groups)
    }

    /// The same for a run that prints many. Each table has its time above it and an empty line in front.
    pub fn next_page(&mut self, job: &Job, sample: &Sample, cost: Cost) -> String {
        let text = self.page(job, sample, cost);
        let is_one_of_many = job.plan.format == Format::Table && job.output.is_none();
        if text.is_empty() || !is_one_of_many {
            return text;
        }
        let gap = if std::mem::replace(&mut self.has_begun, true) { "\n" } else { "" };
        format!("{gap}{}{text}", time_line(sample.wall, self.terminal.screen()))
    }
}

/// What a page for Prometheus says about psstat itself.
fn about(job: &Job, sample: &Sample, cost: Cost) -> String {
    let mut warnings = BTreeMap::new();
    let mistakes = job.mistakes.iter().map(|_| MISTAKE);
    for kind in sample.diagnostics.iter().map(Warning::kind).chain(mistakes) {
        *warnings.entry(kind).or_default() += 1;
    }
    let output = job.output.as_deref().and_then(Path::file_name);
    let output = output.map(|name| Label::lossy(name.as_bytes()));
    prometheus::about(&About {
        version: env!("CARGO_PKG_VERSION"),
        output: output.as_ref().map(Label::as_str),
        seconds: cost.time.as_secs_f64(),
        cpu_seconds: cost.cpu.as_secs_f64(),
        warnings,
        unmeasured: sample.unknown.iter().map(|name| (name, job.plan.tags_of(name))).collect(),
    })
}

/// When a sample was taken, in UTC. Empty if the screen is too narrow.
fn time_line(taken: WallNanos, screen: Screen) -> String {
    let nanos = u64::try_from(taken.0).unwrap_or_default();
    let line = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_nanos(nanos));
    let line = line.to_string();
    if screen.columns.is_some_and(|columns| columns < line.len()) {
        return String::new();
    }
    line + "\n"
}
