//! Numbers and texts in the encoding of the state.

use crate::model::units::{Pid, Ticks};
use alloc::vec::Vec;

/// Puts a number.
pub fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Puts a pid that is larger than the `last`, which it becomes.
pub fn put_pid_after(bytes: &mut Vec<u8>, last: &mut u32, pid: Pid) {
    put(bytes, u64::from(pid.number() - *last));
    *last = pid.number();
}

/// Puts a start as its difference to the `last`, which it becomes.
pub fn put_start(bytes: &mut Vec<u8>, last: &mut u64, start: Ticks) {
    let step = start.0.wrapping_sub(*last).cast_signed();
    put(bytes, ((step << 1) ^ (step >> 63)).cast_unsigned());
    *last = start.0;
}

/// Puts a text, with its length before it.
pub fn put_bytes(bytes: &mut Vec<u8>, text: &[u8]) {
    put(bytes, text.len() as u64);
    bytes.extend_from_slice(text);
}

/// The part of the bytes that has not been read.
pub struct Reader<'a>(pub &'a [u8]);

impl Reader<'_> {
    /// How many of `count` entries there can be, if each has at least so many bytes.
    pub fn at_most(&self, count: u64, bytes: usize) -> usize {
        usize::try_from(count).unwrap_or(usize::MAX).min(self.0.len() / bytes)
    }

    /// 0 or 1.
    pub fn flag(&mut self) -> Option<bool> {
        match self.number()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// A pid that is larger than the `last`, which it becomes.
    pub fn pid_after(&mut self, last: &mut u32) -> Option<Pid> {
        let step = self.number()?;
        *last = u32::try_from(u64::from(*last).checked_add(step)?).ok()?;
        (step > 0 && *last <= Pid::MAX.number()).then_some(Pid::new(*last))
    }

    /// A start, given the `last`, which it becomes.
    pub fn start_after(&mut self, last: &mut u64) -> Option<Ticks> {
        let number = self.number()?;
        let step = (number >> 1).cast_signed() ^ -(number & 1).cast_signed();
        *last = last.wrapping_add(step.cast_unsigned());
        Some(Ticks(*last))
    }

    /// A pid up to the largest that the kernel gives out.
    pub fn pid(&mut self) -> Option<Pid> {
        Pid::checked(self.number()?)
    }

    /// A text.
    pub fn bytes(&mut self) -> Option<&[u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }

    /// A number of at most 64 bits.
    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            number |= bits << shift;
            if bits << shift >> shift != bits {
                return None;
            }
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }
}
