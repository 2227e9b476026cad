//! The memory of a group, computed from the memory of its members and of its control groups.
//!
//! [`MemoryMode::Auto`] counts each page once. The memory of a group is the sum of three parts:
//!
//! 1. Anonymous memory. Of the members that are all the processes of a control group, it is the account
//!    that the kernel keeps of that control group ([`Accounted`]). Of any other member, it is its
//!    [`Share::anonymous`]. The truth is never less than the anonymous memory of any one member, and never
//!    more than the sum of all, so neither is the result.
//! 2. Files and shared memory: the largest of three values that are not more than the truth. These are the
//!    largest memory of one member, the accounts of the control groups, and the sum of the shares that are
//!    known.
//! 3. Huge pages: the sum of all, those that members share once, and not more than the machine uses.
//!
//! *Example:* a server has 200 MB of anonymous memory and forks nine workers, which read it. Each has 200 MB
//! in `statm`, and a share of 20 MB by `smaps_rollup`. The sum of the shares is 200 MB. If the ten processes
//! are all of a control group, its account says 200 MB too, and every user may read it.

use crate::model::memory::{Footprint, MachineMemory, MemoryAccount, MemoryMode, Share};
use crate::model::readings::{AccountedGroup, Readings};
use crate::model::units::Bytes;

/// The memory of members of a group, in bytes. It is not known if the memory of a member could not be
/// read.
///
/// *Example:* three workers have 110, 120 and 5 resident pages, 100, 100 and 4 of them shared.
/// [`MemoryMode::Rss`] counts 235 pages. [`MemoryMode::SharedOnce`] counts the private pages
/// (10 + 20 + 1) and the largest shared part (100): 131 pages.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// What the mode adds up.
    added: Bytes,
    /// The largest part that counts once.
    largest_mapped: Bytes,
    /// The anonymous memory of all members, and the largest of one.
    anonymous: Anonymous,
    /// The shares in files and shared memory.
    mapped: Bytes,
    huge: Bytes,
    largest_shared_huge: Bytes,
    lacks_some: bool,
}

/// The anonymous memory of some processes, without regard to what they share.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anonymous {
    sum: Bytes,
    largest: Bytes,
}

impl Anonymous {
    /// Adds that of a process.
    pub fn add(&mut self, whole: Bytes) {
        self.join(&Anonymous { sum: whole, largest: whole });
    }

    /// Adds that of other processes.
    pub fn join(&mut self, other: &Anonymous) {
        self.sum += other.sum;
        self.largest = self.largest.max(other.largest);
    }

    /// Whether it makes a difference what they share: more than a hundredth, and more than 256 KiB.
    pub fn can_be_shared(&self) -> bool {
        let difference = self.sum.less(self.largest);
        difference > Bytes(self.sum.0 / 100).max(Bytes(256 << 10))
    }

    /// The value that is nearest to `value` and can be the truth.
    fn bounded(&self, value: Bytes) -> Bytes {
        value.clamp(self.largest, self.sum)
    }
}

/// The parts of the memory of a group. In the modes `rss` and `pss` the first is all but huge pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breakdown {
    /// Anonymous memory.
    pub anonymous: Bytes,
    /// Memory of files and shared memory.
    pub mapped: Bytes,
    /// Huge pages.
    pub huge: Bytes,
}

/// The memory of members that are all the processes of one control group.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accounted {
    /// The account of the kernel.
    pub account: MemoryAccount,
    /// Their anonymous memory.
    pub anonymous: Anonymous,
    /// Their memory of files and shared memory, without regard to what they share.
    pub mapped: Bytes,
    /// The sum of their shares, which the account replaces.
    pub shares: Bytes,
}

impl Accounted {
    /// The memory of the members in a control group.
    pub fn of(group: &AccountedGroup, readings: &Readings) -> Accounted {
        let mut accounted = Accounted { account: group.account, ..Accounted::default() };
        let footprints = readings.footprints.as_deref().unwrap_or_default();
        for &member in &group.members {
            if let Some(Footprint::Known(share)) = readings.at(footprints, member) {
                accounted.add(share);
            }
        }
        accounted
    }

    /// Adds a process of the control group.
    pub fn add(&mut self, share: &Share) {
        self.anonymous.add(share.anonymous_whole);
        self.mapped += share.mapped_whole;
        self.shares += share.anonymous;
    }

    /// What counts: the account, within what is possible. Anonymous memory stays charged to the control group
    /// that used it first. A page of a file counts in the account if anybody maps it.
    fn counted(&self) -> MemoryAccount {
        MemoryAccount {
            anonymous: self.anonymous.bounded(self.account.anonymous),
            mapped: self.account.mapped.min(self.mapped),
        }
    }

    /// Adds the memory of another control group.
    pub fn join(&mut self, other: &Accounted) {
        let [own, others] = [self.counted(), other.counted()];
        let (anonymous, mapped) = (own.anonymous + others.anonymous, own.mapped + others.mapped);
        *self = Accounted {
            account: MemoryAccount { anonymous, mapped },
            anonymous: Anonymous { sum: anonymous, largest: anonymous },
            mapped,
            shares: self.shares + other.shares,
        };
    }
}

impl Sum {
    /// Adds the memory of a member.
    pub fn add(&mut self, mode: MemoryMode, footprint: &Footprint) {
        let share = match footprint {
            Footprint::None => return,
            Footprint::Unreadable => {
                self.lacks_some = true;
                return;
            }
            Footprint::Known(share) => share,
        };
        self.huge += share.huge;
        self.largest_shared_huge = self.largest_shared_huge.max(share.shared_huge);
        let mut once = share.mapped_whole;
        self.added += match (mode, share.proportional) {
            (MemoryMode::Rss, _) => {
                once = Bytes(0);
                share.anonymous_whole + share.mapped_whole
            }
            (MemoryMode::Pss, Some(proportional)) => {
                once = Bytes(0);
                proportional
            }
            (MemoryMode::Auto, _) => share.anonymous,
            // Without its proportional set size, a member counts as in the mode `shared-once`.
            (MemoryMode::SharedOnce | MemoryMode::Pss, _) => share.anonymous_whole,
        };
        self.largest_mapped = self.largest_mapped.max(once);
        self.mapped += share.mapped;
        self.anonymous.add(share.anonymous_whole);
    }

    /// Adds the memory of other members.
    pub fn join(&mut self, other: &Sum) {
        self.added += other.added;
        self.largest_mapped = self.largest_mapped.max(other.largest_mapped);
        self.anonymous.join(&other.anonymous);
        self.mapped += other.mapped;
        self.huge += other.huge;
        self.largest_shared_huge = self.largest_shared_huge.max(other.largest_shared_huge);
        self.lacks_some |= other.lacks_some;
    }

    /// The memory of all. `accounted` are the members that are all the processes of a control group; there are
    /// none unless the mode is [`MemoryMode::Auto`]. `None` if the memory is not known.
    pub fn total<'a>(
        &self,
        mode: MemoryMode,
        accounted: impl Iterator<Item = &'a Accounted>,
        machine: Option<MachineMemory>,
    ) -> Option<Bytes> {
        let Breakdown { anonymous, mapped, huge } = self.breakdown(mode, accounted, machine)?;
        let total = anonymous + mapped + huge;
        let limit = machine.filter(|_| mode == MemoryMode::Auto).map(|machine| machine.total);
        Some(limit.map_or(total, |limit| total.min(limit)))
    }

    /// The parts of the memory of all. `None` if it is not known.
    pub fn breakdown<'a>(
        &self,
        mode: MemoryMode,
        accounted: impl Iterator<Item = &'a Accounted>,
        machine: Option<MachineMemory>,
    ) -> Option<Breakdown> {
        if self.lacks_some {
            return None;
        }
        let huge = self.huge + self.largest_shared_huge;
        let huge = machine.map_or(huge, |machine| huge.min(machine.huge_in_use));
        if mode != MemoryMode::Auto {
            return Some(Breakdown { anonymous: self.added, mapped: self.largest_mapped, huge });
        }
        let (mut anonymous, mut mapped) = (self.added, Bytes(0));
        for part in accounted {
            let counted = part.counted();
            anonymous = anonymous.less(part.shares) + counted.anonymous;
            mapped += counted.mapped;
        }
        let mapped = mapped.max(self.mapped).max(self.largest_mapped);
        Some(Breakdown { anonymous: self.anonymous.bounded(anonymous), mapped, huge })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;

    fn total(
        mode: MemoryMode,
        members: &[Footprint],
        accounted: &[Accounted],
        machine: Option<MachineMemory>,
    ) -> Option<u64> {
        let [mut all, mut others] = [Sum::default(); 2];
        for (index, footprint) in members.iter().enumerate() {
            let sum = if index % 2 == 0 { &mut all } else { &mut others };
            sum.add(mode, footprint);
        }
        all.join(&others);
        all.total(mode, accounted.iter(), machine).map(|bytes| bytes.0)
    }

    fn sum(mode: MemoryMode, members: &[Footprint]) -> Option<u64> {
        total(mode, members, &[], None)
    }

    fn resident(resident: u64, shared: u64) -> Footprint {
        let (anonymous, mapped) = (Bytes(resident - shared), Bytes(shared));
        Footprint::Known(Share {
            anonymous_whole: anonymous,
            mapped_whole: mapped,
            anonymous,
            ..Share::default()
        })
    }

    fn share(anonymous_whole: u64, anonymous: u64) -> Share {
        let [anonymous_whole, anonymous] = [anonymous_whole, anonymous].map(Bytes);
        Share { anonymous_whole, anonymous, ..Share::default() }
    }

    #[test]
    fn the_mode_decides_how_shared_pages_count() {
        let workers = [resident(110, 100), resident(120, 100), resident(5, 4)];
        assert_eq!(sum(MemoryMode::Rss, &workers), Some(235));
        assert_eq!(sum(MemoryMode::SharedOnce, &workers), Some(10 + 20 + 1 + 100));
        assert_eq!(sum(MemoryMode::Auto, &workers), Some(10 + 20 + 1 + 100));
    }

    #[test]
    fn shared_once_replaces_an_unreadable_pss() {
        let proportional = Some(Bytes(1000));
        let known = Footprint::Known(Share { proportional, ..share(5000, 0) });
        assert_eq!(
            sum(MemoryMode::Pss, &[known, resident(3, 2), resident(2, 1)]),
            Some(1000 + 1 + 1 + 2)
        );
    }

    #[test]
    fn a_sum_with_an_unreadable_member_is_unknown() {
        for mode in MemoryMode::ALL {
            let members = [resident(3, 2), Footprint::Unreadable, resident(2, 1)];
            assert_eq!(sum(mode, &members), None);
            assert_eq!(sum(mode, &[Footprint::None]), Some(0));
        }
    }

    #[test]
    fn shares_count_shared_anonymous_memory_once() {
        let workers = [Footprint::Known(share(200 * MIB, 20 * MIB)); 10];
        assert_eq!(sum(MemoryMode::Auto, &workers), Some(200 * MIB));
        assert_eq!(sum(MemoryMode::SharedOnce, &workers), Some(2000 * MIB));
    }

    /// The account can contain the memory of a process that has moved away, or lack that of one that has
    /// come.
    #[test]
    fn an_account_counts_within_what_is_possible() {
        let shares = [share(200, 200), share(150, 150), share(30, 30)];
        let workers = shares.map(Footprint::Known);
        for (anonymous, expected) in [(100, 200), (210, 210), (340, 340), (1000, 350)] {
            let account = MemoryAccount { anonymous: Bytes(anonymous), mapped: Bytes(7) };
            let mut accounted = Accounted { account, ..Accounted::default() };
            shares[..2].iter().for_each(|share| accounted.add(share));
            let all = total(MemoryMode::Auto, &workers, &[accounted], None);
            // The members map no file, so the account's pages are those of others.
            assert_eq!(all, Some(expected + 30), "{anonymous}");
        }
    }

    #[test]
    fn files_and_shared_memory_are_the_largest_known_value() {
        let member = |mapped_whole, mapped| {
            let [mapped_whole, mapped] = [mapped_whole, mapped].map(Bytes);
            Footprint::Known(Share { mapped_whole, mapped, ..Share::default() })
        };
        let members = [member(100, 60), member(90, 50)];
        assert_eq!(sum(MemoryMode::Auto, &members), Some(110));
        for (mapped, expected) in [(130, 130), (1000, 190), (90, 110)] {
            let account = MemoryAccount { anonymous: Bytes(0), mapped: Bytes(mapped) };
            let mut accounted = Accounted { account, ..Accounted::default() };
            for member in &members {
                let Footprint::Known(share) = member else { continue };
                accounted.add(share);
            }
            let all = total(MemoryMode::Auto, &members, &[accounted], None);
            assert_eq!(all, Some(expected), "pages that others map do not count: {mapped}");
        }
        assert_eq!(sum(MemoryMode::Auto, &[member(100, 40), member(90, 50)]), Some(100));
    }

    #[test]
    fn huge_pages_count_in_every_mode_and_not_more_than_are_in_use() {
        let member = |huge, shared_huge| {
            let [huge, shared_huge] = [huge, shared_huge].map(Bytes);
            Footprint::Known(Share { huge, shared_huge, ..Share::default() })
        };
        let members = [member(10, 300), member(20, 400)];
        let machine = |huge_in_use| {
            Some(MachineMemory { total: Bytes(1000), huge_in_use: Bytes(huge_in_use) })
        };
        for mode in MemoryMode::ALL {
            assert_eq!(total(mode, &members, &[], None), Some(430));
            assert_eq!(total(mode, &members, &[], machine(500)), Some(430));
            assert_eq!(total(mode, &members, &[], machine(410)), Some(410));
        }
    }

    #[test]
    fn auto_is_never_more_than_the_machine_has() {
        let machine = Some(MachineMemory { total: Bytes(300), huge_in_use: Bytes(0) });
        let members = [resident(200, 0), resident(200, 0)];
        assert_eq!(total(MemoryMode::Auto, &members, &[], machine), Some(300));
        assert_eq!(total(MemoryMode::SharedOnce, &members, &[], machine), Some(400));
    }

    proptest! {
        /// Processes map pages. Whatever is known of them, the result is between the largest resident set
        /// and the sum of all. It is exact if the shares are.
        #[test]
        fn pages_are_counted_once(
            maps in prop::collection::vec(prop::collection::vec(any::<bool>(), 12), 1..6),
            is_anonymous in prop::collection::vec(any::<bool>(), 12),
            known in prop::collection::vec(any::<bool>(), 6),
            account in 0..20_000u64,
        ) {
            const PAGE: u64 = 27_720; // Divisible by all numbers of processes.
            let mappers = |page: usize| maps.iter().filter(|map| map[page]).count() as u64;
            let add = |map: &[bool], anonymous: bool, share: &dyn Fn(usize) -> u64| {
                let pages = (0..12).filter(|&page| map[page] && is_anonymous[page] == anonymous);
                Bytes(pages.map(share).sum())
            };
            let whole = |map: &[bool], anonymous| add(map, anonymous, &|_| PAGE);
            let part = |map: &[bool], anonymous| add(map, anonymous, &|page| PAGE / mappers(page));
            let shares: Vec<Share> = maps.iter().zip(&known).map(|(map, &known)| Share {
                anonymous_whole: whole(map, true),
                mapped_whole: whole(map, false),
                anonymous: if known { part(map, true) } else { whole(map, true) },
                mapped: if known { part(map, false) } else { Bytes(0) },
                ..Share::default()
            }).collect();
            let members: Vec<Footprint> = shares.iter().copied().map(Footprint::Known).collect();
            let result = sum(MemoryMode::Auto, &members).unwrap();
            let truth = PAGE * (0..12).filter(|&page| mappers(page) > 0).count() as u64;
            if known.iter().take(maps.len()).all(|&known| known) {
                prop_assert_eq!(result, truth);
            }
            let resident = |share: &Share| (share.anonymous_whole + share.mapped_whole).0;
            let largest = shares.iter().map(resident).max().unwrap();
            let all: u64 = shares.iter().map(resident).sum();
            prop_assert!(largest <= result && result <= all.max(largest));
            let mapped = Bytes(account.rotate_left(3) % 400_000);
            let account = MemoryAccount { anonymous: Bytes(account * 20), mapped };
            let mut accounted = Accounted { account, ..Accounted::default() };
            shares.iter().for_each(|share| accounted.add(share));
            let result = total(MemoryMode::Auto, &members, &[accounted], None).unwrap();
            prop_assert!(largest <= result && result <= all.max(largest));
        }
    }
}
