//! Files that psstat reads and writes outside `/proc` and `/sys`.

pub mod cache;
pub mod config;
pub mod glob;
pub mod io_error;
pub mod of_kernel;
pub mod output;
pub mod pid_file;
pub mod replace;
