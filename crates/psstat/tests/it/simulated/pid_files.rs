//! Pid files are followed, and those that name no process are warned of.

use super::Watch;
use super::access::File;
use super::machine::Interruption;
use super::oracle::{By, Pick};
use super::world::{TICK, World};
use psstat_core::diagnostics::Warning;
use psstat_core::engine::Sample;
use psstat_core::model::label::Label;
use psstat_core::model::pid_file::{PidFile, PidFileError};
use psstat_core::model::units::Pid;

const PATH: &str = "/run/w.pid";

/// A world with one process beside `init`, which started at `STARTED`, and a watch on the pid file.
struct Scene {
    world: World,
    watch: Watch,
    pid: Pid,
}

/// In microseconds since boot. The wall clock of a world shows the time since boot.
const STARTED: u64 = 500 * TICK;

impl Scene {
    fn new() -> Scene {
        let mut world = World::new(100);
        world.idle(STARTED - world.now().0 / 1000);
        let pid = world.fork(Pid::INIT).unwrap();
        let watch = Watch::new(&[Pick { label: Some("w"), by: By::PidFile(PATH, pid) }]);
        Scene { world, watch, pid }
    }

    /// Takes a sample in which the pid file holds `file`. Returns the number of processes, if there is a
    /// line.
    fn sample(&mut self, file: Result<PidFile, PidFileError>) -> (Option<u64>, Sample) {
        self.world.pid_files.insert(PATH, file);
        self.world.idle(TICK);
        self.watch.sample(&mut self.world);
        self.world.burn(self.pid, 7 * TICK, 0);
        let seen = self.watch.sample(&mut self.world);
        let line = seen.lines.get("w");
        assert!(line.is_none_or(|line| line.used == Some(line.processes * 7 * TICK)));
        (line.map(|line| line.processes), seen.sample)
    }
}

fn file(pid: Pid, written: u64) -> Result<PidFile, PidFileError> {
    Ok(PidFile { pid, written: i64::try_from(written * 1000).unwrap() })
}

fn warnings(sample: &Sample) -> Vec<Warning> {
    sample.diagnostics.iter().cloned().collect()
}

#[test]
fn a_pid_file_names_the_root() {
    let mut scene = Scene::new();
    let (processes, sample) = scene.sample(file(scene.pid, STARTED));
    assert_eq!((processes, warnings(&sample)), (Some(1), vec![]));
}

#[test]
fn a_pid_file_without_a_pid_is_warned_of() {
    let mut scene = Scene::new();
    let (processes, sample) = scene.sample(Err(PidFileError::NotFound));
    let expected = Warning::PidFile { path: PATH.into(), error: PidFileError::NotFound };
    assert_eq!((processes, warnings(&sample)), (Some(0), vec![expected]));
}

#[test]
fn every_pid_file_that_matches_a_glob_names_a_root() {
    const GLOB: &str = "/run/*";
    let mut world = World::new(100);
    let pids = [1, 2, 3].map(|_| world.fork(Pid::INIT).unwrap());
    let mut watch = Watch::new(&[Pick { label: Some("w"), by: By::PidFile(GLOB, pids[0]) }]);
    let sample = |world: &mut World, watch: &mut Watch| {
        world.idle(TICK);
        let seen = watch.sample(world);
        (seen.lines.get("w").map(|line| line.processes), warnings(&seen.sample))
    };
    watch.sample(&mut world);
    let no_match = Warning::PidFile { path: GLOB.into(), error: PidFileError::NoMatch };
    assert_eq!(sample(&mut world, &mut watch), (Some(0), vec![no_match]));
    let now = 1 << 40;
    world.pid_files.insert("/run/a", file(pids[0], now));
    world.pid_files.insert("/run/b", file(pids[1], now));
    // A file that names the same process, a directory, and one that is removed at this moment.
    world.pid_files.insert("/run/c", file(pids[1], 0));
    world.pid_files.insert("/run/d", Err(PidFileError::Directory));
    world.pid_files.insert("/run/e", Err(PidFileError::NotFound));
    assert_eq!(sample(&mut world, &mut watch), (Some(2), vec![]));
    world.pid_files.insert("/run/f", file(pids[2], now));
    world.pid_files.remove("/run/a");
    assert_eq!(sample(&mut world, &mut watch), (Some(2), vec![]), "files are looked for again");
    world.pid_files.insert("/run/g", Err(PidFileError::Malformed));
    world.pid_files.insert("/run/h", Err(PidFileError::Denied));
    let (line, warnings) = sample(&mut world, &mut watch);
    assert_eq!(line, None, "nobody knows whom it names");
    let cause = Warning::PidFile { path: b"/run/g".to_vec(), error: PidFileError::Malformed };
    let groups = vec![Label::lossy(b"w")];
    assert_eq!(warnings, [Warning::NoLine { groups, cause: Box::new(cause) }]);
}

/// Nobody knows whether the process runs.
#[test]
fn a_pid_file_that_cannot_be_read_leaves_out_the_line() {
    let failed = PidFileError::Failed("too many open files".to_owned());
    let errors = [PidFileError::Malformed, PidFileError::Denied, PidFileError::NotRegular, failed];
    for error in errors {
        let mut scene = Scene::new();
        let (processes, sample) = scene.sample(Err(error.clone()));
        let cause = Box::new(Warning::PidFile { path: PATH.into(), error });
        let groups = vec![Label::lossy(b"w")];
        let expected = Warning::NoLine { groups, cause };
        assert_eq!((processes, warnings(&sample)), (None, vec![expected]));
    }
}

#[test]
fn a_pid_file_without_a_process_is_warned_of() {
    let mut scene = Scene::new();
    let pid = Pid::new(99);
    let (processes, sample) = scene.sample(file(pid, STARTED));
    let expected = Warning::PidFileNotRunning { path: PATH.into(), pid };
    assert_eq!((processes, warnings(&sample)), (Some(0), vec![expected]));
}

#[test]
fn a_process_that_started_after_its_pid_file_is_warned_of() {
    let mut scene = Scene::new();
    let (processes, sample) = scene.sample(file(scene.pid, STARTED - 300 * TICK));
    let (path, pid, comm) = (PATH.into(), scene.pid, b"init".to_vec());
    let expected = Warning::StalePidFile { path, pid, comm, seconds: 3 };
    assert_eq!((processes, warnings(&sample)), (Some(1), vec![expected]));
}

/// Its `stat` cannot be read up to some moment of the sample.
#[test]
fn a_process_that_cannot_be_read_is_not_called_dead() {
    let mut unread = 0;
    for after in 0..12 {
        let mut scene = Scene::new();
        scene.sample(file(scene.pid, STARTED));
        let life = scene.world.tasks()[&scene.pid].life;
        scene.watch.access.denied.insert((life, File::Stat));
        let open = Interruption::new(after, |world| world.access.denied.clear());
        let seen = scene.watch.sample_while(&mut scene.world, vec![open]);
        match warnings(&seen.sample)[..] {
            [] => assert_eq!(seen.lines["w"].processes, 1, "{after}"),
            [Warning::NoLine { ref cause, .. }] => {
                unread += 1;
                assert!(
                    matches!(**cause, Warning::Unreadable { count: 1, .. }),
                    "{after}: {cause:?}"
                );
                assert!(seen.lines.is_empty(), "{after}");
            }
            ref others => panic!("{after}: {others:?}"),
        }
    }
    assert!((1..12).contains(&unread), "{unread}");
}
