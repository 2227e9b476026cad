//! Capabilities that psstat has and its caller has not: those that setcap(8) gave to its file.
//!
//! The caller chooses the configuration file, the pid files and the output file. So psstat uses them with
//! the rights of the caller: it makes no capability effective, except around a read below the real `/proc`
//! that may need one ([`Surplus::raise`]). The names of the files that it reads there are its own: a pid and
//! a fixed name.
//!
//! If psstat has no more rights than its caller, nothing changes. That is so if root runs it, or if the
//! caller has its capabilities in its ambient set, as a unit with `AmbientCapabilities=` has
//! (capabilities(7)).

use psstat_core::diagnostics::Right;
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, getegid, geteuid, getgid, getuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_ambient_set, set_capabilities,
};
use thiserror::Error;

/// Reads what only who may trace a process may read (`PTRACE_MODE_READ`, ptrace(2)): `exe`, `smaps_rollup`,
/// `io`, and everything if `hidepid` hides the process.
const TRACE: CapabilitySet = CapabilitySet::SYS_PTRACE;

/// Opens a file that only its owner may open: `io`, and the directory `fd`.
const OPEN: CapabilitySet = CapabilitySet::DAC_READ_SEARCH;

/// Asks the kernel for exit records (taskstats). It is used once, at the start.
const ASK_FOR_EXITS: CapabilitySet = CapabilitySet::NET_ADMIN;

/// Why psstat does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PrivilegeError {
    /// The effective user or group is not the real one.
    #[error(
        "psstat does not run setuid or setgid: its effective user or group is not the real one: remove the \
         bit with chmod, and give it what it needs with setcap cap_sys_ptrace=ep"
    )]
    OtherUser,
    /// The capabilities cannot be read or changed.
    #[error("cannot give up capabilities: {}", std::io::Error::from(*.0))]
    Capabilities(#[from] Errno),
}

/// Makes the capabilities ineffective that psstat has and its caller has not. Gives up for good those that
/// it never needs. Call this before the command line and the environment are used, and before there are
/// threads.
///
/// # Errors
/// [`PrivilegeError`] if the program runs with the rights of another user, or the system refuses.
pub fn set_aside() -> Result<(), PrivilegeError> {
    // To change the ids would be wrong either way: whoever has dropped root's rights only for a while has
    // them as the real user, and a setuid program has them as the effective one.
    if getuid() != geteuid() || getgid() != getegid() {
        return Err(PrivilegeError::OtherUser);
    }
    if getuid().is_root() {
        return Ok(());
    }
    let permitted = capabilities(None)?.permitted;
    if permitted.is_empty() || caller_has(permitted) {
        return Ok(());
    }
    let kept = TRACE.union(OPEN).union(ASK_FOR_EXITS);
    make_effective(permitted.intersection(kept), CapabilitySet::empty())?;
    // The caller must not trace psstat, nor get its memory as a core dump. `fs.suid_dumpable` may allow it.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Asks the kernel for exit records: `CAP_NET_ADMIN` is effective meanwhile, and is given up for good afterwards.
/// Without anything to `ask`, it is only given up. Call this before there are threads.
///
/// # Errors
/// [`Errno`] if the capability cannot be given up.
pub fn ask_for_exits<T>(ask: impl FnOnce() -> T) -> Result<T, Errno> {
    let sets = capabilities(None)?;
    if sets.permitted.contains(ASK_FOR_EXITS) {
        let effective = sets.effective.union(ASK_FOR_EXITS);
        set_capabilities(None, CapabilitySets { effective, ..sets })?;
    }
    let answer = ask();
    give_up_asking_for_exits()?;
    Ok(answer)
}

/// Gives up for good the capability to ask for exit records.
///
/// # Errors
/// [`Errno`] if the system refuses.
pub fn give_up_asking_for_exits() -> Result<(), Errno> {
    let sets = capabilities(None)?;
    if !sets.permitted.contains(ASK_FOR_EXITS) {
        return Ok(());
    }
    let [effective, permitted, inheritable] =
        [sets.effective, sets.permitted, sets.inheritable].map(|set| set.difference(ASK_FOR_EXITS));
    set_capabilities(None, CapabilitySets { effective, permitted, inheritable })
}

/// Whether setcap(8) gave `CAP_NET_ADMIN` to the file of this program. If psstat lacks it all the same, it has no
/// effect, because of `NoNewPrivileges=` or a mount with nosuid.
pub fn file_may_ask_for_exits() -> bool {
    file_has(ASK_FOR_EXITS)
}

/// Whether the caller has these capabilities. What a program of another user than root gets without
/// setcap(8) is the ambient set of its caller. The kernel clears that set where setcap(8) gave something.
fn caller_has(permitted: CapabilitySet) -> bool {
    let each = (0..u64::BITS).map(|bit| CapabilitySet::from_bits_retain(1 << bit));
    let mut each = each.filter(|&capability| permitted.contains(capability));
    // A kernel before 4.3 has no ambient sets.
    each.all(|capability| capability_is_in_ambient_set(capability).unwrap_or(false))
}

/// Makes these capabilities of the calling thread effective, and no others.
fn make_effective(permitted: CapabilitySet, effective: CapabilitySet) -> Result<(), Errno> {
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective, permitted, inheritable })
}

/// Why psstat may not trace a process although somebody has given it the right to, and what to do. `None` if
/// nobody has, so that the usual advice holds. `lacking` is the right that it would need; `is_proc_chosen` says
/// whether somebody has said where procfs is.
pub fn shortage(is_proc_chosen: bool, lacking: Right) -> Option<&'static str> {
    let sets = capabilities(None).ok()?;
    let has = |capability| sets.permitted.contains(capability);
    if getuid().is_root() && !has(TRACE) {
        Some(
            "psstat runs as root without CAP_SYS_PTRACE: give it to the container, as with docker run \
             --cap-add SYS_PTRACE",
        )
    } else if has(TRACE) && lacking == Right::TraceAndOpen && !has(OPEN) {
        Some("psstat has CAP_SYS_PTRACE, and lacks CAP_DAC_READ_SEARCH")
    } else if has(TRACE) && !sets.effective.contains(TRACE) && is_proc_chosen {
        Some(
            "psstat has CAP_SYS_PTRACE, and does not use it with --proc or HOST_PROC: leave these out, or \
             give it to the caller (AmbientCapabilities=)",
        )
    } else if has(TRACE) {
        Some(
            "psstat has that right, and the kernel refuses all the same, as it does for process 1 of some \
              containers",
        )
    } else if file_has(TRACE) {
        Some(
            "setcap(8) gave its file CAP_SYS_PTRACE, and that has no effect, because of NoNewPrivileges= or \
             a mount with nosuid: use AmbientCapabilities=",
        )
    } else {
        None
    }
}

/// Whether setcap(8) gave a capability to the file of this program (`struct vfs_cap_data`,
/// include/uapi/linux/capability.h).
fn file_has(capability: CapabilitySet) -> bool {
    let mut data = [0; 24];
    let size = rustix::fs::getxattr("/proc/self/exe", "security.capability", &mut data);
    let [_, _, _, _, permitted @ ..] = data;
    let [one, two, three, four, ..] = permitted;
    let permitted = u32::from_le_bytes([one, two, three, four]);
    size.is_ok_and(|size| size >= 8) && u64::from(permitted) & capability.bits() != 0
}

/// The capabilities that were set aside.
#[derive(Clone, Copy, Debug)]
pub struct Surplus(CapabilitySet);

impl Surplus {
    /// What this thread has set aside. `None` if that is nothing.
    pub fn of_this_thread() -> Option<Surplus> {
        let sets = capabilities(None).ok()?;
        let aside = sets.permitted.difference(sets.effective).intersection(TRACE.union(OPEN));
        (!aside.is_empty() && sets.effective.is_empty()).then_some(Surplus(aside))
    }

    /// Makes the capability effective that reading a file of another user's process needs, until the result
    /// is dropped: of the calling thread, and for nothing else than that read. With `opens_private`, also the
    /// one to open a file that only its owner may open.
    pub fn raise(self, opens_private: bool) -> Raised {
        let wanted = if opens_private { TRACE.union(OPEN) } else { TRACE };
        // If the system refuses, the read fails as it does for the caller.
        let _ = make_effective(self.0, self.0.intersection(wanted));
        Raised(self)
    }
}

/// A capability is effective while this lives.
#[derive(Debug)]
#[must_use]
pub struct Raised(Surplus);

impl Drop for Raised {
    fn drop(&mut self) {
        let Surplus(permitted) = self.0;
        if make_effective(permitted, CapabilitySet::empty()).is_err() {
            // Nothing may go on with the capability.
            std::process::abort();
        }
    }
}
