//! Lines, words and numbers in the files of procfs and cgroupfs.

use crate::model::units::Bytes;

/// The value of the first line `KEY   N kB`. `key` includes the colon, if there is one.
pub fn kib_line(text: &[u8], key: &[u8]) -> Option<Bytes> {
    Words(line_after(text, key)?).number().map(Bytes::from_kib)
}

/// The rest of the first line that begins with `key`. `None` if there is no such line.
pub fn line_after<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(key))
}

/// A text, read word by word. Words are separated by white space.
pub struct Words<'a>(pub &'a [u8]);

impl<'a> Words<'a> {
    /// Reads the next word. `None` at the end of the text.
    pub fn word(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|byte| !byte.is_ascii_whitespace())?;
        let rest = &self.0[start..];
        let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        self.0 = &rest[end..];
        Some(&rest[..end])
    }

    /// Skips `count` words. `None` if there are fewer.
    pub fn skip(&mut self, count: usize) -> Option<()> {
        for _ in 0..count {
            self.word()?;
        }
        Some(())
    }

    /// Reads the next word as an unsigned decimal number.
    pub fn number(&mut self) -> Option<u64> {
        decimal(self.word()?)
    }

    /// Reads the next word as a signed decimal number. A negative number becomes 0: the kernel
    /// prints cutime and cstime as signed numbers, and they are negative only after an overflow
    /// (`do_task_stat`, fs/proc/array.c).
    pub fn signed(&mut self) -> Option<u64> {
        let word = self.word()?;
        match word.strip_prefix(b"-") {
            Some(digits) => decimal(digits).map(|_| 0),
            None => decimal(word),
        }
    }
}

/// Parses an unsigned decimal number of at most 64 bits. `None` if there is anything but digits.
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

/// Parses a text that is one unsigned decimal number, with white space around it or not.
pub fn number(text: &[u8]) -> Option<u64> {
    decimal(text.trim_ascii())
}
