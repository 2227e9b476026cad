//! The alerts: each condition is asked a real server, and must find what is wrong and nothing else.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use super::archive::{Answered, Archive};
use super::influxd::Influxd;
use super::made_up::{self, METRICS};
use crate::support::{REPOSITORY, is_installed, limit};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// The conditions of the alerts, as Prometheus has read them.
pub fn assert_find_what_is_wrong(server: &Archive, end: i64) {
    let expected: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("PsstatGroupDown", &["beta db"] as &[&str]),
        ("PsstatGroupNotMeasured", &["alpha jobs"]),
        ("PsstatGroupCpu", &["alpha busy"]),
        ("PsstatGroupMemory", &["alpha busy"]),
        ("PsstatGroupRestarts", &["alpha loop"]),
        ("PsstatPageOld", &["beta"]),
        ("PsstatPageMissing", &["gone psstat.prom"]),
    ]);
    let rules = server.rules();
    let names: BTreeSet<&str> = rules.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, expected.keys().copied().collect());
    for (name, query) in &rules {
        let found: Vec<String> = server.at(query, end).iter().map(Answered::key).collect();
        assert_eq!(found, expected[name.as_str()], "{name}: {query}");
    }
    // Each half of an alert that needs one of two fields.
    let (_, restarts) = rules.iter().find(|(name, _)| name == "PsstatGroupRestarts").unwrap();
    let halves: Vec<&str> = restarts.split(" or ").collect();
    assert_eq!(halves.len(), 2);
    for half in halves {
        let found: Vec<String> = server.at(half, end).iter().map(Answered::key).collect();
        assert_eq!(found, ["alpha loop"], "{half}");
    }
}

#[test]
fn the_alerts_for_prometheus_pass_their_own_tests() {
    if !is_installed("promtool") {
        return;
    }
    let alerts = Path::new(REPOSITORY).join("alerts");
    for arguments in
        [["check", "rules", "psstat.rules.yml"], ["test", "rules", "psstat.rules.test.yml"]]
    {
        let mut promtool = Command::new("promtool");
        let output = limit::output(promtool.args(arguments).current_dir(&alerts)).unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
    // The samples of these tests are made up. Their names are psstat's.
    let known: BTreeSet<&str> = METRICS.iter().map(|(_, metric)| *metric).collect();
    let tests = std::fs::read_to_string(alerts.join("psstat.rules.test.yml")).unwrap();
    let series: Vec<&str> =
        tests.split("series: '").skip(1).map(|rest| rest.split('{').next().unwrap()).collect();
    assert!(series.len() > 15, "{series:?}");
    for name in series.into_iter().filter(|name| name.starts_with("psstat_")) {
        let others = ["psstat_group_unmeasured", "psstat_build_info"];
        assert!(known.contains(name) || others.contains(&name), "{name}");
    }
}

/// The statements of a file of InfluxQL, without comments.
fn statements(name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(REPOSITORY).join("alerts").join(name)).unwrap();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("--"));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    text.split(';').map(|statement| statement.trim().to_owned()).collect()
}

/// The query of an alert.
fn query_of(alert: &str) -> String {
    let mut queries = statements("psstat.influxql").into_iter();
    queries.find(|query| query.contains(&format!(" AS \"{alert}\" "))).unwrap()
}

/// What a query finds.
fn found(influxd: &Influxd, query: &str) -> Vec<String> {
    influxd.rows(query, None).into_keys().collect()
}

#[test]
fn the_alerts_for_influxdb_find_what_is_wrong() {
    let Some(influxd) = Influxd::start() else { return };
    let samples = made_up::lines();
    influxd.write(made_up::dated(&samples, made_up::now()).as_bytes());
    let queries = statements("psstat.influxql");
    let expected: [(&str, &[&str]); 7] = [
        ("down", &["beta db"]),
        // `gone web` has had no line for longer than this query looks back.
        ("not_measured", &["alpha jobs"]),
        ("cpu_above_2_cores", &["alpha busy"]),
        ("memory_above_half", &["alpha busy"]),
        ("started_again_and_again", &["alpha loop"]),
        ("replaced_again_and_again", &["alpha loop"]),
        ("host_is_silent", &["gone"]),
    ];
    assert_eq!(queries.len(), expected.len());
    for (query, (alert, expected)) in queries.iter().zip(expected) {
        assert!(query.contains(&format!(" AS \"{alert}\" ")), "{alert}: {query}");
        assert_eq!(found(&influxd, query), expected, "{query}");
    }
    // All in one request, as the document does it, comments included.
    let all =
        std::fs::read_to_string(Path::new(REPOSITORY).join("alerts/psstat.influxql")).unwrap();
    let answer: Value = serde_json::from_str(&influxd.answer(&all)).unwrap();
    let results = answer["results"].as_array().unwrap();
    assert!(results.len() == 7 && results.iter().all(|one| one["error"].is_null()), "{answer}");
    // The same from one value per minute. The continuous query comes more often here, and looks further back.
    let [statement] = &*statements("psstat-1m.influxql") else { panic!("one statement") };
    let often = statement.replace("RESAMPLE EVERY 1m FOR 5m", "RESAMPLE EVERY 1s FOR 40m");
    assert_ne!(&often, statement);
    for statement in
        [statement.clone(), "DROP CONTINUOUS QUERY \"psstat_1m\" ON \"x\"".to_owned(), often]
    {
        let answer = influxd.tell(&statement.replace("ON \"telegraf\"", "ON \"x\""));
        assert!(!answer.contains("error"), "{answer}");
    }
    influxd.wait_for("SELECT * FROM \"psstat_1m\"");
    for (query, (alert, expected)) in queries.iter().zip(expected) {
        let of_minutes = query
            .replace("FROM \"psstat\"", "FROM \"psstat_1m\"")
            .replace("now() - 3m", "now() - 4m");
        assert_ne!(query, &of_minutes);
        let expected = if alert == "replaced_again_and_again" { &[] } else { expected };
        assert_eq!(found(&influxd, &of_minutes), expected, "{of_minutes}");
    }
}

/// Lines of a group whose number of processes is known, each so many seconds old.
fn aged(group: &str, lines: &[(u64, i64)]) -> String {
    let now = made_up::clock();
    let line = |(processes, age): &(u64, i64)| {
        let time = now - age;
        format!("psstat,host=h,process_name={group} n_proc={processes}i {time}000000000\n")
    };
    lines.iter().map(line).collect()
}

#[test]
fn the_alerts_for_influxdb_wait_and_end() {
    let Some(influxd) = Influxd::start() else { return };
    let all_the_time = |processes: u64, step: usize| -> Vec<(u64, i64)> {
        (10..=600).step_by(step).map(|age| (processes, age)).collect()
    };
    let groups: [(&str, &[(u64, i64)]); 11] = [
        ("up", &all_the_time(4, 10)),
        ("down", &all_the_time(0, 10)),
        ("down-each-minute", &all_the_time(0, 60)),
        ("down-for-a-minute", &[(0, 10), (0, 30), (0, 50), (0, 80)]),
        // The first line after a boot, and the first lines.
        ("one-line", &[(0, 5)]),
        ("two-lines", &[(0, 5), (0, 15)]),
        // Restarted while the line was taken, and for longer.
        ("restarted", &[(4, 65), (4, 55), (4, 45), (4, 35), (4, 25), (4, 15), (0, 5)]),
        (
            "restarted-for-a-minute",
            &[(4, 130), (0, 110), (0, 90), (0, 70), (0, 50), (4, 30), (4, 10)],
        ),
        ("late", &[(4, 200), (4, 240)]),
        ("ended", &[(4, 420), (4, 720)]),
        ("ended-long-ago", &[(4, 1000), (4, 1100)]),
    ];
    for (group, lines) in groups {
        influxd.write(aged(group, lines).as_bytes());
    }
    let found = |alert: &str| found(&influxd, &query_of(alert));
    assert_eq!(found("down"), ["h down", "h down-each-minute", "h down-for-a-minute"]);
    assert_eq!(found("not_measured"), ["h ended"]);
    assert_eq!(found("host_is_silent"), [""; 0]);
}

/// One line every two minutes is too few for the 8, and enough for 4.
#[test]
fn the_alerts_for_influxdb_fire_up_to_the_interval_that_they_name() {
    let Some(influxd) = Influxd::start() else { return };
    let now = made_up::clock();
    for interval in [10_i64, 60, 70, 120, 180] {
        // The next line would be there, but comes ten seconds late.
        for at in 1..1200 / interval {
            let time = now - 10 - at * interval;
            let line =
                format!("psstat,host=h,process_name=every-{interval} p_cpu=3 {time}000000000");
            influxd.write(line.as_bytes());
        }
    }
    let query = query_of("cpu_above_2_cores");
    let found = |minutes: &str| found(&influxd, &query.replace(">= 8", minutes));
    assert_eq!(found(">= 8"), ["h every-10", "h every-60", "h every-70"]);
    assert_eq!(found(">= 4"), ["h every-10", "h every-120", "h every-60", "h every-70"]);
    let all = ["h every-10", "h every-120", "h every-180", "h every-60", "h every-70"];
    assert_eq!(found(">= 2"), all);
}
