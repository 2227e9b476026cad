//! A process that does as it is told. The integration tests (`tests/it/real`) build trees of
//! these and compare what psstat reports of them with what the kernel told them themselves.
//!
//! ```text
//! actor serve STAGE NAME    obeys orders that come through the socket STAGE/NAME
//! actor chain DEPTH MILLIS  a line of DEPTH generations: the last uses so much CPU time, the
//!                           others wait for their child; ends
//! ```
//!
//! Each order is a line, and is answered by one line:
//!
//! ```text
//! pid                       its own pid, as seen in its own pid namespace
//! usage                     getrusage(2), in microseconds: its own time, that of the children
//!                           it has waited for
//! burn MILLIS               uses so much CPU time
//! threads COUNT MILLIS      so many threads at once use so much CPU time each
//! busy                      starts a thread that uses CPU time from now on
//! idle                      ends all those threads, and those of `nappers`
//! name COMM                 takes another name
//! subreaper                 adopts orphans among its descendants from now on
//! spawn NAME                starts an actor as its child; tells its pid
//! wait PID                  waits for a child, also an adopted one, that has been told to exit
//! linger PID                waits until that child is a zombie, and leaves it one
//! chains COUNT DEPTH MILLIS one chain after the other, each waited for
//! sh SCRIPT                 runs sh -c SCRIPT, and waits for it
//! io                        its traffic with storage by its own /proc/self/io: read, written
//! write PATH KIB            writes a new file of that size, to storage
//! read PATH                 reads a file, from storage
//! switches                  getrusage(2): how often its threads were switched away from
//! nappers COUNT TIMES       starts so many threads; each sleeps so often, and then stays
//! open COUNT                opens so many files, and keeps them open
//! exit                      ends, without an answer
//! ```
//!
//! An actor's standard input is its lifeline: it ends when that does. All actors of a test inherit
//! the read end of one pipe, so that none outlives the test that holds the other end, whoever its
//! parent is by then.

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, WaitOptions, waitid, waitpid};
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "serve", stage, name] => Actor::new(stage.into()).serve(name),
        [_, "chain", depth, millis] => chain(depth.parse()?, millis.parse()?),
        _ => Err("usage: actor serve STAGE NAME | actor chain DEPTH MILLIS".into()),
    }
}

struct Actor {
    /// The folder of the sockets, handed down to all children.
    stage: PathBuf,
    busy: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    /// Threads that wait for the other end of theirs to be dropped.
    nappers: Vec<(mpsc::Sender<()>, JoinHandle<()>)>,
    files: Vec<File>,
}

impl Actor {
    fn new(stage: PathBuf) -> Actor {
        Actor {
            stage,
            busy: Vec::new(),
            stop: Arc::default(),
            nappers: Vec::new(),
            files: Vec::new(),
        }
    }

    fn serve(mut self, name: &str) -> Outcome<()> {
        let listener = UnixListener::bind(self.stage.join(name))?;
        let (ready, is_ready) = mpsc::channel();
        std::thread::spawn(|| end_with_lifeline(ready));
        is_ready.recv()?;
        let (mut answers, _) = listener.accept()?;
        for order in BufReader::new(answers.try_clone()?).lines() {
            let order = order?;
            let (verb, rest) = order.split_once(' ').unwrap_or((&order, ""));
            if verb == "exit" {
                return Ok(());
            }
            let answer = self.obey(verb, rest).unwrap_or_else(|error| format!("error: {error}"));
            writeln!(answers, "{answer}")?;
        }
        // Nobody gives orders any more. It stays until its lifeline ends.
        loop {
            std::thread::park();
        }
    }

    fn obey(&mut self, verb: &str, rest: &str) -> Outcome<String> {
        let numbers = || rest.split(' ').map(str::parse).collect::<Result<Vec<u64>, _>>();
        match verb {
            "pid" => return Ok(std::process::id().to_string()),
            "usage" => return usage(),
            "burn" => burn(rest.parse()?),
            "threads" => match numbers()?[..] {
                [count, millis] => std::thread::scope(|scope| {
                    for _ in 0..count {
                        scope.spawn(|| burn(millis));
                    }
                }),
                _ => return Err("threads COUNT MILLIS".into()),
            },
            "busy" => {
                let stop = Arc::clone(&self.stop);
                self.busy.push(std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                }));
            }
            "idle" => {
                self.stop.store(true, Ordering::Relaxed);
                for thread in self.busy.drain(..) {
                    thread.join().map_err(|_| "a thread panicked")?;
                }
                self.stop.store(false, Ordering::Relaxed);
                for (stay, thread) in self.nappers.drain(..) {
                    drop(stay);
                    thread.join().map_err(|_| "a thread panicked")?;
                }
            }
            "io" => return io(),
            "write" => {
                let (path, kib) = rest.rsplit_once(' ').ok_or("write PATH KIB")?;
                let mut file = File::create(path)?;
                for _ in 0..kib.parse::<u64>()? {
                    file.write_all(&[1; 1024])?;
                }
                file.sync_all()?;
            }
            "read" => read_from_storage(rest)?,
            "switches" => {
                let usage = getrusage(UsageWho::RUSAGE_SELF)?;
                let all = usage.voluntary_context_switches() + usage.involuntary_context_switches();
                return Ok(all.to_string());
            }
            "nappers" => match numbers()?[..] {
                [count, times] => self.start_nappers(count, times)?,
                _ => return Err("nappers COUNT TIMES".into()),
            },
            "open" => {
                for _ in 0..rest.parse::<u64>()? {
                    self.files.push(File::open("/dev/null")?);
                }
            }
            "name" => rustix::thread::set_name(&std::ffi::CString::new(rest)?)?,
            "subreaper" => rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?,
            "spawn" => {
                let child = itself()?.arg("serve").arg(&self.stage).arg(rest).spawn()?;
                return Ok(child.id().to_string());
            }
            "wait" => {
                let child = Pid::from_raw(rest.parse()?).ok_or("not a pid")?;
                allow_none(waitpid(Some(child), WaitOptions::empty()))?;
            }
            "linger" => {
                let child = WaitId::Pid(Pid::from_raw(rest.parse()?).ok_or("not a pid")?);
                waitid(child, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?;
            }
            "chains" => match numbers()?[..] {
                [count, depth, millis] => (0..count).try_for_each(|_| run_chain(depth, millis))?,
                _ => return Err("chains COUNT DEPTH MILLIS".into()),
            },
            "sh" => run(Command::new("/bin/sh").arg("-c").arg(rest))?,
            _ => return Err("no such order".into()),
        }
        Ok("done".to_owned())
    }
}

impl Actor {
    /// Ends when all of them have slept, and stay.
    fn start_nappers(&mut self, count: u64, times: u64) -> Outcome<()> {
        let (rested, has_rested) = mpsc::channel();
        for _ in 0..count {
            let rested = rested.clone();
            let (stay, until) = mpsc::channel::<()>();
            let thread = std::thread::spawn(move || {
                for _ in 0..times {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let _ = rested.send(());
                drop(rested);
                // Nothing is ever sent.
                let _ = until.recv();
            });
            self.nappers.push((stay, thread));
        }
        (0..count).try_for_each(|_| has_rested.recv())?;
        Ok(())
    }
}

/// Past the page cache, which asks for a buffer that begins with a page.
fn read_from_storage(path: &str) -> Outcome<()> {
    const BLOCK: usize = 4096;
    let flags = OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    let mut space = vec![0u8; 2 * BLOCK];
    let start = space.as_ptr().align_offset(BLOCK);
    while rustix::io::read(&file, &mut space[start..start + BLOCK])? > 0 {}
    Ok(())
}

fn io() -> Outcome<String> {
    let text = std::fs::read_to_string("/proc/self/io")?;
    let line = |key| text.lines().find_map(|line| line.strip_prefix(key));
    let (read, written) = (line("read_bytes: "), line("write_bytes: "));
    Ok(format!("{} {}", read.ok_or("no read_bytes")?, written.ok_or("no write_bytes")?))
}

fn end_with_lifeline(ready: mpsc::Sender<()>) -> ! {
    let lifeline = std::io::stdin();
    // From here on this thread needs no more memory: what psstat says of it stays the same.
    let _ = ready.send(());
    // Nothing is ever written to it.
    let _ = rustix::io::read(lifeline, &mut [0]);
    std::process::exit(0);
}

/// By the path that the kernel knows, so that a copy of this program starts copies.
fn itself() -> std::io::Result<Command> {
    std::env::current_exe().map(Command::new)
}

fn chain(depth: u64, millis: u64) -> Outcome<()> {
    match depth {
        0 | 1 => burn(millis),
        _ => run_chain(depth - 1, millis)?,
    }
    Ok(())
}

fn run_chain(depth: u64, millis: u64) -> Outcome<()> {
    run(itself()?.args(["chain", &depth.to_string(), &millis.to_string()]))
}

fn run(command: &mut Command) -> Outcome<()> {
    let child = command.spawn()?.id();
    let child = Pid::from_raw(child.try_into()?);
    allow_none(waitpid(child, WaitOptions::empty()))
}

/// Where SIGCHLD is ignored, waiting lasts as long as the child and then finds none.
fn allow_none<T>(waited: rustix::io::Result<T>) -> Outcome<()> {
    match waited {
        Ok(_) | Err(Errno::CHILD) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Uses that much CPU time in this thread, however long it takes.
fn burn(millis: u64) {
    let used = || {
        let used = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(used).expect("CPU time is never negative")
    };
    let end = used() + Duration::from_millis(millis);
    while used() < end {
        std::hint::spin_loop();
    }
}

fn usage() -> Outcome<String> {
    let micros = |usage: Usage| {
        usage.user_time().num_microseconds() + usage.system_time().num_microseconds()
    };
    let own = micros(getrusage(UsageWho::RUSAGE_SELF)?);
    let children = micros(getrusage(UsageWho::RUSAGE_CHILDREN)?);
    Ok(format!("{own} {children}"))
}
