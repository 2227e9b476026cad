//! psstat tells what a group of processes costs: CPU, memory and number of processes of a service
//! and all its children.
//!
//! Data goes one way:
//!
//! ```text
//! argv, file ─► settings ─► plan ─► sample ─► select ─► account ─► emit
//!               (pure)      (pure)  (/proc)   (pure)    (pure)     (pure, into one buffer,
//!                                                                  one write)
//! ```
//!
//! | module | owns | invariant |
//! |---|---|---|
//! | [`units`] | the quantities | no bare integer crosses a module's border |
//! | [`label`] | text fit for tags | no name that a process gives itself can break a line |
//! | [`mod@unit`] | how systemd names units and their control groups | pure |
//! | [`error`] | what can go wrong | a vanished process is no error |
//! | [`cli`] | the command line | pure: what it must ask the system is handed in |
//! | [`config`] | the configuration file | pure; whatever it does not understand is an error |
//! | [`settings`] | what either says, value by value | pure; decides nothing before both are read |
//! | [`job`] | what to measure, where and how | nothing is left open |
//! | [`documents`] | manual page, completions | made from the command line's definition |
//! | [`selector`] | what picks the roots of a group | pure |
//! | [`matcher`] | regexes and globs | pure; all of a kind in one pass |
//! | [`plan`] | what is to be done | valid once made |
//! | [`procfs`] | `/proc` and `/sys` | nothing else opens a file there; parsing is pure |
//! | [`sample`] | what was seen | a parent is read before its children |
//! | [`look`] | which processes to look at | pure; where it is not sure, all |
//! | [`select`] | roots of groups | pure |
//! | [`account`] | trees, ledger, memory, groups | pure; knows neither files nor clocks |
//! | [`cache`] | what is kept between runs | the codec is pure; the store writes only its own file |
//! | [`mod@replace`] | files that are replaced in one step | touches a plain file of its own user, or none |
//! | [`emit`] | output formats | pure |
//! | [`run`] | the wiring | the only place that joins input and output to thought |

pub mod account;
pub mod cache;
pub mod cli;
pub mod config;
pub mod documents;
pub mod emit;
pub mod error;
pub mod job;
pub mod label;
pub mod look;
pub mod matcher;
pub mod plan;
pub mod procfs;
pub mod replace;
pub mod run;
pub mod sample;
pub mod select;
pub mod selector;
pub mod settings;
pub mod unit;
pub mod units;
