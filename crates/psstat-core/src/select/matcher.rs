//! Regexes and globs, matched against many texts. All selectors of a kind are matched in one pass.

use crate::model::label::excerpt;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use regex::bytes::{RegexSet, RegexSetBuilder};
use thiserror::Error;

/// Why a regex or glob was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PatternError {
    /// A regex is not well formed.
    #[error("bad regex {typed:?}: {reason}")]
    Regex {
        /// What the user typed, shortened if it is long.
        typed: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A glob is not well formed.
    #[error("bad glob {typed:?}: {reason}")]
    Glob {
        /// What the user typed, shortened if it is long.
        typed: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Each pattern is well formed, but all of them together are too large.
    #[error("too many patterns: {0}")]
    TooMany(String),
}

/// The regexes of one kind of selector, matched in one pass however many they are.
#[derive(Debug)]
pub struct Matcher {
    /// `None` if there is nothing to match. Building an empty set would take a twelfth of the
    /// instructions up to the first sample, and there are five matchers.
    set: Option<RegexSet>,
    /// The selector that each regex of the set belongs to.
    selectors: Vec<usize>,
}

/// A regex, and what the user typed to get it.
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
        Regex { regex: glob_to_regex(glob), typed: glob, is_glob: true }
    }

    /// The error in one line. The text of the regex parser has several.
    fn error(&self, error: &regex::Error) -> PatternError {
        let error = error.to_string();
        let reason = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let (typed, reason) = (excerpt(self.typed).into_owned(), reason.to_owned());
        if self.is_glob {
            PatternError::Glob { typed, reason }
        } else {
            PatternError::Regex { typed, reason }
        }
    }
}

impl Matcher {
    /// Matches the regexes of the selectors that have one: it finds something anywhere in a text.
    ///
    /// # Errors
    /// Says in one line which regex is bad, and why.
    pub fn of_regexes<'t>(
        regexes: impl Iterator<Item = (usize, &'t str)>,
    ) -> Result<Matcher, PatternError> {
        Matcher::new(regexes.map(|(selector, regex)| (selector, Regex::typed(regex))))
    }

    /// Matches the globs of the selectors that have one: it matches a whole text.
    ///
    /// # Errors
    /// As [`Matcher::of_regexes`].
    pub fn of_globs<'t>(
        globs: impl Iterator<Item = (usize, &'t str)>,
    ) -> Result<Matcher, PatternError> {
        Matcher::new(globs.map(|(selector, glob)| (selector, Regex::of_glob(glob))))
    }

    fn new<'t>(regexes: impl Iterator<Item = (usize, Regex<'t>)>) -> Result<Matcher, PatternError> {
        let (selectors, regexes): (Vec<usize>, Vec<Regex<'t>>) = regexes.unzip();
        if regexes.is_empty() {
            return Ok(Matcher { set: None, selectors });
        }
        // On bytes: a name need not be UTF-8.
        let build = |regexes: &[Regex<'t>]| {
            RegexSetBuilder::new(regexes.iter().map(|regex| &regex.regex))
                .unicode(false)
                .dot_matches_new_line(true)
                .build()
        };
        build(&regexes).map(|set| Matcher { set: Some(set), selectors }).map_err(|error| {
            // The set does not say which of them it was; all of them together may be too large.
            let bad = regexes
                .iter()
                .find_map(|regex| Some(regex.error(&build(core::slice::from_ref(regex)).err()?)));
            bad.unwrap_or_else(|| PatternError::TooMany(error.to_string()))
        })
    }

    /// Whether there is nothing to match, so that nothing need be read for it.
    pub fn is_empty(&self) -> bool {
        self.set.is_none()
    }

    /// The selectors whose regex finds something in `bytes`, in the order typed.
    pub fn matches(&self, bytes: &[u8]) -> impl Iterator<Item = usize> {
        let matches = self.set.iter().flat_map(|set| set.matches(bytes));
        matches.map(|at| self.selectors[at])
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn glob_matches(glob: &str, text: &[u8]) -> bool {
        let matcher = Matcher::of_globs([(7, glob)].into_iter()).unwrap();
        matcher.matches(text).eq([7])
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
        let error = Matcher::of_regexes([(0, "ok"), (1, "a(b")].into_iter()).unwrap_err();
        assert_eq!(error.to_string(), "bad regex \"a(b\": unclosed group");
        let error = Matcher::of_globs([(0, "[z-a]")].into_iter()).unwrap_err();
        assert!(error.to_string().starts_with("bad glob \"[z-a]\": "), "{error}");
    }

    #[test]
    fn many_patterns_each_point_to_their_selector() {
        let regexes = [(0, "^a"), (3, "b"), (4, "c$"), (9, "a")];
        let matcher = Matcher::of_regexes(regexes.into_iter()).unwrap();
        assert!(matcher.matches(b"abc").eq([0, 3, 4, 9]));
        assert!(matcher.matches(b"\xff\nb").eq([3]));
        assert!(!matcher.is_empty());
        assert!(Matcher::of_regexes(core::iter::empty()).unwrap().is_empty());
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
            let _ = Matcher::of_globs([(0, glob.as_str())].into_iter());
        }
    }
}
