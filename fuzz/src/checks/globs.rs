//! A glob and a name, with a NUL between them: as a glob of selectors, as one of pid files, and as a regex.

use psstat::files::glob;
use psstat_core::select::matcher::{self, Matcher};
use psstat_core::select::selector::PathPattern;

/// The name of a class of bytes, and whether a byte is in it.
type Class = (&'static str, fn(&u8) -> bool);

/// The classes of a bracket expression (regex(7)).
const CLASSES: [Class; 12] = [
    ("alnum", u8::is_ascii_alphanumeric),
    ("alpha", u8::is_ascii_alphabetic),
    ("blank", |byte| b" \t".contains(byte)),
    ("cntrl", u8::is_ascii_control),
    ("digit", u8::is_ascii_digit),
    ("graph", u8::is_ascii_graphic),
    ("lower", u8::is_ascii_lowercase),
    ("print", |byte| (b' '..=b'~').contains(byte)),
    ("punct", u8::is_ascii_punctuation),
    ("space", |byte| b" \t\n\r\x0b\x0c".contains(byte)),
    ("upper", u8::is_ascii_uppercase),
    ("xdigit", u8::is_ascii_hexdigit),
];

/// Checks that the glob matches the name where it should. Returns whether it does.
pub fn check(bytes: &[u8]) -> bool {
    let mut parts = bytes.splitn(2, |&byte| byte == 0);
    let (pattern, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let is_in = matches(pattern, name, false);
    assert_eq!(glob::matches(pattern, name), is_in, "pid files");
    let Ok(text) = std::str::from_utf8(pattern) else { return is_in };
    let of_glob = PathPattern::Glob(text.to_owned());
    let mut is_one = is_in;
    match Matcher::of_globs([(0, text)].into_iter()) {
        Ok(matcher) => {
            is_one = matcher.is_match(name);
            assert_eq!(is_one, matches(pattern, name, true), "selectors");
            check_start(&of_glob, is_one, name);
        }
        Err(error) => check_refusal(&error.to_string()),
    }
    match Matcher::of_regexes([(0, text)].into_iter()) {
        Ok(matcher) => {
            let matches = matcher.is_match(name);
            check_start(&PathPattern::Regex(text.to_owned()), matches, name);
        }
        Err(error) => check_refusal(&error.to_string()),
    }
    is_one
}

/// What matches begins as the pattern says that it must.
fn check_start(pattern: &PathPattern, matches: bool, name: &[u8]) {
    let start = matcher::literal_start(pattern);
    assert!(!matches || name.starts_with(start.as_bytes()), "{start:?}");
}

fn check_refusal(reason: &str) {
    super::output::check_message(reason);
    assert!(!reason.contains('\n'), "{reason:?}");
}

/// fnmatch(3) with `FNM_NOESCAPE`: all places in the name that the glob can have come to.
fn matches(pattern: &[u8], name: &[u8], with_classes: bool) -> bool {
    let mut places = vec![false; name.len() + 1];
    places[0] = true;
    let mut rest = pattern;
    while let Some(&first) = rest.first() {
        if first == b'*' {
            let start = places.iter().position(|&place| place).unwrap_or(places.len());
            places[start..].fill(true);
            rest = &rest[1..];
            continue;
        }
        let (length, set) = match first {
            b'?' => (1, [true; 256]),
            b'[' => bracket(rest, with_classes).unwrap_or((1, only(b'['))),
            _ => (1, only(first)),
        };
        for at in (0..name.len()).rev() {
            places[at + 1] = places[at] && set[usize::from(name[at])];
        }
        places[0] = false;
        rest = &rest[length..];
    }
    places[name.len()]
}

fn only(byte: u8) -> [bool; 256] {
    let mut set = [false; 256];
    set[usize::from(byte)] = true;
    set
}

/// The length of a bracket expression, and the bytes that it matches. `None` if it is not closed.
fn bracket(text: &[u8], with_classes: bool) -> Option<(usize, [bool; 256])> {
    let mut set = [false; 256];
    let is_negated = matches!(text.get(1), Some(b'!' | b'^'));
    let first = 1 + usize::from(is_negated);
    let mut at = first;
    while at == first || *text.get(at)? != b']' {
        let start = *text.get(at)?;
        let class = if with_classes { class(&text[at..]) } else { None };
        if let Some((name, is_in)) = class {
            (0..=255).filter(is_in).for_each(|byte| set[usize::from(byte)] = true);
            at += name.len() + 4;
        } else if text.get(at + 1) == Some(&b'-')
            && text.get(at + 2).is_some_and(|&end| end != b']')
        {
            (start..=text[at + 2]).for_each(|byte| set[usize::from(byte)] = true);
            at += 3;
        } else {
            set[usize::from(start)] = true;
            at += 1;
        }
    }
    if is_negated {
        set.iter_mut().for_each(|is_in| *is_in = !*is_in);
    }
    Some((at + 1, set))
}

/// The class at the beginning of a text, as in `[:alpha:]`.
fn class(text: &[u8]) -> Option<&'static Class> {
    CLASSES.iter().find(|(name, _)| text.starts_with(format!("[:{name}:]").as_bytes()))
}
