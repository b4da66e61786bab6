//! What commands print on standard output. That nobody reads it any more is no fault; that it cannot be written is one, which
//! is told at the command's end.

use std::{
    io::{self, ErrorKind, Write},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use anyhow::anyhow;

use super::Failure;

/// Why not all of it is there.
static UNWRITTEN: OnceLock<io::Error> = OnceLock::new();
/// Something was to be there.
static SAID: AtomicBool = AtomicBool::new(false);

/// A line, or several.
pub(super) fn say(text: &str) {
    note(writeln!(io::stdout(), "{text}"));
}

/// An object or a list, as `--json` prints it.
pub(super) fn say_json(value: &impl serde::Serialize) {
    say(&crate::telemetry::pretty(value));
}

/// What became of something that was written there; whether more can be.
pub(super) fn note(written: io::Result<()>) -> bool {
    SAID.store(true, Relaxed);
    let Err(error) = written else { return true };
    if error.kind() != ErrorKind::BrokenPipe {
        let _ = UNWRITTEN.set(error);
    }
    false
}

/// Whether anything was.
pub(super) fn anything() -> bool {
    SAID.load(Relaxed)
}

/// Ends a command that went well otherwise.
pub(super) fn whole() -> Result<(), Failure> {
    let failed = |error| Err(Failure::run(anyhow!("standard output: {error}")));
    UNWRITTEN.get().map_or(Ok(()), failed)
}
