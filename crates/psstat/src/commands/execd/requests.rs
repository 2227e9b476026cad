//! Waits for requests: from standard input, from signals and from the interval.

use super::signals::{Signals, drain};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::io::IsTerminal;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// How long to wait if the kernel refuses to poll.
const PAUSE: Duration = Duration::from_millis(100);

/// The requests that have arrived, and where more can come from.
pub struct Requests {
    signals: Signals,
    interval: Option<Duration>,
    /// Whether standard input can still bring requests.
    has_input: bool,
    /// Whether the end of standard input ends the process.
    ends_with_input: bool,
    /// Whether somebody reads standard output who can go away.
    has_reader: bool,
    /// When the interval ends. `None` if there is no interval, or it ends later than the clock can
    /// count.
    due: Option<Instant>,
    is_requested: bool,
    has_ended: bool,
}

impl Requests {
    /// No requests yet. The first interval begins now. `is_printed` says whether samples go to standard output.
    pub fn new(signals: Signals, interval: Option<Duration>, is_printed: bool) -> Requests {
        let due = interval.and_then(|interval| Instant::now().checked_add(interval));
        // Whoever is at the other end of such an input has gone. Any other input, such as /dev/null, says
        // nothing when it ends.
        let ends_with_input = interval.is_none() || has_other_end(rustix::stdio::stdin());
        let (is_requested, has_ended) = (false, false);
        Requests {
            signals,
            interval,
            has_input: true,
            ends_with_input,
            has_reader: is_printed && has_other_end(rustix::stdio::stdout()),
            due,
            is_requested,
            has_ended,
        }
    }

    /// Whether the process has been told to end, by a signal or the end of standard input, or nobody reads
    /// standard output any more.
    pub fn have_ended(&self) -> bool {
        self.has_ended || self.signals.stop.is_set()
    }

    /// Waits for a request, and takes all that have arrived as one. Returns `false` at the end.
    pub fn wait_for_one(&mut self) -> bool {
        loop {
            if self.have_ended() {
                return false;
            }
            if self.is_due() || std::mem::take(&mut self.is_requested) {
                self.is_requested = false;
                return true;
            }
            let left = self.due.map(|due| due.saturating_duration_since(Instant::now()));
            // poll(2) always reports that the reader has gone, so no event is asked for.
            let reader = self.has_reader.then(|| (rustix::stdio::stdout(), PollFlags::empty()));
            self.has_ended |= self.poll(reader, left);
        }
    }

    /// Whether the interval has ended. The next one begins when this one should have ended, so that
    /// samples do not drift. Intervals that were missed are skipped.
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

    /// Waits up to `timeout` for requests, the end, or an event of `output`. Returns whether `output` has it, or
    /// its reader has gone.
    fn poll(
        &mut self,
        output: Option<(BorrowedFd<'_>, PollFlags)>,
        timeout: Option<Duration>,
    ) -> bool {
        let stdin = rustix::stdio::stdin();
        let timeout = timeout.map(timespec);
        let mut polled = vec![
            PollFd::new(&self.signals.request, PollFlags::IN),
            PollFd::new(&self.signals.end, PollFlags::IN),
        ];
        polled.extend(output.as_ref().map(|(output, event)| PollFd::new(output, *event)));
        let at_output = 2;
        let input = polled.len();
        polled.extend(self.has_input.then(|| PollFd::new(&stdin, PollFlags::IN)));
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) => {}
            // The next call finds the byte that the signal wrote.
            Err(Errno::INTR) => return false,
            Err(_) => {
                drop(polled);
                self.wait_without_poll();
                return false;
            }
        }
        let is_ready = |index: usize| polled.get(index).is_some_and(|fd| !fd.revents().is_empty());
        let [request, end, input] = [0, 1, input].map(is_ready);
        let is_output_ready = output.is_some() && is_ready(at_output);
        drop(polled);
        if input {
            self.read_input(stdin);
        }
        if request {
            self.is_requested |= drain(&self.signals.request);
        }
        if end {
            self.has_ended |= drain(&self.signals.end);
        }
        is_output_ready
    }

    /// Waits a moment, and looks for signals. The kernel refuses to poll, for lack of memory or because the
    /// limit of open files has become smaller than what is polled (poll(2)).
    fn wait_without_poll(&mut self) {
        std::thread::sleep(PAUSE);
        self.is_requested |= drain(&self.signals.request);
        self.has_ended |= drain(&self.signals.end);
    }

    /// Waits up to `timeout` for room in `output`. Returns whether it has room. Collects requests
    /// meanwhile. After the end it ignores all other descriptors, because those that stay readable
    /// would wake it again and again.
    pub fn wait_for_room(&mut self, output: BorrowedFd<'_>, timeout: Option<Duration>) -> bool {
        if !self.has_ended {
            return self.poll(Some((output, PollFlags::OUT)), timeout);
        }
        let timeout = timeout.map(timespec);
        match poll(&mut [PollFd::new(&output, PollFlags::OUT)], timeout.as_ref()) {
            Ok(ready) => ready > 0,
            Err(Errno::INTR) => false,
            Err(_) => {
                std::thread::sleep(PAUSE);
                false
            }
        }
    }

    /// Reads standard input: each line feed is a request.
    fn read_input(&mut self, stdin: BorrowedFd<'_>) {
        let mut buffer = [0; 4096];
        match rustix::io::read(stdin, &mut buffer) {
            Ok(count) if count > 0 => self.is_requested |= buffer[..count].contains(&b'\n'),
            Err(Errno::INTR | Errno::AGAIN) => {}
            // No more requests can arrive.
            Ok(_) | Err(_) => {
                self.has_input = false;
                self.has_ended |= self.ends_with_input;
            }
        }
    }
}

/// Whether it is a pipe, a socket or a terminal.
fn has_other_end(stream: BorrowedFd<'_>) -> bool {
    let stat = rustix::fs::fstat(stream);
    let kind = stat.map(|stat| FileType::from_raw_mode(stat.st_mode));
    matches!(kind, Ok(FileType::Fifo | FileType::Socket)) || stream.is_terminal()
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::Stop;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_late_sample_does_not_shift_the_next_interval() {
        let interval = Duration::from_secs(10);
        let pair = || UnixStream::pair().expect("a pair of sockets").0;
        let signals = Signals { request: pair(), end: pair(), stop: Stop::default() };
        let mut requests = Requests::new(signals, Some(interval), true);
        assert!(!requests.is_due());
        for (late, steps) in [(0, 1), (9, 1), (11, 2), (35, 4)] {
            let due = Instant::now() - Duration::from_secs(late);
            requests.due = Some(due);
            assert!(requests.is_due(), "{late} s late");
            assert_eq!(requests.due, Some(due + interval * steps), "{late} s late");
            assert!(!requests.is_due(), "missed intervals are skipped");
        }
    }
}
