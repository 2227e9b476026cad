//! Waits for keys, signals and news of the sampler together.

use crate::error::Error;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{
    SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH,
};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long to wait if the kernel refuses to poll.
const PAUSE: Duration = Duration::from_millis(100);

/// What can happen.
#[derive(Debug)]
pub struct Events {
    tty: Arc<OwnedFd>,
    /// Readable after a signal, and when there are news.
    awake: UnixStream,
    wake: UnixStream,
    end: Arc<AtomicBool>,
    suspend: Arc<AtomicBool>,
    /// The terminal must be prepared again.
    resumed: Arc<AtomicBool>,
}

/// What has happened.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Happened {
    /// What was typed.
    pub bytes: Vec<u8>,
    /// The program is to end, or the terminal has gone.
    pub end: bool,
    /// The program is to stop for a while.
    pub suspend: bool,
    /// The program goes on after it was stopped.
    pub resumed: bool,
}

impl Events {
    /// Installs handlers for all signals that would leave the terminal as it is now.
    ///
    /// # Errors
    /// [`Error::Signals`] if a handler cannot be installed.
    pub fn install(tty: Arc<OwnedFd>) -> Result<Events, Error> {
        let install = || {
            let (awake, wake) = UnixStream::pair()?;
            awake.set_nonblocking(true)?;
            wake.set_nonblocking(true)?;
            let [end, suspend, resumed, other] = [(); 4].map(|()| Arc::new(AtomicBool::new(false)));
            for (flag, signals) in [
                (&end, &[SIGTERM, SIGINT, SIGHUP, SIGQUIT][..]),
                (&suspend, &[SIGTSTP]),
                (&resumed, &[SIGCONT]),
                // Without a handler, the last two would end the program.
                (&other, &[SIGWINCH, SIGUSR1, SIGUSR2]),
            ] {
                for &signal in signals {
                    // The flag is set before the byte is written.
                    signal_hook::flag::register(signal, Arc::clone(flag))?;
                    signal_hook::low_level::pipe::register(signal, wake.try_clone()?)?;
                }
            }
            Ok(Events { tty, awake, wake, end, suspend, resumed })
        };
        install().map_err(Error::Signals)
    }

    /// Wakes whoever waits.
    ///
    /// # Errors
    /// [`Error::Signals`] if there are too many open files.
    pub fn waker(&self) -> Result<UnixStream, Error> {
        self.wake.try_clone().map_err(Error::Signals)
    }

    /// Is set when the program is to end.
    pub fn end(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.end)
    }

    /// Waits until something happens, or for that long. Whoever calls this looks for news afterwards.
    pub fn wait(&self, timeout: Option<Duration>) -> Happened {
        let mut polled =
            [PollFd::new(&self.tty, PollFlags::IN), PollFd::new(&self.awake, PollFlags::IN)];
        let timeout = timeout.map(|time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        });
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => std::thread::sleep(PAUSE),
        }
        // Bytes in the socket only wake. What has happened is told by the flags.
        while rustix::io::read(&self.awake, &mut [0; 64]).is_ok_and(|count| count > 0) {}
        let mut happened = Happened {
            suspend: self.suspend.swap(false, Ordering::Relaxed),
            resumed: self.resumed.swap(false, Ordering::Relaxed),
            ..Happened::default()
        };
        let has_gone = self.read_keys(&mut happened.bytes).is_err();
        happened.end = has_gone || self.end.load(Ordering::Relaxed);
        happened
    }

    /// Reads what was typed.
    ///
    /// # Errors
    /// If the terminal has gone.
    fn read_keys(&self, bytes: &mut Vec<u8>) -> Result<(), Errno> {
        let mut buffer = [0; 1024];
        match rustix::io::read(&self.tty, &mut buffer) {
            Ok(0) => Err(Errno::IO),
            Ok(count) => {
                bytes.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}
