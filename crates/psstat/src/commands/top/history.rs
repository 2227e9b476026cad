//! The last values of a quantity. Pure.

use std::collections::VecDeque;

/// How many values are kept. The widest chart has about this many columns.
pub const LENGTH: usize = 120;

/// The last values of a quantity, the oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// NaN is a value that is not known.
    values: VecDeque<f32>,
}

impl History {
    /// Adds a value, and forgets the oldest one if there are too many.
    pub fn push(&mut self, value: Option<f64>) {
        if self.values.len() == LENGTH {
            self.values.pop_front();
        }
        self.values.push_back(value.map_or(f32::NAN, |value| value as f32));
    }

    /// The last `count` values, the oldest first.
    pub fn last(&self, count: usize) -> impl Iterator<Item = Option<f32>> {
        let skipped = self.values.len().saturating_sub(count);
        self.values.iter().skip(skipped).map(|&value| (!value.is_nan()).then_some(value))
    }

    /// The lowest and the highest of the last `count` values. `None` if none is known.
    pub fn range(&self, count: usize) -> Option<(f32, f32)> {
        let known = self.last(count).flatten();
        known.fold(None, |range, value| {
            let (low, high) = range.unwrap_or((value, value));
            Some((value.min(low), value.max(high)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_values_are_forgotten() {
        let mut history = History::default();
        assert_eq!(history.range(LENGTH), None);
        history.push(Some(1e9));
        history.push(None);
        for value in 2..=LENGTH {
            history.push(Some(value as f64));
        }
        assert_eq!(history.last(LENGTH).next(), Some(None), "the value that is not known");
        assert_eq!(history.last(usize::MAX).count(), LENGTH);
        assert_eq!(history.range(LENGTH), Some((2.0, LENGTH as f32)));
        assert_eq!(history.range(1), Some((LENGTH as f32, LENGTH as f32)));
    }
}
