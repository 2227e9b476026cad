//! Names that are made of what was matched: they change the names of groups, and nothing else.

use super::history::{Law, live, quiet, quiet_with_control_groups};
use super::oracle::{By, Pick};
use super::properties::config;
use super::world::{TICK, World};
use super::{Line, Watch};
use proptest::prelude::*;
use psstat_core::model::label::Label;
use psstat_core::model::units::Pid;
use psstat_core::select::selector::{Naming, Selector};
use psstat_core::select::template::Bound;
use std::collections::BTreeMap;

/// Groups that the user did not name.
const UNNAMED: [Pick; 4] = [
    Pick { label: None, by: By::Name(&["u", "v", "w"]) },
    Pick { label: None, by: By::Cmdline("w") },
    Pick { label: None, by: By::User(1) },
    Pick { label: None, by: By::Exe("v") },
];

/// The same selectors, which name their groups like that.
fn named(watch: Watch, template: &str, bound: &Bound) -> Watch {
    let naming = Naming::parse(template, bound.clone()).unwrap();
    let renamed = |selector: Selector| Selector { naming: naming.clone(), ..selector };
    Watch { selectors: watch.selectors.into_iter().map(renamed).collect(), ..watch }
}

#[test]
fn a_zombie_keeps_its_name_while_psstat_is_resident() {
    let pick = Pick { label: None, by: By::Name(&["w"]) };
    let watch = || named(Watch::new(&[pick]), "{exe}", &Bound::default());
    for (mut watch, expected) in
        [(watch().resident(), &["/bin/w"][..]), (watch(), &["/bin/w", "?"])]
    {
        let mut world = World::new(100);
        let parent = world.fork(Pid::INIT).unwrap();
        world.exec(parent, "x");
        let children = [(); 2].map(|()| world.fork(parent).unwrap());
        children.iter().for_each(|&child| world.exec(child, "w"));
        world.idle(2 * TICK);
        watch.sample(&mut world);
        world.exit(children[0]);
        world.idle(2 * TICK);
        let groups = watch.sample(&mut world).sample.groups;
        let labels: Vec<String> = groups.iter().map(|group| group.label.to_string()).collect();
        assert_eq!(labels, expected);
    }
}

/// A process takes the name of a group that another rule has made. It is older than those of its own rule.
#[test]
fn a_group_of_another_rule_keeps_no_place_while_psstat_is_resident() {
    let picks = [&["w"][..], &["v"]].map(|names| Pick { label: None, by: By::Name(names) });
    let bound = Bound { max_groups: 2, overflow: Label::lossy(b"rest") };
    let watch = || named(Watch::of(&picks, false), "{user}", &bound);
    for (mut watch, expected) in
        [(watch().resident(), &["1", "2", "3", "rest"][..]), (watch(), &["1", "3", "rest"])]
    {
        let mut world = World::new(100);
        let mut start = |name: &'static str, user: u32| {
            let pid = world.fork(Pid::INIT).unwrap();
            world.exec(pid, name);
            world.set_user(pid, user);
            world.idle(2 * TICK);
            pid
        };
        let older = start("w", 1);
        for (name, user) in [("w", 1), ("w", 2), ("v", 3)] {
            start(name, user);
        }
        let mut labels = |world: &mut World| -> Vec<String> {
            let groups = watch.sample(world).sample.groups;
            let mut labels: Vec<String> =
                groups.iter().map(|group| group.label.to_string()).collect();
            labels.sort();
            labels
        };
        assert_eq!(labels(&mut world), ["1", "2", "3"]);
        world.set_user(older, 3);
        for _ in 0..2 {
            world.idle(2 * TICK);
            assert_eq!(labels(&mut world), expected);
        }
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn a_group_is_the_same_by_its_own_name_and_by_a_made_one(steps in quiet(), is_resident: bool) {
        let watch = || {
            let watch = Watch::new(&UNNAMED).of_births();
            if is_resident { watch.resident() } else { watch }
        };
        let bound = Bound::default();
        let mut watches =
            [watch(), named(watch(), "{comm}", &bound), named(watch(), "x-{comm}", &bound)];
        for sample in live(Law::Any, &steps, &mut watches).samples {
            prop_assert_eq!(&sample.lines[0], &sample.lines[1]);
            let with_prefix = sample.lines[0].iter();
            let with_prefix: BTreeMap<String, Line> =
                with_prefix.map(|(name, line)| (format!("x-{name}"), line.clone())).collect();
            prop_assert_eq!(&with_prefix, &sample.lines[2]);
        }
    }

    #[test]
    fn one_name_for_all_is_one_group(steps in quiet_with_control_groups()) {
        let all = [Pick { label: Some("all"), by: By::Name(&["u", "v", "w"]) }];
        let unnamed = [Pick { label: None, ..all[0] }];
        let bound = Bound { max_groups: 1, overflow: Label::lossy(b"all") };
        let mut watches = [Watch::new(&all), named(Watch::new(&unnamed), "all", &bound)];
        // It has no placeholder, so it is a name like others.
        for sample in live(Law::Any, &steps, &mut watches).samples {
            prop_assert_eq!(&sample.lines[0], &sample.lines[1]);
        }
    }

    #[test]
    fn too_many_names_lose_no_process(
        steps in quiet_with_control_groups(), max_groups in 1usize..3, is_resident: bool,
    ) {
        let picks = [Pick { label: None, by: By::Name(&["u", "v", "w"]) }];
        let few = Bound { max_groups, overflow: Label::lossy(b"rest") };
        let watch = || {
            let watch = Watch::of(&picks, false).of_births();
            if is_resident { watch.resident() } else { watch }
        };
        let mut watches = [
            named(watch(), "{comm}", &Bound::default()),
            named(watch(), "{comm}", &few),
        ];
        for sample in live(Law::Any, &steps, &mut watches).samples {
            let count = |lines: &BTreeMap<String, Line>| -> u64 {
                lines.values().map(|line| line.processes).sum()
            };
            prop_assert_eq!(count(&sample.lines[0]), count(&sample.lines[1]));
            let made = sample.lines[1].keys().filter(|name| *name != "rest").count();
            prop_assert!(made <= max_groups);
            let groups = sample.lines[0].len();
            prop_assert_eq!(made, groups.min(max_groups), "{:?}", sample.lines);
            prop_assert_eq!(sample.lines[1].len() > made, groups > max_groups, "{:?}", sample.lines);
        }
    }
}
