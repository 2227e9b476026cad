//! Finds the roots that selectors pick, and reads what only some selectors need: pid files, command
//! lines, executables, owners.

use crate::diagnostics::{Diagnostics, Warning, What};
use crate::kernel::{Clocks, Kernel};
use crate::model::control_group::ControlGroup;
use crate::model::read_error::Unreadable;
use crate::model::snapshot::Snapshot;
use crate::model::units::{Hz, Pid, Ticks, Uid};
use crate::select::roots::{self, Lookup, Root};
use crate::select::selector::Source;
use crate::select::selectors::Selectors;
use alloc::vec::Vec;

/// If a process started this long after its pid file was written, in nanoseconds, the file is
/// probably stale. Normally the process writes the file itself, after its start. One second covers
/// the rounding of the two clocks.
const CLEARLY_AFTER: i64 = 1_000_000_000;

/// A process that a selector picks by its pid.
#[derive(Debug)]
pub struct PickedPid {
    /// Index of the selector.
    pub selector: usize,
    /// The pid.
    pub pid: Pid,
    /// When its pid file was last written, in nanoseconds since 1970. `None` if there is no pid
    /// file.
    written: Option<i64>,
}

/// The processes that selectors pick by pid. Reads their pid files.
pub fn picked_pids(
    selectors: &Selectors,
    kernel: &impl Kernel,
    diagnostics: &mut Diagnostics,
) -> Vec<PickedPid> {
    let mut picked = Vec::new();
    for (index, selector) in selectors.iter().enumerate() {
        match &selector.source {
            Source::Pid(pid) => {
                picked.push(PickedPid { selector: index, pid: *pid, written: None });
            }
            Source::PidFile(path) => match kernel.pid_file(path) {
                Ok(file) => picked.push(PickedPid {
                    selector: index,
                    pid: file.pid,
                    written: Some(file.written),
                }),
                Err(error) => diagnostics.add(Warning::PidFile { path: path.clone(), error }),
            },
            _ => {}
        }
    }
    picked
}

/// Finds the roots in one snapshot.
pub struct RootFinder<'f, K> {
    /// The selectors.
    pub selectors: &'f Selectors,
    /// The machine.
    pub kernel: &'f K,
    /// The processes.
    pub snapshot: &'f Snapshot,
    /// When the sample began.
    pub clocks: Clocks,
}

impl<K: Kernel> RootFinder<'_, K> {
    /// All roots, in no particular order.
    pub fn find(
        &self,
        picked: &[PickedPid],
        control_groups: &[ControlGroup],
        diagnostics: &mut Diagnostics,
    ) -> Vec<Root> {
        let RootFinder { selectors, snapshot, .. } = *self;
        let own = self.kernel.own_pid();
        let mut lookup = CountingLookup::new(self.kernel);
        let mut roots = roots::among_all(selectors, snapshot, own, &mut lookup);
        let by_pid = |picked: &PickedPid| roots::by_pid(picked.selector, picked.pid, snapshot);
        let mut candidates = roots::in_control_groups(selectors, snapshot, control_groups, own);
        candidates.extend(picked.iter().filter_map(by_pid));
        let found = roots::among(candidates, selectors, snapshot, &mut lookup);
        for picked in picked {
            match by_pid(picked) {
                None => diagnostics.add(self.not_running(picked)),
                Some(root) if found.contains(&root) => {
                    if let Some(warning) = self.stale(picked, root) {
                        diagnostics.add(warning);
                    }
                }
                Some(root) => diagnostics.add(self.conditions_not_met(picked, root)),
            }
        }
        roots.extend(found);
        lookup.warn(diagnostics);
        roots
    }

    fn pid_file(&self, picked: &PickedPid) -> Option<&Vec<u8>> {
        match &self.selectors[picked.selector].source {
            Source::PidFile(path) => Some(path),
            _ => None,
        }
    }

    fn comm(&self, root: Root) -> Vec<u8> {
        self.snapshot.names.text(self.snapshot.processes[root.process].comm).to_vec()
    }

    fn not_running(&self, picked: &PickedPid) -> Warning {
        let pid = picked.pid;
        match self.pid_file(picked) {
            Some(path) => Warning::PidFileNotRunning { path: path.clone(), pid },
            None => Warning::PidNotRunning(pid),
        }
    }

    fn conditions_not_met(&self, picked: &PickedPid, root: Root) -> Warning {
        let path = self.pid_file(picked).cloned();
        Warning::ConditionsNotMet { path, pid: picked.pid, comm: self.comm(root) }
    }

    fn stale(&self, picked: &PickedPid, root: Root) -> Option<Warning> {
        let (path, written) = (self.pid_file(picked)?, picked.written?);
        let start = self.snapshot.processes[root.process].id.start;
        let date = date_of(start, self.clocks, self.kernel.constants().hz);
        let late = date.saturating_sub(written);
        (late > CLEARLY_AFTER).then(|| Warning::StalePidFile {
            path: path.clone(),
            pid: picked.pid,
            comm: self.comm(root),
            seconds: late / 1_000_000_000,
        })
    }
}

/// When a process started, in nanoseconds since 1970.
fn date_of(start: Ticks, clocks: Clocks, hz: Hz) -> i64 {
    let since_boot = i64::try_from(start.nanos(hz).0).unwrap_or(i64::MAX);
    let boot = i64::try_from(clocks.boot.0).unwrap_or(i64::MAX);
    clocks.wall.0.saturating_sub(boot).saturating_add(since_boot)
}

/// Looks up attributes of processes, and counts those that cannot be read.
struct CountingLookup<'l, K> {
    kernel: &'l K,
    line: Vec<u8>,
    cmdlines: Unreadable,
    exes: Unreadable,
    users: Unreadable,
}

impl<'l, K: Kernel> CountingLookup<'l, K> {
    fn new(kernel: &'l K) -> CountingLookup<'l, K> {
        CountingLookup {
            kernel,
            line: Vec::new(),
            cmdlines: Unreadable::default(),
            exes: Unreadable::default(),
            users: Unreadable::default(),
        }
    }

    fn warn(self, diagnostics: &mut Diagnostics) {
        diagnostics.add_unreadable(What::CommandLines, self.cmdlines);
        diagnostics.add_unreadable(What::Executables, self.exes);
        diagnostics.add_unreadable(What::Users, self.users);
    }
}

impl<K: Kernel> Lookup for CountingLookup<'_, K> {
    fn cmdline(&mut self, pid: Pid) -> Option<&[u8]> {
        let read = self.kernel.cmdline(pid, &mut self.line);
        read.map_err(|error| self.cmdlines.add(error)).ok()?;
        Some(&self.line)
    }

    fn exe(&mut self, pid: Pid) -> Option<Vec<u8>> {
        self.kernel.exe(pid).map_err(|error| self.exes.add(error)).ok()
    }

    fn user(&mut self, pid: Pid) -> Option<Uid> {
        self.kernel.effective_user(pid).map_err(|error| self.users.add(error)).ok()
    }

    fn out_of_time(&self) -> bool {
        self.kernel.out_of_time()
    }
}
