//! Standard output: whole lines or nothing.

use crate::error::Error;
use std::io::{ErrorKind, Write};

/// Writes all of `text` at once. A reader that has gone is no error: there is nobody to tell.
///
/// # Errors
/// [`Error::Failed`] for anything else, such as a full disk.
pub fn print(text: &[u8]) -> Result<(), Error> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::Failed(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}
