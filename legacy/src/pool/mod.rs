//! The pool: which key may carry this request, now; until when may the others not.

mod acquire;
mod allowance;
mod ask;
mod asked;
mod behind;
mod bodies;
mod builder;
mod by_hand;
mod by_unit;
mod called;
mod came;
mod cell;
mod change;
mod check;
mod closed;
mod configured;
mod dates;
mod demand;
mod diagnose;
mod doubt;
mod entries;
mod event;
mod evidence;
mod exhausted;
mod exits;
mod follow;
mod former;
mod gather;
mod given;
mod given_back;
mod grant;
mod granted;
mod group;
mod guard;
mod handle;
mod health;
mod hope;
mod incident;
mod journal;
mod judge;
mod kept;
mod kin;
mod lane;
mod lane_names;
mod lasting;
mod lately;
mod lead;
mod learn;
mod lease;
mod line;
mod locked;
mod locks;
mod many;
mod mark;
mod meter;
mod near;
mod noting;
mod nowhere;
mod open;
mod out_reason;
mod outlook;
mod overfull;
mod overview;
mod ownership;
mod particulars;
mod parting;
mod penalty;
mod pick;
mod place;
mod plans;
mod prepared;
mod presence;
mod priorities;
mod rank;
mod ready;
mod recall;
mod recent_names;
mod reconfigure;
mod recorded;
mod refill;
mod rest;
mod revive;
mod ring;
mod room;
mod roster;
mod scope;
mod seats;
mod served_by;
mod set_aside;
mod settle;
mod sharing;
mod short;
mod shown;
mod shutdown;
mod snapshot;
mod state;
mod steps;
mod stuck;
mod survey;
mod tally;
mod timer;
pub(crate) mod trace;
mod trickle;
mod trusted;
mod unlimited;
mod unnamed;
mod uses;
mod wait;
mod waiting_room;
mod write_behind;

#[cfg(test)]
mod laws;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, AtomicU64},
};

use tokio::sync::{Notify, broadcast, watch};

pub use acquire::Acquire;
pub(crate) use behind::Behind;
pub(crate) use bodies::{ALARMS, ERRORS};
pub use builder::{KeyPoolBuilder, Spill, Unjudged};
pub use change::KeyChange;
pub(crate) use configured::lane_name;
pub(crate) use demand::OnGrant;
pub use demand::{Affinity, Demand};
pub use event::{Event, Events, LimitHit, Lost};
pub use exhausted::Exhausted;
pub use granted::Granted;
pub(crate) use granted::Start;
pub(crate) use kept::Keeping;
pub(crate) use lease::{Kept, Seat, Slot};
pub use lease::{Lease, Usage};
pub use many::AcquireMany;
pub use meter::Meter;
pub use open::{OpenError, Sharing};
pub use out_reason::OutReason;
pub use particulars::AllowedModels;
pub(crate) use particulars::{ByModel, Particulars, Retold};
pub use plans::LimitSource;
pub(crate) use prepared::Prepared;
pub use rank::{Strategy, UnknownStrategy};
pub use reconfigure::RosterChange;
pub use rest::{RestBackoff, RestTable};
pub use served_by::{Attempt, ServedBy};
pub use sharing::{SharingState, SharingView};
pub use snapshot::{
    DisabledView, ExitView, KeyLaneView, KeyState, KeyView, LaneLimitView, LaneView, LimitView, PriorityView, RestView,
    Snapshot,
};
pub use steps::{Candidate, Step};
pub use waiting_room::WaitingRoom;

use crate::{provider::Provider, rule::Retry, time::Clock};
use came::Came;
use locks::Mutex;
use recent_names::RecentNames;
use sharing::Standing;
use state::State;
use write_behind::Written;

/// Many keys, used as if they were one. A cheap handle: clones share the pool.
///
/// ```
/// use tower_keypool::{Gemini, Key, KeyPool};
///
/// let pool = KeyPool::builder(Gemini::new())
///     .key(Key::free("AIza-not-a-real-key-001").owner("project-a"))
///     .key(Key::paid("AIza-not-a-real-key-002"))
///     .build()?;
/// let lease = pool.try_acquire("gemini-2.5-flash")?;
/// assert_eq!(pool.snapshot().in_flight, 1);
/// drop(lease);
/// assert_eq!(pool.snapshot().in_flight, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct KeyPool(Arc<Shared>);

impl KeyPool {
    /// Whether both handles are of one pool.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for KeyPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPool").field("provider", &self.0.provider.name()).finish_non_exhaustive()
    }
}

struct Shared {
    provider: Arc<dyn Provider>,
    clock: Clock,
    /// In milliseconds.
    wait: AtomicU64,
    /// For demands that bring none.
    room: Arc<WaitingRoom>,
    /// For calls that bring no rule. Whoever takes it clones it: never held for longer.
    retry: std::sync::Mutex<Retry>,
    unjudged: Unjudged,
    names: RecentNames,
    /// Its secrets, for whoever looks for them in texts.
    came: Arc<Came>,
    /// What is no key of this pool, and not told either.
    beside: std::sync::Mutex<shown::Hidden>,
    /// Some limit counts tokens.
    limits_tokens: Arc<AtomicBool>,
    /// A store asks what answers cost.
    keeps_usage: bool,
    /// Which good answers are not good, as far as was met by now: bits of [`bodies`].
    good_answers: AtomicU8,
    /// A request was refused as if it named what is another's, and nobody had said whether it does.
    met_unclear_refusals: AtomicBool,
    state: Mutex<State>,
    events: broadcast::Sender<Arc<Event>>,
    /// Told when the last lease of a pool that shuts down has ended.
    idle: Notify,
    /// What is said of the writes behind; none without a store.
    written: Option<Written>,
    /// How sharing with other processes stands; none where nothing is shared.
    sharing: Option<watch::Receiver<Standing>>,
}
