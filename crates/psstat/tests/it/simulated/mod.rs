//! The accounting against made-up histories of processes, with the truth beside it.
//!
//! | module | owns |
//! |---|---|
//! | `world` | a kernel, with a log of what truly happened |
//! | `oracle` | from that log, what a group used and who was in it |
//! | `history` | random histories |
//! | `properties` | what holds in all of them |
//! | `alone` | in all of them, groups without children tell what each root used itself |
//! | `partial` | in all of them, looking at some processes tells what looking at all of them does |
//! | `rules` | for each rule of the ledger, a history that fails without it |
//!
//! This module owns the way from a world to reports: the one that a run takes.

#![allow(clippy::unwrap_used, reason = "a made-up world that contradicts itself is a failed test")]

mod alone;
mod history;
mod oracle;
mod partial;
mod properties;
mod rules;
mod world;

use oracle::{By, Pick, Span};
use psstat::account::group::{self, Known, Machine, Sampled, State};
use psstat::account::memory::MemoryMode;
use psstat::account::readings::Readings;
use psstat::account::tree::Tree;
use psstat::cache::codec;
use psstat::emit::{Field, Format};
use psstat::label::Label;
use psstat::look::{self, Listed, View};
use psstat::plan::Plan;
use psstat::sample::{
    self, Process, Scan, Snapshot, reread_early_children, scan, scan_in_parallel,
};
use psstat::select::{self, Ask, Root};
use psstat::selector::{Conditions, Selector, Source};
use psstat::units::{BootNanos, Pid, Ticks, Uid};
use std::collections::BTreeMap;
use world::{HZ, Interruption, Proc, TICK, World};

/// Takes samples of a world as one run after the other would, with a cache file between them.
struct Watch {
    plan: Plan,
    cache: Option<Vec<u8>>,
    /// Threads that read; none: the run's own.
    readers: Option<usize>,
    /// Whether it looks at all processes only where it must.
    sparing: bool,
}

/// The processes that were looked at, and the roots among them.
struct Looked {
    snapshot: Snapshot,
    tree: Tree,
    roots: Vec<Root>,
    view: Option<View>,
    /// Whether these were all that there are.
    at_all: bool,
}

/// What a sample gave.
#[derive(Debug)]
struct Seen {
    span: Span,
    /// By label; nothing at the first sample.
    lines: BTreeMap<String, Line>,
    /// How many processes were looked at, where these were not all.
    some: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    /// `p_cpu` times the interval, in ticks.
    used: Option<u64>,
    /// `cpu_time`, in ticks.
    total: u64,
    processes: u64,
}

impl Watch {
    fn new(picks: &[Pick]) -> Watch {
        Watch::of(picks, true)
    }

    /// The same groups, with the descendants of their roots or without.
    fn of(picks: &[Pick], children: bool) -> Watch {
        let selectors = picks
            .iter()
            .map(|pick| {
                let name = pick.label.map(|label| Label::lossy(label.as_bytes()));
                let selector = match pick.by {
                    By::Pid(pid) => Selector::new(name, Source::Pid(pid)),
                    By::Name(names) => {
                        let pattern = Some(format!("^({})$", names.join("|")));
                        Selector::of_all(name, Conditions { pattern, ..Conditions::default() })
                    }
                };
                Selector { children, ..selector }
            })
            .collect();
        let fields = vec![Field::CpuShare, Field::CpuTime, Field::Processes];
        let plan = Plan::new(selectors, Vec::new(), MemoryMode::Rss).unwrap();
        let plan = plan.written(fields, Format::Influx);
        Watch { plan, cache: None, readers: None, sparing: false }
    }

    /// A sample in one moment.
    fn sample(&mut self, world: &mut World) -> Seen {
        self.sample_while(world, Vec::new())
    }

    /// A sample with things happening between its readings.
    fn sample_while(&mut self, world: &mut World, interruptions: Vec<Interruption>) -> Seen {
        let (started, taken) = (world.log().len(), world.now());
        let proc = Proc::new(world, interruptions);
        let before = self.cache.as_deref().map(|bytes| codec::decode(bytes).unwrap());
        let looked = self.look(&proc, before.as_ref(), taken);
        let Looked { mut snapshot, tree, roots, view, at_all } = looked;
        let groups = group::form(&self.plan, &snapshot, &tree, &roots, &[]);
        let members = group::union(&groups);
        let known = before.as_ref().map(State::child_times).unwrap_or_default();
        let has_waited = |parent: &Process| {
            let found = known.binary_search_by_key(&parent.id, |&(id, _)| id);
            found.map_or(true, |place| known[place].1 != parent.times.children)
        };
        reread_early_children(&proc, &mut snapshot, &tree, &members, has_waited);

        let readings = Readings { members, ..Readings::default() };
        let sampled = Sampled {
            boot_id: b"simulated",
            snapshot: &snapshot,
            readings: &readings,
            control_groups_seen: true,
        };
        let machine = Machine { hz: HZ, page_size: 4096, memory: None, processors: None };
        let (reports, mut state) =
            group::account(&self.plan, groups, sampled, before.as_ref(), &machine);
        state.view = view;
        drop(proc);
        self.cache = Some(codec::encode(&state));

        let elapsed = taken.since(before.map_or(taken, |state| state.taken));
        let lines = reports.into_iter().map(|report| {
            let used = report.cpu.map(|rate| ticks(rate, elapsed));
            let total = report.cpu_time.unwrap().0 / (TICK * 1000);
            (report.label.to_string(), Line { used, total, processes: report.processes })
        });
        let span = Span { scan: started..world.log().len(), taken: taken.0 / 1000 };
        let some = (!at_all).then_some(snapshot.processes.len());
        Seen { span, lines: lines.collect(), some }
    }

    /// Looks at as many processes as a run would, in the order of `run::sampler`.
    fn look(&self, proc: &Proc<'_>, before: Option<&State>, taken: BootNanos) -> Looked {
        let births = proc
            .births(before.map_or(0, |state| taken.since(state.taken)))
            .filter(|_| self.sparing);
        let pids = self.plan.selectors.iter().filter_map(|selector| match selector.source {
            Source::Pid(pid) => Some(pid),
            _ => None,
        });
        if let (Some(before), Some(births)) = (before, &births) {
            let (names_pick, always) = (self.plan.names_pick(), pids.collect());
            let listed = look::list_some(proc, before, births, taken, names_pick, always).unwrap();
            if let Some(Listed { pids, born, view }) = listed {
                let snapshot = sample::read(proc, &pids, taken, &|| false);
                let looked = self.with_roots(snapshot, Some(view), false);
                let (since, roots) = (Ticks::at(before.taken, HZ), &looked.roots);
                if look::knows_all_descendants(before, &born, since, &looked.snapshot, roots) {
                    return looked;
                }
            }
        }
        let scanned = match self.readers {
            None => scan(proc, taken, &|| false),
            Some(readers) => scan_in_parallel(proc, taken, &|| false, readers),
        };
        let (snapshot, offset) = scanned.unwrap();
        let view = births
            .filter(|_| snapshot.find(Pid::INIT).is_some())
            .map(|births| View::of_all(&snapshot, offset.unwrap(), &births, before, HZ));
        self.with_roots(snapshot, view, true)
    }

    fn with_roots(&self, snapshot: Snapshot, view: Option<View>, at_all: bool) -> Looked {
        let tree = Tree::new(&snapshot.processes);
        let mut roots = select::among_all(&self.plan, &snapshot, None, &mut NobodyAsks, &|| false);
        for (selector, picked) in self.plan.selectors.iter().enumerate() {
            if let Source::Pid(pid) = picked.source {
                roots.extend(select::by_pid(selector, pid, &snapshot));
            }
        }
        Looked { snapshot, tree, roots, view, at_all }
    }

    /// What is remembered of each group.
    fn groups(&self) -> BTreeMap<Label, Known> {
        self.cache
            .as_deref()
            .map_or_else(BTreeMap::new, |bytes| codec::decode(bytes).unwrap().groups)
    }
}

/// The selectors of the simulation pick by names and numbers, which a scan tells.
struct NobodyAsks;

impl Ask for NobodyAsks {
    fn cmdline(&mut self, pid: Pid) -> Option<&[u8]> {
        panic!("the command line of {pid} is asked for")
    }

    fn exe(&mut self, pid: Pid) -> Option<Vec<u8>> {
        panic!("the executable of {pid} is asked for")
    }

    fn user(&mut self, pid: Pid) -> Option<Uid> {
        panic!("the user of {pid} is asked for")
    }
}

/// The ticks that a rate over `elapsed` nanoseconds was made from.
fn ticks(rate: f64, elapsed: u64) -> u64 {
    assert!(rate.is_finite() && rate >= 0.0, "p_cpu={rate}");
    let ticks = rate * elapsed as f64 * HZ.0 as f64 / 1e9;
    assert!((ticks - ticks.round()).abs() < 1e-3, "{ticks} ticks");
    #[expect(clippy::cast_sign_loss, reason = "checked above")]
    let ticks = ticks.round() as u64;
    ticks
}
