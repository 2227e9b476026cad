//! Strict parsers and other parts of the tests.

#[path = "../../crates/psstat/tests/it/support/members.rs"]
pub mod members;

#[expect(dead_code, reason = "the tests use the rest")]
#[path = "../../crates/psstat/tests/it/support/line.rs"]
pub mod line;
