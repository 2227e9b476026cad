//! All integration tests in one binary.
//!
//! | module | level |
//! |---|---|
//! | `simulated` | made-up histories of processes against an oracle that knows the truth |
//! | `fake` | directories that look like a procfs, with every odd content |
//! | `fields` | the same for each field beside the first three |
//! | `real` | real processes, compared with the kernel's own account |
//! | `names` | hostile names, and what a strict reader makes of the lines |
//! | `servers` | the lines and pages in real databases: InfluxDB, VictoriaMetrics, Prometheus |
//! | `telegraf` | a real Telegraf, with psstat in its inputs `exec` and `execd` |
//! | `config` | the configuration file, and files that samples go to |
//! | `formats` | docs/FORMATS.md holds, for every field and format |
//! | `cache` | damaged, foreign, contended cache files |
//! | `errors` | what each kind of error prints, where, and its exit status |
//! | `faults` | every kind of system call fails, one at a time |
//! | `completions` | the completions, as a real shell takes them |
//! | `drop_in` | configurations of the original work, and docs/MIGRATION.md holds |
//! | `control_groups` | directories that look like control groups, in every hierarchy, with every odd content |
//! | `table` | `--format table` in a pipe, in a file and in a terminal |
//! | `systemd` | a real systemd in namespaces, in every mode of control groups |
//! | `equivalence` | looking at some processes finds what looking at all finds |
//! | `execd` | the resident job, driven as Telegraf drives it |
//! | `mistakes` | settings that cannot do what was meant |
//! | `packages` | the .deb and the .rpm, and what README says to do with them |
//! | `architecture` | no import cycles, and other rules that the compiler does not hold |
//! | `stderr` | the form of lines on standard error |
//! | `conduct` | what the tests themselves have to keep to |
//! | `fuzz` | the checks of the fuzzers, on their corpora and inputs made of these |
//! | `top` | `psstat top` in a pseudoterminal |
//! | `supply_chain` | the crates that psstat depends on keep to deny.toml |
//! | `tidy` | links and tables of the documents |

#![allow(missing_docs, reason = "tests say what they test by their names")]

mod architecture;
mod cache;
mod completions;
mod conduct;
mod config;
mod control_groups;
mod drop_in;
mod equivalence;
mod errors;
mod execd;
mod fake;
mod faults;
mod fields;
mod formats;
mod fuzz;
mod mistakes;
mod names;
mod namespace;
mod packages;
mod real;
mod servers;
mod simulated;
mod stderr;
mod supply_chain;
mod support;
mod systemd;
mod table;
mod telegraf;
mod tidy;
#[cfg(feature = "top")]
mod top;
