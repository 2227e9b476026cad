//! The list of groups, and charts of the one that is marked if there is room.

use super::chart::{self, Scale};
use super::pen::{self, BOLD, CPU, MEMORY, PLAIN, REVERSED, Side};
use crate::commands::top::groups::{Group, Sorting};
use crate::commands::top::history::LENGTH;
use crate::commands::top::model::Model;
use crate::commands::top::units;
use crate::job::Order;
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;

/// Charts of the marked group are shown in windows with at least this many lines for the list.
const LINES_FOR_CHARTS: u16 = 30;
/// How many lines they have, with their title.
const CHART_LINES: u16 = 9;

/// Histories get what is left when a name has this many columns.
const LONGEST_NAME: u16 = 24;
/// A history has at least and at most so many columns.
const SHORTEST_HISTORY: u16 = 5;
const LONGEST_HISTORY: u16 = 50;

/// A column of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Name,
    Cpu,
    CpuHistory,
    Memory,
    MemoryHistory,
    Share,
    Processes,
    Threads,
    Uptime,
    CpuTime,
}

/// The columns with their widths.
type Columns = Vec<(Column, u16)>;

impl Column {
    fn title(self) -> &'static str {
        match self {
            Column::Name => "GROUP",
            Column::Cpu => "CPU%",
            Column::Memory => "MEM",
            Column::Share => "MEM%",
            Column::Processes => "PROCS",
            Column::Threads => "THREADS",
            Column::Uptime => "UPTIME",
            Column::CpuTime => "CPU TIME",
            Column::CpuHistory | Column::MemoryHistory => "history",
        }
    }

    fn order(self) -> Option<Order> {
        Some(match self {
            Column::Name => Order::Name,
            Column::Cpu => Order::Cpu,
            Column::Memory => Order::Memory,
            Column::Processes => Order::Processes,
            Column::Threads => Order::Threads,
            Column::Uptime => Order::Uptime,
            Column::CpuTime => Order::CpuTime,
            Column::Share | Column::CpuHistory | Column::MemoryHistory => return None,
        })
    }

    fn side(self) -> Side {
        if self == Column::Name { Side::Left } else { Side::Right }
    }

    fn text(self, group: &Group) -> String {
        match self {
            Column::Name if group.processes.is_none() => format!("{} (not known)", group.label),
            Column::Name => group.label.to_string(),
            Column::Cpu => units::percent(group.cpu),
            Column::Memory => units::bytes(group.memory),
            Column::Share => units::percent(group.share),
            Column::Processes => units::count(group.processes),
            Column::Threads => units::count(group.threads),
            Column::Uptime => units::time(group.uptime),
            Column::CpuTime => units::time(group.cpu_time),
            Column::CpuHistory | Column::MemoryHistory => String::new(),
        }
    }
}

/// The columns that fit into a width. Names and histories share what the others leave.
fn columns(width: u16) -> Columns {
    let fixed: &[(Column, u16)] = match width {
        0..46 => &[(Column::Cpu, 6), (Column::Memory, 6)],
        46..72 => &[(Column::Cpu, 6), (Column::Memory, 6), (Column::Processes, 6)],
        72..120 => {
            &[(Column::Cpu, 6), (Column::Memory, 6), (Column::Processes, 6), (Column::Threads, 8)]
        }
        _ => &[
            (Column::Cpu, 6),
            (Column::Memory, 6),
            (Column::Share, 5),
            (Column::Processes, 6),
            (Column::Threads, 8),
            (Column::Uptime, 7),
            (Column::CpuTime, 9),
        ],
    };
    let used: u16 = fixed.iter().map(|(_, width)| width + 1).sum();
    let left = width.saturating_sub(used);
    let history = (left.saturating_sub(LONGEST_NAME + 2) / 2).min(LONGEST_HISTORY);
    let history = if history < SHORTEST_HISTORY { 0 } else { history };
    let histories = if history == 0 { 0 } else { 2 * (history + 1) };
    let mut columns = vec![(Column::Name, left.saturating_sub(histories))];
    for &(column, width) in fixed {
        columns.push((column, width));
        match column {
            Column::Cpu if history > 0 => columns.push((Column::CpuHistory, history)),
            Column::Memory if history > 0 => columns.push((Column::MemoryHistory, history)),
            _ => {}
        }
    }
    columns
}

/// The place of the rows, and below it that of the charts.
fn areas(area: Rect) -> (Rect, Rect) {
    let charts = if area.height >= LINES_FOR_CHARTS { CHART_LINES } else { 0 };
    let titles = area.height.min(1);
    let rows = Rect { y: area.y + titles, height: area.height - titles - charts, ..area };
    (rows, Rect { y: rows.bottom(), height: charts, ..area })
}

/// How many groups fit.
pub fn rows(area: Rect) -> u16 {
    areas(area).0.height
}

/// Draws the list.
pub fn draw(model: &Model, area: Rect, buffer: &mut Buffer) {
    let columns = columns(area.width);
    let widths: Vec<u16> = columns.iter().map(|&(_, width)| width).collect();
    titles(model.groups.sorting(), &columns, pen::line(area, 0), buffer);
    let (rows, charts) = areas(area);
    if model.groups.count_shown() == 0 {
        pen::write(buffer, pen::line(rows, 1), Side::Left, &format!("  {}", nothing(model)), PLAIN);
        return;
    }
    for index in 0..rows.height {
        let position = model.scroll.first + usize::from(index);
        let Some(group) = model.groups.shown(position) else { break };
        let place = pen::line(rows, index);
        for (&(column, _), place) in columns.iter().zip(pen::places(place, &widths)) {
            cell(column, group, place, buffer);
        }
        if position == model.scroll.cursor {
            buffer.set_style(place, REVERSED);
        }
    }
    if let Some(group) = model.marked() {
        of_group(group, charts, buffer);
    }
}

/// Why no group is shown.
fn nothing(model: &Model) -> String {
    if !model.has_values {
        "measuring…".to_owned()
    } else if model.groups.count() > 0 {
        format!("no name contains {:?}: Esc shows all", model.filter)
    } else {
        "nothing matches".to_owned()
    }
}

fn titles(sorting: Sorting, columns: &[(Column, u16)], line: Rect, buffer: &mut Buffer) {
    buffer.set_style(line, REVERSED);
    let widths: Vec<u16> = columns.iter().map(|&(_, width)| width).collect();
    for (&(column, _), place) in columns.iter().zip(pen::places(line, &widths)) {
        let mut title = column.title().to_owned();
        let mut style = REVERSED;
        if column.order() == Some(sorting.order) {
            let descends = (sorting.order == Order::Name) == sorting.is_reversed;
            let arrow = if descends { "▼" } else { "▲" };
            title = if column.side() == Side::Left {
                format!("{title} {arrow}")
            } else {
                format!("{arrow}{title}")
            };
            style = style.patch(BOLD);
        }
        pen::write(buffer, place, column.side(), &title, style);
    }
}

fn cell(column: Column, group: &Group, place: Rect, buffer: &mut Buffer) {
    let (history, scale, style) = match column {
        Column::CpuHistory => (&group.cpu_history, Scale::of_cpu as fn(&_, _) -> _, CPU),
        Column::MemoryHistory => {
            (&group.memory_history, Scale::of_memory as fn(&_, _) -> _, MEMORY)
        }
        _ => {
            pen::write(buffer, place, column.side(), &column.text(group), PLAIN);
            return;
        }
    };
    let scale = scale(history, place.width.into());
    chart::draw(buffer, place, history, scale, style);
}

/// Draws charts of one group: CPU at the left, memory at the right.
pub fn of_group(group: &Group, area: Rect, buffer: &mut Buffer) {
    if area.height < 2 {
        return;
    }
    let width = area.width.saturating_sub(3) / 2;
    // Wider charts than there are values would be empty at their left.
    let shown = width.min(u16::try_from(LENGTH).unwrap_or(u16::MAX));
    let left = Rect { x: area.x, width, ..area };
    let right = Rect { x: area.right() - width, width, ..area };
    let columns = usize::from(shown);
    let highest = |history: &super::super::history::History| {
        history.range(columns).map(|(_, high)| f64::from(high))
    };
    let cpu = format!(
        "CPU {}, at most {}",
        units::percent_sign(group.cpu),
        units::percent_sign(highest(&group.cpu_history))
    );
    let memory = format!(
        "memory {}, at most {}",
        units::bytes(group.memory),
        units::bytes(highest(&group.memory_history))
    );
    let charts = [
        (left, cpu, &group.cpu_history, Scale::of_cpu(&group.cpu_history, columns), CPU),
        (
            right,
            memory,
            &group.memory_history,
            Scale::of_memory(&group.memory_history, columns),
            MEMORY,
        ),
    ];
    for (place, title, history, scale, style) in charts {
        pen::write(
            buffer,
            pen::line(place, 0),
            Side::Left,
            &format!("{}: {title}", group.label),
            BOLD,
        );
        let place = Rect {
            y: place.y + 1,
            height: place.height - 1,
            width: place.width.min(shown),
            ..place
        };
        chart::draw(buffer, place, history, scale, style);
    }
}
