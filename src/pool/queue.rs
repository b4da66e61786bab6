//! Who is served next: for each model first in, first out.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    task::Waker,
};

use super::{
    model::ModelIx,
    request::{Affinity, KeyRequest},
    select::{Blocked, Grant, Selection, earliest, select},
    state::{Now, State},
};
use crate::{limit::Cost, time::Tick};

/// So many waiters of a model are looked at: one that needs a special key does not hold up the others.
const LOOK_AHEAD: usize = 16;

/// A waiter's place. It is used again with the next generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WaiterId {
    at: u32,
    generation: u32,
}

#[derive(Debug)]
struct Waiter {
    request: KeyRequest,
    model: ModelIx,
    waker: Option<Waker>,
    /// It was granted a key: it is in no queue any more.
    served: bool,
    /// The grant, until it takes it.
    granted: Option<Grant>,
    /// Its arrival number.
    sequence: u64,
    /// Only its cost distinguishes it from the other plain ones of its model.
    plain: bool,
}

/// How a waiter leaves.
pub(crate) enum LeaveResult {
    /// Nothing was granted to it; another may be the first now.
    Unserved,
    /// It did not take what was granted to it.
    Granted(Grant),
    /// It took what was granted to it.
    Served,
}

#[derive(Debug, Default)]
pub(crate) struct WaitQueue {
    waiters: Vec<(u32, Option<Waiter>)>,
    free: Vec<u32>,
    queues: BTreeMap<ModelIx, ModelQueue>,
    len: usize,
    /// How many joined.
    joined: u64,
}

#[derive(Debug, Default)]
struct ModelQueue {
    order: VecDeque<WaiterId>,
    /// When a key wakes, and the first waiter, whose timer goes off then.
    armed: Option<(WaiterId, Tick)>,
}

impl WaitQueue {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Whether so many wait for a model that a newcomer must stand behind them untried.
    pub(crate) fn is_long(&self, model: ModelIx) -> bool {
        self.queues.get(&model).is_some_and(|queue| queue.order.len() >= LOOK_AHEAD)
    }

    /// A request begins to wait: behind all others, or before them if it had its turn and the store refused it.
    pub(crate) fn join(&mut self, request: KeyRequest, model: ModelIx, first: bool) -> WaiterId {
        let plain = request.affinity == Affinity::Any && request.excluded.is_empty() && !request.uncounted;
        self.joined += 1;
        let sequence = if first { 0 } else { self.joined };
        let waiter = Waiter { request, model, waker: None, served: false, granted: None, sequence, plain };
        let at = self.free.pop().unwrap_or_else(|| {
            self.waiters.push((0, None));
            (self.waiters.len() - 1) as u32
        });
        let place = &mut self.waiters[at as usize];
        place.1 = Some(waiter);
        let id = WaiterId { at, generation: place.0 };
        let order = &mut self.queues.entry(model).or_default().order;
        if first {
            order.push_front(id);
        } else {
            order.push_back(id);
        }
        self.len += 1;
        id
    }

    fn get_mut(&mut self, id: WaiterId) -> Option<&mut Waiter> {
        let (generation, waiter) = self.waiters.get_mut(id.at as usize)?;
        if *generation == id.generation { waiter.as_mut() } else { None }
    }

    /// What was granted to a waiter.
    pub(crate) fn take_grant(&mut self, id: WaiterId) -> Option<Grant> {
        self.get_mut(id)?.granted.take()
    }

    pub(crate) fn set_waker(&mut self, id: WaiterId, waker: &Waker) {
        if let Some(waiter) = self.get_mut(id)
            && waiter.waker.as_ref().is_none_or(|held| !held.will_wake(waker))
        {
            waiter.waker = Some(waker.clone());
        }
    }

    /// When to wake it, where it is the first of its model.
    pub(crate) fn first_wakes_at(&self, id: WaiterId, model: ModelIx) -> Option<Tick> {
        let (_, tick) = self.queues.get(&model)?.armed.filter(|(first, _)| *first == id)?;
        Some(tick)
    }

    /// A waiter leaves.
    pub(crate) fn leave(&mut self, id: WaiterId) -> LeaveResult {
        let Some(waiter) = self.get_mut(id) else { return LeaveResult::Served };
        let (model, served, granted) = (waiter.model, waiter.served, waiter.granted.take());
        let place = &mut self.waiters[id.at as usize];
        place.0 += 1;
        place.1 = None;
        self.free.push(id.at);
        self.len -= 1;
        if served {
            return granted.map_or(LeaveResult::Served, LeaveResult::Granted);
        }
        if let Some(queue) = self.queues.get_mut(&model) {
            queue.order.retain(|held| *held != id);
            if queue.order.is_empty() {
                self.queues.remove(&model);
            }
        }
        LeaveResult::Unserved
    }

    /// The models with waiters, the one with the oldest first waiter first.
    fn models(&mut self) -> Vec<ModelIx> {
        let mut models: Vec<_> =
            self.queues.iter().filter_map(|(model, queue)| Some((*queue.order.front()?, *model))).collect();
        models.sort_by_key(|(first, _)| self.get_mut(*first).map_or(0, |waiter| waiter.sequence));
        models.into_iter().map(|(_, model)| model).collect()
    }

    /// The wakers of all who wait.
    pub(crate) fn wakers(&mut self) -> Vec<Waker> {
        self.waiters.iter_mut().filter_map(|(_, waiter)| waiter.as_mut()?.waker.take()).collect()
    }
}

/// Serves whoever can be served, in their order.
#[inline]
pub(crate) fn serve(state: &mut State, now: Now) {
    if state.queue.len > 0 {
        for model in state.queue.models() {
            serve_model(state, model, now);
        }
    }
}

fn serve_model(state: &mut State, model: ModelIx, now: Now) {
    let mut at = 0;
    // The models for which a plain request found no key, with its cost: one that costs as much finds none either.
    let mut blocked: Vec<(Option<Arc<str>>, Cost)> = Vec::new();
    let mut until = None::<Tick>;
    while at < LOOK_AHEAD {
        let Some(id) = state.queue.queues.get(&model).and_then(|queue| queue.order.get(at).copied()) else { break };
        let Some(waiter) = state.queue.get_mut(id) else { break };
        let request = &waiter.request;
        let covers = |(model, cost): &(Option<Arc<str>>, Cost)| *model == request.model && request.cost.covers(cost);
        if waiter.plain && blocked.iter().any(covers) {
            at += 1;
            continue;
        }
        let (request, plain) = (waiter.request.clone(), waiter.plain);
        let selection = Selection::new(state, &request, false);
        match select(state, &selection, now) {
            Ok(grant) => {
                if let Some(queue) = state.queue.queues.get_mut(&model) {
                    queue.order.remove(at);
                }
                if let Some(waiter) = state.queue.get_mut(id) {
                    waiter.served = true;
                    waiter.granted = Some(grant);
                    state.effects.wakers.extend(waiter.waker.take());
                }
            }
            Err(Blocked { until: wakes, .. }) => {
                if plain {
                    blocked.push((request.model, request.cost));
                }
                until = earliest(until, wakes);
                at += 1;
            }
        }
    }
    let Some(queue) = state.queue.queues.get_mut(&model) else { return };
    let Some(first) = queue.order.front().copied() else {
        state.queue.queues.remove(&model);
        return;
    };
    // Only the first waiter has a timer: wake it when the timer must change.
    let armed = until.map(|until| (first, until));
    if queue.armed != armed {
        queue.armed = armed;
        let waker = state.queue.get_mut(first).and_then(|waiter| waiter.waker.clone());
        state.effects.wakers.extend(waker);
    }
}
