//! Writes cells to the terminal, as escape sequences that every terminal of the last decades understands.

use super::terminal::{self, Abilities};
use ratatui_core::backend::{Backend, ClearType, WindowSize};
use ratatui_core::buffer::Cell;
use ratatui_core::layout::{Position, Size};
use ratatui_core::style::{Color, Modifier};
use ratatui_core::text::Span;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Writes to a terminal.
#[derive(Debug)]
pub struct Screen {
    tty: Arc<OwnedFd>,
    abilities: Abilities,
    /// Whether the program has been told to end. Then nothing waits for room.
    end: Arc<AtomicBool>,
    pending: Vec<u8>,
}

impl Screen {
    /// The screen of that terminal.
    pub fn new(tty: Arc<OwnedFd>, abilities: Abilities, end: Arc<AtomicBool>) -> Screen {
        Screen { tty, abilities, end, pending: Vec::new() }
    }
}

impl Backend for Screen {
    type Error = io::Error;

    fn draw<'a, I>(&mut self, content: I) -> io::Result<()>
    where
        I: Iterator<Item = (u16, u16, &'a Cell)>,
    {
        encode(content, self.abilities, &mut self.pending);
        Ok(())
    }

    fn hide_cursor(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn show_cursor(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn get_cursor_position(&mut self) -> io::Result<Position> {
        Ok(Position::ORIGIN)
    }

    fn set_cursor_position<P: Into<Position>>(&mut self, _: P) -> io::Result<()> {
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.pending.extend_from_slice(b"\x1b[0m\x1b[2J");
        Ok(())
    }

    fn clear_region(&mut self, _: ClearType) -> io::Result<()> {
        // Only the whole screen is ever cleared.
        self.clear()
    }

    fn size(&self) -> io::Result<Size> {
        let (columns, lines) = terminal::size(&self.tty);
        Ok(Size::new(columns, lines))
    }

    fn window_size(&mut self) -> io::Result<WindowSize> {
        Ok(WindowSize { columns_rows: self.size()?, pixels: Size::ZERO })
    }

    fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.pending);
        let is_over = || self.end.load(Ordering::Relaxed);
        terminal::write(&self.tty, &bytes, is_over).map_err(io::Error::from)
    }
}

/// Appends the sequences that draw these cells.
fn encode<'a>(
    cells: impl Iterator<Item = (u16, u16, &'a Cell)>,
    abilities: Abilities,
    bytes: &mut Vec<u8>,
) {
    let mut cursor = None;
    let mut style = None;
    for (x, y, cell) in cells {
        if cursor != Some((x, y)) {
            bytes.extend_from_slice(format!("\x1b[{};{}H", y + 1, x + 1).as_bytes());
        }
        let wanted = (cell.fg, cell.bg, cell.modifier);
        if style != Some(wanted) {
            select(wanted, abilities.colors, bytes);
            style = Some(wanted);
        }
        let symbol = cell.symbol();
        let columns = u16::try_from(Span::raw(symbol).width()).unwrap_or(1);
        if abilities.only_ascii {
            for _ in 0..columns.max(1) {
                bytes.push(ascii(symbol));
            }
        } else {
            bytes.extend_from_slice(symbol.as_bytes());
        }
        cursor = Some((x.saturating_add(columns.max(1)), y));
    }
    if style.is_some() {
        bytes.extend_from_slice(b"\x1b[0m");
    }
}

/// Selects colors and attributes (`SGR`).
fn select((front, back, modifier): (Color, Color, Modifier), colors: bool, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(b"\x1b[0");
    for (one, code) in [
        (Modifier::BOLD, b";1"),
        (Modifier::DIM, b";2"),
        (Modifier::UNDERLINED, b";4"),
        (Modifier::REVERSED, b";7"),
    ] {
        if modifier.contains(one) {
            bytes.extend_from_slice(code);
        }
    }
    for (color, base) in [(front, 30), (back, 40)] {
        if let Some(number) = number(color).filter(|_| colors) {
            bytes.extend_from_slice(format!(";{}", base + number).as_bytes());
        }
    }
    bytes.push(b'm');
}

/// The number of a colour. Only the eight that every terminal has are used.
fn number(color: Color) -> Option<u8> {
    Some(match color {
        Color::Black => 0,
        Color::Red => 1,
        Color::Green => 2,
        Color::Yellow => 3,
        Color::Blue => 4,
        Color::Magenta => 5,
        Color::Cyan => 6,
        Color::White => 7,
        _ => return None,
    })
}

/// What stands for a symbol on a terminal that shows only ASCII.
fn ascii(symbol: &str) -> u8 {
    match symbol {
        "▁" => b'_',
        "▂" => b'.',
        "▃" => b':',
        "▄" => b'-',
        "▅" => b'=',
        "▆" => b'+',
        "▇" => b'*',
        "█" => b'#',
        "▼" | "↓" => b'v',
        "▲" | "↑" => b'^',
        "…" => b'~',
        _ => match symbol.as_bytes() {
            [byte @ 0x20..=0x7e] => *byte,
            _ => b'?',
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui_core::buffer::Buffer;
    use ratatui_core::layout::Rect;
    use ratatui_core::style::Style;

    fn encoded(abilities: Abilities) -> String {
        let area = Rect::new(0, 0, 8, 2);
        let mut buffer = Buffer::empty(area);
        buffer.set_string(0, 0, "ab", Style::new());
        buffer.set_string(2, 0, "▁▂", Style::new().fg(Color::Cyan));
        buffer.set_string(
            3,
            1,
            "世é",
            Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD),
        );
        let mut bytes = Vec::new();
        encode(Buffer::empty(area).diff(&buffer).into_iter(), abilities, &mut bytes);
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn changes_are_encoded() {
        assert_eq!(
            encoded(Abilities { colors: true, only_ascii: false }),
            "\x1b[1;1H\x1b[0mab\x1b[0;36m▁▂\x1b[2;4H\x1b[0;1;7m世é\x1b[0m"
        );
        assert_eq!(
            encoded(Abilities { colors: false, only_ascii: true }),
            "\x1b[1;1H\x1b[0mab\x1b[0m_.\x1b[2;4H\x1b[0;1;7m???\x1b[0m"
        );
    }
}
