//! `/proc/PID/smaps_rollup`.

use super::naive::number_after;
use psstat_core::model::units::Bytes;
use psstat_core::parse::procfs as parse;

/// Checks the parser. Returns whether it accepts the bytes.
pub fn check(bytes: &[u8]) -> bool {
    let parsed = parse::smaps_rollup_pss(bytes);
    let naive = number_after(bytes, "Pss:").map(|kib| Bytes(kib.saturating_mul(1024)));
    assert_eq!(parsed, naive);
    parsed.is_some()
}
