//! What psstat may not read changes nothing in groups that do not need it, and is warned of.
//!
//! Two watches sample the same moments: one may read everything.

use super::Watch;
use super::access::File;
use super::counters::control_groups;
use super::history::{Law, Lived, Step, in_sight, live, picks, quiet_with_control_groups};
use super::oracle::{By, Group, Pick, Present, present};
use super::properties::config;
use super::world::{TICK, World};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestCaseResult;
use psstat_core::diagnostics::{Warning, What};
use psstat_core::engine::Sample;
use psstat_core::model::label::Label;
use psstat_core::model::report::{Rate, Report, Tally};
use psstat_core::model::units::{Bytes, Pid};
use std::collections::{BTreeMap, BTreeSet};

/// One group in one sample, as both watches report it.
pub struct Pair<'s> {
    pub label: &'s str,
    pub open: Option<&'s Report>,
    pub restricted: Option<&'s Report>,
    pub restricted_sample: &'s Sample,
    pub present: BTreeMap<Pid, Present>,
    /// Whether the group has had a member that could not be read at any sample up to now. A former
    /// member that is hidden has ended, as far as the second watch can tell.
    pub is_touched: bool,
}

fn report<'s>(sample: &'s Sample, label: &str) -> Option<&'s Report> {
    sample.reports.iter().find(|report| report.label.as_str() == label)
}

/// Calls `check` with each group in each sample but the first. `is_unreadable` says of a process
/// whether the second watch may not read it.
pub fn for_each_pair(
    lived: &Lived,
    picks: &[Pick],
    is_unreadable: impl Fn(&Present) -> bool,
    mut check: impl FnMut(Pair<'_>) -> TestCaseResult,
) -> TestCaseResult {
    let groups = lived.samples.iter().flat_map(|sample| &sample.taken[0].groups);
    let labels: BTreeSet<&Label> = groups.map(|group| &group.label).collect();
    for label in labels {
        let label = label.as_str();
        let mut is_touched = false;
        let mut members = BTreeSet::new();
        for sample in &lived.samples {
            let log = &lived.world.log()[..sample.span.scan.start];
            let present = present(log, Group { picks, label });
            let now = present.values().filter(|one| one.is_member).map(|one| one.life);
            members.extend(now);
            let was_member = |one: &Present| members.contains(&one.life);
            is_touched |= present.values().any(|one| was_member(one) && is_unreadable(one));
            let [open, restricted] = [0, 1].map(|watch| report(&sample.taken[watch], label));
            let restricted_sample = &sample.taken[1];
            if restricted_sample.reports.is_empty() {
                continue;
            }
            check(Pair { label, open, restricted, restricted_sample, present, is_touched })?;
        }
    }
    Ok(())
}

pub fn all_picks() -> Vec<Pick> {
    let mut picks = picks(Law::Any);
    picks.extend(control_groups());
    picks.push(Pick { label: Some("cmdline"), by: By::Cmdline("w") });
    picks.push(Pick { label: Some("exe"), by: By::Exe("v") });
    picks.push(Pick { label: Some("user"), by: By::User(1) });
    picks
}

/// What a report has besides the fields that a file is read for.
pub fn without_fields(report: Option<&Report>, file: File) -> Option<Report> {
    let mut report = report?.clone();
    match file {
        File::Statm => (report.bytes, report.memory) = (None, None),
        File::OpenFiles => report.open_files = None,
        File::Status => report.swap = None,
        _ => {}
    }
    for rate in rates_of(file) {
        report.rates.remove(rate);
        report.totals.remove(&Tally::Rate(*rate));
    }
    Some(report)
}

/// Whether none of the fields that a file is read for has a value that is too low.
fn lacks_fields(report: &Report, file: File) -> bool {
    let has =
        |rate| report.rates.contains_key(rate) || report.totals.contains_key(&Tally::Rate(*rate));
    match file {
        File::Statm => report.bytes.is_none() && report.memory.is_none(),
        File::OpenFiles => report.open_files.is_none(),
        File::Status => report.swap.is_none(),
        _ => !rates_of(file).iter().any(has),
    }
}

/// The rates that a file is read for.
fn rates_of(file: File) -> &'static [Rate] {
    match file {
        File::Storage => &[Rate::StorageRead, Rate::StorageWrite],
        File::Faults => &[Rate::MajorFaults],
        File::Switches => &[Rate::Switches],
        _ => &[],
    }
}

fn is_warned_of(sample: &Sample, file: File) -> bool {
    let expected = match file {
        File::Stat => What::Processes,
        File::Statm => What::Sizes,
        File::Cmdline => What::CommandLines,
        File::Exe => What::Executables,
        File::User => What::Users,
        File::ControlGroup => What::ControlGroups,
        File::Status => What::Swap,
        File::Storage => What::StorageTraffic,
        File::Faults => What::MajorFaults,
        File::Switches => What::Switches,
        File::OpenFiles => What::OpenFiles,
    };
    let causes = sample.diagnostics.iter().map(|warning| match warning {
        Warning::NoLine { cause, .. } => cause,
        warning => warning,
    });
    causes.into_iter().any(|warning| match warning {
        Warning::Unreadable { what, .. } | Warning::FieldsUnreadable { what, .. } => {
            *what == expected
        }
        Warning::HiddenProcesses { .. } => file == File::Stat,
        _ => false,
    })
}

/// A history seen by one watch that may read everything, and by one that may not read one file.
fn live_without(life: usize, file: File, steps: &[Step], hides_hierarchy: bool) -> Lived {
    let picks = all_picks();
    let mut watches = [(); 2].map(|()| Watch::new(&picks).with_all_fields());
    watches[1].access.denied.insert((life, file));
    watches.iter_mut().for_each(|watch| watch.access.hides_hierarchy = hides_hierarchy);
    live(Law::Any, steps, &mut watches)
}

/// Whether a warning says that the group has no line.
pub fn is_warned_of_no_line(sample: &Sample, label: &str) -> bool {
    sample.diagnostics.iter().any(|warning| match warning {
        Warning::NoLine { groups, .. } => groups.iter().any(|group| group.as_str() == label),
        _ => false,
    })
}

/// Checks a file that decides which processes are members. A line is complete. The group has none, and
/// a warning says so, only if the process is there, so that it may be a member.
fn check_membership(pair: &Pair<'_>, life: usize, file: File) -> TestCaseResult {
    let Pair { label, open, restricted, .. } = *pair;
    let is_there = pair.present.values().any(|one| one.life == life);
    let is_hidden = open.is_some() && restricted.is_none();
    let is_member = |one: &Present| one.life == life && one.is_alive && one.is_member;
    let has_it = pair.present.values().any(is_member);
    if is_hidden {
        prop_assert!(is_there, "{}", label);
        let warned = is_warned_of_no_line(pair.restricted_sample, label);
        prop_assert!(warned || has_it, "{}: {:?}", label, pair.restricted_sample.diagnostics);
    } else if file != File::Stat && file != File::ControlGroup {
        let processes = |report: Option<&Report>| report.map(|report| report.processes);
        prop_assert_eq!(processes(open), processes(restricted), "{}", label);
    }
    if !pair.is_touched && !is_hidden {
        prop_assert_eq!(open, restricted, "{}", label);
    }
    if pair.present.values().any(|one| one.life == life && one.is_alive) {
        prop_assert!(is_warned_of(pair.restricted_sample, file));
    }
    Ok(())
}

/// Checks a file that decides the value of some fields.
fn check_fields(pair: &Pair<'_>, life: usize, file: File) -> TestCaseResult {
    let Pair { label, open, restricted, .. } = *pair;
    if !pair.is_touched {
        prop_assert_eq!(open, restricted, "{}", label);
    }
    let [whole, rest] = [open, restricted].map(|report| without_fields(report, file));
    prop_assert_eq!(whole, rest, "{}", label);
    let is_unreadable = |one: &Present| one.life == life && one.is_alive && one.is_member;
    if let Some(report) = restricted.filter(|_| pair.present.values().any(is_unreadable)) {
        prop_assert!(lacks_fields(report, file), "{}: {:?}", label, report);
        let is_read = file != File::ControlGroup;
        prop_assert!(!is_read || is_warned_of(pair.restricted_sample, file), "{}", label);
    }
    Ok(())
}

#[test]
fn without_machine_memory_its_share_is_left_out() {
    let mut world = World::new(100);
    let pick = Pick { label: Some("init"), by: By::Pid(Pid::INIT) };
    let mut watch = Watch::new(&[pick]).with_all_fields();
    watch.access.hides_memory = true;
    watch.sample(&mut world);
    world.idle(TICK);
    let sample = watch.sample(&mut world).sample;
    let report = &sample.reports[0];
    assert_eq!((report.memory, report.bytes), (None, Some(Bytes(100 * 4096))));
    let is_warned = |warning: &Warning| matches!(warning, Warning::MachineMemory(_));
    assert!(sample.diagnostics.iter().any(is_warned));
}

/// A process whose executable may not be read is no member. On a machine of many processes, most of which
/// are not read in each sample, the group has no line all the same, for as long as it lasts.
#[test]
fn a_doubt_lasts_as_long_as_its_cause() {
    for is_resident in [false, true] {
        let mut world = World::new(32_768);
        let server = world.fork(Pid::INIT).unwrap();
        world.exec(server, "w");
        for _ in 0..600 {
            world.fork(Pid::INIT).unwrap();
        }
        let mut watch = Watch::new(&[Pick { label: Some("exe"), by: By::Exe("w") }]).of_births();
        watch.is_resident = is_resident;
        watch.access.denied.insert((world.tasks()[&server].life, File::Exe));
        for number in 0..10 {
            world.idle(100 * TICK);
            let seen = watch.sample(&mut world);
            assert!(seen.lines.is_empty(), "sample {number}, {is_resident}: {:?}", seen.lines);
            assert!(is_warned_of_no_line(&seen.sample, "exe"), "sample {number}, {is_resident}");
        }
        watch.access.denied.clear();
        world.idle(100 * TICK);
        assert_eq!(watch.sample(&mut world).lines["exe"].processes, 1);
    }
}

/// A member whose `stat` cannot be read once, as if there were too many open files.
#[test]
fn a_member_that_is_not_read_once_is_back_in_the_next_sample() {
    let mut world = World::new(32_768);
    let server = world.fork(Pid::INIT).unwrap();
    world.exec(server, "w");
    for _ in 0..600 {
        world.fork(Pid::INIT).unwrap();
    }
    world.burn(server, 500 * TICK, 0);
    let mut watch = Watch::new(&[Pick { label: Some("w"), by: By::Name(&["w"]) }]).of_births();
    let mut sample = |is_denied: bool, world: &mut World| {
        let life = world.tasks()[&server].life;
        watch.access.denied = is_denied.then_some((life, File::Stat)).into_iter().collect();
        world.burn(server, 10 * TICK, 0);
        watch.sample(world).lines.get("w").map(|line| (line.processes, line.used))
    };
    sample(false, &mut world);
    let usual = Some((1, Some(10 * TICK)));
    assert_eq!(sample(false, &mut world), usual);
    assert_eq!(sample(true, &mut world), None);
    assert_eq!(sample(false, &mut world), Some((1, None)), "a baseline");
    assert_eq!(sample(false, &mut world), usual);
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn an_unreadable_file_changes_only_its_groups(
        steps in in_sight(quiet_with_control_groups()),
        life in 0usize..12,
        file in select(&File::ALL[..]),
        hides_hierarchy: bool,
    ) {
        let picks = all_picks();
        let lived = live_without(life, file, &steps, hides_hierarchy);
        let decides_membership = match file {
            File::Stat | File::Cmdline | File::Exe | File::User => true,
            File::ControlGroup => hides_hierarchy,
            _ => false,
        };
        let check = if decides_membership { check_membership } else { check_fields };
        for_each_pair(&lived, &picks, |one| one.life == life, |pair| check(&pair, life, file))?;
    }

    #[test]
    fn hidden_processes_count_in_control_groups(
        steps in in_sight(quiet_with_control_groups()),
    ) {
        let picks = all_picks();
        let [open, mut restricted] = [(); 2].map(|()| Watch::new(&picks).with_all_fields());
        restricted.access.shows_only = Some(1);
        let lived = live(Law::Any, &steps, &mut [open, restricted]);
        for_each_pair(&lived, &picks, |one| one.user != 1, |pair| {
            let Pair { label, open, restricted, .. } = pair;
            let is_warned = is_warned_of(pair.restricted_sample, File::Stat);
            prop_assert!(is_warned);
            if !control_groups().iter().any(|pick| pick.label == Some(label)) {
                let is_hidden = is_warned_of_no_line(pair.restricted_sample, label);
                prop_assert!(!is_hidden || restricted.is_none(), "{}", label);
                if !pair.is_touched && !is_hidden {
                    prop_assert_eq!(open, restricted, "{}", label);
                }
                // Nobody knows which processes match. A pid that is seen is the process.
                let is_by_pid = label == "pid";
                let is_named = picks.iter().any(|pick| pick.label == Some(label));
                prop_assert!(is_hidden || is_by_pid || !is_named, "{}: {:?}", label, restricted);
                return Ok(());
            }
            if !pair.is_touched {
                prop_assert_eq!(open, restricted, "{}", label);
            }
            let [open, restricted] = [open, restricted].map(|report| report.unwrap());
            prop_assert_eq!(open.cpu, restricted.cpu, "{}", label);
            prop_assert_eq!(open.cpu_time, restricted.cpu_time, "{}", label);
            prop_assert_eq!(open.processes, restricted.processes, "{}", label);
            let is_hidden = |one: &Present| one.user != 1 && one.is_alive && one.is_member;
            if pair.present.values().any(is_hidden) {
                prop_assert_eq!((restricted.threads, restricted.zombies), (None, None));
                prop_assert_eq!((restricted.open_files, restricted.uptime), (None, None));
                prop_assert!(restricted.rates.is_empty(), "{}: {:?}", label, restricted);
                prop_assert!(restricted.totals.is_empty(), "{}: {:?}", label, restricted);
                prop_assert_eq!((restricted.swap, restricted.starts), (None, None));
            }
            Ok(())
        })?;
    }
}
