//! What is printed: lines and pages that strict parsers accept, tables, names that break no line, and messages
//! of one line.

use crate::servers::page;
use crate::support::line::{self, Number};
use psstat_core::emit::Format;
use psstat_core::engine::Sample;
use psstat_core::plan::Plan;
use std::collections::BTreeMap;

/// Checks what a sample prints in every format, with at most `living` processes in a group.
pub fn check_printed(plan: &mut Plan, sample: &Sample, living: u64) {
    let [mut influx, mut json, mut metrics] = [0; 3];
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
    // JSON has an object for each report, line protocol no line without a field. Each value is in each.
    assert_eq!(influx, json, "lines and objects have different values");
    assert_eq!(influx, metrics, "lines and metrics have different values");
}

/// Returns the number of values.
fn check_influx(text: &str, sample: &Sample, living: u64) -> usize {
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
    lines.iter().map(|line| line.fields.len()).sum()
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

fn check_page(text: &str) -> usize {
    let samples = page::read(text);
    for sample in &samples {
        assert!(sample.value.is_finite() && sample.value >= 0.0, "{sample:?}");
    }
    samples.len()
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
