//! CPU time, and other things that are counted, of each group since psstat first saw it. The totals never
//! fall, also if a group disappears and returns.
//!
//! *Example:* a group used 5 s and disappears. It returns and uses 2 s. Its total is 7 s.

use crate::model::label::Label;
use crate::model::report::Tally;
use crate::model::units::{BootNanos, CpuNanos};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// The maximum number of totals that are kept of groups that do not exist now. Without a limit, a
/// user who starts processes with ever new names could let the state grow without end.
const MAX_ABSENT: usize = 1024;

/// The total of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// CPU time since the group was first seen.
    pub used: CpuNanos,
    /// What else is counted of it, as far as a field needs it.
    pub counts: BTreeMap<Tally, u64>,
    /// When the last sample that found the group began.
    pub seen: BootNanos,
}

/// The totals of the groups that exist, and of some that existed earlier.
pub type Totals = BTreeMap<Label, Total>;

/// Adds to the total of a group what it has `used` since the last sample. Returns the new total.
/// `now` is when the sample began.
pub fn add(totals: &mut Totals, label: &Label, used: CpuNanos, now: BootNanos) -> CpuNanos {
    let total = totals.entry(label.clone()).or_default();
    total.used += used;
    total.seen = now;
    total.used
}

/// Adds to a total of a group that [`add`] was called for what it has gained since the last sample. Returns
/// the new total.
pub fn count(totals: &mut Totals, label: &Label, tally: Tally, gain: u64) -> u64 {
    let total = totals.entry(label.clone()).or_default();
    let count = total.counts.entry(tally).or_default();
    *count = count.saturating_add(gain);
    *count
}

/// Limits the totals of groups that were not found in the sample that began at `now`. Keeps the
/// 1024 that were found most recently, and none that is zero.
pub fn forget(totals: &mut Totals, now: BootNanos) {
    let has_any =
        |total: &Total| total.used > CpuNanos(0) || total.counts.values().any(|&count| count > 0);
    totals.retain(|_, total| total.seen == now || has_any(total));
    let absent = totals.iter().filter(|(_, total)| total.seen != now);
    let mut absent: Vec<(BootNanos, Label)> =
        absent.map(|(label, total)| (total.seen, label.clone())).collect();
    if absent.len() > MAX_ABSENT {
        absent.sort_unstable();
        for (_, label) in &absent[..absent.len() - MAX_ABSENT] {
            totals.remove(label);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::control_group::Figure;
    use alloc::format;

    fn label(text: &str) -> Label {
        Label::lossy(text.as_bytes())
    }

    #[test]
    fn a_returning_group_continues_its_total() {
        let mut totals = Totals::new();
        assert_eq!(add(&mut totals, &label("a"), CpuNanos(5), BootNanos(1)), CpuNanos(5));
        forget(&mut totals, BootNanos(1));
        forget(&mut totals, BootNanos(2));
        assert_eq!(add(&mut totals, &label("a"), CpuNanos(2), BootNanos(3)), CpuNanos(7));
        add(&mut totals, &label("a"), CpuNanos(u64::MAX), BootNanos(3));
        assert_eq!(totals[&label("a")].used, CpuNanos(u64::MAX), "saturates");
    }

    #[test]
    fn each_count_of_a_group_has_a_total_of_its_own() {
        let mut totals = Totals::new();
        let [starts, kills] = [Tally::Starts, Tally::Figure(Figure::OomKills)];
        add(&mut totals, &label("a"), CpuNanos(0), BootNanos(1));
        assert_eq!(count(&mut totals, &label("a"), starts, 2), 2);
        assert_eq!(count(&mut totals, &label("a"), kills, 0), 0);
        forget(&mut totals, BootNanos(2));
        assert_eq!(count(&mut totals, &label("a"), starts, 3), 5, "it was kept");
        assert_eq!(count(&mut totals, &label("a"), starts, u64::MAX), u64::MAX, "saturates");
    }

    #[test]
    fn totals_of_absent_groups_are_bounded() {
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
            assert!(totals.len() <= 201 + MAX_ABSENT, "{}", totals.len());
        }
        forget(&mut totals, BootNanos(21));
        assert_eq!(totals.len(), MAX_ABSENT);
        assert_eq!(totals[&label("stays")].used, CpuNanos(20), "the most recent");
        assert!(totals.contains_key(&label("20-0")) && totals.contains_key(&label("11-0")));
        assert!(!totals.keys().any(|label| label.as_str().starts_with("9-")), "the oldest");
        assert!(!totals.keys().any(|label| label.as_str().starts_with("idle")));
    }
}
