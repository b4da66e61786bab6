//! Moments as they are written down.

use std::time::UNIX_EPOCH;

use tower_keypool::Clock;

/// Now, in Unix milliseconds.
pub(super) fn unix_ms(clock: &Clock) -> i64 {
    let since = clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
