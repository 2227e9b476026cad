//! A simulated machine: directories with copies of a procfs and of the mounted hierarchies of control
//! groups. Runs psstat on them.

#![allow(clippy::unwrap_used, clippy::cast_sign_loss, reason = "what goes wrong here fails a test")]

use crate::support::limit;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What is mounted, and what counts CPU time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mounted {
    /// Version 2 alone.
    V2,
    /// Both versions; version 2 counts.
    Hybrid,
    /// Both versions on an old kernel, where version 1 counts.
    OldHybrid,
    /// Version 1, `cpuacct` on its own.
    V1,
    /// Version 1, `cpu` and `cpuacct` together.
    V1Joined,
    /// Version 1 without `cpuacct`.
    V1Bare,
    /// No sysfs at all.
    Nothing,
}

impl Mounted {
    pub const ALL: [Mounted; 7] = [
        Mounted::V2,
        Mounted::Hybrid,
        Mounted::OldHybrid,
        Mounted::V1,
        Mounted::V1Joined,
        Mounted::V1Bare,
        Mounted::Nothing,
    ];

    /// The directory below `fs/cgroup` that lists the processes.
    fn tracking(self) -> &'static str {
        match self {
            Mounted::V2 => ".",
            Mounted::Hybrid | Mounted::OldHybrid => "unified",
            _ => "systemd",
        }
    }

    /// The directory and the file that count CPU time. `None` if there is no counter.
    fn counter(self) -> Option<(&'static str, &'static str)> {
        match self {
            Mounted::V2 => Some((".", "cpu.stat")),
            Mounted::Hybrid => Some(("unified", "cpu.stat")),
            Mounted::OldHybrid | Mounted::V1 => Some(("cpuacct", "cpuacct.usage")),
            Mounted::V1Joined => Some(("cpu,cpuacct", "cpuacct.usage")),
            Mounted::V1Bare | Mounted::Nothing => None,
        }
    }

    /// The directory that accounts memory, and whether it is of version 1.
    fn accounting(self) -> (&'static str, bool) {
        match self {
            Mounted::V2 => (".", false),
            Mounted::Hybrid => ("unified", false),
            _ => ("memory", true),
        }
    }

    /// The lines of `/proc/PID/cgroup`.
    fn lines(self, path: &[u8]) -> Vec<u8> {
        let line = |head: &[u8], path: &[u8]| [head, b"/", path, b"\n"].concat();
        let systemd = line(b"5:name=systemd:", path);
        match self {
            Mounted::V2 => line(b"0::", path),
            Mounted::Hybrid => [systemd, line(b"2:cpu:", b""), line(b"0::", path)].concat(),
            Mounted::OldHybrid => {
                let memory = line(b"4:memory:", path);
                [systemd, memory, line(b"2:cpu:", b""), line(b"0::", path)].concat()
            }
            _ => {
                let elsewhere = line(b"2:cpu,cpuacct:", b"elsewhere");
                [elsewhere, line(b"4:memory:", path), systemd, line(b"0::", b"")].concat()
            }
        }
    }
}

/// A process, with what psstat reads of it. By default it is older than every sample.
#[derive(Clone, Copy)]
pub struct Process {
    pub comm: &'static str,
    pub state: char,
    pub parent: u32,
    /// Its own CPU time, in ticks of 10 ms.
    pub own: u64,
    /// CPU time of children that it has waited for, in ticks.
    pub children: u64,
    pub start: u64,
    /// Memory, in pages.
    pub resident: u64,
    pub shared: u64,
}

impl Default for Process {
    fn default() -> Process {
        let (resident, shared) = (10, 0);
        Process {
            comm: "x",
            state: 'S',
            parent: 1,
            own: 0,
            children: 0,
            start: 100,
            resident,
            shared,
        }
    }
}

/// A group that uses [`REFERENCE_MILLIS`] of CPU time between any two samples. All rates are compared
/// with its rate, so that the length of the interval does not matter.
pub const REFERENCE: (&str, u32) = ("reference", 900);

/// So large that the printed decimals have a resolution of milliseconds, even if the interval is some
/// seconds.
pub const REFERENCE_MILLIS: u64 = 1_000_000;

pub struct Machine {
    directory: TempDir,
    pub mounted: Mounted,
}

impl Machine {
    /// A machine with systemd as process 1.
    pub fn new(mounted: Mounted) -> Machine {
        let machine = Machine { directory: tempfile::tempdir().unwrap(), mounted };
        // A million pages of memory.
        machine.write("proc/meminfo", "MemTotal: 4000000 kB\n");
        machine.write("proc/sys/kernel/random/boot_id", "made-up\n");
        machine.put("", &[]);
        machine.process(1, Process { comm: "systemd", parent: 0, ..Process::default() });
        machine.put("init.scope", &[1]);
        machine.put(REFERENCE.0, &[REFERENCE.1]);
        machine
    }

    pub fn write(&self, path: impl AsRef<Path>, text: impl AsRef<[u8]>) {
        let path = self.directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Makes the directories that systemd has, with a file for each of these units.
    pub fn add_unit_files(&self, units: &[&str]) {
        self.write("run/systemd/system/placeholder", "");
        for unit in units {
            self.write(format!("usr/lib/systemd/system/{unit}"), "");
        }
    }

    /// Lets a name of a unit be an alias.
    pub fn add_alias(&self, alias: &str, unit: &str) {
        let path = self.directory.path().join("etc/systemd/system").join(alias);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(format!("/usr/lib/systemd/system/{unit}"), path).unwrap();
    }

    /// The option that names a configuration file of that text.
    pub fn config(&self, text: &str) -> String {
        self.write("psstat.toml", text);
        format!("--config={}", self.directory.path().join("psstat.toml").display())
    }

    pub fn process(&self, pid: u32, process: Process) {
        let Process { comm, state, parent, own, children, start, resident, shared } = process;
        let fields = format!(
            "{pid} ({comm}) {state} {parent} 0 0 0 -1 0 0 0 0 0 {own} 0 {children} 0 20 0 1 0 {start} 0\n"
        );
        self.write(format!("proc/{pid}/stat"), fields);
        self.write(format!("proc/{pid}/statm"), format!("99 {resident} {shared} 0 0 0 0\n"));
    }

    pub fn end(&self, pid: u32) {
        fs::remove_dir_all(self.directory.path().join(format!("proc/{pid}"))).unwrap();
    }

    /// The directory of a control group in the hierarchy that lists the processes.
    pub fn group(&self, path: impl AsRef<[u8]>) -> PathBuf {
        self.directory
            .path()
            .join("sys/fs/cgroup")
            .join(self.mounted.tracking())
            .join(OsStr::from_bytes(path.as_ref()))
    }

    /// Creates a control group with these processes directly in it, and creates the processes that do
    /// not exist yet.
    pub fn put(&self, path: impl AsRef<[u8]>, pids: &[u32]) {
        let path = path.as_ref();
        for &pid in pids {
            if !self.directory.path().join(format!("proc/{pid}")).exists() {
                self.process(pid, Process::default());
            }
            self.write(format!("proc/{pid}/cgroup"), self.mounted.lines(path));
        }
        if self.mounted != Mounted::Nothing {
            let list: String = pids.iter().map(|pid| format!("{pid}\n")).collect();
            self.write(self.group(path).join("cgroup.procs"), &list);
            self.write(self.account(path).join("cgroup.procs"), list);
            self.use_time(path, 0);
        }
    }

    /// The directory of a control group in the hierarchy that accounts memory.
    pub fn account(&self, path: impl AsRef<[u8]>) -> PathBuf {
        let (hierarchy, _) = self.mounted.accounting();
        let top = self.directory.path().join("sys/fs/cgroup").join(hierarchy);
        top.join(OsStr::from_bytes(path.as_ref()))
    }

    /// Accounts so many pages to a control group, in a hierarchy that accounts memory.
    pub fn set_account(&self, path: &str, anonymous: u64, mapped: u64) {
        let [anonymous, mapped] = [anonymous, mapped].map(|pages| pages * 4096);
        let text = match self.mounted.accounting() {
            (_, false) => {
                self.write(self.account("").join("cgroup.controllers"), "cpu memory pids\n");
                format!("anon {anonymous}\nfile 5\nfile_mapped {mapped}\n")
            }
            (_, true) => {
                self.write(self.account("").join("memory.stat"), "total_rss 0\n");
                format!(
                    "cache 1\nrss 7\nmapped_file 8\ntotal_rss {anonymous}\ntotal_mapped_file {mapped}\n"
                )
            }
        };
        self.write(self.account(path).join("memory.stat"), text);
    }

    pub fn remove(&self, path: &str) {
        fs::remove_dir_all(self.group(path)).unwrap();
    }

    /// Sets the CPU time that a control group has used since it was created, in milliseconds. `pid` is
    /// the process in it that used it.
    pub fn has_used(&self, path: &str, pid: u32, millis: u64) {
        self.process(pid, Process { own: millis / 10, ..Process::default() });
        self.use_time(path.as_bytes(), millis);
    }

    fn use_time(&self, path: &[u8], millis: u64) {
        let Some((directory, file)) = self.mounted.counter() else { return };
        let directory = self.directory.path().join("sys/fs/cgroup").join(directory);
        let file = directory.join(OsStr::from_bytes(path)).join(file);
        let text = if file.ends_with("cpu.stat") {
            // What else the file says stays.
            let before = fs::read_to_string(&file).unwrap_or_default();
            let others: String = before.split_inclusive('\n').skip(1).collect();
            format!("usage_usec {}\n{others}", millis * 1000)
        } else {
            format!("{}\n", millis * 1_000_000)
        };
        self.write(file, text);
    }

    pub fn job(&self, selectors: &[&str]) -> Job<'_> {
        let mut job = Job { machine: self, arguments: Vec::new(), runs: 0 };
        job.select(selectors);
        job
    }

    /// A second sample.
    pub fn sample(&self, selectors: &[&str]) -> Sample {
        let mut job = self.job(selectors);
        job.sample();
        job.sample()
    }
}

/// A job that takes one sample after the other with the same cache.
pub struct Job<'m> {
    machine: &'m Machine,
    arguments: Vec<String>,
    runs: u64,
}

impl Job<'_> {
    /// Changes the selectors. The cache stays.
    pub fn select(&mut self, selectors: &[&str]) {
        self.arguments = selectors.iter().map(|&text| text.to_owned()).collect();
        self.arguments.push(format!("--cgroup={0}:{0}", REFERENCE.0));
    }

    pub fn second_sample(&mut self) -> Sample {
        self.sample();
        self.sample()
    }

    pub fn sample(&mut self) -> Sample {
        self.runs += 1;
        let (path, pid) = REFERENCE;
        self.machine.has_used(path, pid, self.runs * REFERENCE_MILLIS);
        let directory = self.machine.directory.path();
        let mut command = Command::new(env!("CARGO_BIN_EXE_psstat"));
        command
            .args(&self.arguments)
            .arg("--proc")
            .arg(directory.join("proc"))
            .arg("--sys")
            .arg(directory.join("sys"))
            .arg("--cache-dir")
            .arg(directory)
            .args(["--cache-name", "cache", "--host", ""]);
        let output = limit::output(&mut command).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{}: {stderr}", output.status);
        let printed = String::from_utf8(output.stdout).expect("lines are UTF-8");
        let mut sample = Sample { stderr, ..Sample::default() };
        for line in printed.lines() {
            let (name, fields) = parse(line);
            if name != REFERENCE.0 {
                sample.names.push(name.clone());
            }
            assert!(sample.fields.insert(name, fields).is_none(), "twice: {line}");
        }
        sample
    }
}

/// The name of a line, with its escapes, and its fields.
fn parse(line: &str) -> (String, BTreeMap<String, f64>) {
    let rest = line.strip_prefix("psstat,process_name=").unwrap_or_else(|| panic!("{line}"));
    let ends = |(index, _): &(usize, char)| !rest[..*index].ends_with('\\');
    let (end, _) = rest.char_indices().filter(|&(_, c)| c == ' ').find(ends).unwrap();
    let fields = rest[end + 1..].split(' ').next().unwrap().split(',');
    let fields = fields.map(|field| {
        let (key, value) = field.split_once('=').unwrap();
        (key.to_owned(), value.trim_end_matches('i').parse().unwrap())
    });
    (rest[..end].to_owned(), fields.collect())
}

/// The lines of one run.
#[derive(Default)]
pub struct Sample {
    /// The names in the order of the lines, without the reference.
    pub names: Vec<String>,
    /// Standard error.
    pub stderr: String,
    fields: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Sample {
    /// The time since the last sample.
    pub fn seconds(&self) -> f64 {
        REFERENCE_MILLIS as f64 / 1000.0 / self.value(REFERENCE.0, "p_cpu").unwrap()
    }

    pub fn value(&self, name: &str, field: &str) -> Option<f64> {
        let fields =
            self.fields.get(name).unwrap_or_else(|| panic!("{name} is not among {self:?}"));
        fields.get(field).copied()
    }

    /// The fields of a line, sorted.
    pub fn keys(&self, name: &str) -> String {
        let fields = self.fields.get(name).into_iter().flatten();
        fields.map(|(key, _)| key.as_str()).collect::<Vec<_>>().join(",")
    }

    pub fn count(&self, name: &str) -> u64 {
        self.value(name, "n_proc").unwrap() as u64
    }

    /// Names and numbers of processes, without the reference.
    pub fn counts(&self) -> Vec<(&str, u64)> {
        self.names.iter().map(|name| (&**name, self.count(name))).collect()
    }

    /// Memory in pages.
    pub fn pages(&self, name: &str) -> u64 {
        (self.value(name, "p_mem").unwrap() * 1e6).round() as u64
    }

    /// The CPU time used since the last sample, in milliseconds. `None` if there is no rate.
    pub fn used(&self, name: &str) -> Option<u64> {
        let second = self.value(REFERENCE.0, "p_cpu").unwrap();
        Some((self.value(name, "p_cpu")? / second * REFERENCE_MILLIS as f64).round() as u64)
    }
}

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.fields, self.stderr)
    }
}
