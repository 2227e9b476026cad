//! Histories that are read from bytes, so that a fuzzer can make them up. What must hold in them is what
//! must hold in random histories.

use super::counters::control_groups;
use super::history::{Happening, Kind, Law, Lived, Step, live, picks};
use super::oracle::{Group, counted};
use super::properties::{conservation, no_spikes, nothing_counts_twice, story, totals_are_sums};
use super::world::TICK;
use super::{Watch, exits};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

/// The longest history. The time to work out the truth grows with the square of the length.
const LONGEST: usize = 120;

/// What happens to processes.
const KINDS: [Kind; 12] = [
    Kind::Fork,
    Kind::Burn,
    Kind::RunUnseen,
    Kind::Exec,
    Kind::Idle,
    Kind::Exit,
    Kind::Wait,
    Kind::ExitAndWait,
    Kind::ShortLife,
    Kind::IgnoreSigchld,
    Kind::SetSubreaper,
    Kind::SetUser,
];

/// What happens to control groups.
const OF_CONTROL_GROUPS: [Kind; 5] = [
    Kind::Move,
    Kind::MakeControlGroup,
    Kind::RemoveControlGroup,
    Kind::ForeignStart,
    Kind::ForeignWork,
];

/// What the first byte chooses: which histories, and how they are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watched {
    /// The time can be up during a sample.
    Lossless,
    LosslessWithoutClocks,
    LosslessByBirths,
    Any,
    AnyWithoutClocks,
    AnyByBirths,
    /// Nothing happens during samples.
    ControlGroups,
    /// The kernel sends exit records. These are histories of their own.
    Exits,
}

const WAYS: [Watched; 8] = [
    Watched::Lossless,
    Watched::LosslessWithoutClocks,
    Watched::LosslessByBirths,
    Watched::Any,
    Watched::AnyWithoutClocks,
    Watched::AnyByBirths,
    Watched::ControlGroups,
    Watched::Exits,
];

struct Reader<'b>(std::slice::Iter<'b, u8>);

impl Reader<'_> {
    /// A number below `end`. 0 when the bytes are used up.
    fn below(&mut self, end: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or_default()) % end
    }

    /// CPU time in microseconds: less than a tick, about as much as others use, or any.
    fn work(&mut self) -> u64 {
        match self.below(256) as u64 {
            small @ 0..100 => small * TICK / 100 + small,
            equal @ 100..160 => (1 + equal % 3) * 100 * TICK,
            other => (other - 159) * 4 * TICK + other,
        }
    }

    fn happening(&mut self, kinds: &[Kind]) -> Happening {
        let kind = kinds[self.below(kinds.len())];
        Happening::new(kind, self.below(256), self.work(), self.work())
    }

    fn happenings(&mut self) -> Vec<(usize, Happening)> {
        (0..self.below(8)).map(|_| (self.below(8), self.happening(&KINDS))).collect()
    }

    fn step(&mut self, watched: Watched) -> Step {
        match (self.below(16), watched) {
            (0, _) | (1 | 2, Watched::ControlGroups) => Step::Sample(Vec::new()),
            (1, Watched::Lossless) => Step::ShortSample(self.below(40), self.happenings()),
            (1 | 2, _) => Step::Sample(self.happenings()),
            (3..8, Watched::ControlGroups) => Step::Happens(self.happening(&OF_CONTROL_GROUPS)),
            _ => Step::Happens(self.happening(&KINDS)),
        }
    }
}

/// Lives through a history. Returns whether anything was reported.
///
/// # Panics
/// If a property does not hold.
pub fn check(bytes: &[u8]) -> bool {
    let mut reader = Reader(bytes.iter());
    let watched = WAYS[reader.below(WAYS.len())];
    if watched == Watched::Exits {
        return match exits::check(|end| reader.below(end)) {
            Ok(is_reported) => is_reported,
            Err(error) => panic!("{watched:?}: {error}"),
        };
    }
    let mut steps = Vec::new();
    while steps.len() < LONGEST && !reader.0.as_slice().is_empty() {
        steps.push(reader.step(watched));
    }
    let lived = match lived(watched, &steps) {
        Ok(lived) => lived,
        Err(error) => panic!("{watched:?}: {error}"),
    };
    lived.samples.iter().any(|sample| !sample.lines[0].is_empty())
}

fn lived(watched: Watched, steps: &[Step]) -> Result<Lived, TestCaseError> {
    let law = match watched {
        Watched::Lossless | Watched::LosslessWithoutClocks | Watched::LosslessByBirths => {
            Law::Lossless
        }
        _ => Law::Any,
    };
    let picks = if watched == Watched::ControlGroups { control_groups() } else { picks(law) };
    let watch = Watch::new(&picks);
    let mut watch = match watched {
        Watched::LosslessWithoutClocks | Watched::AnyWithoutClocks => watch.without_clocks(),
        Watched::LosslessByBirths | Watched::AnyByBirths => watch.of_births(),
        _ => watch,
    };
    // What runs unseen is seen a sample later by a watch that reads only what has run.
    let in_sight: Vec<Step> = match watched {
        Watched::LosslessByBirths | Watched::AnyByBirths => {
            steps.iter().cloned().map(Step::in_sight).collect()
        }
        _ => steps.to_vec(),
    };
    let lived = live(law, &in_sight, std::slice::from_mut(&mut watch));
    if watched == Watched::ControlGroups {
        counters_are_exact(&lived)?;
        return Ok(lived);
    }
    no_spikes(&lived, &picks)?;
    if law == Law::Lossless {
        nothing_counts_twice(&lived, &picks)?;
        conservation(&lived, &picks)?;
    } else {
        totals_are_sums(&lived, &picks)?;
    }
    Ok(lived)
}

fn counters_are_exact(lived: &Lived) -> TestCaseResult {
    let picks = control_groups();
    for (at, pair) in lived.samples.windows(2).enumerate() {
        let [then, now] = [&pair[0], &pair[1]].map(|sample| sample.span.scan.start);
        for (label, line) in &pair[1].lines[0] {
            let used = counted(lived.world.log(), Group { picks: &picks, label }, then, now);
            prop_assert_eq!(line.used, Some(used), "{}{}", label, story(lived, at + 1));
        }
    }
    Ok(())
}
