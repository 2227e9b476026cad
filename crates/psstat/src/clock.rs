//! CPU clocks of processes (clock_getcpuclockid(3)).

use nix::time::{ClockId, clock_gettime};
use psstat_core::model::units::{CpuNanos, Pid};

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

/// Whether CPU clocks move whenever a process runs. They do not on a machine whose scheduler has no
/// better clock than its timer interrupts (kernel/sched/clock.c). `own` is the pid of this process,
/// whose own clock is up to date whenever it is read.
pub fn are_fine(own: Pid) -> bool {
    let before = read(own);
    before.is_some() && read(own) > before
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
    fn clocks_of_this_machine_are_fine_and_that_of_no_process_is_not() {
        assert!(are_fine(Pid::new(std::process::id())));
        assert!(!are_fine(Pid::new(Pid::MAX.number())));
    }
}
