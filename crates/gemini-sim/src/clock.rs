//! The clock, the only module that reads the time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// The elapsed time of tokio's clock, so that paused time works, and a wall clock that starts at the time set by the
/// builder and advances with it.
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

    /// Returns the time since the simulator was built.
    #[expect(clippy::disallowed_methods, reason = "this is the file that owns the clock")]
    pub(crate) fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.origin)
    }

    /// Returns the time of the simulator's wall clock at an elapsed time.
    pub(crate) fn wall_at(&self, elapsed: Duration) -> Timestamp {
        let elapsed = SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::MAX);
        self.wall.checked_add(elapsed).unwrap_or(self.wall)
    }
}
