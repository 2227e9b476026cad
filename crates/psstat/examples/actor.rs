//! A process that obeys orders. The integration tests (`tests/it/real`) build trees of actors, and
//! compare what psstat reports with what the kernel reports to the actors themselves.
//!
//! ```text
//! actor serve DIRECTORY NAME  obeys orders that it receives through the socket DIRECTORY/NAME
//! actor chain DEPTH MILLIS    starts a chain of DEPTH generations; the last one uses MILLIS ms of CPU
//!                             time, and every other one waits for its child; then ends
//! actor work MICROS MILLIS    uses MICROS us of CPU time, then sleeps MILLIS ms, again and again, until
//!                             its standard input ends
//! actor idle [WORD...]        sleeps until its standard input ends
//! actor threads COUNT MILLIS  starts COUNT threads that end one after the other within MILLIS ms, while
//!                             the first thread sleeps; then ends
//! actor rename MILLIS NAME... takes each name in turn, and sleeps MILLIS ms after each; then ends
//! actor switch MILLIS PROGRAM [ARG...]
//!                             after MILLIS ms, a thread that is not the first executes the program
//! actor adopt FILE SCRIPT     runs sh -c SCRIPT as the parent of all orphans below it, waits for all
//!                             children, then ends; creates FILE when its standard input ends, and
//!                             continues the processes of its group that are stopped
//! ```
//!
//! An order is one line, and the answer is one line:
//!
//! ```text
//! pid                       answers with its pid in its own pid namespace
//! usage                     answers with the CPU time of getrusage(2) in microseconds: its own, and
//!                           that of the children that it has waited for
//! burn MILLIS               uses MILLIS ms of CPU time
//! threads COUNT MILLIS      starts COUNT threads that use MILLIS ms of CPU time each
//! busy                      starts a thread that uses CPU time until `idle`
//! idle                      ends the threads of `busy` and `nappers`
//! name COMM                 changes its name to COMM by prctl(2)
//! comm COMM                 changes its name to COMM by /proc/self/comm
//! exec PROGRAM [ARG...]     executes the program in its place, without an answer
//! subreaper                 becomes the parent of orphans among its descendants
//! spawn NAME                starts an actor as its child, and answers with its pid
//! crew COUNT MICROS MILLIS  starts COUNT children that do `work`, and answers with their pids
//! sleepers COUNT            starts COUNT children that are `idle`, and answers with their pids
//! dismiss                   ends the children of `crew` and `sleepers`, and waits for them
//! wait PID                  waits for the end of a child
//! linger PID                waits until a child is a zombie, and does not reap it
//! chains COUNT DEPTH MILLIS runs COUNT chains one after the other, and waits for each
//! sh SCRIPT                 runs sh -c SCRIPT, and waits for it
//! io                        answers with the bytes it has read from and written to storage, from
//!                           /proc/self/io
//! write PATH KIB            writes a new file of KIB KiB to storage
//! read PATH                 reads a file from storage
//! switches                  answers with the number of its context switches, from getrusage(2)
//! nappers COUNT TIMES       starts COUNT threads that sleep TIMES times and then wait for `idle`
//! open COUNT                opens COUNT files, and keeps them open
//! exit                      ends without an answer
//! ```
//!
//! An actor ends when its standard input ends. All actors of a test inherit the read end of one pipe,
//! and the test holds the other end. So no actor outlives its test, even if its parent changes.

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_current_process_group,
    set_child_subreaper, wait, waitid, waitpid,
};
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, PipeWriter, Write};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "serve", directory, name] => Actor::new(directory.into()).serve(name),
        [_, "chain", depth, millis] => chain(depth.parse()?, millis.parse()?),
        [_, "work", micros, millis] => work(micros.parse()?, millis.parse()?),
        [_, "idle", ..] => wait_for_end_of_input(None).map(drop),
        [_, "threads", count, millis] => short_threads(count.parse()?, millis.parse()?),
        [_, "rename", millis, ref names @ ..] => rename(millis.parse()?, names),
        [_, "switch", millis, program, ref args @ ..] => switch(millis.parse()?, program, args),
        [_, "adopt", file, script] => adopt(file.to_owned(), script),
        _ => Err("usage: see the comment at the top of actor.rs".into()),
    }
}

struct Actor {
    /// The directory of the sockets. Children use the same one.
    directory: PathBuf,
    busy: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    /// Sleeping threads. Each ends when its sender is dropped.
    nappers: Vec<(mpsc::Sender<()>, JoinHandle<()>)>,
    files: Vec<File>,
    /// Children that end when their standard input ends. Its other end is here.
    crew: Vec<(PipeWriter, Vec<Child>)>,
}

impl Actor {
    fn new(directory: PathBuf) -> Actor {
        Actor {
            directory,
            busy: Vec::new(),
            stop: Arc::default(),
            nappers: Vec::new(),
            files: Vec::new(),
            crew: Vec::new(),
        }
    }

    fn serve(mut self, name: &str) -> Outcome<()> {
        let listener = UnixListener::bind(self.directory.join(name))?;
        let (ready, is_ready) = mpsc::channel();
        std::thread::spawn(|| exit_with_stdin(ready));
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
        // The socket is closed. The other thread ends the process when standard input ends.
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
            "comm" => std::fs::write("/proc/self/comm", rest)?,
            "exec" => {
                let mut words = rest.split(' ');
                let program = words.next().ok_or("exec PROGRAM [ARG...]")?;
                return Err(Command::new(program).args(words).exec().into());
            }
            "crew" => match numbers()?[..] {
                [count, micros, millis] => {
                    let args = ["work", &micros.to_string(), &millis.to_string()];
                    return self.start_crew(count, &args);
                }
                _ => return Err("crew COUNT MICROS MILLIS".into()),
            },
            "sleepers" => return self.start_crew(rest.parse()?, &["idle"]),
            "dismiss" => {
                for (input, children) in self.crew.drain(..) {
                    drop(input);
                    for mut child in children {
                        child.wait()?;
                    }
                }
            }
            "subreaper" => set_child_subreaper(Some(getpid()))?,
            "spawn" => {
                let child = this_program()?.arg("serve").arg(&self.directory).arg(rest).spawn()?;
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
    /// Returns when all threads have finished their sleeps and wait for `idle`.
    fn start_nappers(&mut self, count: u64, times: u64) -> Outcome<()> {
        let (slept, all_slept) = mpsc::channel();
        for _ in 0..count {
            let slept = slept.clone();
            let (stay, until) = mpsc::channel::<()>();
            let thread = std::thread::spawn(move || {
                for _ in 0..times {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let _ = slept.send(());
                drop(slept);
                // Returns when the sender is dropped; nothing is sent.
                let _ = until.recv();
            });
            self.nappers.push((stay, thread));
        }
        (0..count).try_for_each(|_| all_slept.recv())?;
        Ok(())
    }

    /// Starts children that end when their standard input does. Returns their pids.
    fn start_crew(&mut self, count: u64, args: &[&str]) -> Outcome<String> {
        let (input, keeper) = std::io::pipe()?;
        let mut children = Vec::new();
        for _ in 0..count {
            children.push(this_program()?.args(args).stdin(input.try_clone()?).spawn()?);
        }
        let pids: Vec<String> = children.iter().map(|child| child.id().to_string()).collect();
        self.crew.push((keeper, children));
        Ok(pids.join(" "))
    }
}

fn work(micros: u64, millis: u64) -> Outcome<()> {
    loop {
        burn_for(Duration::from_micros(micros));
        if wait_for_end_of_input(Some(Duration::from_millis(millis)))? {
            return Ok(());
        }
    }
}

/// Waits until standard input ends, to which nothing is written. Returns whether it has ended.
fn wait_for_end_of_input(limit: Option<Duration>) -> Outcome<bool> {
    let limit = limit.map(Timespec::try_from).transpose()?;
    let stdin = std::io::stdin();
    let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
    Ok(rustix::io::retry_on_intr(|| poll(&mut polled, limit.as_ref()))? > 0)
}

fn short_threads(count: u32, millis: u64) -> Outcome<()> {
    let longest = Duration::from_millis(millis);
    for number in 1..=count {
        std::thread::spawn(move || std::thread::sleep(longest * number / count));
    }
    std::thread::sleep(longest + longest / count);
    Ok(())
}

fn rename(millis: u64, names: &[&str]) -> Outcome<()> {
    for &name in names {
        rustix::thread::set_name(&std::ffi::CString::new(name)?)?;
        std::thread::sleep(Duration::from_millis(millis));
    }
    Ok(())
}

fn switch(millis: u64, program: &str, args: &[&str]) -> Outcome<()> {
    let mut command = Command::new(program);
    command.args(args);
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(millis));
        command.exec()
    });
    // The thread returns only if the program cannot be executed.
    Err(thread.join().map_err(|_| "a thread panicked")?.into())
}

fn adopt(file: String, script: &str) -> Outcome<()> {
    set_child_subreaper(Some(getpid()))?;
    std::thread::spawn(move || {
        let _ = wait_for_end_of_input(None);
        let _ = File::create(file);
        kill_current_process_group(Signal::CONT)
    });
    // It is waited for with all others.
    drop(Command::new("/bin/sh").args(["-c", script]).spawn()?);
    while wait(WaitOptions::empty()).is_ok() {}
    Ok(())
}

/// Reads without the page cache. This needs a buffer that is aligned to blocks.
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

fn exit_with_stdin(ready: mpsc::Sender<()>) -> ! {
    let stdin = std::io::stdin();
    // This thread allocates nothing after this line, so the memory that psstat reports stays the same.
    let _ = ready.send(());
    // Returns at the end of standard input; nothing is written to it.
    let _ = rustix::io::read(stdin, &mut [0]);
    std::process::exit(0);
}

/// A command that runs this program again, by the path in /proc/self/exe. So a copy of the program
/// starts the copy.
fn this_program() -> std::io::Result<Command> {
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
    run(this_program()?.args(["chain", &depth.to_string(), &millis.to_string()]))
}

fn run(command: &mut Command) -> Outcome<()> {
    let child = command.spawn()?.id();
    let child = Pid::from_raw(child.try_into()?);
    allow_none(waitpid(child, WaitOptions::empty()))
}

/// Treats "no child" as success: if SIGCHLD is ignored, waiting ends that way when the child ends.
fn allow_none<T>(waited: rustix::io::Result<T>) -> Outcome<()> {
    match waited {
        Ok(_) | Err(Errno::CHILD) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Uses this much CPU time in the current thread, even if that takes longer.
fn burn(millis: u64) {
    burn_for(Duration::from_millis(millis));
}

fn burn_for(time: Duration) {
    let used = || {
        let used = clock_gettime(ClockId::ThreadCPUTime);
        Duration::try_from(used).expect("CPU time is never negative")
    };
    let end = used() + time;
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
