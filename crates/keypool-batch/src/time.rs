//! The only file that asks for the time.

use tokio::time::Instant;

/// Monotonic time, which stands still under a paused runtime.
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
