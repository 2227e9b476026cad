//! `psstat execd` gives up what it does not need once it has taken its first sample. If it had an error
//! that somebody could exploit, little could be done with it.
//!
//! | restriction | what it takes away | not on |
//! |---|---|---|
//! | `no_new_privs` | rights from programs that are setuid or have file capabilities | |
//! | `system_calls` | system calls that psstat never makes (seccomp(2)) | kernels without `CONFIG_SECCOMP_FILTER` |
//! | `files` | all files but those that the job reads and writes (landlock(7)) | Linux before 5.13, or with Landlock switched off; jobs that [trace](Remaining::traces) or [ask getent(1)](Remaining::asks_getent) |
//!
//! A restriction that the kernel does not have is left out without a message.

mod files;
mod filter;
mod remaining;
mod system_calls;

pub use remaining::Remaining;

use thiserror::Error;

/// Why psstat could not restrict itself, although the kernel can do that.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// Without new privileges.
    #[error("no_new_privs: {0}")]
    Privileges(#[source] std::io::Error),
    /// To system calls.
    #[error("seccomp: {0}")]
    SystemCalls(#[from] seccompiler::Error),
    /// To files.
    #[error("Landlock: {0}")]
    Files(#[from] landlock::RulesetError),
}

/// Restricts this thread, and the process if it has no filter of system calls yet, to what remains to be done,
/// for good. Call this after the first sample of the thread.
///
/// # Errors
/// [`SandboxError`] if the kernel has a restriction and refuses it. The others may be in force.
pub fn enter(remaining: Remaining<'_>, has_filter: bool) -> Result<(), SandboxError> {
    rustix::thread::set_no_new_privs(true)
        .map_err(|errno| SandboxError::Privileges(errno.into()))?;
    if !remaining.asks_getent() && !remaining.traces() {
        files::restrict(remaining)?;
    }
    if !has_filter {
        system_calls::restrict(remaining)?;
    }
    Ok(())
}
