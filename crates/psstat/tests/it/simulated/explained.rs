//! An explanation shows each member once, with what it used, and nothing that is not known.

use super::Watch;
use super::access::File;
use super::oracle::{By, Pick};
use super::world::{HZ, TICK, World};
use psstat_core::engine::Sample;
use psstat_core::explain::{self, GroupView};
use psstat_core::model::units::Pid;
use psstat_core::select::selector::{Conditions, Selector};

/// The explanation of the second of two samples. In between, things happen.
fn explained(
    watch: &mut Watch,
    world: &mut World,
    happens: impl FnOnce(&mut World),
) -> (Vec<GroupView>, [Sample; 2]) {
    world.idle(100 * TICK);
    let before = watch.sample(world).sample;
    happens(world);
    world.idle(100 * TICK);
    let now = watch.sample(world).sample;
    let groups = explain::groups(&watch.plan(), HZ, &[&before, &now]);
    (groups, [before, now])
}

fn watch(picks: &[Pick]) -> Watch {
    Watch::new(picks).with_all_fields().resident()
}

fn start(world: &mut World, parent: Pid, name: &'static str) -> Pid {
    let pid = world.fork(parent).unwrap();
    world.exec(pid, name);
    pid
}

#[test]
fn each_row_has_what_its_process_used() {
    let mut world = World::new(32_768);
    let server = start(&mut world, Pid::INIT, "w");
    let child = start(&mut world, server, "v");
    let mut watch = watch(&[Pick { label: Some("web"), by: By::Name(&["w"]) }]);
    let (groups, [before, now]) = explained(&mut watch, &mut world, |world| {
        world.burn(server, 20_000, 10_000);
        world.burn(child, 4_000, 0);
    });
    let elapsed = now.readings.cpu_read.since(before.readings.cpu_read);
    let used: Vec<(Pid, f64)> = groups[0]
        .rows
        .iter()
        .map(|row| (row.pid, (row.cpu.unwrap() * elapsed as f64 / 1e3).round()))
        .collect();
    assert_eq!(used, [(server, 30_000.0), (child, 4_000.0)]);
    assert_eq!(groups[0].cpu_of_ended, Some(0.0));
}

#[test]
fn groups_below_each_other_show_some_of_their_processes() {
    const PROCESSES: usize = 1200;
    let mut world = World::new(32_768);
    let mut parent = Pid::INIT;
    for number in 0..PROCESSES {
        parent = start(&mut world, parent, format!("n{number}").leak());
    }
    let mut watch = watch(&[]);
    watch.selectors = vec![Selector::of_all(
        None,
        Conditions { pattern: Some("^n".to_owned()), ..Default::default() },
    )];
    let (groups, [_, now]) = explained(&mut watch, &mut world, |_| {});
    assert_eq!(groups.len(), PROCESSES);
    assert!(groups.iter().all(|group| group.rows.len() <= 500 && !group.is_empty()));
    let rows: usize = groups.iter().map(|group| group.rows.len()).sum();
    assert_eq!(rows, 20_000);
    for (group, view) in now.groups.iter().zip(&groups) {
        assert_eq!(view.rows.len() + view.more, group.size, "{}", view.name);
    }
    let depths: Vec<usize> = groups[0].rows.iter().map(|row| row.depth).collect();
    assert_eq!(depths, (0..500).collect::<Vec<_>>());
}

#[test]
fn a_group_whose_members_are_not_known_has_the_cause() {
    let mut world = World::new(32_768);
    let server = start(&mut world, Pid::INIT, "w");
    let pick = Pick { label: Some("cmdline"), by: By::Cmdline("w") };
    let mut watch = watch(&[pick]);
    let (groups, _) = explained(&mut watch, &mut world, |_| {});
    assert!(groups[0].unknown.is_none() && groups[0].memory.is_some());
    let life = world.tasks()[&server].life;
    watch.access.denied.insert((life, File::Cmdline));
    watch.state = None;
    let (groups, _) = explained(&mut watch, &mut world, |_| {});
    let cause = groups[0].unknown.as_ref().expect("it is not known");
    assert!(cause.contains(&format!("/proc/{server}/cmdline")), "{cause}");
    assert!(groups[0].memory.is_none() && groups[0].is_empty());
}

#[test]
fn a_member_is_not_left_out() {
    let mut world = World::new(32_768);
    let server = start(&mut world, Pid::INIT, "w");
    let below = start(&mut world, server, "psstat");
    let elsewhere = start(&mut world, Pid::INIT, "psstat");
    let mut watch = watch(&[Pick { label: Some("web"), by: By::Name(&["w", "psstat"]) }]);
    let (groups, _) = explained(&mut watch, &mut world, |_| {});
    let rows: Vec<Pid> = groups[0].rows.iter().map(|row| row.pid).collect();
    assert_eq!(rows, [server, below]);
    let left_out: Vec<Pid> = groups[0].left_out.iter().map(|one| one.pid).collect();
    assert_eq!(left_out, [elsewhere]);
}
