//! The terminal: how it is prepared, and how it gets back what it was.
//!
//! It is opened anew, so that it can be written without ever blocking and nobody else notices. It is restored
//! when [`Terminal`] is dropped, and by the hook for panics, because a panic aborts the program.

use crate::error::TerminalError;
use crate::sys::retry;
use crate::terminal::shows_colors;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Whether it shows colors, and nobody has asked for none (<https://no-color.org>).
    pub colors: bool,
    /// Whether it shows only ASCII.
    pub only_ascii: bool,
}

/// Reads what the environment says of the terminal. `variable` returns the value of a variable.
///
/// # Errors
/// [`TerminalError::Dumb`] if it cannot move its cursor.
pub fn abilities<S: AsRef<OsStr>>(
    variable: impl Fn(&str) -> Option<S>,
) -> Result<Abilities, TerminalError> {
    let value = |name: &str| {
        let value = variable(name).map(|value| value.as_ref().to_string_lossy().into_owned());
        value.filter(|value| !value.is_empty())
    };
    let term = value("TERM");
    match term.as_deref() {
        None => return Err(TerminalError::Dumb("")),
        Some("dumb") => return Err(TerminalError::Dumb("dumb")),
        Some(_) => {}
    }
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(value);
    let locale = locale.unwrap_or_default().to_lowercase();
    let is_utf8 = locale.contains("utf-8") || locale.contains("utf8");
    Ok(Abilities {
        colors: shows_colors(&variable),
        // The font of the console has no eighths of a block.
        only_ascii: !is_utf8 || term.as_deref() == Some("linux"),
    })
}

/// Alternate screen, no cursor.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l\x1b[0m\x1b[2J";
/// The opposite.
const LEAVE: &[u8] = b"\x1b[0m\x1b[2J\x1b[?25h\x1b[?1049l";

/// A terminal that cannot be used.
fn in_use(errno: Errno) -> TerminalError {
    TerminalError::Use(errno.into())
}

/// How long the end of the program waits for a terminal that takes no output.
const PATIENCE: Duration = Duration::from_millis(500);

/// The terminal and its modes before psstat changed them. `None` while psstat does not use it.
static BEFORE: Mutex<Option<(Arc<OwnedFd>, Termios)>> = Mutex::new(None);

/// A terminal that psstat draws on. It is restored when this is dropped.
#[derive(Debug)]
pub struct Terminal {
    tty: Arc<OwnedFd>,
}

impl Terminal {
    /// Opens the terminal of standard output.
    ///
    /// # Errors
    /// [`TerminalError`] if it is none, or cannot be opened.
    pub fn open() -> Result<Terminal, TerminalError> {
        if !isatty(rustix::stdio::stdout()) {
            return Err(TerminalError::NoTerminal);
        }
        let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let open = |path: &str| retry(|| rustix::fs::open(path, flags, Mode::empty()));
        // After su(1), the user may not open the terminal by its name.
        let tty = open("/proc/self/fd/1").or_else(|_| open("/dev/tty"));
        Ok(Terminal { tty: Arc::new(tty.map_err(in_use)?) })
    }

    /// The terminal, to read, poll and write.
    pub fn tty(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.tty)
    }

    /// Prepares the terminal: keys come at once, and the screen is psstat's.
    ///
    /// # Errors
    /// [`TerminalError`] if the terminal refuses.
    pub fn enter(&self) -> Result<(), TerminalError> {
        let modes = retry(|| tcgetattr(&self.tty)).map_err(in_use)?;
        let mut before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner);
        // After SIGCONT, the modes may be those of psstat or those of the shell. The first ones are kept.
        let (_, modes) = before.get_or_insert_with(|| (self.tty(), modes));
        let mut raw = modes.clone();
        raw.make_raw();
        retry(|| tcsetattr(&self.tty, OptionalActions::Now, &raw)).map_err(in_use)?;
        write(&self.tty, ENTER, || false).map_err(in_use)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        leave();
    }
}

/// Restores the terminal, if psstat uses it.
pub fn leave() {
    // Whoever holds the lock for long is in the middle of a panic.
    let Ok(mut before) = BEFORE.try_lock() else { return };
    let Some((tty, modes)) = before.take() else { return };
    let begin = Instant::now();
    // If the terminal has gone, there is nothing to restore.
    let _ = write(&tty, LEAVE, || begin.elapsed() > PATIENCE);
    // Not TCSADRAIN: that would wait for a terminal that takes no output.
    let _ = retry(|| tcsetattr(&tty, OptionalActions::Now, &modes));
}

/// Restores the terminal before a panic is reported and ends the program, on whatever thread.
pub fn restore_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        leave();
        report(panic);
        std::process::abort();
    }));
}

/// The columns and lines of a terminal. 80 and 24 if it does not know, as a serial line.
pub fn size(tty: &OwnedFd) -> (u16, u16) {
    let size = tcgetwinsize(tty).map(|size| (size.ws_col, size.ws_row)).unwrap_or_default();
    (if size.0 == 0 { 80 } else { size.0 }, if size.1 == 0 { 24 } else { size.1 })
}

/// Writes to the terminal, and waits for room until `is_over`.
///
/// # Errors
/// The error of the terminal, or [`Errno::TIMEDOUT`].
pub fn write(tty: &OwnedFd, mut bytes: &[u8], is_over: impl Fn() -> bool) -> Result<(), Errno> {
    const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    while !bytes.is_empty() {
        match rustix::io::write(tty, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::AGAIN | Errno::INTR) if is_over() => return Err(Errno::TIMEDOUT),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                // An error is found by the next write.
                let _ = poll(&mut [PollFd::new(tty, PollFlags::OUT)], Some(&LOOK));
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &'static str)]) -> Option<Abilities> {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name);
        abilities(|name| variable(name).map(|(_, value)| *value)).ok()
    }

    #[test]
    fn the_environment_says_what_a_terminal_can() {
        let abilities = |colors, only_ascii| Some(Abilities { colors, only_ascii });
        let xterm = ("TERM", "xterm-256color");
        assert_eq!(of(&[xterm, ("LANG", "de_DE.UTF-8")]), abilities(true, false));
        assert_eq!(of(&[xterm, ("LANG", "C.utf8"), ("LC_ALL", "")]), abilities(true, false));
        assert_eq!(of(&[xterm, ("LANG", "C.utf8"), ("LC_ALL", "C")]), abilities(true, true));
        assert_eq!(of(&[xterm]), abilities(true, true));
        assert_eq!(of(&[xterm, ("NO_COLOR", "1")]), abilities(false, true));
        assert_eq!(of(&[("TERM", "linux"), ("LANG", "C.UTF-8")]), abilities(true, true));
        assert_eq!(of(&[("TERM", "vt100"), ("LANG", "C.UTF-8")]), abilities(false, false));
        assert_eq!(of(&[("TERM", "dumb")]), None);
        assert_eq!(of(&[]), None);
    }
}
