//! Sizes for people: three digits at most, and a unit in powers of 1024.

use alloc::format;
use alloc::string::String;

const UNITS: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];

/// A size with its unit: `17.0 MiB`.
pub fn size(bytes: f64) -> String {
    match scaled(bytes) {
        (number, "") => format!("{number} B"),
        (number, unit) => format!("{number} {unit}iB"),
    }
}

/// The same in five columns at most: `17.0M`.
pub fn short_size(bytes: f64) -> String {
    match scaled(bytes) {
        (number, "") => format!("{number}B"),
        (number, unit) => format!("{number}{unit}"),
    }
}

/// The number, in the smallest unit in which it has three digits at most, and the unit.
fn scaled(bytes: f64) -> (String, &'static str) {
    let mut number = bytes;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        // It would be printed with four digits.
        if number < 999.5 {
            break;
        }
        (number, unit) = (number / 1024.0, larger);
    }
    let decimals = usize::from(!unit.is_empty() && number < 99.95);
    (format!("{number:.decimals$}"), unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        for (bytes, long, short) in [
            (0.0, "0 B", "0B"),
            (999.0, "999 B", "999B"),
            (999.5, "1.0 KiB", "1.0K"),
            (1536.0, "1.5 KiB", "1.5K"),
            (1024.0 * 99.94, "99.9 KiB", "99.9K"),
            (1024.0 * 99.96, "100 KiB", "100K"),
            (1024.0 * 999.4, "999 KiB", "999K"),
            (1024.0 * 999.6, "1.0 MiB", "1.0M"),
            (1.5e9, "1.4 GiB", "1.4G"),
            (3e13, "27.3 TiB", "27.3T"),
            (9e15, "8.0 PiB", "8.0P"),
            (u64::MAX as f64, "16.0 EiB", "16.0E"),
        ] {
            assert_eq!((&*size(bytes), &*short_size(bytes)), (long, short), "{bytes}");
        }
    }
}
