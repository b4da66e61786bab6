//! How a process takes part.

use std::time::Duration;

/// The times of the protocol, and what to do when the board is away. All processes that share a board use the same
/// times; where they differ each unit's lease is as long as its holder says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// How long a unit is held after a renewal. 10 s.
    pub lease: Duration,
    /// How much earlier a process stops than the board lets another begin: clocks drift. 250 ms.
    pub margin: Duration,
    /// How long after one renewal the next is sent. 2.5 s.
    pub renew_every: Duration,
    /// The same while the board is heard to give hints ([`Hint::Echo`](super::Hint::Echo)); not less than that. 2.5 s.
    pub renew_hinted: Duration,
    /// The least time between two renewals that are sent because something is lacking. 20 ms.
    pub coalesce: Duration,
    /// How long an answer is waited for. 1 s.
    pub timeout: Duration,
    /// Over how long demand is smoothed. 8 s.
    pub smoothing: Duration,
    /// How long a request may last: so long what a process sent counts as under way whose lease ended unheard, where keys
    /// allow so many at a time. 60 s; 10 s of one that is known to be dead, since its connections are closed.
    pub longest_request: Duration,
    /// What to do when leases have ended because the board is away.
    pub on_store_loss: OnStoreLoss,
    /// What is started between two renewals is [noted](super::Noted) in the store before more may be. Off.
    pub noting: bool,
    /// Where there are fewer units than processes, places are drawn from the board one by one; else units go round by
    /// use. On; a pool does without it, whatever is set.
    pub draws: bool,
    /// How many renewals before their time may follow each other, and how many a second in the long run; two to five where units go
    /// round. 10 and 1.
    pub haste: (u32, u32),
}

/// What a process does when its leases have ended because the board is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnStoreLoss {
    /// Nothing is started.
    #[default]
    FailClosed,
    /// What this process could serve goes on, each limit divided by this many processes and rounded down: one that is
    /// smaller than their number leaves nothing. May exceed limits: what others started before the loss is not known,
    /// nor whether there are more of them. Each start in it is counted, and told to the board when that is back, which
    /// ends it.
    FairShare {
        /// How many processes share the limits, this one included.
        processes: u32,
    },
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            margin: Duration::from_millis(250),
            renew_every: Duration::from_millis(2_500),
            renew_hinted: Duration::from_millis(2_500),
            coalesce: Duration::from_millis(20),
            timeout: Duration::from_secs(1),
            smoothing: Duration::from_secs(8),
            longest_request: Duration::from_secs(60),
            on_store_loss: OnStoreLoss::default(),
            noting: false,
            draws: true,
            haste: (10, 1),
        }
    }
}

impl Settings {
    /// All times in proportion to a lease of this length.
    pub fn for_lease(lease: Duration) -> Self {
        let usual = Self::default();
        let scale = lease.as_secs_f64() / usual.lease.as_secs_f64();
        Self {
            lease,
            margin: usual.margin.mul_f64(scale),
            renew_every: usual.renew_every.mul_f64(scale),
            renew_hinted: usual.renew_hinted.mul_f64(scale),
            timeout: usual.timeout.mul_f64(scale),
            smoothing: usual.smoothing.mul_f64(scale),
            ..usual
        }
    }
}
