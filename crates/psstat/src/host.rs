//! Where the directories of the host are, as seen from a container.

use std::path::PathBuf;

/// A directory of the host, if this variable of the environment says where it is.
pub fn directory(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|directory| !directory.is_empty()).map(PathBuf::from)
}
