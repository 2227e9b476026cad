//! Trees of actors, and other programs, none of which outlives its test.

use crate::support::limit::{self, LIMIT, Limited};
use std::cell::{Cell, RefCell};
use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The directory, and the lifeline, of all processes of one test.
///
/// All of them have the read end of one pipe as their standard input, and end when it ends: when
/// the fixture is dropped, or the test program is killed.
pub struct Fixture {
    dir: TempDir,
    lifeline: Option<PipeWriter>,
    standard_input: PipeReader,
    roots: RefCell<Vec<Child>>,
}

impl Fixture {
    pub fn new() -> Fixture {
        let dir = tempfile::tempdir().expect("a temporary directory");
        // Actors of other users make their sockets here.
        open_to_all(dir.path(), 0o777);
        let (standard_input, lifeline) = std::io::pipe().expect("a pipe");
        Fixture { dir, lifeline: Some(lifeline), standard_input, roots: RefCell::default() }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Starts an actor whose parent is the test.
    pub fn actor(&self, name: &str) -> Actor {
        self.actor_through(&[], name)
    }

    /// Starts an actor by way of a program that runs what stands behind its own arguments.
    pub fn actor_through(&self, through: &[&str], name: &str) -> Actor {
        self.actor_of(&actor_program(), through, name)
    }

    /// Starts an actor from that executable, a copy of the actor's.
    pub fn actor_of(&self, program: &Path, through: &[&str], name: &str) -> Actor {
        let program = program.to_str().expect("UTF-8");
        let fixture = self.path().to_str().expect("UTF-8");
        let line = [through, &[program, "serve", fixture, name]].concat();
        Actor::connect(self.path(), name, self.start(&line).pid)
    }

    /// Starts any program that ends with its standard input.
    pub fn start(&self, line: &[&str]) -> Program {
        let (said, stdout) = std::io::pipe().expect("a pipe");
        let stdin = self.standard_input.try_clone().expect("a descriptor");
        let child = Command::new(line[0]).args(&line[1..]).stdin(stdin).stdout(stdout).spawn();
        let child = child.unwrap_or_else(|error| panic!("{}: {error}", line[0]));
        let pid = child.id();
        self.roots.borrow_mut().push(child);
        Program { pid, said: BufReader::new(Limited::new(said)) }
    }

    /// Starts a program that does not look at its standard input, and ends on that signal.
    /// What it says goes into the file `log` of the fixture. Tells its pid.
    pub fn serve(&self, signal: &str, line: &[&str]) -> u32 {
        const KEEPER: &str = "signal=$1 log=$2; shift 2; \"$@\" >\"$log\" 2>&1 & echo $!; \
                              read -r nothing; kill -s \"$signal\" $!; wait";
        let log = self.path().join("log");
        let keeper = ["/bin/sh", "-c", KEEPER, "sh", signal, log.to_str().expect("UTF-8")];
        self.start(&[&keeper, line].concat()).line().parse().expect("a pid")
    }

    /// Waits for a process that the test itself has started.
    pub fn wait_for(&self, actor: &Actor) {
        let mut roots = self.roots.borrow_mut();
        let place = roots.iter().position(|root| root.id() == actor.pid);
        let mut root = roots.remove(place.expect("a root"));
        limit::end(&mut root);
        actor.role.set(Role::Settled);
    }

    /// Copies a program into the fixture, for all users, under a name of its own.
    pub fn copy_of(&self, program: &Path, name: &str) -> PathBuf {
        let copy = self.path().join(name);
        crate::support::copy_program(program, &copy);
        open_to_all(&copy, 0o755);
        copy
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        for root in self.roots.get_mut() {
            limit::end(root);
        }
    }
}

/// A program that is not an actor.
pub struct Program {
    pub pid: u32,
    said: BufReader<Limited<PipeReader>>,
}

impl Program {
    /// The next line of its standard output.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("a line");
        assert!(line.ends_with('\n'), "it ended early: {line:?}");
        line.trim_end().to_owned()
    }
}

/// Lets every user in; the kernel's mask for new files does not count.
pub fn open_to_all(path: &Path, mode: u32) {
    let permissions = std::fs::Permissions::from_mode(mode);
    std::fs::set_permissions(path, permissions).expect("one's own file");
}

/// A name for a process that no other process of the machine has; `word` has up to 5 letters.
pub fn unique(word: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("{word}{count}-{}", std::process::id());
    assert!(name.len() < 16, "{name}: the kernel would cut it");
    name
}

/// Where cargo puts examples: beside the directory of the test binaries.
pub fn actor_program() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let profile = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let actor = profile.join("examples/actor");
    assert!(
        actor.exists(),
        "{actor:?} is missing: `cargo test` builds it, `cargo test --test it` alone does not"
    );
    actor
}

/// What has become of an actor, as far as its CPU time goes.
#[derive(Clone, Copy)]
enum Role {
    Playing,
    /// Has ended, with that much CPU time, which nobody has taken over yet.
    Gone(Duration),
    /// Has been waited for: its time is its parent's.
    Settled,
}

/// A process of `examples/actor.rs`.
pub struct Actor {
    /// In its parent's pid namespace.
    pub pid: u32,
    fixture: PathBuf,
    line: RefCell<BufReader<UnixStream>>,
    role: Cell<Role>,
}

impl Actor {
    fn connect(fixture: &Path, name: &str, pid: u32) -> Actor {
        let started = Instant::now();
        let socket = fixture.join(name);
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) => assert!(started.elapsed() < LIMIT, "{socket:?}: {error}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        let line = RefCell::new(BufReader::new(stream));
        let actor =
            Actor { pid, fixture: fixture.to_owned(), line, role: Cell::new(Role::Playing) };
        // From its answer on, all that it needs to start is behind it.
        actor.obey("pid");
        actor
    }

    /// Gives an order; see `examples/actor.rs`.
    pub fn obey(&self, order: &str) -> String {
        self.try_to_obey(order).unwrap_or_else(|error| panic!("{order}: {error}"))
    }

    /// Gives an order that the machine may not allow.
    ///
    /// # Errors
    /// What the actor answers then.
    pub fn try_to_obey(&self, order: &str) -> Result<String, String> {
        let mut line = self.line.borrow_mut();
        let mut answer = String::new();
        writeln!(line.get_mut(), "{order}")
            .and_then(|()| line.read_line(&mut answer))
            .unwrap_or_else(|error| panic!("{order}: {error}"));
        assert!(answer.ends_with('\n'), "{order}: {answer:?}");
        let answer = answer.trim_end().to_owned();
        if answer.starts_with("error") { Err(answer) } else { Ok(answer) }
    }

    /// Gives an order that is answered with pids.
    pub fn pids(&self, order: &str) -> Vec<u32> {
        self.obey(order).split(' ').map(|pid| pid.parse().expect("a pid")).collect()
    }

    /// Executes another program in its place, with these arguments. None of them has a space.
    pub fn execute(&self, line: &[&str]) {
        let mut stream = self.line.borrow_mut();
        writeln!(stream.get_mut(), "exec {}", line.join(" ")).expect("it lives");
        // The stream ends when the program is executed.
        let mut answer = String::new();
        let end = stream.read_line(&mut answer).expect("the end of the stream");
        assert_eq!(end, 0, "{line:?}: {answer}");
    }

    /// Uses that much CPU time.
    pub fn burn(&self, millis: u64) {
        self.obey(&format!("burn {millis}"));
    }

    /// Starts a child.
    pub fn spawn(&self, name: &str) -> Actor {
        let pid = self.obey(&format!("spawn {name}")).parse().expect("a pid");
        Actor::connect(&self.fixture, name, pid)
    }

    /// Ends, and is soon a zombie until somebody waits for it.
    pub fn exit(&self) {
        let used = self.usage();
        let mut line = self.line.borrow_mut();
        writeln!(line.get_mut(), "exit").expect("it lives");
        let end = line.read_line(&mut String::new()).expect("the end of the stream");
        assert_eq!(end, 0);
        self.role.set(Role::Gone(used));
    }

    /// Waits for a child that ends or has ended.
    pub fn wait_for(&self, child: &Actor) {
        self.obey(&format!("wait {}", child.pid));
        child.role.set(Role::Settled);
    }

    /// CPU time that it answers for, by getrusage(2): its own, and that of the children it has
    /// waited for. Of one that has ended what it had then, as long as nobody has waited for it.
    pub fn usage(&self) -> Duration {
        match self.role.get() {
            Role::Playing => {
                let answer = self.obey("usage");
                let micros = answer.split(' ').map(|part| part.parse::<u64>().expect("a number"));
                Duration::from_micros(micros.sum())
            }
            Role::Gone(used) => used,
            Role::Settled => Duration::ZERO,
        }
    }
}
