//! Which processes are the roots of groups, and which selector made them so.

pub mod matcher;
pub mod roots;
pub mod selector;
pub mod selectors;
pub mod systemd;
