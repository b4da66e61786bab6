//! The traffic of the demo: which call when, settled by a seed before it starts, so that two clients can play the same.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::json;

/// A call at its time.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Since the beginning.
    pub(super) at: Duration,
    path: String,
    body: Bytes,
}

/// Calls a second, on the average. The pool's keys can carry it for ever.
const RATE: f64 = 6.0;
/// Calls that come at once at the beginning.
const BURST: usize = 30;

/// Mixed traffic for this long: whole answers, streams, embeddings, token counts; two models.
pub(super) fn calls(length: Duration, seed: u64) -> Vec<Call> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut calls: Vec<Call> = (0..BURST).map(|_| call(Duration::from_millis(rng.u64(0..400)), &mut rng)).collect();
    let mut at = Duration::from_millis(500);
    loop {
        // Poisson: what comes does not know what came.
        at += Duration::from_secs_f64(-(1.0 - rng.f64()).ln() / RATE);
        // The last answers need their time, too.
        if at + Duration::from_secs(2) > length {
            break;
        }
        calls.push(call(at, &mut rng));
    }
    calls.sort_by_key(|call| call.at);
    calls
}

fn call(at: Duration, rng: &mut fastrand::Rng) -> Call {
    let model = if rng.u8(0..10) < 6 { "gemini-2.5-flash" } else { "gemini-2.5-flash-lite" };
    let text = "Why does the moon show us one face only? ".repeat(rng.usize(1..8));
    let contents = json!({ "contents": [{ "role": "user", "parts": [{ "text": text }] }] });
    let (path, body) = match rng.u8(0..20) {
        0..11 => (format!("/v1beta/models/{model}:generateContent"), contents),
        11..16 => (format!("/v1beta/models/{model}:streamGenerateContent?alt=sse"), contents),
        16..18 => (
            "/v1beta/models/gemini-embedding-001:embedContent".to_owned(),
            json!({ "content": { "parts": [{ "text": text }] } }),
        ),
        _ => (format!("/v1beta/models/{model}:countTokens"), contents),
    };
    Call { at, path, body: Bytes::from(body.to_string()) }
}

impl Call {
    /// The request, to `base` with `key` as the credential.
    pub(super) fn request(&self, base: &str, key: &str) -> http::Result<Request<Full<Bytes>>> {
        Request::builder()
            .method(Method::POST)
            .uri(format!("{base}{}", self.path))
            .header("x-goog-api-key", key)
            .header("content-type", "application/json")
            .body(Full::new(self.body.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_traffic() {
        let of = |seed| calls(Duration::from_secs(20), seed).iter().map(|c| (c.at, c.path.clone())).collect::<Vec<_>>();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert!((100..220).contains(&of(1).len()), "{}", of(1).len());
    }
}
