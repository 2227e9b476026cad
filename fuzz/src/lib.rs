//! What the fuzzers check, and the parts of psstat's tests that they need.

pub mod checks;
mod servers;
#[expect(dead_code, unused_imports, reason = "the tests use the rest")]
#[path = "../../crates/psstat/tests/it/simulated/mod.rs"]
mod simulated;
mod support;
