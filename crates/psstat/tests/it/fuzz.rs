//! The checks of the fuzzers (`fuzz/src/checks`), without a fuzzer: over their corpora, and over inputs that
//! are made of these by chance. The inputs are the same in each run.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

#[path = "../../../../fuzz/src/checks/mod.rs"]
mod checks;

use crate::support::REPOSITORY;
use checks::Check;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Xorshift, 64 bits.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    /// A part of a text.
    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..start + self.below(length - start + 1).min(16)
    }

    /// Changes an input in up to four places. `other` is another input.
    fn change(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        for _ in 0..=self.below(4) {
            let range = self.range(input.len());
            match self.below(6) {
                0 if !input.is_empty() => {
                    let index = self.below(input.len());
                    input[index] ^= 1 << self.below(8);
                }
                1 if !input.is_empty() => {
                    let index = self.below(input.len());
                    input[index] = self.below(256) as u8;
                }
                2 => drop(input.drain(range)),
                3 => {
                    let twice = input[range.clone()].to_vec();
                    input.splice(range.start..range.start, twice);
                }
                4 => {
                    let part = other[self.range(other.len())].to_vec();
                    input.splice(range, part);
                }
                _ => input.insert(range.start, *b"\0\xff\n :"[..].get(self.below(5)).unwrap()),
            }
        }
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(REPOSITORY).join("fuzz/corpus").join(name);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Runs a check on an input. If it panics, says which input it was.
fn accepts(check: Check, input: &[u8]) -> bool {
    let result = std::panic::catch_unwind(|| check(input));
    result.unwrap_or_else(|_| panic!("the input was {:?}", input.escape_ascii().to_string()))
}

/// Checks the corpus of a target, and that many inputs made of it: half of them of accepted ones, because most
/// that a fuzzer keeps are refused, each for another reason.
fn run(name: &str, inputs: usize) {
    let check = checks::ALL.iter().find(|(other, _)| *other == name).unwrap().1;
    let corpus = corpus(name);
    let good: Vec<&Vec<u8>> = corpus.iter().filter(|input| accepts(check, input)).collect();
    assert!(good.len() > 1, "{} of {} inputs are accepted", good.len(), corpus.len());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut accepted = 0;
    for at in 0..inputs {
        let any = &corpus[random.below(corpus.len())];
        let mut input = if at % 2 == 0 { any } else { good[random.below(good.len())] }.clone();
        let other = random.below(corpus.len());
        random.change(&mut input, &corpus[other]);
        accepted += usize::from(accepts(check, &input));
    }
    assert!(accepted * 50 >= inputs, "{accepted} of {inputs} changed inputs are accepted");
}

#[test]
fn every_check_has_a_target_and_a_corpus() {
    let fuzz = Path::new(REPOSITORY).join("fuzz");
    let names_in = |directory: &str, suffix: &str| {
        let entries = fs::read_dir(fuzz.join(directory)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> =
            names.map(|name| name.strip_suffix(suffix).unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let mut names = checks::ALL.map(|(name, _)| name);
    names.sort_unstable();
    assert_eq!(names_in("targets", ".rs"), names);
    assert_eq!(names_in("corpus", ""), names);
}

#[test]
fn files_of_processes_are_read_or_refused() {
    for name in ["stat", "status", "smaps_rollup", "meminfo", "small_files"] {
        run(name, 20_000);
    }
}

#[test]
fn files_of_control_groups_are_read_or_refused() {
    run("cgroup", 20_000);
}

#[test]
fn exit_records_are_read_or_refused() {
    run("exit_records", 20_000);
}

#[test]
fn globs_match_what_they_should() {
    run("globs", 10_000);
}

#[test]
fn names_are_made_of_what_was_matched() {
    run("names", 4_000);
}

#[test]
fn cache_files_are_read_or_refused() {
    run("state", 10_000);
}

#[test]
fn selectors_are_read_or_refused() {
    run("selector", 2_000);
}

/// A key that the check does not know fails it only when somebody fuzzes for long enough.
#[test]
fn the_check_of_configuration_files_knows_every_key() {
    let sorted = |keys: &[&'static str]| keys.iter().copied().collect::<BTreeSet<_>>();
    let known = [&checks::config::KEYS[..], &checks::config::KEYS_OF_GROUP[..]];
    assert_eq!(known.map(sorted), psstat::config::keys().map(sorted));
}

#[test]
fn configuration_files_are_read_or_refused() {
    run("config", 4_000);
}

#[test]
fn whatever_a_machine_shows_lines_are_sound() {
    run("machine", 4_000);
}

#[test]
fn whatever_happens_on_a_machine_nothing_counts_twice() {
    run("history", 600);
}
