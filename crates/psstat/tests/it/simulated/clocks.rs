//! CPU clocks in a simulated world: they stand while a process does nothing, and lag while it runs
//! unseen.

use super::history::{Law, Step, beginning, quiet};
use super::machine::{Machine, Setup};
use super::properties::config;
use super::world::{Event, Life, TICK, World};
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};
use psstat_core::kernel::Kernel;
use psstat_core::model::process::Stat;
use psstat_core::model::units::{CpuNanos, Pid};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

/// How far a clock moves when its process does something.
const ACT: CpuNanos = CpuNanos(1000);
const STANDS: CpuNanos = CpuNanos(0);

/// A world with a process that has a child.
fn family() -> (World, Pid, Pid) {
    let mut world = World::new(100);
    let parent = world.fork(Pid::INIT).unwrap();
    let child = world.fork(parent).unwrap();
    world.make_control_group("a");
    (world, parent, child)
}

/// How far the clock of a process moves while something happens.
fn moves(world: &mut World, pid: Pid, what: impl FnOnce(&mut World)) -> CpuNanos {
    let before = world.clock(pid).unwrap();
    what(world);
    world.clock(pid).unwrap().since(before)
}

#[test]
fn a_clock_moves_with_all_that_its_process_does() {
    let deeds: [fn(&mut World, Pid); 6] = [
        |world, pid| assert!(world.fork(pid).is_some()),
        |world, pid| assert!(world.fork_with_pid(pid, Pid::new(50)).is_some()),
        |world, pid| world.exec(pid, "other"),
        |world, pid| world.set_user(pid, 1),
        |world, pid| world.ignore_sigchld(pid),
        |world, pid| world.set_subreaper(pid),
    ];
    for (number, deed) in deeds.into_iter().enumerate() {
        let (mut world, parent, child) = family();
        for pid in [Pid::INIT, parent, child] {
            let mut world = world.clone();
            assert_eq!(moves(&mut world, pid, |world| deed(world, pid)), ACT, "deed {number}");
        }
        let work = |world: &mut World| world.burn(child, 3, 4);
        assert_eq!(moves(&mut world, child, work), CpuNanos(7000));
    }
}

#[test]
fn a_clock_stands_while_others_do_something_to_its_process() {
    let (mut world, parent, child) = family();
    assert_eq!(world.clock(child), Some(CpuNanos(0)), "it has not run yet");
    assert_eq!(moves(&mut world, child, |world| world.move_to(child, "a")), STANDS);
    assert_eq!(moves(&mut world, child, |world| world.run_unseen(child)), STANDS);
    assert_eq!(moves(&mut world, child, |world| world.burn(parent, TICK, 0)), STANDS);
    assert_eq!(moves(&mut world, child, |world| world.idle(TICK)), STANDS);
    let adopter = world.fork(Pid::INIT).unwrap();
    world.set_subreaper(adopter);
    let parent = world.fork(adopter).unwrap();
    let orphan = world.fork(parent).unwrap();
    let mut other = world.clone();
    assert_eq!(moves(&mut world, orphan, |world| world.exit(parent)), STANDS, "adopted");
    assert_eq!(moves(&mut other, adopter, |world| world.exit(parent)), STANDS, "adopts");
}

#[test]
fn a_clock_moves_to_the_end_and_can_be_read_until_its_process_is_waited_for() {
    let (mut world, parent, child) = family();
    assert_eq!(moves(&mut world, child, |world| world.exit(child)), ACT);
    assert_eq!(moves(&mut world, child, |world| world.idle(TICK)), STANDS);
    assert_eq!(moves(&mut world, parent, |world| world.wait(child)), ACT);
    assert_eq!(world.clock(child), None);
    // `init` waits at once. Who ignores SIGCHLD does not wait.
    assert_eq!(moves(&mut world, Pid::INIT, |world| world.exit(parent)), ACT);
    assert_eq!(world.clock(parent), None);
    let careless = world.fork(Pid::INIT).unwrap();
    world.ignore_sigchld(careless);
    let child = world.fork(careless).unwrap();
    assert_eq!(moves(&mut world, careless, |world| world.exit(child)), STANDS);
    assert_eq!(world.clock(child), None);
}

#[test]
fn a_clock_can_be_read_of_a_hidden_process() {
    let (mut world, parent, _) = family();
    world.burn(parent, 5, 0);
    world.access.shows_only = Some(7);
    let clock = world.clock(parent);
    let machine = Machine::new(&mut world, Vec::new(), Setup::default());
    assert!(machine.stat(parent, &mut Default::default()).is_err());
    assert_eq!((machine.cpu_clock(parent), machine.cpu_clock(Pid::new(77))), (clock, None));
    let setup = Setup { has_clocks: false, ..Setup::default() };
    assert_eq!(Machine::new(&mut world, Vec::new(), setup).cpu_clock(parent), None);
}

/// The two amounts in `stat`, in ticks.
fn ticks(world: &World, pid: Pid) -> (u64, u64) {
    let times = world.stat(pid).unwrap().times;
    (times.own.0, times.children.0)
}

/// A world at the beginning of a tick in which a process has just begun to run unseen. It has used
/// almost a tick, and has a child that ended after two.
fn lagging() -> (World, Pid, Pid) {
    let (mut world, parent, child) = family();
    world.burn(child, 2 * TICK, 0);
    world.exit(child);
    let used = world.clock(parent).unwrap().0 / 1000;
    world.burn(parent, TICK - 10 - used, 0);
    world.idle(world.until_tick());
    world.run_unseen(parent);
    (world, parent, child)
}

#[test]
fn own_time_lags_until_the_next_tick_and_child_time_does_not() {
    let (mut world, parent, child) = lagging();
    let (other, since) = (world.fork(Pid::INIT).unwrap(), world.clock(parent).unwrap());
    let work = |world: &mut World| {
        world.wait(child);
        world.burn(parent, TICK / 2, 0);
        world.exec(parent, "other");
        world.run_unseen(parent);
        world.fork(parent).unwrap();
    };
    assert_eq!(moves(&mut world, parent, work), STANDS);
    assert_eq!(ticks(&world, parent), (0, 2));
    assert_eq!(world.stat(parent).unwrap().comm, b"other");
    let left = world.until_tick();
    assert_eq!(moves(&mut world, parent, |world| world.idle(left - 1)), STANDS);
    let used = CpuNanos(since.0 + TICK / 2 * 1000 + 3 * ACT.0);
    let pass: [&dyn Fn(&mut World); 4] = [
        &|world| world.idle(1),
        &|world| world.burn(other, 1, 0),
        &|world| world.burn_foreign("a", 1),
        &|world| world.burn(other, 5 * TICK, 0),
    ];
    for pass in pass {
        let mut world = world.clone();
        pass(&mut world);
        assert_eq!((world.clock(parent), ticks(&world, parent)), (Some(used), (1, 2)));
        assert_eq!(moves(&mut world, parent, |world| world.exec(parent, "again")), ACT);
    }
    world.burn(parent, TICK, 0);
    assert_eq!(world.clock(parent), Some(CpuNanos(used.0 + TICK * 1000)), "its own work takes it");
}

#[test]
fn nothing_lags_of_a_process_that_ended() {
    let (mut world, _, _) = lagging();
    let parent = world.fork(Pid::INIT).unwrap();
    let child = world.fork(parent).unwrap();
    world.burn(child, TICK - 10, 0);
    world.idle(world.until_tick());
    world.run_unseen(child);
    assert_eq!(moves(&mut world, child, |world| world.burn(child, 100, 0)), STANDS);
    assert_eq!(ticks(&world, child), (0, 0));
    let end = |world: &mut World| world.exit(child);
    assert_eq!(moves(&mut world, child, end), CpuNanos(100_000 + ACT.0));
    assert_eq!(ticks(&world, child), (1, 0));
    world.wait(child);
    assert_eq!(ticks(&world, parent), (0, 1));
}

/// What `stat` shows of a process, except for its parent.
fn stat_but_parent(world: &World, pid: Pid) -> Stat<'static> {
    Stat { parent: Pid::NONE, ..world.stat(pid).unwrap() }
}

/// What shows of each process that does not run unseen.
fn seen(world: &World) -> BTreeMap<Life, (CpuNanos, Stat<'static>)> {
    let seen = world.tasks().iter().filter(|&(&pid, _)| !world.runs_unseen(pid));
    let shows = |pid: Pid| (world.clock(pid).unwrap(), stat_but_parent(world, pid));
    seen.map(|(&pid, task)| (task.life, shows(pid))).collect()
}

/// How often something was done in a world by a process that ran unseen: forked, took a name, waited,
/// or ended.
fn done_unseen(world: &World) -> [usize; 4] {
    let mut unseen = BTreeSet::new();
    let mut done = [0; 4];
    let mut last_seen = None;
    for &event in world.log() {
        let by = match event {
            Event::Forked { parent, .. } => parent.map(|parent| (0, parent)),
            Event::Renamed { life, .. } => Some((1, life)),
            Event::Waited { by, .. } => Some((2, by)),
            Event::Ended { life } if last_seen == Some(life) => {
                unseen.insert(life);
                Some((3, life))
            }
            _ => None,
        };
        if let Some((what, life)) = by {
            done[what] += usize::from(unseen.contains(&life));
        }
        last_seen = None;
        match event {
            Event::RunsUnseen { life } => drop(unseen.insert(life)),
            Event::Seen { life } => {
                unseen.remove(&life);
                last_seen = Some(life);
            }
            _ => {}
        }
    }
    done
}

/// What a property saw.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    histories: usize,
    samples: usize,
    /// Samples while a process ran unseen.
    lagging: usize,
    done_unseen: [usize; 4],
}

/// Lives through a history. A process whose clock stands has not changed, and no clock falls. Only
/// what runs unseen may have changed, and has used less than a tick since.
fn clocks_tell_of_changes(steps: &[Step], tally: &mut Tally) -> TestCaseResult {
    let mut world = beginning(Law::Any);
    let mut before = seen(&world);
    for step in steps {
        if let Step::Happens(happening) = step {
            happening.apply(&mut world, Law::Any);
        } else {
            tally.samples += 1;
            tally.lagging += usize::from(world.tasks().keys().any(|&pid| world.runs_unseen(pid)));
            world.idle(TICK / 2);
        }
        let now = seen(&world);
        for (life, (clock, stat)) in &now {
            if let Some((clock_then, stat_then)) = before.get(life) {
                prop_assert!(clock >= clock_then, "{}", life);
                prop_assert!(clock > clock_then || stat == stat_then, "{}", life);
            }
        }
        for (&pid, task) in world.tasks() {
            let unseen = (task.utime + task.stime) * 1000 - world.clock(pid).unwrap().0;
            prop_assert!(unseen < TICK * 1000);
            prop_assert!(unseen == 0 || world.runs_unseen(pid));
        }
        before.extend(now);
    }
    tally.histories += 1;
    let done = done_unseen(&world);
    tally.done_unseen.iter_mut().zip(done).for_each(|(sum, more)| *sum += more);
    Ok(())
}

/// Histories have enough of it that other properties mean something: a sample in ten sees a process
/// that runs unseen; in every five histories one forks, one waits and one ends, and in every
/// twenty one takes a name.
#[test]
fn a_process_whose_clock_stands_has_not_changed() {
    let total = Cell::new(Tally::default());
    let outcome = TestRunner::new(config(400)).run(&quiet(), |steps| {
        let mut tally = total.get();
        clocks_tell_of_changes(&steps, &mut tally)?;
        total.set(tally);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    let total = total.get();
    assert!(total.lagging * 10 >= total.samples, "{total:?}");
    let [forks, names, waits, ends] = total.done_unseen;
    assert!([forks, waits, ends].iter().all(|count| count * 5 >= total.histories), "{total:?}");
    assert!(names * 20 >= total.histories, "{total:?}");
}
