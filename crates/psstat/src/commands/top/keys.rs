//! Keys, from the bytes that a terminal sends. Pure.
//!
//! *Example:* `ESC [ A` is the key Up. A lone `ESC` is the key Escape, but only if nothing follows within a
//! moment.

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character that can be typed.
    Char(char),
    /// A letter with Ctrl.
    Control(char),
    /// Enter.
    Enter,
    /// Escape.
    Escape,
    /// Backspace.
    Backspace,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// Home.
    Home,
    /// End.
    End,
}

const ESCAPE: u8 = 0x1b;

/// A sequence that is longer than this is none.
const LONGEST: usize = 32;

/// The bytes of a key that has not arrived whole.
#[derive(Debug, Default)]
pub struct Keys {
    pending: Vec<u8>,
}

/// What the first bytes are.
enum First {
    /// A key of that many bytes.
    Key(Key, usize),
    /// That many bytes that mean nothing.
    Nothing(usize),
    /// The beginning of a key.
    Part,
}

impl Keys {
    /// The keys that are whole after these bytes.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Key> {
        self.pending.extend_from_slice(bytes);
        self.take(false)
    }

    /// Whether a part of a key has arrived. If nothing follows, call [`Keys::finish`].
    pub fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The keys in what has arrived. Nothing follows.
    pub fn finish(&mut self) -> Vec<Key> {
        self.take(true)
    }

    fn take(&mut self, is_all: bool) -> Vec<Key> {
        let mut keys = Vec::new();
        let mut rest = &self.pending[..];
        while let Some(&byte) = rest.first() {
            let length = match first(rest) {
                First::Key(key, length) => {
                    keys.push(key);
                    length
                }
                First::Nothing(length) => length,
                First::Part if is_all || rest.len() > LONGEST => {
                    if byte == ESCAPE {
                        keys.push(Key::Escape);
                    }
                    1
                }
                First::Part => break,
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        self.pending = rest.to_vec();
        keys
    }
}

fn first(bytes: &[u8]) -> First {
    match bytes {
        [ESCAPE] => First::Part,
        [ESCAPE, b'[', rest @ ..] => control_sequence(rest),
        [ESCAPE, b'O'] => First::Part,
        [ESCAPE, b'O', last, ..] => {
            named(*last, b"").map_or(First::Nothing(3), |key| First::Key(key, 3))
        }
        [ESCAPE, ..] => First::Key(Key::Escape, 1),
        [b'\r' | b'\n', ..] => First::Key(Key::Enter, 1),
        [0x7f | 0x08, ..] => First::Key(Key::Backspace, 1),
        [byte @ 1..=26, ..] => First::Key(Key::Control(char::from(byte - 1 + b'a')), 1),
        _ => character(bytes),
    }
}

/// What follows `ESC [`: parameters, and a last byte.
fn control_sequence(rest: &[u8]) -> First {
    let Some(end) = rest.iter().position(|byte| (0x40..=0x7e).contains(byte)) else {
        return First::Part;
    };
    let length = end + 3;
    named(rest[end], &rest[..end]).map_or(First::Nothing(length), |key| First::Key(key, length))
}

/// The key with that last byte and these parameters.
fn named(last: u8, parameters: &[u8]) -> Option<Key> {
    Some(match last {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        b'M' => Key::Enter,
        b'~' => match parameters.split(|&byte| byte == b';').next()? {
            b"1" | b"7" => Key::Home,
            b"4" | b"8" => Key::End,
            b"5" => Key::PageUp,
            b"6" => Key::PageDown,
            _ => return None,
        },
        _ => return None,
    })
}

fn character(bytes: &[u8]) -> First {
    let length = match bytes.first() {
        Some(0x20..=0x7e) => 1,
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => return First::Nothing(1),
    };
    let Some(bytes) = bytes.get(..length) else { return First::Part };
    let text = std::str::from_utf8(bytes).ok();
    match text.and_then(|text| text.chars().next()).filter(|one| !one.is_control()) {
        Some(one) => First::Key(Key::Char(one), length),
        None => First::Nothing(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_every_kind() {
        let keys =
            Keys::default().feed(b"q\x03\r\x7f\x1b[A\x1bOB\x1b[5~\x1b[6;5~\x1b[H\x1b[4~/\xc3\xa9");
        let expected = [
            Key::Char('q'),
            Key::Control('c'),
            Key::Enter,
            Key::Backspace,
            Key::Up,
            Key::Down,
            Key::PageUp,
            Key::PageDown,
            Key::Home,
            Key::End,
            Key::Char('/'),
            Key::Char('é'),
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn a_key_can_arrive_in_pieces() {
        let mut keys = Keys::default();
        for piece in [&b"\x1b"[..], b"["] {
            assert_eq!(keys.feed(piece), []);
            assert!(keys.is_waiting());
        }
        assert_eq!(keys.feed(b"B\xe2\x96"), [Key::Down]);
        assert_eq!(keys.feed(b"\x81"), [Key::Char('▁')]);
        assert!(!keys.is_waiting());
    }

    #[test]
    fn escape_is_a_key_if_nothing_follows() {
        let mut keys = Keys::default();
        assert_eq!(keys.feed(b"\x1b"), []);
        assert_eq!(keys.finish(), [Key::Escape]);
        assert!(!keys.is_waiting());
        assert_eq!(keys.feed(b"\x1bq"), [Key::Escape, Key::Char('q')]);
    }

    #[test]
    fn what_means_nothing_is_dropped() {
        let mut keys = Keys::default();
        assert_eq!(keys.feed(b"\x1b[200~\x1b[?1;2c\xff\x80\x00a"), [Key::Char('a')]);
        assert_eq!(keys.feed(b"\x1bOPb"), [Key::Char('b')]);
        // A sequence without an end does not swallow everything.
        let endless = [&b"\x1b["[..], &[b'1'; 2 * LONGEST]].concat();
        assert!(keys.feed(&endless).contains(&Key::Char('1')));
    }
}
