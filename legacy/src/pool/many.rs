//! Many leases at once, under one lock.

use std::{
    fmt,
    future::{IntoFuture, Ready, ready},
    time::Duration,
};

use super::{Affinity, Demand, KeyPool, Lease, ask::Ask, roster::UNBOUNDED, state::State};
use crate::{
    error::{Error, Kind},
    limit::{Limit, Unit},
    time::{Now, Tick},
};

/// Takes groups of leases at once: made by [`KeyPool::acquire_many`]. Await it, or call [`now`](AcquireMany::now).
///
/// Partial unless [`all_or_none`](AcquireMany::all_or_none) is set: the groups are filled in order with what is ready.
/// It never holds some leases while it waits for more, so it does not wait at all.
///
/// ```
/// use tower_keypool::{Gemini, Key, KeyPool};
///
/// let keys = (0..60).map(|n| Key::new(format!("AIza-not-a-real-key-{n:03}")));
/// let pool = KeyPool::builder(Gemini::new()).keys(keys).build()?;
/// let groups = pool.acquire_many(&[10, 20, 30]).of("gemini-2.5-flash").now()?;
/// assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [10, 20, 30]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "nothing is taken until it is awaited or `now` is called"]
pub struct AcquireMany {
    pool: KeyPool,
    sizes: Vec<usize>,
    demand: Demand,
    all_or_none: bool,
}

impl AcquireMany {
    pub(super) fn new(pool: KeyPool, sizes: &[usize]) -> Self {
        Self { pool, sizes: sizes.to_vec(), demand: Demand::any_model(), all_or_none: false }
    }

    /// What each lease is for; requests without a model unless set.
    pub fn of(mut self, demand: impl Into<Demand>) -> Self {
        self.demand = demand.into();
        self
    }

    /// Everything, or an error and nothing.
    pub fn all_or_none(mut self) -> Self {
        self.all_or_none = true;
        self
    }

    /// Takes them: one group a size, in order.
    ///
    /// # Errors
    /// Why no key may serve: when not a single lease could be had, or, with `all_or_none`, not every one; then the time that it
    /// tells is the earliest at which another one could be. [`is_never_fits`](Error::is_never_fits) where all keys together
    /// may never start so many.
    pub fn now(self) -> Result<Vec<Vec<Lease>>, Error> {
        let wanted = self.sizes.iter().fold(0, |sum: usize, size| sum.saturating_add(*size));
        let (leases, short) = self.pool.take_many(&self.demand, wanted, self.all_or_none);
        match short {
            Some(error) if leases.is_empty() && wanted > 0 => return Err(error),
            _ => {}
        }
        let mut leases = leases.into_iter();
        Ok(self.sizes.iter().map(|size| leases.by_ref().take(*size).collect()).collect())
    }
}

impl KeyPool {
    fn take_many(&self, demand: &Demand, wanted: usize, all: bool) -> (Vec<Lease>, Option<Error>) {
        let now = self.0.clock.now();
        let mut state = self.look_at(now);
        // Whoever asks for more than there can be gets what there is.
        let mut picks = Vec::with_capacity(wanted.min(1 << 12));
        let mut short = None;
        while picks.len() < wanted {
            match state.try_pick(demand, Duration::ZERO, now) {
                Ok(picked) => picks.push(picked),
                Err(reason) => {
                    short = Some(state.refuse_for_good(demand, reason, now));
                    break;
                }
            }
        }
        if all
            && !picks.is_empty()
            && let Some(error) = short.take()
        {
            for picked in picks.drain(..) {
                state.give_up(picked.seat, now);
            }
            short = Some(state.not_all(demand, wanted, error, now));
        }
        drop(state);
        let short = short.map(|error| error.with_provider(&self.0.provider));
        (picks.into_iter().map(|picked| self.leased(picked, demand)).collect(), short)
    }
}

impl State {
    /// The same error for so many at once, of which some could be had and were given back.
    fn not_all(&mut self, demand: &Demand, wanted: usize, mut error: Error, now: Now) -> Error {
        let Some(exhausted) = error.exhausted_mut() else { return error };
        let ask = self.ask(demand, now);
        let must = matches!(demand.affinity, Affinity::MustKey(_) | Affinity::MustOwner(_));
        let slots: Vec<u32> = if must { self.wanted(&demand.affinity) } else { self.roster.slots().collect() };
        let leases = wanted as u64;
        let wanted = leases.saturating_mul(u64::from(ask.need.requests));
        if let Some(limit) = self.too_small_for(&ask, wanted, &slots) {
            return Error::new(Kind::NeverFits { model: self.shown_model(demand), wanted, limit });
        }
        if let Some(most) = self.most_at_once(&slots).filter(|most| leases > *most) {
            return Error::new(Kind::TooManyAtOnce { model: self.shown_model(demand), wanted: leases, most });
        }
        let next = slots.iter().filter_map(|slot| self.one_more_at(&ask, *slot)).min();
        // Another one then; all of them perhaps later.
        exhausted.next_in = None;
        exhausted.may_in = next.map(|next| next.since(now.tick));
        error
    }

    /// The limit on requests that all keys have together, where these are more than that.
    fn too_small_for(&mut self, ask: &Ask<'_>, requests: u64, slots: &[u32]) -> Option<Limit> {
        if ask.demand.free {
            return None;
        }
        let most = self.most_requests(ask.demand, Duration::ZERO, ask.now).filter(|most| requests > *most)?;
        let owner = self.owner_at(*slots.first()?);
        let limits = self.plans.sources(self.lanes[usize::from(ask.lane)].owners[owner as usize].plan).whole();
        let of_requests = limits.iter().copied().filter(|limit| limit.unit == Unit::Requests);
        of_requests.min_by_key(|limit| limit.amount).map(|limit| Limit { amount: most, ..limit })
    }

    /// How many leases these keys may have at a time; `None` where one has no such bound.
    fn most_at_once(&self, slots: &[u32]) -> Option<u64> {
        let of_key = |slot: &u32| {
            let key = &self.roster.keys[*slot as usize];
            // Between two starts lies a time.
            let most = if key.interval_ms > 0 { 1 } else { key.max_concurrent };
            (most != UNBOUNDED).then_some(u64::from(most))
        };
        slots.iter().map(of_key).sum()
    }

    /// When this key may carry one more than it may now, where that is known.
    fn one_more_at(&mut self, ask: &Ask<'_>, slot: u32) -> Option<Tick> {
        let ready = self.earliest(ask, slot)?;
        if ready > ask.now.tick {
            return Some(ready);
        }
        let owner = self.owner_at(slot);
        let at = self.at(ask.now, owner);
        let lane = &mut self.lanes[usize::from(ask.lane)];
        let plan = self.plans.plan(lane.owners[owner as usize].plan);
        if ask.demand.free || plan.words() == 0 {
            return None;
        }
        let (log, each) = (lane.log(owner, plan.words()), u64::from(ask.need.requests).max(1));
        let free = plan.headroom(log, Unit::Requests, at.tick, at.day.days);
        let more = (free / each).checked_add(1)?.checked_mul(each)?;
        plan.next_headroom(log, Unit::Requests, more, &at)?.tick(&at)
    }
}

impl IntoFuture for AcquireMany {
    type Output = Result<Vec<Vec<Lease>>, Error>;
    type IntoFuture = Ready<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        ready(self.now())
    }
}

impl fmt::Debug for AcquireMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquireMany").field("sizes", &self.sizes).field("demand", &self.demand).finish_non_exhaustive()
    }
}
