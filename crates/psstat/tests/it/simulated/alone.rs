//! Groups without the descendants of their roots (`children = false`): what they say is what each
//! root used itself.

use super::Watch;
use super::history::{Law, Lived, Step, live, picks, quiet, racy};
use super::oracle::{Group, Pick, Single, Span, everyone};
use super::properties::config;
use super::world::TICK;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The groups that any sample had a line of.
fn labels(lived: &Lived) -> BTreeSet<&String> {
    lived.samples.iter().flat_map(|sample| sample.lines[0].keys()).collect()
}

/// Whether it was born since a sample that began in that tick, with a tick of slack.
fn is_newborn(one: &Single, since: u64) -> bool {
    one.start + 1 >= since
}

/// What a process used, in microseconds, as its clock shows it or, without clocks, its `stat`.
fn shown(one: &Single, has_clocks: bool) -> u64 {
    if has_clocks { one.clock } else { one.ticks * TICK }
}

/// What is to be said of the roots that were there at two quiet samples: the time used, where that
/// is known of anyone.
fn used(then: &[Single], now: &[Single], last: &Span) -> Option<u64> {
    let shown = |one: &Single| shown(one, last.has_clocks);
    let since = last.taken / TICK;
    let roots = || now.iter().enumerate().filter(|(_, one)| one.is_root);
    let known = roots().filter_map(|(life, one)| match then.get(life) {
        Some(earlier) if earlier.is_root => Some(shown(one) - shown(earlier)),
        _ if is_newborn(one, since) => Some(shown(one)),
        _ => None,
    });
    let known: Vec<u64> = known.collect();
    (roots().next().is_none() || !known.is_empty()).then(|| known.iter().sum())
}

fn live_alone(steps: &[Step], has_clocks: bool) -> (Vec<Pick>, Lived) {
    let picks = picks(Law::Any);
    let mut watch = Watch::of(&picks, false);
    watch.setup.has_clocks = has_clocks;
    let lived = live(Law::Any, steps, &mut [watch]);
    (picks, lived)
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn quiet_histories_are_reported_exactly(steps in quiet(), has_clocks: bool) {
        let (picks, lived) = live_alone(&steps, has_clocks);
        let log = lived.world.log();
        for label in labels(&lived) {
            let group = Group { picks: &picks, label };
            for pair in lived.samples.windows(2) {
                let [then, now] =
                    [0, 1].map(|at| everyone(&log[..pair[at].span.scan.start], group));
                let living = now.iter().filter(|one| one.is_root && one.is_alive).count() as u64;
                let line = pair[1].lines[0].get(label);
                prop_assert_eq!(line.map_or(0, |line| line.processes), living, "{}", label);
                // A group without a name has no line while none of its processes is alive.
                if let Some(line) = line {
                    let expected = used(&then, &now, &pair[0].span);
                    prop_assert_eq!(line.used, expected, "{}", label);
                }
            }
        }
    }

    #[test]
    fn racy_histories_have_no_spikes(steps in racy(), has_clocks: bool) {
        let (picks, lived) = live_alone(&steps, has_clocks);
        let log = lived.world.log();
        for label in labels(&lived) {
            let group = Group { picks: &picks, label };
            for pair in lived.samples.windows(2) {
                let (first, last) = (pair[0].span.scan.start, pair[1].span.scan.end);
                let (then, now) = (everyone(&log[..first], group), everyone(&log[..last], group));
                // Whoever was a root at any time from the one scan to the end of the other.
                let mut roots: BTreeSet<usize> = BTreeSet::new();
                for at in first..=last {
                    let all = everyone(&log[..at], group);
                    roots.extend((0..all.len()).filter(|&life| all[life].is_root));
                }
                let since = pair[0].span.taken / TICK;
                let most = |&life: &usize| match then.get(life) {
                    Some(one) if one.is_root || !is_newborn(one, since) => {
                        // What its two counters cut off then may show now.
                        let cut_off = if has_clocks { 0 } else { 2 * TICK };
                        now[life].clock - one.clock + cut_off
                    }
                    _ => now[life].clock,
                };
                let bound: u64 = roots.iter().map(most).sum();
                let used = pair[1].lines[0].get(label).and_then(|line| line.used).unwrap_or(0);
                prop_assert!(used <= bound, "{label}: {used} us, at most {bound} us");
            }
        }
    }
}
