//! Lists the processes: all of them, or a range of pids.
//!
//! The position of a process in the directory is its pid plus an offset that is the same for all
//! processes (`proc_pid_readdir`, fs/proc/base.c: `tgid + TGID_OFFSET`). The kernel does not promise
//! that. So listing all processes checks each entry, and returns the offset only if all agree.

use super::Procfs;
use super::file_path::FilePath;
use crate::sys;
use psstat_core::model::births::PidRange;
use psstat_core::model::read_error::ReadError;
use psstat_core::model::units::Pid;
use rustix::fs::{RawDir, SeekFrom, seek};
use rustix::io::Errno;

/// Size of the entry of a process in bytes: a header of 19 bytes, up to 7 digits, and a zero byte,
/// rounded up to a multiple of 8 (getdents64(2)).
const ENTRY_SIZE: u64 = 32;

/// Size of the largest buffer for entries in bytes.
const LARGEST_BUFFER: u64 = 32 * 1024;

impl Procfs {
    /// Replaces `pids` by the pids of all processes, sorted. Returns the offset to call
    /// [`Procfs::pids_from`] with, or `None` if the positions do not follow the pids.
    ///
    /// # Errors
    /// [`ReadError`] if the directory cannot be listed.
    pub fn pids(&self, pids: &mut Vec<Pid>) -> Result<Option<i64>, ReadError> {
        pids.clear();
        let mut calibration = Calibration::default();
        self.list(0, u64::MAX, |pid, next| {
            calibration.add(pid, next);
            pids.push(pid);
            true
        })?;
        // The kernel lists pids in ascending order. A copy may list them in any order, and may
        // have a directory 007 next to 7.
        pids.sort_unstable();
        pids.dedup();
        Ok(calibration.offset.filter(|&offset| offset >= 0 && self.shows_own_pid_namespace()))
    }

    /// Adds to `pids` the processes in `range`, the first `limit` of them. Starts to list at the
    /// position of `range.first`, which is its pid plus `offset`.
    ///
    /// # Errors
    /// [`ReadError`] if the directory cannot be listed.
    pub fn pids_from(
        &self,
        offset: i64,
        range: PidRange,
        limit: u64,
        pids: &mut Vec<Pid>,
    ) -> Result<(), ReadError> {
        let mut left = limit;
        let position = i64::from(range.first.number()) + offset;
        let position = u64::try_from(position).unwrap_or_default();
        let pids_in_range = range.last.number().saturating_sub(range.first.number());
        let pids_in_range = u64::from(pids_in_range) + 1;
        self.list(position, limit.min(pids_in_range), |pid, _| {
            if pid > range.last || left == 0 {
                return false;
            }
            if pid >= range.first {
                pids.push(pid);
                left -= 1;
            }
            true
        })
    }

    /// Lists the processes from a position on. Calls `visit` with each pid and the position of the
    /// next process, until `visit` returns `false`. It is expected to do so after `count` processes.
    fn list(
        &self,
        position: u64,
        count: u64,
        mut visit: impl FnMut(Pid, u64) -> bool,
    ) -> Result<(), ReadError> {
        let failed = |errno: Errno| ReadError {
            path: self.path.display().to_string(),
            reason: sys::reason(errno),
        };
        seek(&self.dir, SeekFrom::Start(position)).map_err(failed)?;
        // A large buffer lists many processes in few calls. A small one lists few processes after a
        // short range. On the stack, every page of a large buffer would be touched.
        let size = count.saturating_add(1).saturating_mul(ENTRY_SIZE).min(LARGEST_BUFFER);
        let mut space: Vec<u8> = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        // To list what `hidepid` hides.
        let _raised = self.raise_for(&FilePath::of_system(c"."));
        let mut entries = RawDir::new(&self.dir, space.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Err(Errno::INTR) => continue,
                entry => entry.map_err(failed)?,
            };
            if let Some(pid) = Pid::parse(entry.file_name().to_bytes())
                && !visit(pid, entry.next_entry_cookie())
            {
                break;
            }
        }
        Ok(())
    }

    /// Whether this procfs shows the pid namespace of psstat. `/proc/loadavg` shows the newest pid
    /// of the namespace of the process that reads it (fs/proc/loadavg.c).
    pub fn shows_own_pid_namespace(&self) -> bool {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        self.own_pid().is_some_and(|pid| i64::from(pid.number()) == i64::from(own))
    }
}

/// Finds the offset between positions and pids.
#[derive(Debug, Default)]
struct Calibration {
    /// The position of the next process, as the last entry has it.
    next: Option<u64>,
    offset: Option<i64>,
    /// Whether two entries have different offsets.
    is_contradicted: bool,
}

impl Calibration {
    fn add(&mut self, pid: Pid, next: u64) {
        if let Some(position) = self.next.replace(next) {
            let position = i64::try_from(position);
            let offset = position.map(|position| position - i64::from(pid.number())).ok();
            self.is_contradicted |= self.offset.is_some() && self.offset != offset;
            self.offset = offset.filter(|_| !self.is_contradicted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(entries: &[(u32, u64)]) -> Option<i64> {
        let mut calibration = Calibration::default();
        entries.iter().for_each(|&(pid, next)| calibration.add(Pid::new(pid), next));
        calibration.offset
    }

    #[test]
    fn an_offset_is_known_if_all_entries_agree() {
        assert_eq!(offset(&[(1, 258), (2, 263), (7, 300)]), Some(256));
        assert_eq!(offset(&[(1, 258), (2, 264), (7, 300)]), None);
        assert_eq!(offset(&[(1, 258), (2, 264), (7, 300), (44, 400)]), None);
        assert_eq!(offset(&[(1, 258)]), None);
    }
}
