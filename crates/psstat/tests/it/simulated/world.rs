//! A kernel made up for tests: processes that fork, exec, work, end, are waited for, adopted and
//! have their pids given out again, as fork(2), exit(2), wait(2) and prctl(2) say.
//!
//! It owns what the kernel would show, and a log of what truly happened. CPU time is kept in
//! microseconds and cut to whole ticks only where it is read, each counter on its own, as in
//! fs/proc/array.c. One processor does all the work: time passes while a process works.

use psstat_core::kernel::{Clocks, Constants, Kernel, Wanted};
use psstat_core::model::births::{Births, PidRange};
use psstat_core::model::buffer::Buffer;
use psstat_core::model::control_group::ControlGroup;
use psstat_core::model::memory::Statm;
use psstat_core::model::pid_file::{PidFile, PidFileError};
use psstat_core::model::process::Stat;
use psstat_core::model::read_error::{ReadError, Reason};
use psstat_core::model::readings::Storage;
use psstat_core::model::snapshot::Part;
use psstat_core::model::units::{
    Amounts, BootNanos, Bytes, Count, Hz, Pid, ProcId, Ticks, Uid, WallNanos,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

/// Microseconds per tick.
pub const TICK: u64 = 10_000;
pub const HZ: Hz = Hz(1_000_000 / TICK);

/// Number of a life: counts up, and is never given out again as pids are.
pub type Life = usize;

/// What truly happened.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// Lives are numbered in the order of these. `init` has no parent.
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
    /// Gone, and its time with it: nobody waited.
    Lost {
        life: Life,
    },
}

/// What the kernel keeps of a process.
#[derive(Clone, Debug)]
struct Task {
    life: Life,
    parent: Pid,
    start: u64,
    comm: &'static str,
    utime: u64,
    stime: u64,
    cutime: u64,
    cstime: u64,
    zombie: bool,
    ignores_sigchld: bool,
    subreaper: bool,
    /// Nothing befalls it by chance.
    apart: bool,
}

/// Where the second round of numbers begins on a machine that has more: `RESERVED_PIDS`,
/// kernel/pid.c.
const RESERVED: u32 = 300;

#[derive(Debug)]
pub struct World {
    /// Microseconds since boot.
    now: u64,
    tasks: BTreeMap<Pid, Task>,
    pid_max: u32,
    last_pid: u32,
    /// The tick in which each pid was given back.
    freed: BTreeMap<Pid, u64>,
    /// How many processes there ever were.
    lives: Life,
    log: Vec<Event>,
}

impl World {
    /// A machine that has just booted, with nothing but `init` on it.
    pub fn new(pid_max: u32) -> World {
        let init = Task {
            life: 0,
            parent: Pid::NONE,
            start: 0,
            comm: "init",
            utime: 0,
            stime: 0,
            cutime: 0,
            cstime: 0,
            zombie: false,
            ignores_sigchld: false,
            subreaper: true,
            apart: false,
        };
        let (comm, now) = (init.comm, 100 * TICK);
        World {
            now,
            tasks: BTreeMap::from([(Pid::INIT, init)]),
            pid_max,
            last_pid: 1,
            freed: BTreeMap::new(),
            lives: 1,
            log: vec![Event::Forked { pid: Pid::INIT, parent: None, comm, now: 0 }],
        }
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

    fn pids_where(&self, holds: impl Fn(&Task) -> bool) -> Vec<Pid> {
        self.tasks.iter().filter(|(_, task)| holds(task)).map(|(&pid, _)| pid).collect()
    }

    /// How many processes there are, those that ended among them.
    pub fn population(&self) -> usize {
        self.tasks.len()
    }

    /// A bystander is there to be looked at; nothing is done by it or to it.
    pub fn set_apart(&mut self, pid: Pid, apart: bool) {
        self.task(pid).apart = apart;
    }

    pub fn idle(&mut self, time: u64) {
        self.now += time;
    }

    /// The next pid is the first free one above this: /proc/sys/kernel/ns_last_pid.
    pub fn set_last_pid(&mut self, last: u32) {
        self.last_pid = last;
    }

    /// The newest number, as `/proc/loadavg` shows it.
    pub fn last_pid(&self) -> u32 {
        self.last_pid
    }

    /// Gives the child's pid; none where all are in use. The child has its parent's name and
    /// signal dispositions.
    pub fn fork(&mut self, parent: Pid) -> Option<Pid> {
        let pid = self.free_pid()?;
        self.last_pid = pid.number();
        self.bear(parent, pid);
        Some(pid)
    }

    /// As [`World::fork`], on a pid of choice, if that is free; the next child gets the number
    /// that it would have got without: clone3(2), `set_tid`.
    pub fn fork_with_pid(&mut self, parent: Pid, pid: Pid) -> Option<Pid> {
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
            utime: 0,
            stime: 0,
            cutime: 0,
            cstime: 0,
            zombie: false,
            ignores_sigchld: mother.ignores_sigchld,
            subreaper: false,
            apart: false,
        };
        self.log.push(event);
        self.tasks.insert(pid, child);
    }

    /// Pids are given out in a circle. None is given out again in the tick it was given back in:
    /// no machine forks through all its pids in a hundredth of a second.
    fn free_pid(&self) -> Option<Pid> {
        let first = if self.pid_max > RESERVED { RESERVED } else { 2 };
        let above = self.last_pid + 1..=self.pid_max;
        above.chain(first..=self.pid_max).map(Pid::new).find(|&pid| self.is_free(pid))
    }

    fn is_free(&self, pid: Pid) -> bool {
        let tick = self.now / TICK;
        !self.tasks.contains_key(&pid) && self.freed.get(&pid).is_none_or(|&then| then < tick)
    }

    pub fn exec(&mut self, pid: Pid, comm: &'static str) {
        let task = self.task(pid);
        task.comm = comm;
        let event = Event::Renamed { life: task.life, comm };
        self.log.push(event);
    }

    pub fn burn(&mut self, pid: Pid, user: u64, system: u64) {
        let task = self.task(pid);
        task.utime += user;
        task.stime += system;
        let event = Event::Worked { life: task.life, user, system };
        self.log.push(event);
        self.now += user + system;
    }

    pub fn ignore_sigchld(&mut self, pid: Pid) {
        self.task(pid).ignores_sigchld = true;
    }

    pub fn set_subreaper(&mut self, pid: Pid) {
        self.task(pid).subreaper = true;
    }

    /// The process ends; its children go to the nearest subreaper above it (`find_new_reaper`,
    /// kernel/exit.c), those of them that had ended already with a word to their new parent.
    pub fn exit(&mut self, pid: Pid) {
        assert_ne!(pid, Pid::INIT, "init ends with the machine");
        let task = self.task(pid);
        task.zombie = true;
        let (life, mut reaper) = (task.life, task.parent);
        self.log.push(Event::Ended { life });
        while !self.tasks[&reaper].subreaper {
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

    /// A parent that ignores SIGCHLD never waits: the child goes, and its time with it. `init`
    /// always waits.
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
        assert!(self.tasks[&child].zombie, "a process that runs cannot be waited for");
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

    fn stat(&self, pid: Pid) -> Option<Stat<'static>> {
        let task = self.tasks.get(&pid)?;
        let ticks = |time: u64| Ticks(time / TICK);
        Some(Stat {
            comm: task.comm.as_bytes(),
            state: if task.zombie { b'Z' } else { b'S' },
            parent: task.parent,
            times: Amounts {
                own: ticks(task.utime) + ticks(task.stime),
                children: ticks(task.cutime) + ticks(task.cstime),
            },
            threads: 1,
            start: ticks(task.start),
        })
    }
}

/// What happens to the world while it is being read.
pub struct Interruption {
    /// After this many readings since the last interruption.
    pub after: usize,
    pub what: Box<dyn FnOnce(&mut World) + Send>,
}

impl Interruption {
    pub fn new(after: usize, what: impl FnOnce(&mut World) + Send + 'static) -> Interruption {
        Interruption { after, what: Box::new(what) }
    }
}

/// A world that psstat reads. Each reading shows one moment; between two readings anything may
/// happen.
pub struct Machine<'w> {
    reading: Mutex<Reading<'w>>,
    constants: Constants,
    /// How many threads read when all processes are read.
    readers: usize,
    /// Whether the kernel tells of births, so that not all processes must be read.
    tells_births: bool,
}

struct Reading<'w> {
    world: &'w mut World,
    interruptions: VecDeque<Interruption>,
    /// Readings since the last interruption.
    readings: usize,
}

impl<'w> Machine<'w> {
    /// A machine that is read on one thread and does not tell of births.
    pub fn new(world: &'w mut World, interruptions: Vec<Interruption>) -> Machine<'w> {
        let constants = Constants {
            hz: HZ,
            page_size: 4096,
            boot_id: b"simulated".to_vec(),
            proc_path: "/proc".to_owned(),
            sys_path: "/sys".to_owned(),
        };
        let reading = Reading { world, interruptions: interruptions.into(), readings: 0 };
        Machine { reading: Mutex::new(reading), constants, readers: 1, tells_births: false }
    }

    /// The same machine, read on that many threads.
    pub fn with_readers(self, readers: usize) -> Machine<'w> {
        Machine { readers, ..self }
    }

    /// The same machine, which tells of births if so asked.
    pub fn telling_births(self, tells_births: bool) -> Machine<'w> {
        Machine { tells_births, ..self }
    }
}

impl Reading<'_> {
    fn let_happen(&mut self) {
        while self.interruptions.front().is_some_and(|next| next.after <= self.readings) {
            if let Some(next) = self.interruptions.pop_front() {
                (next.what)(self.world);
                self.readings = 0;
            }
        }
    }
}

fn vanished(pid: Pid, name: &str) -> ReadError {
    ReadError { path: format!("{pid}/{name}"), reason: Reason::Vanished }
}

impl Kernel for Machine<'_> {
    fn constants(&self) -> &Constants {
        &self.constants
    }

    fn clocks(&self) -> Clocks {
        Clocks { boot: self.reading.lock().unwrap().world.now(), wall: WallNanos(0) }
    }

    fn out_of_time(&self) -> bool {
        false
    }

    fn is_genuine(&self) -> bool {
        true
    }

    fn own_pid(&self) -> Option<Pid> {
        None
    }

    fn pids(&self, pids: &mut Vec<Pid>) -> Result<Option<i64>, ReadError> {
        pids.clear();
        pids.extend(self.reading.lock().unwrap().world.tasks.keys());
        Ok(Some(0))
    }

    fn pids_from(
        &self,
        offset: i64,
        range: PidRange,
        limit: u64,
        pids: &mut Vec<Pid>,
    ) -> Result<(), ReadError> {
        assert_eq!(offset, 0, "the one that `pids` gave");
        let reading = self.reading.lock().unwrap();
        let some = reading.world.tasks.range(range.first..=range.last);
        pids.extend(some.map(|(pid, _)| pid).take(usize::try_from(limit).unwrap_or(usize::MAX)));
        Ok(())
    }

    fn births(&self, _: u64) -> Option<Births> {
        let reading = self.reading.lock().unwrap();
        let world = &reading.world;
        self.tells_births.then(|| Births {
            newest: Pid::new(world.last_pid),
            tasks: world.tasks.len() as u64,
            pid_max: world.pid_max.into(),
            forks: Some(world.lives as u64),
        })
    }

    fn stat<'b>(&self, pid: Pid, _: &'b mut Buffer) -> Result<Stat<'b>, ReadError> {
        let mut reading = self.reading.lock().unwrap();
        reading.let_happen();
        reading.readings += 1;
        reading.world.stat(pid).ok_or_else(|| vanished(pid, "stat"))
    }

    fn stats(&self, pids: &[Pid]) -> Vec<Part> {
        let share = pids.len().div_ceil(self.readers).max(1);
        std::thread::scope(|scope| {
            let read = |part| scope.spawn(move || self.stats_in_order(part));
            let threads: Vec<_> = pids.chunks(share).map(read).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    fn statm(&self, pid: Pid) -> Result<Statm, ReadError> {
        Err(vanished(pid, "statm"))
    }

    fn pss(&self, pid: Pid) -> Result<Bytes, ReadError> {
        Err(vanished(pid, "smaps_rollup"))
    }

    fn cmdline(&self, pid: Pid, _: &mut Vec<u8>) -> Result<(), ReadError> {
        Err(vanished(pid, "cmdline"))
    }

    fn exe(&self, pid: Pid) -> Result<Vec<u8>, ReadError> {
        Err(vanished(pid, "exe"))
    }

    fn effective_user(&self, pid: Pid) -> Result<Uid, ReadError> {
        Err(vanished(pid, "status"))
    }

    fn cgroup(&self, pid: Pid) -> Result<Vec<u8>, ReadError> {
        Err(vanished(pid, "cgroup"))
    }

    fn storage(&self, pid: Pid) -> Result<Storage, ReadError> {
        Err(vanished(pid, "io"))
    }

    fn major_faults(&self, id: ProcId) -> Result<Amounts<Count>, ReadError> {
        Err(vanished(id.pid, "stat"))
    }

    fn threads(&self, pid: Pid) -> Result<Vec<Pid>, ReadError> {
        Err(vanished(pid, "task"))
    }

    fn switches(&self, pid: Pid, _: Pid) -> Result<Count, ReadError> {
        Err(vanished(pid, "task"))
    }

    fn open_files(&self, pid: Pid) -> Result<u64, ReadError> {
        Err(vanished(pid, "fd"))
    }

    fn control_groups(&self, _: Wanted<'_>) -> Option<Vec<ControlGroup>> {
        None
    }

    fn pid_file(&self, _: &[u8]) -> Result<PidFile, PidFileError> {
        Err(PidFileError::NotFound)
    }

    fn mem_total(&self) -> Result<Bytes, ReadError> {
        Err(ReadError { path: "meminfo".to_owned(), reason: Reason::Missing })
    }

    fn processors_online(&self) -> Option<u64> {
        None
    }

    fn hold(&mut self, _: &[Pid]) {}
}
