//! See `checks::small_files`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    psstat_fuzz::checks::small_files::check(data);
});
