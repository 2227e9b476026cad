//! Reading only what has run gives the same result as reading everything.

use super::Watch;
use super::counters::control_groups;
use super::history::{Law, Lived, Step, in_sight, live, picks, quiet_with_control_groups, racy};
use super::oracle::Pick;
use super::properties::{config, conservation_from, nothing_counts_twice};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use psstat_core::discovery::known::Known;
use psstat_core::model::process::Process;
use psstat_core::model::units::Pid;
use psstat_core::state::State;
use std::cell::Cell;
use std::collections::BTreeMap;

/// All kinds of selector, with all fields, on a kernel that tells of births.
fn watch() -> Watch {
    let picks: Vec<Pick> = picks(Law::Any).into_iter().chain(control_groups()).collect();
    Watch::new(&picks).with_all_fields().of_births()
}

/// The known processes by pid, with their names.
fn by_pid(known: &Known) -> BTreeMap<Pid, (Process, &[u8])> {
    let processes = known.processes.iter().map(|known| known.process);
    processes.map(|process| (process.id.pid, (process, known.names.text(process.comm)))).collect()
}

/// How many processes were read, and how many of them were known.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    samples: usize,
    /// Processes that were known and whose clocks had not moved.
    unmoved: usize,
    /// Processes that were known and had run.
    moved: usize,
}

impl Tally {
    fn add(&mut self, lived: &Lived) {
        let states: Vec<&State> =
            lived.samples.iter().map(|sample| &sample.taken[0].state).collect();
        for pair in states.windows(2) {
            let [then, now] = [pair[0], pair[1]].map(|state| by_pid(&state.known));
            self.samples += 1;
            for (pid, (process, _)) in then {
                let now = now.get(&pid).map(|(process, _)| process.clock);
                match now {
                    Some(clock) if clock == process.clock => self.unmoved += 1,
                    _ => self.moved += 1,
                }
            }
        }
    }
}

/// Half of what is known has not run, so that the property shows something.
#[test]
fn reading_what_has_run_is_reading_everything() {
    let total = Cell::new(Tally::default());
    let steps = in_sight(quiet_with_control_groups());
    let outcome = TestRunner::new(config(1000)).run(&steps, |steps| {
        let lived = live(Law::Any, &steps, &mut [watch(), watch().without_memory()]);
        for (at, sample) in lived.samples.iter().enumerate() {
            let [some, all] = [&sample.taken[0], &sample.taken[1]];
            prop_assert_eq!(&some.reports, &all.reports, "sample {}", at);
            prop_assert_eq!(&some.state.accounts, &all.state.accounts, "sample {}", at);
            let [some, all] = [some, all].map(|sample| by_pid(&sample.state.known));
            prop_assert_eq!(some, all, "sample {}", at);
        }
        let mut tally = total.get();
        tally.add(&lived);
        total.set(tally);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    let total = total.get();
    assert!(total.unmoved > total.moved && 2 * total.moved > total.samples, "{total:?}");
}

proptest! {
    #![proptest_config(config(1000))]

    /// What a process did while it ran unseen is not seen before its clock has caught up, be it that
    /// it waited for a child. Then it is, and counts once.
    #[test]
    fn what_ran_unseen_is_seen_later(mut steps in racy()) {
        steps.push(Step::rest());
        let picks = picks(Law::Lossless);
        let lived = live(Law::Lossless, &steps, &mut [Watch::new(&picks).of_births()]);
        nothing_counts_twice(&lived, &picks)?;
        conservation_from(lived.samples.len() - 1, &lived, &picks)?;
    }

    /// The same for names, users and control groups.
    #[test]
    fn who_ran_unseen_is_found_later(mut steps in quiet_with_control_groups()) {
        steps.push(Step::rest());
        let lived = live(Law::Any, &steps, &mut [watch(), watch().without_memory()]);
        let last = &lived.samples[lived.samples.len() - 1].taken;
        let [some, all] = [0, 1].map(|at| by_pid(&last[at].state.known));
        prop_assert_eq!(some, all);
    }
}
