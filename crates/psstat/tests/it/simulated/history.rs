//! Random histories: what happens to a world, and when it is looked at.

use super::oracle::{By, Pick, Span};
use super::world::{Interruption, TICK, World};
use super::{Line, Watch};
use proptest::collection::vec;
use proptest::prelude::*;
use psstat_core::model::units::Pid;
use std::collections::BTreeMap;
use std::fmt;

/// What may happen in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    /// The root lives, waits for all, and adopts all orphans below it: no time is lost.
    Lossless,
    /// Anything that the kernel permits.
    Any,
    /// The same, but nobody takes a name that picks, other than by birth.
    NoNames,
}

impl Law {
    /// Names that may be taken. Under [`Law::Lossless`] nobody joins the group by one.
    fn names(self) -> &'static [&'static str] {
        match self {
            Law::Lossless | Law::NoNames => &["x", "y"],
            Law::Any => &["w", "v", "x"],
        }
    }
}

/// One thing that happens. Numbers choose among what is there at the time, so that any part of a
/// history is a history.
#[derive(Clone)]
pub struct Happening {
    kind: Kind,
    who: usize,
    user: u64,
    system: u64,
}

impl fmt::Debug for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} {} {}", self.kind, self.who, self.user, self.system)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Fork,
    Exec,
    Burn,
    Idle,
    /// Ends, to be waited for some time later.
    Exit,
    /// A zombie is waited for.
    Wait,
    ExitAndWait,
    /// A child that starts, works and ends between any two looks.
    ShortLife,
    IgnoreSigchld,
    SetSubreaper,
}

/// A part of a history.
#[derive(Clone, Debug)]
pub enum Step {
    Happens(Happening),
    /// A look, and what happens in it after how many readings.
    Sample(Vec<(usize, Happening)>),
}

/// The pid of the process that all histories are about.
pub const ROOT: Pid = Pid::new(3);

impl Happening {
    /// Does it, if it can be done.
    pub fn befall(&self, world: &mut World, law: Law) {
        let living = world.living();
        let who = living[self.who % living.len()];
        let mortal = who != Pid::INIT && (law != Law::Lossless || who != ROOT);
        match self.kind {
            Kind::Fork => {
                world.fork(who);
            }
            Kind::Exec if mortal => {
                let names = law.names();
                world.exec(who, names[self.who % names.len()]);
            }
            Kind::Burn => world.burn(who, self.user, self.system),
            Kind::Idle => world.idle(self.user),
            Kind::Exit if mortal => world.exit(who),
            Kind::ExitAndWait if mortal => world.exit_and_wait(who),
            Kind::Wait => {
                let zombies = world.zombies();
                if !zombies.is_empty() {
                    world.wait(zombies[self.who % zombies.len()]);
                }
            }
            Kind::ShortLife => {
                if let Some(child) = world.fork(who) {
                    world.burn(child, self.user, self.system);
                    world.exit_and_wait(child);
                }
            }
            Kind::IgnoreSigchld if law != Law::Lossless && who != Pid::INIT => {
                world.ignore_sigchld(who);
            }
            Kind::SetSubreaper => world.set_subreaper(who),
            Kind::Exec | Kind::Exit | Kind::ExitAndWait | Kind::IgnoreSigchld => {}
        }
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        6 => Just(Kind::Fork),
        6 => Just(Kind::Burn),
        2 => Just(Kind::Exec),
        2 => Just(Kind::Idle),
        2 => Just(Kind::Exit),
        3 => Just(Kind::Wait),
        4 => Just(Kind::ExitAndWait),
        2 => Just(Kind::ShortLife),
        1 => Just(Kind::IgnoreSigchld),
        1 => Just(Kind::SetSubreaper),
    ]
}

/// CPU time in microseconds: less than a tick, about as much as others use, or any.
fn work() -> impl Strategy<Value = u64> {
    prop_oneof![0..TICK, (1u64..4).prop_map(|times| times * 100 * TICK), 0..500 * TICK]
}

pub fn happening() -> impl Strategy<Value = Happening> {
    (kind(), 0usize..1000, work(), work()).prop_map(|(kind, who, user, system)| Happening {
        kind,
        who,
        user,
        system,
    })
}

fn steps(sample: impl Strategy<Value = Step>) -> impl Strategy<Value = Vec<Step>> {
    vec(prop_oneof![10 => happening().prop_map(Step::Happens), 2 => sample], 1..120)
}

/// Histories in which each sample is taken in one moment.
pub fn quiet() -> impl Strategy<Value = Vec<Step>> {
    steps(Just(Step::Sample(Vec::new())))
}

/// Histories that go on while samples are taken.
pub fn racy() -> impl Strategy<Value = Vec<Step>> {
    steps(vec((0usize..8, happening()), 0..8).prop_map(Step::Sample))
}

/// All ways to pick overlapping, nested and repeated roots.
pub fn picks(law: Law) -> Vec<Pick> {
    let by_name = |label, names| Pick { label, by: By::Name(names) };
    let by_pid = |label, pid| Pick { label: Some(label), by: By::Pid(pid) };
    match law {
        Law::Lossless => vec![
            by_name(Some("named"), &["root"]),
            by_pid("named", ROOT),
            by_pid("pid", ROOT),
            by_name(None, &["root"]),
        ],
        Law::Any | Law::NoNames => vec![
            by_name(Some("named"), &["w"]),
            by_pid("named", Pid::new(6)),
            by_pid("pid", ROOT),
            by_name(None, &["w", "v"]),
            by_pid("named", Pid::new(4)),
        ],
    }
}

/// The world at the beginning of a history: `init`, a bystander, the root and a child of it.
fn beginning(law: Law) -> World {
    let mut world = World::new(16);
    world.fork(Pid::INIT).unwrap();
    let root = world.fork(Pid::INIT).unwrap();
    assert_eq!(root, ROOT);
    if law == Law::Lossless {
        world.exec(root, "root");
        world.set_subreaper(root);
    } else {
        world.exec(root, "w");
    }
    world.burn(root, 12_345, 23_456);
    world.fork(root).unwrap();
    world.idle(10 * TICK);
    world
}

/// A history that has been lived through.
#[derive(Debug)]
pub struct Lived {
    pub world: World,
    /// The samples, from the first, the baseline, on.
    pub samples: Vec<Sample>,
}

#[derive(Debug)]
pub struct Sample {
    pub span: Span,
    /// What each of the watches said.
    pub lines: Vec<BTreeMap<String, Line>>,
}

/// Lives through a history, looking with all of `watches`, which must be one where anything
/// happens in the scans. It begins with a quiet sample, and ends with two: what one sample missed
/// is in the next.
pub fn live(law: Law, steps: &[Step], watches: &mut [Watch]) -> Lived {
    let mut world = beginning(law);
    let mut samples = Vec::new();
    let quiet = Step::Sample(Vec::new());
    let steps = std::iter::once(&quiet).chain(steps).chain([&quiet, &quiet]);
    for step in steps {
        match step {
            Step::Happens(happening) => happening.befall(&mut world, law),
            Step::Sample(happenings) => {
                let mut sample = None;
                for watch in &mut *watches {
                    let interruptions = happenings
                        .iter()
                        .cloned()
                        .map(|(after, happening)| {
                            Interruption::new(after, move |world| happening.befall(world, law))
                        })
                        .collect();
                    let seen = watch.sample_while(&mut world, interruptions);
                    let sample =
                        sample.get_or_insert_with(|| Sample { span: seen.span, lines: Vec::new() });
                    sample.lines.push(seen.lines);
                }
                samples.extend(sample);
                // No two samples in the same moment.
                world.idle(TICK / 2);
            }
        }
    }
    Lived { world, samples }
}
