//! What holds in every history.

use super::history::{Law, Lived, Step, live, picks, quiet, racy};
use super::oracle::{Group, Pick, Truth, shown, truth, waiters};
use super::world::{Event, TICK};
use super::{Line, Watch};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseResult};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Runs that many histories. They are the same in each run, so that a failure belongs to the change
/// that is tested. If `PSSTAT_HISTORIES` is set, runs that many others, which are new in each run.
pub fn config(histories: u32) -> ProptestConfig {
    let wanted = std::env::var("PSSTAT_HISTORIES").ok().map(|number| number.parse().unwrap());
    ProptestConfig {
        cases: wanted.unwrap_or(histories),
        rng_seed: wanted.map_or(RngSeed::Fixed(1), |_| RngSeed::Random),
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    }
}

/// Calls `check` with what the first watch said of each group at each sample but the first, and
/// with the truth.
pub fn for_each_report(
    lived: &Lived,
    picks: &[Pick],
    mut check: impl FnMut(Group<'_>, usize, Option<&Line>, Truth) -> TestCaseResult,
) -> TestCaseResult {
    let labels: BTreeSet<&String> =
        lived.samples.iter().flat_map(|sample| sample.lines[0].keys()).collect();
    for label in labels {
        let group = Group { picks, label };
        for (at, pair) in lived.samples.windows(2).enumerate() {
            let truth = truth(lived.world.log(), group, &pair[0].span, &pair[1].span);
            check(group, at + 1, pair[1].lines[0].get(label), truth)?;
        }
    }
    Ok(())
}

/// No spikes, sample by sample.
pub fn no_spikes(lived: &Lived, picks: &[Pick]) -> TestCaseResult {
    for_each_report(lived, picks, |group, at, line, truth| {
        let used = line.and_then(|line| line.used).unwrap_or(0);
        prop_assert!(
            used <= truth.used + truth.cut_off + truth.late,
            "{}, sample {at}: {used} us, in truth {truth:?}{}",
            group.label,
            story(lived, at)
        );
        Ok(())
    })
}

/// What happened around a sample, for the message of a failure.
pub fn story(lived: &Lived, at: usize) -> String {
    let mut story = String::new();
    for at in at.saturating_sub(3)..=at {
        let (before, sample) = (at.checked_sub(1).map(|at| &lived.samples[at]), &lived.samples[at]);
        let told = before.map_or(0, |before| before.span.scan.end);
        let Range { start, end } = sample.span.scan;
        let log = lived.world.log();
        story += &format!("\n{:#?}\nsample {at} begins\n", &log[told..start]);
        story += &format!("{:#?}\nand says {:?}", &log[start..end], sample.lines[0]);
    }
    story
}

/// Whether so much can count twice because the ledger forgets it. With clocks it knows parts of ticks
/// that an heir has inherited and that do not show yet. It keeps them as a debt of less than two
/// ticks. If two heirs have such debts, one can be taken off what the other inherits, and what is
/// left then is taken for lost if it is more than two ticks. This stays within two ticks for each
/// process that waits for children.
fn is_forgotten(excess: u64, log: &[Event], group: Group<'_>) -> bool {
    excess <= 2 * TICK * waiters(log, group)
}

/// As much was reported, from first to last, as the kernel shows the group to have used. What one
/// sample missed the next one has, so that this holds at the end even where the history went on
/// while samples were taken, and at each sample of a quiet history.
///
/// Without clocks exactly: the ledger is a telescope. Each report is what `stat` shows now, less
/// what it showed then; what a counter cuts off is in the next report, or is cut off from the
/// account that it is compared with as well. The contract's two ticks for each process still alive
/// are what the kernel itself cuts off from utime and stime.
///
/// With clocks own time is exact, and only child time is cut off: now, so that the reports may be
/// too low by that, or at the first sample, so that they may be too high. They may also be too high
/// by what the ledger forgets: see [`is_forgotten`].
pub fn conservation(lived: &Lived, picks: &[Pick]) -> TestCaseResult {
    let is_quiet = lived.samples.iter().all(|sample| sample.span.scan.is_empty());
    let last = lived.samples.len() - 1;
    conservation_from(if is_quiet { 1 } else { last }, lived, picks)
}

/// The same, at each sample from that one on.
pub fn conservation_from(from: usize, lived: &Lived, picks: &[Pick]) -> TestCaseResult {
    let log = lived.world.log();
    let first = lived.samples[0].span.clone();
    let mut sums = BTreeMap::new();
    for_each_report(lived, picks, |group, at, line, _| {
        let sum = sums.entry(group.label.to_owned()).or_insert(0);
        *sum += line.and_then(|line| line.used).unwrap_or(0);
        if at < from {
            return Ok(());
        }
        let [then, now] = [0, at].map(|at| lived.samples[at].span.scan.end);
        let [then, now] = [then, now].map(|end| shown(&log[..end], group));
        let story = || format!("{}, sample {at}{}", group.label, story(lived, at));
        if !first.has_clocks {
            prop_assert_eq!(*sum, now.by_stat - then.by_stat, "{}", story());
            return Ok(());
        }
        let used = now.whole - then.whole;
        let excess = sum.saturating_sub(used + then.children_cut_off);
        let is_bounded =
            excess == 0 || is_forgotten(excess, &log[..lived.samples[at].span.scan.end], group);
        prop_assert!(is_bounded, "{sum} of {used} us: {}", story());
        prop_assert!(*sum + now.children_cut_off >= used, "{sum} of {used} us: {}", story());
        Ok(())
    })
}

/// The sum of the reports so far is never above what was used so far, however late some of it
/// was seen.
pub fn nothing_counts_twice(lived: &Lived, picks: &[Pick]) -> TestCaseResult {
    let first = &lived.samples[0].span;
    let mut sums = BTreeMap::new();
    for_each_report(lived, picks, |group, at, line, _| {
        let sum = sums.entry(group.label.to_owned()).or_insert(0);
        *sum += line.and_then(|line| line.used).unwrap_or(0);
        let truth = truth(lived.world.log(), group, first, &lived.samples[at].span);
        let excess = sum.saturating_sub(truth.used + truth.cut_off);
        let log = &lived.world.log()[..lived.samples[at].span.scan.end];
        let is_bounded = excess == 0 || (first.has_clocks && is_forgotten(excess, log, group));
        prop_assert!(
            is_bounded,
            "{}, up to sample {at}: {sum} us, in truth {truth:?}{}",
            group.label,
            story(lived, at)
        );
        Ok(())
    })
}

/// `cpu_time` is the sum of what was reported, through all absences. A group that nobody named has
/// no line in a sample where only zombies are left of it; what these used is in the next.
pub fn totals_are_sums(lived: &Lived, picks: &[Pick]) -> TestCaseResult {
    let mut sums = BTreeMap::new();
    for_each_report(lived, picks, |group, at, line, _| {
        let Some(line) = line else { return Ok(()) };
        let (sum, last) = sums.entry(group.label.to_owned()).or_insert((0, 0));
        *sum += line.used.unwrap_or(0);
        if picks.iter().any(|pick| pick.label == Some(group.label)) {
            prop_assert_eq!(line.total, *sum, "{}, sample {}", group.label, at);
        }
        prop_assert!(line.total >= *sum && line.total >= *last, "{}, sample {at}", group.label);
        *last = line.total;
        Ok(())
    })
}

/// A history, seen by a watch without CPU clocks, by one with them, and by one that also reads only
/// what may have changed. The last one sees it without what runs unseen, which it would see a sample
/// later: [`unmoved`](super::unmoved) has the properties for that.
fn all_ways(law: Law, steps: &[Step]) -> (Vec<Pick>, [Lived; 3]) {
    let picks = picks(law);
    let watch = || Watch::new(&picks);
    let in_sight: Vec<Step> = steps.iter().cloned().map(Step::in_sight).collect();
    let lived = [
        live(law, steps, &mut [watch().without_clocks()]),
        live(law, steps, &mut [watch()]),
        live(law, &in_sight, &mut [watch().of_births()]),
    ];
    (picks, lived)
}

/// No report shows more than was used, and totals are sums, however the history is seen.
fn reports_are_bounded(law: Law, steps: &[Step]) -> TestCaseResult {
    let (picks, lived) = all_ways(law, steps);
    for lived in lived {
        no_spikes(&lived, &picks)?;
        totals_are_sums(&lived, &picks)?;
    }
    Ok(())
}

/// The same, and each line has the number of processes that the group has, and CPU time if that is known.
fn reports_are_true(law: Law, steps: &[Step]) -> TestCaseResult {
    let (picks, lived) = all_ways(law, steps);
    for lived in lived {
        no_spikes(&lived, &picks)?;
        totals_are_sums(&lived, &picks)?;
        for_each_report(&lived, &picks, |group, at, line, truth| {
            let processes = line.map_or(0, |line| line.processes);
            prop_assert_eq!(processes, truth.living, "{}, sample {}", group.label, at);
            // A group without a name has no line while none of its processes is alive.
            if let Some(line) = line {
                let unknown = line.used.is_none();
                prop_assert_eq!(unknown, truth.unknown, "{}, sample {}", group.label, at);
            }
            Ok(())
        })?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn quiet_histories_are_reported_as_they_were(steps in quiet()) {
        reports_are_true(Law::Any, &steps)?;
    }

    #[test]
    fn the_order_of_selectors_changes_no_value(
        steps in quiet(), shuffled in Just(picks(Law::Any)).prop_shuffle(), has_clocks: bool,
    ) {
        let picks = picks(Law::Any);
        let doubled: Vec<Pick> = picks.iter().chain(&shuffled).copied().collect();
        let mut watches = [&picks, &shuffled, &doubled].map(|picks| Watch::new(picks));
        watches.iter_mut().for_each(|watch| watch.setup.has_clocks = has_clocks);
        for sample in live(Law::Any, &steps, &mut watches).samples {
            prop_assert_eq!(&sample.lines[0], &sample.lines[1]);
            prop_assert_eq!(&sample.lines[0], &sample.lines[2]);
        }
    }

    #[test]
    fn quiet_lossless_histories_are_reported_as_the_kernel_shows_them(steps in quiet()) {
        let (picks, lived) = all_ways(Law::Lossless, &steps);
        for lived in lived {
            no_spikes(&lived, &picks)?;
            conservation(&lived, &picks)?;
        }
    }

    #[test]
    fn racy_histories_have_no_spikes(steps in racy()) {
        reports_are_bounded(Law::Any, &steps)?;
    }

    #[test]
    fn racy_lossless_histories_lose_and_double_nothing(steps in racy()) {
        let (picks, lived) = all_ways(Law::Lossless, &steps);
        for lived in lived {
            no_spikes(&lived, &picks)?;
            nothing_counts_twice(&lived, &picks)?;
            conservation(&lived, &picks)?;
        }
    }

    #[test]
    fn several_readers_report_what_one_does(
        steps in racy(), readers in 1usize..4, has_clocks: bool,
    ) {
        let picks = picks(Law::Lossless);
        let mut watch = Watch::new(&picks);
        (watch.setup.readers, watch.setup.has_clocks) = (readers, has_clocks);
        let lived = live(Law::Lossless, &steps, std::slice::from_mut(&mut watch));
        no_spikes(&lived, &picks)?;
        nothing_counts_twice(&lived, &picks)?;
        conservation(&lived, &picks)?;
    }

    #[test]
    fn quiet_histories_of_nested_groups_are_reported_as_they_were(steps in quiet()) {
        reports_are_true(Law::Nested, &steps)?;
    }

    #[test]
    fn racy_histories_of_nested_groups_have_no_spikes(steps in racy()) {
        reports_are_bounded(Law::Nested, &steps)?;
    }

    /// A group is reported the same whatever other groups there are.
    #[test]
    fn nested_groups_do_not_change_each_other(steps in quiet(), has_clocks: bool) {
        let picks = picks(Law::Nested);
        let mut watches: Vec<Watch> = (0..picks.len()).map(|at| Watch::new(&picks[at..=at])).collect();
        watches.push(Watch::new(&picks));
        watches.iter_mut().for_each(|watch| watch.setup.has_clocks = has_clocks);
        for sample in live(Law::Nested, &steps, &mut watches).samples {
            let (all, alone) = sample.lines.split_last().unwrap();
            // The first two selectors have groups in common; the others have one each.
            for (label, line) in alone[2].iter().chain(&alone[3]) {
                prop_assert_eq!(Some(line), all.get(label), "{}", label);
            }
            for (name, lines) in [("w", &alone[0]), ("v", &alone[0]), ("u", &alone[0]), ("r", &alone[1])] {
                prop_assert_eq!(lines.get(name), all.get(name), "{}", name);
            }
        }
    }
}
