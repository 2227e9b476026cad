//! What the processes have used that have ended since the last sample.

use crate::account::group::Group;
use crate::account::ledger::{self, Ends, Unseen};
use crate::account::membership::Membership;
use crate::account::sets::SetId;
use crate::account::witness::Witness;
use crate::discovery::exits::{Ended, Found, KnownExits};
use crate::kernel::Kernel;
use crate::model::buffer::Buffer;
use crate::model::exit::Bounds;
use crate::model::process::Life;
use crate::model::snapshot::Snapshot;
use crate::model::units::{CpuNanos, Pid, ProcId, Ticks};
use crate::state::State;
use alloc::vec::Vec;

/// How many witnesses there are at most: each costs a reading.
const MOST_WITNESSES: usize = 1000;

/// Works out what ended processes have used.
pub struct ExitReader<'e, K> {
    /// The machine.
    pub kernel: &'e K,
    /// The processes that have ended.
    pub found: &'e Found,
    /// The last sample.
    pub last: &'e State,
    /// The processes.
    pub snapshot: &'e Snapshot,
    /// Which groups each of them belongs to.
    pub membership: &'e Membership,
}

impl<K: Kernel> ExitReader<'_, K> {
    /// What they have used, for the ledger, and what to keep for the next sample.
    pub fn read(&self, groups: &[Group]) -> (Ends<CpuNanos>, KnownExits) {
        let mut ended: Vec<&Ended> = self.found.ended().collect();
        ended.sort_by_key(|ended| ended.survivor);
        let mut witnesses = Vec::new();
        let mut ends = Ends {
            are_counted: groups.iter().map(|group| group.counters().next().is_some()).collect(),
            ..Ends::default()
        };
        for below in ended.chunk_by(|one, other| one.survivor == other.survivor) {
            let bounds: Vec<Bounds> = below.iter().map(|ended| self.bounds(ended)).collect();
            let used = if witnesses.len() < MOST_WITNESSES {
                self.testified(below, &bounds, &mut witnesses)
            } else {
                None
            };
            let likely = || bounds.iter().map(|bounds| bounds.likely).collect();
            let used: Vec<CpuNanos> = used.unwrap_or_else(likely);
            let mut above = (Pid::NONE, false);
            for (ended, own) in below.iter().zip(used) {
                if above.0 != ended.ancestor {
                    above = (ended.ancestor, self.is_known(ended));
                }
                self.add(ended, own, above.1, &mut ends);
            }
        }
        ends.members.sort_unstable();
        self.keep_witnesses(&mut witnesses);
        (ends, KnownExits { witnesses, ..self.found.known() })
    }

    /// Adds a process to those that have ended. One that was never seen is left out if what is above it is not
    /// known: then a member further up may have inherited from it, by way of a process whose record is missing.
    fn add(&self, ended: &Ended, own: CpuNanos, is_known: bool, ends: &mut Ends<CpuNanos>) {
        let groups = self.membership.ledgered[ended.index];
        if let Some(member) = ended.member {
            ends.members.push((member, own));
        } else if is_known
            && ended.is_new
            && groups != SetId::EMPTY
            && self.is_counted(ended, groups)
        {
            let Ended { ancestor, is_child, .. } = *ended;
            ends.unseen.push(Unseen { ancestor, is_child, groups, own });
        }
    }

    /// Whether it is known what is above a process: a process that has not ended, or a member of the last sample.
    fn is_known(&self, ended: &Ended) -> bool {
        let pid = ended.ancestor;
        let hz = self.kernel.constants().hz;
        let read = self.snapshot.find(pid).map(|index| self.snapshot.processes[index].life);
        read.is_some_and(|life| life != Life::Gone)
            || self.last.accounts.ledger.with_pid(pid).is_some()
            || self
                .kernel
                .stat(pid, &mut Buffer::default())
                .is_ok_and(|stat| stat.start <= Ticks::at(ended.exit.start, hz))
    }

    /// Whether a process counts in these groups: those of its parent must be its own too.
    fn is_counted(&self, ended: &Ended, groups: SetId) -> bool {
        let mut sets = self.membership.sets.groups(groups);
        !ended.is_by_parent || sets.all(|set| !set.is_alone)
    }

    /// Its own CPU time. What was counted of it, it has used.
    fn bounds(&self, ended: &Ended) -> Bounds {
        let members = &self.last.accounts.ledger.members;
        let counted = ended.member.map_or(CpuNanos(0), |index| members[index].amounts.own);
        let Bounds { least, likely, most } = ended.exit.used;
        Bounds { least: least.max(counted), likely: likely.max(counted), most: most.max(counted) }
    }

    /// What each of the processes has used that have ended below the same survivor, if that is a witness.
    /// Makes it a witness for the next sample.
    fn testified(
        &self,
        below: &[&Ended],
        bounds: &[Bounds],
        witnesses: &mut Vec<Witness>,
    ) -> Option<Vec<CpuNanos>> {
        let survivor = below.first()?.survivor;
        let known = self.witness(survivor);
        // This is read first: what is waited for after it counts as late, and not twice.
        let late = if known.is_none() { self.not_inherited(below, bounds) } else { 0 };
        let (id, children) = self.inherited(survivor)?;
        // A new process has inherited nothing from before it started.
        let since = Ticks::at(self.last.accounts.taken, self.kernel.constants().hz);
        let is_new = ledger::is_born_since(id, since);
        let known = known.filter(|known| known.id == id).copied();
        let known = known.or(is_new.then(|| Witness::new(id, CpuNanos(0))));
        let before: Option<i128> = below.iter().map(|ended| self.inherited_before(ended)).sum();
        let (Some(known), Some(before), true) = (known, before, self.found.is_complete) else {
            witnesses.push(Witness { carried: -late, ..Witness::new(id, children) });
            return None;
        };
        let mut witness = known;
        let used = witness.testify(bounds, children, before);
        witnesses.push(witness);
        Some(used)
    }

    /// What its parent has not inherited yet of those that ended last: nobody has waited for them.
    fn not_inherited(&self, below: &[&Ended], bounds: &[Bounds]) -> i128 {
        /// How many are asked. There are more only below a process that hardly ever waits.
        const LAST: usize = 8;
        let mut buffer = Buffer::default();
        let hz = self.kernel.constants().hz;
        let mut is_there = |ended: &Ended| {
            let stat = self.kernel.stat(ended.exit.pid, &mut buffer);
            stat.is_ok_and(|stat| stat.start <= Ticks::at(ended.exit.start, hz))
        };
        let last = below.iter().zip(bounds).rev().take(LAST).filter(|(ended, _)| is_there(ended));
        last.map(|(_, bounds)| i128::from(bounds.likely.0)).sum()
    }

    /// What a process has inherited by now. `None` if it has gone.
    fn inherited(&self, pid: Pid) -> Option<(ProcId, CpuNanos)> {
        let hz = self.kernel.constants().hz;
        let index = self.snapshot.find(pid).filter(|&index| index < self.snapshot.read());
        if let Some(process) = index.map(|index| &self.snapshot.processes[index]) {
            let is_there = process.life != Life::Gone;
            return is_there.then(|| (process.id, process.times.children.nanos(hz)));
        }
        let mut buffer = Buffer::default();
        let stat = self.kernel.stat(pid, &mut buffer).ok()?;
        Some((ProcId { pid, start: stat.start }, stat.times.children.nanos(hz)))
    }

    /// The part of what a process had inherited that its descendants had used before the last sample, less
    /// what of this has not been counted. `None` if it is not known.
    fn inherited_before(&self, ended: &Ended) -> Option<i128> {
        let known = self.witness(ended.exit.pid);
        let hz = self.kernel.constants().hz;
        let is_it =
            |known: &&Witness| known.id.start.nanos(hz).0 <= ended.exit.start.0.saturating_add(1);
        if let Some(known) = known.filter(is_it).filter(|_| !ended.is_new) {
            return Some(i128::from(known.children.0) - known.carried);
        }
        if let Some(index) = ended.member {
            let member = &self.last.accounts.ledger.members[index];
            return Some(i128::from(member.amounts.children.0));
        }
        ended.is_new.then_some(0)
    }

    fn witness(&self, pid: Pid) -> Option<&Witness> {
        let witnesses = &self.last.exits.witnesses;
        let index = witnesses.binary_search_by_key(&pid, |witness| witness.id.pid).ok()?;
        Some(&witnesses[index])
    }

    /// Keeps the witnesses of the last sample that no process has ended below. If records were lost, they
    /// have inherited what nobody knows of.
    fn keep_witnesses(&self, witnesses: &mut Vec<Witness>) {
        if self.found.is_complete {
            let mut ended: Vec<Pid> = self.found.ended().map(|ended| ended.exit.pid).collect();
            ended.extend(witnesses.iter().map(|witness| witness.id.pid));
            ended.sort_unstable();
            let idle = self.last.exits.witnesses.iter();
            let idle = idle.filter(|known| ended.binary_search(&known.id.pid).is_err());
            witnesses.extend(idle.take(MOST_WITNESSES.saturating_sub(witnesses.len())));
        }
        witnesses.sort_unstable_by_key(|witness| witness.id.pid);
        witnesses.dedup_by_key(|witness| witness.id.pid);
    }
}
