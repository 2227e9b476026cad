//! An explanation as JSON, for programs: one object per group, one group per line.

use super::facts::Facts;
use super::text::{Page, source_name};
use super::{GroupView, Row, Why};
use crate::emit::emission::quoted;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;

/// One line for each group of a page.
pub fn lines(page: &Page<'_>) -> String {
    let mut text = String::new();
    for (index, group) in page.groups.iter().enumerate() {
        text += &object(group, index, page);
        text.push('\n');
    }
    text
}

fn object(group: &GroupView, index: usize, page: &Page<'_>) -> String {
    let facts = page.facts;
    let of_group = |all: &'_ [Vec<String>]| all.get(index).cloned().unwrap_or_default();
    let report = group.report.as_ref();
    let more = Some(group.more).filter(|&more| more > 0);
    let mut members = Object::default();
    members.text("group", &group.name);
    members.texts("selectors", &group.selectors);
    members.raw("has_line", &report.is_some().to_string());
    if let Some(cause) = &group.unknown {
        members.text("unknown", cause);
    }
    members.number("p_cpu", report.and_then(|report| report.cpu));
    members.number("p_mem", report.and_then(|report| report.memory));
    members.whole("n_proc", report.map(|report| report.processes));
    members.whole("mem", report.and_then(|report| report.bytes).map(|bytes| bytes.0));
    members.number("p_cpu_of_ended_children", group.cpu_of_ended);
    members.texts("cpu_counters", &group.counters);
    if let Some(memory) = &group.memory {
        let mut parts = Object::default();
        parts.text("mode", memory.mode.name());
        parts.whole("anonymous", Some(memory.parts.anonymous.0));
        parts.whole("mapped", Some(memory.parts.mapped.0));
        parts.whole("huge", Some(memory.parts.huge.0));
        let accounts = memory.accounts.iter().map(|(path, bytes)| {
            let mut account = Object::default();
            account.text("control_group", path);
            account.whole("anonymous", Some(*bytes));
            account.end()
        });
        parts.list("accounts", accounts);
        parts.whole("by_statm", Some(memory.by_statm as u64));
        members.raw("memory", &parts.end());
    }
    members.whole("hidden", Some(group.hidden));
    members.list("processes", group.rows.iter().map(|row| process(row, facts.get(&row.pid))));
    members.whole("more", more.map(|more| more as u64));
    let left_out = group.left_out.iter().map(|one| {
        let mut object = Object::default();
        object.whole("pid", Some(u64::from(one.pid.number())));
        object.text("name", &one.name);
        object.text("selector", &one.selector);
        object.end()
    });
    members.list("left_out", left_out);
    members.texts("may_have_left", &of_group(page.departed));
    members.texts("nearest", &of_group(page.misses));
    members.end()
}

fn process(row: &Row, facts: Option<&Facts>) -> String {
    let mut object = Object::default();
    object.whole("pid", Some(u64::from(row.pid.number())));
    object.whole("depth", Some(row.depth as u64));
    object.text("name", &row.name);
    if let Some(command) = facts.and_then(|facts| facts.command.as_ref()) {
        object.text("cmdline", command);
    }
    if let Some(exe) = facts.and_then(|facts| facts.exe.as_ref()) {
        object.text("exe", exe);
    }
    object.whole("uid", facts.and_then(|facts| facts.user).map(u64::from));
    if let Some(state) = facts.and_then(|facts| facts.state) {
        object.text("state", &state.to_string());
    }
    object.number("p_cpu", row.cpu);
    object.whole("rss", row.memory);
    if let Some(source) = row.source {
        object.text("memory_source", source_name(source));
    }
    object.whole("n_thread", Some(u64::from(row.threads)));
    match &row.why {
        Why::Picked { by, child_of, .. } => {
            object.text("selector", by);
            object.whole("child_of", child_of.map(|pid| u64::from(pid.number())));
        }
        Why::In { control_group, by } => {
            object.text("selector", by);
            object.text("control_group", control_group);
        }
        Why::ChildOf(parent) => object.whole("child_of", Some(u64::from(parent.number()))),
    }
    if !row.also_in.is_empty() {
        object.texts("also_in", &row.also_in);
    }
    object.end()
}

/// An object that is being written. A value that is not known has no key.
#[derive(Default)]
struct Object(String);

impl Object {
    fn raw(&mut self, key: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        quoted(key, &mut self.0);
        self.0.push(':');
        self.0 += value;
    }

    fn text(&mut self, key: &str, value: &str) {
        let mut text = String::new();
        quoted(value, &mut text);
        self.raw(key, &text);
    }

    fn texts(&mut self, key: &str, values: &[String]) {
        let quoted_text = |value: &String| {
            let mut text = String::new();
            quoted(value, &mut text);
            text
        };
        self.list(key, values.iter().map(quoted_text));
    }

    fn list(&mut self, key: &str, values: impl Iterator<Item = String>) {
        let values: Vec<String> = values.collect();
        let mut list = String::from("[");
        list += &values.join(",");
        list.push(']');
        self.raw(key, &list);
    }

    fn number(&mut self, key: &str, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            let mut text = String::new();
            // Writing to a String cannot fail.
            let _ = write!(text, "{value:.6}");
            self.raw(key, &text);
        }
    }

    fn whole(&mut self, key: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.raw(key, &value.to_string());
        }
    }

    fn end(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0
    }
}
