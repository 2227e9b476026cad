//! Writes messages to standard error, with Telegraf's prefixes: `E! `, `W! `, `I! `.

use crate::job::Mounts;
use crate::mistakes::Mistake;
use crate::privilege;
use crate::sys::{PAUSE, retry};
use psstat_core::diagnostics::{Diagnostics, Right, Warning};
use psstat_core::model::label::printable;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::HashSet;
use std::fmt::Write as _;

/// The longest line, line feed included. Telegraf shows 512 bytes of the first line.
const LINE_LIMIT: usize = 512;

/// The messages of one run. Warnings are written before information, because Telegraf shows the
/// first line.
#[derive(Debug, Default)]
pub struct Messages {
    /// Whether somebody has said where procfs is.
    is_proc_chosen: bool,
    warnings: Vec<Message>,
    information: Vec<String>,
}

#[derive(Debug)]
struct Message {
    /// Identifies the warning among those of other samples.
    key: String,
    /// Identifies its cause.
    cause: String,
    text: String,
}

impl Messages {
    /// No messages yet, of a run that reads these.
    pub fn about(mounts: &Mounts) -> Messages {
        Messages { is_proc_chosen: mounts.is_proc_chosen, ..Messages::default() }
    }

    /// Adds a warning.
    pub fn warn(&mut self, text: String) {
        self.warnings.push(Message { key: text.clone(), cause: text.clone(), text });
    }

    /// Adds a warning for each of these mistakes.
    pub fn warn_of(&mut self, mistakes: &[Mistake]) {
        mistakes.iter().for_each(|mistake| self.warn(mistake.to_string()));
    }

    /// Adds information.
    pub fn inform(&mut self, text: impl Into<String>) {
        self.information.push(text.into());
    }

    /// Adds the warnings of a sample.
    pub fn add(&mut self, diagnostics: &Diagnostics) {
        let is_proc_chosen = self.is_proc_chosen;
        self.warnings.extend(diagnostics.iter().map(|warning| Message {
            key: warning.key(),
            cause: warning.cause(),
            text: with_shortage(warning, is_proc_chosen),
        }));
    }

    /// Adds the warnings of an earlier sample whose causes are not there yet.
    pub fn add_others(&mut self, diagnostics: &Diagnostics) {
        let known = self.warnings.iter().map(|known| known.cause.clone());
        let known: HashSet<String> = known.collect();
        let mut others = Messages { is_proc_chosen: self.is_proc_chosen, ..Messages::default() };
        others.add(diagnostics);
        others.warnings.retain(|warning| !known.contains(&warning.cause));
        self.warnings.extend(others.warnings);
    }

    /// Drops the warnings that the last sample had too, and sets `already_reported` to the warnings
    /// of this sample. So a resident process reports each warning once while it lasts.
    pub fn drop_repeated(&mut self, already_reported: &mut HashSet<String>) {
        let now = self.warnings.iter().map(|warning| warning.key.clone()).collect();
        self.warnings.retain(|warning| !already_reported.contains(&warning.key));
        *already_reported = now;
    }

    /// The texts of the warnings.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.iter().map(|warning| &*warning.text)
    }

    /// Writes all messages at once.
    pub fn write(self) {
        let mut text = String::new();
        for warning in self.warnings {
            text.push_str(&line("W!", &warning.text));
        }
        for information in self.information {
            text.push_str(&line("I!", &information));
        }
        write_lines(&text);
    }
}

/// The text of a warning, and if psstat may not use a right that it was given, why.
fn with_shortage(warning: &Warning, is_proc_chosen: bool) -> String {
    let text = warning.to_string();
    let Some(right) = warning.lacks() else { return text };
    match privilege::shortage(is_proc_chosen, right) {
        Some(shortage) => with_cure(&text, right, shortage),
        None => text,
    }
}

/// The text with another cure in place of that of a missing right. If the text has other cures beside that one, it
/// keeps all, and this one comes last.
fn with_cure(text: &str, right: Right, cure: &str) -> String {
    match text.rsplit_once(right.cure()) {
        Some((before, behind)) if behind.is_empty() || behind.starts_with(';') => {
            format!("{before}{cure}{behind}")
        }
        _ => format!("{text} ({cure})"),
    }
}

/// The exit status of a command. Writes its error.
pub fn exit_status(result: &Result<(), crate::error::Error>) -> u8 {
    match result {
        Ok(()) => 0,
        Err(error) => {
            write_error(error);
            error.exit_status()
        }
    }
}

/// Writes an error, which has several lines if there are several mistakes in the configuration file.
pub fn write_error(error: &crate::error::Error) {
    let lines: String = error.texts().iter().map(|text| line("E!", text)).collect();
    write_lines(&lines);
}

/// How long a line waits for room in a full pipe. Whoever does not read messages must not stop samples.
const PATIENCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Writes lines to standard error, until one does not find room. If standard error is closed, there is
/// nowhere to report it.
///
/// A pipe that poll(2) calls writable has room for a line of [`LINE_LIMIT`] (`PIPE_BUF`, pipe(7)).
fn write_lines(text: &str) {
    let stderr = rustix::stdio::stderr();
    for line in text.split_inclusive('\n') {
        let mut polled = [PollFd::new(&stderr, PollFlags::OUT)];
        let mut has_room = || retry(|| poll(&mut polled, Some(&PATIENCE)));
        let has_room = has_room().or_else(|_| {
            std::thread::sleep(PAUSE);
            has_room()
        });
        if !has_room.is_ok_and(|ready| ready > 0)
            || retry(|| rustix::io::write(stderr, line.as_bytes())).is_err()
        {
            return;
        }
    }
}

/// One line: prefix, text, line feed.
///
/// Control characters are replaced, because a path or a name in the text can be hostile. The line is
/// cut at [`LINE_LIMIT`].
fn line(prefix: &str, text: &str) -> String {
    let mut line = String::with_capacity(prefix.len() + text.len() + 1);
    // Writing to a String cannot fail.
    let _ = write!(line, "{prefix} ");
    printable(text.as_bytes(), &mut line);
    if line.len() >= LINE_LIMIT {
        line.truncate(line.floor_char_boundary(LINE_LIMIT - "...\n".len()));
        line.push_str("...");
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use psstat_core::diagnostics::What;
    use psstat_core::model::read_error::ReadError;

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        assert_eq!(line("W!", "a\nb"), "W! a\\nb\n");
        let long = line("E!", &"é".repeat(400));
        assert!(long.len() <= LINE_LIMIT && long.len() > LINE_LIMIT - 12, "{}", long.len());
        assert!(long.ends_with("...\n"));
    }

    #[test]
    fn whoever_has_a_right_is_not_told_to_give_it() {
        let warning = |what| {
            let reason = psstat_core::model::read_error::Reason::Denied;
            let first = ReadError { path: "/proc/1/x".into(), reason };
            Warning::Unreadable { what, count: 1, first }
        };
        let said = |what| {
            let warning = warning(what);
            let right = warning.lacks().expect("a right would do");
            with_cure(&warning.to_string(), right, "the kernel refuses")
        };
        let denied = "cannot read /proc/1/x: permission denied: the kernel refuses";
        assert_eq!(said(What::Executables), denied);
        assert_eq!(said(What::OpenFiles), denied);
        let counted = "; until then psstat counts these processes as --memory shared-once does";
        assert_eq!(said(What::ProportionalSizes), format!("{denied}{counted}"));
        // There is other advice too.
        let hidden = warning(What::Processes);
        assert_eq!(said(What::Processes), format!("{hidden} (the kernel refuses)"));
    }

    #[test]
    fn a_warning_of_both_samples_is_reported_once() {
        let sample = |users: &[&str]| {
            let mut diagnostics = Diagnostics::default();
            for user in users {
                diagnostics.add(Warning::UnknownUser((*user).to_owned()));
            }
            diagnostics
        };
        let mut messages = Messages::default();
        messages.add(&sample(&["a", "b"]));
        messages.add_others(&sample(&["b", "c"]));
        let texts: Vec<&str> = messages.warnings.iter().map(|known| known.text.as_str()).collect();
        assert_eq!(texts.len(), 3, "{texts:?}");
        assert!(texts[2].contains('c'), "{texts:?}");
        // The same files could not be read, and other numbers of them.
        let unreadable = |count| {
            let reason = psstat_core::model::read_error::Reason::Denied;
            let first = ReadError { path: "/proc/1/exe".into(), reason };
            Warning::Unreadable { what: What::Executables, count, first }
        };
        let mut now = Diagnostics::default();
        let groups = vec![psstat_core::model::label::Label::lossy(b"web")];
        now.add(Warning::NoLine { groups, cause: Box::new(unreadable(299)) });
        let mut before = Diagnostics::default();
        before.add(unreadable(424));
        let mut messages = Messages::default();
        messages.add(&now);
        messages.add_others(&before);
        let texts: Vec<&str> = messages.warnings().collect();
        assert!(texts.len() == 1 && texts[0].contains("299"), "{texts:?}");
    }

    #[test]
    fn a_warning_is_reported_once_while_it_lasts() {
        let mut already_reported = HashSet::new();
        let mut texts = |warnings: &[(&str, &str)]| -> Vec<String> {
            let mut messages = Messages::default();
            for &(key, text) in warnings {
                messages.warnings.push(Message {
                    key: key.to_owned(),
                    cause: key.to_owned(),
                    text: text.to_owned(),
                });
            }
            messages.drop_repeated(&mut already_reported);
            messages.warnings.into_iter().map(|warning| warning.text).collect()
        };
        assert_eq!(texts(&[("files", "3 files"), ("units", "1 unit")]), ["3 files", "1 unit"]);
        assert_eq!(texts(&[("files", "4 files"), ("sizes", "2 sizes")]), ["2 sizes"]);
        assert_eq!(
            texts(&[("units", "1 unit")]),
            ["1 unit"],
            "the sample before had no such warning"
        );
    }
}
