//! From the gate to the quota: everything that is checked before an answer.

use std::time::Duration;

use serde_json::Value;

use super::{Admission, Engine, State, Visit};
use crate::auth::Credentials;
use crate::quota::{Charge, Family};
use crate::refusal::{ApiError, not_found_page, over_quota};
use crate::route::Call;
use crate::{Model, Refusal, tokens};

/// A request that may be answered.
pub(crate) struct Admitted {
    pub(crate) call: Call,
    pub(crate) project: usize,
    pub(crate) model: Option<Model>,
    pub(crate) request: Value,
    pub(crate) charge: Charge,
    /// Charged, and yet refused.
    pub(crate) fails: Option<Refusal>,
}

impl Engine {
    /// In the order of the real thing: path, credentials, shape of the
    /// request, model, quota.
    pub(super) fn admit(&self, state: &mut State, visit: &Visit<'_>) -> Admission<Admitted> {
        let Some(route) = &visit.route else {
            let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
            return Err(not_found_page(known.contains(&visit.http_method.as_str())));
        };
        let project = self.authenticate(state, visit, route.is_compatible())?;
        visit.query.check(route.parameters())?;
        let model = self.model(visit, project)?;
        let request: Value = serde_json::from_slice(visit.body)
            .map_err(|_| crate::refusal::bad_request(None, "Invalid JSON payload received."))?;
        let charge = Charge {
            requests: 1,
            tokens: tokens::of_prompt(&request),
        };
        let fails = self.charge(state, visit, (project, &model), charge)?;
        Ok(Admitted {
            call: route.call.clone(),
            project,
            model: Some(model),
            request,
            charge,
            fails,
        })
    }

    fn refuse(&self, visit: &Visit<'_>, refusal: &Refusal) -> ApiError {
        refusal.error(visit.scene(&self.world))
    }

    fn authenticate(&self, state: &State, visit: &Visit<'_>, compatible: bool) -> Admission<usize> {
        let refuse = |refusal: Refusal| Err(self.refuse(visit, &refusal));
        match (&visit.credentials, compatible) {
            (Credentials::Multiple, _) => return refuse(Refusal::MultipleCredentials),
            (Credentials::ApiKey(_), false) | (Credentials::Bearer(_), true) => {}
            (Credentials::None, false) => return refuse(Refusal::UnregisteredCaller),
            (Credentials::Bearer(_) | Credentials::Unreadable, false) => {
                return refuse(Refusal::BadCredentials);
            }
            (_, true) => {
                return Err(ApiError::invalid_argument(
                    "missing_bearer",
                    "Missing or invalid Authorization header.",
                ));
            }
        }
        let Some(key) = visit.key else {
            return refuse(Refusal::ApiKeyInvalid);
        };
        let project = self.world.keys[key].project;
        let refused = state.refused[key].as_ref();
        match refused.or(self.world.projects[project].refused.as_ref()) {
            Some(refusal) => refuse(refusal.clone()),
            None => Ok(project),
        }
    }

    fn model(&self, visit: &Visit<'_>, project: usize) -> Admission<Model> {
        let Some(model) = self.world.model(&visit.model, visit.method()) else {
            return Err(self.refuse(visit, &Refusal::ModelNotFound));
        };
        if self.world.projects[project].retired.contains(&model.name) {
            return Err(self.refuse(visit, &Refusal::ModelRetired));
        }
        Ok(model)
    }

    /// Books the charge. A prompt that is too long costs its quota and is
    /// refused all the same.
    fn charge(
        &self,
        state: &mut State,
        visit: &Visit<'_>,
        (project, model): (usize, &Model),
        charge: Charge,
    ) -> Admission<Option<Refusal>> {
        let (tier, limits) = self.world.limits(project, &model.quota_model);
        if limits.is_zero() {
            let refusal = Refusal::LimitZero;
            let scene = visit.scene(&self.world);
            return Err(refusal.error(crate::refusal::Scene {
                model: &model.quota_model,
                ..scene
            }));
        }
        let family = if model.dimensions.is_some() {
            Family::Embed
        } else {
            Family::Generate
        };
        let place = (project, model.quota_model.as_str());
        let at = (visit.now, visit.wall);
        match state.ledger.charge(at, place, limits, charge) {
            Ok(()) => {
                let long = charge.tokens > model.input_limit * charge.requests;
                Ok(long.then_some(Refusal::TooManyTokens))
            }
            Err(violations) => {
                let decoy = Duration::from_secs_f64(1.0 + 58.0 * state.rng.f64());
                let of = (family, tier, model.quota_model.as_str());
                Err(over_quota(&violations, of, decoy))
            }
        }
    }
}
