//! What must hold of psstat for any bytes. Each check panics if it does not hold.
//!
//! | check | what the bytes are |
//! |---|---|
//! | `stat`, `status`, `smaps_rollup`, `meminfo` | the file of procfs of that name |
//! | `small_files` | one of the other files of procfs, or a pid file |
//! | `cgroup` | one of the files of cgroupfs, or `/proc/PID/cgroup` |
//! | `state` | a cache file |
//! | `exit_records` | what the kernel sends when processes end |
//! | `globs` | a glob or regex, and a name |
//! | `names` | the name of a group with placeholders, and what it is made of |
//! | `selector` | an option that selects processes, and its value |
//! | `config` | a configuration file, and those that it includes |
//! | `machine` | a plan, and what a machine shows in a few samples, true or not |
//! | `history` | what happens on a machine, so that it is known what each group used |
//!
//! The fuzzers (`fuzz/targets`) and a test of psstat (`tests/it/fuzz.rs`) run the same checks. They
//! return whether psstat accepted the bytes, so that the test can tell that a check checks something.

pub mod bytes;
pub mod cgroup;
pub mod config;
pub mod exit_records;
pub mod globs;
pub mod history;
pub mod machine;
pub mod meminfo;
pub mod naive;
pub mod names;
pub mod output;
pub mod selector;
pub mod small_files;
pub mod smaps_rollup;
pub mod stat;
pub mod state;
pub mod status;

/// A check of some bytes. Returns whether psstat accepted them.
pub type Check = fn(&[u8]) -> bool;

/// All checks, by the name of the target that runs each.
pub const ALL: [(&str, Check); 14] = [
    ("stat", stat::check),
    ("status", status::check),
    ("smaps_rollup", smaps_rollup::check),
    ("meminfo", meminfo::check),
    ("small_files", small_files::check),
    ("cgroup", cgroup::check),
    ("exit_records", exit_records::check),
    ("globs", globs::check),
    ("names", names::check),
    ("state", state::check),
    ("selector", selector::check),
    ("config", config::check),
    ("machine", machine::check),
    ("history", history::check),
];
