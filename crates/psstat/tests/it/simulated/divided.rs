//! Groups that share the processes of a machine add up to it, whoever waits for whom.

use super::counters::control_groups;
use super::history::{Law, Step, live, picks, quiet, quiet_with_control_groups, racy};
use super::oracle::{By, Group, Pick, shown, waiters};
use super::properties::config;
use super::world::{TICK, World};
use super::{Line, Watch};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use psstat_core::model::label::Label;
use psstat_core::model::units::Pid;
use psstat_core::select::selector::{Conditions, Selector};
use std::collections::BTreeMap;

/// A group of all processes.
fn everything() -> Watch {
    let pattern = Some(String::new());
    let all = Conditions { pattern, ..Conditions::default() };
    let all = Selector::of_all(Some(Label::lossy(b"everything")), all);
    Watch { selectors: vec![all], ..Watch::new(&[]) }
}

/// Groups of every kind. Some overlap.
fn all_picks() -> Vec<Pick> {
    let mut picks = picks(Law::Any);
    picks.extend(control_groups());
    picks.push(Pick { label: None, by: By::User(1) });
    picks.push(Pick { label: Some("u"), by: By::Name(&["u"]) });
    picks
}

fn sum<T: std::iter::Sum>(lines: &BTreeMap<String, Line>, value: impl Fn(&Line) -> T) -> T {
    lines.values().map(value).sum()
}

/// What the groups of each sample report adds up to what a group of all processes reports.
fn add_up(steps: &[Step], divided: Watch, all: Watch) -> TestCaseResult {
    for sample in live(Law::Any, steps, &mut [divided, all]).samples {
        let Some(all) = sample.lines[1].get("everything") else { continue };
        let groups = &sample.lines[0];
        // Those of other pid namespaces are known by their control groups alone.
        let foreign: u64 = sample.taken[0].groups.iter().map(|group| group.foreign).sum();
        let processes = sum(groups, |line| line.processes);
        prop_assert_eq!(processes, all.processes + foreign, "{:?}", groups);
        // Of processes that cannot be read nobody knows what they used.
        if foreign > 0 {
            continue;
        }
        // A group whose members are all older than the last sample and new in it does not know what they used.
        let used = sum(groups, |line| line.used.unwrap_or_default());
        prop_assert_eq!(Some(used), all.used, "{:?}", sample.lines);
    }
    Ok(())
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn exclusive_groups_and_the_rest_add_up_to_the_machine(
        steps in quiet_with_control_groups(),
        shuffled in Just(all_picks()).prop_shuffle(),
        (has_clocks, is_resident, tells_births, children) in any::<(bool, bool, bool, bool)>(),
    ) {
        let set_up = |mut watch: Watch| {
            watch.setup.has_clocks = has_clocks;
            watch.setup.tells_births = tells_births;
            watch.is_resident = is_resident;
            watch
        };
        let mut divided = Watch::of(&shuffled, children);
        // A whole unit has no children to leave out.
        divided.selectors.iter_mut().filter(|one| one.takes_control_groups()).for_each(|one| one.children = true);
        divided.is_exclusive = true;
        divided.rest = Some("rest");
        add_up(&steps, set_up(divided), set_up(everything()))?;
    }

    #[test]
    fn exclusive_groups_alone_have_what_they_have_beside_the_rest(
        steps in quiet_with_control_groups(),
        shuffled in Just(all_picks()).prop_shuffle(),
        (is_resident, tells_births) in any::<(bool, bool)>(),
    ) {
        let watch = |rest| {
            let mut watch = Watch { is_exclusive: true, rest, is_resident, ..Watch::new(&shuffled) };
            watch.setup.tells_births = tells_births;
            watch
        };
        for sample in live(Law::Any, &steps, &mut [watch(None), watch(Some("rest"))]).samples {
            let mut others = sample.lines[1].clone();
            others.remove("rest");
            prop_assert_eq!(&others, &sample.lines[0]);
            let names = sample.taken[0].groups.iter().map(|group| group.label.as_str());
            prop_assert!(names.into_iter().all(|name| name != "(no group)"));
        }
    }

    #[test]
    fn what_happens_while_a_sample_is_taken_is_neither_lost_nor_doubled(steps in racy()) {
        let mut divided = Watch::of(&all_picks(), true).of_births();
        divided.is_exclusive = true;
        divided.rest = Some("rest");
        let lived = live(Law::Lossless, &steps, &mut [divided]);
        let lines = lived.samples.iter().map(|sample| &sample.lines[0]);
        let reported: u64 = lines.map(|lines| sum(lines, |line| line.used.unwrap_or_default())).sum();
        let log = lived.world.log();
        let [first, last] = [0, lived.samples.len() - 1].map(|at| &lived.samples[at].span.scan);
        let all = [Pick { label: Some("all"), by: By::Pid(Pid::INIT) }];
        let group = Group { picks: &all, label: "all" };
        let [then, now] = [first, last].map(|scan| shown(&log[..scan.end], group));
        let used = now.whole - then.whole;
        // What the kernel cuts off child time, and what the ledger forgets of it.
        let allowed = then.children_cut_off + 2 * TICK * waiters(log, group);
        prop_assert!(reported <= used + allowed, "{reported} of {used} us");
        prop_assert!(reported + now.children_cut_off >= used, "{reported} of {used} us");
    }

    #[test]
    fn the_rest_changes_no_other_group(steps in quiet(), tells_births: bool) {
        let watch = || {
            let watch = Watch::new(&picks(Law::Any));
            if tells_births { watch.of_births() } else { watch }
        };
        let with_rest = Watch { rest: Some("rest"), ..watch() };
        let mut all = everything();
        all.setup.tells_births = tells_births;
        for sample in live(Law::Any, &steps, &mut [watch(), with_rest, all]).samples {
            let mut others = sample.lines[1].clone();
            let rest = others.remove("rest");
            prop_assert_eq!(&others, &sample.lines[0]);
            let (Some(rest), Some(all)) = (rest, sample.lines[2].get("everything")) else { continue };
            prop_assert!(rest.used <= all.used, "{rest:?} of {all:?}");
            prop_assert!(rest.processes <= all.processes, "{rest:?} of {all:?}");
        }
    }
}

#[test]
fn a_process_belongs_to_the_first_group_that_has_it() {
    let mut world = World::new(1000);
    let shell = world.fork(Pid::INIT).unwrap();
    let server = world.fork(shell).unwrap();
    let worker = world.fork(server).unwrap();
    world.exec(shell, "shell");
    world.exec(server, "server");
    world.exec(worker, "server");
    let picks = [
        Pick { label: Some("server"), by: By::Name(&["server"]) },
        Pick { label: Some("shell"), by: By::Name(&["shell"]) },
    ];
    let counts = |picks: &[Pick], is_exclusive, world: &mut World| {
        let mut watch = Watch::new(picks);
        (watch.is_exclusive, watch.rest) = (is_exclusive, Some("rest"));
        watch.sample(world);
        world.idle(1000);
        let lines = watch.sample(world).lines;
        ["server", "shell", "rest"].map(|name| lines[name].processes)
    };
    assert_eq!(counts(&picks, true, &mut world), [2, 1, 1]);
    assert_eq!(counts(&picks, false, &mut world), [2, 3, 1]);
    let reversed = [picks[1], picks[0]];
    assert_eq!(counts(&reversed, true, &mut world), [0, 3, 1], "descendants included");
}
