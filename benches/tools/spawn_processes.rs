//! Starts groups of processes for a benchmark.
//!
//! ```text
//! spawn_processes NAME:SIZE[:USE:PERIOD] ...
//! ```
//!
//! Each argument creates one group: a leader and its SIZE - 1 children. Every process of a group has
//! NAME as its `comm`, and the whole argument as an argument. Each process uses the processor for USE
//! microseconds in every PERIOD microseconds, at a moment of its own. Without USE and PERIOD it sleeps.
//!
//! The program prints one line per process, `NAME leader PID` or `NAME child PID`, and then `ready`.
//!
//! For each line on standard input, which is the NAME of a group, every process of that group wakes up
//! once. The program then prints one line per process, `NAME awake PID`, and then `ready`. When `ready`
//! appears, the CPU clock of each process of the group has moved.
//!
//! The processes end when standard input ends. Each process waits for input from its parent, and only
//! the parent holds the other end of that pipe. So all of them end when the first process ends, for
//! whatever reason, and nobody has to kill them by pid.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::ffi::CString;
use std::io::{BufRead, BufReader, PipeReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Separates the name of a group from the reason why not all of its processes could be started.
const FAILED: &str = " failed: ";

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--leader", group] => lead(&Group::parse(group)?),
        ["--child", group] => {
            let group = Group::parse(group)?;
            group.join("child")?;
            serve(&group, &mut [])
        }
        _ => start_groups(&words),
    }
}

/// What an argument says.
struct Group<'a> {
    argument: &'a str,
    name: &'a str,
    size: usize,
    work: Option<Work>,
}

/// What each process of a group does without being asked.
struct Work {
    usage: Duration,
    period: Duration,
}

impl Group<'_> {
    fn parse(argument: &str) -> Outcome<Group<'_>> {
        let micros = |word: &str| word.parse().map(Duration::from_micros);
        let (name, size, work) = match argument.split(':').collect::<Vec<_>>()[..] {
            [name, size] => (name, size, None),
            [name, size, usage, period] => {
                (name, size, Some(Work { usage: micros(usage)?, period: micros(period)? }))
            }
            _ => return Err("a group is NAME:SIZE or NAME:SIZE:USE:PERIOD".into()),
        };
        Ok(Group { argument, name, size: size.parse()?, work })
    }

    /// Starts a process of this group, which waits for input from this one.
    fn start(&self, role: &str, stdout: Stdio) -> std::io::Result<Child> {
        let program = std::env::current_exe()?;
        let mut command = Command::new(program);
        command.args([role, self.argument]).stdin(Stdio::piped()).stdout(stdout).spawn()
    }

    /// Takes the name of the group, and then says so.
    fn join(&self, role: &str) -> Outcome<()> {
        rustix::thread::set_name(&CString::new(self.name)?)?;
        self.announce(role)
    }

    fn announce(&self, what: &str) -> Outcome<()> {
        // A single write keeps the lines of different processes apart.
        let line = format!("{} {what} {}\n", self.name, std::process::id());
        Ok(std::io::stdout().write_all(line.as_bytes())?)
    }
}

fn start_groups(arguments: &[String]) -> Outcome<()> {
    let groups =
        arguments.iter().map(|word| Group::parse(word)).collect::<Outcome<Vec<Group<'_>>>>()?;
    let (announced, announcements) = std::io::pipe()?;
    let mut leaders = Vec::new();
    for group in &groups {
        leaders.push(group.start("--leader", announcements.try_clone()?.into())?);
    }
    // From here on only the started processes hold this end.
    drop(announcements);
    let mut announced = BufReader::new(announced);
    let outcome = relay(&mut announced, groups.iter().map(|group| group.size).sum())
        .and_then(|()| wake_on_request(&groups, &mut leaders, &mut announced));
    end(leaders)?;
    outcome
}

/// Copies the next `count` lines of the processes to standard output.
fn relay(announced: &mut BufReader<PipeReader>, count: usize) -> Outcome<()> {
    let mut stdout = std::io::stdout().lock();
    for line in announced.lines().take(count) {
        let line = line?;
        if line.contains(FAILED) {
            return Err(line.into());
        }
        writeln!(stdout, "{line}")?;
    }
    writeln!(stdout, "ready")?;
    Ok(stdout.flush()?)
}

fn wake_on_request(
    groups: &[Group<'_>],
    leaders: &mut [Child],
    announced: &mut BufReader<PipeReader>,
) -> Outcome<()> {
    for name in std::io::stdin().lines() {
        let name = name?;
        let index = groups.iter().position(|group| group.name == name).ok_or("no such group")?;
        wake(&mut leaders[index])?;
        relay(announced, groups[index].size)?;
    }
    Ok(())
}

fn lead(group: &Group<'_>) -> Outcome<()> {
    group.join("leader")?;
    let mut children = Vec::new();
    for _ in 1..group.size {
        match group.start("--child", Stdio::inherit()) {
            Ok(child) => children.push(child),
            Err(error) => {
                // The first process waits for one line per process. This line ends its wait.
                println!("{}{FAILED}{error}", group.name);
                break;
            }
        }
    }
    serve(group, &mut children)?;
    end(children)
}

/// Works periodically, and wakes up on request, with its children, until standard input ends.
fn serve(group: &Group<'_>, children: &mut [Child]) -> Outcome<()> {
    let mut due = group.work.as_ref().map(|work| Instant::now() + phase(work.period));
    loop {
        if await_input(due)? {
            if rustix::io::read(std::io::stdin(), &mut [0; 1])? == 0 {
                return Ok(());
            }
            children.iter_mut().try_for_each(wake)?;
            group.announce("awake")?;
        } else if let Some(work) = &group.work {
            use_processor(work.usage);
            due = due.map(|due| due + work.period);
        }
    }
}

/// A moment in the period that is a different one for each process.
fn phase(period: Duration) -> Duration {
    const GOLDEN_RATIO: f64 = 0.618_033_988_75;
    period.mul_f64((f64::from(std::process::id()) * GOLDEN_RATIO).fract())
}

/// Returns whether there is input, or its end, before it is `due`.
fn await_input(due: Option<Instant>) -> Outcome<bool> {
    let rest = due.map(|due| due.saturating_duration_since(Instant::now()));
    let timeout = rest.map(Timespec::try_from).transpose()?;
    let stdin = std::io::stdin();
    Ok(poll(&mut [PollFd::new(&stdin, PollFlags::IN)], timeout.as_ref())? > 0)
}

fn use_processor(usage: Duration) {
    let end = cpu_time() + usage;
    while cpu_time() < end {}
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn wake(child: &mut Child) -> Outcome<()> {
    let input = child.stdin.as_mut().ok_or("a process without input")?;
    Ok(input.write_all(b"\n")?)
}

/// Ends processes by closing their input, and waits for them.
fn end(mut children: Vec<Child>) -> Outcome<()> {
    for child in &mut children {
        drop(child.stdin.take());
    }
    for mut child in children {
        child.wait()?;
    }
    Ok(())
}
