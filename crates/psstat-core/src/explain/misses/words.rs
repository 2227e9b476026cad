//! Parts of sentences.

use crate::explain::facts::Facts;
use crate::model::units::Pid;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// How many examples a sentence gives.
pub(super) const EXAMPLES: usize = 3;

pub(super) fn processes(count: usize) -> String {
    if count == 1 { "1 process".to_string() } else { format!("{count} processes") }
}

/// So many processes, and what they do.
pub(super) fn these(count: usize, one_does: &str, they_do: &str) -> String {
    format!("{} {}", processes(count), if count == 1 { one_does } else { they_do })
}

pub(super) fn matches_it(count: usize) -> String {
    these(count, "matches", "match")
}

/// The first of some texts, and how many more there are.
pub(super) fn first_of(mut texts: Vec<String>) -> String {
    let count = texts.len();
    texts.truncate(EXAMPLES);
    if count > EXAMPLES {
        texts.push(format!("and {} more", count - EXAMPLES));
    }
    texts.join(", ")
}

/// The same for paths of control groups.
pub(super) fn paths_of(mut paths: Vec<String>) -> String {
    for root in paths.iter_mut().filter(|path| path.is_empty()) {
        root.push_str("the root");
    }
    first_of(paths)
}

/// Some processes, as examples.
pub(super) fn examples(found: &[(Pid, &Facts)], show: impl Fn(&Facts) -> String) -> String {
    let (shown, others) = found.split_at(found.len().min(EXAMPLES));
    let mut text: Vec<String> =
        shown.iter().map(|(pid, facts)| format!("{pid} {}", show(facts))).collect();
    text.extend(others.iter().map(|_| String::new()));
    first_of(text)
}

pub(super) fn named_of(facts: &Facts) -> String {
    facts.name.clone()
}

pub(super) fn command(facts: &Facts) -> String {
    let command = facts.command.clone().unwrap_or_default();
    match command.char_indices().nth(60) {
        Some((end, _)) => format!("`{}…`", &command[..end]),
        None => format!("`{command}`"),
    }
}

/// A text as one word of a shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
