//! Output formats: convert reports to text. Each format has its own file.

pub mod emission;
pub mod influx;
pub mod json;
pub mod prometheus;
pub mod sizes;
pub mod table;

use alloc::string::String;
use emission::Emission;
use table::Style;

/// An output format: the option `--format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Influx line protocol.
    #[default]
    Influx,
    /// One JSON object per line.
    Json,
    /// The text format of Prometheus.
    Prometheus,
    /// A table for people.
    Table,
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 4] = [Format::Influx, Format::Json, Format::Prometheus, Format::Table];

    /// The name of the format on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Influx => "influx",
            Format::Json => "json",
            Format::Prometheus => "prometheus",
            Format::Table => "table",
        }
    }

    /// The format with that name.
    pub fn named(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The output of a sample in this format: whole lines, or nothing. The style is that of a table.
    pub fn text(self, emission: &Emission<'_>, style: &Style<'_>) -> String {
        match self {
            Format::Influx => influx::lines(emission),
            Format::Json => json::lines(emission),
            Format::Prometheus => prometheus::page(emission),
            Format::Table => table::page(emission, style),
        }
    }
}
