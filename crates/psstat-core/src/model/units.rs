//! The quantities that psstat computes with, each with its own type. The compiler then rejects
//! sums of different units, and each conversion exists once.

use core::fmt;
use core::ops::{Add, AddAssign};

/// Id of a process: the name of its directory below `/proc` (proc(5), pid_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(u32);

impl Pid {
    /// The parent of a process that has none (`init` and `kthreadd`), or whose parent is outside
    /// the pid namespace.
    pub const NONE: Pid = Pid(0);
    /// The first process of a pid namespace.
    pub const INIT: Pid = Pid(1);
    /// The largest pid that the kernel gives out (`PID_MAX_LIMIT`, include/linux/threads.h).
    pub const MAX: Pid = Pid(4 << 20);

    /// Makes a pid of a number. 0 is [`Pid::NONE`].
    pub const fn new(number: u32) -> Pid {
        Pid(number)
    }

    /// Makes a pid of a number up to [`Pid::MAX`]. `None` if it is larger. 0 is [`Pid::NONE`].
    pub fn checked(number: u64) -> Option<Pid> {
        let number = u32::try_from(number).ok()?;
        (number <= Pid::MAX.0).then_some(Pid(number))
    }

    /// Parses a pid from 1 to [`Pid::MAX`]. `None` if there is anything but decimal digits.
    pub fn parse(digits: &[u8]) -> Option<Pid> {
        if digits.is_empty() || digits.len() > 7 {
            return None;
        }
        let mut number = 0;
        for byte in digits {
            if !byte.is_ascii_digit() {
                return None;
            }
            number = number * 10 + u32::from(byte - b'0');
        }
        (1..=Pid::MAX.0).contains(&number).then_some(Pid(number))
    }

    /// The pid as a number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identity of a process. The kernel gives a pid to another process later, but not the pair of pid
/// and start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcId {
    /// Its pid.
    pub pid: Pid,
    /// When it started, in ticks since boot: `starttime`, field 22 of `/proc/PID/stat`.
    pub start: Ticks,
}

/// CPU time, or time since boot, in the unit of `/proc/PID/stat` (proc_pid_stat(5)):
/// `1 / sysconf(_SC_CLK_TCK)` seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(pub u64);

impl Ticks {
    /// The tick in which `time` lies.
    pub fn at(time: BootNanos, hz: Hz) -> Ticks {
        let ticks = u128::from(time.0) * u128::from(hz.0) / 1_000_000_000;
        Ticks(u64::try_from(ticks).unwrap_or(u64::MAX))
    }

    /// Converts to nanoseconds.
    pub fn nanos(self, hz: Hz) -> CpuNanos {
        let nanos = u128::from(self.0) * 1_000_000_000 / u128::from(hz.0);
        CpuNanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl Add for Ticks {
    type Output = Ticks;
    fn add(self, other: Ticks) -> Ticks {
        Ticks(self.0.saturating_add(other.0))
    }
}

/// Value of a kernel counter that is neither time nor memory: a number of events, or of bytes
/// transferred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u64);

impl Count {
    /// The difference to `earlier`. 0 if `earlier` is larger.
    pub fn since(self, earlier: Count) -> Count {
        Count(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Count {
    type Output = Count;
    fn add(self, other: Count) -> Count {
        Count(self.0.saturating_add(other.0))
    }
}

/// Amounts that the kernel shows for one process since it started, of a quantity that only rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts<Q> {
    /// The amount of its own threads.
    pub own: Q,
    /// The amount of the children it has waited for, with the amounts that these had inherited.
    pub children: Q,
}

impl<Q: Add<Output = Q>> Amounts<Q> {
    /// The sum of both amounts.
    pub fn total(self) -> Q {
        self.own + self.children
    }
}

/// Ticks per second: `sysconf(_SC_CLK_TCK)`, which is 100 on all common Linux systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hz(pub u64);

/// CPU time in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuNanos(pub u64);

impl CpuNanos {
    /// How far this is above `earlier`; 0 if it is below.
    pub fn since(self, earlier: CpuNanos) -> CpuNanos {
        CpuNanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add for CpuNanos {
    type Output = CpuNanos;
    fn add(self, other: CpuNanos) -> CpuNanos {
        CpuNanos(self.0.saturating_add(other.0))
    }
}

impl AddAssign for CpuNanos {
    fn add_assign(&mut self, other: CpuNanos) {
        *self = *self + other;
    }
}

/// Nanoseconds since boot, time in suspend included: `CLOCK_BOOTTIME` (clock_gettime(2)). The
/// kernel takes `starttime` from the same clock (fs/proc/array.c). Changes of the wall clock do not
/// affect it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootNanos(pub u64);

impl BootNanos {
    /// Nanoseconds from `earlier` to `self`. 0 if `earlier` is later.
    pub fn since(self, earlier: BootNanos) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Nanoseconds since 1970: `CLOCK_REALTIME` (clock_gettime(2)). Used for the timestamps of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallNanos(pub i64);

/// Memory in pages, the unit of `/proc/PID/statm` (proc_pid_statm(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pages(pub u64);

impl Pages {
    /// Converts to bytes. `page_size` is in bytes.
    pub fn bytes(self, page_size: u64) -> Bytes {
        Bytes(self.0.saturating_mul(page_size))
    }
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl Bytes {
    /// Converts from KiB, which the kernel writes as `kB`.
    pub fn from_kib(kib: u64) -> Bytes {
        Bytes(kib.saturating_mul(1024))
    }

    /// What is left without `other`. 0 if that is larger.
    pub fn less(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_sub(other.0))
    }
}

impl Add for Bytes {
    type Output = Bytes;
    fn add(self, other: Bytes) -> Bytes {
        Bytes(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Bytes {
    fn add_assign(&mut self, other: Bytes) {
        *self = *self + other;
    }
}

/// Id of a user (credentials(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_is_decimal_digits_only() {
        assert_eq!(Pid::parse(b"1"), Some(Pid(1)));
        assert_eq!(Pid::parse(b"4194304"), Some(Pid::MAX));
        for text in ["", "0", "4194305", "99999999", "+1", "-1", " 1", "1 ", "0x1", "self", "1a"] {
            assert_eq!(Pid::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn ticks_convert_to_nanoseconds() {
        assert_eq!(Ticks::at(BootNanos(1_239_999_999), Hz(100)), Ticks(123));
        assert_eq!(Ticks(123).nanos(Hz(100)), CpuNanos(1_230_000_000));
        assert_eq!(Ticks::at(BootNanos(u64::MAX), Hz(1024)).0, 18_889_465_931_478);
    }

    #[test]
    fn differences_saturate_at_zero() {
        assert_eq!(BootNanos(3).since(BootNanos(5)), 0);
    }
}
