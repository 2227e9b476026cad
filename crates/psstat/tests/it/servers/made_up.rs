//! Half an hour of three made-up hosts, as the real psstat measures them. Each value is known. The half hour
//! passes in seconds: the samples get times that are [`STEP`] apart afterwards.
//!
//! `alpha` has all kinds of groups, on `beta` one of them is down, and `gone` has been silent for most of the
//! time.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use super::page;
use super::prometheus::NodeExporter;
use crate::support::fake_proc::{FakeProc, Process};
use crate::support::line::{self, Line};
use crate::support::{Run, psstat, ticks_since_boot};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds between two samples.
pub const STEP: i64 = 30;

/// The number of samples.
pub const SAMPLES: usize = 60;

/// The samples of `gone`.
const OF_GONE: usize = 20;

/// From this sample on, the pid file of the group `jobs` has no pid.
const UNMEASURED_FROM: usize = 36;

/// The number of samples between two restarts of the group `loop`.
const RESTART: usize = 4;

/// In the last samples, the page of `beta` is not written any more. So old is it then, in seconds.
pub const AGE_OF_PAGE: i64 = 200;

/// A name that means something else to a regex, and to both query languages.
pub const ODD_NAME: &str = "a/b|c.d (e)";

const PAGE: usize = 4096;

/// The fields beside those that each format has by default, and the metric of each.
pub const METRICS: [(&str, &str); 11] = [
    ("p_cpu", "psstat_cpu_seconds_total"),
    ("mem", "psstat_memory_bytes"),
    ("n_proc", "psstat_processes"),
    ("starts", "psstat_starts_total"),
    ("uptime", "psstat_uptime_seconds"),
    ("cpu_throttled", "psstat_cpu_throttled_seconds_total"),
    ("cpu_pressure", "psstat_cpu_pressure_seconds_total"),
    ("mem_pressure", "psstat_memory_pressure_seconds_total"),
    ("io_pressure", "psstat_io_pressure_seconds_total"),
    ("oom_kills", "psstat_oom_kills_total"),
    ("mem_limit", "psstat_memory_limit_bytes"),
];

/// One sample of one host.
pub struct Sample {
    pub host: &'static str,
    /// The number of the sample: its time is so many steps after that of the first.
    pub at: usize,
    pub text: String,
}

pub struct Host {
    pub name: &'static str,
    tree: FakeProc,
    cache: tempfile::TempDir,
    samples: usize,
}

impl Host {
    /// All hosts.
    pub fn all() -> Vec<Host> {
        let host = |name, samples, groups: &str| {
            let (tree, cache) = (FakeProc::new(), tempfile::tempdir().unwrap());
            let pids = format!("{}/pids", tree.path().display());
            tree.write("psstat.toml", groups.replace("PIDS", &pids));
            Host { name, tree, cache, samples }
        };
        let group = |name: &str, key: &str| format!("[[group]]\nname = \"{name}\"\n{key}\n");
        let of_alpha = [
            group("web", "pid = 100"),
            group("db", "pid = 200"),
            group("busy", "pid = 300"),
            group(ODD_NAME, "pid = 400"),
            group("jobs", "pid_file = \"PIDS/jobs\""),
            group("loop", "pid_file = \"PIDS/loop\""),
            group("cache", "systemd = \"cache\""),
        ];
        let of_beta = [group("web", "pid = 100"), group("db", "pid = 200")];
        vec![
            host("alpha", SAMPLES, &of_alpha.concat()),
            host("beta", SAMPLES, &of_beta.concat()),
            host("gone", OF_GONE, &of_beta[0]),
        ]
    }

    /// The procfs.
    pub fn procfs(&self) -> &Path {
        self.tree.path()
    }

    /// The state of the host before a sample.
    fn change(&self, at: usize) {
        let done = |ticks: u64| ticks * (at as u64 + 1);
        let add = |pid: u32, parent: u32, own: u64, resident: u64| {
            self.tree.add(&Process { own, resident, ..Process::new(pid, parent, "x") });
        };
        // A thousandth of a core in web, a third of it in db, two thirds in jobs, and three cores in busy.
        if self.name == "alpha" {
            for (pid, parent) in [(100, 1), (101, 100), (102, 101)] {
                add(pid, parent, done(1), 1000);
            }
            add(200, 1, done(1), 100_000);
            add(300, 1, done(9000), 600_000);
            add(400, 1, 0, 10);
            add(500, 1, done(2), 20);
            let pid = if at < UNMEASURED_FROM { "500\n" } else { "not a pid\n" };
            self.tree.write("pids/jobs", pid);
            self.restart(at);
            self.set_unit(at as u64 + 1);
        } else {
            let own = if self.name == "beta" { done(1) } else { 0 };
            add(100, 1, own, 500);
            add(101, 100, 0, 500);
        }
    }

    /// The main process of `loop` is another one after some samples.
    fn restart(&self, at: usize) {
        let number = at / RESTART;
        let pid = 1000 + number as u32;
        if at.is_multiple_of(RESTART) {
            let start = if at == 0 { 1 } else { ticks_since_boot() };
            self.tree.add(&Process { start, resident: 5, ..Process::new(pid, 1, "x") });
            self.tree.write("pids/loop", format!("{pid}\n"));
            if number > 0 {
                self.tree.remove(pid - 1);
            }
        }
    }

    /// The unit `cache`, which has felt so many times what it feels between two samples.
    fn set_unit(&self, times: u64) {
        let pid = 600;
        self.tree.add(&Process { resident: 25_000, ..Process::new(pid, 1, "x") });
        self.tree.write(format!("{pid}/cgroup"), "0::/system.slice/cache.service\n");
        let write =
            |path: &str, text: String| self.tree.write(format!("sys/fs/cgroup/{path}"), text);
        write("cgroup.procs", "1\n".to_owned());
        write("system.slice/cgroup.procs", String::new());
        let of_unit =
            |file: &str, text: String| write(&format!("system.slice/cache.service/{file}"), text);
        of_unit("cgroup.procs", format!("{pid}\n"));
        let throttled = 3000 * times;
        of_unit("cpu.stat", format!("usage_usec 0\nthrottled_usec {throttled}\n"));
        for (file, micros) in [("cpu", 6000), ("memory", 9000), ("io", 12_000)] {
            let total = micros * times;
            let text = format!("some avg10=0.00 avg60=0.00 avg300=0.00 total={total}\n");
            of_unit(&format!("{file}.pressure"), text);
        }
        // One kill just before the last sample.
        let kills = u64::from(times > SAMPLES as u64);
        of_unit("memory.events", format!("oom_kill {kills}\n"));
        of_unit("memory.max", format!("{}\n", 50_000 * PAGE));
    }

    /// Runs psstat with these further options.
    fn measure<'a>(&self, options: impl IntoIterator<Item = &'a str>) -> Run {
        let mut command = psstat();
        command.arg("--config").arg(self.tree.file("psstat.toml"));
        command.arg("--proc").arg(self.tree.path()).arg("--sys").arg(self.tree.file("sys"));
        command.arg("--cache-dir").arg(self.cache.path());
        let run = Run::of(command.args(["--timeout", "5m"]).args(options));
        assert_eq!(run.status, Some(0), "{run:?}");
        run
    }

    fn fields(&self, first: &str) -> String {
        let others = METRICS[1..].iter().map(|(field, _)| format!(",{field}"));
        format!("{first}{}", others.collect::<String>())
    }
}

/// The samples as lines for InfluxDB.
pub fn lines() -> Vec<Sample> {
    let hosts = Host::all();
    let take = |host: &Host| {
        let fields = host.fields("p_cpu,p_mem");
        host.measure(["--host", host.name, "--fields", &fields])
    };
    for host in &hosts {
        host.change(0);
        take(host).assert_first();
    }
    let mut samples = Vec::new();
    for at in 1..=SAMPLES {
        // In a shorter interval p_cpu is not above the number of processors.
        std::thread::sleep(Duration::from_millis(110));
        for host in hosts.iter().filter(|host| at <= host.samples) {
            host.change(at);
            let text = String::from_utf8(take(host).stdout).unwrap();
            samples.push(Sample { host: host.name, at: at - 1, text });
        }
    }
    samples
}

/// The samples as pages for Prometheus, as node_exporter shows them; the last one is taken at that time. `None` if
/// it is not installed.
#[track_caller]
pub fn pages(end: i64) -> Option<Vec<Sample>> {
    let mut served = Vec::new();
    for host in Host::all() {
        let exporter = NodeExporter::start(host.procfs())?;
        served.push((host, exporter));
    }
    let mut samples = Vec::new();
    for at in 0..=SAMPLES {
        for (host, exporter) in served.iter().filter(|(host, _)| at <= host.samples) {
            let page = exporter.page("psstat.prom");
            host.change(at);
            let output = page.to_str().unwrap();
            let fields = host.fields("cpu_time");
            host.measure(["--format", "prometheus", "--output", output, "--fields", &fields]);
            if at == 0 {
                continue;
            }
            let mut written = time(end, at - 1);
            if host.name == "beta" {
                written = written.min(end - AGE_OF_PAGE);
            }
            let written = UNIX_EPOCH + Duration::from_secs(written.try_into().unwrap());
            File::options().append(true).open(&page).unwrap().set_modified(written).unwrap();
            samples.push(Sample { host: host.name, at: at - 1, text: exporter.metrics() });
        }
    }
    Some(samples)
}

/// The time of a sample, in seconds since 1970, if the last one is taken at `end`.
pub fn time(end: i64, at: usize) -> i64 {
    end - STEP * i64::try_from(SAMPLES - 1 - at).unwrap()
}

/// Seconds since 1970.
pub fn clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed()
}

/// The newest time that can be that of the last sample.
pub fn now() -> i64 {
    clock() / STEP * STEP
}

/// The lines with times of their own: the last one is taken at that time.
pub fn dated(samples: &[Sample], end: i64) -> String {
    let mut text = String::new();
    for sample in samples {
        for line in sample.text.lines() {
            let (line, _) = line.rsplit_once(' ').unwrap();
            text.push_str(&format!("{line} {}000000000\n", time(end, sample.at)));
        }
    }
    text
}

/// Metrics of node_exporter that queries use.
const OF_MACHINE: [&str; 2] = ["node_memory_MemTotal_bytes", "node_textfile_mtime_seconds"];

/// The samples in OpenMetrics, with the labels that Prometheus adds, and with times.
pub fn open_metrics(samples: &[Sample], end: i64) -> String {
    let mut text = String::new();
    for sample in samples {
        for of in metrics(sample) {
            let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"");
            let label = |(key, value): (&String, &String)| format!(",{key}=\"{}\"", escaped(value));
            let labels: String = of.labels.iter().map(label).collect();
            let page::Sample { name, value, .. } = of;
            let (host, time) = (sample.host, time(end, sample.at));
            text.push_str(&format!(
                "{name}{{job=\"node\",instance=\"{host}\"{labels}}} {value} {time}\n"
            ));
        }
    }
    text + "# EOF\n"
}

/// The metrics of a page that are psstat's or that queries use.
pub fn metrics(sample: &Sample) -> Vec<page::Sample> {
    let wanted = |line: &&str| {
        let name = line.trim_start_matches("# HELP ").trim_start_matches("# TYPE ");
        name.starts_with("psstat_") || OF_MACHINE.iter().any(|wanted| name.starts_with(wanted))
    };
    let page: String = sample.text.lines().filter(wanted).map(|line| format!("{line}\n")).collect();
    let mut found = page::read(&page);
    for sample in &mut found {
        // node_exporter adds the labels that only other series of the metric have.
        sample.labels.retain(|_, value| !value.is_empty());
    }
    found
}

/// One value of a group: its host, its name, the number of the sample, and the figures by field. A counter of a
/// page has the value of the counter.
pub struct Point {
    pub host: String,
    pub group: String,
    pub at: usize,
    pub figures: BTreeMap<&'static str, f64>,
}

/// What the lines say.
pub fn points_of_lines(samples: &[Sample]) -> Vec<Point> {
    let of_sample = |sample: &Sample| {
        let point = |line: &Line| {
            let fields = METRICS.iter().map(|(field, _)| *field).chain(["p_mem"]);
            let figure = |field: &'static str| Some((field, line.value(field)?));
            let figures = fields.filter_map(figure).collect();
            let (host, group) = (sample.host.to_owned(), line.name().to_owned());
            Point { host, group, at: sample.at, figures }
        };
        line::read(sample.text.as_bytes()).iter().map(point).collect::<Vec<_>>()
    };
    samples.iter().flat_map(of_sample).collect()
}

/// What the pages say.
pub fn points_of_pages(samples: &[Sample]) -> Vec<Point> {
    let of_sample = |sample: &Sample| {
        let mut groups: BTreeMap<String, BTreeMap<&'static str, f64>> = BTreeMap::new();
        let found = metrics(sample);
        let memory = found.iter().find(|one| one.name == OF_MACHINE[0]).unwrap().value;
        for one in found {
            let Some(group) = one.labels.get("process_name") else { continue };
            let Some((field, _)) = METRICS.iter().find(|(_, metric)| *metric == one.name) else {
                continue;
            };
            let figures = groups.entry(group.clone()).or_default();
            figures.insert(field, one.value);
            if *field == "mem" {
                figures.insert("p_mem", one.value / memory);
            }
        }
        let point = |(group, figures)| Point {
            host: sample.host.to_owned(),
            group,
            at: sample.at,
            figures,
        };
        groups.into_iter().map(point).collect::<Vec<_>>()
    };
    samples.iter().flat_map(of_sample).collect()
}
