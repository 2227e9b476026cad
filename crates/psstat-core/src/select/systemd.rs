//! How systemd names the control groups of its units, and how it reads the unit names that users
//! type.
//!
//! systemd gives each unit a directory named after its id, below the directories of its slices:
//! `system.slice/nginx.service`, `system.slice/system-worker.slice/worker@a-b.service`. A unit may
//! have directories of its own below that; they belong to the unit, whatever their names. The one
//! exception is `user@UID.service`: there another systemd, the user's, runs units by the same
//! rules.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

/// The endings of unit ids (systemd.unit(5)).
const TYPES: [&[u8]; 11] = [
    b".service",
    b".socket",
    b".target",
    b".device",
    b".mount",
    b".automount",
    b".swap",
    b".timer",
    b".path",
    b".slice",
    b".scope",
];

/// The id of the root of all slices, which has no directory of its own.
pub const ROOT_SLICE: &[u8] = b"-.slice";

/// The unit that systemd itself runs in, the system's and each user's. It waits for the processes of
/// all its units, none of which are in there.
pub const MANAGER_SCOPE: &[u8] = b"init.scope";

/// What a name on the command line means, as systemctl reads it: a glob as it is, a full id as it
/// is, any other name with `.service` behind it.
pub fn expand(name: &str) -> String {
    if is_glob(name) || has_type(name.as_bytes()) {
        name.to_owned()
    } else {
        format!("{name}.service")
    }
}

/// Whether a name may mean more than one unit.
pub fn is_glob(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// What a unit is called in the output: its id, without `.service`.
pub fn display_name(id: &[u8]) -> &[u8] {
    id.strip_suffix(b".service").unwrap_or(id)
}

/// A position in the hierarchy of control groups, as systemd orders it. A walk begins at
/// [`Position::root`] and calls [`Position::enter`] for each directory that it enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position<'a> {
    /// Above systemd's root, which is reached through these directories.
    Above(&'a [u8]),
    /// Where units may be directly below: systemd's root, a slice, the unit of a user's manager.
    Manager,
    /// Inside a unit, or outside everything that systemd made: nothing below is a unit.
    Inside,
}

impl<'a> Position<'a> {
    /// The position of the root of the hierarchy, and the unit that it is. `manager` is the path
    /// of systemd's root below it, which is empty except in some containers.
    pub fn root(manager: &'a [u8]) -> (Option<&'static [u8]>, Position<'a>) {
        if manager.is_empty() {
            (Some(ROOT_SLICE), Position::Manager)
        } else {
            (None, Position::Above(manager))
        }
    }

    /// The unit that the directory `name` below this position is, and the position inside it.
    pub fn enter<'n>(self, name: &'n [u8]) -> (Option<&'n [u8]>, Position<'a>) {
        match self {
            Position::Above(path) => match path.strip_prefix(name) {
                Some([]) => (Some(ROOT_SLICE), Position::Manager),
                Some([b'/', rest @ ..]) => (None, Position::Above(rest)),
                _ => (None, Position::Inside),
            },
            Position::Manager => {
                // systemd puts a '_' before an id that looks like one of the kernel's own files.
                let id = name.strip_prefix(b"_").unwrap_or(name);
                if !has_type(id) {
                    return (None, Position::Inside);
                }
                let is_user_manager = id.starts_with(b"user@") && id.ends_with(b".service");
                let holds_units = id.ends_with(b".slice") || is_user_manager;
                (Some(id), if holds_units { Position::Manager } else { Position::Inside })
            }
            Position::Inside => (None, Position::Inside),
        }
    }
}

fn has_type(id: &[u8]) -> bool {
    TYPES.iter().any(|ending| id.len() > ending.len() && id.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn names_mean_what_systemctl_makes_of_them() {
        for (name, meaning) in [
            ("nginx", "nginx.service"),
            ("nginx.service", "nginx.service"),
            ("nginx*", "nginx*"),
            ("worker@a-b", "worker@a-b.service"),
            ("my-dashed\\x2dname", "my-dashed\\x2dname.service"),
            ("session-1.scope", "session-1.scope"),
            ("user.slice", "user.slice"),
            ("my.app", "my.app.service"),
            (".service", ".service.service"),
        ] {
            assert_eq!(expand(name), meaning);
        }
    }

    /// The units along a path, from the root down.
    fn units_below(manager: &str, path: &str) -> Vec<String> {
        let (unit, mut position) = Position::root(manager.as_bytes());
        let text = |unit: &[u8]| String::from_utf8_lossy(unit).into_owned();
        let mut units: Vec<String> = unit.map(text).into_iter().collect();
        for name in path.split('/') {
            let (unit, inside) = position.enter(name.as_bytes());
            units.extend(unit.map(text));
            position = inside;
        }
        units
    }

    fn units(path: &str) -> Vec<String> {
        units_below("", path).split_off(1)
    }

    #[test]
    fn in_a_container_systemd_has_its_root_further_down() {
        let units = |path| units_below("docker/abc", path);
        assert_eq!(
            units("docker/abc/system.slice/x.service"),
            ["-.slice", "system.slice", "x.service"]
        );
        assert_eq!(units("docker/abcd/system.slice"), [""; 0]);
        assert_eq!(units("system.slice/x.service"), [""; 0]);
    }

    #[test]
    fn a_path_leads_through_slices_to_one_unit() {
        assert_eq!(units("system.slice/nginx.service"), ["system.slice", "nginx.service"]);
        assert_eq!(
            units("system.slice/system-worker.slice/worker@web\\x2d1.service"),
            ["system.slice", "system-worker.slice", "worker@web\\x2d1.service"]
        );
        assert_eq!(units("init.scope"), ["init.scope"]);
        assert_eq!(units("system.slice/_cpu.service"), ["system.slice", "cpu.service"]);
    }

    #[test]
    fn what_stands_below_a_unit_is_its_own() {
        assert_eq!(
            units("machine.slice/box.scope/payload/system.slice/nginx.service"),
            ["machine.slice", "box.scope"]
        );
        assert_eq!(units("system.slice/d.service/x.service"), ["system.slice", "d.service"]);
        assert_eq!(units("docker/0123abcd/nginx.service"), [""; 0]);
    }

    #[test]
    fn a_users_manager_has_units_by_the_same_rules() {
        assert_eq!(
            units("user.slice/user-1500.slice/user@1500.service/app.slice/uapp.service"),
            ["user.slice", "user-1500.slice", "user@1500.service", "app.slice", "uapp.service"]
        );
    }
}
