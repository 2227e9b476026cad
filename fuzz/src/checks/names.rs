//! A name with placeholders, the regexes of its selector, and what a process shows: which name its group has.

use super::bytes::Bytes;
use super::output::{check_label, check_message};
use psstat_core::model::label::Label;
use psstat_core::select::matcher;
use psstat_core::select::recipe::{Attribute, Recipe};
use psstat_core::select::selector::{Conditions, Naming, PathPattern, Source};
use psstat_core::select::template::{Bound, Template};
use std::cell::RefCell;
use std::collections::BTreeSet;

/// The longest name, and the longest match of a regex that is looked at.
const LONGEST: usize = 255;
const LONGEST_MATCH: usize = 4096;

/// What a process shows, in the order of [`ATTRIBUTES`]. `None` for what it does not have.
type Shown = [Option<Vec<u8>>; 6];

const ATTRIBUTES: [Attribute; 6] = [
    Attribute::Name,
    Attribute::Cmdline,
    Attribute::Exe,
    Attribute::User,
    Attribute::ControlGroup,
    Attribute::Unit,
];

/// Those that have a regex.
const WITH_REGEX: [usize; 4] = [0, 1, 2, 4];

/// Checks which name is made. Returns whether one is.
pub fn check(bytes: &[u8]) -> bool {
    let mut bytes = Bytes(bytes);
    let flags = bytes.byte();
    let Ok(text) = std::str::from_utf8(bytes.text(80)) else { return false };
    let regexes: [Option<String>; 4] = std::array::from_fn(|index| {
        let typed = if flags >> index & 1 == 1 { bytes.text(80) } else { b"" };
        std::str::from_utf8(typed).ok().filter(|typed| !typed.is_empty()).map(str::to_owned)
    });
    let shown: Shown = std::array::from_fn(|_| {
        let is_shown = !bytes.one_in(8);
        let times = if bytes.one_in(16) { 1 + bytes.below(256) } else { 1 };
        let value = bytes.text(250).repeat(times);
        is_shown.then_some(value)
    });
    let is_template = pieces(text).iter().any(|(is_placeholder, _)| *is_placeholder);
    let naming = Naming::parse(text, Bound::default());
    let template = match (&naming, Template::parse(text)) {
        (Some(Naming::Template(of_name, _)), Some(template)) => {
            assert!(is_template && *of_name == template, "{text:?}");
            template
        }
        (naming, None) => {
            assert!(!is_template, "{text:?}");
            assert_eq!(naming.is_some(), Label::new(text.as_bytes()).is_some());
            return false;
        }
        (naming, template) => panic!("{naming:?} and {template:?}"),
    };
    assert_eq!(template.as_str(), text);
    check_label(Some(&template.to_string()));
    make(&template, regexes, &shown, flags)
}

fn make(template: &Template, regexes: [Option<String>; 4], shown: &Shown, flags: u8) -> bool {
    let [pattern, cmdline, exe, control_group] = regexes.clone();
    let exe = exe.map(PathPattern::Regex);
    let conditions = Conditions { pattern, cmdline, exe, user: None };
    let source = match control_group {
        Some(regex) => Source::ControlGroup(PathPattern::Regex(regex)),
        None if flags >> 4 & 1 == 1 => Source::Unit("*".to_owned()),
        None => Source::All,
    };
    let is_whole = source != Source::All && conditions == Conditions::default();
    let compiled = regexes.each_ref().map(|regex| regex.as_deref().map(matcher::regex));
    let is_sound = compiled.iter().flatten().all(Result::is_ok);
    let values: Vec<(String, Option<Vec<u8>>)> = placeholders(template.as_str())
        .into_iter()
        .filter_map(|word| Some((word.to_owned(), value(word, &compiled, shown, is_whole)?)))
        .collect();
    let words = placeholders(template.as_str());
    let recipe = match Recipe::new(template, &source, &conditions) {
        Ok(recipe) => recipe,
        Err(error) => {
            check_message(&error.to_string());
            assert!(!is_sound || values.len() < words.len(), "{error}");
            return false;
        }
    };
    assert!(is_sound && values.len() == words.len(), "{template:?} is taken");
    let asked = RefCell::new(BTreeSet::new());
    let name = recipe.name(|attribute| {
        asked.borrow_mut().insert(attribute);
        let index = ATTRIBUTES.iter().position(|&one| one == attribute)?;
        // What was not announced is not read.
        shown[index].as_deref().filter(|_| recipe.attributes().contains(&attribute))
    });
    check_label(Some(name.as_str()));
    assert!(name.as_str().len() <= LONGEST, "{} bytes", name.as_str().len());
    let mut expected = Vec::new();
    let mut values = values.iter();
    for (is_placeholder, piece) in pieces(template.as_str()) {
        if is_placeholder {
            let (_, value) = values.next().expect("one for each placeholder");
            let value = value.as_deref().filter(|value| !value.is_empty());
            expected.extend(value.unwrap_or(b"?"));
        } else {
            expected.extend(piece.as_bytes());
        }
    }
    let label = Label::lossy(&expected);
    if label.as_str().len() <= LONGEST {
        assert_eq!(name, label);
    } else {
        let start = name.as_str().trim_end_matches('?');
        assert!(label.as_str().starts_with(start), "{name} of {label}");
    }
    true
}

/// The value of a placeholder: what a named group of a regex matched, or else what is shown. `None` if there is
/// no such placeholder.
fn value<E>(
    word: &str,
    compiled: &[Option<Result<regex::bytes::Regex, E>>; 4],
    shown: &Shown,
    is_whole: bool,
) -> Option<Option<Vec<u8>>> {
    for (regex, index) in compiled.iter().zip(WITH_REGEX) {
        let Some(Ok(regex)) = regex else { continue };
        if !regex.capture_names().flatten().any(|name| name == word) {
            continue;
        }
        let all = shown[index].as_deref().and_then(|text| regex.captures(text));
        let all = all.filter(|all| all.get(0).is_none_or(|whole| whole.len() <= LONGEST_MATCH));
        return Some(all.and_then(|all| Some(all.name(word)?.as_bytes().to_vec())));
    }
    let shown = |index: usize| shown[index].clone();
    match word {
        "comm" | "exe" | "user" if is_whole => None,
        "comm" => Some(shown(0)),
        "exe" => Some(shown(2)),
        "user" => Some(shown(3)),
        "cgroup" => Some(shown(4).map(|path| if path.is_empty() { b"/".to_vec() } else { path })),
        "unit" => Some(shown(5).map(|id| match id.strip_suffix(b".service") {
            Some(name) => name.to_vec(),
            None => id,
        })),
        "instance" => Some(shown(5).and_then(|id| {
            let id = String::from_utf8(id).ok()?;
            let types = [
                "service",
                "socket",
                "target",
                "device",
                "mount",
                "automount",
                "swap",
                "timer",
                "path",
                "slice",
                "scope",
            ];
            let (name, of_type) = id.rsplit_once('.').filter(|(_, end)| types.contains(end))?;
            let _ = of_type;
            Some(name.split_once('@')?.1.as_bytes().to_vec())
        })),
        _ => None,
    }
}

fn placeholders(text: &str) -> Vec<&str> {
    pieces(text).into_iter().filter(|(is_one, _)| *is_one).map(|(_, word)| word).collect()
}

/// The parts of a name: whether each is a placeholder, and its text or word.
fn pieces(text: &str) -> Vec<(bool, &str)> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for (open, _) in text.match_indices('{') {
        if open < from {
            continue;
        }
        let word = text[open + 1..].split('}').next().filter(|word| {
            text[open + 1..].len() > word.len()
                && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
                && word.bytes().next().is_some_and(|first| !first.is_ascii_digit())
        });
        if let Some(word) = word {
            pieces.push((false, &text[from..open]));
            pieces.push((true, word));
            from = open + word.len() + 2;
        }
    }
    pieces.push((false, &text[from..]));
    pieces
}
