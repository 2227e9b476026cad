//! Runs psstat on directories with made-up files of a procfs: what it does with files that the kernel
//! would never write, and its arithmetic on files that the kernel could write.
#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

mod cpu;
mod explain;
mod membership;
mod memory;
mod odd_files;
mod selectors;
mod surroundings;
mod templates;

use crate::support::Run;
use crate::support::line::Line;

/// The name and the number of processes of each line.
fn counts(lines: &[Line]) -> Vec<(&str, usize)> {
    lines.iter().map(|line| (line.name(), line.n_proc())).collect()
}

/// The output without timestamps.
fn untimed(run: &Run) -> String {
    run.lines();
    let text = String::from_utf8(run.stdout.clone()).unwrap();
    text.lines().map(|line| format!("{}\n", line.rsplit_once(' ').unwrap().0)).collect()
}
