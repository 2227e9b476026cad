//! Writes a filter for system calls: a program of the classic BPF (Documentation/networking/filter.rst of the
//! kernel) that looks at a `struct seccomp_data` (include/uapi/linux/seccomp.h).
//!
//! The program searches the number of a call in halves. A list with a comparison for each call is slower: to
//! know which calls need no filter, the kernel runs the program for every call when the filter is installed.

use nix::libc;
use seccompiler::sock_filter;
use std::collections::BTreeMap;

/// What is decided of a system call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be made.
    Allow,
    /// It fails with `EPERM`.
    Forbid,
    /// It fails with `EPERM` if one of these is true.
    ForbidIf(Vec<Check>),
}

/// A check of the lower half of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    argument: u32,
    mask: u32,
    value: u32,
    /// Whether the masked argument must be the value, or another.
    is_equal: bool,
}

impl Check {
    /// The argument has these bits among those of `mask`.
    pub fn bits(argument: u32, mask: i32, bits: i32) -> Check {
        let (mask, value) = (mask.cast_unsigned(), bits.cast_unsigned());
        Check { argument, mask, value, is_equal: true }
    }

    /// The argument is not this value.
    pub fn is_not(argument: u32, value: u32) -> Check {
        Check { argument, mask: u32::MAX, value, is_equal: false }
    }
}

/// The architecture whose numbers the calls have (`AUDIT_ARCH_*`, include/uapi/linux/audit.h). `None` if
/// psstat has no filter for it.
const ARCHITECTURE: Option<u32> = if cfg!(target_arch = "x86_64") {
    Some(0xc000_003e)
} else if cfg!(target_arch = "aarch64") {
    Some(0xc000_00b7)
} else {
    None
};

/// From this number on, calls are those of another interface of the same architecture (x32).
const OTHER_INTERFACE: u32 = 0x4000_0000;

// Where `struct seccomp_data` has what.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

// Instructions (include/uapi/linux/bpf_common.h).
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP_IF_EQUAL: u16 = 0x15;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;

/// The program that allows all calls without a rule. Calls of other architectures and interfaces are
/// forbidden. `None` if it would be too long, or there is none for this architecture.
pub fn program(rules: &BTreeMap<u32, Verdict>) -> Option<Vec<sock_filter>> {
    let mut program = vec![
        step(LOAD, ARCH),
        sock_filter { jt: 1, ..step(JUMP_IF_EQUAL, ARCHITECTURE?) },
        forbid(),
        step(LOAD, NUMBER),
    ];
    program.extend(search(&intervals(rules))?);
    Some(program)
}

/// Numbers from the first one of an interval to that of the next one have the same verdict.
fn intervals(rules: &BTreeMap<u32, Verdict>) -> Vec<(u32, &Verdict)> {
    let mut intervals = vec![(0, &Verdict::Allow)];
    let mut add = |first, verdict| {
        // What begins there has no number.
        intervals.pop_if(|&mut (last, _)| last == first);
        if intervals.last().is_none_or(|&(_, last)| last != verdict) {
            intervals.push((first, verdict));
        }
    };
    for (&number, verdict) in rules {
        add(number, verdict);
        add(number + 1, &Verdict::Allow);
    }
    add(OTHER_INTERFACE, &Verdict::Forbid);
    intervals
}

/// Finds the interval of the loaded number. `None` if a jump would be too long.
fn search(intervals: &[(u32, &Verdict)]) -> Option<Vec<sock_filter>> {
    let (lower, upper) = intervals.split_at(intervals.len() / 2);
    let &(first, verdict) = upper.first()?;
    if lower.is_empty() {
        return Some(decide(verdict));
    }
    let lower = search(lower)?;
    let jt = u8::try_from(lower.len()).ok()?;
    let mut steps = vec![sock_filter { jt, ..step(JUMP_IF_AT_LEAST, first) }];
    steps.extend(lower);
    steps.extend(search(upper)?);
    Some(steps)
}

fn decide(verdict: &Verdict) -> Vec<sock_filter> {
    let checks = match verdict {
        Verdict::Allow => &[],
        Verdict::Forbid => return vec![forbid()],
        Verdict::ForbidIf(checks) => &checks[..],
    };
    let mut steps: Vec<sock_filter> = checks.iter().flat_map(forbid_if).collect();
    steps.push(step(RETURN, libc::SECCOMP_RET_ALLOW));
    steps
}

fn forbid_if(check: &Check) -> [sock_filter; 4] {
    // The lower half of 8 bytes.
    let half = if cfg!(target_endian = "little") { 0 } else { 4 };
    // Over the next instruction if the call is not forbidden.
    let (jt, jf) = if check.is_equal { (0, 1) } else { (1, 0) };
    [
        step(LOAD, ARGUMENTS + 8 * check.argument + half),
        step(AND, check.mask),
        sock_filter { jt, jf, ..step(JUMP_IF_EQUAL, check.value) },
        forbid(),
    ]
}

fn forbid() -> sock_filter {
    step(RETURN, libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned())
}

fn step(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}
