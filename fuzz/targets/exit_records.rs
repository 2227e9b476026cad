//! See `checks::exit_records`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    psstat_fuzz::checks::exit_records::check(data);
});
