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
//! Each sample is taken by the engine that the program uses; a world is its kernel.

#![allow(clippy::unwrap_used, reason = "a made-up world that contradicts itself is a failed test")]

mod alone;
mod history;
mod oracle;
mod partial;
mod properties;
mod rules;
mod world;

use oracle::{By, Pick, Span};
use psstat_core::account::accounts::GroupAccount;
use psstat_core::engine::Engine;
use psstat_core::field::{Field, Fields};
use psstat_core::model::label::Label;
use psstat_core::plan::{Options, Plan};
use psstat_core::select::selector::{Conditions, Selector, Source};
use psstat_core::state::codec;
use std::collections::BTreeMap;
use world::{HZ, Interruption, Machine, TICK, World};

/// Takes samples of a world as one run after the other would, with a cache file between them.
struct Watch {
    selectors: Vec<Selector>,
    cache: Option<Vec<u8>>,
    /// How many threads read.
    readers: usize,
    /// Whether the world tells of births, so that all processes are read only where necessary.
    sparing: bool,
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
        Watch { selectors, cache: None, readers: 1, sparing: false }
    }

    fn plan(&self) -> Plan {
        let fields = Fields::new([Field::CpuShare, Field::CpuTime, Field::Processes]);
        let options = Options { fields, ..Options::default() };
        Plan::new(self.selectors.clone(), options).unwrap()
    }

    /// A sample in one moment.
    fn sample(&mut self, world: &mut World) -> Seen {
        self.sample_while(world, Vec::new())
    }

    /// A sample with things happening between its readings.
    fn sample_while(&mut self, world: &mut World, interruptions: Vec<Interruption>) -> Seen {
        let (started, taken) = (world.log().len(), world.now());
        let population = world.population();
        let machine = Machine::new(world, interruptions)
            .with_readers(self.readers)
            .telling_births(self.sparing);
        let before = self.cache.as_deref().map(|bytes| codec::decode(bytes).unwrap());
        let mut engine = Engine::new(machine, self.plan());
        let sample = engine.sample(before.as_ref()).unwrap();
        drop(engine);
        self.cache = Some(codec::encode(&sample.state));

        let elapsed = taken.since(before.map_or(taken, |state| state.accounts.taken));
        let lines = sample.reports.into_iter().map(|report| {
            let used = report.cpu.map(|rate| ticks(rate, elapsed));
            let total = report.cpu_time.unwrap().0 / (TICK * 1000);
            (report.label.to_string(), Line { used, total, processes: report.processes })
        });
        let span = Span { scan: started..world.log().len(), taken: taken.0 / 1000 };
        let looked_at = sample.snapshot.processes.len();
        let some = (self.sparing && looked_at < population).then_some(looked_at);
        Seen { span, lines: lines.collect(), some }
    }

    /// What is kept of each group.
    fn groups(&self) -> BTreeMap<Label, GroupAccount> {
        let state = self.cache.as_deref().map(|bytes| codec::decode(bytes).unwrap());
        state.map(|state| state.accounts.groups).unwrap_or_default()
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
