//! The dashboards for Grafana: each query is taken out of the JSON and asked a real server that has what the real
//! psstat measured, and must return what the measurements say.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use super::Rows;
use super::alerts;
use super::archive::{Answered, Archive};
use super::influxd::{Influxd, text};
use super::made_up::{self, ODD_NAME, Point, SAMPLES, STEP, Sample};
use super::page;
use crate::support::{REPOSITORY, is_installed, limit};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// The number of the sample with which the time range begins. Those before are there for rates.
const FIRST: usize = 5;

/// A query of a dashboard, with the words that Grafana replaces.
struct Query {
    panel: String,
    /// A panel has lines over time, a number or a table.
    is_over_time: bool,
    /// Which of the queries of its panel it is.
    index: usize,
    text: String,
}

/// What is chosen in the variables of a dashboard. `None` is all.
#[derive(Clone, Copy, Debug)]
struct Choice {
    hosts: Option<&'static [&'static str]>,
    groups: Option<&'static [&'static str]>,
}

const CHOICES: [Choice; 3] = [
    Choice { hosts: None, groups: None },
    Choice { hosts: Some(&["alpha"]), groups: None },
    Choice { hosts: Some(&["alpha", "gone"]), groups: Some(&["web", ODD_NAME]) },
];

impl Choice {
    fn has_host(&self, name: &str) -> bool {
        self.hosts.is_none_or(|hosts| hosts.contains(&name))
    }

    fn has(&self, point: &Point) -> bool {
        self.has_host(&point.host)
            && self.groups.is_none_or(|groups| groups.contains(&&*point.group))
    }

    /// A query with the variables and other words replaced as Grafana does it.
    fn put_into(
        &self,
        query: &str,
        escape: fn(&str) -> String,
        words: &[(&str, String)],
    ) -> String {
        let values = |chosen: Option<&[&str]>| match chosen {
            None => ".*".to_owned(),
            Some(values) => {
                let values: Vec<String> = values.iter().map(|value| escape(value)).collect();
                format!("({})", values.join("|"))
            }
        };
        let mut text = query.to_owned();
        for (word, value) in words {
            text = text.replace(word, value);
        }
        let text =
            text.replace("$host", &values(self.hosts)).replace("$group", &values(self.groups));
        // What is left is the end of a regex of InfluxQL.
        let left = text.replace("$/", "");
        assert!(!left.contains('$'), "nobody replaces what begins with a dollar in {text}");
        text
    }
}

/// A value in a regex of InfluxQL.
fn escaped_for_influxql(value: &str) -> String {
    let special = |c: char| "\\^$*+?.()|[]{}/".contains(c);
    value.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// A value in a regex of PromQL, which is in a string.
fn escaped_for_promql(value: &str) -> String {
    let special = |c: char| "$^*{}[]'+?.()|".contains(c);
    let escape = |c: char| if special(c) { format!("\\\\{c}") } else { c.to_string() };
    value.replace('\\', "\\\\\\\\").chars().map(escape).collect()
}

fn dashboard(name: &str, language: &str) -> Value {
    let path = Path::new(REPOSITORY).join(format!("dashboards/{name}-{language}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// All queries of both dashboards.
fn queries(language: &str) -> Vec<Query> {
    let mut found = Vec::new();
    for dashboard in ["groups", "fleet"].map(|name| dashboard(name, language)) {
        for panel in dashboard["panels"].as_array().unwrap() {
            if panel["type"] == "row" {
                continue;
            }
            let is_over_time = panel["type"] == "timeseries";
            for (index, target) in panel["targets"].as_array().unwrap().iter().enumerate() {
                let key = if language == "promql" { "expr" } else { "query" };
                let (panel, text) = (text(&panel["title"]), text(&target[key]));
                found.push(Query { panel, is_over_time, index, text });
            }
        }
    }
    found
}

/// What the answers must be, from what psstat measured.
struct Truth<'p> {
    /// The values of the chosen groups, and of all groups of the chosen hosts.
    points: Vec<&'p Point>,
    of_hosts: Vec<&'p Point>,
    /// What psstat says about itself, after the last sample. Empty for InfluxDB.
    about: &'p [(String, Rows)],
    /// Whether it measured pages for Prometheus, where a counter is what lines have per second.
    has_counters: bool,
}

/// Where fields and counters differ.
enum Kind {
    Value,
    PerSecond,
    /// A number of events: a query shows it per minute. The field is the number since the last sample.
    Events,
    /// The same, and the field is the number since psstat first saw the group.
    Total,
}

fn kind(figure: &str) -> Kind {
    match figure {
        "p_cpu" | "cpu_throttled" | "cpu_pressure" | "mem_pressure" | "io_pressure" => {
            Kind::PerSecond
        }
        "starts" => Kind::Events,
        "oom_kills" => Kind::Total,
        _ => Kind::Value,
    }
}

impl Truth<'_> {
    /// The values of a figure of each group, from the first to the last sample.
    fn of_figure(&self, figure: &str) -> BTreeMap<String, Vec<(usize, f64)>> {
        let mut found: BTreeMap<String, Vec<(usize, f64)>> = BTreeMap::new();
        for point in &self.points {
            if let Some(value) = point.figures.get(figure) {
                let series = found.entry(format!("{} {}", point.host, point.group)).or_default();
                series.push((point.at, *value));
            }
        }
        found
    }

    /// A figure of each group at the end.
    fn last(&self, figure: &str) -> Rows {
        let minute = 60.0 / STEP as f64;
        let value = |series: &[(usize, f64)]| {
            let &(at, last) = series.last()?;
            // The samples of two minutes, which are Grafana's $__rate_interval here.
            let before = |samples: usize| series[series.len() - 1 - samples].1;
            let per_second = || (last - before(4)) / (4 * STEP) as f64;
            let value = match (kind(figure), self.has_counters) {
                (Kind::PerSecond, true) => per_second(),
                (Kind::Events | Kind::Total, true) => per_second() * 60.0,
                (Kind::Events, false) => last * minute,
                (Kind::Total, false) => (last - before(1)) * minute,
                _ => last,
            };
            (at == SAMPLES - 1).then_some(value)
        };
        let rows = self.of_figure(figure).into_iter();
        rows.filter_map(|(key, series)| Some((key, value(&series)?))).collect()
    }

    /// The mean of a figure of each group over all the time.
    fn mean(&self, figure: &str) -> Rows {
        let mean = |series: &[(usize, f64)]| match (kind(figure), self.has_counters) {
            (Kind::PerSecond, true) => {
                let ((first, begin), (last, end)) = (series[0], series[series.len() - 1]);
                (end - begin) / ((last - first) as f64 * STEP as f64)
            }
            _ => series.iter().map(|(_, value)| value).sum::<f64>() / series.len() as f64,
        };
        self.of_figure(figure).into_iter().map(|(key, series)| (key, mean(&series))).collect()
    }

    /// The groups of which there is a value of this kind at the end.
    fn where_processes(&self, are: fn(f64) -> bool) -> BTreeSet<String> {
        self.last("n_proc").into_iter().filter(|(_, n)| are(*n)).map(|(key, _)| key).collect()
    }

    /// The groups that had a value and have none at the end.
    fn unmeasured(&self) -> BTreeSet<String> {
        let now = self.last("n_proc");
        self.of_figure("n_proc").into_keys().filter(|key| !now.contains_key(key)).collect()
    }

    fn hosts(&self, are: fn(&Point) -> bool) -> BTreeSet<String> {
        let of = self.of_hosts.iter().filter(|point| are(point));
        of.map(|point| point.host.clone()).collect()
    }

    /// The hosts that had values and have none at the end.
    fn silent_hosts(&self) -> BTreeSet<String> {
        &self.hosts(|_| true) - &self.hosts(is_last)
    }

    /// What is made of the values that a group has on all hosts.
    fn over_hosts(rows: &Rows, make: fn(&mut Vec<f64>) -> f64) -> Rows {
        let mut groups: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for (key, value) in rows {
            let (_, group) = key.split_once(' ').unwrap();
            groups.entry(group.to_owned()).or_default().push(*value);
        }
        groups.into_iter().map(|(group, mut values)| (group, make(&mut values))).collect()
    }

    fn number_of_hosts(&self, are: fn(f64) -> bool) -> Rows {
        let keys = self.where_processes(are);
        let rows = keys.into_iter().map(|key| (key, 1.0)).collect();
        Truth::over_hosts(&rows, |values| values.iter().sum())
    }

    fn spread(&self, figure: &str, index: usize) -> Rows {
        let median = |values: &mut Vec<f64>| {
            values.sort_by(f64::total_cmp);
            (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
        };
        let largest = |values: &mut Vec<f64>| values.iter().copied().fold(0.0, f64::max);
        Truth::over_hosts(&self.last(figure), if index == 0 { largest } else { median })
    }

    /// What a query must return. A row whose value nobody sees has none.
    fn expected(&self, query: &Query) -> BTreeMap<String, Option<f64>> {
        let number = |rows: BTreeSet<String>| {
            let count = rows.len() as f64;
            (count > 0.0).then(|| (String::new(), count)).into_iter().collect()
        };
        let names = |keys: BTreeSet<String>| keys.into_iter().map(|key| (key, None)).collect();
        let sum =
            |figure: &str| Truth::over_hosts(&self.last(figure), |values| values.iter().sum());
        let about = |metric: &str| {
            let found = self.about.iter().find(|(name, _)| name == metric);
            found.unwrap_or_else(|| panic!("no {metric}")).1.clone()
        };
        let rows: Rows = match &*query.panel {
            "Down" => return names(self.where_processes(|n| n == 0.0)),
            "Not measured" => return names(self.unmeasured()),
            "Silent hosts" => return names(self.silent_hosts()),
            "Groups that run" => number(self.where_processes(|n| n > 0.0)),
            "Groups that are down" => number(self.where_processes(|n| n == 0.0)),
            "Groups not measured" => number(self.unmeasured()),
            "Hosts that report" => number(self.hosts(is_last)),
            "Hosts that are silent" => number(self.silent_hosts()),
            "CPU" => self.last("p_cpu"),
            "Memory, share of the machine" => self.last("p_mem"),
            "Processes" => self.last("n_proc"),
            "Memory" => self.last("mem"),
            "Most CPU" => self.mean("p_cpu"),
            "Most memory" => self.mean("p_mem"),
            "Most processes" => self.mean("n_proc"),
            "Starts" => self.last("starts"),
            "Age" => self.last("uptime"),
            "CPU throttled" => self.last("cpu_throttled"),
            "CPU pressure" => self.last("cpu_pressure"),
            "Memory pressure" => self.last("mem_pressure"),
            "I/O pressure" => self.last("io_pressure"),
            "Memory, share of its limit" => {
                let memory = self.last("mem");
                let limits = self.last("mem_limit").into_iter();
                limits.map(|(key, limit)| (key.clone(), memory[&key] / limit)).collect()
            }
            "OOM kills" => self.last("oom_kills"),
            "Warnings" => about("psstat_sample_warnings"),
            "CPU time of a sample" => about("psstat_sample_cpu_seconds"),
            "CPU of all hosts" => sum("p_cpu"),
            "Processes on all hosts" => sum("n_proc"),
            "Hosts where it runs" => self.number_of_hosts(|n| n > 0.0),
            "Hosts where it is down" => self.number_of_hosts(|n| n == 0.0),
            "CPU of a host" => self.spread("p_cpu", query.index),
            "Memory of a host" => self.spread("p_mem", query.index),
            other => panic!("what must the panel {other:?} show?"),
        };
        rows.into_iter().map(|(key, value)| (key, Some(value))).collect()
    }

    #[track_caller]
    fn check(&self, query: &Query, asked: &str, found: &Rows) {
        let expected = self.expected(query);
        let keys = |keys: Vec<&String>| keys.into_iter().cloned().collect::<BTreeSet<_>>();
        let (found_keys, expected_keys) =
            (keys(found.keys().collect()), keys(expected.keys().collect()));
        assert_eq!(found_keys, expected_keys, "{}: {asked}", query.panel);
        for (key, expected) in expected {
            let (Some(expected), found) = (expected, found[&key]) else { continue };
            // The mean of rates is not exact where a series begins or ends.
            let is_mean_of_rates = self.has_counters && query.panel == "Most CPU";
            let tolerance = if is_mean_of_rates { 0.05 } else { 1e-6 };
            let near = (found - expected).abs() <= 1e-9 + tolerance * expected.abs();
            assert!(near, "{} of {key} is {found} instead of {expected}: {asked}", query.panel);
        }
    }
}

fn is_last(point: &Point) -> bool {
    point.at == SAMPLES - 1
}

fn truth<'p>(points: &'p [Point], about: &'p [(String, Rows)], choice: &Choice) -> Truth<'p> {
    let in_range = points.iter().filter(|point| point.at >= FIRST);
    let of_hosts: Vec<&Point> = in_range.filter(|point| choice.has_host(&point.host)).collect();
    Truth {
        points: of_hosts.iter().copied().filter(|point| choice.has(point)).collect(),
        of_hosts,
        about,
        has_counters: !about.is_empty(),
    }
}

/// Answers whose values do not depend on how long a sample took, of all hosts and groups, so that the truth is
/// known to be what was meant.
#[track_caller]
fn assert_known(answers: &BTreeMap<String, Rows>) {
    let keys = |panel: &str| answers[panel].keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(keys("Down"), ["beta db"]);
    assert_eq!(keys("Not measured"), ["alpha jobs", "gone web"]);
    assert_eq!(keys("Silent hosts"), ["gone"]);
    assert_eq!(answers["CPU"].len(), 8, "{answers:?}");
    let values = [
        ("Groups that run", "", 7.0),
        ("Groups that are down", "", 1.0),
        ("Groups not measured", "", 2.0),
        ("Hosts that report", "", 2.0),
        ("Hosts that are silent", "", 1.0),
        ("Processes", "alpha web", 3.0),
        ("Processes", "beta db", 0.0),
        ("Most processes", "gone web", 2.0),
        ("Processes on all hosts", "web", 5.0),
        ("Memory, share of the machine", "alpha busy", 0.6),
        ("Most memory", "alpha db", 0.1),
        ("Memory", "alpha web", 3000.0 * 4096.0),
        ("Memory, share of its limit", "alpha cache", 0.5),
        ("Hosts where it runs", "web", 2.0),
        ("Hosts where it is down", "db", 1.0),
    ];
    for (panel, key, value) in values {
        let found = answers[panel][key];
        assert!((found - value).abs() < 1e-9, "{panel} of {key} is {found}");
    }
    for (panel, key) in [("Starts", "alpha loop"), ("OOM kills", "alpha cache")] {
        assert!(answers[panel][key] > 0.0, "{panel} of {key}: {answers:?}");
    }
}

#[test]
fn each_query_of_the_influxql_dashboards_returns_what_psstat_measured() {
    let Some(influxd) = Influxd::start() else { return };
    let samples = made_up::lines();
    let points = made_up::points_of_lines(&samples);
    let end = made_up::now();
    influxd.write(made_up::dated(&samples, end).as_bytes());
    let begin = made_up::time(end, FIRST);
    let words = [
        ("$timeFilter", format!("time >= {begin}000ms and time <= {end}000ms")),
        ("${__to}", format!("{end}000")),
        ("$__interval_ms", format!("{STEP}000")),
        ("$__interval", format!("{STEP}s")),
    ];
    let mut answers = BTreeMap::new();
    for choice in CHOICES {
        let truth = truth(&points, &[], &choice);
        for query in queries("influxql") {
            let asked = choice.put_into(&query.text, escaped_for_influxql, &words);
            let found = influxd.rows(&asked, query.is_over_time.then_some(end));
            truth.check(&query, &asked, &found);
            if choice.hosts.is_none() {
                // Otherwise a field or a metric has another name.
                assert!(!found.is_empty(), "{}: nothing is found by {asked}", query.panel);
                answers.entry(query.panel).or_insert(found);
            }
        }
    }
    assert_known(&answers);
    for board in ["groups", "fleet"] {
        for (variable, choice, expected) in chosen() {
            let query = text(&variable_of(&dashboard(board, "influxql"), variable)["query"]);
            let asked = choice.put_into(&query, escaped_for_influxql, &[]);
            let answer: Value = serde_json::from_str(&influxd.answer(&asked)).unwrap();
            let values = answer["results"][0]["series"][0]["values"].as_array().unwrap();
            let found: BTreeSet<String> = values.iter().map(|row| text(&row[1])).collect();
            assert_eq!(found, expected, "{asked}");
        }
    }
}

fn variable_of<'d>(dashboard: &'d Value, name: &str) -> &'d Value {
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    variables.iter().find(|variable| variable["name"] == name).unwrap()
}

/// What the variables offer: which variable, with what chosen in the others, and its values.
fn chosen() -> [(&'static str, Choice, BTreeSet<String>); 3] {
    let set = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    let of_alpha = ["web", "db", "busy", ODD_NAME, "jobs", "loop", "cache"];
    let only = |hosts| Choice { hosts: Some(hosts), groups: None };
    [
        ("host", CHOICES[0], set(&["alpha", "beta", "gone"])),
        ("group", CHOICES[1], set(&of_alpha)),
        ("group", only(&["beta"]), set(&["web", "db"])),
    ]
}

#[test]
fn each_query_of_the_promql_dashboards_returns_what_psstat_measured() {
    let end = made_up::now();
    let Some(samples) = made_up::pages(end) else { return };
    let points = made_up::points_of_pages(&samples);
    let rules = Path::new(REPOSITORY).join("alerts/psstat.rules.yml");
    let Some(server) = Archive::start(&made_up::open_metrics(&samples, end), &rules) else {
        return;
    };
    let range = (made_up::time(end, FIRST), end);
    let words = [
        ("$__rate_interval", format!("{}s", 4 * STEP)),
        ("$__range", format!("{}s", range.1 - range.0)),
        ("$__interval", format!("{STEP}s")),
    ];
    let mut answers = BTreeMap::new();
    for choice in CHOICES {
        let about = about(&samples, &choice);
        let truth = truth(&points, &about, &choice);
        for query in queries("promql") {
            let asked = choice.put_into(&query.text, escaped_for_promql, &words);
            let answered = match query.is_over_time {
                true => server.over(&asked, range, STEP),
                false => server.at(&asked, end),
            };
            let found = answered.into_iter().filter(|series| series.time == end);
            let found: Rows = found.map(|series| (series.key(), series.value)).collect();
            truth.check(&query, &asked, &found);
            if choice.hosts.is_none() {
                // Otherwise a field or a metric has another name.
                assert!(!found.is_empty(), "{}: nothing is found by {asked}", query.panel);
                answers.entry(query.panel).or_insert(found);
            }
        }
    }
    assert_known(&answers);
    for (group, cores) in [("web", 0.001), ("busy", 3.0), ("db", 0.01 / 30.0)] {
        let found = answers["CPU"][&format!("alpha {group}")];
        assert!((found - cores).abs() < 1e-9, "{group}: {found}");
    }
    assert!(answers["Warnings"].keys().any(|key| key.starts_with("alpha no_line")), "{answers:?}");
    for board in ["groups", "fleet"] {
        for (variable, choice, expected) in chosen() {
            let query = text(&variable_of(&dashboard(board, "promql"), variable)["query"]["query"]);
            let asked = choice.put_into(&query, escaped_for_promql, &[]);
            let inner = asked.strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap();
            let (matches, label) = inner.rsplit_once(", ").unwrap();
            let found =
                server.values_of(label, matches, range).into_iter().collect::<BTreeSet<_>>();
            assert_eq!(found, expected, "{asked}");
        }
    }
    alerts::assert_find_what_is_wrong(&server, end);
}

/// What psstat says about itself in the last sample of each chosen host.
fn about(samples: &[Sample], choice: &Choice) -> Vec<(String, Rows)> {
    let names = ["psstat_sample_warnings", "psstat_sample_cpu_seconds"];
    let last =
        samples.iter().filter(|sample| sample.at == SAMPLES - 1 && choice.has_host(sample.host));
    let found: Vec<(&str, page::Sample)> = last
        .flat_map(|sample| made_up::metrics(sample).into_iter().map(|one| (sample.host, one)))
        .collect();
    let rows = |name: &str| {
        let of = found.iter().filter(|(_, sample)| sample.name == name);
        let row = |(host, sample): &(&str, page::Sample)| {
            let mut labels = sample.labels.clone();
            labels.insert("instance".to_owned(), (*host).to_owned());
            let answered = Answered { labels, time: 0, value: sample.value };
            (answered.key(), answered.value)
        };
        of.map(row).collect()
    };
    names.map(|name| (name.to_owned(), rows(name))).into()
}

#[test]
fn the_dashboards_are_what_the_script_makes() {
    if !is_installed("python3") {
        return;
    }
    let mut generate = Command::new("python3");
    generate.arg("-B").arg(Path::new(REPOSITORY).join("dashboards/generate")).arg("--check");
    let output = limit::output(&mut generate).unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
}

/// Both languages have the same panels, but those about psstat itself.
#[test]
fn both_languages_show_the_same() {
    let titles = |language: &str| -> Vec<String> {
        queries(language).into_iter().map(|query| query.panel).collect()
    };
    let about = ["Warnings", "CPU time of a sample"];
    let of_prometheus = titles("promql").into_iter().filter(|title| !about.contains(&&**title));
    assert_eq!(titles("influxql"), of_prometheus.collect::<Vec<_>>());
    assert_eq!(titles("promql").len(), titles("influxql").len() + about.len());
}
