//! A run that reads only the processes that can belong to a group gives the same result as a run
//! that reads all of them.
//!
//! Both runs sample the same moments of the same world. The world has so many bystanders that a
//! partial sample is worth it, and its pids are used again after a few hundred births. Each property
//! also counts how many processes were read: if it were all of them, the property would show nothing.

use super::Watch;
use super::counters::{A_SERVICES, control_groups};
use super::history::{Happening, Law, PATHS, control_group_happening, happening};
use super::oracle::{By, Pick};
use super::properties::config;
use super::world::{TICK, World};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseResult, TestRunner};
use psstat_core::discovery::clock_table;
use psstat_core::discovery::tracker::{ROTATION, ROTATION_MINIMUM};
use psstat_core::model::units::{BootNanos, Pid, ProcId};
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Every third pid belongs to a bystander, from the first pid of a second round on.
const BYSTANDERS: u32 = 400;
const FIRST_BYSTANDER: u32 = 302;
const PID_MAX: u32 = FIRST_BYSTANDER + 3 * BYSTANDERS;

/// Parents of children whose pids are far from their own, all older than the first sample. Rotation
/// does not reach parent and children in the same sample.
const FAMILIES: u32 = 8;

/// A process is read in the first sample after its birth, and again one and two samples later. In
/// the sample after those it is not.
const YOUNG_SAMPLES: usize = 2;

/// A part of a history.
#[derive(Clone, Debug)]
enum Step {
    Happens(Happening),
    /// Processes that start and end at once. They use up pids.
    Crowd {
        who: usize,
        lives: u32,
    },
    /// The same, up to the last pids before they begin again.
    CrowdToTheEnd {
        who: usize,
        short_of: u32,
    },
    /// A process that is read in the next sample takes a name that picks.
    NameInSight {
        who: usize,
    },
    /// A child with a chosen pid. Nothing happens to it.
    ChosenPid {
        who: usize,
        pid: u32,
    },
    Sample,
}

/// What the steps may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    NamesInSight,
    ChosenPids,
    ControlGroups,
}

fn steps(kind: Kind, length: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    let who = 0usize..1000;
    // Steps that are not wanted have weight 0.
    let [names, chosen, control_groups] =
        [Kind::NamesInSight, Kind::ChosenPids, Kind::ControlGroups]
            .map(|wanted| if kind == wanted { 2 } else { 0 });
    let step = prop_oneof![
        12 => happening().prop_map(|happening| Step::Happens(happening.in_sight())),
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

/// Pids only. Many of them come early in a round, so that they are used again and again.
fn pids() -> Vec<Pick> {
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

/// The process that is a root from the beginning. Its pid is shortly before the last one.
const ROOT: Pid = Pid::new(PID_MAX - 20);

/// How much was read.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    steps: usize,
    samples: usize,
    /// Samples that did not list all processes.
    partial: usize,
    /// The processes that these samples read, and all that existed.
    processes_read: usize,
    population: usize,
    /// How often the pids began again.
    rounds: usize,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.steps += other.steps;
        self.samples += other.samples;
        self.partial += other.partial;
        self.processes_read += other.processes_read;
        self.population += other.population;
        self.rounds += other.rounds;
    }
}

/// A world and two watches on it. One reads all processes.
struct Scene {
    world: World,
    full: Watch,
    sparing: Watch,
    /// When the samples were taken.
    taken: Vec<BootNanos>,
    /// The processes with chosen pids, and how many samples were taken before the birth of each.
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
        // At the first sample none of them started recently.
        world.idle(12_000 * TICK);
        let [full, sparing] = [false, true].map(|sparing| {
            let mut watch = Watch::new(picks);
            watch.setup.tells_births = sparing;
            watch
        });
        let (taken, chosen, peak) = (Vec::new(), BTreeMap::new(), world.population());
        Scene { world, full, sparing, taken, chosen, peak, tally: Tally::default() }
    }

    /// Runs a history. `check` is called with both watches after each sample.
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

    /// In sight are the processes that started recently, and the members at the last sample.
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
            // The total never includes what a process used before it was found.
            seen.lines.values_mut().for_each(|line| line.total = 0);
            (seen.lines, seen.some)
        });
        self.tally.samples += 1;
        if let Some(processes_read) = sparing.1 {
            self.tally.partial += 1;
            self.tally.processes_read += processes_read;
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

    /// At most this many samples pass until rotation reads a process with a chosen pid. Before it,
    /// rotation reads the processes that existed at its birth, and later ones with chosen pids.
    fn round(&self) -> usize {
        (self.peak + self.chosen.len()).div_ceil(ROTATION_MINIMUM as usize)
    }

    /// Takes that many samples, between which nothing happens.
    fn rest(&mut self, samples: usize) {
        for _ in 0..samples {
            self.sample();
        }
    }
}

/// By label, each member and its parent.
type Members = BTreeMap<String, BTreeSet<(ProcId, Pid)>>;

fn members(watch: &Watch) -> Members {
    let mut members = Members::new();
    for (label, member) in watch.members() {
        members.entry(label).or_default().insert((member.id, member.parent));
    }
    members
}

/// What both watches reported and kept.
struct Both {
    lines_agree: bool,
    lines: String,
    full: Members,
    sparing: Members,
}

impl Both {
    /// Each member that the sparing watch missed: the label, its identity and its parent.
    fn missed(&self) -> Vec<(&str, ProcId, Pid)> {
        let mut missed = Vec::new();
        for (label, full) in &self.full {
            let found = self.sparing.get(label);
            let not_found = full.iter().filter(|id| !found.is_some_and(|found| found.contains(id)));
            missed.extend(not_found.map(|&(id, parent)| (label.as_str(), id, parent)));
        }
        missed
    }

    /// No process is found that does not belong to the group.
    fn finds_no_others(&self) -> TestCaseResult {
        for (label, sparing) in &self.sparing {
            let full = self.full.get(label).cloned().unwrap_or_default();
            prop_assert!(sparing.is_subset(&full), "{label}: {sparing:?} in {full:?}");
        }
        Ok(())
    }
}

/// Both watches report and keep the same.
fn agree(scene: &Scene, both: &Both) -> TestCaseResult {
    let sample = scene.taken.len();
    let (lines, missed) = (&both.lines, both.missed());
    prop_assert!(both.lines_agree, "sample {sample}\n{lines}\nmissed: {missed:?}");
    prop_assert_eq!(scene.full.kept(), scene.sparing.kept(), "sample {}", sample);
    Ok(())
}

/// Runs a property on that many histories, and checks that the samples of the sparing watch were
/// partial: at least `partial` percent of them, which read at most `processes_read` percent of the
/// processes.
fn try_on<S: Strategy>(
    histories: u32,
    steps: S,
    [partial, processes_read]: [usize; 2],
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
    assert!(total.processes_read * 100 <= total.population * processes_read, "{total:?}");
    assert!(total.rounds * 100 >= total.steps, "{total:?}");
}

#[test]
fn pids_are_followed_at_every_sample() {
    try_on(150, steps(Kind::Plain, 10..80), [60, 70], |steps| {
        let mut scene = Scene::new(&pids());
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

/// An old process that takes a name may be missed until rotation reads it. It is then found with
/// all its descendants.
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
        // Two more samples settle what one watch knew before the other.
        let rest = vec![Step::Sample; ROTATION as usize + 2];
        scene.live(Law::NoNames, &rest, whole_families)?;
        scene.live(Law::NoNames, &[Step::Sample], agree)?;
        scene.live(Law::NoNames, later, agree)?;
        Ok(scene.tally)
    });
}

/// A resident program finds them at once if there are few processes, by their clocks.
#[test]
fn residents_find_names_taken_late_at_every_sample() {
    try_on(150, steps(Kind::Plain, 10..80), [60, 50], |steps| {
        let mut scene = Scene::new(&names());
        scene.sparing = scene.sparing.resident();
        scene.rest(1);
        scene.live(Law::Any, steps, agree)?;
        Ok(scene.tally)
    });
}

/// If there are many, it finds them in a sixteenth of the samples that rotation needs. The process
/// that takes the name has any place among the others, and so has the moment.
#[test]
fn residents_find_names_taken_late_in_16_samples() {
    for round in 0..40 {
        let mut world = World::new(32_768);
        let pids: Vec<Pid> = (0..1500).map(|_| world.fork(Pid::INIT).unwrap()).collect();
        world.idle(12_000 * TICK);
        let named = Pick { label: Some("named"), by: By::Name(&["w"]) };
        let mut watch = Watch::new(&[named]).of_births().resident();
        let mut processes = |world: &mut World| {
            world.idle(100 * TICK);
            let seen = watch.sample(world);
            (seen.lines.get("named").map_or(0, |line| line.processes), seen.some)
        };
        (0..=round % 19).for_each(|_| assert_eq!(processes(&mut world).0, 0));
        world.exec(pids[round * 37 % pids.len()], "w");
        let found = (0..clock_table::SAMPLES_PER_ROUND).position(|_| processes(&mut world).0 == 1);
        assert!(found.is_some(), "in round {round}");
        // The others are not read meanwhile.
        assert!(processes(&mut world).1.is_some_and(|processes_read| processes_read < 40));
    }
}

/// A chosen pid is not among those that the kernel gave out, so rotation finds the process.
fn found_in_a_round(steps: &[Step], later: &[Step]) -> Result<Tally, TestCaseError> {
    let mut scene = Scene::new(&pids());
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
    // Two more samples settle what one watch knew before the other.
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
fn chosen_pids_are_found_in_a_round() {
    let both = (steps(Kind::ChosenPids, 10..80), steps(Kind::Plain, 0..20));
    try_on(100, both, [80, 50], |(steps, later)| found_in_a_round(steps, later));
}

/// A history without a sample has a round of the same length.
#[test]
fn a_chosen_pid_is_found_in_a_round_without_samples() {
    found_in_a_round(&[Step::ChosenPid { who: 9, pid: 789 }], &[]).unwrap();
}

/// Before each of so many samples so many processes are born, which live for ten samples. Then a
/// child of the root is born with the pid of a process that has just ended. It is found in a round.
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
        assert!(sample(&mut world).some.is_some_and(|processes_read| processes_read < 300));
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

/// If a sample read only the rest of a round, the next round would begin too late.
#[test]
fn a_round_begins_in_the_sample_that_ends_the_one_before() {
    (1..40).for_each(|samples| is_found_in_a_round(samples, 0));
}

/// If newborn processes counted as a part of a round, and more were born than a sample reads,
/// rotation would stay behind them and read no other process.
#[test]
fn births_do_not_hold_up_rotation() {
    (1..40).for_each(|samples| is_found_in_a_round(samples, 20));
}
