//! What the meaning of the command line and the configuration file depends on.

use crate::files::config;
use crate::settings::Surroundings;
use psstat_core::model::units::Uid;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Asks the system.
pub fn surroundings() -> Surroundings {
    Surroundings {
        host: rustix::system::uname().nodename().to_bytes().to_vec(),
        host_proc: std::env::var_os("HOST_PROC"),
        host_sys: std::env::var_os("HOST_SYS"),
        user: Uid(rustix::process::geteuid().as_raw()),
        find_user: find_local_user,
        read_config: config::read,
    }
}

/// How long to wait for getent(1). It may ask a server that does not answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// A directory of the host, if this variable of the environment says where it is.
pub fn host_directory(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|directory| !directory.is_empty()).map(PathBuf::from)
}

/// The path of passwd(5), below `HOST_ETC` if that is set.
pub fn passwd() -> PathBuf {
    host_directory("HOST_ETC").unwrap_or_else(|| "/etc".into()).join("passwd")
}

/// Looks up a user in passwd(5), below `HOST_ETC` if that is set.
pub fn find_local_user(name: &str) -> Option<Uid> {
    uid_of(name, &std::fs::read(passwd()).ok()?)
}

/// Asks getent(1) for a user, because a static binary cannot ask the other sources of the C library itself.
/// Waits for up to `patience`, and at most a second. A name that could be an option or a number is not asked
/// for.
pub fn ask_for_user(name: &str, patience: Duration) -> Option<Uid> {
    if name.is_empty() || name.starts_with('-') || name.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut getent = Command::new("/usr/bin/getent");
    getent.args(["passwd", name]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = getent.spawn().ok()?;
    let begin = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if begin.elapsed() > patience.min(PATIENCE) {
            // It is not waited for: it may be stuck in the kernel.
            let _ = child.kill();
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut text = Vec::new();
    child.stdout.take()?.take(4096).read_to_end(&mut text).ok()?;
    uid_of(name, &text)
}

/// The uid of a user in the text of a passwd file.
fn uid_of(name: &str, passwd: &[u8]) -> Option<Uid> {
    passwd.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.split(|&byte| byte == b':');
        let uid = (fields.next()? == name.as_bytes()).then(|| fields.nth(1)).flatten()?;
        std::str::from_utf8(uid).ok()?.parse().ok().map(Uid)
    })
}
