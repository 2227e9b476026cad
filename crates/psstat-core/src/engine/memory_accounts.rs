//! Finds the control groups whose memory the kernel accounts, and whose processes are all members of a
//! group.
//!
//! *Example:* the unit nginx has five processes. A pid file picks the first of them, and the others are its
//! children. So the group is the same as the control group `system.slice/nginx.service`, and its account is
//! that of the group. A sixth process, in the same control group and no descendant of the first, would be a
//! stranger: the account would contain its memory too.

use crate::account::membership::Membership;
use crate::account::sets::SetId;
use crate::discovery::known_memory::{AccountedBy, Found, KnownAccount, KnownMember, KnownMemory};
use crate::discovery::scan;
use crate::kernel::Kernel;
use crate::model::buffer::Buffer;
use crate::model::collect;
use crate::model::memory::Footprint;
use crate::model::process::{Life, Process};
use crate::model::read_error::Reason;
use crate::model::readings::AccountedGroup;
use crate::model::snapshot::Snapshot;
use crate::model::units::{BootNanos, Bytes, Pid, ProcId, Ticks};
use crate::select::selector;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

/// One sample reads the `/proc/PID/cgroup` of so many processes at most: about 10 ms.
const MOST_PATHS: usize = 1024;

/// The first sample that reads memory reads so many. Of a process whose control group is not known, it would
/// read `smaps_rollup`, which takes longer.
const MOST_FIRST_PATHS: usize = 16 * 1024;

/// One sample looks at so many control groups at most, and lets the accounts of so many groups count. A user
/// can nest control groups, and groups of processes nest by themselves. What is left out counts as if there was no
/// account.
pub const MOST_CONTROL_GROUPS: usize = 4096;
const MOST_COUNTS: usize = 1 << 20;

/// Reads the accounts of control groups.
pub struct AccountReader<'m, K> {
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
    /// When the last sample was taken.
    pub since: BootNanos,
    /// What is remembered from it.
    pub last: &'m KnownMemory,
    /// How many control groups may still be looked at.
    pub left: Cell<usize>,
}

/// A member whose memory must be looked at more closely.
#[derive(Clone, Copy, Debug)]
pub struct Suspect {
    /// Its place in the list of members.
    pub place: usize,
    /// Its index in the snapshot.
    pub index: usize,
    /// Whether it makes a difference what it shares with other members of a group.
    pub can_share: bool,
    /// What is remembered of it.
    pub known: KnownMember,
}

/// What was found.
#[derive(Debug, Default)]
pub struct AccountsRead {
    /// The control groups whose accounts count instead of their suspects.
    pub accounted: Vec<AccountedGroup>,
    /// For each suspect: whether an account counts instead of it in all its groups.
    pub is_covered: Vec<bool>,
    /// The paths of control groups, for what is remembered of suspects and accounts.
    pub paths: Vec<Vec<u8>>,
    /// What to remember of the control groups.
    pub accounts: Vec<KnownAccount>,
}

/// A control group that accounts the memory of suspects.
struct Candidate<'c> {
    path: &'c [u8],
    /// Its suspects and those of the groups below it, by their numbers, sorted.
    suspects: Vec<usize>,
}

impl<K: Kernel> AccountReader<'_, K> {
    /// Finds the accounts that count instead of the suspects. `footprints` are the memory of the members.
    pub fn read(&self, suspects: &mut [Suspect], footprints: &[Footprint]) -> AccountsRead {
        let paths = self.paths(suspects);
        let mut read = AccountsRead::default();
        let mut by_path: BTreeMap<&[u8], Vec<usize>> = BTreeMap::new();
        for (number, (path, suspect)) in paths.iter().zip(&*suspects).enumerate() {
            if let Some(path) = path.as_ref().filter(|_| suspect.can_share) {
                by_path.entry(path).or_default().push(number);
            }
        }
        let mut known: Vec<(Vec<u8>, KnownAccount)> = Vec::new();
        // For each control group that counts: the groups that it counts for.
        let mut counted: BTreeMap<&[u8], Vec<u32>> = BTreeMap::new();
        // For each suspect: in how many of its groups an account counts instead of it.
        let mut covered = vec![0; suspects.len()];
        let mut counts = 0;
        for &path in by_path.keys() {
            if self.kernel.out_of_time() {
                break;
            }
            // What is below a control group that counts for a group is counted with it there.
            let above = groups_above(path).filter_map(|above| counted.get(above));
            let above: BTreeSet<u32> = collect::set(above.flatten().copied());
            let from_here = by_path.range(path..).take_while(|(other, _)| other.starts_with(path));
            let below = from_here.filter(|(other, _)| is_at_or_below(other, path));
            let mut all: Vec<usize> = below.flat_map(|(_, numbers)| numbers).copied().collect();
            all.sort_unstable();
            let mut candidate = Candidate { path, suspects: all };
            if !above.is_empty() && self.groups_of(&candidate, suspects, &above).is_empty() {
                continue;
            }
            let account = self.account(&mut candidate, suspects, footprints);
            if let Found::Account(found) = account.found {
                let groups = self.groups_of(&candidate, suspects, &above);
                counts += groups.len();
                if !groups.is_empty() && counts <= MOST_COUNTS {
                    candidate.suspects.iter().for_each(|&number| covered[number] += groups.len());
                    counted.insert(path, groups.clone());
                    let members = candidate.suspects.iter();
                    let members = members.map(|&number| suspects[number].index).collect();
                    let path = path.to_vec();
                    read.accounted.push(AccountedGroup { path, account: found, members, groups });
                }
            }
            known.push((path.to_vec(), account));
        }
        read.is_covered = self.are_covered(suspects, &covered);
        remember(known, &paths, suspects, &mut read);
        read
    }

    /// Whether the control group of a process is looked for again. A process that has just started may still
    /// be moved, and one whose control group has strangers may have been.
    fn is_turn(&self, known: &KnownMember) -> bool {
        /// A container is set up in less time. In seconds.
        const SETTLED_AFTER: u64 = 64;
        let hz = self.kernel.constants().hz;
        let age = |at: BootNanos| Ticks::at(at, hz).0.saturating_sub(known.id.start.0);
        let [before, now] = [self.since, self.snapshot.taken].map(age);
        // Whenever its age has doubled.
        let has_aged = (now + 1).ilog2() != (before + 1).ilog2();
        if has_aged && before < SETTLED_AFTER.saturating_mul(hz.0) {
            return true;
        }
        let is_outside = || match known.accounted_by {
            AccountedBy::Path(path) => self.last.paths.get(path as usize).is_some_and(|path| {
                let account = self.last.account(path);
                account.is_some_and(|account| !matches!(account.found, Found::Account(_)))
            }),
            AccountedBy::Unknown | AccountedBy::Nothing => false,
        };
        self.last.is_turn_of_member(known.id.pid)
            || (self.last.is_turn_of_outsider(known.id.pid) && is_outside())
    }

    /// The path of the control group that accounts the memory of each suspect that can share, if any.
    fn paths(&self, suspects: &mut [Suspect]) -> Vec<Option<Vec<u8>>> {
        let mut accounted_by: BTreeMap<Vec<u8>, Option<Vec<u8>>> = BTreeMap::new();
        let is_first = self.last.turn == 0;
        let mut left = if is_first { MOST_FIRST_PATHS } else { MOST_PATHS };
        let mut paths = Vec::with_capacity(suspects.len());
        for suspect in suspects {
            let known = &mut suspect.known;
            let is_turn = self.is_turn(known);
            let path = match known.accounted_by {
                AccountedBy::Path(path) if !is_turn || !suspect.can_share => {
                    self.last.paths.get(path as usize).cloned()
                }
                AccountedBy::Nothing if !is_turn => None,
                _ if !suspect.can_share => None,
                _ if left == 0 || self.kernel.out_of_time() => {
                    known.accounted_by = AccountedBy::Unknown;
                    None
                }
                _ => {
                    left -= 1;
                    let own = self.kernel.memory_path(known.id.pid);
                    known.accounted_by = match own {
                        Ok(_) => AccountedBy::Nothing,
                        Err(_) => AccountedBy::Unknown,
                    };
                    own.ok().flatten().and_then(|own| {
                        let find = |own: &Vec<u8>| self.kernel.accounted_by(own);
                        let found = accounted_by.get(&own).cloned();
                        found.unwrap_or_else(|| {
                            let found = find(&own);
                            accounted_by.insert(own, found.clone());
                            found
                        })
                    })
                }
            };
            paths.push(path);
        }
        paths
    }

    /// The account of a control group, from the last sample if nothing has changed. Takes suspects that have
    /// moved to another group out of the candidate.
    fn account(
        &self,
        candidate: &mut Candidate<'_>,
        suspects: &mut [Suspect],
        footprints: &[Footprint],
    ) -> KnownAccount {
        let mut members = Vec::with_capacity(candidate.suspects.len() * 12);
        let mut clocks = Some(Vec::with_capacity(candidate.suspects.len() * 8));
        let mut anonymous_whole = Bytes(0);
        for &number in &candidate.suspects {
            let ProcId { pid, start } = suspects[number].known.id;
            members.extend_from_slice(&pid.number().to_le_bytes());
            members.extend_from_slice(&start.0.to_le_bytes());
            let clock = self.snapshot.processes[suspects[number].index].clock;
            clocks = clocks.zip(clock).map(|(mut clocks, clock)| {
                clocks.extend_from_slice(&clock.0.to_le_bytes());
                clocks
            });
            if let Footprint::Known(share) = &footprints[suspects[number].place] {
                anonymous_whole += share.anonymous_whole;
            }
        }
        let members = selector::hash(&members);
        let clocks = clocks.as_deref().map(selector::hash);
        let found = Found::Nothing;
        let now = KnownAccount { path: 0, members, clocks, anonymous_whole, found };
        let last = self.last.account(candidate.path);
        if let Some(last) = last.filter(|last| self.still_holds(last, &now, candidate, suspects)) {
            return *last;
        }
        let (mut stranger, mut listed, mut is_over) = (None, BTreeSet::new(), false);
        let mut left = self.left.get();
        let account = self.kernel.memory_account(candidate.path, &mut left, &mut |pid| {
            listed.extend(pid);
            is_over = self.kernel.out_of_time();
            stranger = pid.and_then(|pid| self.stranger(pid, suspects));
            pid.is_some() && stranger.is_none() && !is_over
        });
        self.left.set(left);
        if let Ok(Some(_)) = account {
            let mut buffer = Buffer::default();
            candidate.suspects.retain(|&number| {
                let known = &mut suspects[number].known;
                let has_moved = !listed.contains(&known.id.pid)
                    && scan::exists(self.kernel, known.id, &mut buffer);
                if has_moved {
                    known.accounted_by = AccountedBy::Unknown;
                }
                !has_moved
            });
        }
        let found = match account {
            Ok(Some(account)) => Found::Account(account),
            Ok(None) => match (stranger, last) {
                (Some(stranger), _) => Found::Stranger(stranger),
                // There was no time to look at all processes.
                (None, Some(last)) if is_over && last.members == members => last.found,
                (None, _) => Found::Nothing,
            },
            // A file that cannot be read once must not change the result. It may be that another control
            // group accounts the memory from now on. So the next sample looks for it, and remembers nothing
            // of this account.
            Err(_) => match last.map(|last| last.found) {
                Some(found @ Found::Account(_)) => {
                    for &number in &candidate.suspects {
                        suspects[number].known.accounted_by = AccountedBy::Unknown;
                    }
                    found
                }
                _ => Found::Nothing,
            },
        };
        KnownAccount { found, ..now }
    }

    /// Whether what was found in the last sample need not be read again.
    fn still_holds(
        &self,
        last: &KnownAccount,
        now: &KnownAccount,
        candidate: &Candidate<'_>,
        suspects: &[Suspect],
    ) -> bool {
        let is_turn = |has_stranger| self.last.is_turn_of_account(candidate.path, has_stranger);
        match last.found {
            Found::Account(_) => {
                last.members == now.members
                    && last.anonymous_whole == now.anonymous_whole
                    && last.clocks.is_some()
                    && last.clocks == now.clocks
                    && !is_turn(false)
            }
            Found::Stranger(id) => {
                let is_still_inside = || {
                    let path = self.kernel.memory_path(id.pid).ok().flatten();
                    path.is_some_and(|path| is_at_or_below(&path, candidate.path))
                };
                self.stranger(id.pid, suspects) == Some(id) && is_still_inside() && !is_turn(true)
            }
            Found::Nothing => last.members == now.members && !is_turn(false),
        }
    }

    /// The process with that pid, if it is no suspect. `None` if it is one, or has ended, or has started in
    /// this sample: it may be one in the next.
    fn stranger(&self, pid: Pid, suspects: &[Suspect]) -> Option<ProcId> {
        let found = suspects.binary_search_by_key(&pid, |suspect| suspect.known.id.pid);
        if found.is_ok_and(|number| suspects[number].can_share) {
            return None;
        }
        if let Some(index) = self.snapshot.find(pid) {
            let Process { id, life, .. } = self.snapshot.processes[index];
            return (life == Life::Alive).then_some(id);
        }
        let since = Ticks::at(self.snapshot.taken, self.kernel.constants().hz);
        match self.kernel.stat(pid, &mut Buffer::default()) {
            Ok(stat) if stat.start >= since || stat.life() == Life::Zombie => None,
            Ok(stat) => Some(ProcId { pid, start: stat.start }),
            Err(error) if error.reason == Reason::Vanished && !self.hides_processes => None,
            // It is not known whose process it is.
            Err(_) => Some(ProcId { pid, start: Ticks(0) }),
        }
    }

    /// The groups, other than these, that have all suspects of a control group. Sorted. None if it has no
    /// suspect.
    fn groups_of(
        &self,
        candidate: &Candidate<'_>,
        suspects: &[Suspect],
        others: &BTreeSet<u32>,
    ) -> Vec<u32> {
        let set_of = |number: &usize| self.membership.members[suspects[*number].index];
        let sets: BTreeSet<SetId> = collect::set(candidate.suspects.iter().map(set_of));
        if sets.is_empty() {
            return Vec::new();
        }
        let mut groups = self.groups_of_all(&sets);
        groups.retain(|group| !others.contains(group));
        groups
    }

    /// For each suspect: whether an account counts instead of it in all its groups, given in how many of them
    /// one does.
    fn are_covered(&self, suspects: &[Suspect], covered: &[usize]) -> Vec<bool> {
        let mut of_sets: BTreeMap<SetId, usize> = BTreeMap::new();
        let is_covered = |(suspect, &covered): (&Suspect, &usize)| {
            let set = self.membership.members[suspect.index];
            let count = || self.membership.sets.groups(set).count();
            covered > 0 && covered == *of_sets.entry(set).or_insert_with(count)
        };
        suspects.iter().zip(covered).map(is_covered).collect()
    }

    /// The groups that are in all these sets, sorted.
    fn groups_of_all(&self, sets: &BTreeSet<SetId>) -> Vec<u32> {
        let all = &self.membership.sets;
        let mut groups: Vec<u32> = match sets.first() {
            Some(&first) if sets.len() == 1 => all.groups(first).map(|set| set.group).collect(),
            _ => {
                let mut of_sets = vec![0usize; all.count()];
                sets.iter().for_each(|set| of_sets[set.index()] = 1);
                let add = |sum: &mut usize, count: &usize, _| *sum += count;
                let join = |sum: &mut usize, count: &usize| *sum += count;
                let counts: Vec<usize> = all.per_group(of_sets, self.groups, add, join);
                let is_in_all = |&(_, count): &(u32, usize)| count == sets.len();
                (0u32..).zip(counts).filter(is_in_all).map(|(group, _)| group).collect()
            }
        };
        groups.sort_unstable();
        groups
    }
}

/// Notes what to remember for the next sample.
fn remember(
    known: Vec<(Vec<u8>, KnownAccount)>,
    paths: &[Option<Vec<u8>>],
    suspects: &mut [Suspect],
    read: &mut AccountsRead,
) {
    let mut indices: BTreeMap<&[u8], u32> = BTreeMap::new();
    for (suspect, path) in suspects.iter_mut().zip(paths) {
        let Some(path) = path else { continue };
        if suspect.known.accounted_by == AccountedBy::Unknown {
            // It has moved away from there.
            continue;
        }
        let index = *indices.entry(path).or_insert_with(|| {
            read.paths.push(path.clone());
            read.paths.len() as u32 - 1
        });
        suspect.known.accounted_by = AccountedBy::Path(index);
    }
    for (path, account) in known {
        if let Some(&path) = indices.get(&path[..]) {
            read.accounts.push(KnownAccount { path, ..account });
        }
    }
}

/// The paths of the control groups above the one with that path.
fn groups_above(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = path.iter().enumerate().filter(|&(_, &byte)| byte == b'/').map(|(end, _)| end);
    let root = (!path.is_empty()).then_some(0);
    root.into_iter().chain(ends).map(|end| &path[..end])
}

/// Whether a path is that of a control group, or of one below it.
fn is_at_or_below(path: &[u8], top: &[u8]) -> bool {
    match path.strip_prefix(top) {
        Some(rest) => top.is_empty() || rest.is_empty() || rest.starts_with(b"/"),
        None => false,
    }
}
