//! Runs a test again in a pid namespace of its own, where the next pid can be chosen.

use crate::support::limit;
use std::fs;
use std::io::Write as _;
use std::process::Command;

/// The environment variable with the name of the test that runs inside.
const INSIDE: &str = "PSSTAT_TEST_INSIDE";

/// Whether this process was started by [`enter`].
pub fn is_inside() -> bool {
    inside().is_some()
}

/// The test by which this process was started, if any.
pub fn inside() -> Option<String> {
    std::env::var(INSIDE).ok()
}

/// Runs one test again inside a new pid namespace, and panics if it fails there. Returns the reason
/// if no namespace can be created here.
pub fn enter(test: &str) -> Result<(), String> {
    let inside = |program: &str, args: &[&str]| {
        // The test must not be process 1, which has to wait for all orphans.
        let script = "\"$0\" \"$@\" & wait $!";
        let mut command = Command::new("unshare");
        command
            .args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script, program])
            .args(args)
            .env(INSIDE, test);
        limit::output(&mut command)
    };
    if !inside("true", &[]).is_ok_and(|output| output.status.success()) {
        return Err("cannot make a pid namespace (it takes root and unshare)".to_owned());
    }
    let own = std::env::current_exe().expect("a path");
    let own = own.to_str().expect("UTF-8");
    let output = inside(own, &[test, "--exact", "--nocapture"]).expect("it starts");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    for line in stdout.lines() {
        println!("inside: {line}");
    }
    for line in stderr.lines().filter(|line| line.starts_with("SKIPPED")) {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
    assert!(stdout.contains("1 passed"), "{stderr}");
    Ok(())
}

/// Makes the kernel use this pid for the next process, if it is free.
pub fn next_pid(pid: u32) {
    fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).expect("inside, as root");
}

/// Whether `pid_max` is separate for each pid namespace (since Linux 6.14).
pub fn has_limits_of_its_own() -> bool {
    let kernel = rustix::system::uname();
    let release = kernel.release().to_string_lossy();
    let mut parts = release.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    let version: (u32, u32) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    version >= (6, 14)
}

/// The number of tasks of the machine, inside and outside the namespace.
pub fn tasks() -> u32 {
    let text = fs::read_to_string("/proc/loadavg").expect("procfs");
    let tasks = text.split(' ').nth(3).and_then(|field| field.split_once('/')).expect("loadavg").1;
    tasks.parse().expect("a number")
}
