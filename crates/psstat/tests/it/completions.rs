//! The completions in a real shell.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use crate::support::{is_installed, limit, run};
use std::fs;
use std::process::Command;

/// What fish offers to complete a command line, in a directory with one file.
fn offered_by_fish(typed: &str) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("psstat.fish");
    fs::write(&script, run(["completions", "fish"]).stdout).unwrap();
    let complete = format!("source {}; complete -C '{typed}'", script.display());
    let mut fish = Command::new("fish");
    let answer = fish.args(["--no-config", "-c", &complete]).env("HOME", directory.path());
    let answer = limit::output(answer.current_dir(directory.path())).unwrap();
    let text = String::from_utf8(answer.stdout).unwrap();
    text.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn fish_offers_options_values_and_subcommands() {
    if !is_installed("fish") {
        return;
    }
    for (typed, expected) in [
        ("psstat --form", &["--format"][..]),
        ("psstat --format ", &["influx", "json", "prometheus", "table"]),
        ("psstat --pid 1 --memory ", &["auto", "pss", "rss", "shared-once"]),
        ("psstat execd --inter", &["--interval"]),
        ("psstat execd --format=js", &["--format=json"]),
        ("psstat check --memory r", &["rss"]),
        ("psstat --pid 1 execd --inter", &["--interval"]),
        ("psstat execd --config ps", &["psstat.fish"]),
        ("psstat comp", &["completions"]),
        ("psstat completions ", &["bash", "elvish", "fish", "powershell", "zsh"]),
        ("psstat man ", &[]),
        ("psstat --config ps", &["psstat.fish"]),
    ] {
        let mut offered = offered_by_fish(typed);
        offered.sort();
        assert_eq!(offered, expected, "{typed}");
    }
}
