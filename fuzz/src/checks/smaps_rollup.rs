//! `/proc/PID/smaps_rollup`.

use super::naive::number_after;
use psstat_core::model::units::Bytes;
use psstat_core::parse::procfs as parse;

/// Checks the parser. Returns whether it accepts the bytes.
pub fn check(bytes: &[u8]) -> bool {
    let parsed = parse::smaps_rollup(bytes);
    let line = |key: &str| number_after(bytes, key).map(|kib| Bytes(kib.saturating_mul(1024)));
    assert_eq!(parsed.map(|read| read.total), line("Pss:"));
    if let Some(split) = parsed.and_then(|read| read.split) {
        assert_eq!(Some(split.anonymous), line("Pss_Anon:"));
        assert!(split.anonymous_shared <= split.anonymous);
        assert!(Some(split.anonymous_shared_whole) <= line("Anonymous:"));
    }
    parsed.is_some()
}
