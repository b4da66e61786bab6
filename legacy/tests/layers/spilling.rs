//! A later priority opens after a while: to whoever may wait that long, whoever says so.

use std::{convert::Infallible, time::Duration};

use http::{Request, Response, StatusCode};
use http_body::Body as HttpBody;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_keypool::{
    Clock, CooldownLayer, Demand, Key, KeyPool, KeyPoolLayer, KeyRotationLayer, Limits, RetryPolicy, ServedBy,
};

use crate::support::{Body, Plain};

const FIVE: Duration = Duration::from_secs(5);

/// A free key that is of no use for now, since it is full or its provider refuses it, and an idle one that is paid for.
fn pool(full: bool, wait: Option<Duration>) -> KeyPool {
    let keys = [Key::free("free-not-a-real-key").id("free"), Key::paid("paid-not-a-real-key").id("paid")];
    let noon = "2026-06-15T12:00:00-07:00".parse::<jiff::Timestamp>().unwrap();
    let clock = Clock::tokio_from(noon.into());
    let mut builder = KeyPool::builder(Plain::new()).keys(keys).clock(clock).spill_after(Duration::from_secs(3));
    if full {
        builder = builder.limits("pro", Limits::new().per_minute(1));
    }
    if let Some(wait) = wait {
        builder = builder.wait(wait);
    }
    let pool = builder.build().unwrap();
    if full {
        drop(pool.try_acquire("pro").unwrap());
    }
    pool
}

/// Refuses the free key for a minute.
fn answer<B: HttpBody>(request: &Request<B>) -> Response<Body> {
    if request.headers()["x-key"] == "paid-not-a-real-key" {
        return Response::new("fine".into());
    }
    let mut refused = Response::new("rate".into());
    *refused.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    refused
}

#[tokio::test(start_paused = true)]
async fn whoever_says_how_long_a_request_waits_a_later_priority_opens_to_it() {
    for (whole, rotation_alone) in [(true, false), (false, false), (false, true)] {
        for by in ["the layer", "the demand", "the pool"] {
            for full in [true, false] {
                if rotation_alone && !full {
                    continue;
                }
                let pool = pool(full, (by == "the pool").then_some(FIVE));
                let mut request = Request::post("/models/pro").body(Body::from("{}")).unwrap();
                if by == "the demand" {
                    request.extensions_mut().insert(Demand::new("pro").wait(FIVE));
                }
                let layer = (by == "the layer").then_some(FIVE);
                let rotation = KeyRotationLayer::new(&pool);
                let rotation = layer.map_or(rotation.clone(), |wait| rotation.wait(wait));
                let plain = service_fn(|request: Request<Body>| async move { Ok::<_, Infallible>(answer(&request)) });
                let below = ServiceBuilder::new().layer(rotation).layer(CooldownLayer::new(&pool)).service(plain);
                let began = pool.clock().tick();
                let served_by = if whole {
                    let stack = KeyPoolLayer::new(&pool);
                    let stack = layer.map_or(stack.clone(), |wait| stack.wait(wait));
                    let any = service_fn(|request| async move { Ok::<_, Infallible>(answer(&request)) });
                    let answer = ServiceBuilder::new().layer(stack).service(any).oneshot(request).await;
                    answer.unwrap().extensions().get::<ServedBy>().cloned()
                } else if rotation_alone {
                    below.oneshot(request).await.unwrap().extensions().get::<ServedBy>().cloned()
                } else {
                    let policy = RetryPolicy::new(&pool);
                    let policy = layer.map_or(policy.clone(), |wait| policy.wait(wait));
                    let answer = ServiceBuilder::new().retry(policy).service(below).oneshot(request).await;
                    answer.unwrap().extensions().get::<ServedBy>().cloned()
                };
                let at = format!("{by}, whole {whole}, rotation alone {rotation_alone}, full {full}");
                assert_eq!(served_by.unwrap().key().unwrap().to_string(), "paid", "{at}");
                assert_eq!(pool.clock().tick().since(began).as_secs(), 3, "{at}");
            }
        }
    }
}
