//! Decisions, read from bytes. When the bytes are used up, each further decision is 0.

/// Bytes from which decisions are read.
#[derive(Clone, Debug)]
pub struct Bytes<'b>(pub &'b [u8]);

impl<'b> Bytes<'b> {
    /// Whether all are used up.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// A number below `end`, which is at most 256.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end
    }

    /// True in one of `of` cases.
    pub fn one_in(&mut self, of: u8) -> bool {
        self.byte() % of == of - 1
    }

    /// One of the choices.
    pub fn choose<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// A small number, one near the end of some type, or any.
    pub fn number(&mut self) -> u64 {
        let kind = self.byte();
        match kind % 8 {
            0 => 0,
            1..=3 => u64::from(self.byte()),
            4 => u64::from(self.byte()) << 16 | u64::from(self.byte()) << 8,
            5 => u64::from(u32::MAX) - u64::from(self.byte()),
            6 => u64::MAX - u64::from(self.byte()),
            _ => (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte())),
        }
    }

    /// At most `limit` bytes, which is less than 256.
    pub fn text(&mut self, limit: usize) -> &'b [u8] {
        let length = self.below(limit + 1).min(self.0.len());
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        text
    }
}
