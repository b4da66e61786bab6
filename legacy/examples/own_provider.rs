//! A provider of one's own: a speech API with keys in `Authorization: Token …`, its model in the query, and errors of
//! its own shape.
//!
//! ```text
//! cargo run --example own_provider
//! ```
//!
//! The simulator speaks Gemini, so this one brings an upstream of its own, in process: `api`, below. Everything between
//! is what stands in front of a real one.
//!
//! What it does not care to know, it asks of [`ApiKeyHeader`], which judges any API by its statuses.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header, request};
use http_body_util::{BodyExt, Full};
use serde::Deserialize;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_keypool::{
    Answer, ApiKeyHeader, Asks, Base, BoxError, Elsewhere, InvalidApiKeyHeader, InvalidSecret, Key, KeyPool,
    KeyPoolLayer, ModelIn, Provider, ReplayBody, Retarget, Scope, Secret, ServedBy, Until, Verdict, VerdictKind,
    retry_after,
};

/// A speech API: `POST /v1/listen?model=nova-2`.
struct Speech {
    /// Knows where keys go, what to strip, and what statuses mean.
    plain: ApiKeyHeader,
}

/// Its errors: `{"err_code": "TOO_MANY_REQUESTS", "err_msg": "… try again in 30s"}`.
#[derive(Deserialize)]
struct Failure {
    err_code: String,
    #[serde(default)]
    err_msg: String,
}

impl Speech {
    fn at(base: &str) -> Result<Self, InvalidApiKeyHeader> {
        let plain = ApiKeyHeader::header("authorization", base)?.scheme("Token ").named("speech");
        Ok(Self { plain })
    }

    /// Where a query names the model.
    fn model(query: &str) -> Option<std::ops::Range<usize>> {
        let start = if query.starts_with("model=") { 6 } else { query.find("&model=")? + 7 };
        let end = query[start..].find('&').map_or(query.len(), |length| start + length);
        Some(start..end)
    }
}

impl Provider for Speech {
    fn name(&self) -> &str {
        self.plain.name()
    }

    fn base(&self) -> &Base {
        self.plain.base()
    }

    fn prepare(&self, key: &str) -> Result<Secret, InvalidSecret> {
        self.plain.prepare(key)
    }

    fn strip(&self, head: &mut request::Parts) {
        self.plain.strip(head);
    }

    fn inject(&self, head: &mut request::Parts, key: &Secret) -> Result<(), Cow<'static, str>> {
        self.plain.inject(head, key)
    }

    fn asks<'a>(&self, head: &'a request::Parts) -> Asks<'a> {
        let query = head.uri.query().unwrap_or("");
        match Self::model(query) {
            Some(model) if head.uri.path().ends_with("/listen") => Asks::of(ModelIn::Head(query[model].into())),
            _ => Asks::default().free(),
        }
    }

    fn retarget(&self, head: &mut request::Parts, model: &str) -> Retarget {
        let query = head.uri.query().unwrap_or("");
        let Some(old) = Self::model(query) else { return Retarget::No };
        let target = format!("{}?{}{model}{}", head.uri.path(), &query[..old.start], &query[old.end..]);
        let Ok(uri) = target.parse() else { return Retarget::No };
        head.uri = uri;
        Retarget::Done
    }

    fn judge(&self, answer: &Answer<'_>) -> Verdict {
        let Ok(failure) = serde_json::from_slice::<Failure>(answer.body) else { return self.plain.judge(answer) };
        // The header first, then the sentence.
        let wait = retry_after::header(answer.headers, answer.now).or_else(|| retry_after::in_text(&failure.err_msg));
        let verdict = match failure.err_code.as_str() {
            "TOO_MANY_REQUESTS" => Verdict::new(VerdictKind::RateLimited)
                .until(wait.map_or(Until::Backoff, Until::For))
                .advice("The project has too many requests under way: lower max_concurrent, or add a key."),
            "ASR_PAYMENT_REQUIRED" => Verdict::new(VerdictKind::QuotaExhausted)
                .scope(Scope::Owner)
                .until(Until::Probed(Duration::from_secs(3600)))
                .elsewhere(Elsewhere::OtherKey)
                .advice("The project has no credits left: buy some in its console."),
            _ => return self.plain.judge(answer),
        };
        // A code that is known by now, so it cannot be anybody's secret.
        verdict.code(failure.err_code).status(answer.status)
    }
}

type Text = Full<Bytes>;

/// Stands for the API: one key is at its limit, any other is told what was asked of it.
async fn api(request: Request<ReplayBody<Text>>) -> Result<Response<Text>, BoxError> {
    let limited = request.headers().get(header::AUTHORIZATION).is_some_and(|value| value == "Token first-key");
    let asked = request.uri().clone();
    let sound = request.into_body().collect().await?.to_bytes();
    let mut response = Response::new(Text::from(format!("{asked}: heard {} bytes", sound.len())));
    if limited {
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        *response.body_mut() = r#"{"err_code":"TOO_MANY_REQUESTS","err_msg":"Please try again in 30s."}"#.into();
    }
    Ok(response)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let pool = KeyPool::builder(Speech::at("https://speech.example")?)
        .key(Key::new("first-key").id("first").owner("project-a"))
        .key(Key::new("second-key").id("second").owner("project-b"))
        .build()?;
    let client = ServiceBuilder::new().layer(KeyPoolLayer::new(&pool)).service(service_fn(api));

    let request = Request::post("/v1/listen?model=nova-2&lang=en")
        .header("authorization", "Token of-the-caller")
        .body(Text::from("a few words"))?;
    let (head, body) = client.oneshot(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    println!("{} {}", head.status, String::from_utf8_lossy(&body));

    let served = head.extensions.get::<ServedBy>().ok_or("every answer says who served it")?;
    for attempt in served.earlier() {
        println!("before that, {}: {} ({})", attempt.key, attempt.kind, attempt.code);
    }
    println!("by key {:?}; another request of nova-2 by the first key: not for 30 s", served.key());
    Ok(())
}
