//! A selector: one `--pid`, `--pattern`, ... of the command line, or one `[[group]]` of the
//! configuration file.
//!
//! A selector has a source, which produces candidates, and conditions, all of which a candidate
//! must meet. An option of the command line is either a source, or one condition on all processes.
//! A `[[group]]` can combine a source with several conditions.

use crate::model::label::Label;
use crate::model::units::{Pid, Uid};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// Which processes to pick as roots, and the name of their group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The name of the group. `None` groups the roots by their own names.
    pub name: Option<Label>,
    /// Where candidates come from.
    pub source: Source,
    /// The conditions that a candidate must meet.
    pub conditions: Conditions,
    /// Whether the descendants of the roots belong to the group.
    pub children: bool,
    /// Tags of the group, in addition to the common tags.
    pub tags: Vec<(Label, Label)>,
    /// Where it was written. `None` if it was typed on the command line.
    pub place: Option<Place>,
}

/// A line of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The path of the file.
    pub file: String,
    /// The number of the line.
    pub line: usize,
}

/// Where a selector's candidates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// All processes.
    All,
    /// The process with that pid.
    Pid(Pid),
    /// The process whose pid is in the file with that path.
    PidFile(Vec<u8>),
    /// The processes of every systemd unit whose id matches the glob, which
    /// [`systemd::expand`](super::systemd::expand) has expanded.
    Unit(String),
    /// The processes of every control group whose path below the root matches the glob. The path
    /// has no slash at the beginning. An empty glob is the root.
    ControlGroup(String),
}

/// What a candidate must meet to become a root: every condition that is not `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Its name (`comm`) matches the regex.
    pub pattern: Option<String>,
    /// Its command line matches the regex.
    pub cmdline: Option<String>,
    /// The path of its executable matches the glob.
    pub exe: Option<String>,
    /// Its effective user is this one.
    pub user: Option<User>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// The user with this id.
    Id(Uid),
    /// The user with this name, whose id is not known yet. No process is known to be his.
    Named(String),
}

impl Conditions {
    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        *self == Conditions::default()
    }
}

impl Selector {
    /// A selector that picks every candidate of a source, with its descendants.
    pub fn new(name: Option<Label>, source: Source) -> Selector {
        let conditions = Conditions::default();
        Selector { name, source, conditions, children: true, tags: Vec::new(), place: None }
    }

    /// A selector that picks all processes that meet the conditions, with their descendants.
    pub fn of_all(name: Option<Label>, conditions: Conditions) -> Selector {
        Selector { conditions, ..Selector::new(name, Source::All) }
    }

    /// Whether whole control groups are picked, and not single processes in them.
    pub fn takes_control_groups(&self) -> bool {
        self.source.is_control_group() && self.conditions.is_empty()
    }

    /// Whether single processes are picked by what they are, and not by their pid. If `/proc` hides
    /// processes, nobody knows which.
    pub fn picks_among_processes(&self) -> bool {
        match self.source {
            Source::All => true,
            Source::Pid(_) | Source::PidFile(_) => false,
            Source::Unit(_) | Source::ControlGroup(_) => !self.conditions.is_empty(),
        }
    }

    /// Bytes that identify this selector. Different selectors have different keys.
    pub fn key(&self) -> Vec<u8> {
        let name = self.name.as_ref().map_or("", |name| name.as_str());
        let mut key = Vec::new();
        let mut put = |part: &[u8]| {
            // The length comes first, so that two lists of parts never have the same bytes.
            key.extend_from_slice(&part.len().to_le_bytes());
            key.extend_from_slice(part);
        };
        put(name.as_bytes());
        for (property, value) in self.properties() {
            put(property.as_bytes());
            put(&value);
        }
        key
    }

    /// The source and the conditions, each as its key in the configuration file and its value.
    fn properties(&self) -> Vec<(&'static str, Vec<u8>)> {
        let text = |text: &String| text.clone().into_bytes();
        let source = match &self.source {
            Source::All => None,
            Source::Pid(pid) => Some(("pid", pid.to_string().into_bytes())),
            Source::PidFile(path) => Some(("pid_file", path.clone())),
            Source::Unit(glob) => Some(("systemd", text(glob))),
            Source::ControlGroup(glob) => Some(("cgroup", text(glob))),
        };
        let Conditions { pattern, cmdline, exe, user } = &self.conditions;
        let conditions = [
            ("pattern", pattern.as_ref().map(text)),
            ("cmdline", cmdline.as_ref().map(text)),
            ("exe", exe.as_ref().map(text)),
            ("user", user.as_ref().map(|user| user.to_string().into_bytes())),
        ];
        let conditions = conditions.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let alone = (!self.children).then(|| ("children", b"false".to_vec()));
        source.into_iter().chain(conditions).chain(alone).collect()
    }

    /// What it selects, and where that was written: `pattern ^nginx$ (psstat.toml:12)`.
    pub fn terms_and_place(&self) -> String {
        let terms = self.terms();
        self.place.as_ref().map_or_else(|| terms.clone(), |place| format!("{terms} ({place})"))
    }

    /// What it selects, without its name: `pattern ^nginx$, user www-data`.
    pub fn terms(&self) -> String {
        let term = |(property, value): (&str, &[u8])| {
            let is_root = property == "cgroup" && value.is_empty();
            format!("{property} {}", Label::lossy(if is_root { b"/" } else { value }))
        };
        let properties = self.properties();
        let terms = properties.iter().map(|(property, value)| term((*property, &value[..])));
        terms.collect::<Vec<String>>().join(", ")
    }
}

impl fmt::Display for Selector {
    /// Writes the name, and the source and conditions, for users.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{name}:")?,
            None => f.write_str("(by their own names):")?,
        }
        write!(f, " {}", self.terms())
    }
}

impl fmt::Display for Place {
    /// Writes the name of the file, without its directory, and the line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.file.rsplit('/').next().unwrap_or_default();
        write!(f, "{}:{}", Label::lossy(name.as_bytes()), self.line)
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            User::Id(uid) => write!(f, "{}", uid.0),
            User::Named(name) => f.write_str(name),
        }
    }
}

impl Source {
    /// Whether the candidates are those in control groups.
    fn is_control_group(&self) -> bool {
        matches!(self, Source::Unit(_) | Source::ControlGroup(_))
    }
}

/// Returns the FNV-1a hash, 64 bits, of a [`Selector::key`]. It stays the same in every version of
/// psstat. The hashes of the standard library do not guarantee this.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Whether a character can be in the name before the `:` of a value.
pub fn can_be_in_name(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '.' | '-' | '@' | ' ')
}

/// Splits `NAME:VALUE`. There is a name only if every character before the first `:` is allowed in
/// one, so `[[:alpha:]]+`, `(?:a|b)` and `/run/a:b.pid` are values. A leading `:` means "no name".
pub fn split_name(text: &str) -> (Option<&str>, &str) {
    match text.split_once(':') {
        Some(("", value)) => (None, value),
        Some((name, value)) if name.chars().all(can_be_in_name) => (Some(name), value),
        _ => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;

    #[test]
    fn only_a_valid_name_is_split_off() {
        for (text, name, value) in [
            ("nginx", None, "nginx"),
            ("web:nginx", Some("web"), "nginx"),
            ("n:a:b", Some("n"), "a:b"),
            (":std::x", None, "std::x"),
            ("[[:alpha:]]+", None, "[[:alpha:]]+"),
            ("(?:a|b)", None, "(?:a|b)"),
            ("/run/a:b.pid", None, "/run/a:b.pid"),
            ("my web-1.x@y_z:/run/a:b.pid", Some("my web-1.x@y_z"), "/run/a:b.pid"),
            ("größe:x", Some("größe"), "x"),
            ("a*b:c", None, "a*b:c"),
            ("x:", Some("x"), ""),
        ] {
            assert_eq!(split_name(text), (name, value), "{text}");
        }
    }

    #[test]
    fn different_selectors_have_different_keys() {
        let label = |text: &str| Some(Label::lossy(text.as_bytes()));
        let pattern = |name, regex: &str| {
            let pattern = Some(regex.to_owned());
            Selector::of_all(name, Conditions { pattern, ..Conditions::default() })
        };
        let cmdline = |regex: &str| {
            let cmdline = Some(regex.to_owned());
            Selector::of_all(None, Conditions { cmdline, ..Conditions::default() })
        };
        let mut childless = pattern(None, "a");
        childless.children = false;
        let mut bound = pattern(None, "a");
        bound.conditions.user = Some(User::Id(Uid(0)));
        let all = [
            pattern(None, "a"),
            pattern(None, "b"),
            pattern(label("a"), "a"),
            pattern(label("a"), ""),
            cmdline("a"),
            childless,
            bound,
            Selector::new(None, Source::Unit("a".to_owned())),
            Selector::new(None, Source::ControlGroup("a".to_owned())),
            Selector::new(None, Source::PidFile(b"a".to_vec())),
            Selector::new(None, Source::Pid(Pid::new(1))),
        ];
        for (index, one) in all.iter().enumerate() {
            for (other_index, other) in all.iter().enumerate() {
                assert_eq!(one.key() == other.key(), index == other_index, "{one} and {other}");
            }
        }
    }

    #[test]
    fn display_shows_what_a_selector_picks() {
        let mut selector =
            Selector::new(Some(Label::lossy(b"web")), Source::PidFile(b"/run/nginx.pid".to_vec()));
        selector.conditions.exe = Some("*/nginx".to_owned());
        selector.children = false;
        let text = "web: pid_file /run/nginx.pid, exe */nginx, children false";
        assert_eq!(selector.to_string(), text);
        let root = Selector::new(None, Source::ControlGroup(String::new()));
        assert_eq!(root.terms(), "cgroup /");
    }
}
