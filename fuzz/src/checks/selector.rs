//! An option that selects processes, with its value `NAME:VALUE`. The first byte chooses the option.

use super::config::surroundings;
use psstat::cli::{self, Invocation};
use psstat_core::select::selector::{Naming, Selector, Source, User};
use psstat_core::select::systemd;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

const OPTIONS: [&str; 8] =
    ["pid", "pid-file", "pattern", "cmdline", "exe", "user", "systemd", "cgroup"];

/// Checks that the value is split as documented, or refused with one line. Returns whether it is accepted.
pub fn check(bytes: &[u8]) -> bool {
    let Some((&choice, typed)) = bytes.split_first() else { return false };
    // The kernel ends an argument at the first NUL.
    if typed.contains(&0) {
        return false;
    }
    let option = OPTIONS[usize::from(choice) % OPTIONS.len()];
    let argument = [b"--", option.as_bytes(), b"=", typed].concat();
    let arguments =
        [OsString::from("psstat"), OsString::from("check"), OsString::from_vec(argument)];
    let job = match cli::parse(arguments, &surroundings()) {
        Ok(Invocation::Check(job)) => job,
        Ok(other) => panic!("taken for {other:?}"),
        Err(error) => {
            super::output::check_message(&error.to_string());
            return false;
        }
    };
    let [selector] = job.plan.selectors.as_slice() else { panic!("one option, and no selector") };
    let (name, value) = split(typed);
    super::output::check_label(selector.name().map(|name| name.as_str()));
    let known = match &selector.naming {
        Naming::Own => None,
        Naming::Given(name) => Some(name.as_str().to_owned()),
        Naming::Template(template, _) => Some(template.as_str().to_owned()),
    };
    assert_eq!(known.is_some(), name.is_some(), "{selector}");
    if let (Some(known), Some(name)) = (known, name) {
        // All that a name may hold can be printed as it is.
        assert_eq!(known, name, "{selector}");
    }
    check_value(option, value, selector);
    true
}

/// A name is everything before the first `:`, if it is only letters, digits, `_`, `.`, `-`, `@`, spaces and
/// words in braces. Nothing before it means "no name".
fn split(typed: &[u8]) -> (Option<&str>, &[u8]) {
    let Some(colon) = typed.iter().position(|&byte| byte == b':') else { return (None, typed) };
    let (before, after) = (&typed[..colon], &typed[colon + 1..]);
    let is_allowed = |c: char| c.is_alphanumeric() || "_.-@ ".contains(c);
    match std::str::from_utf8(before) {
        Ok("") => (None, after),
        Ok(name) if without_words_in_braces(name).chars().all(is_allowed) => (Some(name), after),
        _ => (None, typed),
    }
}

/// A word is a letter or `_`, and further letters, digits and `_`, all ASCII.
fn without_words_in_braces(name: &str) -> String {
    let mut parts = name.split('{');
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('}') {
            Some((word, after))
                if !word.is_empty()
                    && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                    && !word.starts_with(|c: char| c.is_ascii_digit()) =>
            {
                kept.push_str(after);
            }
            _ => {
                kept.push('{');
                kept.push_str(part);
            }
        }
    }
    kept
}

fn check_value(option: &str, value: &[u8], selector: &Selector) {
    let conditions = &selector.conditions;
    let of_conditions = [
        ("pattern", conditions.pattern.clone().map(String::into_bytes)),
        ("cmdline", conditions.cmdline.clone().map(String::into_bytes)),
        ("exe", conditions.exe.as_ref().map(|exe| exe.as_str().as_bytes().to_vec())),
        (
            "user",
            conditions.user.as_ref().map(|user| match user {
                User::Named { name, .. } => name.clone().into_bytes(),
                User::Id(uid) => {
                    let typed = std::str::from_utf8(value).expect("a number is text");
                    assert_eq!(typed.parse(), Ok(uid.0));
                    value.to_vec()
                }
            }),
        ),
    ];
    let known = of_conditions.into_iter().filter_map(|(key, value)| Some((key, value?)));
    let mut known: Vec<(&str, Vec<u8>)> = known.collect();
    let text = || String::from_utf8_lossy(value);
    known.extend(match &selector.source {
        Source::All | Source::Rest => None,
        Source::Pid(pid) => {
            assert_eq!(text().parse(), Ok(pid.number()));
            Some(("pid", value.to_vec()))
        }
        Source::PidFile(path) => Some(("pid-file", path.clone())),
        Source::Unit(glob) => {
            assert_eq!(*glob, systemd::expand(&text()));
            Some(("systemd", value.to_vec()))
        }
        Source::ControlGroup(glob) => {
            assert_eq!(glob.glob(), Some(text().trim_matches('/')));
            Some(("cgroup", value.to_vec()))
        }
    });
    assert_eq!(known, [(option, value.to_vec())], "{selector}");
}
