//! Counters that never fall: what each group used since it was first seen, whether it was there all
//! the time or not.

use crate::model::label::Label;
use crate::model::units::{BootNanos, CpuNanos};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// So many totals are kept of groups that are not there. Whoever can start processes can make as
/// many groups as there are names.
pub const ABSENT: usize = 1024;

/// What a group used since it was first seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// CPU time.
    pub used: CpuNanos,
    /// The last sample in which it was there.
    pub seen: BootNanos,
}

/// The total of each group that is there, and of some that were.
pub type Totals = BTreeMap<Label, Total>;

/// Adds what a group used by a sample that it is there in, and gives its new total.
pub fn add(totals: &mut Totals, label: &Label, used: CpuNanos, now: BootNanos) -> CpuNanos {
    let total = totals.entry(label.clone()).or_default();
    total.used += used;
    total.seen = now;
    total.used
}

/// Forgets the groups that have been gone longest, [`ABSENT`] of those that have gone apart; and
/// those that would go on from zero anyway.
pub fn forget(totals: &mut Totals, now: BootNanos) {
    totals.retain(|_, total| total.seen == now || total.used > CpuNanos(0));
    let absent = totals.iter().filter(|(_, total)| total.seen != now);
    let mut absent: Vec<(BootNanos, Label)> =
        absent.map(|(label, total)| (total.seen, label.clone())).collect();
    if absent.len() > ABSENT {
        absent.sort_unstable();
        for (_, label) in &absent[..absent.len() - ABSENT] {
            totals.remove(label);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn label(text: &str) -> Label {
        Label::lossy(text.as_bytes())
    }

    #[test]
    fn a_group_that_comes_back_goes_on_where_it_was() {
        let mut totals = Totals::new();
        assert_eq!(add(&mut totals, &label("a"), CpuNanos(5), BootNanos(1)), CpuNanos(5));
        forget(&mut totals, BootNanos(1));
        forget(&mut totals, BootNanos(2));
        assert_eq!(add(&mut totals, &label("a"), CpuNanos(2), BootNanos(3)), CpuNanos(7));
        add(&mut totals, &label("a"), CpuNanos(u64::MAX), BootNanos(3));
        assert_eq!(totals[&label("a")].used, CpuNanos(u64::MAX), "the end, and no fall");
    }

    #[test]
    fn names_that_change_in_every_sample_do_not_pile_up() {
        let mut totals = Totals::new();
        for sample in 1..=20 {
            let now = BootNanos(sample);
            add(&mut totals, &label("stays"), CpuNanos(1), now);
            for other in 0..100 {
                let name = format!("{sample}-{other}");
                add(&mut totals, &label(&name), CpuNanos(1), now);
                add(&mut totals, &label(&format!("idle-{name}")), CpuNanos(0), now);
            }
            forget(&mut totals, now);
            assert!(totals.len() <= 201 + ABSENT, "{}", totals.len());
        }
        forget(&mut totals, BootNanos(21));
        assert_eq!(totals.len(), ABSENT);
        assert_eq!(totals[&label("stays")].used, CpuNanos(20), "the last to go");
        assert!(totals.contains_key(&label("20-0")) && totals.contains_key(&label("11-0")));
        assert!(!totals.keys().any(|label| label.as_str().starts_with("9-")), "the longest gone");
        assert!(!totals.keys().any(|label| label.as_str().starts_with("idle")));
    }
}
