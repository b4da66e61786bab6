//! Constants that decide how long a reservation counts, shared by the SQLite and Redis stores.

/// Maximum time between a reservation and the sending of its request. The request counts from the end of this time on,
/// so it is never sent later than it is counted.
pub(crate) const HOLD_MS: i64 = 1_000;

/// Maximum time that an entry counts beyond its span, because the request takes a while to arrive.
pub(crate) const GUARD_MS: i64 = 250;

/// Number of parts of a span. All reservations within one part are one entry, at the part's end.
pub(crate) const PARTS: i64 = 240;

/// Span of the window that is always counted, so that a limit learned later can look back.
pub(crate) const MINUTE_MS: i64 = 60_000;

/// Delay that is reported for a limit of zero.
pub(crate) const NEVER_MS: i64 = 86_400_000;

/// Maximum amount; larger ones are capped, so that sums of millions of amounts fit into an i64.
pub(crate) const MOST: u64 = 1 << 40;

/// How long a closed breaker is reported to other processes, and how long a learned limit applies.
pub(crate) const RECORD_KEPT_MS: i64 = 86_400_000;
