//! The simplest parsers that are right. psstat's parsers are compared with them.

/// The words of a line. Only spaces, tabs and the ends of lines separate words in files of the kernel.
pub fn words(text: &[u8]) -> Vec<&[u8]> {
    text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect()
}

/// A number of digits alone, of at most 64 bits.
pub fn number(word: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(word).ok()?;
    text.parse().ok().filter(|_| !text.starts_with('+'))
}

/// The same, with a minus sign or not. A negative number is 0.
pub fn signed(word: &[u8]) -> Option<u64> {
    match word.split_first() {
        Some((b'-', digits)) => number(digits).map(|_| 0),
        _ => number(word),
    }
}

/// The words behind `key` in the first line that begins with it.
pub fn words_after<'t>(text: &'t [u8], key: &str) -> Option<Vec<&'t [u8]>> {
    let mut lines = text.split(|&byte| byte == b'\n');
    let line = lines.find(|line| line.starts_with(key.as_bytes()))?;
    Some(words(&line[key.len()..]))
}

/// The number behind `key` in the first line that begins with it.
pub fn number_after(text: &[u8], key: &str) -> Option<u64> {
    number(words_after(text, key)?.first()?)
}
