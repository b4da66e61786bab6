//! Every layer over tower's own that count who is ready: `ConcurrencyLimit` panics when an instance is called that was
//! not polled ready, `Buffer` when a place is taken and not used.

use std::time::Duration;

use tower::{Layer, Service, ServiceBuilder, ServiceExt, buffer::Buffer, limit::ConcurrencyLimit};
use tower_keypool::{
    Backoff, CooldownLayer, Error, ExhaustedAsResponseLayer, KeyPool, KeyPoolLayer, KeyRotationLayer,
    ModelFallbackLayer, Models, ReplayLayer, Retry, RetryPolicy, ServedBy,
};

use crate::{
    support::{Client, ask, narrow_pool, pool, text},
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
