//! The only file that asks what time it is.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Elapsed time from tokio's clock (so that paused time works), and a wall
/// clock that starts where the builder says and advances with it.
#[derive(Debug)]
pub(crate) struct Clock {
    origin: Instant,
    wall: Timestamp,
    skew_millis: AtomicI64,
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the file that owns the clock")]
    pub(crate) fn new(wall: Option<Timestamp>, skew: SignedDuration) -> Self {
        let clock =
            Self { origin: Instant::now(), wall: wall.unwrap_or_else(Timestamp::now), skew_millis: AtomicI64::new(0) };
        clock.set_skew(skew);
        clock
    }

    /// Time since the simulator was built.
    #[expect(clippy::disallowed_methods, reason = "this is the file that owns the clock")]
    pub(crate) fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.origin)
    }

    /// What the simulator's wall clock shows at an elapsed time.
    pub(crate) fn wall_at(&self, elapsed: Duration) -> Timestamp {
        let skew = SignedDuration::from_millis(self.skew_millis.load(Ordering::Relaxed));
        let elapsed = SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::MAX);
        self.wall.checked_add(elapsed).and_then(|t| t.checked_add(skew)).unwrap_or(self.wall)
    }

    pub(crate) fn set_skew(&self, skew: SignedDuration) {
        let millis = i64::try_from(skew.as_millis()).unwrap_or(0);
        self.skew_millis.store(millis, Ordering::Relaxed);
    }
}
