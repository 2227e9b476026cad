//! The computation of psstat: which processes belong to a group, and what the group used.
//!
//! This crate does no input or output. It is `no_std`, so the compiler holds it to that. What it
//! needs of a machine it asks through the trait [`Kernel`]. The program `psstat` implements the
//! trait for Linux; the tests implement it for simulated machines.
//!
//! # Taking a sample
//!
//! A [`Plan`](plan::Plan) says what to measure. An [`Engine`] takes the samples. Each sample is
//! compared with the state that the sample before it left; the first sample has none and reports
//! nothing.
//!
//! ```
//! use psstat_core::engine::{Engine, Sample, SampleError};
//! use psstat_core::kernel::Kernel;
//! use psstat_core::plan::Plan;
//!
//! fn two_samples<K: Kernel>(kernel: K, plan: Plan) -> Result<Sample, SampleError> {
//!     let mut engine = Engine::new(kernel, plan);
//!     let first = engine.sample(None)?;
//!     assert!(first.reports.is_empty());
//!     // Time passes; processes run.
//!     engine.sample(Some(&first.state))
//! }
//! ```
//!
//! # Modules
//!
//! Each module imports only modules that stand above it in this table.
//!
//! | module | what it owns |
//! |---|---|
//! | [`model`] | what was seen of a machine: quantities, processes, control groups, readings, reports |
//! | [`parse`] | the text formats of procfs and cgroupfs |
//! | [`field`] | one table with a row for each output field |
//! | [`select`] | selectors, and which processes they pick as roots |
//! | [`emit`] | output formats, one file each |
//! | [`plan`] | what to measure and how to print it, validated |
//! | [`account`] | process tree, ledger, memory, rates: from two samples to a report |
//! | [`kernel`] | the trait [`Kernel`]: what the engine may ask of a machine |
//! | [`discovery`] | which processes a sample must look at |
//! | [`state`] | what is kept between samples, and its encoding |
//! | [`diagnostics`] | warnings |
//! | [`engine`] | takes a sample |

#![no_std]

extern crate alloc;

#[cfg(test)]
extern crate std;

pub mod account;
pub mod diagnostics;
pub mod discovery;
pub mod emit;
pub mod engine;
pub mod field;
pub mod kernel;
pub mod model;
pub mod parse;
pub mod plan;
pub mod select;
pub mod state;

pub use engine::Engine;
pub use kernel::Kernel;
