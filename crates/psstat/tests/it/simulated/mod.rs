//! The engine against simulated histories of processes, with the truth beside it.
//!
//! | module | what it owns |
//! |---|---|
//! | `world` | a simulated kernel, with a log of what truly happened |
//! | `hierarchy` | the control groups of a world |
//! | `access` | what psstat may read of a world |
//! | `machine` | how the engine reads a world |
//! | `oracle` | from that log, what a group used and which processes were in it |
//! | `explained` | an explanation shows each member once, with what it used |
//! | `exits` | with exit records, nothing is missed, and nothing counts twice |
//! | `history` | random histories |
//! | `pid_files` | pid files are followed, and those without a process are warned of |
//! | `properties` | what holds in all of them |
//! | `clocks` | CPU clocks stand while a process does nothing, and lag while it runs unseen |
//! | `alone` | groups without children report what each root used itself |
//! | `counters` | groups of control groups report what ran in them |
//! | `divided` | groups that share the processes of a machine add up to it |
//! | `partial` | reading some processes gives the same result as reading all |
//! | `reasons` | each member has a reason, and the reasons are true |
//! | `unanswered` | a process that does not answer changes only what depends on it |
//! | `unreadable` | what may not be read changes nothing in other groups |
//! | `time_outs` | a sample that ran out of time loses nothing |
//! | `unmoved` | reading only what has run gives the same result as reading everything |
//! | `templates` | names that are made of what was matched change names alone |
//! | `pages` | the anonymous memory of a world, page by page |
//! | `memory` | memory is counted once, whatever shows it |
//! | `of_bytes` | histories that a fuzzer makes up, and what holds in them |
//! | `rules` | for each rule of the accounting, a history that fails without it |
//!
//! Each sample is taken by the engine that the program uses. A world is its kernel.

#![allow(clippy::unwrap_used, reason = "a made-up world that contradicts itself is a failed test")]

mod access;
mod alone;
mod clocks;
mod counters;
mod divided;
mod exits;
mod explained;
mod hierarchy;
mod history;
mod machine;
mod memory;
pub mod of_bytes;
mod oracle;
mod pages;
mod partial;
mod pid_files;
mod properties;
mod reasons;
mod rules;
mod templates;
mod time_outs;
mod unanswered;
mod unmoved;
mod unreadable;
mod world;

use crate::support::members::{kept, members};
use access::Access;
use machine::{Interruption, Machine, Records, Setup};
use oracle::{By, Pick, Span};
use psstat_core::account::accounts::Accounts;
use psstat_core::account::ledger::Member;
use psstat_core::discovery::known::Known;
use psstat_core::engine::{Engine, KnownNames, Sample, SampleError};
use psstat_core::field::{Field, Fields};
use psstat_core::model::label::Label;
use psstat_core::model::units::{BootNanos, Uid};
use psstat_core::plan::{Options, Plan};
use psstat_core::select::selector::{Conditions, PathPattern, Selector, Source, User};
use psstat_core::state::{State, codec};
use std::collections::BTreeMap;
use world::World;

/// Takes samples of a world as one run after the other would, with a cache file between them, or as a
/// resident program would.
struct Watch {
    selectors: Vec<Selector>,
    fields: Vec<Field>,
    state: Option<State>,
    /// Whether the state stays in memory.
    is_resident: bool,
    /// The names that a resident program knows.
    names: KnownNames,
    setup: Setup,
    /// What may be read.
    access: Access,
    /// Whether everything is read anew in each sample.
    forgets_known: bool,
    /// Whether each process belongs to one group at most.
    is_exclusive: bool,
    /// The name of the group of all other processes.
    rest: Option<&'static str>,
}

/// What a sample reported.
#[derive(Debug)]
struct Seen {
    span: Span,
    /// By label. Empty at the first sample.
    lines: BTreeMap<String, Line>,
    /// How many processes were read, if the list of all processes was not.
    some: Option<usize>,
    sample: Sample,
}

/// CPU time is in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    /// `p_cpu` times the interval.
    used: Option<u64>,
    /// `cpu_time`.
    total: u64,
    processes: u64,
}

impl Watch {
    fn new(picks: &[Pick]) -> Watch {
        Watch::of(picks, true)
    }

    /// The same groups, with the descendants of their roots or without.
    fn of(picks: &[Pick], children: bool) -> Watch {
        let selectors = picks.iter().map(|pick| Selector { children, ..selector(pick) }).collect();
        let fields = vec![Field::CpuShare, Field::CpuTime, Field::Processes];
        let (setup, access) = (Setup::default(), Access::default());
        let (is_resident, forgets_known) = (false, false);
        let (is_exclusive, rest) = (false, None);
        Watch {
            selectors,
            fields,
            state: None,
            is_resident,
            names: KnownNames::default(),
            setup,
            access,
            forgets_known,
            is_exclusive,
            rest,
        }
    }

    /// The same watch without CPU clocks: it knows CPU time from `stat` alone, in ticks.
    fn without_clocks(mut self) -> Watch {
        self.setup.has_clocks = false;
        self
    }

    /// The same watch on a kernel that tells of births: it reads only what may have changed.
    fn of_births(mut self) -> Watch {
        self.setup.tells_births = true;
        self
    }

    /// The same watch in a program that stays resident.
    fn resident(self) -> Watch {
        Watch { is_resident: true, ..self }
    }

    /// The same watch, which reads everything anew in each sample.
    fn without_memory(self) -> Watch {
        Watch { forgets_known: true, ..self }
    }

    /// The same watch, with exit records.
    fn with_records(mut self, records: Records) -> Watch {
        self.setup.records = records;
        self
    }

    /// The same watch with all fields.
    fn with_all_fields(self) -> Watch {
        Watch { fields: Field::all().collect(), ..self }
    }

    fn plan(&self) -> Plan {
        let fields = Fields::new(self.fields.iter().copied());
        let rest = self.rest.map(|rest| Label::lossy(rest.as_bytes()));
        let is_exclusive = self.is_exclusive;
        let options = Options { fields, is_exclusive, rest, ..Options::default() };
        Plan::new(self.selectors.clone(), options).unwrap()
    }

    /// A sample during which nothing happens.
    fn sample(&mut self, world: &mut World) -> Seen {
        self.sample_while(world, Vec::new())
    }

    /// A sample between whose readings things happen.
    fn sample_while(&mut self, world: &mut World, interruptions: Vec<Interruption>) -> Seen {
        self.try_sample(world, interruptions).unwrap()
    }

    /// As [`Watch::sample_while`]. A sample that fails leaves the cache file as it is.
    fn try_sample(
        &mut self,
        world: &mut World,
        interruptions: Vec<Interruption>,
    ) -> Result<Seen, SampleError> {
        let (started, taken) = (world.log().len(), world.now());
        world.access = self.access.clone();
        let machine = Machine::new(world, interruptions, self.setup);
        let mut engine = Engine::new(machine, self.plan());
        if self.is_resident {
            engine = engine.resident().with_names(std::mem::take(&mut self.names));
        }
        let sample = engine.sample(self.state.as_ref());
        let has_listed_all = engine.kernel().has_listed_all();
        self.names.clone_from(engine.names());
        drop(engine);
        let sample = sample?;
        let before = self.state.as_ref().map(|state| &state.accounts);
        let since = |at: fn(&Accounts) -> BootNanos| {
            before.map_or(0, |before| at(&sample.state.accounts).since(at(before)))
        };
        let [by_counter, by_ledger] = [since(|one| one.taken), since(|one| one.cpu_read)];
        let mut state = if self.is_resident {
            sample.state.clone()
        } else {
            // What is not in the cache file stays in memory.
            let exits = sample.state.exits.clone();
            State { exits, ..codec::decode(&codec::encode(&sample.state)).unwrap() }
        };
        if self.forgets_known {
            state.known = Known::default();
        }
        self.state = Some(state);

        let has_counters = |label: &Label| {
            let group = sample.state.accounts.groups.get(label);
            group.is_some_and(|account| !account.counters.is_empty())
        };
        let lines = sample.reports.iter().map(|report| {
            let elapsed = if has_counters(&report.label) { by_counter } else { by_ledger };
            let used = report.cpu.map(|rate| micros(rate, elapsed));
            let total = report.cpu_time.unwrap().0 / 1000;
            (report.label.to_string(), Line { used, total, processes: report.processes })
        });
        let lines = lines.collect();
        let scan = started..world.log().len();
        let span = Span { scan, taken: taken.0 / 1000, has_clocks: self.setup.has_clocks };
        let some = (!has_listed_all).then_some(sample.snapshot.processes.len());
        Ok(Seen { span, lines, some, sample })
    }

    /// What is kept of each group.
    fn kept(&self) -> BTreeMap<String, Vec<String>> {
        self.state.as_ref().map(|state| kept(&state.accounts)).unwrap_or_default()
    }

    /// What is kept of the members, once for each of their groups, with the name of the group.
    fn members(&self) -> Vec<(String, Member)> {
        self.state.as_ref().map(|state| members(&state.accounts)).unwrap_or_default()
    }
}

fn selector(pick: &Pick) -> Selector {
    let name = pick.label.map(|label| Label::lossy(label.as_bytes()));
    let none = Conditions::default();
    let pattern = |names: &[&str]| Some(format!("^({})$", names.join("|")));
    let (source, conditions) = match pick.by {
        By::Pid(pid) => (Source::Pid(pid), none),
        By::PidFile(path, _) => (Source::PidFile(path.into()), none),
        By::Name(names) => (Source::All, Conditions { pattern: pattern(names), ..none }),
        By::Cmdline(name) => {
            (Source::All, Conditions { cmdline: Some(format!("^{name} --run$")), ..none })
        }
        By::Exe(name) => {
            let exe = Some(PathPattern::Glob(format!("/bin/{name}")));
            (Source::All, Conditions { exe, ..none })
        }
        By::User(user) => (Source::All, Conditions { user: Some(User::Id(Uid(user))), ..none }),
        By::NameAndUser(name, user) => {
            let (pattern, user) = (pattern(&[name]), Some(User::Id(Uid(user))));
            (Source::All, Conditions { pattern, user, ..none })
        }
        By::NameInUnits(name, glob, _) => {
            (Source::Unit(glob.to_owned()), Conditions { pattern: pattern(&[name]), ..none })
        }
        By::Units(glob, _) => (Source::Unit(glob.to_owned()), none),
        By::Paths(glob, _) => (Source::ControlGroup(PathPattern::Glob(glob.to_owned())), none),
    };
    Selector { conditions, ..Selector::new(name, source) }
}

/// The CPU time that a rate over `elapsed` nanoseconds was made from.
fn micros(rate: f64, elapsed: u64) -> u64 {
    assert!(rate.is_finite() && rate >= 0.0, "p_cpu={rate}");
    let micros = rate * elapsed as f64 / 1e3;
    assert!((micros - micros.round()).abs() < 1e-3, "{micros} microseconds");
    #[expect(clippy::cast_sign_loss, reason = "checked above")]
    let micros = micros.round() as u64;
    micros
}
