//! Many who wait for the end of one rest: few of them go first.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use gemini_sim::{Builder, Fault, GeminiSim, Key as SimKey, Limits as Quota, Project, Refusal, Rule};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_keypool::{BoxError, Clock, Error, Gemini, Key, KeyPool, KeyPoolLayer, ReplayBody, Retry};

use crate::support::{self, Body};

const WALL: u64 = 1_781_550_000;
const PATH: &str = "/v1beta/models/gemini-2.5-flash:generateContent";
const BODY: &str = r#"{"contents":[{"role":"user","parts":[{"text":"How many keys does a pool need?"}]}]}"#;
const BARE: &str = r#"{"error":{"code":429,"message":"Resource has been exhausted (e.g. check quota).","status":"RESOURCE_EXHAUSTED"}}"#;

fn secret(n: usize) -> String {
    format!("AIzaSy-not-a-real-key-{n:017}")
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

struct Scene {
    keys: usize,
    quota: Option<u64>,
    rules: Vec<Rule>,
    latency: Duration,
    apart: Duration,
    count: u32,
    wait: Duration,
    seed: u64,
}

#[derive(Debug, Default)]
struct Told {
    /// Refusals by the second.
    refused: BTreeMap<u64, usize>,
    /// What callers were told, by the status; 0: no key was to be had.
    ended: BTreeMap<u16, usize>,
    /// Who was not served, and not told when to come again.
    without_time: usize,
}

impl Told {
    fn refusals(&self) -> usize {
        self.refused.values().sum()
    }

    fn good(&self) -> usize {
        self.ended.get(&200).copied().unwrap_or(0)
    }
}

/// With which status (0: no key was to be had), it was answered, and whether that says when to come again.
async fn call<S, R>(stack: S) -> (u16, bool)
where
    S: Service<Request<Body>, Response = Response<R>, Error = Error>,
{
    let request = Request::post(PATH).header(header::CONTENT_TYPE, "application/json").body(Full::from(BODY)).unwrap();
    let (status, timed) = match stack.oneshot(request).await {
        Ok(answer) => (answer.status().as_u16(), answer.headers().contains_key(header::RETRY_AFTER)),
        Err(error) => (0, error.retry_after().is_some()),
    };
    (status, timed)
}

impl Scene {
    async fn play(self) -> Told {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(WALL);
        let of_key = |builder: Builder, n| {
            let project = Project::new(format!("projects/{}", 1000 + n)).key(SimKey::new(secret(n)));
            builder.project(match self.quota {
                Some(amount) => project.limits(Quota::none().rpm(amount)),
                None => project,
            })
        };
        let sim = (0..self.keys)
            .fold(GeminiSim::builder().script(self.rules.clone()), of_key)
            .wall(wall.try_into().unwrap())
            .path_jitter(Duration::from_millis(50))
            .latency(self.latency)
            .log_capacity(200_000)
            .seed(self.seed)
            .build();
        let service = sim.service();
        // A provider that never says which limit it was.
        let bare = service_fn(move |request: Request<ReplayBody<Body>>| {
            let service = service.clone();
            async move {
                let answer = service.oneshot(request).await?;
                let (parts, body) = answer.into_parts();
                let body = body.collect().await?.to_bytes();
                let limited = parts.status == StatusCode::TOO_MANY_REQUESTS;
                let answer =
                    if limited { support::bad(429, BARE) } else { Response::from_parts(parts, Full::new(body)) };
                Ok::<Response<Full<Bytes>>, BoxError>(answer)
            }
        });
        let pool = KeyPool::builder(Gemini::at("http://gemini-sim.invalid").unwrap())
            .keys((0..self.keys).map(|n| Key::new(secret(n))))
            .clock(Clock::tokio_from(wall))
            .build()
            .unwrap();
        let stack = KeyPoolLayer::new(&pool).retry(Retry::new().seed(self.seed)).wait(self.wait).layer(bare);
        let mut calls = Vec::new();
        for _ in 0..self.count {
            calls.push(tokio::spawn(call(stack.clone())));
            tokio::time::sleep(self.apart).await;
        }
        let mut told = Told::default();
        for call in calls {
            let (status, timed) = call.await.unwrap();
            *told.ended.entry(status).or_default() += 1;
            told.without_time += usize::from(status != 200 && !timed);
        }
        for arrival in sim.log().iter().filter(|arrival| !arrival.accepted || arrival.status >= 400) {
            *told.refused.entry(arrival.at.as_secs()).or_default() += 1;
        }
        told
    }
}

fn outage(seed: u64, latency: Duration) -> Scene {
    let down = Rule::new(Fault::Refuse(Refusal::Overloaded)).from(secs(5)).until(secs(30));
    let (apart, wait) = (Duration::from_millis(100), secs(30));
    Scene { keys: 10, quota: None, rules: vec![down], latency, apart, count: 600, wait, seed }
}

fn unnamed(seed: u64, keys: usize, quota: u64, count: u32) -> Scene {
    let (apart, wait, latency) = (Duration::from_millis(200), secs(60), Duration::from_millis(300));
    Scene { keys, quota: Some(quota), rules: vec![], latency, apart, count, wait, seed }
}

/// Ten requests a second, each of which waits half a minute: 265 and 320 refusals, and 496 and 490 served, where all who
/// waited went at once.
#[tokio::test(start_paused = true)]
async fn an_outage_costs_few_attempts_and_more_are_served_behind_it() {
    for (latency, most, least) in [(100, 20, 570), (1_000, 45, 515)] {
        let told = outage(7, Duration::from_millis(latency)).play().await;
        assert!(told.refusals() <= most, "{latency} ms: {told:?}");
        assert!(told.good() >= least, "{latency} ms: {told:?}");
        assert!(told.without_time <= 10, "{latency} ms: callers hear when to come again: {told:?}");
    }
}

/// 1,325, 3,809 and some 12,700 refusals where they went at once, and as many served.
#[tokio::test(start_paused = true)]
async fn limits_that_nobody_names_cost_few_refusals() {
    for (keys, quota, most, least) in [(1, 60, 200, 180), (3, 30, 350, 265), (10, 10, 600, 300)] {
        let told = unnamed(7, keys, quota, 700).play().await;
        assert!(told.refusals() <= most, "{keys} keys: {told:?}");
        assert!(told.good() >= least, "{keys} keys: {told:?}");
    }
}
