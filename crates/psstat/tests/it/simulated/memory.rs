//! Memory is counted once, whatever shows it, and as it changes.

use super::Watch;
use super::machine::memory_of;
use super::oracle::{By, Pick};
use super::pages::PAGE;
use super::properties::config;
use super::world::{TICK, World};
use proptest::prelude::*;
use psstat_core::field::Field;
use psstat_core::model::memory::Footprint;
use psstat_core::model::units::Pid;

/// The unit of the server, a group below it, and another unit.
const OWN: &str = "a.service";
const BELOW: &str = "a.service/below";
const OTHER: &str = "b.service";

/// What a process does.
#[derive(Clone, Copy, Debug)]
enum Act {
    Fork,
    End,
    Map(usize),
    Unmap(usize),
    Copy(usize),
    Move,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => Just(Act::Fork),
        1 => Just(Act::End),
        2 => (1..40usize).prop_map(Act::Map),
        1 => (1..10usize).prop_map(Act::Unmap),
        2 => (1..40usize).prop_map(Act::Copy),
        1 => Just(Act::Move),
    ]
}

/// Between two samples some processes do something.
type Steps = Vec<Vec<(usize, Act)>>;

fn steps() -> impl Strategy<Value = Steps> {
    let acts = prop::collection::vec((any::<usize>(), act()), 0..5);
    prop::collection::vec(acts, 1..8)
}

/// A world with a server in its own unit.
struct Scene {
    world: World,
    root: Pid,
}

/// Anonymous memory of the server, in bytes.
struct Truth {
    once: u64,
    /// Of the largest process.
    largest: u64,
    /// Of all processes, each by itself.
    sum: u64,
}

impl Scene {
    fn new() -> Scene {
        let mut world = World::new(32_768);
        [OWN, BELOW, OTHER].into_iter().for_each(|path| world.make_control_group(path));
        let root = world.fork(Pid::INIT).unwrap();
        world.exec(root, "web");
        world.move_to(root, OWN);
        let mut scene = Scene { world, root };
        scene.act(0, Act::Map(150));
        scene
    }

    /// The live processes of the server.
    fn members(&self) -> Vec<Pid> {
        let family = self.world.family(self.root);
        self.world.living().into_iter().filter(|pid| family.contains(pid)).collect()
    }

    /// The processor time of a page is some hundred microseconds.
    fn work(&mut self, pid: Pid, pages: usize) {
        self.world.burn(pid, 0, 300 * pages as u64);
    }

    fn act(&mut self, choice: usize, act: Act) {
        let members = self.members();
        let pid = members[choice % members.len()];
        let task = &self.world.tasks()[&pid];
        let (life, path) = (task.life, task.control_group);
        match act {
            Act::Fork if members.len() < 12 => drop(self.world.fork(pid).unwrap()),
            // Its children stay in the family.
            Act::End if members.iter().all(|&other| !self.world.is_child(other, pid)) => {
                if pid != self.root {
                    self.world.exit_and_wait(pid);
                }
            }
            Act::Fork | Act::End => {}
            Act::Map(count) => {
                self.work(pid, count);
                self.world.pages.map(life, path, count);
            }
            Act::Copy(count) => {
                self.work(pid, count);
                self.world.pages.copy(life, path, count);
            }
            Act::Unmap(count) => {
                self.work(pid, 1);
                self.world.pages.unmap(life, count);
            }
            Act::Move => self.world.move_to(pid, if path == OWN { BELOW } else { OWN }),
        }
    }

    fn truth(&self) -> Truth {
        let lives = || self.members().into_iter().map(|pid| self.world.tasks()[&pid].life);
        let own = |life| memory_of(life).anonymous().bytes(4096).0;
        let whole = |life| own(life) + self.world.pages.of(life).len() as u64 * PAGE;
        Truth {
            once: self.world.pages.count(lives()) * PAGE + lives().map(own).sum::<u64>(),
            largest: lives().map(whole).max().unwrap(),
            sum: lives().map(whole).sum(),
        }
    }

    /// The anonymous memory that the next sample of a watch reports, in bytes.
    fn reported(&mut self, watch: &mut Watch) -> u64 {
        self.world.idle(100 * TICK);
        let seen = watch.sample(&mut self.world);
        let report = seen.sample.reports.iter().find(|report| report.label.as_str() == "web");
        let footprints = seen.sample.readings.footprints.as_ref().unwrap();
        let (mut largest, mut shares) = (0, 0);
        for footprint in footprints {
            if let Footprint::Known(share) = footprint {
                largest = largest.max(share.mapped_whole.0);
                shares += share.mapped.0;
            }
        }
        report.unwrap().bytes.unwrap().0 - largest.max(shares)
    }
}

/// A watch on the server that has taken its first sample.
fn watch(scene: &mut Scene, by: By, change: impl Fn(&mut Watch)) -> Watch {
    let mut watch = Watch::new(&[Pick { label: Some("web"), by }]);
    watch.fields = vec![Field::CpuTime, Field::Memory, Field::MemoryShare];
    change(&mut watch);
    watch.sample(&mut scene.world);
    watch
}

/// In three ways that pick the same processes.
fn ways(scene: &Scene) -> [By; 3] {
    [By::Pid(scene.root), By::Name(&["web"]), By::Units(OWN, &[(OWN, "a")])]
}

/// A MiB per process is not worth another reading.
fn tolerated(scene: &Scene) -> u64 {
    (scene.members().len() as u64 + 1) * PAGE
}

proptest! {
    #![proptest_config(config(200))]

    /// Everybody may read the accounts of control groups.
    #[test]
    fn accounts_are_right_however_the_members_were_selected(steps in steps(), is_resident: bool) {
        let mut scene = Scene::new();
        let mut watches = ways(&scene).map(|by| watch(&mut scene, by, |watch| {
            watch.is_resident = is_resident;
            watch.setup.accounts_memory = true;
            watch.access.hides_rollups = true;
        }));
        for acts in steps {
            acts.into_iter().for_each(|(choice, act)| scene.act(choice, act));
            let reported = watches.each_mut().map(|watch| scene.reported(watch));
            let Truth { once, .. } = scene.truth();
            prop_assert_eq!(reported, [once; 3]);
        }
    }

    #[test]
    fn shares_are_right_when_nothing_changes_any_more(steps in steps(), is_resident: bool) {
        let mut scene = Scene::new();
        let mut watches =
            ways(&scene).map(|by| watch(&mut scene, by, |watch| watch.is_resident = is_resident));
        for acts in steps {
            acts.into_iter().for_each(|(choice, act)| scene.act(choice, act));
            let Truth { largest, sum, .. } = scene.truth();
            for reported in watches.each_mut().map(|watch| scene.reported(watch)) {
                prop_assert!(largest <= reported && reported <= sum, "{reported}");
            }
        }
        for pid in scene.members() {
            scene.work(pid, 1000);
        }
        let mut reported = [0; 3];
        for _ in 0..12 {
            reported = watches.each_mut().map(|watch| scene.reported(watch));
        }
        let Truth { once, .. } = scene.truth();
        for reported in reported {
            prop_assert!(reported.abs_diff(once) <= tolerated(&scene), "{reported} of {once}");
        }
    }

    /// Without either, each process counts by itself.
    #[test]
    fn without_accounts_and_shares_each_process_counts_whole(steps in steps()) {
        let mut scene = Scene::new();
        let mut watches =
            ways(&scene).map(|by| watch(&mut scene, by, |watch| watch.access.hides_rollups = true));
        for acts in steps {
            acts.into_iter().for_each(|(choice, act)| scene.act(choice, act));
            let reported = watches.each_mut().map(|watch| scene.reported(watch));
            prop_assert_eq!(reported, [scene.truth().sum; 3]);
        }
    }
}

/// A server with nine workers that share what it has.
fn with_workers() -> Scene {
    let mut scene = Scene::new();
    for _ in 0..9 {
        scene.world.fork(scene.root).unwrap();
    }
    scene
}

fn with_accounts(watch: &mut Watch) {
    watch.setup.accounts_memory = true;
    watch.access.hides_rollups = true;
}

#[test]
fn a_stranger_in_the_control_group_voids_its_account() {
    let mut scene = with_workers();
    let root = By::Pid(scene.root);
    let mut watch = watch(&mut scene, root, with_accounts);
    let once = scene.truth().once;
    assert_eq!(scene.reported(&mut watch), once);
    let stranger = scene.world.fork(Pid::INIT).unwrap();
    scene.world.move_to(stranger, BELOW);
    let life = scene.world.tasks()[&stranger].life;
    scene.world.pages.map(life, BELOW, 500);
    // The members have run, so the account is read anew.
    scene.work(scene.root, 1);
    assert_eq!(scene.reported(&mut watch), scene.truth().sum);
    for _ in 0..3 {
        assert_eq!(scene.reported(&mut watch), scene.truth().sum);
    }
    scene.world.exit_and_wait(stranger);
    assert_eq!(scene.reported(&mut watch), once);
}

/// Nothing that the members do shows that a stranger has come or gone.
#[test]
fn an_account_is_read_again_in_turn() {
    let mut scene = with_workers();
    let root = By::Pid(scene.root);
    let mut watch = watch(&mut scene, root, with_accounts);
    scene.reported(&mut watch);
    let stranger = scene.world.fork(Pid::INIT).unwrap();
    scene.world.move_to(stranger, OWN);
    let changed = (0..16).find(|_| scene.reported(&mut watch) == scene.truth().sum);
    assert!(changed.is_some());
}

#[test]
fn a_member_in_another_control_group_counts_by_itself() {
    let mut scene = with_workers();
    let root = By::Pid(scene.root);
    let mut watch = watch(&mut scene, root, with_accounts);
    scene.reported(&mut watch);
    let moved = scene.members()[4];
    scene.world.move_to(moved, OTHER);
    scene.work(moved, 1);
    let apart = memory_of(scene.world.tasks()[&moved].life).anonymous().bytes(4096).0 + 150 * PAGE;
    let expected = scene.truth().once + 150 * PAGE;
    assert!(apart > 0);
    let reported: Vec<u64> = (0..3).map(|_| scene.reported(&mut watch)).collect();
    assert_eq!(reported.last(), Some(&expected), "{reported:?}");
}

/// A container is set up in the control group of who makes it, and moved then.
#[test]
fn workers_that_are_moved_together_are_found_soon() {
    let mut scene = Scene::new();
    scene.world.move_to(scene.root, "");
    for _ in 0..9 {
        scene.world.fork(scene.root).unwrap();
    }
    let stranger = scene.world.fork(Pid::INIT).unwrap();
    scene.world.move_to(stranger, "");
    let root = By::Pid(scene.root);
    let mut watch = watch(&mut scene, root, with_accounts);
    assert_eq!(scene.reported(&mut watch), scene.truth().sum, "there is a stranger");
    for pid in scene.members() {
        scene.world.move_to(pid, OWN);
    }
    let found = (0..4).find(|_| scene.reported(&mut watch) < scene.truth().sum);
    assert!(found.is_some());
}

#[test]
fn a_stranger_that_leaves_is_missed_at_once() {
    let mut scene = with_workers();
    let root = By::Pid(scene.root);
    let stranger = scene.world.fork(Pid::INIT).unwrap();
    scene.world.move_to(stranger, OWN);
    let mut watch = watch(&mut scene, root, with_accounts);
    assert_eq!(scene.reported(&mut watch), scene.truth().sum);
    scene.world.move_to(stranger, OTHER);
    assert_eq!(scene.reported(&mut watch), scene.truth().once);
}

/// One file that cannot be read must not change the result for long.
#[test]
fn a_share_stays_known_if_it_cannot_be_read_once() {
    let mut scene = with_workers();
    let root = By::Pid(scene.root);
    let mut watch = watch(&mut scene, root, |_| {});
    let once = scene.reported(&mut watch);
    for pid in scene.members() {
        scene.work(pid, 1000);
    }
    watch.access.fails_rollups = true;
    assert_eq!(scene.reported(&mut watch), once);
    watch.access.fails_rollups = false;
    assert_eq!(scene.reported(&mut watch), once);
}

/// Memory stays charged to the control group that it was charged to first.
#[test]
fn an_account_that_lacks_memory_counts_as_the_largest_process() {
    let mut scene = with_workers();
    let members = scene.members();
    members.into_iter().for_each(|pid| scene.world.move_to(pid, OTHER));
    let root = By::Pid(scene.root);
    let mut watch = watch(&mut scene, root, with_accounts);
    assert_eq!(scene.reported(&mut watch), scene.truth().largest);
}

#[test]
fn idle_members_are_read_once() {
    let mut scene = with_workers();
    let root = By::Pid(scene.root);
    for change in [with_accounts, |_: &mut Watch| {}] {
        let mut watch = watch(&mut scene, root, change);
        scene.reported(&mut watch);
        let before = scene.world.rollups.get();
        // Once in 1,024 samples each is read in its turn.
        for _ in 0..25 {
            scene.reported(&mut watch);
        }
        assert!(scene.world.rollups.get() - before <= 2);
    }
}

/// Reading holds a lock of the process.
#[test]
fn a_process_of_more_than_a_gib_is_never_read() {
    let mut scene = Scene::new();
    scene.act(0, Act::Map(900));
    scene.world.fork(scene.root).unwrap();
    let root = By::Pid(scene.root);
    let mut watch = watch(&mut scene, root, |_| {});
    let before = scene.world.rollups.get();
    (0..3).for_each(|_| assert_eq!(scene.reported(&mut watch), scene.truth().sum));
    assert_eq!(scene.world.rollups.get(), before);
}
