//! A real Prometheus with samples of times that have passed.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use super::http;
use super::process::{Ports, Program, Server};
use crate::support::{is_installed, limit};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// A real Prometheus that scraped these samples at known times, and scrapes nothing now.
pub struct Archive {
    server: Server,
}

/// A series in the response to a query: its labels, and its last time and value.
#[derive(Debug)]
pub struct Answered {
    pub labels: BTreeMap<String, String>,
    pub time: i64,
    pub value: f64,
}

impl Answered {
    /// What distinguishes a series, the names of metrics and of the job left out.
    pub fn key(&self) -> String {
        let labels = ["instance", "process_name", "kind", "output"];
        let values: Vec<&str> =
            labels.iter().filter_map(|name| self.labels.get(*name).map(String::as_str)).collect();
        values.join(" ")
    }
}

impl Archive {
    /// Starts one with samples in the format OpenMetrics, each with its time, and with a file of rules.
    /// `None` if Prometheus or its tool is not installed.
    #[track_caller]
    pub fn start(samples: &str, rules: &Path) -> Option<Archive> {
        if !is_installed("promtool") {
            return None;
        }
        let arguments = |directory: &Path, ports: Ports| {
            let (text, data) = (directory.join("samples"), directory.join("data"));
            std::fs::write(&text, samples).expect("its directory takes files");
            let mut import = Command::new("promtool");
            import.args(["tsdb", "create-blocks-from", "openmetrics"]).args([&text, &data]);
            let output = limit::output(&mut import).expect("promtool runs");
            assert!(output.status.success(), "{output:?}");
            let config = directory.join("prometheus.yml");
            let text = format!("rule_files: [{}]\n", rules.display());
            std::fs::write(&config, text).expect("its directory takes files");
            vec![
                format!("--config.file={}", config.display()),
                format!("--storage.tsdb.path={}", data.display()),
                format!("--web.listen-address=127.0.0.1:{}", ports.http),
            ]
        };
        let program = Program { arguments: &arguments, name: "prometheus", ready: "/-/ready" };
        Some(Archive { server: Server::start(&program)? })
    }

    /// The response to a query at a time.
    pub fn at(&self, query: &str, time: i64) -> Vec<Answered> {
        self.answer(&format!("query?query={}&time={time}", http::parameter(query)))
    }

    /// The last values in the response to a query over a range of times, and the step.
    pub fn over(&self, query: &str, range: (i64, i64), step: i64) -> Vec<Answered> {
        let (start, end) = range;
        let query = http::parameter(query);
        self.answer(&format!("query_range?query={query}&start={start}&end={end}&step={step}"))
    }

    fn answer(&self, path: &str) -> Vec<Answered> {
        let answer = self.json(path);
        let of = |series: &Value| {
            let labels = series["metric"].as_object().unwrap().iter();
            let labels =
                labels.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()));
            let last = match &series["values"] {
                Value::Array(values) => values.last().expect("a value"),
                _ => &series["value"],
            };
            let time = last[0].as_f64().unwrap() as i64;
            Answered {
                labels: labels.collect(),
                time,
                value: last[1].as_str().unwrap().parse().unwrap(),
            }
        };
        answer["result"].as_array().unwrap().iter().map(of).collect()
    }

    /// The values of a label of the series that match, as Grafana asks for those of a variable.
    pub fn values_of(&self, label: &str, matches: &str, range: (i64, i64)) -> Vec<String> {
        let (start, end) = range;
        let matches = http::parameter(matches);
        let path = format!("label/{label}/values?match%5B%5D={matches}&start={start}&end={end}");
        serde_json::from_value(self.json(&path)).unwrap()
    }

    /// The names and queries of its rules.
    pub fn rules(&self) -> Vec<(String, String)> {
        let answer = self.json("rules");
        let groups = answer["groups"].as_array().unwrap();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        let text = |rule: &Value, key: &str| rule[key].as_str().unwrap().to_owned();
        rules.map(|rule| (text(rule, "name"), text(rule, "query"))).collect()
    }

    fn json(&self, path: &str) -> Value {
        let answer = self.server.get(&format!("/api/v1/{path}"));
        let mut value: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(value["status"], "success", "{path}: {value}");
        value["data"].take()
    }
}
