//! Ends a run in which a read hangs.
//!
//! Loops check [`Deadline::has_passed`](crate::deadline::Deadline::has_passed). That does not help
//! if one read blocks. To read a command line or a memory map, the kernel takes the memory lock of
//! the process; to read its storage traffic, the lock of its execve(2). A process can hold these
//! locks for minutes. If a job reads such files, a thread waits for the deadline and ends the run.

use crate::deadline::Deadline;
use crate::error::Error;
use crate::job::Job;
use crate::messages;
use psstat_core::field::Need;
use psstat_core::model::memory::MemoryMode;
use std::time::Duration;

/// How long after the deadline the run may end by itself.
const GRACE: Duration = Duration::from_millis(100);

/// Ends the process soon after `deadline`, if the job reads files that can block.
pub fn watch(job: &Job, deadline: Deadline) {
    let plan = &job.plan;
    let reads_maps = plan.memory == MemoryMode::Pss && plan.fields.need(Need::Memory);
    let reads_storage = plan.fields.need(Need::Storage);
    if plan.selectors.cmdlines.is_empty() && !reads_maps && !reads_storage {
        return;
    }
    let (left, error) = (deadline.time_left().saturating_add(GRACE), Error::Timeout(job.timeout));
    // If no thread can be created, the run goes on without a watchdog.
    let _ = std::thread::Builder::new().spawn(move || {
        std::thread::sleep(left);
        messages::write_error(&error);
        std::process::exit(i32::from(error.exit_status()));
    });
}
