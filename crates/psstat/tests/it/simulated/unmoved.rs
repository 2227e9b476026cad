//! Reading only what has run gives the same result as reading everything.

use super::Watch;
use super::counters::control_groups;
use super::history::{Law, Lived, Step, in_sight, live, picks, quiet_with_control_groups, racy};
use super::oracle::{By, Pick};
use super::properties::{config, conservation_from, nothing_counts_twice};
use super::world::{TICK, World};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use psstat_core::engine::Sample;
use psstat_core::model::process::{Names, Process};
use psstat_core::model::units::{CpuNanos, Pid};
use std::cell::Cell;
use std::collections::BTreeMap;

/// All kinds of selector but executables, which no clock tells of, with all fields, on a kernel that
/// tells of births.
fn watch() -> Watch {
    let mut picks = picks(Law::Any);
    picks.extend(control_groups());
    picks.push(Pick { label: Some("cmdline"), by: By::Cmdline("w") });
    picks.push(Pick { label: Some("user"), by: By::User(1) });
    Watch::new(&picks).with_all_fields().of_births()
}

/// The members by pid, with their names.
fn members(sample: &Sample) -> BTreeMap<Pid, (Process, &[u8])> {
    let snapshot = &sample.snapshot;
    let members = sample.readings.members.iter().map(|&index| snapshot.processes[index]);
    // The same name may have another id in another sample.
    let comm = Names::default().id(b"");
    let named = |process: Process| {
        let name = snapshot.names.text(process.comm);
        (process.id.pid, (Process { comm, ..process }, name))
    };
    members.map(named).collect()
}

/// The members by pid, as `stat` showed them. Not all samples read all clocks.
fn members_in_stat(sample: &Sample) -> BTreeMap<Pid, (Process, &[u8])> {
    let mut members = members(sample);
    members.values_mut().for_each(|(process, _)| process.clock = None);
    members
}

/// How many members had run since the last sample, and how many had not.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    samples: usize,
    /// Members whose clocks had not moved.
    unmoved: usize,
    /// Members that had run or ended.
    moved: usize,
}

impl Tally {
    fn add(&mut self, lived: &Lived) {
        for pair in lived.samples.windows(2) {
            let [then, now] = [0, 1].map(|at| members(&pair[at].taken[1]));
            self.samples += 1;
            for (pid, (process, _)) in then {
                let now = now.get(&pid).map(|(process, _)| process.clock);
                match now {
                    Some(clock) if clock == process.clock => self.unmoved += 1,
                    _ => self.moved += 1,
                }
            }
        }
    }
}

/// More than half of the members have not run, so that the property shows something.
#[test]
fn reading_what_has_run_is_reading_everything() {
    let total = Cell::new(Tally::default());
    let steps = in_sight(quiet_with_control_groups());
    let outcome = TestRunner::new(config(1000)).run(&steps, |steps| {
        let watches = &mut [watch().without_memory(), watch(), watch().resident()];
        let lived = live(Law::Any, &steps, watches);
        for (at, sample) in lived.samples.iter().enumerate() {
            let all = &sample.taken[0];
            for some in &sample.taken[1..] {
                prop_assert_eq!(&some.reports, &all.reports, "sample {}", at);
                prop_assert_eq!(&some.state.accounts, &all.state.accounts, "sample {}", at);
                let [some, all] = [some, all].map(members_in_stat);
                prop_assert_eq!(some, all, "sample {}", at);
            }
        }
        let mut tally = total.get();
        tally.add(&lived);
        total.set(tally);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    let total = total.get();
    assert!(total.unmoved > total.moved && 2 * total.moved > total.samples, "{total:?}");
}

proptest! {
    #![proptest_config(config(1000))]

    /// What a process did while it ran unseen is not seen before its clock has caught up, be it that
    /// it waited for a child. Then it is, and counts once.
    #[test]
    fn what_ran_unseen_is_seen_later(mut steps in racy()) {
        steps.push(Step::rest());
        let picks = picks(Law::Lossless);
        let lived = live(Law::Lossless, &steps, &mut [Watch::new(&picks).of_births()]);
        nothing_counts_twice(&lived, &picks)?;
        conservation_from(lived.samples.len() - 1, &lived, &picks)?;
    }

    /// The same for names, users and control groups.
    #[test]
    fn who_ran_unseen_is_found_later(mut steps in quiet_with_control_groups()) {
        steps.push(Step::rest());
        let watches = &mut [watch().without_memory(), watch(), watch().resident()];
        let lived = live(Law::Any, &steps, watches);
        let last = &lived.samples[lived.samples.len() - 1].taken;
        let [all, some, resident] = [0, 1, 2].map(|at| members_in_stat(&last[at]));
        prop_assert_eq!(some, all.clone());
        prop_assert_eq!(resident, all);
    }
}

/// A process that has another's pid may also have used as much. The pid was given out since the last
/// sample, so the process is read.
#[test]
fn a_successor_whose_clock_shows_the_same_is_read() {
    let mut world = World::new(100);
    let root = world.fork(Pid::INIT).unwrap();
    let child = world.fork(root).unwrap();
    world.fork(root).unwrap();
    world.burn(child, 100, 0);
    let clock = world.clock(child);
    let mut watch = Watch::new(&[Pick { label: Some("root"), by: By::Pid(root) }]).of_births();
    let mut start_of_child = |world: &mut World| {
        world.idle(100 * TICK);
        let seen = watch.sample(world);
        assert!(seen.some.is_some() || seen.lines.is_empty(), "births are certain");
        let snapshot = seen.sample.snapshot;
        snapshot.processes[snapshot.find(child).unwrap()].id.start
    };
    let start = start_of_child(&mut world);
    assert_eq!(start_of_child(&mut world), start);
    world.exit_and_wait(child);
    world.idle(TICK);
    world.set_last_pid(child.number() - 1);
    assert_eq!(world.fork(root), Some(child));
    world.burn(child, 100, 0);
    assert_eq!(world.clock(child), clock);
    assert!(start_of_child(&mut world) > start);
}

/// A pid can also be chosen. The clock of a process that has never run shows 0, and so does that of
/// its successor. Such a process is always read.
#[test]
fn a_successor_that_has_never_run_is_read() {
    let mut world = World::new(100);
    let root = world.fork(Pid::INIT).unwrap();
    let child = world.fork(root).unwrap();
    let mut watch = Watch::new(&[Pick { label: Some("root"), by: By::Pid(root) }]).of_births();
    let mut start_of_child = |world: &mut World| {
        world.idle(100 * TICK);
        let snapshot = watch.sample(world).sample.snapshot;
        snapshot.processes[snapshot.find(child).unwrap()].id.start
    };
    let start = start_of_child(&mut world);
    assert_eq!(start_of_child(&mut world), start);
    world.exit_and_wait(child);
    world.idle(TICK);
    assert_eq!(world.fork_with_pid(root, child), Some(child));
    assert_eq!(world.clock(child), Some(CpuNanos(0)));
    assert!(start_of_child(&mut world) > start);
}

/// A sleeping member adopts the child of a process from outside: the first process of a pid namespace
/// does, after setns(2). Neither of them runs.
#[test]
fn who_is_adopted_by_a_member_that_sleeps_is_found() {
    let mut world = World::new(32_768);
    let root = world.fork(Pid::INIT).unwrap();
    world.exec(root, "w");
    let outside = world.fork(Pid::INIT).unwrap();
    for _ in 0..40 {
        world.fork(Pid::INIT).unwrap();
    }
    world.fork(outside).unwrap();
    world.set_reaper(outside, root);
    let picks = [By::Pid(root), By::Name(&["w"])].map(|by| Pick { label: Some("root"), by });
    for (pick, is_resident) in [(picks[0], false), (picks[0], true), (picks[1], true)] {
        let mut world = world.clone();
        let mut watch = Watch::new(&[pick]).of_births();
        watch.is_resident = is_resident;
        let mut processes = |world: &mut World| {
            world.idle(100 * TICK);
            watch.sample(world).lines.get("root").map_or(0, |line| line.processes)
        };
        (0..80).for_each(|_| assert!(processes(&mut world) < 2));
        world.exit(outside);
        let found = (0..20).find(|_| processes(&mut world) == 2);
        assert!(found.is_some(), "{pick:?}, resident: {is_resident}");
    }
}

/// An orphan goes to a subreaper further up, and not to the nearest ancestor that lives. The subreaper
/// waits for it while it runs unseen. What was counted of the orphan does not count again when that is
/// seen.
#[test]
fn all_ancestors_of_a_missing_orphan_are_read() {
    let mut world = World::new(100);
    let subreaper = world.fork(Pid::INIT).unwrap();
    world.set_subreaper(subreaper);
    let near = world.fork(subreaper).unwrap();
    let middle = world.fork(near).unwrap();
    let orphan = world.fork(middle).unwrap();
    world.burn(orphan, 100 * TICK, 0);
    let picks = [Pick { label: Some("root"), by: By::Pid(subreaper) }];
    let mut watch = Watch::new(&picks).of_births();
    let mut used = |world: &mut World| {
        let used = watch.sample(world).lines.get("root").and_then(|line| line.used);
        world.idle(TICK / 4);
        used.unwrap_or(0)
    };
    // So many that the turn of none of these pids comes again soon.
    for _ in 0..8 {
        used(&mut world);
    }
    world.idle(world.until_tick());
    world.exit_and_wait(middle);
    world.run_unseen(subreaper);
    world.exit_and_wait(orphan);
    let twice = [used(&mut world), used(&mut world)];
    assert!(world.runs_unseen(subreaper), "both samples lie in one tick");
    world.idle(2 * TICK);
    let sum = twice[0] + twice[1] + used(&mut world);
    assert!(sum < TICK, "{sum} us");
}
