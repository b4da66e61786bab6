//! Who is served next: for each model first in, first out.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    task::Waker,
};

use super::{
    model::ModelIx,
    request::{Affinity, KeyRequest},
    select::{Ask, Blocked, Grant, select},
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
    /// It was granted a key: it is in no line any more.
    served: bool,
    /// The grant, until it takes it.
    granted: Option<Grant>,
    /// The how many-th it is.
    number: u64,
    /// Only its cost distinguishes it from the other plain ones of its model.
    plain: bool,
}

/// How a waiter leaves.
pub(crate) enum Left {
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
    lines: BTreeMap<ModelIx, Line>,
    len: usize,
    /// How many joined.
    joined: u64,
}

#[derive(Debug, Default)]
struct Line {
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
        self.lines.get(&model).is_some_and(|line| line.order.len() >= LOOK_AHEAD)
    }

    pub(crate) fn join(&mut self, request: KeyRequest, model: ModelIx) -> WaiterId {
        let plain = request.affinity == Affinity::Any && request.excluded.is_empty() && !request.free;
        self.joined += 1;
        let waiter = Waiter { request, model, waker: None, served: false, granted: None, number: self.joined, plain };
        let at = self.free.pop().unwrap_or_else(|| {
            self.waiters.push((0, None));
            (self.waiters.len() - 1) as u32
        });
        let place = &mut self.waiters[at as usize];
        place.1 = Some(waiter);
        let id = WaiterId { at, generation: place.0 };
        self.lines.entry(model).or_default().order.push_back(id);
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

    /// Whether it is the first in its line, and so must wake when a key does; then, when that is.
    pub(crate) fn first_wakes_at(&self, id: WaiterId, model: ModelIx) -> Option<Tick> {
        let (_, tick) = self.lines.get(&model)?.armed.filter(|(first, _)| *first == id)?;
        Some(tick)
    }

    /// A waiter leaves.
    pub(crate) fn leave(&mut self, id: WaiterId) -> Left {
        let Some(waiter) = self.get_mut(id) else { return Left::Served };
        let (model, served, granted) = (waiter.model, waiter.served, waiter.granted.take());
        let place = &mut self.waiters[id.at as usize];
        place.0 += 1;
        place.1 = None;
        self.free.push(id.at);
        self.len -= 1;
        if served {
            return granted.map_or(Left::Served, Left::Granted);
        }
        if let Some(line) = self.lines.get_mut(&model) {
            line.order.retain(|held| *held != id);
            if line.order.is_empty() {
                self.lines.remove(&model);
            }
        }
        Left::Unserved
    }

    /// The lines, that of who has waited longest first.
    fn models(&mut self) -> Vec<ModelIx> {
        let mut models: Vec<_> =
            self.lines.iter().filter_map(|(model, line)| Some((*line.order.front()?, *model))).collect();
        models.sort_by_key(|(first, _)| self.get_mut(*first).map_or(0, |waiter| waiter.number));
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
        let Some(id) = state.queue.lines.get(&model).and_then(|line| line.order.get(at).copied()) else { break };
        let Some(waiter) = state.queue.get_mut(id) else { break };
        let request = &waiter.request;
        let covers = |(model, cost): &(Option<Arc<str>>, Cost)| *model == request.model && request.cost.covers(cost);
        if waiter.plain && blocked.iter().any(covers) {
            at += 1;
            continue;
        }
        let (request, plain) = (waiter.request.clone(), waiter.plain);
        let ask = Ask::new(state, &request, false);
        match select(state, &ask, now) {
            Ok(grant) => {
                if let Some(line) = state.queue.lines.get_mut(&model) {
                    line.order.remove(at);
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
                until = match (until, wakes) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                };
                at += 1;
            }
        }
    }
    let Some(line) = state.queue.lines.get_mut(&model) else { return };
    let Some(first) = line.order.front().copied() else {
        state.queue.lines.remove(&model);
        return;
    };
    // The first waiter sleeps until a key wakes: it must know when that changes, or when another becomes the first.
    let armed = until.map(|until| (first, until));
    if line.armed != armed {
        line.armed = armed;
        let waker = state.queue.get_mut(first).and_then(|waiter| waiter.waker.clone());
        state.effects.wakers.extend(waker);
    }
}
