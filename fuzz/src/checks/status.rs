//! `/proc/PID/status`, and that of a thread.

use super::naive::{number, number_after, words_after};
use psstat_core::model::units::{Bytes, Count, Uid};
use psstat_core::parse::procfs as parse;

/// Checks the parsers of the file. Returns whether one of them accepts the bytes.
pub fn check(bytes: &[u8]) -> bool {
    let user = || u32::try_from(number(words_after(bytes, "Uid:")?.get(1)?)?).ok().map(Uid);
    let switches = || {
        let [willing, forced] = ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"]
            .map(|key| number_after(bytes, key));
        Some(Count(willing?.saturating_add(forced?)))
    };
    let parsed = (parse::status_effective_uid(bytes), parse::switches(bytes));
    assert_eq!(parsed, (user(), switches()));
    let swap = parse::status_swap(bytes);
    let has_line = words_after(bytes, "VmSwap:").is_some();
    let shown = number_after(bytes, "VmSwap:").map(|kib| Bytes(kib.saturating_mul(1024)));
    let none = bytes.starts_with(b"Name:").then_some(Bytes(0));
    assert_eq!(swap, if has_line { shown } else { none });
    parsed.0.is_some() || parsed.1.is_some()
}
