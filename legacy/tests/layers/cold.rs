//! A connection that takes its time before the request is on the wire.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, buffer::Buffer, service_fn};
use tower_keypool::{BoxError, Clock, Key, KeyPool, KeyPoolLayer, Limits, ReplayBody, Retry};

use crate::support::{Body, Plain, ask, bad};

const MINUTE: Duration = Duration::from_secs(60);
const LIMIT: usize = 3;

/// What reaches the wire, and when, where every other connection is cold.
#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "tokio's paused clock")]
async fn a_cold_connect_of_2_s_breaks_no_window() {
    let pool = KeyPool::builder(Plain::new())
        .key(Key::new("secret-one"))
        .limits("m", Limits::new().per_minute(LIMIT as u64))
        .clock(Clock::tokio_from(std::time::SystemTime::UNIX_EPOCH))
        .build()
        .unwrap();
    let wire = Arc::new(Mutex::new(Vec::new()));
    let (log, mut calls) = (Arc::clone(&wire), 0);
    let client = service_fn(move |request: Request<ReplayBody<Body>>| {
        calls += 1;
        let (log, cold) = (Arc::clone(&log), calls % 2 == 1);
        async move {
            if cold {
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
            // hyper reads a body's first frame when the connection stands, and writes it out with the head.
            let mut body = Box::pin(request.into_body());
            log.lock().unwrap().push(Instant::now());
            while body.frame().await.is_some() {}
            Ok::<_, BoxError>(Response::new(Full::<Bytes>::from("fine")))
        }
    });
    let stack = KeyPoolLayer::new(&pool).wait(10 * MINUTE).layer(Buffer::new(client, 16));
    let calls: Vec<_> = (0..5 * LIMIT).map(|_| tokio::spawn(stack.clone().oneshot(ask()))).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    let mut wire = wire.lock().unwrap().clone();
    wire.sort();
    for span in wire.windows(LIMIT + 1) {
        assert!(span[LIMIT] - span[0] > MINUTE, "{LIMIT} a minute is the limit: {wire:?}");
    }
    // Exact is not timid: each minute is used whole, but for the way and the guard.
    assert!(wire[wire.len() - 1] - wire[0] < 4 * (MINUTE + Duration::from_secs(3)), "{wire:?}");
}

/// The shortest time between two starts holds on the wire, too.
#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "tokio's paused clock")]
async fn a_cold_connect_of_2_s_breaks_no_interval() {
    let pool = KeyPool::builder(Plain::new())
        .key(Key::new("secret-one").min_interval(Duration::from_secs(1)))
        .clock(Clock::tokio_from(std::time::SystemTime::UNIX_EPOCH))
        .build()
        .unwrap();
    let wire = Arc::new(Mutex::new(Vec::new()));
    let (log, mut calls) = (Arc::clone(&wire), 0);
    let client = service_fn(move |request: Request<ReplayBody<Body>>| {
        calls += 1;
        let (log, cold) = (Arc::clone(&log), Duration::from_millis(2000_u64.saturating_sub(900 * (calls - 1))));
        async move {
            tokio::time::sleep(cold).await;
            let mut body = Box::pin(request.into_body());
            log.lock().unwrap().push(Instant::now());
            while body.frame().await.is_some() {}
            Ok::<_, BoxError>(Response::new(Full::<Bytes>::from("fine")))
        }
    });
    let stack = KeyPoolLayer::new(&pool).wait(10 * MINUTE).layer(Buffer::new(client, 16));
    let calls: Vec<_> = (0..6).map(|_| tokio::spawn(stack.clone().oneshot(ask()))).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().status(), 200);
    }
    let wire = wire.lock().unwrap().clone();
    for pair in wire.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_secs(1), "{wire:?}");
    }
    assert!(wire[5] - wire[0] < Duration::from_secs(9), "{wire:?}");
}

/// An answer that came without anybody asking for the body: the request reached the provider all the same.
#[tokio::test(start_paused = true)]
async fn a_request_whose_body_nobody_reads_counts_once_it_is_answered() {
    for status in [200, 429, 500] {
        let pool = KeyPool::builder(Plain::new())
            .key(Key::new("secret-one"))
            .limits("m", Limits::new().per_minute(1))
            .clock(Clock::tokio_from(std::time::SystemTime::UNIX_EPOCH))
            .build()
            .unwrap();
        let client = service_fn(move |_: Request<ReplayBody<Body>>| async move { Ok::<_, BoxError>(bad(status, "")) });
        let stack = KeyPoolLayer::new(&pool).retry(Retry::new().max_retries(0)).layer(client);
        let answer = stack.oneshot(ask()).await.unwrap();
        drop(answer);
        assert!(pool.try_acquire("m").unwrap_err().is_exhausted(), "{status}");
    }
}
