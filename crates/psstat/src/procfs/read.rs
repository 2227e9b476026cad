//! Opens and reads files below `/proc`, and reports what failed with its path.

use super::Procfs;
use super::file_path::FilePath;
use crate::sys::{self, retry};
use psstat_core::model::buffer::Buffer;
use psstat_core::model::read_error::{ReadError, Reason};
use psstat_core::model::units::Pid;
use rustix::fs::{AtFlags, Mode, OFlags, RawDir, Stat};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

impl Procfs {
    /// Opens a file.
    pub(super) fn open_file(&self, path: &FilePath) -> Result<OwnedFd, ReadError> {
        let _raised = self.raise_for(path);
        self.open_now(path)
    }

    /// Opens a file with the capabilities that are effective.
    fn open_now(&self, path: &FilePath) -> Result<OwnedFd, ReadError> {
        // A copy of a procfs may contain a FIFO. Opening it must not block. For the files of the
        // kernel O_NONBLOCK has no effect.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        retry(|| rustix::fs::openat(&self.dir, path.as_c_str(), flags, Mode::empty()))
            .map_err(|errno| self.error(path, sys::reason(errno)))
    }

    /// Reads a file in one call, as far as `buffer` reaches.
    pub(super) fn read<'b>(
        &self,
        path: &FilePath,
        buffer: &'b mut Buffer,
    ) -> Result<&'b [u8], ReadError> {
        // Reading can need the capability again (`io`, `do_io_accounting`, fs/proc/base.c).
        let _raised = self.raise_for(path);
        let file = self.open_now(path)?;
        let count = retry(|| rustix::io::read(&file, &mut buffer.0[..]))
            .map_err(|errno| self.error(path, sys::reason(errno)))?;
        Ok(&buffer.0[..count])
    }

    /// Opens a file, and verifies that it is of this mount. In a container, lxcfs may have mounted a
    /// file of its own over it, which shows another pid namespace.
    fn open_own_file(&self, path: &FilePath) -> Option<OwnedFd> {
        let file = self.open_file(path).ok()?;
        let stat = retry(|| rustix::fs::fstat(&file)).ok()?;
        (stat.st_dev == self.device).then_some(file)
    }

    /// Reads a file of a process in one call, and parses it.
    pub(super) fn read_and_parse<'b, T>(
        &self,
        pid: Pid,
        name: &str,
        buffer: &'b mut Buffer,
        parse: impl FnOnce(&'b [u8]) -> Option<T>,
    ) -> Result<T, ReadError> {
        let path = FilePath::new(pid, name);
        let text = self.read(&path, buffer)?;
        if text.is_empty() {
            // The kernel never writes an empty file: if a process ends between open and read, the
            // read fails with ESRCH. In the procfs of some container runtimes the file is empty.
            return Err(self.error(&path, Reason::Vanished));
        }
        self.require(pid, name, parse(text))
    }

    /// Returns the parsed content of a file of a process, or [`Reason::Malformed`] if it is `None`.
    pub(super) fn require<T>(
        &self,
        pid: Pid,
        name: &str,
        parsed: Option<T>,
    ) -> Result<T, ReadError> {
        parsed.ok_or_else(|| self.error(&FilePath::new(pid, name), Reason::Malformed))
    }

    /// Reads the first `limit` bytes of a file into `text`.
    pub(super) fn read_up_to(
        &self,
        path: &FilePath,
        limit: usize,
        text: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let _raised = self.raise_for(path);
        let file = self.open_now(path)?;
        fill(&file, limit, text).map_err(|errno| self.error(path, sys::reason(errno)))
    }

    /// Reads the first `limit` bytes of a file of this mount into `text`. `None` if it cannot be
    /// read, or another file system is mounted over it.
    pub(super) fn read_own_file(
        &self,
        path: &FilePath,
        limit: usize,
        text: &mut Vec<u8>,
    ) -> Option<()> {
        fill(&self.open_own_file(path)?, limit, text).ok()
    }

    /// Calls `visit` with the name of each entry of a directory.
    pub(super) fn visit_entries(
        &self,
        path: &FilePath,
        mut visit: impl FnMut(&[u8]),
    ) -> Result<(), ReadError> {
        let failed = |errno: Errno| self.error(path, sys::reason(errno));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let _raised = self.raise_for(path);
        let dir = retry(|| rustix::fs::openat(&self.dir, path.as_c_str(), flags, Mode::empty()))
            .map_err(failed)?;
        let mut space = [MaybeUninit::uninit(); 8 * 1024];
        let mut entries = RawDir::new(&dir, &mut space);
        while let Some(entry) = entries.next() {
            match entry {
                Err(Errno::INTR) => {}
                entry => visit(entry.map_err(failed)?.file_name().to_bytes()),
            }
        }
        Ok(())
    }

    /// Reads the attributes of a file: stat(2).
    pub(super) fn attributes(&self, path: &FilePath) -> Result<Stat, ReadError> {
        let _raised = self.raise_for(path);
        retry(|| rustix::fs::statat(&self.dir, path.as_c_str(), AtFlags::empty()))
            .map_err(|errno| self.error(path, sys::reason(errno)))
    }

    /// Reads the target of a symbolic link.
    pub(super) fn link_target(&self, path: &FilePath) -> Result<Vec<u8>, ReadError> {
        let _raised = self.raise_for(path);
        retry(|| rustix::fs::readlinkat(&self.dir, path.as_c_str(), Vec::new()))
            .map(std::ffi::CString::into_bytes)
            .map_err(|errno| self.error(path, sys::reason(errno)))
    }

    /// An error about a file of a process.
    #[cold]
    pub fn error_of(&self, pid: Pid, name: &str, reason: Reason) -> ReadError {
        self.error(&FilePath::new(pid, name), reason)
    }

    /// An error with the whole path of a file.
    #[cold]
    pub(super) fn error(&self, path: &FilePath, reason: Reason) -> ReadError {
        let below = String::from_utf8_lossy(path.as_c_str().to_bytes()).into_owned();
        ReadError { path: self.path.join(below).display().to_string(), reason }
    }
}

/// Reads the first `limit` bytes of an open file into `text`.
fn fill(file: &OwnedFd, limit: usize, text: &mut Vec<u8>) -> Result<(), Errno> {
    text.clear();
    while text.len() < limit {
        let filled = text.len();
        text.resize((filled * 2).clamp(1024, limit), 0);
        let count = retry(|| rustix::io::read(file, &mut text[filled..]))?;
        text.truncate(filled + count);
        if count == 0 {
            break;
        }
    }
    Ok(())
}
