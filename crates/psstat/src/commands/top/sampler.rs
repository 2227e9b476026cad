//! The thread that takes samples, so that keys are answered meanwhile.
//!
//! It works as `psstat execd` does: one [`Engine`] for all samples, and another thread goes on if this one is
//! stuck in a read ([`relay`]). It sends what is to be shown, and gets what to do next.

use super::model::{Own, Values};
use super::tree::Row;
use crate::clock;
use crate::commands::explain::surroundings::Near;
use crate::commands::relay::{self, Turn, Watch};
use crate::deadline::{Deadline, Stop};
use crate::error::Error;
use crate::job::Job;
use crate::machine::Machine;
use crate::procfs::system;
use crate::users::{self, Getent};
use nix::time::ClockId;
use psstat_core::engine::{Engine, Sample, SampleError};
use psstat_core::explain::{self, GroupView, Why, facts};
use psstat_core::kernel::Kernel;
use psstat_core::model::label::Label;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// The second sample follows the first after this long at most, so that values are shown soon.
const FIRST_INTERVAL: Duration = Duration::from_millis(500);

/// CPU time of ended children is shown if it is not 0.0 % on the screen.
const VISIBLE: f64 = 0.0005;

/// What to do next.
#[derive(Debug)]
pub enum Order {
    /// Take a sample at each interval. `None` takes none.
    Schedule(Option<Duration>),
    /// Tell the processes of that group, now and after each sample. `None` tells none.
    Look(Option<Label>),
}

/// What has happened.
#[derive(Debug)]
pub enum News {
    /// A sample was taken.
    Taken(Taken),
    /// The processes of a group. If there are none, sentences that say why.
    Processes(Label, Vec<Row>, Vec<String>),
    /// A sample could not be taken.
    Failed(Error),
}

/// A sample.
#[derive(Debug)]
pub struct Taken {
    /// What the groups cost.
    pub values: Values,
    /// What psstat itself cost since the sample before.
    pub own: Own,
    /// Its warnings.
    pub warnings: Vec<String>,
}

/// Where news go.
#[derive(Debug)]
pub struct Outlet {
    /// What has happened.
    pub news: Sender<News>,
    /// Wakes whoever waits for it.
    pub wake: UnixStream,
}

impl Outlet {
    fn send(&self, news: News) {
        // If nobody listens any more, the program ends. If there is no room for another byte, there are
        // enough to wake.
        if self.news.send(news).is_ok() {
            let _ = rustix::io::write(&self.wake, b"n");
        }
    }
}

/// What another thread needs to go on.
#[derive(Debug)]
struct Session {
    job: Job,
    getent: Getent,
    orders: Receiver<Order>,
    outlet: Outlet,
    interval: Option<Duration>,
    /// When the next sample is due.
    due: Instant,
    /// The group whose processes are shown.
    group: Option<Label>,
    /// What comes nearest to its selectors, if it was looked for. That takes as long as several samples.
    near: Option<Vec<String>>,
    /// The last two samples.
    before: Option<Arc<Sample>>,
    last: Option<Arc<Sample>>,
    meter: Meter,
}

/// Takes samples for ever. Call it on a thread of its own.
pub fn run(job: Job, orders: Receiver<Order>, outlet: Outlet) {
    let can_block = true;
    let timeout = job.timeout;
    let session = Session {
        interval: job.interval,
        job,
        getent: Getent::default(),
        orders,
        outlet,
        due: Instant::now(),
        group: None,
        near: None,
        before: None,
        last: None,
        meter: Meter::start(),
    };
    // The end of the program does not wait for this thread.
    let watch = Watch { can_block, timeout, stop: Stop::default() };
    // The work never ends.
    let _ = relay::run(session, watch, work);
}

/// Takes samples until another thread takes over.
fn work(turn: &Turn<Session>) -> Result<(), Error> {
    let Some(mut session) = turn.begin() else { return Ok(()) };
    let machine = open(turn, &mut session);
    let mut engine = Engine::new(machine.resident(), session.job.plan.clone()).resident();
    loop {
        let is_due = session.wait();
        engine.kernel_mut().set_deadline(Deadline::after(session.job.timeout));
        let (last, before) = (session.last.clone(), session.before.clone());
        let (group, mut near) = (session.group.clone(), session.near.clone());
        // The processes of the group are looked at in here too, because that can block as well.
        let done = turn.sample(session, || {
            let sample = match last.clone().filter(|_| !is_due) {
                Some(known) => known,
                None => Arc::new(engine.sample(last.as_deref().map(|last| &last.state))?),
            };
            let before = if is_due { last } else { before };
            let samples: Vec<&Sample> = before.as_deref().into_iter().chain([&*sample]).collect();
            let rows = group.map(|group| (rows(&engine, &samples, &group, &mut near), group));
            Ok::<_, SampleError>((sample, rows, near))
        });
        let Some((back, done)) = done else { return Ok(()) };
        session = back;
        if is_due {
            session.advance();
        }
        match done {
            Err(error) => {
                let error = Error::of_sample(error, session.job.timeout);
                session.outlet.send(News::Failed(error));
            }
            Ok((sample, rows, near)) => {
                session.near = near;
                if is_due {
                    session.take(sample);
                }
                if let Some(((rows, notes), group)) = rows {
                    session.outlet.send(News::Processes(group, rows, notes));
                }
            }
        }
    }
}

/// Opens the machine. Tries again if that fails.
fn open(turn: &Turn<Session>, session: &mut Session) -> Machine {
    loop {
        let Job { mounts, multi_threaded, timeout, .. } = &session.job;
        let deadline = Deadline::after(*timeout);
        match Machine::open(mounts, *multi_threaded, deadline, turn.reads()) {
            Ok(machine) => return machine.with_getent(&session.getent),
            Err(error) => session.outlet.send(News::Failed(error.into())),
        }
        while !session.wait() {}
        session.advance();
    }
}

impl Session {
    /// Waits for the next sample to be due (`true`), or for a group to look at.
    fn wait(&mut self) -> bool {
        loop {
            let order = match self.interval {
                None => self.orders.recv().map_err(RecvTimeoutError::from),
                Some(_) => {
                    let left = self.due.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return true;
                    }
                    self.orders.recv_timeout(left)
                }
            };
            match order {
                Ok(Order::Schedule(interval)) => self.schedule(interval),
                Ok(Order::Look(group)) => {
                    self.group = group;
                    self.near = None;
                    if self.group.is_some() && self.last.is_some() {
                        return false;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                // The program ends.
                Err(RecvTimeoutError::Disconnected) => loop {
                    std::thread::park();
                },
            }
        }
    }

    /// Changes the interval. The next sample is due when the new interval has passed since the last one.
    fn schedule(&mut self, interval: Option<Duration>) {
        self.interval = interval;
        let taken = self.meter.since;
        self.due = interval.and_then(|interval| taken.checked_add(interval)).unwrap_or(self.due);
    }

    /// Sets when the next sample is due: intervals do not drift, and those that were missed are skipped.
    fn advance(&mut self) {
        let interval = self.interval.unwrap_or(FIRST_INTERVAL);
        let interval = if self.last.is_none() { interval.min(FIRST_INTERVAL) } else { interval };
        let now = Instant::now();
        let next = self.due.checked_add(interval).filter(|next| *next > now);
        self.due = next.or_else(|| now.checked_add(interval)).unwrap_or(now);
    }

    /// Takes a sample over, and sends what it shows. The first one has nothing to show yet.
    fn take(&mut self, sample: Arc<Sample>) {
        let is_first = self.last.is_none();
        self.before = self.last.replace(Arc::clone(&sample));
        let own = self.meter.read();
        if is_first {
            return;
        }
        let mistakes = self.job.mistakes.iter().map(ToString::to_string);
        let warnings = mistakes.chain(sample.diagnostics.iter().map(ToString::to_string));
        self.outlet.send(News::Taken(Taken {
            values: Values { reports: sample.reports.clone(), unknown: sample.unknown.clone() },
            own,
            warnings: warnings.collect(),
        }));
    }
}

/// Measures what psstat itself costs.
#[derive(Debug)]
struct Meter {
    /// When it was last read.
    since: Instant,
    /// The CPU time of this process then, in nanoseconds.
    used: i128,
}

impl Meter {
    fn start() -> Meter {
        Meter { since: Instant::now(), used: clock::now(ClockId::CLOCK_PROCESS_CPUTIME_ID) }
    }

    fn read(&mut self) -> Own {
        let before = std::mem::replace(self, Meter::start());
        let elapsed = self.since.duration_since(before.since).as_nanos();
        let cpu = (elapsed > 0).then(|| (self.used - before.used) as f64 / elapsed as f64);
        Own { cpu, memory: system::own_memory().map(|bytes| bytes.0 as f64) }
    }
}

/// The processes of a group, or why there are none. `near` is what comes nearest to its selectors. It is looked for
/// once.
fn rows(
    engine: &Engine<Machine>,
    samples: &[&Sample],
    group: &Label,
    near: &mut Option<Vec<String>>,
) -> (Vec<Row>, Vec<String>) {
    let hz = engine.kernel().constants().hz;
    let no_process = "no process".to_owned();
    let Some(view) = explain::group(engine.plan(), hz, samples, group) else {
        return (Vec::new(), vec![no_process]);
    };
    let users = users::names();
    if view.is_empty() {
        let unknown = view.unknown.as_ref();
        let first =
            unknown.map_or(no_process, |cause| format!("not known who belongs to it: {cause}"));
        let look = || {
            let Some(now) = samples.last() else { return Vec::new() };
            let surroundings = Near::look(engine.kernel(), engine.plan(), now, &users);
            let misses = surroundings.misses(engine.kernel(), engine.plan(), &[view]);
            misses.concat().iter().map(|miss| format!("nearest: {miss}")).collect()
        };
        let near = near.get_or_insert_with(look).iter();
        let notes = std::iter::once(&first).chain(near).map(|note| facts::visible(note));
        return (Vec::new(), notes.collect());
    }
    let (known, _) = facts::read(engine.kernel(), view.rows.iter().map(|row| row.pid));
    let GroupView { rows, cpu_of_ended, .. } = view;
    let processes = rows.into_iter().map(|row| {
        let facts = known.get(&row.pid).cloned().unwrap_or_default();
        let user = facts.user.map(|uid| users.get(&uid).cloned().unwrap_or(uid.to_string()));
        let command = facts.command.filter(|command| !command.is_empty());
        Row {
            pid: Some(row.pid.number()),
            depth: row.depth,
            user: user.unwrap_or_default(),
            name: facts::visible(&command.map_or(row.name, |command| without_directory(&command))),
            cpu: row.cpu,
            memory: row.memory.map(|bytes| bytes as f64),
            threads: Some(row.threads.into()),
            why: why(&row.why),
        }
    });
    let ended = cpu_of_ended.filter(|&cpu| cpu >= VISIBLE).map(|cpu| Row {
        name: "(ended children)".to_owned(),
        cpu: Some(cpu),
        ..Row::default()
    });
    (processes.chain(ended).collect(), Vec::new())
}

/// A command line without the directory of its program, for columns that are narrow.
///
/// *Example:* `/usr/sbin/nginx -g x` is `nginx -g x`. The titles that programs give themselves stay: `nginx: master
/// process /usr/sbin/nginx`.
fn without_directory(command: &str) -> String {
    let program = command.split(' ').next().unwrap_or_default();
    let directory = program.rfind('/').filter(|_| program.starts_with('/'));
    let name = directory.and_then(|slash| command.get(slash + 1..)).unwrap_or(command);
    if name.is_empty() { command.to_owned() } else { name.to_owned() }
}

/// Why a process is in the group, in few words.
fn why(why: &Why) -> String {
    match why {
        Why::Picked { by, .. } => by.clone(),
        // The end of the path says more, and columns are narrow.
        Why::In { control_group, .. } => match control_group.rsplit_once('/') {
            Some((_, name)) if !name.is_empty() => format!("in {name}"),
            _ => format!("in {control_group}"),
        },
        Why::ChildOf(pid) => format!("child of {pid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_group_is_shown_by_its_name() {
        let of = |path: &str| why(&Why::In { control_group: path.to_owned(), by: String::new() });
        assert_eq!(of("system.slice/nginx.service"), "in nginx.service");
        assert_eq!([of("docker"), of("/")], ["in docker", "in /"]);
    }

    #[test]
    fn directories_of_programs_are_left_out() {
        for (command, shown) in [
            ("/usr/sbin/nginx -g x", "nginx -g x"),
            ("/usr/bin/python3 /a/b", "python3 /a/b"),
            ("nginx: master process /usr/sbin/nginx", "nginx: master process /usr/sbin/nginx"),
            ("./a/b c", "./a/b c"),
            ("/", "/"),
            ("/a/ b", " b"),
        ] {
            assert_eq!(without_directory(command), shown);
        }
    }
}
