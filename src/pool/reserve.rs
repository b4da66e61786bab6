//! Asking a store that others share for what the pool's own windows granted.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use super::{
    handle::Shared,
    request::KeyRequest,
    select::{Grant, Selection, select},
};
use crate::{
    Error,
    limit::{Limit, Unit},
    store::{Candidate, Reserve, ReserveRequest, Reserved, StoreFuture},
};

/// So many keys are offered to the store at once.
const CANDIDATES: usize = 8;

/// When the store is asked again for a candidate that it refused without a time.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A candidate that was refused is not offered again before.
const SOONEST: Duration = Duration::from_millis(10);

/// Keys that the pool granted for one request, until the store has chosen. Those that it did not choose are given back.
pub(crate) struct Reservations {
    shared: Arc<Shared>,
    grants: Vec<Grant>,
    answer: Answer,
}

enum Answer {
    Now(Option<Result<Reserved, Error>>),
    Later(StoreFuture<'static, Reserved>),
}

impl Reservations {
    pub(crate) fn new(shared: &Arc<Shared>, request: &KeyRequest, first: Grant) -> Self {
        let (grants, candidates) = shared.with(|state, now| {
            let mut grants = vec![first];
            let mut more = request.clone();
            while grants.len() < CANDIDATES {
                more.excluded.extend(grants.last().map(|grant| grant.key.id.clone()));
                let selection = Selection::new(state, &more, false);
                let Ok(grant) = select(state, &selection, now) else { break };
                // A trial, or a place that others may need meanwhile, is not taken in reserve.
                if !grant.trials.is_empty() || grant.key.max_concurrent.is_some() {
                    super::outcome::end(state, &grant, None, false, now);
                    break;
                }
                grants.push(grant);
            }
            let candidates = grants.iter().map(|grant| candidate(state, grant)).collect();
            (grants, candidates)
        });
        let cost = &request.cost;
        let units = [Unit::Requests, Unit::InputTokens, Unit::OutputTokens, Unit::Tokens, Unit::Images];
        let cost = if request.free { Vec::new() } else { units.map(|unit| (unit, cost.of(unit))).into() };
        let answer = match Arc::clone(&shared.store).reserve(ReserveRequest { candidates, cost }) {
            Reserve::Now(reserved) => Answer::Now(Some(reserved)),
            Reserve::Later(reserved) => Answer::Later(reserved),
        };
        Self { shared: Arc::clone(shared), grants, answer }
    }

    /// The grant that the store chose; `None` where it refused them all.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Grant>, Error>> {
        let reserved = match &mut self.answer {
            Answer::Now(reserved) => reserved.take().unwrap_or_else(|| Ok(Reserved::default())),
            Answer::Later(reserved) => std::task::ready!(reserved.as_mut().poll(cx)),
        };
        let reserved = match reserved {
            Ok(reserved) => reserved,
            Err(error) if self.shared.fail_open => {
                tracing::warn!(%error, "the store is away: the local limits alone hold");
                Reserved::granted(0)
            }
            Err(error) => return Poll::Ready(Err(error)),
        };
        let refused = reserved.granted.unwrap_or(self.grants.len());
        self.shared.with(|state, now| {
            for (at, grant) in self.grants.iter().take(refused).enumerate() {
                let opens = reserved.opens.get(at).copied().unwrap_or(ASK_AGAIN).max(SOONEST);
                state.quotas.close_until(grant.project, grant.model, now.tick.plus(opens));
            }
        });
        let chosen = (refused < self.grants.len()).then(|| self.grants.remove(refused));
        Poll::Ready(Ok(chosen))
    }
}

impl Drop for Reservations {
    fn drop(&mut self) {
        self.shared.with(|state, now| {
            for grant in &self.grants {
                super::outcome::end(state, grant, None, false, now);
            }
        });
    }
}

fn candidate(state: &mut super::state::State, grant: &Grant) -> Candidate {
    let quota = state.quotas.find(grant.project, grant.model);
    let limits: Vec<Limit> = quota.map(|quota| quota.hard_limits(grant.started)).unwrap_or_default();
    let zone = state.registry.project(grant.project).zone;
    Candidate {
        key: grant.key.id.clone(),
        project: Arc::clone(&grant.project_name),
        model: Arc::clone(state.models.name(grant.model)),
        limits,
        zone: state.quotas.zone_name(zone),
    }
}
