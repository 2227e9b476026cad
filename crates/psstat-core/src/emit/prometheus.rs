//! The text format of Prometheus: one page, for node_exporter's textfile collector or a scraper.
//!
//! The page has no timestamps. The textfile collector rejects a page with timestamps, and a scraper
//! adds its own.

use super::emission::{Emission, quoted};
use crate::field::{MetricType, Value};
use crate::model::label::Label;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt::Write as _;

/// Returns the page: a block for each metric, with a line for each group. A metric without a known
/// value is left out, so the page of the first sample is empty.
pub fn page(emission: &Emission<'_>) -> String {
    let labels: Vec<String> =
        emission.reports.iter().map(|report| labels(emission.tags(report))).collect();
    let mut text = String::new();
    for &field in emission.fields.as_slice() {
        let value = |report| field.metric_value(report).filter(|_| emission.shows(report, field));
        if !emission.reports.iter().any(|report| value(report).is_some()) {
            continue;
        }
        let row = field.row();
        let help = row.counter.as_ref().map_or(row.help, |counter| counter.help);
        let name = row.metric;
        let metric_type = match row.metric_type {
            MetricType::Gauge => "gauge",
            MetricType::Counter => "counter",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {metric_type}");
        for (report, labels) in emission.reports.iter().zip(&labels) {
            let Some(value) = value(report) else { continue };
            let _ = write!(text, "{name}{{{labels}process_name=");
            quoted(report.label.as_str(), &mut text);
            text.push_str("} ");
            value.write(&mut text);
            text.push('\n');
        }
    }
    text
}

/// What the page says about psstat itself.
#[derive(Clone, Debug)]
pub struct About<'a> {
    /// The version of psstat.
    pub version: &'a str,
    /// The name of the file that has the page. It tells the pages of one machine apart.
    pub output: Option<&'a str>,
    /// How long the sample took, in seconds.
    pub seconds: f64,
    /// The CPU time that it took, in seconds.
    pub cpu_seconds: f64,
    /// How many warnings it had, by kind.
    pub warnings: BTreeMap<&'static str, usize>,
    /// The groups that could not be measured, each with its tags.
    pub unmeasured: Vec<(&'a Label, &'a [(Label, Label)])>,
}

/// The metrics about psstat itself.
pub fn about(about: &About<'_>) -> String {
    let output = about.output.map(|output| {
        let mut label = "output=".to_owned();
        quoted(output, &mut label);
        label
    });
    let labels = |further: Option<String>| {
        let all: Vec<String> = output.iter().cloned().chain(further).collect();
        if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
    };
    let mut text = String::new();
    let mut metric = |name: &str, help: &str, samples: Vec<(String, String)>| {
        if !samples.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        }
        for (labels, value) in samples {
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    };
    let number = |value: f64| {
        let mut text = String::new();
        Value::Decimal { number: value, decimals: 6 }.write(&mut text);
        text
    };
    let unmeasured = about.unmeasured.iter().map(|(label, tags)| {
        let mut text = format!("{{{}process_name=", self::labels(tags));
        quoted(label.as_str(), &mut text);
        (text + "}", "1".to_owned())
    });
    metric(
        "psstat_group_unmeasured",
        "The group has no other metric, because psstat could not measure it.",
        unmeasured.collect(),
    );
    let mut version = "version=".to_owned();
    quoted(about.version, &mut version);
    metric(
        "psstat_build_info",
        "The version of psstat.",
        Vec::from([(labels(Some(version)), "1".to_owned())]),
    );
    metric(
        "psstat_sample_duration_seconds",
        "Seconds that the last sample took.",
        Vec::from([(labels(None), number(about.seconds))]),
    );
    metric(
        "psstat_sample_cpu_seconds",
        "Seconds of CPU time that the last sample took.",
        Vec::from([(labels(None), number(about.cpu_seconds))]),
    );
    let warnings = about
        .warnings
        .iter()
        .map(|(kind, count)| (labels(Some(format!("kind=\"{kind}\""))), count.to_string()));
    metric("psstat_sample_warnings", "Warnings of the last sample, by kind.", warnings.collect());
    text
}

/// Converts tags to labels. If two keys become the same label, the first is kept, because
/// Prometheus rejects a page that has a label twice.
fn labels(tags: &[(Label, Label)]) -> String {
    let mut seen = BTreeSet::from(["process_name".to_owned()]);
    let mut text = String::new();
    for (key, value) in tags {
        let name = label_name(key.as_str());
        if seen.insert(name.clone()) {
            text.push_str(&name);
            text.push('=');
            quoted(value.as_str(), &mut text);
            text.push(',');
        }
    }
    text
}

/// Converts a key to the name of a label: letters, digits and `_`. It does not begin with a digit,
/// and not with `__`, which Prometheus reserves.
fn label_name(key: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = key.chars().map(allowed).collect();
    let name = if name.starts_with("__") { name.trim_start_matches('_').to_owned() } else { name };
    if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        return format!("_{name}");
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::emission::tests::{empty_report, label};
    use crate::field::{Field, Fields};
    use crate::model::report::Report;
    use crate::model::units::WallNanos;
    use alloc::vec::Vec;

    #[test]
    fn a_page_has_one_block_per_known_metric() {
        let reports = [
            Report { cpu: Some(0.42), memory: Some(0.001), processes: 5, ..empty_report("we\"b") },
            Report { memory: Some(0.0), ..empty_report("x") },
        ];
        let tags = [("host", "tengu"), ("my-env", "p"), ("my env", "q"), ("1st", "z")]
            .map(|(key, value)| (label(key), label(value)));
        let emission = Emission {
            reports: &reports,
            tags: &[tags.to_vec()],
            fields: &Fields::default(),
            fields_of: &[],
            taken: WallNanos(7),
        };
        let text = page(&emission);
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let labels = "host=\"tengu\",my_env=\"p\",_1st=\"z\",process_name=";
        assert_eq!(
            samples,
            [
                format!("psstat_cpu_cores{{{labels}\"we\\\"b\"}} 0.42"),
                format!("psstat_memory_ratio{{{labels}\"we\\\"b\"}} 0.001"),
                format!("psstat_memory_ratio{{{labels}\"x\"}} 0"),
                format!("psstat_processes{{{labels}\"we\\\"b\"}} 5"),
                format!("psstat_processes{{{labels}\"x\"}} 0"),
            ]
        );
        assert_eq!(text.matches("# TYPE ").count(), 3);
        let fields = Fields::new([Field::CpuShare, Field::Processes]);
        let text = page(&Emission { reports: &reports[1..], fields: &fields, ..emission });
        assert_eq!(text.matches("# TYPE ").count(), 1, "{text}");
        assert_eq!(page(&Emission { reports: &[], ..emission }), "");
    }

    #[test]
    fn a_page_says_how_psstat_is() {
        let (db, env) = (label("d\"b"), [(label("my env"), label("p"))]);
        let known = About {
            version: "1.2.3",
            output: Some("psstat.prom"),
            seconds: 0.25,
            cpu_seconds: 0.0125,
            warnings: BTreeMap::from([("no_line", 1), ("unreadable", 2)]),
            unmeasured: Vec::from([(&db, &env[..])]),
        };
        let text = about(&known);
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            samples,
            [
                "psstat_group_unmeasured{my_env=\"p\",process_name=\"d\\\"b\"} 1",
                "psstat_build_info{output=\"psstat.prom\",version=\"1.2.3\"} 1",
                "psstat_sample_duration_seconds{output=\"psstat.prom\"} 0.25",
                "psstat_sample_cpu_seconds{output=\"psstat.prom\"} 0.0125",
                "psstat_sample_warnings{output=\"psstat.prom\",kind=\"no_line\"} 1",
                "psstat_sample_warnings{output=\"psstat.prom\",kind=\"unreadable\"} 2",
            ]
        );
        assert_eq!(text.matches("# TYPE ").count(), 5, "{text}");
        let text = about(&About {
            output: None,
            warnings: BTreeMap::new(),
            unmeasured: Vec::new(),
            ..known
        });
        assert!(text.contains("psstat_build_info{version=\"1.2.3\"} 1\n"), "{text}");
        assert!(text.contains("\npsstat_sample_duration_seconds 0.25\n"), "{text}");
        assert!(!text.contains("warnings") && !text.contains("unmeasured"), "{text}");
    }

    #[test]
    fn a_metric_has_lines_for_the_groups_that_print_it() {
        let reports = [
            Report { cpu: Some(0.42), ..empty_report("web") },
            Report { cpu: Some(0.1), selector: 1, ..empty_report("db") },
        ];
        let (fields, count) =
            (Fields::new([Field::Processes, Field::CpuShare]), Fields::new([Field::Processes]));
        let emission = Emission {
            reports: &reports,
            tags: &[],
            fields: &fields,
            fields_of: &[count.clone(), fields.clone()],
            taken: WallNanos(7),
        };
        let samples = |emission: &Emission<'_>| {
            let page = page(emission);
            let lines = page.lines().filter(|line| !line.starts_with('#'));
            lines.map(ToOwned::to_owned).collect::<Vec<String>>()
        };
        assert_eq!(
            samples(&emission),
            [
                "psstat_processes{process_name=\"web\"} 0",
                "psstat_processes{process_name=\"db\"} 0",
                "psstat_cpu_cores{process_name=\"db\"} 0.1",
            ]
        );
        let fields_of = [count.clone(), count];
        let page = page(&Emission { fields_of: &fields_of, ..emission });
        assert!(!page.contains("cpu_cores"), "a metric of no group has no head: {page}");
    }

    #[test]
    fn keys_become_valid_label_names() {
        for (key, name) in
            [("env", "env"), ("a.b", "a_b"), ("9", "_9"), ("__x", "x"), ("__", "_"), ("é", "_")]
        {
            assert_eq!(label_name(key), name);
        }
    }
}
