//! What the tests themselves have to keep to: a skipped test says so by one function, and is not
//! counted as passed; and none waits without a limit.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

use crate::support::{REPOSITORY, limit};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGE: &str = env!("CARGO_MANIFEST_DIR");

/// What `scripts/count-tests` makes of what was printed, and what skipped tests have written.
fn counted(printed: &str, skipped: Option<&str>) -> String {
    let directory = tempfile::tempdir().unwrap();
    let files = ["printed", "skipped"].map(|name| directory.path().join(name));
    fs::write(&files[0], printed).unwrap();
    if let Some(skipped) = skipped {
        fs::write(&files[1], skipped).unwrap();
    }
    let mut count = Command::new(format!("{REPOSITORY}/scripts/count-tests"));
    let counted = limit::output(count.args(&files)).unwrap();
    assert!(counted.status.success(), "{counted:?}");
    String::from_utf8(counted.stdout).unwrap()
}

const PRINTED: &str = "\nrunning 3 tests\n..SKIPPED one: no root\n.\n\
    test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s\n\
    \nrunning 4 tests\nFi..\n\
    test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out\n";

#[test]
fn a_skipped_test_is_not_counted_as_passed() {
    assert_eq!(counted(PRINTED, None), "\n5 passed, 1 failed, 1 skipped\n");
    assert_eq!(counted(PRINTED, Some("")), "\n5 passed, 1 failed, 1 skipped\n");
    let twice = "SKIPPED one: no root\nSKIPPED one: no nginx\n";
    let lines = "SKIPPED one: no nginx\nSKIPPED one: no root\n";
    let count = "4 passed, 1 failed, 2 skipped\n";
    assert_eq!(counted(PRINTED, Some(twice)), format!("\n{lines}{count}"));
}

#[test]
fn a_test_that_skips_a_part_is_named_and_counted_as_passed() {
    let part = "SKIPPED IN PART two: no root\n";
    let count = "5 passed, 1 failed, 1 skipped\n";
    assert_eq!(counted(PRINTED, Some(part)), format!("\n{part}{count}"));
}

#[test]
fn where_no_test_has_run_that_is_said() {
    assert_eq!(counted("", None), "\nno test has run\n0 passed, 0 failed, 0 skipped\n");
}

/// All files with tests, but this one and the one with the functions that skip.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let found = entries.flat_map(|path| match path.is_dir() {
        true => sources(&path),
        false => vec![path],
    });
    let is_test = |path: &PathBuf| path.extension().is_some_and(|end| end == "rs");
    let is_other =
        |path: &PathBuf| !path.ends_with("it/conduct.rs") && !path.ends_with("support/skip.rs");
    found.filter(|path| is_test(path) && is_other(path)).collect()
}

fn assert_in_no_test(what: &[&str]) {
    let sources = sources(&Path::new(PACKAGE).join("tests"));
    assert!(sources.len() > 30, "{sources:?}");
    for path in sources {
        let text = fs::read_to_string(&path).unwrap();
        for part in what {
            assert!(!text.contains(part), "{part} is in {}", path.display());
        }
    }
}

#[test]
fn no_test_skips_itself_by_another_way() {
    assert_in_no_test(&["\"skipped:", "\"SKIPPED ", "#[ignore"]);
}

/// `support::limit` has the same within a limit.
#[test]
fn no_test_waits_for_a_program_without_a_limit() {
    assert_in_no_test(&[".output()", ".wait_with_output()", ".status()."]);
}
