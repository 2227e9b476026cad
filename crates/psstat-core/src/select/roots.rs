//! From selectors and processes to the roots of the groups.

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

/// Looks up the attributes of a process that its `stat` does not show. Each is looked up only if a
/// root depends on it, and once per process. `None` means that it cannot be read.
pub trait Lookup {
    /// Its command line, arguments joined by one space.
    fn cmdline(&mut self, pid: Pid) -> Option<&[u8]>;
    /// The path of its executable.
    fn exe(&mut self, pid: Pid) -> Option<Vec<u8>>;
    /// Its effective user.
    fn user(&mut self, pid: Pid) -> Option<Uid>;
    /// Whether the sample must end now.
    fn out_of_time(&self) -> bool;
}

/// The kinds of condition, the cheapest first: a name is known from the scan, and is matched once
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

    fn is_asked_by(self, conditions: &Conditions) -> bool {
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
    /// For each kind of condition that was looked at: the selectors whose condition it meets,
    /// sorted.
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
        Kind::ALL.into_iter().all(|kind| {
            !kind.is_asked_by(conditions) || self.met(kind).binary_search(&selector).is_ok()
        })
    }
}

/// The roots of the selectors whose source is all processes. `own` is psstat itself, which is
/// never a root.
pub fn among_all(
    selectors: &Selectors,
    snapshot: &Snapshot,
    own: Option<Pid>,
    lookup: &mut impl Lookup,
) -> Vec<Root> {
    // Each selector is found by the cheapest of its conditions; its other conditions are looked at
    // only then. So a selector that does not match costs nothing, however many there are.
    let found_by: Vec<Option<Kind>> = selectors
        .iter()
        .map(|selector| {
            let asked = |kind: &Kind| kind.is_asked_by(&selector.conditions);
            Kind::ALL.into_iter().find(asked).filter(|_| selector.source == Source::All)
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

/// The candidates that meet the conditions of their selector.
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

/// The processes of control groups in which selectors look for roots. `own` is psstat itself,
/// which is never a root.
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

/// The process of that pid, if it is in the snapshot.
pub fn by_pid(selector: usize, pid: Pid, snapshot: &Snapshot) -> Option<Root> {
    snapshot.find(pid).map(|process| Root { selector, process })
}

/// The selectors that pick a control group, from its path and the id of the unit that it is.
pub fn by_control_group(selectors: &Selectors, path: &[u8], unit: Option<&[u8]>) -> Vec<usize> {
    let mut picked: Vec<usize> = Vec::new();
    if let Some(id) = unit.filter(|_| !selectors.units.is_empty()) {
        picked.extend(selectors.units.matches(id));
    }
    if path.is_empty() {
        // The root is not below itself, so no glob matches it. Only `/` means the root.
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

    /// All that can be known of one process.
    #[derive(Clone, Debug)]
    struct Person {
        name: &'static str,
        cmdline: Option<&'static str>,
        exe: Option<&'static str>,
        user: Option<u32>,
    }

    /// Answers, and counts what it was asked.
    struct Census {
        people: Vec<Person>,
        asked: BTreeMap<(Pid, &'static str), usize>,
    }

    impl Census {
        fn of(people: &[Person]) -> Census {
            Census { people: people.to_vec(), asked: BTreeMap::new() }
        }

        fn ask(&mut self, pid: Pid, what: &'static str) -> &Person {
            *self.asked.entry((pid, what)).or_default() += 1;
            &self.people[pid.number() as usize - 1]
        }
    }

    impl Lookup for Census {
        fn cmdline(&mut self, pid: Pid) -> Option<&[u8]> {
            self.ask(pid, "cmdline").cmdline.map(str::as_bytes)
        }

        fn exe(&mut self, pid: Pid) -> Option<Vec<u8>> {
            self.ask(pid, "exe").exe.map(|path| path.as_bytes().to_vec())
        }

        fn user(&mut self, pid: Pid) -> Option<Uid> {
            self.ask(pid, "user").user.map(Uid)
        }

        fn out_of_time(&self) -> bool {
            false
        }
    }

    fn snapshot(people: &[Person]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (index, person) in people.iter().enumerate() {
            let id = ProcId { pid: Pid::new(index as u32 + 1), start: Ticks(0) };
            let comm = snapshot.names.id(person.name.as_bytes());
            let (parent, times, life) = (Pid::NONE, Times::default(), Life::Alive);
            snapshot.processes.push(Process { id, parent, times, life, threads: 1, comm });
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

    const NGINX: Person = Person {
        name: "nginx",
        cmdline: Some("nginx -g"),
        exe: Some("/sbin/nginx"),
        user: Some(33),
    };
    const SHELL: Person =
        Person { name: "sh", cmdline: Some("sh -c nginx"), exe: Some("/bin/sh"), user: Some(0) };
    const KERNEL: Person = Person { name: "kworker", cmdline: None, exe: None, user: None };

    #[test]
    fn all_conditions_of_a_selector_must_hold() {
        let people = [NGINX, SHELL, KERNEL];
        let mut bound = of_all(None, Some("nginx"), None);
        bound.conditions.user = Some(Uid(0));
        let selectors = selectors(vec![
            of_all(Some("nginx"), None, None),
            of_all(None, Some("nginx"), None),
            of_all(Some("nginx"), None, Some("/bin/*")),
            of_all(Some("h"), Some("-c"), Some("*/sh")),
            bound,
        ]);
        let mut census = Census::of(&people);
        let roots = among_all(&selectors, &snapshot(&people), None, &mut census);
        assert_eq!(picked(&roots), [(0, 0), (0, 1), (1, 1), (1, 3), (1, 4)]);
    }

    #[test]
    fn psstat_itself_is_no_root_of_what_is_looked_for() {
        let (people, selectors) =
            ([NGINX, NGINX], selectors(vec![of_all(Some("nginx"), None, None)]));
        let own = Some(Pid::new(1));
        let mut census = Census::of(&people);
        let roots = among_all(&selectors, &snapshot(&people), own, &mut census);
        assert_eq!(picked(&roots), [(1, 0)]);
    }

    #[test]
    fn nothing_is_asked_of_those_whose_name_rules_them_out() {
        let people = [NGINX, SHELL, KERNEL];
        let selectors = selectors(vec![
            of_all(Some("nginx"), Some("-g"), Some("*")),
            of_all(Some("nginx"), Some("-x"), None),
        ]);
        let mut census = Census::of(&people);
        let roots = among_all(&selectors, &snapshot(&people), None, &mut census);
        assert_eq!(picked(&roots), [(0, 0)]);
        let first = Pid::new(1);
        let once = BTreeMap::from([((first, "cmdline"), 1), ((first, "exe"), 1)]);
        assert_eq!(census.asked, once, "and of the others each once");
    }

    #[test]
    fn candidates_from_elsewhere_are_judged_by_the_same_conditions() {
        let people = [NGINX, SHELL, KERNEL];
        let mut by_number = Selector::new(None, Source::Pid(Pid::new(1)));
        by_number.conditions.exe = Some("*/sh".to_owned());
        let free = Selector::new(None, Source::Pid(Pid::new(1)));
        let selectors = selectors(vec![by_number, free]);
        let candidate = |selector, process| Root { selector, process };
        let all = vec![candidate(0, 0), candidate(1, 0), candidate(0, 1)];
        let snapshot = snapshot(&people);
        let roots = among(all, &selectors, &snapshot, &mut Census::of(&people));
        assert_eq!(picked(&roots), [(0, 1), (1, 0)]);
        let mut census = Census::of(&people);
        among(vec![candidate(1, 2)], &selectors, &snapshot, &mut census);
        assert!(census.asked.is_empty());
    }

    #[test]
    fn candidates_in_a_control_group_are_those_in_it_and_below() {
        let people = [NGINX, SHELL, KERNEL];
        let mut bound = Selector::new(None, Source::ControlGroup("a".to_owned()));
        bound.conditions.pattern = Some("x".to_owned());
        let whole = Selector::new(None, Source::ControlGroup("a".to_owned()));
        let selectors = selectors(vec![bound, whole]);
        let group = |pid, selectors: &[usize], end| ControlGroup {
            pids: vec![Pid::new(pid)],
            selectors: selectors.to_vec(),
            end,
            ..ControlGroup::default()
        };
        let groups = [group(1, &[0, 1], 2), group(2, &[], 2), group(3, &[], 3)];
        let candidates =
            |own| picked(&in_control_groups(&selectors, &snapshot(&people), &groups, own));
        assert_eq!(candidates(None), [(0, 0), (1, 0)]);
        assert_eq!(candidates(Some(Pid::new(2))), [(0, 0)]);
    }

    fn person() -> impl Strategy<Value = Person> {
        let text = proptest::option::of(proptest::sample::select(&["a", "ab", "b", "c"][..]));
        let name = proptest::sample::select(&["a", "ab", "b"][..]);
        (name, text.clone(), text, proptest::option::of(0..3u32))
            .prop_map(|(name, cmdline, exe, user)| Person { name, cmdline, exe, user })
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

    /// The conditions, one by one, as they are defined.
    fn fulfils(person: &Person, conditions: &Conditions) -> bool {
        let finds = |regex: &Option<String>, text: Option<&str>| match regex.as_deref() {
            None => true,
            Some("^a$") => text == Some("a"),
            Some(part) => text.is_some_and(|text| text.contains(part)),
        };
        let matches = match conditions.exe.as_deref() {
            None => true,
            Some("a*") => person.exe.is_some_and(|path| path.starts_with('a')),
            Some("?") => person.exe.is_some_and(|path| path.len() == 1),
            Some(glob) => person.exe == Some(glob),
        };
        finds(&conditions.pattern, Some(person.name))
            && finds(&conditions.cmdline, person.cmdline)
            && matches
            && conditions.user.is_none_or(|user| person.user == Some(user.0))
    }

    proptest! {
        #[test]
        fn it_picks_those_who_fulfil_all_and_asks_each_once(
            people in proptest::collection::vec(person(), 1..8),
            selectors in proptest::collection::vec(selector(), 1..8),
        ) {
            let mut expected = Vec::new();
            for (process, person) in people.iter().enumerate() {
                for (selector, picked) in selectors.iter().enumerate() {
                    if fulfils(person, &picked.conditions) {
                        expected.push((process, selector));
                    }
                }
            }
            let selectors = Selectors::new(selectors).unwrap();
            let mut census = Census::of(&people);
            let roots = among_all(&selectors, &snapshot(&people), None, &mut census);
            prop_assert_eq!(picked(&roots), expected);
            prop_assert!(census.asked.values().all(|&times| times == 1), "{:?}", census.asked);
        }
    }
}
