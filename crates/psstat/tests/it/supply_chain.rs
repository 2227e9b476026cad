//! The crates that psstat depends on: deny.toml holds.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use crate::support::{REPOSITORY, is_installed, limit};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

/// Advisories are left out: their database is in a repository that CI cannot reach.
const CHECKS: [&str; 3] = ["bans", "licenses", "sources"];

#[test]
fn cargo_deny_accepts_the_dependencies() {
    if !is_installed("cargo-deny") {
        return;
    }
    let mut deny = Command::new("cargo-deny");
    deny.args(["--locked", "check"]).args(CHECKS).current_dir(REPOSITORY);
    let output = limit::output(&mut deny).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The same for licences, without a tool.
#[test]
fn every_crate_has_an_allowed_licence() {
    let rules: toml::Table =
        fs::read_to_string(format!("{REPOSITORY}/deny.toml")).unwrap().parse().unwrap();
    let allowed = rules["licenses"]["allow"].as_array().unwrap();
    let allowed: BTreeSet<&str> = allowed.iter().map(|licence| licence.as_str().unwrap()).collect();
    let mut metadata = Command::new("cargo");
    metadata.args(["metadata", "--locked", "--format-version", "1", "--filter-platform"]);
    metadata.arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH)).current_dir(REPOSITORY);
    let metadata = limit::output(&mut metadata).unwrap();
    assert!(metadata.status.success(), "{metadata:?}");
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 50, "{} packages", packages.len());
    for package in packages {
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(is_allowed(licence, &allowed), "{} has the licence {licence:?}", package["name"]);
    }
}

/// Whether an SPDX expression leaves a choice of licences that are all allowed. Crates also write `/` for
/// `OR`.
fn is_allowed(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = &words[..];
    let is_allowed = one_of(&mut rest, allowed);
    rest.is_empty() && is_allowed
}

/// `AND` binds closer than `OR`.
fn one_of(words: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    let mut is_allowed = all_of(words, allowed);
    while let Some((&"OR", rest)) = words.split_first() {
        *words = rest;
        is_allowed |= all_of(words, allowed);
    }
    is_allowed
}

fn all_of(words: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    let mut is_allowed = licence(words, allowed);
    while let Some((&"AND", rest)) = words.split_first() {
        *words = rest;
        is_allowed &= licence(words, allowed);
    }
    is_allowed
}

fn licence(words: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    match **words {
        ["(", ref rest @ ..] => {
            *words = rest;
            let is_allowed = one_of(words, allowed);
            let is_closed = words.first() == Some(&")");
            *words = words.get(1..).unwrap_or_default();
            is_allowed && is_closed
        }
        [name, "WITH", exception, ref rest @ ..] => {
            *words = rest;
            allowed.contains(&*format!("{name} WITH {exception}"))
        }
        [name, ref rest @ ..] => {
            *words = rest;
            allowed.contains(name)
        }
        [] => false,
    }
}

#[test]
fn expressions_of_licences_are_understood() {
    let allowed = BTreeSet::from(["MIT", "Zlib", "Apache-2.0 WITH LLVM-exception"]);
    for expression in [
        "MIT",
        "GPL-3.0-only OR MIT",
        "Apache-2.0/MIT",
        "MIT AND (Apache-2.0 OR Zlib)",
        "Apache-2.0 WITH LLVM-exception OR GPL-3.0-only",
        "GPL-3.0-only AND ISC OR MIT",
    ] {
        assert!(is_allowed(expression, &allowed), "{expression}");
    }
    for expression in [
        "",
        "GPL-3.0-only",
        "MIT AND GPL-3.0-only",
        "(MIT OR Apache-2.0) AND GPL-3.0-only",
        "Apache-2.0 WITH other",
        "(MIT",
        "MIT)",
        "MIT Zlib",
    ] {
        assert!(!is_allowed(expression, &allowed), "{expression}");
    }
}
