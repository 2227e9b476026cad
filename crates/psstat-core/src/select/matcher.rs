//! Regexes and globs that are matched against many texts. All patterns of one kind are matched in
//! one pass over the text.

use super::selector::PathPattern;
use crate::model::label::excerpt;
use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use regex::bytes::{RegexBuilder, RegexSet, RegexSetBuilder};
use thiserror::Error;

/// Why a regex or glob was rejected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// A regex is malformed.
    #[error("bad regex {typed:?}: {reason}{}", cure_of_regex(reason))]
    Regex {
        /// What the user typed, shortened if it is long.
        typed: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A glob is malformed.
    #[error("bad glob {typed:?}: {reason}")]
    Glob {
        /// What the user typed, shortened if it is long.
        typed: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Each pattern is valid, but together they are too large.
    #[error("too many patterns: {0}")]
    TooMany(String),
}

/// A colon, and how to fix a regex that is malformed for that reason, which the regex parser gives. Empty if the
/// reason says it.
fn cure_of_regex(reason: &str) -> &'static str {
    match reason {
        "repetition operator missing expression" => {
            ": *, +, ? and { repeat what is before them, as in '.*'; a \\ in front makes one stand for itself"
        }
        "unclosed group" | "unopened group" => {
            ": a group has a pair of ( and ); a \\ in front makes one stand for itself"
        }
        "unclosed character class" => {
            ": a class has a pair of [ and ]; a \\ in front makes one stand for itself"
        }
        "Unicode not allowed here" => {
            ": names are bytes, so only classes of ASCII are known, as in [a-z]"
        }
        _ if reason.contains("size limit") => ": make it shorter, or its counts smaller",
        _ => "",
    }
}

/// The longest path (`PATH_MAX`, include/uapi/linux/limits.h). Globs match paths and unit ids. The time to
/// convert one grows with the square of its length.
const LONGEST_GLOB: usize = 4096;

/// The patterns of one kind, each with the index of its selector.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// `None` if there is no pattern. Building an empty set takes a twelfth of the instructions up
    /// to the first sample, and there are five matchers.
    set: Option<RegexSet>,
    /// Index of the selector of each regex in the set.
    selectors: Vec<usize>,
}

/// A regex, and the text that the user typed for it.
struct Regex<'t> {
    regex: String,
    typed: &'t str,
    is_glob: bool,
}

impl<'t> Regex<'t> {
    fn typed(regex: &'t str) -> Regex<'t> {
        Regex { regex: regex.to_owned(), typed: regex, is_glob: false }
    }

    fn of_glob(glob: &'t str) -> Regex<'t> {
        // One that is too long is refused.
        let regex = if glob.len() > LONGEST_GLOB { String::new() } else { glob_to_regex(glob) };
        Regex { regex, typed: glob, is_glob: true }
    }

    /// Converts an error to one line. The message of the regex parser has several lines.
    fn error(&self, error: &regex::Error) -> PatternError {
        let error = error.to_string();
        let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let reason = reason.trim_end_matches('.');
        let (typed, reason) = (excerpt(self.typed).into_owned(), reason.to_owned());
        if self.is_glob {
            PatternError::Glob { typed, reason }
        } else {
            PatternError::Regex { typed, reason }
        }
    }
}

/// Compiles one regex, to find what its groups match. It is as those of a [`Matcher`].
///
/// # Errors
/// [`PatternError`] if it is malformed.
pub fn regex(typed: &str) -> Result<regex::bytes::Regex, PatternError> {
    let compiled = RegexBuilder::new(typed).unicode(false).dot_matches_new_line(true).build();
    compiled.map_err(|error| Regex::typed(typed).error(&error))
}

impl Matcher {
    /// Compiles regexes, each with the index of its selector. A regex matches anywhere in a text.
    ///
    /// # Errors
    /// [`PatternError`] with the first malformed regex and the reason, in one line, or
    /// [`PatternError::TooMany`].
    pub fn of_regexes<'t>(
        regexes: impl Iterator<Item = (usize, &'t str)>,
    ) -> Result<Matcher, PatternError> {
        Matcher::new(regexes.map(|(selector, regex)| (selector, Regex::typed(regex))))
    }

    /// Compiles globs, each with the index of its selector. A glob matches a whole text.
    ///
    /// # Errors
    /// [`PatternError`] with the first malformed glob and the reason, in one line, or
    /// [`PatternError::TooMany`].
    pub fn of_globs<'t>(
        globs: impl Iterator<Item = (usize, &'t str)>,
    ) -> Result<Matcher, PatternError> {
        Matcher::new(globs.map(|(selector, glob)| (selector, Regex::of_glob(glob))))
    }

    /// Compiles what paths must match, each with the index of its selector.
    ///
    /// # Errors
    /// As [`Matcher::of_regexes`] and [`Matcher::of_globs`].
    pub fn of_paths<'t>(
        patterns: impl Iterator<Item = (usize, &'t PathPattern)>,
    ) -> Result<Matcher, PatternError> {
        Matcher::new(patterns.map(|(selector, pattern)| match pattern {
            PathPattern::Glob(glob) => (selector, Regex::of_glob(glob)),
            PathPattern::Regex(regex) => (selector, Regex::typed(regex)),
        }))
    }

    fn new<'t>(regexes: impl Iterator<Item = (usize, Regex<'t>)>) -> Result<Matcher, PatternError> {
        let (selectors, regexes): (Vec<usize>, Vec<Regex<'t>>) = regexes.unzip();
        let is_too_long = |regex: &&Regex<'t>| regex.is_glob && regex.typed.len() > LONGEST_GLOB;
        if let Some(glob) = regexes.iter().find(is_too_long) {
            let reason = format!("it is longer than {LONGEST_GLOB} bytes, as no path is");
            return Err(PatternError::Glob { typed: excerpt(glob.typed).into_owned(), reason });
        }
        if regexes.is_empty() {
            return Ok(Matcher { set: None, selectors });
        }
        // Unicode is off, because names are bytes and need not be UTF-8.
        let build = |regexes: &[Regex<'t>]| {
            RegexSetBuilder::new(regexes.iter().map(|regex| &regex.regex))
                .unicode(false)
                .dot_matches_new_line(true)
                .build()
        };
        build(&regexes).map(|set| Matcher { set: Some(set), selectors }).map_err(|error| {
            // The error does not show which regex is malformed, so each is compiled alone. If all
            // compile, the set is too large.
            let bad = regexes
                .iter()
                .find_map(|regex| Some(regex.error(&build(core::slice::from_ref(regex)).err()?)));
            bad.unwrap_or_else(|| PatternError::TooMany(error.to_string()))
        })
    }

    /// Whether there is no pattern. Then the text need not be read.
    pub fn is_empty(&self) -> bool {
        self.set.is_none()
    }

    /// Whether any of the patterns matches `bytes`.
    pub fn is_match(&self, bytes: &[u8]) -> bool {
        self.set.as_ref().is_some_and(|set| set.is_match(bytes))
    }

    /// The indices of the selectors whose pattern matches `bytes`, in the order of the patterns.
    pub fn matches(&self, bytes: &[u8]) -> impl Iterator<Item = usize> {
        let matches = self.set.iter().flat_map(|set| set.matches(bytes));
        matches.map(|index| self.selectors[index])
    }
}

/// What every path that a pattern matches begins with. Empty if that is not known.
///
/// *Example:* `system.slice/` for the glob `system.slice/*` and the regex `^system\.slice/.*`.
pub fn literal_start(pattern: &PathPattern) -> Cow<'_, str> {
    match pattern {
        PathPattern::Glob(glob) => {
            glob[..glob.find(['*', '?', '[', '\\']).unwrap_or(glob.len())].into()
        }
        PathPattern::Regex(regex) => literal_start_of_regex(regex).into(),
    }
}

fn literal_start_of_regex(regex: &str) -> String {
    let mut literal = String::new();
    let Some(anchored) = regex.strip_prefix('^').filter(|rest| !rest.contains('|')) else {
        return literal;
    };
    let mut characters = anchored.chars().peekable();
    while let Some(character) = characters.next() {
        let next = match character {
            '\\' => match characters.next() {
                Some(escaped) if is_itself_escaped(escaped) => escaped,
                _ => break,
            },
            '.' | '+' | '*' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$' => break,
            character => character,
        };
        // It may be there no time, or several times.
        if matches!(characters.peek(), Some('*' | '?' | '{' | '+')) {
            break;
        }
        literal.push(next);
    }
    literal
}

/// Whether a character stands for itself behind a backslash in a regex. `\<` and `\>` are the ends of a word.
pub fn is_itself_escaped(character: char) -> bool {
    character.is_ascii_punctuation() && !matches!(character, '<' | '>')
}

/// Converts a glob to a regex that matches a whole text.
///
/// The glob is that of fnmatch(3) with the flag `FNM_NOESCAPE`. `*` and `?` match any byte, also
/// `/`. Bracket expressions are `[a-z]`, `[!a]`, `[^a]` and `[[:alpha:]]`. A `[` that is not closed
/// matches itself. So does a backslash, because ids of systemd units contain many.
fn glob_to_regex(glob: &str) -> String {
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

/// The names of the classes of bracket expressions (regex(7)).
const CLASSES: [&str; 12] = [
    "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "xdigit",
];

/// The class at the beginning of a text, as in `[:alpha:]`. Whatever else begins like this are members: in a
/// regex it would be a class of another kind.
fn named_class(text: &str) -> Option<&str> {
    let name = text.strip_prefix("[:")?;
    let known = CLASSES
        .into_iter()
        .find(|known| name.strip_prefix(known).is_some_and(|rest| rest.starts_with(":]")))?;
    Some(&text[..known.len() + 4])
}

/// Converts the bracket expression at the beginning of `glob`. Returns the regex, and the length of
/// the expression in bytes. `None` if the expression is not closed.
fn bracket(glob: &str) -> Option<(String, usize)> {
    let bytes = glob.as_bytes();
    let mut class = String::from("[");
    let mut index = 1;
    if matches!(bytes.get(index), Some(b'!' | b'^')) {
        class.push('^');
        index += 1;
    }
    let first = index;
    // The regex matches bytes, so each byte is a member. \xHH needs no escaping.
    loop {
        let start = *bytes.get(index)?;
        // A `]` at the beginning is a member of the class, as in `[]x]`.
        if start == b']' && index > first {
            break;
        }
        if start == b'['
            && let Some(named) = named_class(&glob[index..])
        {
            class.push_str(named);
            index += named.len();
            continue;
        }
        match (bytes.get(index + 1), bytes.get(index + 2)) {
            (Some(b'-'), Some(&end)) if end != b']' => {
                class.push_str(&format!("\\x{start:02X}-\\x{end:02X}"));
                index += 3;
            }
            _ => {
                class.push_str(&format!("\\x{start:02X}"));
                index += 1;
            }
        }
    }
    class.push(']');
    Some((class, index + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn glob_matches(glob: &str, text: &[u8]) -> bool {
        let matcher = Matcher::of_globs([(7, glob)].into_iter()).unwrap();
        matcher.matches(text).eq([7])
    }

    #[test]
    fn a_glob_that_is_longer_than_any_path_is_refused() {
        let longest = "[".repeat(LONGEST_GLOB);
        assert!(glob_matches(&longest, longest.as_bytes()));
        let longer = "[".repeat(300_000);
        let error = Matcher::of_globs([(0, &*longer)].into_iter()).unwrap_err().to_string();
        assert!(error.contains("4096 bytes") && error.len() < 300, "{error}");
    }

    #[test]
    fn globs_match_like_fnmatch() {
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
            ("[^[:digit:]-]", "-", false),
            // In a regex, what is in these brackets is a class of another kind.
            ("[[:^space:]]", "s]", true),
            ("[[:^space:]]", "z", false),
            ("[[:alphas:]]", "a]", true),
            ("[a-c--e]", "-", true),
            ("[a-c--e]", "5", true),
            ("[+--x]", ",", true),
            ("[a-c-e]", "d", false),
            ("[[:]", "[", true),
            ("[[:]", ":", true),
            ("[[:a&&b:]]", "&]", true),
            ("[[:a]b:]]", "a", false),
            ("[[:a]b:]]", "ab:]]", true),
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
    fn the_literal_start_is_that_of_every_match() {
        let of_regex =
            |regex: &str| literal_start(&PathPattern::Regex(regex.to_owned())).into_owned();
        for (regex, start) in [
            (r"^system\.slice/docker-(?P<id>[0-9a-f]+)\.scope$", "system.slice/docker-"),
            ("^kubepods.slice", "kubepods"),
            ("system", ""),
            ("^abc?", "ab"),
            ("^ab{0}", "a"),
            ("^a|b", ""),
            ("^a(b|c)", ""),
            (r"^a\d", "a"),
            (r"^a\\b", r"a\b"),
            (r"^a\<b", "a"),
            (r"^a/\>b", "a/"),
            (r"^\-\_\#\~\@b", "-_#~@b"),
            ("^", ""),
        ] {
            assert_eq!(of_regex(regex), start, "{regex}");
        }
        let of_glob = |glob: &str| literal_start(&PathPattern::Glob(glob.to_owned())).into_owned();
        assert_eq!((of_glob("a/b*c"), of_glob("a/b")), ("a/b".to_owned(), "a/b".to_owned()));
    }

    #[test]
    fn what_is_itself_behind_a_backslash_is_so_for_the_regex() {
        for character in (0..=127u8).map(char::from) {
            let escaped = format!("\\A\\{character}\\z");
            let matches = regex(&escaped).is_ok_and(|one| one.is_match(&[character as u8]));
            assert!(!is_itself_escaped(character) || matches, "{character:?}");
        }
        assert!(is_itself_escaped('.') && !is_itself_escaped('<') && !is_itself_escaped('d'));
    }

    #[test]
    fn a_bad_pattern_is_reported_in_one_line() {
        let error = Matcher::of_regexes([(0, "ok"), (1, "a(b")].into_iter()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "bad regex \"a(b\": unclosed group: a group has a pair of ( and ); a \\ in front makes one stand \
             for itself"
        );
        for (bad, end) in [
            ("*nginx", "as in '.*'; a \\ in front makes one stand for itself"),
            ("+", "as in '.*'; a \\ in front makes one stand for itself"),
            (
                "a)",
                "unopened group: a group has a pair of ( and ); a \\ in front makes one stand for itself",
            ),
            (
                "[a",
                "unclosed character class: a class has a pair of [ and ]; a \\ in front makes one stand for itself",
            ),
            (r"\p{Greek}", "only classes of ASCII are known, as in [a-z]"),
            ("(?:(?:a{1000}){1000}){1000}", " bytes: make it shorter, or its counts smaller"),
            // These say what is wrong.
            ("a{3", "unclosed counted repetition"),
            ("[z-a]", "the start must be <= the end"),
            ("(?P<a>.)(?P<a>.)", "duplicate capture group name"),
        ] {
            let error = Matcher::of_regexes([(0, bad)].into_iter()).unwrap_err().to_string();
            assert!(error.ends_with(end), "{error}");
        }
        let error = Matcher::of_globs([(0, "[z-a]")].into_iter()).unwrap_err();
        assert!(error.to_string().starts_with("bad glob \"[z-a]\": "), "{error}");
    }

    #[test]
    fn each_match_returns_its_selector() {
        let regexes = [(0, "^a"), (3, "b"), (4, "c$"), (9, "a")];
        let matcher = Matcher::of_regexes(regexes.into_iter()).unwrap();
        assert!(matcher.matches(b"abc").eq([0, 3, 4, 9]));
        assert!(matcher.matches(b"\xff\nb").eq([3]));
        assert!(!matcher.is_empty());
        assert!(Matcher::of_regexes(core::iter::empty()).unwrap().is_empty());
    }

    /// Matches `*`, `?` and literal bytes by their definition, without a regex.
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
        fn wildcards_match_the_definition(
            glob in "[ab*?./\\\\+]{0,6}", text in "[ab./\\\\+]{0,8}",
        ) {
            prop_assert_eq!(glob_matches(&glob, text.as_bytes()), naive(glob.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn any_glob_compiles_or_is_rejected(glob in "[\\[\\]!^:a-c\\-é*]{0,10}") {
            // A bracket expression can be empty or reversed, as in [c-a]. This must be an error,
            // and not a panic.
            let _ = Matcher::of_globs([(0, glob.as_str())].into_iter());
        }
    }
}
