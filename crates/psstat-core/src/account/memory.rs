//! The memory of a group, computed from the memory of its members.

use crate::model::memory::{Footprint, MemoryMode, Statm};
use crate::model::units::{Bytes, Pages};

/// The memory of a group, in bytes. It is not known if the memory of a member could not be read.
///
/// A proportional set size is added as it is. Resident and shared pages are added as the mode
/// requires. If the mode is [`MemoryMode::Pss`] and only the pages of a member could be read, they
/// are added as for [`MemoryMode::SharedOnce`].
///
/// *Example:* three workers have 110, 120 and 5 resident pages, 100, 100 and 4 of them shared.
/// [`MemoryMode::Rss`] counts 235 pages. [`MemoryMode::SharedOnce`] counts the private pages
/// (10 + 20 + 1) and the largest shared part (100): 131 pages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// What is added up.
    added: Bytes,
    largest_shared: Bytes,
    lacks_some: bool,
}

impl Sum {
    /// Adds the memory of a member. `page_size` is in bytes.
    pub fn add(&mut self, mode: MemoryMode, footprint: Footprint, page_size: u64) {
        match footprint {
            Footprint::None => {}
            Footprint::Unreadable => self.lacks_some = true,
            Footprint::Proportional(share) => self.added += share,
            Footprint::Resident(Statm { resident, .. }) if mode == MemoryMode::Rss => {
                self.added += resident.bytes(page_size);
            }
            Footprint::Resident(Statm { resident, shared }) => {
                // The kernel changes the two counters separately, so a reading can show more shared
                // than resident pages.
                self.added += Pages(resident.0.saturating_sub(shared.0)).bytes(page_size);
                let shared = shared.min(resident).bytes(page_size);
                self.largest_shared = self.largest_shared.max(shared);
            }
        }
    }

    /// Adds the memory of other members.
    pub fn join(&mut self, other: &Sum) {
        self.added += other.added;
        self.largest_shared = self.largest_shared.max(other.largest_shared);
        self.lacks_some |= other.lacks_some;
    }

    /// The memory of all. `None` if it is not known.
    pub fn total(&self) -> Option<Bytes> {
        (!self.lacks_some).then_some(self.added + self.largest_shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(
        mode: MemoryMode,
        footprints: impl IntoIterator<Item = Footprint>,
        page_size: u64,
    ) -> Option<Bytes> {
        let [mut all, mut others] = [Sum::default(); 2];
        for (index, footprint) in footprints.into_iter().enumerate() {
            let sum = if index % 2 == 0 { &mut all } else { &mut others };
            sum.add(mode, footprint, page_size);
        }
        all.join(&others);
        all.total()
    }

    fn resident(resident: u64, shared: u64) -> Footprint {
        Footprint::Resident(Statm { resident: Pages(resident), shared: Pages(shared) })
    }

    #[test]
    fn the_mode_decides_how_shared_pages_count() {
        let workers = [resident(110, 100), resident(120, 100), resident(5, 4)];
        assert_eq!(sum(MemoryMode::Rss, workers, 4096), Some(Bytes(235 * 4096)));
        let once = Bytes((10 + 20 + 1 + 100) * 4096);
        assert_eq!(sum(MemoryMode::SharedOnce, workers, 4096), Some(once));
    }

    #[test]
    fn shared_once_replaces_an_unreadable_pss() {
        let mixed = [Footprint::Proportional(Bytes(1000)), resident(3, 2), resident(2, 1)];
        let expected = Bytes(1000 + (1 + 1 + 2) * 4096);
        assert_eq!(sum(MemoryMode::Pss, mixed, 4096), Some(expected));
    }

    #[test]
    fn more_shared_than_resident_pages_do_not_underflow() {
        assert_eq!(sum(MemoryMode::SharedOnce, [resident(3, 9)], 1), Some(Bytes(3)));
        assert_eq!(sum(MemoryMode::SharedOnce, [Footprint::None], 1), Some(Bytes(0)));
    }

    #[test]
    fn a_sum_with_an_unreadable_member_is_unknown() {
        for mode in MemoryMode::ALL {
            let members = [resident(3, 2), Footprint::Unreadable, resident(2, 1)];
            assert_eq!(sum(mode, members, 4096), None);
        }
    }
}
