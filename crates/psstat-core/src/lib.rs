//! The computation of psstat: which processes belong to a group, and what the group used.
//!
//! This crate does no input or output. It is `no_std`, so the compiler enforces this. It reads a
//! machine through the trait [`Kernel`]. The program `psstat` implements the trait for Linux, and
//! the tests implement it for simulated machines.
//!
//! # Taking a sample
//!
//! A [`Plan`](plan::Plan) is what to measure. An [`Engine`] takes samples of one machine for one
//! plan. Each sample returns a [`State`](state::State), and the next sample is compared with it.
//! The first sample has no state to compare with and reports nothing.
//!
//! This is a whole run. It returns the lines for all processes named `nginx` and their descendants.
//! The caller supplies the machine, and a function that waits between the samples.
//!
//! ```
//! use psstat_core::engine::{Engine, SampleError};
//! use psstat_core::kernel::Kernel;
//! use psstat_core::model::label::Label;
//! use psstat_core::plan::{Options, Plan, PlanError};
//! use psstat_core::select::selector::{Conditions, Selector};
//!
//! #[derive(Debug)]
//! enum Error {
//!     Plan(PlanError),
//!     Sample(SampleError),
//! }
//!
//! fn nginx_lines<K: Kernel>(kernel: K, wait: impl FnOnce()) -> Result<String, Error> {
//!     // 1. Select the root processes of the group "web": all whose name matches a regex.
//!     let pattern = Some("^nginx$".to_owned());
//!     let conditions = Conditions { pattern, ..Conditions::default() };
//!     let selector = Selector::of_all(Label::new(b"web"), conditions);
//!
//!     // 2. Make a plan. The default options print p_cpu, p_mem and n_proc in line protocol. A bad
//!     //    regex is an error here, before anything is read.
//!     let plan = Plan::new(vec![selector], Options::default()).map_err(Error::Plan)?;
//!
//!     // 3. Take the first sample. It reads all processes and is the baseline.
//!     let mut engine = Engine::new(kernel, plan);
//!     let first = engine.sample(None).map_err(Error::Sample)?;
//!     assert!(first.reports.is_empty());
//!
//!     // 4. Wait while the processes run. Between two runs of a program, `state::codec` converts
//!     //    the state to bytes and back.
//!     wait();
//!
//!     // 5. Take the second sample. Its reports are what each group used since the first.
//!     let second = engine.sample(Some(&first.state)).map_err(Error::Sample)?;
//!
//!     // 6. Print it: "psstat,process_name=web p_cpu=0.42,p_mem=0.001,n_proc=5i 1562471764000000000"
//!     Ok(engine.plan().text(&second.reports, second.wall))
//! }
//! ```
//!
//! # Modules
//!
//! Each module imports only modules that are above it in this table.
//!
//! | module | content |
//! |---|---|
//! | [`model`] | plain data: quantities, processes, control groups, readings, reports |
//! | [`parse`] | the text formats of procfs and cgroupfs |
//! | [`field`] | the table of output fields |
//! | [`select`] | selectors, and which processes they pick as roots |
//! | [`emit`] | the output formats |
//! | [`plan`] | what to measure and how to print it, validated |
//! | [`account`] | process tree, ledger, memory, rates: from two samples to a report |
//! | [`kernel`] | the trait [`Kernel`], through which the engine reads a machine |
//! | [`discovery`] | which processes a sample reads |
//! | [`state`] | what is kept between samples, and its encoding |
//! | [`diagnostics`] | warnings |
//! | [`engine`] | takes samples |
//! | [`explain`] | what is in each group, and why: data from samples, and text from it |

#![no_std]

extern crate alloc;

#[cfg(test)]
extern crate std;

pub mod account;
pub mod diagnostics;
pub mod discovery;
pub mod emit;
pub mod engine;
pub mod explain;
pub mod field;
pub mod kernel;
pub mod model;
pub mod parse;
pub mod plan;
pub mod select;
pub mod state;

pub use engine::Engine;
pub use kernel::Kernel;
