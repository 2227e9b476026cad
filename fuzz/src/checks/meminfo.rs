//! `/proc/meminfo`.

use super::naive::number_after;
use psstat_core::model::units::Bytes;
use psstat_core::parse::procfs as parse;

/// Checks the parser. Returns whether it accepts the bytes.
pub fn check(bytes: &[u8]) -> bool {
    let parsed = parse::meminfo(bytes);
    let kib = |key: &str| number_after(bytes, key).map(|kib| kib.saturating_mul(1024));
    assert_eq!(parsed.map(|memory| memory.total), kib("MemTotal:").map(Bytes));
    let free =
        || Some(kib("Hugepagesize:")?.saturating_mul(number_after(bytes, "HugePages_Free:")?));
    let in_use = kib("Hugetlb:").unwrap_or(0).saturating_sub(free().unwrap_or(0));
    assert!(parsed.is_none_or(|memory| memory.huge_in_use == Bytes(in_use)));
    parsed.is_some()
}
