//! An upstream that behaves like Gemini, as a service in virtual time, with exact windows on tokio's clock.
#![expect(clippy::disallowed_methods, reason = "it is the provider: its clock is not the pool's")]

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::Service;
use tower_keypool::BoxError;

const MINUTE: Duration = Duration::from_secs(60);
const GOOD: &str = concat!(
    r#"{"candidates":[{"content":{"parts":[{"text":"As many as its callers ask for."}],"role":"model"},"#,
    r#""finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":8,"totalTokenCount":17}}"#
);

/// The reason why a key never works.
#[derive(Clone, Copy, Debug)]
pub enum Dead {
    /// The key's project is suspended.
    Suspended,
    /// The key does not exist.
    Invalid,
}

/// The behaviour and the counts of the upstream.
#[derive(Debug)]
pub struct World {
    /// Maximum number of requests of each project in any 60 s.
    pub per_minute: usize,
    /// Keys that never work.
    pub dead: HashMap<String, Dead>,
    /// End of an outage in which every key is refused as invalid.
    pub outage: Option<Instant>,
    /// Share of requests that get a 429 without a reason. The same share gets a 503.
    pub faults: f64,
    /// Number of requests that arrived.
    pub came: u64,
    /// Number of requests that were served.
    pub served: u64,
    /// Time at which each key was served last.
    pub last_served: HashMap<String, Instant>,
    /// Times of the 429s for a full window.
    pub limited: Vec<Instant>,
    /// Times of each key's requests in the last minute.
    pub windows: HashMap<String, VecDeque<Instant>>,
    /// The random generator.
    pub rng: Rng,
}

impl Default for World {
    fn default() -> Self {
        Self {
            per_minute: usize::MAX,
            dead: HashMap::new(),
            outage: None,
            faults: 0.0,
            came: 0,
            served: 0,
            last_served: HashMap::new(),
            limited: Vec::new(),
            windows: HashMap::new(),
            rng: Rng::with_seed(7),
        }
    }
}

impl World {
    /// Answers a request with this key. Each key is its own project.
    fn answer(&mut self, key: &str) -> (StatusCode, Value) {
        let now = Instant::now();
        self.came += 1;
        if self.outage.is_some_and(|ends| now < ends) {
            return invalid();
        }
        match self.dead.get(key) {
            Some(Dead::Suspended) => return suspended(),
            Some(Dead::Invalid) => return invalid(),
            None => {}
        }
        let dice = self.rng.f64();
        if dice < self.faults {
            return error(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).", &json!([]));
        }
        if dice < 2.0 * self.faults {
            return error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.", &json!([]));
        }
        let window = self.windows.entry(key.to_owned()).or_default();
        while window.front().is_some_and(|at| now.duration_since(*at) >= MINUTE) {
            window.pop_front();
        }
        if window.len() >= self.per_minute {
            self.limited.push(now);
            return exhausted(self.per_minute, MINUTE.saturating_sub(now.duration_since(window[0])));
        }
        window.push_back(now);
        self.served += 1;
        self.last_served.insert(key.to_owned(), now);
        (StatusCode::OK, Value::Null)
    }

    fn between(&mut self, millis: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.u64(millis))
    }
}

/// The service. A request takes up to 150 ms to arrive, and a response takes 0.3 to 1.5 s.
#[derive(Clone, Debug, Default)]
pub struct Upstream(Arc<Mutex<World>>);

impl Upstream {
    /// Creates an upstream with this behaviour.
    pub fn new(world: World) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    /// Returns the behaviour and the counts.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self, key: String) -> Result<Response<Full<Bytes>>, BoxError> {
        let (way, work) = {
            let mut world = self.world();
            (world.between(1..150), world.between(300..1_500))
        };
        tokio::time::sleep(way).await;
        let (status, error) = self.world().answer(&key);
        tokio::time::sleep(work).await;
        let body = if status.is_success() { Bytes::from_static(GOOD.as_bytes()) } else { error.to_string().into() };
        let response = Response::builder().status(status).header("content-type", "application/json; charset=UTF-8");
        Ok(response.body(Full::new(body))?)
    }
}

impl<B> Service<Request<B>> for Upstream {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let key = request.headers().get("x-goog-api-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
        Box::pin(self.clone().serve(key.to_owned()))
    }
}

fn error(status: u16, name: &str, message: &str, details: &Value) -> (StatusCode, Value) {
    let body = json!({ "error": { "code": status, "message": message, "status": name, "details": details } });
    (StatusCode::from_u16(status).expect("a status"), body)
}

fn invalid() -> (StatusCode, Value) {
    let details = json!([{
        "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com",
    }]);
    error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", &details)
}

fn suspended() -> (StatusCode, Value) {
    let details = json!([{
        "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "CONSUMER_SUSPENDED", "domain": "googleapis.com",
    }]);
    error(403, "PERMISSION_DENIED", "Permission denied: Consumer has been suspended.", &details)
}

fn exhausted(per_minute: usize, opens: Duration) -> (StatusCode, Value) {
    let details = json!([
        {
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{
                "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
                "quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier",
                "quotaDimensions": { "location": "global", "model": "gemini-2.5-flash" },
                "quotaValue": per_minute.to_string(),
            }],
        },
        { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": format!("{}s", opens.as_secs() + 1) },
    ]);
    error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", &details)
}
