//! What a test needs of the machine beyond a Linux. Each question that is answered by no skips the
//! test.

use crate::support::limit;
pub use crate::support::{is_installed, skip, skip_in_part};
use std::process::Command;

/// Whether the tests run as root.
#[track_caller]
pub fn root() -> bool {
    crate::support::may_be_root("it")
}

/// Whether pid and mount namespaces can be made. Root in a container often cannot.
#[track_caller]
pub fn namespaces() -> bool {
    let missing = why_no_namespaces();
    if let Some(reason) = &missing {
        skip(reason);
    }
    missing.is_none()
}

/// Why no pid and mount namespaces can be made; none where they can.
pub fn why_no_namespaces() -> Option<String> {
    let mut tried = Command::new("unshare");
    let tried = limit::output(tried.args(["-mpf", "--mount-proc", "true"]));
    let tried = tried.expect("util-linux is installed");
    let error = String::from_utf8_lossy(&tried.stderr);
    let root = if rustix::process::geteuid().is_root() { "" } else { " and root" };
    (!tried.status.success())
        .then(|| format!("it needs pid and mount namespaces{root}: {}", error.trim()))
}

/// Whether so much memory is free.
#[track_caller]
pub fn free_memory(mebibytes: u64) -> bool {
    let free = super::kernel::meminfo("MemAvailable") >> 20;
    if free < mebibytes {
        skip(&format!("it needs {mebibytes} MiB of free memory, there are {free}"));
    }
    free >= mebibytes
}
