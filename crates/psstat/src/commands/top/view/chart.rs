//! Charts: columns whose heights are eighths of a line.

use crate::commands::top::history::{History, LENGTH};
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::Style;

/// Heights of one to eight eighths.
const EIGHTHS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// The values at the bottom and at the top of a chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    low: f32,
    high: f32,
}

impl Scale {
    /// CPU begins at 0 and ends at the highest value that is shown, so that the smallest groups show their
    /// peaks too. Below 1 % of a core all is flat.
    pub fn of_cpu(history: &History, columns: usize) -> Scale {
        let high = history.range(columns).map_or(0.0, |(_, high)| high);
        Scale { low: 0.0, high: high.max(0.01) }
    }

    /// Memory begins a little below the lowest value that is shown and ends at the highest, so that growth can be
    /// seen. What changes by less than a hundredth is flat.
    pub fn of_memory(history: &History, columns: usize) -> Scale {
        let (low, high) = history.range(columns).unwrap_or_default();
        Scale { low, high: high.max(low * 1.01).max(low + 1.0) }
    }

    /// The height of a value in `lines` lines, in eighths. A value that is known has at least one.
    fn height(self, value: f32, lines: u16) -> u16 {
        let part = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        let all = lines.saturating_mul(8);
        let exact = part * f32::from(all);
        (1..=all).rev().find(|&eighths| f32::from(eighths) <= exact + 0.5).unwrap_or(1)
    }
}

/// Draws the last values at the right side of an area, one in each column.
pub fn draw(buffer: &mut Buffer, area: Rect, history: &History, scale: Scale, style: Style) {
    let area = area.intersection(buffer.area);
    let columns = usize::from(area.width).min(LENGTH);
    let values: Vec<Option<f32>> = history.last(columns).collect();
    let Ok(count) = u16::try_from(values.len()) else { return };
    for (x, value) in (area.right() - count..area.right()).zip(values) {
        let Some(value) = value else { continue };
        let height = scale.height(value, area.height);
        for line in 0..area.height {
            let eighths = height.saturating_sub(8 * line).min(8);
            let symbol = usize::from(eighths).checked_sub(1).and_then(|index| EIGHTHS.get(index));
            let cell = buffer.cell_mut((x, area.bottom() - 1 - line));
            if let (Some(symbol), Some(cell)) = (symbol, cell) {
                cell.set_symbol(symbol).set_style(style);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(
        values: &[f64],
        width: u16,
        height: u16,
        scale: fn(&History, usize) -> Scale,
    ) -> Vec<String> {
        let mut history = History::default();
        values.iter().for_each(|&value| history.push((value >= 0.0).then_some(value)));
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        let scale = scale(&history, width.into());
        draw(&mut buffer, area, &history, scale, Style::new());
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        (0..height).map(row).collect()
    }

    #[test]
    fn columns_are_as_high_as_their_values() {
        assert_eq!(drawn(&[0.0, 0.25, 0.5, 1.0], 4, 1, Scale::of_cpu), ["▁▂▄█"]);
        assert_eq!(drawn(&[0.5, 0.75, 1.0], 4, 2, Scale::of_cpu), ["  ▄█", " ███"]);
        assert_eq!(drawn(&[0.001, 0.0], 3, 1, Scale::of_cpu), [" ▁▁"], "next to nothing");
        assert_eq!(drawn(&[1.0, -1.0, 1.0], 3, 1, Scale::of_cpu), ["█ █"], "one is not known");
        assert_eq!(
            drawn(&[9.0, 1.0, 2.0], 2, 1, Scale::of_cpu),
            ["▄█"],
            "what is not shown does not count"
        );
    }

    #[test]
    fn memory_shows_growth() {
        let mebibyte = 1_048_576.0;
        assert_eq!(drawn(&[100.0 * mebibyte, 100.1 * mebibyte], 2, 1, Scale::of_memory), ["▁▁"]);
        assert_eq!(drawn(&[100.0 * mebibyte, 150.0 * mebibyte], 2, 1, Scale::of_memory), ["▁█"]);
        assert_eq!(drawn(&[0.0, 0.0], 2, 1, Scale::of_memory), ["▁▁"]);
    }
}
