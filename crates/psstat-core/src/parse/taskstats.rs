//! Messages of the kernel's interface taskstats (Documentation/accounting/taskstats.rst), which uses generic
//! netlink (netlink(7), include/uapi/linux/genetlink.h): requests to it, and the records that it sends when a
//! task ends.
//!
//! Numbers are in the byte order of the machine.

use crate::model::exit::{Bounds, Exit, FileId};
use crate::model::units::{BootNanos, CpuNanos, Pid, Uid};
use alloc::vec::Vec;

/// The kind of messages to and from the controller of generic netlink (`GENL_ID_CTRL`).
pub const CONTROLLER: u16 = 0x10;
/// The kind of a message with an error number, or with 0 as an answer to a request that asked for one.
const ERROR: u16 = 2;

/// The command of the controller that asks for the number of a family (`CTRL_CMD_GETFAMILY`).
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

/// The command of taskstats for all requests (`TASKSTATS_CMD_GET`), and the attributes of requests.
const GET: u8 = 1;
const OF_PID: u16 = 1;
const REGISTER_CPUMASK: u16 = 3;

// The attributes of a record (`TASKSTATS_TYPE_*`).
const TYPE_PID: u16 = 1;
const TYPE_TGID: u16 = 2;
const TYPE_STATS: u16 = 3;
const TYPE_AGGR_PID: u16 = 4;
const TYPE_AGGR_TGID: u16 = 5;

/// Wants an answer, even if it is only that there was no error (`NLM_F_REQUEST | NLM_F_ACK`).
const REQUEST: u16 = 1 | 4;

const HEADER: usize = 16;
/// `struct genlmsghdr`.
const GENERIC_HEADER: usize = 4;

/// The version of `struct taskstats` that first tells the process of a thread and its executable (Linux 5.19).
const WITH_PROCESS: u16 = 12;

// Bits of `ac_flag` (include/uapi/linux/acct.h).
const HAS_NOT_EXECUTED: u8 = 0x01;
const IS_LAST_OF_PROCESS: u8 = 0x20;

/// By how much the CPU time in a record can be behind: one tick of the kernel, which has at least 100 a
/// second.
const TICK: u64 = 10_000_000;
/// How much CPU time a process can use after its record was written.
const LAST_WORK: u64 = 20_000_000;

/// One message of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// The answer of the controller: the number of a family.
    Family(u16),
    /// An error number (errno(3)), or 0.
    Error(i32),
    /// A record, in this payload: see [`Record::parse`].
    Record(&'a [u8]),
    /// Anything else.
    Other,
}

/// The messages of a datagram. `family` is the number of taskstats, if it is known.
pub fn messages(datagram: &[u8], family: Option<u16>) -> impl Iterator<Item = Message<'_>> {
    let mut rest = datagram;
    core::iter::from_fn(move || {
        let length = usize::try_from(u32_at(rest, 0)?).ok()?;
        let message = rest.get(..length).filter(|_| length >= HEADER)?;
        rest = rest.get(aligned(length)..).unwrap_or_default();
        Some(parse(message, family))
    })
}

fn parse(message: &[u8], family: Option<u16>) -> Message<'_> {
    let Some(kind) = u16_at(message, 4) else { return Message::Other };
    let payload = &message[HEADER..];
    let parsed = match kind {
        ERROR => u32_at(payload, 0).map(|error| Message::Error(error.cast_signed().wrapping_neg())),
        CONTROLLER => attributes(payload.get(GENERIC_HEADER..).unwrap_or_default())
            .find(|&(kind, _)| kind == FAMILY_ID)
            .and_then(|(_, value)| u16_at(value, 0))
            .map(Message::Family),
        kind if Some(kind) == family => payload.get(GENERIC_HEADER..).map(Message::Record),
        _ => None,
    };
    parsed.unwrap_or(Message::Other)
}

/// The request for the number of the family taskstats.
pub fn request_family() -> Vec<u8> {
    request(CONTROLLER, GET_FAMILY, FAMILY_NAME, b"TASKSTATS\0")
}

/// The request for a record of each task that ends on these processors: a list such as `0-3,8`.
pub fn request_exits(family: u16, processors: &[u8]) -> Vec<u8> {
    let mut list = processors.to_vec();
    list.push(0);
    request(family, GET, REGISTER_CPUMASK, &list)
}

/// The request for a record of a process that runs.
pub fn request_process(family: u16, pid: Pid) -> Vec<u8> {
    request(family, GET, OF_PID, &pid.number().to_ne_bytes())
}

fn request(kind: u16, command: u8, attribute: u16, value: &[u8]) -> Vec<u8> {
    let of_attribute = 4 + value.len();
    let length = HEADER + GENERIC_HEADER + aligned(of_attribute);
    let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    let mut message = Vec::with_capacity(length);
    message.extend(number(length).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    // The number of the request, and the address of the sender, which the kernel knows.
    message.extend([0; 8]);
    message.extend([command, 1, 0, 0]);
    message.extend(u16::try_from(of_attribute).unwrap_or(u16::MAX).to_ne_bytes());
    message.extend(attribute.to_ne_bytes());
    message.extend(value);
    message.resize(length, 0);
    message
}

fn aligned(length: usize) -> usize {
    length.saturating_add(3) & !3
}

/// The attributes in a payload, kind and value of each, up to the first that is cut off.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    /// Bits of the kind that say how the value is encoded (`NLA_TYPE_MASK`).
    const FLAGS: u16 = 0xc000;
    core::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let kind = u16_at(rest, 2)? & !FLAGS;
        let value = rest.get(4..length)?;
        rest = rest.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// What the kernel tells of a task: `struct taskstats` (include/uapi/linux/taskstats.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The version of the struct.
    pub version: u16,
    /// The id of the thread.
    pub task: Pid,
    /// Its process. `None` if the kernel does not tell.
    process: Option<Pid>,
    parent: Pid,
    user: Uid,
    comm: &'a [u8],
    exe: Option<FileId>,
    flags: u8,
    exit_code: u32,
    /// The CPU time that the scheduler has given to it, in nanoseconds.
    pub runtime: u64,
    /// utime + stime in nanoseconds. Most kernels know them only by what runs at a tick.
    by_ticks: u64,
    /// How long it has waited for a processor, in nanoseconds.
    delay: u64,
    /// How often it has waited for something else.
    waits: u64,
    /// The time since it started, in nanoseconds, and since its process started.
    elapsed: [u64; 2],
    /// If it is the last of several threads: its process, and the runtime of all of them.
    whole: Option<(Pid, u64)>,
}

impl<'a> Record<'a> {
    /// Parses the payload of a message. `None` if it has no record, or one in a form that is not known: the
    /// pid is in it twice, and must be the same.
    pub fn parse(payload: &'a [u8]) -> Option<Record<'a>> {
        let mut record = None;
        let mut whole = None;
        for (kind, value) in attributes(payload) {
            match kind {
                TYPE_AGGR_PID => record = Record::of_task(value),
                TYPE_AGGR_TGID => whole = runtime_of_process(value),
                _ => {}
            }
        }
        record.map(|record| Record { whole, ..record })
    }

    fn of_task(aggregate: &'a [u8]) -> Option<Record<'a>> {
        let (pid, stats) = pid_and_stats(aggregate, TYPE_PID)?;
        let micros = |at| u64_at(stats, at).map(|micros| micros.saturating_mul(1000));
        let pid_at = |at| Pid::checked(u32_at(stats, at)?.into());
        // Only a parent can have none: it is in another pid namespace.
        let own_pid_at = |at| pid_at(at).filter(|&pid| pid != Pid::NONE);
        let version = u16_at(stats, 0)?;
        let comm = stats.get(80..112)?;
        let elapsed = micros(144)?;
        let record = Record {
            version,
            task: own_pid_at(128).filter(|&task| task == pid)?,
            process: None,
            parent: pid_at(132)?,
            user: Uid(u32_at(stats, 120)?),
            comm: comm.split(|&byte| byte == 0).next().unwrap_or_default(),
            exe: None,
            flags: *stats.get(8)?,
            exit_code: u32_at(stats, 4)?,
            runtime: u64_at(stats, 72)?,
            by_ticks: micros(152)?.saturating_add(micros(160)?),
            delay: u64_at(stats, 24)?,
            waits: u64_at(stats, 272)?,
            elapsed: [elapsed; 2],
            whole: None,
        };
        if version < WITH_PROCESS {
            return Some(record);
        }
        let exe = FileId { device: u64_at(stats, 384)?, inode: u64_at(stats, 392)? };
        Some(Record {
            process: Some(own_pid_at(368)?),
            exe: Some(exe).filter(|exe| exe.inode != 0),
            elapsed: [elapsed, micros(376)?],
            ..record
        })
    }

    /// The end of a process, if the record is that: the last of its threads has ended. `now` is the time at
    /// which the record was read. `has_runtime` says whether the kernel tells runtimes.
    pub fn exit(&self, now: BootNanos, has_runtime: bool) -> Option<Exit> {
        let is_last = self.process.is_none() || self.flags & IS_LAST_OF_PROCESS != 0;
        if !is_last {
            return None;
        }
        let pid = self.process.or(self.whole.map(|(pid, _)| pid)).unwrap_or(self.task);
        let elapsed = if self.process.is_some() { self.elapsed[1] } else { self.elapsed[0] };
        let has_executed = self.flags & HAS_NOT_EXECUTED == 0;
        Some(Exit {
            pid,
            parent: self.parent,
            start: BootNanos(now.0.saturating_sub(elapsed)),
            user: self.user,
            comm: self.comm.into(),
            exe: self.exe,
            used: if has_runtime { self.bounds() } else { by_ticks(self.by_ticks) },
            // What neither has executed a program nor is a process does not exist: threads have executed
            // theirs, and have no exit code.
            is_process: self.process.is_some()
                || self.whole.is_some()
                || !has_executed
                || self.exit_code != 0,
        })
    }

    fn bounds(&self) -> Bounds {
        let nanos = |nanos: u64| CpuNanos(nanos);
        if let Some((_, whole)) = self.whole {
            let least = whole.max(self.runtime);
            let most = least.saturating_add(TICK + LAST_WORK);
            return Bounds { least: nanos(least), likely: nanos(least), most: nanos(most) };
        }
        let least = self.runtime;
        // It has run whenever it did not wait.
        let behind = self.elapsed[0].saturating_sub(self.delay).saturating_sub(least).min(TICK);
        let likely = if self.waits == 0 { least.saturating_add(behind) } else { least };
        let most = least.saturating_add(behind + LAST_WORK);
        Bounds { least: nanos(least), likely: nanos(likely), most: nanos(most) }
    }
}

fn by_ticks(nanos: u64) -> Bounds {
    let used = CpuNanos(nanos);
    Bounds { least: used, likely: used, most: used + CpuNanos(LAST_WORK) }
}

/// The id and the runtime of a process whose last thread has ended.
fn runtime_of_process(aggregate: &[u8]) -> Option<(Pid, u64)> {
    let (pid, stats) = pid_and_stats(aggregate, TYPE_TGID)?;
    Some((pid, u64_at(stats, 72)?))
}

fn pid_and_stats(aggregate: &[u8], kind_of_pid: u16) -> Option<(Pid, &[u8])> {
    let value = |wanted| attributes(aggregate).find(|&(kind, _)| kind == wanted);
    let pid = Pid::checked(u32_at(value(kind_of_pid)?.1, 0)?.into())?;
    let pid = Some(pid).filter(|&pid| pid != Pid::NONE)?;
    Some((pid, value(TYPE_STATS)?.1))
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes_at(bytes, at).map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes_at(bytes, at).map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    const FAMILY: u16 = 0x1a;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = u16::try_from(4 + value.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(payload);
        bytes.resize(aligned(bytes.len()), 0);
        bytes
    }

    /// A `struct taskstats` of that version and length, with these numbers at these places.
    fn stats(version: u16, length: usize, numbers: &[(usize, u64)]) -> Vec<u8> {
        let mut bytes = vec![0; length];
        bytes[..2].copy_from_slice(&version.to_ne_bytes());
        bytes[80..84].copy_from_slice(b"gzip");
        for &(at, number) in numbers {
            // Two numbers of 4 bytes lie in 8 at some places.
            let is_short = (112..144).contains(&at) || at == 368 || at == 4;
            let encoded = number.to_ne_bytes();
            let short = u32::try_from(number & 0xffff_ffff).unwrap().to_ne_bytes();
            let encoded = if is_short { &short[..] } else { &encoded[..] };
            bytes[at..at + encoded.len()].copy_from_slice(encoded);
        }
        bytes
    }

    fn aggregate(kind: u16, pid_kind: u16, pid: u32, stats: &[u8]) -> Vec<u8> {
        let inner =
            [attribute(pid_kind, &pid.to_ne_bytes()), attribute(TYPE_STATS, stats)].concat();
        attribute(kind, &inner)
    }

    fn of_pid(pid: u32, stats: &[u8]) -> Vec<u8> {
        aggregate(TYPE_AGGR_PID, TYPE_PID, pid, stats)
    }

    const NOW: BootNanos = BootNanos(100_000_000_000);

    #[test]
    fn a_single_process_ends() {
        let flags = [(128, 77), (132, 5), (120, 65534), (144, 50_000), (72, 40_000_000)];
        let more = [(24, 1_000_000), (368, 77), (376, 50_000), (384, 0xfe00), (392, 4711)];
        let mut stats = stats(12, 400, &[&flags[..], &more].concat());
        stats[8] = IS_LAST_OF_PROCESS;
        let payload = of_pid(77, &stats);
        let exit = Record::parse(&payload).unwrap().exit(NOW, true).unwrap();
        assert_eq!((exit.pid, exit.parent, exit.user), (Pid::new(77), Pid::new(5), Uid(65534)));
        assert_eq!(&*exit.comm, b"gzip");
        assert_eq!(exit.exe, Some(FileId { device: 0xfe00, inode: 4711 }));
        assert_eq!(exit.start, BootNanos(NOW.0 - 50_000_000));
        // It has not waited, so it has run for 50 ms less the 1 ms that it waited for a processor.
        let Bounds { least, likely, most } = exit.used;
        assert_eq!((least.0, likely.0, most.0), (40_000_000, 49_000_000, 69_000_000));
        assert!(exit.is_process);
        stats[8] = 0;
        let payload = of_pid(77, &stats);
        assert_eq!(Record::parse(&payload).unwrap().exit(NOW, true), None, "other threads run");
    }

    #[test]
    fn a_process_that_has_waited_has_used_what_the_record_says() {
        let numbers = [(128, 77), (144, 5_000_000), (72, 3_000_000), (272, 1)];
        let payload = of_pid(77, &stats(10, 352, &numbers));
        let Bounds { least, likely, most } =
            Record::parse(&payload).unwrap().exit(NOW, true).unwrap().used;
        assert_eq!((least.0, likely.0, most.0), (3_000_000, 3_000_000, 33_000_000));
    }

    #[test]
    fn the_last_thread_tells_the_runtime_of_all() {
        let last = stats(10, 352, &[(128, 80), (72, 1_000_000), (144, 9000)]);
        let whole = stats(10, 352, &[(72, 7_000_000)]);
        let whole = aggregate(TYPE_AGGR_TGID, TYPE_TGID, 77, &whole);
        let payload = [of_pid(80, &last), whole].concat();
        let exit = Record::parse(&payload).unwrap().exit(NOW, true).unwrap();
        assert_eq!((exit.pid, exit.used.least), (Pid::new(77), CpuNanos(7_000_000)));
        assert!(exit.is_process, "the kernel says so");
    }

    #[test]
    fn an_old_kernel_does_not_tell_threads_from_processes() {
        let exit = |stats: &[u8]| {
            Record::parse(&of_pid(77, stats)).unwrap().exit(NOW, true).unwrap().is_process
        };
        let mut stats = stats(10, 352, &[(128, 77)]);
        assert!(!exit(&stats));
        stats[4] = 1;
        assert!(exit(&stats), "threads have no exit code");
        (stats[4], stats[8]) = (0, HAS_NOT_EXECUTED);
        assert!(exit(&stats));
    }

    #[test]
    fn ticks_are_used_where_the_kernel_tells_no_runtime() {
        let stats = stats(10, 352, &[(128, 77), (152, 4000), (160, 8000)]);
        let exit = Record::parse(&of_pid(77, &stats)).unwrap().exit(NOW, false).unwrap();
        assert_eq!(
            (exit.used.least, exit.used.likely),
            (CpuNanos(12_000_000), CpuNanos(12_000_000))
        );
    }

    #[test]
    fn a_struct_of_another_form_is_no_record() {
        let numbers = [(128, 78)];
        assert_eq!(
            Record::parse(&of_pid(77, &stats(15, 400, &numbers))),
            None,
            "another pid in it"
        );
        assert_eq!(Record::parse(&of_pid(78, &stats(8, 328, &numbers)[..270])), None, "cut off");
        assert_eq!(Record::parse(&of_pid(0, &stats(8, 328, &[]))), None, "no pid");
        let numbers_12 = [(128, 78), (368, 0)];
        assert_eq!(Record::parse(&of_pid(78, &stats(12, 400, &numbers_12))), None, "no process");
        let is_of_no_process = [of_pid(78, &stats(8, 328, &numbers)), {
            aggregate(TYPE_AGGR_TGID, TYPE_TGID, 0, &stats(8, 328, &[(72, 7)]))
        }];
        let of_itself = Record::parse(&is_of_no_process.concat()).unwrap().exit(NOW, true);
        assert_eq!(of_itself.unwrap().pid, Pid::new(78), "the process that it names is none");
        assert!(Record::parse(&of_pid(78, &stats(8, 328, &numbers))).is_some());
    }

    #[test]
    fn messages_are_told_apart() {
        let family = [
            &[1, 2, 0, 0][..],
            &attribute(2, b"TASKSTATS\0"),
            &attribute(1, &FAMILY.to_ne_bytes()),
        ];
        let error = [(-22i32).to_ne_bytes(), [0; 4]].concat();
        let datagram = [
            message(CONTROLLER, &family.concat()),
            message(ERROR, &error),
            message(FAMILY, &[2, 1, 0, 0, 9]),
            message(3, &[]),
        ];
        let expected =
            [Message::Family(FAMILY), Message::Error(22), Message::Record(&[9]), Message::Other];
        assert_eq!(messages(&datagram.concat(), Some(FAMILY)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_request_is_a_message_with_one_attribute() {
        let request = request_exits(FAMILY, b"0-3");
        let payload = match messages(&request, Some(FAMILY)).next() {
            Some(Message::Record(payload)) => payload,
            other => panic!("{other:?}"),
        };
        assert_eq!(attributes(payload).collect::<Vec<_>>(), [(REGISTER_CPUMASK, &b"0-3\0"[..])]);
        assert_eq!(request.len() % 4, 0);
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes in proptest::collection::vec(any::<u8>(), 0..600), family: u16) {
            for message in messages(&bytes, Some(family)) {
                if let Message::Record(payload) = message {
                    let record = Record::parse(payload);
                    record.and_then(|record| record.exit(NOW, true));
                }
            }
            let record = Record::parse(&bytes);
            record.and_then(|record| record.exit(NOW, true));
        }

        #[test]
        fn any_numbers_can_be_in_a_record(bytes in proptest::collection::vec(any::<u8>(), 400..420), last: bool) {
            let mut bytes = bytes;
            bytes[128..132].copy_from_slice(&77u32.to_ne_bytes());
            if last { bytes[8] |= IS_LAST_OF_PROCESS; }
            let payload = of_pid(77, &bytes);
            if let Some(exit) = Record::parse(&payload).and_then(|record| record.exit(NOW, true)) {
                prop_assert!(exit.used.least <= exit.used.likely && exit.used.likely <= exit.used.most);
                prop_assert!(exit.start <= NOW);
            }
        }
    }
}
