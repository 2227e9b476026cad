//! What holds in every history if the CPU clocks of processes can be read: own time is exact, child
//! time is cut to ticks.

use super::Watch;
use super::history::{Law, Lived, live, picks, quiet, racy};
use super::oracle::{Group, Pick, exact};
use super::properties::{config, for_each_report, no_spikes, story, totals_are_sums};
use super::world::TICK;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use std::collections::BTreeMap;

fn watch(law: Law) -> (Vec<Pick>, Watch) {
    let picks = picks(law);
    let mut watch = Watch::new(&picks);
    watch.setup.has_clocks = true;
    (picks, watch)
}

/// The sum of all reports is what the group used, within two ticks for each process that waits for
/// children. What one sample missed the next one has, so this holds at the end of a history, and at
/// each sample if nothing happened while samples were taken.
fn conservation(lived: &Lived, picks: &[Pick]) -> TestCaseResult {
    let log = lived.world.log();
    let start = lived.samples[0].span.scan.start;
    let is_quiet = lived.samples.iter().all(|sample| sample.span.scan.is_empty());
    let last = lived.samples.len() - 1;
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for_each_report(lived, picks, |group, at, line, _| {
        let sum = sums.entry(group.label.to_owned()).or_insert(0);
        *sum += line.and_then(|line| line.used).unwrap_or(0);
        if is_quiet || at == last {
            let end = if at == last { log.len() } else { lived.samples[at].span.scan.start };
            let group = Group { picks, label: group.label };
            let (then, waited_then) = exact(&log[..start], group);
            let (now, waited_now) = exact(&log[..end], group);
            let bound = 2 * TICK * waited_then.max(waited_now);
            let used = now - then;
            prop_assert!(
                sum.abs_diff(used) <= bound,
                "{}, sample {at}: {sum} us of {used}, bound {bound}{}",
                group.label,
                story(lived, at)
            );
        }
        Ok(())
    })
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn quiet_lossless_histories_are_exact_but_for_child_time(steps in quiet()) {
        let (picks, watch) = watch(Law::Lossless);
        let lived = live(Law::Lossless, &steps, &mut [watch]);
        conservation(&lived, &picks)?;
        no_spikes(&lived, &picks)?;
    }

    #[test]
    fn quiet_histories_have_no_spikes(steps in quiet()) {
        let (picks, watch) = watch(Law::Any);
        let lived = live(Law::Any, &steps, &mut [watch]);
        no_spikes(&lived, &picks)?;
        totals_are_sums(&lived, &picks)?;
    }

    #[test]
    fn racy_histories_have_no_spikes_with_clocks(steps in racy()) {
        let (picks, watch) = watch(Law::Any);
        let lived = live(Law::Any, &steps, &mut [watch]);
        no_spikes(&lived, &picks)?;
        totals_are_sums(&lived, &picks)?;
    }

    #[test]
    fn racy_lossless_histories_are_conserved(steps in racy()) {
        let (picks, watch) = watch(Law::Lossless);
        let lived = live(Law::Lossless, &steps, &mut [watch]);
        no_spikes(&lived, &picks)?;
        conservation(&lived, &picks)?;
    }
}
