//! The terminal that standard output is, if it is one.

use rustix::stdio::stdout;
use rustix::termios::{isatty, tcgetwinsize};

/// The number of columns of the terminal. `None` if standard output is no terminal, or nobody knows.
pub fn width() -> Option<usize> {
    if !isatty(stdout()) {
        return None;
    }
    let columns = tcgetwinsize(stdout()).ok()?.ws_col;
    (columns > 0).then_some(usize::from(columns))
}
