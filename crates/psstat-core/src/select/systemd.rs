//! How systemd names the control groups of its units, and how it expands the unit names that users
//! type.
//!
//! systemd makes a directory for each unit. Its name is the id of the unit, and it is below the
//! directories of its slices: `system.slice/nginx.service`,
//! `system.slice/system-worker.slice/worker@a-b.service`. A unit can make directories below its own.
//! These belong to the unit. None of them is a unit, even if its name looks like one. The exception
//! is `user@UID.service`: the systemd of that user runs units below it by the same rules.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

/// The suffixes of unit ids (systemd.unit(5)).
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

/// The id of the root of all slices. Its directory is the root of systemd's hierarchy.
const ROOT_SLICE: &[u8] = b"-.slice";

/// The unit in which systemd itself runs, that of the system and that of each user. systemd waits
/// for the processes of all its units, which run in other control groups.
pub const MANAGER_SCOPE: &[u8] = b"init.scope";

/// Expands a name as systemctl does: appends `.service`, unless the name is a glob or a full id.
pub fn expand(name: &str) -> String {
    if is_glob(name) || has_type(name.as_bytes()) {
        name.to_owned()
    } else {
        format!("{name}.service")
    }
}

/// Whether a name can match more than one unit.
pub fn is_glob(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// Whether each unit of that type has a file. Slices, scopes, devices, mounts, automounts and swaps can exist
/// without one (systemd.slice(5), systemd.mount(5)).
pub fn has_file(id: &str) -> bool {
    [".service", ".socket", ".target", ".timer", ".path"]
        .iter()
        .any(|of_type| id.ends_with(of_type))
}

/// The name of a unit in the output: its id without `.service`.
pub fn display_name(id: &[u8]) -> &[u8] {
    id.strip_suffix(b".service").unwrap_or(id)
}

/// A position in the hierarchy of control groups. A walk begins at [`Position::root`] and calls
/// [`Position::enter`] for each directory that it enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position<'a> {
    /// Above systemd's root, which has this path below the position.
    Above(&'a [u8]),
    /// In a directory that can have units directly below it: systemd's root, or a slice.
    Manager,
    /// Inside a unit, or in a directory that systemd did not make. Nothing below it is a unit of the
    /// system. The units of a user's systemd are below `user@UID.service`: the user can give them any
    /// name, so they must not join the group of a unit of the system.
    Inside,
}

impl<'a> Position<'a> {
    /// Returns the unit of the root of the hierarchy, if it is one, and its position. `manager` is
    /// the path of systemd's root below it, which is empty except in some containers.
    pub fn root(manager: &'a [u8]) -> (Option<&'static [u8]>, Position<'a>) {
        if manager.is_empty() {
            (Some(ROOT_SLICE), Position::Manager)
        } else {
            (None, Position::Above(manager))
        }
    }

    /// Returns the unit of the directory `name` below this position, if it is one, and the position
    /// inside the directory.
    pub fn enter<'n>(self, name: &'n [u8]) -> (Option<&'n [u8]>, Position<'a>) {
        match self {
            Position::Above(path) => match path.strip_prefix(name) {
                Some([]) => (Some(ROOT_SLICE), Position::Manager),
                Some([b'/', rest @ ..]) => (None, Position::Above(rest)),
                _ => (None, Position::Inside),
            },
            Position::Manager => {
                // systemd puts a `_` before an id that could be the name of a file of the kernel.
                let id = name.strip_prefix(b"_").unwrap_or(name);
                if !has_type(id) {
                    return (None, Position::Inside);
                }
                let holds_units = id.ends_with(b".slice");
                (Some(id), if holds_units { Position::Manager } else { Position::Inside })
            }
            Position::Inside => (None, Position::Inside),
        }
    }
}

/// Returns the unit that a control group is in: the innermost one whose directory is on its path. `manager`
/// is the path of systemd's root, as for [`Position::root`].
///
/// *Example:* `system.slice/nginx.service/workers` is in `nginx.service`.
pub fn unit_of<'p>(manager: &[u8], path: &'p [u8]) -> Option<&'p [u8]> {
    let (root, mut position) = Position::root(manager);
    let mut innermost = root;
    for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
        let (unit, inside) = position.enter(name);
        innermost = unit.or(innermost);
        position = inside;
    }
    innermost
}

fn has_type(id: &[u8]) -> bool {
    TYPES.iter().any(|ending| id.len() > ending.len() && id.ends_with(ending))
}

/// The type of a unit with its dot, as in `.service`. `None` if the id has none.
pub fn type_of(id: &str) -> Option<&str> {
    has_type(id.as_bytes()).then(|| id.rfind('.')).flatten().map(|dot| &id[dot..])
}

/// The id of a unit that a template makes: `NAME@INSTANCE.TYPE` (systemd.unit(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template<'i> {
    name: &'i str,
    instance: &'i str,
    /// With its dot.
    of_type: &'i str,
}

impl<'i> Template<'i> {
    /// The parts of an id. `None` if it is not that of an instance.
    pub fn of(id: &'i str) -> Option<Template<'i>> {
        let of_type = type_of(id)?;
        let (name, instance) = id.strip_suffix(of_type)?.split_once('@')?;
        (!instance.is_empty()).then_some(Template { name, instance, of_type })
    }

    /// What is between the `@` and the type.
    pub fn instance(&self) -> &'i str {
        self.instance
    }

    /// The name of the template's file.
    pub fn file_name(&self) -> String {
        let Template { name, of_type, .. } = self;
        format!("{name}@{of_type}")
    }

    /// The same instance of another template. `None` if that is not the file of a template.
    pub fn instance_of(&self, file: &str) -> Option<String> {
        let Template { instance, of_type, .. } = self;
        let name = file.strip_suffix(of_type)?.strip_suffix('@')?;
        Some(format!("{name}@{instance}{of_type}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn names_expand_like_systemctl() {
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

    #[test]
    fn an_instance_has_a_template() {
        let parts = |id| Template::of(id).map(|template| template.file_name());
        assert_eq!(parts("postgresql@15-main.service").as_deref(), Some("postgresql@.service"));
        assert_eq!(parts("a@b@c.timer").as_deref(), Some("a@.timer"));
        for id in ["nginx.service", "postgresql@.service", "postgresql@15", ".service"] {
            assert_eq!(parts(id), None, "{id}");
        }
        let template = Template::of("pg@15.service").unwrap();
        assert_eq!(template.instance_of("sql@.service").as_deref(), Some("sql@15.service"));
        assert_eq!(template.instance_of("sql.service"), None);
        assert_eq!((type_of("a.b.socket"), type_of(".service")), (Some(".socket"), None));
    }

    /// The units in a path, from the root down.
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
    fn a_container_can_have_its_own_systemd_root() {
        let units = |path| units_below("docker/abc", path);
        assert_eq!(
            units("docker/abc/system.slice/x.service"),
            ["-.slice", "system.slice", "x.service"]
        );
        assert_eq!(units("docker/abcd/system.slice"), [""; 0]);
        assert_eq!(units("system.slice/x.service"), [""; 0]);
    }

    #[test]
    fn a_path_contains_slices_and_one_unit() {
        assert_eq!(units("system.slice/nginx.service"), ["system.slice", "nginx.service"]);
        assert_eq!(
            units("system.slice/system-worker.slice/worker@web\\x2d1.service"),
            ["system.slice", "system-worker.slice", "worker@web\\x2d1.service"]
        );
        assert_eq!(units("init.scope"), ["init.scope"]);
        assert_eq!(units("system.slice/_cpu.service"), ["system.slice", "cpu.service"]);
    }

    #[test]
    fn the_unit_of_a_path_is_the_innermost() {
        for (manager, path, unit) in [
            ("", "system.slice/nginx.service/workers", Some("nginx.service")),
            ("", "system.slice/system-a.slice", Some("system-a.slice")),
            ("", "", Some("-.slice")),
            ("", "docker/x", Some("-.slice")),
            ("docker/x", "docker/x/system.slice/a.service", Some("a.service")),
            ("docker/x", "docker/y/system.slice/a.service", None),
        ] {
            let found = unit_of(manager.as_bytes(), path.as_bytes());
            assert_eq!(found, unit.map(str::as_bytes), "{path}");
        }
    }

    #[test]
    fn directories_below_a_unit_are_not_units() {
        assert_eq!(
            units("machine.slice/box.scope/payload/system.slice/nginx.service"),
            ["machine.slice", "box.scope"]
        );
        assert_eq!(units("system.slice/d.service/x.service"), ["system.slice", "d.service"]);
        assert_eq!(units("docker/0123abcd/nginx.service"), [""; 0]);
    }

    #[test]
    fn what_a_users_systemd_starts_is_no_unit_of_the_system() {
        assert_eq!(
            units("user.slice/user-1500.slice/user@1500.service/app.slice/uapp.service"),
            ["user.slice", "user-1500.slice", "user@1500.service"]
        );
    }
}
