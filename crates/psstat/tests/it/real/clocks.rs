//! A CPU clock that stands still means an unchanged `stat`, whatever processes do: fork, execute, end,
//! stop, lose their parents. Only the parent can change, and then a sample shows the new one.

use super::fixture::{Fixture, actor_program, unique};
use super::kernel::await_rest;
use super::needs;
use crate::namespace;
use crate::support::limit::LIMIT;
use psstat::blocking::reads::Reads;
use psstat::cli::{self, Invocation};
use psstat::deadline::Deadline;
use psstat::environment::surroundings;
use psstat::job::Mounts;
use psstat::machine::Machine;
use psstat_core::engine::{Engine, Sample};
use psstat_core::kernel::Kernel;
use psstat_core::model::buffer::Buffer;
use psstat_core::model::process::{Life, Names, Process, Times};
use psstat_core::model::units::{CpuNanos, Pid, ProcId};
use psstat_core::state::{State, codec};
use rustix::process::{Signal, kill_process};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::time::{Duration, Instant};

/// How many samples are taken in the storm.
const SAMPLES: usize = 100;

/// After so many samples the storm is stopped for a while.
const SAMPLES_PER_STOP: usize = 10;

/// The clock of a process that is running on another processor may be up to a scheduler tick behind,
/// which is at most 10 ms (CONFIG_HZ). After twice that it shows that the process has run.
const TICKS: Duration = Duration::from_millis(20);

/// What processes do. Ends when there is a file `end`. `$actor` is the actor, `$names` are names.
const STORM: &str = r#"
until_end() { while [ ! -e "$end" ]; do "$@"; done; wait; }
short_lives() { /bin/true; sleep 0.03; }
pipes() { echo a | cat | cat >/dev/null; sleep 0.1; }
families() { sh -c 'sleep 2 & sleep 2.1 & (sleep 1.5 & sleep 1.9 & wait) & wait' & sleep 0.2; }
orphans() { (sleep 0.6 & (sleep 0.9 & sleep 0.3) & sleep 0.1); sleep 0.05; }
signals() {
    sleep 3 & stopped=$!
    kill -STOP $stopped; sleep 0.12; kill -CONT $stopped; sleep 0.12
    kill -9 $stopped 2>/dev/null
}
zombies() { sh -c '/bin/true & sleep 0.1 & sleep 0.2 & sleep 0.3 & exec sleep 0.7' & sleep 0.2; }
programs() { (sleep 0.2; exec sh -c 'sleep 0.2; exec sleep 0.3') & sleep 0.15; }
renames() { ("$actor" rename 200 $names & wait) & sleep 0.3; }
threads() { "$actor" threads 5 900 & sleep 0.4; }
switches() { "$actor" switch 150 sleep 0.3 & sleep 0.3; }
vforks() { "$actor" chain 3 1; sleep 0.2; }
workers() { "$actor" work 200 40 <"$fifo" & worker=$!; sleep 0.5; kill $worker 2>/dev/null; }
leaders() { /usr/bin/python3 -c "$leader" & sleep 0.5; }
traced() { strace -f -o /dev/null sh -c 'sleep 0.2 & wait'; sleep 0.3; }
inside() { unshare --pid --fork sh -c 'sleep 0.3 & (sleep 0.2 &) ; sleep 0.1; wait' 2>/dev/null; sleep 0.1; }
mkfifo "$fifo"; sleep 1000 >"$fifo" & keeper=$!
for kind in $kinds; do until_end $kind & done
while [ ! -e "$end" ]; do sleep 0.1; done
kill $keeper
wait
"#;

/// A process whose first thread ends before another one.
const LEADER: &str = "
import ctypes, os, threading, time
def end():
    time.sleep(0.4)
    os._exit(0)
threading.Thread(target=end).start()
ctypes.CDLL(None).pthread_exit(None)
";

/// What the storm consists of on every machine.
const KINDS: &str = "short_lives pipes families orphans signals zombies programs renames threads \
                     switches vforks workers";

/// A process that adopts orphans, and below it the storm. The storm ends when the fixture does.
struct Storm {
    root: Pid,
}

impl Storm {
    fn start(fixture: &Fixture, names: &[String]) -> Storm {
        let mut kinds = KINDS.to_owned();
        for (kind, program) in [("leaders", "/usr/bin/python3"), ("traced", "strace")] {
            match needs::why_not_installed(program) {
                None => kinds.extend([" ", kind]),
                Some(reason) => needs::skip_in_part(&reason),
            }
        }
        match needs::why_no_namespaces() {
            None => kinds.push_str(" inside"),
            Some(reason) => needs::skip_in_part(&reason),
        }
        let file = |name: &str| fixture.path().join(name).to_str().expect("UTF-8").to_owned();
        let end = file("end");
        let set = |variable: &str, value: &str| format!("{variable}='{value}'\n");
        let script = [
            set("end", &end),
            set("fifo", &file("fifo")),
            set("actor", actor_program().to_str().expect("UTF-8")),
            set("names", &names.join(" ")),
            set("leader", LEADER),
            set("kinds", &kinds),
            STORM.to_owned(),
        ];
        let actor = actor_program();
        let actor = actor.to_str().expect("UTF-8");
        let root = fixture.start(&[actor, "adopt", &end, &script.concat()]).pid;
        Storm { root: Pid::new(root) }
    }

    /// All processes below the root, from `/proc`.
    fn processes(&self, machine: &Machine) -> BTreeMap<Pid, (u8, Pid)> {
        let mut pids = Vec::new();
        machine.pids(&mut pids).expect("procfs");
        let mut buffer = Buffer::default();
        let read = |pid| {
            let stat = machine.stat(pid, &mut buffer).ok()?;
            Some((pid, (stat.state, stat.parent)))
        };
        let all: BTreeMap<Pid, (u8, Pid)> = pids.into_iter().filter_map(read).collect();
        let is_below = |&pid: &Pid| {
            let parent = |pid: &Pid| all.get(pid).map(|&(_, parent)| parent);
            core::iter::successors(Some(pid), parent).take(100).any(|above| above == self.root)
        };
        all.iter().filter(|(pid, _)| is_below(pid)).map(|(&pid, &it)| (pid, it)).collect()
    }

    /// Stops all processes but the root, which continues them if this test is killed.
    fn stop(&self, machine: &Machine) -> Stopped<'_> {
        let mut stopped = Stopped { storm: self, pids: BTreeSet::new() };
        let begin = Instant::now();
        let mut quiet = 0;
        // A process can make another one while the signals are sent. One that waits for the program
        // of a child (vfork(2)) stops later.
        while quiet < 3 {
            let running: Vec<Pid> = self
                .processes(machine)
                .into_iter()
                .filter(|(pid, (state, _))| *pid != self.root && !b"TtZXD".contains(state))
                .map(|(pid, _)| pid)
                .collect();
            quiet = if running.is_empty() { quiet + 1 } else { 0 };
            for pid in running {
                signal(pid, Signal::STOP);
                stopped.pids.insert(pid);
            }
            std::thread::sleep(Duration::from_millis(2));
            assert!(begin.elapsed() < LIMIT, "the storm does not stop");
        }
        stopped
    }
}

/// A storm that is stopped until this is dropped.
struct Stopped<'s> {
    storm: &'s Storm,
    pids: BTreeSet<Pid>,
}

impl Stopped<'_> {
    /// Ends the shells that have children, but not those that keep the storm going.
    fn end_parents(&self, machine: &Machine) {
        let all = self.storm.processes(machine);
        // One that is traced cannot end while its tracer is stopped.
        let is_stopped = |pid: &Pid| all.get(pid).is_some_and(|&(state, _)| state == b'T');
        let parents: BTreeSet<Pid> = all
            .iter()
            .filter(|(pid, _)| is_stopped(pid))
            .map(|(_, &(_, parent))| parent)
            .filter(is_stopped)
            .collect();
        let has_name = |pid: &Pid, names: &[&[u8]]| {
            let mut buffer = Buffer::default();
            machine.stat(*pid, &mut buffer).is_ok_and(|stat| names.contains(&stat.comm))
        };
        // The loops of the storm are children of its first shell. They go on.
        let parent = |pid: &Pid| all.get(pid).map(|&(_, parent)| parent);
        let is_loop = |pid: &Pid| {
            let above = core::iter::successors(parent(pid), parent);
            above.take(2).any(|above| above == self.storm.root)
        };
        let victims: Vec<Pid> = parents
            .into_iter()
            .filter(|pid| *pid != self.storm.root && !is_loop(pid))
            .filter(|pid| has_name(pid, &[b"sh", b"dash", b"bash"]))
            .collect();
        for &pid in &victims {
            signal(pid, Signal::KILL);
        }
        let begin = Instant::now();
        let mut buffer = Buffer::default();
        for &pid in &victims {
            while machine.stat(pid, &mut buffer).is_ok_and(|stat| stat.state != b'Z') {
                assert!(begin.elapsed() < LIMIT, "process {pid} does not end");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        for &pid in &self.pids {
            signal(pid, Signal::CONT);
        }
    }
}

/// A process that has ended needs no signal.
fn signal(pid: Pid, signal: Signal) {
    let pid = i32::try_from(pid.number()).ok().and_then(rustix::process::Pid::from_raw);
    let _ = kill_process(pid.expect("a pid"), signal);
}

/// What `stat` shows of a process, and what psstat keeps of it, but the parent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Facts {
    id: ProcId,
    times: Times,
    life: Life,
    threads: u32,
    name: Vec<u8>,
}

impl Facts {
    fn of(process: &Process, names: &Names) -> Facts {
        let &Process { id, times, life, threads, comm, .. } = process;
        Facts { id, times, life, threads, name: names.text(comm).to_owned() }
    }
}

/// A process as it was when its clock showed this.
#[derive(Clone, Debug)]
struct Observed {
    clock: CpuNanos,
    facts: Facts,
}

/// Reads processes past psstat's discovery: the clock, `stat`, and some time later the clock again.
/// Those whose clock has moved meanwhile are left out.
fn observe(machine: &Machine, pids: &BTreeSet<Pid>) -> BTreeMap<Pid, Observed> {
    let mut names = Names::default();
    let mut buffer = Buffer::default();
    let mut observed = BTreeMap::new();
    for &pid in pids {
        let Some(clock) = machine.cpu_clock(pid) else { continue };
        let Ok(stat) = machine.stat(pid, &mut buffer) else { continue };
        let process = stat.process(pid, Some(clock), &mut names);
        observed.insert(pid, Observed { clock, facts: Facts::of(&process, &names) });
    }
    std::thread::sleep(TICKS);
    observed.retain(|&pid, observed| machine.cpu_clock(pid) == Some(observed.clock));
    observed
}

fn mounts() -> Mounts {
    Mounts { proc: "/proc".into(), sys: "/sys".into(), is_proc_chosen: true }
}

/// An engine, and the state that its last sample has left.
struct Sampler {
    engine: Engine<Machine>,
    is_resident: bool,
    state: State,
}

impl Sampler {
    fn start(args: &[&str], is_resident: bool) -> Sampler {
        let fixed = ["psstat", "--timeout=60s", "--host="];
        let args = fixed.iter().chain(args).map(OsString::from);
        let job = match cli::parse(args, &surroundings()) {
            Ok(Invocation::Once(job)) => *job,
            other => panic!("{other:?}"),
        };
        let machine =
            Machine::open(&mounts(), false, Deadline::after(LIMIT), Reads::of_first_thread())
                .expect("procfs");
        let machine = if is_resident { machine.resident() } else { machine };
        let engine = Engine::new(machine, job.plan);
        let engine = if is_resident { engine.resident() } else { engine };
        let mut sampler = Sampler { engine, is_resident, state: State::default() };
        sampler.state = sampler.engine.sample(None).expect("a sample").state;
        sampler
    }

    fn sample(&mut self) -> Sample {
        self.engine.sample(Some(&self.state)).expect("a sample")
    }

    /// Keeps what a sample has left: in memory, or as a cache file has it.
    fn keep(&mut self, state: State) {
        self.state = if self.is_resident {
            state
        } else {
            codec::decode(&codec::encode(&state)).expect("a state")
        };
    }

    fn known(&self) -> impl Iterator<Item = &Process> {
        self.state.known.processes.iter().map(|known| &known.process)
    }

    /// What the last sample has left of each process.
    fn facts(&self) -> impl Iterator<Item = (Process, Facts)> {
        let names = &self.state.known.names;
        self.known().map(|process| (*process, Facts::of(process, names)))
    }

    /// Whether the process was used again as the last sample had read it, and has not ended in the
    /// course of the sample.
    fn is_kept(&self, process: &Process) -> bool {
        let last = self.known().find(|known| known.id == process.id);
        process.life != Life::Gone && last.is_some_and(|last| last.has_not_run(process.clock))
    }
}

/// What was compared.
#[derive(Debug, Default)]
struct Count {
    /// Known processes that had not run since they were read.
    unmoved: usize,
    /// Those of them that had run before that, while the test ran.
    had_run: usize,
    /// Members that a sample had not read again.
    kept: usize,
    /// Processes of which a name, the number of threads, the end, and the time of children changed.
    changes: [usize; 4],
    /// Members that were not read again and had lost their parents.
    adopted: usize,
}

impl Count {
    /// Whether there was a storm, and so much was compared in it that this shows something.
    fn is_enough(&self) -> bool {
        let Count { unmoved, had_run, kept, changes, adopted } = *self;
        unmoved > 1000
            && kept > 1000
            && had_run > unmoved / 5
            && changes.iter().all(|&count| count > 10)
            && adopted > 10
    }
}

/// What was seen of all processes.
#[derive(Default)]
struct History {
    /// The values that the clock of each process has shown.
    clocks: BTreeMap<ProcId, BTreeSet<CpuNanos>>,
    last: BTreeMap<Pid, Observed>,
    count: Count,
}

impl History {
    /// Compares two observations of the same process: what has changed has moved the clock.
    fn add(&mut self, observed: &BTreeMap<Pid, Observed>) {
        for (&pid, now) in observed {
            self.clocks.entry(now.facts.id).or_default().insert(now.clock);
            let last = self.last.insert(pid, now.clone());
            let Some(last) = last.filter(|last| last.facts.id == now.facts.id) else { continue };
            let (was, is) = (&last.facts, &now.facts);
            assert!(was == is || last.clock != now.clock, "{last:?}, {now:?}");
            let changes = [
                was.name != is.name,
                was.threads != is.threads,
                was.life != is.life,
                was.times.children != is.times.children,
            ];
            for (count, has_changed) in self.count.changes.iter_mut().zip(changes) {
                *count += usize::from(has_changed);
            }
        }
    }

    /// Compares what psstat knows with what was observed. Returns how many processes it compared.
    fn compare(
        &mut self,
        processes: impl Iterator<Item = (Process, Facts)>,
        observed: &BTreeMap<Pid, Observed>,
    ) -> usize {
        let mut compared = 0;
        for (process, facts) in processes {
            let now = observed.get(&process.id.pid);
            let Some(now) = now.filter(|now| process.has_not_run(Some(now.clock))) else {
                continue;
            };
            assert_eq!(facts, now.facts, "with the same clock, {:?}", now.clock);
            let clocks = self.clocks.entry(process.id).or_default();
            clocks.insert(now.clock);
            self.count.had_run += usize::from(clocks.len() > 1);
            compared += 1;
        }
        compared
    }
}

/// Asserts that a sample has not used what it knew of a process that had run before the sample.
fn assert_up_to_date(member: &Process, observed: &BTreeMap<Pid, Observed>) {
    let before = observed.get(&member.id.pid).filter(|before| before.facts.id == member.id);
    if let (Some(before), Some(clock)) = (before, member.clock) {
        assert!(clock >= before.clock, "{member:?} had run before the sample: {before:?}");
    }
}

/// Takes samples in a storm, and holds what psstat keeps of processes to what it would read.
#[test]
fn a_process_whose_clock_stands_still_is_unchanged() {
    if !needs::clocks_that_show_runs() {
        return;
    }
    let fixture = Fixture::new();
    let names: Vec<String> = ["na", "nb", "nc", "nd", "ne"].map(unique).into();
    let storm = Storm::start(&fixture, &names);
    let by_pid = format!("--pid=storm:{}", storm.root);
    let by_name = format!("--pattern=names:^({})$", names.join("|"));
    let mut samplers = [
        Sampler::start(&[&by_pid], false),
        Sampler::start(&[&by_pid], true),
        Sampler::start(&[&by_name], true),
    ];
    let mut history = History::default();
    let begin = Instant::now();
    for number in 0.. {
        if number >= SAMPLES && (history.count.is_enough() || begin.elapsed() > LIMIT) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
        let known = samplers.iter().flat_map(Sampler::known).map(|process| process.id.pid);
        let known: BTreeSet<Pid> = known.collect();
        let observed = observe(samplers[0].engine.kernel(), &known);
        history.add(&observed);
        for sampler in &mut samplers {
            history.count.unmoved += history.compare(sampler.facts(), &observed);

            let sample = sampler.sample();
            let snapshot = &sample.snapshot;
            let members = sample.readings.members.iter().map(|&index| snapshot.processes[index]);
            let members: Vec<Process> = members.collect();
            for member in &members {
                assert_up_to_date(member, &observed);
            }
            let kept = members.into_iter().filter(|process| sampler.is_kept(process));
            let kept = kept.map(|process| (process, Facts::of(&process, &snapshot.names)));
            history.count.kept += history.compare(kept, &observed);
            sampler.keep(sample.state);
        }
        if number % SAMPLES_PER_STOP == SAMPLES_PER_STOP - 1 {
            history.count.adopted += compare_parents(&storm, &mut samplers);
        }
    }
    println!("{:?}", history.count);
    assert!(history.count.is_enough(), "too little for {LIMIT:?}: {:?}", history.count);
}

/// Stops the storm, ends parents, and compares the parents that a sample shows with those in `/proc`.
/// Returns how many processes that were not read again have another parent.
fn compare_parents(storm: &Storm, samplers: &mut [Sampler]) -> usize {
    let machine = Machine::open(&mounts(), false, Deadline::after(LIMIT), Reads::of_first_thread())
        .expect("procfs");
    let stopped = storm.stop(&machine);
    std::thread::sleep(TICKS);
    for sampler in &mut *samplers {
        let state = sampler.sample().state;
        sampler.keep(state);
    }
    stopped.end_parents(&machine);
    // A process shows as a zombie shortly before it runs for the last time.
    std::thread::sleep(TICKS);
    let mut adopted = 0;
    for sampler in samplers {
        let before = storm.processes(&machine);
        let sample = sampler.sample();
        let after = storm.processes(&machine);
        for process in &sample.snapshot.processes {
            let (then, now) = (before.get(&process.id.pid), after.get(&process.id.pid));
            let (Some(then), Some(now)) = (then, now) else { continue };
            if process.life == Life::Gone || process.id.pid == storm.root || then != now {
                continue;
            }
            let parent = sample.snapshot.find(process.parent);
            let parent = parent.map(|index| &sample.snapshot.processes[index]);
            let known = sampler.known().find(|known| known.id.pid == process.parent);
            let in_proc = (after.get(&process.parent), machine.cpu_clock(process.parent));
            assert_eq!(
                process.parent, now.1,
                "{process:?} below {parent:?}, known as {known:?}, now {in_proc:?}"
            );
            let last = sampler.known().find(|known| known.id == process.id);
            let last_parent = last.map(|last| last.parent);
            let has_other = last_parent.is_some_and(|parent| parent != process.parent);
            adopted += usize::from(sampler.is_kept(process) && has_other);
        }
        sampler.keep(sample.state);
    }
    adopted
}

/// The pid of a parent that has ended is given to a process outside of the group.
#[test]
fn a_new_process_with_the_pid_of_a_parent_adopts_nobody() {
    if !namespace::is_inside() {
        let test = "real::clocks::a_new_process_with_the_pid_of_a_parent_adopts_nobody";
        return namespace::enter(test).unwrap_or_else(|reason| needs::skip(&reason));
    }
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    root.obey("subreaper");
    let middle = root.spawn("middle");
    let orphan = middle.spawn("orphan");
    let by_pid = format!("--pid=group:{}", root.pid);
    await_rest(&[orphan.pid]);
    std::thread::sleep(TICKS);
    let mut samplers = [false, true].map(|is_resident| Sampler::start(&[&by_pid], is_resident));
    for sampler in &mut samplers {
        let state = sampler.sample().state;
        sampler.keep(state);
    }
    middle.exit();
    root.wait_for(&middle);
    namespace::next_pid(middle.pid);
    let new = fixture.actor("new");
    assert_eq!(new.pid, middle.pid, "the pid was not given out again");
    for sampler in &mut samplers {
        let sample = sampler.sample();
        let processes = &sample.snapshot.processes;
        let members = sample.readings.members.iter().map(|&index| processes[index].id.pid);
        let members: BTreeSet<u32> = members.map(Pid::number).collect();
        assert_eq!(members, BTreeSet::from([root.pid, orphan.pid]));
        let index = sample.snapshot.find(Pid::new(orphan.pid)).expect("a member");
        assert_eq!(processes[index].parent.number(), root.pid);
    }
}
