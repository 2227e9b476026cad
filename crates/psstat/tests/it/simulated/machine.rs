//! The simulated kernel as psstat sees it: [`Kernel`], implemented by a [`World`].
//!
//! Each reading shows the world at one moment. Between two readings anything may happen.
//!
//! What a process does besides using CPU time follows from its CPU time, so that the log of the
//! world tells it too: it reads a byte from storage in each microsecond of user time and writes one
//! in each microsecond of system time, and it has a page fault and a context switch in each
//! microsecond. Its memory and open files follow from its number.

use super::access::File;
use super::pages::PAGE;
use super::world::{HZ, Life, TICK, Task, World};
use psstat_core::kernel::{Clocks, Constants, Kernel, Wanted};
use psstat_core::model::births::{Births, PidRange};
use psstat_core::model::buffer::Buffer;
use psstat_core::model::control_group::Hierarchy;
use psstat_core::model::exit::{Bounds, Exit, Exits};
use psstat_core::model::memory::{MachineMemory, MemoryAccount, Proportional, Split, Statm};
use psstat_core::model::pid_file::{PidFile, PidFileError};
use psstat_core::model::process::Stat;
use psstat_core::model::read_error::{ReadError, Reason};
use psstat_core::model::readings::Storage;
use psstat_core::model::snapshot::Part;
use psstat_core::model::units::{
    Amounts, Bytes, Count, CpuNanos, Pages, Pid, ProcId, Uid, WallNanos,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// How a world is read.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How many threads read when all processes are read.
    pub readers: usize,
    /// Whether the kernel tells of births, so that not all processes must be read.
    pub tells_births: bool,
    /// Whether CPU clocks of processes can be read.
    pub has_clocks: bool,
    /// After how many readings the time is up.
    pub time: usize,
    /// Whether the CPU clock of a process and its `stat` are one reading. Then nothing happens
    /// between them, and as much is read with clocks as without.
    pub counts_processes: bool,
    /// Whether the memory of control groups is accounted.
    pub accounts_memory: bool,
    /// What becomes of exit records.
    pub records: Records,
}

/// What becomes of exit records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Records {
    /// There are none.
    Off,
    /// Each comes once.
    Once,
    /// Each comes twice.
    Twice,
    /// The last ones come a sample late: that many.
    Late(usize),
    /// One in that many is lost, and the kernel says so.
    Lost(usize),
    /// Each says up to so many microseconds less than was used, and allows for two ticks more.
    Behind(u64),
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            readers: 1,
            tells_births: false,
            has_clocks: true,
            time: usize::MAX,
            counts_processes: false,
            accounts_memory: false,
            records: Records::Off,
        }
    }
}

/// A world that psstat reads.
pub struct Machine<'w> {
    state: Mutex<State<'w>>,
    constants: Constants,
    setup: Setup,
    /// Whether the list of all processes was read.
    listed_all: AtomicBool,
}

struct State<'w> {
    world: &'w mut World,
    interruptions: VecDeque<Interruption>,
    /// Readings since the last interruption.
    readings: usize,
    /// Readings in all.
    total: usize,
    /// The process whose CPU clock was the last reading.
    clock_of: Option<Pid>,
}

impl State<'_> {
    /// Counts a reading. What is to happen before it happens.
    fn count_reading(&mut self) -> &World {
        while self.interruptions.front().is_some_and(|next| next.after <= self.readings) {
            if let Some(next) = self.interruptions.pop_front() {
                (next.what)(self.world);
                self.readings = 0;
            }
        }
        self.readings += 1;
        self.total += 1;
        self.world
    }
}

/// Resident and shared pages of the process with that number.
pub fn memory_of(life: Life) -> Statm {
    let number = life as u64;
    Statm { resident: Pages(100 + number % 7), shared: Pages(20 + number % 3) }
}

/// Open files of the process with that number.
pub fn open_files_of(life: Life) -> u64 {
    3 + life as u64 % 5
}

impl<'w> Machine<'w> {
    pub fn new(world: &'w mut World, interruptions: Vec<Interruption>, setup: Setup) -> Self {
        let constants = Constants {
            hz: HZ,
            page_size: 4096,
            clocks_show_runs: true,
            boot_id: Some(b"simulated".to_vec()),
            proc_path: "/proc".to_owned(),
            sys_path: "/sys".to_owned(),
        };
        let interruptions = interruptions.into();
        let state =
            Mutex::new(State { world, interruptions, readings: 0, total: 0, clock_of: None });
        Machine { state, constants, setup, listed_all: AtomicBool::new(false) }
    }

    /// Whether the list of all processes was read.
    pub fn has_listed_all(&self) -> bool {
        self.listed_all.load(Ordering::Relaxed)
    }

    fn with_world<T>(&self, read: impl FnOnce(&World) -> T) -> T {
        read(self.state.lock().unwrap().world)
    }

    /// Reads a file of a process.
    fn read<T>(
        &self,
        pid: Pid,
        file: File,
        read: impl FnOnce(&World, &Task) -> T,
    ) -> Result<T, ReadError> {
        let error = |reason| ReadError { path: format!("/proc/{pid}/{}", file.name()), reason };
        let mut state = self.state.lock().unwrap();
        let is_counted = self.setup.counts_processes && state.clock_of.take() == Some(pid);
        let world = if is_counted { &*state.world } else { state.count_reading() };
        let task = world.tasks().get(&pid).filter(|task| world.access.shows(task));
        let task = task.ok_or_else(|| error(Reason::Vanished))?;
        if world.access.denies(task, file) {
            return Err(error(Reason::Denied));
        }
        if world.access.blocks(task, file) {
            return Err(error(Reason::NoAnswer));
        }
        Ok(read(world, task))
    }

    /// Reads a file that a zombie does not have.
    fn read_living<T>(
        &self,
        pid: Pid,
        file: File,
        read: impl FnOnce(&Task) -> T,
    ) -> Result<T, ReadError> {
        let read = |_: &World, task: &Task| (!task.zombie).then(|| read(task));
        let path = format!("/proc/{pid}/{}", file.name());
        self.read(pid, file, read)?.ok_or(ReadError { path, reason: Reason::Vanished })
    }
}

impl Kernel for Machine<'_> {
    fn constants(&self) -> &Constants {
        &self.constants
    }

    fn clocks(&self) -> Clocks {
        let boot = self.with_world(World::now);
        Clocks { boot, wall: WallNanos(boot.0.try_into().unwrap()) }
    }

    fn out_of_time(&self) -> bool {
        self.state.lock().unwrap().total >= self.setup.time
    }

    fn is_genuine(&self) -> bool {
        true
    }

    fn find_user(&self, _: &str) -> Option<Uid> {
        None
    }

    fn is_contained(&self) -> bool {
        false
    }

    fn own_line(&self) -> Vec<ProcId> {
        Vec::new()
    }

    fn is_psstat(&self, pid: Pid) -> Result<bool, ReadError> {
        self.exe(pid).map(|path| path == b"/bin/psstat")
    }

    fn pids(&self, pids: &mut Vec<Pid>) -> Result<Option<i64>, ReadError> {
        self.listed_all.store(true, Ordering::Relaxed);
        pids.clear();
        self.pids_from(0, PidRange { first: Pid::INIT, last: Pid::MAX }, u64::MAX, pids)?;
        Ok(Some(0))
    }

    fn pids_from(
        &self,
        offset: i64,
        range: PidRange,
        limit: u64,
        pids: &mut Vec<Pid>,
    ) -> Result<(), ReadError> {
        assert_eq!(offset, 0, "the one that `pids` returned");
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.with_world(|world| {
            let in_range = world.tasks().range(range.first..=range.last);
            let shown = in_range.filter(|(_, task)| world.access.shows(task));
            pids.extend(shown.map(|(pid, _)| pid).take(limit));
        });
        Ok(())
    }

    fn births(&self, _: u64) -> Option<Births> {
        self.setup.tells_births.then(|| {
            self.with_world(|world| Births {
                newest: Pid::new(world.last_pid()),
                tasks: world.population() as u64,
                // psstat takes the pids from 301 on for a round. So few pids are moved there.
                pid_max: u64::from(world.pid_max() + if world.has_few_pids() { 299 } else { 0 }),
                forks: Some(world.lives() as u64),
            })
        })
    }

    fn stat<'b>(&self, pid: Pid, _: &'b mut Buffer) -> Result<Stat<'b>, ReadError> {
        self.read(pid, File::Stat, |world, _| world.stat(pid).unwrap())
    }

    fn processes(&self, pids: &[Pid], with_clocks: bool) -> Vec<Part> {
        let share = pids.len().div_ceil(self.setup.readers).max(1);
        std::thread::scope(|scope| {
            let read = |part| scope.spawn(move || self.processes_in_order(part, with_clocks));
            let threads: Vec<_> = pids.chunks(share).map(read).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    fn cpu_clock(&self, pid: Pid) -> Option<CpuNanos> {
        if !self.setup.has_clocks && !self.setup.counts_processes {
            return None;
        }
        let mut state = self.state.lock().unwrap();
        state.count_reading();
        state.clock_of = Some(pid);
        if self.setup.has_clocks { state.world.clock(pid) } else { None }
    }

    fn first_thread_time(&self, _: Pid) -> Option<CpuNanos> {
        None
    }

    fn statm(&self, pid: Pid) -> Result<Statm, ReadError> {
        self.read(pid, File::Statm, |world, task| {
            if task.zombie {
                return Statm::default();
            }
            let Statm { resident, shared } = memory_of(task.life);
            let pages = world.pages.of(task.life).len() as u64 * (PAGE / 4096);
            Statm { resident: Pages(resident.0 + pages), shared }
        })
    }

    fn proportional(&self, pid: Pid) -> Result<Proportional, ReadError> {
        let denied =
            ReadError { path: format!("/proc/{pid}/smaps_rollup"), reason: Reason::Denied };
        self.read(pid, File::Statm, |world, task| {
            world.rollups.set(world.rollups.get() + 1);
            if world.access.hides_rollups {
                return Err(denied);
            }
            if world.access.fails_rollups {
                return Err(ReadError { reason: Reason::Failed(String::new()), ..denied });
            }
            let statm = memory_of(task.life);
            let [own, mapped] = [statm.anonymous(), statm.mapped()].map(|pages| pages.bytes(4096));
            let mut split = Split { anonymous: own, mapped, ..Split::default() };
            for page in world.pages.of(task.life) {
                let mappers = world.pages.mappers(page) as u64;
                split.anonymous += Bytes(PAGE / mappers);
                if mappers > 1 {
                    split.anonymous_shared += Bytes(PAGE / mappers);
                    split.anonymous_shared_whole += Bytes(PAGE);
                }
            }
            let total = split.anonymous + mapped;
            Ok(Proportional { total, split: Some(split), ..Proportional::default() })
        })?
    }

    fn huge_pages(&self, pid: Pid) -> Result<Bytes, ReadError> {
        self.read_living(pid, File::Statm, |_| Bytes(0))
    }

    fn swap(&self, pid: Pid) -> Result<Bytes, ReadError> {
        self.read_living(pid, File::Status, |task| Bytes(4096 * (task.life as u64 % 5)))
    }

    fn memory_path(&self, pid: Pid) -> Result<Option<Vec<u8>>, ReadError> {
        let is_accounted = self.setup.accounts_memory;
        self.read(pid, File::ControlGroup, |_, task| {
            is_accounted.then(|| task.control_group.as_bytes().to_vec())
        })
    }

    /// The controller is enabled for units.
    fn accounted_by(&self, path: &[u8]) -> Option<Vec<u8>> {
        path.split(|&byte| byte == b'/').next().map(<[u8]>::to_vec)
    }

    fn memory_account(
        &self,
        path: &[u8],
        left: &mut usize,
        visit: &mut dyn FnMut(Option<Pid>) -> bool,
    ) -> Result<Option<MemoryAccount>, ReadError> {
        *left = left.saturating_sub(1);
        let is_inside = |other: &str| {
            let rest = other.as_bytes().strip_prefix(path);
            rest.is_some_and(|rest| path.is_empty() || rest.is_empty() || rest[0] == b'/')
        };
        let (pids, account) = self.with_world(|world| {
            let inside = world.tasks().iter();
            let inside: Vec<(&Pid, &Task)> =
                inside.filter(|(_, task)| !task.zombie && is_inside(task.control_group)).collect();
            let own = |task: &Task| memory_of(task.life).anonymous().bytes(4096).0;
            let own: u64 = inside.iter().map(|(_, task)| own(task)).sum();
            let anonymous = Bytes(world.pages.charged_to(is_inside) * PAGE + own);
            let pids: Vec<Pid> = inside.into_iter().map(|(&pid, _)| pid).collect();
            (pids, MemoryAccount { anonymous, mapped: Bytes(0) })
        });
        let is_whole = pids.into_iter().all(|pid| visit(Some(pid)));
        Ok(is_whole.then_some(account))
    }

    fn cmdline(&self, pid: Pid, line: &mut Vec<u8>) -> Result<(), ReadError> {
        line.clear();
        let text = self.read(pid, File::Cmdline, |_, task| {
            if task.zombie { String::new() } else { format!("{} --run", task.comm) }
        })?;
        line.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn exe(&self, pid: Pid) -> Result<Vec<u8>, ReadError> {
        self.read_living(pid, File::Exe, |task| format!("/bin/{}", task.comm).into_bytes())
    }

    fn effective_user(&self, pid: Pid) -> Result<Uid, ReadError> {
        self.read(pid, File::User, |_, task| Uid(task.user))
    }

    fn cgroup(&self, pid: Pid) -> Result<Vec<u8>, ReadError> {
        self.read(pid, File::ControlGroup, |world, task| {
            let deleted = if world.hierarchy().has(task.control_group) { "" } else { " (deleted)" };
            format!("0::/{}{deleted}\n", task.control_group).into_bytes()
        })
    }

    fn storage(&self, pid: Pid) -> Result<Storage, ReadError> {
        self.read(pid, File::Storage, |_, task| Storage {
            read: Count(task.utime + task.cutime),
            written: Count(task.stime + task.cstime),
        })
    }

    fn major_faults(&self, id: ProcId) -> Result<Amounts<Count>, ReadError> {
        self.read(id.pid, File::Faults, |_, task| Amounts {
            own: Count(task.utime + task.stime),
            children: Count(task.cutime + task.cstime),
        })
    }

    fn threads(&self, pid: Pid) -> Result<Vec<Pid>, ReadError> {
        self.read(pid, File::Switches, |_, _| vec![pid])
    }

    fn switches(&self, pid: Pid, _: Pid) -> Result<Count, ReadError> {
        self.read(pid, File::Switches, |_, task| Count(task.utime + task.stime))
    }

    fn open_files(&self, pid: Pid) -> Result<u64, ReadError> {
        self.read_living(pid, File::OpenFiles, |task| open_files_of(task.life))
    }

    fn control_groups(&self, wanted: Wanted<'_>) -> Option<Hierarchy> {
        let mut state = self.state.lock().unwrap();
        let world = state.count_reading();
        let mut members: BTreeMap<&'static str, Vec<Pid>> = BTreeMap::new();
        // A zombie is not in `cgroup.procs` (cgroup-v2.rst).
        for (&pid, task) in world.tasks().iter().filter(|(_, task)| !task.zombie) {
            members.entry(task.control_group).or_default().push(pid);
        }
        (!world.access.hides_hierarchy).then(|| {
            let groups = world.hierarchy().walk(wanted, &members);
            Hierarchy { groups, has_units: true, ..Hierarchy::default() }
        })
    }

    fn pid_files(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, PidFileError> {
        let Some(start) = path.strip_suffix(b"*") else { return Ok(vec![path.to_vec()]) };
        self.with_world(|world| {
            let paths = world.pid_files.keys().map(|path| path.as_bytes().to_vec());
            Ok(paths.filter(|path| path.starts_with(start)).collect())
        })
    }

    fn pid_file(&self, path: &[u8]) -> Result<PidFile, PidFileError> {
        self.with_world(|world| {
            let file = world.pid_files.iter().find(|(known, _)| known.as_bytes() == path);
            file.map_or(Err(PidFileError::NotFound), |(_, file)| file.clone())
        })
    }

    fn machine_memory(&self) -> Result<MachineMemory, ReadError> {
        let denied = ReadError { path: "/proc/meminfo".to_owned(), reason: Reason::Denied };
        let memory = MachineMemory { total: Bytes(1 << 36), huge_in_use: Bytes(0) };
        self.with_world(|world| (!world.access.hides_memory).then_some(memory).ok_or(denied))
    }

    fn processors_online(&self) -> Option<u64> {
        None
    }

    fn to_ask_again(&self) -> Vec<Pid> {
        self.with_world(|world| {
            let access = &world.access;
            let is_one = |life| access.silent.contains(life) || access.answered.contains(life);
            let tasks = world.tasks().iter().filter(|(_, task)| is_one(&task.life));
            tasks.map(|(&pid, _)| pid).collect()
        })
    }

    fn exits(&self, from: u64) -> Option<Exits> {
        let mut state = self.state.lock().unwrap();
        let all = state.count_reading().exits();
        let from = usize::try_from(from).unwrap();
        let behind = |(at, exit): (usize, &Exit), most: u64| {
            let used = exit.used.least;
            let least = used.0.saturating_sub((at as u64 * 7919 % (most + 1)) * 1000);
            let (least, likely) = (CpuNanos(least), CpuNanos(least));
            let most = used + CpuNanos(2 * TICK * 1000);
            Exit { used: Bounds { least, likely, most }, ..exit.clone() }
        };
        // The numbers of records are places among those that come.
        let (list, losses): (Vec<Exit>, usize) = match self.setup.records {
            Records::Off => return None,
            Records::Once => (all.to_vec(), 0),
            Records::Twice => {
                (all.iter().flat_map(|exit| [exit.clone(), exit.clone()]).collect(), 0)
            }
            Records::Late(count) => {
                (all[..all.len().saturating_sub(count).max(from.min(all.len()))].to_vec(), 0)
            }
            Records::Lost(of) => {
                let comes = |&(at, _): &(usize, &Exit)| at % of != 0;
                let list = all.iter().enumerate().filter(comes).map(|(_, exit)| exit.clone());
                (list.collect(), all.len().div_ceil(of))
            }
            Records::Behind(most) => {
                (all.iter().enumerate().map(|one| behind(one, most)).collect(), 0)
            }
        };
        let next = list.len() as u64;
        Some(Exits { list: list[from..].to_vec(), next, losses: losses as u64 })
    }

    fn hold(&mut self, _: &[Pid]) {}
}
