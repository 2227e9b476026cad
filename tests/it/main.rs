//! All integration tests in one binary.
//!
//! | module | level |
//! |---|---|
//! | `simulated` | made-up histories of processes against an oracle that knows the truth |
//! | `fake` | folders that look like a procfs, with every odd content |
//! | `real` | real processes, compared with the kernel's own account |
//! | `names` | hostile names, and what independent readers make of the lines |
//! | `cache` | damaged, foreign, contended cache files |
//! | `errors` | the table of errors of the contract |
//! | `control_groups` | folders that look like control groups, in every hierarchy, with every odd content |
//! | `systemd` | a real systemd in namespaces, in every mode of control groups |
//! | `equivalence` | looking at some processes finds what looking at all finds |
//! | `execd` | the resident job, driven as Telegraf drives it |
//! | `packages` | the .deb and the .rpm, and what README says to do with them |
//! | `tidy` | who may import what |

#![allow(missing_docs, reason = "tests say what they test by their names")]

mod cache;
mod control_groups;
mod equivalence;
mod errors;
mod execd;
mod fake;
mod names;
mod namespace;
mod packages;
mod real;
mod simulated;
mod support;
mod systemd;
mod tidy;
