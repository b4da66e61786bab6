//! From the gate to the quota: everything that is checked before an answer.

use std::time::Duration;

use serde_json::Value;

use super::{Admission, Engine, State, Visit};
use crate::auth::Credentials;
use crate::delivery::Delivery;
use crate::quota::{Charge, Family};
use crate::refusal::{ApiError, limit_zero, not_found_page, over_quota, too_many_tokens};
use crate::report::Booking;
use crate::route::{Call, Route};
use crate::store::Collection;
use crate::strict::{self, Message, read_json};
use crate::{Model, Refusal};

/// A request that may be answered.
pub(crate) struct Admitted {
    pub(crate) call: Call,
    pub(crate) version: String,
    pub(crate) project: usize,
    /// For calls that concern one model and are not about the catalogue.
    pub(crate) model: Option<Model>,
    /// The body; null where a call has none.
    pub(crate) request: Value,
    /// The prompt, in the native form whatever form the request had.
    pub(crate) prompt: Value,
    pub(crate) charge: Charge,
    pub(crate) cached_tokens: u64,
    /// Charged, and yet refused.
    pub(crate) fails: Option<ApiError>,
}

impl Engine {
    /// In the order of the real thing: path, credentials, shape of the
    /// request, model, resources, quota.
    pub(super) fn admit(&self, state: &mut State, visit: &Visit<'_>, booking: &mut Booking) -> Admission<Admitted> {
        const HTTP: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
        let Some(route) = &visit.route else {
            return Err(not_found_page(HTTP.contains(&visit.http_method.as_str())));
        };
        let project = self.authenticate(state, visit, route)?;
        visit.query.check(route.parameters())?;
        let request = self.request(visit, &route.call)?;
        let model = match route.call {
            Call::Generate(_)
            | Call::CountTokens
            | Call::Embed
            | Call::BatchEmbed
            | Call::Predict
            | Call::CreateCache
            | Call::Batch
            | Call::BatchEmbedLater
            | Call::PredictLong
            | Call::Chat
            | Call::ChatEmbeddings => Some(self.model(state, visit, project)?),
            _ => None,
        };
        let (prompt, weight) = self.weigh(state, visit, (project, model.as_ref()), &request)?;
        if visit.is_charged() {
            booking.tokens = weight.charge.tokens;
            booking.cost = weight.charge.requests;
        }
        let mut admitted = Admitted {
            call: route.call.clone(),
            version: route.version.clone(),
            project,
            model,
            request,
            prompt,
            charge: weight.charge,
            cached_tokens: weight.cached,
            fails: None,
        };
        if let (Some(model), true) = (&admitted.model, visit.is_charged()) {
            admitted.fails = self.charge(state, visit, (project, model), weight.charge)?;
        }
        Ok(admitted)
    }

    pub(crate) fn refuse(&self, visit: &Visit<'_>, refusal: &Refusal) -> ApiError {
        refusal.error(visit.scene(&self.world))
    }

    fn authenticate(&self, state: &State, visit: &Visit<'_>, route: &Route) -> Admission<usize> {
        let refuse = |refusal: &Refusal| Err(self.refuse(visit, refusal));
        let compatible = route.is_compatible();
        match (&visit.credentials, compatible) {
            (Credentials::Multiple, _) => return refuse(&Refusal::MultipleCredentials),
            (Credentials::ApiKey(_), false) | (Credentials::Bearer(_), true) => {}
            (Credentials::None, false) => {
                // The URL of an upload is a credential of its own.
                let session = visit.query.get("upload_id");
                let upload = session.and_then(|id| state.uploads.get(id));
                return match upload {
                    Some(upload) if route.call == Call::Upload => Ok(upload.project),
                    _ => refuse(&Refusal::UnregisteredCaller),
                };
            }
            (Credentials::Bearer(_) | Credentials::Unreadable, false) => {
                return refuse(&Refusal::BadCredentials);
            }
            (_, true) => {
                return Err(ApiError::invalid_argument("missing_bearer", "Missing or invalid Authorization header."));
            }
        }
        let Some(key) = visit.key else {
            return refuse(&Refusal::ApiKeyInvalid);
        };
        let project = self.world.keys[key].project;
        let refused = state.refused[key].as_ref();
        match refused.or(self.world.projects[project].refused.as_ref()) {
            Some(refusal) => refuse(refusal),
            None => Ok(project),
        }
    }

    /// The body, when it is one that the call takes.
    fn request(&self, visit: &Visit<'_>, call: &Call) -> Admission<Value> {
        let message: &Message = match call {
            Call::Generate(_) => &strict::GENERATE,
            Call::CountTokens => &strict::COUNT_TOKENS,
            Call::Embed => &strict::EMBED,
            Call::BatchEmbed => &strict::BATCH_EMBED,
            Call::Predict => &strict::PREDICT,
            Call::Chat => &strict::CHAT,
            Call::ChatEmbeddings => &strict::CHAT_EMBEDDINGS,
            Call::CreateCache => &strict::CACHED_CONTENT,
            Call::UpdateCache(_) => &strict::CACHE_UPDATE,
            Call::StartUpload => match Delivery::of(visit)? {
                Delivery::Pieces => &strict::UPLOAD,
                Delivery::Whole { said, .. } => {
                    strict::UPLOAD.check(&said)?;
                    return Ok(said);
                }
            },
            Call::Tune
            | Call::Batch
            | Call::BatchEmbedLater
            | Call::PredictLong
            | Call::Interact
            | Call::MakeToken(_) => {
                return read_json(visit.headers, visit.body, self.settings.max_body);
            }
            _ => return Ok(Value::Null),
        };
        let request = read_json(visit.headers, visit.body, self.settings.max_body)?;
        message.check(&request)?;
        Ok(request)
    }

    fn model(&self, state: &State, visit: &Visit<'_>, project: usize) -> Admission<Model> {
        if visit.path.contains("/tunedModels/") {
            let tuned = state.things.get(project, &format!("tunedModels/{}", visit.model), Collection::Tuned)?;
            let base = tuned.shown["baseModel"].as_str().unwrap_or_default();
            let base = base.strip_prefix("models/").unwrap_or(base);
            let model = self.world.model(base, visit.method());
            return model.ok_or_else(|| self.refuse(visit, &Refusal::ModelNotFound));
        }
        // Whatever generates does the rest, too.
        let named = match visit.method() {
            "batchGenerateContent" | "predictLongRunning" => "generateContent",
            "asyncBatchEmbedContent" => "embedContent",
            method => method,
        };
        let Some(model) = self.world.model(&visit.model, named) else {
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
    ) -> Admission<Option<ApiError>> {
        let (tier, limits) = self.world.limits(project, &model.quota_name);
        let family = if model.dimensions.is_some() { Family::Embed } else { Family::Generate };
        let of = (family, tier, model.quota_name.as_str());
        if limits.is_zero() {
            return Err(limit_zero(of));
        }
        let place = (project, model.quota_name.as_str());
        let at = (visit.now, visit.wall);
        match state.ledger.charge(at, place, limits, charge) {
            Ok(()) => {
                let long = charge.tokens > model.input_limit.saturating_mul(charge.requests);
                Ok(long.then(|| too_many_tokens(model.input_limit)))
            }
            Err(violations) => {
                let decoy = Duration::from_secs_f64(1.0 + 58.0 * state.rng.f64());
                Err(over_quota(&violations, of, decoy))
            }
        }
    }
}
