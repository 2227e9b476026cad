//! Finds the processes that selectors pick, the roots of the groups.

use super::selector::{Conditions, Source};
use super::selectors::Selectors;
use crate::model::control_group::ControlGroup;
use crate::model::process::{Names, Process};
use crate::model::snapshot::Snapshot;
use crate::model::units::{Pid, Uid};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// A process that a selector picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// Index of the selector.
    pub selector: usize,
    /// Index of the process in the snapshot.
    pub process: usize,
}

/// Reads the attributes of a process that its `stat` does not show. Each is read only if a root
/// depends on it, and once per process. `None` means that it cannot be read.
pub trait Lookup {
    /// Its command line, with the arguments joined by one space.
    fn cmdline(&mut self, pid: Pid) -> Option<&[u8]>;
    /// The path of its executable.
    fn exe(&mut self, pid: Pid) -> Option<Vec<u8>>;
    /// Its effective user.
    fn user(&mut self, pid: Pid) -> Option<Uid>;
    /// Whether the sample must end now.
    fn out_of_time(&self) -> bool;
}

/// The kinds of condition, the cheapest first. A name needs no further file, and is matched once
/// for all processes that have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Name,
    User,
    Exe,
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
    /// For each kind of condition that was checked: the selectors whose condition the process
    /// meets, sorted.
    met: [Option<Rc<[usize]>>; Kind::ALL.len()],
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
            .filter(|(_, selector)| selector.conditions.user == Some(user))
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
    fn met(&mut self, kind: Kind) -> Rc<[usize]> {
        if let Some(met) = &self.met[kind as usize] {
            return Rc::clone(met);
        }
        let Conditional { selectors, snapshot, named } = self.conditional;
        let process: &Process = &snapshot.processes[self.index];
        let pid = process.id.pid;
        let none = || Rc::from([]);
        let met = match kind {
            Kind::Name => named.get(Names::index(process.comm)).map_or_else(none, Rc::clone),
            Kind::User => {
                self.lookup.user(pid).map_or_else(none, |user| self.conditional.with_user(user))
            }
            Kind::Exe => {
                let path = self.lookup.exe(pid);
                path.map_or_else(none, |path| selectors.exes.matches(&path).collect())
            }
            Kind::Cmdline => {
                let line = self.lookup.cmdline(pid);
                line.map_or_else(none, |line| selectors.cmdlines.matches(line).collect())
            }
        };
        self.met[kind as usize] = Some(Rc::clone(&met));
        met
    }

    /// Whether the process meets all conditions of a selector.
    fn meets_all(&mut self, selector: usize) -> bool {
        let conditions = &self.conditional.selectors[selector].conditions;
        Kind::ALL
            .into_iter()
            .all(|kind| !kind.is_in(conditions) || self.met(kind).binary_search(&selector).is_ok())
    }
}

/// Returns the roots of the selectors whose source is all processes. `own` is the pid of psstat,
/// which is never a root. `picked_by` returns the selectors of a process for which they are known.
pub fn among_all<'k>(
    selectors: &Selectors,
    snapshot: &Snapshot,
    own: Option<Pid>,
    picked_by: impl Fn(Pid) -> Option<&'k [usize]>,
    lookup: &mut impl Lookup,
) -> Vec<Root> {
    // For each selector, the cheapest of its conditions is checked first, and the others only if
    // the process meets it. So a selector that does not match costs nothing more.
    let found_by: Vec<Option<Kind>> = selectors
        .iter()
        .map(|selector| {
            let has_condition = |kind: &Kind| kind.is_in(&selector.conditions);
            Kind::ALL.into_iter().find(has_condition).filter(|_| selector.source == Source::All)
        })
        .collect();
    let kinds: Vec<Kind> =
        Kind::ALL.into_iter().filter(|&kind| found_by.contains(&Some(kind))).collect();
    let reads_files = kinds.iter().any(|&kind| kind != Kind::Name);
    let mut roots = Vec::new();
    if kinds.is_empty() {
        return roots;
    }
    let conditional = Conditional::new(selectors, snapshot);
    for (index, process) in snapshot.processes.iter().enumerate() {
        if Some(process.id.pid) == own {
            continue;
        }
        if reads_files && lookup.out_of_time() {
            break;
        }
        if let Some(known) = picked_by(process.id.pid) {
            roots.extend(known.iter().map(|&selector| Root { selector, process: index }));
            continue;
        }
        let mut candidate = Candidate::new(&conditional, lookup, index);
        for &kind in &kinds {
            for &selector in candidate.met(kind).iter() {
                if found_by[selector] == Some(kind) && candidate.meets_all(selector) {
                    roots.push(Root { selector, process: index });
                }
            }
        }
    }
    roots
}

/// Returns the candidates that meet the conditions of their selector.
pub fn among(
    mut candidates: Vec<Root>,
    selectors: &Selectors,
    snapshot: &Snapshot,
    lookup: &mut impl Lookup,
) -> Vec<Root> {
    if candidates.iter().all(|root| selectors[root.selector].conditions.is_empty()) {
        return candidates;
    }
    let conditional = Conditional::new(selectors, snapshot);
    candidates.sort_by_key(|root| (root.process, root.selector));
    candidates.dedup();
    let mut roots = Vec::new();
    for of_process in candidates.chunk_by(|one, other| one.process == other.process) {
        if lookup.out_of_time() {
            break;
        }
        let mut candidate = Candidate::new(&conditional, lookup, of_process[0].process);
        roots.extend(of_process.iter().filter(|root| candidate.meets_all(root.selector)));
    }
    roots
}

/// Returns the processes in the control groups of selectors that have conditions. They are
/// candidates: their conditions are not checked. `own` is the pid of psstat, which is never a root.
pub fn in_control_groups(
    selectors: &Selectors,
    snapshot: &Snapshot,
    control_groups: &[ControlGroup],
    own: Option<Pid>,
) -> Vec<Root> {
    let mut candidates = Vec::new();
    for (index, top) in control_groups.iter().enumerate() {
        for &selector in &top.selectors {
            if selectors[selector].conditions.is_empty() {
                continue;
            }
            let pids = control_groups[index..top.end].iter().flat_map(|below| &below.pids);
            let processes = pids.filter(|&&pid| Some(pid) != own);
            let indices = processes.filter_map(|&pid| snapshot.find(pid));
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
        let is_root =
            |source: &Source| matches!(source, Source::ControlGroup(glob) if glob.is_empty());
        let roots = selectors.iter().enumerate().filter(|(_, one)| is_root(&one.source));
        picked.extend(roots.map(|(selector, _)| selector));
    } else if !selectors.control_groups.is_empty() {
        picked.extend(selectors.control_groups.matches(path));
    }
    picked
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
    }

    impl Lookup for CountingLookup {
        fn cmdline(&mut self, pid: Pid) -> Option<&[u8]> {
            self.attributes(pid, "cmdline").cmdline.map(str::as_bytes)
        }

        fn exe(&mut self, pid: Pid) -> Option<Vec<u8>> {
            self.attributes(pid, "exe").exe.map(|path| path.as_bytes().to_vec())
        }

        fn user(&mut self, pid: Pid) -> Option<Uid> {
            self.attributes(pid, "user").user.map(Uid)
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
        let (pattern, cmdline, exe) = (text(pattern), text(cmdline), text(exe));
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
    };
    const SHELL: Attributes = Attributes {
        name: "sh",
        cmdline: Some("sh -c nginx"),
        exe: Some("/bin/sh"),
        user: Some(0),
    };
    const KERNEL: Attributes = Attributes { name: "kworker", cmdline: None, exe: None, user: None };

    #[test]
    fn all_conditions_of_a_selector_must_hold() {
        let processes = [NGINX, SHELL, KERNEL];
        let mut conditional = of_all(None, Some("nginx"), None);
        conditional.conditions.user = Some(Uid(0));
        let selectors = selectors(vec![
            of_all(Some("nginx"), None, None),
            of_all(None, Some("nginx"), None),
            of_all(Some("nginx"), None, Some("/bin/*")),
            of_all(Some("h"), Some("-c"), Some("*/sh")),
            conditional,
        ]);
        let mut lookup = CountingLookup::new(&processes);
        let roots = among_all(&selectors, &snapshot(&processes), None, |_| None, &mut lookup);
        assert_eq!(picked(&roots), [(0, 0), (0, 1), (1, 1), (1, 3), (1, 4)]);
    }

    #[test]
    fn psstat_is_never_a_root() {
        let (processes, selectors) =
            ([NGINX, NGINX], selectors(vec![of_all(Some("nginx"), None, None)]));
        let own = Some(Pid::new(1));
        let mut lookup = CountingLookup::new(&processes);
        let roots = among_all(&selectors, &snapshot(&processes), own, |_| None, &mut lookup);
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
        let roots = among_all(&selectors, &snapshot(&processes), None, |_| None, &mut lookup);
        assert_eq!(picked(&roots), [(0, 0)]);
        let first = Pid::new(1);
        let once = BTreeMap::from([((first, "cmdline"), 1), ((first, "exe"), 1)]);
        assert_eq!(lookup.lookups, once, "each attribute is read once");
    }

    #[test]
    fn conditions_apply_to_candidates_of_every_source() {
        let processes = [NGINX, SHELL, KERNEL];
        let mut by_pid = Selector::new(None, Source::Pid(Pid::new(1)));
        by_pid.conditions.exe = Some("*/sh".to_owned());
        let free = Selector::new(None, Source::Pid(Pid::new(1)));
        let selectors = selectors(vec![by_pid, free]);
        let candidate = |selector, process| Root { selector, process };
        let all = vec![candidate(0, 0), candidate(1, 0), candidate(0, 1)];
        let snapshot = snapshot(&processes);
        let roots = among(all, &selectors, &snapshot, &mut CountingLookup::new(&processes));
        assert_eq!(picked(&roots), [(0, 1), (1, 0)]);
        let mut lookup = CountingLookup::new(&processes);
        among(vec![candidate(1, 2)], &selectors, &snapshot, &mut lookup);
        assert!(lookup.lookups.is_empty());
    }

    #[test]
    fn control_group_candidates_include_those_below() {
        let processes = [NGINX, SHELL, KERNEL];
        let mut conditional = Selector::new(None, Source::ControlGroup("a".to_owned()));
        conditional.conditions.pattern = Some("x".to_owned());
        let whole = Selector::new(None, Source::ControlGroup("a".to_owned()));
        let selectors = selectors(vec![conditional, whole]);
        let group = |pid, selectors: &[usize], end| ControlGroup {
            pids: vec![Pid::new(pid)],
            selectors: selectors.to_vec(),
            end,
            ..ControlGroup::default()
        };
        let groups = [group(1, &[0, 1], 2), group(2, &[], 2), group(3, &[], 3)];
        let candidates =
            |own| picked(&in_control_groups(&selectors, &snapshot(&processes), &groups, own));
        assert_eq!(candidates(None), [(0, 0), (1, 0)]);
        assert_eq!(candidates(Some(Pid::new(2))), [(0, 0)]);
    }

    fn attributes() -> impl Strategy<Value = Attributes> {
        let text = proptest::option::of(proptest::sample::select(&["a", "ab", "b", "c"][..]));
        let name = proptest::sample::select(&["a", "ab", "b"][..]);
        (name, text.clone(), text, proptest::option::of(0..3u32))
            .prop_map(|(name, cmdline, exe, user)| Attributes { name, cmdline, exe, user })
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
                selector.conditions.user = user.map(Uid);
                selector
            })
    }

    /// Checks the conditions one by one, by their definition.
    fn meets_all(attributes: &Attributes, conditions: &Conditions) -> bool {
        let finds = |regex: &Option<String>, text: Option<&str>| match regex.as_deref() {
            None => true,
            Some("^a$") => text == Some("a"),
            Some(part) => text.is_some_and(|text| text.contains(part)),
        };
        let matches = match conditions.exe.as_deref() {
            None => true,
            Some("a*") => attributes.exe.is_some_and(|path| path.starts_with('a')),
            Some("?") => attributes.exe.is_some_and(|path| path.len() == 1),
            Some(glob) => attributes.exe == Some(glob),
        };
        finds(&conditions.pattern, Some(attributes.name))
            && finds(&conditions.cmdline, attributes.cmdline)
            && matches
            && conditions.user.is_none_or(|user| attributes.user == Some(user.0))
    }

    proptest! {
        #[test]
        fn roots_meet_all_conditions_and_are_read_once(
            processes in proptest::collection::vec(attributes(), 1..8),
            selectors in proptest::collection::vec(selector(), 1..8),
        ) {
            let mut expected = Vec::new();
            for (process, attributes) in processes.iter().enumerate() {
                for (selector, picked) in selectors.iter().enumerate() {
                    if meets_all(attributes, &picked.conditions) {
                        expected.push((process, selector));
                    }
                }
            }
            let selectors = Selectors::new(selectors).unwrap();
            let mut lookup = CountingLookup::new(&processes);
            let roots = among_all(&selectors, &snapshot(&processes), None, |_| None, &mut lookup);
            prop_assert_eq!(picked(&roots), expected);
            prop_assert!(lookup.lookups.values().all(|&times| times == 1), "{:?}", lookup.lookups);
        }
    }
}
