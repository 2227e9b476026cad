//! The place in a list that is longer than the screen. Pure.

/// The place in a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scroll {
    /// The row that is marked.
    pub cursor: usize,
    /// The first row that is shown.
    pub first: usize,
}

impl Scroll {
    /// The same place in a list of `count` rows, of which `page` fit on the screen. The cursor is on the
    /// screen, and the screen is full if there are enough rows.
    pub fn within(self, count: usize, page: usize) -> Scroll {
        let cursor = self.cursor.min(count.saturating_sub(1));
        let lowest = (cursor + 1).saturating_sub(page);
        let first = self.first.min(count.saturating_sub(page)).clamp(lowest, cursor.max(lowest));
        Scroll { cursor, first }
    }

    /// The place that many rows further down, or up if negative.
    pub fn moved(self, rows: isize) -> Scroll {
        Scroll { cursor: self.cursor.saturating_add_signed(rows), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_stays_on_the_screen() {
        let at = |cursor, first| Scroll { cursor, first };
        assert_eq!(at(0, 0).moved(-1).within(100, 10), at(0, 0));
        assert_eq!(at(9, 0).moved(1).within(100, 10), at(10, 1));
        assert_eq!(at(10, 10).moved(-1).within(100, 10), at(9, 9));
        assert_eq!(at(5, 0).moved(isize::MAX).within(100, 10), at(99, 90));
        assert_eq!(at(99, 90).within(95, 10), at(94, 85), "the list has become shorter");
        assert_eq!(at(50, 45).within(100, 80), at(50, 20), "the window has become larger");
        assert_eq!(at(3, 1).within(0, 10), at(0, 0));
        assert_eq!(at(3, 1).within(5, 0).cursor, 3, "no room");
    }
}
