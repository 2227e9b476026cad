//! See `checks::names`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    psstat_fuzz::checks::names::check(data);
});
