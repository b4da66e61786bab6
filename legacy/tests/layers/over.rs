//! Every layer over tower's own that count who is ready: `ConcurrencyLimit` panics when an instance is called that was
//! not polled ready, `Buffer` when a place is taken and not used.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, buffer::Buffer, limit::ConcurrencyLimit, service_fn};
use tower_keypool::{
    Backoff, CooldownLayer, Error, ExhaustedAsResponseLayer, KeyPool, KeyPoolLayer, KeyRotationLayer,
    ModelFallbackLayer, Models, ReplayLayer, Retry, RetryPolicy, ServedBy, Until, Verdict, VerdictKind,
};

use crate::{
    support::{self, Body, BoxError, Client, ask, narrow_pool, pool, request, text},
    upstream::Upstream,
};

fn steady() -> Retry {
    Retry::new().backoff(Backoff::fixed(Duration::from_secs(1)))
}

/// Many requests at once, some of which wait, fail over, pause or leave; then one more.
async fn holds<C: Client>(client: C, pool: &KeyPool) {
    let calls: Vec<_> = (0..12)
        .map(|n| {
            let call = client.clone().oneshot(ask());
            tokio::spawn(async move {
                let leaves = Duration::from_millis(if n % 4 == 3 { 500 } else { 600_000 });
                let Ok(answer) = tokio::time::timeout(leaves, call).await else { return };
                drop(text(answer.expect("an answer")).await);
            })
        })
        .collect();
    for call in calls {
        call.await.expect("no panic");
    }
    let answer = client.clone().oneshot(ask()).await.expect("nothing is stuck");
    assert!(answer.extensions().get::<ServedBy>().is_some());
    drop(answer);
    // A clone that was polled ready and dropped gives its place back.
    let mut polled = client.clone();
    let _ = Service::poll_ready(&mut polled, &mut std::task::Context::from_waker(std::task::Waker::noop())).is_ready();
    drop(polled);
    drop(client.oneshot(ask()).await.expect("nothing is stuck"));
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.in_flight, snapshot.waiters), (0, 0));
}

fn script() -> Upstream {
    Upstream::new(&["fault", "refused", "rate briefly", "fine", "overloaded", "refused", "model"])
        .taking(Duration::from_millis(300))
}

#[tokio::test(start_paused = true)]
async fn the_whole_stack() {
    for wide in [false, true] {
        let pool = if wide { pool(&["a", "b", "c"]) } else { narrow_pool() };
        let layer = KeyPoolLayer::new(&pool)
            .retry(steady())
            .wait(Duration::from_secs(60))
            .fallback(Models::new().for_all(["m", "n"]));
        holds(layer.layer(ConcurrencyLimit::new(script(), 1)), &pool).await;
        holds(layer.layer(Buffer::new(script(), 1)), &pool).await;
        holds(layer.layer(Buffer::new(ConcurrencyLimit::new(script(), 2), 2)), &pool).await;
        let host = layer.exhausted_as_response().layer(ConcurrencyLimit::new(script(), 1));
        for _ in 0..3 {
            assert_eq!(host.clone().oneshot(ask()).await.expect("infallible").status(), 200);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn piece_by_piece_with_a_limit_between_each() {
    let pool = pool(&["a", "b", "c"]);
    let limit = || tower::limit::ConcurrencyLimitLayer::new(1);
    let stack = ServiceBuilder::new()
        .layer(ReplayLayer::default().pool(&pool))
        .layer(limit())
        .layer(ModelFallbackLayer::new(&pool).models(["m", "n"]))
        .layer(limit())
        .retry(RetryPolicy::new(&pool).rule(steady()).wait(Duration::from_secs(60)))
        .layer(limit())
        .layer(KeyRotationLayer::new(&pool).wait(Duration::from_secs(60)))
        .layer(limit())
        .layer(CooldownLayer::new(&pool))
        .layer(limit())
        .service(script());
    holds(stack, &pool).await;
}

#[tokio::test(start_paused = true)]
async fn the_fallback_alone_over_a_buffer_and_a_limit() {
    let pool = pool(&["a", "b"]);
    while let Ok(lease) = pool.try_acquire("pro") {
        lease.judge(&Verdict::new(VerdictKind::RateLimited).until(Until::For(Duration::from_secs(600))));
    }
    let layer = ModelFallbackLayer::new(&pool).models(["pro", "flash"]);
    // In the place of all that may stand below: it has no key for the one and answers for the other.
    let below = || {
        let pool = pool.clone();
        service_fn(move |request: Request<Body>| {
            let pool = pool.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                let path = request.uri().path().to_owned();
                drop(pool.try_acquire(path.trim_start_matches("/models/"))?);
                Ok::<_, BoxError>(Response::new(Body::from(path)))
            }
        })
    };
    let buffered = layer.layer(Buffer::new(below(), 1));
    let limited = layer.layer(Buffer::new(ConcurrencyLimit::new(below(), 1), 1));
    let narrow = layer.layer(ConcurrencyLimit::new(below(), 1));
    many(buffered, "/models/flash").await;
    many(limited, "/models/flash").await;
    many(narrow, "/models/flash").await;
    assert_eq!(pool.snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn the_retry_directly_over_a_buffer_and_a_limit() {
    let pool = pool(&["a", "b"]);
    let policy = RetryPolicy::new(&pool).rule(steady().max_retries(9).without_budget());
    // Two of three calls fail.
    let below = || {
        let failed = Arc::new(Mutex::new(0_u32));
        service_fn(move |request: Request<Body>| {
            let mut failed = failed.lock().unwrap();
            *failed += 1;
            let fails = !failed.is_multiple_of(3);
            async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if fails {
                    return Err::<_, BoxError>(support::refused().into());
                }
                Ok(Response::new(Body::from(request.uri().path().to_owned())))
            }
        })
    };
    many(ServiceBuilder::new().retry(policy.clone()).service(Buffer::new(below(), 1)), "/models/pro").await;
    many(
        ServiceBuilder::new().retry(policy.clone()).concurrency_limit(1).service(Buffer::new(below(), 1)),
        "/models/pro",
    )
    .await;
    assert_eq!(pool.snapshot().in_flight, 0);
}

/// Many at once, some of which leave: the others are answered, and nothing is stuck.
async fn many<S, R>(client: S, expected: &str)
where
    S: Service<Request<Body>, Response = Response<R>, Future: Send> + Clone + Send + 'static,
    S::Error: Into<BoxError> + Send,
    R: http_body::Body<Data = bytes::Bytes, Error: std::fmt::Debug> + Send + 'static,
{
    let calls: Vec<_> = (0..12)
        .map(|n| {
            let call = client.clone().oneshot(request("/models/pro"));
            tokio::spawn(async move {
                let patience = Duration::from_millis(if n % 4 == 3 { 20 } else { 600_000 });
                let answer = tokio::time::timeout(patience, call).await.ok()?;
                Some(text(answer.map_err(Into::into).expect("an answer")).await)
            })
        })
        .collect();
    for call in calls {
        assert!(call.await.expect("no panic").is_none_or(|path| path == expected));
    }
    let answer = client.oneshot(request("/models/pro")).await.map_err(Into::into).expect("nothing is stuck");
    assert_eq!(text(answer).await, expected);
}

#[tokio::test(start_paused = true)]
async fn answers_for_hosts_over_a_limit_that_is_busy() {
    let pool = narrow_pool();
    let limited = ConcurrencyLimit::new(Upstream::new(&["fault"]), 1);
    let host = ExhaustedAsResponseLayer::new().layer(KeyPoolLayer::new(&pool).retry(steady()).layer(limited));
    let held = pool.try_acquire("m").expect("it is free");
    let refused = host.clone().oneshot(ask()).await.expect("infallible");
    assert_eq!(refused.status(), 503);
    drop(held);
    assert_eq!(host.clone().oneshot(ask()).await.expect("infallible").status(), 200);
}

/// Both kinds of error that may stand under a host.
#[tokio::test(start_paused = true)]
async fn an_error_of_a_limit_between_is_not_lost() {
    let pool = narrow_pool();
    let stack = ServiceBuilder::new()
        .retry(RetryPolicy::new(&pool).rule(steady().max_retries(0)))
        .load_shed()
        .layer(KeyRotationLayer::new(&pool))
        .layer(CooldownLayer::new(&pool))
        .service(Upstream::new(&["refused"]));
    let error = stack.oneshot(ask()).await.expect_err("refused");
    assert_eq!(Error::find(&*error).expect("ours").verdict().expect("judged").code_of(), "connect");
}
