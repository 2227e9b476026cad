//! What the meaning of the command line and the configuration file depends on.

use crate::files::config;
use crate::settings::Surroundings;
use psstat_core::model::units::Uid;

/// Asks the system.
pub fn surroundings() -> Surroundings {
    Surroundings {
        host: rustix::system::uname().nodename().to_bytes().to_vec(),
        host_proc: std::env::var_os("HOST_PROC"),
        host_sys: std::env::var_os("HOST_SYS"),
        user: Uid(rustix::process::geteuid().as_raw()),
        find_user,
        read_config: config::read,
    }
}

/// Looks up a user in passwd(5). A static binary cannot ask the other sources of the C library.
fn find_user(name: &str) -> Option<Uid> {
    let passwd = std::fs::read("/etc/passwd").ok()?;
    passwd.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.split(|&byte| byte == b':');
        let uid = (fields.next()? == name.as_bytes()).then(|| fields.nth(1)).flatten()?;
        std::str::from_utf8(uid).ok()?.parse().ok().map(Uid)
    })
}
