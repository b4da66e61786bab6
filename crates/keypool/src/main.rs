//! The binary `keypool`; everything it does stands in the library beside it.

use std::process::ExitCode;

/// Of the static binary: that of musl takes turns over one lock.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keypool::cli::run()
}
