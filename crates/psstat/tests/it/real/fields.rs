//! Each field beside the first three, compared with what the kernel says by other ways.

use super::fixture::{Actor, Fixture, actor_program, unique};
use super::kernel;
use super::meter::{self, TICK, psstat};
use super::needs;
use crate::support::limit;
use crate::support::line::{self, Line};
use psstat_core::model::units::BootNanos;
use psstat_core::state::codec;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A job that is run again and again, of the group `group` below one process.
struct Job {
    pid: u32,
    args: Vec<String>,
    cache: TempDir,
}

/// What a run said, and how long it was since the one before, in seconds.
#[derive(Debug)]
struct Said {
    line: Line,
    elapsed: f64,
}

impl Job {
    /// Stores the baseline.
    fn start(pid: u32, args: &[&str]) -> Job {
        let cache = tempfile::tempdir().expect("a temporary directory");
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        let job = Job { pid, args, cache };
        assert!(job.run().is_empty(), "the first run prints nothing");
        job
    }

    fn run(&self) -> Vec<u8> {
        let mut command = Command::new(meter::PSSTAT);
        command.args(["--host", "", "--timeout", "60s", "--cache-name", "cache"]);
        command.args(["--pid", &format!("group:{}", self.pid)]).args(&self.args);
        command.arg("--cache-dir").arg(self.cache.path());
        let output = limit::output(&mut command).expect("it can be run");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(output.status.success(), "{stderr}");
        assert!(stderr.is_empty() || stderr.starts_with("I! first run"), "{stderr}");
        output.stdout
    }

    fn taken(&self) -> BootNanos {
        let bytes = std::fs::read(self.cache.path().join("cache")).expect("it was stored");
        codec::decode(&bytes).expect("a cache").accounts.taken
    }

    fn sample(&self) -> Said {
        let then = self.taken();
        let line = line::read(&self.run()).pop().expect("a line");
        Said { line, elapsed: self.taken().since(then) as f64 / 1e9 }
    }
}

impl Said {
    fn value(&self, field: &str) -> f64 {
        self.line.value(field).unwrap_or_else(|| panic!("no {field}: {self:?}"))
    }

    /// How much was counted since the run before.
    fn counted(&self, field: &str) -> f64 {
        self.value(field) * self.elapsed
    }
}

/// Holds what is reported of one sample to an account that goes on while psstat runs: read before
/// and after each run.
fn count<const N: usize>(
    job: &Job,
    fields: [&str; N],
    account: impl Fn() -> [f64; N],
    work: impl FnOnce(),
) -> [f64; N] {
    let first = account();
    job.sample();
    let second = account();
    work();
    let third = account();
    let said = job.sample();
    let fourth = account();
    std::array::from_fn(|at| {
        let counted = said.counted(fields[at]);
        // Rounding to the places that are printed, both ways.
        let off = 1.0 + 0.005 * said.elapsed;
        let range = third[at] - second[at] - off..=fourth[at] - first[at] + off;
        assert!(range.contains(&counted), "{}: {counted} is not in {range:?}", fields[at]);
        println!("{}: {counted:.1} of {range:?}", fields[at]);
        counted.round()
    })
}

/// Bytes read from storage and written to it, by the actor's own account: that of the children it
/// has waited for among it.
fn io(actor: &Actor) -> [f64; 2] {
    let answer = actor.obey("io");
    let (read, written) = answer.split_once(' ').expect("two numbers");
    [read, written].map(|number| number.parse().expect("a number"))
}

const IO: [&str; 2] = ["io_read", "io_write"];
const IO_ONLY: [&str; 2] = ["--fields", "io_read,io_write"];

/// A directory beside what is built: `/tmp` is in memory on many machines.
fn storage() -> TempDir {
    let directory = env!("CARGO_TARGET_TMPDIR");
    std::fs::create_dir_all(directory).expect("where cargo builds");
    tempfile::tempdir_in(directory).expect("a temporary directory")
}

/// Whether files there are on a storage of which traffic is counted, which a tmpfs is not.
#[track_caller]
fn is_counted(storage: &Path, actor: &Actor) -> bool {
    let before = io(actor);
    actor.obey(&format!("write {}/try 64", storage.display()));
    let counted = io(actor)[1] > before[1];
    if !counted {
        let directory = storage.display();
        needs::skip(&format!("{directory} is in memory: nothing is written to storage"));
    }
    counted
}

const MIB: f64 = (1 << 20) as f64;

#[test]
fn storage_traffic_of_a_child_that_ends_counts_once() {
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    let storage = storage();
    if !is_counted(storage.path(), &root) {
        return;
    }
    let path = |name: &str| storage.path().join(name).display().to_string();
    let child = root.spawn("child");
    // The child has a history.
    child.obey(&format!("write {} 8192", path("history")));
    child.obey(&format!("read {}", path("history")));
    let job = Job::start(root.pid, &IO_ONLY);
    let both = || {
        let (root, child) = (io(&root), io(&child));
        [root[0] + child[0], root[1] + child[1]]
    };
    let [read, written] = count(&job, IO, both, || {
        child.obey(&format!("write {} 2048", path("more")));
        child.obey(&format!("read {}", path("more")));
    });
    assert!(read >= 2.0 * MIB && written >= 2.0 * MIB, "{read} {written}");
    assert!(read < 4.0 * MIB && written < 4.0 * MIB, "{read} {written}");

    // It goes on, and ends: what was counted of it is not counted again.
    let then = both();
    child.obey(&format!("write {} 1024", path("last")));
    child.obey(&format!("read {}", path("last")));
    child.exit();
    root.wait_for(&child);
    let said = job.sample();
    let now = io(&root);
    for at in 0..2 {
        let (counted, truth) = (said.counted(IO[at]), now[at] - then[at]);
        assert!((MIB..3.0 * MIB).contains(&truth), "{truth}");
        assert!((counted - truth).abs() <= 2.0, "{}: {counted}, in truth {truth}", IO[at]);
    }
    let said = job.sample();
    assert_eq!(IO.map(|field| said.value(field)), [0.0, 0.0], "no spike later either");
}

#[test]
fn storage_traffic_of_short_lived_children_counts() {
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    let storage = storage();
    if !is_counted(storage.path(), &root) {
        return;
    }
    let job = Job::start(root.pid, &IO_ONLY);
    let file = storage.path().join("short").display().to_string();
    let [_, written] = count(
        &job,
        IO,
        || io(&root),
        || {
            let script = format!("for i in 1 2 3 4; do head -c 1048576 /dev/zero >{file}$i; done");
            root.obey(&format!("sh {script}"));
        },
    );
    assert!(written >= 4.0 * MIB, "{written}");
}

#[test]
fn switches_of_all_threads_are_those_of_getrusage() {
    const TIMES: u32 = 50;
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    let child = root.spawn("child");
    let job = Job::start(root.pid, &["--fields", "ctx_switches"]);
    let switches = |actor: &Actor| actor.obey("switches").parse::<f64>().expect("a number");
    let account = || [switches(&root) + switches(&child)];
    // Threads that were born since the last sample.
    let nap = || {
        root.obey(&format!("nappers 4 {TIMES}"));
        child.obey(&format!("nappers 3 {TIMES}"));
    };
    let [counted] = count(&job, ["ctx_switches"], account, nap);
    assert!(counted >= f64::from(7 * TIMES), "{counted}");
    // They end: what was counted of them is not taken off what others do.
    job.sample();
    root.obey("idle");
    child.obey("idle");
    let before = account();
    root.obey(&format!("nappers 1 {TIMES}"));
    let least = account()[0] - before[0];
    let counted = job.sample().counted("ctx_switches").round();
    assert!(counted >= least && least >= f64::from(TIMES), "{counted} of {least}");
}

#[test]
fn starts_are_processes_whose_parents_are_not_in_the_group() {
    let fixture = Fixture::new();
    let name = unique("starts");
    let program = fixture.copy_of(&actor_program(), &name);
    let cache = tempfile::tempdir().expect("a temporary directory");
    let pattern = format!("group:^{name}$");
    let cache = cache.path().to_str().expect("UTF-8");
    let run =
        || psstat(&["--pattern", &pattern, "--fields", "n_proc,starts", "--cache-dir", cache]);
    let starts = || {
        let said = run();
        assert_eq!(said.stderr, "");
        let meter::Line { processes, values, .. } = said.only_line();
        let starts = values.rsplit_once("starts=").expect("a field").1;
        (*processes, starts.strip_suffix('i').expect("an integer").parse::<u64>().expect("digits"))
    };
    let old = fixture.actor_of(&program, &[], "old");
    run();
    // However soon after its start the first sample was taken.
    assert_eq!(starts(), (1, 0));
    let child = old.spawn("child");
    assert_eq!(starts(), (2, 0), "a child");
    for round in 0..10 {
        let new = fixture.actor_of(&program, &[], &format!("new{round}"));
        assert_eq!(starts(), (3, 1));
        assert_eq!(starts(), (3, 0), "once");
        new.exit();
        fixture.wait_for(&new);
    }
    child.exit();
    old.wait_for(&child);
    assert_eq!(starts(), (1, 0));
}

/// Every user may read it. A process without swapped memory has a line that says so.
#[test]
fn swap_is_what_the_kernel_says() {
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    let child = root.spawn("child");
    let job = Job::start(root.pid, &["--fields", "swap"]);
    let swapped = |actor: &Actor| {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", actor.pid)).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmSwap:")).expect("a line");
        let kib: f64 = line.trim().strip_suffix(" kB").expect("kB").parse().expect("a number");
        1024.0 * kib
    };
    let account = || swapped(&root) + swapped(&child);
    // Pages may be swapped out meanwhile.
    let begin = Instant::now();
    loop {
        let before = account();
        let said = job.sample().value("swap");
        if account() == before {
            assert_eq!(said, before);
            break;
        }
        assert!(begin.elapsed() < limit::LIMIT, "it changes all the time");
    }
}

#[test]
fn memory_is_what_the_kernel_says() {
    let fixture = Fixture::new();
    let before = Instant::now();
    let root = fixture.actor("root");
    let after = Instant::now();
    let [child, dead] = ["child", "dead"].map(|name| root.spawn(name));
    root.obey("open 20");
    child.obey("open 3");
    child.obey("nappers 5 1");
    dead.exit();
    root.obey(&format!("linger {}", dead.pid));

    let fields = "n_proc,n_thread,n_zombie,n_fd,mem,uptime";
    let job = Job::start(root.pid, &["--memory", "rss", "--fields", fields]);
    let least = after.elapsed();
    let said = job.sample();
    let most = before.elapsed();
    let sum = |of: fn(u32) -> u64| (of(root.pid) + of(child.pid)) as f64;
    assert_eq!(said.value("n_proc"), 2.0);
    assert_eq!(said.value("n_zombie"), 1.0);
    assert_eq!(said.value("n_thread"), sum(kernel::threads));
    assert!(said.value("n_thread") >= 9.0, "{said:?}");
    assert_eq!(said.value("n_fd"), sum(kernel::open_files));
    assert!(said.value("n_fd") >= 23.0, "{said:?}");
    let (memory, truth) = (said.value("mem"), sum(kernel::rss));
    assert!((memory - truth).abs() <= 0.01 * truth, "{memory} of {truth}");
    // Starts are cut to ticks, and so may seem a tick earlier; and the value is rounded.
    let range = least.as_secs_f64() - 0.01..=most.as_secs_f64() + TICK + 0.01;
    assert!(range.contains(&said.value("uptime")), "{range:?}: {said:?}");

    root.wait_for(&dead);
    root.obey("open 100");
    let said = job.sample();
    assert_eq!(said.value("n_zombie"), 0.0);
    assert_eq!(said.value("n_fd"), sum(kernel::open_files));
}

/// Samples fall into the middle of lives and of exits.
#[test]
fn cpu_time_never_falls_and_is_the_kernels_account() {
    let fixture = Fixture::new();
    let root = fixture.actor("root");
    let job = Job::start(root.pid, &["--fields", "cpu_time,n_proc"]);
    let before = root.usage();
    let total = std::thread::scope(|scope| {
        let (done, work_is_done) = std::sync::mpsc::channel::<()>();
        let job = &job;
        let watch = scope.spawn(move || {
            let (mut total, mut samples) = (0.0, 0);
            while work_is_done.try_recv().is_err() {
                let now = job.sample().value("cpu_time");
                assert!(now >= total, "{now} after {total}");
                total = now;
                samples += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            assert!(samples > 3, "{samples} samples are too few to show anything");
            total
        });
        root.obey("chains 20 2 50");
        root.obey("chains 40 3 15");
        done.send(()).expect("the samples are still being taken");
        watch.join().expect("it has not failed")
    });
    // What ended while the last sample was taken arrives with the next.
    job.sample();
    let last = job.sample().value("cpu_time");
    assert!(last >= total, "{last} after {total}");
    let truth = (root.usage() - before).as_secs_f64();
    assert!((last - truth).abs() <= 0.02 * truth + 2.0 * TICK, "{last} s of {truth} s");
    println!("cpu_time {last:.3} s, getrusage {truth:.3} s");
}

/// A program that maps a file of which nothing is in memory, and touches each page: the child when
/// it is told to, and once more before it ends. Tells what getrusage(2) says of faults. Both end with
/// their standard input.
const FAULTS: &str = "
import mmap, os, resource, sys, threading, time
directory = sys.argv[1]
def wait(name):
    while not os.path.exists(os.path.join(directory, name)):
        if os.getppid() != parent: sys.exit()
        time.sleep(0.002)
def touch():
    file = os.open(os.path.join(directory, 'big'), os.O_RDONLY)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    pages = mmap.mmap(file, 0, prot=mmap.PROT_READ)
    pages.madvise(mmap.MADV_RANDOM)
    for at in range(0, len(pages), 4096):
        pages[at]
    pages.close()
    os.close(file)
with open(os.path.join(directory, 'big'), 'wb') as big:
    big.write(b'x' * (200 * 4096))
    os.fsync(big.fileno())
told, tell = os.pipe()
parent = os.getpid()
child = os.fork()
if child == 0:
    for name in 'history', 'more':
        wait(name)
        touch()
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_majflt
        os.write(tell, b'%d\\n' % faults)
    wait('last')
    touch()
    os._exit(0)
def end():
    os.read(0, 1)
    os._exit(0)
lifeline = threading.Thread(target=end)
lifeline.start()
told = os.fdopen(told)
print(parent, flush=True)
for name in 'history', 'more':
    print(told.readline().strip(), flush=True)
os.waitpid(child, 0)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_majflt, flush=True)
lifeline.join()
";

#[test]
fn major_faults_of_a_child_that_ends_count_once() {
    if !needs::is_installed("python3") {
        return;
    }
    let fixture = Fixture::new();
    let storage = storage();
    let directory = storage.path().to_str().expect("UTF-8");
    let mut program = fixture.start(&["/usr/bin/python3", "-c", FAULTS, directory]);
    let pid = program.line().parse().expect("a pid");
    let mut faults = |name: &str| -> f64 {
        std::fs::write(Path::new(directory).join(name), "").expect("one's own directory");
        program.line().parse().expect("a number")
    };
    let history = faults("history");
    if history < 100.0 {
        return needs::skip(&format!("{directory} is in memory: no page fault waits for storage"));
    }
    let job = Job::start(pid, &["--fields", "faults_major"]);
    let more = faults("more");
    // Beside its children the root itself faults for a page or two of its own program.
    let near = |said: Said, truth: f64| {
        let counted = said.counted("faults_major");
        assert!((counted - truth).abs() < 20.0, "{counted} of {truth}");
        println!("faults: {counted:.1} of {truth}");
    };
    near(job.sample(), more - history);
    let last = faults("last");
    assert!(last - more >= 100.0, "{last} after {more}");
    near(job.sample(), last - more);
    near(job.sample(), 0.0);
}
