//! Lines, words and numbers, as the kernel prints them.

use crate::model::units::Bytes;

/// The value of the line `KEY:   N kB`, in bytes.
pub fn kib_line(text: &[u8], key: &[u8]) -> Option<Bytes> {
    Words(line_after(text, key)?).number().map(Bytes::from_kib)
}

/// What follows `key` on the first line that begins with it.
pub fn line_after<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(key))
}

/// The words of a text, separated by white space.
pub struct Words<'a>(pub &'a [u8]);

impl<'a> Words<'a> {
    /// The next word.
    pub fn word(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|byte| !byte.is_ascii_whitespace())?;
        let rest = &self.0[start..];
        let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        self.0 = &rest[end..];
        Some(&rest[..end])
    }

    /// Passes over `count` words.
    pub fn skip(&mut self, count: usize) -> Option<()> {
        for _ in 0..count {
            self.word()?;
        }
        Some(())
    }

    /// The next word, as a decimal number.
    pub fn number(&mut self) -> Option<u64> {
        decimal(self.word()?)
    }

    /// The next word, which the kernel prints as a signed number although it counts time. A
    /// negative value has overflowed and says nothing: it counts as 0.
    pub fn signed(&mut self) -> Option<u64> {
        let word = self.word()?;
        match word.strip_prefix(b"-") {
            Some(digits) => decimal(digits).map(|_| 0),
            None => decimal(word),
        }
    }
}

/// The number that `digits` spells: nothing but decimal digits, within 64 bits.
pub fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut number = 0u64;
    for byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    Some(number)
}

/// The number that is the whole text, apart from white space around it.
pub fn number(text: &[u8]) -> Option<u64> {
    decimal(text.trim_ascii())
}
