//! The wiring: the only place that joins input and output to thought.

pub mod discover;
pub mod execd;
pub mod members;
pub mod notes;
pub mod once;
pub mod output;
pub mod sampler;
pub mod watchdog;

use crate::settings::Surroundings;
use crate::units::{BootNanos, Uid, WallNanos};
use rustix::fs::{Mode, OFlags};
use rustix::time::{ClockId, clock_gettime};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// No line on standard error is longer: Telegraf shows 512 bytes of the first.
pub const STDERR_LINE: usize = 512;

/// Asks the system what the command line's meaning depends on.
pub fn surroundings() -> Surroundings {
    Surroundings {
        host: rustix::system::uname().nodename().to_bytes().to_vec(),
        host_proc: std::env::var_os("HOST_PROC"),
        host_sys: std::env::var_os("HOST_SYS"),
        user: Uid(rustix::process::geteuid().as_raw()),
        find_user,
        read_config,
    }
}

/// A configuration file has some hundred lines at the most.
const CONFIG_LIMIT: u64 = 1 << 20;

/// Reads a configuration file; the error says why it cannot be read.
fn read_config(path: &Path) -> Result<String, String> {
    // Not to be kept waiting by a FIFO into which nobody writes; where somebody does, as in
    // `--config <(...)`, all of it is waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let explain = |errno| std::io::Error::from(errno).to_string();
    let file = rustix::fs::open(path, flags, Mode::empty()).map_err(explain)?;
    rustix::fs::fcntl_setfl(&file, OFlags::empty()).map_err(explain)?;
    let mut text = Vec::new();
    File::from(file)
        .take(CONFIG_LIMIT + 1)
        .read_to_end(&mut text)
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > CONFIG_LIMIT {
        return Err("longer than 1 MiB: is that the right file?".to_owned());
    }
    String::from_utf8(text).map_err(|_| "not UTF-8: is that the right file?".to_owned())
}

/// Looks a user up in passwd(5). A static binary cannot ask the C library's other sources.
fn find_user(name: &str) -> Option<Uid> {
    let passwd = std::fs::read("/etc/passwd").ok()?;
    passwd.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.split(|&byte| byte == b':');
        let uid = (fields.next()? == name.as_bytes()).then(|| fields.nth(1)).flatten()?;
        std::str::from_utf8(uid).ok()?.parse().ok().map(Uid)
    })
}

fn boot_now() -> BootNanos {
    let now = clock_gettime(ClockId::Boottime);
    let nanos = now.tv_sec as i128 * 1_000_000_000 + i128::from(now.tv_nsec);
    BootNanos(u64::try_from(nanos).unwrap_or_default())
}

fn wall_now() -> WallNanos {
    let now = clock_gettime(ClockId::Realtime);
    let nanos = now.tv_sec as i128 * 1_000_000_000 + i128::from(now.tv_nsec);
    WallNanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}
