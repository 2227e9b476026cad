//! What is kept between two runs: the members of each group with their CPU time, in one small
//! file.

pub mod codec;
pub mod store;
