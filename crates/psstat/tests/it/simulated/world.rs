//! A simulated kernel: processes fork, exec, work, end, are waited for and adopted, and pids are
//! used again, as fork(2), exit(2), wait(2) and prctl(2) say.
//!
//! It owns what the kernel would show, and a log of what truly happened. CPU time is kept in
//! microseconds and cut to whole ticks only when it is read, each counter on its own, as in
//! fs/proc/array.c. Time passes while a process works.
//!
//! A process does nothing without running. Everything that it does takes it a microsecond of system
//! time ([`ACT`]), which moves its CPU clock and is in the log like all other work. So the log tells
//! all CPU time there is, and no check needs a tolerance for it.
//!
//! # Lag
//!
//! The kernel adds CPU time to a task at the tick and when the task leaves its processor
//! (`update_curr`, kernel/sched/fair.c). Who reads the clock of another process reads the last sum
//! (`thread_group_cputime`, kernel/sched/cputime.c; only the own process is brought up to date). So
//! a process that is running on another processor may have forked, waited, changed its name and
//! worked while its clock still stands. A world can let a process run like that
//! ([`World::run_unseen`]). What lags with the clock, and what does not:
//!
//! - utime and stime in `stat` lag. They are scaled to the same sum (`cputime_adjust`,
//!   kernel/sched/cputime.c).
//! - The counters of its control groups lag. `update_curr` charges them with the same amounts
//!   (`cgroup_account_cputime`, include/linux/cgroup.h). What has not been charged when the process
//!   moves is charged where it is then: `cgroup_migrate_execute`, kernel/cgroup/cgroup.c, sets the
//!   new group and charges nothing to the old one.
//! - The time of its children does not lag: `wait_task_zombie`, kernel/exit.c, adds it at once.
//! - Nothing lags of a process that has ended: it has left its processor for good (`do_task_dead`,
//!   kernel/sched/core.c).

use super::access::Access;
use super::hierarchy::Hierarchy;
use super::pages::Pages;
use psstat_core::model::exit::{Bounds, Exit};
use psstat_core::model::pid_file::{PidFile, PidFileError};
use psstat_core::model::process::Stat;
use psstat_core::model::units::{Amounts, BootNanos, CpuNanos, Hz, Pid, Ticks, Uid};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Microseconds per tick.
pub const TICK: u64 = 10_000;
pub const HZ: Hz = Hz(1_000_000 / TICK);

/// The system time that a process needs for anything it does but work, in microseconds.
const ACT: u64 = 1;

/// Number of a process. Unlike a pid it is never used again.
pub type Life = usize;

/// What truly happened.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// Processes are numbered in this order. `init` has no parent.
    Forked {
        pid: Pid,
        parent: Option<Life>,
        comm: &'static str,
        now: u64,
    },
    Renamed {
        life: Life,
        comm: &'static str,
    },
    Worked {
        life: Life,
        user: u64,
        system: u64,
    },
    /// From now on its CPU time does not show.
    RunsUnseen {
        life: Life,
    },
    /// All its CPU time shows again.
    Seen {
        life: Life,
    },
    Ended {
        life: Life,
    },
    Adopted {
        life: Life,
        by: Life,
    },
    /// Gone, and its time is its parent's.
    Waited {
        life: Life,
        by: Life,
    },
    /// Gone, and its time is lost, because no parent waited.
    Lost {
        life: Life,
    },
    /// Runs as another user.
    UserSet {
        life: Life,
        user: u32,
    },
    /// Runs in another control group.
    Moved {
        life: Life,
        to: &'static str,
    },
    ControlGroupMade {
        path: &'static str,
    },
    ControlGroupRemoved {
        path: &'static str,
    },
    /// Processes of another pid namespace worked in a control group.
    ForeignWorked {
        path: &'static str,
        time: u64,
    },
}

/// What the kernel keeps of a process.
#[derive(Clone, Debug)]
pub struct Task {
    pub life: Life,
    parent: Pid,
    start: u64,
    pub comm: &'static str,
    pub user: u32,
    /// The path of its control group.
    pub control_group: &'static str,
    pub utime: u64,
    pub stime: u64,
    pub cutime: u64,
    pub cstime: u64,
    pub zombie: bool,
    ignores_sigchld: bool,
    subreaper: bool,
    /// No random step touches it.
    apart: bool,
    /// Who adopts its children, if that is not decided by its ancestors: it came into the pid namespace
    /// of that process from outside.
    reaper: Option<Pid>,
}

/// The CPU time of a process without that of its children, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Used {
    user: u64,
    system: u64,
}

impl Used {
    fn total(self) -> u64 {
        self.user + self.system
    }
}

impl Task {
    fn used(&self) -> Used {
        Used { user: self.utime, system: self.stime }
    }
}

/// The first pid of the second round, on a machine with more pids: `RESERVED_PIDS`,
/// kernel/pid.c.
const RESERVED: u32 = 300;

#[derive(Clone, Debug)]
pub struct World {
    /// Microseconds since boot.
    now: u64,
    tasks: BTreeMap<Pid, Task>,
    /// The processes that run unseen, and what shows of the CPU time of each.
    unseen: BTreeMap<Pid, Used>,
    pid_max: u32,
    last_pid: u32,
    /// The tick in which each pid was given back.
    freed: BTreeMap<Pid, u64>,
    /// How many processes there ever were.
    lives: Life,
    log: Vec<Event>,
    /// The record of each exit (`taskstats_exit`, kernel/taskstats.c).
    exits: Vec<Exit>,
    hierarchy: Hierarchy,
    /// What psstat may read.
    pub access: Access,
    /// Anonymous memory.
    pub pages: Pages,
    /// How many times a `smaps_rollup` was read.
    pub rollups: Cell<usize>,
    /// Pid files, by path.
    pub pid_files: BTreeMap<&'static str, Result<PidFile, PidFileError>>,
}

impl World {
    /// A machine that has just booted, with nothing but `init` on it.
    pub fn new(pid_max: u32) -> World {
        let init = Task {
            life: 0,
            parent: Pid::NONE,
            start: 0,
            comm: "init",
            user: 0,
            control_group: "",
            utime: 0,
            stime: 0,
            cutime: 0,
            cstime: 0,
            zombie: false,
            ignores_sigchld: false,
            subreaper: true,
            apart: false,
            reaper: None,
        };
        let (comm, now) = (init.comm, 100 * TICK);
        World {
            now,
            tasks: BTreeMap::from([(Pid::INIT, init)]),
            unseen: BTreeMap::new(),
            pid_max,
            last_pid: 1,
            freed: BTreeMap::new(),
            lives: 1,
            log: vec![Event::Forked { pid: Pid::INIT, parent: None, comm, now: 0 }],
            exits: Vec::new(),
            hierarchy: Hierarchy::default(),
            access: Access::default(),
            pages: Pages::default(),
            rollups: Cell::new(0),
            pid_files: BTreeMap::new(),
        }
    }

    /// The record of each exit, in order. It is behind by nothing.
    pub fn exits(&self) -> &[Exit] {
        &self.exits
    }

    pub fn log(&self) -> &[Event] {
        &self.log
    }

    pub fn now(&self) -> BootNanos {
        BootNanos(self.now * 1000)
    }

    /// The processes that run and are not set apart, in order of pid.
    pub fn living(&self) -> Vec<Pid> {
        self.pids_where(|task| !task.zombie && !task.apart)
    }

    /// Those of the [`World::living`] that were born later than that.
    pub fn living_since(&self, then: BootNanos) -> Vec<Pid> {
        self.pids_where(|task| !task.zombie && !task.apart && task.start * 1000 > then.0)
    }

    /// Those that ended and wait to be waited for.
    pub fn zombies(&self) -> Vec<Pid> {
        self.pids_where(|task| task.zombie)
    }

    /// All processes, in order of pid.
    pub fn tasks(&self) -> &BTreeMap<Pid, Task> {
        &self.tasks
    }

    /// The child of `init` that is `pid` or an ancestor of it, and all its descendants.
    pub fn family(&self, pid: Pid) -> Vec<Pid> {
        let ancestry = |pid: Pid| {
            std::iter::successors(Some(pid), |pid| Some(self.tasks[pid].parent))
                .take_while(|&pid| pid != Pid::INIT && pid != Pid::NONE)
        };
        let top = ancestry(pid).last();
        self.pids_where(|_| true).into_iter().filter(|&pid| ancestry(pid).last() == top).collect()
    }

    pub fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    /// Whether the second round of pids begins with pid 2, as on no real machine.
    pub fn has_few_pids(&self) -> bool {
        self.pid_max <= RESERVED
    }

    pub fn pid_max(&self) -> u32 {
        self.pid_max
    }

    /// How many processes there have been since boot.
    pub fn lives(&self) -> Life {
        self.lives
    }

    /// Whether a process is a child of another.
    pub fn is_child(&self, pid: Pid, of: Pid) -> bool {
        self.tasks[&pid].parent == of
    }

    fn pids_where(&self, holds: impl Fn(&Task) -> bool) -> Vec<Pid> {
        self.tasks.iter().filter(|(_, task)| holds(task)).map(|(&pid, _)| pid).collect()
    }

    /// How many processes there are, those that ended among them.
    pub fn population(&self) -> usize {
        self.tasks.len()
    }

    /// A bystander is only read: nothing is done by it or to it.
    pub fn set_apart(&mut self, pid: Pid, apart: bool) {
        self.task(pid).apart = apart;
    }

    pub fn idle(&mut self, time: u64) {
        self.pass(time);
    }

    /// Time passes. At a tick all CPU time shows (`sched_tick`, kernel/sched/core.c).
    fn pass(&mut self, time: u64) {
        let tick = self.now / TICK;
        self.now += time;
        if self.now / TICK > tick {
            let unseen: Vec<Pid> = self.unseen.keys().copied().collect();
            unseen.into_iter().for_each(|pid| self.show(pid));
        }
    }

    /// How long it is until the next tick.
    pub fn until_tick(&self) -> u64 {
        TICK - self.now % TICK
    }

    /// The process runs on another processor from now on: until the next tick, or until it ends, its
    /// CPU time does not show.
    pub fn run_unseen(&mut self, pid: Pid) {
        let task = &self.tasks[&pid];
        assert!(!task.zombie, "a process that ended does not run");
        let (life, used) = (task.life, task.used());
        if let Entry::Vacant(entry) = self.unseen.entry(pid) {
            entry.insert(used);
            self.log.push(Event::RunsUnseen { life });
        }
    }

    pub fn runs_unseen(&self, pid: Pid) -> bool {
        self.unseen.contains_key(&pid)
    }

    /// All CPU time of a process shows.
    fn show(&mut self, pid: Pid) {
        if let Some(shown) = self.unseen.remove(&pid) {
            let task = &self.tasks[&pid];
            self.hierarchy.charge(task.control_group, task.used().total() - shown.total());
            self.log.push(Event::Seen { life: task.life });
        }
    }

    /// The next pid is the first free one above this: /proc/sys/kernel/ns_last_pid.
    pub fn set_last_pid(&mut self, last: u32) {
        self.last_pid = last;
    }

    /// The newest pid, as `/proc/loadavg` shows it.
    pub fn last_pid(&self) -> u32 {
        self.last_pid
    }

    /// Returns the child's pid, or `None` if all are in use. The child has the name, user, control
    /// group and signal dispositions of its parent, and has not run yet.
    pub fn fork(&mut self, parent: Pid) -> Option<Pid> {
        self.act(parent);
        let pid = self.free_pid()?;
        self.last_pid = pid.number();
        self.bear(parent, pid);
        Some(pid)
    }

    /// As [`World::fork`], with a chosen pid, if that is free. It does not change the pid of the
    /// next child: clone3(2), `set_tid`.
    pub fn fork_with_pid(&mut self, parent: Pid, pid: Pid) -> Option<Pid> {
        self.act(parent);
        let is_free = self.is_free(pid);
        is_free.then(|| {
            self.bear(parent, pid);
            pid
        })
    }

    fn bear(&mut self, parent: Pid, pid: Pid) {
        let mother = &self.tasks[&parent];
        let comm = mother.comm;
        let life = self.lives;
        self.lives += 1;
        let event = Event::Forked { pid, parent: Some(mother.life), comm, now: self.now };
        let child = Task {
            life,
            parent,
            start: self.now,
            comm,
            user: mother.user,
            control_group: mother.control_group,
            utime: 0,
            stime: 0,
            cutime: 0,
            cstime: 0,
            zombie: false,
            ignores_sigchld: mother.ignores_sigchld,
            subreaper: false,
            apart: false,
            reaper: None,
        };
        self.log.push(event);
        self.pages.fork(self.tasks[&parent].life, life);
        self.tasks.insert(pid, child);
    }

    /// Pids are given out in a circle. None is given out again in the tick it was given back in:
    /// no machine forks through all its pids in a hundredth of a second.
    fn free_pid(&self) -> Option<Pid> {
        let first = if self.has_few_pids() { 2 } else { RESERVED };
        let above = self.last_pid + 1..=self.pid_max;
        above.chain(first..=self.pid_max).map(Pid::new).find(|&pid| self.is_free(pid))
    }

    fn is_free(&self, pid: Pid) -> bool {
        let tick = self.now / TICK;
        !self.tasks.contains_key(&pid) && self.freed.get(&pid).is_none_or(|&then| then < tick)
    }

    pub fn exec(&mut self, pid: Pid, comm: &'static str) {
        self.act(pid);
        let task = self.task(pid);
        task.comm = comm;
        let event = Event::Renamed { life: task.life, comm };
        self.log.push(event);
    }

    /// The process works that long, in microseconds.
    pub fn burn(&mut self, pid: Pid, user: u64, system: u64) {
        let task = self.task(pid);
        task.utime += user;
        task.stime += system;
        let path = task.control_group;
        let event = Event::Worked { life: task.life, user, system };
        self.log.push(event);
        if !self.runs_unseen(pid) {
            self.hierarchy.charge(path, user + system);
        }
        self.pass(user + system);
    }

    /// The process runs to do something.
    fn act(&mut self, pid: Pid) {
        self.burn(pid, 0, ACT);
    }

    /// The process runs as another user from now on: setuid(2).
    pub fn set_user(&mut self, pid: Pid, user: u32) {
        self.act(pid);
        let task = self.task(pid);
        task.user = user;
        let event = Event::UserSet { life: task.life, user };
        self.log.push(event);
    }

    /// Makes a control group, and those above it that do not exist.
    pub fn make_control_group(&mut self, path: &'static str) {
        for made in self.hierarchy.make(path) {
            self.log.push(Event::ControlGroupMade { path: made });
        }
    }

    /// Removes a control group, if neither a process nor another group is in it: rmdir(2), as
    /// cgroups(7) says. Zombies do not count.
    pub fn remove_control_group(&mut self, path: &'static str) {
        let is_used = self.tasks.values().any(|task| !task.zombie && task.control_group == path);
        if !is_used && self.hierarchy.remove(path) {
            self.log.push(Event::ControlGroupRemoved { path });
        }
    }

    /// Moves a process to a control group that exists. The process does not run for that.
    pub fn move_to(&mut self, pid: Pid, path: &'static str) {
        assert!(self.hierarchy.has(path), "{path}");
        let task = self.task(pid);
        task.control_group = path;
        let event = Event::Moved { life: task.life, to: path };
        self.log.push(event);
    }

    /// A process of another pid namespace starts in a control group.
    pub fn add_foreign(&mut self, path: &'static str) {
        self.hierarchy.add_foreign(path);
    }

    /// The processes of other pid namespaces in a control group work.
    pub fn burn_foreign(&mut self, path: &'static str, time: u64) {
        self.hierarchy.charge(path, time);
        self.log.push(Event::ForeignWorked { path, time });
        self.pass(time);
    }

    pub fn ignore_sigchld(&mut self, pid: Pid) {
        self.act(pid);
        self.task(pid).ignores_sigchld = true;
    }

    /// Another process adopts the children of `pid` when it ends: the first one of the pid namespace that
    /// `pid` has joined (setns(2); `find_new_reaper`, kernel/exit.c).
    pub fn set_reaper(&mut self, pid: Pid, reaper: Pid) {
        self.task(pid).reaper = Some(reaper);
    }

    pub fn set_subreaper(&mut self, pid: Pid) {
        self.act(pid);
        self.task(pid).subreaper = true;
    }

    /// The process runs to its end, also if it was killed. Its children go to the nearest subreaper
    /// above it (`find_new_reaper`, kernel/exit.c), those of them that had ended already with a word
    /// to their new parent. Neither the children nor the subreaper run for that.
    pub fn exit(&mut self, pid: Pid) {
        assert_ne!(pid, Pid::INIT, "init ends with the machine");
        self.act(pid);
        self.show(pid);
        self.record_exit(pid);
        let task = self.task(pid);
        task.zombie = true;
        let (life, mut reaper) = (task.life, task.reaper.unwrap_or(task.parent));
        let is_decided = task.reaper.is_some();
        self.log.push(Event::Ended { life });
        self.pages.release(life);
        while !is_decided && !self.tasks[&reaper].subreaper {
            reaper = self.tasks[&reaper].parent;
        }
        let by = self.tasks[&reaper].life;
        let orphans: Vec<Pid> =
            self.tasks.iter().filter(|(_, task)| task.parent == pid).map(|(&pid, _)| pid).collect();
        for orphan in orphans {
            let task = self.task(orphan);
            task.parent = reaper;
            let (life, zombie) = (task.life, task.zombie);
            self.log.push(Event::Adopted { life, by });
            if zombie {
                self.notify_parent(orphan);
            }
        }
        self.notify_parent(pid);
    }

    fn record_exit(&mut self, pid: Pid) {
        let task = &self.tasks[&pid];
        let used = CpuNanos(task.used().total() * 1000);
        self.exits.push(Exit {
            pid,
            parent: task.parent,
            start: BootNanos(task.start * 1000),
            user: Uid(task.user),
            comm: task.comm.as_bytes().into(),
            exe: None,
            used: Bounds { least: used, likely: used, most: used },
            is_process: true,
        });
    }

    /// A parent that ignores SIGCHLD never waits: the child goes, and its time with it. The parent
    /// does not run for that (`do_notify_parent`, kernel/signal.c). `init` always waits.
    fn notify_parent(&mut self, child: Pid) {
        let parent = self.tasks[&child].parent;
        if self.tasks[&parent].ignores_sigchld {
            let life = self.release(child).life;
            self.log.push(Event::Lost { life });
        } else if parent == Pid::INIT {
            self.wait(child);
        }
    }

    /// The parent of a zombie waits for it: `wait_task_zombie`, kernel/exit.c.
    pub fn wait(&mut self, child: Pid) {
        let zombie = &self.tasks[&child];
        assert!(zombie.zombie, "a process that runs cannot be waited for");
        self.act(zombie.parent);
        let child = self.release(child);
        let parent = self.task(child.parent);
        parent.cutime += child.utime + child.cutime;
        parent.cstime += child.stime + child.cstime;
        let event = Event::Waited { life: child.life, by: parent.life };
        self.log.push(event);
    }

    /// [`World::exit`] and, if it is still there to be waited for, [`World::wait`].
    pub fn exit_and_wait(&mut self, pid: Pid) {
        self.exit(pid);
        if self.tasks.contains_key(&pid) {
            self.wait(pid);
        }
    }

    fn release(&mut self, pid: Pid) -> Task {
        self.freed.insert(pid, self.now / TICK);
        self.tasks.remove(&pid).unwrap()
    }

    fn task(&mut self, pid: Pid) -> &mut Task {
        self.tasks.get_mut(&pid).unwrap()
    }

    /// What shows of the CPU time of a process.
    fn shown(&self, pid: Pid) -> Option<Used> {
        let task = self.tasks.get(&pid)?;
        Some(self.unseen.get(&pid).copied().unwrap_or_else(|| task.used()))
    }

    /// The CPU clock of a process (clock_getcpuclockid(3)). That of a zombie stands until it is
    /// waited for (`release_task`, kernel/exit.c, takes the pid from it). It can be read of every
    /// process, whether `/proc` shows it or not (`pid_for_clock`, kernel/time/posix-cpu-timers.c).
    pub fn clock(&self, pid: Pid) -> Option<CpuNanos> {
        Some(CpuNanos(self.shown(pid)?.total() * 1000))
    }

    /// What `/proc/PID/stat` shows.
    pub fn stat(&self, pid: Pid) -> Option<Stat<'static>> {
        let (task, shown) = (self.tasks.get(&pid)?, self.shown(pid)?);
        let ticks = |time: u64| Ticks(time / TICK);
        Some(Stat {
            comm: task.comm.as_bytes(),
            state: if task.zombie { b'Z' } else { b'S' },
            parent: task.parent,
            times: Amounts {
                own: ticks(shown.user) + ticks(shown.system),
                children: ticks(task.cutime) + ticks(task.cstime),
            },
            threads: 1,
            start: ticks(task.start),
        })
    }
}
