//! The clock, the only module that reads the time.

use tokio::time::Instant;

/// Returns the monotonic time, which does not advance under a paused runtime.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
