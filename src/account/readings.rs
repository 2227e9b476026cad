//! What is read of the members of groups beside their `stat`, each part only if a field needs it.

use super::memory::Footprint;

/// What became of reading a file of one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reading<T> {
    /// The member had ended, or has no such thing: a zombie has no open files.
    #[default]
    Gone,
    /// It lives, and its file may not be read, is missing or makes no sense.
    Unreadable,
    /// What the file said.
    Told(T),
}

/// What was read of the members. A part that was not asked for, or could not be finished in time,
/// is none.
#[derive(Clone, Debug, Default)]
pub struct Readings {
    /// Whom it was read of: places in the snapshot, sorted. Each part is in this order.
    pub members: Vec<usize>,
    /// Their memory.
    pub footprints: Option<Vec<Footprint>>,
    /// How many files they have open.
    pub open_files: Option<Vec<Reading<u64>>>,
}

impl Readings {
    /// The part of those members in that list, which is one of these. The places are in the
    /// snapshot; of one that was not read nothing is given.
    pub fn of<'r, T>(
        &'r self,
        part: &'r [T],
        places: impl IntoIterator<Item = usize>,
    ) -> impl Iterator<Item = &'r T> {
        places.into_iter().filter_map(|place| part.get(self.members.binary_search(&place).ok()?))
    }
}

/// Adds up what was read; none where a part of the sum is not known.
pub fn sum<'r>(readings: impl Iterator<Item = &'r Reading<u64>>) -> Option<u64> {
    let mut sum = 0u64;
    for reading in readings {
        match reading {
            Reading::Gone => {}
            Reading::Unreadable => return None,
            Reading::Told(number) => sum = sum.saturating_add(*number),
        }
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_which_a_part_is_not_known_is_not_known() {
        use Reading::{Gone, Told, Unreadable};
        assert_eq!(sum([].iter()), Some(0));
        assert_eq!(sum([Told(3), Gone, Told(4)].iter()), Some(7));
        assert_eq!(sum([Told(3), Unreadable, Told(4)].iter()), None);
        assert_eq!(sum([Told(u64::MAX), Told(1)].iter()), Some(u64::MAX));
    }

    #[test]
    fn each_member_finds_its_own() {
        let readings = Readings { members: vec![2, 5, 9], ..Readings::default() };
        let found: Vec<char> = readings.of(&['a', 'b', 'c'], [9, 3, 2]).copied().collect();
        assert_eq!(found, ['c', 'a']);
    }
}
