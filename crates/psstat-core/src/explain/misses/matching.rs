//! Patterns, as tests of a text.

use crate::select::matcher::{Matcher, PatternError};
use crate::select::selector::PathPattern;

/// Whether a text matches a glob.
pub(super) fn glob_of(glob: &str) -> impl Fn(&str) -> bool + use<> {
    test_of(Matcher::of_globs([(0, glob)].into_iter()))
}

/// Whether a text matches a regex.
pub(super) fn regex_of(regex: &str) -> impl Fn(&str) -> bool + use<> {
    test_of(Matcher::of_regexes([(0, regex)].into_iter()))
}

/// Whether a path matches.
pub(super) fn path_of(pattern: &PathPattern) -> impl Fn(&str) -> bool + use<> {
    test_of(Matcher::of_paths([(0, pattern)].into_iter()))
}

/// Whether a text matches. None does if the pattern is malformed.
fn test_of(matcher: Result<Matcher, PatternError>) -> impl Fn(&str) -> bool + use<> {
    let matcher = matcher.ok();
    move |text| matcher.as_ref().is_some_and(|matcher| matcher.is_match(text.as_bytes()))
}
