//! See `checks::globs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    psstat_fuzz::checks::globs::check(data);
});
