//! The configuration file.

use super::output::{check_label, check_message};
use psstat::config;
use psstat::files::config::ReadConfigError;
use psstat::settings::Surroundings;
use psstat_core::model::units::Uid;
use psstat_core::select::selector::{Naming, Selector};
use std::collections::BTreeSet;
use std::path::Path;

/// The keys of packaging/psstat.toml.
pub const KEYS: [&str; 23] = [
    "include",
    "exclusive",
    "rest",
    "max_groups",
    "overflow",
    "host",
    "cache_dir",
    "cache_name",
    "wait",
    "interval",
    "fields",
    "memory",
    "format",
    "sort",
    "output",
    "proc",
    "sys",
    "timeout",
    "multi_threaded",
    "no_sandbox",
    "exit_records",
    "tags",
    "group",
];
/// Those of a `[[group]]`.
pub const KEYS_OF_GROUP: [&str; 17] = [
    "name",
    "pid",
    "pid_file",
    "pid_files",
    "systemd",
    "cgroup",
    "cgroup_regex",
    "pattern",
    "cmdline",
    "exe",
    "exe_regex",
    "user",
    "children",
    "fields",
    "max_groups",
    "overflow",
    "tags",
];

/// Those of a host with one user and no configuration file.
pub fn surroundings() -> Surroundings {
    Surroundings {
        host: b"tengu".to_vec(),
        host_proc: None,
        host_sys: None,
        user: Uid(1000),
        find_user: |name| (name == "www-data").then_some(Uid(33)),
        read_config: |_| Err(ReadConfigError::TooLong),
        find_configs: |_| Ok(Vec::new()),
        variable: |name| name.len().is_multiple_of(2).then(|| name.into()),
        has_units: |_| true,
    }
}

/// Checks that the text is refused with lines that each name a line of the file, or that each of its keys
/// means something. Returns whether it is accepted.
pub fn check(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let surroundings = surroundings();
    let settings = match config::parse(Path::new("/etc/psstat.toml"), text, &surroundings) {
        Ok(settings) => settings,
        Err(errors) => {
            let lines = bytes.iter().filter(|&&byte| byte == b'\n').count() + 1;
            for error in errors.iter() {
                check_message(&error.to_string());
                assert!((1..=lines).contains(&error.line), "line {} of {lines}", error.line);
            }
            return false;
        }
    };
    let table: toml::Table = text.parse().expect("what is accepted is TOML");
    check_keys(table.keys(), &KEYS);
    let groups = table.get("group").map_or(&[][..], |groups| groups.as_array().expect("a list"));
    let mut selectors = settings.selectors.iter();
    for group in groups {
        let group = group.as_table().expect("a table");
        check_keys(group.keys(), &KEYS_OF_GROUP);
        // One selector for each combination of the values.
        let values = |key| group.get(key).and_then(toml::Value::as_array).map_or(1, Vec::len);
        let combinations = LISTS.into_iter().map(values).product();
        for selector in selectors.by_ref().take(combinations) {
            check_selector(group, selector);
        }
    }
    assert_eq!(selectors.next(), None, "a selector of no group");
    let job = match settings.job(&surroundings) {
        Ok(job) => job,
        Err(error) => {
            check_message(&error.to_string());
            return false;
        }
    };
    for tags in &job.plan.tags {
        let keys: BTreeSet<&str> = tags.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys.len(), tags.len(), "a tag twice: {tags:?}");
        for (key, value) in tags {
            check_label(Some(key.as_str()));
            check_label(Some(value.as_str()));
        }
    }
    true
}

/// The keys of a group that take lists.
const LISTS: [&str; 11] = [
    "pid",
    "pid_file",
    "pid_files",
    "systemd",
    "cgroup",
    "cgroup_regex",
    "pattern",
    "cmdline",
    "exe",
    "exe_regex",
    "user",
];

fn check_selector(group: &toml::Table, selector: &Selector) {
    check_label(selector.name().map(|name| name.as_str()));
    assert_eq!(selector.naming != Naming::Own, group.contains_key("name"));
    let conditions = &selector.conditions;
    for (key, has) in [
        ("pattern", conditions.pattern.is_some()),
        ("cmdline", conditions.cmdline.is_some()),
        ("exe", conditions.exe.as_ref().is_some_and(|exe| exe.glob().is_some())),
        ("exe_regex", conditions.exe.as_ref().is_some_and(|exe| exe.glob().is_none())),
        ("user", conditions.user.is_some()),
    ] {
        assert_eq!(group.contains_key(key), has, "{key}");
    }
    let children = group.get("children").and_then(toml::Value::as_bool).unwrap_or(true);
    assert_eq!(selector.children, children);
    assert_eq!(selector.fields.is_some(), group.contains_key("fields"));
    let tags = group.get("tags").and_then(toml::Value::as_table).map_or(0, toml::Table::len);
    assert_eq!(selector.tags.len(), tags);
}

fn check_keys<'t>(keys: impl Iterator<Item = &'t String>, known: &[&str]) {
    for key in keys {
        assert!(known.contains(&key.as_str()), "nobody reads {key:?}");
    }
}
