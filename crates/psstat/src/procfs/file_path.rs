//! Paths of files below `/proc`.

use psstat_core::model::units::Pid;
use std::ffi::CStr;

/// A path below `/proc`. It needs no allocation, because there is one per process and sample.
pub struct FilePath {
    bytes: [u8; 32],
}

impl FilePath {
    /// The path of the file `name` of a process. The path of its directory if `name` is empty.
    pub fn new(pid: Pid, name: &str) -> FilePath {
        let mut path = FilePath { bytes: [0; 32] };
        let length = path.put_number(0, pid);
        path.put_name(length, name);
        path
    }

    /// The path of the file `name` of a thread. The path of its directory if `name` is empty.
    pub fn of_thread(pid: Pid, tid: Pid, name: &str) -> FilePath {
        let mut path = FilePath { bytes: [0; 32] };
        let length = path.put_number(0, pid);
        let length = path.put_name(length, "task/");
        let length = path.put_number(length, tid);
        path.put_name(length, name);
        path
    }

    /// Writes a number at an index. Returns the index after it.
    fn put_number(&mut self, index: usize, pid: Pid) -> usize {
        let mut digits = [0; 10];
        let mut number = pid.number();
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        let end = index + digits.len() - first;
        self.bytes[index..end].copy_from_slice(&digits[first..]);
        end
    }

    /// Writes a slash and a name at an index, unless the name is empty. Returns the index after it.
    fn put_name(&mut self, index: usize, name: &str) -> usize {
        if name.is_empty() {
            return index;
        }
        self.bytes[index] = b'/';
        let end = index + 1 + name.len();
        self.bytes[index + 1..end].copy_from_slice(name.as_bytes());
        end
    }

    /// The path of a file that belongs to no process.
    pub fn of_system(name: &CStr) -> FilePath {
        let mut bytes = [0; 32];
        bytes[..name.to_bytes().len()].copy_from_slice(name.to_bytes());
        FilePath { bytes }
    }

    /// Whether only the owner of the process may open the file.
    pub fn is_for_owner_only(&self) -> bool {
        let path = self.as_c_str().to_bytes();
        path.ends_with(b"/io") || path.ends_with(b"/fd")
    }

    /// The path as a C string, for system calls.
    pub fn as_c_str(&self) -> &CStr {
        // Even the longest path leaves the last byte zero.
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_consists_of_pid_and_name() {
        let path = |pid, name| FilePath::new(Pid::new(pid), name).as_c_str().to_owned();
        assert_eq!(path(1, "stat").as_c_str(), c"1/stat");
        assert_eq!(path(4194304, "smaps_rollup").as_c_str(), c"4194304/smaps_rollup");
        assert_eq!(path(90, "").as_c_str(), c"90");
        let longest = FilePath::of_thread(Pid::MAX, Pid::MAX, "status");
        assert_eq!(longest.as_c_str(), c"4194304/task/4194304/status");
        assert_eq!(FilePath::of_thread(Pid::INIT, Pid::new(7), "").as_c_str(), c"1/task/7");
    }
}
