//! A selector: one `--pid`, `--pattern`, ... of the command line, or one `[[group]]` of the
//! configuration file.
//!
//! A selector has a source, which produces candidates, and conditions, all of which a candidate
//! must meet. An option of the command line is either a source, or one condition on all processes.
//! A `[[group]]` can combine a source with several conditions.

use super::template::{Bound, Template, placeholder_end};
use crate::field::Fields;
use crate::model::label::Label;
use crate::model::units::{Pid, Uid};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

/// Which processes to pick as roots, and the name of their group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// How its groups are named.
    pub naming: Naming,
    /// Where candidates come from.
    pub source: Source,
    /// The conditions that a candidate must meet.
    pub conditions: Conditions,
    /// Whether the descendants of the roots belong to the group.
    pub children: bool,
    /// Tags of the group, in addition to the common tags.
    pub tags: Vec<(Label, Label)>,
    /// The fields of the group's lines. `None` means those of the plan.
    pub fields: Option<Fields>,
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

/// How the groups of a selector are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Naming {
    /// Each root process or control group by its own name.
    #[default]
    Own,
    /// All are one group, which the user named.
    Given(Label),
    /// Each by a name that is made of what was matched.
    Template(Template, Bound),
}

impl Naming {
    /// Reads a name that a user typed. `None` if nothing of it can be printed.
    pub fn parse(text: &str, bound: Bound) -> Option<Naming> {
        match Template::parse(text) {
            Some(template) => Some(Naming::Template(template, bound)),
            None => Label::new(text.as_bytes()).map(Naming::Given),
        }
    }
}

impl From<Option<Label>> for Naming {
    fn from(name: Option<Label>) -> Naming {
        name.map_or(Naming::Own, Naming::Given)
    }
}

/// What a path must match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPattern {
    /// A glob, which matches the whole path.
    Glob(String),
    /// A regex, which matches anywhere in the path.
    Regex(String),
}

impl PathPattern {
    /// The text as the user typed it.
    pub fn as_str(&self) -> &str {
        let (PathPattern::Glob(text) | PathPattern::Regex(text)) = self;
        text
    }

    /// The glob, if it is one.
    pub fn glob(&self) -> Option<&str> {
        match self {
            PathPattern::Glob(glob) => Some(glob),
            PathPattern::Regex(_) => None,
        }
    }

    /// The name of the property that has this value: one of these two.
    pub fn key(&self, glob: &'static str, regex: &'static str) -> &'static str {
        if self.glob().is_some() { glob } else { regex }
    }
}

/// Where a selector's candidates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// All processes.
    All,
    /// All processes that no other group has.
    Rest,
    /// The process with that pid.
    Pid(Pid),
    /// The process whose pid is in the file with that path, or in any file that matches it.
    PidFile(Vec<u8>),
    /// The processes of every systemd unit whose id matches the glob, which
    /// [`systemd::expand`](super::systemd::expand) has expanded.
    Unit(String),
    /// The processes of every control group whose path below the root matches. The path has no slash
    /// at the beginning. An empty glob is the root.
    ControlGroup(PathPattern),
}

/// What a candidate must meet to become a root: every condition that is not `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Its name (`comm`) matches the regex.
    pub pattern: Option<String>,
    /// Its command line matches the regex.
    pub cmdline: Option<String>,
    /// The path of its executable matches.
    pub exe: Option<PathPattern>,
    /// Its effective user is this one.
    pub user: Option<User>,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// The user with this id.
    Id(Uid),
    /// The user with this name.
    Named {
        /// The name.
        name: String,
        /// The user's id. `None` if it is not known yet: then no process is known to be his.
        id: Option<Uid>,
    },
}

impl User {
    /// The user's id, if it is known.
    pub fn id(&self) -> Option<Uid> {
        match self {
            User::Id(id) => Some(*id),
            User::Named { id, .. } => *id,
        }
    }

    /// The user with this name, whose id is not known.
    pub fn named(name: &str) -> User {
        User::Named { name: name.to_string(), id: None }
    }
}

impl Conditions {
    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        *self == Conditions::default()
    }
}

impl Selector {
    /// A selector that picks every candidate of a source, with its descendants.
    pub fn new(naming: impl Into<Naming>, source: Source) -> Selector {
        let (naming, conditions) = (naming.into(), Conditions::default());
        let tags = Vec::new();
        Selector { naming, source, conditions, children: true, tags, fields: None, place: None }
    }

    /// A selector that picks all processes that meet the conditions, with their descendants.
    pub fn of_all(naming: impl Into<Naming>, conditions: Conditions) -> Selector {
        Selector { conditions, ..Selector::new(naming, Source::All) }
    }

    /// A selector that picks the processes that no other group has.
    pub fn of_rest(name: Label) -> Selector {
        // Each is picked by its name, whatever that is.
        let conditions = Conditions { pattern: Some(String::new()), ..Conditions::default() };
        Selector { conditions, ..Selector::new(Some(name), Source::Rest) }
    }

    /// The name of its group, if the user gave it one.
    pub fn name(&self) -> Option<&Label> {
        match &self.naming {
            Naming::Given(name) => Some(name),
            Naming::Own | Naming::Template(..) => None,
        }
    }

    /// Whether whole control groups are picked, and not single processes in them.
    pub fn takes_control_groups(&self) -> bool {
        self.source.is_control_group() && self.conditions.is_empty()
    }

    /// Whether single processes are picked by what they are, and not by their pid. If `/proc` hides
    /// processes, nobody knows which.
    pub fn picks_among_processes(&self) -> bool {
        match self.source {
            Source::All | Source::Rest => true,
            Source::Pid(_) | Source::PidFile(_) => false,
            Source::Unit(_) | Source::ControlGroup(_) => !self.conditions.is_empty(),
        }
    }

    /// Bytes that identify this selector. Different selectors have different keys.
    pub fn key(&self) -> Vec<u8> {
        let name = match &self.naming {
            Naming::Own => "",
            Naming::Given(name) => name.as_str(),
            Naming::Template(template, _) => template.as_str(),
        };
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
        let bytes = |path: &PathPattern| path.as_str().as_bytes().to_vec();
        let source = match &self.source {
            Source::All => None,
            Source::Rest => return Vec::from([("rest", b"all other processes".to_vec())]),
            Source::Pid(pid) => Some(("pid", pid.to_string().into_bytes())),
            Source::PidFile(path) => Some(("pid_file", path.clone())),
            Source::Unit(glob) => Some(("systemd", text(glob))),
            Source::ControlGroup(path) => Some((path.key("cgroup", "cgroup_regex"), bytes(path))),
        };
        let Conditions { pattern, cmdline, exe, user } = &self.conditions;
        let conditions = [
            ("pattern", pattern.as_ref().map(text)),
            ("cmdline", cmdline.as_ref().map(text)),
            (
                exe.as_ref().map_or("exe", |exe| exe.key("exe", "exe_regex")),
                exe.as_ref().map(bytes),
            ),
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
        match &self.naming {
            Naming::Own => f.write_str("(by their own names):")?,
            Naming::Given(name) => write!(f, "{name}:")?,
            Naming::Template(template, _) => write!(f, "{template}:")?,
        }
        write!(f, " {}", self.terms())
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
            User::Named { name, .. } => f.write_str(name),
        }
    }
}

impl Source {
    /// Whether all processes are candidates.
    pub fn is_all(&self) -> bool {
        matches!(self, Source::All | Source::Rest)
    }

    /// Whether the candidates are those in control groups.
    pub fn is_control_group(&self) -> bool {
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

/// Whether a text can be the name before the `:` of a value: it has only characters that can be in one, and
/// placeholders.
fn is_name(text: &str) -> bool {
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let length = match placeholder_end(rest) {
            Some(end) => end,
            None if can_be_in_name(character) => character.len_utf8(),
            None => return false,
        };
        rest = &rest[length..];
    }
    true
}

/// What is before the first `:` of a value, if it would be a name but for a brace that belongs to no
/// placeholder. A `{2}` is part of a regex.
///
/// *Example:* `app-{app` of `app-{app:-Dapp=(?P<app>[a-z]+)`.
pub fn almost_name(text: &str) -> Option<&str> {
    let (before, _) = text.split_once(':')?;
    let (mut rest, mut is_stray) = (before, false);
    while let Some(character) = rest.chars().next() {
        let length = match placeholder_end(rest).or_else(|| repetition_end(rest)) {
            Some(end) => end,
            None if matches!(character, '{' | '}') => {
                is_stray = true;
                character.len_utf8()
            }
            None if can_be_in_name(character) => character.len_utf8(),
            None => return None,
        };
        rest = &rest[length..];
    }
    is_stray.then_some(before)
}

/// The end of the `{2}` at the beginning of a text.
fn repetition_end(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('{')?;
    let length = inside.find(|character: char| !character.is_ascii_digit())?;
    (length > 0 && inside[length..].starts_with('}')).then_some(length + 2)
}

/// Splits `NAME:VALUE`. There is a name only if everything before the first `:` is allowed in one, so
/// `[[:alpha:]]+`, `(?:a|b)` and `/run/a:b.pid` are values, and `a{2}:b` is one too. A leading `:` means "no
/// name".
pub fn split_name(text: &str) -> (Option<&str>, &str) {
    match text.split_once(':') {
        Some(("", value)) => (None, value),
        Some((name, value)) if is_name(name) => (Some(name), value),
        _ => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;

    #[test]
    fn a_name_with_a_stray_brace_is_almost_one() {
        for text in ["{app:x", "a-{ap-p}:x", "app}:x", "{a}{b:x", "a{2}b}:x", "{a}}:x", "{:x"] {
            let name = text.strip_suffix(":x");
            assert_eq!((almost_name(text), split_name(text).0), (name, None), "{text}");
        }
        for text in ["{app}:x", "a{2}:b", "x{2}y{3}:b", "^{a:x", "a{2,4}:b", "a:{x", "{a}{2}:x", ""]
        {
            assert_eq!(almost_name(text), None, "{text}");
        }
    }

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
            ("java-{app}:x{2}:y", Some("java-{app}"), "x{2}:y"),
            ("a{2}:b", None, "a{2}:b"),
            ("{a}{b}:", Some("{a}{b}"), ""),
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
            Selector::new(None, Source::ControlGroup(PathPattern::Glob("a".to_owned()))),
            Selector::new(None, Source::ControlGroup(PathPattern::Regex("a".to_owned()))),
            Selector::of_all(
                Naming::parse("a{comm}", Bound::default()).unwrap(),
                Conditions { pattern: Some("a".to_owned()), ..Conditions::default() },
            ),
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
        selector.conditions.exe = Some(PathPattern::Glob("*/nginx".to_owned()));
        selector.children = false;
        let text = "web: pid_file /run/nginx.pid, exe */nginx, children false";
        assert_eq!(selector.to_string(), text);
        let root = PathPattern::Glob(String::new());
        let root = Selector::new(None, Source::ControlGroup(root));
        assert_eq!(root.terms(), "cgroup /");
    }
}
