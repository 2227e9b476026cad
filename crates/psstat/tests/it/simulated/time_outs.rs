//! Whenever the time is up, a sample fails or has complete groups, and no CPU time is lost.

use super::history::{Law, Step, live, picks, quiet, racy_with_time_outs};
use super::oracle::{Group, truth};
use super::properties::{config, conservation, no_spikes, nothing_counts_twice, totals_are_sums};
use super::{Line, Watch};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use psstat_core::diagnostics::Warning;
use psstat_core::engine::Sample;
use psstat_core::field::Field;
use std::cell::Cell;

/// The fields that are left out because the time was up are exactly those that are missing. Returns
/// whether there are any.
fn missing_fields_are_warned_of(sample: &Sample) -> Result<bool, TestCaseError> {
    let readings = &sample.readings;
    // The first sample reads only what counts up.
    let is_first = sample.reports.is_empty();
    let left_out = sample.diagnostics.iter().flat_map(|warning| match warning {
        Warning::FieldsOutOfTime(fields) => &fields[..],
        _ => &[],
    });
    let left_out: Vec<Field> = left_out.copied().collect();
    for (field, is_missing) in [
        (Field::Memory, readings.footprints.is_none() && !is_first),
        (Field::OpenFiles, readings.open_files.is_none() && !is_first),
        (Field::StorageRead, readings.storage.is_none()),
        (Field::StorageWrite, readings.storage.is_none()),
        (Field::MajorFaults, readings.faults.is_none()),
        (Field::Switches, readings.switches.is_none()),
    ] {
        prop_assert_eq!(left_out.contains(&field), is_missing, "{}", field.name());
    }
    for report in &sample.reports {
        prop_assert_eq!(report.bytes.is_some(), readings.footprints.is_some());
        prop_assert!(report.open_files.is_none() || readings.open_files.is_some());
    }
    Ok(!left_out.is_empty())
}

/// Runs a property on many histories. At least one sample in ten must fail, and as many must lack
/// fields.
fn try_on<S: Strategy>(
    steps: S,
    property: impl Fn(&S::Value) -> Result<[usize; 3], TestCaseError>,
) {
    let total = Cell::new([0; 3]);
    let outcome = TestRunner::new(config(400)).run(&steps, |steps| {
        let counts = property(&steps)?;
        let sum = total.get();
        total.set([0, 1, 2].map(|index| sum[index] + counts[index]));
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    let [taken, failed, cut] = total.get();
    assert!(failed * 10 >= taken + failed, "{taken} taken, {failed} failed");
    assert!(cut * 10 >= taken, "{taken} taken, {cut} cut");
}

#[test]
fn samples_that_fail_lose_no_time() {
    try_on(racy_with_time_outs(), |steps| {
        let picks = picks(Law::Lossless);
        let lived = live(Law::Lossless, steps, &mut [Watch::new(&picks).with_all_fields()]);
        no_spikes(&lived, &picks)?;
        nothing_counts_twice(&lived, &picks)?;
        conservation(&lived, &picks)?;
        let mut cut = 0;
        for sample in &lived.samples {
            cut += usize::from(missing_fields_are_warned_of(&sample.taken[0])?);
        }
        Ok([lived.samples.len(), lived.failed, cut])
    });
}

/// Each line has all processes of its group.
fn groups_are_complete(steps: &[Step], time: usize) -> Result<[usize; 3], TestCaseError> {
    let picks = picks(Law::Any);
    let short = |step: &Step| match step {
        Step::Sample(_) => Step::ShortSample(time, Vec::new()),
        other => other.clone(),
    };
    let steps: Vec<Step> = steps.iter().map(short).collect();
    let lived = live(Law::Any, &steps, &mut [Watch::new(&picks).with_all_fields()]);
    no_spikes(&lived, &picks)?;
    totals_are_sums(&lived, &picks)?;
    let processes = |line: Option<&Line>| line.map_or(0, |line| line.processes);
    let mut cut = 0;
    for pair in lived.samples.windows(2) {
        for label in ["named", "pid", "w", "v"] {
            let group = Group { picks: &picks, label };
            let truth = truth(lived.world.log(), group, &pair[0].span, &pair[1].span);
            prop_assert_eq!(processes(pair[1].lines[0].get(label)), truth.living, "{}", label);
        }
        cut += usize::from(missing_fields_are_warned_of(&pair[1].taken[0])?);
    }
    Ok([lived.samples.len(), lived.failed, cut])
}

#[test]
fn samples_that_succeed_have_complete_groups() {
    try_on((quiet(), 0usize..40), |(steps, time)| groups_are_complete(steps, *time));
}
