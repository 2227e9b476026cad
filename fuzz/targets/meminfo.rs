//! See `checks::meminfo`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    psstat_fuzz::checks::meminfo::check(data);
});
