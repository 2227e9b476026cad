//! The state that is kept from one sample to the next, and its encoding.

pub mod codec;

use crate::account::accounts::Accounts;
use crate::discovery::exits::KnownExits;
use crate::discovery::known::Known;
use crate::discovery::known_memory::KnownMemory;
use crate::discovery::tracker::PidTracker;
use alloc::vec::Vec;

/// The state that is kept from one sample to the next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Identifies the boot in which the sample was taken: see
    /// [`Constants::boot_id`](crate::kernel::Constants::boot_id). Empty if it is not known.
    pub boot_id: Vec<u8>,
    /// What the accounting keeps.
    pub accounts: Accounts,
    /// What discovery keeps. `None` if the next sample must read all processes.
    pub tracker: Option<PidTracker>,
    /// What need not be read again as long as it does not run.
    pub known: Known,
    /// What is remembered of the memory of members.
    pub memory: KnownMemory,
    /// What is kept of exit records. It is not in the cache file: only a resident program has them.
    pub exits: KnownExits,
}
