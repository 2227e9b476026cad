//! The encoding of what is remembered of memory.

use super::primitives::{Reader, put, put_bytes, put_pid_after, put_start};
use crate::account::sharing::Rollup;
use crate::discovery::known_memory::{
    AccountedBy, Found, KnownAccount, KnownMember, KnownMemory, KnownRollup,
};
use crate::model::memory::{MemoryAccount, Split};
use crate::model::units::{Bytes, CpuNanos, ProcId};
use alloc::vec::Vec;

pub(super) fn put_memory(bytes: &mut Vec<u8>, memory: &KnownMemory) {
    put(bytes, u64::from(memory.turn));
    put(bytes, memory.paths.len() as u64);
    for path in &memory.paths {
        put_bytes(bytes, path);
    }
    put(bytes, memory.members.len() as u64);
    let (mut last, mut start) = (0, 0);
    for KnownMember { id, accounted_by, rollup, huge } in &memory.members {
        put_pid_after(bytes, &mut last, id.pid);
        put_start(bytes, &mut start, id.start);
        put(
            bytes,
            match accounted_by {
                AccountedBy::Unknown => 0,
                AccountedBy::Nothing => 1,
                AccountedBy::Path(path) => u64::from(*path) + 2,
            },
        );
        match huge {
            None => put(bytes, 0),
            Some((clock, huge)) => {
                put(bytes, clock.0.saturating_add(1));
                put(bytes, huge.0);
            }
        }
        match rollup {
            KnownRollup::NotRead => put(bytes, 0),
            KnownRollup::Refused => put(bytes, 1),
            KnownRollup::Read(rollup) => {
                put(bytes, 2);
                put_rollup(bytes, rollup);
            }
        }
    }
    put(bytes, memory.accounts.len() as u64);
    for KnownAccount { path, members, clocks, anonymous_whole, found } in &memory.accounts {
        put(bytes, u64::from(*path));
        put(bytes, *members);
        put(bytes, u64::from(clocks.is_some()));
        clocks.iter().for_each(|&clocks| put(bytes, clocks));
        put(bytes, anonymous_whole.0);
        match found {
            Found::Nothing => put(bytes, 0),
            Found::Account(MemoryAccount { anonymous, mapped }) => {
                put(bytes, 1);
                put(bytes, anonymous.0);
                put(bytes, mapped.0);
            }
            Found::Stranger(id) => {
                put(bytes, 2);
                put(bytes, u64::from(id.pid.number()));
                put_start(bytes, &mut 0, id.start);
            }
        }
    }
}

fn put_rollup(bytes: &mut Vec<u8>, rollup: &Rollup) {
    let Rollup { split, shared_huge, anonymous_whole, mapped_whole, relatives, used } = rollup;
    let Split { anonymous, mapped, anonymous_shared, anonymous_shared_whole } = split;
    for size in [anonymous, mapped, anonymous_shared, anonymous_shared_whole] {
        put(bytes, size.0);
    }
    for size in [shared_huge, anonymous_whole, mapped_whole] {
        put(bytes, size.0);
    }
    put(bytes, u64::from(*relatives));
    put(bytes, used.0);
}

impl Reader<'_> {
    pub(super) fn memory(&mut self) -> Option<KnownMemory> {
        let turn = u32::try_from(self.number()?).ok()?;
        let mut memory = KnownMemory { turn, ..KnownMemory::default() };
        for _ in 0..self.number()? {
            memory.paths.push(self.bytes()?.to_vec());
        }
        let path = |number: u64| {
            u32::try_from(number).ok().filter(|&path| (path as usize) < memory.paths.len())
        };
        let (mut last, mut start) = (0, 0);
        let count = self.number()?;
        memory.members.reserve_exact(self.at_most(count, 5));
        for _ in 0..count {
            let pid = self.pid_after(&mut last)?;
            let id = ProcId { pid, start: self.start_after(&mut start)? };
            let accounted_by = match self.number()? {
                0 => AccountedBy::Unknown,
                1 => AccountedBy::Nothing,
                number => AccountedBy::Path(path(number - 2)?),
            };
            let huge = match self.number()? {
                0 => None,
                clock => Some((CpuNanos(clock - 1), self.size()?)),
            };
            let rollup = match self.number()? {
                0 => KnownRollup::NotRead,
                1 => KnownRollup::Refused,
                2 => KnownRollup::Read(self.rollup()?),
                _ => return None,
            };
            memory.members.push(KnownMember { id, accounted_by, rollup, huge });
        }
        let mut before: Option<u32> = None;
        for _ in 0..self.number()? {
            let path = path(self.number()?)?;
            let path_of = |index: u32| &memory.paths[index as usize];
            if before.replace(path).is_some_and(|before| path_of(before) >= path_of(path)) {
                return None;
            }
            let members = self.number()?;
            let clocks = if self.flag()? { Some(self.number()?) } else { None };
            let anonymous_whole = self.size()?;
            let found = match self.number()? {
                0 => Found::Nothing,
                1 => {
                    let [anonymous, mapped] = [self.size()?, self.size()?];
                    Found::Account(MemoryAccount { anonymous, mapped })
                }
                2 => Found::Stranger(ProcId { pid: self.pid()?, start: self.start_after(&mut 0)? }),
                _ => return None,
            };
            memory.accounts.push(KnownAccount { path, members, clocks, anonymous_whole, found });
        }
        Some(memory)
    }

    fn size(&mut self) -> Option<Bytes> {
        self.number().map(Bytes)
    }

    fn rollup(&mut self) -> Option<Rollup> {
        let [anonymous, mapped] = [self.size()?, self.size()?];
        let [anonymous_shared, anonymous_shared_whole] = [self.size()?, self.size()?];
        let split = Split { anonymous, mapped, anonymous_shared, anonymous_shared_whole };
        let shared_huge = self.size()?;
        let [anonymous_whole, mapped_whole] = [self.size()?, self.size()?];
        let relatives = u32::try_from(self.number()?).ok()?;
        let used = CpuNanos(self.number()?);
        Some(Rollup { split, shared_huge, anonymous_whole, mapped_whole, relatives, used })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::units::{Pid, Ticks};
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    prop_compose! {
        fn rollup()(sizes in any::<[u64; 7]>(), relatives: u32, used: u64) -> Rollup {
            let sizes = sizes.map(Bytes);
            let [anonymous, mapped, anonymous_shared, anonymous_shared_whole, ..] = sizes;
            let split = Split { anonymous, mapped, anonymous_shared, anonymous_shared_whole };
            let [.., shared_huge, anonymous_whole, mapped_whole] = sizes;
            let used = CpuNanos(used);
            Rollup { split, shared_huge, anonymous_whole, mapped_whole, relatives, used }
        }
    }

    fn member(pid: u32, paths: u32) -> impl Strategy<Value = KnownMember> {
        let rollup = prop_oneof![
            Just(KnownRollup::NotRead),
            Just(KnownRollup::Refused),
            rollup().prop_map(KnownRollup::Read),
        ];
        let huge = proptest::option::of((0..u64::MAX, any::<u64>()));
        (any::<u64>(), 0..paths + 2, huge, rollup).prop_map(move |(start, path, huge, rollup)| {
            let accounted_by = match path.checked_sub(2) {
                Some(path) => AccountedBy::Path(path),
                None if path == 0 => AccountedBy::Unknown,
                None => AccountedBy::Nothing,
            };
            let id = ProcId { pid: Pid::new(pid), start: Ticks(start) };
            let huge = huge.map(|(clock, huge)| (CpuNanos(clock), Bytes(huge)));
            KnownMember { id, accounted_by, rollup, huge }
        })
    }

    prop_compose! {
        fn account(path: u32)(
            members: u64,
            clocks: Option<u64>,
            anonymous_whole: u64,
            kind in 0..3,
            [one, other] in any::<[u64; 2]>(),
            pid in 0..=Pid::MAX.number(),
        ) -> KnownAccount {
            let found = match kind {
                0 => Found::Nothing,
                1 => Found::Account(MemoryAccount { anonymous: Bytes(one), mapped: Bytes(other) }),
                _ => Found::Stranger(ProcId { pid: Pid::new(pid), start: Ticks(one) }),
            };
            let anonymous_whole = Bytes(anonymous_whole);
            KnownAccount { path, members, clocks, anonymous_whole, found }
        }
    }

    pub fn memory() -> impl Strategy<Value = KnownMemory> {
        let paths = btree_set(vec(any::<u8>(), 0..9), 0..4);
        let pids = btree_set(1..=Pid::MAX.number(), 0..4);
        (any::<u32>(), paths, pids).prop_flat_map(|(turn, paths, pids)| {
            let count = paths.len() as u32;
            let members: Vec<_> = pids.into_iter().map(|pid| member(pid, count)).collect();
            let accounts: Vec<_> = (0..count).map(account).collect();
            let paths: Vec<Vec<u8>> = paths.into_iter().collect();
            (members, accounts).prop_map(move |(members, accounts)| KnownMemory {
                turn,
                paths: paths.clone(),
                members,
                accounts,
            })
        })
    }
}
