//! A simulator, a stack over it, and callers who come whether they are served or not.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use gemini_sim::{Builder, GeminiSim};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceExt};
use tower_keypool::{BoxError, Clock, Error, Gemini, KeyPool, KeyPoolBuilder, KeyPoolLayer};

/// The model that everybody asks for.
pub const MODEL: &str = "gemini-2.5-flash";
/// A morning in Los Angeles, far from midnight.
const WALL: u64 = 1_781_550_000;
const BODY: &str = r#"{"contents":[{"role":"user","parts":[{"text":"How many keys does a pool need?"}]}]}"#;
/// The way to the quota check: below the pool's guard of 250 ms.
const JITTER: Duration = Duration::from_millis(200);

/// Runs a scene on a paused clock.
pub fn run(scene: impl Future<Output = Value>) -> Value {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime")
        .block_on(scene)
}

/// The simulator of a scene, whose choices follow from the seed.
pub fn simulator(builder: Builder, seed: u64) -> GeminiSim {
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(WALL);
    builder
        .wall(wall.try_into().expect("a date"))
        .path_jitter(JITTER)
        .latency(Duration::from_millis(300))
        .log_capacity(2_000_000)
        .seed(seed)
        .build()
}

/// A pool for that simulator, on the same clock.
pub fn pool() -> KeyPoolBuilder {
    let gemini = Gemini::at("http://gemini-sim.invalid").expect("a base");
    KeyPool::builder(gemini).clock(Clock::tokio_from(SystemTime::UNIX_EPOCH + Duration::from_secs(WALL)))
}

/// The n-th key's secret.
pub fn secret(n: usize) -> String {
    format!("AIzaSy-not-a-real-key-{n:017}")
}

/// What became of the callers.
#[derive(Default)]
pub struct Served {
    /// A good answer, to its end.
    pub good: AtomicUsize,
    /// A bad one, or none.
    pub bad: AtomicUsize,
    /// No key was to be had.
    pub refused: AtomicUsize,
}

impl Served {
    /// How many they are.
    pub fn read(counter: &AtomicUsize) -> usize {
        counter.load(Ordering::Relaxed)
    }
}

/// Callers come `apart` from each other, `count` of them; each waits at most `wait` for a key.
pub async fn offer(sim: &GeminiSim, pool: &KeyPool, count: usize, apart: Duration, wait: Duration) -> Arc<Served> {
    let stack = KeyPoolLayer::new(pool).wait(wait).layer(sim.service());
    let served = Arc::new(Served::default());
    let mut calls = JoinSet::new();
    for n in 0..count {
        calls.spawn(call(stack.clone(), Arc::clone(&served)));
        if !apart.is_zero() {
            tokio::time::sleep(apart).await;
        }
        if n % 1024 == 0 {
            while calls.try_join_next().is_some() {}
        }
    }
    while calls.join_next().await.is_some() {}
    served
}

async fn call<S, R>(stack: S, served: Arc<Served>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>, Error = Error>,
    R: http_body::Body<Error: Into<BoxError>>,
{
    let request = Request::post(format!("/v1beta/models/{MODEL}:generateContent"))
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, BODY.len())
        .body(Full::new(Bytes::from_static(BODY.as_bytes())))
        .expect("a request");
    let counter = match stack.oneshot(request).await {
        Ok(response) => {
            let status = response.status();
            let whole = response.into_body().collect().await.is_ok();
            if status.is_success() && whole { &served.good } else { &served.bad }
        }
        Err(error) if error.is_exhausted() => &served.refused,
        Err(_) => &served.bad,
    };
    counter.fetch_add(1, Ordering::Relaxed);
}
