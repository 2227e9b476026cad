//! What the commands for people show if nobody says what: every unit, or every process name.

use psstat_core::select::selector::{Conditions, Selector, Source};
use std::path::Path;

/// The directories of systemd below a hierarchy of control groups.
const OF_SYSTEMD: [&str; 2] = ["system.slice", "init.scope"];

/// The hierarchies in which systemd can have its units, below `fs/cgroup`.
const HIERARCHIES: [&str; 3] = ["", "unified", "systemd"];

/// Whether the control groups of systemd are in sight below `sys`, where sysfs is mounted.
pub fn has_units(sys: &Path) -> bool {
    HIERARCHIES.iter().any(|hierarchy| {
        let root = sys.join("fs/cgroup").join(hierarchy);
        OF_SYSTEMD.iter().any(|name| root.join(name).is_dir())
    })
}

/// Selects every service and scope of systemd, if the machine `has_units`; else every process, by its name. The
/// children of a process then belong to the groups of their own names: otherwise process 1 and each shell above
/// the others would have them too.
pub fn selectors(has_units: bool) -> Vec<Selector> {
    if has_units {
        let of = |glob: &str| Selector::new(None, Source::Unit(glob.to_owned()));
        return vec![of("*.service"), of("*.scope")];
    }
    let pattern = Some(".*".to_owned());
    let by_name = Selector::of_all(None, Conditions { pattern, ..Conditions::default() });
    vec![Selector { children: false, ..by_name }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_shown_where_systemd_has_control_groups() {
        let sys = tempfile::tempdir().unwrap();
        let terms = || -> Vec<String> {
            selectors(has_units(sys.path())).iter().map(Selector::terms).collect()
        };
        assert_eq!(terms(), ["pattern .*, children false"]);
        std::fs::create_dir_all(sys.path().join("fs/cgroup/systemd/system.slice")).unwrap();
        assert_eq!(terms(), ["systemd *.service", "systemd *.scope"]);
    }
}
