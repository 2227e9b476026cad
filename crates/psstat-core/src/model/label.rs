//! Untrusted text, converted so that it can be printed: the names that processes give themselves,
//! ids of units, what the user typed.
//!
//! Invariant: a [`Label`] is valid UTF-8, is not empty, contains no control character, does not end
//! in a backslash, and contains no backslash before a backslash, comma, equals sign or space. Each
//! output format escapes further characters as it needs.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The key or value of a tag, or the name of a group.
///
/// The label identifies a group, not the bytes that it was made of. Two names that print the same
/// are one group, because a database keeps only one of two equal series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Box<str>);

/// Tags as pairs of key and value, in the order to print.
pub type Tags = Vec<(Label, Label)>;

impl Label {
    /// The label of a name that has no printable character.
    const NAMELESS: &str = "?";

    /// Makes a label of any bytes. It is `?` if none of them can be printed.
    ///
    /// - A line feed, tab or carriage return becomes the two characters `\n`, `\t` or `\r`.
    /// - Any other control character becomes `?`. So does each byte that is not valid UTF-8.
    /// - A backslash before `\`, `,`, `=` or a space becomes `?`, because the readers of line
    ///   protocol disagree about it. Telegraf and InfluxDB 1 keep both characters. VictoriaMetrics
    ///   reads `\\` as one backslash, and then ends the tag at the character after it. InfluxDB
    ///   does this too when it searches for the end of a line: a double quote in such a name could
    ///   hide the next line of the batch.
    /// - Backslashes at the end are removed. In line protocol, the last one would escape the comma
    ///   or space that ends the tag.
    pub fn lossy(bytes: &[u8]) -> Label {
        Label::new(bytes).unwrap_or_else(|| Label(Label::NAMELESS.into()))
    }

    /// Makes a label as [`Label::lossy`] does. `None` if none of the bytes can be printed.
    pub fn new(bytes: &[u8]) -> Option<Label> {
        let mut text = String::with_capacity(bytes.len());
        printable(bytes, &mut text);
        text.truncate(text.trim_end_matches('\\').len());
        let is_ambiguous = |index: usize| {
            matches!(text.as_bytes().get(index + 1), Some(b'\\' | b',' | b'=' | b' '))
        };
        let ambiguous: Vec<usize> = text
            .match_indices('\\')
            .map(|(index, _)| index)
            .filter(|&index| is_ambiguous(index))
            .collect();
        for index in ambiguous {
            text.replace_range(index..=index, "?");
        }
        (!text.is_empty()).then(|| Label(text.into()))
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Appends `bytes` to `text`. Replaces control characters and bytes that are not valid UTF-8, as
/// [`Label::lossy`] does.
pub fn printable(bytes: &[u8], text: &mut String) {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\r' => text.push_str("\\r"),
                _ if character.is_control() => text.push('?'),
                _ => text.push(character),
            }
        }
        for _ in chunk.invalid() {
            text.push('?');
        }
    }
}

/// Maximum length in bytes of a value that is quoted in an error, so that the reason stays visible.
const EXCERPT: usize = 100;

/// Returns `text`, or its beginning and `...` if it is too long to quote in an error.
pub fn excerpt(text: &str) -> Cow<'_, str> {
    if text.len() <= EXCERPT {
        return text.into();
    }
    format!("{}...", &text[..text.floor_char_boundary(EXCERPT)]).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::borrow::ToOwned;
    use proptest::prelude::*;

    fn label(bytes: &[u8]) -> String {
        Label::lossy(bytes).as_str().to_owned()
    }

    #[test]
    fn hostile_names_become_printable() {
        assert_eq!(label(b"nginx"), "nginx");
        assert_eq!(label(b"a) b"), "a) b");
        assert_eq!(label(b"nginx) S 4242 1"), "nginx) S 4242 1");
        assert_eq!(label(b"foo\\"), "foo");
        assert_eq!(label(b"foo\\\\"), "foo");
        assert_eq!(label(b"f\\oo"), "f\\oo");
        assert_eq!(label(b""), "?");
        assert_eq!(label(b"\\"), "?");
        assert_eq!(label(b"a\nb"), "a\\nb");
        assert_eq!(label(b"a\x1b[31m\x7f\x00"), "a?[31m??");
        assert_eq!(label("a\u{85}b".as_bytes()), "a?b", "C1 control");
        assert_eq!(label(b"\xff"), "?");
        assert_eq!(label(b"caf\xc3"), "caf?", "incomplete character");
        assert_eq!(label(b"\xe2\x82"), "??");
        assert_eq!(label("größe".as_bytes()), "größe");
        assert_eq!(label(b"#x"), "#x");
        assert_eq!(label(b"\"q\""), "\"q\"");
        assert_eq!(label(b"a,b=c d"), "a,b=c d", "the output format escapes these");
        assert_eq!(label(b"a\\,b\\=c\\ d\\\\e"), "a?,b?=c? d?\\e");
        assert_eq!(label(b"a\\\nb"), "a?\\nb");
        assert_eq!(Label::new(b"\\\\"), None);
    }

    proptest! {
        #[test]
        fn a_label_keeps_its_invariant(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), proptest::sample::select(&b"\\\\,= \n"[..])], 0..40,
            ),
        ) {
            let label = Label::lossy(&bytes);
            prop_assert!(!label.as_str().is_empty());
            prop_assert!(!label.as_str().ends_with('\\'));
            for ambiguous in ["\\\\", "\\,", "\\=", "\\ "] {
                prop_assert!(!label.as_str().contains(ambiguous));
            }
            prop_assert!(!label.as_str().chars().any(char::is_control));
            prop_assert_eq!(&Label::lossy(label.as_str().as_bytes()), &label, "stable");
        }
    }
}
