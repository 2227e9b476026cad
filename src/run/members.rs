//! Reads what fields need of the members of groups beside their `stat`: each file only if one of
//! its fields is asked for.

use crate::account::memory::{Footprint, MemoryMode};
use crate::account::readings::{Reading, Readings};
use crate::emit::Field;
use crate::error::{ReadError, Reason};
use crate::plan::Plan;
use crate::procfs::Buffer;
use crate::procfs::held::Held;
use crate::run::discover::warn_of_unreadable;
use crate::run::notes::Notes;
use crate::run::watchdog::Watchdog;
use crate::sample::{Life, Process, Snapshot, Unreadable};

/// The fields that need the memory of the members.
pub const OF_MEMORY: [Field; 2] = [Field::MemoryShare, Field::Memory];

/// What reads the members of one sample.
pub struct Members<'m> {
    /// What is asked for.
    pub plan: &'m Plan,
    /// Where it is read.
    pub source: &'m Held,
    /// All processes.
    pub snapshot: &'m Snapshot,
    /// When to give up.
    pub watchdog: &'m Watchdog,
}

impl Members<'_> {
    /// Reads `members`, places in the snapshot, sorted. What cannot be read is said in `notes`.
    ///
    /// Nothing is reported of the `first` sample, so that only what counts up is read then.
    pub fn read(&self, members: Vec<usize>, first: bool, notes: &mut Notes) -> Readings {
        let mut readings = Readings { members, ..Readings::default() };
        if !first && self.plan.asks_for(&OF_MEMORY) {
            readings.footprints = self.footprints(&readings.members, notes);
        }
        if !first && self.plan.asks_for(&[Field::OpenFiles]) {
            readings.open_files = self.open_files(&readings.members, notes);
        }
        readings
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
            if self.watchdog.out_of_time() {
                let left_out = self.left_out(fields);
                notes.warn(format!("{}: {left_out}", self.watchdog.error()));
                return None;
            }
            all.push(read(&self.snapshot.processes[place]));
        }
        Some(all)
    }

    /// Says which of the fields are asked for and left out.
    fn left_out(&self, fields: &[Field]) -> String {
        let asked = self.plan.fields.iter().filter(|field| fields.contains(field));
        let names: Vec<&str> = asked.map(|field| field.name()).collect();
        let verb = if names.len() == 1 { "is" } else { "are" };
        format!("{} {verb} left out", names.join(" and "))
    }

    /// Says that the fields of some groups are left out, and why.
    fn warn(&self, what: &str, unreadable: &Unreadable, fields: &[Field], notes: &mut Notes) {
        let Some(first) = &unreadable.first else { return };
        let cure = match first.reason {
            Reason::Denied => ": run psstat as root",
            _ => "",
        };
        notes.warn(format!(
            "{} {what} cannot be read, such as {first}{cure}; {} of their groups' lines",
            unreadable.count,
            self.left_out(fields)
        ));
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
        let fields = [Field::OpenFiles];
        let proc = self.source.procfs();
        let mut unreadable = Unreadable::default();
        let counts = self.each(members, &fields, notes, |process| match process.life {
            Life::Alive => self.reading(process, proc.open_files(process.id.pid), &mut unreadable),
            Life::Zombie | Life::Gone => Reading::Gone,
        })?;
        self.warn("lists of open files", &unreadable, &fields, notes);
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
