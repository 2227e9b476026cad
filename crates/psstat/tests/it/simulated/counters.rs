//! Groups of control groups. If their counters can be read, they report exactly what ran in them.
//! If no hierarchy can be read, the ledger adds up the processes, with the same promises as for
//! descendants.

use super::Watch;
use super::hierarchy::is_within;
use super::history::{Law, PATHS, live, quiet_with_control_groups, racy, racy_with_control_groups};
use super::oracle::{By, Group, Pick, Tops, counted, present};
use super::properties::{
    config, conservation, no_spikes, nothing_counts_twice, story, totals_are_sums,
};
use proptest::prelude::*;
use psstat_core::engine::Sample;

pub const A_SERVICES: Tops = &[("system.slice/a.service", "a")];
const SERVICES: Tops = &[
    ("system.slice/a.service", "a"),
    ("system.slice/b.service", "b"),
    ("user.slice/user-1.slice/user@1.service", "user@1"),
];

/// Groups of whole control groups, nested and overlapping.
pub fn control_groups() -> Vec<Pick> {
    let pick = |label, by| Pick { label, by };
    vec![
        pick(Some("a"), By::Units("a.service", A_SERVICES)),
        pick(None, By::Units("b.service", &[("system.slice/b.service", "b")])),
        pick(Some("services"), By::Units("*.service", SERVICES)),
        pick(Some("services"), By::Paths("docker/*", &[("docker/x", "docker/x")])),
        pick(None, By::Paths("docker/*", &[("docker/x", "docker/x")])),
        pick(Some("system"), By::Units("system.slice", &[("system.slice", "system.slice")])),
        pick(
            Some("worker"),
            By::Paths(
                "*/a.service/worker",
                &[("system.slice/a.service/worker", "system.slice/a.service/worker")],
            ),
        ),
    ]
}

const LABELS: [&str; 6] = ["a", "b", "services", "docker/x", "system", "worker"];

fn is_named(picks: &[Pick], label: &str) -> bool {
    picks.iter().any(|pick| pick.label == Some(label))
}

/// The processes of other pid namespaces in the control groups of a group.
fn foreign(sample: &Sample, group: Group<'_>) -> u64 {
    let tops = group.tops();
    let is_own = |path: &[u8]| tops.iter().any(|top| is_within(str::from_utf8(path).unwrap(), top));
    let own = sample.control_groups.iter().filter(|directory| is_own(&directory.path));
    own.map(|directory| directory.foreign).sum()
}

/// A watch that has no hierarchy to read.
fn without_hierarchy(picks: &[Pick]) -> Watch {
    let mut watch = Watch::new(picks);
    watch.access.hides_hierarchy = true;
    watch
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn counters_report_exactly_what_ran(steps in quiet_with_control_groups()) {
        let picks = control_groups();
        let lived = live(Law::Any, &steps, &mut [Watch::new(&picks)]);
        let log = lived.world.log();
        for label in LABELS {
            let group = Group { picks: &picks, label };
            for (at, pair) in lived.samples.windows(2).enumerate() {
                let [then, now] = [&pair[0], &pair[1]].map(|sample| sample.span.scan.start);
                let Some(line) = pair[1].lines[0].get(label) else {
                    prop_assert!(!is_named(&picks, label), "{} has no line", label);
                    continue;
                };
                let used = counted(log, group, then, now);
                prop_assert_eq!(line.used, Some(used), "{}{}", label, story(&lived, at + 1));
            }
        }
    }

    #[test]
    fn counters_tell_how_many_processes_live(steps in quiet_with_control_groups()) {
        let picks = control_groups();
        let lived = live(Law::Any, &steps, &mut [Watch::new(&picks)]);
        for label in LABELS {
            let group = Group { picks: &picks, label };
            for sample in &lived.samples[1..] {
                let present = present(&lived.world.log()[..sample.span.scan.start], group);
                let living = present.values().filter(|one| one.is_member && one.is_alive).count();
                let foreign = foreign(&sample.taken[0], group);
                let processes = sample.lines[0].get(label).map_or(0, |line| line.processes);
                prop_assert_eq!(processes, living as u64 + foreign, "{}", label);
            }
        }
    }

    #[test]
    fn counters_lose_nothing_and_count_nothing_twice(steps in racy_with_control_groups()) {
        let picks = control_groups();
        let lived = live(Law::Any, &steps, &mut [Watch::new(&picks)]);
        for label in LABELS.into_iter().filter(|label| is_named(&picks, label)) {
            let group = Group { picks: &picks, label };
            let first = lived.samples[0].span.scan.start;
            let mut sum = 0;
            for sample in &lived.samples[1..] {
                sum += sample.lines[0][label].used.unwrap();
                let [begin, end] = [sample.span.scan.start, sample.span.scan.end]
                    .map(|until| counted(lived.world.log(), group, first, until));
                prop_assert!((begin..=end).contains(&sum), "{}: {} us", label, sum);
            }
        }
    }

    #[test]
    fn without_hierarchies_families_may_move(steps in quiet_with_control_groups()) {
        let picks = control_groups();
        let lived = live(Law::Families, &steps, &mut [without_hierarchy(&picks)]);
        no_spikes(&lived, &picks)?;
        totals_are_sums(&lived, &picks)?;
        for label in LABELS {
            let group = Group { picks: &picks, label };
            for sample in &lived.samples[1..] {
                let present = present(&lived.world.log()[..sample.span.scan.start], group);
                let living = present.values().filter(|one| one.is_member && one.is_alive).count();
                let processes = sample.lines[0].get(label).map_or(0, |line| line.processes);
                prop_assert_eq!(processes, living as u64, "{}", label);
            }
        }
    }

    #[test]
    fn without_hierarchies_there_are_no_spikes(steps in racy()) {
        let picks = control_groups();
        let lived = live(Law::Any, &steps, &mut [without_hierarchy(&picks)]);
        no_spikes(&lived, &picks)?;
        totals_are_sums(&lived, &picks)?;
    }

    #[test]
    fn without_hierarchies_nothing_is_lost(steps in racy()) {
        let unit = By::Units("a.service", &[(PATHS[0], "a")]);
        let picks = [Pick { label: Some("a"), by: unit }];
        let lived = live(Law::Lossless, &steps, &mut [without_hierarchy(&picks)]);
        no_spikes(&lived, &picks)?;
        nothing_counts_twice(&lived, &picks)?;
        conservation(&lived, &picks)?;
    }
}
