//! What is to be done, validated: nothing in a [`Plan`] is optional that could still be wrong.
//!
//! Whoever makes a plan (the command line, later a file) goes through these types, so that a bad
//! regex or tag is found before anything is read.

use crate::account::group::Report;
use crate::account::memory::MemoryMode;
use crate::emit::{Emission, Field, Format};
use crate::label::Label;
use crate::units::{Pid, Uid, WallNanos};
use regex::bytes::{RegexSet, RegexSetBuilder};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// One `--pid`, `--pattern`, ...: which processes it picks as roots, and the name it gives them.
#[derive(Clone, Debug)]
pub struct Selector {
    /// The group that the roots go to; none: a group by each root's own name.
    pub name: Option<Label>,
    /// What it picks.
    pub source: Source,
}

/// What a selector picks as roots.
#[derive(Clone, Debug)]
pub enum Source {
    /// That process.
    Pid(Pid),
    /// The process whose number is in that file.
    PidFile(PathBuf),
    /// Every process whose name the regex finds.
    Pattern(String),
    /// Every process whose command line the regex finds.
    Cmdline(String),
    /// Every process whose executable's path the glob matches.
    Exe(String),
    /// Every process of that effective user.
    User(Uid),
    /// Every systemd unit whose id the glob matches; expanded as systemctl does.
    Unit(String),
    /// Every control group whose path below the root the glob matches, without a slash in front.
    ControlGroup(String),
}

impl Source {
    /// Whether it picks control groups, and not processes.
    pub fn is_control_group(&self) -> bool {
        matches!(self, Source::Unit(_) | Source::ControlGroup(_))
    }
}

impl Selector {
    /// What tells this selector from every other: its kind, its name, its value.
    pub fn key(&self) -> Vec<u8> {
        let number;
        let (kind, value): (&str, &[u8]) = match &self.source {
            Source::Pid(pid) => {
                number = pid.to_string();
                ("pid", number.as_bytes())
            }
            Source::PidFile(path) => ("pid-file", path.as_os_str().as_bytes()),
            Source::Pattern(regex) => ("pattern", regex.as_bytes()),
            Source::Cmdline(regex) => ("cmdline", regex.as_bytes()),
            Source::Exe(glob) => ("exe", glob.as_bytes()),
            Source::User(uid) => {
                number = uid.0.to_string();
                ("user", number.as_bytes())
            }
            Source::Unit(glob) => ("systemd", glob.as_bytes()),
            Source::ControlGroup(glob) => ("cgroup", glob.as_bytes()),
        };
        let name = self.name.as_ref().map_or("", |name| name.as_str());
        // No part holds a NUL: none can be typed.
        [kind.as_bytes(), name.as_bytes(), value, b""].join(&0)
    }
}

/// FNV-1a, 64 bits: the same in every version of psstat, which the standard library's hashes do
/// not promise.
pub fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A whole job.
#[derive(Debug)]
pub struct Plan {
    /// In the order typed.
    pub selectors: Vec<Selector>,
    /// The `--pattern`s, to be matched against names.
    pub patterns: Matcher,
    /// The `--cmdline`s, to be matched against command lines.
    pub cmdlines: Matcher,
    /// The `--exe`s, to be matched against paths of executables.
    pub exes: Matcher,
    /// The `--systemd`s, to be matched against unit ids.
    pub units: Matcher,
    /// The `--cgroup`s, to be matched against paths of control groups.
    pub control_groups: Matcher,
    /// The tags of every line in the order to print, `host` first.
    pub tags: Vec<(Label, Label)>,
    /// How memory is summed.
    pub memory: MemoryMode,
    /// What is written of each group, in that order.
    pub fields: Vec<Field>,
    /// In which format.
    pub format: Format,
}

impl Plan {
    /// Puts a plan together.
    ///
    /// # Errors
    /// The text says what is wrong and how to mend it: no selector, or a bad regex.
    pub fn new(
        selectors: Vec<Selector>,
        tags: Vec<(Label, Label)>,
        memory: MemoryMode,
    ) -> Result<Plan, String> {
        if selectors.is_empty() {
            return Err("nothing to measure: name at least one process, as in --pid-file \
                        /run/nginx.pid or --pattern nginx (see psstat --help)"
                .to_owned());
        }
        let matcher = |pick: fn(&Source) -> Option<Regex<'_>>| {
            let picked = selectors.iter().enumerate();
            Matcher::new(picked.filter_map(|(at, s)| Some((at, pick(&s.source)?))))
        };
        let patterns = matcher(|source| match source {
            Source::Pattern(regex) => Some(Regex::typed(regex)),
            _ => None,
        })?;
        let cmdlines = matcher(|source| match source {
            Source::Cmdline(regex) => Some(Regex::typed(regex)),
            _ => None,
        })?;
        let exes = matcher(|source| match source {
            Source::Exe(glob) => Some(Regex::of_glob(glob)),
            _ => None,
        })?;
        let units = matcher(|source| match source {
            Source::Unit(glob) => Some(Regex::of_glob(glob)),
            _ => None,
        })?;
        let control_groups = matcher(|source| match source {
            Source::ControlGroup(glob) => Some(Regex::of_glob(glob)),
            _ => None,
        })?;
        Ok(Plan {
            selectors,
            patterns,
            cmdlines,
            exes,
            units,
            control_groups,
            tags,
            memory,
            fields: Field::DEFAULT.to_vec(),
            format: Format::default(),
        })
    }

    /// The same plan, written otherwise.
    pub fn written(self, fields: Vec<Field>, format: Format) -> Plan {
        Plan { fields, format, ..self }
    }

    /// Whether any of these is written, so that what it takes must be read.
    pub fn asks_for(&self, fields: &[Field]) -> bool {
        fields.iter().any(|field| self.fields.contains(field))
    }

    /// The text of a sample of this plan.
    pub fn text(&self, reports: &[Report], taken: WallNanos) -> String {
        let emission = Emission { reports, tags: &self.tags, fields: &self.fields, taken };
        emission.text(self.format)
    }

    /// Whether processes are roots, and not control groups alone.
    pub fn looks_at_processes(&self) -> bool {
        !self.selectors.iter().all(|selector| selector.source.is_control_group())
    }

    /// Whether a process may become a root by what it does: takes a name, a user, an executable.
    pub fn names_pick(&self) -> bool {
        let picks = |source: &Source| {
            matches!(
                source,
                Source::Pattern(_) | Source::Cmdline(_) | Source::Exe(_) | Source::User(_)
            )
        };
        self.selectors.iter().any(|selector| picks(&selector.source))
    }

    /// Whether control groups must be looked at.
    pub fn looks_at_control_groups(&self) -> bool {
        !self.units.is_empty() || !self.control_groups.is_empty()
    }
}

/// The regexes of one kind of selector, matched in one pass however many they are.
#[derive(Debug)]
pub struct Matcher {
    set: RegexSet,
    /// The selector that each regex of the set belongs to.
    selectors: Vec<usize>,
}

/// A regex, and what the user typed to get it.
struct Regex<'t> {
    regex: String,
    typed: &'t str,
    kind: &'static str,
}

impl<'t> Regex<'t> {
    fn typed(regex: &'t str) -> Regex<'t> {
        Regex { regex: regex.to_owned(), typed: regex, kind: "regex" }
    }

    fn of_glob(glob: &'t str) -> Regex<'t> {
        Regex { regex: glob_to_regex(glob), typed: glob, kind: "glob" }
    }

    /// Says in one line what is wrong; the parser's own text draws a picture of several.
    fn blame(&self, error: &regex::Error) -> String {
        let error = error.to_string();
        let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("bad {} {:?}: {reason}", self.kind, self.typed)
    }
}

impl Matcher {
    fn new<'t>(regexes: impl Iterator<Item = (usize, Regex<'t>)>) -> Result<Matcher, String> {
        let (selectors, regexes): (Vec<usize>, Vec<Regex<'t>>) = regexes.unzip();
        // On bytes: a name need not be UTF-8.
        let build = |regexes: &[Regex<'t>]| {
            RegexSetBuilder::new(regexes.iter().map(|regex| &regex.regex))
                .unicode(false)
                .dot_matches_new_line(true)
                .build()
        };
        build(&regexes).map(|set| Matcher { set, selectors }).map_err(|error| {
            // The set does not say which of them it was; all of them together may be too large.
            let bad = regexes
                .iter()
                .find_map(|regex| Some(regex.blame(&build(std::slice::from_ref(regex)).err()?)));
            bad.unwrap_or_else(|| format!("too many patterns: {error}"))
        })
    }

    /// Whether there is nothing to match, so that nothing need be read for it.
    pub fn is_empty(&self) -> bool {
        self.selectors.is_empty()
    }

    /// The selectors whose regex finds something in `bytes`, in the order typed.
    pub fn matches(&self, bytes: &[u8]) -> impl Iterator<Item = usize> {
        self.set.matches(bytes).into_iter().map(|at| self.selectors[at])
    }
}

/// A glob as fnmatch(3) without flags but `FNM_NOESCAPE`: `*` and `?` match any byte, `/` too;
/// `[a-z]`, `[!a]`, `[^a]`, `[[:alpha:]]`; a `[` that nothing closes is itself; a backslash is
/// itself, because systemd's unit ids are full of them. The regex matches the whole text.
pub fn glob_to_regex(glob: &str) -> String {
    let mut regex = String::from("\\A(?:");
    let mut rest = glob;
    while let Some(character) = rest.chars().next() {
        let (piece, length) = match character {
            '*' => (".*".to_owned(), 1),
            '?' => (".".to_owned(), 1),
            '[' => bracket(rest).unwrap_or_else(|| ("\\[".to_owned(), 1)),
            _ => (regex::escape(&rest[..character.len_utf8()]), character.len_utf8()),
        };
        regex.push_str(&piece);
        rest = &rest[length..];
    }
    regex.push_str(")\\z");
    regex
}

/// Translates the bracket expression that `glob` begins with; gives its length too. None where it
/// is not closed.
fn bracket(glob: &str) -> Option<(String, usize)> {
    let bytes = glob.as_bytes();
    let mut class = String::from("[");
    let mut at = 1;
    if matches!(bytes.get(at), Some(b'!' | b'^')) {
        class.push('^');
        at += 1;
    }
    let first = at;
    loop {
        match *bytes.get(at)? {
            // The first one is a member, as in []x].
            b']' if at > first => break,
            b'[' if bytes.get(at + 1) == Some(&b':') => {
                let length = glob[at..].find(":]")? + 2;
                class.push_str(&glob[at..at + length]);
                at += length;
            }
            b'-' if at > first && bytes.get(at + 1).is_some_and(|&next| next != b']') => {
                class.push('-');
                at += 1;
            }
            byte => {
                // Byte by byte, which is what the regex matches; \xHH needs no escaping.
                class.push_str(&format!("\\x{byte:02X}"));
                at += 1;
            }
        }
    }
    class.push(']');
    Some((class, at + 1))
}

/// The parts of `NAME:VALUE`: a name is there only if all before the first `:` could be one, so
/// that `[[:alpha:]]+`, `(?:a|b)` and `/run/a:b.pid` are values. A leading `:` says 'no name'.
pub fn split_name(text: &str) -> (Option<&str>, &str) {
    let could_be_named = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '@' | ' ');
    match text.split_once(':') {
        Some(("", value)) => (None, value),
        Some((name, value)) if name.chars().all(could_be_named) => (Some(name), value),
        _ => (None, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_is_taken_only_where_it_could_be_one() {
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

    fn glob_matches(glob: &str, text: &[u8]) -> bool {
        let source = Source::Exe(glob.to_owned());
        let plan =
            Plan::new(vec![Selector { name: None, source }], Vec::new(), MemoryMode::Rss).unwrap();
        plan.exes.matches(text).count() == 1
    }

    #[test]
    fn globs_are_those_of_fnmatch() {
        for (glob, text, expected) in [
            ("/usr/sbin/nginx", "/usr/sbin/nginx", true),
            ("/usr/sbin/nginx", "/usr/sbin/nginx2", false),
            ("nginx", "/usr/sbin/nginx", false),
            ("*/nginx", "/usr/sbin/nginx", true),
            ("*", "", true),
            ("*", "any/thing\n", true),
            ("?", "é", false),
            ("??", "é", true),
            ("a.c", "abc", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[^a-c]x", "dx", true),
            ("[]x]", "]", true),
            ("[a-]", "-", true),
            ("[[:digit:]]*", "7z", true),
            ("[[:digit:]]*", "z7", false),
            ("[a", "[a", true),
            ("{a,b}", "a", false),
            ("{a,b}", "{a,b}", true),
            ("a\\x2db", "a\\x2db", true),
            ("a\\*", "a\\bc", true),
            ("(a|b)+$", "(a|b)+$", true),
        ] {
            assert_eq!(glob_matches(glob, text.as_bytes()), expected, "{glob} on {text}");
        }
    }

    #[test]
    fn a_bad_regex_is_named_with_its_reason_in_one_line() {
        let selector =
            |regex: &str| Selector { name: None, source: Source::Pattern(regex.to_owned()) };
        let error = Plan::new(vec![selector("ok"), selector("a(b")], Vec::new(), MemoryMode::Rss);
        assert_eq!(error.unwrap_err(), "bad regex \"a(b\": unclosed group");
        let glob = Selector { name: None, source: Source::Exe("[z-a]".to_owned()) };
        let error = Plan::new(vec![glob], Vec::new(), MemoryMode::Rss).unwrap_err();
        assert!(error.starts_with("bad glob \"[z-a]\": "), "{error}");
    }

    #[test]
    fn many_patterns_each_point_to_their_selector() {
        let selectors = ["^a", "b", "c$", "a"]
            .map(|regex| Selector { name: None, source: Source::Pattern(regex.to_owned()) });
        let plan = Plan::new(selectors.to_vec(), Vec::new(), MemoryMode::Rss).unwrap();
        let found: Vec<usize> = plan.patterns.matches(b"abc").collect();
        assert_eq!(found, [0, 1, 2, 3]);
        assert_eq!(plan.patterns.matches(b"\xff\nb").collect::<Vec<_>>(), [1]);
    }

    /// What fnmatch means, written as slowly as it is defined.
    fn naive(glob: &[u8], text: &[u8]) -> bool {
        match glob {
            [] => text.is_empty(),
            [b'*', rest @ ..] => (0..=text.len()).any(|skip| naive(rest, &text[skip..])),
            [b'?', rest @ ..] => !text.is_empty() && naive(rest, &text[1..]),
            [byte, rest @ ..] => text.first() == Some(byte) && naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn stars_and_marks_agree_with_the_definition(
            glob in "[ab*?./\\\\+]{0,6}", text in "[ab./\\\\+]{0,8}",
        ) {
            prop_assert_eq!(glob_matches(&glob, text.as_bytes()), naive(glob.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn any_glob_makes_a_regex(glob in "[\\[\\]!^:a-c\\-é*]{0,10}") {
            // A bracket may be void or turned round, [c-a]; that is said, not a crash.
            let source = Source::Exe(glob);
            let _ = Plan::new(vec![Selector { name: None, source }], Vec::new(), MemoryMode::Rss);
        }
    }
}
