//! Text that psstat did not choose, made fit to be a tag: the names that processes give
//! themselves, unit ids, what the user typed.
//!
//! Invariant: a [`Label`] is never empty, holds no control character, is valid UTF-8, does not end
//! in a backslash, and holds none before a backslash, comma, equals sign or space. What each output
//! format escapes on top of that is that format's business.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// A tag's key or value, or the name of a group.
///
/// Groups are told apart by their label, not by the bytes it was made of: two names that would
/// print the same are one group, because a database would keep only one of two equal series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(Box<str>);

/// Tags, key and value, in the order to print.
pub type Tags = Vec<(Label, Label)>;

impl Label {
    /// What stands for a name that has nothing to show.
    const NAMELESS: &str = "?";

    /// Makes any bytes fit to print; `?` where nothing is left of them.
    ///
    /// Control characters become the two characters `\n`, `\t`, `\r`, or `?`; a byte that is no
    /// UTF-8 becomes `?`; backslashes at the end are cut, because in line protocol one would
    /// escape the comma or space that ends the tag.
    ///
    /// A backslash before `\`, `,`, `=` or a space becomes `?`, because the readers of line protocol
    /// do not agree on what the two of them are. Telegraf and InfluxDB 1 give the backslash back.
    /// VictoriaMetrics takes `\\` for one backslash, and then what follows it for the end of the tag.
    /// InfluxDB does so too where it looks for the end of the line: a double quote in such a name
    /// could then take the next line of the batch with it.
    pub fn lossy(bytes: &[u8]) -> Label {
        Label::new(bytes).unwrap_or_else(|| Label(Label::NAMELESS.into()))
    }

    /// As [`Label::lossy`], but nothing where nothing is left.
    pub fn new(bytes: &[u8]) -> Option<Label> {
        let mut text = String::with_capacity(bytes.len());
        printable(bytes, &mut text);
        text.truncate(text.trim_end_matches('\\').len());
        let ambiguous =
            |at: usize| matches!(text.as_bytes().get(at + 1), Some(b'\\' | b',' | b'=' | b' '));
        let ambiguous: Vec<usize> =
            text.match_indices('\\').map(|(at, _)| at).filter(|&at| ambiguous(at)).collect();
        for at in ambiguous {
            text.replace_range(at..=at, "?");
        }
        (!text.is_empty()).then(|| Label(text.into()))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Adds `bytes` to `text` with all that could end a line, move a cursor or break UTF-8 replaced.
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

/// So much of a value is quoted in an error: what is wrong with it must be in the line as well.
const EXCERPT: usize = 100;

/// A value as an error quotes it: where it is long, its beginning.
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
    fn hostile_names_become_the_documented_text() {
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
        assert_eq!(label("a\u{85}b".as_bytes()), "a?b", "C1 controls too");
        assert_eq!(label(b"\xff"), "?");
        assert_eq!(label(b"caf\xc3"), "caf?", "cut within a character");
        assert_eq!(label(b"\xe2\x82"), "??");
        assert_eq!(label("größe".as_bytes()), "größe");
        assert_eq!(label(b"#x"), "#x");
        assert_eq!(label(b"\"q\""), "\"q\"");
        assert_eq!(label(b"a,b=c d"), "a,b=c d", "escaping is the format's business");
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
