//! How the binary is linked.
//!
//! It lies anywhere in memory, so that each start puts addresses into 30,000 places. As a plain list these are 750 KB, all
//! of which are read at the start and count as the gateway's memory; packed they are 20. What loads a program
//! understands that from glibc 2.36 on: where this machine's is older, or another machine's is linked for, the list stays.
//!
//! What a gateway runs of it lies side by side (`link/order.txt`, by `scripts/link-order`): spread over the whole program,
//! it keeps 12 MiB more in memory. A linker that cannot do that is found out by linking something small, and left alone.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=link/order.txt");
    let here =
        of("HOST") == of("TARGET") && of("CARGO_CFG_TARGET_ENV") == "gnu" && of("CARGO_CFG_TARGET_ARCH") == "x86_64";
    if here && glibc().is_some_and(|version| version >= (2, 36)) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    // Names of functions that are not optimised away are other ones.
    if of("CARGO_CFG_TARGET_OS") == "linux" && of("PROFILE") == "release" {
        let out = PathBuf::from(of("OUT_DIR"));
        let list = fs::read_to_string("link/order.txt").expect("link/order.txt lies in this crate");
        let script = out.join("order.ld");
        fs::write(&script, linker_script(&list)).expect("OUT_DIR can be written to");
        let arg = format!("-Wl,-T,{}", script.display());
        if links(&arg, &out) {
            println!("cargo::rustc-link-arg-bins={arg}");
        }
    }
}

fn of(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

/// The version of this machine's glibc.
fn glibc() -> Option<(u32, u32)> {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let told = String::from_utf8(told.stdout).ok()?;
    let (major, minor) = told.trim().strip_prefix("glibc ")?.split_once('.')?;
    let minor = minor.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A section of its own in front of all others of the program's text. Where there was a profile (`scripts/guided`), it says of
/// functions how busy they are.
fn linker_script(list: &str) -> String {
    let mut script = "SECTIONS\n{\n  .text.serving :\n  {\n".to_owned();
    for name in list.lines().filter(|line| !line.starts_with('#')) {
        let _ = writeln!(script, "    *(.text.hot.{name} .text.{name} .text.unlikely.{name})");
    }
    script + "  }\n}\nINSERT BEFORE .text;\n"
}

/// Whether a program can be linked so.
fn links(arg: &str, out: &Path) -> bool {
    let source = out.join("nothing.rs");
    fs::write(&source, "fn main() {}").expect("OUT_DIR can be written to");
    let mut rustc = Command::new(of("RUSTC"));
    rustc.args(["--edition=2024", "--target", &of("TARGET"), "-C", &format!("link-arg={arg}")]);
    rustc.args(of("CARGO_ENCODED_RUSTFLAGS").split('\x1f').filter(|flag| !flag.is_empty()));
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        rustc.arg(format!("-Clinker={linker}"));
    }
    rustc.arg("-o").arg(out.join("nothing")).arg(&source);
    rustc.output().is_ok_and(|ran| ran.status.success())
}
