//! The way out failed, and not the provider.

use std::{error::Error as StdError, fmt};

use super::Exit;

/// An exit did not let a request out: its proxy refused or cannot be reached, its address is not this machine's. A client
/// that knows exits puts it among the sources of its error: [`judge_error`](crate::judge_error) then rests the exit for a
/// moment (`unreachable` of the [`RestTable`](crate::RestTable)), and no key. Nothing of the request was sent.
///
/// Its text names the exit; `source` must hold no credentials of a proxy.
#[derive(Debug)]
pub struct ExitError {
    exit: Exit,
    source: Box<dyn StdError + Send + Sync>,
}

impl ExitError {
    /// This exit failed, for this reason.
    pub fn new(exit: Exit, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { exit, source: source.into() }
    }

    /// Which one.
    pub fn exit(&self) -> &Exit {
        &self.exit
    }
}

impl fmt::Display for ExitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the exit {} lets nothing out", self.exit)
    }
}

impl StdError for ExitError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}
