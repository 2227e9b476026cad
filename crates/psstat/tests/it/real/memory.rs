//! Memory that many processes share, summed in each of the three ways.

use super::fixture::{Fixture, Program};
use super::kernel;
use super::meter::psstat;
use super::needs;
use crate::support::limit;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// What psstat says of the group's memory, in bytes.
fn bytes(mode: &str, selector: &[&str]) -> f64 {
    let args = [selector, &["--wait", "1ms", "--memory", mode]].concat();
    let share = psstat(&args).only_line().memory.expect("p_mem");
    share * kernel::meminfo("MemTotal") as f64
}

const MIB: f64 = (1 << 20) as f64;

#[test]
fn a_segment_of_twenty_workers_counts_as_the_mode_says() {
    const PROGRAM: &str = "
import mmap, os, sys
segment = mmap.mmap(-1, 256 << 20)
told, tell = os.pipe()
for worker in range(20):
    if os.fork() == 0:
        segment[::4096] = bytes(len(segment) // 4096)
        os.write(tell, b'x')
        os.read(0, 1)
        os._exit(0)
for worker in range(20):
    os.read(told, 1)
print(os.getpid(), flush=True)
os.read(0, 1)
";
    if !needs::is_installed("python3") || !needs::free_memory(1024) {
        return;
    }
    let fixture = Fixture::new();
    let mut workers = fixture.start(&["/usr/bin/python3", "-c", PROGRAM]);
    let pid = workers.line();
    let group = ["--pid", &format!("workers:{pid}")];
    let times = |mode| bytes(mode, &group) / (256.0 * MIB);
    let (rss, once, pss) = (times("rss"), times("shared-once"), times("pss"));
    println!("of the segment: rss {rss:.3}, shared-once {once:.3}, pss {pss:.3}");
    assert!((20.0..22.0).contains(&rss), "{rss}");
    assert!((1.0..1.8).contains(&once), "{once}");
    assert!((1.0..1.4).contains(&pss), "{pss}");
    let all = [kernel::children(workers.pid), vec![workers.pid]].concat();
    assert_eq!(all.len(), 21);
    let rss_of_ps: u64 = all.into_iter().map(kernel::rss).sum();
    agrees(rss * 256.0 * MIB, rss_of_ps as f64, 0.01);
}

fn agrees(told: f64, truth: f64, part: f64) {
    assert!((told - truth).abs() <= part * truth, "{} MiB of {}", told / MIB, truth / MIB);
}

/// A database cluster of its own, with one GiB of buffers, on a socket in its own directory.
struct Postgres<'s> {
    fixture: &'s Fixture,
    programs: PathBuf,
    postmaster: u32,
}

/// Which rows fill as many pages: somewhat less than the buffers hold.
const PAGES: u32 = 120_000;

impl Postgres<'_> {
    fn start(fixture: &Fixture, programs: PathBuf) -> Postgres<'_> {
        let data = fixture.path().join("data");
        let [data_dir, sockets] = [&data, fixture.path()].map(|path| path.to_str().expect("UTF-8"));
        let initdb = programs.join("initdb");
        let initdb = [initdb.to_str().expect("UTF-8"), "-D", data_dir, "-A", "trust"];
        let locale = ["-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync"];
        let line = [&as_postgres()[..], &initdb, &locale].concat();
        let made = limit::output(Command::new(line[0]).args(&line[1..])).expect("it can be run");
        assert!(made.status.success(), "{made:?}");
        let server = programs.join("postgres");
        let mut line = as_postgres();
        line.extend([server.to_str().expect("UTF-8"), "-D", data_dir, "-k", sockets]);
        for setting in [
            "listen_addresses=",
            "shared_buffers=1GB",
            "huge_pages=off",
            "fsync=off",
            "wal_level=minimal",
            "max_wal_senders=0",
            "checkpoint_timeout=1h",
            "bgwriter_lru_maxpages=0",
            "autovacuum=off",
            "max_parallel_workers_per_gather=0",
        ] {
            line.extend(["-c", setting]);
        }
        // SIGQUIT: at once, without writing all that is dirty.
        let postmaster = fixture.serve("QUIT", &line);
        let postgres = Postgres { fixture, programs, postmaster };
        let started = Instant::now();
        let answers = || limit::output(&mut postgres.psql(&["-c", "select 1"])).expect("psql");
        while !answers().status.success() {
            let said = || std::fs::read_to_string(fixture.path().join("log"));
            assert!(started.elapsed() < limit::LIMIT, "no server: {:?}", said());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        postgres
    }

    fn psql(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command.arg("-XqAt").arg("-h").arg(self.fixture.path());
        command.args(["-U", "postgres", "-v", "ON_ERROR_STOP=1", "postgres"]).args(args);
        command
    }

    fn run(&self, sql: &str) -> String {
        let output = limit::output(&mut self.psql(&["-c", sql])).expect("psql");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    }
}

/// PostgreSQL refuses to run as root.
fn as_postgres() -> Vec<&'static str> {
    match rustix::process::geteuid().is_root() {
        true => vec!["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"],
        false => Vec::new(),
    }
}

/// Its directory of programs; none where PostgreSQL is not installed.
fn newest_postgres() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.flatten().map(|entry| entry.path()).max_by_key(|path| number(path));
    Some(newest?.join("bin"))
}

#[test]
fn the_buffers_of_a_database_count_once() {
    if !needs::free_memory(4096) {
        return;
    }
    let Some(programs) = newest_postgres() else {
        return needs::skip("PostgreSQL is not installed (scripts/install-test-packages does it)");
    };
    let fixture = Fixture::new();
    let postgres = Postgres::start(&fixture, programs);
    // One row fills a page, and no ring of a few buffers is used, as a copy would.
    postgres.run(&format!(
        "create unlogged table big (filler text); \
         alter table big alter filler set storage plain; \
         insert into big select repeat('x', 8000) from generate_series(1, {PAGES});"
    ));
    // Each backend touches every buffer, says so, and goes on.
    let busy = "do $$ begin loop perform count(*) from big; end loop; end $$";
    let query = postgres.psql(&["-c", "select count(*) from big", "-c", busy]);
    let line = std::iter::once(query.get_program()).chain(query.get_args());
    let line: Vec<&str> = line.map(|part| part.to_str().expect("UTF-8")).collect();
    let quiet = ["/bin/sh", "-c", "exec \"$@\" 2>\"$0\""];
    let errors = fixture.path().join("psql");
    let quiet = [&quiet[..], &[errors.to_str().expect("UTF-8")], &line].concat();
    let mut backends: Vec<Program> = (0..8).map(|_| fixture.start(&quiet)).collect();
    for backend in &mut backends {
        assert_eq!(backend.line(), PAGES.to_string());
    }

    let pid_file = format!("postgres:{}/data/postmaster.pid", fixture.path().display());
    let group = ["--pid-file", &pid_file];
    let (rss, once) = (bytes("rss", &group), bytes("shared-once", &group));
    let all = [kernel::children(postgres.postmaster), vec![postgres.postmaster]].concat();
    let sum = |of: fn(u32) -> u64| all.iter().map(|&pid| of(pid)).sum::<u64>() as f64;
    let (rss_sum, pss_sum) = (sum(kernel::rss), sum(kernel::pss));
    println!(
        "{} processes: rss {:.0} MiB (ps: {:.0}), shared-once {:.0} MiB, sum of PSS {:.0} MiB, \
         psstat's pss {:.0} MiB",
        all.len(),
        rss / MIB,
        rss_sum / MIB,
        once / MIB,
        pss_sum / MIB,
        bytes("pss", &group) / MIB
    );
    assert!(all.len() > 8);
    agrees(once, pss_sum, 0.15);
    agrees(rss, rss_sum, 0.01);
    agrees(bytes("pss", &group), pss_sum, 0.02);
    assert!(rss > 5.0 * pss_sum, "{rss} {pss_sum}");
}
