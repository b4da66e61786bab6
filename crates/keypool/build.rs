//! How the binary is linked.
//!
//! It lies anywhere in memory, so that each start puts addresses into 30,000 places. As a plain list these are 750 KB, all
//! of which are read at the start and count as the gateway's memory; packed they are 20. What loads a program
//! understands that from glibc 2.36 on: where this machine's is older, or another machine's is linked for, the list stays.

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let of = |name: &str| env::var(name).unwrap_or_default();
    let here =
        of("HOST") == of("TARGET") && of("CARGO_CFG_TARGET_ENV") == "gnu" && of("CARGO_CFG_TARGET_ARCH") == "x86_64";
    if here && glibc().is_some_and(|version| version >= (2, 36)) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of this machine's glibc.
fn glibc() -> Option<(u32, u32)> {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let told = String::from_utf8(told.stdout).ok()?;
    let (major, minor) = told.trim().strip_prefix("glibc ")?.split_once('.')?;
    let minor = minor.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
