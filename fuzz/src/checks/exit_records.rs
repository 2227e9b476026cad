//! Exit records: datagrams of generic netlink from the kernel. The first byte says whether the bytes are a
//! datagram, or what the kernel tells of a task that ends, of which a datagram is made.

use super::bytes::Bytes;
use psstat_core::model::exit::Exit;
use psstat_core::model::units::{BootNanos, Pid};
use psstat_core::parse::taskstats::{self as parse, CONTROLLER, Message, Record};

/// The number of the family taskstats.
const FAMILY: u16 = 0x1a;

/// Less than a record can say that a process has lived.
const NOW: BootNanos = BootNanos(100_000_000_000);

/// Checks the datagram. Returns whether a record in it is that of the end of a process.
pub fn check(bytes: &[u8]) -> bool {
    let Some((&choice, rest)) = bytes.split_first() else { return false };
    if choice % 2 == 0 { check_datagram(rest) } else { check_task(&mut Bytes(rest)) }
}

fn check_datagram(datagram: &[u8]) -> bool {
    let mut has_exit = false;
    for family in [None, Some(FAMILY)] {
        let parsed: Vec<Message<'_>> = parse::messages(datagram, family).collect();
        assert_eq!(parsed, messages(datagram, family));
        for message in parsed {
            let Message::Record(payload) = message else { continue };
            let Some(record) = Record::parse(payload) else { continue };
            for has_runtime in [false, true] {
                let exit = record.exit(NOW, has_runtime);
                exit.iter().for_each(check_exit);
                has_exit |= exit.is_some();
            }
        }
    }
    has_exit
}

/// What holds of every record, true or not.
fn check_exit(exit: &Exit) {
    let used = exit.used;
    assert!(used.least <= used.likely && used.likely <= used.most, "{exit:?}");
    assert!(exit.start <= NOW, "{exit:?}");
    assert!(exit.comm.len() <= 32 && !exit.comm.contains(&0), "{exit:?}");
    assert!(exit.pid != Pid::NONE && exit.pid <= Pid::MAX && exit.parent <= Pid::MAX, "{exit:?}");
}

/// The messages of a datagram, from the structs of netlink(7) and include/uapi/linux/genetlink.h.
fn messages(datagram: &[u8], family: Option<u16>) -> Vec<Message<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while datagram.len() >= at + 4 {
        let length = number(datagram, at, 4) as usize;
        if length < 16 || at + length > datagram.len() {
            break;
        }
        let message = &datagram[at..at + length];
        let kind = number(message, 4, 2) as u16;
        let of_family = |attributes: Vec<(u16, &[u8])>| {
            let id = attributes.into_iter().find(|&(kind, _)| kind == 1);
            let id = id.filter(|(_, value)| value.len() >= 2);
            id.map_or(Message::Other, |(_, value)| Message::Family(number(value, 0, 2) as u16))
        };
        found.push(match kind {
            2 if length >= 20 => {
                let code = number(message, 16, 4) as u32;
                Message::Error(code.cast_signed().wrapping_neg())
            }
            2 => Message::Other,
            CONTROLLER => of_family(attributes(message.get(20..).unwrap_or_default())),
            kind if Some(kind) == family && length >= 20 => Message::Record(&message[20..]),
            _ => Message::Other,
        });
        at += length.div_ceil(4) * 4;
    }
    found
}

fn attributes(bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + 4 <= bytes.len() {
        let length = number(bytes, at, 2) as usize;
        if length < 4 || at + length > bytes.len() {
            break;
        }
        // The two highest bits are flags.
        let kind = (number(bytes, at + 2, 2) % 0x4000) as u16;
        found.push((kind, &bytes[at + 4..at + length]));
        at += length.div_ceil(4) * 4;
    }
    found
}

/// A number of so many bytes, in the byte order of the machine.
fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    let bytes = bytes[at..at + length].iter().copied();
    let fold = |number: u64, byte: u8| number << 8 | u64::from(byte);
    if cfg!(target_endian = "big") { bytes.fold(0, fold) } else { bytes.rev().fold(0, fold) }
}

fn put(bytes: &mut [u8], at: usize, length: usize, number: u64) {
    let encoded = number.to_ne_bytes();
    let from = if cfg!(target_endian = "big") { 8 - length } else { 0 };
    bytes[at..at + length].copy_from_slice(&encoded[from..from + length]);
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    put(&mut bytes, 0, 2, 4 + value.len() as u64);
    put(&mut bytes, 2, 2, kind.into());
    bytes.extend(value);
    bytes.resize(bytes.len().div_ceil(4) * 4, 0);
    bytes
}

/// What the kernel tells of a task that ends: `struct taskstats` (include/uapi/linux/taskstats.h).
struct Task {
    version: u16,
    task: u32,
    process: u32,
    parent: u32,
    user: u32,
    comm: Vec<u8>,
    flags: u8,
    exit_code: u32,
    runtime: u64,
    delay: u64,
    waits: u64,
    micros: [u64; 2],
    elapsed: [u64; 2],
    exe: [u64; 2],
    /// If it is the last of several threads: its process, and the runtime of all.
    whole: Option<(u32, u64)>,
}

impl Task {
    fn read(bytes: &mut Bytes<'_>) -> Task {
        let pid = |bytes: &mut Bytes<'_>| match bytes.below(4) {
            0 => bytes.number() as u32,
            _ => 1 + bytes.number() as u32 % Pid::MAX.number(),
        };
        Task {
            version: bytes.choose(&[15, 14, 12, 11, 10, 8]),
            task: pid(bytes),
            process: pid(bytes),
            parent: pid(bytes),
            user: bytes.number() as u32,
            comm: bytes.text(32).to_vec(),
            flags: bytes.byte(),
            exit_code: bytes.number() as u32,
            runtime: bytes.number(),
            delay: bytes.number(),
            waits: bytes.number(),
            micros: [bytes.number(), bytes.number()],
            elapsed: [bytes.number(), bytes.number()],
            exe: [bytes.number(), bytes.number()],
            whole: bytes.one_in(3).then(|| (pid(bytes), bytes.number())),
        }
    }

    /// Whether the kernel tells the process of a thread, and the executable.
    fn tells_process(&self) -> bool {
        self.version >= 12
    }

    /// The struct. Later versions only add to it.
    fn stats(&self, task: u32, runtime: u64) -> Vec<u8> {
        let length = match self.version {
            8..=9 => 328,
            10 => 352,
            11 => 368,
            12 => 400,
            _ => 432,
        };
        let mut bytes = vec![0; length];
        bytes[80..80 + self.comm.len()].copy_from_slice(&self.comm);
        bytes[8] = self.flags;
        for (at, length, number) in [
            (0, 2, self.version.into()),
            (4, 4, self.exit_code.into()),
            (24, 8, self.delay),
            (72, 8, runtime),
            (120, 4, self.user.into()),
            (128, 4, task.into()),
            (132, 4, self.parent.into()),
            (144, 8, self.elapsed[0]),
            (152, 8, self.micros[0]),
            (160, 8, self.micros[1]),
            (272, 8, self.waits),
        ] {
            put(&mut bytes, at, length, number);
        }
        if self.tells_process() {
            put(&mut bytes, 368, 4, self.process.into());
            put(&mut bytes, 376, 8, self.elapsed[1]);
            put(&mut bytes, 384, 8, self.exe[0]);
            put(&mut bytes, 392, 8, self.exe[1]);
        }
        bytes
    }

    /// A message with the record, after an attribute that nobody knows.
    fn message(&self) -> Vec<u8> {
        let of = |kind, pid: u32, stats: &[u8]| {
            let mut value = vec![0; 4];
            put(&mut value, 0, 4, pid.into());
            [attribute(kind, &value), attribute(3, stats)].concat()
        };
        let task = of(1, self.task, &self.stats(self.task, self.runtime));
        let mut payload = [attribute(9, b"?"), attribute(4, &task)].concat();
        if let Some((pid, runtime)) = self.whole {
            payload.extend(attribute(5, &of(2, pid, &self.stats(pid, runtime))));
        }
        let mut message = vec![0; 20];
        put(&mut message, 0, 4, 20 + payload.len() as u64);
        put(&mut message, 4, 2, FAMILY.into());
        message.extend(payload);
        message
    }
}

/// A record says what the kernel told.
fn check_task(bytes: &mut Bytes<'_>) -> bool {
    let task = Task::read(bytes);
    let message = task.message();
    // Two messages can come in one datagram.
    let datagram = [&message[..], &message].concat();
    assert_eq!(parse::messages(&datagram, Some(FAMILY)).count(), 2);
    check_datagram(&datagram);
    let Some(Message::Record(payload)) = parse::messages(&message, Some(FAMILY)).next() else {
        panic!("no record in a message of the family")
    };
    let is_pid = |number: u32| (1..=Pid::MAX.number()).contains(&number);
    // 0 is the parent of a process whose parent has another pid namespace.
    let may_be_parent = task.parent <= Pid::MAX.number();
    let Some(record) = Record::parse(payload) else {
        let has_process = !task.tells_process() || is_pid(task.process);
        assert!(!(is_pid(task.task) && may_be_parent && has_process), "a sound record is refused");
        return false;
    };
    let is_last = !task.tells_process() || task.flags & 0x20 != 0;
    let Some(exit) = record.exit(NOW, true) else {
        assert!(!is_last, "the end of a process is refused");
        return false;
    };
    assert!(is_last, "the end of a thread is taken for that of its process");
    let whole = task.whole.filter(|&(pid, _)| is_pid(pid));
    let pid = match whole {
        _ if task.tells_process() => task.process,
        Some((pid, _)) => pid,
        None => task.task,
    };
    assert_eq!((exit.pid.number(), exit.parent.number()), (pid, task.parent));
    assert_eq!(exit.user.0, task.user);
    let comm: Vec<u8> = task.comm.iter().copied().take_while(|&byte| byte != 0).collect();
    assert_eq!(*exit.comm, *comm);
    let exe = exit.exe.map(|exe| [exe.device, exe.inode]);
    assert_eq!(exe, Some(task.exe).filter(|exe| task.tells_process() && exe[1] != 0));
    let lived = task.elapsed[usize::from(task.tells_process())];
    assert_eq!(exit.start.0, NOW.0.saturating_sub(lived.saturating_mul(1000)));
    let runtime = whole.map_or(task.runtime, |(_, runtime)| runtime.max(task.runtime));
    assert_eq!(exit.used.least.0, runtime);
    // A tick and the last work at most, whatever the record says.
    assert!(exit.used.most.0 - runtime <= 30_000_000, "{exit:?}");
    let by_ticks = record.exit(NOW, false).map(|exit| exit.used.least.0);
    let nanos = task.micros.map(|micros| micros.saturating_mul(1000));
    assert_eq!(by_ticks, Some(nanos[0].saturating_add(nanos[1])));
    true
}
