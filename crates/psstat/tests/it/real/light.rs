//! Many processes that each use little: their CPU time is exact, although the kernel shows it in
//! ticks of 10 ms.

use super::fixture::{Actor, Fixture, open_to_all};
use super::kernel::scheduled;
use super::meter::{Line, PSSTAT, psstat_through};
use super::needs;
use super::resident::Resident;
use psstat_core::state::codec;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The name of a group, the number of its workers, how much each works in microseconds, and how long
/// it sleeps then in milliseconds.
const SETTINGS: [(&str, u32, u32, u32); 3] =
    [("often", 20, 1000, 200), ("rarely", 50, 500, 500), ("seldom", 100, 300, 1000)];

/// How many samples are compared.
const SAMPLES: u32 = 5;

/// The time between two samples. No multiple of the workers' periods, so that samples meet them at
/// different moments.
const INTERVAL: Duration = Duration::from_millis(970);

/// `p_cpu` is CPU time by time. The line shows the time of day, which psstat reads after the time
/// since boot, by which it divides. It may have to wait between the two.
const PAUSE: f64 = 0.02;

/// Numbers are printed with 6 decimals.
const ROUNDING: f64 = 1e-6;

/// Workers below one parent, which sleeps.
struct Crew {
    name: &'static str,
    parent: Actor,
    workers: Vec<u32>,
}

impl Crew {
    fn start(fixture: &Fixture, setting: (&'static str, u32, u32, u32)) -> Crew {
        let (name, count, micros, millis) = setting;
        let parent = fixture.actor(name);
        let workers = parent.pids(&format!("crew {count} {micros} {millis}"));
        Crew { name, parent, workers }
    }

    /// What the scheduler gave to all of them, in seconds.
    fn used(&self) -> f64 {
        self.workers.iter().map(|&worker| scheduled(worker)).sum()
    }
}

/// A way to run psstat.
enum Mode {
    OneShot { through: Vec<&'static str>, program: PathBuf, cache: PathBuf },
    Resident(Resident),
}

impl Mode {
    fn one_shot(fixture: &Fixture, name: &str, through: &[&'static str]) -> Mode {
        let cache = fixture.path().join(name);
        fs::create_dir(&cache).expect("a directory");
        // It may run as another user.
        open_to_all(&cache, 0o777);
        let program = fixture.copy_of(Path::new(PSSTAT), &format!("psstat-{name}"));
        Mode::OneShot { through: through.to_vec(), program, cache }
    }

    fn sample(&mut self, args: &[&str]) -> Vec<Line> {
        match self {
            Mode::OneShot { through, program, cache } => {
                let cache = ["--cache-name=cache", "--cache-dir", path(cache)];
                let said = psstat_through(through, &*program, &[args, &cache].concat());
                assert!(said.stderr.lines().all(|line| line.starts_with("I! ")), "{said:?}");
                said.lines
            }
            Mode::Resident(resident) => resident.sample(),
        }
    }

    /// Whether CPU clocks told the last sample which processes had run. Only a cache file says so.
    fn uses_clocks(&self) -> Option<bool> {
        let Mode::OneShot { cache, .. } = self else { return None };
        let bytes = fs::read(cache.join("cache")).expect("a cache file");
        Some(!codec::decode(&bytes).expect("a state").known.processes.is_empty())
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// What psstat reports of one group, and what its workers had used before and after the sample.
#[derive(Clone, Copy, Debug)]
struct Point {
    least: f64,
    most: f64,
    /// `cpu_time`.
    total: f64,
    rate: f64,
    nanos: i128,
}

impl Point {
    /// Asserts that psstat reports what was used since `earlier`.
    #[track_caller]
    fn assert_since(&self, earlier: &Point, used: f64, slack: f64) {
        let range = self.least - earlier.most - slack..=self.most - earlier.least + slack;
        assert!(range.contains(&used), "{used} s is not in {range:?} s: {earlier:?}, {self:?}");
    }
}

/// Takes a sample of all groups.
fn sample(mode: &mut Mode, args: &[&str], crews: &[Crew]) -> Vec<Point> {
    let before: Vec<f64> = crews.iter().map(Crew::used).collect();
    let lines = mode.sample(args);
    let points = crews.iter().zip(before).map(|(crew, least)| {
        let line = lines.iter().find(|line| line.name == crew.name);
        let line = line.unwrap_or_else(|| panic!("no line of {}: {lines:?}", crew.name));
        assert_eq!(line.processes as usize, crew.workers.len() + 1, "{line:?}");
        let (total, rate) = (line.decimal("cpu_time"), line.decimal("p_cpu"));
        Point { least, most: crew.used(), total, rate, nanos: line.nanos }
    });
    points.collect()
}

/// Each worker has one thread. So its `schedstat`, its CPU clock, and the sum that the kernel shows
/// in either are the same number, and the brackets need no slack for a worker that is running.
#[test]
fn light_workers_are_measured_exactly() {
    if !Path::new("/proc/self/schedstat").exists() {
        return needs::skip("the kernel has no schedstat");
    }
    let show_runs = needs::why_clocks_do_not_show_runs().is_none();
    let fixture = Fixture::new();
    let crews = SETTINGS.map(|setting| Crew::start(&fixture, setting));
    let groups = crews.iter().map(|crew| format!("--pid={}:{}", crew.name, crew.parent.pid));
    let groups: Vec<String> = groups.collect();
    let mut args = vec!["--fields=p_cpu,cpu_time,n_proc"];
    args.extend(groups.iter().map(String::as_str));

    let mut modes = vec![
        ("one shot", Mode::one_shot(&fixture, "once", &[])),
        ("resident", Mode::Resident(Resident::start(&args, crews.len()))),
    ];
    if rustix::process::geteuid().is_root() {
        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        modes.push(("as nobody", Mode::one_shot(&fixture, "nobody", &nobody)));
    } else {
        needs::skip_in_part("psstat as another user needs root");
    }
    match needs::why_no_namespaces() {
        None => {
            // /proc still shows the processes of the namespace outside.
            let inside = ["unshare", "--pid", "--fork"];
            modes.push(("without clocks", Mode::one_shot(&fixture, "inside", &inside)));
        }
        Some(reason) => needs::skip_in_part(&reason),
    }
    for (_, mode) in &mut modes {
        if let Mode::OneShot { .. } = mode {
            assert!(mode.sample(&args).is_empty(), "the first run has nothing to compare with");
        }
    }

    let begin = Instant::now();
    let mut points: Vec<Vec<Vec<Point>>> = vec![Vec::new(); modes.len()];
    for number in 0..=SAMPLES {
        std::thread::sleep((begin + INTERVAL * number) - Instant::now());
        for ((_, mode), points) in modes.iter_mut().zip(&mut points) {
            points.push(sample(mode, &args, &crews));
        }
    }
    for ((name, mode), points) in modes.iter().zip(&points) {
        if let Some(uses_clocks) = mode.uses_clocks() {
            assert_eq!(uses_clocks, show_runs && *name != "without clocks", "{name}");
        }
        for (index, crew) in crews.iter().enumerate() {
            let points: Vec<&Point> = points.iter().map(|sample| &sample[index]).collect();
            let (first, last) = (points[0], points[points.len() - 1]);
            let mut sum = 0.0;
            for two in points.windows(2) {
                let (earlier, now) = (two[0], two[1]);
                now.assert_since(earlier, now.total - earlier.total, 2.0 * ROUNDING);
                // And since the first sample. Errors do not add up.
                now.assert_since(first, now.total - first.total, 2.0 * ROUNDING);
                let used = now.rate * (now.nanos - earlier.nanos) as f64 / 1e9;
                now.assert_since(earlier, used, PAUSE);
                sum += used;
            }
            last.assert_since(first, sum, PAUSE);
            let truth = last.least - first.most..=last.most - first.least;
            println!("{name}, {}: {sum:.6} s of {truth:.6?} s", crew.name);
            assert!(*truth.end() > 0.01, "{}: they have hardly worked: {truth:?}", crew.name);
        }
    }
}
