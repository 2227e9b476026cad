//! The one place that makes reads that can block.

use super::abandoned;
use psstat_core::model::units::{Pid, Uid};
use rustix::thread::gettid;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// At most this many threads are abandoned at a time because of processes. Each keeps the memory of a sample,
/// and costs the sample in which it is abandoned up to 50 ms.
const LIMIT: usize = 16;

/// At most this many of them because of processes of ordinary users. So they cannot use up the limit.
const LIMIT_OF_USERS: usize = 12;

/// At most this many of them because of processes of one ordinary user.
const LIMIT_OF_USER: usize = 4;

/// At most this many threads are abandoned at a time because of other files. They are usually on the same file
/// server.
const LIMIT_OF_FILES: usize = 4;

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A file of a process. A process of which one file does not answer is not asked for others.
    Process(Pid),
    /// A file elsewhere.
    File(PathBuf),
}

impl Target {
    fn pid(&self) -> Option<Pid> {
        match self {
            Target::Process(pid) => Some(*pid),
            Target::File(_) => None,
        }
    }
}

/// Why a read was not made, or did not come back in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// It does not answer. For a file of a process, with the name of the file that did not.
    NoAnswer(&'static str),
    /// It was not asked, because too much else does not answer.
    NotAsked,
}

/// Makes the reads of one thread that can block.
#[derive(Clone, Debug)]
pub struct Reads {
    shared: Arc<Shared>,
    /// The thread may go on as long as this is the turn.
    turn: u64,
    /// The id of the thread.
    thread: Pid,
}

#[derive(Debug, Default)]
struct Shared {
    turn: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The read that is under way.
    current: Option<Reading>,
    /// How many reads there have been.
    count: u64,
    /// What does not answer.
    stuck: Stuck,
    /// The processes that have answered at last.
    answered: Vec<Pid>,
}

/// What does not answer.
#[derive(Debug, Default)]
pub struct Stuck(BTreeMap<Target, Culprit>);

#[derive(Debug)]
struct Culprit {
    /// The name of the file of the process. Empty for a file elsewhere.
    name: &'static str,
    /// The user of the process, if known.
    owner: Option<Uid>,
}

impl Stuck {
    /// Whether so much does not answer that no process of the user of `pid` is asked. `owner` returns the
    /// user of a process.
    pub fn is_enough(&mut self, pid: Pid, owner: impl Fn(Pid) -> Option<Uid>) -> bool {
        const ROOT: Option<Uid> = Some(Uid(0));
        for (target, culprit) in &mut self.0 {
            culprit.owner = culprit.owner.or_else(|| owner(target.pid()?));
        }
        let user = owner(pid);
        let owners = || self.processes().map(|culprit| culprit.owner);
        let is_users = user != ROOT
            && (owners().filter(|owner| *owner == user).count() >= LIMIT_OF_USER
                || owners().filter(|owner| *owner != ROOT).count() >= LIMIT_OF_USERS);
        is_users || owners().count() >= LIMIT
    }

    /// The processes that do not answer.
    fn processes(&self) -> impl Iterator<Item = &Culprit> {
        self.0.iter().filter(|(target, _)| target.pid().is_some()).map(|(_, culprit)| culprit)
    }

    /// How many files elsewhere do not answer.
    fn count_files(&self) -> usize {
        self.0.len() - self.processes().count()
    }
}

/// A read that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    target: Target,
    name: &'static str,
    /// Tells it from all other reads.
    number: u64,
    /// The thread that waits for it.
    pub thread: Pid,
}

impl Reads {
    /// The first thread of a program reads.
    pub fn of_first_thread() -> Reads {
        Reads { shared: Arc::default(), turn: 0, thread: own_thread() }
    }

    /// This thread takes over from the one that waits for `reading`, unless that has come back.
    pub fn take_over(&self, reading: &Reading) -> Option<Reads> {
        let mut state = self.state();
        let reading = state.current.take_if(|current| current == reading)?;
        abandoned::note();
        let culprit = Culprit { name: reading.name, owner: None };
        state.stuck.0.insert(reading.target, culprit);
        let turn = self.shared.turn.fetch_add(1, Ordering::AcqRel) + 1;
        Some(Reads { shared: Arc::clone(&self.shared), turn, thread: own_thread() })
    }

    /// This thread takes over from the one that reads, whatever it does, to end the program.
    pub fn take_over_at_end(&self) -> Reads {
        abandoned::note();
        let turn = self.shared.turn.fetch_add(1, Ordering::AcqRel) + 1;
        Reads { shared: Arc::clone(&self.shared), turn, thread: own_thread() }
    }

    /// The read that is under way.
    pub fn under_way(&self) -> Option<Reading> {
        self.state().current.clone()
    }

    /// How many threads have been abandoned before this one.
    pub fn takeovers(&self) -> u64 {
        self.turn
    }

    /// How much does not answer.
    pub fn count_stuck(&self) -> usize {
        self.state().stuck.0.len()
    }

    /// The processes that do not answer, and those that have answered since this was last asked, sorted.
    pub fn to_ask_again(&self) -> Vec<Pid> {
        let mut state = self.state();
        let mut pids = std::mem::take(&mut state.answered);
        pids.extend(state.stuck.0.keys().filter_map(Target::pid));
        pids.sort_unstable();
        pids
    }

    /// Whether the thread may go on. If not, another has taken over.
    pub fn is_current(&self) -> bool {
        self.shared.turn.load(Ordering::Acquire) == self.turn
    }

    /// Reads the file `name` of a process. If something does not answer, `is_refused` decides whether this
    /// is read.
    ///
    /// # Errors
    /// [`Unanswered`] if a file of the process does not answer, or it was not asked.
    pub fn of_process<T>(
        &self,
        pid: Pid,
        name: &'static str,
        is_refused: impl FnOnce(&mut Stuck) -> bool,
        read: impl FnOnce() -> T,
    ) -> Result<T, Unanswered> {
        self.read(Target::Process(pid), name, is_refused, read)
    }

    /// Reads a file that belongs to no process.
    ///
    /// # Errors
    /// [`Unanswered`] if it does not answer, or it was not asked.
    pub fn of_file<T>(&self, path: &Path, read: impl FnOnce() -> T) -> Result<T, Unanswered> {
        let is_refused = |stuck: &mut Stuck| stuck.count_files() >= LIMIT_OF_FILES;
        self.read(Target::File(path.to_owned()), "", is_refused, read)
    }

    fn read<T>(
        &self,
        target: Target,
        name: &'static str,
        is_refused: impl FnOnce(&mut Stuck) -> bool,
        read: impl FnOnce() -> T,
    ) -> Result<T, Unanswered> {
        let mut state = self.state();
        if let Some(culprit) = state.stuck.0.get(&target) {
            return Err(Unanswered::NoAnswer(culprit.name));
        }
        if !self.is_current() || (!state.stuck.0.is_empty() && is_refused(&mut state.stuck)) {
            return Err(Unanswered::NotAsked);
        }
        state.count += 1;
        let (number, thread) = (state.count, self.thread);
        state.current = Some(Reading { target: target.clone(), name, number, thread });
        drop(state);
        let result = read();
        let mut state = self.state();
        if self.is_current() {
            state.current = None;
            return Ok(result);
        }
        // The thread was abandoned because of this read.
        state.stuck.0.remove(&target);
        state.answered.extend(target.pid());
        Err(Unanswered::NoAnswer(name))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id of this thread.
fn own_thread() -> Pid {
    Pid::new(gettid().as_raw_pid().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: fn(&mut Stuck) -> bool = |_| false;

    /// Has a read of that process abandoned by another thread while it is under way. Returns what the
    /// abandoned thread gets, and the reads of the thread that took over.
    fn abandon(reads: &Reads, pid: Pid) -> (Result<u32, Unanswered>, Reads) {
        let mut taken = None;
        let result = reads.of_process(pid, "cmdline", ANY, || {
            let reading = reads.under_way().expect("it is under way");
            taken = reads.take_over(&reading);
            let reads = taken.as_ref().expect("nobody else has");
            let again = reads.of_process(pid, "exe", ANY, || 1);
            assert_eq!(again, Err(Unanswered::NoAnswer("cmdline")), "it is not asked twice");
            assert_eq!(reads.count_stuck(), 1);
            assert_eq!(reads.to_ask_again(), [pid]);
            7
        });
        (result, taken.expect("it was abandoned"))
    }

    #[test]
    fn an_abandoned_thread_gets_nothing_and_may_not_go_on() {
        let first = Reads::of_first_thread();
        let (result, second) = abandon(&first, Pid::new(5));
        assert_eq!(result, Err(Unanswered::NoAnswer("cmdline")));
        assert!(!first.is_current() && second.is_current());
        let other = first.of_process(Pid::new(6), "cmdline", ANY, || 1);
        assert_eq!(other, Err(Unanswered::NotAsked));
    }

    #[test]
    fn what_has_answered_at_last_is_asked_again() {
        let (_, reads) = abandon(&Reads::of_first_thread(), Pid::new(5));
        assert_eq!(reads.count_stuck(), 0);
        assert_eq!(reads.to_ask_again(), [Pid::new(5)]);
        assert_eq!(reads.to_ask_again(), [], "once");
        assert_eq!(reads.of_process(Pid::new(5), "cmdline", ANY, || 1), Ok(1));
    }

    #[test]
    fn a_read_that_has_come_back_is_not_abandoned() {
        let reads = Reads::of_first_thread();
        let reading = reads.of_file(Path::new("/a"), || reads.under_way()).expect("it was asked");
        assert_eq!(reads.under_way(), None);
        assert!(reads.take_over(&reading.expect("it was under way")).is_none());
    }

    #[test]
    fn no_user_can_use_up_what_may_be_abandoned() {
        let mut stuck = Stuck::default();
        // The user of a process is its pid divided by 100.
        let owner = |pid: Pid| Some(Uid(pid.number() / 100));
        let is_enough = |stuck: &mut Stuck, pid| stuck.is_enough(Pid::new(pid), owner);
        let add = |stuck: &mut Stuck, pid| {
            let culprit = Culprit { name: "cmdline", owner: None };
            stuck.0.insert(Target::Process(Pid::new(pid)), culprit);
        };
        for pid in 100..104 {
            assert!(!is_enough(&mut stuck, pid), "{pid}");
            add(&mut stuck, pid);
        }
        assert!(is_enough(&mut stuck, 199), "four of user 1 do not answer");
        for pid in [200, 201, 202, 203, 300, 301, 302, 303] {
            assert!(!is_enough(&mut stuck, pid), "{pid}");
            add(&mut stuck, pid);
        }
        assert!(is_enough(&mut stuck, 400), "twelve of ordinary users do not answer");
        for pid in 1..5 {
            assert!(!is_enough(&mut stuck, pid), "root is asked: {pid}");
            add(&mut stuck, pid);
        }
        assert!(is_enough(&mut stuck, 9));
    }

    #[test]
    fn files_do_not_count_as_processes() {
        let mut stuck = Stuck::default();
        for number in 0..LIMIT {
            let culprit = Culprit { name: "", owner: None };
            stuck.0.insert(Target::File(format!("/mnt/{number}").into()), culprit);
        }
        assert!(!stuck.is_enough(Pid::new(5), |_| Some(Uid(1))));
        assert!(!stuck.is_enough(Pid::new(5), |_| None));
    }
}
