//! The memory of a group, computed from the memory of its members.

use crate::model::memory::{Footprint, MemoryMode, Statm};
use crate::model::units::{Bytes, Pages};

/// Computes the memory of a group in bytes. `page_size` is in bytes.
///
/// A proportional set size is added as it is. Resident and shared pages are added as `mode`
/// requires. If the mode is [`MemoryMode::Pss`] and only the pages of a member could be read, they
/// are added as for [`MemoryMode::SharedOnce`].
///
/// *Example:* three workers have 110, 120 and 5 resident pages, 100, 100 and 4 of them shared.
/// [`MemoryMode::Rss`] counts 235 pages. [`MemoryMode::SharedOnce`] counts the private pages
/// (10 + 20 + 1) and the largest shared part (100): 131 pages.
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
                // The kernel changes the two counters separately, so a reading can show more shared
                // than resident pages.
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
    fn the_mode_decides_how_shared_pages_count() {
        let workers = [resident(110, 100), resident(120, 100), resident(5, 4)];
        assert_eq!(sum(MemoryMode::Rss, workers, 4096), Bytes(235 * 4096));
        assert_eq!(sum(MemoryMode::SharedOnce, workers, 4096), Bytes((10 + 20 + 1 + 100) * 4096));
    }

    #[test]
    fn shared_once_replaces_an_unreadable_pss() {
        let mixed = [Footprint::Proportional(Bytes(1000)), resident(3, 2), resident(2, 1)];
        assert_eq!(sum(MemoryMode::Pss, mixed, 4096), Bytes(1000 + (1 + 1 + 2) * 4096));
    }

    #[test]
    fn more_shared_than_resident_pages_do_not_underflow() {
        assert_eq!(sum(MemoryMode::SharedOnce, [resident(3, 9)], 1), Bytes(3));
        assert_eq!(sum(MemoryMode::SharedOnce, [Footprint::None], 1), Bytes(0));
    }
}
