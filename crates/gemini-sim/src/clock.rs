//! The only file that asks what time it is.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Elapsed time from tokio's clock (so that paused time works), and a wall
/// clock that starts where the builder says and advances with it.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    wall: Timestamp,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the file that owns the clock")]
    pub(crate) fn new(wall: Option<Timestamp>) -> Self {
        Self { origin: Instant::now(), wall: wall.unwrap_or_else(Timestamp::now) }
    }

    /// Time since the simulator was built.
    #[expect(clippy::disallowed_methods, reason = "this is the file that owns the clock")]
    pub(crate) fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.origin)
    }

    /// What the simulator's wall clock shows at an elapsed time.
    pub(crate) fn wall_at(&self, elapsed: Duration) -> Timestamp {
        let elapsed = SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::MAX);
        self.wall.checked_add(elapsed).unwrap_or(self.wall)
    }
}
