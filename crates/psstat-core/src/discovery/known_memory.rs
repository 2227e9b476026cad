//! What is remembered of the memory of members, so that it need not be read again in each sample.
//!
//! Reading `smaps_rollup` takes 8 ms per GiB, and holds a lock that the process needs. Reading
//! `/proc/PID/cgroup` or `memory.stat` costs as much as measuring some processes. What these files say changes
//! seldom, and `statm`, which is read in each sample, shows most of these changes.
//!
//! All is read again in turn, a part of it in each sample: a process can move to another control group, or
//! stop to share memory, without a change in `statm`.

use crate::account::sharing::Rollup;
use crate::model::memory::MemoryAccount;
use crate::model::units::{Bytes, CpuNanos, Pid, ProcId};
use alloc::vec::Vec;

/// The control group and the huge pages of each member are read again once in so many samples.
const MEMBER_TURNS: u32 = 256;

/// Its `smaps_rollup`, which costs more, is read again once in so many samples.
const ROLLUP_TURNS: u32 = 1024;

/// The control group of a member is read again once in so many samples if its account does not count: the member
/// may have been moved to one of its own.
const OUTSIDER_TURNS: u32 = 64;

/// The account of a control group is read again once in so many samples.
const ACCOUNT_TURNS: u32 = 16;

/// What is remembered of the memory of members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownMemory {
    /// Counts the samples.
    pub turn: u32,
    /// The paths of control groups.
    pub paths: Vec<Vec<u8>>,
    /// Members that may share memory, or that have huge pages. Sorted by pid, no pid twice.
    pub members: Vec<KnownMember>,
    /// Control groups that have members, sorted by path.
    pub accounts: Vec<KnownAccount>,
}

/// What is remembered of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownMember {
    /// The process.
    pub id: ProcId,
    /// The control group that accounts its memory.
    pub accounted_by: AccountedBy,
    /// Its `smaps_rollup`.
    pub rollup: KnownRollup,
    /// Its huge pages, and its CPU clock when they were read. If the clock still shows that, it has not run.
    pub huge: Option<(CpuNanos, Bytes)>,
}

/// Which control group accounts the memory of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccountedBy {
    /// It has not been looked at.
    #[default]
    Unknown,
    /// None.
    Nothing,
    /// The one with the path at that index.
    Path(u32),
}

/// What is remembered of a `smaps_rollup`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KnownRollup {
    /// It has not been read.
    #[default]
    NotRead,
    /// It cannot be read.
    Refused,
    /// It was read.
    Read(Rollup),
}

/// What is remembered of the account of a control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownAccount {
    /// Index of its path.
    pub path: u32,
    /// A hash of the identities of its members.
    pub members: u64,
    /// A hash of their CPU clocks. If it is the same, none of them has run. `None` if a clock is not known.
    pub clocks: Option<u64>,
    /// Their resident anonymous memory.
    pub anonymous_whole: Bytes,
    /// What was found.
    pub found: Found,
}

/// What was found in a control group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// All processes in it are members. Its account.
    Account(MemoryAccount),
    /// This process in it is no member.
    Stranger(ProcId),
    /// Its processes or its account cannot be read.
    Nothing,
}

impl KnownMemory {
    /// What is remembered of that process.
    pub fn member(&self, id: ProcId) -> Option<&KnownMember> {
        let index = self.members.binary_search_by_key(&id.pid, |known| known.id.pid).ok()?;
        Some(&self.members[index]).filter(|known| known.id == id)
    }

    /// What is remembered of the account of the control group with that path.
    pub fn account(&self, path: &[u8]) -> Option<&KnownAccount> {
        let path_of = |known: &KnownAccount| &self.paths[known.path as usize][..];
        let index = self.accounts.binary_search_by(|known| path_of(known).cmp(path)).ok()?;
        Some(&self.accounts[index])
    }

    /// Whether the control group and the huge pages of that process are to be read again now.
    pub fn is_turn_of_member(&self, pid: Pid) -> bool {
        self.is_turn(pid.number(), MEMBER_TURNS)
    }

    /// Whether the control group of that process is to be read again now, if it is not one whose account
    /// counts.
    pub fn is_turn_of_outsider(&self, pid: Pid) -> bool {
        self.is_turn(pid.number(), OUTSIDER_TURNS)
    }

    /// Whether the `smaps_rollup` of that process is to be read again now.
    pub fn is_turn_of_rollup(&self, pid: Pid) -> bool {
        self.is_turn(pid.number(), ROLLUP_TURNS)
    }

    /// Whether the account of the control group with that path is to be read again now. One with a
    /// stranger in it is read as seldom as members: it can have thousands of processes.
    pub fn is_turn_of_account(&self, path: &[u8], has_stranger: bool) -> bool {
        let number =
            path.iter().fold(0u32, |sum, &byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte)));
        let turns = if has_stranger { MEMBER_TURNS } else { ACCOUNT_TURNS };
        self.is_turn(number, turns)
    }

    /// Whether it is the turn of that number, which comes once in so many samples.
    fn is_turn(&self, number: u32, turns: u32) -> bool {
        number.wrapping_add(self.turn).is_multiple_of(turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_read_again_in_turn() {
        let mut known = KnownMemory::default();
        let (mut members, mut rollups, mut accounts) = ([0; 5], [0; 5], [0; 2]);
        for _ in 0..ROLLUP_TURNS {
            let counts = members.iter_mut().zip(&mut rollups);
            for ((member, rollup), pid) in counts.zip([1, 7, 8, 300, 4_000_000].map(Pid::new)) {
                *member += u32::from(known.is_turn_of_member(pid));
                *rollup += u32::from(known.is_turn_of_rollup(pid));
            }
            for (count, has_stranger) in accounts.iter_mut().zip([false, true]) {
                let path = b"system.slice/nginx.service";
                *count += u32::from(known.is_turn_of_account(path, has_stranger));
            }
            known.turn += 1;
        }
        let [of_accounts, of_members] =
            [ACCOUNT_TURNS, MEMBER_TURNS].map(|turns| ROLLUP_TURNS / turns);
        assert_eq!((members, rollups), ([of_members; 5], [1; 5]));
        assert_eq!(accounts, [of_accounts, of_members]);
    }
}
