//! What to do where a store is missing at start.

use std::time::Duration;

/// What to do when the store that processes share cannot be reached at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnMissing {
    /// Try again for so long, then fail. 30 s by default.
    Wait(Duration),
    /// Begin without it, as in a [fair share](crate::share::OnStoreLoss::FairShare): each limit divided by so many processes and
    /// rounded down, until it answers. May exceed limits: what others started before is not known.
    Local {
        /// How many processes share the limits, this one included.
        expected_processes: u32,
    },
}

impl Default for OnMissing {
    fn default() -> Self {
        Self::Wait(Duration::from_secs(30))
    }
}
