//! How systemd names the control groups of its units, and how it reads the names that users type.
//! Pure.
//!
//! systemd gives each unit the folder of its id below the folders of its slices:
//! `system.slice/nginx.service`, `system.slice/system-worker.slice/worker@a-b.service`. A unit
//! may have folders of its own below that; they belong to it, whatever they are called. The one
//! exception is `user@UID.service`, in which another systemd, the user's, runs units by the same
//! rules.

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

/// The id of the root of all slices, which has no folder of its own.
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

/// Where a folder stands in systemd's order, to be asked of each step from the root down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Units may be found right below: the root, a slice, a user's manager.
    Manager,
    /// A unit's own, or none of systemd's: nothing below is a unit.
    Inside,
}

/// Reads the name of a folder that stands right below one of `Place::Manager`: the id of its
/// unit, if it is one, and what may be found below.
pub fn of_folder(name: &[u8]) -> (Option<&[u8]>, Place) {
    // An id that could be mistaken for one of the kernel's own files has a '_' before it.
    let id = name.strip_prefix(b"_").unwrap_or(name);
    if !has_type(id) {
        return (None, Place::Inside);
    }
    let holds_units =
        id.ends_with(b".slice") || id.starts_with(b"user@") && id.ends_with(b".service");
    (Some(id), if holds_units { Place::Manager } else { Place::Inside })
}

fn has_type(id: &[u8]) -> bool {
    TYPES.iter().any(|ending| id.len() > ending.len() && id.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn units(path: &str) -> Vec<String> {
        let mut place = Place::Manager;
        let mut units = Vec::new();
        for name in path.split('/') {
            if place == Place::Inside {
                break;
            }
            let (id, below) = of_folder(name.as_bytes());
            units.extend(id.map(|id| String::from_utf8_lossy(id).into_owned()));
            place = below;
        }
        units
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
