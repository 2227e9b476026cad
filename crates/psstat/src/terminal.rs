//! The terminal that standard output may be.

use psstat_core::emit::table::Screen;
use rustix::termios::tcgetwinsize;
use std::ffi::OsStr;
use std::io::IsTerminal;

/// The width of a terminal that does not know its own, such as a serial line.
const USUAL_COLUMNS: usize = 80;

/// What is known about the terminal. The default is that there is none.
#[derive(Debug, Default)]
pub struct Terminal {
    screen: Screen,
}

impl Terminal {
    /// Finds out whether standard output is a terminal, and which.
    pub fn of_stdout() -> Terminal {
        if !std::io::stdout().is_terminal() {
            return Terminal::default();
        }
        let has_colors = shows_colors(|name| std::env::var_os(name));
        Terminal { screen: Screen { columns: Some(USUAL_COLUMNS), has_colors } }
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.screen.columns.is_some()
    }

    /// The screen as it is now: its window can have changed.
    pub fn screen(&mut self) -> Screen {
        if self.screen.columns.is_some()
            && let Ok(size) = tcgetwinsize(rustix::stdio::stdout())
            && size.ws_col > 0
        {
            self.screen.columns = Some(size.ws_col.into());
        }
        self.screen
    }
}

/// Whether the terminal shows colors, and nobody has asked for none (<https://no-color.org>). `variable` returns
/// the value of a variable of the environment.
pub fn shows_colors<S: AsRef<OsStr>>(variable: impl Fn(&str) -> Option<S>) -> bool {
    let value = |name: &str| variable(name).filter(|value| !value.as_ref().is_empty());
    value("NO_COLOR").is_none() && value("TERM").is_some_and(|term| has_colors(term.as_ref()))
}

/// Whether terminals of that name have colors.
fn has_colors(term: &OsStr) -> bool {
    let term = term.as_encoded_bytes();
    let begins = |start: &str| term.starts_with(start.as_bytes());
    let ends = |end: &str| term.ends_with(end.as_bytes());
    !(term == b"dumb" || begins("vt1") || begins("vt2") || ends("-m") || ends("-mono"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_are_for_terminals_that_have_them() {
        for (no_color, term, expected) in [
            (None, Some("xterm"), true),
            (Some(""), Some("xterm"), true),
            (Some("1"), Some("xterm"), false),
            (None, Some("dumb"), false),
            (None, Some("vt100"), false),
            (None, Some("vt220"), false),
            (None, Some("xterm-mono"), false),
            (None, Some("ansi-m"), false),
            (None, Some(""), false),
            (None, None, false),
        ] {
            let shown = shows_colors(|name| if name == "TERM" { term } else { no_color });
            assert_eq!(shown, expected, "{no_color:?} {term:?}");
        }
    }
}
