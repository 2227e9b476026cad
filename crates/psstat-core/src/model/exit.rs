//! Exit records: what the kernel tells of a process at the moment at which it ends.

use super::units::{BootNanos, CpuNanos, Pid, Uid};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A file, as stat(2) identifies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId {
    /// `st_dev`.
    pub device: u64,
    /// `st_ino`.
    pub inode: u64,
}

/// The CPU time that a process used itself, as its exit record tells.
///
/// The record is written while the process still runs. The kernel adds CPU time to a task at the tick and
/// when the task leaves its processor, so what is in the record is up to a tick behind. And the last work
/// of a process, to give back its memory, comes after the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// It has used this.
    pub least: CpuNanos,
    /// It has most likely used this, as far as the record alone can tell.
    pub likely: CpuNanos,
    /// It has hardly used more than this.
    pub most: CpuNanos,
}

/// The record of a process that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// Its pid.
    pub pid: Pid,
    /// Its parent when it ended.
    pub parent: Pid,
    /// When it started. This is never earlier than it was, and later only by as long as the record waited to
    /// be read.
    pub start: BootNanos,
    /// Its real user.
    pub user: Uid,
    /// Its name.
    pub comm: Box<[u8]>,
    /// Its executable. `None` if the kernel does not tell.
    pub exe: Option<FileId>,
    /// Its own CPU time.
    pub used: Bounds,
    /// Whether this is certainly the end of a process, and not that of one of its threads.
    pub is_process: bool,
}

/// The exit records that have arrived, in the order in which the processes ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exits {
    /// The records.
    pub list: Vec<Exit>,
    /// The number of the record that will come next.
    pub next: u64,
    /// How often records were lost so far.
    pub losses: u64,
}
