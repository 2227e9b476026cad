//! A real InfluxDB 1.x.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use super::process::{Ports, Program, Server, until};
use super::{Point, Rows, http, json};
use serde_json::Value;
use std::path::Path;

const INFLUXD: Program<'_> = Program { name: "influxd", arguments: &arguments, ready: "/ping" };

pub struct Influxd {
    server: Server,
}

fn arguments(directory: &Path, ports: Ports) -> Vec<String> {
    let dir = directory.display();
    let Ports { http, other } = ports;
    let text = format!(
        "reporting-disabled = true\nbind-address = \"127.0.0.1:{other}\"\n\
         [meta]\ndir = \"{dir}/meta\"\n\
         [data]\ndir = \"{dir}/data\"\nwal-dir = \"{dir}/wal\"\n\
         [monitor]\nstore-enabled = false\n\
         [continuous_queries]\nlog-enabled = false\nrun-interval = \"1s\"\n\
         [http]\nbind-address = \"127.0.0.1:{http}\"\nlog-enabled = false\n"
    );
    let config = directory.join("influxdb.conf");
    std::fs::write(&config, text).expect("its directory takes files");
    ["run", "-config", &config.to_string_lossy()].map(str::to_owned).into()
}

impl Influxd {
    /// Starts a server with a database `x`. `None` if InfluxDB is not installed.
    #[track_caller]
    pub fn start() -> Option<Influxd> {
        let server = Server::start(&INFLUXD)?;
        let created = server.post("/query?q=CREATE+DATABASE+x", b"");
        assert_eq!(created.status, 200, "{created:?}");
        Some(Influxd { server })
    }

    /// Writes lines. Panics if the server refuses one.
    pub fn write(&self, lines: &[u8]) {
        let answer = self.server.post("/write?db=x", lines);
        assert_eq!((answer.status, answer.body.as_str()), (204, ""));
    }

    /// The response to a query.
    pub fn answer(&self, query: &str) -> String {
        self.server.page(&format!("/query?db=x&q={}", http::parameter(query)))
    }

    /// The rows of the answer to a query: the last value of each series. If a time is given, in seconds since 1970,
    /// of those that have it.
    pub fn rows(&self, query: &str, time: Option<i64>) -> Rows {
        let answer = self.server.page(&format!("/query?db=x&epoch=s&q={}", http::parameter(query)));
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let result = &answer["results"][0];
        assert!(result["error"].is_null(), "{answer}");
        let mut rows = Rows::new();
        for series in result["series"].as_array().into_iter().flatten() {
            let columns: Vec<String> =
                series["columns"].as_array().unwrap().iter().map(text).collect();
            let ours = ["host", "process_name"];
            for row in series["values"].as_array().unwrap() {
                let cell = |name: &str| {
                    let at = columns.iter().position(|column| column == name)?;
                    Some(text(&row[at]))
                };
                let tag = |name: &str| series["tags"][name].as_str().map(str::to_owned);
                let key: Vec<String> =
                    ours.iter().filter_map(|name| tag(name).or_else(|| cell(name))).collect();
                let is_value = |column: &String| column != "time" && !ours.contains(&&**column);
                let value = &row[columns.iter().position(is_value).unwrap()];
                if time.is_none_or(|time| row[0] == time) {
                    rows.insert(key.join(" "), value.as_f64().unwrap());
                }
            }
        }
        rows
    }

    /// The response to a statement that changes something.
    pub fn tell(&self, statement: &str) -> String {
        self.server.post(&format!("/query?db=x&q={}", http::parameter(statement)), b"").body
    }

    /// Waits until a query returns something.
    pub fn wait_for(&self, query: &str) {
        let answer = until(|answer: &String| answer.contains("\"values\""), || self.answer(query));
        assert!(answer.contains("\"values\""), "{query}: {answer}");
    }

    /// All points of `psstat`, sorted.
    pub fn points(&self) -> Vec<Point> {
        let text = self.server.page("/query?db=x&epoch=ns&q=SELECT+*+FROM+psstat");
        let answer = json::read(&text);
        let series = answer.at("results").item(0).at("series").item(0);
        let columns: Vec<String> =
            series.at("columns").items().iter().map(json::Value::text).collect();
        let point = |row: &json::Value| {
            let pairs = columns.iter().zip(row.items());
            // Tags and fields that a point does not have are null.
            let known = pairs.filter(|(_, value)| !value.is_null());
            known.map(|(name, value)| (name.clone(), value.text())).collect()
        };
        let mut points: Vec<Point> = series.at("values").items().iter().map(point).collect();
        points.sort();
        points
    }
}

/// A value that must be a text.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}
