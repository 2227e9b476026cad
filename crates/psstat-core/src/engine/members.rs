//! Reads what is needed of the members of groups besides their `stat`: their CPU time, and files, each
//! only if a field needs it.

use crate::account::accounts::Accounts;
use crate::account::ledger;
use crate::account::membership::Membership;
use crate::account::sets::SetId;
use crate::account::tree::Tree;
use crate::diagnostics::{Diagnostics, Warning, What};
use crate::discovery::scan;
use crate::field::Need;
use crate::kernel::Kernel;
use crate::model::buffer::Buffer;
use crate::model::process::{Life, Process};
use crate::model::read_error::{ReadError, Reason, Unreadable};
use crate::model::readings::{Reading, Readings, Storage, Threads};
use crate::model::report::Rate;
use crate::model::snapshot::Snapshot;
use crate::model::units::{BootNanos, Count, CpuNanos, Ticks};
use crate::plan::Plan;
use alloc::vec;
use alloc::vec::Vec;

/// Reads the members of one sample.
pub struct MemberReader<'m, K> {
    /// What to measure.
    pub plan: &'m Plan,
    /// The machine to read.
    pub kernel: &'m K,
    /// The processes.
    pub snapshot: &'m Snapshot,
    /// Their tree.
    pub tree: &'m Tree,
    /// Which groups each of them belongs to.
    pub membership: &'m Membership,
    /// For each group: whether its control groups tell how much of its memory is swapped out.
    pub told_swap: &'m [bool],
    /// The accounts of the last sample. `None` at the first sample.
    pub last: Option<&'m Accounts>,
}

impl<K: Kernel> MemberReader<'_, K> {
    /// Reads `members`, which are sorted indices in the snapshot.
    ///
    /// The first sample reports nothing, so it reads only CPU time and counters.
    /// `None` if the time was up before it was known what CPU time the members have used.
    pub fn read(&self, members: Vec<usize>, diagnostics: &mut Diagnostics) -> Option<Readings> {
        let fields = &self.plan.fields;
        let (own_times, cpu_read) = self.own_times(&members)?;
        let mut readings = Readings { members, own_times, cpu_read, ..Readings::default() };
        if self.last.is_some() && fields.need(Need::OpenFiles) {
            readings.open_files = self.open_files(&readings.members, diagnostics);
        }
        if self.last.is_some() && fields.need(Need::Swap) {
            readings.swap = self.swap(&readings.members, diagnostics);
        }
        self.read_counters(&mut readings, diagnostics);
        Some(readings)
    }

    /// The own CPU time of each member, as exactly as it can be known, and when it was read: in the scan,
    /// or now. A scan of all processes takes so long that the time would be divided by the wrong interval
    /// otherwise. `None` if the time was up before.
    fn own_times(&self, members: &[usize]) -> Option<(Vec<CpuNanos>, BootNanos)> {
        let now = self.kernel.clocks().boot;
        let mut cpu_read = self.snapshot.taken;
        let mut own_times = Vec::with_capacity(members.len());
        for &index in members {
            let process = &self.snapshot.processes[index];
            let is_missing = process.clock.is_none()
                && process.life != Life::Gone
                && self.membership.ledgered[index] != SetId::EMPTY;
            let exact = if is_missing { self.exact_time(process)? } else { None };
            if exact.is_some() {
                cpu_read = now;
            }
            let hz = self.kernel.constants().hz;
            own_times.push(exact.unwrap_or_else(|| process.own_time(process.clock, hz)));
        }
        Some((own_times, cpu_read))
    }

    /// The own CPU time of a member whose clock was not read in the scan: from its clock, or from its only
    /// thread if it has no clock. `Some(None)` if it cannot be read, `None` if the time is up.
    ///
    /// This is read after the `stat` of all processes. So no parent can have inherited a time that it
    /// includes.
    fn exact_time(&self, process: &Process) -> Option<Option<CpuNanos>> {
        let pid = process.id.pid;
        let mut exact = self.kernel.cpu_clock(pid);
        if exact.is_none() && process.threads == 1 {
            if self.kernel.out_of_time() {
                return None;
            }
            exact = self.kernel.first_thread_time(pid);
        }
        let Some(exact) = exact else { return Some(None) };
        let own = process.own_time(Some(exact), self.kernel.constants().hz);
        // It may have run for more than two ticks since `stat` was read. Or it has ended, and this is the
        // time of another process.
        let is_its_own =
            exact <= own || scan::exists(self.kernel, process.id, &mut Buffer::default());
        Some(Some(if is_its_own { exact.max(own) } else { own }))
    }

    /// Reads counters, of parents before their children, as the scan does. So the count of a child
    /// that ends meanwhile is never in the reading of its parent and in its own. The next sample
    /// accounts for a child that had ended before it was read.
    fn read_counters(&self, readings: &mut Readings, diagnostics: &mut Diagnostics) {
        let fields = &self.plan.fields;
        let mut order: Vec<usize> = (0..readings.members.len()).collect();
        let depths = self.tree.depths();
        order.sort_unstable_by_key(|&index| (depths[readings.members[index]], index));
        let members: Vec<usize> = order.iter().map(|&index| readings.members[index]).collect();
        if fields.need(Need::Storage) {
            let storage = self.counts(Need::Storage, &members, diagnostics, |process| {
                match self.kernel.storage(process.id.pid) {
                    Err(error) => self.counted_of_zombie(process, &error).ok_or(error),
                    read => read,
                }
            });
            readings.storage = storage.map(|storage| in_order_of_members(storage, &order));
        }
        if fields.need(Need::MajorFaults) {
            let read = |process: &Process| self.kernel.major_faults(process.id);
            let faults = self.counts(Need::MajorFaults, &members, diagnostics, read);
            readings.faults = faults.map(|faults| in_order_of_members(faults, &order));
        }
        if fields.need(Need::Switches) {
            let read = |process: &Process| self.switches(process);
            let switches = self.counts(Need::Switches, &members, diagnostics, read);
            // A process can have so many threads that the time was up while they were read.
            let switches = switches.filter(|_| !self.is_cut_short(Need::Switches, diagnostics));
            readings.switches = switches.map(|switches| in_order_of_members(switches, &order));
        }
    }

    /// Reads a count of each member. `None` if the time was up.
    fn counts<T>(
        &self,
        need: Need,
        members: &[usize],
        diagnostics: &mut Diagnostics,
        mut read: impl FnMut(&Process) -> Result<T, ReadError>,
    ) -> Option<Vec<Reading<T>>> {
        let mut unreadable = Unreadable::default();
        let counts = self.each(members, need, diagnostics, |process| match process.life {
            Life::Alive | Life::Zombie => self.reading(process, read(process), &mut unreadable),
            Life::Gone => Reading::Gone,
        })?;
        self.warn(need, unreadable, diagnostics);
        Some(counts)
    }

    /// The storage traffic of a zombie at the last sample, if only root may read its file now: the
    /// files of a process without memory belong to root (`task_dump_owner`, fs/proc/base.c). Its
    /// traffic since then appears in the count of its parent, when the parent waits for it. `None`
    /// if the traffic at the last sample is unknown.
    fn counted_of_zombie(&self, process: &Process, error: &ReadError) -> Option<Storage> {
        let last = self.last?;
        if process.life != Life::Zombie || error.reason != Reason::Denied {
            return None;
        }
        let since = Ticks::at(last.taken, self.kernel.constants().hz);
        let is_new = ledger::is_born_since(process.id, since);
        let counted = |rate: Rate| {
            if !self.plan.fields.show_rate(rate) {
                return Some(Count(0));
            }
            let known = last.rates.get(&rate).and_then(|ledger| ledger.find(process.id));
            known.map(|member| member.amounts.total()).or(is_new.then_some(Count(0)))
        };
        Some(Storage { read: counted(Rate::StorageRead)?, written: counted(Rate::StorageWrite)? })
    }

    /// The number of context switches of each thread that has not ended meanwhile.
    fn switches(&self, process: &Process) -> Result<Threads, ReadError> {
        let pid = process.id.pid;
        let mut threads = Threads::new();
        let mut ended = None;
        for tid in self.kernel.threads(pid)? {
            if self.kernel.out_of_time() {
                break;
            }
            match self.kernel.switches(pid, tid) {
                Ok(count) => threads.push((tid, count)),
                Err(error) if error.reason == Reason::Vanished => ended = Some(error),
                Err(error) => return Err(error),
            }
        }
        // If all threads have ended, the process has.
        ended.filter(|_| threads.is_empty()).map_or(Ok(threads), Err)
    }

    /// Reads each of the members in turn. `None` if the time was up.
    fn each<T>(
        &self,
        members: &[usize],
        need: Need,
        diagnostics: &mut Diagnostics,
        mut read: impl FnMut(&Process) -> T,
    ) -> Option<Vec<T>> {
        let mut all = Vec::with_capacity(members.len());
        for &index in members {
            if self.is_cut_short(need, diagnostics) {
                return None;
            }
            all.push(read(&self.snapshot.processes[index]));
        }
        Some(all)
    }

    /// Whether the time is up. Warns of the fields that are left out then.
    fn is_cut_short(&self, need: Need, diagnostics: &mut Diagnostics) -> bool {
        let is_cut_short = self.kernel.out_of_time();
        if is_cut_short {
            let fields = self.plan.fields.with_need(need).collect();
            diagnostics.add(Warning::FieldsOutOfTime(fields));
        }
        is_cut_short
    }

    /// Warns of the fields that are left out because some files could not be read.
    fn warn(&self, need: Need, unreadable: Unreadable, diagnostics: &mut Diagnostics) {
        let Unreadable { count, first } = unreadable;
        let Some(first) = first else { return };
        let what = match need {
            Need::Storage => What::StorageTraffic,
            Need::MajorFaults => What::MajorFaults,
            Need::Switches => What::Switches,
            Need::OpenFiles => What::OpenFiles,
            Need::Swap => What::Swap,
            Need::Memory
            | Need::MachineMemory
            | Need::Totals
            | Need::Starts
            | Need::Figure(_)
            | Need::Processors => What::Sizes,
        };
        let fields = self.plan.fields.with_need(need).collect();
        diagnostics.add(Warning::FieldsUnreadable { what, count, first, fields });
    }

    /// How many file descriptors each member has open.
    fn open_files(
        &self,
        members: &[usize],
        diagnostics: &mut Diagnostics,
    ) -> Option<Vec<Reading<u64>>> {
        let mut unreadable = Unreadable::default();
        let open_files = |process: &Process| self.kernel.open_files(process.id.pid);
        let counts =
            self.each(members, Need::OpenFiles, diagnostics, |process| match process.life {
                Life::Alive => self.reading(process, open_files(process), &mut unreadable),
                Life::Zombie | Life::Gone => Reading::Gone,
            })?;
        self.warn(Need::OpenFiles, unreadable, diagnostics);
        Some(counts)
    }

    /// How much memory of each member is swapped out, unless the control groups of all its groups tell it.
    fn swap(&self, members: &[usize], diagnostics: &mut Diagnostics) -> Option<Vec<Reading<u64>>> {
        let sets = &self.membership.sets;
        let mut is_needed = vec![false; sets.count()];
        for (index, set) in sets.as_slice().iter().enumerate() {
            let is_told = self.told_swap.get(set.group as usize).copied().unwrap_or_default();
            is_needed[index + 1] = !is_told || is_needed[set.rest.index()];
        }
        let needed = members.iter().copied();
        let needed: Vec<bool> =
            needed.map(|index| is_needed[self.membership.members[index].index()]).collect();
        let mut needed = needed.into_iter();
        let mut unreadable = Unreadable::default();
        let swap = |process: &Process| Ok(self.kernel.swap(process.id.pid)?.0);
        let read = self.each(members, Need::Swap, diagnostics, |process| match process.life {
            _ if needed.next() != Some(true) => Reading::Gone,
            Life::Alive => self.reading(process, swap(process), &mut unreadable),
            Life::Zombie | Life::Gone => Reading::Gone,
        })?;
        self.warn(Need::Swap, unreadable, diagnostics);
        Some(read)
    }

    /// Turns the result of reading a file into a reading. Distinguishes a missing file from a process
    /// that has ended.
    fn reading<T>(
        &self,
        process: &Process,
        result: Result<T, ReadError>,
        unreadable: &mut Unreadable,
    ) -> Reading<T> {
        match result {
            Ok(value) => Reading::Value(value),
            Err(error) => {
                let error = match error.reason {
                    Reason::Vanished
                        if scan::exists(self.kernel, process.id, &mut Buffer::default()) =>
                    {
                        ReadError { reason: Reason::Missing, ..error }
                    }
                    Reason::Vanished => return Reading::Gone,
                    _ => error,
                };
                unreadable.add(error);
                Reading::Unreadable
            }
        }
    }
}

/// Sorts what was read in another `order` into the order of the members.
fn in_order_of_members<T>(read: Vec<T>, order: &[usize]) -> Vec<T> {
    let mut indexed: Vec<(usize, T)> = order.iter().copied().zip(read).collect();
    indexed.sort_unstable_by_key(|&(index, _)| index);
    indexed.into_iter().map(|(_, reading)| reading).collect()
}
