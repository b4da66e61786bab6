//! How long a reservation counts: the same in SQLite and on a Redis server.

/// How long after it was reserved a request may be sent at most. It is counted from then on, so never before it is sent.
pub(crate) const HOLD_MS: i64 = 1_000;

/// How much longer than its span an entry counts at most: the request is on its way for a while.
pub(crate) const GUARD_MS: i64 = 250;

/// Into how many parts a span is divided; what is reserved in one part is one entry, at the part's end.
pub(crate) const PARTS: i64 = 240;

/// Requests of a minute are always counted, so that a limit that is learned later can look back.
pub(crate) const MINUTE_MS: i64 = 60_000;

/// When a limit of nothing is asked for again.
pub(crate) const NEVER_MS: i64 = 86_400_000;

/// Larger amounts are cut, so that sums of millions fit into an i64.
pub(crate) const MOST: u64 = 1 << 40;

/// For so long a closed breaker is told to others, and a learned limit holds.
pub(crate) const RECORD_KEPT_MS: i64 = 86_400_000;
