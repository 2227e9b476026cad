//! Where samples go: standard output, whole lines or nothing; or a file that each sample replaces.

use crate::error::Error;
use crate::replace::{Refusal, replace};
use rustix::fs::Mode;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

/// Whoever collects the file runs as another user.
const MODE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::ROTH);

/// Replaces a file by `text`. Waits for other runs that write it, with `patience`.
///
/// # Errors
/// [`Error::Failed`] where that cannot be done; the old file is then as it was.
pub fn replace_file(path: &Path, text: &[u8], patience: Duration) -> Result<(), Error> {
    replace(path, text, MODE, patience).map_err(|Refusal { path, reason }| {
        Error::Failed(format!(
            "cannot write --output {}: {reason}: mend that, or choose another file",
            path.display()
        ))
    })
}

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
