//! What goes to standard error beside the lines, with Telegraf's prefixes.

use crate::label::diagnostic;
use crate::run::STDERR_LINE;
use std::collections::HashSet;
use std::io::Write;

/// Notes of one run. Warnings go out before information, because Telegraf shows the first line.
#[derive(Debug, Default)]
pub struct Notes {
    warnings: Vec<String>,
    information: Vec<String>,
}

impl Notes {
    /// Something is wrong with one part; the others are reported.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
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
        let now: HashSet<String> = self.warnings.iter().cloned().collect();
        self.warnings.retain(|warning| !said.contains(warning));
        *said = now;
    }

    /// Writes all of them, in one call, and forgets them.
    pub fn flush(&mut self) {
        let mut text = String::new();
        for warning in self.warnings.drain(..) {
            text.push_str(&diagnostic("W!", &warning, STDERR_LINE));
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
