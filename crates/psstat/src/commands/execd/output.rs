//! Writes samples to standard output without ever blocking in a write.

use super::requests::Requests;
use crate::error::Error;
use crate::files::output::OutputError;
use rustix::io::Errno;
use std::time::{Duration, Instant};

/// How long to wait for a slow reader after the end of input or a signal to end. Telegraf waits one
/// second for the whole process to end, and that includes the wait in [`ending`](crate::ending).
const GRACE: Duration = Duration::from_millis(600);

/// A pipe that poll(2) calls writable has room for this many bytes (pipe(7)).
const PIPE_BUF: usize = 4096;

/// Writes `text`, which consists of whole lines, to standard output. Collects requests meanwhile.
/// Returns `false` if there is no reason to go on: the reader has closed its end, or it does not
/// read and the process has been told to end.
///
/// Each write is made only when there is room, so it never blocks. `O_NONBLOCK` is not an
/// alternative: it would change the pipe for every process that shares it, and only the owner of a
/// pipe can open it again.
///
/// # Errors
/// [`OutputError::Stdout`] if standard output cannot be written for another reason.
pub fn print(mut text: &[u8], requests: &mut Requests) -> Result<bool, Error> {
    let stdout = rustix::stdio::stdout();
    let mut deadline = None;
    while !text.is_empty() {
        if requests.have_ended() && deadline.is_none() {
            deadline = Some(Instant::now() + GRACE);
        }
        let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
        if !requests.wait_for_room(stdout, left) {
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

/// As many whole lines as fit in [`PIPE_BUF`], so that no line is cut if the rest is never written.
/// If the first line is longer, a part of it.
fn first_piece(text: &[u8]) -> &[u8] {
    let piece = &text[..text.len().min(PIPE_BUF)];
    let end = piece.iter().rposition(|&byte| byte == b'\n').map_or(piece.len(), |last| last + 1);
    &piece[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_ends_with_a_line_if_one_fits() {
        assert_eq!(first_piece(b"a\nbc\n"), b"a\nbc\n");
        let long = [vec![b'x'; PIPE_BUF - 1], b"\ny\n".to_vec()].concat();
        assert_eq!(first_piece(&long).len(), PIPE_BUF);
        assert_eq!(first_piece(&[b"y\n".to_vec(), long].concat()), b"y\n");
        assert_eq!(first_piece(&[b'x'; 2 * PIPE_BUF]).len(), PIPE_BUF);
    }
}
