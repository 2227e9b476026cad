//! Names of groups that are made of what was matched: one selector makes as many groups as there are
//! names. This is the text of such a name; [`recipe`](super::recipe) makes names of it.
//!
//! *Example:* `java-{app}` with the regex `-Dapp=(?P<app>[\w-]+)` for command lines. A process with
//! `-Dapp=shop` is in the group `java-shop`.

use crate::model::label::Label;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// How many groups a template makes, if the user does not say.
pub const DEFAULT_MAX_GROUPS: usize = 1000;

/// The group of the processes for which there are too many names, if the user does not say.
pub const DEFAULT_OVERFLOW: &str = "other";

/// The text of a name with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    pieces: Vec<Piece>,
}

/// How many names a template may make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The largest number of names.
    pub max_groups: usize,
    /// The group of the processes for which there are too many names.
    pub overflow: Label,
}

impl Default for Bound {
    fn default() -> Bound {
        let overflow = Label::lossy(DEFAULT_OVERFLOW.as_bytes());
        Bound { max_groups: DEFAULT_MAX_GROUPS, overflow }
    }
}

/// A part of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text as it is.
    Text(String),
    /// The word between the braces.
    Placeholder(String),
}

/// The end of the placeholder at the beginning of `text`: `{`, a letter or `_`, further letters, digits and
/// `_`, and `}`. `None` if it is no placeholder.
///
/// *Example:* `{app}`. Not `{3}` and not `{2,4}`, which are parts of regexes.
pub fn placeholder_end(text: &str) -> Option<usize> {
    let word = text.strip_prefix('{')?;
    let length = word.find('}')?;
    let mut characters = word[..length].chars();
    let begins = characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    let is_word = begins && characters.all(|next| next.is_ascii_alphanumeric() || next == '_');
    is_word.then_some(length + 2)
}

/// The first brace that belongs to no placeholder.
///
/// *Example:* `{` of `{app`, `}` of `app}`, and `{` of `{ap-p}`.
pub fn stray_brace(text: &str) -> Option<char> {
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        rest = &rest[at..];
        match placeholder_end(rest) {
            Some(end) => rest = &rest[end..],
            None => return rest.chars().next(),
        }
    }
    None
}

impl Template {
    /// Reads a name. `None` if it has no placeholder.
    pub fn parse(text: &str) -> Option<Template> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            let length = match placeholder_end(rest) {
                Some(end) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Text(core::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Placeholder(rest[1..end - 1].to_owned()));
                    end
                }
                None => {
                    literal.push(character);
                    character.len_utf8()
                }
            };
            rest = &rest[length..];
        }
        if pieces.is_empty() {
            return None;
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Some(Template { text: text.to_owned(), pieces })
    }

    /// Its parts.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The text as the user wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Label::lossy(self.text.as_bytes()).as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn only_a_word_in_braces_is_a_placeholder() {
        for text in ["", "a", "{", "{}", "{3}", "{2,4}", "{a", "a}", "{ a }", "{a-b}", "{ä}"] {
            assert_eq!(Template::parse(text), None, "{text}");
        }
        for (text, brace) in [
            ("", None),
            ("a", None),
            ("{a}-{b}", None),
            ("{a", Some('{')),
            ("{a}b}", Some('}')),
            ("{ap-p}", Some('{')),
            ("{{app}}", Some('{')),
            ("ä{3}", Some('{')),
        ] {
            assert_eq!(stray_brace(text), brace, "{text}");
        }
        let pieces = |text| Template::parse(text).unwrap().pieces;
        let word = |text: &str| Piece::Placeholder(text.to_owned());
        let text = |text: &str| Piece::Text(text.to_owned());
        assert_eq!(pieces("{a}{_b2}"), vec![word("a"), word("_b2")]);
        assert_eq!(pieces("ä{a}{1}"), vec![text("ä"), word("a"), text("{1}")]);
    }
}
