//! Real databases accept every line and page of psstat, and return the same tags and values, whatever
//! the names of processes and control groups.
//!
//! Each test starts its own servers on free ports of 127.0.0.1. It is skipped if one of them is not
//! installed.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

mod alerts;
mod archive;
mod dashboards;
mod http;
mod influxd;
mod json;
mod made_up;
pub mod page;
mod process;
mod prometheus;
mod victoria_metrics;

use crate::names::{self, NAMES, Named};
use crate::support::fake_proc::{FakeProc, Process};
use crate::support::line::{self, Line, Number};
use crate::support::{Job, Run, is_installed, psstat};
use influxd::Influxd;
use prometheus::Prometheus;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::process::Command;
use victoria_metrics::VictoriaMetrics;

/// All fields that every process has. Each is tested in every database.
const FIELDS: [&str; 15] = [
    "p_cpu",
    "p_mem",
    "n_proc",
    "cpu_time",
    "mem",
    "n_thread",
    "n_zombie",
    "n_fd",
    "io_read",
    "io_write",
    "faults_major",
    "ctx_switches",
    "uptime",
    "swap",
    "starts",
];

/// Tags with all characters that a key or a value can contain.
pub const TAGS: [&str; 12] = [
    "host=the, =host",
    "env=a b,c=d",
    "k e,y==v\\",
    "ü=\"q\"",
    "b\\,=x",
    "c\\ d=\\=\\ \\,\\\\e",
    "d'=\\n\n\t\r",
    "#e= f",
    "1f=\u{1f400}",
    "g=null",
    "h=\"",
    "p_cpu_=1i",
];

/// What a query returns: the value of each series, by what distinguishes it.
type Rows = BTreeMap<String, f64>;

/// A point of InfluxDB: the value of each column, as text.
type Point = BTreeMap<String, String>;

/// A series of VictoriaMetrics. The labels include its name.
#[derive(Clone, Debug, PartialEq)]
struct Series {
    labels: BTreeMap<String, String>,
    values: Vec<f64>,
    millis: Vec<i64>,
}

/// Processes for psstat to measure. They exist until this value is dropped.
enum World {
    /// Simulated processes with all hostile names, and with the highest and lowest values.
    MadeUp(FakeProc),
    /// Real processes with all hostile names.
    Real(Vec<Named>),
    /// Processes in control groups with long and hostile paths.
    Grouped(FakeProc),
}

impl World {
    fn all() -> [World; 3] {
        let real = NAMES.iter().map(|(name, _)| Named::new(name)).collect();
        let grouped = FakeProc::new();
        for (index, path) in long_paths().iter().enumerate() {
            let pid = 100 + index as u32;
            grouped.add(&Process::new(pid, 1, "member"));
            has_done(&grouped, pid, 1);
            grouped.write(format!("{pid}/cgroup"), format!("0::/{path}\n"));
        }
        [World::MadeUp(names::tree_of_all_names()), World::Real(real), World::Grouped(grouped)]
    }

    /// Takes a first sample if there is a cache, so that the next sample has all fields. Returns the
    /// command that takes the next sample, and the job that must exist until it has run.
    fn job(&self, format: &str) -> (Command, Option<Job<'_>>) {
        let fields = FIELDS.join(",");
        let options = ["--format", format, "--fields", &fields].map(str::to_owned);
        match self {
            World::MadeUp(tree) => {
                let pids = || (0..NAMES.len() as u32).map(|index| 200 + index);
                pids().for_each(|pid| has_done(tree, pid, 1));
                let tags = TAGS.iter().flat_map(|tag| ["--tag", tag]).map(str::to_owned);
                let args = names::each_by_pid().into_iter().chain(tags).chain(options);
                let job = Job::new(tree, args);
                job.run();
                // Each process has used more than the one before, and the last more than any machine
                // could use, but at most 15 digits, because VictoriaMetrics keeps no more.
                for (index, (name, _)) in NAMES.iter().enumerate() {
                    let own = if index + 1 == NAMES.len() { 1 << 20 } else { index as u64 };
                    let resident = [0, 1, 999_999, 3_000_000].get(index).copied();
                    let resident = resident.unwrap_or(1000 + index as u64);
                    let process = Process::new(200 + index as u32, 100, name);
                    let pid = process.pid;
                    tree.add(&Process { own, resident, ..process });
                    has_done(tree, pid, 1 + index as u64);
                }
                (job.command(), Some(job))
            }
            World::Real(processes) => {
                let mut command = psstat();
                command.args(["--wait", "10ms", "--timeout", "5m", "--host", "real"]).args(options);
                for process in processes {
                    command.args(["--pid", &process.pid()]);
                }
                (command, None)
            }
            World::Grouped(tree) => {
                let nowhere = tree.file("no-sys").display().to_string();
                let args = ["--cgroup", "*", "--sys", &nowhere].map(str::to_owned);
                let job = Job::new(tree, args.into_iter().chain(options));
                job.run();
                (job.command(), Some(job))
            }
        }
    }

    /// The number of processes with each name.
    fn expected(&self) -> BTreeMap<String, usize> {
        match self {
            World::MadeUp(_) | World::Real(_) => names::expected(),
            // Every directory in the path is a control group too, and contains the process.
            World::Grouped(_) => long_paths().iter().flat_map(|path| directories(path)).collect(),
        }
    }

    /// The output of psstat, in Influx line protocol.
    fn lines(&self) -> Vec<u8> {
        let (mut command, job) = self.job("influx");
        let run = Run::of(&mut command);
        drop(job);
        assert_same(names::found(&run.lines()), self.expected());
        run.stdout
    }
}

/// Sets the counters of a process to multiples of `much`.
fn has_done(tree: &FakeProc, pid: u32, much: u64) {
    tree.set_io(pid, 4096 * much, 512 * much);
    tree.set_threads(pid, &[(pid, 10 * much)]);
    tree.set_open_files(pid, 3);
}

/// Paths of control groups of the maximum length, which are printed without changes.
fn long_paths() -> Vec<String> {
    let parts = ["a, b=c", "docker-", "\"q\"", "my\\x2dunit", "größe", "\u{1f400}"];
    parts.map(|part| vec![part.repeat(200 / part.len()); 19].join("/")).into()
}

/// All directories in a path, each with one process.
fn directories(path: &str) -> impl Iterator<Item = (String, usize)> {
    let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
    ends.map(|end| (path[..end].to_owned(), 1))
}

/// Checks that both are equal. Prints only the first difference.
fn assert_same<T: PartialEq + Debug>(
    found: impl IntoIterator<Item = T>,
    expected: impl IntoIterator<Item = T>,
) {
    let (mut found, mut expected) = (found.into_iter(), expected.into_iter());
    loop {
        let pair = (found.next(), expected.next());
        assert_eq!(pair.0, pair.1);
        if pair.0.is_none() {
            return;
        }
    }
}

/// All lines, of all worlds.
fn all_lines() -> Vec<Vec<u8>> {
    World::all().iter().map(World::lines).collect()
}

/// A field's value as text and as a number.
fn value(number: Number) -> (String, f64) {
    match number {
        Number::Float(number) => (number.to_string(), number),
        Number::Integer(number) => (number.to_string(), number as f64),
    }
}

#[test]
fn influxdb_returns_what_was_written() {
    let Some(influxd) = Influxd::start() else { return };
    let mut written: Vec<Point> = Vec::new();
    for lines in all_lines() {
        influxd.write(&lines);
        written.extend(line::read(&lines).iter().map(as_point));
    }
    written.sort();
    assert_same(influxd.points(), written);
}

/// The point that InfluxDB should return for a line.
fn as_point(line: &Line) -> Point {
    let fields = line.fields.iter().map(|(key, number)| (key.clone(), value(*number).0));
    let time = ("time".to_owned(), line.time.to_string());
    line.tags.iter().cloned().chain(fields).chain([time]).collect()
}

#[test]
fn victoria_metrics_returns_what_was_written() {
    let Some(server) = VictoriaMetrics::start() else { return };
    let mut written: Vec<Series> = Vec::new();
    for lines in all_lines() {
        server.write(&lines);
        written.extend(line::read(&lines).iter().flat_map(as_series));
    }
    written.sort_by(|one, other| one.labels.cmp(&other.labels));
    assert_same(server.complaints(), Vec::new());
    assert_same(server.series(written.len()), written);
}

/// The series that VictoriaMetrics should return for a line: one for each field, with the time in
/// milliseconds.
fn as_series(line: &Line) -> Vec<Series> {
    let series = |(key, number): &(String, Number)| {
        let name = ("__name__".to_owned(), format!("psstat_{key}"));
        let labels = line.tags.iter().cloned().chain([name]).collect();
        Series { labels, values: vec![value(*number).1], millis: vec![line.time / 1_000_000] }
    };
    line.fields.iter().map(series).collect()
}

#[test]
fn prometheus_returns_what_it_scraped() {
    let Some(prometheus) = Prometheus::start() else { return };
    for world in World::all() {
        let (mut command, job) = world.job("prometheus");
        let written = page::read(&prometheus.publish(&mut command));
        drop(job);
        let of_groups = of_groups(&written);
        assert_eq!(metrics(&of_groups).len(), FIELDS.len(), "{:?}", metrics(&of_groups));
        assert_same(counted(&written), world.expected());
        assert_same(prometheus.samples(&written), written);
        assert_eq!(prometheus.scrape_error(), Some(0.0));
    }
    // A first run replaces the page of an earlier boot by one without groups, which is not an error.
    let tree = names::tree_of_all_names();
    let first = Job::new(&tree, ["--format", "prometheus", "--pid", "100"]);
    let written = page::read(&prometheus.publish(&mut first.command()));
    assert_eq!(of_groups(&written), []);
    let about =
        ["psstat_build_info", "psstat_sample_cpu_seconds", "psstat_sample_duration_seconds"];
    assert_eq!(metrics(&written), BTreeSet::from(about));
    assert_same(prometheus.samples(&written), written);
    assert_eq!(prometheus.scrape_error(), Some(0.0));
    // A second page beside it says the same about another job.
    let second = Job::new(&tree, ["--format", "prometheus", "--pid", "other:100"]);
    prometheus.publish_as("other.prom", &mut second.command());
    assert_eq!(prometheus.scrape_error(), Some(0.0));
}

#[test]
fn promtool_accepts_every_page() {
    if !is_installed("promtool") {
        return;
    }
    for world in World::all() {
        let (mut command, job) = world.job("prometheus");
        let page = String::from_utf8(Run::of(&mut command).stdout).unwrap();
        drop(job);
        assert_same(counted(&page::read(&page)), world.expected());
        assert_eq!(prometheus::lint(&page), "");
    }
    let empty = FakeProc::new();
    let job = Job::new(&empty, ["--format", "prometheus", "--pattern", "nothing"]);
    job.run();
    let page = job.run();
    let page = String::from_utf8(page.stdout).unwrap();
    assert_eq!(of_groups(&page::read(&page)), []);
    assert_eq!(prometheus::lint(&page), "");
}

/// The samples that are not about psstat itself.
fn of_groups(samples: &[page::Sample]) -> Vec<page::Sample> {
    let of_group = |sample: &&page::Sample| sample.labels.contains_key("process_name");
    samples.iter().filter(of_group).cloned().collect()
}

fn metrics(samples: &[page::Sample]) -> BTreeSet<&str> {
    samples.iter().map(|sample| sample.name.as_str()).collect()
}

/// The number of processes with each name, according to a page.
fn counted(samples: &[page::Sample]) -> BTreeMap<String, usize> {
    let of = samples.iter().filter(|sample| sample.name == "psstat_processes");
    let pair = |sample: &page::Sample| {
        (sample.labels["process_name"].clone(), sample.value.to_string().parse().unwrap())
    };
    of.map(pair).collect()
}

/// The queries in docs/FLEET.md in this language.
fn documented(language: &str) -> Vec<&'static str> {
    let begin = format!("```{language}\n");
    let blocks = include_str!("../../../../docs/FLEET.md").split(&begin).skip(1);
    blocks.flat_map(|block| block.split("```").next().unwrap().lines()).collect()
}

/// Lines of two hosts. The service `web` is running on the first and down on the second.
fn up_and_down() -> Vec<u8> {
    let lines = |host: &str, pid: u32| {
        let tree = FakeProc::new();
        tree.add(&Process::new(100, 1, "nginx"));
        let selector = format!("web:{pid}");
        let job = Job::new(&tree, ["--pid", &selector, "--tag", &format!("host={host}")]);
        job.baseline();
        tree.add(&Process { own: 1, resident: 1000, ..Process::new(100, 1, "nginx") });
        job.run().stdout
    };
    let lines = [lines("up", 100), lines("down", 4242)].concat();
    let counts: Vec<usize> = line::read(&lines).iter().map(Line::n_proc).collect();
    assert_eq!(counts, [1, 0]);
    lines
}

#[test]
fn influxdb_queries_of_the_docs_find_the_host_that_is_down() {
    let lines = up_and_down();
    let Some(influxd) = Influxd::start() else { return };
    influxd.write(&lines);
    let queries = documented("influxql");
    assert_eq!(queries.len(), 4);
    let answers: Vec<String> = queries.iter().map(|query| influxd.answer(query)).collect();
    assert!(answers.iter().all(|answer| answer.contains("\"values\"")), "{answers:#?}");
    assert!(answers[1].contains("\"down\"") && !answers[1].contains("\"up\""), "{answers:#?}");
    assert!(answers[2].contains("\"down\"") && answers[2].contains("\"up\""), "{answers:#?}");
}

#[test]
fn promql_queries_of_the_docs_find_the_host_that_is_down() {
    let lines = up_and_down();
    let Some(server) = VictoriaMetrics::start() else { return };
    server.write(&lines);
    assert_eq!(server.series(6).len(), 6);
    let queries = documented("promql");
    assert_eq!(queries.len(), 7);
    let hosts: Vec<Vec<String>> =
        queries.iter().map(|query| server.hosts_of_answer(query)).collect();
    let fleet = || vec![String::new()];
    let host = |name: &str| vec![name.to_owned()];
    assert_eq!(hosts[..2], [fleet(), host("down")], "{hosts:?}");
    assert_eq!(hosts[2], ["up", "down"]);
    assert_eq!(hosts[3..], [host("up"), fleet(), fleet(), fleet()], "{hosts:?}");
}
