//! The terminal that standard output may be.

use psstat_core::emit::table::Screen;
use rustix::termios::tcgetwinsize;
use std::ffi::OsString;
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
        let has_colors = shows_colors(std::env::var_os("NO_COLOR"), std::env::var_os("TERM"));
        Terminal { screen: Screen { columns: Some(USUAL_COLUMNS), has_colors } }
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

/// Whether a terminal of that kind shows colors, and nobody has asked for none (<https://no-color.org>).
fn shows_colors(no_color: Option<OsString>, term: Option<OsString>) -> bool {
    let is_refused = no_color.is_some_and(|value| !value.is_empty());
    !is_refused && term.is_some_and(|term| !term.is_empty() && term != "dumb")
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
            (None, Some(""), false),
            (None, None, false),
        ] {
            let shown = shows_colors(no_color.map(Into::into), term.map(Into::into));
            assert_eq!(shown, expected, "{no_color:?} {term:?}");
        }
    }
}
