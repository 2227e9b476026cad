//! A plan, and what a machine shows in a few samples. The machine need not be a true one: processes can be
//! their own parents, counters can fall, and names can hold any bytes. What is printed must be sound all
//! the same.

use super::bytes::Bytes;
use super::output::{check_message, check_names, check_printed};
use super::state::{check_round_trip, with_header};
use psstat::settings::TagList;
use psstat_core::discovery::control_groups;
use psstat_core::engine::{Engine, Sample};
use psstat_core::field::{Field, Fields};
use psstat_core::kernel::{Clocks, Constants, Kernel, Wanted};
use psstat_core::model::births::{Births, PidRange};
use psstat_core::model::buffer::Buffer;
use psstat_core::model::control_group::{Hierarchy, UnreadDirectory};
use psstat_core::model::exit::{Bounds, Exit, Exits, FileId};
use psstat_core::model::label::Label;
use psstat_core::model::memory::{
    MachineMemory, MemoryAccount, MemoryMode, Proportional, Split, Statm,
};
use psstat_core::model::pid_file::{PidFile, PidFileError};
use psstat_core::model::process::Stat;
use psstat_core::model::read_error::{ReadError, Reason};
use psstat_core::model::readings::Storage;
use psstat_core::model::units::{
    Amounts, BootNanos, Bytes as Size, Count, CpuNanos, Hz, Pages, Pid, ProcId, Ticks, Uid,
    WallNanos,
};
use psstat_core::plan::{Options, Plan};
use psstat_core::select::selector::{Conditions, Naming, PathPattern, Selector, Source, User};
use psstat_core::select::template::Bound;
use psstat_core::state::{State, codec};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

/// The samples of one input, at most.
const SAMPLES: usize = 8;

/// The last moment that a clock shows. An encoded state has no place for the one after it, 584 years after
/// the process has started.
const LAST_CLOCK: u64 = u64::MAX - 1;

/// The control groups of the machine.
const PATHS: [&str; 7] = [
    "",
    "system.slice",
    "system.slice/a.service",
    "system.slice/a.service/below",
    "system.slice/\\x\"y,z= .service",
    "user.slice/user-1.slice/user@1.service/app.slice/b.service",
    "docker/\u{1f400}",
];

/// Takes samples of a machine. Returns whether there was a report.
pub fn check(bytes: &[u8]) -> bool {
    let mut bytes = Bytes(bytes);
    let Some(plan) = plan(&mut bytes) else { return false };
    let mut engine = Engine::new(Machine::new(&mut bytes), plan);
    let is_resident = bytes.one_in(2);
    if is_resident {
        engine = engine.resident();
        // Only a resident program asks for them.
        engine.kernel_mut().exits = bytes.one_in(2).then(Exits::default);
    }
    let mut state: Option<State> = None;
    let mut has_report = false;
    for _ in 0..SAMPLES {
        let living = engine.kernel_mut().go_on(&mut bytes);
        if let Ok(sample) = engine.sample(state.as_ref()) {
            let living = living + engine.kernel().added.get();
            check_sample(&sample, engine.plan(), living);
            has_report |= !sample.reports.is_empty();
            state = Some(if is_resident { sample.state } else { kept(&sample.state, &mut bytes) });
        }
        if bytes.is_empty() {
            break;
        }
    }
    has_report
}

fn check_sample(sample: &Sample, plan: &Plan, living: u64) {
    let selectors = plan.selectors.as_slice().to_vec();
    let options = Options {
        tags: plan.tags.first().cloned().unwrap_or_default(),
        memory: plan.memory,
        fields: plan.fields.clone(),
        format: plan.format,
        sort: plan.sort,
        is_exclusive: plan.is_exclusive(),
        // Its selector is there already.
        rest: None,
    };
    let mut plan = Plan::new(selectors, options).expect("it was made before");
    check_printed(&mut plan, sample, living);
    check_names(sample);
    check_round_trip(&sample.state);
    for warning in sample.diagnostics.iter() {
        check_message(&warning.to_string());
        check_message(&warning.key());
    }
    for group in &sample.groups {
        for member in 0..sample.snapshot.processes.len() {
            let is_member = sample.membership.is_member(member, group.index);
            let has_reason = sample.reason(group, member).is_some();
            assert_eq!(is_member, has_reason, "{member} in {group:?}");
        }
    }
}

/// The state as the next run finds it, with a few bytes changed in some inputs.
fn kept(state: &State, bytes: &mut Bytes<'_>) -> State {
    let encoded = codec::encode(state);
    let header = with_header(&[]).len();
    let mut changed = encoded[header..].to_vec();
    if bytes.one_in(8) && !changed.is_empty() {
        for _ in 0..=bytes.below(4) {
            let index = (bytes.below(256) << 8 | bytes.below(256)) % changed.len();
            changed[index] = bytes.byte();
        }
    }
    let changed = codec::decode(&with_header(&changed));
    changed.unwrap_or_else(|_| codec::decode(&encoded).expect("what was encoded is decoded"))
}

/// At least one selector, tags and fields. `None` if a pattern is refused.
fn plan(bytes: &mut Bytes<'_>) -> Option<Plan> {
    let count = 1 + bytes.below(4);
    let mut selectors: Vec<Selector> = (0..count).map(|_| selector(bytes)).collect();
    for selector in &mut selectors {
        if selector.takes_control_groups() {
            selector.children = true;
        }
    }
    let fields: Vec<Field> = match bytes.below(4) {
        0 => Field::DEFAULT.to_vec(),
        1 => Field::all().filter(|_| bytes.one_in(2)).collect(),
        _ => Field::all().collect(),
    };
    let options = Options {
        tags: tags(bytes),
        memory: bytes.choose(&MemoryMode::ALL),
        fields: Fields::new(fields),
        is_exclusive: bytes.one_in(4),
        rest: if bytes.one_in(4) { Label::new(b"other") } else { None },
        ..Options::default()
    };
    Plan::new(selectors, options).ok()
}

fn tags(bytes: &mut Bytes<'_>) -> Vec<(Label, Label)> {
    let mut list = TagList::default();
    for _ in 0..bytes.below(3) {
        // A tag that psstat refuses is left out.
        let _ = list.push(bytes.text(8), bytes.text(8));
    }
    list.into_pairs()
}

fn selector(bytes: &mut Bytes<'_>) -> Selector {
    let naming = match bytes.below(4) {
        0 => Naming::Own,
        1 => template(bytes),
        _ => Label::new(bytes.text(6)).into(),
    };
    let source = match bytes.below(8) {
        0 => Source::Pid(Pid::new(1 + bytes.below(20) as u32)),
        1 => Source::PidFile(b"/run/a.pid".to_vec()),
        2 => Source::Unit(bytes.choose(&["*", "a.service", "*.slice", "b*"]).to_owned()),
        3 => Source::ControlGroup(path(bytes, &["*", "", "system.slice", "docker/*"])),
        _ => Source::All,
    };
    let mut conditions = Conditions::default();
    if source == Source::All || bytes.one_in(4) {
        match bytes.below(6) {
            0 => conditions.cmdline = Some("a".to_owned()),
            1 => conditions.exe = Some(path(bytes, &["*a*", ".a"])),
            2 => conditions.user = Some(User::Id(Uid(bytes.below(3) as u32))),
            3 => conditions.user = Some(User::named("named")),
            4 => conditions.pattern = Some(".*".to_owned()),
            _ => conditions.pattern = Some("^a|b".to_owned()),
        }
    }
    let tags = tags(bytes);
    let children = !bytes.one_in(4);
    let fields = bytes.one_in(8).then(|| Fields::new(Field::all().filter(|_| bytes.one_in(3))));
    Selector { naming, source, conditions, children, tags, fields, place: None }
}

/// A glob or a regex.
fn path(bytes: &mut Bytes<'_>, globs: &[&'static str]) -> PathPattern {
    if bytes.one_in(3) {
        PathPattern::Regex("(?P<first>[a-z]+)/?".to_owned())
    } else {
        PathPattern::Glob(bytes.choose(globs).to_owned())
    }
}

/// A name with placeholders. Some plans have no such, and are refused.
fn template(bytes: &mut Bytes<'_>) -> Naming {
    let texts = ["{comm}", "x-{user}", "{unit}{instance}", "{cgroup}", "{first}", "a{exe}"];
    let bound = Bound { max_groups: 1 + bytes.below(3), ..Bound::default() };
    Naming::parse(bytes.choose(&texts), bound).unwrap_or_default()
}

/// A record: of a process that is there, of one that was never seen, or of any.
fn exit(bytes: &mut Bytes<'_>, processes: &mut BTreeMap<Pid, Process>, now: BootNanos) -> Exit {
    let kind = bytes.byte();
    let pid = match kind % 4 {
        0 => Pid::new(1 + bytes.number() as u32 % Pid::MAX.number()),
        _ => Pid::new(1 + bytes.below(40) as u32),
    };
    let known = if kind & 4 == 0 { processes.remove(&pid) } else { processes.get(&pid).cloned() };
    let process = known.unwrap_or_default();
    let start = match kind >> 3 & 3 {
        0 => BootNanos(bytes.number()),
        1 => BootNanos(now.0.saturating_sub(bytes.number() >> 24)),
        _ => BootNanos(process.start.saturating_mul(10_000_000)),
    };
    let parent = if kind & 32 == 0 { process.parent } else { Pid::new(bytes.below(40) as u32) };
    let comm = if kind & 64 == 0 { process.comm } else { bytes.text(16).to_vec() };
    let least = bytes.number();
    let likely = least.saturating_add(bytes.number() >> 40);
    let most = likely.saturating_add(bytes.number() >> 40);
    let [least, likely, most] = [least, likely, most].map(CpuNanos);
    Exit {
        pid,
        parent,
        start,
        user: Uid(process.user),
        comm: comm.into(),
        exe: bytes.one_in(3).then(|| FileId { device: 1, inode: u64::from(bytes.byte()) }),
        used: Bounds { least, likely, most },
        is_process: kind & 128 == 0,
    }
}

#[derive(Clone, Debug, Default)]
struct Process {
    comm: Vec<u8>,
    is_zombie: bool,
    parent: Pid,
    own: u64,
    children: u64,
    threads: u64,
    start: u64,
    clock: Option<u64>,
    resident: u64,
    shared: u64,
    user: u32,
    control_group: usize,
    counted: u64,
    /// The files that cannot be read, as bits, and why.
    refused: u8,
    why: u8,
}

/// Something that happens to a process, or a process that comes.
#[derive(Clone, Debug)]
struct Change {
    pid: Pid,
    kind: u8,
    number: u64,
    text: Vec<u8>,
}

impl Change {
    fn new(bytes: &mut Bytes<'_>) -> Change {
        let pid = match bytes.below(8) {
            0 => 1 + bytes.number() as u32 % Pid::MAX.number(),
            _ => 1 + bytes.below(24) as u32,
        };
        let kind = bytes.byte();
        let number = bytes.number();
        let text = if matches!(kind % 16, 0 | 1) { bytes.text(16) } else { b"" };
        Change { pid: Pid::new(pid), kind, number, text: text.to_vec() }
    }

    /// Returns how many processes have come.
    fn apply(self, processes: &mut BTreeMap<Pid, Process>) -> u64 {
        let Change { pid, kind, number, text } = self;
        let Some(process) = processes.get_mut(&pid).filter(|_| kind % 16 != 0) else {
            let born = Process {
                comm: text,
                parent: Pid::new(1 + u32::from(kind >> 4)),
                start: number,
                clock: (kind < 128).then_some(number >> 8),
                threads: 1,
                resident: 10,
                shared: 3,
                ..Process::default()
            };
            processes.insert(pid, born);
            return 1;
        };
        match kind % 16 {
            1 => process.comm = text,
            2 if kind < 32 => process.parent = Pid::new(number as u32 % (Pid::MAX.number() + 1)),
            2 => process.parent = Pid::new(number as u32 % 32),
            3 | 4 => {
                process.own = process.own.saturating_add(number >> 8);
                let later = |clock: u64| clock.saturating_add(number).min(LAST_CLOCK);
                process.clock = process.clock.map(later);
            }
            5 => process.own = number,
            6 => process.children = process.children.saturating_add(number),
            7 => process.children = number,
            8 => process.clock = Some(number.min(LAST_CLOCK)),
            9 => process.is_zombie = !process.is_zombie,
            10 => process.control_group = number as usize % PATHS.len(),
            11 => (process.refused, process.why) = (number as u8, kind >> 4),
            12 => process.user = number as u32 % 3,
            13 => (process.resident, process.shared) = (number, number.rotate_left(7)),
            14 => (process.threads, process.counted) = (number >> 4, number),
            _ => {
                processes.remove(&pid);
            }
        }
        0
    }
}

/// A machine whose files show whatever the bytes say.
struct Machine {
    constants: Constants,
    clocks: Clocks,
    processes: RefCell<BTreeMap<Pid, Process>>,
    /// What happens during the next sample, and after how many readings.
    changes: RefCell<VecDeque<(u8, Change)>>,
    readings: Cell<u8>,
    /// How many processes have come during the sample.
    added: Cell<u64>,
    /// After how many readings the time is up.
    time: Cell<u32>,
    births: Option<Births>,
    offset: Option<i64>,
    has_clocks: bool,
    memory: Option<u64>,
    pid_file: Result<PidFile, PidFileError>,
    has_hierarchy: bool,
    /// A number from which the counters of control groups are made.
    counters: u64,
    foreign: u64,
    own_line: Vec<ProcId>,
    /// The exit records that have come, true or not, and how often some were lost. `None` if the kernel is not
    /// asked for any.
    exits: Option<Exits>,
    /// How many pid files there are, if one is named by a glob.
    pid_files: usize,
}

const FAR: BootNanos = BootNanos(1_000_000_000_000);

impl Machine {
    fn new(bytes: &mut Bytes<'_>) -> Machine {
        let constants = Constants {
            hz: Hz(bytes.choose(&[100, 100, 250, 1000, 1, 1024])),
            page_size: bytes.choose(&[4096, 65536]),
            clocks_show_runs: bytes.one_in(2),
            boot_id: (!bytes.one_in(4)).then(|| b"boot".to_vec()),
            proc_path: "/proc".to_owned(),
            sys_path: "/sys".to_owned(),
        };
        let init =
            Process { comm: b"init".to_vec(), threads: 1, clock: Some(5), ..Process::default() };
        Machine {
            constants,
            clocks: Clocks { boot: FAR, wall: WallNanos(1_562_471_764_000_000_000) },
            processes: RefCell::new(BTreeMap::from([(Pid::INIT, init)])),
            changes: RefCell::default(),
            readings: Cell::new(0),
            added: Cell::new(0),
            time: Cell::new(u32::MAX),
            births: None,
            offset: None,
            has_clocks: bytes.one_in(2),
            memory: Some(1 << 30),
            pid_file: Err(PidFileError::NotFound),
            has_hierarchy: true,
            counters: 0,
            foreign: 0,
            own_line: Vec::new(),
            exits: None,
            pid_files: 1,
        }
    }

    /// What happens up to the next sample, and what will happen in it. Returns how many processes there
    /// are, those of other pid namespaces included.
    fn go_on(&mut self, bytes: &mut Bytes<'_>) -> u64 {
        for _ in 0..bytes.below(12) {
            Change::new(bytes).apply(self.processes.get_mut());
        }
        let during = 0..bytes.below(16).saturating_sub(10);
        *self.changes.get_mut() = during.map(|_| (bytes.byte() % 32, Change::new(bytes))).collect();
        let boot = &mut self.clocks.boot.0;
        *boot = match bytes.below(8) {
            0 => bytes.number(),
            1 => *boot,
            _ => boot.saturating_add(1 + (bytes.number() >> 24)),
        };
        let population = self.processes.get_mut();
        let largest = population.keys().next_back().copied().unwrap_or(Pid::INIT);
        let births = Births {
            newest: largest,
            tasks: population.len() as u64,
            pid_max: bytes.choose(&[32_768, 4_194_304, 301, 1000]),
            forks: Some(1 + u64::from(bytes.byte())),
        };
        self.births = match bytes.below(4) {
            0 => None,
            1 => {
                let newest = Pid::new(1 + bytes.number() as u32 % Pid::MAX.number());
                // As for clocks, the largest number is not shown.
                let forks = Some(bytes.number().min(u64::MAX - 1));
                Some(Births { newest, tasks: bytes.number(), forks, ..births })
            }
            _ => Some(births),
        };
        self.time.set(if bytes.one_in(8) { u32::from(bytes.byte()) } else { u32::MAX });
        self.offset = bytes.choose(&[Some(256), Some(0), None]);
        self.memory = if bytes.one_in(8) { None } else { Some(bytes.number()) };
        let pid = Pid::new(1 + bytes.below(20) as u32);
        self.pid_file = match bytes.below(4) {
            0 => Err(PidFileError::Denied),
            _ => Ok(PidFile { pid, written: bytes.number().cast_signed() }),
        };
        self.has_hierarchy = !bytes.one_in(8);
        self.counters = bytes.number();
        self.foreign = if bytes.one_in(4) { u64::from(bytes.byte()) } else { 0 };
        self.own_line.clear();
        if bytes.one_in(8) {
            self.own_line.push(ProcId { pid, start: Ticks(bytes.number()) });
        }
        if let Some(exits) = &mut self.exits {
            for _ in 0..bytes.below(8) {
                let exit = exit(bytes, self.processes.get_mut(), self.clocks.boot);
                exits.list.push(exit);
            }
            exits.next = exits.list.len() as u64;
            exits.losses = exits.losses.saturating_add(u64::from(bytes.one_in(8)));
        }
        self.pid_files = bytes.below(4);
        self.readings.set(0);
        self.added.set(0);
        self.processes.get_mut().len() as u64 + self.foreign * PATHS.len() as u64
    }

    fn error<T>(pid: Pid, reason: Reason) -> Result<T, ReadError> {
        Err(ReadError { path: format!("/proc/{pid}/x"), reason })
    }

    /// Reads a file of a process, which has that bit among those that cannot be read.
    fn read<T>(&self, pid: Pid, bit: u8, read: impl FnOnce(&Process) -> T) -> Result<T, ReadError> {
        self.time.set(self.time.get().saturating_sub(1));
        let mut processes = self.processes.borrow_mut();
        let mut changes = self.changes.borrow_mut();
        while changes.front().is_some_and(|&(after, _)| after <= self.readings.get()) {
            self.readings.set(0);
            let added = changes.pop_front().map_or(0, |(_, change)| change.apply(&mut processes));
            self.added.set(self.added.get() + added);
        }
        self.readings.set(self.readings.get().saturating_add(1));
        let Some(process) = processes.get(&pid) else {
            return Machine::error(pid, Reason::Vanished);
        };
        if process.refused >> bit & 1 == 1 {
            let reason = match process.why % 4 {
                0 => Reason::Denied,
                1 => Reason::Vanished,
                2 => Reason::Malformed,
                _ => Reason::Failed("too many open files".to_owned()),
            };
            return Machine::error(pid, reason);
        }
        Ok(read(process))
    }
}

impl Kernel for Machine {
    fn constants(&self) -> &Constants {
        &self.constants
    }

    fn clocks(&self) -> Clocks {
        self.clocks
    }

    fn out_of_time(&self) -> bool {
        self.time.get() == 0
    }

    fn is_genuine(&self) -> bool {
        true
    }

    fn find_user(&self, _: &str) -> Option<Uid> {
        (self.counters % 2 == 1).then_some(Uid(1))
    }

    fn user_names(&self) -> BTreeMap<Uid, String> {
        BTreeMap::from([(Uid(1), "one".to_owned())])
    }

    fn is_contained(&self) -> bool {
        self.counters % 3 == 1
    }

    fn own_line(&self) -> Vec<ProcId> {
        self.own_line.clone()
    }

    fn is_psstat(&self, pid: Pid) -> Result<bool, ReadError> {
        Ok(self.own_line.iter().any(|own| own.pid == pid))
    }

    fn pids(&self, pids: &mut Vec<Pid>) -> Result<Option<i64>, ReadError> {
        pids.clear();
        pids.extend(self.processes.borrow().keys());
        Ok(self.offset)
    }

    fn pids_from(
        &self,
        _: i64,
        range: PidRange,
        limit: u64,
        pids: &mut Vec<Pid>,
    ) -> Result<(), ReadError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let processes = self.processes.borrow();
        pids.extend(processes.keys().filter(|&&pid| range.contains(pid)).take(limit));
        Ok(())
    }

    fn births(&self, _: u64) -> Option<Births> {
        self.births
    }

    fn stat<'b>(&self, pid: Pid, buffer: &'b mut Buffer) -> Result<Stat<'b>, ReadError> {
        let process = self.read(pid, 0, Process::clone)?;
        let comm = &mut buffer.0[..process.comm.len()];
        comm.copy_from_slice(&process.comm);
        Ok(Stat {
            comm,
            state: if process.is_zombie { b'Z' } else { b'S' },
            parent: process.parent,
            times: Amounts { own: Ticks(process.own), children: Ticks(process.children) },
            threads: process.threads,
            start: Ticks(process.start),
        })
    }

    fn cpu_clock(&self, pid: Pid) -> Option<CpuNanos> {
        let clock = self.read(pid, 7, |process| process.clock).ok()?;
        clock.filter(|_| self.has_clocks).map(CpuNanos)
    }

    fn first_thread_time(&self, pid: Pid) -> Option<CpuNanos> {
        let clock = self.read(pid, 7, |process| process.clock).ok()?;
        clock.filter(|_| !self.has_clocks).map(CpuNanos)
    }

    fn statm(&self, pid: Pid) -> Result<Statm, ReadError> {
        self.read(pid, 1, |process| Statm {
            resident: Pages(process.resident),
            shared: Pages(process.shared),
        })
    }

    fn proportional(&self, pid: Pid) -> Result<Proportional, ReadError> {
        self.read(pid, 2, |process| {
            let Process { resident, shared, start, own, .. } = *process;
            let split = Split {
                anonymous: Size(resident),
                mapped: Size(shared),
                anonymous_shared: Size(start),
                anonymous_shared_whole: Size(own),
            };
            let split = (process.threads != 2).then_some(split);
            Proportional { total: Size(resident), split, shared_huge: Size(shared) }
        })
    }

    fn huge_pages(&self, pid: Pid) -> Result<Size, ReadError> {
        self.read(pid, 0, |process| Size(process.shared))
    }

    fn swap(&self, pid: Pid) -> Result<Size, ReadError> {
        self.read(pid, 0, |process| Size(process.resident ^ process.own))
    }

    fn memory_path(&self, pid: Pid) -> Result<Option<Vec<u8>>, ReadError> {
        self.read(pid, 6, |process| Some(PATHS[process.control_group].into()))
    }

    fn accounted_by(&self, path: &[u8]) -> Option<Vec<u8>> {
        let is_accounted = !(self.counters as usize).wrapping_add(path.len()).is_multiple_of(5);
        is_accounted.then(|| path.to_vec())
    }

    fn memory_account(
        &self,
        path: &[u8],
        left: &mut usize,
        visit: &mut dyn FnMut(Option<Pid>) -> bool,
    ) -> Result<Option<MemoryAccount>, ReadError> {
        *left = left.saturating_sub(1);
        let is_inside =
            |process: &Process| PATHS[process.control_group].as_bytes().starts_with(path);
        let processes = self.processes.borrow();
        let inside = processes.iter().filter(|(_, process)| is_inside(process));
        let pids: Vec<Pid> = inside.map(|(&pid, _)| pid).collect();
        drop(processes);
        let foreign = (0..self.foreign.min(1)).map(|_| None);
        if !pids.into_iter().map(Some).chain(foreign).all(visit) {
            return Ok(None);
        }
        match self.counters % 7 {
            0 => Machine::error(Pid::NONE, Reason::Denied),
            1 => Ok(None),
            _ => {
                let anonymous = Size(self.counters.rotate_left(path.len() as u32));
                Ok(Some(MemoryAccount { anonymous, mapped: Size(self.counters >> 16) }))
            }
        }
    }

    fn cmdline(&self, pid: Pid, line: &mut Vec<u8>) -> Result<(), ReadError> {
        *line = self.read(pid, 3, |process| process.comm.clone())?;
        Ok(())
    }

    fn exe(&self, pid: Pid) -> Result<Vec<u8>, ReadError> {
        self.read(pid, 4, |process| [b"/bin/", &process.comm[..]].concat())
    }

    fn effective_user(&self, pid: Pid) -> Result<Uid, ReadError> {
        self.read(pid, 5, |process| Uid(process.user))
    }

    fn cgroup(&self, pid: Pid) -> Result<Vec<u8>, ReadError> {
        self.read(pid, 6, |process| format!("0::/{}\n", PATHS[process.control_group]).into_bytes())
    }

    fn storage(&self, pid: Pid) -> Result<Storage, ReadError> {
        self.read(pid, 2, |process| Storage {
            read: Count(process.counted),
            written: Count(process.counted.rotate_left(9)),
        })
    }

    fn major_faults(&self, id: ProcId) -> Result<Amounts<Count>, ReadError> {
        self.read(id.pid, 1, |process| Amounts {
            own: Count(process.counted),
            children: Count(process.children),
        })
    }

    fn threads(&self, pid: Pid) -> Result<Vec<Pid>, ReadError> {
        let second = Pid::new(pid.number().wrapping_add(1));
        self.read(pid, 3, |process| if process.threads > 1 { vec![pid, second] } else { vec![pid] })
    }

    fn switches(&self, pid: Pid, _: Pid) -> Result<Count, ReadError> {
        self.read(pid, 4, |process| Count(process.counted))
    }

    fn open_files(&self, pid: Pid) -> Result<u64, ReadError> {
        self.read(pid, 5, |process| process.counted)
    }

    fn control_groups(&self, wanted: Wanted<'_>) -> Option<Hierarchy> {
        if !self.has_hierarchy {
            return None;
        }
        // A process that is not there keeps an empty directory. It is removed again.
        let paths = PATHS.iter().map(|path| (Pid::MAX, path.as_bytes().to_vec()));
        let mut paths: Vec<(Pid, Vec<u8>)> = paths.collect();
        for (&pid, process) in self.processes.borrow().iter() {
            paths.push((pid, PATHS[process.control_group].as_bytes().to_vec()));
        }
        let mut hierarchy = control_groups::from_processes(&paths, b"", wanted);
        let error = |path: &[u8]| ReadError {
            path: format!("/sys/fs/cgroup/{}", String::from_utf8_lossy(path)),
            reason: Reason::Denied,
        };
        for (index, group) in hierarchy.groups.iter_mut().enumerate() {
            group.pids.retain(|&pid| pid != Pid::MAX);
            group.id = self.counters >> 60;
            let has_counter = self.counters >> (index % 8) & 1 == 0;
            group.used = has_counter.then_some(CpuNanos(self.counters.rotate_left(index as u32)));
            for (turn, &figure) in wanted.figures.iter().enumerate() {
                let number = self.counters.rotate_right((7 * index + 11 * turn) as u32);
                let read = if number % 5 == 4 { Err(error(&group.path)) } else { Ok(number) };
                group.figures.insert(figure, read);
            }
            let above = group.path.iter().filter(|&&byte| byte == b'/').count();
            let limits = (0..=above + 1).map(|depth| self.counters.rotate_right(depth as u32));
            // A kernel shows one for each group on the way, but the engine must not depend on it.
            group.limits = limits.take((self.counters % 4) as usize).collect();
            if PATHS.contains(&&*String::from_utf8_lossy(&group.path)) {
                group.foreign = self.foreign;
            }
            if self.counters % 11 == 10 && index == 1 {
                group.error = Some(error(&group.path));
            }
        }
        if self.counters % 13 == 12 {
            let path = b"user.slice".to_vec();
            let error = error(&path);
            hierarchy.unread.push(UnreadDirectory { path, may_hold_units: true, error });
        }
        Some(hierarchy)
    }

    fn pid_files(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, PidFileError> {
        let number = |number: usize| [path, number.to_string().as_bytes()].concat();
        Ok((0..self.pid_files).map(number).collect())
    }

    fn exits(&self, from: u64) -> Option<Exits> {
        let exits = self.exits.as_ref()?;
        let from = usize::try_from(from).expect("a number that was given");
        Some(Exits { list: exits.list[from..].to_vec(), ..*exits })
    }

    fn path_of(&self, file: FileId) -> Option<Vec<u8>> {
        (file.inode % 3 != 2).then(|| format!("/bin/{}", file.inode % 3).into_bytes())
    }

    fn pid_file(&self, _: &[u8]) -> Result<PidFile, PidFileError> {
        self.pid_file.clone()
    }

    fn machine_memory(&self) -> Result<MachineMemory, ReadError> {
        match self.memory {
            Some(memory) => {
                let huge_in_use = Size(if memory % 3 == 0 { memory / 2 } else { 0 });
                Ok(MachineMemory { total: Size(memory), huge_in_use })
            }
            None => Machine::error(Pid::NONE, Reason::Missing),
        }
    }

    fn processors_online(&self) -> Option<u64> {
        self.counters.is_multiple_of(2).then_some(self.counters >> 32)
    }

    fn hold(&mut self, pids: &[Pid]) {
        assert!(pids.is_sorted());
    }
}
