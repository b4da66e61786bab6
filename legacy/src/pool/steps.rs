//! What happened to one request, step by step: for whoever explains it afterwards.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    Affinity, Demand, Granted, KeyPool, OutReason, Particulars,
    check::{Check, reason_of},
    state::State,
};
use crate::{
    key::KeyId,
    time::{Now, Tick},
    verdict::{Scope, Verdict, VerdictKind},
};

/// Steps that are remembered of a request.
const MOST_STEPS: usize = 64;
/// Looks at the keys that are remembered.
const MOST_LOOKS: usize = 8;
/// Keys of one look.
const MOST_KEYS: u32 = 256;

/// A step of a request: see [`Meter::watching`](super::Meter::watching).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Step {
    /// A key was looked for.
    Looked {
        /// When.
        at: Tick,
        /// For which model.
        model: Option<Arc<str>>,
        /// The keys, 256 at most, in the order of the pool.
        candidates: Vec<Candidate>,
        /// How many more there are.
        more: usize,
    },
    /// One was found.
    Granted {
        /// When; for a retry that paused with it, when the pause was over.
        at: Tick,
        /// Which.
        key: KeyId,
        /// For which model.
        model: Option<Arc<str>>,
    },
    /// An answer came, or an error in its place.
    Judged {
        /// When.
        at: Tick,
        /// Of which key.
        key: KeyId,
        /// Of which model.
        model: Option<Arc<str>>,
        /// What it meant.
        kind: VerdictKind,
        /// Whom it concerned.
        scope: Scope,
        /// Its HTTP status, where there was an answer.
        status: Option<u16>,
        /// The provider's own short word for it.
        code: Cow<'static, str>,
        /// What a person can do about it.
        advice: Cow<'static, str>,
    },
}

/// A key that was looked at for a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Candidate {
    /// Its name.
    pub key: KeyId,
    /// Its place in the order.
    pub priority: u16,
    /// Why it could not carry the request; `None`: it could.
    pub out: Option<OutReason>,
    /// When it could again, from then; `None` with `out`: not by itself, or nobody knows.
    pub ready_in: Option<Duration>,
}

/// What was noted so far.
#[derive(Debug, Default)]
pub(super) struct Noted {
    steps: Mutex<Vec<Step>>,
    surveys: bool,
}

impl Noted {
    pub(super) fn new(surveys: bool) -> Self {
        Self { steps: Mutex::default(), surveys }
    }

    pub(super) fn all(&self) -> Vec<Step> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, step: Step) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if steps.len() < MOST_STEPS {
            steps.push(step);
        }
    }

    fn wants_a_look(&self) -> bool {
        let looked = |step: &&Step| matches!(step, Step::Looked { .. });
        let steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        self.surveys && steps.iter().filter(looked).count() < MOST_LOOKS
    }

    pub(super) fn granted(&self, pool: &KeyPool, key: &KeyId, model: Option<&Arc<str>>) {
        self.note(Step::Granted { at: pool.clock().tick(), key: key.clone(), model: model.cloned() });
    }

    /// The pause is over that was made with the key in hand: it was no time of the key's.
    pub(super) fn paused(&self, until: Tick) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Step::Granted { at, .. }) = steps.last_mut() {
            *at = until;
        }
    }

    pub(super) fn judged(&self, granted: &Granted, verdict: &Verdict) {
        self.note(Step::Judged {
            at: granted.pool.clock().tick(),
            key: granted.key.clone(),
            model: granted.model.clone(),
            kind: verdict.kind(),
            scope: verdict.scope_of(),
            status: verdict.status_of().map(|status| status.as_u16()),
            code: verdict.code_of().to_owned().into(),
            advice: verdict.advice_of().to_owned().into(),
        });
    }
}

impl State {
    /// Notes each key that a demand might get, where somebody wants to know.
    #[cold]
    pub(super) fn note_candidates(&mut self, demand: &Demand, now: Now) {
        let look = self.survey(demand, now);
        demand.particulars.note(look);
    }

    /// Each key that a demand might get, where somebody wants to know.
    #[cold]
    pub(super) fn survey(&mut self, demand: &Demand, now: Now) -> Option<Step> {
        let noted = demand.particulars.meter().and_then(|meter| meter.noted())?;
        if self.closed || !noted.wants_a_look() {
            return None;
        }
        let ask = self.ask(demand, now);
        let upfront = self.rest_of_all(ask.lane, Duration::ZERO, now).map(|rest| (reason_of(rest), rest.wakes(now)));
        let excluded = self.excluded(demand);
        let must = matches!(demand.affinity, Affinity::MustKey(_) | Affinity::MustOwner(_));
        let wanted = if must { self.wanted(&demand.affinity) } else { Vec::new() };
        let mut candidates = Vec::new();
        let mut more = 0;
        for slot in 0..self.roster.keys.len() as u32 {
            let key = &self.roster.keys[slot as usize];
            if key.removed {
                continue;
            }
            if candidates.len() as u32 == MOST_KEYS {
                more += 1;
                continue;
            }
            let (id, priority, owner) = (key.id.clone(), key.priority, key.owner);
            let (out, at) = if excluded.holds(slot, owner) {
                (Some(OutReason::Tried), None)
            } else if must && !wanted.contains(&slot) {
                (Some(OutReason::Elsewhere), None)
            } else if let Some((reason, wakes)) = upfront {
                (Some(reason), Some(wakes))
            } else {
                match self.check(&ask, slot) {
                    Check::Ready(_) => (None, None),
                    Check::Out(reason) => (Some(reason), None),
                    Check::Until(_, reason) | Check::Busy(_, reason) | Check::NotThis(_, reason) => {
                        (Some(reason), self.earliest(&ask, slot))
                    }
                }
            };
            let ready_in = at.filter(|at| *at != Tick::NEVER).map(|at| at.since(now.tick));
            candidates.push(Candidate { key: id, priority, out, ready_in });
        }
        Some(Step::Looked { at: now.tick, model: demand.model.clone(), candidates, more })
    }
}

impl Particulars {
    /// Notes a look at the keys, where there was one.
    pub(super) fn note(&self, look: Option<Step>) {
        if let (Some(look), Some(noted)) = (look, self.meter().and_then(|meter| meter.noted())) {
            noted.note(look);
        }
    }
}
