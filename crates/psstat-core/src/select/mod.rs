//! Selectors, and the processes that they pick as roots of groups.

pub mod division;
pub mod matcher;
pub mod recipe;
pub mod roots;
pub mod selector;
pub mod selectors;
pub mod systemd;
pub mod template;
