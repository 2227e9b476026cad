//! What goes to standard error beside the lines, with Telegraf's prefixes.

use crate::label::diagnostic;
use crate::run::STDERR_LINE;
use std::collections::HashSet;
use std::io::Write;

/// Notes of one run. Warnings go out before information, because Telegraf shows the first line.
#[derive(Debug, Default)]
pub struct Notes {
    warnings: Vec<Warning>,
    information: Vec<String>,
}

#[derive(Debug)]
struct Warning {
    /// Tells it from others. What it shows as an example, and how many there are, is no part of it.
    about: String,
    text: String,
}

impl Notes {
    /// Something is wrong with one part; the others are reported.
    pub fn warn(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.warnings.push(Warning { about: text.clone(), text });
    }

    /// As [`Notes::warn`], of something that is the same while numbers in the text change.
    pub fn warn_about(&mut self, about: impl Into<String>, text: impl Into<String>) {
        self.warnings.push(Warning { about: about.into(), text: text.into() });
    }

    /// Nothing is wrong, and yet it should be said.
    pub fn inform(&mut self, text: impl Into<String>) {
        self.information.push(text.into());
    }

    /// Takes over what another collection holds.
    pub fn extend(&mut self, other: Notes) {
        self.warnings.extend(other.warnings);
        self.information.extend(other.information);
    }

    /// Drops the warnings that `said` holds already, and makes `said` those that stood before:
    /// a process that lives on says what has changed, not what is still so.
    pub fn drop_repeated(&mut self, said: &mut HashSet<String>) {
        let now = self.warnings.iter().map(|warning| warning.about.clone()).collect();
        self.warnings.retain(|warning| !said.contains(&warning.about));
        *said = now;
    }

    /// Writes all of them, in one call, and forgets them.
    pub fn flush(&mut self) {
        let mut text = String::new();
        for warning in self.warnings.drain(..) {
            text.push_str(&diagnostic("W!", &warning.text, STDERR_LINE));
        }
        for information in self.information.drain(..) {
            text.push_str(&diagnostic("I!", &information, STDERR_LINE));
        }
        if !text.is_empty() {
            // If standard error is gone there is nobody left to tell.
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_so_is_said_once_whatever_its_numbers() {
        let mut said = HashSet::new();
        let mut texts = |warnings: &[(&str, &str)]| -> Vec<String> {
            let mut notes = Notes::default();
            for &(about, text) in warnings {
                notes.warn_about(about, text);
            }
            notes.drop_repeated(&mut said);
            notes.warnings.into_iter().map(|warning| warning.text).collect()
        };
        assert_eq!(texts(&[("files", "3 files"), ("units", "1 unit")]), ["3 files", "1 unit"]);
        assert_eq!(texts(&[("files", "4 files"), ("sizes", "2 sizes")]), ["2 sizes"]);
        assert_eq!(texts(&[("units", "1 unit")]), ["1 unit"], "it was mended meanwhile");
    }
}
