//! The binary `keypool`; everything it does stands in the library beside it.

use std::process::ExitCode;

/// A request allocates some twenty small pieces on one thread and frees half of them on another.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    keypool::cli::run()
}
