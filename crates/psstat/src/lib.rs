//! psstat reports what a group of processes costs: CPU, memory and number of processes of a service
//! and all its children, for Telegraf.
//!
//! This crate is the program: it reads the command line and the kernel, and writes lines. The
//! computation is in [`psstat_core`].
//!
//! Each module imports only modules that stand above it in this table.
//!
//! | module | what it owns |
//! |---|---|
//! | [`deadline`] | `--timeout` |
//! | [`mistakes`] | settings that cannot do what was meant |
//! | [`job`] | what to measure, where, and how |
//! | [`everything`] | what the commands for people show if nobody says what |
//! | [`sys`] | system calls, and what their errors mean |
//! | [`blocking`] | reads that may never come back |
//! | [`privilege`] | capabilities that psstat has and its caller has not |
//! | [`users`] | passwd(5) and getent(1) |
//! | [`files`] | files outside `/proc` and `/sys`: cache, output, pid files, configuration |
//! | [`settings`] | settings of the command line or the file, and the step to a job |
//! | [`config`] | the configuration file |
//! | [`cli`] | the command line |
//! | [`environment`] | what the meaning of command line and file depends on |
//! | [`unit_files`] | the unit files of systemd |
//! | [`error`], [`messages`] | standard error |
//! | [`ending`] | how the program ends |
//! | [`procfs`], [`cgroupfs`] | files below `/proc` and `/sys` |
//! | [`clock`] | CPU clocks of processes |
//! | [`exit_records`] | what the kernel tells of processes that end |
//! | [`executables`] | which file an exit record means |
//! | [`machine`] | the machine that psstat runs on |
//! | [`terminal`] | the terminal that standard output may be |
//! | [`sandbox`] | what a resident process gives up |
//! | [`commands`] | one file per command |

pub mod blocking;
pub mod cgroupfs;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod deadline;
pub mod ending;
pub mod environment;
pub mod error;
pub mod everything;
pub mod executables;
pub mod exit_records;
pub mod files;
pub mod host;
pub mod job;
pub mod machine;
pub mod messages;
pub mod mistakes;
pub mod privilege;
pub mod procfs;
pub mod sandbox;
pub mod settings;
pub mod sys;
pub mod terminal;
pub mod unit_files;
pub mod users;
