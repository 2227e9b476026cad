//! A run that looks only at those processes that can belong to a group finds what one finds that
//! looks at all of them.
//!
//! Both look at the same moments of the same world. It has so many bystanders that looking at all
//! does not come cheap, and its numbers come round every few hundred births, which here are one
//! crowd of short lives. Each property also counts how many processes were looked at: where these
//! were all, nothing would be shown.

use super::Watch;
use super::counters::{A_SERVICES, control_groups};
use super::history::{Happening, Law, PATHS, control_group_happening, happening};
use super::oracle::{By, Pick};
use super::properties::config;
use super::world::{TICK, World};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};
use psstat_core::account::accounts::GroupAccount;
use psstat_core::discovery::tracker::{ROTATION, ROTATION_MINIMUM};
use psstat_core::model::label::Label;
use psstat_core::model::units::{BootNanos, Pid, ProcId};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Every third number from the first one of a new round on belongs to a bystander.
const BYSTANDERS: u32 = 400;
const FIRST_BYSTANDER: u32 = 302;
const PID_MAX: u32 = FIRST_BYSTANDER + 3 * BYSTANDERS;

/// Mothers of children whose numbers are far from their own, all older than the first sample: who
/// comes to look at the mother has not come by the children.
const FAMILIES: u32 = 8;

/// A process is looked at when it is born, and again one and two samples later; the next time
/// after that is not the very next sample.
const YOUNG_SAMPLES: usize = 2;

/// A part of a history.
#[derive(Clone, Debug)]
enum Step {
    Happens(Happening),
    /// Short lives, which nothing is left of but the numbers they used up.
    Crowd {
        who: usize,
        lives: u32,
    },
    /// The same, up to the last numbers before the round ends.
    CrowdToTheEnd {
        who: usize,
        short_of: u32,
    },
    /// Somebody who is looked at in the next sample takes a name that picks.
    NameInSight {
        who: usize,
    },
    /// A child on a number of choice. Nothing befalls it.
    ChosenPid {
        who: usize,
        pid: u32,
    },
    Sample,
}

/// What may be among the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    NamesInSight,
    ChosenPids,
    ControlGroups,
}

fn steps(kind: Kind, length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    let who = 0usize..1000;
    // What is not to be has a weight of nothing.
    let [names, chosen, control_groups] =
        [Kind::NamesInSight, Kind::ChosenPids, Kind::ControlGroups]
            .map(|wanted| if kind == wanted { 2 } else { 0 });
    let step = prop_oneof![
        12 => happening().prop_map(Step::Happens),
        1 => (who.clone(), 0u32..60).prop_map(|(who, lives)| Step::Crowd { who, lives }),
        1 => (who.clone(), 100u32..700).prop_map(|(who, lives)| Step::Crowd { who, lives }),
        1 => (who.clone(), 0u32..12)
            .prop_map(|(who, short_of)| Step::CrowdToTheEnd { who, short_of }),
        names => who.clone().prop_map(|who| Step::NameInSight { who }),
        chosen => (who, 2u32..=PID_MAX).prop_map(|(who, pid)| Step::ChosenPid { who, pid }),
        2 * control_groups => control_group_happening().prop_map(Step::Happens),
        5 => Just(Step::Sample),
    ];
    vec(step, length)
}

/// Numbers only. Many of them are given out early in a round, so that they are given out again and
/// again.
fn numbers() -> Vec<Pick> {
    let by_pid = |label, pid| Pick { label: Some(label), by: By::Pid(Pid::new(pid)) };
    let early = [300, 301, 303, 304, 306, 307].map(|pid| by_pid("early", pid));
    let late = [PID_MAX, PID_MAX - 2, PID_MAX - 5].map(|pid| by_pid("late", pid));
    let root = by_pid("root", ROOT.number());
    [root].into_iter().chain(early).chain(late).chain([by_pid("root", 309)]).collect()
}

fn names() -> Vec<Pick> {
    vec![
        Pick { label: Some("named"), by: By::Name(&["w"]) },
        Pick { label: None, by: By::Name(&["w", "v"]) },
        Pick { label: Some("named"), by: By::Pid(Pid::new(304)) },
    ]
}

/// The process that is a root from the beginning. It stands shortly before the end of the round.
const ROOT: Pid = Pid::new(PID_MAX - 20);

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    steps: usize,
    samples: usize,
    /// Samples that looked at some processes only.
    partial: usize,
    /// The processes that these looked at, and all that there were.
    looked_at: usize,
    population: usize,
    /// How often the numbers came round.
    rounds: usize,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.steps += other.steps;
        self.samples += other.samples;
        self.partial += other.partial;
        self.looked_at += other.looked_at;
        self.population += other.population;
        self.rounds += other.rounds;
    }
}

/// A world, and the two who look at it.
struct Scene {
    world: World,
    full: Watch,
    sparing: Watch,
    /// When the samples were taken.
    taken: Vec<BootNanos>,
    /// The processes on numbers of choice, with the number of samples taken before their birth.
    chosen: BTreeMap<Pid, usize>,
    /// The most processes that there ever were between two steps.
    peak: usize,
    tally: Tally,
}

impl Scene {
    fn new(picks: &[Pick]) -> Scene {
        let mut world = World::new(PID_MAX);
        for bystander in 0..BYSTANDERS {
            world.set_last_pid(FIRST_BYSTANDER + 3 * bystander - 1);
            let pid = world.fork(Pid::INIT).unwrap();
            world.set_apart(pid, true);
        }
        for family in 0..FAMILIES {
            let mother = Pid::new(402 + 99 * family);
            world.fork_with_pid(Pid::INIT, mother).unwrap();
            for pid in [mother.number() - 92, mother.number() + 301] {
                let child = world.fork_with_pid(mother, Pid::new(pid)).unwrap();
                world.set_apart(child, true);
            }
        }
        world.idle(TICK);
        world.set_last_pid(ROOT.number() - 1);
        let root = world.fork(Pid::INIT).unwrap();
        assert_eq!(root, ROOT);
        world.exec(root, "w");
        PATHS.into_iter().for_each(|path| world.make_control_group(path));
        world.move_to(root, PATHS[0]);
        world.fork(root).unwrap();
        world.fork(Pid::INIT).unwrap();
        // At the first sample they are not young.
        world.idle(12_000 * TICK);
        let [full, sparing] = [false, true].map(|sparing| {
            let mut watch = Watch::new(picks);
            watch.setup.tells_births = sparing;
            watch
        });
        let (taken, chosen, peak) = (Vec::new(), BTreeMap::new(), world.population());
        Scene { world, full, sparing, taken, chosen, peak, tally: Tally::default() }
    }

    /// Lives through a history. `check` is called with both watches after each sample.
    fn live(
        &mut self,
        law: Law,
        steps: &[Step],
        mut check: impl FnMut(&Scene, &Both) -> TestCaseResult,
    ) -> TestCaseResult {
        for step in steps {
            self.tally.steps += 1;
            let then = self.world.last_pid();
            match *step {
                Step::Happens(ref happening) => happening.apply(&mut self.world, law),
                Step::Crowd { who, lives } => self.crowd(who, lives),
                Step::CrowdToTheEnd { who, short_of } => {
                    let free = (then..PID_MAX - short_of).filter(|&pid| pid % 3 != 2).count();
                    self.crowd(who, free as u32);
                }
                Step::NameInSight { who } => self.take_name_in_sight(who),
                Step::ChosenPid { who, pid } => self.fork_with_pid(who, Pid::new(pid)),
                Step::Sample => {
                    let both = self.sample();
                    check(self, &both)?;
                }
            }
            self.peak = self.peak.max(self.world.population());
            self.tally.rounds += usize::from(self.world.last_pid() < then);
        }
        Ok(())
    }

    fn crowd(&mut self, who: usize, lives: u32) {
        let living = self.world.living();
        let who = living[who % living.len()];
        for nth in 0..lives {
            if let Some(child) = self.world.fork(who) {
                self.world.exit_and_wait(child);
            }
            if nth % 64 == 63 {
                self.world.idle(TICK);
            }
        }
    }

    /// Those are in sight who are young, and the members at the last sample.
    fn take_name_in_sight(&mut self, who: usize) {
        let since = self.taken.len().saturating_sub(YOUNG_SAMPLES + 1);
        let Some(&since) = self.taken.get(since) else { return };
        let mut in_sight = self.world.living_since(since);
        let members = members(&self.full);
        let living = self.world.living();
        let is_member = |pid: &Pid| members.values().flatten().any(|member| member.0.pid == *pid);
        in_sight.extend(living.into_iter().filter(is_member));
        if !in_sight.is_empty() {
            self.world.exec(in_sight[who % in_sight.len()], ["w", "v"][who % 2]);
        }
    }

    fn fork_with_pid(&mut self, who: usize, pid: Pid) {
        let living = self.world.living();
        if self.world.fork_with_pid(living[who % living.len()], pid).is_some() {
            self.world.set_apart(pid, true);
            self.chosen.insert(pid, self.taken.len());
        }
    }

    fn sample(&mut self) -> Both {
        self.taken.push(self.world.now());
        let [full, sparing] = [&mut self.full, &mut self.sparing].map(|watch| {
            let mut seen = watch.sample(&mut self.world);
            // What a name taken late has cost is missing from the total for good.
            seen.lines.values_mut().for_each(|line| line.total = 0);
            (seen.lines, seen.some)
        });
        self.tally.samples += 1;
        if let Some(looked_at) = sparing.1 {
            self.tally.partial += 1;
            self.tally.looked_at += looked_at;
            self.tally.population += self.world.population();
        }
        // No two samples in the same moment.
        self.world.idle(TICK / 2);
        Both {
            lines_agree: full.0 == sparing.0,
            lines: format!("all: {:?}\nsome: {:?}", full.0, sparing.0),
            full: members(&self.full),
            sparing: members(&self.sparing),
        }
    }

    /// So many samples at the most pass until rotation comes to a process on a number of choice:
    /// it passes all that there are when that is born, and others on numbers of choice after it.
    /// Of those that are born on others' it takes no notice.
    fn round(&self) -> usize {
        (self.peak + self.chosen.len()).div_ceil(ROTATION_MINIMUM as usize)
    }

    /// So many samples in which nothing happens.
    fn rest(&mut self, samples: usize) {
        for _ in 0..samples {
            self.sample();
        }
    }
}

/// By label, the members and the parent of each.
type Members = BTreeMap<String, BTreeSet<(ProcId, Pid)>>;

fn members(watch: &Watch) -> Members {
    let of = |(label, known): (Label, GroupAccount)| {
        let members = known.ledger.members.iter().map(|member| (member.id, member.parent));
        (label.to_string(), members.collect())
    };
    watch.groups().into_iter().map(of).collect()
}

/// What both watches gave.
struct Both {
    lines_agree: bool,
    lines: String,
    full: Members,
    sparing: Members,
}

impl Both {
    /// Each that the sparing watch missed: its label, and who it is.
    fn missed(&self) -> Vec<(&str, ProcId, Pid)> {
        let mut missed = Vec::new();
        for (label, full) in &self.full {
            let found = self.sparing.get(label);
            let not_found = full.iter().filter(|id| !found.is_some_and(|found| found.contains(id)));
            missed.extend(not_found.map(|&(id, parent)| (label.as_str(), id, parent)));
        }
        missed
    }

    /// Nobody is found who does not belong there.
    fn finds_no_others(&self) -> TestCaseResult {
        for (label, sparing) in &self.sparing {
            let full = self.full.get(label).cloned().unwrap_or_default();
            prop_assert!(sparing.is_subset(&full), "{label}: {sparing:?} in {full:?}");
        }
        Ok(())
    }
}

/// The same is reported and remembered.
fn agree(scene: &Scene, both: &Both) -> TestCaseResult {
    let sample = scene.taken.len();
    let (lines, missed) = (&both.lines, both.missed());
    prop_assert!(both.lines_agree, "sample {sample}\n{lines}\nmissed: {missed:?}");
    prop_assert_eq!(scene.full.groups(), scene.sparing.groups(), "sample {}", sample);
    Ok(())
}

/// Tries a property on so many histories, and sees to it that the sparing watch was sparing: at
/// least so many percent of its samples looked at no more than so many percent of the processes.
fn try_on<S: Strategy>(
    histories: u32,
    steps: S,
    [partial, looked_at]: [usize; 2],
    property: impl Fn(&S::Value) -> Result<Tally, TestCaseError>,
) {
    let total = Cell::new(Tally::default());
    let outcome = TestRunner::new(config(histories)).run(&steps, |steps| {
        let mut tally = total.get();
        tally.add(property(&steps)?);
        total.set(tally);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    let total = total.get();
    assert!(total.partial * 100 >= total.samples * partial, "{total:?}");
    assert!(total.looked_at * 100 <= total.population * looked_at, "{total:?}");
    assert!(total.rounds * 100 >= total.steps, "{total:?}");
}

#[test]
fn numbers_are_followed_at_every_sample() {
    try_on(150, steps(Kind::Plain, 10..80), [60, 50], |steps| {
        let mut scene = Scene::new(&numbers());
        scene.rest(1);
        scene.live(Law::Any, steps, agree)?;
        Ok(scene.tally)
    });
}

#[test]
fn names_taken_in_sight_are_followed_at_every_sample() {
    try_on(150, steps(Kind::NamesInSight, 10..80), [60, 65], |steps| {
        let mut scene = Scene::new(&names());
        scene.rest(1);
        scene.live(Law::NoNames, steps, agree)?;
        Ok(scene.tally)
    });
}

/// Control groups, and processes that are looked for in them.
fn in_control_groups() -> Vec<Pick> {
    let mut picks = control_groups();
    picks.push(Pick { label: Some("in units"), by: By::NameInUnits("w", "a.service", A_SERVICES) });
    picks.push(Pick { label: Some("a"), by: By::Pid(ROOT) });
    picks
}

#[test]
fn control_groups_are_followed_at_every_sample() {
    try_on(100, steps(Kind::ControlGroups, 10..80), [60, 50], |steps| {
        let mut scene = Scene::new(&in_control_groups());
        scene.rest(1);
        scene.live(Law::Any, steps, agree)?;
        Ok(scene.tally)
    });
}

/// Command lines and executables follow from names here.
fn conditions() -> Vec<Pick> {
    vec![
        Pick { label: Some("cmdline"), by: By::Cmdline("w") },
        Pick { label: Some("exe"), by: By::Exe("v") },
        Pick { label: Some("user"), by: By::NameAndUser("w", 0) },
        Pick { label: None, by: By::Exe("w") },
    ]
}

#[test]
fn conditions_met_in_sight_are_followed_at_every_sample() {
    try_on(100, steps(Kind::NamesInSight, 10..80), [60, 65], |steps| {
        let mut scene = Scene::new(&conditions());
        scene.rest(1);
        scene.live(Law::NoNames, steps, agree)?;
        Ok(scene.tally)
    });
}

/// Who takes a name when it is old may be missed until rotation comes to it. It is then found with
/// all below it.
#[test]
fn names_taken_late_are_found_in_a_round() {
    let both = (steps(Kind::Plain, 10..80), steps(Kind::NamesInSight, 0..20));
    try_on(60, both, [80, 30], |(steps, later)| {
        let mut scene = Scene::new(&names());
        scene.rest(1);
        let whole_families = |scene: &Scene, both: &Both| {
            both.finds_no_others()?;
            for (label, id, parent) in both.missed() {
                let found = both.sparing.get(label);
                let has_parent =
                    found.is_some_and(|found| found.iter().any(|member| member.0.pid == parent));
                let sample = scene.taken.len();
                prop_assert!(!has_parent, "sample {}: {} without {:?}", sample, label, id);
            }
            Ok(())
        };
        scene.live(Law::Any, steps, whole_families)?;
        // What the one knew before the other is settled in two more samples.
        let rest = vec![Step::Sample; ROTATION as usize + 2];
        scene.live(Law::NoNames, &rest, whole_families)?;
        scene.live(Law::NoNames, &[Step::Sample], agree)?;
        scene.live(Law::NoNames, later, agree)?;
        Ok(scene.tally)
    });
}

/// Who was born on a number of choice is not among those given out, and is found by rotation.
fn found_in_a_round(steps: &[Step], later: &[Step]) -> Result<Tally, TestCaseError> {
    let mut scene = Scene::new(&numbers());
    scene.rest(1);
    scene.live(Law::Any, steps, |scene, both| {
        both.finds_no_others()?;
        for (label, id, _) in both.missed() {
            let sample = scene.taken.len();
            let born = scene.chosen.get(&id.pid);
            prop_assert!(
                born.is_some_and(|born| sample - born < scene.round()),
                "sample {sample}: {label} without {id:?}, born after {born:?} samples"
            );
        }
        Ok(())
    })?;
    // What the one knew before the other is settled in two more samples.
    scene.rest(scene.round() + 2);
    let chosen: Vec<Pid> = scene.chosen.keys().copied().collect();
    for pid in chosen {
        scene.world.set_apart(pid, false);
    }
    scene.live(Law::Any, &[Step::Sample], agree)?;
    scene.live(Law::Any, later, agree)?;
    Ok(scene.tally)
}

#[test]
fn numbers_of_choice_are_found_in_a_round() {
    let both = (steps(Kind::ChosenPids, 10..80), steps(Kind::Plain, 0..20));
    try_on(100, both, [80, 30], |(steps, later)| found_in_a_round(steps, later));
}

/// A history without a sample. Its round is as long as any.
#[test]
fn a_number_of_choice_is_found_in_a_round_that_nobody_counted() {
    found_in_a_round(&[Step::ChosenPid { who: 9, pid: 789 }], &[]).unwrap();
}

/// After so many samples, before each of which so many are born that live for ten, a child of the
/// root is born on the number of a process that has just ended, and is found in a round.
fn is_found_in_a_round(samples: usize, births: usize) {
    const LIFE: usize = 10;
    let mut world = World::new(32_768);
    let root = world.fork(Pid::INIT).unwrap();
    for _ in 0..302 {
        world.fork(Pid::INIT).unwrap();
    }
    world.idle(12_000 * TICK);
    let mut watch = Watch::new(&[Pick { label: Some("root"), by: By::Pid(root) }]);
    watch.setup.tells_births = true;
    let mut newborns = VecDeque::new();
    let mut sample = |world: &mut World| {
        newborns.extend((0..births).map(|_| world.fork(Pid::INIT).unwrap()));
        if newborns.len() > births * LIFE {
            newborns.drain(..births).for_each(|oldest| world.exit_and_wait(oldest));
        }
        world.idle(100 * TICK);
        watch.sample(world)
    };
    assert_eq!(sample(&mut world).some, None);
    for _ in 0..samples {
        assert!(sample(&mut world).some.is_some_and(|looked_at| looked_at < 300));
    }
    let choice = Pid::new(96);
    world.exit_and_wait(choice);
    world.idle(TICK);
    world.fork_with_pid(root, choice).unwrap();
    let round = world.population().div_ceil(ROTATION_MINIMUM as usize);
    let mut processes = (0..round).map(|_| sample(&mut world).lines["root"].processes);
    assert!(
        processes.any(|processes| processes == 2),
        "after {samples} samples with {births} births each, not found in {round}"
    );
}

/// Were a sample spent on what is left of a round, the next round would begin too late.
#[test]
fn a_round_begins_in_the_sample_that_ends_the_one_before() {
    (1..40).for_each(|samples| is_found_in_a_round(samples, 0));
}

/// Were those that are born part of a round, and more of them than are looked at, then rotation
/// would walk behind them until the numbers come round, and see nobody else.
#[test]
fn births_do_not_hold_up_rotation() {
    (1..40).for_each(|samples| is_found_in_a_round(samples, 20));
}
