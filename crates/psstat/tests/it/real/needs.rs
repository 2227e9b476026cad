//! What a test needs of the machine beyond a Linux. Each question that is answered by no says so.

pub use crate::support::skip;
use std::process::{Command, Stdio};

/// Whether the tests run as root.
pub fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("it needs root");
    }
    root
}

/// Whether pid and mount namespaces can be made. Root in a container often cannot.
pub fn namespaces() -> bool {
    if !root() {
        return false;
    }
    let tried = Command::new("unshare")
        .args(["-mpf", "--mount-proc", "true"])
        .stdin(Stdio::null())
        .output()
        .expect("util-linux is installed");
    if !tried.status.success() {
        let error = String::from_utf8_lossy(&tried.stderr);
        skip(&format!("it needs pid and mount namespaces: {}", error.trim()));
    }
    tried.status.success()
}

/// Whether so much memory is free.
pub fn free_memory(mebibytes: u64) -> bool {
    let free = super::kernel::meminfo("MemAvailable") >> 20;
    if free < mebibytes {
        skip(&format!("it needs {mebibytes} MiB of free memory, there are {free}"));
    }
    free >= mebibytes
}
