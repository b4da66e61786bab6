//! `ModelFallbackLayer` over a pool. The inner service asks the pool for a key, as the rotation layer does.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keypool::{
    Error, ErrorIntoResponseLayer, Gemini, Key, KeyPool, KeyPoolLayer, Limits, ModelFallbackLayer, ReplayBody,
    ReplayLayer,
};

type Body = ReplayBody<Full<Bytes>>;

/// A pool with one key, limited to one request a minute for each of two models.
fn pool() -> KeyPool {
    let key = Key::new("AIza-not-a-real-key-001");
    let limits = Limits::new().per_minute(1);
    KeyPool::builder(Gemini::new()).key(key).limits("pro", limits.clone()).limits("flash", limits).build().unwrap()
}

/// Responds with the model of the request's path if a key is available for it.
fn served(pool: &KeyPool) -> impl Service<Request<Body>, Response = Response<Full<Bytes>>, Error = Error> + Clone {
    let pool = pool.clone();
    service_fn(move |request: Request<Body>| {
        let model = request.uri().path().trim_start_matches("/v1beta/models/").split(':').next().unwrap().to_owned();
        let lease = pool.try_acquire(model.clone());
        std::future::ready(lease.map(|_| Response::new(Full::from(model))))
    })
}

fn request() -> Request<Full<Bytes>> {
    Request::post("/v1beta/models/pro:generateContent").body(Full::default()).unwrap()
}

async fn model(answer: Response<impl http_body::Body<Data = Bytes, Error = impl std::fmt::Debug>>) -> Bytes {
    http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes()
}

#[tokio::test(start_paused = true)]
async fn each_request_starts_with_its_own_model() -> Result<(), BoxError> {
    let pool = pool();
    let fallback = ModelFallbackLayer::new(&pool, ["pro", "flash"]);
    let mut service = ServiceBuilder::new().layer(ReplayLayer::new()).layer(fallback).service(served(&pool));
    assert_eq!(model(service.ready().await?.call(request()).await?).await, "pro");
    assert_eq!(model(service.ready().await?.call(request()).await?).await, "flash");
    let error = service.ready().await?.call(request()).await.unwrap_err();
    assert_eq!(error.as_unavailable().and_then(|unavailable| unavailable.model()), Some("pro"));
    tokio::time::sleep(Duration::from_secs(62)).await;
    assert_eq!(model(service.ready().await?.call(request()).await?).await, "pro");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn fallback_does_not_wait_for_a_model_that_is_used_up_for_the_day() -> Result<(), BoxError> {
    let builder = KeyPool::builder(Gemini::new()).key(Key::new("AIza-not-a-real-key-001"));
    let pool = builder.limits("pro", Limits::new().per_day(1)).wait(Duration::from_secs(5)).build()?;
    let stack = KeyPoolLayer::new(&pool).fallback(ModelFallbackLayer::new(&pool, ["pro", "flash"])).layer(service_fn(
        async |request: Request<Body>| {
            Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(request.uri().path().to_owned())))
        },
    ));
    for expected in ["pro", "flash"] {
        let at_once = tokio::time::timeout(Duration::from_secs(1), stack.clone().oneshot(request()));
        assert_eq!(model(at_once.await??).await, format!("/v1beta/models/{expected}:generateContent"));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn error_becomes_a_response_when_all_models_are_at_their_limits() -> Result<(), BoxError> {
    let pool = pool();
    let service = ServiceBuilder::new()
        .layer(ErrorIntoResponseLayer::new(&pool))
        .layer(ReplayLayer::new())
        .layer(ModelFallbackLayer::new(&pool, ["pro", "flash"]))
        .service(served(&pool));
    for _ in 0..2 {
        assert_eq!(service.clone().oneshot(request()).await?.status(), StatusCode::OK);
    }
    let answer = service.oneshot(request()).await?;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let after: u64 = answer.headers()["retry-after"].to_str()?.parse()?;
    assert!((59..=61).contains(&after), "{after}");
    Ok(())
}
