//! Writes text into the cells of a screen.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier, Style};
use ratatui_core::text::Span;

/// Ordinary text.
pub const PLAIN: Style = Style::new();
/// Titles, and the row that is marked. It can be told from the rest without colours.
pub const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);
/// What stands out.
pub const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
/// What is less important.
pub const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
/// A failure.
pub const ALARM: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
/// CPU in charts.
pub const CPU: Style = Style::new().fg(Color::Cyan);
/// Memory in charts.
pub const MEMORY: Style = Style::new().fg(Color::Magenta);

/// On which side of its place a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Left.
    Left,
    /// Right.
    Right,
}

/// How many columns a text takes.
pub fn width(text: &str) -> u16 {
    u16::try_from(Span::raw(text).width()).unwrap_or(u16::MAX)
}

/// Writes a text into the first line of an area. If it does not fit, its end is replaced by `…`.
pub fn write(buffer: &mut Buffer, area: Rect, side: Side, text: &str, style: Style) {
    let area = area.intersection(buffer.area);
    if area.is_empty() {
        return;
    }
    let needed = width(text);
    if needed > area.width {
        let (end, _) =
            buffer.set_stringn(area.x, area.y, text, area.width.saturating_sub(1).into(), style);
        buffer.set_stringn(end, area.y, "…", 1, style);
        return;
    }
    let x = if side == Side::Left { area.x } else { area.right() - needed };
    buffer.set_stringn(x, area.y, text, area.width.into(), style);
}

/// One line of an area, counted from its top.
pub fn line(area: Rect, index: u16) -> Rect {
    let top = Rect { y: area.y.saturating_add(index), height: 1, ..area };
    top.intersection(area)
}

/// Divides one line into places of these widths, with a space between two. Widths of 0 have no place.
pub fn places(area: Rect, widths: &[u16]) -> Vec<Rect> {
    let mut x = area.x;
    let place = |&width: &u16| {
        let place = Rect { x, width, ..area }.intersection(area);
        x = x.saturating_add(width).saturating_add(u16::from(width > 0));
        place
    };
    widths.iter().map(place).collect()
}

/// Breaks a text at spaces, into lines of at most that many columns.
pub fn wrapped(text: &str, limit: u16) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if width(line) + 1 + width(word) <= limit {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_broken_at_spaces() {
        assert_eq!(wrapped("the user is not known", 11), ["the user is", "not known"]);
        assert_eq!(
            wrapped("/a/very/long/path is missing", 8),
            ["/a/very/long/path", "is", "missing"]
        );
        assert_eq!(wrapped("", 8), [""]);
    }
}
