//! CPU clocks of processes (clock_getcpuclockid(3)), and the clocks of the machine.

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use psstat_core::model::units::{CpuNanos, Pid};
use std::path::Path;

/// The clock counts the time that the scheduler gave to the process: `CPUCLOCK_SCHED`
/// (include/linux/posix-timers_types.h).
const CPUCLOCK_SCHED: i32 = 2;

/// Reads the CPU clock of a process: the CPU time of all its threads, ended ones included. `None`
/// if there is no such process.
///
/// It needs no privilege and no file (`pid_for_clock`, kernel/time/posix-cpu-timers.c). The id of the
/// clock is made here, as `make_process_cpuclock` does, because clock_getcpuclockid(3) costs another
/// system call.
pub fn read(pid: Pid) -> Option<CpuNanos> {
    let pid = i32::try_from(pid.number()).ok()?;
    let time = clock_gettime(ClockId::from_raw((!pid << 3) | CPUCLOCK_SCHED)).ok()?;
    let seconds = u64::try_from(time.tv_sec()).ok()?;
    let nanos = u64::try_from(time.tv_nsec()).ok()?;
    Some(CpuNanos(seconds.checked_mul(1_000_000_000)?.checked_add(nanos)?))
}

/// The time of a clock of the machine, in nanoseconds.
pub fn now(clock: ClockId) -> i128 {
    // It fails only if the kernel has no such clock.
    let time = clock_gettime(clock).unwrap_or(TimeSpec::new(0, 0));
    i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_nsec())
}

/// The clock sources without which the scheduler's clock is not exact: it then stands still now and
/// then, for up to a tick (`sched_clock_local`, kernel/sched/clock.c). They are in use where the counter
/// of the processor is not reliable.
const INEXACT_SOURCES: [&str; 5] = ["hpet", "acpi_pm", "pit", "jiffies", "refined-jiffies"];

/// Whether the CPU clock of a process moves whenever the process runs. `own` is the pid of this
/// process, whose own clock is up to date whenever it is read. `sys` is where sysfs is mounted. `false` if
/// it cannot be found out.
pub fn show_runs(own: Pid, sys: &Path) -> bool {
    let path = sys.join("devices/system/clocksource/clocksource0/current_clocksource");
    let is_exact = |source: String| !INEXACT_SOURCES.contains(&source.trim_end());
    let before = read(own);
    std::fs::read_to_string(path).is_ok_and(is_exact) && before.is_some() && read(own) > before
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_this_process_moves_and_that_of_none_fails() {
        let own = Pid::new(std::process::id());
        let before = read(own).expect("this process has a clock");
        let mut sum = 0u64;
        while read(own).is_some_and(|now| now.0 < before.0 + 1_000_000) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(read(own).is_some_and(|now| now >= before));
        assert_eq!(read(Pid::new(Pid::MAX.number())), None);
    }

    #[test]
    fn an_inexact_clock_source_shows_no_runs() {
        let sys = tempfile::tempdir().expect("a directory");
        let dir = sys.path().join("devices/system/clocksource/clocksource0");
        std::fs::create_dir_all(&dir).expect("directories");
        let own = Pid::new(std::process::id());
        assert!(!show_runs(own, sys.path()), "it cannot be found out");
        for (source, expected) in [("tsc\n", true), ("kvm-clock\n", true), ("hpet\n", false)] {
            std::fs::write(dir.join("current_clocksource"), source).expect("written");
            assert_eq!(show_runs(own, sys.path()), expected, "{source}");
            assert!(!show_runs(Pid::new(Pid::MAX.number()), sys.path()), "no such process");
        }
    }
}
