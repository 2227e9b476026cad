//! File systems in which the kernel shows itself. Reading one of their files can have an effect.

use rustix::fs::{FsWord, PROC_SUPER_MAGIC};

/// procfs, sysfs, debugfs, tracefs, securityfs and control groups of both versions
/// (include/uapi/linux/magic.h).
const FILE_SYSTEMS: [FsWord; 7] = [
    PROC_SUPER_MAGIC,
    0x6265_6572,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0x6367_7270,
    0x0027_e0eb,
];

/// Whether a file system of that type is one of them.
pub fn is_of_kernel(file_system: FsWord) -> bool {
    FILE_SYSTEMS.contains(&file_system)
}
