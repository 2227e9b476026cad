//! The thread that does the work of a command, and the thread that takes over if it is stuck in a read.
//!
//! The thread that samples makes [reads that can block](crate::blocking) itself, so they cost what they
//! would cost anyway. Before each it writes down what it reads. Before each sample it puts down the
//! *session*, which is all that another thread needs to go on, and sets a timer. A second thread waits
//! for the timer. If it finds the same read under way again and again, it takes the session and takes the
//! sample anew. It does not ask that process before the read has come back.
//!
//! *Example:* `psstat execd --cmdline web:gunicorn` reads `/proc/123/cmdline`, and the kernel does not answer.
//! After 250 ms at most, the sample begins anew without process 123. The line of `web` is printed, and
//! `W! /proc/123/cmdline does not answer`. The abandoned thread keeps the memory and the open files of its
//! sample until it comes back. The next sample then reads process 123 again.

use crate::blocking::reads::{Reading, Reads};
use crate::deadline::Stop;
use crate::ending;
use crate::error::Error;
use crate::sys::retry;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use psstat_core::model::units::Pid;
use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A read whose thread sleeps is abandoned after this long, or after a quarter of `--timeout`.
const LONGEST_PATIENCE: Duration = Duration::from_millis(250);

/// While something does not answer, the patience with everything else is shorter by this factor. So
/// many processes that do not answer cost little more than one.
const LATER: u32 = 5;

/// A read is abandoned when it is still under way at this many looks in a row, so after two thirds of the
/// patience at least.
const LOOKS: u32 = 3;

/// A sample that goes on for this long after the program was told to end is abandoned. Telegraf waits one
/// second for the end.
const PATIENCE_AT_END: Duration = Duration::from_millis(400);

/// The signals that psstat handles. A thread that is stuck handles none, so threads that can be stuck
/// leave them to the one that waits.
const HANDLED: [Signal; 5] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2];

/// What a thread does with its turn: all that the command does, from the state that it finds in the
/// session.
pub type Work<S> = fn(&Turn<S>) -> Result<(), Error>;

/// The right to do the work of a command. It passes to another thread if this one is stuck.
#[derive(Debug)]
pub struct Turn<S> {
    relay: Arc<Relay<S>>,
    reads: Reads,
    /// Whether another thread waits for this one to be stuck.
    is_watched: Cell<bool>,
}

#[derive(Debug)]
struct Relay<S> {
    /// What the next thread needs to go on. `None` while a thread uses it.
    session: Mutex<Option<S>>,
    /// Wakes the thread that waits, while a sample is taken. `None` if none waits.
    timer: Option<TimerFd>,
    timeout: Duration,
    stop: Stop,
    work: Work<S>,
}

/// When another thread goes on.
#[derive(Debug)]
pub struct Watch {
    /// Whether the work makes reads that can block. If not, no other thread waits.
    pub can_block: bool,
    /// How long a sample may take.
    pub timeout: Duration,
    /// Whether the program has been told to end. Then a sample that does not end is abandoned.
    pub stop: Stop,
}

/// Does the work. If it can block, another thread waits, and goes on if this one is stuck in a read.
///
/// # Errors
/// The error of the work.
pub fn run<S: Send + 'static>(session: S, watch: Watch, work: Work<S>) -> Result<(), Error> {
    let Watch { can_block, timeout, stop } = watch;
    let flags = TimerFlags::TFD_CLOEXEC;
    let timer = || TimerFd::new(ClockId::CLOCK_MONOTONIC, flags).ok();
    let timer = if can_block { timer() } else { None };
    let session = Mutex::new(Some(session));
    let turn = Turn {
        relay: Arc::new(Relay { session, timer, timeout, stop, work }),
        reads: Reads::of_first_thread(),
        is_watched: Cell::new(false),
    };
    let result = work(&turn);
    while !turn.reads.is_current() {
        // Another thread ends the program.
        std::thread::park();
    }
    result
}

impl<S: Send + 'static> Turn<S> {
    /// Makes the reads that can block.
    pub fn reads(&self) -> Reads {
        self.reads.clone()
    }

    /// Takes the session, at the beginning of the work. `None` if the turn has passed to another thread.
    pub fn begin(&self) -> Option<S> {
        let mut session = self.session();
        // Another thread takes the turn while it holds this lock, so nothing comes in between.
        if self.reads.is_current() { session.take() } else { None }
    }

    /// Takes a sample, and returns it with the session. `None` if the turn has passed to another thread
    /// meanwhile, which has the session.
    pub fn sample<T>(&self, session: S, sample: impl FnOnce() -> T) -> Option<(S, T)> {
        self.let_another_wait();
        *self.session() = Some(session);
        self.set_timer(self.patience() / LOOKS);
        let taken = sample();
        // A thread whose turn has passed must not stop the timer of the other.
        if !self.reads.is_current() {
            return None;
        }
        self.set_timer(Duration::ZERO);
        self.begin().map(|session| (session, taken))
    }

    /// How long a read may take.
    fn patience(&self) -> Duration {
        let patience = LONGEST_PATIENCE.min(self.relay.timeout / 4);
        if self.reads.count_stuck() > 0 { patience / LATER } else { patience }
    }

    fn session(&self) -> MutexGuard<'_, Option<S>> {
        self.relay.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the thread that waits, again and again. Zero stops that.
    fn set_timer(&self, every: Duration) {
        let Some(timer) = &self.relay.timer else { return };
        // The file and the times are valid, so this does not fail.
        let _ = if every.is_zero() {
            timer.unset()
        } else {
            let every = Expiration::Interval(TimeSpec::from_duration(every));
            timer.set(every, TimerSetTimeFlags::empty())
        };
    }

    /// Starts a thread that waits for this one to be stuck, unless one does. If no thread can be made, this
    /// sample is taken without, and the next one tries again.
    fn let_another_wait(&self) {
        if self.relay.timer.is_none() || self.is_watched.get() {
            return;
        }
        let (relay, reads) = (Arc::clone(&self.relay), self.reads.clone());
        let started = std::thread::Builder::new().spawn(move || relay.wait_and_take_over(&reads));
        if started.is_ok() {
            self.is_watched.set(true);
            // The new thread has not inherited this.
            let handled: SigSet = HANDLED.into_iter().collect();
            // The set is valid, so this does not fail.
            let _ = handled.thread_block();
        }
    }
}

impl<S: Send + 'static> Relay<S> {
    /// Waits until the thread that makes `reads` is stuck, does the rest of the work, and ends the
    /// program.
    fn wait_and_take_over(self: Arc<Self>, reads: &Reads) {
        let Some(reads) = self.wait(reads) else { return };
        let turn = Turn { relay: self, reads, is_watched: Cell::new(false) };
        let result = (turn.relay.work)(&turn);
        if turn.reads.is_current() {
            std::process::exit(ending::end(&result).into());
        }
    }

    /// Waits until a read does not come back, and takes the turn. `None` if the timer is of no use.
    fn wait(&self, reads: &Reads) -> Option<Reads> {
        let timer = self.timer.as_ref()?;
        let mut last: Option<Reading> = None;
        let (mut looks, mut since) = (0, Instant::now());
        let mut told: Option<Instant> = None;
        loop {
            if retry(|| rustix::io::read(timer, &mut [0; 8])).is_err() {
                // Signals need this thread.
                std::thread::sleep(LONGEST_PATIENCE);
            }
            if self.stop.is_set()
                && told.get_or_insert_with(Instant::now).elapsed() >= PATIENCE_AT_END
                && let Some(reads) = self.end(reads)
            {
                return Some(reads);
            }
            let now = reads.under_way();
            if now.is_none() || now != last {
                (looks, since) = (0, Instant::now());
            }
            looks += 1;
            last = now;
            let Some(reading) = &last else { continue };
            // The kernel can need seconds to add up the memory of a large process. Then the thread runs, and
            // is abandoned only when half of the time is up.
            let is_busy = || since.elapsed() < self.timeout / 2 && runs(reading.thread);
            if looks < LOOKS || is_busy() {
                continue;
            }
            if let Some(reads) = reads.take_over(reading) {
                return Some(reads);
            }
        }
    }
}

impl<S> Relay<S> {
    /// Takes the turn in the middle of a sample, to end the program. `None` if none is being taken: then the
    /// thread that has the session ends the program.
    fn end(&self, reads: &Reads) -> Option<Reads> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.is_some().then(|| reads.take_over_at_end())
    }
}

/// Whether a thread of psstat runs, or waits only for a processor (`R` in proc_pid_stat(5)).
fn runs(thread: Pid) -> bool {
    let stat = std::fs::read(format!("/proc/self/task/{thread}/stat")).unwrap_or_default();
    let state = stat.iter().rposition(|&byte| byte == b')').and_then(|end| stat.get(end + 2));
    state == Some(&b'R')
}
