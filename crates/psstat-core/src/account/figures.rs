//! What control groups feel: figures that the kernel keeps for each of them in files (cgroup-v2.rst).
//!
//! A [counter](Figure::COUNTERS) counts since its control group was made. As with
//! [CPU time](super::counter), a control group that was made since the last sample counts whole, and one that
//! was not looked for then is only a baseline.
//!
//! *Example:* the quota of a unit had kept it waiting for 3 s at the last sample, and for 5 s now. It waited
//! for 2 s. If the unit was started anew in between, its counter may be at 1 s. Then it waited for 1 s.

use crate::model::collect;
use crate::model::control_group::{ControlGroup, Figure, NO_LIMIT};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// The counters of a control group at one sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FigureCounters {
    /// Path of the control group below the root of the hierarchy.
    pub path: Vec<u8>,
    /// Inode number of its directory.
    pub id: u64,
    /// Those that could be read.
    pub counts: BTreeMap<Figure, u64>,
}

impl FigureCounters {
    /// The counters of a control group.
    pub fn of(group: &ControlGroup) -> FigureCounters {
        let mut counts = BTreeMap::new();
        for figure in Figure::COUNTERS {
            if let Some(Ok(count)) = group.figures.get(&figure) {
                counts.insert(figure, *count);
            }
        }
        FigureCounters { path: group.path.clone(), id: group.id, counts }
    }
}

/// What the control groups of a group counted since the last sample, and have now.
#[derive(Debug, Default)]
pub struct Changes {
    /// What their counters gained since the last sample. `None` if that is not known, but the counter was read.
    pub gains: BTreeMap<Figure, Option<u64>>,
    /// What they have now.
    pub levels: BTreeMap<Figure, u64>,
}

/// What was known of a control group at the last sample.
#[derive(Clone, Copy, Debug)]
pub enum Before<'b> {
    /// Its counters.
    Known(&'b FigureCounters),
    /// It was not there: all that its counters say is new.
    NotMade,
    /// Nothing: its counters are only a baseline.
    Unknown,
}

/// What the last sample, which found the counters `before`, knew of each of the control groups. `is_new` returns
/// whether the one with that index in `now`, of which no counters are known, was made since.
pub fn before<'b>(
    before: &'b [FigureCounters],
    now: &[FigureCounters],
    is_new: impl Fn(usize) -> bool,
) -> Vec<Before<'b>> {
    let known = before.iter().map(|then| ((&then.path[..], then.id), then));
    let known = collect::map(known);
    let of_one = |(index, one): (usize, &FigureCounters)| match known.get(&(&one.path[..], one.id))
    {
        Some(then) => Before::Known(then),
        None if is_new(index) => Before::NotMade,
        None => Before::Unknown,
    };
    now.iter().enumerate().map(of_one).collect()
}

/// What a counter of a group gained since the last sample, which knew `before` of each of its control groups: the
/// sum; for a part of the time the largest, because the control groups stalled at the same time.
///
/// `None` if the gain of one of them is not known, or there is none.
pub fn gain(figure: Figure, before: &[Before<'_>], now: &[FigureCounters]) -> Option<u64> {
    let mut all = None;
    for (before, one) in before.iter().zip(now) {
        let count = *one.counts.get(&figure)?;
        let gain = match before {
            // A counter that is lower than before is not that of the kernel. It is a new baseline.
            Before::Known(then) => count.checked_sub(*then.counts.get(&figure)?)?,
            Before::NotMade => count,
            Before::Unknown => return None,
        };
        let others: u64 = all.unwrap_or_default();
        let is_part = figure.is_part_of_time();
        all = Some(if is_part { others.max(gain) } else { others.saturating_add(gain) });
    }
    all
}

/// What the control groups of a group have now: the sum. The limit of their memory is what they can have
/// together: the sum, but no more than a group above them allows. `None` if it is not known of one of them, or
/// if there is no limit. The control groups are in the order of their paths, none below another.
pub fn level(figure: Figure, groups: &[&ControlGroup]) -> Option<u64> {
    let mut sum: Option<u64> = None;
    for group in groups {
        let level = *group.figures.get(&figure)?.as_ref().ok()?;
        sum = Some(sum.unwrap_or_default().saturating_add(level));
    }
    match figure {
        Figure::MemoryLimit if !groups.is_empty() => {
            let limit = limit(groups, 0);
            (limit < NO_LIMIT).then_some(limit)
        }
        _ => sum,
    }
}

/// The limit of control groups that have so many components of their paths in common.
fn limit(groups: &[&ControlGroup], common: usize) -> u64 {
    let own = |group: &&ControlGroup| group.limits.get(common).copied().unwrap_or(NO_LIMIT);
    let above = groups.first().map_or(NO_LIMIT, own);
    if let [group] = groups {
        let below = group.limits.iter().skip(common);
        return below.copied().min().unwrap_or(NO_LIMIT);
    }
    let component = |group: &ControlGroup| {
        group.path.split(|&byte| byte == b'/').nth(common).map(<[u8]>::to_vec)
    };
    let parts = groups.chunk_by(|one, other| component(one) == component(other));
    let can_divide = groups.iter().all(|group| component(group).is_some());
    let sum = match can_divide {
        true => parts.fold(0, |sum: u64, part| sum.saturating_add(limit(part, common + 1))),
        false => NO_LIMIT,
    };
    above.min(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counters(path: &str, id: u64, counts: &[(Figure, u64)]) -> FigureCounters {
        FigureCounters { path: path.into(), id, counts: counts.iter().copied().collect() }
    }

    fn throttled(path: &str, id: u64, count: u64) -> FigureCounters {
        counters(path, id, &[(Figure::CpuThrottled, count), (Figure::IoPressure, count)])
    }

    /// What a counter gained, where each control group of which nothing is known is new, or none.
    fn gain_of(
        figure: Figure,
        then: &[FigureCounters],
        now: &[FigureCounters],
        is_new: bool,
    ) -> Option<u64> {
        gain(figure, &before(then, now, |_| is_new), now)
    }

    #[test]
    fn counters_add_up_and_parts_of_the_time_do_not() {
        let before = [throttled("a", 1, 10), throttled("b", 2, 100)];
        let now = [throttled("a", 1, 15), throttled("b", 2, 103)];
        let gain = |figure| gain_of(figure, &before, &now, true);
        assert_eq!(gain(Figure::CpuThrottled), Some(8));
        assert_eq!(gain(Figure::IoPressure), Some(5), "the largest");
        assert_eq!(gain(Figure::OomKills), None, "it was not read");
    }

    #[test]
    fn a_group_that_was_made_since_counts_whole() {
        let gain =
            |before: &[_], now: &[_], is_new| gain_of(Figure::CpuThrottled, before, now, is_new);
        let before = [throttled("a", 1, 100)];
        assert_eq!(gain(&before, &[throttled("a", 9, 30)], true), Some(30));
        assert_eq!(gain(&before, &[throttled("a", 9, 300)], true), Some(300));
        assert_eq!(gain(&[], &[throttled("a", 9, 300)], false), None, "a baseline");
        assert_eq!(gain(&before, &[throttled("a", 1, 99)], true), None, "it fell");
        assert_eq!(gain(&before, &[throttled("a", 1, 101), counters("b", 2, &[])], true), None);
        assert_eq!(
            gain(&[counters("a", 1, &[])], &before, true),
            None,
            "not read at the last sample"
        );
        assert_eq!(gain(&before, &[], true), None, "no control group now");
    }

    /// A control group with these limits: of the root, and so on.
    fn limited(path: &str, limits: &[u64]) -> ControlGroup {
        let figures = [(Figure::MemoryLimit, Ok(0)), (Figure::MemoryPeak, Ok(7))];
        let (path, limits) = (path.into(), limits.to_vec());
        ControlGroup { path, limits, figures: figures.into(), ..ControlGroup::default() }
    }

    #[test]
    fn a_limit_is_the_smallest_on_the_way_to_the_root() {
        const NO: u64 = NO_LIMIT;
        let limit = |groups: &[&ControlGroup]| level(Figure::MemoryLimit, groups);
        let of_one = |limits: &[u64]| limit(&[&limited("s/a", limits)]);
        assert_eq!(of_one(&[NO, NO, 5]), Some(5));
        assert_eq!(of_one(&[NO, 4, 5]), Some(4));
        assert_eq!(of_one(&[3, 4, NO]), Some(3));
        assert_eq!(of_one(&[NO, NO, NO]), None);
        let [a, b, c] = [
            limited("s/a", &[NO, 6, 5]),
            limited("s/b", &[NO, 6, NO]),
            limited("t/c", &[NO, NO, 9]),
        ];
        assert_eq!(limit(&[&a, &b]), Some(6), "what is above both holds for their sum");
        assert_eq!(limit(&[&a, &b, &c]), Some(6 + 9));
        assert_eq!(limit(&[&a, &c]), Some(5 + 9));
        assert_eq!(limit(&[&a, &limited("t/d", &[NO, NO, NO])]), None);
        assert_eq!(limit(&[]), None);
        assert_eq!(level(Figure::MemoryPeak, &[&a, &b]), Some(14));
        assert_eq!(level(Figure::Swap, &[&a, &b]), None, "it was not read");
    }

    proptest! {
        /// Whatever happens to the counters, no gain is more than what was counted since.
        #[test]
        fn no_gain_is_larger_than_the_counter(
            history in proptest::collection::vec((0u64..3, any::<u64>(), any::<bool>()), 1..20),
        ) {
            let mut before: Vec<FigureCounters> = Vec::new();
            for (id, count, is_new) in history {
                let now = [throttled("a", id, count)];
                if let Some(gain) = gain_of(Figure::CpuThrottled, &before, &now, is_new) {
                    prop_assert!(gain <= count);
                    let then = before.iter().find(|then| then.id == id);
                    prop_assert!(then.is_some() || is_new);
                    if let Some(then) = then {
                        prop_assert_eq!(then.counts[&Figure::CpuThrottled] + gain, count);
                    }
                }
                before = now.to_vec();
            }
        }

        /// The limit is between the smallest and the sum of the limits of the control groups by themselves.
        #[test]
        fn a_limit_of_many_is_no_larger_than_their_sum(
            limits in proptest::collection::vec((0u64..3, 1u64..9, 1u64..9), 1..6),
            top in 1u64..40,
            slices in proptest::collection::vec(1u64..20, 3),
        ) {
            let mut groups: Vec<ControlGroup> = Vec::new();
            for (index, &(slice, own, inner)) in limits.iter().enumerate() {
                let path = alloc::format!("s{slice}/u{index}/x");
                groups.push(limited(&path, &[top, slices[slice as usize], own, inner]));
            }
            groups.sort_by(|one, other| one.path.cmp(&other.path));
            let all: Vec<&ControlGroup> = groups.iter().collect();
            let each = all.iter().map(|&group| level(Figure::MemoryLimit, &[group]).unwrap());
            let together = level(Figure::MemoryLimit, &all).unwrap();
            prop_assert!(together <= each.clone().sum::<u64>() && together <= top);
            prop_assert!(together >= each.min().unwrap());
        }
    }
}
