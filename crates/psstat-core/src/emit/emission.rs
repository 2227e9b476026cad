//! The input of an output format: the reports of one sample, and how to print them.

use crate::field::{Field, Fields, Value};
use crate::model::label::{Label, Tags};
use crate::model::report::Report;
use crate::model::units::WallNanos;
use alloc::string::String;

/// The reports of one sample, and how to print them.
#[derive(Clone, Copy, Debug)]
pub struct Emission<'e> {
    /// One report for each group, in the order to print.
    pub reports: &'e [Report],
    /// The tags of the lines of each selector, without `process_name`.
    pub tags: &'e [Tags],
    /// All fields that a group prints.
    pub fields: &'e Fields,
    /// The fields to print of the groups of each selector.
    pub fields_of: &'e [Fields],
    /// When the sample was taken.
    pub taken: WallNanos,
}

impl Emission<'_> {
    /// The tags of a group's line, without `process_name`.
    pub fn tags(&self, report: &Report) -> &[(Label, Label)] {
        self.tags.get(report.selector).map_or(&[], |tags| tags)
    }

    /// The fields to print of a group.
    fn fields(&self, report: &Report) -> &[Field] {
        self.fields_of.get(report.selector).unwrap_or(self.fields).as_slice()
    }

    /// Whether a field is printed of a group.
    pub fn shows(&self, report: &Report, field: Field) -> bool {
        self.fields(report).contains(&field)
    }

    /// The fields whose values are known for a group, with these values.
    pub fn known(&self, report: &Report) -> impl Iterator<Item = (Field, Value)> {
        let fields = self.fields(report).iter();
        fields.filter_map(move |&field| Some((field, field.value(report)?)))
    }
}

/// Appends `plain` to `text` in double quotes, as in JSON and in the text format of Prometheus.
/// Only `"` and `\` are escaped, because a [`Label`] has no control characters.
pub fn quoted(plain: &str, text: &mut String) {
    text.push('"');
    for character in plain.chars() {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push('"');
}

/// Helpers for the tests of the formats.
#[cfg(test)]
pub mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    /// A label with that text.
    pub fn label(text: &str) -> Label {
        Label::lossy(text.as_bytes())
    }

    /// A report of a group without processes, in which no other value is known.
    pub fn empty_report(name: &str) -> Report {
        Report {
            label: label(name),
            selector: 0,
            cpu: None,
            memory: None,
            processes: 0,
            bytes: None,
            threads: None,
            zombies: None,
            open_files: None,
            uptime: None,
            cpu_time: None,
            rates: BTreeMap::new(),
            swap: None,
            starts: None,
            gains: BTreeMap::new(),
            levels: BTreeMap::new(),
            totals: BTreeMap::new(),
        }
    }
}
