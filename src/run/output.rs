//! Standard output: whole lines or nothing.

use crate::error::Error;
use std::io::{ErrorKind, Write};

/// Writes all of `text` at once. A reader that has gone is no error, but the answer is no: there is
/// nobody to tell anything.
///
/// # Errors
/// [`Error::Failed`] for anything else, such as a full disk.
pub fn print(text: &[u8]) -> Result<bool, Error> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Error::Failed(format!("cannot write to standard output: {error}"))),
    }
}
