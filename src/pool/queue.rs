//! The queue of waiting requests: first in, first out for each model.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    task::Waker,
    time::Duration,
};

use super::{
    model::ModelIx,
    request::{Affinity, KeyRequest},
    select::{Grant, Selection, earliest, select},
    state::{Now, State},
};
use crate::time::Tick;

/// Number of waiters of a model that are tried, so that a large request does not block the others. Those that require a
/// key or project are not included.
const LOOK_AHEAD: usize = 16;

/// Maximum number of waiters of a model that are tried, all included.
const MAX_TRIED: usize = 64;

/// The arrival number of a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WaiterId(u64);

#[derive(Debug)]
struct Waiter {
    request: KeyRequest,
    model: ModelIx,
    waker: Option<Waker>,
    /// Whether it has left its queue: it was granted a key, or waiting cannot help.
    left: bool,
    /// The grant, until the waiter takes it.
    granted: Option<Grant>,
    /// Whether the store refused it when it was its turn, so that it waits before those that had none.
    had_turn: bool,
    /// Whether it differs from other plain waiters of its model only in its cost and affinity.
    plain: bool,
}

#[derive(Debug, Default)]
pub(crate) struct WaitQueue {
    waiters: HashMap<WaiterId, Waiter>,
    queues: BTreeMap<ModelIx, ModelQueue>,
    /// The number of waiters that joined.
    joined: u64,
}

#[derive(Debug, Default)]
struct ModelQueue {
    order: VecDeque<WaiterId>,
    /// The first waiter, whose timer fires when the next key wakes, and that tick.
    armed: Option<(WaiterId, Tick)>,
}

impl WaitQueue {
    /// Returns the number of waiters.
    pub(crate) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Reports whether the queue of a model is so long that a new request must join it without a try.
    pub(crate) fn is_long(&self, model: ModelIx) -> bool {
        self.queues.get(&model).is_some_and(|queue| queue.order.len() >= LOOK_AHEAD)
    }

    /// Adds a request at the end of the queue. One that the store refused when it was its turn goes before all that had
    /// no turn yet.
    pub(crate) fn join(&mut self, request: KeyRequest, model: ModelIx, had_turn: bool) -> WaiterId {
        let plain = request.excluded.is_empty() && !request.uncounted;
        self.joined += 1;
        let id = WaiterId(self.joined);
        let order = &mut self.queues.entry(model).or_default().order;
        let is_before = |id: &&WaiterId| self.waiters.get(id).is_some_and(|waiter| waiter.had_turn);
        let place = if had_turn { order.iter().take_while(is_before).count() } else { order.len() };
        order.insert(place, id);
        self.waiters.insert(id, Waiter { request, model, waker: None, left: false, granted: None, had_turn, plain });
        id
    }

    /// Takes the grant of a waiter.
    pub(crate) fn take_grant(&mut self, id: WaiterId) -> Option<Grant> {
        self.waiters.get_mut(&id)?.granted.take()
    }

    /// Reports whether a waiter without a grant need not wait, since no key can ever serve it.
    pub(crate) fn has_failed(&self, id: WaiterId) -> bool {
        self.waiters.get(&id).is_some_and(|waiter| waiter.left)
    }

    pub(crate) fn set_waker(&mut self, id: WaiterId, waker: &Waker) {
        if let Some(waiter) = self.waiters.get_mut(&id)
            && waiter.waker.as_ref().is_none_or(|held| !held.will_wake(waker))
        {
            waiter.waker = Some(waker.clone());
        }
    }

    /// Returns when to wake a waiter: the first of its model when the next key wakes, the others every second, since
    /// the first one may be in a task that does not poll it.
    pub(crate) fn wakes_at(&self, id: WaiterId, model: ModelIx, now: Tick) -> Tick {
        match self.queues.get(&model).and_then(|queue| queue.armed) {
            Some((first, tick)) if first == id || tick <= now => tick,
            _ => now.plus(Duration::from_secs(1)),
        }
    }

    /// Removes a waiter. Returns its grant if it did not take it.
    pub(crate) fn leave(&mut self, id: WaiterId) -> Option<Grant> {
        let Waiter { model, left, granted, .. } = self.waiters.remove(&id)?;
        if !left && let Some(queue) = self.queues.get_mut(&model) {
            queue.order.retain(|held| *held != id);
            if queue.order.is_empty() {
                self.queues.remove(&model);
            }
        }
        granted
    }

    /// Returns the models with waiters, ordered by the age of their first waiter, oldest first.
    fn models(&self) -> Vec<ModelIx> {
        let first = |id: &WaiterId| (self.waiters.get(id).is_none_or(|waiter| !waiter.had_turn), *id);
        let mut models: Vec<_> =
            self.queues.iter().filter_map(|(model, queue)| Some((first(queue.order.front()?), *model))).collect();
        models.sort_unstable();
        models.into_iter().map(|(_, model)| model).collect()
    }

    /// Takes the wakers of all waiters.
    pub(crate) fn wakers(&mut self) -> Vec<Waker> {
        self.waiters.values_mut().filter_map(|waiter| waiter.waker.take()).collect()
    }
}

/// Serves all waiters that can be served, in order.
#[inline]
pub(crate) fn serve(state: &mut State, now: Now) {
    if !state.queue.waiters.is_empty() {
        for model in state.queue.models() {
            serve_model(state, model, now);
        }
    }
}

fn serve_model(state: &mut State, model: ModelIx, now: Now) {
    let (mut at, mut ahead) = (0, 0);
    // Plain requests that found no key. Later requests of the same model and affinity that cost as much find none either.
    let mut blocked: Vec<KeyRequest> = Vec::new();
    let mut until = None::<Tick>;
    while at < MAX_TRIED && ahead < LOOK_AHEAD {
        let Some(id) = state.queue.queues.get(&model).and_then(|queue| queue.order.get(at).copied()) else { break };
        let Some(waiter) = state.queue.waiters.get_mut(&id) else { break };
        let request = &waiter.request;
        let counts = !matches!(request.affinity, Affinity::RequireKey(_) | Affinity::RequireProject(_));
        let next = (at + 1, ahead + usize::from(counts));
        let alike = |other: &&KeyRequest| (&other.model, &other.affinity) == (&request.model, &request.affinity);
        if waiter.plain && blocked.iter().filter(alike).any(|other| request.cost.covers(&other.cost)) {
            (at, ahead) = next;
            continue;
        }
        let (request, plain) = (waiter.request.clone(), waiter.plain);
        let selection = Selection::new(state, &request, false);
        let granted = match select(state, &selection, now) {
            Ok(grant) => Some(grant),
            // In an empty pool it waits: its keys may just be replaced.
            Err(why) if why.permanent && state.registry.len() > 0 => None,
            Err(why) => {
                until = earliest(until, why.wakes_at(now));
                if plain {
                    blocked.push(request);
                }
                (at, ahead) = next;
                continue;
            }
        };
        if let Some(queue) = state.queue.queues.get_mut(&model) {
            queue.order.remove(at);
        }
        if let Some(waiter) = state.queue.waiters.get_mut(&id) {
            waiter.left = true;
            waiter.granted = granted;
            state.effects.wakers.extend(waiter.waker.take());
        }
    }
    let Some(queue) = state.queue.queues.get_mut(&model) else { return };
    let Some(first) = queue.order.front().copied() else {
        state.queue.queues.remove(&model);
        return;
    };
    // The first waiter has a timer for that tick: wake it when the timer must change.
    let armed = until.map(|until| (first, until));
    if queue.armed != armed {
        queue.armed = armed;
        let waker = state.queue.waiters.get(&first).and_then(|waiter| waiter.waker.clone());
        state.effects.wakers.extend(waker);
    }
}
