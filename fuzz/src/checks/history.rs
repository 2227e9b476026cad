//! What happens on a machine, so that it is known what each group used. Unlike in `machine`, all that the
//! machine shows is true. The histories and their rules are those of `tests/it/simulated`.

use crate::simulated::of_bytes;

/// Lives through a history. Returns whether anything was reported.
pub fn check(bytes: &[u8]) -> bool {
    of_bytes::check(bytes)
}
