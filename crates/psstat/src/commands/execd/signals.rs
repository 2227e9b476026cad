//! Signals, each turned into a byte on a socket, so that poll(2) can wait for signals and standard
//! input together.

use crate::deadline::Stop;
use crate::error::Error;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use std::os::unix::net::UnixStream;

/// The receiving ends of the sockets that the signal handlers write to.
#[derive(Debug)]
pub struct Signals {
    /// Readable after SIGHUP, SIGUSR1 and SIGUSR2.
    pub(super) request: UnixStream,
    /// Readable after SIGTERM and SIGINT.
    pub(super) end: UnixStream,
    /// Is set by SIGTERM and SIGINT too, and can be asked at any time.
    pub(super) stop: Stop,
}

impl Signals {
    /// Installs the handlers. Call this before anything else: Telegraf can send a signal at any
    /// time, and a signal without a handler ends the process.
    ///
    /// # Errors
    /// [`Error::Signals`] if a handler cannot be installed.
    pub fn install() -> Result<Signals, Error> {
        let listen = |signals: &[i32]| -> std::io::Result<UnixStream> {
            let (receiver, sender) = UnixStream::pair()?;
            receiver.set_nonblocking(true)?;
            for &signal in signals {
                signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?;
            }
            Ok(receiver)
        };
        let request = listen(&[SIGHUP, SIGUSR1, SIGUSR2]).map_err(Error::Signals)?;
        let end = listen(&[SIGTERM, SIGINT]).map_err(Error::Signals)?;
        let stop = Stop::default();
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register(signal, stop.flag()).map_err(Error::Signals)?;
        }
        Ok(Signals { request, end, stop })
    }
}

/// Reads all bytes that signals have written. Returns whether there were any.
pub fn drain(stream: &UnixStream) -> bool {
    let mut buffer = [0; 64];
    let mut found = false;
    while rustix::io::read(stream, &mut buffer).is_ok_and(|count| count > 0) {
        found = true;
    }
    found
}
