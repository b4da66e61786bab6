//! Derives the [`KeyRequest`] of a request: its model, its cost, and whether it may be retried.

use std::{sync::Arc, time::Duration};

use http::request::Parts;

use crate::{
    KeyPool, Provider,
    pool::{Attempts, KeyRequest},
    provider::ModelIn,
    replay::CollectedBody,
};

/// Returns the [`KeyRequest`] of the next attempt. The first attempt sets what applies to all attempts.
pub(super) fn of_attempt(pool: &KeyPool, head: &Parts, attempts: &mut Attempts, wait: Option<Duration>) -> KeyRequest {
    let given = head.extensions.get::<KeyRequest>().cloned();
    let needs = given.unwrap_or_else(|| derive(pool.provider(), head));
    attempts.next(needs, wait.unwrap_or(pool.shared.wait), pool.clock().now())
}

/// Derives the [`KeyRequest`] from the head and the collected body of a request.
pub(crate) fn derive(provider: &dyn Provider, head: &Parts) -> KeyRequest {
    let info = provider.inspect(head);
    let collected = head.extensions.get::<CollectedBody>();
    let model: Option<Arc<str>> = match info.model {
        ModelIn::Head(model) => Some(provider.quota_model(&model).into()),
        ModelIn::Body => collected.and_then(CollectedBody::model).map(|model| {
            let name = provider.quota_model(model);
            if name.len() == model.len() { Arc::clone(model) } else { name.into() }
        }),
        ModelIn::Nowhere => None,
    };
    let mut needs =
        KeyRequest { model, uncounted: info.uncounted, not_idempotent: info.not_idempotent, ..KeyRequest::default() };
    if info.uncounted {
        return needs;
    }
    if let Some(collected) = collected {
        needs.cost.input_tokens = collected.estimated_tokens(&head.headers);
        needs.cost.estimated = true;
        if let Some(array) = info.cost_of_items {
            needs.cost.requests = collected.count_items(array).unwrap_or(1).max(1);
        }
    }
    needs
}
