//! From a plan and the processes to the roots of each group. Pure: whoever reads command lines
//! and pid files hands in what they say.

use crate::plan::Plan;
use crate::sample::{ControlGroup, Names, OutOfTime, Process, Snapshot};
use crate::selector::{Conditions, Source};
use crate::units::{Pid, Uid};
use std::rc::Rc;

/// A process that a selector picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// Place of the selector in the plan.
    pub selector: usize,
    /// Place of the process in the snapshot.
    pub process: usize,
}

/// What tells of a process what its `stat` does not. Each is asked for only where a root depends
/// on it, and once per process; none where it cannot be told.
pub trait Ask {
    /// Its command line, arguments joined by one space.
    fn cmdline(&mut self, pid: Pid) -> Option<&[u8]>;
    /// The path of its executable.
    fn exe(&mut self, pid: Pid) -> Option<Vec<u8>>;
    /// Its effective user.
    fn user(&mut self, pid: Pid) -> Option<Uid>;
}

/// The kinds of condition, those that cost least first: a name is known from the scan, and was
/// matched once for all processes that bear it.
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

/// The conditions of a plan and the names in a snapshot, matched with each other.
struct Judge<'a> {
    plan: &'a Plan,
    snapshot: &'a Snapshot,
    /// By the place of a name: the selectors whose pattern finds it, rising.
    named: Vec<Rc<[usize]>>,
}

/// What is known of one process, as far as it was asked for: for each kind of condition the
/// selectors whose condition it fulfils, rising.
struct Trial<'j, 'a, A> {
    judge: &'j Judge<'a>,
    ask: &'j mut A,
    place: usize,
    fulfilled: [Option<Rc<[usize]>>; Kind::ALL.len()],
}

impl<'a> Judge<'a> {
    fn new(plan: &'a Plan, snapshot: &'a Snapshot) -> Judge<'a> {
        let named = if plan.patterns.is_empty() {
            Vec::new()
        } else {
            snapshot.names.texts().map(|name| plan.patterns.matches(name).collect()).collect()
        };
        Judge { plan, snapshot, named }
    }

    fn process(&self, place: usize) -> &Process {
        &self.snapshot.processes[place]
    }

    fn conditions(&self, selector: usize) -> &Conditions {
        &self.plan.selectors[selector].conditions
    }

    fn of_user(&self, user: Uid) -> Rc<[usize]> {
        let selectors = self.plan.selectors.iter().enumerate();
        selectors
            .filter(|(_, selector)| selector.conditions.user == Some(user))
            .map(|(at, _)| at)
            .collect()
    }
}

impl<'j, 'a, A: Ask> Trial<'j, 'a, A> {
    fn new(judge: &'j Judge<'a>, ask: &'j mut A, place: usize) -> Trial<'j, 'a, A> {
        Trial { judge, ask, place, fulfilled: Default::default() }
    }

    /// The selectors whose condition of that kind the process fulfils.
    fn fulfilled(&mut self, kind: Kind) -> Rc<[usize]> {
        if let Some(known) = &self.fulfilled[kind as usize] {
            return Rc::clone(known);
        }
        let process = self.judge.process(self.place);
        let (plan, pid) = (self.judge.plan, process.id.pid);
        let nobody = || Rc::from([]);
        let found = match kind {
            Kind::Name => {
                self.judge.named.get(Names::place(process.comm)).map_or_else(nobody, Rc::clone)
            }
            Kind::User => self.ask.user(pid).map_or_else(nobody, |user| self.judge.of_user(user)),
            Kind::Exe => {
                let path = self.ask.exe(pid);
                path.map_or_else(nobody, |path| plan.exes.matches(&path).collect())
            }
            Kind::Cmdline => {
                let line = self.ask.cmdline(pid);
                line.map_or_else(nobody, |line| plan.cmdlines.matches(line).collect())
            }
        };
        self.fulfilled[kind as usize] = Some(Rc::clone(&found));
        found
    }

    /// Whether the process fulfils all conditions of a selector.
    fn fulfils_all(&mut self, selector: usize) -> bool {
        Kind::ALL.into_iter().all(|kind| {
            !kind.is_asked_by(self.judge.conditions(selector))
                || self.fulfilled(kind).binary_search(&selector).is_ok()
        })
    }
}

/// The roots that are looked for among all processes. `own` is psstat itself, which is never one.
pub fn among_all(
    plan: &Plan,
    snapshot: &Snapshot,
    own: Option<Pid>,
    ask: &mut impl Ask,
    out_of_time: OutOfTime<'_>,
) -> Vec<Root> {
    // Each selector is found by the cheapest of its conditions, so that one that does not match
    // costs nothing, however many there are; only then are its others looked at.
    let found_by: Vec<Option<Kind>> = plan
        .selectors
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
    let judge = Judge::new(plan, snapshot);
    for (place, process) in snapshot.processes.iter().enumerate() {
        if Some(process.id.pid) == own {
            continue;
        }
        if reads_files && out_of_time() {
            break;
        }
        let mut trial = Trial::new(&judge, ask, place);
        for &kind in &kinds {
            for &selector in trial.fulfilled(kind).iter() {
                if found_by[selector] == Some(kind) && trial.fulfils_all(selector) {
                    roots.push(Root { selector, process: place });
                }
            }
        }
    }
    roots
}

/// Those of the candidates that fulfil the conditions of their selector.
pub fn among(
    candidates: Vec<Root>,
    plan: &Plan,
    snapshot: &Snapshot,
    ask: &mut impl Ask,
    out_of_time: OutOfTime<'_>,
) -> Vec<Root> {
    if candidates.iter().all(|root| plan.selectors[root.selector].conditions.is_empty()) {
        return candidates;
    }
    let judge = Judge::new(plan, snapshot);
    let mut candidates = candidates;
    candidates.sort_by_key(|root| (root.process, root.selector));
    candidates.dedup();
    let mut roots = Vec::new();
    for of_process in candidates.chunk_by(|one, other| one.process == other.process) {
        if out_of_time() {
            break;
        }
        let mut trial = Trial::new(&judge, ask, of_process[0].process);
        roots.extend(of_process.iter().filter(|root| trial.fulfils_all(root.selector)));
    }
    roots
}

/// The processes of control groups in which selectors look for roots. `own` is none of them.
pub fn in_control_groups(
    plan: &Plan,
    snapshot: &Snapshot,
    control_groups: &[ControlGroup],
    own: Option<Pid>,
) -> Vec<Root> {
    let mut candidates = Vec::new();
    for (place, top) in control_groups.iter().enumerate() {
        for &selector in &top.selectors {
            if plan.selectors[selector].conditions.is_empty() {
                continue;
            }
            let pids = control_groups[place..top.end].iter().flat_map(|below| &below.pids);
            let processes = pids.filter(|&&pid| Some(pid) != own);
            let places = processes.filter_map(|&pid| snapshot.find(pid));
            candidates.extend(places.map(|process| Root { selector, process }));
        }
    }
    candidates
}

/// The process of that pid, where it is there.
pub fn by_pid(selector: usize, pid: Pid, snapshot: &Snapshot) -> Option<Root> {
    snapshot.find(pid).map(|process| Root { selector, process })
}

/// The selectors that pick a control group, from its path and the id of the unit that it is.
pub fn by_control_group(plan: &Plan, path: &[u8], unit: Option<&[u8]>) -> Vec<usize> {
    let mut selectors: Vec<usize> = Vec::new();
    if let Some(id) = unit.filter(|_| !plan.units.is_empty()) {
        selectors.extend(plan.units.matches(id));
    }
    if path.is_empty() {
        // The root is not below itself: no glob means it, but `/` alone.
        let is_root =
            |source: &Source| matches!(source, Source::ControlGroup(glob) if glob.is_empty());
        let picked =
            plan.selectors.iter().enumerate().filter(|(_, picked)| is_root(&picked.source));
        selectors.extend(picked.map(|(selector, _)| selector));
    } else if !plan.control_groups.is_empty() {
        selectors.extend(plan.control_groups.matches(path));
    }
    selectors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::memory::MemoryMode;
    use crate::sample::{Life, Times};
    use crate::selector::Selector;
    use crate::units::{ProcId, Ticks};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

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

    impl Ask for Census {
        fn cmdline(&mut self, pid: Pid) -> Option<&[u8]> {
            self.ask(pid, "cmdline").cmdline.map(str::as_bytes)
        }

        fn exe(&mut self, pid: Pid) -> Option<Vec<u8>> {
            self.ask(pid, "exe").exe.map(|path| path.as_bytes().to_vec())
        }

        fn user(&mut self, pid: Pid) -> Option<Uid> {
            self.ask(pid, "user").user.map(Uid)
        }
    }

    fn snapshot(people: &[Person]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for (place, person) in people.iter().enumerate() {
            let id = ProcId { pid: Pid::new(place as u32 + 1), start: Ticks(0) };
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

    fn plan(selectors: Vec<Selector>) -> Plan {
        Plan::new(selectors, Vec::new(), MemoryMode::Rss).unwrap()
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
        let plan = plan(vec![
            of_all(Some("nginx"), None, None),
            of_all(None, Some("nginx"), None),
            of_all(Some("nginx"), None, Some("/bin/*")),
            of_all(Some("h"), Some("-c"), Some("*/sh")),
            bound,
        ]);
        let mut census = Census::of(&people);
        let roots = among_all(&plan, &snapshot(&people), None, &mut census, &|| false);
        assert_eq!(picked(&roots), [(0, 0), (0, 1), (1, 1), (1, 3), (1, 4)]);
    }

    #[test]
    fn psstat_itself_is_no_root_of_what_is_looked_for() {
        let (people, plan) = ([NGINX, NGINX], plan(vec![of_all(Some("nginx"), None, None)]));
        let own = Some(Pid::new(1));
        let mut census = Census::of(&people);
        let roots = among_all(&plan, &snapshot(&people), own, &mut census, &|| false);
        assert_eq!(picked(&roots), [(1, 0)]);
    }

    #[test]
    fn nothing_is_asked_of_those_whose_name_rules_them_out() {
        let people = [NGINX, SHELL, KERNEL];
        let plan = plan(vec![
            of_all(Some("nginx"), Some("-g"), Some("*")),
            of_all(Some("nginx"), Some("-x"), None),
        ]);
        let mut census = Census::of(&people);
        let roots = among_all(&plan, &snapshot(&people), None, &mut census, &|| false);
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
        let plan = plan(vec![by_number, free]);
        let candidate = |selector, process| Root { selector, process };
        let all = vec![candidate(0, 0), candidate(1, 0), candidate(0, 1)];
        let snapshot = snapshot(&people);
        let roots = among(all, &plan, &snapshot, &mut Census::of(&people), &|| false);
        assert_eq!(picked(&roots), [(0, 1), (1, 0)]);
        let mut census = Census::of(&people);
        among(vec![candidate(1, 2)], &plan, &snapshot, &mut census, &|| false);
        assert!(census.asked.is_empty());
    }

    #[test]
    fn candidates_in_a_control_group_are_those_in_it_and_below() {
        let people = [NGINX, SHELL, KERNEL];
        let mut bound = Selector::new(None, Source::ControlGroup("a".to_owned()));
        bound.conditions.pattern = Some("x".to_owned());
        let whole = Selector::new(None, Source::ControlGroup("a".to_owned()));
        let plan = plan(vec![bound, whole]);
        let group = |pid, selectors: &[usize], end| ControlGroup {
            pids: vec![Pid::new(pid)],
            selectors: selectors.to_vec(),
            end,
            ..ControlGroup::default()
        };
        let groups = [group(1, &[0, 1], 2), group(2, &[], 2), group(3, &[], 3)];
        let candidates = |own| picked(&in_control_groups(&plan, &snapshot(&people), &groups, own));
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
            let plan = plan(selectors);
            let mut census = Census::of(&people);
            let roots = among_all(&plan, &snapshot(&people), None, &mut census, &|| false);
            prop_assert_eq!(picked(&roots), expected);
            prop_assert!(census.asked.values().all(|&times| times == 1), "{:?}", census.asked);
        }
    }
}
