//! A provider of one's own, on tokio's clock: what it says to each request, or that it says nothing.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use keypool_client::Client;
use serde_json::{Value, json};
use tower_keypool::{BoxError, Clock, ExitError, Gemini, Key, KeyPool, KeyPoolBuilder, Models, ReplayBody};

use crate::stage;

/// What comes of a request.
pub(crate) enum Says {
    Answer(u16, Value),
    /// Not what was asked for.
    Other(u16, &'static str),
    /// It leads there.
    Leads(&'static str),
    /// Nothing listens there.
    Refused,
    /// The exit lets nothing out.
    Shut,
    /// It took the request and hung up.
    HangsUp,
}

/// What a client says that is no error of the system.
#[derive(Debug)]
struct HungUp;

impl fmt::Display for HungUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connection closed before message completed")
    }
}

impl std::error::Error for HungUp {}

/// Requests so far.
pub(crate) type Asked = Arc<AtomicUsize>;

/// A pool of these keys on tokio's clock.
pub(crate) fn pool(keys: impl IntoIterator<Item = Key>) -> KeyPoolBuilder {
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000);
    KeyPool::builder(Gemini::at("http://provider.invalid").unwrap()).keys(keys).clock(Clock::tokio_from(wall))
}

/// So many keys of owners of their own.
pub(crate) fn keys(count: usize) -> impl Iterator<Item = Key> {
    (0..count).map(|n| Key::new(stage::secret(n)).id(format!("k{n}")))
}

/// A client over a provider that answers after so long: by how many requests came before, the key's number, and the model.
pub(crate) fn client(
    pool: &KeyPool,
    models: Models,
    says: impl Fn(usize, usize, &str) -> (Duration, Says) + Send + Sync + 'static,
) -> (Client, Asked) {
    reading(pool, models, move |asked, key, model, _| says(asked, key, model))
}

/// The same by the prompt as well.
pub(crate) fn reading(
    pool: &KeyPool,
    models: Models,
    says: impl Fn(usize, usize, &str, &str) -> (Duration, Says) + Send + Sync + 'static,
) -> (Client, Asked) {
    let (asked, says) = (Asked::default(), Arc::new(says));
    let counted = Arc::clone(&asked);
    let transport = tower::service_fn(move |request: Request<ReplayBody<Full<bytes::Bytes>>>| {
        let key = request.headers()["x-goog-api-key"].to_str().unwrap();
        let key = key.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap();
        let model = request.uri().path().rsplit('/').next().and_then(|last| last.split(':').next()).unwrap().to_owned();
        let (counted, says) = (counted.fetch_add(1, SeqCst), Arc::clone(&says));
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            let (took, says) = says(counted, key, &model, &String::from_utf8_lossy(&body));
            tokio::time::sleep(took).await;
            match says {
                Says::Answer(status, body) => {
                    let answer = Response::builder().status(status).header("content-type", "application/json");
                    Ok(answer.body(Full::<bytes::Bytes>::from(body.to_string())).unwrap())
                }
                Says::Other(status, body) => Ok(Response::builder().status(status).body(body.into()).unwrap()),
                Says::Leads(to) => {
                    let answer = Response::builder().status(302).header("location", to);
                    Ok(answer.body("<html>Moved</html>".into()).unwrap())
                }
                Says::Refused => Err(BoxError::from(io::Error::from(io::ErrorKind::ConnectionRefused))),
                Says::Shut => Err(BoxError::from(ExitError::new("tunnel".into(), "the proxy says 407"))),
                Says::HangsUp => Err(BoxError::from(HungUp)),
            }
        }
    });
    (Client::builder(pool).transport(transport).fallback(models).build(), asked)
}

/// A good answer.
pub(crate) fn fine() -> Says {
    let parts = json!([{ "text": "yes" }]);
    Says::Answer(200, json!({ "candidates": [{ "content": { "parts": parts }, "finishReason": "STOP" }] }))
}

/// A limit of the minute or the day, and when the provider says to come back.
pub(crate) fn limited(span: &str, retry: &str) -> Says {
    let violation = json!({
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
        "quotaId": format!("GenerateRequestsPer{span}PerProjectPerModel-FreeTier"),
        "quotaDimensions": { "location": "global", "model": stage::MODEL }, "quotaValue": "1500",
    });
    let details = json!([
        { "@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation] },
        { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry },
    ]);
    refusal(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", &details)
}

/// The same, which does not say which limit that was.
pub(crate) fn limited_somehow(retry: &str) -> Says {
    let retry = json!([{ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry }]);
    refusal(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", &retry)
}

/// The project's tier does not have the model.
pub(crate) fn limit_zero(model: &str) -> Says {
    let metric = "generativelanguage.googleapis.com/generate_content_free_tier_requests";
    let message = format!(
        "You exceeded your current quota, please check your plan and billing details.\n* Quota exceeded for metric: \
         {metric}, limit: 0, model: {model}\nPlease retry in 59.95s."
    );
    let violation = json!({
        "quotaMetric": metric, "quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
        "quotaDimensions": { "location": "global", "model": model },
    });
    let details = json!([
        { "@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation] },
        { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "59s" },
    ]);
    refusal(429, "RESOURCE_EXHAUSTED", &message, &details)
}

/// The model is closed to the project.
pub(crate) fn retired(model: &str) -> Says {
    let message = format!("This model models/{model} is no longer available to new users. Please use a newer model.");
    refusal(404, "NOT_FOUND", &message, &json!([]))
}

/// The project was switched off.
pub(crate) fn suspended(project: &str) -> Says {
    let metadata = json!({ "consumer": project, "service": "generativelanguage.googleapis.com" });
    let details = json!([{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "CONSUMER_SUSPENDED",
        "domain": "googleapis.com", "metadata": metadata }]);
    refusal(403, "PERMISSION_DENIED", "Permission denied: Consumer has been suspended.", &details)
}

/// The model is not there.
pub(crate) fn not_found(model: &str) -> Says {
    let message = format!(
        "models/{model} is not found for API version v1beta, or is not supported for generateContent. Call ListModels to \
         see the list of available models and their supported methods."
    );
    refusal(404, "NOT_FOUND", &message, &json!([]))
}

fn refusal(code: u16, status: &str, message: &str, details: &Value) -> Says {
    Says::Answer(code, json!({ "error": { "code": code, "message": message, "status": status, "details": details } }))
}

/// A client over a provider that is shown each request: the key's number, the method, the path and the body.
pub(crate) fn shown(
    pool: &KeyPool,
    says: impl Fn(usize, &http::Method, &str, &str) -> Says + Send + Sync + 'static,
) -> (Client, Asked) {
    let (asked, says) = (Asked::default(), Arc::new(says));
    let counted = Arc::clone(&asked);
    let transport = tower::service_fn(move |request: Request<ReplayBody<Full<bytes::Bytes>>>| {
        let (counted, says) = (Arc::clone(&counted), Arc::clone(&says));
        async move {
            let (head, body) = request.into_parts();
            let key = head.headers["x-goog-api-key"].to_str().unwrap();
            let key = key.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap();
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            counted.fetch_add(1, SeqCst);
            tokio::time::sleep(Duration::from_millis(100)).await;
            let Says::Answer(status, body) = says(key, &head.method, head.uri.path(), &String::from_utf8_lossy(&body))
            else {
                return Err(BoxError::from(HungUp));
            };
            let answer = Response::builder().status(status).header("content-type", "application/json");
            Ok(answer.body(Full::<bytes::Bytes>::from(body.to_string())).unwrap())
        }
    });
    (Client::builder(pool).transport(transport).build(), asked)
}
