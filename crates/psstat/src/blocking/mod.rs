//! Reads that may never come back.
//!
//! To read `cmdline`, `exe`, `environ`, `smaps_rollup` or `io` of a process, the kernel takes a lock that
//! the process can hold for ever: during a page fault on a file of a server that does not answer, for
//! example. Pid files and configuration files can be on such a file server themselves. Such a read cannot
//! be interrupted. Only its thread can be abandoned.
//!
//! | file | what it owns |
//! |---|---|
//! | `reads` | the one place that makes such reads: which one is under way, and what does not answer |
//! | `abandoned` | whether a thread was abandoned |
//! | `within` | one such read that no sample makes |
//!
//! `commands::relay` abandons the thread.

pub mod abandoned;
pub mod reads;
pub mod within;
