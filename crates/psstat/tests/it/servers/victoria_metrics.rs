//! A real VictoriaMetrics.

use super::process::{Ports, Program, Server, until};
use super::{Series, http, json};
use std::path::Path;

const VICTORIA_METRICS: Program<'_> =
    Program { name: "victoria-metrics", arguments: &arguments, ready: "/health" };

/// Counters of lines that it dropped or cut. All of them must be 0.
const COMPLAINTS: [&str; 5] = [
    "vm_rows_invalid_total",
    "vm_rows_ignored_total",
    "vm_metrics_with_dropped_labels_total",
    "vm_too_long_label_names_total",
    "vm_too_long_label_values_total",
];

pub struct VictoriaMetrics {
    server: Server,
}

fn arguments(directory: &Path, ports: Ports) -> Vec<String> {
    vec![
        format!("-storageDataPath={}", directory.join("data").display()),
        format!("-httpListenAddr=127.0.0.1:{}", ports.http),
        "-memory.allowedBytes=64MB".to_owned(),
        // By default a query ignores the last half minute.
        "-search.latencyOffset=0s".to_owned(),
    ]
}

impl VictoriaMetrics {
    /// Starts a server. `None` if VictoriaMetrics is not installed.
    #[track_caller]
    pub fn start() -> Option<VictoriaMetrics> {
        Some(VictoriaMetrics { server: Server::start(&VICTORIA_METRICS)? })
    }

    /// Writes lines in Influx line protocol. The response does not report lines that it drops.
    pub fn write(&self, lines: &[u8]) {
        let answer = self.server.post("/write", lines);
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    }

    /// Its complaints: counters that are not 0, and warnings and errors in its log.
    pub fn complaints(&self) -> Vec<String> {
        let page = self.server.page("/metrics");
        let of = |line: &&str| COMPLAINTS.iter().any(|counter| line.starts_with(counter));
        let counted: Vec<&str> = page.lines().filter(of).collect();
        for counter in COMPLAINTS {
            assert!(counted.iter().any(|line| line.starts_with(counter)), "no {counter}: {page}");
        }
        let counted = counted.into_iter().filter(|line| !line.ends_with(" 0")).map(str::to_owned);
        let log = self.server.log();
        let said = log.lines().filter(|line| !line.contains("\tinfo\t")).map(str::to_owned);
        counted.chain(said).collect()
    }

    /// The hosts in the result of a query, in its order. Empty for a series without a host. Repeats the
    /// query until it has a result, because a query ignores the last second.
    pub fn hosts_of_answer(&self, query: &str) -> Vec<String> {
        let path = format!("/api/v1/query?query={}", http::parameter(query));
        let host = |one: &json::Value| one.at("metric").texts().remove("host").unwrap_or_default();
        let ask = || {
            let answer = json::read(&self.server.page(&path));
            answer.at("data").at("result").items().iter().map(host).collect()
        };
        until(|hosts: &Vec<String>| !hosts.is_empty(), ask)
    }

    /// All series of `psstat`, sorted. Waits until there are `count` of them, for some time.
    pub fn series(&self, count: usize) -> Vec<Series> {
        let path = "/api/v1/export?match%5B%5D=%7B__name__%3D~%22psstat.*%22%7D";
        let series = until(
            |series: &Vec<Series>| series.len() >= count,
            || {
                // By default new data appears after a second.
                self.server.page("/internal/force_flush");
                self.server.page(path).lines().map(one).collect()
            },
        );
        let mut series: Vec<Series> = series;
        series.sort_by(|one, other| one.labels.cmp(&other.labels));
        series
    }
}

fn one(line: &str) -> Series {
    let line = json::read(line);
    let number = |value: &json::Value| value.text().parse().expect("a number");
    let millis = |value: &json::Value| value.text().parse().expect("milliseconds");
    Series {
        labels: line.at("metric").texts(),
        values: line.at("values").items().iter().map(number).collect(),
        millis: line.at("timestamps").items().iter().map(millis).collect(),
    }
}
