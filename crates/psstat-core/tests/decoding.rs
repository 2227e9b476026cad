//! Decoding a cache file allocates at most a small multiple of the file, whatever lengths it claims. This is
//! a program of its own with one test, because it counts what the whole program allocates.
#![allow(missing_docs, reason = "tests say what they test by their names")]
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

#[path = "../../../fuzz/src/checks/state.rs"]
mod state;

use peak_alloc::PeakAlloc;
use psstat_core::state::codec;
use std::fs;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// An entry of 5 bytes becomes a member of 48 bytes, in a vector that may have twice the space that it needs.
const BYTES_PER_BYTE: usize = 32;

/// As a length or a number of entries, far more than there can be.
const CLAIMS: [&[u8]; 3] =
    [b"\xff\x7f", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f"];

#[test]
fn lengths_that_a_file_claims_are_not_believed() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/state");
    let bodies =
        fs::read_dir(corpus).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let bodies: Vec<Vec<u8>> = bodies.filter(|body| state::check(body)).collect();
    assert!(bodies.iter().any(|body| body.len() > 100), "no state with processes is in the corpus");
    for body in bodies {
        for index in 0..body.len() {
            for claim in CLAIMS {
                let file =
                    state::with_header(&[&body[..index], claim, &body[index + 1..]].concat());
                let before = HEAP.current_usage();
                HEAP.reset_peak_usage();
                let decoded = codec::decode(&file);
                let peak = HEAP.peak_usage() - before;
                drop(decoded);
                let limit = 1024 + BYTES_PER_BYTE * file.len();
                assert!(
                    peak <= limit,
                    "{peak} bytes for {} with {claim:x?} at {index}",
                    file.len()
                );
            }
        }
    }
}
