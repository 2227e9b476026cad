//! The truth, from the log of a world: which CPU time each group used, and which processes were in
//! it. It is as simple as possible: it knows nothing of readings, reused pids or debts.
//!
//! Time is used when the kernel shows it: what a process does unseen counts from the moment at which
//! its clock catches up. So lag needs no allowance in any bound.

use super::hierarchy::is_within;
use super::world::{Event, Life, TICK};
use psstat_core::model::units::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Control groups: the path of each, and the name that its group has if the user gives none.
pub type Tops = &'static [(&'static str, &'static str)];

/// What a selector picks.
#[derive(Clone, Copy, Debug)]
pub enum By {
    Pid(Pid),
    /// The process that this pid file names.
    PidFile(&'static str, Pid),
    /// Any of these names.
    Name(&'static [&'static str]),
    /// A command line that begins with that name.
    Cmdline(&'static str),
    /// The executable of that name.
    Exe(&'static str),
    User(u32),
    NameAndUser(&'static str, u32),
    /// That name, within the units that the glob matches.
    NameInUnits(&'static str, &'static str, Tops),
    /// The units that the glob matches.
    Units(&'static str, Tops),
    /// The control groups whose paths the glob matches.
    Paths(&'static str, Tops),
}

/// A selector: what it picks, and the name of the group. Without a name, each root's own name is
/// that of its group.
#[derive(Clone, Copy, Debug)]
pub struct Pick {
    pub label: Option<&'static str>,
    pub by: By,
}

impl Pick {
    /// The whole control groups that it picks.
    pub fn tops(&self) -> Tops {
        match self.by {
            By::Units(_, tops) | By::Paths(_, tops) => tops,
            _ => &[],
        }
    }

    /// Whether it picks the process by itself, and not because of its control group.
    fn picks(&self, process: &Process) -> bool {
        let comm = process.comm;
        match self.by {
            By::Pid(pid) | By::PidFile(_, pid) => process.pid == pid,
            By::Name(names) => names.contains(&comm),
            // A zombie has no command line and no executable.
            By::Cmdline(name) | By::Exe(name) => comm == name && process.state == State::Alive,
            By::User(user) => process.user == user,
            By::NameAndUser(name, user) => comm == name && process.user == user,
            By::NameInUnits(name, _, tops) => comm == name && is_in(process.path, tops),
            By::Units(..) | By::Paths(..) => false,
        }
    }
}

fn is_in(path: &str, tops: Tops) -> bool {
    tops.iter().any(|(top, _)| is_within(path, top))
}

/// The selectors of a run and one of the labels they lead to.
#[derive(Clone, Copy, Debug)]
pub struct Group<'p> {
    pub picks: &'p [Pick],
    pub label: &'p str,
}

impl Group<'_> {
    fn has_root(&self, process: &Process) -> bool {
        self.picks
            .iter()
            .any(|pick| pick.label.unwrap_or(process.comm) == self.label && pick.picks(process))
    }

    /// The paths of its control groups, none of them below another.
    pub fn tops(&self) -> BTreeSet<&'static str> {
        let tops = self.picks.iter().flat_map(|pick| {
            let is_own = |(_, name): &&(&str, &str)| pick.label.unwrap_or(name) == self.label;
            pick.tops().iter().filter(is_own).map(|&(path, _)| path)
        });
        let tops: BTreeSet<&str> = tops.collect();
        let is_topmost =
            |path: &&&str| !tops.iter().any(|top| top != *path && is_within(path, top));
        tops.iter().filter(is_topmost).copied().collect()
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Time {
    user: u64,
    system: u64,
}

impl Time {
    fn add(&mut self, other: Time) {
        self.user += other.user;
        self.system += other.system;
    }

    /// What is left where each counter is cut to ticks.
    fn cut_off(self) -> u64 {
        self.user % TICK + self.system % TICK
    }

    fn ticks(self) -> u64 {
        self.user / TICK + self.system / TICK
    }

    fn total(self) -> u64 {
        self.user + self.system
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Alive,
    Zombie,
    Gone,
}

#[derive(Debug)]
struct Process {
    pid: Pid,
    comm: &'static str,
    user: u32,
    /// Its control group.
    path: &'static str,
    parent: Option<Life>,
    start: u64,
    state: State,
    /// Its own time. While it runs unseen, `unseen` is the part that does not show.
    own: Time,
    unseen: Option<Time>,
    children: Time,
    /// The processes whose time it inherited, directly or through others.
    inherited: Vec<Life>,
}

impl Process {
    /// What shows of its own time.
    fn shown(&self) -> Time {
        let unseen = self.unseen.unwrap_or_default();
        Time { user: self.own.user - unseen.user, system: self.own.system - unseen.system }
    }

    /// What a counter may show later, although it was used before: what it cuts off. A clock cuts
    /// off nothing.
    fn cut_off(&self, has_clocks: bool) -> u64 {
        self.children.cut_off() + if has_clocks { 0 } else { self.shown().cut_off() }
    }

    /// How much of its own time comes to show by that event.
    fn comes_to_show(&self, event: Event) -> u64 {
        match event {
            Event::Worked { user, system, .. } if self.unseen.is_none() => user + system,
            Event::Seen { .. } => self.unseen.unwrap_or_default().total(),
            _ => 0,
        }
    }
}

/// The state of the world after a part of the log.
#[derive(Debug, Default)]
struct Replay(Vec<Process>);

impl Replay {
    fn of(log: &[Event]) -> Replay {
        let mut replay = Replay::default();
        for &event in log {
            replay.apply(event);
        }
        replay
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Forked { pid, parent, comm, now } => self.0.push(Process {
                pid,
                comm,
                user: parent.map_or(0, |parent| self.0[parent].user),
                path: parent.map_or("", |parent| self.0[parent].path),
                parent,
                start: now,
                state: State::Alive,
                own: Time::default(),
                unseen: None,
                children: Time::default(),
                inherited: Vec::new(),
            }),
            Event::Renamed { life, comm } => self.0[life].comm = comm,
            Event::Worked { life, user, system } => {
                let process = &mut self.0[life];
                process.own.add(Time { user, system });
                process.unseen.iter_mut().for_each(|unseen| unseen.add(Time { user, system }));
            }
            Event::RunsUnseen { life } => self.0[life].unseen = Some(Time::default()),
            Event::Seen { life } => self.0[life].unseen = None,
            Event::Ended { life } => self.0[life].state = State::Zombie,
            Event::Adopted { life, by } => self.0[life].parent = Some(by),
            Event::Waited { life, by } => {
                let child = &mut self.0[life];
                child.state = State::Gone;
                let mut time = child.own;
                time.add(child.children);
                let inherited = child.inherited.clone();
                let parent = &mut self.0[by];
                parent.children.add(time);
                parent.inherited.push(life);
                parent.inherited.extend(inherited);
            }
            Event::Lost { life } => self.0[life].state = State::Gone,
            Event::UserSet { life, user } => self.0[life].user = user,
            Event::Moved { life, to } => self.0[life].path = to,
            Event::ControlGroupMade { .. }
            | Event::ControlGroupRemoved { .. }
            | Event::ForeignWorked { .. } => {}
        }
    }

    /// Zombies too.
    fn members(&self, group: Group<'_>) -> BTreeSet<Life> {
        let mut members = self.descent(|life| group.has_root(&self.0[life]));
        let tops = group.tops();
        let lives = (0..self.0.len()).filter(|&life| {
            let process = &self.0[life];
            let is_below = || tops.iter().any(|top| is_within(process.path, top));
            process.state != State::Gone && is_below()
        });
        members.extend(lives);
        members
    }

    /// These and their children.
    fn below(&self, lives: &BTreeSet<Life>) -> BTreeSet<Life> {
        self.descent(|life| lives.contains(&life))
    }

    fn descent(&self, is_root: impl Fn(Life) -> bool) -> BTreeSet<Life> {
        let ancestry = |life| std::iter::successors(Some(life), |&at: &Life| self.0[at].parent);
        (0..self.0.len())
            .filter(|&life| self.0[life].state != State::Gone && ancestry(life).any(&is_root))
            .collect()
    }
}

/// The parts of the log that belong to a sample: what had happened when it began, and what
/// happened while it was taken.
#[derive(Clone, Debug)]
pub struct Span {
    pub scan: Range<usize>,
    /// When it began, in microseconds since boot.
    pub taken: u64,
    /// Whether it could read CPU clocks.
    pub has_clocks: bool,
}

/// The truth about one group between two samples.
#[derive(Debug)]
pub struct Truth {
    /// What it used from the start of the one scan to the end of the other: by its members while
    /// they were in it, by those born since before they joined it, and by whom these waited for.
    pub used: u64,
    /// What the last sample may have cut off from whom it showed, and this one may show. Exactly
    /// so where nothing happened during that scan; else less than a tick for each counter of all who
    /// were members at any time of it. The counters are the four of `stat`, or the two of children
    /// if the clock could be read to the end of the scan.
    pub cut_off: u64,
    /// The lives whose time was moved into a parent's during the last scan. That parent may have
    /// been read before: then all that is counted of them is counted now. The ledger may have
    /// taken what it had counted already off the same amount of other work (which of two equal
    /// amounts has arrived, cannot be known); then they count from their beginning.
    pub late: u64,
    /// Members alive at the end.
    pub living: u64,
    /// Whether there are members at the end, and none was one at the last sample or born since.
    pub unknown: bool,
}

/// Works out what happened to `group` from the sample `last` to the end of sample `this`.
pub fn truth(log: &[Event], group: Group<'_>, last: &Span, this: &Span) -> Truth {
    let mut replay = Replay::of(&log[..last.scan.start]);
    let mut members = replay.members(group);
    // All processes that the last sample may have shown as members.
    let mut known = members.clone();
    let mut late = BTreeSet::new();
    let mut truth = Truth { used: 0, cut_off: 0, late: 0, living: 0, unknown: false };
    if last.scan.is_empty() {
        let cut_off = |&life: &Life| replay.0[life].cut_off(last.has_clocks);
        truth.cut_off = known.iter().map(cut_off).sum();
    }

    // A start time in the tick before that of the sample counts as 'born since' (copy_process,
    // kernel/fork.c), so that such a process, where it was not known, counts whole.
    let is_newborn = |process: &Process| process.start / TICK + 1 >= last.taken / TICK;
    // Work of those who are not in the group, which comes in if they join it.
    let mut outside: Vec<u64> = Vec::new();
    for process in &replay.0 {
        let whole = process.shown().total() + process.children.total();
        outside.push(if is_newborn(process) { whole } else { 0 });
    }
    for &life in &members {
        outside[life] = 0;
    }
    // Those that were gone before the end of the last scan, so that their clocks may not have been
    // read.
    let mut gone = BTreeSet::new();
    for (at, &event) in log.iter().enumerate().take(this.scan.end).skip(last.scan.start) {
        if let Event::Worked { life, .. } | Event::Seen { life } = event {
            outside[life] += replay.0[life].comes_to_show(event);
        }
        replay.apply(event);
        match event {
            Event::Forked { .. } => outside.push(0),
            Event::Waited { life, by } => {
                outside[by] += std::mem::take(&mut outside[life]);
                if last.scan.contains(&at) {
                    late.insert(life);
                    late.extend(&replay.0[life].inherited);
                }
            }
            _ => {}
        }
        if !matches!(event, Event::Worked { .. } | Event::RunsUnseen { .. } | Event::Seen { .. }) {
            let stayed = members;
            members = replay.members(group);
            // A process that leaves during this sample may have been read before, and so may be seen
            // as a member to its end, with all children.
            if this.scan.contains(&at) {
                members.extend(replay.below(&stayed));
            }
        }
        if at < last.scan.end {
            known.extend(&members);
            if let Event::Waited { life, .. } | Event::Lost { life } = event {
                gone.insert(life);
            }
        }
        for &life in &members {
            let work = std::mem::take(&mut outside[life]);
            if known.contains(&life) || is_newborn(&replay.0[life]) {
                truth.used += work;
            }
        }
    }

    if !last.scan.is_empty() {
        let counters = |life: &Life| if last.has_clocks && !gone.contains(life) { 2 } else { 4 };
        truth.cut_off = TICK * known.iter().map(counters).sum::<u64>();
    }
    truth.late = late.iter().map(|&life| replay.0[life].own.total()).sum();
    truth.living =
        members.iter().filter(|&&life| replay.0[life].state == State::Alive).count() as u64;
    truth.unknown = !members.is_empty()
        && members.iter().all(|life| !known.contains(life) && !is_newborn(&replay.0[*life]));
    truth
}

/// One process by itself, without what it has inherited.
#[derive(Clone, Copy, Debug)]
pub struct Single {
    /// Its CPU time as `stat` shows it, in ticks.
    pub ticks: u64,
    /// Its CPU time as its clock shows it, in microseconds.
    pub clock: u64,
    /// When it started, in ticks.
    pub start: u64,
    /// Whether it is a root of the group.
    pub is_root: bool,
    pub is_alive: bool,
}

/// All processes that ever existed, by their number, after that part of the log.
pub fn everyone(log: &[Event], group: Group<'_>) -> Vec<Single> {
    let single = |process: Process| Single {
        ticks: process.shown().ticks(),
        clock: process.shown().total(),
        start: process.start / TICK,
        is_root: process.state != State::Gone && group.has_root(&process),
        is_alive: process.state == State::Alive,
    };
    Replay::of(log).0.into_iter().map(single).collect()
}

/// One process that is not gone, as the reasons of a sample are checked against it.
#[derive(Clone, Copy, Debug)]
pub struct Present {
    pub life: Life,
    pub user: u32,
    /// Whether it lives, and is no zombie.
    pub is_alive: bool,
    pub path: &'static str,
    /// Whether it is a member of the group.
    pub is_member: bool,
    /// The parent. `None` of `init`.
    pub parent: Option<Pid>,
}

/// The processes that are not gone, after that part of the log.
pub fn present(log: &[Event], group: Group<'_>) -> BTreeMap<Pid, Present> {
    let replay = Replay::of(log);
    let members = replay.members(group);
    let here = replay.0.iter().enumerate().filter(|(_, process)| process.state != State::Gone);
    let present = |(life, process): (Life, &Process)| {
        let present = Present {
            life,
            user: process.user,
            is_alive: process.state == State::Alive,
            path: process.path,
            is_member: members.contains(&life),
            parent: process.parent.map(|parent| replay.0[parent].pid),
        };
        (process.pid, present)
    };
    here.map(present).collect()
}

/// Whether a selector picks the process with that pid, after that part of the log.
pub fn is_picked(log: &[Event], pick: Pick, pid: Pid) -> bool {
    let replay = Replay::of(log);
    let here = replay.0.iter().filter(|process| process.state != State::Gone);
    here.filter(|process| process.pid == pid).any(|process| pick.picks(process))
}

/// What the control groups of a group used from `then` to `now`, indices in the log, in
/// microseconds: everything that ran in those that exist now, since they were made. What runs unseen
/// counts where its process is when it shows.
pub fn counted(log: &[Event], group: Group<'_>, then: usize, now: usize) -> u64 {
    let mut replay = Replay::of(&log[..then]);
    let mut used: BTreeMap<&str, u64> = group.tops().into_iter().map(|top| (top, 0)).collect();
    for &event in &log[then..now] {
        let (path, time) = match event {
            Event::Worked { life, .. } | Event::Seen { life } => {
                (replay.0[life].path, replay.0[life].comes_to_show(event))
            }
            Event::ForeignWorked { path, time } => (path, time),
            Event::ControlGroupMade { path } | Event::ControlGroupRemoved { path } => {
                used.entry(path).and_modify(|used| *used = 0);
                continue;
            }
            _ => {
                replay.apply(event);
                continue;
            }
        };
        replay.apply(event);
        for (top, used) in &mut used {
            *used += if is_within(path, top) { time } else { 0 };
        }
    }
    used.values().sum()
}

/// How many processes have waited for a child while they were members, in that part of the log.
pub fn waiters(log: &[Event], group: Group<'_>) -> u64 {
    let mut replay = Replay::default();
    let mut waiters = BTreeSet::new();
    for &event in log {
        if let Event::Waited { by, .. } = event
            && replay.members(group).contains(&by)
        {
            waiters.insert(by);
        }
        replay.apply(event);
    }
    waiters.len() as u64
}

/// The CPU time of all members together, in microseconds, as the kernel shows it.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// By their clocks, and with the whole time of their children.
    pub whole: u64,
    /// What `stat` cuts off from the time of their children.
    pub children_cut_off: u64,
    /// By `stat` alone.
    pub by_stat: u64,
}

/// What the kernel shows of all members together, after that part of the log.
pub fn shown(log: &[Event], group: Group<'_>) -> Shown {
    let replay = Replay::of(log);
    let members = replay.members(group);
    let sum = |of: fn(&Process) -> u64| members.iter().map(|&life| of(&replay.0[life])).sum();
    Shown {
        whole: sum(|process| process.shown().total() + process.children.total()),
        children_cut_off: sum(|process| process.children.cut_off()),
        by_stat: sum(|process| (process.shown().ticks() + process.children.ticks()) * TICK),
    }
}
