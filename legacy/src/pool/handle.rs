//! The pool's handle: each call takes the mutex once, and wakes and tells whoever waits after it is free again.

use std::{
    sync::{Arc, PoisonError},
    task::Waker,
    time::Duration,
};

use super::{
    Acquire, AcquireMany, Demand, Events, Exhausted, KeyPool, KeyPoolBuilder, Lease, OutReason, Seat, Snapshot,
    Unjudged,
    acquire::{Begun, Look},
    ask::Ask,
    granted::Granted,
    locked::Locked,
    pick::{NotNow, Picked},
    state::State,
};
use crate::{
    error::{Error, Kind},
    key::KeyId,
    provider::Provider,
    rule::Retry,
    time::{Clock, Now, Tick},
    verdict::{Verdict, VerdictKind},
};

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

    /// When a call is sent again that brings no rule of its own.
    pub fn default_retry(&self) -> Retry {
        self.0.retry.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a key now, or says why there is none. Never waits, whatever the demand says.
    ///
    /// # Errors
    /// [`is_exhausted`](Error::is_exhausted), [`is_never_fits`](Error::is_never_fits) or
    /// [`is_shut_down`](Error::is_shut_down).
    #[expect(clippy::inline_always, reason = "a demand that is handed on is copied whole, otherwise")]
    #[inline(always)]
    pub fn try_acquire(&self, demand: impl Into<Demand>) -> Result<Lease, Error> {
        self.lease_at_once(&demand.into(), self.0.clock.now(), true)
    }

    /// [`try_acquire`](Self::try_acquire) for whoever still needs the demand when it is refused, to wait or to give up,
    /// and [counts](Self::count_exhausted) the latter.
    pub(crate) fn try_lease(&self, demand: &Demand, now: Now) -> Result<Lease, Error> {
        self.lease_at_once(demand, now, false)
    }

    /// Handed on as it is: a lease is copied whole wherever somebody looks at it on its way.
    fn lease_at_once(&self, demand: &Demand, now: Now, counted: bool) -> Result<Lease, Error> {
        let mut state = self.state();
        state.watch_wall(now);
        state.serve(now);
        if demand.particulars.meter().is_some() {
            state.note_candidates(demand, now);
        }
        if !state.closed
            && let Some(picked) = state.pick_first(demand, now)
        {
            self.leave(state);
            return Ok(self.leased_here(picked, demand));
        }
        self.lease_other(self.holding(state), demand, now, counted)
    }

    /// The first key was not to be had at once: any other, or why there is none, which may be counted.
    #[inline(never)]
    fn lease_other(&self, mut state: Locked<'_>, demand: &Demand, now: Now, counted: bool) -> Result<Lease, Error> {
        let wait = if counted { Duration::ZERO } else { demand.wait.unwrap_or_else(|| self.default_wait()) };
        let outcome = state.try_others(demand, wait, now).map_err(|reason| {
            let error = state.refuse(demand, reason, now, false);
            state.tally.exhausted += u64::from(counted && error.is_exhausted());
            error
        });
        drop(state);
        self.lease(outcome, demand)
    }

    /// One request more that found no key.
    pub(crate) fn count_exhausted(&self) {
        self.state().tally.exhausted += 1;
    }

    /// The same for whoever has something else to do where there is none: nobody is told, and no key is looked at to
    /// find out why.
    pub(crate) fn lease_now(&self, demand: &Demand) -> Option<Lease> {
        let now = self.0.clock.now();
        let mut state = self.look_at(now);
        let look = demand.particulars.meter().and_then(|_| state.survey(demand, now));
        let picked = state.try_pick(demand, Duration::ZERO, now).ok()?;
        drop(state);
        demand.particulars.note(look);
        Some(self.leased(picked, demand))
    }

    /// Takes a key, waiting as long as the demand (else the pool) says, in the order of arrival. It waits also where every key
    /// is disabled or gone, since one may be added or enabled.
    ///
    /// The layers and [`run`](Self::run) do not: they fail at once where no key can come in time. While they wait they fail as
    /// soon as the last one that could is disabled, removed, or rests for too long.
    pub fn acquire(&self, demand: impl Into<Demand>) -> Acquire {
        Acquire::new(self.clone(), demand.into(), false)
    }

    /// The same for whoever found that a key may come in time, and waits no longer than that holds.
    pub(crate) fn acquire_in_time(&self, demand: Demand) -> Acquire {
        Acquire::new(self.clone(), demand, true)
    }

    /// Takes groups of leases, one group a size, under one lock.
    pub fn acquire_many(&self, sizes: &[usize]) -> AcquireMany {
        AcquireMany::new(self.clone(), sizes)
    }

    /// The pool as it stands. Costs a look at every key and lane.
    pub fn snapshot(&self) -> Snapshot {
        let now = self.0.clock.now();
        self.look_at(now).snapshot(now)
    }

    /// What happens from now on.
    pub fn events(&self) -> Events {
        let receiver = self.0.events.subscribe();
        let mut state = self.lock();
        state.watched = true;
        state.tells_leases = true;
        Events::new(receiver, &state.events_lost)
    }

    /// What happens from now on, but for [`Event::Leased`](super::Event::Leased) (unless somebody else asked for it by
    /// [`events`](Self::events)): a good request then costs nothing more.
    pub fn changes(&self) -> Events {
        let receiver = self.0.events.subscribe();
        let mut state = self.lock();
        state.watched = true;
        Events::new(receiver, &state.events_lost)
    }

    /// How long all keys are still out of the model that is asked for, since the provider failed with whichever.
    pub(crate) fn overloaded_for(&self, demand: &Demand) -> Option<Duration> {
        let now = self.0.clock.now();
        let mut state = self.lock();
        let lane = state.ask(demand, now).lane;
        let rest = state.lanes[usize::from(lane)]
            .rest
            .as_ref()
            .filter(|rest| rest.holds(Duration::ZERO, now, || state.is_line(lane)))?;
        let failed = matches!(rest.reason(), VerdictKind::Overloaded | VerdictKind::Transient);
        failed.then(|| rest.wakes(now).since(now.tick))
    }

    /// Locks, having seen what time did.
    #[inline]
    pub(super) fn look_at(&self, now: Now) -> Locked<'_> {
        let mut state = self.lock();
        state.watch_wall(now);
        state.serve(now);
        state
    }

    fn lease(&self, outcome: Result<Picked, Error>, demand: &Demand) -> Result<Lease, Error> {
        match outcome {
            Ok(picked) => Ok(self.leased(picked, demand)),
            Err(error) => Err(error.with_provider(&self.0.provider)),
        }
    }

    pub(super) fn leased(&self, picked: Picked, demand: &Demand) -> Lease {
        self.leased_here(picked, demand)
    }

    /// The same in place, for the way of every request.
    #[expect(clippy::inline_always, reason = "a call costs a quarter of what it does")]
    #[inline(always)]
    fn leased_here(&self, picked: Picked, demand: &Demand) -> Lease {
        if demand.particulars.meter().is_some() {
            self.note_granted(&picked.key, demand);
        }
        Lease::new(Granted {
            pool: self.clone(),
            seat: picked.seat,
            ticket: picked.ticket,
            key: picked.key,
            secret: picked.secret,
            model: demand.model.clone(),
            particulars: demand.particulars.clone(),
            named_in: demand.named_in,
            names_nothing: demand.names_nothing,
        })
    }

    #[cold]
    fn note_granted(&self, key: &KeyId, demand: &Demand) {
        if let Some(meter) = demand.particulars.meter() {
            meter.granted(self, key, demand);
        }
    }

    // === for Acquire ===

    pub(super) fn begin(&self, demand: &Arc<Demand>, in_time: bool) -> Begun {
        let now = self.0.clock.now();
        let wait = demand.wait.unwrap_or_else(|| self.default_wait());
        let mut state = self.look_at(now);
        let picked = state.try_pick(demand, wait, now);
        let wait = state.patience(wait, demand.model());
        let outcome = match picked {
            Ok(picked) => Ok(picked),
            Err(NotNow::Later) if !wait.is_zero() && !state.closed => {
                let deadline = now.tick.plus(wait);
                // Keys may have been lost since somebody found it worth waiting.
                let hopes = !in_time || state.may_come(demand, deadline, now);
                let room = demand.particulars.room.as_ref().unwrap_or(&self.0.room);
                let seat = hopes.then(|| room.enter());
                if let Some(Some(seat)) = seat {
                    let index = state.enqueue(Arc::clone(demand), in_time.then_some(deadline), now);
                    return Begun::Queued { index, deadline, seat };
                }
                let mut error = state.refuse_for_good(demand, NotNow::Later, now);
                if let Some(out) = error.exhausted_mut() {
                    out.no_room = seat.is_some();
                }
                Err(error)
            }
            Err(reason) => Err(state.refuse_for_good(demand, reason, now)),
        };
        drop(state);
        Begun::Done(Box::new(self.lease(outcome, demand)))
    }

    pub(super) fn look(&self, index: u32, demand: &Arc<Demand>, deadline: Tick, waker: &Waker) -> Look {
        let now = self.0.clock.now();
        let mut state = self.look_at(now);
        let ready = state.waiters.get_mut(index).is_none_or(|waiter| waiter.outcome.is_some());
        if !ready && now.tick < deadline {
            let until = state.keep_waiting(index, waker, now).unwrap_or(deadline).min(deadline);
            return Look::Wait { until, now: now.tick };
        }
        let outcome = match state.leave(index).and_then(|waiter| waiter.outcome) {
            Some(Ok(picked)) => {
                // It was granted in between; it counts from when it is handed over.
                if demand.starts_later() || state.started(picked.seat, now) {
                    Ok(picked)
                } else {
                    state.give_up(picked.seat, now);
                    Err(state.refuse_for_good(demand, NotNow::Later, now))
                }
            }
            Some(Err(reason)) => Err(state.refuse_for_good(demand, reason, now)),
            None => Err(state.refuse_for_good(demand, NotNow::Later, now)),
        };
        drop(state);
        Look::Done(Box::new(self.lease(outcome, demand)))
    }

    pub(super) fn cancel(&self, index: u32) {
        let now = self.0.clock.now();
        let mut state = self.lock();
        if let Some(Ok(picked)) = state.leave(index).and_then(|waiter| waiter.outcome) {
            state.give_up(picked.seat, now);
        }
        state.serve(now);
        let idle = state.is_drained();
        drop(state);
        self.tell_idle(idle);
    }

    /// Whoever shuts the pool down waits for the last lease.
    #[inline]
    fn tell_idle(&self, idle: bool) {
        if idle {
            self.0.idle.notify_waiters();
        }
    }

    // === for leases ===

    /// Ends a lease; one that has ended already stays as it is.
    pub(crate) fn end(&self, seat: Seat) {
        let now = self.0.clock.now();
        let mut state = self.state();
        if self.0.unjudged == Unjudged::Success && state.seats.get(seat).is_some_and(|cell| !cell.judged) {
            state.judge(seat, &Verdict::SUCCESS, now);
        }
        state.end(seat, now);
        let idle = state.is_drained();
        self.leave(state);
        self.tell_idle(idle);
    }

    /// Judges a lease and ends it.
    pub(crate) fn settle(&self, seat: Seat, verdict: &Verdict) {
        let now = self.0.clock.now();
        let mut state = self.state();
        state.watch_wall(now);
        if !(verdict.is_plain_success() && state.settle_plain(seat, now)) {
            state.judge(seat, verdict, now);
            state.end(seat, now);
        }
        let idle = state.is_drained();
        self.leave(state);
        self.tell_idle(idle);
    }

    pub(crate) fn judge(&self, seat: Seat, verdict: &Verdict) {
        let now = self.0.clock.now();
        let mut state = self.state();
        state.watch_wall(now);
        if !(verdict.is_plain_success() && state.judge_plain(seat, now)) {
            state.judge(seat, verdict, now);
        }
        self.leave(state);
    }

    /// What is said of a request whose key is another process's before it went out.
    #[cold]
    pub(super) fn void(&self, model: Option<Arc<str>>) -> Error {
        let keys = self.lock().roster.len();
        let reasons = [(OutReason::StoreUnreachable, keys)].into();
        Error::new(Kind::Exhausted(Exhausted { model, keys, reasons, ..Exhausted::default() }))
            .with_provider(&self.0.provider)
    }

    pub(super) fn started(&self, seat: Seat) -> bool {
        self.started_at(seat, self.0.clock.now_anew())
    }

    pub(super) fn started_at(&self, seat: Seat, now: Now) -> bool {
        let mut state = self.state();
        state.watch_wall(now);
        let may_go = state.started(seat, now);
        self.leave(state);
        may_go
    }
}

impl State {
    /// Shut down, and nothing is out any more.
    #[inline]
    fn is_drained(&self) -> bool {
        self.closed && self.seats.out() == 0
    }

    #[inline(never)]
    pub(super) fn try_pick(&mut self, demand: &Demand, wait: Duration, now: Now) -> Result<Picked, NotNow> {
        if !self.closed
            && let Some(picked) = self.pick_first(demand, now)
        {
            return Ok(picked);
        }
        self.try_others(demand, wait, now)
    }

    /// The same after the short way was none, for a request that would wait so long.
    fn try_others(&mut self, demand: &Demand, wait: Duration, now: Now) -> Result<Picked, NotNow> {
        if self.closed {
            return Err(NotNow::Later);
        }
        let ask = Ask { would_wait: wait, ..self.ask(demand, now) };
        self.pick(&ask)
    }
}
