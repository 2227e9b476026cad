//! Reads the memory of the members of groups.

use super::memory_accounts::{AccountReader, AccountsRead, MOST_CONTROL_GROUPS, Suspect};
use crate::account::membership::Membership;
use crate::account::memory::Anonymous;
use crate::account::sharing::{self, Estimate, Rollup, Sharer};
use crate::diagnostics::{Diagnostics, Warning, What};
use crate::discovery::known_memory::{AccountedBy, KnownMember, KnownMemory, KnownRollup};
use crate::field::Need;
use crate::kernel::Kernel;
use crate::model::memory::{Footprint, MachineMemory, MemoryMode, Share, Statm};
use crate::model::process::{Life, Process};
use crate::model::read_error::{Reason, Unreadable};
use crate::model::readings::{AccountedGroup, Readings};
use crate::model::snapshot::Snapshot;
use crate::model::units::{BootNanos, Bytes, CpuNanos};
use crate::plan::Plan;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

/// One sample spends about so much time on reading `smaps_rollup`, by the estimate of [`Sharer::cost`].
/// A lock of each process is held only while that process is read.
const NANOS_FOR_ROLLUPS: u64 = 4_000_000;

/// The first sample that reads memory spends so much, because nothing is known yet.
const NANOS_FOR_FIRST_ROLLUPS: u64 = 100_000_000;

/// Reads the memory of members.
pub struct MemoryReader<'m, K> {
    /// What to measure.
    pub plan: &'m Plan,
    /// The machine to read.
    pub kernel: &'m K,
    /// The processes.
    pub snapshot: &'m Snapshot,
    /// Which groups each of them belongs to.
    pub membership: &'m Membership,
    /// How many groups there are.
    pub groups: usize,
    /// Whether `/proc` hides processes.
    pub hides_processes: bool,
    /// The memory of the machine. `None` if it could not be read.
    pub machine: Option<MachineMemory>,
    /// When the last sample was taken.
    pub since: BootNanos,
    /// What is remembered from it.
    pub known: &'m KnownMemory,
}

/// What was read of the memory of members.
#[derive(Debug)]
struct MemoryRead {
    /// The memory of each member.
    footprints: Vec<Footprint>,
    /// The control groups whose accounts count instead.
    accounted: Vec<AccountedGroup>,
    /// What to remember.
    known: KnownMemory,
}

/// Why the memory of some members could not be read.
#[derive(Default)]
struct Errors {
    sizes: Unreadable,
    proportional: Unreadable,
    /// The files that do not answer.
    unanswered: Vec<String>,
}

impl<K: Kernel> MemoryReader<'_, K> {
    /// Reads the memory of the members in `readings`, into these. Returns what to remember of it: if the time was
    /// up, what was remembered before.
    pub fn read_into(&self, readings: &mut Readings, diagnostics: &mut Diagnostics) -> KnownMemory {
        match self.read(&readings.members, diagnostics) {
            Some(MemoryRead { footprints, accounted, known }) => {
                readings.footprints = Some(footprints);
                readings.accounted = accounted;
                known
            }
            None => self.known.clone(),
        }
    }

    /// Reads the memory of `members`, which are sorted indices in the snapshot. `None` if the time was up.
    fn read(&self, members: &[usize], diagnostics: &mut Diagnostics) -> Option<MemoryRead> {
        let mut errors = Errors::default();
        let mut read = MemoryRead {
            footprints: Vec::with_capacity(members.len()),
            accounted: Vec::new(),
            known: KnownMemory {
                turn: self.known.turn.wrapping_add(1).max(1),
                ..KnownMemory::default()
            },
        };
        for &index in members {
            if self.kernel.out_of_time() {
                let fields = self.plan.fields.with_need(Need::Memory).collect();
                diagnostics.add(Warning::FieldsOutOfTime(fields));
                return None;
            }
            read.footprints.push(self.footprint(&self.snapshot.processes[index], &mut errors));
        }
        let mut suspects = self.suspects(members, &read.footprints);
        self.read_huge_pages(&mut suspects, &mut read.footprints);
        if self.plan.memory == MemoryMode::Auto {
            self.find_shares(&mut suspects, &mut read, &mut errors);
        }
        read.known.members = suspects.iter().map(|suspect| suspect.known).collect();
        for path in errors.unanswered {
            diagnostics.add(Warning::NoAnswer(path));
        }
        diagnostics.add_unreadable(What::ProportionalSizes, errors.proportional);
        diagnostics.add_unreadable(What::Sizes, errors.sizes);
        Some(read)
    }

    /// The memory of a process, each page whole.
    fn footprint(&self, process: &Process, errors: &mut Errors) -> Footprint {
        if process.life != Life::Alive {
            return Footprint::None;
        }
        let pid = process.id.pid;
        let mut share = Share::default();
        if self.plan.memory == MemoryMode::Pss {
            match self.kernel.proportional(pid) {
                Ok(read) => {
                    share.proportional = Some(read.total);
                    share.shared_huge = read.shared_huge;
                    return Footprint::Known(share);
                }
                Err(error) if error.reason == Reason::NoAnswer => {
                    errors.unanswered.push(error.path);
                }
                Err(error) => errors.proportional.add(error),
            }
        }
        match self.kernel.statm(pid) {
            Ok(statm) => {
                let page_size = self.kernel.constants().page_size;
                share.anonymous_whole = Statm::anonymous(statm).bytes(page_size);
                share.mapped_whole = Statm::mapped(statm).bytes(page_size);
                share.anonymous = share.anonymous_whole;
                Footprint::Known(share)
            }
            Err(error) if error.reason == Reason::Vanished => Footprint::None,
            Err(error) => {
                errors.sizes.add(error);
                Footprint::Unreadable
            }
        }
    }

    /// The members that may share anonymous memory with another member of a group, and if the machine has
    /// huge pages in use, all members. Sorted.
    fn suspects(&self, members: &[usize], footprints: &[Footprint]) -> Vec<Suspect> {
        let has_huge_pages = self.machine.is_some_and(|machine| machine.huge_in_use > Bytes(0));
        let is_auto = self.plan.memory == MemoryMode::Auto;
        let can_share = match is_auto {
            true => self.sets_that_can_share(members, footprints),
            false => vec![false; self.membership.sets.count()],
        };
        let mut suspects = Vec::new();
        for (place, (&index, footprint)) in members.iter().zip(footprints).enumerate() {
            let can_share = can_share[self.membership.members[index].index()];
            if (has_huge_pages || can_share) && matches!(footprint, Footprint::Known(_)) {
                let id = self.snapshot.processes[index].id;
                let known = self.known.member(id).copied().unwrap_or(KnownMember {
                    id,
                    accounted_by: AccountedBy::Unknown,
                    rollup: KnownRollup::NotRead,
                    huge: None,
                });
                suspects.push(Suspect { place, index, can_share, known });
            }
        }
        suspects
    }

    /// For each set of groups, by the index of its id: whether it has a group in which it makes a difference
    /// what the members share.
    fn sets_that_can_share(&self, members: &[usize], footprints: &[Footprint]) -> Vec<bool> {
        let sets = &self.membership.sets;
        let mut of_sets = vec![Anonymous::default(); sets.count()];
        for (&index, footprint) in members.iter().zip(footprints) {
            if let Footprint::Known(share) = footprint {
                of_sets[self.membership.members[index].index()].add(share.anonymous_whole);
            }
        }
        let add = |sum: &mut Anonymous, of_set: &Anonymous, _| sum.join(of_set);
        let of_groups: Vec<Anonymous> = sets.per_group(of_sets, self.groups, add, Anonymous::join);
        let mut can_share = vec![false; sets.count()];
        for (index, set) in sets.as_slice().iter().enumerate() {
            can_share[index + 1] =
                of_groups[set.group as usize].can_be_shared() || can_share[set.rest.index()];
        }
        can_share
    }

    /// Reads the huge pages of the members that have run since they were last read.
    fn read_huge_pages(&self, suspects: &mut [Suspect], footprints: &mut [Footprint]) {
        if self.machine.is_none_or(|machine| machine.huge_in_use == Bytes(0)) {
            return;
        }
        for Suspect { place, index, known, .. } in suspects {
            let Footprint::Known(share) = &mut footprints[*place] else { continue };
            let process = &self.snapshot.processes[*index];
            let is_kept = |&(clock, _): &(CpuNanos, Bytes)| process.has_not_run(Some(clock));
            let huge = match known.huge.filter(is_kept) {
                Some((_, huge)) if !self.known.is_turn_of_member(known.id.pid) => huge,
                // The process has ended, or belongs to the kernel, or the file cannot be read: what is
                // known of its huge pages is what it had.
                _ => self
                    .kernel
                    .huge_pages(known.id.pid)
                    .unwrap_or(known.huge.map_or(Bytes(0), |(_, huge)| huge)),
            };
            known.huge = process.clock.map(|clock| (clock, huge));
            share.huge = huge.less(share.shared_huge);
        }
    }

    /// Finds the share of each member in what members have in common.
    fn find_shares(&self, suspects: &mut [Suspect], read: &mut MemoryRead, errors: &mut Errors) {
        let reader = AccountReader {
            kernel: self.kernel,
            snapshot: self.snapshot,
            membership: self.membership,
            groups: self.groups,
            hides_processes: self.hides_processes,
            since: self.since,
            last: self.known,
            left: Cell::new(MOST_CONTROL_GROUPS),
        };
        let AccountsRead { accounted, is_covered, paths, accounts } =
            reader.read(suspects, &read.footprints);
        (read.accounted, read.known.paths, read.known.accounts) = (accounted, paths, accounts);
        let mut sharers: Vec<(usize, Sharer)> = Vec::new();
        let pids = suspects.iter().map(|suspect| {
            let Process { id, parent, .. } = self.snapshot.processes[suspect.index];
            (id.pid, parent)
        });
        let relatives = sharing::count_relatives(pids);
        for (number, (suspect, relatives)) in suspects.iter().zip(relatives).enumerate() {
            let Footprint::Known(share) = &read.footprints[suspect.place] else { continue };
            let has_huge_pages = share.huge > Bytes(0);
            if !has_huge_pages && (is_covered[number] || !suspect.can_share) {
                continue;
            }
            let process = &self.snapshot.processes[suspect.index];
            let rollup = match suspect.known.rollup {
                KnownRollup::Read(rollup) => Some(rollup),
                KnownRollup::NotRead | KnownRollup::Refused => None,
            };
            let Share { anonymous_whole, mapped_whole, .. } = *share;
            let (pid, parent) = (process.id.pid, process.parent);
            let used = process.own_time(process.clock, self.kernel.constants().hz);
            let sharer =
                Sharer { pid, parent, anonymous_whole, mapped_whole, relatives, used, rollup };
            sharers.push((number, sharer));
        }
        let estimates = self.read_rollups(suspects, &is_covered, &mut sharers, errors);
        for (&(number, sharer), estimate) in sharers.iter().zip(estimates) {
            if let Footprint::Known(share) = &mut read.footprints[suspects[number].place] {
                let Estimate { anonymous, mapped, source, .. } = estimate;
                (share.anonymous, share.mapped, share.source) = (anonymous, mapped, source);
                let shared = sharer.rollup.map_or(Bytes(0), |rollup| rollup.shared_huge);
                share.shared_huge = shared.min(share.huge);
                share.huge = share.huge.less(share.shared_huge);
            }
        }
    }

    /// Reads the `smaps_rollup` of processes, those first whose share can be wrong by the most, as long as
    /// the time for it is not used up. Returns the estimate of each share.
    fn read_rollups(
        &self,
        suspects: &mut [Suspect],
        is_covered: &[bool],
        sharers: &mut [(usize, Sharer)],
        errors: &mut Errors,
    ) -> Vec<Estimate> {
        let estimates = sharing::estimate(&only_sharers(sharers));
        let mut to_read: Vec<(Bytes, usize)> = Vec::new();
        for (at, ((number, sharer), estimate)) in sharers.iter().zip(&estimates).enumerate() {
            let is_turn = self.known.is_turn_of_rollup(sharer.pid);
            let is_refused = suspects[*number].known.rollup == KnownRollup::Refused;
            // Of one that an account covers, only the huge pages matter that it shares.
            let is_done = is_covered[*number] && sharer.rollup.is_some();
            let is_wanted = estimate.error > Bytes(0) && !is_refused && !is_done;
            if sharer.may_be_read() && (is_wanted || is_turn) {
                to_read.push((estimate.error, at));
            }
        }
        if to_read.is_empty() {
            return estimates;
        }
        to_read.sort_unstable_by_key(|&(error, at)| (core::cmp::Reverse(error), at));
        let is_first = self.known.turn == 0;
        let most = if is_first { NANOS_FOR_FIRST_ROLLUPS } else { NANOS_FOR_ROLLUPS };
        let mut spent = 0;
        for (_, at) in to_read {
            if spent >= most || self.kernel.out_of_time() {
                break;
            }
            let (number, sharer) = &mut sharers[at];
            spent += sharer.cost().0;
            let Some(rollup) = self.rollup(sharer, errors) else { continue };
            suspects[*number].known.rollup = rollup;
            sharer.rollup = match rollup {
                KnownRollup::Read(rollup) => Some(rollup),
                KnownRollup::NotRead | KnownRollup::Refused => None,
            };
        }
        sharing::estimate(&only_sharers(sharers))
    }

    /// Reads the `smaps_rollup` of a process. `None` if what is known of it stays as it is.
    fn rollup(&self, sharer: &Sharer, errors: &mut Errors) -> Option<KnownRollup> {
        match self.kernel.proportional(sharer.pid) {
            // It has just ended, or runs another program.
            Ok(read) if read.total == Bytes(0) && sharer.anonymous_whole > Bytes(0) => None,
            Ok(read) => {
                let Some(split) = read.split else { return Some(KnownRollup::Refused) };
                Some(KnownRollup::Read(Rollup {
                    split,
                    shared_huge: read.shared_huge,
                    anonymous_whole: sharer.anonymous_whole,
                    mapped_whole: sharer.mapped_whole,
                    relatives: sharer.relatives,
                    used: sharer.used,
                }))
            }
            Err(error) => match error.reason {
                // It is expected that files of other users cannot be read.
                Reason::Denied => Some(KnownRollup::Refused),
                Reason::NoAnswer => {
                    errors.unanswered.push(error.path);
                    // What is known of it stays known. If nothing is, it is asked again in its turn.
                    sharer.rollup.is_none().then_some(KnownRollup::Refused)
                }
                // It has ended, or it could not be read this time.
                _ => None,
            },
        }
    }
}

fn only_sharers(sharers: &[(usize, Sharer)]) -> Vec<Sharer> {
    sharers.iter().map(|&(_, sharer)| sharer).collect()
}
