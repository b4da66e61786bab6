//! The pool: which key may carry this request, now; until when may the others not.

mod acquire;
mod asked;
mod builder;
mod demand;
mod exhausted;
mod lease;
mod state;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use acquire::Acquire;
pub use builder::KeyPoolBuilder;
pub(crate) use demand::OnGrant;
pub use demand::{Affinity, Demand};
pub use exhausted::{Exhausted, OutReason};
pub use lease::{Granted, Lease, Usage};
pub(crate) use lease::{Kept, Prepared, Seat};

use crate::{error::Error, provider::Provider, time::Clock, verdict::Verdict};
use state::State;

/// Many keys, used as if they were one. A cheap handle: clones share the pool.
#[derive(Clone)]
pub struct KeyPool(Arc<Shared>);

struct Shared {
    provider: Arc<dyn Provider>,
    clock: Clock,
    wait: Duration,
    state: Mutex<State>,
}

impl KeyPool {
    /// Begins a pool for this provider.
    pub fn builder(provider: impl Provider) -> KeyPoolBuilder {
        KeyPoolBuilder::new(Arc::new(provider))
    }

    /// The provider whose keys it holds.
    pub fn provider(&self) -> &Arc<dyn Provider> {
        &self.0.provider
    }

    /// The clock it lives by.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// How long a demand waits that does not say so itself; zero unless set.
    pub fn default_wait(&self) -> Duration {
        self.0.wait
    }

    /// Takes a key now, or says why there is none.
    ///
    /// # Errors
    /// Exhausted, or a demand that never fits.
    pub fn try_acquire(&self, demand: impl Into<Demand>) -> Result<Lease, Error> {
        self.try_lease(&demand.into())
    }

    /// [`try_acquire`](Self::try_acquire) for whoever still needs the demand when it is refused.
    pub(crate) fn try_lease(&self, demand: &Demand) -> Result<Lease, Error> {
        let now = self.0.clock.now();
        let picked = self.lock().pick(demand, now);
        self.finish_pick(picked, demand)
    }

    /// Takes a key, waiting as long as the demand (or the pool) says. Cancel it by dropping it.
    pub fn acquire(&self, demand: impl Into<Demand>) -> Acquire {
        Acquire::new(self.clone(), demand.into())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPool").field("provider", &self.0.provider.name()).finish_non_exhaustive()
    }
}

impl KeyPool {
    fn finish_pick(&self, picked: Result<state::Picked, Error>, demand: &Demand) -> Result<Lease, Error> {
        match picked {
            Ok(picked) => Ok(Lease::new(Granted {
                pool: self.clone(),
                seat: picked.seat,
                key: picked.key,
                secret: picked.secret,
                model: demand.model.clone(),
                requested: demand.requested.clone().or_else(|| demand.model.clone()),
                earlier: demand.earlier.clone(),
            })),
            Err(error) => Err(error.with_provider(&self.0.provider)),
        }
    }

    pub(crate) fn end(&self, seat: Seat) {
        self.lock().end(seat);
    }

    pub(crate) fn judge(&self, seat: Seat, verdict: &Verdict) {
        let now = self.0.clock.now();
        self.lock().judge(seat, verdict, now);
    }

    pub(crate) fn usage(&self, _seat: Seat, _usage: Usage) {}

    pub(crate) fn started(&self, _seat: Seat) {}

    pub(crate) fn seq_of(&self, _seat: Seat) -> u64 {
        0
    }
}
