//! What the meaning of the command line and the configuration file depends on.

use crate::everything;
use crate::files::config;
use crate::settings::Surroundings;
use crate::users;
use psstat_core::model::units::Uid;

/// Asks the system.
pub fn surroundings() -> Surroundings {
    Surroundings {
        host: rustix::system::uname().nodename().to_bytes().to_vec(),
        host_proc: std::env::var_os("HOST_PROC"),
        host_sys: std::env::var_os("HOST_SYS"),
        user: Uid(rustix::process::geteuid().as_raw()),
        find_user: users::find_local,
        read_config: config::read,
        find_configs: config::find,
        variable: |name| std::env::var_os(name),
        has_units: everything::has_units,
        // In hybrid mode, the root of version 2 is below.
        is_v2: |sys| sys.join("fs/cgroup/cgroup.controllers").exists(),
    }
}
