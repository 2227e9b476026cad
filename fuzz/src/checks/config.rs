//! The configuration file. A form feed, which no TOML contains, ends it: behind it is the first of the files
//! that it can include, and so on.

use super::output::{check_label, check_message};
use psstat::config;
use psstat::files::config::ReadConfigError;
use psstat::settings::Surroundings;
use psstat_core::model::units::Uid;
use psstat_core::select::selector::{Naming, PathPattern, Selector, Source, User};
use psstat_core::select::systemd;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Where the files are.
const DIRECTORY: &str = "/etc";
const MAIN: &str = "/etc/psstat.toml";

thread_local! {
    /// The texts of the files, by their paths.
    static FILES: RefCell<BTreeMap<PathBuf, String>> = const { RefCell::new(BTreeMap::new()) };
}

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

/// Those of a host with one user, and the files in [`FILES`].
pub fn surroundings() -> Surroundings {
    Surroundings {
        host: b"tengu".to_vec(),
        host_proc: None,
        host_sys: None,
        user: Uid(1000),
        find_user: |name| (name == "www-data").then_some(Uid(33)),
        read_config: |path| {
            let found = FILES.with_borrow(|files| files.get(path).cloned());
            found.ok_or(ReadConfigError::TooLong)
        },
        find_configs: |path| {
            let all = || FILES.with_borrow(|files| files.keys().cloned().collect());
            match path.to_str() {
                Some(path) if path.contains('!') => Err(ReadConfigError::Directory),
                Some(path) if path.contains('*') => Ok(all()),
                _ => Ok(vec![path.to_owned()]),
            }
        },
        variable,
        has_units: |_| true,
        is_v2: |_| false,
    }
}

/// The environment: of most names, half have a value.
fn variable(name: &str) -> Option<OsString> {
    match name {
        "EMPTY" => Some(OsString::new()),
        "BYTES" => Some(OsString::from_vec(vec![0xff])),
        "TWICE" => Some("${AB}$${AB}\"\n".into()),
        "TWO" => Some("2".into()),
        name => name.len().is_multiple_of(2).then(|| name.into()),
    }
}

/// Checks that the text is refused with lines that each name a line of a file, or that each of its keys
/// means something. Returns whether it is accepted.
pub fn check(bytes: &[u8]) -> bool {
    let Ok(texts) = std::str::from_utf8(bytes) else { return false };
    let mut texts = texts.split('\x0c');
    let main = texts.next().unwrap_or_default();
    let included = texts.enumerate().map(|(at, text)| {
        let path = Path::new(DIRECTORY).join(format!("{at}.toml"));
        (path, text.to_owned())
    });
    let mut files: BTreeMap<PathBuf, String> = included.collect();
    files.insert(PathBuf::from(MAIN), main.to_owned());
    FILES.set(files.clone());
    let surroundings = surroundings();
    let settings = match config::parse(Path::new(MAIN), main, &surroundings) {
        Ok(settings) => settings,
        Err(errors) => {
            for error in errors.iter() {
                check_message(&error.to_string());
                let lines = files[&error.path].bytes().filter(|&byte| byte == b'\n').count() + 1;
                assert!((1..=lines).contains(&error.line), "line {} of {lines}", error.line);
            }
            return false;
        }
    };
    assert_eq!(settings.files.first().map(|path| &**path), Some(Path::new(MAIN)));
    let distinct: BTreeSet<&PathBuf> = settings.files.iter().collect();
    assert_eq!(distinct.len(), settings.files.len(), "a file is read twice");
    let mut selectors = settings.selectors.iter();
    for path in &settings.files {
        let table: toml::Table = files[path].parse().expect("what is accepted is TOML");
        check_keys(table.keys(), if path == Path::new(MAIN) { &KEYS } else { &["group"] });
        let groups =
            table.get("group").map_or(&[][..], |groups| groups.as_array().expect("a list"));
        for group in groups {
            let group = group.as_table().expect("a table");
            check_keys(group.keys(), &KEYS_OF_GROUP);
            // One selector for each combination of the values.
            let values = |key| group.get(key).and_then(toml::Value::as_array).map_or(1, Vec::len);
            let combinations = LISTS.into_iter().map(values).product();
            let of_group: Vec<&Selector> = selectors.by_ref().take(combinations).collect();
            assert_eq!(of_group.len(), combinations, "a selector of each combination");
            for selector in &of_group {
                let place = selector.place.as_ref().expect("it was written somewhere");
                assert_eq!(Path::new(&place.file), path);
                check_selector(group, selector);
            }
            check_values(group, &of_group);
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

/// Each value of a list is in a selector, with the values of its environment variables, and nothing else is.
fn check_values(group: &toml::Table, selectors: &[&Selector]) {
    for key in LISTS {
        let values = match group.get(key) {
            None => continue,
            Some(toml::Value::Array(values)) => values.clone(),
            Some(value) => vec![value.clone()],
        };
        let values: BTreeSet<String> = values.iter().map(|value| meant(key, value)).collect();
        let known = selectors.iter().filter_map(|selector| value_of(key, selector));
        assert_eq!(known.collect::<BTreeSet<String>>(), values, "{key}");
    }
    if let Some(toml::Value::String(name)) = group.get("name") {
        let name = with_variables(name);
        for selector in selectors {
            if let Naming::Template(template, _) = &selector.naming {
                assert_eq!(template.as_str(), name);
            }
        }
    }
}

/// What a value of a list means.
fn meant(key: &str, value: &toml::Value) -> String {
    let text = match value {
        toml::Value::String(text) => with_variables(text),
        value => value.as_integer().expect("a number").to_string(),
    };
    match (key, value) {
        ("systemd", _) => systemd::expand(&text),
        ("cgroup", _) => text.trim_matches('/').to_owned(),
        ("user", toml::Value::String(_)) => text.parse().map_or(text, |uid: u32| uid.to_string()),
        _ => text,
    }
}

/// The value of a key that a selector has.
fn value_of(key: &str, selector: &Selector) -> Option<String> {
    let conditions = &selector.conditions;
    let exe = |is_glob: bool| {
        let exe = conditions.exe.as_ref().filter(|exe| exe.glob().is_some() == is_glob);
        exe.map(|exe| exe.as_str().to_owned())
    };
    match (key, &selector.source) {
        ("pid", Source::Pid(pid)) => Some(pid.to_string()),
        ("pid_file" | "pid_files", Source::PidFile(path)) => String::from_utf8(path.clone()).ok(),
        ("systemd", Source::Unit(glob)) => Some(glob.clone()),
        ("cgroup", Source::ControlGroup(PathPattern::Glob(glob))) => Some(glob.clone()),
        ("cgroup_regex", Source::ControlGroup(PathPattern::Regex(regex))) => Some(regex.clone()),
        ("pattern", _) => conditions.pattern.clone(),
        ("cmdline", _) => conditions.cmdline.clone(),
        ("exe", _) => exe(true),
        ("exe_regex", _) => exe(false),
        ("user", _) => Some(match conditions.user.as_ref()? {
            User::Named { name, .. } => name.clone(),
            User::Id(uid) => uid.0.to_string(),
        }),
        _ => None,
    }
}

/// A text in which each variable has its value. All have one, because the file was accepted.
fn with_variables(text: &str) -> String {
    let mut replaced = String::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let is_escaped = rest.starts_with("$$");
        let reference = reference(&rest[usize::from(is_escaped)..]);
        match reference {
            Some(whole) if is_escaped => {
                replaced.push_str(whole);
                at += 1 + whole.len();
            }
            Some(whole) => {
                let inner = &whole[2..whole.len() - 1];
                let mut parts = inner.splitn(2, ":-");
                let name = parts.next().unwrap_or_default();
                let value = variable(name).and_then(|value| value.into_string().ok());
                let value = match parts.next() {
                    Some(default) => {
                        value.filter(|value| !value.is_empty()).unwrap_or(default.into())
                    }
                    None => value.expect("the file was accepted"),
                };
                replaced.push_str(&value);
                at += whole.len();
            }
            None => {
                let first = rest.chars().next().expect("it is not empty");
                replaced.push(first);
                at += first.len_utf8();
            }
        }
    }
    replaced
}

/// `${NAME}` or `${NAME:-DEFAULT}` at the beginning of a text.
fn reference(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("${")?;
    let end = inner.find('}')?;
    let name = inner[..end].split(":-").next()?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    is_name.then(|| &text[..end + 3])
}

fn check_keys<'t>(keys: impl Iterator<Item = &'t String>, known: &[&str]) {
    for key in keys {
        assert!(known.contains(&key.as_str()), "nobody reads {key:?}");
    }
}
