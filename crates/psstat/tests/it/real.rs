//! psstat on real processes, compared with what the kernel says by other ways: getrusage(2),
//! `VmRSS`, `smaps_rollup`.
//!
//! No test asserts how fast anything is. CPU time is compared with CPU time: on a busy machine a
//! rate is lower, and the interval longer. Where a test needs what not every machine gives it
//! (root, namespaces, memory), it is skipped.
//!
//! | module | owns |
//! |---|---|
//! | `fixture` | trees of actors (`examples/actor.rs`), and other programs that end with their test |
//! | `meter` | runs of psstat, and the comparison of a run with the actors' own account |
//! | `resident` | a resident psstat that is asked for samples |
//! | `kernel` | what `/proc` says, read by other files than psstat reads |
//! | `needs` | what a test needs of the machine |
//! | `cpu` | conservation and no spikes, whoever dies, is adopted, or is never waited for |
//! | `clocks` | a CPU clock that stands still means an unchanged `stat` |
//! | `calls` | which files a sample opens and reads |
//! | `fields` | each field beside the first three |
//! | `light` | many processes that each use little |
//! | `divided` | exclusive groups with a rest add up to the machine |
//! | `explain` | why each process is in its group |
//! | `exits` | short-lived processes, of which exit records tell |
//! | `lives` | processes that come, go, change their name, end half |
//! | `late` | old processes that take a matching name late |
//! | `selecting` | each selector, and psstat beside itself |
//! | `memory` | workers that share a segment; PostgreSQL |
//! | `forked` | a server whose forked workers share what it has; huge pages; a single process |
//! | `nginx` | a server with its workers, nested selectors |
//! | `units` | units of the machine's own systemd, and the controllers of their control groups |
//! | `namespaces` | recycled pids, other mounts of procfs, hidden processes |

mod calls;
mod clocks;
mod cpu;
mod divided;
mod exits;
mod explain;
mod fields;
mod fixture;
mod forked;
mod kernel;
mod late;
mod light;
mod lives;
mod memory;
mod meter;
mod namespaces;
mod needs;
mod nginx;
mod privileges;
mod resident;
mod sandbox;
mod selecting;
mod units;
