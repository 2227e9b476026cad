//! What is printed: lines and pages that strict parsers accept, tables, names that break no line, and messages
//! of one line.

use crate::servers::page;
use crate::support::line::{self, Number};
use psstat_core::emit::Format;
use psstat_core::engine::Sample;
use psstat_core::field::Field;
use psstat_core::plan::Plan;
use std::collections::BTreeMap;

/// Checks what a sample prints in every format, with at most `living` processes in a group.
pub fn check_printed(plan: &mut Plan, sample: &Sample, living: u64) {
    let (mut influx, mut json, mut metrics) = ([0; 2], 0, [0; 2]);
    for format in Format::ALL {
        plan.format = format;
        let text = plan.text(&sample.reports, sample.wall);
        match format {
            Format::Influx => influx = check_influx(&text, sample, living),
            Format::Json => json = check_json(&text, sample),
            Format::Prometheus => metrics = check_page(&text),
            Format::Table => check_table(&text, sample),
        }
    }
    // JSON has an object for each report, line protocol no line without a field. Each value is in each, unless
    // Prometheus has a counter for it, which can be known before there is a rate.
    assert_eq!(influx.iter().sum::<usize>(), json, "lines and objects have different values");
    assert_eq!(influx[0], metrics[0], "lines and metrics have different values");
}

/// Returns the number of values of which Prometheus has no counter, and of the others.
fn check_influx(text: &str, sample: &Sample, living: u64) -> [usize; 2] {
    let lines = line::read(text.as_bytes());
    for line in &lines {
        assert_eq!(line.time, sample.wall.0);
        for (key, value) in &line.fields {
            match *value {
                Number::Float(number) => {
                    assert!(number.is_finite() && number >= 0.0, "{key}={number}");
                }
                Number::Integer(number) => assert!(number >= 0, "{key}={number}"),
            }
        }
        let processes = line.value("n_proc").unwrap_or_default();
        assert!(processes <= living as f64, "{processes} of {living} processes: {line:?}");
    }
    let fields = || lines.iter().flat_map(|line| &line.fields);
    let field = |name: &str| Field::named(name).expect("a field");
    let others = fields().filter(|(key, _)| field(key).row().counter.is_some()).count();
    [fields().count() - others, others]
}

/// A header, a row for each report, and one line more about the total.
fn check_table(text: &str, sample: &Sample) {
    let rows = sample.reports.len();
    let expected = if rows > 1 { rows + 2 } else { 2 * rows };
    assert_eq!(text.lines().count(), expected, "{text}");
    assert!(text.lines().all(|line| !line.is_empty() && !line.chars().any(char::is_control)));
}

fn check_json(text: &str, sample: &Sample) -> usize {
    assert!(text.is_empty() || text.ends_with('\n'));
    assert_eq!(text.lines().count(), sample.reports.len());
    let mut values = 0;
    for line in text.lines() {
        let object: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(object["name"], "psstat");
        assert_eq!(object["timestamp"].as_i64(), Some(sample.wall.0));
        assert!(object["tags"]["process_name"].is_string());
        let fields = object["fields"].as_object().expect("an object");
        for (key, value) in fields {
            let number = value.as_f64().expect("a number");
            assert!(number.is_finite() && number >= 0.0, "{key}={number}");
        }
        values += fields.len();
    }
    values
}

fn check_page(text: &str) -> [usize; 2] {
    let samples = page::read(text);
    for sample in &samples {
        assert!(sample.value.is_finite() && sample.value >= 0.0, "{sample:?}");
    }
    let is_counter = |name: &str| {
        Field::all().any(|field| field.row().metric == name && field.row().counter.is_some())
    };
    let counters = samples.iter().filter(|sample| is_counter(&sample.name)).count();
    [samples.len() - counters, counters]
}

/// Checks the name of a group, or a key or value of a tag.
pub fn check_label(text: Option<&str>) {
    let Some(text) = text else { return };
    assert!(!text.is_empty() && !text.ends_with('\\'), "{text:?}");
    assert!(!text.contains(char::is_control), "{text:?}");
    for ambiguous in ["\\\\", "\\,", "\\=", "\\ "] {
        assert!(!text.contains(ambiguous), "{text:?}");
    }
}

/// Checks the text of an error or a warning. What it quotes is shortened, so that the reason is within the
/// 512 bytes that are printed. `messages.rs` replaces control characters when it prints it.
pub fn check_message(text: &str) {
    assert!(!text.is_empty() && text.len() <= 2048, "{} bytes: {text:?}", text.len());
}

/// The samples of a page would be the same for two groups of one name.
pub fn check_names(sample: &Sample) {
    let mut seen = BTreeMap::new();
    for report in &sample.reports {
        check_label(Some(report.label.as_str()));
        assert_eq!(seen.insert(report.label.as_str(), ()), None, "two lines for {}", report.label);
    }
}
