//! What the meaning of the command line and the configuration file depends on.

use crate::files::config;
use crate::settings::Surroundings;
use psstat_core::model::units::Uid;
use std::path::Path;

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

fn read_config(path: &Path) -> Result<String, String> {
    config::read(path).map_err(|error| error.to_string())
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
