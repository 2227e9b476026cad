//! Finds the roots that selectors pick, and reads what only some selectors need: pid files, command
//! lines, executables, owners.

use super::doubts::Doubts;
use crate::account::doubts::Subject;
use crate::diagnostics::{Diagnostics, Warning, What};
use crate::discovery::exits;
use crate::discovery::known::Unmoved;
use crate::kernel::{Clocks, Kernel};
use crate::model::buffer::Buffer;
use crate::model::control_group::ControlGroup;
use crate::model::exit::Exit;
use crate::model::pid_file::{PidFile, PidFileError};
use crate::model::process::Process;
use crate::model::read_error::{ReadError, Reason, Unreadable};
use crate::model::snapshot::Snapshot;
use crate::model::units::{Hz, Pid, ProcId, Ticks, Uid};
use crate::select::roots::{self, Kind, Lookup, Root, Undecided, Unknown};
use crate::select::selector::Source;
use crate::select::selectors::{NewRoots, Selectors};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::{OnceCell, RefCell};

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
    /// The pid file that names it. `None` if there is none.
    file: Option<NamingFile>,
}

/// A pid file that names a process.
#[derive(Debug)]
struct NamingFile {
    path: Vec<u8>,
    /// When it was last written, in nanoseconds since 1970.
    written: i64,
}

/// The processes that selectors pick by pid. Reads their pid files. A file that does not exist, or a glob
/// that matches none, names no process; of one that cannot be read, nobody knows.
pub fn picked_pids(
    selectors: &Selectors,
    kernel: &impl Kernel,
    diagnostics: &mut Diagnostics,
    doubts: &mut Doubts,
) -> Vec<PickedPid> {
    let mut picked = Vec::new();
    for (index, selector) in selectors.iter().enumerate() {
        match &selector.source {
            Source::Pid(pid) => {
                picked.push(PickedPid { selector: index, pid: *pid, file: None });
            }
            Source::PidFile(path) => {
                let (files, error) = naming_files(path, kernel);
                let of_file = |(pid, file)| PickedPid { selector: index, pid, file: Some(file) };
                picked.extend(files.into_iter().map(of_file));
                if let Some((path, error)) = error {
                    let is_absent = matches!(error, PidFileError::NotFound | PidFileError::NoMatch);
                    let warning = Warning::PidFile { path, error };
                    if is_absent {
                        diagnostics.add(warning);
                    } else {
                        doubts.add(warning, [Subject::Selector(index)]);
                    }
                }
            }
            _ => {}
        }
    }
    picked
}

/// A pid file or a glob, and why it names no process.
type BadFile = (Vec<u8>, PidFileError);

/// The processes that a pid file names, or all that match a glob, and why it is not known which. If several
/// files name a process, the last one that was written counts. Of several errors, the first is enough.
fn naming_files(path: &[u8], kernel: &impl Kernel) -> (BTreeMap<Pid, NamingFile>, Option<BadFile>) {
    let mut named: BTreeMap<Pid, NamingFile> = BTreeMap::new();
    let found = match kernel.pid_files(path) {
        Ok(found) => found,
        Err(error) => return (named, Some((path.to_vec(), error))),
    };
    if found.is_empty() {
        return (named, Some((path.to_vec(), PidFileError::NoMatch)));
    }
    let mut first_error = None;
    for file in found {
        match kernel.pid_file(&file) {
            Ok(PidFile { pid, written }) => {
                let is_newer = named.get(&pid).is_none_or(|known| known.written < written);
                if is_newer {
                    named.insert(pid, NamingFile { path: file, written });
                }
            }
            // It has been removed since, or is not what the glob is meant for.
            Err(PidFileError::NotFound | PidFileError::Directory | PidFileError::NotRegular)
                if file != path => {}
            Err(error) => {
                first_error.get_or_insert((file, error));
            }
        }
    }
    (named, first_error)
}

/// The roots in one snapshot.
#[derive(Debug)]
pub struct FoundRoots {
    /// All roots, in no particular order.
    pub list: Vec<Root>,
    /// The processes with an attribute that could not be read, sorted.
    pub uncertain: Vec<Pid>,
    /// Whether a process that the kernel says nothing about may be a root.
    pub has_undecided: bool,
    /// What would be roots if the process were not psstat, or did not run it.
    pub own: Vec<Root>,
    /// What may be roots.
    pub undecided: Vec<Root>,
}

impl FoundRoots {
    /// Returns the selectors that picked a process among all processes, sorted. `None` if there may be
    /// others before the process runs again, or if `stat` alone shows which they are.
    pub fn picked_by(
        &self,
        selectors: &Selectors,
        snapshot: &Snapshot,
    ) -> impl Fn(usize) -> Option<Vec<usize>> {
        let are_read = selectors.select_by_files() && selectors.new_roots() == NewRoots::ByRunning;
        let among_all = |root: &&Root| are_read && selectors[root.selector].source.is_all();
        let mut among_all: Vec<Root> = self.list.iter().filter(among_all).copied().collect();
        roots::sort(&mut among_all);
        move |process| {
            let pid = snapshot.processes[process].id.pid;
            if !are_read || self.uncertain.binary_search(&pid).is_ok() {
                return None;
            }
            let from = among_all.partition_point(|root| root.process < process);
            let roots = among_all[from..].iter().take_while(|root| root.process == process);
            Some(roots.map(|root| root.selector).collect())
        }
    }
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
    /// The processes that have not run since the last sample.
    pub unmoved: &'f Unmoved<'f>,
    /// What is known if `/proc` hides processes.
    pub hidden: Option<&'f Warning>,
    /// The processes that have ended, if the kernel tells of each exit.
    pub exits: Option<&'f exits::Found>,
}

impl<K: Kernel> RootFinder<'_, K> {
    /// Finds all roots.
    pub fn find(
        &self,
        picked: &[PickedPid],
        control_groups: &[ControlGroup],
        diagnostics: &mut Diagnostics,
        doubts: &mut Doubts,
    ) -> FoundRoots {
        let RootFinder { selectors, snapshot, .. } = *self;
        let own =
            Own { kernel: self.kernel, line: OnceCell::new(), unanswered: RefCell::default() };
        let is_own = |process: &Process| own.is(process, snapshot.names.text(process.comm));
        let mut lookup = CountingLookup::new(self.kernel, self.exits);
        let known = |pid: Pid| self.unmoved.picked_by(pid);
        let among_all = roots::among_all(selectors, snapshot, is_own, known, &mut lookup);
        let by_pid = |picked: &PickedPid| roots::by_pid(picked.selector, picked.pid, snapshot);
        let candidates = roots::in_control_groups(selectors, snapshot, control_groups);
        let mut found = roots::among(candidates, selectors, snapshot, is_own, &mut lookup);
        let candidates = picked.iter().filter_map(by_pid).collect();
        // A pid may be that of psstat.
        let is_own = |_: &Process| Ok(false);
        found.extend(roots::among(candidates, selectors, snapshot, is_own, &mut lookup));
        lookup.add_unanswered(own.unanswered.into_inner());
        let is_undecided = |root| found.undecided.iter().any(|undecided| undecided.root == root);
        for picked in picked {
            match by_pid(picked) {
                None => self.warn_of_absent(picked, diagnostics, doubts),
                Some(root) if found.roots.contains(&root) => {
                    if let Some(warning) = self.stale(picked, root) {
                        diagnostics.add(warning);
                    }
                }
                Some(root) if is_undecided(root) => {}
                Some(root) => diagnostics.add(self.conditions_not_met(picked, root)),
            }
        }
        if let Some(hidden) = self.hidden {
            let among = |&index: &usize| selectors[index].picks_among_processes();
            let in_doubt = (0..selectors.as_slice().len()).filter(among);
            doubts.add(hidden.clone(), in_doubt.map(Subject::Selector));
        }
        let mut list = among_all.roots;
        list.extend(found.roots);
        let (kept, mut undecided): (Vec<Undecided>, Vec<Undecided>) =
            among_all.undecided.into_iter().partition(|undecided| self.is_kept(undecided));
        list.extend(kept.iter().map(|undecided| undecided.root));
        undecided.extend(found.undecided);
        let has_undecided = undecided.iter().any(|one| one.unknown == Unknown::Unreadable);
        let mut uncertain = lookup.doubt(&undecided, |root| self.pid(root), doubts);
        let mut kept: Vec<Pid> = kept.iter().map(|undecided| self.pid(undecided.root)).collect();
        kept.sort_unstable();
        uncertain.retain(|pid| kept.binary_search(pid).is_err());
        let mut own = among_all.own;
        own.extend(found.own);
        let undecided = undecided.iter().map(|undecided| undecided.root).collect();
        FoundRoots { list, uncertain, has_undecided, own, undecided }
    }

    /// Whether a process that does not answer was a root at the last sample. Then it is one now.
    fn is_kept(&self, undecided: &Undecided) -> bool {
        let Undecided { root, unknown, .. } = undecided;
        let id = self.snapshot.processes[root.process].id;
        let picked_before = || self.unmoved.picked_before(id);
        *unknown == Unknown::Unanswered
            && picked_before().is_some_and(|picked| picked.contains(&root.selector))
    }

    fn pid(&self, root: Root) -> Pid {
        self.snapshot.processes[root.process].id.pid
    }

    /// Warns that no process with that pid was found. It may be there all the same, if `/proc` hides
    /// processes or its `stat` cannot be read.
    fn warn_of_absent(
        &self,
        picked: &PickedPid,
        diagnostics: &mut Diagnostics,
        doubts: &mut Doubts,
    ) {
        let subject = Subject::Selector(picked.selector);
        if let Some(hidden) = self.hidden {
            doubts.add(hidden.clone(), [subject]);
            return;
        }
        // If it could not be read a moment ago, that counts, whatever a second reading would show.
        let Snapshot { unread, unreadable, .. } = self.snapshot;
        let unreadable = if unread.binary_search(&picked.pid).is_ok() {
            unreadable.clone()
        } else {
            let mut now = Unreadable::default();
            let error = self.kernel.stat(picked.pid, &mut Buffer::default()).err();
            error.into_iter().for_each(|error| now.add(error));
            now
        };
        match unreadable {
            Unreadable { count, first: Some(first) } => {
                let warning = Warning::Unreadable { what: What::Processes, count, first };
                doubts.add(warning, [subject]);
            }
            Unreadable { first: None, .. } => diagnostics.add(self.not_running(picked)),
        }
    }

    fn comm(&self, root: Root) -> Vec<u8> {
        self.snapshot.names.text(self.snapshot.processes[root.process].comm).to_vec()
    }

    fn not_running(&self, picked: &PickedPid) -> Warning {
        let pid = picked.pid;
        match &picked.file {
            Some(file) => Warning::PidFileNotRunning { path: file.path.clone(), pid },
            None => Warning::PidNotRunning(pid),
        }
    }

    fn conditions_not_met(&self, picked: &PickedPid, root: Root) -> Warning {
        let path = picked.file.as_ref().map(|file| file.path.clone());
        Warning::ConditionsNotMet { path, pid: picked.pid, comm: self.comm(root) }
    }

    fn stale(&self, picked: &PickedPid, root: Root) -> Option<Warning> {
        let NamingFile { path, written } = picked.file.as_ref()?;
        let start = self.snapshot.processes[root.process].id.start;
        let date = date_of(start, self.clocks, self.kernel.constants().hz);
        let late = date.saturating_sub(*written);
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

/// Finds the processes that are psstat, that run it (a shell, `sudo`, `timeout`, Telegraf), or that are
/// another psstat. Their command lines contain the patterns that psstat looks for.
struct Own<'o, K> {
    kernel: &'o K,
    line: OnceCell<Vec<ProcId>>,
    /// The errors of processes that do not answer.
    unanswered: RefCell<Vec<(Pid, ReadError)>>,
}

impl<K: Kernel> Own<'_, K> {
    /// Whether a process with that name is one of them. One whose executable may not be read is none: it
    /// belongs to another user.
    fn is(&self, process: &Process, name: &[u8]) -> Result<bool, Unknown> {
        /// How the names of programs that may be psstat begin.
        const NAME: &[u8] = b"psstat";
        if self.line.get_or_init(|| self.kernel.own_line()).contains(&process.id) {
            return Ok(true);
        }
        if !name.starts_with(NAME) {
            return Ok(false);
        }
        if process.id.pid >= Snapshot::FIRST_UNSEEN {
            // It has ended, and nothing tells more of it.
            return Ok(true);
        }
        match self.kernel.is_psstat(process.id.pid) {
            Err(error) if error.reason.is_unanswered() => {
                self.unanswered.borrow_mut().push((process.id.pid, error));
                Err(Unknown::Unanswered)
            }
            known => Ok(known.unwrap_or(false)),
        }
    }
}

/// Looks up attributes of processes, and counts those that cannot be read.
struct CountingLookup<'l, K> {
    kernel: &'l K,
    exits: Option<&'l exits::Found>,
    line: Vec<u8>,
    cmdlines: Unreadable,
    exes: Unreadable,
    users: Unreadable,
    /// The errors of processes that do not answer.
    unanswered: Vec<(Pid, ReadError)>,
    /// The processes with an attribute that could not be read.
    uncertain: Vec<Pid>,
}

impl<'l, K: Kernel> CountingLookup<'l, K> {
    fn new(kernel: &'l K, exits: Option<&'l exits::Found>) -> CountingLookup<'l, K> {
        CountingLookup {
            kernel,
            exits,
            line: Vec::new(),
            cmdlines: Unreadable::default(),
            exes: Unreadable::default(),
            users: Unreadable::default(),
            unanswered: Vec::new(),
            uncertain: Vec::new(),
        }
    }

    /// Adds errors of processes that do not answer.
    fn add_unanswered(&mut self, errors: Vec<(Pid, ReadError)>) {
        self.uncertain.extend(errors.iter().map(|(pid, _)| *pid));
        self.unanswered.extend(errors);
    }

    /// Adds a doubt for each process that is `undecided` because an attribute could not be read.
    /// Returns the processes that have such, sorted.
    fn doubt(
        mut self,
        undecided: &[Undecided],
        pid: impl Fn(Root) -> Pid,
        doubts: &mut Doubts,
    ) -> Vec<Pid> {
        for (kind, what, Unreadable { count, first }) in [
            (Kind::Cmdline, What::CommandLines, &self.cmdlines),
            (Kind::Exe, What::Executables, &self.exes),
            (Kind::User, What::Users, &self.users),
        ] {
            if let Some(first) = first.clone() {
                let because = undecided
                    .iter()
                    .filter(|one| one.kind == kind && one.unknown == Unknown::Unreadable);
                let subjects = because.map(|one| Subject::Root(one.root));
                doubts.add(Warning::Unreadable { what, count: *count, first }, subjects);
            }
        }
        self.doubt_unanswered(undecided, pid, doubts);
        self.uncertain.sort_unstable();
        self.uncertain
    }

    /// Names each process that does not answer, and counts those that were not asked because of it.
    fn doubt_unanswered(
        &self,
        undecided: &[Undecided],
        pid: impl Fn(Root) -> Pid,
        doubts: &mut Doubts,
    ) {
        let mut not_asked = Unreadable::default();
        let of_those = self.unanswered.iter().map(|(_, error)| error.clone());
        of_those.filter(|error| error.reason == Reason::NotAsked).for_each(|e| not_asked.add(e));
        let mut silent: BTreeMap<Pid, &ReadError> = BTreeMap::new();
        for (pid, error) in &self.unanswered {
            if error.reason == Reason::NoAnswer {
                silent.insert(*pid, error);
            }
        }
        // There can be as many of them as there are processes.
        let unanswered = undecided.iter().filter(|one| one.unknown == Unknown::Unanswered);
        let (of_silent, others): (Vec<Root>, Vec<Root>) =
            unanswered.map(|one| one.root).partition(|&root| silent.contains_key(&pid(root)));
        for (of, error) in silent {
            let may_be = of_silent.iter().filter(|&&root| pid(root) == of);
            let may_be = may_be.map(|&root| Subject::Unanswered(root));
            doubts.add(Warning::NoAnswer(error.path.clone()), may_be);
        }
        if let Unreadable { count, first: Some(first) } = not_asked {
            let cause = Warning::NotAsked { count, first: first.path };
            doubts.add(cause, others.into_iter().map(Subject::Unanswered));
        }
    }

    /// The record of a process that has ended, and was never seen.
    fn record_of(&self, pid: Pid) -> Option<&'l Exit> {
        let is_unseen = pid >= Snapshot::FIRST_UNSEEN;
        self.exits.filter(|_| is_unseen)?.record_of(pid)
    }

    /// The attribute that was read. `None` if the process has ended or has no such attribute.
    fn counted<T>(
        &mut self,
        pid: Pid,
        read: Result<T, ReadError>,
        unreadable: impl FnOnce(&mut Self) -> &mut Unreadable,
    ) -> Result<Option<T>, Unknown> {
        let Err(error) = read else { return Ok(read.ok()) };
        self.uncertain.push(pid);
        if error.reason == Reason::Vanished {
            return Ok(None);
        }
        if error.reason.is_unanswered() {
            self.unanswered.push((pid, error));
            return Err(Unknown::Unanswered);
        }
        unreadable(self).add(error);
        Err(Unknown::Unreadable)
    }
}

impl<K: Kernel> Lookup for CountingLookup<'_, K> {
    fn cmdline(&mut self, pid: Pid) -> Result<Option<&[u8]>, Unknown> {
        if self.record_of(pid).is_some() {
            return Ok(None);
        }
        let read = self.kernel.cmdline(pid, &mut self.line);
        let read = self.counted(pid, read, |counts| &mut counts.cmdlines)?;
        Ok(read.map(|()| &self.line[..]))
    }

    fn exe(&mut self, pid: Pid) -> Result<Option<Vec<u8>>, Unknown> {
        if let Some(exit) = self.record_of(pid) {
            return Ok(exit.exe.and_then(|exe| self.kernel.path_of(exe)));
        }
        self.counted(pid, self.kernel.exe(pid), |counts| &mut counts.exes)
    }

    fn user(&mut self, pid: Pid) -> Result<Option<Uid>, Unknown> {
        if let Some(exit) = self.record_of(pid) {
            return Ok(Some(exit.user));
        }
        self.counted(pid, self.kernel.effective_user(pid), |counts| &mut counts.users)
    }

    fn out_of_time(&self) -> bool {
        self.kernel.out_of_time()
    }
}
