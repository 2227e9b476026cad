//! `psstat explain` says why each process is in its group, and its rows add up to the line.

use super::fixture::{Fixture, unique};
use super::meter::PSSTAT;
use crate::support::{OWN_PROCESSES, limit};
use serde_json::Value;
use std::process::{Command, Output};

fn explain_through(through: &[&str], args: &[&str]) -> Output {
    let mut line = [through, &[PSSTAT, "explain", "--host=", "--timeout=60s"], args].concat();
    let mut command = Command::new(line.remove(0));
    limit::output(command.args(line).envs([OWN_PROCESSES])).expect("it can be run")
}

fn text(args: &[&str]) -> String {
    let output = explain_through(&[], args);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The objects of the groups.
fn objects(args: &[&str]) -> Vec<Value> {
    let text = text(&[args, &["--format=json"]].concat());
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("no {key}: {value}"))
}

/// Children that end all the time, and a worker that stays.
const BUSY: &str = "while :; do :; done & while read -t 0.01 -r nothing || [ $? -gt 128 ]; do \
                    /bin/bash -c 'for i in {1..20000}; do :; done'; done; kill $!";

#[test]
fn the_rows_add_up_to_the_line() {
    let fixture = Fixture::new();
    let busy = fixture.start(&["/bin/bash", "-c", BUSY]);
    let objects = objects(&["--pid", &format!("busy:{}", busy.pid), "--wait=700ms"]);
    let group = &objects[0];
    let rows = group["processes"].as_array().expect("rows");
    let of_rows: f64 = rows.iter().filter_map(|row| row["p_cpu"].as_f64()).sum();
    let ended = number(group, "p_cpu_of_ended_children");
    let all = number(group, "p_cpu");
    assert!(all > 0.0 && ended > 0.0, "{group}");
    // Each figure has 6 decimals.
    let rounding = 1e-6 * (rows.len() as f64 + 2.0);
    assert!((of_rows + ended - all).abs() <= rounding, "{of_rows} + {ended}, not {all}: {group}");
    // A child that has ended since it was listed has a row, and is not counted.
    assert!(group["n_proc"].as_u64() <= Some(rows.len() as u64), "{group}");
}

/// A worker that stays. No child ends.
const STEADY: &str = "while :; do :; done & read -r nothing; kill $!";

/// What the rows lack would stand in the row of the children that have ended, so the sum alone is always right.
#[test]
fn the_rows_have_all_if_no_child_ends() {
    let fixture = Fixture::new();
    let steady = fixture.start(&["/bin/bash", "-c", STEADY]);
    let objects = objects(&["--pid", &format!("steady:{}", steady.pid), "--wait=700ms"]);
    let group = &objects[0];
    let rows = group["processes"].as_array().expect("rows");
    let of_rows: f64 = rows.iter().filter_map(|row| row["p_cpu"].as_f64()).sum();
    let all = number(group, "p_cpu");
    assert!(all > 0.0 && rows.len() == 2, "{group}");
    let rounding = 1e-6 * (rows.len() as f64 + 2.0);
    assert!((of_rows - all).abs() <= rounding, "{of_rows}, not {all}: {group}");
    assert!(number(group, "p_cpu_of_ended_children") <= rounding, "{group}");
}

#[test]
fn each_member_has_its_reason() {
    let fixture = Fixture::new();
    let (name, below) = (unique("top"), unique("low"));
    let root = fixture.actor("root");
    let child = root.spawn("child");
    root.obey(&format!("name {name}"));
    child.obey(&format!("name {below}"));
    let pattern = format!("both:^({name}|{below})$");
    let objects =
        objects(&["--pattern", &pattern, "--pid", &format!("one:{}", root.pid), "--wait=10ms"]);
    let row = |group: usize, pid: u32| {
        let rows = objects[group]["processes"].as_array().expect("rows").iter();
        let mut of_pid = rows.filter(|row| row["pid"] == pid);
        of_pid.next().unwrap_or_else(|| panic!("no {pid}: {}", objects[group])).clone()
    };
    let picked = format!("pattern ^({name}|{below})$");
    assert_eq!(row(0, root.pid)["selector"], *picked);
    assert!(row(0, root.pid)["child_of"].is_null());
    // It matches, and would be a member all the same.
    assert_eq!(row(0, child.pid)["selector"], *picked);
    assert_eq!(row(0, child.pid)["child_of"], root.pid);
    assert_eq!(row(1, child.pid)["child_of"], root.pid);
    assert!(row(1, child.pid)["selector"].is_null());
    assert_eq!(row(1, child.pid)["depth"], 1);
}

#[test]
fn what_runs_psstat_is_left_out_and_named() {
    let word = unique("down");
    let cmdline = format!("down:{word}");
    let script = "\"$@\"; exit $?";
    let through = ["/bin/sh", "-c", script, "wrapper"];
    let output = explain_through(&through, &["--cmdline", &cmdline, "--wait=10ms"]);
    let said = String::from_utf8(output.stdout).expect("UTF-8");
    let left_out: Vec<&str> =
        said.lines().filter(|line| line.starts_with("  left out: ")).collect();
    assert!(left_out.iter().any(|line| line.contains(" sh matches ")), "{said}");
    assert!(left_out.iter().any(|line| line.contains(" psstat matches ")), "{said}");
    assert!(said.contains("  nearest: no process has a command line"), "{said}");
    assert!(said.contains("  line: psstat,process_name=down p_cpu=0,p_mem=0,n_proc=0i"), "{said}");
}

#[test]
fn a_name_that_is_too_long_leads_to_the_process() {
    let fixture = Fixture::new();
    let program = format!("{}-with-a-long-name", unique("long"));
    let copy = fixture.copy_of(std::path::Path::new("/bin/sleep"), &program);
    fixture.serve("TERM", &[copy.to_str().expect("UTF-8"), "600"]);
    let said = text(&["--pattern", &format!("x:{program}"), "--wait=10ms"]);
    assert!(said.contains("  nearest: --pattern matches the first 15 bytes"), "{said}");
    assert!(said.contains("(--cmdline): "), "{said}");
}

/// A process chooses its command line. Control characters in it would drive the terminal.
#[test]
fn a_hostile_command_line_does_not_reach_the_terminal() {
    let fixture = Fixture::new();
    let line = "exec -a $'\\e]0;owned\\a\\n W! forged' /bin/sleep 600";
    let pid = fixture.serve("TERM", &["/bin/bash", "-c", line]);
    let said = text(&["--pid", &format!("x:{pid}"), "--wait=200ms"]);
    assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "{said:?}");
    assert!(!said.lines().any(|line| line.starts_with(" W!")), "{said}");
}

/// Another psstat has patterns in its command line too.
#[test]
fn another_psstat_is_not_near() {
    let fixture = Fixture::new();
    let word = unique("near");
    let other = fixture.start(&[PSSTAT, "execd", "--pattern", &word]);
    let line = format!("/proc/{}/cmdline", other.pid);
    while !std::fs::read_to_string(&line).expect("it runs").contains(&word) {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let said = text(&["--pattern", &format!("x:{word}"), "--wait=10ms"]);
    assert!(
        said.contains(&format!("  nearest: no process has a name that matches {word}")),
        "{said}"
    );
}

#[test]
fn a_selector_that_forms_no_group_is_shown() {
    let word = unique("none");
    let said = text(&["--pattern", &word, "--wait=10ms"]);
    assert!(said.starts_with(&format!("(no group): pattern {word}\n  no process\n")), "{said}");
    assert!(said.ends_with("  line: none\n"), "{said}");
}

#[test]
fn without_selectors_everything_is_shown() {
    let said = text(&["--wait=10ms"]);
    assert!(said.lines().filter(|line| line.starts_with("  line: ")).count() > 1, "{said}");
}
