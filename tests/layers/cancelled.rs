//! Cancelled requests and dropped response bodies.

use std::time::Duration;

use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};
use tower_keypool::{BoxError, Key, KeyPool, KeyPoolLayer, Limits, ReplayBody};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn dropped_request_returns_its_key_and_opens_no_breaker() {
    let pool = builder(1).limits(MODEL, Limits::new().per_minute(2)).build().unwrap();
    let client = KeyPoolLayer::new(&pool).layer(service_fn(async |_: http::Request<ReplayBody<Body>>| {
        std::future::pending::<()>().await;
        Ok::<_, BoxError>(good())
    }));
    for _ in 0..2 {
        let sent = tokio::time::timeout(Duration::from_secs(1), client.clone().oneshot(ask()));
        assert!(sent.await.is_err());
        assert_eq!(pool.stats().in_flight, 0);
    }
    assert_eq!(breakers(&pool), Vec::<String>::new());
    assert_eq!((pool.stats().succeeded, pool.stats().failed), (0, 0));
    assert!(pool.try_acquire(MODEL).is_err(), "both requests count");
}

#[tokio::test(start_paused = true)]
async fn dropped_waiter_takes_no_key() {
    let key = Key::new(secret(0)).max_concurrent(1);
    let pool = KeyPool::builder(tower_keypool::Gemini::new()).key(key).wait(60 * SECOND).build().unwrap();
    let held = pool.try_acquire(MODEL).unwrap();
    let client = KeyPoolLayer::new(&pool).layer(provider(|_| good()));
    assert!(tokio::time::timeout(SECOND, client.clone().oneshot(ask())).await.is_err());
    assert_eq!(pool.stats().waiting, 0);
    let next = tokio::spawn(client.oneshot(ask()));
    tokio::time::sleep(SECOND).await;
    drop(held);
    assert_eq!(next.await.unwrap().unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn dropped_body_ends_the_lease() {
    let pool = pool(1);
    let mut response = send(&pool, |_| good()).await.unwrap();
    assert_eq!(pool.stats().in_flight, 1);
    assert!(response.body_mut().frame().await.is_some());
    drop(response);
    assert_eq!((pool.stats().in_flight, pool.stats().succeeded), (0, 1));
    let unread = send(&pool, |_| good()).await.unwrap();
    drop(unread);
    assert_eq!(pool.stats().in_flight, 0);
}
