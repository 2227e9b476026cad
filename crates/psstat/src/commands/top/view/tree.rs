//! The processes of one group.

use super::list;
use super::pen::{self, BOLD, PLAIN, REVERSED, Side};
use crate::commands::top::model::Model;
use crate::commands::top::tree::{Row, Tree};
use crate::commands::top::units;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

/// Charts of the group are shown in windows with at least this many lines.
const LINES_FOR_CHARTS: u16 = 16;
/// How many lines they have, with their title.
const CHART_LINES: u16 = 5;

const TITLES: [&str; 7] = ["PID", "USER", "PROCESS", "CPU%", "MEM", "THREADS", "WHY"];

/// The widths of the columns. What does not fit has the width 0.
fn widths(width: u16) -> [u16; 7] {
    let (user, threads) = if width < 72 { (0, 0) } else { (8, 7) };
    let fixed = [7, user, 0, 6, 6, threads];
    let used: u16 = fixed.iter().map(|&width| width + u16::from(width > 0)).sum();
    let left = width.saturating_sub(used);
    let why = if width < 60 { 0 } else { (left * 2 / 5).min(60) };
    let name = left.saturating_sub(why + u16::from(why > 0));
    [7, user, name, 6, 6, threads, why]
}

/// The places of the charts, the titles and the rows.
fn areas(area: Rect) -> (Rect, Rect, Rect) {
    let charts = if area.height >= LINES_FOR_CHARTS { CHART_LINES } else { 0 };
    let titles = area.height.min(1);
    let charts = Rect { height: charts, ..area };
    let rows =
        Rect { y: charts.bottom() + titles, height: area.height - charts.height - titles, ..area };
    (charts, Rect { y: charts.bottom(), height: titles, ..area }, rows)
}

/// How many processes fit.
pub fn rows(area: Rect) -> u16 {
    areas(area).2.height
}

/// Draws the tree.
pub fn draw(model: &Model, tree: &Tree, area: Rect, buffer: &mut Buffer) {
    let (charts, titles, rows) = areas(area);
    if let Some(group) = model.groups.named(&tree.label) {
        list::of_group(group, charts, buffer);
    }
    let widths = widths(area.width);
    buffer.set_style(titles, REVERSED);
    for (index, place) in pen::places(titles, &widths).into_iter().enumerate() {
        pen::write(buffer, place, side(index), TITLES[index], REVERSED.patch(BOLD));
    }
    if tree.rows.is_empty() {
        let width = rows.width.saturating_sub(2);
        let lines = tree.notes.iter().flat_map(|note| pen::wrapped(note, width));
        for (index, line) in (1..rows.height).zip(lines) {
            pen::write(buffer, pen::line(rows, index), Side::Left, &format!("  {line}"), PLAIN);
        }
    }
    for index in 0..rows.height {
        let position = tree.scroll.first + usize::from(index);
        let Some(row) = tree.rows.get(position) else { break };
        let place = pen::line(rows, index);
        for (column, place) in pen::places(place, &widths).into_iter().enumerate() {
            pen::write(buffer, place, side(column), &text(column, row), PLAIN);
        }
        if position == tree.scroll.cursor {
            buffer.set_style(place, REVERSED);
        }
    }
}

fn side(column: usize) -> Side {
    if matches!(column, 1 | 2 | 6) { Side::Left } else { Side::Right }
}

fn text(column: usize, row: &Row) -> String {
    match column {
        0 => row.pid.map(|pid| pid.to_string()).unwrap_or_default(),
        1 => row.user.clone(),
        2 => format!("{}{}", "  ".repeat(row.depth), row.name),
        3 => units::percent(row.cpu),
        4 => units::bytes(row.memory),
        5 => row.threads.map(|threads| units::count(Some(threads))).unwrap_or_default(),
        _ => row.why.clone(),
    }
}
