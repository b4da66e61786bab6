//! Reserves a request in a shared store before it is sent.

use std::{
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use super::{
    handle::Shared,
    model::MAX_LENGTH,
    persist::StoreLink,
    registry::Slot,
    request::KeyRequest,
    select::{Grant, Selection, alternate, take_alternate},
    state::State,
};
use crate::{
    Error,
    limit::{Cost, Reservation},
    store::{Amounts, Candidate, Granted, Record, ReserveRequest, Reserved, StoreFuture},
    time::Tick,
};

/// Maximum number of keys offered to the store if it refused the first key of the last reservation; otherwise one.
const CANDIDATES: usize = 8;

/// When a candidate is offered again that the store refused without a time.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Minimum time before a refused candidate is offered again.
const SOONEST: Duration = Duration::from_millis(10);

/// A reservation in progress, with the key that the pool took and other ready keys.
pub(crate) struct Reserving {
    shared: Arc<Shared>,
    taken: Option<Grant>,
    /// The offered keys, the taken one first.
    offered: Vec<(Slot, u32, Candidate)>,
    cost: Cost,
    asked: Tick,
    reply: StoreFuture<'static, Reserved>,
    /// Whether an earlier reply for this request came too late.
    late: bool,
    /// Whether the store was asked a second time.
    asked_again: bool,
}

/// The result of a reservation.
pub(crate) enum Reserve {
    /// This key serves the request.
    Granted(Grant),
    /// No key has room, or the chosen one is no longer ready.
    Refused,
    /// The reply came too late to send the request.
    Late,
}

impl Reserving {
    pub(crate) fn new(shared: &Arc<Shared>, link: &StoreLink, request: &KeyRequest, first: Grant, late: bool) -> Self {
        let (offered, asked) = shared.with(|state, now| {
            // The key may have been removed since it was taken. Then nothing is offered, and another key is selected.
            if state.registry.get(first.slot).is_none_or(|entry| entry.generation != first.generation) {
                return (Vec::new(), now.tick);
            }
            let mut offered = vec![(first.slot, first.generation, candidate(state, first.slot, &first))];
            let mut rest = request.clone();
            let most = if link.refused.load(Ordering::Relaxed) { CANDIDATES } else { 1 };
            while offered.len() < most {
                rest.excluded.extend(offered.last().map(|(.., candidate)| candidate.key.clone()));
                let Some(slot) = alternate(state, &Selection::new(state, &rest, false), now) else { break };
                let generation = state.registry.get(slot).map_or(0, |entry| entry.generation);
                offered.push((slot, generation, candidate(state, slot, &first)));
            }
            (offered, now.tick)
        });
        let cost = first.reservation.as_ref().map_or(request.cost, Reservation::cost);
        let candidates: Vec<_> = offered.iter().map(|(.., candidate)| candidate.clone()).collect();
        let reply: StoreFuture<'static, Reserved> = if candidates.is_empty() {
            Box::pin(std::future::ready(Ok(Reserved::default())))
        } else {
            link.store.reserve(ReserveRequest { candidates, cost: cost.amounts })
        };
        Self { shared: Arc::clone(shared), taken: Some(first), offered, cost, asked, reply, late, asked_again: false }
    }

    /// Asks the store again, once it knows the corrections that make room.
    fn ask_again(&mut self) {
        let shared = Arc::clone(&self.shared);
        let candidates = self.offered.iter().map(|(.., candidate)| candidate.clone()).collect();
        let request = ReserveRequest { candidates, cost: self.cost.amounts };
        (self.asked, self.asked_again) = (shared.clock.now(), true);
        self.reply = Box::pin(async move {
            let writer = Arc::clone(&shared);
            // A task of its own: the records must be written, even if the request is cancelled.
            let _ = tokio::spawn(async move { super::persist::flush(&writer, true).await }).await;
            shared.link.as_ref().expect("the pool has a store").store.reserve(request).await
        });
    }

    pub(crate) fn poll(&mut self, request: &KeyRequest, cx: &mut Context<'_>) -> Poll<Result<Reserve, Error>> {
        let reserved = std::task::ready!(self.reply.as_mut().poll(cx));
        let link = self.shared.link.as_ref().expect("the pool has a store");
        let is_refused = matches!(&reserved, Ok(reserved) if reserved.granted.is_none());
        if is_refused && !self.asked_again && self.offered.iter().any(|(.., of)| link.has_corrections(&of.project)) {
            self.ask_again();
            return self.poll(request, cx);
        }
        let fail_open = link.fail_open;
        link.record_result(reserved.as_ref().err(), &self.shared);
        if let Ok(reserved) = &reserved {
            let refused = reserved.granted.is_none_or(|granted| granted.candidate > 0);
            link.refused.store(refused, Ordering::Relaxed);
        }
        let chosen = reserved.and_then(|reserved| self.choose(request, &reserved));
        match chosen {
            Err(_) if fail_open => {
                self.shared.with(|state, _| state.stats.unreserved += 1);
                Poll::Ready(Ok(self.taken.take().map_or(Reserve::Refused, Reserve::Granted)))
            }
            chosen => Poll::Ready(chosen),
        }
    }

    fn choose(&mut self, request: &KeyRequest, reserved: &Reserved) -> Result<Reserve, Error> {
        let Self { shared, taken, offered, cost, asked, .. } = self;
        let refused = reserved.granted.map_or(offered.len(), |granted| granted.candidate);
        let mut late = false;
        let chosen = shared.with(|state, now| {
            let model = taken.as_ref().map(|grant| grant.model)?;
            for (at, (slot, generation, _)) in offered.iter().take(refused).enumerate() {
                let Some(entry) = state.registry.get(*slot).filter(|entry| entry.generation == *generation) else {
                    continue;
                };
                let project = entry.project;
                let opens_in = reserved.opens_in.get(at).copied().unwrap_or(ASK_AGAIN).max(SOONEST);
                state.quotas.set_full(project, model, now.tick.plus(opens_in), *cost, now.tick);
            }
            let granted = reserved.granted?;
            late = now.tick.since(*asked) > granted.usable_for;
            if late {
                return None;
            }
            if granted.candidate == 0 {
                return taken.take();
            }
            let (slot, generation, _) = offered.get(granted.candidate)?;
            let selection = Selection { cost: *cost, ..Selection::new(state, request, true) };
            take_alternate(state, &selection, *slot, *generation, now)
        });
        let Some(granted) = reserved.granted else { return Ok(Reserve::Refused) };
        match chosen {
            Some(mut grant) => {
                grant.stored = Some(granted.at);
                return Ok(Reserve::Granted(grant));
            }
            None => self.give_back(granted),
        }
        match late {
            true if self.late => Err(Error::store("its replies arrive too late")),
            true => Ok(Reserve::Late),
            false => Ok(Reserve::Refused),
        }
    }

    /// Gives back a reservation that is not used.
    fn give_back(&self, granted: Granted) {
        let Some((.., candidate)) = self.offered.get(granted.candidate) else { return };
        let Candidate { key, project, model, .. } = candidate.clone();
        let record =
            Record::Used { key, project, model, at: granted.at, reserved: self.cost.amounts, used: Amounts::default() };
        self.shared.with(|state, _| state.effects.records.push(record));
    }
}

impl Drop for Reserving {
    fn drop(&mut self) {
        if let Some(grant) = self.taken.take() {
            self.shared.with(|state, now| super::outcome::end(state, &grant, None, false, now));
        }
    }
}

/// Returns a ready key as a candidate for the store, for the model of the taken key.
fn candidate(state: &mut State, slot: Slot, taken: &Grant) -> Candidate {
    let entry = state.registry.get(slot).expect("it was just found ready");
    let (key, project) = (entry.data.id.clone(), entry.project);
    let limits =
        state.quotas.find(project, taken.model).map(|quota| quota.hard_limits(taken.started)).unwrap_or_default();
    let zone = state.quotas.zone_name(state.registry.project(project).zone);
    let project = Arc::clone(&state.registry.project(project).name);
    Candidate { key, project, model: model_in_store(state, taken), limits, zone }
}

/// Returns the model under which the store counts a request: the requested name, even if the pool counts it under a
/// shared model.
pub(crate) fn model_in_store(state: &State, grant: &Grant) -> Arc<str> {
    let name = grant.model_name.as_ref().filter(|name| name.len() <= MAX_LENGTH);
    Arc::clone(name.unwrap_or_else(|| state.models.name(grant.model)))
}
