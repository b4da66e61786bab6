//! Checks which models a tenant may use.

use http::{Method, StatusCode};
use tower_keypool::provider::{ModelIn, SetModel};

use super::{body::Collected, handler::Incoming, names, route::Endpoint};
use crate::error::ApiError;

/// Checks that the tenant may use the models that a request names.
///
/// # Errors
/// 403 if it may not, or if the models of a request that may generate something cannot be read; 413 if they cannot be
/// read because the body is streamed.
pub fn check(incoming: &Incoming) -> Result<(), ApiError> {
    let Incoming { route, tenant, provider, head, body, model, .. } = incoming;
    if !tenant.restricts_models() {
        return Ok(());
    }
    let place = names::in_path(route.dialect, head.uri.path());
    let models: Vec<String> = match provider.pool.provider().inspect(head).model {
        ModelIn::Head(model) => vec![model.into_owned()],
        // The provider ignores a top-level model of these.
        _ if place.as_ref().is_some_and(|place| matches!(place.collection(), Some("batches"))) => {
            body.data().and_then(|data| models_of_batch(data)).unwrap_or_default()
        }
        _ => model.iter().cloned().collect(),
    };
    if let Some(model) = models.iter().find(|model| !may_use(incoming, model)) {
        return Err(ApiError::new(StatusCode::FORBIDDEN, format!("this token may not use the model {model}")));
    }
    let generates_nothing = route.endpoint == Endpoint::Upload
        || matches!(head.method, Method::GET | Method::HEAD | Method::PUT | Method::PATCH | Method::DELETE)
        || place.is_some_and(|place| place.generates_nothing());
    if generates_nothing || !models.is_empty() {
        return Ok(());
    }
    if matches!(body, Collected::Streamed(_)) {
        let message = "this token may use certain models only, and the body is too large to find its model";
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    let message = "this token may use certain models only, and the request does not name its model: send one \
                   top-level field model, in valid JSON or a valid form";
    Err(ApiError::new(StatusCode::FORBIDDEN, message))
}

/// Reports whether the tenant may use the model under the requested name. An alias is also allowed through its model's
/// name, but only where the gateway replaces it: otherwise the provider receives the alias, which could be another model.
fn may_use(incoming: &Incoming, model: &str) -> bool {
    let Incoming { app, route, tenant, provider, head, body, .. } = incoming;
    let api = provider.pool.provider();
    let alias = api.quota_model(model);
    let resolved = app.pools.resolved(alias);
    let is_replaced = || {
        provider.dialect != route.dialect
            || match api.set_model(&mut head.clone(), resolved) {
                SetModel::Done => true,
                SetModel::InBody => matches!(body, Collected::Whole(body) if body.model().is_some()),
                _ => false,
            }
    };
    tenant.may_use(model.trim_start_matches("models/"))
        || (resolved != alias && tenant.may_use(resolved) && is_replaced())
}

/// Returns the models of all requests of a batch for Anthropic; `None` if one of them cannot be read.
fn models_of_batch(body: &[u8]) -> Option<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Batch {
        requests: Vec<Entry>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        params: Params,
    }
    #[derive(serde::Deserialize)]
    struct Params {
        model: String,
    }
    let batch: Batch = serde_json::from_slice(body).ok()?;
    Some(batch.requests.into_iter().map(|entry| entry.params.model).collect())
}
