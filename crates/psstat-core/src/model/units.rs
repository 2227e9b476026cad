//! The quantities psstat reckons with, each a type of its own, so that a pid is never added to a
//! tick and every conversion is written once, here.

use core::fmt;
use core::ops::{Add, AddAssign};

/// Number of a process, as in the name of its folder below `/proc` (proc(5), pid_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(u32);

impl Pid {
    /// What `ppid` says of a process whose parent lies outside the pid namespace, or that has
    /// none: `init` and `kthreadd`.
    pub const NONE: Pid = Pid(0);
    /// The first process of a pid namespace.
    pub const INIT: Pid = Pid(1);
    /// The kernel gives out no larger one (`PID_MAX_LIMIT`, include/linux/threads.h).
    pub const MAX: Pid = Pid(4 << 20);

    /// The pid of that number; 0 is [`Pid::NONE`].
    pub const fn new(number: u32) -> Pid {
        Pid(number)
    }

    /// Reads decimal digits and nothing else: what names a process below `/proc`.
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

    /// The bare number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Identity of a process. A pid alone is given out again; with the time it started it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcId {
    /// Its number.
    pub pid: Pid,
    /// When it started, in ticks since boot: `starttime`, field 22 of `/proc/PID/stat`.
    pub start: Ticks,
}

/// CPU time, or time since boot, in the unit of `/proc/PID/stat`: `1 / sysconf(_SC_CLK_TCK)` s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(pub u64);

impl Ticks {
    /// The tick that was running at `time`.
    pub fn at(time: BootNanos, hz: Hz) -> Ticks {
        let ticks = u128::from(time.0) * u128::from(hz.0) / 1_000_000_000;
        Ticks(u64::try_from(ticks).unwrap_or(u64::MAX))
    }

    /// How far this is above `earlier`; nothing where it is below.
    pub fn since(self, earlier: Ticks) -> Ticks {
        Ticks(self.0.saturating_sub(earlier.0))
    }

    /// The same length of time in nanoseconds.
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

impl AddAssign for Ticks {
    fn add_assign(&mut self, other: Ticks) {
        *self = *self + other;
    }
}

/// What a counter of the kernel shows that is neither time nor memory: events, or bytes that have
/// passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u64);

impl Count {
    /// How far this is above `earlier`; nothing where it is below.
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

/// What one process answers for since it started, of a quantity that only rises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts<Q> {
    /// Its own threads'.
    pub own: Q,
    /// That of the children it has waited for, and of theirs.
    pub children: Q,
}

impl<Q: Add<Output = Q>> Amounts<Q> {
    /// All that it answers for.
    pub fn total(self) -> Q {
        self.own + self.children
    }
}

/// Ticks per second: 100 on every Linux that a distribution ships.
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

/// Nanoseconds since boot, suspended time included: `CLOCK_BOOTTIME`, the clock that `starttime`
/// is read from too (fs/proc/array.c). No step of the wall clock touches it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootNanos(pub u64);

impl BootNanos {
    /// Nanoseconds from `earlier` to this; 0 where `earlier` is later.
    pub fn since(self, earlier: BootNanos) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Nanoseconds of the wall clock since 1970 (`CLOCK_REALTIME`): what a line is stamped with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallNanos(pub i64);

/// Memory in pages of the running kernel, the unit of `/proc/PID/statm`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pages(pub u64);

impl Pages {
    /// The same amount in bytes.
    pub fn bytes(self, page_size: u64) -> Bytes {
        Bytes(self.0.saturating_mul(page_size))
    }
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl Bytes {
    /// An amount given in KiB, which the kernel writes as `kB`.
    pub fn from_kib(kib: u64) -> Bytes {
        Bytes(kib.saturating_mul(1024))
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

/// Number of a user (credentials(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Uid(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_decimal_digits_name_a_process() {
        assert_eq!(Pid::parse(b"1"), Some(Pid(1)));
        assert_eq!(Pid::parse(b"4194304"), Some(Pid::MAX));
        for text in ["", "0", "4194305", "99999999", "+1", "-1", " 1", "1 ", "0x1", "self", "1a"] {
            assert_eq!(Pid::parse(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_tick_is_a_hundredth_of_a_second_at_100_hz() {
        assert_eq!(Ticks::at(BootNanos(1_239_999_999), Hz(100)), Ticks(123));
        assert_eq!(Ticks(123).nanos(Hz(100)), CpuNanos(1_230_000_000));
        assert_eq!(Ticks::at(BootNanos(u64::MAX), Hz(1024)).0, 18_889_465_931_478);
    }

    #[test]
    fn differences_stop_at_zero() {
        assert_eq!(Ticks(3).since(Ticks(5)), Ticks(0));
        assert_eq!(BootNanos(3).since(BootNanos(5)), 0);
    }
}
