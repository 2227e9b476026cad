//! Lets the linker pack the relocations of the static binary: 100 KiB less to store and to read at each start.
//!
//! A static binary relocates itself. The C library can read packed relocations from glibc 2.36 on; with an older
//! one the binary would crash as it starts. What is linked is the C library of the machine that builds.

use std::env;
use std::process::Command;

/// The first glibc that reads packed relocations (`DT_RELR`).
const FIRST: (u32, u32) = (2, 36);

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is_set = |name: &str, value: &str| {
        env::var(name).is_ok_and(|values| values.split(',').any(|one| one == value))
    };
    let is_static = is_set("CARGO_CFG_TARGET_ENV", "gnu")
        && is_set("CARGO_CFG_TARGET_FEATURE", "crt-static")
        && env::var("HOST") == env::var("TARGET");
    if is_static && glibc().is_some_and(|version| version >= FIRST) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's glibc. getconf(1) prints `glibc 2.36`, for example.
fn glibc() -> Option<(u32, u32)> {
    let printed = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?.stdout;
    let text = String::from_utf8(printed).ok()?;
    let (major, rest) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    let minor = rest.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
