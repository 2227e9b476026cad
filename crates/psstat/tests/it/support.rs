//! What the tests share: running the real binary, directories that look like a procfs, and a strict
//! reader of what is printed.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

pub mod fake_proc;
pub mod limit;
pub mod line;
pub mod members;
pub mod skip;

use fake_proc::FakeProc;
use line::Line;
use psstat_core::state::State;
use psstat_core::state::codec;
use rustix::time::{ClockId, clock_gettime};
pub use skip::{is_installed, may_be_root, skip, skip_in_part, why_not_installed};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// The root of the repository.
pub const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The variable that says that the processes of this machine are meant, even if it is a container.
pub const OWN_PROCESSES: (&str, &str) = ("HOST_PROC", "/proc");

/// The binary under test, in an environment that says nothing about mounts.
pub fn psstat() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_psstat"));
    command.env_remove("HOST_PROC").env_remove("HOST_SYS").stdin(Stdio::null());
    command
}

/// Runs the binary with these arguments.
pub fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Run {
    Run::of(psstat().args(args))
}

/// What a run has left behind.
#[derive(Debug)]
pub struct Run {
    /// The exit status; none where a signal ended it.
    pub status: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Run {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Run {
        Run::from(limit::output(command).unwrap())
    }

    /// The lines printed by a run that went well, each taken apart.
    pub fn lines(&self) -> Vec<Line> {
        assert_eq!(self.status, Some(0), "{self:?}");
        line::read(&self.stdout)
    }

    /// The only line.
    pub fn line(&self) -> Line {
        let mut lines = self.lines();
        assert_eq!(lines.len(), 1, "{self:?}");
        lines.remove(0)
    }

    /// Checks that this was a first run: nothing printed, and the reason said.
    pub fn assert_first(&self) {
        assert_eq!(self.status, Some(0), "{self:?}");
        // A page for Prometheus is about psstat alone.
        let text = String::from_utf8_lossy(&self.stdout);
        let is_about_psstat =
            text.starts_with("# HELP psstat_build_info") && !text.contains("process_name");
        assert!(text.is_empty() || is_about_psstat, "{self:?}");
        let last = self.stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("I! first run"), "{self:?}");
    }

    /// Checks that it failed as the contract says: nothing printed, and the cause first.
    pub fn assert_failed(&self, status: i32, cause: &str) {
        assert_eq!(self.status, Some(status), "{self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
        let first = self.stderr.split_inclusive('\n').next().unwrap_or_default();
        assert!(first.starts_with("E! ") && first.ends_with('\n'), "{self:?}");
        assert!(first.len() <= 512, "{} bytes: {self:?}", first.len());
        assert!(first.contains(cause), "{cause:?} is not in {self:?}");
    }
}

impl From<Child> for Run {
    fn from(child: Child) -> Run {
        Run::from(limit::finish(child, limit::LIMIT))
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Run {
        Run {
            status: output.status.code(),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// One job on a made-up procfs: its cache lives as long as this value.
pub struct Job<'t> {
    tree: &'t FakeProc,
    directory: tempfile::TempDir,
    args: Vec<OsString>,
}

impl<'t> Job<'t> {
    /// A job with these selectors and options; its host is `tengu`.
    pub fn new<A: AsRef<OsStr>>(tree: &'t FakeProc, args: impl IntoIterator<Item = A>) -> Job<'t> {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        Job { tree, directory: tempfile::tempdir().unwrap(), args }
    }

    /// The directory of the cache, which holds nothing else.
    pub fn cache_dir(&self) -> &Path {
        self.directory.path()
    }

    /// The cache.
    pub fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }

    /// What the cache holds.
    pub fn state(&self) -> State {
        codec::decode(&std::fs::read(self.cache()).unwrap()).unwrap()
    }

    /// The same cache with other selectors and options.
    pub fn with<A: AsRef<OsStr>>(self, args: impl IntoIterator<Item = A>) -> Job<'t> {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        Job { args, ..self }
    }

    /// The arguments in full.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut all: Vec<OsString> =
            ["--host", "tengu", "--cache-name", "cache", "--cache-dir"].map(OsString::from).into();
        all.push(self.directory.path().into());
        all.extend(["--proc".into(), self.tree.path().into()]);
        // A slow or busy machine is no error, but where a test is about the length of a run.
        let says = |option: &&str| {
            self.args
                .iter()
                .any(|arg| arg.to_string_lossy().trim_start_matches('-').starts_with(option))
        };
        if !["timeout", "wait", "config"].iter().any(says) {
            all.push("--timeout=5m".into());
        }
        all.extend(self.args.iter().cloned());
        all
    }

    pub fn command(&self) -> Command {
        let mut command = psstat();
        command.args(self.arguments());
        command
    }

    pub fn run(&self) -> Run {
        Run::of(&mut self.command())
    }

    /// Runs for the first time.
    pub fn baseline(&self) {
        self.run().assert_first();
    }

    /// Runs for the first time and once more.
    pub fn second_run(&self) -> Run {
        self.baseline();
        self.run()
    }
}

/// Nanoseconds since boot.
pub fn boot_now() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap();
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

/// The tick that is running: what starts now has it as its start.
pub fn ticks_since_boot() -> u64 {
    let nanos = u128::from(boot_now());
    let hz = u128::from(rustix::param::clock_ticks_per_second());
    u64::try_from(nanos * hz / 1_000_000_000).unwrap()
}

/// Makes a FIFO.
pub fn make_fifo(path: &Path) {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

/// Copies a program so that it can be run at once. Not by this process: a test beside this one may
/// fork while the copy is open for writing, and then nobody can execute it (`ETXTBSY`).
pub fn copy_program(program: &Path, copy: &Path) {
    let copied = limit::output(Command::new("cp").arg(program).arg(copy)).unwrap();
    assert!(copied.status.success(), "{program:?} to {copy:?}: {copied:?}");
}

/// A copy of the binary where every user may run it.
pub struct PublicBinary {
    directory: tempfile::TempDir,
}

/// Copies the binary: the directory that it is built in may be closed to others.
pub fn public_binary() -> PublicBinary {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let all = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), all).unwrap();
    copy_program(Path::new(env!("CARGO_BIN_EXE_psstat")), &directory.path().join("psstat"));
    PublicBinary { directory }
}

impl PublicBinary {
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.directory.path().join("psstat"));
        command.env_remove("HOST_PROC").env_remove("HOST_SYS").stdin(Stdio::null());
        command
    }
}
