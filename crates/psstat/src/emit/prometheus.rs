//! The text format of Prometheus: one page, for node_exporter's textfile collector or any scraper.
//!
//! No time stamps: the textfile collector refuses a page that has any, and a scraper knows when it
//! scrapes.

use super::{Emission, Field, quoted};
use crate::account::rates::Rate;
use crate::label::Label;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// What a metric is, and how it behaves.
struct Metric {
    name: &'static str,
    /// `gauge` or `counter`.
    kind: &'static str,
    help: &'static str,
}

impl Metric {
    fn gauge(name: &'static str, help: &'static str) -> Metric {
        Metric { name, kind: "gauge", help }
    }
}

impl Field {
    /// Name and meaning, by Prometheus' rules: base units, a ratio is from 0 to 1.
    fn metric(self) -> Metric {
        match self {
            Field::CpuShare => Metric::gauge(
                "psstat_cpu_cores",
                "Processor cores that the group and all its children kept busy since the last sample.",
            ),
            Field::MemoryShare => Metric::gauge(
                "psstat_memory_ratio",
                "Part of the machine's memory that the group and all its children hold.",
            ),
            Field::Processes => Metric::gauge(
                "psstat_processes",
                "Processes of the group that are alive, children counted.",
            ),
            Field::CpuTime => Metric {
                name: "psstat_cpu_seconds_total",
                kind: "counter",
                help: "CPU time that the group and all its children have used since psstat first saw it.",
            },
            Field::Memory => Metric::gauge(
                "psstat_memory_bytes",
                "Memory that the group and all its children hold.",
            ),
            Field::Threads => {
                Metric::gauge("psstat_threads", "Threads of the group's processes that are alive.")
            }
            Field::Zombies => Metric::gauge(
                "psstat_zombies",
                "Processes of the group that have ended and that nobody has waited for.",
            ),
            Field::OpenFiles => {
                Metric::gauge("psstat_open_fds", "File descriptors that the group has open.")
            }
            Field::Rate(Rate::StorageRead) => Metric::gauge(
                "psstat_io_read_bytes_per_second",
                "What the group and all its children read from storage since the last sample.",
            ),
            Field::Rate(Rate::StorageWrite) => Metric::gauge(
                "psstat_io_write_bytes_per_second",
                "What the group and all its children wrote to storage since the last sample.",
            ),
            Field::Rate(Rate::MajorFaults) => Metric::gauge(
                "psstat_major_page_faults_per_second",
                "Page faults of the group and all its children that waited for storage.",
            ),
            Field::Rate(Rate::Switches) => Metric::gauge(
                "psstat_context_switches_per_second",
                "Switches of context of all the group's threads.",
            ),
            Field::Uptime => Metric::gauge(
                "psstat_uptime_seconds",
                "Time since the oldest process of the group that is alive has started.",
            ),
        }
    }
}

/// Writes the page: metric by metric, group by group. A metric of which nothing is known is left
/// out, so that the page of a first run is empty.
pub fn page(emission: &Emission<'_>) -> String {
    let labels: Vec<String> =
        emission.reports.iter().map(|report| labels(emission.tags(report))).collect();
    let mut text = String::new();
    for &field in emission.fields {
        if !emission.reports.iter().any(|report| field.of(report).is_some()) {
            continue;
        }
        let Metric { name, kind, help } = field.metric();
        // A String takes whatever is written to it.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (report, labels) in emission.reports.iter().zip(&labels) {
            let Some(value) = field.of(report) else { continue };
            let _ = write!(text, "{name}{{{labels}process_name=");
            quoted(report.label.as_str(), &mut text);
            text.push_str("} ");
            value.write(&mut text);
            text.push('\n');
        }
    }
    text
}

/// The tags as labels. Where two keys come out the same, the first holds: a page with one label
/// twice would be refused whole.
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

/// A key as the name of a label: letters, digits and `_`, no digit first, and not the `__` that
/// Prometheus keeps for itself.
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
    use crate::account::group::Report;
    use crate::units::WallNanos;

    #[test]
    fn a_page_of_gauges() {
        let label = |text: &str| Label::lossy(text.as_bytes());
        let reports = [
            Report {
                cpu: Some(0.42),
                memory: Some(0.001),
                processes: 5,
                ..Report::of_nothing(label("we\"b"))
            },
            Report { memory: Some(0.0), ..Report::of_nothing(label("x")) },
        ];
        let tags = [("host", "tengu"), ("my-env", "p"), ("my env", "q"), ("1st", "z")]
            .map(|(key, value)| (label(key), label(value)));
        let emission = Emission {
            reports: &reports,
            tags: &[tags.to_vec()],
            fields: &Field::DEFAULT,
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
        let fields = [Field::CpuShare, Field::Processes];
        let text = page(&Emission { reports: &reports[1..], fields: &fields, ..emission });
        assert_eq!(text.matches("# TYPE ").count(), 1, "{text}");
        assert_eq!(page(&Emission { reports: &[], ..emission }), "");
    }

    #[test]
    fn keys_become_names_of_labels() {
        for (key, name) in
            [("env", "env"), ("a.b", "a_b"), ("9", "_9"), ("__x", "x"), ("__", "_"), ("é", "_")]
        {
            assert_eq!(label_name(key), name);
        }
    }
}
