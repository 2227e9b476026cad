//! Reads what fields need of the members of groups beside their `stat`: each file only if one of
//! its fields is asked for.

use crate::account::group::State;
use crate::account::ledger;
use crate::account::memory::{Footprint, MemoryMode};
use crate::account::rates::Rate;
use crate::account::readings::{Reading, Readings, Storage, Threads};
use crate::account::tree::Tree;
use crate::emit::Field;
use crate::error::{ReadError, Reason};
use crate::plan::Plan;
use crate::procfs::Buffer;
use crate::procfs::held::Held;
use crate::run::discover::warn_of_unreadable;
use crate::run::notes::Notes;
use crate::run::watchdog::Watchdog;
use crate::sample::{Life, Process, Snapshot, Unreadable};
use crate::units::{Count, Hz, Ticks};

/// The fields that need the memory of the members.
pub const OF_MEMORY: [Field; 2] = [Field::MemoryShare, Field::Memory];

/// The fields that need the traffic of the members with storage.
pub const OF_STORAGE: [Field; 2] =
    [Field::Rate(Rate::StorageRead), Field::Rate(Rate::StorageWrite)];

const OF_FAULTS: [Field; 1] = [Field::Rate(Rate::MajorFaults)];

const OF_SWITCHES: [Field; 1] = [Field::Rate(Rate::Switches)];

/// What reads the members of one sample.
pub struct Members<'m> {
    /// What is asked for.
    pub plan: &'m Plan,
    /// Where it is read.
    pub source: &'m Held,
    /// All processes.
    pub snapshot: &'m Snapshot,
    /// Who descends from whom.
    pub tree: &'m Tree,
    /// What is known of the last sample.
    pub before: Option<&'m State>,
    /// Ticks per second.
    pub hz: Hz,
    /// When to give up.
    pub watchdog: &'m Watchdog,
}

const AS_ROOT: &str = "run psstat as root";

/// What a file of a process tells, and for whom.
#[derive(Clone, Copy)]
struct Source<'s> {
    what: &'s str,
    fields: &'s [Field],
    /// What helps where it may not be read.
    denied: &'s str,
    /// What helps where there is no such file.
    absent: &'s str,
}

/// Puts what was read in some order back into that of the members.
fn put_back<T>(read: Vec<T>, order: &[usize]) -> Vec<T> {
    let mut placed: Vec<(usize, T)> = order.iter().copied().zip(read).collect();
    placed.sort_unstable_by_key(|&(at, _)| at);
    placed.into_iter().map(|(_, reading)| reading).collect()
}

impl Members<'_> {
    /// Reads `members`, places in the snapshot, sorted. What cannot be read is said in `notes`.
    ///
    /// Nothing is reported of the first sample, so that only what counts up is read then.
    pub fn read(&self, members: Vec<usize>, notes: &mut Notes) -> Readings {
        let first = self.before.is_none();
        let mut readings = Readings { members, ..Readings::default() };
        if !first && self.plan.asks_for(&OF_MEMORY) {
            readings.footprints = self.footprints(&readings.members, notes);
        }
        if !first && self.plan.asks_for(&[Field::OpenFiles]) {
            readings.open_files = self.open_files(&readings.members, notes);
        }
        self.read_counters(&mut readings, notes);
        readings
    }

    /// Reads what counts up. Parents before their children, as in the scan: then whoever ends
    /// meanwhile is either in its parent's count or has been read, but for the next sample to find
    /// out which.
    fn read_counters(&self, readings: &mut Readings, notes: &mut Notes) {
        let mut order: Vec<usize> = (0..readings.members.len()).collect();
        order.sort_by_key(|&at| self.tree.depth(readings.members[at]));
        let members: Vec<usize> = order.iter().map(|&at| readings.members[at]).collect();
        let mut buffer = Buffer::default();
        if self.plan.asks_for(&OF_STORAGE) {
            let source = Source {
                what: "counts of storage traffic",
                fields: &OF_STORAGE,
                // The file is its owner's (fs/proc/base.c), and asks for the right to trace as well.
                denied: "run psstat as root, or give it CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE",
                absent: "the kernel must be built with CONFIG_TASK_IO_ACCOUNTING",
            };
            let storage = self.count(source, &members, notes, |process| {
                match self.source.procfs().io(process.id.pid, &mut buffer) {
                    Ok(io) => Ok(Storage { read: io.read, written: io.written }),
                    Err(error) => self.counted_of_zombie(process, &error).ok_or(error),
                }
            });
            readings.storage = storage.map(|storage| put_back(storage, &order));
        }
        if self.plan.asks_for(&OF_FAULTS) {
            let source = Source {
                what: "counts of page faults",
                fields: &OF_FAULTS,
                denied: AS_ROOT,
                absent: "",
            };
            let read = |process: &Process| self.source.major_faults(process.id, &mut buffer);
            let faults = self.count(source, &members, notes, read);
            readings.faults = faults.map(|faults| put_back(faults, &order));
        }
        if self.plan.asks_for(&OF_SWITCHES) {
            let source = Source {
                what: "counts of context switches",
                fields: &OF_SWITCHES,
                denied: AS_ROOT,
                absent: "",
            };
            let mut text = Vec::new();
            let read = |process: &Process| self.switches(process, &mut text);
            // One process may have so many threads that it is given up in the middle.
            let switches = self
                .count(source, &members, notes, read)
                .filter(|_| !self.is_cut_short(&OF_SWITCHES, notes));
            readings.switches = switches.map(|switches| put_back(switches, &order));
        }
    }

    fn count<T>(
        &self,
        source: Source<'_>,
        members: &[usize],
        notes: &mut Notes,
        mut read: impl FnMut(&Process) -> Result<T, ReadError>,
    ) -> Option<Vec<Reading<T>>> {
        let mut unreadable = Unreadable::default();
        let counts = self.each(members, source.fields, notes, |process| match process.life {
            Life::Alive | Life::Zombie => self.reading(process, read(process), &mut unreadable),
            Life::Gone => Reading::Gone,
        })?;
        self.warn(source, &unreadable, notes);
        Some(counts)
    }

    /// What had been counted of the traffic of a process that has ended since, where nobody but
    /// root may ask any more: the files of a process without memory are root's (`task_dump_owner`,
    /// fs/proc/base.c). What it did after that shows when it is waited for, at its parent.
    fn counted_of_zombie(&self, process: &Process, error: &ReadError) -> Option<Storage> {
        let before = self.before?;
        if process.life != Life::Zombie || error.reason != Reason::Denied {
            return None;
        }
        let is_new = ledger::is_born_since(process.id, Ticks::at(before.taken, self.hz));
        let counted = |rate: Rate| {
            if !self.plan.asks_for(&[Field::Rate(rate)]) {
                return Some(Count(0));
            }
            let mut ledgers = before.groups.values().filter_map(|known| known.rates.get(&rate));
            let known = ledgers.find_map(|ledger| {
                ledger.find(process.id.pid).filter(|member| member.id == process.id)
            });
            known.map(|member| member.amounts.total()).or(is_new.then_some(Count(0)))
        };
        Some(Storage { read: counted(Rate::StorageRead)?, written: counted(Rate::StorageWrite)? })
    }

    /// The switches of each thread that has not ended meanwhile.
    fn switches(&self, process: &Process, text: &mut Vec<u8>) -> Result<Threads, ReadError> {
        let proc = self.source.procfs();
        let pid = process.id.pid;
        let mut threads = Threads::new();
        let mut ended = None;
        for tid in proc.threads(pid)? {
            if self.watchdog.out_of_time() {
                break;
            }
            match proc.switches(pid, tid, text) {
                Ok(count) => threads.push((tid, count)),
                Err(error) if error.reason == Reason::Vanished => ended = Some(error),
                Err(error) => return Err(error),
            }
        }
        // All of them: the process.
        ended.filter(|_| threads.is_empty()).map_or(Ok(threads), Err)
    }

    /// Asks for each of the members in turn; none where time runs out.
    fn each<T>(
        &self,
        members: &[usize],
        fields: &[Field],
        notes: &mut Notes,
        mut read: impl FnMut(&Process) -> T,
    ) -> Option<Vec<T>> {
        let mut all = Vec::with_capacity(members.len());
        for &place in members {
            if self.is_cut_short(fields, notes) {
                return None;
            }
            all.push(read(&self.snapshot.processes[place]));
        }
        Some(all)
    }

    /// Whether time has run out, which is said.
    fn is_cut_short(&self, fields: &[Field], notes: &mut Notes) -> bool {
        let is_cut_short = self.watchdog.out_of_time();
        if is_cut_short {
            notes.warn(format!("{}: {}", self.watchdog.error(), self.left_out(fields)));
        }
        is_cut_short
    }

    /// Says which of the fields are asked for and left out.
    fn left_out(&self, fields: &[Field]) -> String {
        let asked = self.plan.fields.iter().filter(|field| fields.contains(field));
        let names: Vec<&str> = asked.map(|field| field.name()).collect();
        let verb = if names.len() == 1 { "is" } else { "are" };
        format!("{} {verb} left out", names.join(" and "))
    }

    /// Says that the fields of some groups are left out, and why.
    fn warn(&self, source: Source<'_>, unreadable: &Unreadable, notes: &mut Notes) {
        let Some(first) = &unreadable.first else { return };
        let cure = match first.reason {
            Reason::Denied => source.denied,
            Reason::Missing => source.absent,
            _ => "",
        };
        let colon = if cure.is_empty() { "" } else { ": " };
        let text = format!(
            "{} {} cannot be read, such as {first}{colon}{cure}; {} of their groups' lines",
            unreadable.count,
            source.what,
            self.left_out(source.fields)
        );
        notes.warn_about(format!("{}: {}", source.what, first.reason), text);
    }

    /// The memory of each member.
    fn footprints(&self, members: &[usize], notes: &mut Notes) -> Option<Vec<Footprint>> {
        let mut buffer = Buffer::default();
        let mut unreadable = Unreadable::default();
        let mut shares_denied = Unreadable::default();
        let footprints = self.each(members, &OF_MEMORY, notes, |process| {
            if process.life != Life::Alive {
                return Footprint::None;
            }
            self.footprint(process, &mut buffer, &mut unreadable, &mut shares_denied)
        })?;
        warn_of_unreadable(
            "proportional shares of memory",
            &shares_denied,
            "run psstat as root or give it CAP_SYS_PTRACE; until then these count as shared-once",
            notes,
        );
        warn_of_unreadable("sizes of processes", &unreadable, "run psstat as root", notes);
        Some(footprints)
    }

    fn footprint(
        &self,
        process: &Process,
        buffer: &mut Buffer,
        unreadable: &mut Unreadable,
        shares_denied: &mut Unreadable,
    ) -> Footprint {
        let pid = process.id.pid;
        if self.plan.memory == MemoryMode::Pss {
            match self.source.procfs().pss(pid, buffer) {
                Ok(share) => return Footprint::Proportional(share),
                Err(error) if error.reason == Reason::Vanished => {}
                Err(error) => shares_denied.note(error),
            }
        }
        match self.source.statm(pid, buffer) {
            Ok(statm) => Footprint::Resident { resident: statm.resident, shared: statm.shared },
            Err(error) => {
                unreadable.note(error);
                Footprint::None
            }
        }
    }

    /// How many files each member has open.
    fn open_files(&self, members: &[usize], notes: &mut Notes) -> Option<Vec<Reading<u64>>> {
        let source = Source {
            what: "lists of open files",
            fields: &[Field::OpenFiles],
            denied: AS_ROOT,
            absent: "",
        };
        let proc = self.source.procfs();
        let mut unreadable = Unreadable::default();
        let counts = self.each(members, source.fields, notes, |process| match process.life {
            Life::Alive => self.reading(process, proc.open_files(process.id.pid), &mut unreadable),
            Life::Zombie | Life::Gone => Reading::Gone,
        })?;
        self.warn(source, &unreadable, notes);
        Some(counts)
    }

    /// Tells a file that is missing from a process that has ended.
    fn reading<T>(
        &self,
        process: &Process,
        result: Result<T, ReadError>,
        unreadable: &mut Unreadable,
    ) -> Reading<T> {
        match result {
            Ok(told) => Reading::Told(told),
            Err(error) => {
                let lives = || self.source.procfs().is_there(process.id);
                let error = match error.reason {
                    Reason::Vanished if lives() => ReadError { reason: Reason::Missing, ..error },
                    Reason::Vanished => return Reading::Gone,
                    _ => error,
                };
                unreadable.note(error);
                Reading::Unreadable
            }
        }
    }
}
