//! What happened, in numbers.

use serde::Serialize;

/// What a process counts of the protocol; each only ever grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counters {
    /// Renewals sent: each is one call to the board, and one way there and back.
    pub renewals: u64,
    /// Of these, before their time because something was lacking.
    pub urgent: u64,
    /// Hints of the board that something changed: they are no calls, and each may hasten a renewal.
    pub hints: u64,
    /// Kinds that were asked for since they were lacking.
    pub claims: u64,
    /// Batches handed to the store, those that were not kept included. With [`renewals`](Self::renewals) all calls that
    /// sharing costs.
    pub writes: u64,
    /// Renewals without an answer.
    pub lost: u64,
    /// Units received.
    pub granted: u64,
    /// Of these, such as an earlier holder had not given back: he was gone.
    pub failed_over: u64,
    /// Units given back.
    pub returned: u64,
    /// Of these, because others lacked some.
    pub yielded: u64,
    /// Units that were not this process's any more when it told of them.
    pub refused: u64,
    /// Claims that were not met in full.
    pub dry: u64,
    /// Times when all leases ended because the board did not answer.
    pub store_lost: u64,
    /// Times when the clocks parted and all leases were void.
    pub clocks_parted: u64,
    /// Demands refused since leases had ended (fail closed).
    pub failed_closed: u64,
    /// Starts that a fair share was taken for, the board being away.
    pub fair_share: u64,
    /// Starts refused since the day's mark was reached.
    pub at_mark: u64,
    /// Boards that had gone back in time.
    pub generations: u64,
    /// Units whose limits another process configures more strictly.
    pub conflicts: u64,
    /// Times when another process turned out to hold what it is granted for longer: leases are to be the same.
    pub leases_differ: u64,
    /// Places drawn.
    pub drawn: u64,
    /// Places drawn and not used.
    pub undrawn: u64,
}
