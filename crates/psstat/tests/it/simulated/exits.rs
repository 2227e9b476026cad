//! With exit records nothing is missed, and nothing counts twice: of processes whose parents are outside of
//! their group too.

use super::machine::{Interruption, Records};
use super::oracle::{By, Group, Pick, Span, truth, waiters};
use super::properties::config;
use super::world::{TICK, World};
use super::{Seen, Watch};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestCaseResult};
use psstat_core::model::units::Pid;

/// The group: all processes of that name, and what descends from them.
const PICKS: &[Pick] = &[Pick { label: Some("g"), by: By::Name(&["w"]) }];
const GROUP: Group<'static> = Group { picks: PICKS, label: "g" };

/// One thing that happens. Numbers choose among what is there.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// A shell, which is outside of the group, starts a process inside or outside of it.
    Start {
        shell: usize,
        is_inside: bool,
    },
    /// A process starts a child.
    Fork(usize),
    Burn(usize, u64),
    /// A process ends, and its parent waits for it at once, or later.
    End {
        who: usize,
        is_waited_for: bool,
    },
    Wait(usize),
    /// A process starts and ends, with a child.
    Short {
        shell: usize,
        work: u64,
    },
    /// A shell does not wait any more.
    Ignore(usize),
    Idle(u64),
}

const SHELLS: usize = 3;

/// `init`, some shells, and a process of the group below one of them.
fn beginning() -> (World, Vec<Pid>) {
    let mut world = World::new(40);
    let shells: Vec<Pid> = (0..SHELLS).map(|_| world.fork(Pid::INIT).unwrap()).collect();
    shells.iter().for_each(|&shell| world.exec(shell, "sh"));
    let first = world.fork(shells[0]).unwrap();
    world.exec(first, "w");
    world.burn(first, 34_567, 4_321);
    world.idle(3 * TICK);
    (world, shells)
}

impl Deed {
    fn of_numbers(below: &mut impl FnMut(usize) -> usize) -> Deed {
        // Less than a tick, or up to a hundred of them.
        let work = |below: &mut dyn FnMut(usize) -> usize| match below(256) as u64 {
            small @ 0..128 => small * TICK / 128 + small,
            large => (large - 128) * TICK * 25 / 32 + large,
        };
        match below(24) {
            0..5 => Deed::Start { shell: below(SHELLS), is_inside: below(2) == 0 },
            5..8 => Deed::Fork(below(99)),
            8..13 => Deed::Burn(below(99), work(below)),
            13..17 => Deed::End { who: below(99), is_waited_for: below(2) == 0 },
            17..19 => Deed::Wait(below(99)),
            19..22 => Deed::Short { shell: below(SHELLS), work: work(below) },
            22 => Deed::Ignore(below(SHELLS)),
            _ => Deed::Idle(work(below) % (9 * TICK)),
        }
    }

    fn apply(self, world: &mut World, shells: &[Pid]) {
        let workers = |world: &World| -> Vec<Pid> {
            let is_worker = |pid: &Pid| *pid != Pid::INIT && !shells.contains(pid);
            world.living().into_iter().filter(is_worker).collect()
        };
        let chosen = |world: &World, who: usize| {
            let workers = workers(world);
            (!workers.is_empty()).then(|| workers[who % workers.len()])
        };
        match self {
            Deed::Start { shell, is_inside } => {
                if let Some(pid) = world.fork(shells[shell % SHELLS]) {
                    world.exec(pid, if is_inside { "w" } else { "x" });
                }
            }
            Deed::Fork(who) => {
                chosen(world, who).and_then(|who| world.fork(who));
            }
            Deed::Burn(who, work) => {
                if let Some(who) = chosen(world, who) {
                    world.burn(who, work / 3, work - work / 3);
                }
            }
            Deed::End { who, is_waited_for } => match chosen(world, who) {
                Some(who) if is_waited_for => world.exit_and_wait(who),
                Some(who) => world.exit(who),
                None => {}
            },
            Deed::Wait(who) => {
                let zombies = world.zombies();
                if !zombies.is_empty() {
                    world.wait(zombies[who % zombies.len()]);
                }
            }
            Deed::Short { shell, work } => {
                let Some(pid) = world.fork(shells[shell % SHELLS]) else { return };
                world.exec(pid, "w");
                world.burn(pid, work, 0);
                if let Some(child) = world.fork(pid) {
                    world.burn(child, work / 2, 17);
                    world.exit_and_wait(child);
                }
                world.exit_and_wait(pid);
            }
            Deed::Ignore(shell) => world.ignore_sigchld(shells[shell % SHELLS]),
            Deed::Idle(time) => world.idle(time),
        }
    }
}

fn deed() -> impl Strategy<Value = Deed> {
    let work = || prop_oneof![0..TICK, 0..100 * TICK];
    prop_oneof![
        5 => (0..SHELLS, any::<bool>()).prop_map(|(shell, is_inside)| Deed::Start { shell, is_inside }),
        3 => (0usize..99).prop_map(Deed::Fork),
        6 => (0usize..99, work()).prop_map(|(who, work)| Deed::Burn(who, work)),
        6 => (0usize..99, any::<bool>()).prop_map(|(who, is_waited_for)| Deed::End { who, is_waited_for }),
        3 => (0usize..99).prop_map(Deed::Wait),
        3 => (0..SHELLS, work()).prop_map(|(shell, work)| Deed::Short { shell, work }),
        1 => (0..SHELLS).prop_map(Deed::Ignore),
        1 => (0..9 * TICK).prop_map(Deed::Idle),
    ]
}

/// What happens, and then what happens while a sample is taken, after how many readings.
type Interval = (Vec<Deed>, Vec<(usize, Deed)>);

fn history(is_quiet: bool) -> impl Strategy<Value = Vec<Interval>> {
    let during = if is_quiet { 0..1 } else { 0..6 };
    vec((vec(deed(), 0..25), vec((0usize..8, deed()), during)), 1..8)
}

/// A history, what of the records comes, and how it is watched, made of numbers. `below` returns a number below
/// another. Checks that nothing counts twice, and that nothing is missed if no record is. Returns whether anything
/// was reported.
pub fn check(mut below: impl FnMut(usize) -> usize) -> Result<bool, TestCaseError> {
    let [records, watch] = [below(4), below(3)];
    let history: Vec<Interval> = (0..1 + below(7))
        .map(|_| {
            let deeds = (0..below(25)).map(|_| Deed::of_numbers(&mut below)).collect();
            let during = (0..below(6)).map(|_| (below(8), Deed::of_numbers(&mut below))).collect();
            (deeds, during)
        })
        .collect();
    let (records, more) = match records {
        0 => (Records::Once, 0),
        1 => (Records::Twice, 0),
        2 => (Records::Late(below(9)), 2 * TICK),
        _ => (Records::Lost(1 + below(9)), 2 * TICK),
    };
    let watch = watches().into_iter().nth(watch).unwrap();
    let (world, samples) = live(&history, watch.with_records(records));
    no_spikes(&world, &samples, more)?;
    let (reported, used, tolerance) = totals(&world, &samples);
    prop_assert!(reported <= used + tolerance, "{reported} of {used}: {records:?} {history:?}");
    let is_complete = matches!(records, Records::Once | Records::Twice);
    prop_assert!(
        !is_complete || reported + tolerance >= used,
        "{reported} of {used}: {records:?} {history:?}"
    );
    Ok(reported > 0)
}

/// The samples of a history. It ends with two in which nothing happens.
fn live(history: &[Interval], mut watch: Watch) -> (World, Vec<Seen>) {
    let (mut world, shells) = beginning();
    let mut samples = vec![watch.sample(&mut world)];
    world.idle(TICK);
    for (deeds, during) in history {
        deeds.iter().for_each(|deed| deed.apply(&mut world, &shells));
        let during = during.iter().map(|&(after, deed)| {
            let shells = shells.clone();
            Interruption::new(after, move |world| deed.apply(world, &shells))
        });
        samples.push(watch.sample_while(&mut world, during.collect()));
        world.idle(TICK);
    }
    for _ in 0..2 {
        samples.push(watch.sample(&mut world));
        world.idle(TICK);
    }
    (world, samples)
}

fn used(sample: &Seen) -> u64 {
    sample.lines.get("g").and_then(|line| line.used).unwrap_or(0)
}

/// No sample reports more than was used since the last one, and so much.
fn no_spikes(world: &World, samples: &[Seen], more: u64) -> TestCaseResult {
    for (at, pair) in samples.windows(2).enumerate() {
        let truth = truth(world.log(), GROUP, &pair[0].span, &pair[1].span);
        let most = truth.used + truth.cut_off + truth.late + more;
        prop_assert!(used(&pair[1]) <= most, "sample {}: {} of {truth:?}", at + 1, used(&pair[1]));
    }
    Ok(())
}

/// From the first sample on: what was reported and what was used, and how exact that is.
fn totals(world: &World, samples: &[Seen]) -> (u64, u64, u64) {
    let [first, last] = [samples.first(), samples.last()].map(|sample| &sample.unwrap().span);
    let reported = samples.iter().skip(1).map(used).sum();
    let truth = truth(world.log(), GROUP, first, last);
    (reported, truth.used, truth.cut_off + 2 * TICK * waiters(world.log(), GROUP))
}

fn watches() -> [Watch; 3] {
    [Watch::new(PICKS), Watch::new(PICKS).of_births(), Watch::new(PICKS).of_births().resident()]
}

proptest! {
    #![proptest_config(config(1500))]

    /// All that was used is reported, however it ended.
    #[test]
    fn nothing_is_missed(history in history(false), is_twice: bool) {
        let records = if is_twice { Records::Twice } else { Records::Once };
        for watch in watches() {
            let (world, samples) = live(&history, watch.with_records(records));
            no_spikes(&world, &samples, 0)?;
            let (reported, used, tolerance) = totals(&world, &samples);
            prop_assert!(reported <= used + tolerance, "{reported} of {used}");
            prop_assert!(reported + tolerance >= used, "{reported} of {used}");
        }
    }

    #[test]
    fn records_that_come_late_or_not_at_all_count_nothing_twice(
        history in history(false), late in 0usize..9, is_lost: bool,
    ) {
        let records = if is_lost { Records::Lost(1 + late) } else { Records::Late(late) };
        for watch in watches() {
            let (world, samples) = live(&history, watch.with_records(records));
            // A process that started in the tick before a sample counts as new. The kernel sends no record late.
            no_spikes(&world, &samples, 2 * TICK)?;
            let (reported, used, tolerance) = totals(&world, &samples);
            prop_assert!(reported <= used + tolerance, "{reported} of {used}");
        }
    }

    /// What a record lacks is found at the parent, and is never more than a record allows for.
    #[test]
    fn records_that_are_behind_count_what_was_used(history in history(true), behind in 0..TICK) {
        let (world, samples) = live(&history, Watch::new(PICKS).with_records(Records::Behind(behind)));
        let (reported, used, tolerance) = totals(&world, &samples);
        let exits = world.exits().len() as u64;
        prop_assert!(reported + behind * exits + tolerance >= used, "{reported} of {used}");
        prop_assert!(reported <= used + 2 * TICK * exits + tolerance, "{reported} of {used}");
    }
}

/// Runs processes of a shell, one after the other.
fn run(world: &mut World, shell: Pid, count: u64) -> u64 {
    for number in 0..count {
        let pid = world.fork(shell).unwrap();
        world.exec(pid, "w");
        world.burn(pid, 20_000 + number * 77, 0);
        world.exit_and_wait(pid);
    }
    (0..count).map(|number| 20_001 + number * 77 + 1).sum()
}

#[test]
fn the_parent_tells_what_the_records_lack() {
    let mut world = World::new(4_000);
    let shell = world.fork(Pid::INIT).unwrap();
    let records = Records::Behind(4_000);
    let mut watch = Watch::new(PICKS).with_records(records);
    watch.sample(&mut world);
    world.idle(TICK);
    // The shell was not looked at before, so the records count as they are.
    let truth = run(&mut world, shell, 100);
    let first = used(&watch.sample(&mut world));
    assert!(first < truth && first + 100 * 4_000 >= truth, "{first} of {truth}");
    for _ in 0..3 {
        world.idle(TICK);
        let truth = run(&mut world, shell, 100);
        let used = used(&watch.sample(&mut world));
        assert!(used.abs_diff(truth) <= 2 * TICK, "{used} of {truth}");
    }
}

#[test]
fn without_records_short_lives_are_missed() {
    let mut world = World::new(4_000);
    let shell = world.fork(Pid::INIT).unwrap();
    let mut watches =
        [Records::Off, Records::Once].map(|kind| Watch::new(PICKS).with_records(kind));
    watches.iter_mut().for_each(|watch| {
        watch.sample(&mut world);
    });
    world.idle(TICK);
    let truth = run(&mut world, shell, 50);
    let seen = watches.each_mut().map(|watch| used(&watch.sample(&mut world)));
    assert_eq!(seen, [0, truth]);
}

#[test]
fn the_child_of_a_member_that_has_gone_too_belongs_to_the_group() {
    let (mut world, shells) = beginning();
    let mut watch = Watch::new(PICKS).with_records(Records::Once);
    watch.sample(&mut world);
    world.idle(TICK);
    let parent = world.fork(shells[1]).unwrap();
    world.exec(parent, "w");
    let child = world.fork(parent).unwrap();
    // Only its parent says where it belongs.
    world.exec(child, "x");
    world.burn(child, 70_000, 0);
    world.exit(child);
    world.exit(parent);
    world.wait(parent);
    let seen = watch.sample(&mut world);
    assert_eq!(used(&seen), 70_000 + 5, "and what it takes to start and end");
    assert_eq!(seen.lines["g"].processes, 1, "those that have ended are not processes");
}

#[test]
fn a_loss_is_said_and_the_rest_counts() {
    let (mut world, shells) = beginning();
    let mut watch = Watch::new(PICKS).with_records(Records::Lost(2));
    watch.sample(&mut world);
    world.idle(TICK);
    let truth = run(&mut world, shells[1], 10);
    let seen = watch.sample(&mut world);
    assert!(used(&seen) > truth / 3 && used(&seen) < truth, "{} of {truth}", used(&seen));
    let warnings: Vec<String> = seen.sample.diagnostics.iter().map(ToString::to_string).collect();
    assert!(warnings.iter().any(|text| text.contains("dropped exit records")), "{warnings:?}");
    world.idle(TICK);
    let seen = watch.sample(&mut world);
    assert_eq!(seen.sample.diagnostics.iter().count(), 0, "nothing was lost since");
}

#[test]
fn a_span_covers_its_sample() {
    let (mut world, _) = beginning();
    let Span { scan, .. } = Watch::new(PICKS).with_records(Records::Once).sample(&mut world).span;
    assert!(scan.is_empty(), "exit records are read without any effect");
}
