//! The span of a request, where somebody wants one.

use http::{Response, request::Parts};
use tower_keypool::{KeyPool, ServedBy};
use tracing::{Level, Span, field};

use super::line::without_keys;

/// The target of spans of requests.
pub const SPANS: &str = "keypool::spans";

/// The span of a request, from its head to the end of its answer; `None` where nobody wants it. `pool`: its path is told
/// without its keys.
pub(in crate::gateway) fn of(head: &Parts, pool: Option<&KeyPool>) -> Option<Box<Span>> {
    tracing::span_enabled!(target: SPANS, Level::INFO).then(|| Box::new(begin(head, pool)))
}

#[cold]
fn begin(head: &Parts, pool: Option<&KeyPool>) -> Span {
    tracing::info_span!(
        target: SPANS, "keypool.request",
        otel.kind = "server",
        http.request.method = head.method.as_str(),
        // Without the query: a token may stand there.
        url.path = &*without_keys(head.uri.path(), pool),
        http.response.status_code = field::Empty,
        key = field::Empty,
        model = field::Empty,
        attempts = field::Empty,
        outcome = field::Empty,
    )
}

/// What the request came to.
#[cold]
pub(in crate::gateway) fn record<B>(span: &Span, response: &Response<B>) {
    span.record("http.response.status_code", response.status().as_u16());
    if let Some(served_by) = response.extensions().get::<ServedBy>() {
        span.record("key", served_by.key().map(field::display));
        span.record("model", served_by.used_model());
        span.record("attempts", served_by.attempts());
    }
}
