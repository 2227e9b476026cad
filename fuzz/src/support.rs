//! Strict parsers of the tests.

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../../crates/psstat/tests/it/support/line.rs"]
pub mod line;
