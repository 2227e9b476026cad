//! The memory of a group, from that of its members.

use crate::model::memory::{Footprint, MemoryMode, Statm};
use crate::model::units::{Bytes, Pages};

/// Sums the footprints of a group.
///
/// A proportional share counts as it is in every mode; what could only be read as resident and
/// shared pages is summed by `mode`, and for [`MemoryMode::Pss`] as shared once.
pub fn sum(
    mode: MemoryMode,
    footprints: impl IntoIterator<Item = Footprint>,
    page_size: u64,
) -> Bytes {
    let mut sum = Bytes(0);
    let mut largest_shared = Pages(0);
    for footprint in footprints {
        match footprint {
            Footprint::None => {}
            Footprint::Proportional(share) => sum += share,
            Footprint::Resident(Statm { resident, .. }) if mode == MemoryMode::Rss => {
                sum += resident.bytes(page_size);
            }
            Footprint::Resident(Statm { resident, shared }) => {
                // The two are read from counters that move on their own.
                sum += Pages(resident.0.saturating_sub(shared.0)).bytes(page_size);
                largest_shared = largest_shared.max(shared.min(resident));
            }
        }
    }
    sum + largest_shared.bytes(page_size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident(resident: u64, shared: u64) -> Footprint {
        Footprint::Resident(Statm { resident: Pages(resident), shared: Pages(shared) })
    }

    #[test]
    fn workers_that_share_a_segment_count_it_as_the_mode_says() {
        let workers = [resident(110, 100), resident(120, 100), resident(5, 4)];
        assert_eq!(sum(MemoryMode::Rss, workers, 4096), Bytes(235 * 4096));
        assert_eq!(sum(MemoryMode::SharedOnce, workers, 4096), Bytes((10 + 20 + 1 + 100) * 4096));
    }

    #[test]
    fn where_a_share_may_not_be_read_its_shared_once_part_stands_in() {
        let mixed = [Footprint::Proportional(Bytes(1000)), resident(3, 2), resident(2, 1)];
        assert_eq!(sum(MemoryMode::Pss, mixed, 4096), Bytes(1000 + (1 + 1 + 2) * 4096));
    }

    #[test]
    fn counters_that_disagree_stay_above_zero() {
        assert_eq!(sum(MemoryMode::SharedOnce, [resident(3, 9)], 1), Bytes(3));
        assert_eq!(sum(MemoryMode::SharedOnce, [Footprint::None], 1), Bytes(0));
    }
}
