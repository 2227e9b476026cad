//! Output formats: convert reports to text. Each format has its own file.

pub mod emission;
pub mod influx;
pub mod json;
pub mod prometheus;

use alloc::string::String;
use emission::Emission;

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
}

impl Format {
    /// All formats.
    pub const ALL: [Format; 3] = [Format::Influx, Format::Json, Format::Prometheus];

    /// The name of the format on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Format::Influx => "influx",
            Format::Json => "json",
            Format::Prometheus => "prometheus",
        }
    }

    /// The format with that name.
    pub fn named(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The output of a sample in this format: whole lines, or nothing.
    pub fn text(self, emission: &Emission<'_>) -> String {
        match self {
            Format::Influx => influx::lines(emission),
            Format::Json => json::lines(emission),
            Format::Prometheus => prometheus::page(emission),
        }
    }
}
