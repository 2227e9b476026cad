//! What is shown over the list: help and warnings.

use super::pen::{self, ALARM, BOLD, PLAIN, REVERSED, Side};
use crate::commands::top::model::Model;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::Style;

/// What the keys do. The texts without a key explain what is shown.
const HELP: [(&str, &str); 18] = [
    ("↑ ↓ PgUp PgDn", "move"),
    ("Home End", "first, last"),
    ("Enter", "processes of the group; Esc goes back"),
    ("/", "filter by name; Esc shows all"),
    ("s S", "sort by the next, the previous column"),
    ("c m p t n", "sort by CPU, memory, procs, threads, name"),
    ("r", "reverse the order"),
    ("Space", "pause, go on"),
    ("+ -", "sample less often, more often"),
    ("w", "warnings"),
    ("Ctrl-L Ctrl-Z", "redraw, suspend"),
    ("q Ctrl-C", "quit"),
    ("", ""),
    ("CPU%", "100 is one busy core"),
    ("MEM", "as --memory counts it, see psstat --help"),
    ("charts", "the right end is now; CPU begins at 0,"),
    ("", "memory at the lowest value shown"),
    ("psstat", "what psstat itself costs, drawing included"),
];

/// Draws the help, from its line `first` on.
pub fn help(first: &mut usize, area: Rect, buffer: &mut Buffer) {
    let keys = HELP.iter().map(|(key, _)| pen::width(key)).max().unwrap_or_default();
    let texts = HELP.iter().map(|(_, text)| pen::width(text)).max().unwrap_or_default();
    let inner = frame(area, "keys", (keys + texts + 2, HELP.len()), buffer);
    *first = (*first).min(HELP.len().saturating_sub(inner.height.into()));
    for (index, (key, text)) in (0..inner.height).zip(&HELP[*first..]) {
        let widths = [keys, inner.width.saturating_sub(keys + 1)];
        let places = pen::places(pen::line(inner, index), &widths);
        for (place, (text, style)) in places.into_iter().zip([(key, BOLD), (text, PLAIN)]) {
            pen::write(buffer, place, Side::Left, text, style);
        }
    }
}

/// Draws the warnings.
pub fn warnings(model: &mut Model, area: Rect, buffer: &mut Buffer) {
    let width = area.width.saturating_sub(4);
    let mut lines: Vec<(String, Style)> = Vec::new();
    let errors = model.error.iter().map(|error| (error, ALARM));
    for (text, style) in errors.chain(model.warnings.iter().map(|warning| (warning, PLAIN))) {
        lines.extend(pen::wrapped(text, width).into_iter().map(|line| (line, style)));
    }
    if lines.is_empty() {
        lines.push(("no warnings".to_owned(), PLAIN));
    }
    let longest = lines.iter().map(|(line, _)| pen::width(line)).max().unwrap_or_default();
    let inner = frame(area, "warnings", (longest, lines.len()), buffer);
    let first = model.overlay_first.min(lines.len().saturating_sub(inner.height.into()));
    model.overlay_first = first;
    for (index, (line, style)) in (0..inner.height).zip(&lines[first..]) {
        pen::write(buffer, pen::line(inner, index), Side::Left, line, *style);
    }
}

/// Draws an empty frame for a text in the middle of an area. Returns the area within.
fn frame(area: Rect, title: &str, (width, lines): (u16, usize), buffer: &mut Buffer) -> Rect {
    let lines = u16::try_from(lines).unwrap_or(u16::MAX);
    let width = width.saturating_add(4).min(area.width);
    let height = lines.saturating_add(2).min(area.height);
    let frame = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    for y in frame.top()..frame.bottom() {
        for x in frame.left()..frame.right() {
            buffer[(x, y)].reset();
        }
    }
    let bottom = Rect { y: frame.bottom().saturating_sub(1), ..frame };
    for edge in [pen::line(frame, 0), pen::line(bottom, 0)] {
        buffer.set_style(edge, REVERSED);
    }
    pen::write(
        buffer,
        pen::line(frame, 0),
        Side::Left,
        &format!("  {title}"),
        REVERSED.patch(BOLD),
    );
    Rect {
        x: frame.x + frame.width.min(2),
        y: frame.y + frame.height.min(1),
        width: frame.width.saturating_sub(4),
        height: frame.height.saturating_sub(2),
    }
}
