//! Derives the [`KeyRequest`] of a request: its model, its cost, and whether it may be retried.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, header, request::Parts};
use memchr::memchr;

use crate::{
    KeyPool, Provider,
    limit::Cost,
    pool::{Attempts, KeyRequest},
    provider::ModelIn,
    replay::CollectedBody,
};

/// Returns the [`KeyRequest`] of the next attempt. The first attempt sets what applies to all attempts.
pub(super) fn of_attempt(pool: &KeyPool, head: &Parts, attempts: &mut Attempts, wait: Option<Duration>) -> KeyRequest {
    let given = head.extensions.get::<KeyRequest>().cloned();
    let needs = derive(pool.provider(), head, given.unwrap_or_default());
    attempts.next(needs, wait.unwrap_or(pool.shared.wait), pool.clock().now())
}

/// Derives what a [`KeyRequest`] leaves out from the head and the collected body of a request.
pub(crate) fn derive(provider: &dyn Provider, head: &Parts, mut needs: KeyRequest) -> KeyRequest {
    let info = provider.inspect(head);
    let collected = head.extensions.get::<CollectedBody>();
    let model: Option<Arc<str>> = match info.model {
        _ if needs.model.is_some() => needs.model,
        ModelIn::Head(model) => Some(provider.quota_model(&model).into()),
        ModelIn::Body => collected.and_then(CollectedBody::model).map(|model| {
            let name = provider.quota_model(model);
            if name.len() == model.len() { Arc::clone(model) } else { name.into() }
        }),
        ModelIn::Nowhere => None,
    };
    needs.model = model;
    needs.not_idempotent |= info.not_idempotent;
    needs.uncounted |= info.uncounted && needs.cost == Cost::default();
    let Some(collected) = collected.filter(|_| !needs.uncounted) else { return needs };
    if !needs.sets_input_tokens {
        needs.sets_input_tokens = true;
        needs.cost.amounts.input_tokens = estimate(&head.headers, collected.data());
        needs.cost.estimated = true;
    }
    if let Some(array) = info.cost_of_items.filter(|_| !needs.sets_requests) {
        needs.sets_requests = true;
        needs.cost.amounts.requests = collected.count_items(array).unwrap_or(1).max(1).into();
    }
    needs
}

/// Estimates the tokens of a body: a quarter of its bytes. Media cost less: long strings without spaces in JSON, and a
/// body that is not JSON, such as a form with a file.
fn estimate(headers: &HeaderMap, body: &[u8]) -> u64 {
    const LONG: usize = 4_096;
    const OF_MEDIUM: usize = 4_096;
    let is_json = |text: &[u8]| text.windows(4).any(|part| part.eq_ignore_ascii_case(b"json"));
    if headers.get(header::CONTENT_TYPE).is_some_and(|content_type| !is_json(content_type.as_bytes())) {
        return (body.len().min(OF_MEDIUM) / 4) as u64;
    }
    let mut bytes = 0;
    let mut rest = body;
    while rest.len() > LONG {
        let end = memchr(b'"', rest).unwrap_or(rest.len());
        let is_medium = end > LONG && memchr(b' ', &rest[..LONG]).is_none();
        bytes += if is_medium { OF_MEDIUM } else { end };
        rest = &rest[rest.len().min(end + 1)..];
    }
    ((bytes + rest.len()) / 4) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_cost_less_than_their_bytes() {
        let estimated = |body: &str| estimate(&HeaderMap::new(), body.as_bytes());
        let text = format!(r#"{{"text":"{}"}}"#, "some words ".repeat(10_000));
        assert!(estimated(&text).abs_diff(text.len() as u64 / 4) < 3);
        let medium = format!(r#"{{"data":"{}"}}"#, "QUJD".repeat(1 << 20));
        assert!(estimated(&medium) < 1_100);
        assert_eq!(estimated(""), 0);
    }

    #[test]
    fn bodies_other_than_json_cost_at_most_a_constant() {
        let text = "some words ".repeat(10_000);
        for (content_type, body, expected) in [
            ("multipart/form-data; boundary=b", &*text, 1_024),
            ("application/octet-stream", &text[..400], 100),
            ("application/json; charset=utf-8", &text, 27_500),
            ("Application/X+JSON", &text, 27_500),
        ] {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type.parse().unwrap())]);
            assert_eq!(estimate(&headers, body.as_bytes()), expected, "{content_type}");
        }
    }
}
