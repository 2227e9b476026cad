//! Finds the roots that a plan picks, reading what only some selectors need: pid files, command
//! lines, executables, owners.

use crate::error::Reason;
use crate::plan::Plan;
use crate::procfs::cgroup::{self, Hierarchy, Wanted};
use crate::procfs::{Buffer, Procfs, parse};
use crate::run::notes::Notes;
use crate::sample::{ControlGroup, OutOfTime, Snapshot, Unreadable};
use crate::select::{self, Ask, Root};
use crate::selector::Source;
use crate::units::{BootNanos, Hz, Pid, Ticks, Uid, WallNanos};
use rustix::fs::{FileType, Mode, OFlags};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// A process that started this long after its pid file was written may be a stranger. The file
/// is normally written by the process itself, so any delay speaks for it; a second covers the
/// roundings of the two clocks.
const CLEARLY_AFTER: i64 = 1_000_000_000;

/// The two clocks at one moment, and the length of a tick: what turns a start time into a date.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// Since boot.
    pub boot: BootNanos,
    /// Since 1970.
    pub wall: WallNanos,
    /// Ticks per second.
    pub hz: Hz,
}

impl Clocks {
    fn date_of(self, start: Ticks) -> i64 {
        let since_boot = i64::try_from(start.nanos(self.hz).0).unwrap_or(i64::MAX);
        let boot = i64::try_from(self.boot.0).unwrap_or(i64::MAX);
        self.wall.0.saturating_sub(boot).saturating_add(since_boot)
    }
}

/// A process that a selector picks by its number.
#[derive(Debug)]
pub struct Numbered {
    /// Place of the selector in the plan.
    pub selector: usize,
    /// The number.
    pub pid: Pid,
    /// When its pid file was last written, in nanoseconds since 1970; none where it was typed.
    written: Option<i64>,
}

/// The processes that are picked by number, their pid files read. What is wrong with one is said
/// in `notes`.
pub fn numbered(plan: &Plan, notes: &mut Notes) -> Vec<Numbered> {
    let mut numbered = Vec::new();
    for (selector, picked) in plan.selectors.iter().enumerate() {
        match &picked.source {
            Source::Pid(pid) => numbered.push(Numbered { selector, pid: *pid, written: None }),
            Source::PidFile(path) => match read_pid_file(path) {
                Ok((pid, written)) => {
                    numbered.push(Numbered { selector, pid, written: Some(written) });
                }
                Err(reason) => notes.warn(format!("pid file {}: {reason}", path.display())),
            },
            _ => {}
        }
    }
    numbered
}

/// Where roots are looked for, beside all processes.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// Processes that are picked by number.
    pub numbered: &'a [Numbered],
    /// Control groups that are picked, and all below them.
    pub control_groups: &'a [ControlGroup],
}

/// All roots, in no particular order. What cannot be found or read is said in `notes`.
pub fn roots(
    plan: &Plan,
    proc: &Procfs,
    snapshot: &Snapshot,
    places: Places<'_>,
    clocks: Clocks,
    out_of_time: OutOfTime<'_>,
    notes: &mut Notes,
) -> Vec<Root> {
    let own = proc.own_pid();
    let mut asking = Asking::new(proc);
    let mut roots = select::among_all(plan, snapshot, own, &mut asking, out_of_time);
    let by_number = |numbered: &Numbered| select::by_pid(numbered.selector, numbered.pid, snapshot);
    let mut candidates = select::in_control_groups(plan, snapshot, places.control_groups, own);
    candidates.extend(places.numbered.iter().filter_map(by_number));
    let found = select::among(candidates, plan, snapshot, &mut asking, out_of_time);
    for numbered in places.numbered {
        match by_number(numbered) {
            None => warn_of_absence(plan, numbered, notes),
            Some(root) if found.contains(&root) => {
                warn_if_stale(plan, numbered, snapshot, root, clocks, notes);
            }
            Some(stranger) => warn_of_stranger(plan, numbered, snapshot, stranger, notes),
        }
    }
    roots.extend(found);
    asking.warn(notes);
    roots
}

/// Asks procfs what a root depends on, and counts what may not be read.
struct Asking<'p> {
    proc: &'p Procfs,
    buffer: Buffer,
    line: Vec<u8>,
    cmdlines: Unreadable,
    exes: Unreadable,
    owners: Unreadable,
}

impl<'p> Asking<'p> {
    fn new(proc: &'p Procfs) -> Asking<'p> {
        Asking {
            proc,
            buffer: Buffer::default(),
            line: Vec::new(),
            cmdlines: Unreadable::default(),
            exes: Unreadable::default(),
            owners: Unreadable::default(),
        }
    }

    fn warn(&self, notes: &mut Notes) {
        let by_root = "run psstat as root";
        let by_tracer = "run psstat as root or give it CAP_SYS_PTRACE";
        warn_of_unreadable("command lines", &self.cmdlines, by_root, notes);
        warn_of_unreadable("paths of executables", &self.exes, by_tracer, notes);
        warn_of_unreadable("owners of processes", &self.owners, by_root, notes);
    }
}

impl Ask for Asking<'_> {
    fn cmdline(&mut self, pid: Pid) -> Option<&[u8]> {
        let read = self.proc.cmdline(pid, &mut self.line);
        read.map_err(|error| self.cmdlines.note(error)).ok()?;
        Some(&self.line)
    }

    fn exe(&mut self, pid: Pid) -> Option<Vec<u8>> {
        self.proc.exe(pid).map_err(|error| self.exes.note(error)).ok()
    }

    fn user(&mut self, pid: Pid) -> Option<Uid> {
        let read = self.proc.effective_user(pid, &mut self.buffer);
        read.map_err(|error| self.owners.note(error)).ok()
    }
}

/// The control groups that a plan picks and all below them, read from their hierarchy; none where
/// there is no hierarchy to read.
pub fn control_groups(plan: &Plan, proc: &Procfs, sys: &Path) -> Option<Vec<ControlGroup>> {
    let mut buffer = Buffer::default();
    let init = proc.cgroup(Pid::INIT, &mut buffer).unwrap_or_default();
    let hierarchy = Hierarchy::open(sys, init).ok()?;
    let pick = |path: &[u8], unit: Option<&[u8]>| select::by_control_group(plan, path, unit);
    Some(hierarchy.walk(wanted(plan, &pick)))
}

/// The same from what each process says of itself, for where no hierarchy can be read. What is
/// read of each process follows the number of all, and there are no counters.
pub fn control_groups_of_processes(
    plan: &Plan,
    proc: &Procfs,
    snapshot: &Snapshot,
    notes: &mut Notes,
) -> Vec<ControlGroup> {
    let mut buffer = Buffer::default();
    let manager = proc.cgroup(Pid::INIT, &mut buffer).map(parse::manager_root).unwrap_or_default();
    let mut unreadable = Unreadable::default();
    let mut places = Vec::with_capacity(snapshot.processes.len());
    for process in &snapshot.processes {
        match proc.cgroup(process.id.pid, &mut buffer) {
            Ok(text) => {
                let path = parse::cgroup_path(text);
                places.extend(path.map(|path| (process.id.pid, path.to_vec())));
            }
            Err(error) => unreadable.note(error),
        }
    }
    warn_of_unreadable("control groups", &unreadable, "run psstat as root", notes);
    let pick = |path: &[u8], unit: Option<&[u8]>| select::by_control_group(plan, path, unit);
    cgroup::from_processes(&places, &manager, wanted(plan, &pick))
}

fn wanted<'p>(plan: &Plan, pick: cgroup::Pick<'p>) -> Wanted<'p> {
    Wanted { pick, units: !plan.units.is_empty(), paths: !plan.control_groups.is_empty() }
}

/// Says once what could not be read, with an example and a cure.
pub fn warn_of_unreadable(what: &str, unreadable: &Unreadable, cure: &str, notes: &mut Notes) {
    let Some(first) = &unreadable.first else { return };
    let count = unreadable.count;
    let cure = if first.reason == Reason::Denied { format!(": {cure}") } else { String::new() };
    let text = format!("{count} {what} cannot be read, such as {first}{cure}");
    notes.warn_about(format!("{what}: {}", first.reason), text);
}

/// The number in a pid file, and when that was last written, in nanoseconds since 1970.
fn read_pid_file(path: &Path) -> Result<(Pid, i64), String> {
    // Not to be kept waiting by a FIFO that stands there.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let explain = |errno: rustix::io::Errno| match Reason::from(errno) {
        Reason::Vanished => "there is none".to_owned(),
        Reason::Denied => "permission denied: let psstat's user read it".to_owned(),
        _ => std::io::Error::from(errno).to_string(),
    };
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(explain)?;
    let stat = rustix::fs::fstat(&file).map_err(explain)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err("not a plain file".to_owned());
    }
    let mut text = Vec::new();
    File::from(file)
        .take(PID_FILE_LIMIT)
        .read_to_end(&mut text)
        .map_err(|error| error.to_string())?;
    let pid = parse::pid_file(&text)
        .ok_or("its first line is not the number of a process (1 to 4194304)")?;
    let seconds: i64 = stat.st_mtime;
    let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or_default();
    Ok((pid, seconds.saturating_mul(1_000_000_000).saturating_add(nanos)))
}

/// Enough for a number and the lines that some servers write behind it.
const PID_FILE_LIMIT: u64 = 4096;

/// Says that nothing bears a number that was picked.
fn warn_of_absence(plan: &Plan, numbered: &Numbered, notes: &mut Notes) {
    let pid = numbered.pid;
    notes.warn(match &plan.selectors[numbered.selector].source {
        Source::PidFile(path) => {
            format!("pid file {}: its process {pid} does not run", path.display())
        }
        _ => format!("--pid {pid}: no such process"),
    });
}

/// Says that the process that a number names is not what its group asks for.
fn warn_of_stranger(
    plan: &Plan,
    numbered: &Numbered,
    snapshot: &Snapshot,
    candidate: Root,
    notes: &mut Notes,
) {
    let comm = snapshot.names.text(snapshot.processes[candidate.process].comm);
    let process = format!("process {} ({})", numbered.pid, String::from_utf8_lossy(comm));
    let why = "does not fulfil the conditions of its group, or they cannot be read: left out";
    notes.warn(match &plan.selectors[numbered.selector].source {
        Source::PidFile(path) => format!("pid file {}: {process} {why}", path.display()),
        _ => format!("{process} {why}"),
    });
}

fn warn_if_stale(
    plan: &Plan,
    numbered: &Numbered,
    snapshot: &Snapshot,
    root: Root,
    clocks: Clocks,
    notes: &mut Notes,
) {
    let (Source::PidFile(path), Some(written)) =
        (&plan.selectors[numbered.selector].source, numbered.written)
    else {
        return;
    };
    let process = &snapshot.processes[root.process];
    let late = clocks.date_of(process.id.start).saturating_sub(written);
    if late > CLEARLY_AFTER {
        notes.warn(format!(
            "pid file {} may be stale: process {} ({}) started {} s after it was written; reported \
             all the same",
            path.display(),
            numbered.pid,
            String::from_utf8_lossy(snapshot.names.text(process.comm)),
            late / 1_000_000_000,
        ));
    }
}
