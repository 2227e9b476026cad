//! A real Prometheus that scrapes a real node_exporter, whose textfile collector reads pages from
//! a directory.

use super::page::Sample;
use super::process::{Ports, Program, Server, until};
use super::{http, json};
use crate::support::limit;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROMETHEUS: Program<'_> =
    Program { name: "prometheus", arguments: &of_prometheus, ready: "/-/ready" };

/// The directory of pages, in that of node_exporter.
const PAGES: &str = "pages";

/// The file with the targets that Prometheus scrapes. It may be written at any time.
const TARGETS: &str = "targets.json";

pub struct Prometheus {
    server: Server,
    exporter: NodeExporter,
}

/// A real node_exporter, which reads pages from a directory of its own.
pub struct NodeExporter {
    server: Server,
}

impl NodeExporter {
    /// Starts one that shows the memory of the machine with this procfs. `None` if it is not installed.
    #[track_caller]
    pub fn start(procfs: &Path) -> Option<NodeExporter> {
        let arguments = |directory: &Path, ports: Ports| {
            let pages = directory.join(PAGES);
            std::fs::create_dir(&pages).expect("its directory takes directories");
            vec![
                "--collector.disable-defaults".to_owned(),
                "--collector.textfile".to_owned(),
                "--collector.meminfo".to_owned(),
                format!("--path.procfs={}", procfs.display()),
                format!("--collector.textfile.directory={}", pages.display()),
                format!("--web.listen-address=127.0.0.1:{}", ports.http),
            ]
        };
        let program =
            Program { name: "prometheus-node-exporter", arguments: &arguments, ready: "/metrics" };
        Some(NodeExporter { server: Server::start(&program)? })
    }

    /// The path of a page of that name.
    pub fn page(&self, name: &str) -> PathBuf {
        self.server.file(PAGES).join(name)
    }

    /// What Prometheus scrapes.
    pub fn metrics(&self) -> String {
        self.server.page("/metrics")
    }
}

fn of_prometheus(directory: &Path, ports: Ports) -> Vec<String> {
    let text = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: node\n    \
         file_sd_configs:\n      - files: [{TARGETS}]\n        refresh_interval: 1s\n"
    );
    let config = directory.join("prometheus.yml");
    std::fs::write(&config, text).expect("its directory takes files");
    vec![
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", directory.join("data").display()),
        format!("--web.listen-address=127.0.0.1:{}", ports.http),
    ]
}

impl Prometheus {
    /// Starts both. `None` if one of them is not installed.
    #[track_caller]
    pub fn start() -> Option<Prometheus> {
        let exporter = NodeExporter::start(Path::new("/proc"))?;
        let server = Server::start(&PROMETHEUS)?;
        let targets = format!("[{{\"targets\": [\"127.0.0.1:{}\"]}}]", exporter.server.port());
        let unfinished = server.file("unfinished");
        std::fs::write(&unfinished, targets).expect("written");
        std::fs::rename(unfinished, server.file(TARGETS)).expect("renamed");
        Some(Prometheus { server, exporter })
    }

    /// Runs psstat and writes its page where node_exporter reads it. Returns the page.
    pub fn publish(&self, command: &mut Command) -> String {
        self.publish_as("psstat.prom", command)
    }

    /// The same, with that name of the page.
    pub fn publish_as(&self, name: &str, command: &mut Command) -> String {
        let page = self.exporter.page(name);
        let output = limit::output(command.arg("--output").arg(&page)).expect("psstat runs");
        assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
        std::fs::read_to_string(page).expect("UTF-8")
    }

    /// The error metric of node_exporter: 0 if every page was well-formed.
    pub fn scrape_error(&self) -> Option<f64> {
        let page = self.exporter.metrics();
        let name = "node_textfile_scrape_error ";
        page.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.parse().unwrap())
    }

    /// The samples of psstat in Prometheus, sorted. Waits until they are as expected, and returns the
    /// last result after some time. Checks and removes the labels that Prometheus adds.
    pub fn samples(&self, expected: &[Sample]) -> Vec<Sample> {
        until(|samples: &Vec<Sample>| samples == expected, || self.now())
    }

    fn now(&self) -> Vec<Sample> {
        let query = http::parameter("{__name__=~\"psstat_.*\"}");
        let answer = json::read(&self.server.page(&format!("/api/v1/query?query={query}")));
        assert_eq!(answer.at("status").text(), "success");
        let instance = format!("127.0.0.1:{}", self.exporter.server.port());
        let sample = |of: &json::Value| {
            let mut labels = of.at("metric").texts();
            let name = labels.remove("__name__").expect("a name");
            assert_eq!(labels.remove("instance").as_ref(), Some(&instance));
            assert_eq!(labels.remove("job").as_deref(), Some("node"));
            let value = of.at("value").item(1).text().parse().expect("a number");
            Sample { name, labels, value }
        };
        let answer = answer.at("data").at("result").items().iter().map(sample);
        let mut samples: Vec<Sample> = answer.collect();
        samples.sort_by(Sample::order);
        samples
    }
}

/// The output of `promtool check metrics` for a page. Empty if it finds no fault.
pub fn lint(page: &str) -> String {
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool runs");
    child.stdin.take().expect("a pipe").write_all(page.as_bytes()).expect("promtool reads");
    let output = limit::finish(child, limit::LIMIT);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(output.status.success(), said.is_empty(), "{:?}: {said}", output.status);
    said
}
