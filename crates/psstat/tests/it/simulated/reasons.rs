//! Each member of a group has a reason, the reason is true, and no other process has one.

use super::Watch;
use super::history::{Law, Lived, live, quiet_with_control_groups, racy_with_control_groups};
use super::oracle::{By, Group, Pick, is_picked, present};
use super::properties::config;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use psstat_core::account::group::{self, Reason};
use psstat_core::engine::Sample;
use psstat_core::model::process::Life;
use psstat_core::model::units::Pid;

/// Each way to pick, with and without a name.
fn picks() -> Vec<Pick> {
    let mut picks = super::counters::control_groups();
    let in_units = By::NameInUnits("w", "a.service", super::counters::A_SERVICES);
    for by in [
        By::Name(&["w"]),
        By::Pid(Pid::new(4)),
        By::Cmdline("w"),
        By::Exe("v"),
        By::User(1),
        By::NameAndUser("v", 1),
        in_units,
    ] {
        picks.push(Pick { label: Some("processes"), by });
        picks.push(Pick { label: Some("a"), by });
    }
    picks.push(Pick { label: None, by: By::Name(&["w", "v"]) });
    picks.push(Pick { label: Some("in units"), by: in_units });
    picks
}

/// Members have reasons, others have none, and reasons lead upwards to a root or a control group.
fn each_member_has_a_reason(sample: &Sample) -> TestCaseResult {
    let processes = sample.snapshot.processes.len();
    for group in &sample.groups {
        for index in 0..processes {
            let is_member = sample.membership.is_member(index, group.index);
            let mut reason = sample.reason(group, index);
            prop_assert_eq!(reason.is_some(), is_member, "{}: {}", group.label, index);
            for _ in 0..processes {
                let Some(Reason::Child { parent }) = reason else { break };
                prop_assert!(
                    sample.membership.is_member(parent, group.index),
                    "{}: {}",
                    group.label,
                    index
                );
                reason = sample.reason(group, parent);
            }
            let is_child = matches!(reason, Some(Reason::Child { .. }));
            prop_assert!(!is_child, "{}: {}", group.label, index);
        }
    }
    Ok(())
}

/// The reasons of one group agree with the world as it was when the sample began.
fn reasons_are_true(
    lived: &Lived,
    picks: &[Pick],
    taken: (usize, &Sample),
    group: &group::Group,
) -> TestCaseResult {
    let (begin, sample) = taken;
    let log = &lived.world.log()[..begin];
    let label = group.label.as_str();
    let present = present(log, Group { picks, label });
    for (index, process) in sample.snapshot.processes.iter().enumerate() {
        let pid = process.id.pid;
        let truth = present[&pid];
        let reason = sample.reason(group, index);
        if process.life == Life::Alive {
            prop_assert_eq!(reason.is_some(), truth.is_member, "{}: {}", label, pid);
        }
        match reason {
            None => {}
            Some(Reason::Root { selector }) => {
                let comm = sample.snapshot.names.text(process.comm);
                let name = picks[selector].label.map_or(comm, str::as_bytes);
                prop_assert_eq!(name, label.as_bytes());
                prop_assert!(is_picked(log, picks[selector], pid), "{}: {}", label, pid);
            }
            Some(Reason::ControlGroup { selector, control_group }) => {
                let path = str::from_utf8(&sample.control_groups[control_group].path).unwrap();
                let top = picks[selector].tops().iter().find(|(top, _)| *top == path);
                let name = top.map(|(_, name)| picks[selector].label.unwrap_or(name));
                prop_assert_eq!(name, Some(label));
                prop_assert!(super::hierarchy::is_within(truth.path, path), "{}: {}", label, pid);
            }
            Some(Reason::Child { parent }) => {
                let parent = sample.snapshot.processes[parent].id.pid;
                prop_assert_eq!(truth.parent, Some(parent), "{}: {}", label, pid);
                prop_assert!(present[&parent].is_member, "{}: {}", label, parent);
            }
        }
    }
    Ok(())
}

fn all_reasons_are_true(lived: &Lived, picks: &[Pick]) -> TestCaseResult {
    for sample in &lived.samples {
        let taken = &sample.taken[0];
        each_member_has_a_reason(taken)?;
        for group in &taken.groups {
            reasons_are_true(lived, picks, (sample.span.scan.start, taken), group)?;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn quiet_samples_give_true_reasons(
        steps in quiet_with_control_groups(), hides_hierarchy: bool,
    ) {
        let picks = picks();
        let mut watch = Watch::new(&picks);
        watch.access.hides_hierarchy = hides_hierarchy;
        let lived = live(Law::Any, &steps, &mut [watch]);
        all_reasons_are_true(&lived, &picks)?;
    }

    #[test]
    fn racy_samples_give_each_member_a_reason(
        steps in racy_with_control_groups(), hides_hierarchy: bool,
    ) {
        let mut watch = Watch::new(&picks());
        watch.access.hides_hierarchy = hides_hierarchy;
        let lived = live(Law::Any, &steps, &mut [watch]);
        for sample in &lived.samples {
            each_member_has_a_reason(&sample.taken[0])?;
        }
    }
}
