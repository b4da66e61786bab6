//! Stacks that mix these layers with those of tower and tower-http.

use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt};
use tower_http::{
    decompression::DecompressionLayer,
    request_id::{MakeRequestUuid, SetRequestIdLayer},
    trace::TraceLayer,
};
use tower_keypool::{
    Attempts, CooldownLayer, ErrorKind, KeyPool, KeyPoolLayer, KeyRequest, KeyRotationLayer, Limits, ReplayBody,
    ReplayLayer, RetryPolicy,
};

use crate::support::*;

const TIMEOUT: Duration = Duration::from_secs(30);

fn client()
-> impl Service<Request<ReplayBody<Body>>, Response = Answer, Error = BoxError, Future: Send> + Clone + Send + 'static {
    provider(|key| match key {
        0 => invalid(),
        1 => overloaded(),
        _ => good(),
    })
}

/// Sends requests through a stack whose first two keys fail, and checks that each one succeeds.
async fn serves<S, R>(pool: &KeyPool, stack: S)
where
    S: Service<Request<Body>, Response = Response<R>, Error: Into<BoxError>> + Clone,
    R: http_body::Body<Data = bytes::Bytes, Error: std::fmt::Debug>,
{
    for _ in 0..4 {
        let response = stack.clone().oneshot(ask()).await.map_err(Into::into).unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.extensions().get::<Attempts>().is_some());
        assert!(text(response).await.contains("hello"));
    }
    assert_eq!(pool.stats().in_flight, 0);
    assert_eq!(pool.stats().by_class.len(), 2, "{:?}", pool.stats());
}

#[tokio::test(start_paused = true)]
async fn stack_behaves_like_its_separate_layers() {
    let pool_a = pool(4);
    serves(&pool_a, KeyPoolLayer::new(&pool_a).layer(client())).await;
    let pool_b = pool(4);
    let parts = ServiceBuilder::new()
        .layer(ReplayLayer::new())
        .retry(RetryPolicy::new(&pool_b))
        .layer(KeyRotationLayer::new(&pool_b))
        .layer(CooldownLayer::new(&pool_b))
        .service(client());
    serves(&pool_b, parts).await;
    assert_eq!(pool_a.stats(), pool_b.stats());
    assert_eq!(breakers(&pool_a), breakers(&pool_b));
}

#[tokio::test(start_paused = true)]
async fn tower_layers_work_on_both_sides_of_the_stack() {
    let pool = pool(4);
    let stack = ServiceBuilder::new()
        .buffer(8)
        .concurrency_limit(4)
        .load_shed()
        .timeout(TIMEOUT)
        .layer(KeyPoolLayer::new(&pool))
        .buffer(8)
        .concurrency_limit(4)
        .load_shed()
        .timeout(TIMEOUT)
        .service(client());
    serves(&pool, stack).await;
}

#[tokio::test(start_paused = true)]
async fn tower_layers_work_between_the_layers() {
    let pool = pool(4);
    let stack = ServiceBuilder::new()
        .layer(ReplayLayer::new())
        .timeout(TIMEOUT)
        .retry(RetryPolicy::new(&pool))
        .buffer(8)
        .concurrency_limit(4)
        .load_shed()
        .timeout(TIMEOUT)
        .layer(KeyRotationLayer::new(&pool))
        .concurrency_limit(4)
        .timeout(TIMEOUT)
        .layer(CooldownLayer::new(&pool))
        .service(client());
    serves(&pool, stack).await;
}

#[tokio::test(start_paused = true)]
async fn tower_http_layers_work_anywhere() {
    let pool = pool(4);
    let stack = ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(TraceLayer::new_for_http())
        .layer(DecompressionLayer::new())
        .layer(ReplayLayer::new())
        .retry(RetryPolicy::new(&pool))
        .layer(TraceLayer::new_for_http())
        .layer(KeyRotationLayer::new(&pool))
        .layer(TraceLayer::new_for_http())
        .layer(CooldownLayer::new(&pool))
        .layer(DecompressionLayer::new())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(TraceLayer::new_for_http())
        .service(client());
    serves(&pool, stack).await;
}

#[tokio::test(start_paused = true)]
async fn outcome_is_reported_once_even_without_a_cooldown_layer_below() {
    let limited = tower::service_fn(async |_: Request<Body>| Ok::<_, BoxError>(rate_limited(9)));
    let without = pool(1);
    let stack =
        ServiceBuilder::new().retry(RetryPolicy::new(&without)).layer(KeyRotationLayer::new(&without)).service(limited);
    assert_eq!(stack.oneshot(ask()).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let above = pool(1);
    let stack =
        ServiceBuilder::new().layer(CooldownLayer::new(&above)).layer(KeyRotationLayer::new(&above)).service(limited);
    assert_eq!(stack.oneshot(ask()).await.unwrap().status(), 429);
    let below = pool(1);
    let stack =
        ServiceBuilder::new().layer(KeyRotationLayer::new(&below)).layer(CooldownLayer::new(&below)).service(limited);
    assert_eq!(stack.oneshot(ask()).await.unwrap().status(), 429);
    for pool in [without, above, below] {
        assert_eq!((pool.stats().sent, pool.stats().failed), (1, 1));
        assert!(pool.try_acquire(MODEL).is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn transport_error_is_reported_without_a_cooldown_layer() {
    let pool = pool(1);
    let stack = KeyRotationLayer::new(&pool)
        .layer(tower::service_fn(async |_: Request<Body>| Err::<Answer, BoxError>("the connection broke".into())));
    assert_eq!(stack.oneshot(ask()).await.unwrap_err().kind(), ErrorKind::Transport);
    assert_eq!(pool.stats().failed, 1);
}

#[tokio::test(start_paused = true)]
async fn part_of_the_cost_that_the_request_does_not_set_is_estimated() {
    let pool = builder(1).limits(MODEL, Limits::new().tokens_per_minute(50_000)).build().unwrap();
    let stack = ServiceBuilder::new()
        .layer(ReplayLayer::new())
        .layer(KeyRotationLayer::new(&pool))
        .service(tower::service_fn(async |_: Request<ReplayBody<Body>>| Ok::<_, BoxError>(good())));
    let mut used = Vec::new();
    for needs in [KeyRequest::default().output_tokens(5), KeyRequest::default().input_tokens(7)] {
        let mut request = ask().map(|_| Body::from(format!(r#"{{"a":"{}"}}"#, "some words ".repeat(400))));
        request.extensions_mut().insert(needs);
        assert_eq!(stack.clone().oneshot(request).await.unwrap().status(), 200);
        used.push(pool.snapshot(0, 9).projects[0].models[0].limits[0].used);
    }
    assert_eq!(used, [1_101, 1_108]);
}

#[tokio::test(start_paused = true)]
async fn rotation_works_alone_and_cooldown_without_a_lease_passes_responses_on() {
    let pool = pool(3);
    let rotated = ServiceBuilder::new().retry(RetryPolicy::new(&pool)).layer(KeyRotationLayer::new(&pool)).service(
        tower::service_fn(async |request: Request<Body>| {
            Ok::<_, BoxError>(if key_of(&request) == 0 { rate_limited(9) } else { good() })
        }),
    );
    assert_eq!(rotated.oneshot(ask()).await.unwrap().status(), 200);
    let cooled = CooldownLayer::new(&pool)
        .layer(tower::service_fn(async |_: Request<Full<bytes::Bytes>>| Ok::<_, BoxError>(suspended(0))));
    let response = cooled.oneshot(ask()).await.unwrap();
    assert!(text(response).await.contains(&secret(0)), "without a lease the layer does not redact");
    assert_eq!((pool.stats().failed, pool.stats().succeeded), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn timeout_of_an_attempt_is_retried() {
    let (pool, calls) = (pool(2), Calls::default());
    let stack = ServiceBuilder::new().layer(KeyPoolLayer::new(&pool)).timeout(SECOND).service(tower::service_fn(
        move |_: Request<ReplayBody<Body>>| {
            let first = calls.next() == 0;
            async move {
                if first {
                    tokio::time::sleep(TIMEOUT).await;
                }
                Ok::<_, BoxError>(good())
            }
        },
    ));
    let response = stack.oneshot(ask()).await.unwrap();
    assert_eq!((response.status().as_u16(), attempts(&response).len()), (200, 2));
    assert_eq!(attempts(&response).iter().next().unwrap().class().unwrap().as_str(), "transient");
}

#[tokio::test(start_paused = true)]
async fn client_error_is_returned_with_its_attempts() {
    let pool = pool(2);
    let stack = KeyPoolLayer::new(&pool).layer(tower::service_fn(async |_: Request<ReplayBody<Body>>| {
        Err::<Answer, _>(std::io::Error::from(std::io::ErrorKind::ConnectionRefused))
    }));
    let error = stack.oneshot(ask()).await.unwrap_err();
    assert_eq!((error.kind(), error.attempts().len()), (ErrorKind::Transport, 3));
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("connection refused"));
}
