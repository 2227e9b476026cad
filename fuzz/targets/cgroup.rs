//! See `checks::cgroup`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    psstat_fuzz::checks::cgroup::check(data);
});
