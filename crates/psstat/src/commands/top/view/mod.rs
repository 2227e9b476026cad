//! Draws the model. It writes into a buffer and does not know a terminal.
//!
//! | file | what it draws |
//! |---|---|
//! | `pen` | one text |
//! | `chart` | one history |
//! | `list` | the groups |
//! | `tree` | the processes of one group |
//! | `overlay` | help and warnings |

mod chart;
mod list;
mod overlay;
mod pen;
mod tree;

use super::model::{Model, Overlay};
use super::units;
use pen::{ALARM, BOLD, FAINT, PLAIN, REVERSED, Side};
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

/// How many lines are above the list.
const HEAD: u16 = 2;

/// Draws the whole screen. The model learns how many rows fit.
pub fn draw(model: &mut Model, buffer: &mut Buffer) {
    let whole = buffer.area;
    let head = Rect { height: HEAD.min(whole.height), ..whole };
    let foot = u16::from(whole.height > HEAD + 2);
    let body = Rect { y: head.bottom(), height: whole.height - head.height - foot, ..whole };
    let rows = if model.tree.is_some() { tree::rows(body) } else { list::rows(body) };
    model.set_page(rows.into());
    draw_head(model, head, buffer);
    match &model.tree {
        Some(shown) => tree::draw(model, shown, body, buffer),
        None => list::draw(model, body, buffer),
    }
    draw_foot(model, Rect { y: body.bottom(), height: foot, ..whole }, buffer);
    match model.overlay {
        Some(Overlay::Help) => overlay::help(&mut model.overlay_first, body, buffer),
        Some(Overlay::Warnings) => overlay::warnings(model, body, buffer),
        None => {}
    }
}

/// What is shown, and in the corner what psstat itself costs.
fn draw_head(model: &Model, area: Rect, buffer: &mut Buffer) {
    let first = pen::line(area, 0);
    let own = format!(
        "psstat: {} {}",
        units::percent_sign(model.own.cpu),
        units::bytes(model.own.memory)
    );
    let own_width = pen::width(&own).min(first.width);
    let rest = Rect { width: first.width.saturating_sub(own_width + 2), ..first };
    pen::write(buffer, rest, Side::Left, &title(model), BOLD);
    pen::write(buffer, first, Side::Right, &own, PLAIN);
    let second = pen::line(area, 1);
    if let Some(error) = &model.error {
        pen::write(buffer, second, Side::Left, error, ALARM);
        return;
    }
    let mut parts = vec![format!("every {}", units::interval(model.interval))];
    if model.is_paused {
        parts.push("PAUSED: Space goes on".to_owned());
    }
    if let Some(overdue) = model.overdue.filter(|_| !model.is_paused) {
        parts.push(format!("no sample for {}", units::time(Some(overdue))));
    }
    let has_filter = model.is_typing || !model.filter.is_empty();
    if has_filter && model.tree.is_none() {
        let cursor = if model.is_typing { "_" } else { "" };
        parts.push(format!("filter: {}{cursor}", model.filter));
    }
    match model.warnings.len() {
        0 => {}
        1 => parts.push("1 warning: w".to_owned()),
        count => parts.push(format!("{count} warnings: w")),
    }
    let style = if model.is_paused || has_filter { BOLD } else { PLAIN };
    pen::write(buffer, second, Side::Left, &parts.join("   "), style);
}

fn title(model: &Model) -> String {
    if let Some(tree) = &model.tree {
        return format!("processes of {}", tree.label);
    }
    let (shown, count) = (model.groups.count_shown(), model.groups.count());
    let number = if shown == count { count.to_string() } else { format!("{shown} of {count}") };
    format!("{}: {number}", model.title)
}

/// The most important keys, as many as fit.
fn draw_foot(model: &Model, area: Rect, buffer: &mut Buffer) {
    let keys: &[(&str, &str)] = if model.overlay.is_some() {
        &[("any other key", "back"), ("↑ ↓", "scroll")]
    } else if model.is_typing {
        &[("Enter", "keep"), ("Esc", "show all")]
    } else if model.tree.is_some() {
        &[("q", "quit"), ("Esc", "back"), ("?", "help"), ("Space", "pause"), ("+-", "interval")]
    } else {
        &[
            ("q", "quit"),
            ("?", "help"),
            ("Enter", "processes"),
            ("s", "sort"),
            ("/", "filter"),
            ("Space", "pause"),
            ("+-", "interval"),
            ("r", "reverse"),
        ]
    };
    let mut x = area.x;
    for (key, does) in keys {
        let (key_width, does_width) = (pen::width(key), pen::width(does));
        if x + key_width + 1 + does_width > area.right() {
            break;
        }
        let key_place = Rect { x, width: key_width, ..area };
        pen::write(buffer, key_place, Side::Left, key, REVERSED);
        let does_place = Rect { x: key_place.right() + 1, width: does_width, ..area };
        pen::write(buffer, does_place, Side::Left, does, FAINT);
        x = does_place.right() + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::super::groups::tests::{label, report};
    use super::super::keys::Key;
    use super::super::model::{Own, Values};
    use super::super::tree::Row;
    use super::*;
    use crate::job::Order;
    use psstat_core::model::report::Report;
    use ratatui_core::backend::TestBackend;
    use ratatui_core::style::Modifier;
    use ratatui_core::terminal::Terminal;
    use std::time::Duration;

    fn values(reports: Vec<Report>) -> Values {
        Values { reports, unknown: Vec::new() }
    }

    /// A machine with a web server, a database and some small units, as it was in 40 samples.
    fn model() -> Model {
        let mut model =
            Model::new("systemd units".to_owned(), Duration::from_secs(2), Order::Cpu, true);
        for step in 0..40 {
            let own = Own { cpu: Some(0.004), memory: Some(5.5 * 1_048_576.0) };
            model.sample(values(reports(step)), own, Vec::new());
        }
        model
    }

    fn reports(step: u32) -> Vec<Report> {
        let step = f64::from(step);
        let wave = (step / 4.0).sin();
        let mut reports = vec![
            report("nginx", 0.45 + 0.4 * wave, 64.0, 5),
            report("postgresql@16-main", 1.2 - 0.3 * wave, 200.0 + 10.0 * step, 12),
            report("redis-server", 0.08, 12.5, 1),
            report("user@1000", 0.002 * (1.0 + wave), 3000.0, 42),
            report("session-4.scope", 0.0, 6.3, 2),
            report("a-service-with-a-name-that-is-longer-than-any-column-for-names", 0.001, 1.0, 1),
            report("日本語サービス", 0.0005, 2.0, 1),
            Report { cpu: None, bytes: None, memory: None, ..report("new", 0.0, 0.0, 1) },
            report("stopped", 0.0, 0.0, 0),
        ];
        reports.extend((0..60).map(|number| report(&format!("worker@{number}"), 0.0, 0.9, 1)));
        reports
    }

    fn with_tree() -> Model {
        let mut model = model();
        model.key(Key::Down);
        model.key(Key::Enter);
        let row = |pid, depth, name: &str, cpu, why: &str| Row {
            pid: Some(pid),
            depth,
            user: "www-data".to_owned(),
            name: name.to_owned(),
            cpu: Some(cpu),
            memory: Some(12.8 * 1_048_576.0),
            threads: Some(1),
            why: why.to_owned(),
        };
        let ended = "(ended children)".to_owned();
        let rows = vec![
            row(
                812,
                0,
                "nginx: master process /usr/sbin/nginx -g daemon on;",
                0.0,
                "in system.slice/nginx.service",
            ),
            row(813, 1, "nginx: worker process", 0.21, "in system.slice/nginx.service"),
            row(814, 1, "nginx: worker process", 0.19, "in system.slice/nginx.service"),
            row(4_194_303, 2, "cgi", 0.1, "child of 814"),
            Row { name: ended, cpu: Some(0.02), ..Row::default() },
        ];
        model.tree.as_mut().unwrap().update(rows, Vec::new());
        model
    }

    /// The screen as text. The cells in reverse are marked in a second text.
    fn screen(model: &mut Model, columns: u16, lines: u16) -> (String, Vec<u16>) {
        let mut terminal = Terminal::new(TestBackend::new(columns, lines)).unwrap();
        terminal.draw(|frame| draw(model, frame.buffer_mut())).unwrap();
        let buffer = terminal.backend().buffer();
        let mut text = String::new();
        let mut reversed = Vec::new();
        for y in 0..lines {
            let mut line = String::new();
            let mut x = 0;
            while x < columns {
                let symbol = buffer[(x, y)].symbol();
                line.push_str(symbol);
                x += pen::width(symbol).max(1);
            }
            assert_eq!(pen::width(&line), columns, "line {y}: {line:?}");
            text.push_str(line.trim_end());
            text.push('\n');
            let last = buffer[(columns - 1, y)].modifier;
            if last.contains(Modifier::REVERSED) {
                reversed.push(y);
            }
        }
        (text, reversed)
    }

    /// Compares a screen with the one in `snapshots`. If it has changed on purpose, set `PSSTAT_SNAPSHOTS` to
    /// that directory, and look at what this writes there.
    #[track_caller]
    fn assert_screen(model: &mut Model, (columns, lines): (u16, u16), name: &str, expected: &str) {
        let (text, _) = screen(model, columns, lines);
        if let Some(directory) = std::env::var_os("PSSTAT_SNAPSHOTS") {
            std::fs::write(std::path::Path::new(&directory).join(name), &text).unwrap();
            return;
        }
        assert!(text == expected, "{name} should be:\n{text}");
    }

    macro_rules! assert_snapshot {
        ($model:expr, $size:expr, $name:literal) => {
            let expected = include_str!(concat!("../snapshots/", $name, ".txt"));
            assert_screen(&mut $model, $size, concat!($name, ".txt"), expected);
        };
    }

    #[test]
    fn the_list_fits_every_window() {
        assert_snapshot!(model(), (80, 24), "list-80x24");
        assert_snapshot!(model(), (200, 60), "list-200x60");
        assert_snapshot!(model(), (40, 10), "list-40x10");
    }

    #[test]
    fn the_processes_of_a_group_fit_every_window() {
        assert_snapshot!(with_tree(), (80, 24), "tree-80x24");
        assert_snapshot!(with_tree(), (200, 60), "tree-200x60");
        assert_snapshot!(with_tree(), (40, 10), "tree-40x10");
    }

    #[test]
    fn help_and_warnings_lie_over_the_list() {
        let mut model = model();
        model.key(Key::Char('?'));
        assert_snapshot!(model, (80, 24), "help-80x24");
        assert_snapshot!(model, (40, 10), "help-40x10");
        model.key(Key::End);
        let end = screen(&mut model, 40, 10).0;
        assert!(end.contains("psstat        what psstat itself"), "{end}");
        model.key(Key::Up);
        assert_ne!(screen(&mut model, 40, 10).0, end, "it scrolls back at once");
        model.key(Key::Escape);
        model.warnings = vec![
            "the user brk1 is not known: psstat looks for it again in each sample".to_owned(),
            "3 processes cannot be read".to_owned(),
        ];
        model.fail("the sample took longer than 4s: allow it more time with --timeout".to_owned());
        model.key(Key::Char('w'));
        assert_snapshot!(model, (80, 24), "warnings-80x24");
    }

    #[test]
    fn the_head_tells_what_is_going_on() {
        let mut model = model();
        let second = |model: &mut Model| {
            let text = screen(model, 80, 24).0;
            text.lines().nth(1).unwrap_or_default().to_owned()
        };
        assert_eq!(second(&mut model), "every 2s");
        model.overdue = Some(Duration::from_secs(7));
        model.warnings = vec![String::new()];
        assert_eq!(second(&mut model), "every 2s   no sample for 7s   1 warning: w");
        model.key(Key::Char(' '));
        assert_eq!(second(&mut model), "every 2s   PAUSED: Space goes on   1 warning: w");
        "/zz".chars().for_each(|key| {
            model.key(Key::Char(key));
        });
        assert!(second(&mut model).contains("filter: zz_"));
        let (text, _) = screen(&mut model, 80, 24);
        assert!(text.starts_with("systemd units: 0 of 68 "), "{text}");
        assert!(text.contains("no name contains \"zz\""), "{text}");
        model.fail("it failed".to_owned());
        assert_eq!(second(&mut model), "it failed");
    }

    #[test]
    fn before_the_first_values_it_says_so() {
        let mut model = Model::new("groups".to_owned(), Duration::from_secs(2), Order::Cpu, false);
        assert!(screen(&mut model, 80, 24).0.contains("measuring…"));
        model.sample(Values::default(), Own::default(), Vec::new());
        assert!(screen(&mut model, 80, 24).0.contains("nothing matches"));
        model.sample(values(vec![report("a", 0.0, 0.0, 0)]), Own::default(), Vec::new());
        assert!(screen(&mut model, 80, 24).0.contains("\na "), "it is down, and shown");
    }

    #[test]
    fn a_group_that_is_not_known_is_listed() {
        let mut model = model_of_few();
        let unknown = vec![label("who")];
        let known = values(vec![report("web", 0.5, 10.0, 2)]);
        model.sample(Values { unknown, ..known }, Own::default(), Vec::new());
        let (text, _) = screen(&mut model, 80, 24);
        let line =
            text.lines().find(|line| line.starts_with("who (not known) ")).unwrap_or_default();
        let cells: Vec<&str> =
            line.split_whitespace().skip(3).filter(|cell| *cell == "-").collect();
        assert_eq!(cells.len(), 4, "{text}");
        model.key(Key::End);
        model.key(Key::Enter);
        let (text, _) = screen(&mut model, 80, 24);
        assert!(text.contains("who: CPU -, at most - ") && !text.contains("-%"), "{text}");
    }

    #[test]
    fn an_empty_group_says_what_is_near() {
        let mut model = model_of_few();
        model.key(Key::Enter);
        let notes = [
            "no process",
            "nearest: 1 process matches in another case: 102 Xorg: (?i) in front \
                      ignores case",
        ];
        model.tree.as_mut().unwrap().update(Vec::new(), notes.map(str::to_owned).to_vec());
        let (text, _) = screen(&mut model, 60, 24);
        let lines = "\n  no process\n  nearest: 1 process matches in another case: 102 Xorg: (?i)\n  in \
                     front ignores case\n";
        assert!(text.contains(lines), "{text}");
    }

    #[test]
    fn the_marked_row_can_be_told_without_colors() {
        let mut model = model();
        assert_eq!(screen(&mut model, 80, 24).1, [2, 3], "titles and the first row");
        model.key(Key::Down);
        assert_eq!(screen(&mut model, 80, 24).1, [2, 4]);
        model.key(Key::End);
        assert_eq!(screen(&mut model, 80, 24).1, [2, 22]);
        assert_eq!(model.groups.position(&label("new")), Some(67), "what is not known comes last");
    }

    #[test]
    fn no_window_is_too_small() {
        for columns in 1..90 {
            for lines in 1..40 {
                for mut model in [model_of_few(), with_tree_of_few()] {
                    screen(&mut model, columns, lines);
                    model.key(Key::Char('?'));
                    screen(&mut model, columns, lines);
                }
            }
        }
    }

    fn model_of_few() -> Model {
        let mut model = Model::new("groups".to_owned(), Duration::from_secs(2), Order::Cpu, false);
        model.sample(values(reports(1)), Own::default(), Vec::new());
        model
    }

    fn with_tree_of_few() -> Model {
        let mut model = model_of_few();
        model.key(Key::Enter);
        model
    }
}
