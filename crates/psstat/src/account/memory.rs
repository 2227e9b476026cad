//! How the memory of a group is summed from that of its members.

use crate::units::{Bytes, Pages};

/// What `--memory` chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MemoryMode {
    /// The sum of resident sets, as `ps` shows: shared pages count once per process.
    Rss,
    /// The sum of what is private, plus the largest shared part of one member: what many workers
    /// share counts once.
    #[default]
    SharedOnce,
    /// The sum of the kernel's proportional shares.
    Pss,
}

impl MemoryMode {
    /// What it is called where it is chosen.
    pub fn name(self) -> &'static str {
        match self {
            MemoryMode::Rss => "rss",
            MemoryMode::SharedOnce => "shared-once",
            MemoryMode::Pss => "pss",
        }
    }
}

/// The memory of one member, as far as the mode asked for it and the kernel told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Footprint {
    /// Nothing: a zombie, or a process that ended before it was read.
    #[default]
    None,
    /// From `statm`.
    Resident {
        /// Pages in memory.
        resident: Pages,
        /// Those of them that are backed by a file or by shared memory.
        shared: Pages,
    },
    /// From `smaps_rollup`.
    Proportional(Bytes),
}

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
            Footprint::Resident { resident, .. } if mode == MemoryMode::Rss => {
                sum += resident.bytes(page_size);
            }
            Footprint::Resident { resident, shared } => {
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
        Footprint::Resident { resident: Pages(resident), shared: Pages(shared) }
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
