//! Space to read a file into.

use alloc::boxed::Box;

/// Size of a [`Buffer`]. The longest file that is read in one call fits: `stat` has 52 fields of
/// at most 20 digits and a name of at most 63 bytes; `status` and `meminfo` have about 1.5 KiB
/// before the line that is wanted.
pub const BUFFER_SIZE: usize = 4096;

/// Space to read a file into, reused for many files.
#[derive(Debug)]
pub struct Buffer(pub Box<[u8; BUFFER_SIZE]>);

impl Default for Buffer {
    fn default() -> Buffer {
        Buffer(Box::new([0; BUFFER_SIZE]))
    }
}
