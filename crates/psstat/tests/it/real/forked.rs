//! Memory that forked processes have in common, in the default mode.

use super::fixture::{Fixture, Program};
use super::meter::{Line, PSSTAT, psstat, psstat_through};
use super::resident::Resident;
use super::{kernel, needs};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MIB: f64 = (1 << 20) as f64;

/// A server with 120 MiB and nine workers that only read it. At SIGUSR1 the oldest worker ends and another one
/// is forked.
const SERVER: &str = "
import os, select, signal
data = bytearray(os.urandom(1 << 20) * 120)
told, tell = os.pipe()
workers = []
def fork():
    stay, leave = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        os.close(leave)
        for other in workers:
            os.close(other[1])
        sum(data[::4096])
        os.write(tell, b'x')
        os.read(stay, 1)
        os._exit(0)
    os.close(stay)
    os.read(told, 1)
    workers.append((pid, leave))
def recycle():
    pid, leave = workers.pop(0)
    os.close(leave)
    os.waitpid(pid, 0)
    fork()
    print('recycled', flush=True)
for _ in range(9):
    fork()
woken, wake = os.pipe()
os.set_blocking(wake, False)
signal.set_wakeup_fd(wake)
signal.signal(signal.SIGUSR1, lambda *_: None)
print(os.getpid(), flush=True)
while 0 not in select.select([0, woken], [], [])[0]:
    os.read(woken, 1)
    recycle()
";

/// The server, started by way of a program that runs what stands behind its own arguments.
struct Server {
    program: Program,
    pid: u32,
}

impl Server {
    /// `None` if it cannot be had here.
    #[track_caller]
    fn start(fixture: &Fixture, through: &[&str]) -> Option<Server> {
        if !needs::is_installed("python3") || !needs::free_memory(512) {
            return None;
        }
        let line = [through, &["/usr/bin/python3", "-c", SERVER]].concat();
        let mut program = fixture.start(&line);
        let pid = program.line().parse().expect("a pid");
        Some(Server { program, pid })
    }

    fn all(&self) -> Vec<u32> {
        let all = [kernel::children(self.pid), vec![self.pid]].concat();
        assert_eq!(all.len(), 10);
        all
    }

    fn recycle(&mut self) {
        let pid = Pid::from_raw(self.pid.cast_signed()).expect("a pid");
        kill_process(pid, Signal::USR1).expect("it lives");
        assert_eq!(self.program.line(), "recycled");
    }

    fn pss(&self) -> f64 {
        self.all().into_iter().map(kernel::pss).sum::<u64>() as f64
    }

    fn rss(&self) -> f64 {
        self.all().into_iter().map(kernel::rss).sum::<u64>() as f64
    }

    /// Holds psstat to the sum of PSS.
    #[track_caller]
    fn agrees(&self, line: &Line, what: &str) {
        let (told, truth) = (bytes(line), self.pss());
        println!("{what}: {:.1} MiB, sum of PSS {:.1} MiB", told / MIB, truth / MIB);
        assert_eq!(line.processes, 10, "{what}");
        assert!(truth > 100.0 * MIB, "{truth}");
        within(told, truth, 0.05, what);
    }
}

/// What a line says of the group's memory, in bytes.
fn bytes(line: &Line) -> f64 {
    line.memory.expect("p_mem") * kernel::meminfo("MemTotal") as f64
}

#[track_caller]
fn within(told: f64, truth: f64, part: f64, what: &str) {
    let is_near = (told - truth).abs() <= part * truth;
    assert!(is_near, "{what}: {} MiB of {}", told / MIB, truth / MIB);
}

#[test]
fn what_forked_workers_share_counts_once() {
    let fixture = Fixture::new();
    let Some(server) = Server::start(&fixture, &[]) else { return };
    let group = ["--wait=1ms", "--pid", &format!("web:{}", server.pid)];
    let said = psstat(&group);
    server.agrees(said.only_line(), "--wait");
    assert_eq!(said.stderr, "");
    let once = psstat(&[&group[..], &["--memory=shared-once"]].concat());
    within(bytes(once.only_line()), server.rss(), 0.15, "shared-once counts it ten times");
}

#[test]
fn one_shots_count_recycled_workers_once() {
    let fixture = Fixture::new();
    let Some(mut server) = Server::start(&fixture, &[]) else { return };
    let group = format!("web:{}", server.pid);
    let args = ["--pid", &group, "--cache-dir", fixture.path().to_str().expect("UTF-8")];
    assert!(psstat(&args).lines.is_empty());
    for run in 0..12 {
        server.agrees(psstat(&args).only_line(), &format!("run {run}"));
        (0..run % 4).for_each(|_| server.recycle());
    }
}

#[test]
fn execd_counts_recycled_workers_once() {
    let fixture = Fixture::new();
    let Some(mut server) = Server::start(&fixture, &[]) else { return };
    let mut resident = Resident::start(&["--pid", &format!("web:{}", server.pid)], 1);
    for sample in 0..30 {
        server.agrees(&resident.sample()[0], &format!("sample {sample}"));
        (0..sample % 4).for_each(|_| server.recycle());
    }
}

/// A control group of the test's own, in which the kernel accounts memory. It is removed when this is dropped.
struct ControlGroup(PathBuf);

impl ControlGroup {
    /// `None` if it cannot be had here.
    #[track_caller]
    fn make() -> Option<ControlGroup> {
        for top in ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"] {
            let path = Path::new(top).join(super::fixture::unique("mem"));
            if !Path::new(top).join("cgroup.procs").exists() || std::fs::create_dir(&path).is_err()
            {
                continue;
            }
            let group = ControlGroup(path);
            if group.0.join("memory.stat").exists() {
                return Some(group);
            }
        }
        needs::skip("it needs a control group of its own with the memory controller");
        None
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // The kernel lets it go a moment after its last process has ended.
        let begin = Instant::now();
        while std::fs::remove_dir(&self.0).is_err() && begin.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Everybody may read the account of a control group.
#[test]
fn nobody_is_told_what_a_control_group_has() {
    if !needs::root() {
        return;
    }
    let Some(control_group) = ControlGroup::make() else { return };
    let fixture = Fixture::new();
    let procs = control_group.0.join("cgroup.procs");
    let enter = ["/bin/sh", "-c", "echo $$ >\"$0\" && exec \"$@\"", procs.to_str().expect("UTF-8")];
    let Some(mut server) = Server::start(&fixture, &enter) else { return };
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let program = fixture.copy_of(Path::new(PSSTAT), "psstat");
    let group = ["--wait=1ms", "--pid", &format!("web:{}", server.pid)];
    for run in 0..3 {
        let said = psstat_through(&nobody, &program, &group);
        server.agrees(said.only_line(), &format!("as nobody, run {run}"));
        assert_eq!(said.stderr, "");
        server.recycle();
    }
    // A process of no group voids the account.
    let stranger =
        fixture.start(&[&enter[..], &["/bin/sh", "-c", "echo here; read -r line"]].concat());
    let mut stranger = stranger;
    assert_eq!(stranger.line(), "here");
    let said = psstat_through(&nobody, &program, &group);
    within(bytes(said.only_line()), server.rss(), 0.15, "nothing is known of what they share");
    assert_eq!(said.stderr, "", "that is usual");
    drop(fixture);
}

#[test]
fn a_single_process_counts_as_ps_shows_it() {
    const PROGRAM: &str = "
import os
data = b'x' * (60 << 20)
print(os.getpid(), flush=True)
os.read(0, 1)
";
    if !needs::is_installed("python3") || !needs::free_memory(128) {
        return;
    }
    let fixture = Fixture::new();
    let mut program = fixture.start(&["/usr/bin/python3", "-c", PROGRAM]);
    let pid = program.line();
    let said = psstat(&["--wait=1ms", "--pid", &format!("one:{pid}")]);
    let rss = kernel::rss(program.pid) as f64;
    assert!(rss > 60.0 * MIB);
    within(bytes(said.only_line()), rss, 0.01, "RSS");
}

/// How many huge pages the kernel may make when they are asked for. It is restored when this is dropped.
struct HugePages(String);

impl HugePages {
    const SETTING: &str = "/proc/sys/vm/nr_overcommit_hugepages";

    /// `None` if no more can be had here.
    #[track_caller]
    fn allow() -> Option<HugePages> {
        let before = std::fs::read_to_string(HugePages::SETTING).unwrap_or_default();
        let many = before.trim().parse::<u64>().is_ok_and(|many| {
            let many = (many + 16).to_string();
            std::fs::write(HugePages::SETTING, many).is_ok()
        });
        if !many {
            needs::skip("it needs leave to set nr_overcommit_hugepages");
            return None;
        }
        Some(HugePages(before))
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        let restored = std::fs::write(HugePages::SETTING, &self.0);
        assert!(restored.is_ok() || std::thread::panicking(), "{restored:?}");
    }
}

#[test]
fn huge_pages_count_in_every_mode_and_once_in_auto() {
    // Two huge pages of its own in each process, and four in common.
    const PROGRAM: &str = "
import mmap, os
size, huge = 2 << 20, 0x40000
def hold(pages, kind):
    memory = mmap.mmap(-1, pages * size, flags=kind | mmap.MAP_ANONYMOUS | huge)
    for at in range(0, pages * size, size):
        memory[at] = 1
    return memory
try:
    shared = hold(4, mmap.MAP_SHARED)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        own = hold(2, mmap.MAP_PRIVATE)
        sum(shared[at] for at in range(0, len(shared), size))
        os.write(tell, b'x')
        os.read(0, 1)
        os._exit(0)
    own = hold(2, mmap.MAP_PRIVATE)
    os.read(told, 1)
    print(os.getpid(), flush=True)
except OSError as error:
    print(error, flush=True)
os.read(0, 1)
";
    if !needs::root() || !needs::is_installed("python3") || !needs::free_memory(256) {
        return;
    }
    let Some(_allowed) = HugePages::allow() else { return };
    let fixture = Fixture::new();
    let mut program = fixture.start(&["/usr/bin/python3", "-c", PROGRAM]);
    let pid = program.line();
    if pid.parse::<u32>().is_err() {
        return needs::skip(&format!("it needs eight huge pages of 2 MiB: {pid}"));
    }
    let all = [kernel::children(program.pid), vec![program.pid]].concat();
    let group = ["--wait=1ms", "--pid", &format!("huge:{pid}"), "--memory"];
    let small = |of: fn(u32) -> u64| all.iter().map(|&pid| of(pid)).sum::<u64>() as f64;
    for (mode, small, huge) in [
        ("auto", small(kernel::pss), 16.0),
        ("pss", small(kernel::pss), 16.0),
        ("rss", small(kernel::rss), 16.0),
    ] {
        let told = bytes(psstat(&[&group[..], &[mode]].concat()).only_line());
        let rest = told - small;
        println!("{mode}: {:.1} MiB, {:.1} MiB without huge pages", told / MIB, small / MIB);
        assert!((rest - huge * MIB).abs() < 10.0 * MIB, "{mode}: {} MiB", rest / MIB);
    }
}
