//! Scenes in virtual time: `scenes NAME`. Prints one JSON object.
#![expect(clippy::disallowed_methods, reason = "callers and their upstream do not use the pool's clock")]

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use figures::{
    Args,
    picks::secret,
    upstream::{Dead, Upstream, World},
    usage,
};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};
use tower::{Layer, ServiceExt};
use tower_keypool::{Gemini, Key, KeyPool, KeyPoolLayer, Limits};

const MODEL: &str = "gemini-2.5-flash";
const PER_MINUTE: usize = 10;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    let result = match Args::of_process().name() {
        "known" => runtime.block_on(known()),
        "unknown" => runtime.block_on(unknown()),
        "dead" => runtime.block_on(dead()),
        "outage" => runtime.block_on(outage()),
        "faults" => runtime.block_on(faults()),
        _ => usage("scenes known|unknown|dead|outage|faults"),
    };
    println!("{result}");
}

fn keys(count: usize) -> impl Iterator<Item = Key> {
    (0..count).map(|n| Key::new(secret(n)).named(format!("key-{n}").as_str()))
}

/// Lets a number of callers send requests, each one after the other, until `ends`. A request waits for a key for up to
/// `wait`. Returns the number of successful requests and of all requests.
async fn call(pool: &KeyPool, upstream: &Upstream, callers: usize, ends: Instant, wait: Duration) -> (u64, u64) {
    let client = KeyPoolLayer::new(pool).wait(wait).layer(upstream.clone());
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let (mut good, mut all) = (0, 0);
                while Instant::now() < ends {
                    let request = Request::post(format!("/v1beta/models/{MODEL}:generateContent"))
                        .header("content-type", "application/json")
                        .body(Full::new(Bytes::from_static(br#"{"contents":[{"parts":[{"text":"Hello"}]}]}"#)))
                        .expect("a request");
                    let Ok(answer) = timeout_at(ends, client.clone().oneshot(request)).await else { break };
                    all += 1;
                    match answer {
                        Ok(answer) if answer.status() == StatusCode::OK => {
                            answer.into_body().collect().await.expect("a body");
                            good += 1;
                        }
                        Ok(_) => {}
                        Err(_) => sleep(Duration::from_millis(100)).await,
                    }
                }
                (good, all)
            })
        })
        .collect();
    let (mut good, mut all) = (0, 0);
    for caller in callers {
        let (more, of) = caller.await.expect("a caller ends");
        good += more;
        all += of;
    }
    (good, all)
}

/// Four hours with more callers than the keys can serve, with known limits. Returns the share of the requests that the
/// upstream allows.
async fn known() -> Value {
    const KEYS: usize = 20;
    let span = Duration::from_secs(4 * 3_600 + 30);
    let limits = Limits::new().per_minute(PER_MINUTE as u64).per_day(1_000_000);
    let pool = KeyPool::builder(Gemini::new()).keys(keys(KEYS)).limits(MODEL, limits).build().expect("a pool");
    let upstream = Upstream::new(World { per_minute: PER_MINUTE, ..World::default() });
    call(&pool, &upstream, 2 * KEYS * PER_MINUTE, Instant::now() + span, Duration::from_secs(300)).await;
    let world = upstream.world();
    // A window opens at the start, and then every 60 s.
    let ideal = (span.as_secs() / 60 + 1) as usize * KEYS * PER_MINUTE;
    json!({ "goodput": world.served as f64 / ideal as f64, "refused": world.limited.len() })
}

/// The same for half an hour with unknown limits. Returns the number of 429s after the first window, and their share of
/// all requests.
async fn unknown() -> Value {
    const KEYS: usize = 20;
    let pool = KeyPool::builder(Gemini::new()).keys(keys(KEYS)).build().expect("a pool");
    let upstream = Upstream::new(World { per_minute: PER_MINUTE, ..World::default() });
    let begins = Instant::now();
    let ends = begins + Duration::from_secs(1_830);
    call(&pool, &upstream, 2 * KEYS * PER_MINUTE, ends, Duration::from_secs(300)).await;
    let world = upstream.world();
    let late = world.limited.iter().filter(|at| at.duration_since(begins) >= Duration::from_secs(60)).count();
    json!({ "refused": world.limited.len(), "late": late, "late_share": late as f64 / world.came as f64,
        "goodput": world.served as f64 / (31 * KEYS * PER_MINUTE) as f64 })
}

/// 300 of 1,000 keys are suspended or invalid. Returns the share of successful requests.
async fn dead() -> Value {
    let mut rng = fastrand::Rng::with_seed(3);
    let mut places: Vec<usize> = (0..1_000).collect();
    rng.shuffle(&mut places);
    let kind = |n: usize| if n < 150 { Dead::Suspended } else { Dead::Invalid };
    let dead = places.into_iter().take(300).enumerate().map(|(n, place)| (secret(place), kind(n))).collect();
    let pool = KeyPool::builder(Gemini::new()).keys(keys(1_000)).build().expect("a pool");
    let upstream = Upstream::new(World { dead, ..World::default() });
    let ends = Instant::now() + Duration::from_secs(300);
    let (good, all) = call(&pool, &upstream, 50, ends, Duration::from_secs(5)).await;
    json!({ "success": good as f64 / all as f64, "requests": all, "sent": upstream.world().came })
}

/// Every key is refused as invalid for a minute. Returns the time after it until all of them serve again.
async fn outage() -> Value {
    const KEYS: usize = 50;
    let pool = KeyPool::builder(Gemini::new()).keys(keys(KEYS)).build().expect("a pool");
    let upstream = Upstream::new(World::default());
    let wait = Duration::from_secs(5);
    call(&pool, &upstream, 20, Instant::now() + Duration::from_secs(60), wait).await;
    let heals = Instant::now() + Duration::from_secs(60);
    upstream.world().outage = Some(heals);
    call(&pool, &upstream, 20, heals, wait).await;
    let mut serving = HashSet::new();
    let mut seconds = 0;
    while serving.len() < KEYS && seconds < 900 {
        seconds += 1;
        call(&pool, &upstream, 20, heals + Duration::from_secs(seconds), wait).await;
        let world = upstream.world();
        serving.extend(world.last_served.iter().filter(|(_, at)| **at >= heals).map(|(key, _)| key.clone()));
    }
    json!({ "seconds": seconds, "serving": serving.len(), "of": KEYS })
}

/// One request in twenty gets a 429, and one a 503. Returns the number of requests to the upstream per request of a
/// caller.
async fn faults() -> Value {
    let pool = KeyPool::builder(Gemini::new()).keys(keys(1_000)).build().expect("a pool");
    let upstream = Upstream::new(World { faults: 0.05, ..World::default() });
    let ends = Instant::now() + Duration::from_secs(600);
    let (good, all) = call(&pool, &upstream, 50, ends, Duration::from_secs(5)).await;
    json!({ "amplification": upstream.world().came as f64 / all as f64, "success": good as f64 / all as f64,
        "requests": all })
}
