//! Random histories: what happens to a world, and when samples are taken of it.

use super::hierarchy::is_within;
use super::machine::Interruption;
use super::oracle::{By, Pick, Span};
use super::world::{TICK, World};
use super::{Line, Watch};
use proptest::collection::vec;
use proptest::prelude::*;
use psstat_core::engine::{self, SampleError};
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
    /// The same, but no process takes a name that picks, other than by birth.
    NoNames,
    /// As [`Law::Any`], but a process moves to another control group only with its whole family:
    /// all descendants of a child of `init`.
    Families,
    /// As [`Law::Any`], but there are many names, and most groups have none: they nest.
    Nested,
}

/// The names of nested groups.
const NESTED: &[&str] = &["w", "v", "u", "t", "s", "r", "q"];

impl Law {
    /// The names that processes may take. Under [`Law::Lossless`] no process joins the group by one.
    fn names(self) -> &'static [&'static str] {
        match self {
            Law::Lossless | Law::NoNames => &["x", "y"],
            Law::Any | Law::Families => &["w", "v", "x"],
            Law::Nested => NESTED,
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
pub enum Kind {
    Fork,
    Exec,
    Burn,
    /// Runs unseen up to the next tick, and works less than until then.
    RunUnseen,
    Idle,
    /// Ends, to be waited for some time later.
    Exit,
    /// A zombie is waited for.
    Wait,
    ExitAndWait,
    /// A child that starts, works and ends between any two samples.
    ShortLife,
    IgnoreSigchld,
    SetSubreaper,
    SetUser,
    /// Moves to another control group.
    Move,
    MakeControlGroup,
    /// All processes leave a control group, and it is removed. Half of the time it is made again
    /// for the same processes.
    RemoveControlGroup,
    /// A process of another pid namespace starts in a control group.
    ForeignStart,
    /// The processes of other pid namespaces in a control group work.
    ForeignWork,
}

/// The control groups of all histories.
pub const PATHS: [&str; 5] = [
    "system.slice/a.service",
    "system.slice/a.service/worker",
    "system.slice/b.service",
    "user.slice/user-1.slice/user@1.service/app.slice/a.service",
    "docker/x",
];

/// A part of a history.
#[derive(Clone, Debug)]
pub enum Step {
    Happens(Happening),
    /// A sample, and what happens in it after how many readings.
    Sample(Vec<(usize, Happening)>),
    /// The same, but the time is up after that many readings.
    ShortSample(usize, Vec<(usize, Happening)>),
}

/// So few pids that they are used again soon.
const PID_MAX: u32 = 16;

/// The pid of the process that all histories are about.
pub const ROOT: Pid = Pid::new(3);

impl Happening {
    pub fn new(kind: Kind, who: usize, user: u64, system: u64) -> Happening {
        Happening { kind, who, user, system }
    }

    /// Does it, if it can be done.
    pub fn apply(&self, world: &mut World, law: Law) {
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
            Kind::RunUnseen => {
                world.run_unseen(who);
                let half = world.until_tick().div_ceil(2);
                world.burn(who, self.user % half, self.system % half);
            }
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
            Kind::SetUser if who != Pid::INIT => world.set_user(who, self.user as u32 % 2),
            Kind::Move if mortal => self.move_family(world, law, who),
            Kind::MakeControlGroup => world.make_control_group(self.path()),
            Kind::RemoveControlGroup => self.remove_control_group(world, law),
            Kind::ForeignStart => world.add_foreign(self.path()),
            Kind::ForeignWork if world.hierarchy().foreign(self.path()) > 0 => {
                world.burn_foreign(self.path(), self.user);
            }
            Kind::SetUser
            | Kind::Move
            | Kind::ForeignWork
            | Kind::Exec
            | Kind::Exit
            | Kind::ExitAndWait
            | Kind::IgnoreSigchld => {}
        }
    }
}

impl Happening {
    /// The control group that it is about.
    fn path(&self) -> &'static str {
        PATHS[(self.user % PATHS.len() as u64) as usize]
    }

    fn move_family(&self, world: &mut World, law: Law, who: Pid) {
        let path = self.path();
        if !world.hierarchy().has(path) {
            return;
        }
        if law != Law::Families {
            world.move_to(who, path);
            return;
        }
        // A zombie cannot be moved (cgroup-v2.rst).
        let family = world.family(who);
        if !family.iter().any(|pid| world.tasks()[pid].zombie) {
            family.into_iter().for_each(|pid| world.move_to(pid, path));
        }
    }

    fn remove_control_group(&self, world: &mut World, law: Law) {
        let path = self.path();
        let has_zombies = || {
            let mut tasks = world.tasks().values();
            tasks.any(|task| task.zombie && is_within(task.control_group, path))
        };
        if law == Law::Families && has_zombies() {
            return;
        }
        let is_inside = |pid: &Pid| is_within(world.tasks()[pid].control_group, path);
        let inside: Vec<Pid> = world.living().into_iter().filter(is_inside).collect();
        inside.iter().for_each(|&pid| world.move_to(pid, ""));
        for path in PATHS.into_iter().rev().filter(|below| is_within(below, path)) {
            world.remove_control_group(path);
        }
        if self.who.is_multiple_of(2) {
            world.make_control_group(path);
            inside.iter().for_each(|&pid| world.move_to(pid, path));
        }
    }
}

fn control_group_kind(removes: bool) -> impl Strategy<Value = Kind> {
    prop_oneof![
        6 => Just(Kind::Move),
        2 => Just(Kind::MakeControlGroup),
        if removes { 2 } else { 0 } => Just(Kind::RemoveControlGroup),
        1 => Just(Kind::ForeignStart),
        2 => Just(Kind::ForeignWork),
        2 => Just(Kind::SetUser),
    ]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        6 => Just(Kind::Fork),
        6 => Just(Kind::Burn),
        6 => Just(Kind::RunUnseen),
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

fn of_kind(kind: impl Strategy<Value = Kind>) -> impl Strategy<Value = Happening> {
    (kind, 0usize..1000, work(), work())
        .prop_map(|(kind, who, user, system)| Happening::new(kind, who, user, system))
}

impl Happening {
    /// The same, but nothing runs unseen.
    pub fn in_sight(self) -> Happening {
        match self.kind {
            Kind::RunUnseen => Happening { kind: Kind::Burn, system: self.system % TICK, ..self },
            _ => self,
        }
    }
}

impl Step {
    /// Time passes until whatever ran unseen has been seen.
    pub fn rest() -> Step {
        Step::Happens(Happening { kind: Kind::Idle, who: 0, user: TICK, system: 0 })
    }

    /// The same, but nothing runs unseen.
    pub fn in_sight(self) -> Step {
        let all = |happenings: Vec<(usize, Happening)>| {
            happenings.into_iter().map(|(after, happening)| (after, happening.in_sight())).collect()
        };
        match self {
            Step::Happens(happening) => Step::Happens(happening.in_sight()),
            Step::Sample(happenings) => Step::Sample(all(happenings)),
            Step::ShortSample(time, happenings) => Step::ShortSample(time, all(happenings)),
        }
    }
}

/// The same histories, but nothing runs unseen.
pub fn in_sight(steps: impl Strategy<Value = Vec<Step>>) -> impl Strategy<Value = Vec<Step>> {
    steps.prop_map(|steps| steps.into_iter().map(Step::in_sight).collect())
}

pub fn happening() -> impl Strategy<Value = Happening> {
    of_kind(kind())
}

/// Something that happens to control groups or users.
pub fn control_group_happening() -> impl Strategy<Value = Happening> {
    of_kind(control_group_kind(true))
}

/// Something that happens to processes, control groups or users.
fn any_happening(removes: bool) -> impl Strategy<Value = Happening> {
    prop_oneof![3 => happening(), 2 => of_kind(control_group_kind(removes))]
}

fn steps(
    happening: impl Strategy<Value = Happening>,
    sample: impl Strategy<Value = Step>,
) -> impl Strategy<Value = Vec<Step>> {
    vec(prop_oneof![10 => happening.prop_map(Step::Happens), 2 => sample], 1..120)
}

/// Histories in which each sample is taken in one moment.
pub fn quiet() -> impl Strategy<Value = Vec<Step>> {
    steps(happening(), Just(Step::Sample(Vec::new())))
}

/// The same, with control groups and users.
pub fn quiet_with_control_groups() -> impl Strategy<Value = Vec<Step>> {
    steps(any_happening(true), Just(Step::Sample(Vec::new())))
}

/// Histories that go on while samples are taken.
pub fn racy() -> impl Strategy<Value = Vec<Step>> {
    steps(happening(), vec((0usize..8, happening()), 0..8).prop_map(Step::Sample))
}

/// The same, with control groups and users. No control group is removed.
pub fn racy_with_control_groups() -> impl Strategy<Value = Vec<Step>> {
    let sample = vec((0usize..8, any_happening(false)), 0..8).prop_map(Step::Sample);
    steps(any_happening(false), sample)
}

/// Histories that go on while samples are taken, many of which run out of time.
pub fn racy_with_time_outs() -> impl Strategy<Value = Vec<Step>> {
    let happenings = || vec((0usize..8, happening()), 0..8);
    let short = (0usize..40, happenings());
    let sample = prop_oneof![
        1 => happenings().prop_map(Step::Sample),
        2 => short.prop_map(|(time, happenings)| Step::ShortSample(time, happenings)),
    ];
    steps(happening(), sample)
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
        Law::Any | Law::NoNames | Law::Families => vec![
            by_name(Some("named"), &["w"]),
            by_pid("named", Pid::new(6)),
            by_pid("pid", ROOT),
            by_name(None, &["w", "v"]),
            by_pid("named", Pid::new(4)),
        ],
        Law::Nested => vec![
            by_name(None, &NESTED[..5]),
            by_name(None, &NESTED[3..]),
            by_name(Some("named"), &NESTED[2..4]),
            by_pid("pid", ROOT),
        ],
    }
}

/// The world at the beginning of a history: `init`, a bystander, the root and a child of it. The
/// root and its child are in a unit.
pub fn beginning(law: Law) -> World {
    let mut world = World::new(PID_MAX);
    world.fork(Pid::INIT).unwrap();
    let root = world.fork(Pid::INIT).unwrap();
    assert_eq!(root, ROOT);
    if law == Law::Lossless {
        world.exec(root, "root");
        world.set_subreaper(root);
    } else {
        world.exec(root, "w");
    }
    PATHS.into_iter().for_each(|path| world.make_control_group(path));
    world.make_control_group("init.scope");
    world.move_to(Pid::INIT, "init.scope");
    world.move_to(root, PATHS[0]);
    world.burn(root, 12_345, 23_456);
    world.fork(root).unwrap();
    if law == Law::Nested {
        let mut above = root;
        for (name, work) in NESTED.iter().zip(1..) {
            above = world.fork(above).unwrap();
            world.exec(above, name);
            world.burn(above, work * 7_000, work * 3_000);
        }
    }
    // An idle process that takes no pid from others.
    let idle = world.fork_with_pid(Pid::INIT, Pid::new(PID_MAX + 1)).unwrap();
    world.set_user(idle, 1);
    world.set_apart(idle, true);
    world.idle(10 * TICK);
    world
}

/// A history, with the samples that were taken of it.
#[derive(Debug)]
pub struct Lived {
    pub world: World,
    /// The samples that succeeded, from the first, the baseline, on.
    pub samples: Vec<Sample>,
    /// How many samples ran out of time.
    pub failed: usize,
}

#[derive(Debug)]
pub struct Sample {
    pub span: Span,
    /// What each of the watches reported.
    pub lines: Vec<BTreeMap<String, Line>>,
    /// The samples of the watches.
    pub taken: Vec<engine::Sample>,
}

/// Runs a history and takes samples with all of `watches`. If anything happens during samples,
/// there must be only one watch. The history begins with a quiet sample and ends with two: what one
/// sample missed is in the next.
pub fn live(law: Law, steps: &[Step], watches: &mut [Watch]) -> Lived {
    let mut lived = Lived { world: beginning(law), samples: Vec::new(), failed: 0 };
    let quiet = Step::Sample(Vec::new());
    let steps = std::iter::once(&quiet).chain(steps).chain([&quiet, &quiet]);
    for step in steps {
        match step {
            Step::Happens(happening) => happening.apply(&mut lived.world, law),
            Step::Sample(happenings) => lived.sample(law, usize::MAX, happenings, watches),
            Step::ShortSample(time, happenings) => lived.sample(law, *time, happenings, watches),
        }
    }
    lived
}

impl Lived {
    fn sample(
        &mut self,
        law: Law,
        time: usize,
        happenings: &[(usize, Happening)],
        watches: &mut [Watch],
    ) {
        let mut sample: Option<Sample> = None;
        for watch in watches {
            let interruptions = happenings.iter().cloned().map(|(after, happening)| {
                Interruption::new(after, move |world| happening.apply(world, law))
            });
            watch.setup.time = time;
            match watch.try_sample(&mut self.world, interruptions.collect()) {
                Ok(seen) => {
                    let sample = sample.get_or_insert_with(|| Sample {
                        span: seen.span,
                        lines: Vec::new(),
                        taken: Vec::new(),
                    });
                    sample.lines.push(seen.lines);
                    sample.taken.push(seen.sample);
                }
                Err(SampleError::OutOfTime) => self.failed += 1,
                Err(error) => panic!("{error}"),
            }
        }
        self.samples.extend(sample);
        // No two samples in the same moment.
        self.world.idle(TICK / 2);
    }
}
