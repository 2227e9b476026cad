//! Strict parsers of the tests.

#[path = "../../crates/psstat/tests/it/servers/page.rs"]
pub mod page;
