//! A process that does not answer takes nothing from groups that run, and nobody is told that a group is
//! down because of it.

use super::Watch;
use super::access::File;
use super::counters::A_SERVICES;
use super::history::{Law, in_sight, live, quiet_with_control_groups};
use super::oracle::{By, Pick};
use super::properties::config;
use super::unreadable::{Pair, all_picks, for_each_pair, is_warned_of_no_line, without_fields};
use super::world::{Life, TICK, World};
use proptest::prelude::*;
use psstat_core::diagnostics::Warning;
use psstat_core::engine::Sample;
use psstat_core::model::units::Pid;

const BY_CMDLINE: Pick = Pick { label: Some("cmdline"), by: By::Cmdline("w") };

/// A world with so many processes that most are not read in each sample, and a watch on it.
struct Scene {
    world: World,
    watch: Watch,
}

impl Scene {
    fn new(is_resident: bool) -> Scene {
        let mut world = World::new(32_768);
        for _ in 0..600 {
            world.fork(Pid::INIT).unwrap();
        }
        let watch = Watch { is_resident, ..Watch::new(&[BY_CMDLINE]).of_births() };
        Scene { world, watch }
    }

    /// A process that the watch looks for.
    fn server(&mut self) -> Pid {
        let server = self.world.fork(Pid::INIT).unwrap();
        self.world.exec(server, "w");
        server
    }

    fn silence(&mut self, pid: Pid) {
        let life = self.life(pid);
        self.watch.access.silent.insert(life);
    }

    fn life(&self, pid: Pid) -> Life {
        self.world.tasks()[&pid].life
    }

    /// The number of processes that a sample reports, and the sample.
    fn sample(&mut self) -> (Option<u64>, Sample) {
        self.world.idle(100 * TICK);
        let seen = self.watch.sample(&mut self.world);
        (seen.lines.get("cmdline").map(|line| line.processes), seen.sample)
    }
}

/// Whether the process is named as one that does not answer.
fn is_named(sample: &Sample, pid: Pid) -> bool {
    let named = |warning: &Warning| match warning {
        Warning::NoAnswer(path) => path.starts_with(&format!("/proc/{pid}/")),
        _ => false,
    };
    sample.diagnostics.iter().any(|warning| match warning {
        Warning::NoLine { cause, .. } => named(cause),
        warning => named(warning),
    })
}

#[test]
fn a_silent_process_does_not_hide_a_group_that_runs() {
    for is_resident in [false, true] {
        let mut scene = Scene::new(is_resident);
        scene.server();
        let silent = scene.server();
        scene.silence(silent);
        scene.sample();
        for _ in 0..4 {
            let (processes, sample) = scene.sample();
            assert_eq!(processes, Some(1), "{is_resident}");
            assert!(is_named(&sample, silent), "{is_resident}");
        }
    }
}

#[test]
fn a_group_that_may_be_one_silent_process_has_no_line() {
    for is_resident in [false, true] {
        let mut scene = Scene::new(is_resident);
        let silent = scene.server();
        scene.silence(silent);
        scene.sample();
        for _ in 0..4 {
            let (processes, sample) = scene.sample();
            assert_eq!(processes, None, "{is_resident}");
            let is_warned = is_warned_of_no_line(&sample, "cmdline");
            assert!(is_warned && is_named(&sample, silent), "{is_resident}");
        }
        scene.world.exit_and_wait(silent);
        assert_eq!(scene.sample().0, Some(0), "{is_resident}: it is known to be down");
    }
}

#[test]
fn a_root_that_falls_silent_stays_a_root() {
    let mut scene = Scene::new(true);
    let server = scene.server();
    scene.sample();
    assert_eq!(scene.sample().0, Some(1));
    scene.silence(server);
    for _ in 0..4 {
        // It runs, so that it is looked at again.
        scene.world.burn(server, TICK, 0);
        assert_eq!(scene.sample().0, Some(1));
    }
}

/// Another running psstat is never a root. Its executable tells whether a process is one, if its name begins
/// so.
#[test]
fn a_silent_process_may_be_another_psstat() {
    const NAMES: &[&str] = &["psstat", "psstat-web"];
    const SERVICE: &str = "system.slice/a.service";
    let in_group = By::NameInUnits("psstat-web", "a.service", A_SERVICES);
    for by in [By::Name(NAMES), in_group] {
        for is_resident in [false, true] {
            let mut scene = Scene::new(is_resident);
            scene.watch =
                Watch { is_resident, ..Watch::new(&[Pick { label: Some("cmdline"), by }]) };
            scene.world.make_control_group(SERVICE);
            let own = scene.world.fork(Pid::INIT).unwrap();
            scene.world.exec(own, "psstat");
            scene.sample();
            assert_eq!(scene.sample().0, Some(0), "{by:?}");
            let web = scene.world.fork(Pid::INIT).unwrap();
            scene.world.exec(web, "psstat-web");
            scene.world.move_to(web, SERVICE);
            scene.silence(web);
            let (processes, sample) = scene.sample();
            assert_eq!(processes, None, "{by:?}");
            assert!(is_warned_of_no_line(&sample, "cmdline") && is_named(&sample, web), "{by:?}");
            scene.watch.access.silent.clear();
            assert_eq!(scene.sample().0, Some(1), "{by:?}");
        }
    }
}

#[test]
fn a_silent_process_that_answers_is_found_at_once() {
    for is_resident in [false, true] {
        let mut scene = Scene::new(is_resident);
        let server = scene.server();
        scene.silence(server);
        scene.sample();
        assert_eq!(scene.sample().0, None, "{is_resident}");
        let life = scene.life(server);
        scene.watch.access.silent.remove(&life);
        scene.watch.access.answered = vec![life];
        assert_eq!(scene.sample().0, Some(1), "{is_resident}");
    }
}

/// Most samples look at few processes. A process that does not answer must not change that, because any
/// user can have one.
#[test]
fn a_silent_process_does_not_make_samples_read_everything() {
    let mut scene = Scene::new(true);
    let silent = scene.server();
    scene.silence(silent);
    scene.sample();
    scene.sample();
    scene.world.idle(100 * TICK);
    let seen = scene.watch.sample(&mut scene.world);
    assert!(seen.some.is_some_and(|read| read < 600), "{:?} processes were read", seen.some);
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn a_silent_process_changes_only_what_depends_on_it(
        steps in in_sight(quiet_with_control_groups()),
        life in 1usize..12,
    ) {
        let picks = all_picks();
        let mut watches = [(); 2].map(|()| Watch::new(&picks).with_all_fields());
        watches[1].access.silent.insert(life);
        let lived = live(Law::Any, &steps, &mut watches);
        for_each_pair(&lived, &picks, |one| one.life == life, |pair| {
            let Pair { label, open, restricted, .. } = pair;
            if label == "cmdline" || label == "exe" {
                let processes = open.map_or(0, |report| report.processes);
                match restricted {
                    Some(report) if report.processes == 0 => prop_assert_eq!(processes, 0),
                    Some(report) => prop_assert!(report.processes <= processes),
                    None => prop_assert!(is_warned_of_no_line(pair.restricted_sample, label)),
                }
                return Ok(());
            }
            let whole = [open, restricted].map(|report| {
                without_fields(without_fields(report, File::Storage).as_ref(), File::OpenFiles)
            });
            prop_assert_eq!(&whole[0], &whole[1], "{}", label);
            Ok(())
        })?;
    }
}
