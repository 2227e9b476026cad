//! See `checks::smaps_rollup`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    psstat_fuzz::checks::smaps_rollup::check(data);
});
