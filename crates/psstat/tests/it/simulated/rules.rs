//! For each rule of the accounting, a history that fails without it. It is sampled with CPU clocks
//! and without them.
//!
//! CPU time is in ticks. What processes need to fork, to end and so on is a few microseconds, and
//! is rounded off.

use super::machine::Interruption;
use super::oracle::{By, Pick};
use super::world::{TICK, World};
use super::{Seen, Watch};
use psstat_core::account::group::{Group, Reason};
use psstat_core::model::units::{CpuNanos, Pid};

/// A world with one process named `root`, and two watches on all of that name, one of them without
/// CPU clocks.
struct Scene {
    world: World,
    watch: Watch,
    without_clocks: Watch,
    root: Pid,
}

impl Scene {
    fn new() -> Scene {
        Scene::with_root_on(2)
    }

    fn with_root_on(pid: u32) -> Scene {
        let watch = || {
            let mut watch = Watch::new(&[Pick { label: Some("group"), by: By::Name(&["root"]) }]);
            watch.setup.counts_processes = true;
            watch
        };
        let mut scene = Scene {
            world: World::new(100),
            watch: watch(),
            without_clocks: watch().without_clocks(),
            root: Pid::new(pid),
        };
        scene.spawn(pid, Pid::INIT, "root");
        scene.world.idle(2 * TICK);
        scene
    }

    /// A child with a chosen pid.
    fn spawn(&mut self, pid: u32, parent: Pid, comm: &'static str) -> Pid {
        self.world.set_last_pid(pid - 1);
        let child = self.world.fork(parent).unwrap();
        assert_eq!(child, Pid::new(pid));
        self.world.exec(child, comm);
        child
    }

    fn child(&mut self, pid: u32, parent: Pid) -> Pid {
        self.spawn(pid, parent, "child")
    }

    fn burn(&mut self, pid: Pid, ticks: u64) {
        self.world.burn(pid, ticks * TICK, 0);
    }

    /// A child of `parent` starts, uses that much, ends, and is waited for.
    fn short_life(&mut self, parent: Pid, ticks: u64) {
        let child = self.world.fork(parent).unwrap();
        self.burn(child, ticks);
        self.world.exit_and_wait(child);
    }

    fn baseline(&mut self) {
        for watch in [&mut self.watch, &mut self.without_clocks] {
            assert!(watch.sample(&mut self.world).lines.is_empty());
        }
        self.world.idle(TICK);
    }

    /// The CPU time that a quiet sample reports.
    fn used(&mut self) -> Option<u64> {
        self.report().0
    }

    /// The CPU time that a sample reports if something happens after that many readings. Processes
    /// are read in rising order of pid, from `init` on.
    fn used_while(&mut self, readings: usize, what: impl Happening) -> Option<u64> {
        self.report_while(readings, what).0
    }

    /// The CPU time and the number of processes that a quiet sample reports.
    fn report(&mut self) -> (Option<u64>, u64) {
        self.report_while(usize::MAX, |_| {})
    }

    /// The same of a sample during which something happens. Both watches see the same.
    fn report_while(&mut self, readings: usize, what: impl Happening) -> (Option<u64>, u64) {
        let mut twin = self.world.clone();
        let [report, without_clocks] =
            [(&mut self.watch, &mut self.world), (&mut self.without_clocks, &mut twin)].map(
                |(watch, world)| {
                    let interruption = Interruption::new(readings, what.clone());
                    let seen = watch.sample_while(world, vec![interruption]);
                    let line = &seen.lines["group"];
                    (line.used.map(ticks), line.processes)
                },
            );
        assert_eq!(report, without_clocks, "without clocks");
        self.world.idle(TICK);
        report
    }
}

/// What happens during a sample, once to each of two worlds.
trait Happening: FnOnce(&mut World) + Clone + Send + 'static {}

impl<F: FnOnce(&mut World) + Clone + Send + 'static> Happening for F {}

/// Microseconds in ticks, rounded.
fn ticks(time: u64) -> u64 {
    (time + TICK / 2) / TICK
}

#[test]
fn an_ended_child_counts_only_what_was_not_counted_yet() {
    let mut scene = Scene::new();
    let child = scene.child(3, scene.root);
    scene.burn(child, 200);
    scene.baseline();
    scene.burn(child, 10);
    scene.world.exit_and_wait(child);
    assert_eq!(scene.used(), Some(10));
}

#[test]
fn the_past_of_an_ended_line_is_taken_off_a_live_ancestor() {
    let mut scene = Scene::new();
    let middle = scene.child(3, scene.root);
    let low = scene.child(4, middle);
    scene.burn(middle, 100);
    scene.burn(low, 300);
    scene.baseline();
    scene.burn(low, 5);
    scene.world.exit_and_wait(low);
    scene.burn(middle, 1);
    scene.world.exit_and_wait(middle);
    scene.burn(scene.root, 2);
    assert_eq!(scene.used(), Some(8));
}

#[test]
fn a_debt_inherited_by_init_is_dropped() {
    let mut scene = Scene::new();
    let middle = scene.child(3, scene.root);
    let orphan = scene.child(4, middle);
    scene.burn(orphan, 1000);
    scene.baseline();
    scene.world.exit_and_wait(middle);
    scene.world.exit(orphan);
    scene.short_life(scene.root, 300);
    assert_eq!(scene.used(), Some(300));
}

#[test]
fn a_child_that_ends_after_its_parent_was_read_is_late() {
    let mut scene = Scene::new();
    let child = scene.child(3, scene.root);
    scene.burn(child, 100);
    scene.baseline();
    scene.burn(child, 10);
    assert_eq!(scene.used_while(2, move |world| world.exit_and_wait(child)), Some(0));
    assert_eq!(scene.used(), Some(10));
}

#[test]
fn a_past_that_has_not_arrived_by_then_is_lost() {
    let mut scene = Scene::new();
    let middle = scene.child(3, scene.root);
    let orphan = scene.child(4, middle);
    scene.burn(orphan, 100);
    scene.baseline();
    scene.world.exit_and_wait(middle);
    scene.world.exit(orphan);
    assert_eq!(scene.used(), Some(0));
    assert_eq!(scene.used(), Some(0));
    scene.short_life(scene.root, 150);
    assert_eq!(scene.used(), Some(150));
}

#[test]
fn a_late_debt_moves_to_the_next_heir() {
    let mut scene = Scene::new();
    let middle = scene.child(3, scene.root);
    let low = scene.child(4, middle);
    scene.burn(low, 100);
    scene.baseline();
    assert_eq!(scene.used_while(3, move |world| world.exit_and_wait(low)), Some(0));
    assert_eq!(scene.used_while(2, move |world| world.exit_and_wait(middle)), Some(0));
    assert_eq!(scene.used(), Some(0));
}

#[test]
fn a_process_that_leaves_alive_takes_its_past_with_it() {
    let mut scene = Scene::new();
    let middle = scene.child(3, scene.root);
    let leaver = scene.child(4, middle);
    scene.burn(leaver, 100);
    scene.baseline();
    scene.world.exit_and_wait(middle);
    scene.short_life(scene.root, 120);
    assert_eq!(scene.used(), Some(120));
}

#[test]
fn a_subreaper_inherits_what_the_nearest_ancestor_does_not() {
    let mut scene = Scene::new();
    scene.world.set_subreaper(scene.root);
    let near = scene.child(3, scene.root);
    let middle = scene.child(4, near);
    let orphan = scene.child(5, middle);
    scene.burn(orphan, 500);
    scene.baseline();
    scene.world.exit_and_wait(middle);
    scene.burn(orphan, 1);
    scene.world.exit_and_wait(orphan);
    assert_eq!(scene.used(), Some(1));
}

#[test]
fn a_lost_past_does_not_stand_in_the_way_of_one_that_arrived() {
    let mut scene = Scene::new();
    scene.world.set_subreaper(scene.root);
    let near = scene.child(3, scene.root);
    let middle = scene.child(4, near);
    let orphan = scene.child(5, middle);
    let careless = scene.child(6, near);
    scene.world.ignore_sigchld(careless);
    let lost = scene.child(7, careless);
    let child = scene.child(8, near);
    scene.burn(orphan, 100);
    scene.burn(lost, 100);
    scene.burn(child, 200);
    scene.baseline();
    scene.world.exit_and_wait(middle);
    scene.world.exit_and_wait(orphan);
    scene.world.exit(lost);
    scene.world.exit_and_wait(child);
    assert_eq!(scene.used(), Some(0), "100 arrived at the root, 200 at its child: all old");
}

#[test]
fn larger_debts_settle_first() {
    let mut scene = Scene::new();
    scene.world.set_subreaper(scene.root);
    let near = scene.child(3, scene.root);
    let upper = scene.child(4, near);
    let orphan = scene.child(5, upper);
    let careless = scene.child(6, near);
    scene.world.ignore_sigchld(careless);
    let lost = scene.child(7, careless);
    let middle = scene.child(8, near);
    let greater = scene.child(9, middle);
    scene.burn(orphan, 100);
    scene.burn(lost, 100);
    scene.burn(greater, 200);
    scene.baseline();
    scene.world.exit_and_wait(upper);
    scene.world.exit_and_wait(orphan);
    scene.world.exit(lost);
    scene.world.exit_and_wait(careless);
    scene.world.exit_and_wait(greater);
    scene.world.exit_and_wait(middle);
    assert_eq!(scene.used(), Some(0), "100 arrived at the root, 200 at its child: all old");
}

/// What arrived at the root is the past of an orphan that it adopted. About as much is late: `near` has
/// waited for its child after it was read, and no ancestor of that one has adopted anybody.
#[test]
fn debts_settle_with_the_nearest_heirs_before_others() {
    for late_past in [199, 200, 201] {
        let mut scene = Scene::new();
        scene.world.set_subreaper(scene.root);
        let near = scene.child(3, scene.root);
        let upper = scene.child(4, near);
        let late = scene.child(5, upper);
        let middle = scene.child(6, scene.root);
        let orphan = scene.child(7, middle);
        scene.burn(late, late_past);
        scene.burn(orphan, 200);
        scene.baseline();
        scene.world.exit_and_wait(middle);
        scene.world.exit_and_wait(orphan);
        scene.world.exit_and_wait(late);
        scene.world.exit(upper);
        assert_eq!(scene.used_while(3, move |world| world.wait(upper)), Some(0));
        assert_eq!(scene.used(), Some(0), "{late_past}");
    }
}

#[test]
fn a_zombie_inherits_nothing() {
    let mut scene = Scene::new();
    scene.world.set_subreaper(scene.root);
    let parent = scene.child(3, scene.root);
    let orphan = scene.child(4, parent);
    scene.burn(orphan, 100);
    scene.baseline();
    scene.world.exit(parent);
    scene.world.exit_and_wait(orphan);
    assert_eq!(scene.used(), Some(0));
}

#[test]
fn only_a_parent_that_lives_is_expected_to_inherit() {
    let mut scene = Scene::new();
    let near = scene.child(3, scene.root);
    let late = scene.child(4, near);
    let child = scene.child(5, scene.root);
    scene.burn(late, 300);
    scene.burn(child, 200);
    scene.baseline();
    scene.world.exit_and_wait(child);
    scene.short_life(scene.root, 100);
    assert_eq!(scene.used_while(3, move |world| world.exit_and_wait(late)), Some(100));
    assert_eq!(scene.used(), Some(0));
}

#[test]
fn an_arrived_past_is_not_taken_for_a_late_one() {
    let mut scene = Scene::new();
    scene.world.set_subreaper(scene.root);
    let near = scene.child(3, scene.root);
    let middle = scene.child(4, near);
    let orphan = scene.child(5, middle);
    let child = scene.child(6, near);
    scene.burn(orphan, 100);
    scene.burn(child, 500);
    scene.baseline();
    scene.world.exit_and_wait(middle);
    assert_eq!(scene.used_while(3, move |world| world.exit_and_wait(orphan)), Some(0));
    scene.world.exit_and_wait(child);
    assert_eq!(scene.used(), Some(0));
}

#[test]
fn late_debts_settle_before_possible_ones() {
    let mut scene = Scene::new();
    let near = scene.child(3, scene.root);
    scene.world.set_subreaper(near);
    let middle = scene.child(4, near);
    let orphan = scene.child(5, middle);
    let late = scene.child(6, scene.root);
    scene.burn(orphan, 300);
    scene.burn(late, 100);
    scene.baseline();
    assert_eq!(scene.used_while(5, move |world| world.exit_and_wait(late)), Some(0));
    scene.world.exit_and_wait(middle);
    scene.short_life(scene.root, 200);
    let soon = scene.used_while(3, move |world| world.exit_and_wait(orphan));
    assert_eq!(soon.unwrap() + scene.used().unwrap(), 200);
}

#[test]
fn a_late_past_is_kept_if_another_is_late_again() {
    let mut scene = Scene::new();
    let late = scene.child(3, scene.root);
    let later = scene.child(4, scene.root);
    scene.burn(late, 100);
    scene.burn(later, 300);
    scene.baseline();
    assert_eq!(scene.used_while(2, move |world| world.exit_and_wait(late)), Some(0));
    scene.short_life(scene.root, 200);
    let soon = scene.used_while(2, move |world| world.exit_and_wait(later));
    assert_eq!(soon.unwrap() + scene.used().unwrap(), 200);
}

#[test]
fn a_process_born_since_the_last_sample_counts_whole() {
    let mut scene = Scene::new();
    scene.baseline();
    let child = scene.child(3, scene.root);
    scene.burn(child, 7);
    scene.short_life(child, 3);
    assert_eq!(scene.used(), Some(10));
}

#[test]
fn a_process_started_a_tick_before_the_sample_counts_whole() {
    let mut scene = Scene::new();
    let older = scene.spawn(3, Pid::INIT, "stranger");
    scene.world.idle(TICK);
    let newborn = scene.spawn(4, Pid::INIT, "stranger");
    scene.world.idle(TICK);
    scene.baseline();
    scene.world.exec(older, "root");
    scene.world.exec(newborn, "root");
    scene.burn(older, 50);
    scene.burn(newborn, 7);
    assert_eq!(scene.used(), Some(7));
}

#[test]
fn an_older_process_that_joins_is_its_own_baseline() {
    let mut scene = Scene::new();
    let stranger = scene.spawn(3, Pid::INIT, "stranger");
    scene.burn(stranger, 500);
    scene.baseline();
    scene.burn(stranger, 10);
    scene.world.exec(stranger, "root");
    assert_eq!(scene.used(), Some(0));
    scene.burn(stranger, 3);
    assert_eq!(scene.used(), Some(3));
}

#[test]
fn only_older_strangers_mean_that_nothing_is_known() {
    let mut scene = Scene::new();
    scene.world.exec(scene.root, "stranger");
    scene.baseline();
    assert_eq!(scene.report(), (Some(0), 0), "down");
    scene.world.exec(scene.root, "root");
    assert_eq!(scene.report(), (None, 1), "unknown");
    assert_eq!(scene.report(), (Some(0), 1));
}

#[test]
fn a_recycled_pid_is_a_new_process() {
    let mut scene = Scene::new();
    let child = scene.child(3, scene.root);
    scene.burn(child, 100);
    scene.baseline();
    scene.world.exit_and_wait(child);
    scene.world.idle(TICK);
    let another = scene.child(3, scene.root);
    scene.burn(another, 103);
    assert_eq!(scene.used(), Some(103));
}

#[test]
fn a_zombie_keeps_its_time_until_it_is_waited_for() {
    let mut scene = Scene::new();
    let child = scene.child(3, scene.root);
    scene.burn(child, 100);
    scene.baseline();
    scene.burn(child, 5);
    scene.world.exit(child);
    assert_eq!(scene.report(), (Some(5), 1));
    assert_eq!(scene.report(), (Some(0), 1));
    scene.world.wait(child);
    assert_eq!(scene.report(), (Some(0), 1));
}

#[test]
fn a_child_read_before_its_parent_is_read_again() {
    let mut scene = Scene::with_root_on(8);
    let child = scene.child(3, scene.root);
    scene.burn(child, 100);
    scene.baseline();
    scene.burn(child, 10);
    assert_eq!(scene.used_while(2, move |world| world.exit_and_wait(child)), Some(10));
    assert_eq!(scene.used(), Some(0));
}

#[test]
fn descendants_of_a_process_read_again_are_read_again() {
    let mut scene = Scene::with_root_on(8);
    let middle = scene.child(3, scene.root);
    let low = scene.child(4, middle);
    scene.burn(low, 100);
    scene.baseline();
    scene.burn(low, 10);
    assert_eq!(scene.used_while(4, move |world| world.exit_and_wait(low)), Some(10));
    assert_eq!(scene.used(), Some(0));
}

#[test]
fn several_readers_may_read_a_child_before_its_parent() {
    // Two readers, each with one process. What happens after the first reading, whichever that
    // is, happens before the other, and the child's time may stand in both.
    for round in 0..50 {
        let mut scene = Scene::new();
        scene.watch.setup.readers = 3;
        scene.watch.setup.has_clocks = round % 2 == 0;
        scene.watch.setup.counts_processes = true;
        let child = scene.child(3, scene.root);
        scene.burn(child, 100);
        scene.baseline();
        scene.burn(child, 10);
        let Scene { mut world, mut watch, .. } = scene;
        let end = Interruption::new(2, move |world| world.exit_and_wait(child));
        let first = watch.sample_while(&mut world, vec![end]);
        world.idle(TICK);
        let then = watch.sample(&mut world);
        let used = [first, then].map(|seen| seen.lines["group"].used.unwrap());
        assert_eq!(ticks(used.into_iter().sum()), 10);
    }
}

#[test]
fn a_parent_that_ends_in_the_second_reading_leaves_ancestors() {
    let mut scene = Scene::with_root_on(8);
    scene.world.set_subreaper(scene.root);
    let middle = scene.child(3, scene.root);
    let low = scene.child(4, middle);
    scene.burn(low, 100);
    scene.baseline();
    assert_eq!(scene.used_while(3, move |world| world.exit_and_wait(middle)), Some(0));
    scene.world.exit_and_wait(low);
    assert_eq!(scene.used(), Some(0));
}

#[test]
fn a_parent_that_ends_in_the_first_reading_leaves_an_adopter() {
    let mut scene = Scene::new();
    scene.world.set_subreaper(scene.root);
    let middle = scene.child(4, scene.root);
    let low = scene.child(3, middle);
    scene.burn(low, 100);
    scene.baseline();
    scene.burn(low, 10);
    assert_eq!(scene.used_while(3, move |world| world.exit_and_wait(middle)), Some(10));
    scene.burn(low, 1);
    scene.world.exit_and_wait(low);
    assert_eq!(scene.used(), Some(1));
}

#[test]
fn an_orphan_that_ends_in_the_first_reading_owes_its_past() {
    let mut scene = Scene::with_root_on(8);
    scene.world.set_subreaper(scene.root);
    let middle = scene.child(4, scene.root);
    let low = scene.child(3, middle);
    scene.burn(low, 100);
    scene.baseline();
    scene.burn(low, 10);
    let both_end = move |world: &mut World| {
        world.exit_and_wait(middle);
        world.exit_and_wait(low);
    };
    assert_eq!(scene.used_while(2, both_end), Some(10));
    assert_eq!(scene.used(), Some(0));
}

/// An orphan whose parent, which has used that much, ends while it is read.
fn an_orphan_is_remembered_with_its_adopter(mut scene: Scene, used_by_parent: u64) {
    scene.world.set_subreaper(scene.root);
    let near = scene.child(7, scene.root);
    let middle = scene.child(3, near);
    let low = scene.child(4, middle);
    scene.burn(middle, used_by_parent);
    scene.burn(low, 100);
    scene.baseline();
    assert_eq!(scene.used_while(3, move |world| world.exit_and_wait(middle)), Some(0));
    scene.world.exit_and_wait(low);
    assert_eq!(scene.used(), Some(0));
}

#[test]
fn an_orphan_that_is_read_again_is_remembered_with_its_adopter() {
    an_orphan_is_remembered_with_its_adopter(Scene::with_root_on(8), 0);
}

/// The orphan sleeps, so its clock shows that it has not ended. It has another parent all the same.
#[test]
fn an_orphan_that_sleeps_is_remembered_with_its_adopter() {
    let mut scene = Scene::with_root_on(8);
    // A sample that reads all processes reads no clocks before their `stat`.
    for watch in [&mut scene.watch, &mut scene.without_clocks] {
        watch.setup.tells_births = true;
    }
    an_orphan_is_remembered_with_its_adopter(scene, 5);
}

#[test]
fn the_children_of_an_ended_orphan_stay_with_their_adopter() {
    let mut scene = Scene::with_root_on(8);
    scene.world.set_subreaper(scene.root);
    let middle = scene.child(5, scene.root);
    let low = scene.child(3, middle);
    let lowest = scene.child(4, low);
    scene.burn(lowest, 100);
    scene.baseline();
    let both_end = move |world: &mut World| {
        world.exit_and_wait(middle);
        world.exit_and_wait(low);
    };
    assert_eq!(scene.used_while(3, both_end), Some(0));
    scene.world.exit_and_wait(lowest);
    assert_eq!(scene.used(), Some(0));
}

#[test]
fn a_younger_process_on_the_parents_pid_is_a_stranger() {
    let mut scene = Scene::new();
    scene.baseline();
    let parent = scene.spawn(4, Pid::INIT, "stranger");
    let orphan = scene.spawn(3, parent, "stranger");
    scene.burn(orphan, 100);
    let recycle = move |world: &mut World| {
        world.exit(parent);
        world.idle(TICK);
        world.set_last_pid(3);
        assert_eq!(world.fork(Pid::INIT), Some(parent));
        world.exec(parent, "root");
    };
    assert_eq!(scene.report_while(3, recycle), (Some(0), 2));
}

/// A world with a service that has used 100 ticks.
fn with_service() -> World {
    let mut world = World::new(100);
    world.make_control_group("system.slice/a.service");
    let pid = world.fork(Pid::INIT).unwrap();
    world.move_to(pid, "system.slice/a.service");
    world.burn(pid, 100 * TICK, 0);
    world
}

const A_SERVICE: By = By::Units("a.service", &[("system.slice/a.service", "a")]);
const SERVICES: By = By::Units("*.service", &[("system.slice/a.service", "a")]);

#[test]
fn a_control_group_is_a_reason_by_a_selector_of_its_group() {
    let mut world = with_service();
    let [one, all] = [A_SERVICE, SERVICES].map(|by| Pick { label: None, by });
    let all = Pick { label: Some("all"), ..all };
    let sample = Watch::new(&[one, all]).sample(&mut world).sample;
    let reason = |group: &Group| sample.reason(group, 0);
    let reasons: Vec<Option<Reason>> = sample.groups.iter().map(reason).collect();
    let by = |selector| Some(Reason::ControlGroup { selector, control_group: 0 });
    assert_eq!(reasons, [by(0), by(1)]);
}

#[test]
fn a_new_group_of_a_known_control_group_has_a_baseline() {
    let mut world = with_service();
    let one = Pick { label: None, by: A_SERVICE };
    let all = Pick { label: Some("all"), by: SERVICES };
    let mut before = Watch::new(&[one]);
    before.sample(&mut world);
    world.idle(TICK);
    let mut after = Watch { state: before.state, ..Watch::new(&[one, all]) };
    let lines = after.sample(&mut world).lines;
    assert_eq!((lines["a"].used, lines["all"].used), (Some(0), None));
}

/// Watches on that service that have no hierarchy to read, with CPU clocks and without.
fn both_on_a_service() -> [Watch; 2] {
    let watch = || Watch::new(&[Pick { label: Some("a"), by: A_SERVICE }]);
    [watch(), watch().without_clocks()].map(|mut watch| {
        watch.access.hides_hierarchy = true;
        watch
    })
}

fn used_by_a(seen: &Seen) -> Option<u64> {
    seen.lines["a"].used.map(ticks)
}

#[test]
fn a_process_without_a_control_group_leaves_its_orphans() {
    for mut watch in both_on_a_service() {
        let mut world = World::new(100);
        world.make_control_group("system.slice/a.service");
        let root = world.fork(Pid::INIT).unwrap();
        world.set_subreaper(root);
        world.move_to(root, "system.slice/a.service");
        world.idle(TICK);
        watch.sample(&mut world);
        let middle = world.fork(root).unwrap();
        let orphan = world.fork(middle).unwrap();
        world.burn(orphan, 100 * TICK, 0);
        // The control groups, the status of four processes, and the control group of `init`.
        let end = Interruption::new(6, move |world: &mut World| world.exit_and_wait(middle));
        assert_eq!(used_by_a(&watch.sample_while(&mut world, vec![end])), Some(100));
        world.exit_and_wait(orphan);
        world.idle(TICK);
        assert_eq!(used_by_a(&watch.sample(&mut world)), Some(0));
    }
}

#[test]
fn a_pid_used_again_is_not_taken_for_a_member() {
    for mut watch in both_on_a_service() {
        let mut world = World::new(100);
        world.make_control_group("system.slice/a.service");
        let root = world.fork(Pid::INIT).unwrap();
        world.move_to(root, "system.slice/a.service");
        watch.sample(&mut world);
        world.idle(TICK);
        let stranger = world.fork(Pid::INIT).unwrap();
        world.burn(stranger, 100 * TICK, 0);
        // The control groups, the status of three processes, and the control group of `init`.
        let replace = Interruption::new(5, move |world: &mut World| {
            world.exit(stranger);
            world.idle(TICK);
            world.fork_with_pid(root, stranger).unwrap();
        });
        assert_eq!(used_by_a(&watch.sample_while(&mut world, vec![replace])), Some(0));
    }
}

#[test]
fn a_member_whose_pid_is_used_again_leaves_its_past() {
    for mut watch in both_on_a_service() {
        let mut world = World::new(100);
        world.make_control_group("system.slice/a.service");
        let root = world.fork(Pid::INIT).unwrap();
        world.move_to(root, "system.slice/a.service");
        let child = world.fork(root).unwrap();
        world.burn(child, 100 * TICK, 0);
        world.exit(child);
        watch.sample(&mut world);
        world.idle(TICK);
        // The control groups, the status of three processes, and the control group of `init`.
        let replace = Interruption::new(5, move |world: &mut World| {
            world.wait(child);
            world.idle(TICK);
            world.fork_with_pid(Pid::INIT, child).unwrap();
        });
        assert_eq!(used_by_a(&watch.sample_while(&mut world, vec![replace])), Some(0));
        world.idle(TICK);
        assert_eq!(used_by_a(&watch.sample(&mut world)), Some(0));
    }
}

/// A world with a process that has used 7 ms, and what its first sample counts of it if something
/// happens between reading `stat` of all processes and its CPU clock.
fn counted_at_first(what: impl FnOnce(&mut World, Pid) + Send + 'static) -> CpuNanos {
    let mut world = World::new(100);
    let root = world.fork(Pid::INIT).unwrap();
    world.burn(root, 7_000, 0);
    world.idle(2 * TICK);
    let mut watch = Watch::new(&[Pick { label: Some("root"), by: By::Pid(root) }]);
    let interruption = Interruption::new(2, move |world: &mut World| what(world, root));
    watch.sample_while(&mut world, vec![interruption]);
    let members = watch.members();
    assert_eq!(members.len(), 1);
    members[0].1.amounts.own
}

/// The process runs on for longer than `stat` can be behind the clock.
#[test]
fn a_clock_that_has_run_on_since_stat_was_read_is_exact() {
    assert_eq!(counted_at_first(|_, _| {}), CpuNanos(7_000_000));
    let runs_on = |world: &mut World, root| world.burn(root, 5 * TICK, 0);
    assert_eq!(counted_at_first(runs_on), CpuNanos(57_000_000));
}

/// A scan of all processes takes long. What is used in that time counts in the interval that it belongs
/// to, whichever samples read all.
#[test]
fn the_rate_is_right_whatever_a_scan_takes() {
    let mut world = World::new(100);
    let root = world.fork(Pid::INIT).unwrap();
    let mut watch = Watch::new(&[Pick { label: Some("root"), by: By::Pid(root) }]);
    let mut rate = |long: bool, world: &mut World| {
        let busy = move |world: &mut World| world.burn(root, 40 * TICK, 0);
        let scan = if long { vec![Interruption::new(1, busy)] } else { Vec::new() };
        let sample = watch.sample_while(world, scan).sample;
        world.burn(root, 60 * TICK, 0);
        sample.reports.first().map(|report| report.cpu.unwrap())
    };
    for is_long in [true, false, true, true, false, false] {
        let rate = rate(is_long, &mut world);
        assert!(rate.is_none_or(|rate| (rate - 1.0).abs() < 1e-9), "{rate:?} of one processor");
    }
}

#[test]
fn the_clock_of_a_successor_is_not_used() {
    let is_replaced = |world: &mut World, root| {
        world.exit_and_wait(root);
        world.idle(2 * TICK);
        assert_eq!(world.fork_with_pid(Pid::INIT, root), Some(root));
        world.burn(root, 5 * TICK, 0);
    };
    assert_eq!(counted_at_first(is_replaced), CpuNanos(0), "`stat` shows no tick");
}
