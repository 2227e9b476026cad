//! Warnings of a sample. A warning is about one part of a sample; the other parts are reported.

use crate::field::Field;
use crate::model::label::{Label, printable};
use crate::model::pid_file::PidFileError;
use crate::model::read_error::{ReadError, Reason, Unreadable};
use crate::model::units::Pid;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use thiserror::Error;

/// The warnings of one sample, in the order in which they came up.
#[derive(Debug, Default)]
pub struct Diagnostics(Vec<Warning>);

impl Diagnostics {
    /// Adds a warning. What does not answer is named once.
    pub fn add(&mut self, warning: Warning) {
        let is_known = matches!(warning, Warning::NoAnswer(_)) && self.0.contains(&warning);
        if !is_known {
            self.0.push(warning);
        }
    }

    /// Adds a warning about files that could not be read, if there are any.
    pub fn add_unreadable(&mut self, what: What, unreadable: Unreadable) {
        if let Some(first) = unreadable.first {
            self.add(Warning::Unreadable { what, count: unreadable.count, first });
        }
    }

    /// Takes over the warnings of another collection.
    pub fn extend(&mut self, other: Diagnostics) {
        self.0.extend(other.0);
    }

    /// The warnings. Those that explain why a line is missing come first, because Telegraf shows only
    /// the first line of standard error. Those that name a process that does not answer come next.
    pub fn iter(&self) -> impl Iterator<Item = &Warning> {
        let rank = |warning: &Warning| match warning {
            Warning::NoLine { .. } => 0,
            Warning::NoAnswer(_) => 1,
            _ => 2,
        };
        let of_rank = move |wanted| self.0.iter().filter(move |warning| rank(warning) == wanted);
        (0..=2).flat_map(of_rank)
    }
}

/// What psstat reads of processes. Warnings name it in the plural.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// `/proc/PID/stat`
    Processes,
    /// `/proc/PID/cmdline`
    CommandLines,
    /// `/proc/PID/exe`
    Executables,
    /// The owner of `/proc/PID`
    Users,
    /// `/proc/PID/cgroup`
    ControlGroups,
    /// `/proc/PID/statm`
    Sizes,
    /// `/proc/PID/smaps_rollup`
    ProportionalSizes,
    /// `/proc/PID/fd`
    OpenFiles,
    /// `/proc/PID/io`
    StorageTraffic,
    /// Fields 12 and 13 of `/proc/PID/stat`
    MajorFaults,
    /// `/proc/PID/task/TID/status`
    Switches,
    /// `VmSwap` in `/proc/PID/status`
    Swap,
    /// `throttled_usec` in `cpu.stat` of control groups
    Throttling,
    /// `cpu.pressure`, `memory.pressure` and `io.pressure` of control groups
    Pressure,
    /// `memory.events` of control groups
    OomKills,
    /// `memory.max` of control groups
    MemoryLimits,
    /// `memory.peak` of control groups
    MemoryPeaks,
}

impl What {
    /// The files in a few words.
    pub fn name(self) -> &'static str {
        match self {
            What::Processes => "processes",
            What::CommandLines => "command lines",
            What::Executables => "executable paths",
            What::Users => "process owners",
            What::ControlGroups => "control groups of processes",
            What::Sizes => "process sizes",
            What::ProportionalSizes => "proportional set sizes",
            What::OpenFiles => "lists of open files",
            What::StorageTraffic => "storage traffic counters",
            What::MajorFaults => "page fault counters",
            What::Switches => "context switch counters",
            What::Swap => "sizes of swapped memory",
            What::Throttling => "throttling counters",
            What::Pressure => "pressure files",
            What::OomKills => "OOM kill counters",
            What::MemoryLimits => "memory limits",
            What::MemoryPeaks => "memory peaks",
        }
    }

    /// The right to read these files of any process, if there is one that is less than root's.
    fn right(self) -> Option<Right> {
        match self {
            What::Processes | What::Executables | What::ProportionalSizes => Some(Right::Trace),
            What::StorageTraffic | What::OpenFiles => Some(Right::TraceAndOpen),
            _ => None,
        }
    }

    /// What the user can do if the files may not be read. What gives psstat least comes first.
    fn cure_of_denial(self) -> String {
        let cure = self.right().map_or("run psstat as root", Right::cure);
        let more = match self {
            What::Processes => ", or mount procfs with hidepid=0",
            What::ProportionalSizes => {
                "; until then psstat counts these processes as --memory shared-once does"
            }
            _ => "",
        };
        format!("{cure}{more}")
    }

    /// What the user can do if the files do not exist. `None` if unknown.
    fn cure_of_absence(self) -> Option<&'static str> {
        let cure = match self {
            What::StorageTraffic => "the kernel must be built with CONFIG_TASK_IO_ACCOUNTING",
            What::Throttling => {
                "this needs control groups of version 2, and the controller cpu, which a unit has with \
                 CPUQuota= or CPUWeight="
            }
            What::Pressure => {
                "this needs control groups of version 2, and a kernel with pressure stall information \
                 (boot it with psi=1)"
            }
            What::OomKills | What::MemoryLimits => {
                "this needs control groups of version 2, and the controller memory, which a unit has with \
                 MemoryAccounting="
            }
            What::MemoryPeaks => {
                "this needs Linux 5.19, control groups of version 2, and the controller memory, which a \
                 unit has with MemoryAccounting="
            }
            _ => return None,
        };
        Some(cure)
    }
}

/// A right to read what belongs to processes of other users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// To trace any process: `CAP_SYS_PTRACE` (capabilities(7)).
    Trace,
    /// To open also what only its owner may open: `CAP_DAC_READ_SEARCH` too. The kernel requires both for
    /// these files (fs/proc/base.c).
    TraceAndOpen,
}

impl Right {
    /// How psstat gets it. What gives psstat least comes first.
    pub fn cure(self) -> &'static str {
        match self {
            Right::Trace => "give psstat CAP_SYS_PTRACE, or run it as root",
            Right::TraceAndOpen => {
                "give psstat CAP_DAC_READ_SEARCH and CAP_SYS_PTRACE, or run it as root"
            }
        }
    }
}

/// What else helps against hidepid. With hidepid=4 the kernel ignores the option (proc(5)).
const OR_GROUP: &str =
    "; with hidepid=1 or 2, psstat's user may also be in the group of the mount option gid=";

/// Something is wrong with one part of a sample.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Warning {
    /// No hierarchy of control groups can be read.
    #[error(
        "no control groups can be read below {sys}: set --sys or HOST_SYS to where sysfs is mounted; \
         until then psstat reads /proc/PID/cgroup of every process, and counts CPU time in ticks"
    )]
    NoControlGroups {
        /// Where sysfs should be mounted.
        sys: String,
    },
    /// A process, or a file server, does not answer.
    #[error("{0} does not answer: psstat goes on without it, and asks again in the next sample")]
    NoAnswer(String),
    /// Processes were not asked, because too many others do not answer.
    #[error(
        "{count} files, such as {first}, were not read, because too many other processes do not answer: \
         psstat asks again in the next sample"
    )]
    NotAsked {
        /// How many.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// Exit records were lost.
    #[error(
        "the kernel dropped exit records, because psstat did not take them in time: processes that ended \
         in this interval count as without --exit-records, as far as their records are missing"
    )]
    ExitsLost,
    /// Groups have no line, because it is not known who belongs to them.
    #[error("no line for {}: {cause}", Labels(groups))]
    NoLine {
        /// The groups.
        groups: Vec<Label>,
        /// Why it is not known, and the cure.
        cause: Box<Warning>,
    },
    /// `/proc` shows only some of the processes.
    #[error(
        "{proc} hides processes of other users (hidepid): {cure}, or mount procfs with hidepid=0{OR_GROUP}",
        cure = Right::Trace.cure()
    )]
    HiddenProcesses {
        /// Where procfs is mounted.
        proc: String,
    },
    /// Some files could not be read.
    #[error("{}{first}{}", Examples(*what, *count), Cure(what, first))]
    Unreadable {
        /// What they are.
        what: What,
        /// How many.
        count: usize,
        /// The first of them.
        first: ReadError,
    },
    /// Fields of some groups are left out, because some files could not be read.
    #[error(
        "{}{first}{}; {} left out of the lines of their groups",
        Examples(*what, *count), Cure(what, first), List(fields)
    )]
    FieldsUnreadable {
        /// The files.
        what: What,
        /// How many.
        count: usize,
        /// The first of them.
        first: ReadError,
        /// The fields.
        fields: Vec<Field>,
    },
    /// Only groups of control groups have these fields, and no selector picks any.
    #[error(
        "{} left out: only the groups of --systemd and --cgroup have such fields",
        List(.0)
    )]
    OnlyOfControlGroups(Vec<Field>),
    /// Fields are left out, because the time was up.
    #[error("the sample took longer than --timeout allows: set a longer --timeout; {} left out", List(.0))]
    FieldsOutOfTime(Vec<Field>),
    /// CPU time and rates of groups are left out, because it would have taken too long to work them out.
    #[error(
        "too many processes that ended or changed their names are in too many groups at once: give \
         the groups names (NAME:...); CPU time and rates of {} are left out",
        Labels(.0)
    )]
    TooManyGroups(Vec<Label>),
    /// The memory of the machine is not known.
    #[error("p_mem is left out: {0}")]
    MachineMemory(ReadError),
    /// A unit that is selected by its exact name does not run.
    #[error("--systemd {0}: no such unit is running (see systemctl list-units)")]
    NoUnit(String),
    /// A control group that is selected by its exact path does not exist.
    #[error(
        "--cgroup {0}: no such control group: paths begin below the root, as those in /proc/PID/cgroup do"
    )]
    NoControlGroup(String),
    /// No control group matches a glob.
    #[error(
        "--cgroup {0}: no control group matches now: a glob matches the whole path below the root, as \
         /proc/PID/cgroup shows it"
    )]
    NoMatchingControlGroup(String),
    /// No control group matches a regex.
    #[error(
        "cgroup_regex {0}: no control group matches now: a regex matches anywhere in the path below the root, \
         which is as in /proc/PID/cgroup, without the slash in front"
    )]
    NoControlGroupOfRegex(String),
    /// A template makes more groups than it may.
    #[error(
        "{rule}: {names} different names, of which max_groups allows {max_groups}: the processes of the \
         others are in the group {overflow}: set a higher max_groups, or select fewer processes; the others are \
         {}",
        Others(others, names.saturating_sub(*max_groups))
    )]
    TooManyNames {
        /// The selector.
        rule: Label,
        /// How many names there are.
        names: usize,
        /// How many there may be.
        max_groups: usize,
        /// The group of the others.
        overflow: Label,
        /// The first few of the others.
        others: Vec<Label>,
    },
    /// A unit that is selected by its exact name does not run, and no file says how to run it.
    #[error(
        "--systemd {0}: no such unit is running, and there is no unit file of that name: is the name \
         right? (see systemctl list-unit-files)"
    )]
    NoUnitFile(String),
    /// Control groups cannot be read.
    #[error("{}control group {first}{}", Such(*count), DeniedCure(first))]
    ControlGroups {
        /// How many.
        count: usize,
        /// The first of them.
        first: ReadError,
    },
    /// There is no user with that name.
    #[error(
        "no user {}: it is in no passwd file, and getent does not know it; give its uid, or set \
         HOST_ETC to the host's /etc",
        Printable(.0.as_bytes())
    )]
    UnknownUser(String),
    /// There is no systemd unit anywhere.
    #[error(
        "no systemd unit is in sight below {sys}: in a container, mount the host's /sys and set \
         HOST_SYS to it; on a machine without systemd, use --cgroup or --pattern"
    )]
    NoUnitsInSight {
        /// Where sysfs is mounted.
        sys: String,
    },
    /// Groups have no process, and psstat sees only those of a container.
    #[error(
        "no process found for {}: psstat sees only the {processes} processes of this container: to \
         measure the host's, mount the host's /proc and /sys into it and set HOST_PROC and HOST_SYS \
         to them; to measure these, set HOST_PROC=/proc",
        Labels(groups)
    )]
    OnlyContainer {
        /// The groups.
        groups: Vec<Label>,
        /// How many processes there are.
        processes: usize,
    },
    /// Some members of control groups have no pid in this pid namespace.
    #[error(
        "{0} members of control groups are in another pid namespace: set --proc or HOST_PROC to the \
         procfs of the host; until then they count in n_proc and in CPU time, and fields that come from the \
         processes are left out"
    )]
    ForeignMembers(u64),
    /// The groups hold more memory than the machine has, because shared pages count several times.
    #[error(
        "p_mem of {} is above 1: with --memory {mode}, memory that processes share counts several times; \
         --memory auto counts it once",
        Labels(groups)
    )]
    MoreThanMachine {
        /// The groups.
        groups: Vec<Label>,
        /// The name of the mode.
        mode: &'static str,
    },
    /// `/proc` hides some members of control groups (hidepid).
    #[error(
        "procfs hides {0} members of control groups (hidepid): {cure}, or mount procfs with hidepid=0{OR_GROUP}; \
         until then they count in n_proc and in CPU time, and fields that come from the processes are left out",
        cure = Right::Trace.cure()
    )]
    HiddenMembers(u64),
    /// A pid file cannot be read, or has no pid.
    #[error("pid file {}: {error}", Printable(path))]
    PidFile {
        /// The file.
        path: Vec<u8>,
        /// The reason.
        error: PidFileError,
    },
    /// The process that a pid file names does not run.
    #[error("pid file {}: process {pid} is not running", Printable(path))]
    PidFileNotRunning {
        /// The file.
        path: Vec<u8>,
        /// The process.
        pid: Pid,
    },
    /// A process that was selected by pid does not run.
    #[error("--pid {0}: no such process")]
    PidNotRunning(Pid),
    /// A process that was selected by pid does not meet the conditions of its group.
    #[error(
        "{}process {pid} ({}) does not meet the conditions of its group, or they cannot be checked: \
         it is left out",
        Prefix(path),
        Printable(comm)
    )]
    ConditionsNotMet {
        /// The pid file, if there is one.
        path: Option<Vec<u8>>,
        /// The process.
        pid: Pid,
        /// Its name.
        comm: Vec<u8>,
    },
    /// A process started more than a second after its pid file was written.
    #[error(
        "pid file {} may be stale: process {pid} ({}) started {seconds} s after the file was \
         written; it is reported anyway",
        Printable(path),
        Printable(comm)
    )]
    StalePidFile {
        /// The file.
        path: Vec<u8>,
        /// The process.
        pid: Pid,
        /// Its name.
        comm: Vec<u8>,
        /// How much later, in seconds.
        seconds: i64,
    },
}

/// The [kind](Warning::kind) of a warning about settings that cannot do what was meant.
pub const MISTAKE: &str = "mistake";

impl Warning {
    /// The kind of the warning, for programs that count warnings.
    pub fn kind(&self) -> &'static str {
        match self {
            Warning::NoLine { .. } => "no_line",
            Warning::NoAnswer(_)
            | Warning::NotAsked { .. }
            | Warning::PidFile { error: PidFileError::NoAnswer, .. } => "no_answer",
            Warning::PidFile { error: PidFileError::NotFound, .. } => "not_running",
            Warning::NoControlGroups { .. }
            | Warning::HiddenProcesses { .. }
            | Warning::HiddenMembers(_)
            | Warning::Unreadable { .. }
            | Warning::FieldsUnreadable { .. }
            | Warning::MachineMemory(_)
            | Warning::ControlGroups { .. }
            | Warning::PidFile { .. } => "unreadable",
            Warning::NoUnit(_)
            | Warning::NoControlGroup(_)
            | Warning::NoMatchingControlGroup(_)
            | Warning::NoControlGroupOfRegex(_)
            | Warning::PidFileNotRunning { .. }
            | Warning::PidNotRunning(_) => "not_running",
            Warning::NoUnitFile(_) | Warning::UnknownUser(_) => "unknown_name",
            Warning::NoUnitsInSight { .. }
            | Warning::OnlyContainer { .. }
            | Warning::ForeignMembers(_) => "container",
            Warning::FieldsOutOfTime(_) => "out_of_time",
            Warning::ExitsLost => "exits_lost",
            Warning::TooManyGroups(_) | Warning::TooManyNames { .. } => "too_many",
            Warning::ConditionsNotMet { .. }
            | Warning::StalePidFile { .. }
            | Warning::MoreThanMachine { .. } => "doubtful",
            Warning::OnlyOfControlGroups(_) => MISTAKE,
        }
    }

    /// The right that psstat lacks, if that is the cause.
    pub fn lacks(&self) -> Option<Right> {
        match self {
            Warning::HiddenProcesses { .. } | Warning::HiddenMembers(_) => Some(Right::Trace),
            Warning::NoLine { cause, .. } => cause.lacks(),
            Warning::Unreadable { what, first, .. }
            | Warning::FieldsUnreadable { what, first, .. } => {
                what.right().filter(|_| first.reason == Reason::Denied)
            }
            _ => None,
        }
    }

    /// Identifies the cause among those of other samples of the same job. What groups have no line because of
    /// it does not matter.
    pub fn cause(&self) -> String {
        match self {
            Warning::NoLine { cause, .. } => cause.cause(),
            _ => self.key(),
        }
    }

    /// Identifies the warning among those of other samples: it stays the same while the numbers in
    /// the text change.
    pub fn key(&self) -> String {
        match self {
            Warning::Unreadable { what, first, .. }
            | Warning::FieldsUnreadable { what, first, .. } => {
                format!("{}: {}", what.name(), first.reason)
            }
            Warning::ControlGroups { first, .. } => format!("control group {first}"),
            Warning::NoLine { groups, cause } => format!("{}: {}", Labels(groups), cause.key()),
            Warning::OnlyContainer { groups, .. } => {
                format!("{}: only a container", Labels(groups))
            }
            Warning::NotAsked { .. } => "not asked".into(),
            Warning::ForeignMembers(_) => "foreign members".into(),
            Warning::HiddenMembers(_) => "hidden members".into(),
            Warning::MoreThanMachine { .. } => "more than the machine".into(),
            Warning::TooManyGroups(_) => "too many groups".into(),
            Warning::TooManyNames { rule, .. } => format!("{rule}: too many names"),
            Warning::StalePidFile { path, pid, .. } => {
                format!("pid file {}: stale for {pid}", Printable(path))
            }
            _ => self.to_string(),
        }
    }
}

/// How many groups a message names at most.
pub const NAMED_GROUPS: usize = 5;

/// Writes the names of groups, or of the first few.
struct Labels<'w>(&'w [Label]);

impl fmt::Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, label) in self.0.iter().take(NAMED_GROUPS).enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(f, "{separator}{label}")?;
        }
        match self.0.len().checked_sub(NAMED_GROUPS) {
            Some(more) if more > 0 => write!(f, " and {more} more groups"),
            _ => Ok(()),
        }
    }
}

/// Writes the first of so many names, and how many more there are.
struct Others<'w>(&'w [Label], usize);

impl fmt::Display for Others<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Labels(self.0).fmt(f)?;
        match self.1.saturating_sub(self.0.len()) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Writes a colon and the cure, if one is known.
struct Cure<'w>(&'w What, &'w ReadError);

impl fmt::Display for Cure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Cure(what, error) = self;
        match (&error.reason, what.cure_of_absence()) {
            (Reason::Denied, _) => write!(f, ": {}", what.cure_of_denial()),
            (Reason::Missing, Some(cure)) => write!(f, ": {cure}"),
            _ => Ok(()),
        }
    }
}

/// Writes how many files cannot be read, before the first of them. Nothing if it is the only one, because its
/// path says what it is.
struct Examples(What, usize);

impl fmt::Display for Examples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Examples(_, 1) => f.write_str("cannot read "),
            Examples(what, count) => write!(f, "{count} {} cannot be read, such as ", what.name()),
        }
    }
}

/// Writes how many things cannot be read, before the first of them. Nothing if it is the only one.
struct Such(usize);

impl fmt::Display for Such {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => Ok(()),
            count => write!(f, "{count} control groups cannot be read, such as "),
        }
    }
}

/// Writes a colon and the cure, if the file may not be read.
struct DeniedCure<'w>(&'w ReadError);

impl fmt::Display for DeniedCure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.reason {
            Reason::Denied => f.write_str(": let psstat's user read it, or run psstat as root"),
            _ => Ok(()),
        }
    }
}

/// Writes "a", "a and b" or "a, b and c".
struct Names<'w>(&'w [Field]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.0.iter().enumerate() {
            let separator = match index {
                0 => "",
                _ if index + 1 == self.0.len() => " and ",
                _ => ", ",
            };
            write!(f, "{separator}{}", field.name())?;
        }
        Ok(())
    }
}

/// Writes "a is", or "a and b are".
struct List<'w>(&'w [Field]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Names(self.0).fmt(f)?;
        f.write_str(if self.0.len() == 1 { " is" } else { " are" })
    }
}

/// Writes a path or a name, with control characters replaced.
struct Printable<'w>(&'w [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        printable(self.0, &mut text);
        f.write_str(&text)
    }
}

/// Writes the pid file that a message is about. Nothing if there is none.
struct Prefix<'w>(&'w Option<Vec<u8>>);

impl fmt::Display for Prefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(path) => write!(f, "pid file {}: ", Printable(path)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreadable(count: usize, reason: Reason) -> Warning {
        let first = ReadError { path: "/proc/7/exe".into(), reason };
        Warning::Unreadable { what: What::Executables, count, first }
    }

    #[test]
    fn the_key_stays_the_same_while_numbers_change() {
        let denied = |count| unreadable(count, Reason::Denied);
        assert_eq!(denied(3).key(), denied(4).key());
        assert_ne!(denied(3).key(), unreadable(3, Reason::Malformed).key());
        assert_eq!(Warning::ForeignMembers(1).key(), Warning::ForeignMembers(2).key());
        let names = |rule: &[u8], names| Warning::TooManyNames {
            rule: Label::lossy(rule),
            names,
            max_groups: 3,
            overflow: Label::lossy(b"other"),
            others: [b"x", b"y"].map(|name| Label::lossy(name)).into(),
        };
        let text = names(b"a", 7).to_string();
        assert!(text.ends_with("; the others are x, y and 2 more"), "{text}");
        let text = names(b"a", 5).to_string();
        assert!(text.ends_with("; the others are x, y"), "{text}");
        assert_eq!(names(b"a", 4).key(), names(b"a", 5).key());
        assert_ne!(names(b"a", 4).key(), names(b"b", 4).key());
        assert_ne!(Warning::NoUnit("a".into()).key(), Warning::NoUnit("b".into()).key());
    }

    #[test]
    fn a_cure_follows_if_one_is_known() {
        assert_eq!(
            unreadable(2, Reason::Denied).to_string(),
            "2 executable paths cannot be read, such as /proc/7/exe: permission denied: give psstat \
             CAP_SYS_PTRACE, or run it as root"
        );
        let text = unreadable(1, Reason::Malformed).to_string();
        assert!(text.ends_with("/proc/7/exe: unexpected content"), "{text}");
    }

    #[test]
    fn fields_are_listed_with_their_verb() {
        let one = Warning::FieldsOutOfTime(Vec::from([Field::Memory]));
        assert!(one.to_string().ends_with("; mem is left out"));
        let two = Warning::FieldsOutOfTime(Vec::from([Field::StorageRead, Field::StorageWrite]));
        assert!(two.to_string().ends_with("; io_read and io_write are left out"));
    }
}
