//! The resident job: Telegraf's `execd`.
//!
//! One sample is printed per request: a line feed on standard input, SIGHUP, SIGUSR1, SIGUSR2, or
//! the end of an interval. Requests that come while a sample is taken are answered by one more.
//! The end of standard input, SIGTERM, SIGINT and a reader that has gone end it.

use crate::deadline::Deadline;
use crate::error::Error;
use crate::files::output::{OutputError, replace_file};
use crate::job::Job;
use crate::machine::Machine;
use crate::messages::{self, Messages};
use psstat_core::engine::Engine;
use psstat_core::state::State;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use std::collections::HashSet;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long a slow reader is waited for once the end has been asked for: Telegraf allows a second
/// in all.
const GRACE: Duration = Duration::from_millis(700);

/// Signals, each turned into a byte that can be waited for together with standard input.
#[derive(Debug)]
pub struct Signals {
    ask: UnixStream,
    end: UnixStream,
}

impl Signals {
    /// Installs the handlers. To be called before anything else: Telegraf signals when it likes,
    /// and a signal without a handler would end the process.
    ///
    /// # Errors
    /// [`Error::Signals`] if the system refuses.
    pub fn install() -> Result<Signals, Error> {
        let listen = |signals: &[i32]| -> std::io::Result<UnixStream> {
            let (receiver, sender) = UnixStream::pair()?;
            receiver.set_nonblocking(true)?;
            for &signal in signals {
                signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?;
            }
            Ok(receiver)
        };
        Ok(Signals {
            ask: listen(&[SIGHUP, SIGUSR1, SIGUSR2]).map_err(Error::Signals)?,
            end: listen(&[SIGTERM, SIGINT]).map_err(Error::Signals)?,
        })
    }
}

/// Prints samples until the end is asked for. The first sample is taken at once and printed
/// nowhere: it is what the first answer is compared with.
///
/// # Errors
/// Where the first sample cannot be taken or written, or standard output cannot be written. Any
/// later sample that fails is said on standard error and left out.
pub fn run(job: Job, signals: Signals) -> Result<(), Error> {
    let Job { plan, mounts, output, interval, multi_threaded, timeout, .. } = job;
    let mut requests = Requests::new(signals, interval);
    let machine = Machine::open(&mounts, multi_threaded, Deadline::after(timeout))?.resident();
    let mut engine = Engine::new(machine, plan);
    let mut already_reported = HashSet::new();
    let mut state: Option<State> = None;
    loop {
        let deadline = Deadline::after(timeout);
        engine.kernel_mut().set_deadline(deadline);
        let is_first = state.is_none();
        let written = match engine.sample(state.as_ref()) {
            Err(error) => Err(Error::of_sample(error, timeout)),
            Ok(sample) => {
                let mut messages = Messages::default();
                messages.add(&sample.diagnostics);
                messages.drop_repeated(&mut already_reported);
                messages.write();
                let text = engine.plan().text(&sample.reports, sample.wall);
                state = Some(sample.state);
                match &output {
                    Some(path) => replace_file(path, text.as_bytes(), deadline.time_left())
                        .map_err(Error::from),
                    None if write(text.as_bytes(), &mut requests)? => Ok(()),
                    None => return Ok(()),
                }
            }
        };
        match written {
            Ok(()) => {}
            Err(error) if is_first => return Err(error),
            Err(error) => messages::write_error(&error),
        }
        if !requests.wait_for_one() {
            return Ok(());
        }
    }
}

/// What has been asked for, and from where more may come.
struct Requests {
    signals: Signals,
    interval: Option<Duration>,
    /// When the next sample is due by itself.
    due: Option<Instant>,
    asked: bool,
    ended: bool,
}

impl Requests {
    fn new(signals: Signals, interval: Option<Duration>) -> Requests {
        // An interval that is longer than the clock goes never ends.
        let due = interval.and_then(|interval| Instant::now().checked_add(interval));
        Requests { signals, interval, due, asked: false, ended: false }
    }

    /// Waits for a request and takes it, with all that have piled up. False: the end.
    fn wait_for_one(&mut self) -> bool {
        loop {
            if self.ended {
                return false;
            }
            if self.is_due() || std::mem::take(&mut self.asked) {
                self.asked = false;
                return true;
            }
            let left = self.due.map(|due| due.saturating_duration_since(Instant::now()));
            self.listen(None, left);
        }
    }

    /// Whether the interval has come to its end. The next begins where this one should have ended,
    /// so that the samples do not drift; such as were missed are left out.
    fn is_due(&mut self) -> bool {
        let (Some(due), Some(interval)) = (self.due, self.interval) else { return false };
        let now = Instant::now();
        if now < due {
            return false;
        }
        let missed = now.duration_since(due).as_nanos() / interval.as_nanos();
        let steps = u32::try_from(missed).unwrap_or(u32::MAX).saturating_add(1);
        self.due = due.checked_add(interval.saturating_mul(steps));
        true
    }

    /// Waits, at most so long, for requests, the end, or room in `output`. Answers whether there
    /// is room.
    fn listen(&mut self, output: Option<BorrowedFd<'_>>, timeout: Option<Duration>) -> bool {
        let stdin = rustix::stdio::stdin();
        let timeout = timeout.map(timespec);
        let mut polled = vec![
            PollFd::new(&stdin, PollFlags::IN),
            PollFd::new(&self.signals.ask, PollFlags::IN),
            PollFd::new(&self.signals.end, PollFlags::IN),
        ];
        polled.extend(output.as_ref().map(|output| PollFd::new(output, PollFlags::OUT)));
        if poll(&mut polled, timeout.as_ref()).is_err() {
            // A signal: it has left its byte, which the next call finds.
            return false;
        }
        let is_ready = |at: usize| polled.get(at).is_some_and(|fd| !fd.revents().is_empty());
        let [input, ask, end, room] = [0, 1, 2, 3].map(is_ready);
        drop(polled);
        if input {
            self.read_requests(stdin);
        }
        if ask {
            self.asked |= drain(&self.signals.ask);
        }
        if end {
            self.ended |= drain(&self.signals.end);
        }
        room
    }

    /// Waits for room in `output`, or until it is of no use to write there. Once the end has been
    /// asked for there is nothing more to hear, and what is not listened to cannot wake.
    fn await_room(&mut self, output: BorrowedFd<'_>, timeout: Option<Duration>) -> bool {
        if !self.ended {
            return self.listen(Some(output), timeout);
        }
        let timeout = timeout.map(timespec);
        poll(&mut [PollFd::new(&output, PollFlags::OUT)], timeout.as_ref()).is_ok_and(|n| n > 0)
    }

    fn read_requests(&mut self, stdin: BorrowedFd<'_>) {
        let mut buffer = [0; 4096];
        match rustix::io::read(stdin, &mut buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => self.asked |= buffer[..count].contains(&b'\n'),
            Err(Errno::INTR | Errno::AGAIN) => {}
            // Nobody can ask any more.
            Err(_) => self.ended = true,
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

/// Takes all that a signal has left.
fn drain(stream: &UnixStream) -> bool {
    let mut buffer = [0; 64];
    let mut found = false;
    while rustix::io::read(stream, &mut buffer).is_ok_and(|count| count > 0) {
        found = true;
    }
    found
}

/// What a pipe takes in one piece (pipe(7)): where it has room at all it has room for this.
const PIPE_BUF: usize = 4096;

/// Writes whole lines to standard output, and meanwhile listens to requests. False where it is of
/// no use to go on: the reader has gone, or does not read, and the end has been asked for.
///
/// It is never held up in a write. To set the pipe not to block would not do: the flag is shared
/// with whoever else has the pipe, and to open the pipe once more takes its owner.
fn write(mut text: &[u8], requests: &mut Requests) -> Result<bool, Error> {
    let stdout = rustix::stdio::stdout();
    let mut deadline = None;
    while !text.is_empty() {
        if requests.ended && deadline.is_none() {
            deadline = Some(Instant::now() + GRACE);
        }
        let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
        if !requests.await_room(stdout, left) {
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
            continue;
        }
        match rustix::io::write(stdout, first_piece(text)) {
            Ok(count) => text = &text[count..],
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(Errno::PIPE) => return Ok(false),
            Err(errno) => {
                return Err(OutputError::Stdout(errno.into()).into());
            }
        }
    }
    Ok(true)
}

/// As many whole lines as a pipe takes in one piece, so that what must be left out for a reader
/// that does not read is never half a line; of a longer line, a part.
fn first_piece(text: &[u8]) -> &[u8] {
    let piece = &text[..text.len().min(PIPE_BUF)];
    let end = piece.iter().rposition(|&byte| byte == b'\n').map_or(piece.len(), |last| last + 1);
    &piece[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_interval_ends_on_the_beat_however_late_this_one_is_noticed() {
        let interval = Duration::from_secs(10);
        let pair = || UnixStream::pair().expect("a pair of sockets").0;
        let signals = Signals { ask: pair(), end: pair() };
        let mut requests = Requests::new(signals, Some(interval));
        assert!(!requests.is_due());
        for (late, beats) in [(0, 1), (9, 1), (11, 2), (35, 4)] {
            let due = Instant::now() - Duration::from_secs(late);
            requests.due = Some(due);
            assert!(requests.is_due(), "{late} s late");
            assert_eq!(requests.due, Some(due + interval * beats), "{late} s late");
            assert!(!requests.is_due(), "those that were missed are left out");
        }
    }

    #[test]
    fn pieces_are_whole_lines_where_they_can_be() {
        assert_eq!(first_piece(b"a\nbc\n"), b"a\nbc\n");
        let long = [vec![b'x'; PIPE_BUF - 1], b"\ny\n".to_vec()].concat();
        assert_eq!(first_piece(&long).len(), PIPE_BUF);
        assert_eq!(first_piece(&[b"y\n".to_vec(), long].concat()), b"y\n");
        assert_eq!(first_piece(&[b'x'; 2 * PIPE_BUF]).len(), PIPE_BUF);
    }
}
