//! What a test needs of the machine beyond a Linux. Each question that is answered by no skips the
//! test.

use crate::support::limit;
pub use crate::support::{is_installed, skip, skip_in_part, why_not_installed};
use psstat::clock;
use psstat_core::model::units::Pid;
use std::path::Path;
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

/// Whether the CPU clock of a process moves whenever the process runs.
#[track_caller]
pub fn clocks_that_show_runs() -> bool {
    let missing = why_clocks_do_not_show_runs();
    if let Some(reason) = missing {
        skip(reason);
    }
    missing.is_none()
}

/// Why a process can run without its CPU clock moving; none where it cannot.
pub fn why_clocks_do_not_show_runs() -> Option<&'static str> {
    let show_runs = clock::show_runs(Pid::new(std::process::id()), Path::new("/sys"));
    // Most emulated processors have no such counter.
    (!show_runs).then_some("it needs a processor with a reliable counter (current_clocksource)")
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

/// Whether the machine is run by a systemd that may be asked for units whose control groups have
/// controllers. It is where Debian has booted; not in most containers.
#[track_caller]
pub fn controllers() -> bool {
    if !root() {
        return false;
    }
    let booted = Path::new("/run/systemd/system").exists();
    let there = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let all =
        ["cpu", "memory", "pids"].iter().all(|&one| there.split_whitespace().any(|c| c == one));
    if !booted || !all {
        skip(
            "it needs a machine run by systemd, and its controllers in control groups of version 2",
        );
    }
    booted && all
}
