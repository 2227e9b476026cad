//! Finds the processes that selectors pick, the roots of the groups.

use super::matcher::{self, Matcher, literal_start};
use super::selector::{Conditions, PathPattern, Source, User};
use super::selectors::Selectors;
use super::systemd;
use crate::model::control_group::{ControlGroup, with_below};
use crate::model::process::{Names, Process};
use crate::model::snapshot::Snapshot;
use crate::model::units::{Pid, Uid};
use alloc::rc::Rc;
use alloc::vec::Vec;
use regex::bytes::Regex;

/// A process that a selector picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root {
    /// Index of the selector.
    pub selector: usize,
    /// Index of the process in the snapshot.
    pub process: usize,
}

/// The roots, and the processes of which it is not known whether they are roots.
#[derive(Debug, Default)]
pub struct Picked {
    /// The roots.
    pub roots: Vec<Root>,
    /// The processes that may be roots: an attribute of each cannot be read.
    pub undecided: Vec<Undecided>,
    /// What would be roots if the process were not psstat, or did not run it.
    pub own: Vec<Root>,
}

/// A process that may be a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Undecided {
    /// What it may be.
    pub root: Root,
    /// The attribute that cannot be read.
    pub kind: Kind,
    /// Why it cannot be read.
    pub unknown: Unknown,
}

impl Picked {
    /// Takes back what was added of a process since there were `before` so many, if it `is_own`. If that is
    /// not known, nobody knows whether the process is a root. That is asked only of what was picked, because
    /// it costs more than to match a name.
    fn forget_own(
        &mut self,
        before: (usize, usize),
        process: &Process,
        is_own: impl Fn(&Process) -> Result<bool, Unknown>,
    ) {
        if (self.roots.len(), self.undecided.len()) == before {
            return;
        }
        match is_own(process) {
            Ok(false) => {}
            Ok(true) => {
                self.own.extend(self.roots.drain(before.0..));
                self.undecided.truncate(before.1);
            }
            Err(unknown) => {
                let undecided = |root| Undecided { root, kind: Kind::Exe, unknown };
                self.undecided.extend(self.roots.drain(before.0..).map(undecided));
            }
        }
    }

    /// Adds what another collection has.
    pub fn extend(&mut self, other: Picked) {
        self.roots.extend(other.roots);
        self.undecided.extend(other.undecided);
        self.own.extend(other.own);
    }
}

/// Why an attribute of a process that exists cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// The kernel refuses it.
    Unreadable,
    /// The process does not answer.
    Unanswered,
}

/// Reads the attributes of a process that its `stat` does not show. Each is read only if a root
/// depends on it. A process that has ended, and one without that attribute, has `None`.
pub trait Lookup {
    /// Its command line, with the arguments joined by one space.
    ///
    /// # Errors
    /// [`Unknown`] if it cannot be read.
    fn cmdline(&mut self, pid: Pid) -> Result<Option<&[u8]>, Unknown>;
    /// The path of its executable.
    ///
    /// # Errors
    /// [`Unknown`] if it cannot be read.
    fn exe(&mut self, pid: Pid) -> Result<Option<Vec<u8>>, Unknown>;
    /// Its effective user.
    ///
    /// # Errors
    /// [`Unknown`] if it cannot be read.
    fn user(&mut self, pid: Pid) -> Result<Option<Uid>, Unknown>;
    /// Whether the sample must end now.
    fn out_of_time(&self) -> bool;
}

/// The kinds of condition, the cheapest first. A name needs no further file, and is matched once
/// for all processes that have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The name of the process.
    Name,
    /// Its effective user.
    User,
    /// The path of its executable.
    Exe,
    /// Its command line.
    Cmdline,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Name, Kind::User, Kind::Exe, Kind::Cmdline];

    /// Whether there is a condition of this kind.
    fn is_in(self, conditions: &Conditions) -> bool {
        match self {
            Kind::Name => conditions.pattern.is_some(),
            Kind::User => conditions.user.is_some(),
            Kind::Exe => conditions.exe.is_some(),
            Kind::Cmdline => conditions.cmdline.is_some(),
        }
    }
}

/// The conditions of all selectors, matched against the names in a snapshot.
struct Conditional<'a> {
    selectors: &'a Selectors,
    snapshot: &'a Snapshot,
    /// For each name, by its index: the selectors whose pattern matches it, sorted.
    named: Vec<Rc<[usize]>>,
}

/// One process, matched against the conditions of all selectors.
struct Candidate<'c, 'a, L> {
    conditional: &'c Conditional<'a>,
    lookup: &'c mut L,
    index: usize,
    /// What was found out about each kind of condition that was checked.
    met: [Option<Met>; Kind::ALL.len()],
}

/// The selectors whose condition of one kind a process meets, sorted. [`Unknown`] if the attribute
/// cannot be read.
type Met = Result<Rc<[usize]>, Unknown>;

/// Whether a process meets all conditions of a selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Yes,
    No,
    /// It meets all that can be checked. One of this kind cannot.
    Unknown(Kind, Unknown),
}

impl<'a> Conditional<'a> {
    fn new(selectors: &'a Selectors, snapshot: &'a Snapshot) -> Conditional<'a> {
        let patterns = &selectors.patterns;
        let named = if patterns.is_empty() {
            Vec::new()
        } else {
            snapshot.names.texts().map(|name| patterns.matches(name).collect()).collect()
        };
        Conditional { selectors, snapshot, named }
    }

    fn with_user(&self, user: Uid) -> Rc<[usize]> {
        let selectors = self.selectors.iter().enumerate();
        selectors
            .filter(|(_, selector)| {
                selector.conditions.user.as_ref().and_then(User::id) == Some(user)
            })
            .map(|(index, _)| index)
            .collect()
    }
}

impl<'c, 'a, L: Lookup> Candidate<'c, 'a, L> {
    fn new(
        conditional: &'c Conditional<'a>,
        lookup: &'c mut L,
        index: usize,
    ) -> Candidate<'c, 'a, L> {
        Candidate { conditional, lookup, index, met: Default::default() }
    }

    /// The selectors whose condition of that kind the process meets.
    fn met(&mut self, kind: Kind) -> Met {
        if let Some(met) = &self.met[kind as usize] {
            return met.clone();
        }
        let Conditional { selectors, snapshot, named } = self.conditional;
        let process: &Process = &snapshot.processes[self.index];
        let pid = process.id.pid;
        let none = || Rc::from([]);
        let met = match kind {
            Kind::Name => Ok(named.get(Names::index(process.comm)).map_or_else(none, Rc::clone)),
            Kind::User => self
                .lookup
                .user(pid)
                .map(|user| user.map_or_else(none, |user| self.conditional.with_user(user))),
            Kind::Exe => self
                .lookup
                .exe(pid)
                .map(|path| path.map_or_else(none, |path| selectors.exes.matches(&path).collect())),
            Kind::Cmdline => self.lookup.cmdline(pid).map(|line| {
                line.map_or_else(none, |line| selectors.cmdlines.matches(line).collect())
            }),
        };
        self.met[kind as usize] = Some(met.clone());
        met
    }

    /// Whether the process meets all conditions of a selector.
    fn verdict(&mut self, selector: usize) -> Verdict {
        let conditions = &self.conditional.selectors[selector].conditions;
        let mut verdict = Verdict::Yes;
        for kind in Kind::ALL.into_iter().filter(|kind| kind.is_in(conditions)) {
            match self.met(kind) {
                Ok(met) if met.binary_search(&selector).is_ok() => {}
                Ok(_) => return Verdict::No,
                Err(unknown) => verdict = Verdict::Unknown(kind, unknown),
            }
        }
        verdict
    }

    /// Whether the process may execute what a selector wants, although the path of its executable cannot be
    /// read. Nothing else tells: `redis-server` is a link to `redis-check-rdb`, and keeps the name of the
    /// link. But a process without a command line executes nothing: it is a kernel thread or a zombie.
    ///
    /// In some containers not even root may read the path of process 1. It is taken to execute what its
    /// name says, because otherwise no group could have a line there.
    fn may_execute(&mut self, selector: usize) -> bool {
        let Conditional { selectors, snapshot, .. } = self.conditional;
        let process = &snapshot.processes[self.index];
        if process.id.pid == Pid::INIT {
            let name = snapshot.names.text(process.comm);
            let matches = |matcher: Matcher| matcher.is_match(name);
            let glob = match &selectors[selector].conditions.exe {
                Some(PathPattern::Glob(glob)) => glob,
                Some(PathPattern::Regex(regex)) => {
                    let path = [b"/", name].concat();
                    let matches = |regex: Regex| regex.is_match(&path);
                    return matcher::regex(regex).map_or(true, matches);
                }
                None => return true,
            };
            let last = glob.rsplit('/').next().unwrap_or(glob);
            let is_any = last.bytes().all(|byte| byte == b'*');
            // A part of a valid glob may be none, as of `[/]`. Then nothing is excluded.
            return !is_any
                && Matcher::of_globs([(selector, last)].into_iter()).map_or(true, matches);
        }
        let line = self.lookup.cmdline(process.id.pid);
        line.map_or(true, |line| line.is_some_and(|line| !line.is_empty()))
    }

    /// Adds the process to what a selector picks, if it meets all conditions or may meet them.
    fn judge(&mut self, selector: usize, picked: &mut Picked) {
        let root = Root { selector, process: self.index };
        match self.verdict(selector) {
            Verdict::Yes => picked.roots.push(root),
            Verdict::Unknown(Kind::Exe, Unknown::Unreadable) if !self.may_execute(selector) => {}
            Verdict::Unknown(kind, unknown) => {
                picked.undecided.push(Undecided { root, kind, unknown });
            }
            Verdict::No => {}
        }
    }
}

/// Picks among all processes, for the selectors whose source that is. `is_own` returns whether a process
/// is psstat or runs it, and so never a root. `picked_by` returns the selectors of a process for which they
/// are known.
pub fn among_all<'k>(
    selectors: &Selectors,
    snapshot: &Snapshot,
    is_own: impl Fn(&Process) -> Result<bool, Unknown>,
    picked_by: impl Fn(Pid) -> Option<&'k [usize]>,
    lookup: &mut impl Lookup,
) -> Picked {
    // For each selector, the cheapest of its conditions is checked first, and the others only if
    // the process meets it. So a selector that does not match costs nothing more.
    let found_by: Vec<Option<Kind>> = selectors
        .iter()
        .map(|selector| {
            let has_condition = |kind: &Kind| kind.is_in(&selector.conditions);
            Kind::ALL.into_iter().find(has_condition).filter(|_| selector.source.is_all())
        })
        .collect();
    let kinds: Vec<Kind> =
        Kind::ALL.into_iter().filter(|&kind| found_by.contains(&Some(kind))).collect();
    let reads_files = kinds.iter().any(|&kind| kind != Kind::Name);
    let mut picked = Picked::default();
    if kinds.is_empty() {
        return picked;
    }
    let conditional = Conditional::new(selectors, snapshot);
    for (index, process) in snapshot.processes.iter().enumerate() {
        if reads_files && lookup.out_of_time() {
            break;
        }
        let before = (picked.roots.len(), picked.undecided.len());
        if let Some(known) = picked_by(process.id.pid) {
            let known = known.iter().map(|&selector| Root { selector, process: index });
            picked.roots.extend(known);
            picked.forget_own(before, process, &is_own);
            continue;
        }
        let mut candidate = Candidate::new(&conditional, lookup, index);
        for &kind in &kinds {
            let is_found_by = |selector: &usize| found_by[*selector] == Some(kind);
            let may_match: Rc<[usize]> = match candidate.met(kind) {
                Ok(met) => met,
                Err(_) => (0..found_by.len()).collect(),
            };
            for &selector in may_match.iter().filter(|selector| is_found_by(selector)) {
                candidate.judge(selector, &mut picked);
            }
        }
        picked.forget_own(before, process, &is_own);
    }
    picked
}

/// Sorts roots by process, and those of one process by selector.
pub fn sort(roots: &mut [Root]) {
    roots.sort_unstable_by_key(|root| (root.process, root.selector));
}

/// Picks the candidates that meet the conditions of their selector. `is_own` is as for [`among_all`].
pub fn among(
    mut candidates: Vec<Root>,
    selectors: &Selectors,
    snapshot: &Snapshot,
    is_own: impl Fn(&Process) -> Result<bool, Unknown>,
    lookup: &mut impl Lookup,
) -> Picked {
    if candidates.iter().all(|root| selectors[root.selector].conditions.is_empty()) {
        return Picked { roots: candidates, ..Picked::default() };
    }
    let conditional = Conditional::new(selectors, snapshot);
    sort(&mut candidates);
    candidates.dedup();
    let mut picked = Picked::default();
    for of_process in candidates.chunk_by(|one, other| one.process == other.process) {
        if lookup.out_of_time() {
            break;
        }
        let before = (picked.roots.len(), picked.undecided.len());
        let process = of_process[0].process;
        let mut candidate = Candidate::new(&conditional, lookup, process);
        for root in of_process {
            candidate.judge(root.selector, &mut picked);
        }
        picked.forget_own(before, &snapshot.processes[process], &is_own);
    }
    picked
}

/// Returns the processes in the control groups of selectors that have conditions. They are
/// candidates: their conditions are not checked.
pub fn in_control_groups(
    selectors: &Selectors,
    snapshot: &Snapshot,
    control_groups: &[ControlGroup],
) -> Vec<Root> {
    let mut candidates = Vec::new();
    for (index, top) in control_groups.iter().enumerate() {
        for &selector in &top.selectors {
            if selectors[selector].conditions.is_empty() {
                continue;
            }
            let pids = with_below(control_groups, index).iter().flat_map(|below| &below.pids);
            let indices = pids.filter_map(|&pid| snapshot.find(pid));
            candidates.extend(indices.map(|process| Root { selector, process }));
        }
    }
    candidates
}

/// Returns the process with that pid as a root. `None` if it is not in the snapshot.
pub fn by_pid(selector: usize, pid: Pid, snapshot: &Snapshot) -> Option<Root> {
    snapshot.find(pid).map(|process| Root { selector, process })
}

/// Returns the indices of the selectors that pick a control group, given its path and the id of its
/// unit.
pub fn by_control_group(selectors: &Selectors, path: &[u8], unit: Option<&[u8]>) -> Vec<usize> {
    let mut picked: Vec<usize> = Vec::new();
    if let Some(id) = unit.filter(|_| !selectors.units.is_empty()) {
        picked.extend(selectors.units.matches(id));
    }
    if path.is_empty() {
        // Globs match paths below the root, so none matches the root itself. Only `/` picks it.
        let is_root = |source: &Source| matches!(source, Source::ControlGroup(path) if path.glob() == Some(""));
        let roots = selectors.iter().enumerate().filter(|(_, one)| is_root(&one.source));
        picked.extend(roots.map(|(selector, _)| selector));
    } else if !selectors.control_groups.is_empty() {
        picked.extend(selectors.control_groups.matches(path));
    }
    picked
}

/// Whether a selector of paths may pick a control group below that path.
pub fn may_pick_below(selectors: &Selectors, path: &[u8]) -> bool {
    selectors.iter().any(|selector| match &selector.source {
        Source::ControlGroup(pattern) => may_match_below(pattern, path),
        _ => false,
    })
}

/// Whether a pattern may match a path below that one. It can if that one leads to its literal start, or goes
/// on from it.
pub fn may_match_below(pattern: &PathPattern, path: &[u8]) -> bool {
    let literal = literal_start(pattern);
    let literal = literal.as_bytes();
    let goes_on = pattern.glob().is_none_or(systemd::is_glob);
    match literal.strip_prefix(path) {
        // The path ends at or before the end of the literal start.
        Some(rest) if path.is_empty() => goes_on || !rest.is_empty(),
        Some([]) => goes_on,
        Some(rest) => rest.starts_with(b"/"),
        None => goes_on && path.starts_with(literal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::process::{Life, Times};
    use crate::model::units::{ProcId, Ticks};
    use crate::select::selector::Selector;
    use alloc::borrow::ToOwned;
    use alloc::collections::BTreeMap;
    use alloc::string::String;
    use alloc::vec;
    use proptest::prelude::*;

    /// The attributes of one process.
    #[derive(Clone, Debug)]
    struct Attributes {
        name: &'static str,
        cmdline: Option<&'static str>,
        exe: Option<&'static str>,
        user: Option<u32>,
        /// What may not be read.
        denied: Option<Kind>,
    }

    /// Looks up attributes in a list and counts the lookups.
    struct CountingLookup {
        processes: Vec<Attributes>,
        lookups: BTreeMap<(Pid, &'static str), usize>,
    }

    impl CountingLookup {
        fn new(processes: &[Attributes]) -> CountingLookup {
            CountingLookup { processes: processes.to_vec(), lookups: BTreeMap::new() }
        }

        fn attributes(&mut self, pid: Pid, attribute: &'static str) -> &Attributes {
            *self.lookups.entry((pid, attribute)).or_default() += 1;
            &self.processes[pid.number() as usize - 1]
        }

        fn known(&self, pid: Pid, kind: Kind) -> Result<(), Unknown> {
            let denied = self.processes[pid.number() as usize - 1].denied;
            if denied == Some(kind) { Err(Unknown::Unreadable) } else { Ok(()) }
        }
    }

    impl Lookup for CountingLookup {
        fn cmdline(&mut self, pid: Pid) -> Result<Option<&[u8]>, Unknown> {
            self.known(pid, Kind::Cmdline)?;
            Ok(self.attributes(pid, "cmdline").cmdline.map(str::as_bytes))
        }

        fn exe(&mut self, pid: Pid) -> Result<Option<Vec<u8>>, Unknown> {
            self.known(pid, Kind::Exe)?;
            Ok(self.attributes(pid, "exe").exe.map(|path| path.as_bytes().to_vec()))
        }

        fn user(&mut self, pid: Pid) -> Result<Option<Uid>, Unknown> {
            self.known(pid, Kind::User)?;
            Ok(self.attributes(pid, "user").user.map(Uid))
        }

        fn out_of_time(&self) -> bool {
            false
        }
    }

    fn snapshot(processes: &[Attributes]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (index, attributes) in processes.iter().enumerate() {
            let id = ProcId { pid: Pid::new(index as u32 + 1), start: Ticks(0) };
            let comm = snapshot.names.id(attributes.name.as_bytes());
            let (parent, times, life) = (Pid::NONE, Times::default(), Life::Alive);
            let clock = None;
            snapshot.processes.push(Process { clock, id, parent, times, life, threads: 1, comm });
        }
        snapshot
    }

    fn of_all(pattern: Option<&str>, cmdline: Option<&str>, exe: Option<&str>) -> Selector {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let (pattern, cmdline) = (text(pattern), text(cmdline));
        let exe = text(exe).map(PathPattern::Glob);
        Selector::of_all(None, Conditions { pattern, cmdline, exe, user: None })
    }

    fn selectors(list: Vec<Selector>) -> Selectors {
        Selectors::new(list).unwrap()
    }

    fn picked(roots: &[Root]) -> Vec<(usize, usize)> {
        let mut picked: Vec<_> = roots.iter().map(|root| (root.process, root.selector)).collect();
        picked.sort_unstable();
        picked
    }

    const NGINX: Attributes = Attributes {
        name: "nginx",
        cmdline: Some("nginx -g"),
        exe: Some("/sbin/nginx"),
        user: Some(33),
        denied: None,
    };
    const SHELL: Attributes = Attributes {
        name: "sh",
        cmdline: Some("sh -c nginx"),
        exe: Some("/bin/sh"),
        user: Some(0),
        denied: None,
    };
    const KERNEL: Attributes =
        Attributes { name: "kworker", cmdline: None, exe: None, user: None, denied: None };

    #[test]
    fn all_conditions_of_a_selector_must_hold() {
        let processes = [NGINX, SHELL, KERNEL];
        let mut conditional = of_all(None, Some("nginx"), None);
        conditional.conditions.user = Some(User::Id(Uid(0)));
        let selectors = selectors(vec![
            of_all(Some("nginx"), None, None),
            of_all(None, Some("nginx"), None),
            of_all(Some("nginx"), None, Some("/bin/*")),
            of_all(Some("h"), Some("-c"), Some("*/sh")),
            conditional,
        ]);
        let mut lookup = CountingLookup::new(&processes);
        let roots =
            among_all(&selectors, &snapshot(&processes), |_| Ok(false), |_| None, &mut lookup)
                .roots;
        assert_eq!(picked(&roots), [(0, 0), (0, 1), (1, 1), (1, 3), (1, 4)]);
    }

    #[test]
    fn psstat_is_never_a_root() {
        let (processes, selectors) =
            ([NGINX, NGINX], selectors(vec![of_all(Some("nginx"), None, None)]));
        let own = |process: &Process| Ok(process.id.pid == Pid::new(1));
        let mut lookup = CountingLookup::new(&processes);
        let roots = among_all(&selectors, &snapshot(&processes), own, |_| None, &mut lookup).roots;
        assert_eq!(picked(&roots), [(1, 0)]);
    }

    #[test]
    fn files_are_read_only_if_the_name_matches() {
        let processes = [NGINX, SHELL, KERNEL];
        let selectors = selectors(vec![
            of_all(Some("nginx"), Some("-g"), Some("*")),
            of_all(Some("nginx"), Some("-x"), None),
        ]);
        let mut lookup = CountingLookup::new(&processes);
        let roots =
            among_all(&selectors, &snapshot(&processes), |_| Ok(false), |_| None, &mut lookup)
                .roots;
        assert_eq!(picked(&roots), [(0, 0)]);
        let first = Pid::new(1);
        let once = BTreeMap::from([((first, "cmdline"), 1), ((first, "exe"), 1)]);
        assert_eq!(lookup.lookups, once, "each attribute is read once");
    }

    #[test]
    fn conditions_apply_to_candidates_of_every_source() {
        let processes = [NGINX, SHELL, KERNEL];
        let mut by_pid = Selector::new(None, Source::Pid(Pid::new(1)));
        by_pid.conditions.exe = Some(PathPattern::Glob("*/sh".to_owned()));
        let free = Selector::new(None, Source::Pid(Pid::new(1)));
        let selectors = selectors(vec![by_pid, free]);
        let candidate = |selector, process| Root { selector, process };
        let all = vec![candidate(0, 0), candidate(1, 0), candidate(0, 1)];
        let snapshot = snapshot(&processes);
        let mut lookup = CountingLookup::new(&processes);
        let roots = among(all, &selectors, &snapshot, |_| Ok(false), &mut lookup).roots;
        assert_eq!(picked(&roots), [(0, 1), (1, 0)]);
        let mut lookup = CountingLookup::new(&processes);
        among(vec![candidate(1, 2)], &selectors, &snapshot, |_| Ok(false), &mut lookup);
        assert!(lookup.lookups.is_empty());
    }

    #[test]
    fn control_group_candidates_include_those_below() {
        let processes = [NGINX, SHELL, KERNEL];
        let mut conditional =
            Selector::new(None, Source::ControlGroup(PathPattern::Glob("a".to_owned())));
        conditional.conditions.pattern = Some("x".to_owned());
        let whole = Selector::new(None, Source::ControlGroup(PathPattern::Glob("a".to_owned())));
        let selectors = selectors(vec![conditional, whole]);
        let group = |pid, selectors: &[usize], end| ControlGroup {
            pids: vec![Pid::new(pid)],
            selectors: selectors.to_vec(),
            end,
            ..ControlGroup::default()
        };
        let groups = [group(1, &[0, 1], 2), group(2, &[], 2), group(3, &[], 3)];
        let candidates = in_control_groups(&selectors, &snapshot(&processes), &groups);
        assert_eq!(picked(&candidates), [(0, 0), (1, 0)]);
    }

    #[test]
    fn a_process_that_may_be_psstat_may_be_a_root() {
        let processes = [NGINX, NGINX, NGINX];
        let selectors = selectors(vec![of_all(Some("nginx"), None, None)]);
        let snapshot = snapshot(&processes);
        let own = |process: &Process| match process.id.pid.number() {
            1 => Ok(true),
            2 => Err(Unknown::Unanswered),
            _ => Ok(false),
        };
        let candidates = (0..3).map(|process| Root { selector: 0, process }).collect();
        let mut lookup = CountingLookup::new(&processes);
        for found in [
            among_all(&selectors, &snapshot, own, |_| None, &mut lookup),
            among(candidates, &selectors, &snapshot, own, &mut lookup),
        ] {
            assert_eq!(picked(&found.roots), [(2, 0)]);
            let root = Root { selector: 0, process: 1 };
            let undecided = Undecided { root, kind: Kind::Exe, unknown: Unknown::Unanswered };
            assert_eq!(found.undecided, [undecided]);
        }
    }

    fn attributes() -> impl Strategy<Value = Attributes> {
        let text = proptest::option::of(proptest::sample::select(&["a", "ab", "b", "c"][..]));
        let name = proptest::sample::select(&["a", "ab", "b"][..]);
        let kinds = proptest::sample::select(&Kind::ALL[1..]);
        let denied = proptest::option::of(kinds);
        (name, text.clone(), text, proptest::option::of(0..3u32), denied).prop_map(
            |(name, cmdline, exe, user, denied)| Attributes { name, cmdline, exe, user, denied },
        )
    }

    fn selector() -> impl Strategy<Value = Selector> {
        let regex = || proptest::option::of(proptest::sample::select(&["a", "b", "^a$"][..]));
        let glob = proptest::option::of(proptest::sample::select(&["a*", "b", "?"][..]));
        let user = proptest::option::of(0..3u32);
        (regex(), regex(), glob, user)
            .prop_filter("a condition", |(a, b, c, d)| {
                a.is_some() || b.is_some() || c.is_some() || d.is_some()
            })
            .prop_map(|(pattern, cmdline, exe, user)| {
                let mut selector = of_all(pattern, cmdline, exe);
                selector.conditions.user = user.map(|user| User::Id(Uid(user)));
                selector
            })
    }

    /// Checks the conditions one by one, by their definition. `None` if it depends on an attribute that
    /// cannot be read.
    fn meets_all(is_init: bool, attributes: &Attributes, conditions: &Conditions) -> Option<bool> {
        let finds = |regex: &Option<String>, text: Option<&str>| match regex.as_deref() {
            None => true,
            Some("^a$") => text == Some("a"),
            Some(part) => text.is_some_and(|text| text.contains(part)),
        };
        let glob_matches =
            |text: Option<&str>| match conditions.exe.as_ref().and_then(PathPattern::glob) {
                None => true,
                Some("a*") => text.is_some_and(|text| text.starts_with('a')),
                Some("?") => text.is_some_and(|text| text.len() == 1),
                Some(glob) => text == Some(glob),
            };
        let holds = |kind| match kind {
            Kind::Name => finds(&conditions.pattern, Some(attributes.name)),
            Kind::Cmdline => finds(&conditions.cmdline, attributes.cmdline),
            Kind::Exe => glob_matches(attributes.exe),
            Kind::User => conditions.user.as_ref().is_none_or(|user| {
                attributes.user.map(|uid| User::Id(Uid(uid))).as_ref() == Some(user)
            }),
        };
        let (denied, readable): (Vec<Kind>, Vec<Kind>) =
            Kind::ALL.into_iter().partition(|&kind| attributes.denied == Some(kind));
        let depends = denied.into_iter().any(|kind| kind.is_in(conditions));
        let meets_readable = readable.into_iter().all(holds);
        let is_possible = match attributes.denied {
            Some(Kind::Exe) if is_init => glob_matches(Some(attributes.name)),
            Some(Kind::Exe) => attributes.cmdline.is_some(),
            _ => true,
        };
        match meets_readable {
            true if depends && is_possible => None,
            met => Some(met && !depends),
        }
    }

    proptest! {
        #[test]
        fn roots_meet_all_conditions_and_are_read_once(
            processes in proptest::collection::vec(attributes(), 1..8),
            selectors in proptest::collection::vec(selector(), 1..8),
        ) {
            let [mut expected, mut unknown] = [Vec::new(), Vec::new()];
            for (process, attributes) in processes.iter().enumerate() {
                for (selector, picked) in selectors.iter().enumerate() {
                    match meets_all(process == 0, attributes, &picked.conditions) {
                        Some(true) => expected.push((process, selector)),
                        Some(false) => {}
                        None => unknown.push((process, selector)),
                    }
                }
            }
            let selectors = Selectors::new(selectors).unwrap();
            let snapshot = snapshot(&processes);
            let mut lookup = CountingLookup::new(&processes);
            let found = among_all(&selectors, &snapshot, |_| Ok(false), |_| None, &mut lookup);
            prop_assert_eq!(picked(&found.roots), expected);
            let undecided: Vec<Root> = found.undecided.iter().map(|one| one.root).collect();
            prop_assert_eq!(picked(&undecided), unknown);
            for Undecided { root, kind, .. } in found.undecided {
                prop_assert_eq!(processes[root.process].denied, Some(kind));
            }
            for ((_, attribute), times) in lookup.lookups {
                // The command line also tells what a process may execute.
                prop_assert!(times == 1 || attribute == "cmdline", "{attribute}: {times}");
            }
        }
    }
}
