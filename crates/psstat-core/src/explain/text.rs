//! An explanation as text for people.

use super::facts::{Facts, visible};
use super::{GroupView, MemorySource, MemoryView, Row, Why};
use crate::diagnostics::Right;
use crate::emit::sizes;
use crate::model::memory::MemoryMode;
use crate::model::units::{Bytes, Pid};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;

/// The longest cells of the columns USER and WHY on a terminal, in characters, so that PROCESS stays in sight.
const USER: usize = 16;
const WHY: usize = 32;

/// The longest cell of WHY on a terminal with fewer columns than this.
const SHORT_WHY: usize = 24;
const WIDE: usize = 100;

/// Deeper processes are not indented further.
const DEEPEST: usize = 20;

/// What an explanation is drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Page<'p> {
    /// The groups.
    pub groups: &'p [GroupView],
    /// For each of them: its line as it would be sent. Empty if it has none.
    pub lines: &'p [String],
    /// For each of them: what comes nearest to the selectors that pick no process.
    pub misses: &'p [Vec<String>],
    /// For each of them: which processes may have left it.
    pub departed: &'p [Vec<String>],
    /// The facts of their processes.
    pub facts: &'p BTreeMap<Pid, Facts>,
    /// The names of users, by their ids.
    pub users: &'p BTreeMap<u32, String>,
    /// Rows are cut to so many characters, and sentences are broken there. `None` for no limit.
    pub width: Option<usize>,
}

/// The whole text.
pub fn page(page: &Page<'_>) -> String {
    let mut text = String::new();
    for (index, (group, line)) in page.groups.iter().zip(page.lines).enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let table = if group.rows.is_empty() { Vec::new() } else { table(page, group) };
        let (heading, sentences) = sentences(page, group, index);
        // Whoever starts a process or a unit chooses its texts.
        text += &wrapped(&visible(&heading), page.width);
        for row in table {
            text += &cut(&visible(row.trim_end()), page.width);
            text.push('\n');
        }
        for sentence in sentences {
            text += &wrapped(&visible(&sentence), page.width);
        }
        // The line is not cut: it is there to be copied.
        let line = if line.is_empty() { "none\n" } else { line };
        text += "  line: ";
        text += line;
        if !line.ends_with('\n') {
            text.push('\n');
        }
    }
    text
}

/// The heading of a group, which is above its rows, and the sentences, which are below.
fn sentences(page: &Page<'_>, group: &GroupView, index: usize) -> (String, Vec<String>) {
    let of_group = |all: &'_ [Vec<String>]| all.get(index).cloned().unwrap_or_default();
    let mut lines = Vec::new();
    let heading = format!("{}: {}", group.name, group.selectors.join("; "));
    if let Some(cause) = &group.unknown {
        let who = if group.is_empty() { "who" } else { "who else" };
        lines.push(format!("  not known {who} belongs to it: {cause}"));
    }
    match group.more {
        0 => {}
        more if group.rows.is_empty() => lines.push(format!("  {}", processes(more))),
        more => lines.push(format!("  and {more} more processes")),
    }
    if !group.is_empty() {
        lines.push(cpu_source(group));
        lines.extend(group.memory.as_ref().map(memory_source));
    }
    if group.hidden > 0 {
        lines.push(format!(
            "  {} of its processes cannot be read: they count in n_proc and CPU time only",
            group.hidden
        ));
    }
    lines.extend(overlaps(group));
    for left_out in &group.left_out {
        lines.push(format!(
            "  left out: {} {} matches {}, but it is psstat or runs it",
            left_out.pid, left_out.name, left_out.selector
        ));
    }
    if group.is_empty() && group.unknown.is_none() {
        lines.push("  no process".to_string());
    }
    let departed = of_group(page.departed).into_iter();
    lines.extend(departed.map(|one| format!("  may have left the group: {one}")));
    lines.extend(of_group(page.misses).iter().map(|miss| format!("  nearest: {miss}")));
    (heading, lines)
}

/// The other groups that processes of a group are in.
fn overlaps(group: &GroupView) -> Vec<String> {
    let mut others: BTreeMap<&str, Vec<Pid>> = BTreeMap::new();
    for row in &group.rows {
        for other in &row.also_in {
            others.entry(other).or_default().push(row.pid);
        }
    }
    let count = others.len();
    let line = |(other, pids): (&str, Vec<Pid>)| {
        let shown: Vec<String> = pids.iter().take(OVERLAPS).map(ToString::to_string).collect();
        let rest = pids.len() - shown.len();
        let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        format!("  also in the group {other}, and counted there too: {}{rest}", shown.join(", "))
    };
    let mut lines: Vec<String> = others.into_iter().take(OVERLAPS).map(line).collect();
    if count > OVERLAPS {
        lines.push(format!("  also in {} more groups", count - OVERLAPS));
    }
    lines
}

/// So many other groups of the processes of a group are named, and so many processes of each.
const OVERLAPS: usize = 5;

fn processes(count: usize) -> String {
    if count == 1 { "1 process".to_string() } else { format!("{count} processes") }
}

/// The rows, aligned.
fn table(page: &Page<'_>, group: &GroupView) -> Vec<String> {
    let mut rows =
        alloc::vec![["PID", "USER", "S", "CPU", "RSS", "THR", "WHY", "PROCESS"].map(String::from)];
    rows.extend(group.rows.iter().map(|row| cells(page, row)));
    let sum = |text: &str| String::from(text);
    if let Some(cpu) = group.cpu_of_ended {
        let mut cells: [String; 8] = Default::default();
        cells[3] = cores(Some(cpu));
        cells[6] = sum("children that have ended");
        rows.push(cells);
    }
    let report = group.report.as_ref();
    let mut cells: [String; 8] = Default::default();
    cells[0] = sum("total");
    cells[3] = cores(report.and_then(|report| report.cpu));
    cells[4] = group.memory.as_ref().map_or_else(String::new, |memory| size(total(memory).0));
    cells[5] = report.and_then(|report| report.threads).map_or(sum("-"), |count| count.to_string());
    rows.push(cells);
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..8).map(width).collect();
    let aligned = |row: &[String; 8]| {
        let mut line = String::from(" ");
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            // Writing to a String cannot fail.
            let _ = match column {
                0 | 3..=5 => write!(line, " {cell:>width$}"),
                7 => write!(line, " {cell}"),
                _ => write!(line, " {cell:<width$}"),
            };
        }
        line
    };
    rows.iter().map(aligned).collect()
}

fn cells(page: &Page<'_>, row: &Row) -> [String; 8] {
    let facts = page.facts.get(&row.pid);
    let user = facts.and_then(|facts| facts.user);
    let user = user.map_or_else(
        || "-".to_string(),
        |uid| page.users.get(&uid).cloned().unwrap_or_else(|| uid.to_string()),
    );
    let state = facts.and_then(|facts| facts.state);
    let state = if row.is_zombie { Some('Z') } else { state };
    [
        row.pid.to_string(),
        end_of(user, page.width.map(|_| USER)),
        state.map_or_else(|| "-".to_string(), |state| state.to_string()),
        cores(row.cpu),
        row.memory.map_or_else(|| "-".to_string(), size),
        row.threads.to_string(),
        end_of(
            why(&row.why, facts),
            page.width.map(|width| if width < WIDE { SHORT_WHY } else { WHY }),
        ),
        format!("{}{}", "  ".repeat(row.depth.min(DEEPEST)), process(row, facts)),
    ]
}

/// The command line, or the name if there is none or it says something else.
fn process(row: &Row, facts: Option<&Facts>) -> String {
    match facts.and_then(|facts| facts.command.as_deref()).filter(|command| !command.is_empty()) {
        None => format!("[{}]", row.name),
        Some(command) => {
            let first = command.split(' ').next().unwrap_or_default();
            let program = first.rsplit('/').next().unwrap_or(first);
            let is_said = program.trim_end_matches(':').starts_with(&row.name);
            if is_said { command.to_string() } else { format!("({}) {command}", row.name) }
        }
    }
}

fn why(why: &Why, facts: Option<&Facts>) -> String {
    match why {
        Why::Picked { by, child_of, .. } => {
            let exe = facts.and_then(|facts| facts.exe.as_ref());
            let exe = exe.filter(|_| by.contains("exe "));
            let exe = exe.map_or_else(String::new, |exe| format!(" ({exe})"));
            let folded = child_of.map_or_else(String::new, |pid| format!(", and child of {pid}"));
            format!("{by}{exe}{folded}")
        }
        Why::In { control_group, .. } => format!("in {control_group}"),
        Why::ChildOf(parent) => format!("child of {parent}"),
    }
}

fn cpu_source(group: &GroupView) -> String {
    match group.counters.as_slice() {
        [] => {
            "  CPU: the own time of each process; that of children from those who waited for them"
                .to_string()
        }
        counters => format!("  CPU: the kernel's counter of {}", counters.join(", ")),
    }
}

fn total(memory: &MemoryView) -> Bytes {
    memory.parts.anonymous + memory.parts.mapped + memory.parts.huge
}

fn memory_source(memory: &MemoryView) -> String {
    let MemoryView { mode, parts, accounts, by_statm } = memory;
    let sum = size(total(memory).0);
    match mode {
        MemoryMode::Auto => {
            let of_accounts: Vec<String> = accounts
                .iter()
                .map(|(path, bytes)| format!("{} by the account of {path}", size(*bytes)))
                .collect();
            let of_accounts = match of_accounts.as_slice() {
                [] => String::new(),
                all => format!(" ({})", all.join(", ")),
            };
            let huge = match parts.huge {
                Bytes(0) => String::new(),
                Bytes(bytes) => format!(" + huge pages {}", size(bytes)),
            };
            let (once, statm) = match by_statm {
                0 => (", shared pages once", String::new()),
                count => {
                    let statm = format!(
                        "; {} by statm: what they have in common counts once per process ({})",
                        processes(*count),
                        Right::Trace.cure()
                    );
                    ("", statm)
                }
            };
            format!(
                "  memory: {sum}{once} = anonymous {}{of_accounts} + files and shared {}{huge}{statm}",
                size(parts.anonymous.0),
                size(parts.mapped.0)
            )
        }
        MemoryMode::SharedOnce => {
            format!("  memory: {sum}, pages of files and shared memory once (--memory shared-once)")
        }
        MemoryMode::Rss => format!("  memory: {sum}, shared pages in each process (--memory rss)"),
        MemoryMode::Pss => {
            let statm = match by_statm {
                0 => String::new(),
                count => format!(
                    "; {} by statm, because their memory maps cannot be read ({})",
                    processes(*count),
                    Right::Trace.cure()
                ),
            };
            format!(
                "  memory: {sum}, shared pages divided among those that have them (--memory pss){statm}"
            )
        }
    }
}

/// How the share of a member in the anonymous memory is known.
pub fn source_name(source: MemorySource) -> &'static str {
    match source {
        MemorySource::Account => "control group",
        MemorySource::Proportional => "smaps_rollup",
        MemorySource::Relatives => "smaps_rollup of relatives",
        MemorySource::Resident => "statm",
    }
}

fn cores(cpu: Option<f64>) -> String {
    cpu.map_or_else(|| "-".to_string(), |cpu| format!("{cpu:.3}"))
}

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    sizes::size(bytes as f64)
}

/// The end of a text, which has at most so many characters.
fn end_of(text: String, limit: Option<usize>) -> String {
    let count = text.chars().count();
    match limit {
        Some(limit) if count > limit => {
            ['…'].into_iter().chain(text.chars().skip(count + 1 - limit)).collect()
        }
        _ => text,
    }
}

/// A sentence, broken at spaces into lines of so many characters. All but the first are indented.
fn wrapped(sentence: &str, width: Option<usize>) -> String {
    let indent = sentence.len() - sentence.trim_start().len();
    let further = " ".repeat(indent + 4);
    let mut text = sentence[..indent].to_string();
    let mut taken = indent;
    for (index, word) in sentence[indent..].split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && width.is_some_and(|width| taken + 1 + length > width) {
            text.push('\n');
            text += &further;
            taken = further.len();
        } else if index > 0 {
            text.push(' ');
            taken += 1;
        }
        text += word;
        taken += length;
    }
    text.push('\n');
    text
}

/// The line, cut to so many characters.
fn cut(line: &str, width: Option<usize>) -> String {
    match width {
        Some(width) if line.chars().count() > width && width > 1 => {
            line.chars().take(width - 1).chain(['…']).collect()
        }
        _ => line.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::memory::Breakdown;
    use crate::explain::LeftOut;
    use alloc::borrow::ToOwned;
    use alloc::vec;

    fn row(pid: u32, depth: usize, name: &str, why: Why) -> Row {
        Row {
            pid: Pid::new(pid),
            depth,
            name: name.to_owned(),
            is_zombie: false,
            cpu: Some(f64::from(pid) / 1000.0),
            memory: Some(u64::from(pid) << 16),
            source: Some(MemorySource::Account),
            threads: 2,
            why,
            also_in: Vec::new(),
        }
    }

    fn group() -> GroupView {
        let by = "pattern nginx".to_owned();
        let picked = |child_of| Why::Picked { by: by.clone(), selector: 0, child_of };
        let master = Pid::new(120);
        GroupView {
            name: "web".to_owned(),
            selectors: vec![by.clone()],
            selector_indices: vec![0],
            idle: Vec::new(),
            report: None,
            unknown: None,
            more: 0,
            rows: vec![
                row(120, 0, "nginx", picked(None)),
                row(121, 1, "nginx", picked(Some(master))),
                row(130, 1, "cache", Why::ChildOf(master)),
            ],
            cpu_of_ended: Some(0.004),
            counters: Vec::new(),
            memory: Some(MemoryView {
                mode: MemoryMode::Auto,
                parts: Breakdown {
                    anonymous: Bytes(12 << 20),
                    mapped: Bytes(5 << 20),
                    huge: Bytes(0),
                },
                accounts: vec![("system.slice/nginx.service".to_owned(), 12 << 20)],
                by_statm: 0,
            }),
            left_out: vec![LeftOut { pid: Pid::new(99), name: "sh".to_owned(), selector: by }],
            hidden: 0,
        }
    }

    fn facts() -> BTreeMap<Pid, Facts> {
        let one = |name: &str, command: &str, user| Facts {
            name: name.to_owned(),
            command: Some(command.to_owned()),
            exe: None,
            user: Some(user),
            state: Some('S'),
            parent: None,
            kinship: None,
        };
        BTreeMap::from([
            (Pid::new(120), one("nginx", "nginx: master process", 0)),
            (Pid::new(121), one("nginx", "nginx: worker process", 33)),
        ])
    }

    fn drawn(groups: &[GroupView], misses: &[Vec<String>], width: Option<usize>) -> String {
        let (facts, users) = (facts(), BTreeMap::from([(0, "root".to_owned())]));
        let lines = vec![String::from("psstat,process_name=web n_proc=3i 1\n"); groups.len()];
        let departed = &[vec!["77 cache: its parent is process 1".to_owned()]][..];
        let departed = if groups[0].name == "left" { departed } else { &[] };
        let page =
            Page { groups, lines: &lines, misses, departed, facts: &facts, users: &users, width };
        super::page(&page)
    }

    #[test]
    fn a_group_is_a_tree_with_reasons() {
        assert_eq!(
            drawn(&[group()], &[Vec::new()], None),
            "web: pattern nginx\n\
             \x20   PID USER S   CPU      RSS THR WHY                             PROCESS\n\
             \x20   120 root S 0.120  7.5 MiB   2 pattern nginx                   nginx: master process\n\
             \x20   121 33   S 0.121  7.6 MiB   2 pattern nginx, and child of 120   nginx: worker process\n\
             \x20   130 -    - 0.130  8.1 MiB   2 child of 120                      [cache]\n\
             \x20              0.004              children that have ended\n\
             \x20 total            - 17.0 MiB   -\n\
             \x20 CPU: the own time of each process; that of children from those who waited for them\n\
             \x20 memory: 17.0 MiB, shared pages once = anonymous 12.0 MiB (12.0 MiB by the account of \
             system.slice/nginx.service) + files and shared 5.0 MiB\n\
             \x20 left out: 99 sh matches pattern nginx, but it is psstat or runs it\n\
             \x20 line: psstat,process_name=web n_proc=3i 1\n"
        );
    }

    #[test]
    fn processes_of_other_groups_are_named() {
        let mut both = group();
        for row in &mut both.rows {
            row.also_in = vec!["db".to_owned()];
        }
        both.rows[0].also_in.push("app".to_owned());
        let said = drawn(&[both.clone()], &[Vec::new()], None);
        let lines = "\n  also in the group app, and counted there too: 120\n  also in the group db, and \
                     counted there too: 120, 121, 130\n";
        assert!(said.contains(lines), "{said}");
        both.rows[0].also_in = (0..7).map(|number| number.to_string()).collect();
        let row = both.rows[1].clone();
        both.rows.extend(vec![row; 4]);
        let said = drawn(&[both], &[Vec::new()], None);
        assert!(said.contains("\n  also in 3 more groups\n"), "{said}");
    }

    #[test]
    fn a_process_that_may_have_left_is_named() {
        let left = GroupView { name: "left".to_owned(), ..group() };
        let said = drawn(&[left], &[Vec::new()], None);
        let line = "\n  may have left the group: 77 cache: its parent is process 1\n  line:";
        assert!(said.contains(line), "{said}");
    }

    #[test]
    fn an_empty_group_says_what_is_near() {
        let empty = GroupView { rows: Vec::new(), left_out: Vec::new(), ..group() };
        let said = drawn(&[empty], &[vec!["1 process would match".to_owned()]], None);
        assert_eq!(
            said,
            "web: pattern nginx\n  no process\n  nearest: 1 process would match\n  \
             line: psstat,process_name=web n_proc=3i 1\n"
        );
    }

    #[test]
    fn what_is_not_known_is_not_shown_as_zero() {
        let unknown = Some("/proc/7/exe cannot be read".to_owned());
        let empty = GroupView { rows: Vec::new(), left_out: Vec::new(), unknown, ..group() };
        let said = drawn(core::slice::from_ref(&empty), &[Vec::new()], None);
        assert!(
            said.contains("  not known who belongs to it: /proc/7/exe cannot be read\n"),
            "{said}"
        );
        assert!(!said.contains("no process"), "{said}");
        let some = GroupView { unknown: empty.unknown.clone(), ..group() };
        let said = drawn(&[some], &[Vec::new()], None);
        assert!(said.contains("\n  not known who else belongs to it: /proc/7/exe"), "{said}");
        let page = Page {
            groups: &[empty],
            lines: &[],
            misses: &[Vec::new()],
            departed: &[],
            facts: &facts(),
            users: &BTreeMap::new(),
            width: None,
        };
        let json = crate::explain::json::lines(&page);
        assert!(json.contains(r#""unknown":"/proc/7/exe cannot be read""#), "{json}");
    }

    #[test]
    fn members_without_a_row_are_counted() {
        let some = GroupView { more: 7, ..group() };
        let said = drawn(&[some], &[Vec::new()], None);
        assert!(said.contains("\n  and 7 more processes\n"), "{said}");
        let none = GroupView { rows: Vec::new(), more: 7, ..group() };
        let said = drawn(&[none], &[Vec::new()], None);
        assert!(said.contains("\n  7 processes\n") && !said.contains("no process"), "{said}");
    }

    #[test]
    fn a_long_reason_does_not_push_the_process_out_of_sight() {
        let control_group = format!("{}/the-end", "long.slice/".repeat(20));
        let in_one = Why::In { control_group, by: String::new() };
        let long = GroupView { rows: vec![row(5, 0, "nginx", in_one)], ..group() };
        let said = drawn(core::slice::from_ref(&long), &[Vec::new()], Some(100));
        let line = said.lines().find(|line| line.starts_with("      5 ")).expect("a row");
        assert!(line.contains(" …") && line.ends_with("/the-end [nginx]"), "{said}");
        assert!(drawn(&[long], &[Vec::new()], None).contains("in long.slice/long.slice"));
    }

    #[test]
    fn deep_processes_are_not_indented_further() {
        let rows = vec![row(5, 400, "deep", Why::ChildOf(Pid::new(4)))];
        let said = drawn(&[GroupView { rows, ..group() }], &[Vec::new()], None);
        let why = format!("{:24}", "child of 4");
        assert!(said.contains(&format!("{why} {}[deep]\n", "  ".repeat(DEEPEST))), "{said}");
    }

    #[test]
    fn whatever_a_text_contains_the_terminal_is_not_driven() {
        let hostile = "x\u{1b}[31m\u{202e}\u{9b}".to_owned();
        let named = GroupView { name: hostile.clone(), ..group() };
        let said = drawn(&[named], &[vec![hostile]], None);
        assert!(
            !said.chars().any(|c| c == '\u{202e}' || (c.is_control() && c != '\n')),
            "{said:?}"
        );
        assert!(said.contains("nearest: x?[31m??\n"), "{said}");
    }

    #[test]
    fn memory_that_may_count_twice_is_named() {
        let memory = group().memory.map(|memory| MemoryView { by_statm: 3, ..memory });
        let said = drawn(&[GroupView { memory, ..group() }], &[Vec::new()], None);
        let note = "; 3 processes by statm: what they have in common counts once per process (give psstat \
                    CAP_SYS_PTRACE, or run it as root)\n";
        assert!(said.contains(note) && !said.contains("pages once"), "{said}");
        assert!(!drawn(&[group()], &[Vec::new()], None).contains("statm"));
    }

    #[test]
    fn each_mode_says_how_shared_pages_count() {
        let said = |mode, by_statm| {
            let memory = group().memory.map(|memory| MemoryView { mode, by_statm, ..memory });
            let said = drawn(&[GroupView { memory, ..group() }], &[Vec::new()], None);
            let line = said.lines().find(|line| line.starts_with("  memory: ")).expect("a line");
            line.to_owned()
        };
        let of_pss = "shared pages divided among those that have them (--memory pss)";
        assert!(said(MemoryMode::Auto, 0).contains("17.0 MiB, shared pages once = "));
        assert!(said(MemoryMode::Rss, 0).ends_with("in each process (--memory rss)"));
        assert!(said(MemoryMode::SharedOnce, 0).ends_with("once (--memory shared-once)"));
        assert!(said(MemoryMode::Pss, 0).ends_with(of_pss));
        let note = "; 1 process by statm, because their memory maps cannot be read (give psstat CAP_SYS_PTRACE";
        assert!(said(MemoryMode::Pss, 1).contains(note));
    }

    #[test]
    fn lines_are_cut_to_the_width() {
        let drawn = drawn(&[group()], &[vec!["1 process ".repeat(9)]], Some(40));
        let lines = drawn.lines().filter(|line| !line.starts_with("  line:"));
        assert!(lines.into_iter().all(|line| line.chars().count() <= 40), "{drawn}");
        let memory =
            "\n  memory: 17.0 MiB, shared pages once =\n      anonymous 12.0 MiB (12.0 MiB by\n";
        assert!(drawn.contains(memory), "nothing of a sentence is left out: {drawn}");
    }
}
