//! Environment variables in the values of a configuration file: `"${TEAM}"` and `"${TEAM:-web}"`.
//!
//! A value is replaced after the file was read as TOML, so no variable can add a key or a group. Only
//! `${NAME}` and `${NAME:-DEFAULT}` are replaced. Everything else is as it was, so that a regex such as `a$`
//! or `\d${2}` needs no escapes. `$${NAME}` is the text `${NAME}`.

use std::ffi::OsString;
use std::ops::Range;
use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Finds an environment variable.
pub type Find = fn(&str) -> Option<OsString>;

/// Why a variable has no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VariableError {
    /// There is no such variable.
    #[error(
        "the environment variable {0} is not set: set it, write ${{{0}:-DEFAULT}}, or $${{{0}}} for the text \
         itself"
    )]
    NotSet(String),
    /// Its value is not text.
    #[error("the value of the environment variable {0} is not UTF-8")]
    NotUtf8(String),
}

/// A value that could not be replaced.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    /// The key of the value.
    pub key: Range<usize>,
    /// Where the value begins.
    pub start: usize,
    /// What is wrong.
    pub reason: VariableError,
}

/// Replaces the variables in all values of a table. Returns the values for which that is not possible. They
/// stay as they were.
pub fn replace(table: &mut DeTable<'_>, find: Find) -> Vec<Failed> {
    let mut failed = Vec::new();
    for (key, value) in table.iter_mut() {
        replace_in(&key.span(), value, find, &mut failed);
    }
    failed
}

fn replace_in(
    key: &Range<usize>,
    value: &mut Spanned<DeValue<'_>>,
    find: Find,
    failed: &mut Vec<Failed>,
) {
    let start = value.span().start;
    match value.get_mut() {
        DeValue::String(text) => match expanded(text, find) {
            Ok(None) => {}
            Ok(Some(replaced)) => *text = replaced.into(),
            Err(reason) => failed.push(Failed { key: key.clone(), start, reason }),
        },
        DeValue::Array(values) => {
            values.iter_mut().for_each(|value| replace_in(key, value, find, failed));
        }
        DeValue::Table(table) => failed.extend(replace(table, find)),
        _ => {}
    }
}

/// The text with the values of its variables. `None` if it has none.
fn expanded(text: &str, find: Find) -> Result<Option<String>, VariableError> {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        let (before, from) = rest.split_at(dollar);
        replaced.push_str(before);
        rest = if let Some(reference) = Reference::at(&from[1..]) {
            // The first dollar says that the second is no variable.
            replaced.push_str(&from[1..=reference.length]);
            &from[1 + reference.length..]
        } else if let Some(reference) = Reference::at(from) {
            replaced.push_str(&reference.value(find)?);
            &from[reference.length..]
        } else {
            replaced.push('$');
            &from[1..]
        };
    }
    replaced.push_str(rest);
    Ok((replaced != text).then_some(replaced))
}

/// `${NAME}` or `${NAME:-DEFAULT}` at the beginning of a text.
struct Reference<'t> {
    name: &'t str,
    default: Option<&'t str>,
    /// How many bytes it has.
    length: usize,
}

impl<'t> Reference<'t> {
    fn at(text: &'t str) -> Option<Reference<'t>> {
        let inner = text.strip_prefix("${")?;
        let inner = &inner[..inner.find('}')?];
        let (name, default) = match inner.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inner, None),
        };
        let is_name = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_name.then_some(Reference { name, default, length: inner.len() + 3 })
    }

    /// The value of the variable. As in a shell, the default also replaces an empty value.
    fn value(&self, find: Find) -> Result<String, VariableError> {
        let found = find(self.name).filter(|value| self.default.is_none() || !value.is_empty());
        match (found, self.default) {
            (Some(value), _) => {
                value.into_string().map_err(|_| VariableError::NotUtf8(self.name.to_owned()))
            }
            (None, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err(VariableError::NotSet(self.name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::ffi::OsStringExt;

    fn find(name: &str) -> Option<OsString> {
        match name {
            "TEAM" => Some("edge".into()),
            "_A1" => Some("${TEAM}".into()),
            "EMPTY" => Some(OsString::new()),
            "BYTES" => Some(OsString::from_vec(vec![0xff])),
            _ => None,
        }
    }

    fn text(text: &str) -> String {
        expanded(text, find).unwrap().unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn variables_are_replaced_by_their_values() {
        for (typed, expected) in [
            ("${TEAM}", "edge"),
            ("a-${TEAM}-${TEAM}$", "a-edge-edge$"),
            ("${NONE:-x y}${EMPTY:-}${EMPTY:-z}", "x yz"),
            ("${TEAM:-x}${EMPTY}", "edge"),
            ("${_A1}", "${TEAM}"),
            ("$${TEAM}", "${TEAM}"),
            ("$$${TEAM}", "$${TEAM}"),
            ("$${NONE:-x}", "${NONE:-x}"),
            ("${NONE:-a}b}", "ab}"),
        ] {
            assert_eq!(text(typed), expected, "{typed}");
        }
    }

    #[test]
    fn regexes_stay_as_they_are() {
        for regex in [
            "a$", "foo${", "\\d${2}", "${2,3}", "$", "$$", "${}", "${a b}", "$TEAM", "{app}",
            "${:-x}", "$${2}",
        ] {
            assert_eq!(expanded(regex, find), Ok(None), "{regex}");
        }
    }

    #[test]
    fn a_variable_without_a_value_is_an_error() {
        let reason = expanded("${NONE}", find).unwrap_err();
        let said = reason.to_string();
        assert!(said.contains("NONE is not set") && said.contains("${NONE:-DEFAULT}"), "{said}");
        assert!(said.contains("$${NONE}"), "{said}");
        assert_eq!(expanded("${BYTES}", find), Err(VariableError::NotUtf8("BYTES".to_owned())));
    }

    proptest! {
        #[test]
        fn a_text_without_references_is_not_changed(typed in "[${}:A-C2 é-]{0,12}") {
            let is_reference = |at: usize| Reference::at(&typed[at..]).is_some();
            let has_one = typed.char_indices().any(|(at, _)| is_reference(at));
            prop_assert!(has_one || expanded(&typed, find) == Ok(None));
        }
    }
}
