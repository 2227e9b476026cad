//! See `checks::state`. Also checks that decoding allocates at most a small multiple of its input.

#![no_main]

use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// An entry of 5 bytes becomes a member of 48 bytes, in a vector that may have twice the space that it
/// needs. The same again is needed to encode the state and to decode it once more.
const BYTES_PER_BYTE: usize = 64;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    psstat_fuzz::checks::state::check(data);
    let peak = HEAP.peak_usage().saturating_sub(before);
    assert!(peak <= 4096 + BYTES_PER_BYTE * data.len(), "{peak} bytes for {}", data.len());
});
