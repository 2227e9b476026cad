//! Settings that are valid and cannot do what was meant. psstat warns of them, and measures all the same.
//! Pure.
//!
//! *Example:* `--exe web:nginx` never matches, because the path of an executable begins with a slash.

use psstat_core::model::label::excerpt;
use psstat_core::model::process::LONGEST_COMM;
use psstat_core::select::matcher::{is_itself_escaped, literal_start};
use psstat_core::select::selector::{Conditions, Naming, PathPattern, Selector, Source};
use std::path::Path;
use thiserror::Error;

/// A setting that cannot do what was meant. The text says how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Mistake {
    /// The text of a `--pattern` is longer than names are.
    #[error(
        "--pattern {0} never matches a program, because the kernel keeps only {LONGEST_COMM} bytes of \
         its name: use the first {LONGEST_COMM} bytes, --cmdline or --exe"
    )]
    LongName(String),
    /// The glob of an `--exe` matches no absolute path.
    #[error(
        "--exe {0} never matches, because it must match the whole path, which begins with a slash: \
         write */{0}"
    )]
    NoSlash(String),
    /// The regex of an `exe_regex` matches no absolute path.
    #[error(
        "exe_regex {0} never matches, because the path of an executable begins with a slash: begin the regex \
         with ^/, or leave out the ^"
    )]
    NoSlashInRegex(String),
    /// The regex of a `cgroup_regex` matches no path below the root.
    #[error(
        "cgroup_regex {0} never matches, because paths of control groups begin below the mount point and \
         without a slash, as in ^system\\.slice/: leave out what is in front"
    )]
    MountPointInRegex(String),
    /// The value after `NAME:` begins with a space.
    #[error(
        "{option} {typed:?}: the value begins with a space, which must match too: remove the space{or}"
    )]
    Space {
        /// The option.
        option: String,
        /// What was typed, shortened if it is long.
        typed: String,
        /// What else to do.
        or: &'static str,
    },
    /// The path of a `--cgroup` begins with the mount point.
    #[error(
        "--cgroup {typed}: paths of control groups begin below the mount point: psstat uses {used}"
    )]
    MountPoint {
        /// The path.
        typed: String,
        /// What is left of it.
        used: String,
    },
    /// An option that means nothing to this command.
    #[error("{command} ignores {option}: {reason}")]
    NoEffect {
        /// The command.
        command: &'static str,
        /// The option.
        option: &'static str,
        /// Why it means nothing.
        reason: &'static str,
    },
}

/// What can be mounted below `fs/cgroup`: that of version 2 in hybrid mode, those without a controller, and those of
/// the controllers of version 1, of which several can be mounted together, as in `cpu,cpuacct`.
const HIERARCHIES: [&str; 4] = ["unified", "systemd", "elogind", "openrc"];
const CONTROLLERS: [&str; 14] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
    "rdma",
];

/// Takes the mount point off the paths of control groups, and returns all mistakes of these selectors. `sys`
/// is where sysfs is mounted, and `is_v2` whether version 2 alone is mounted there: then what is below has no
/// hierarchies, and a control group may be called as one.
pub fn correct(selectors: &mut [Selector], sys: &Path, is_v2: impl Fn() -> bool) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for selector in selectors {
        let Conditions { pattern, exe, .. } = &selector.conditions;
        if let Some(regex) = pattern
            && literal_length(regex).is_some_and(|length| length > LONGEST_COMM)
        {
            mistakes.push(Mistake::LongName(excerpt(regex).into_owned()));
        }
        if let Some(glob) = exe.as_ref().and_then(PathPattern::glob)
            && !glob.starts_with(['/', '\\', '*', '?', '['])
            && !is_behind_space(glob, selector)
        {
            mistakes.push(Mistake::NoSlash(excerpt(glob).into_owned()));
        }
        if let Some(pattern @ PathPattern::Regex(regex)) = exe
            && !literal_start(pattern).is_empty()
            && !literal_start(pattern).starts_with('/')
        {
            mistakes.push(Mistake::NoSlashInRegex(excerpt(regex).into_owned()));
        }
        if let Source::ControlGroup(pattern @ PathPattern::Regex(regex)) = &selector.source {
            let start = literal_start(pattern);
            let plain = regex.trim_start_matches('^').replace('\\', "");
            if start.starts_with('/')
                || below_mount_point(plain.trim_matches('/'), sys, &is_v2).is_some()
            {
                mistakes.push(Mistake::MountPointInRegex(excerpt(regex).into_owned()));
            }
        }
        if let Source::ControlGroup(PathPattern::Glob(path)) = &mut selector.source
            && let Some(used) = below_mount_point(path, sys, &is_v2)
        {
            let used = used.to_owned();
            let typed = std::mem::replace(path, used.clone());
            let used = if used.is_empty() { "/".into() } else { excerpt(&used).into_owned() };
            mistakes.push(Mistake::MountPoint { typed: format!("/{}", excerpt(&typed)), used });
        }
    }
    mistakes
}

/// Whether a space is all that is wrong with the glob of an `--exe`: there is another warning for that.
fn is_behind_space(glob: &str, selector: &Selector) -> bool {
    let is_typed = selector.place.is_none() && selector.naming != Naming::Own;
    is_typed && glob.starts_with(' ')
}

/// The length of the text that a regex matches, in bytes, if that is one text. `None` if the regex matches
/// several.
fn literal_length(regex: &str) -> Option<usize> {
    let text = regex.strip_prefix("(?i)").unwrap_or(regex);
    let text = text.strip_prefix('^').unwrap_or(text);
    let text = text.strip_suffix('$').unwrap_or(text);
    let mut length = 0;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let literal = match character {
            '\\' => characters.next().filter(|&escaped| is_itself_escaped(escaped))?,
            '.' | '+' | '*' | '?' | '(' | ')' | '|' | '[' | ']' | '{' | '}' | '^' | '$' => {
                return None;
            }
            character => character,
        };
        length += literal.len_utf8();
    }
    Some(length)
}

/// What is below the mount point of control groups. `None` if the path does not begin with it. `path` has no
/// slash at either end.
fn below_mount_point<'p>(path: &'p str, sys: &Path, is_v2: &impl Fn() -> bool) -> Option<&'p str> {
    let given = sys.join("fs/cgroup");
    let below = ["sys/fs/cgroup", given.to_str().unwrap_or_default().trim_start_matches('/')]
        .into_iter()
        .find_map(|mount_point| below_directory(path, mount_point))?;
    let (first, inside) = below.split_once('/').unwrap_or((below, ""));
    let is_hierarchy = HIERARCHIES.contains(&first)
        || first.split(',').all(|controller| CONTROLLERS.contains(&controller));
    Some(if is_hierarchy && !is_v2() { inside.trim_start_matches('/') } else { below })
}

/// What is below a directory, without a slash in front.
fn below_directory<'p>(path: &'p str, directory: &str) -> Option<&'p str> {
    match path.strip_prefix(directory)? {
        "" => Some(""),
        below => below.strip_prefix('/').map(|below| below.trim_start_matches('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use psstat_core::model::label::Label;
    use psstat_core::select::selector::Place;

    fn of_all(set: impl FnOnce(&mut Conditions)) -> Selector {
        let mut conditions = Conditions::default();
        set(&mut conditions);
        Selector::of_all(None, conditions)
    }

    fn mistakes_of(selector: Selector) -> Vec<Mistake> {
        correct(&mut [selector], Path::new("/host/sys"), || false)
    }

    #[test]
    fn a_literal_longer_than_a_name_never_matches() {
        let is_mistake = |regex: &str| {
            !mistakes_of(of_all(|conditions| conditions.pattern = Some(regex.into()))).is_empty()
        };
        for regex in
            ["gunicorn-worker1", "^gunicorn-worker1$", "(?i)a\\.3456789abcdefg", "éééééééé"]
        {
            assert!(is_mistake(regex), "{regex}");
        }
        for regex in [
            "gunicorn-worker",
            "^gunicorn-worker$",
            "gunicorn-worker1?",
            "mysqld|mariadbd|postgres",
            "[a-z0-9_-]+worker",
            "\\x20\\x20\\x20\\x20\\x20",
            "",
        ] {
            assert!(!is_mistake(regex), "{regex}");
        }
    }

    #[test]
    fn the_path_of_an_executable_begins_with_a_slash() {
        let is_mistake = |glob: &str| {
            !mistakes_of(of_all(|conditions| conditions.exe = Some(PathPattern::Glob(glob.into()))))
                .is_empty()
        };
        for glob in ["nginx", "usr/sbin/nginx", "nginx*", "n/*"] {
            assert!(is_mistake(glob), "{glob}");
        }
        for glob in ["/usr/sbin/nginx", "*nginx", "*/nginx", "?usr/*", "[/]usr/*", "\\/usr/*"] {
            assert!(!is_mistake(glob), "{glob}");
        }
    }

    #[test]
    fn a_space_behind_the_name_is_not_also_a_missing_slash() {
        let with_glob = |glob: &str, name: Option<Label>| {
            let exe = Some(PathPattern::Glob(glob.into()));
            Selector::of_all(name, Conditions { exe, ..Conditions::default() })
        };
        let name = || Label::new(b"web");
        assert_eq!(mistakes_of(with_glob(" */nginx", name())), [], "another warning says it");
        assert_eq!(mistakes_of(with_glob("nginx", name())).len(), 1);
        assert_eq!(mistakes_of(with_glob(" nginx", None)).len(), 1);
        let place = Some(Place { file: "x.toml".into(), line: 1 });
        let in_file = Selector { place, ..with_glob(" nginx", name()) };
        assert_eq!(mistakes_of(in_file).len(), 1);
    }

    #[test]
    fn a_regex_that_begins_elsewhere_than_a_path_never_matches() {
        let of_exe = |regex: &str| {
            let exe = Some(PathPattern::Regex(regex.into()));
            mistakes_of(of_all(|conditions| conditions.exe = exe))
        };
        for regex in ["^nginx", "^usr/sbin/(?P<x>.*)$", r"^\.x"] {
            assert_eq!(of_exe(regex), [Mistake::NoSlashInRegex(regex.into())]);
        }
        for regex in
            ["nginx", "^/usr", r"^\/usr", "^(/usr|/opt)", "^n|^/usr", "^n?/usr", "^.*x", "^"]
        {
            assert_eq!(of_exe(regex), [], "{regex}");
        }
        let of_path = |regex: &str| {
            let source = Source::ControlGroup(PathPattern::Regex(regex.into()));
            mistakes_of(Selector::new(None, source))
        };
        for regex in [
            "^/system.slice",
            r"^\/system\.slice",
            "^/sys/fs/cgroup/system.slice",
            "/sys/fs/cgroup/system.slice",
            "^sys/fs/cgroup/docker",
            "^/host/sys/fs/cgroup/docker",
        ] {
            assert_eq!(of_path(regex), [Mistake::MountPointInRegex(regex.into())]);
        }
        for regex in ["^system", "/docker", "^(/a|b)", "^/?a", "sys/fs/cgroups", ""] {
            assert_eq!(of_path(regex), [], "{regex}");
        }
    }

    #[test]
    fn the_mount_point_of_control_groups_is_taken_off() {
        for (path, expected) in [
            ("sys/fs/cgroup/system.slice/a.service", Some("system.slice/a.service")),
            ("sys/fs/cgroup", Some("")),
            ("sys/fs/cgroup/systemd/system.slice/*", Some("system.slice/*")),
            ("host/sys/fs/cgroup/cpu,cpuacct/docker", Some("docker")),
            ("sys/fs/cgroup//docker/*", Some("docker/*")),
            ("sys/fs/cgroup/memory/docker/*", Some("docker/*")),
            ("sys/fs/cgroup/net_cls,net_prio//docker", Some("docker")),
            ("sys/fs/cgroup/blkio", Some("")),
            ("host/sys/fs/cgroup/openrc/sshd", Some("sshd")),
            ("sys/fs/cgroup/memory.slice/a", Some("memory.slice/a")),
            ("sys/fs/cgroup/cpu,web/a", Some("cpu,web/a")),
            ("sys/fs/cgroups/a", None),
            ("system.slice/a.service", None),
            ("*/fs/cgroup/a", None),
        ] {
            let source = |path: &str| Source::ControlGroup(PathPattern::Glob(path.into()));
            let mut selectors = [Selector::new(None, source(path))];
            let mistakes = correct(&mut selectors, Path::new("/host/sys"), || false);
            assert_eq!(selectors[0].source, source(expected.unwrap_or(path)), "{path}");
            assert_eq!(mistakes.len(), usize::from(expected.is_some()), "{path}");
        }
    }

    #[test]
    fn a_control_group_may_be_called_as_a_hierarchy_where_there_are_none() {
        for name in ["memory", "systemd", "cpu,cpuacct"] {
            let source = |path: String| Source::ControlGroup(PathPattern::Glob(path));
            let mut selectors = [Selector::new(None, source(format!("sys/fs/cgroup/{name}/x")))];
            assert_eq!(correct(&mut selectors, Path::new("/sys"), || true).len(), 1);
            assert_eq!(selectors[0].source, source(format!("{name}/x")));
        }
    }
}
