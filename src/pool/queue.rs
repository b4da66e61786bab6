//! Who is served next: for each model first in, first out.

use std::{
    collections::{HashMap, VecDeque},
    task::Waker,
};

use super::{
    model::ModelIx,
    request::{Affinity, KeyRequest},
    select::{Ask, Blocked, Grant, select},
    state::{Now, State},
};
use crate::time::Tick;

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
    granted: Option<Grant>,
    /// Nothing distinguishes it from the other plain ones of its model.
    plain: bool,
}

#[derive(Debug, Default)]
pub(crate) struct WaitQueue {
    waiters: Vec<(u32, Option<Waiter>)>,
    free: Vec<u32>,
    lines: HashMap<ModelIx, Line>,
    len: usize,
}

#[derive(Debug, Default)]
struct Line {
    order: VecDeque<WaiterId>,
    /// When the first waiter's timer goes off.
    armed: Option<Tick>,
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
        let plain = request.affinity == Affinity::Any
            && request.excluded.is_empty()
            && !request.free
            && request.cost == crate::limit::Cost::default();
        let waiter = Waiter { request, model, waker: None, granted: None, plain };
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
        let line = self.lines.get(&model)?;
        line.order.front().filter(|first| **first == id).and(line.armed)
    }

    /// A waiter leaves. The grant that it did not take, and the waker of who is first now.
    pub(crate) fn leave(&mut self, id: WaiterId) -> (Option<Grant>, Option<Waker>) {
        let Some(waiter) = self.get_mut(id) else { return (None, None) };
        let (model, granted) = (waiter.model, waiter.granted.take());
        let place = &mut self.waiters[id.at as usize];
        place.0 += 1;
        place.1 = None;
        self.free.push(id.at);
        self.len -= 1;
        let mut first = None;
        if let Some(line) = self.lines.get_mut(&model) {
            let was_first = line.order.front() == Some(&id);
            line.order.retain(|held| *held != id);
            let next = line.order.front().copied();
            if line.order.is_empty() {
                self.lines.remove(&model);
            }
            if was_first && let Some(next) = next {
                first = self.get_mut(next).and_then(|waiter| waiter.waker.clone());
            }
        }
        (granted, first)
    }

    /// The wakers of all who wait.
    pub(crate) fn wakers(&mut self) -> Vec<Waker> {
        self.waiters.iter_mut().filter_map(|(_, waiter)| waiter.as_mut()?.waker.take()).collect()
    }
}

/// Serves whoever can be served, in their order.
pub(crate) fn serve(state: &mut State, now: Now) {
    if state.queue.len == 0 {
        return;
    }
    let models: Vec<_> = state.queue.lines.keys().copied().collect();
    for model in models {
        serve_model(state, model, now);
    }
}

fn serve_model(state: &mut State, model: ModelIx, now: Now) {
    let mut at = 0;
    let mut plain_blocked = false;
    let mut until = None::<Tick>;
    while at < LOOK_AHEAD {
        let Some(id) = state.queue.lines.get(&model).and_then(|line| line.order.get(at).copied()) else { break };
        let Some(waiter) = state.queue.get_mut(id) else { break };
        if waiter.plain && plain_blocked {
            at += 1;
            continue;
        }
        let (request, plain) = (waiter.request.clone(), waiter.plain);
        match select(state, &Ask { request: &request, last_chance: false }, now) {
            Ok(grant) => {
                if let Some(line) = state.queue.lines.get_mut(&model) {
                    line.order.remove(at);
                }
                if let Some(waiter) = state.queue.get_mut(id) {
                    waiter.granted = Some(grant);
                    state.effects.wakers.extend(waiter.waker.take());
                }
            }
            Err(Blocked { until: wakes, .. }) => {
                plain_blocked |= plain;
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
    // The first waiter sleeps until a key wakes: it must know when that changes.
    if line.armed != until {
        line.armed = until;
        let waker = state.queue.get_mut(first).and_then(|waiter| waiter.waker.clone());
        state.effects.wakers.extend(waker);
    }
}
