//! From reports to text: one file per format. Pure; into one buffer, so that a reader gets whole
//! lines or none.

pub mod influx;
pub mod json;
pub mod prometheus;

use crate::account::group::Report;
use crate::account::rates::Rate;
use crate::label::{Label, Tags};
use crate::units::WallNanos;
use std::fmt::Write as _;

/// An output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Influx line protocol.
    #[default]
    Influx,
    /// One JSON object a line.
    Json,
    /// The text format of Prometheus.
    Prometheus,
}

/// A figure of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// CPU time per time.
    CpuShare,
    /// Part of the machine's memory.
    MemoryShare,
    /// Processes alive.
    Processes,
    /// CPU time since the group was first seen.
    CpuTime,
    /// Memory in bytes.
    Memory,
    /// Threads of the processes alive.
    Threads,
    /// Processes that nobody has waited for yet.
    Zombies,
    /// Open files.
    OpenFiles,
    /// What is counted, per second.
    Rate(Rate),
    /// Age of the oldest process.
    Uptime,
}

impl Field {
    /// Those that are printed unless the user says others, in their order.
    pub const DEFAULT: [Field; 3] = [Field::CpuShare, Field::MemoryShare, Field::Processes];

    /// All that there are.
    pub const ALL: [Field; 13] = [
        Field::CpuShare,
        Field::MemoryShare,
        Field::Processes,
        Field::CpuTime,
        Field::Memory,
        Field::Threads,
        Field::Zombies,
        Field::OpenFiles,
        Field::Rate(Rate::StorageRead),
        Field::Rate(Rate::StorageWrite),
        Field::Rate(Rate::MajorFaults),
        Field::Rate(Rate::Switches),
        Field::Uptime,
    ];

    /// What it is called on the command line and in the output.
    pub fn name(self) -> &'static str {
        match self {
            Field::CpuShare => "p_cpu",
            Field::MemoryShare => "p_mem",
            Field::Processes => "n_proc",
            Field::CpuTime => "cpu_time",
            Field::Memory => "mem",
            Field::Threads => "n_thread",
            Field::Zombies => "n_zombie",
            Field::OpenFiles => "n_fd",
            Field::Rate(Rate::StorageRead) => "io_read",
            Field::Rate(Rate::StorageWrite) => "io_write",
            Field::Rate(Rate::MajorFaults) => "faults_major",
            Field::Rate(Rate::Switches) => "ctx_switches",
            Field::Uptime => "uptime",
        }
    }

    /// The field of that name.
    pub fn named(name: &str) -> Option<Field> {
        Field::ALL.into_iter().find(|field| field.name() == name)
    }

    /// Whether more must be remembered for it from sample to sample than for every job.
    pub fn is_remembered(self) -> bool {
        matches!(self, Field::CpuTime | Field::Rate(_))
    }

    /// Its value; none where that is not known, or is no number that every format can hold.
    fn of(self, report: &Report) -> Option<Value> {
        match self {
            Field::CpuShare => Value::decimal(report.cpu?, 4),
            Field::MemoryShare => Value::decimal(report.memory?, 6),
            Field::Processes => Value::count(report.processes),
            Field::CpuTime => Value::decimal(report.cpu_time?.0 as f64 / 1e9, 6),
            Field::Memory => Value::count(report.bytes?.0),
            Field::Threads => Value::count(report.threads?),
            Field::Zombies => Value::count(report.zombies?),
            Field::OpenFiles => Value::count(report.open_files?),
            Field::Rate(rate) => Value::decimal(*report.rates.get(&rate)?, rate_places(rate)),
            Field::Uptime => Value::decimal(report.uptime?.as_secs_f64(), 2),
        }
    }
}

/// A hundredth of a byte says nothing; one fault in an hour does.
fn rate_places(rate: Rate) -> usize {
    match rate {
        Rate::StorageRead | Rate::StorageWrite => 2,
        Rate::MajorFaults | Rate::Switches => 4,
    }
}

/// A field's value. Not negative, not infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Decimal { number: f64, places: usize },
    Count(u64),
}

impl Value {
    fn decimal(number: f64, places: usize) -> Option<Value> {
        (number.is_finite() && number >= 0.0).then_some(Value::Decimal { number, places })
    }

    /// InfluxDB's integers are signed: one that is not would cost the whole batch.
    fn count(number: u64) -> Option<Value> {
        i64::try_from(number).is_ok().then_some(Value::Count(number))
    }

    /// Writes it as every format does: no more decimals than its places, zeros at the end cut.
    fn write(self, text: &mut String) {
        // A String takes whatever is written to it.
        let _ = match self {
            Value::Count(number) => write!(text, "{number}"),
            Value::Decimal { number, places } => write!(text, "{number:.places$}"),
        };
        if let Value::Decimal { .. } = self {
            text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
        }
    }
}

/// One sample, to be written.
#[derive(Clone, Copy, Debug)]
pub struct Emission<'e> {
    /// A line's worth for each group.
    pub reports: &'e [Report],
    /// The tags of each selector's lines, before the name of the group.
    pub tags: &'e [Tags],
    /// What to write of each group, in that order.
    pub fields: &'e [Field],
    /// When the sample was taken.
    pub taken: WallNanos,
}

impl Emission<'_> {
    /// The sample in that format.
    pub fn text(&self, format: Format) -> String {
        match format {
            Format::Influx => influx::lines(self),
            Format::Json => json::lines(self),
            Format::Prometheus => prometheus::page(self),
        }
    }

    /// The tags of a group's line, without its name.
    fn tags(&self, report: &Report) -> &[(Label, Label)] {
        self.tags.get(report.selector).map_or(&[], |tags| tags)
    }

    /// Those of the fields that are known of a group.
    fn known(&self, report: &Report) -> impl Iterator<Item = (Field, Value)> {
        self.fields.iter().filter_map(move |&field| Some((field, field.of(report)?)))
    }
}

/// Writes a text in quotes, as JSON and Prometheus read it. A [`Label`] holds no control character,
/// so that two characters need escaping.
fn quoted(plain: &str, text: &mut String) {
    text.push('"');
    for character in plain.chars() {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decimal(number: f64, places: usize) -> String {
        let mut text = String::new();
        Value::Decimal { number, places }.write(&mut text);
        text
    }

    #[test]
    fn zeros_at_the_end_are_cut() {
        for (number, places, expected) in [
            (0.0, 4, "0"),
            (0.00004, 4, "0"),
            (0.00005001, 4, "0.0001"),
            (1.0, 4, "1"),
            (100.0, 4, "100"),
            (10.1, 4, "10.1"),
            (0.1234567, 6, "0.123457"),
            (0.9999999, 6, "1"),
            (2000.5, 4, "2000.5"),
        ] {
            assert_eq!(decimal(number, places), expected);
        }
        let mut text = String::new();
        Value::Count(100).write(&mut text);
        assert_eq!(text, "100");
    }

    proptest! {
        #[test]
        fn a_decimal_reads_back_within_its_precision(number in 0.0f64..1e6) {
            let text = decimal(number, 4);
            let back: f64 = text.parse().unwrap();
            prop_assert!((back - number).abs() <= 0.000_050_01);
            prop_assert!(!text.ends_with('.') && (!text.contains('.') || !text.ends_with('0')));
        }
    }
}
