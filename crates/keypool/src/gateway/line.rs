//! A line for each request, where somebody wants them.

use http::{Method, Request, Response};
use tower_keypool::{Clock, ServedBy, Tick};

use super::REQUESTS;

/// What `-v` says of a request; nothing where nobody listens.
pub(super) struct RequestLine(Option<(Method, String, Tick)>);

impl RequestLine {
    pub(super) fn begin<B>(request: &Request<B>, clock: &Clock) -> Self {
        let told = tracing::enabled!(target: REQUESTS, tracing::Level::DEBUG);
        // Without the query: a token may stand there.
        Self(told.then(|| (request.method().clone(), request.uri().path().to_owned(), clock.tick())))
    }

    pub(super) fn end<B>(mut self, response: &Response<B>, clock: &Clock) {
        let Some((method, path, began)) = self.0.take() else { return };
        let status = response.status().as_u16();
        let ms = clock.tick().since(began).as_millis();
        let Some(served) = response.extensions().get::<ServedBy>() else {
            tracing::debug!(target: REQUESTS, "{method} {path} {status}, {ms} ms");
            return;
        };
        let key = served.key().map_or_else(|| "no key".to_owned(), ToString::to_string);
        let model = served.used_model().unwrap_or("no model");
        let attempts = match served.attempts() {
            0 | 1 => String::new(),
            attempts => format!(", {attempts} attempts"),
        };
        tracing::debug!(target: REQUESTS, "{method} {path} {status} by {key} ({model}){attempts}, {ms} ms");
    }
}

impl Drop for RequestLine {
    fn drop(&mut self) {
        if let Some((method, path, _)) = self.0.take() {
            tracing::debug!(target: REQUESTS, "{method} {path}: the client left before there was an answer");
        }
    }
}
