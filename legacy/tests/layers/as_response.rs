//! Errors as answers, for hosts whose error is `Infallible`.

use std::{convert::Infallible, time::Duration};

use http::{Request, Response};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_keypool::{ExhaustedAsResponseLayer, KeyPoolLayer, Retry, Until, Verdict, VerdictKind};

use crate::{
    support::{Body, ask, pool, request, text},
    upstream::Upstream,
};

#[tokio::test(start_paused = true)]
async fn every_error_has_an_answer() {
    let (pool, upstream) = (pool(&["a"]), Upstream::new(&["refused"]));
    let layer = KeyPoolLayer::new(&pool).retry(Retry::new().max_retries(0)).exhausted_as_response();
    let client = layer.layer(upstream.clone());
    let answer = async |request: Request<Body>| {
        let answer: Result<_, Infallible> = client.clone().oneshot(request).await;
        answer.unwrap()
    };
    assert_eq!(answer(request("http://evil.example/")).await.status(), 400);
    let refused = answer(ask()).await;
    assert_eq!(refused.status(), 502);
    assert!(text(refused).await.contains("over key a"));
    assert_eq!(text(answer(ask()).await).await, "fine");

    let rests = Verdict::new(VerdictKind::RateLimited).until(Until::For(Duration::from_millis(11_200)));
    pool.try_acquire("m").unwrap().judge(&rests);
    let out = answer(ask()).await;
    assert_eq!((out.status().as_u16(), out.headers()["retry-after"].to_str().unwrap()), (503, "12"));
    let body = text(out).await;
    assert!(body.contains("all API keys") && body.contains("for m") && body.contains("503"), "{body}");
}

#[tokio::test]
async fn a_service_that_never_gets_ready_is_told_by_the_next_answer() {
    let (inner, handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    drop(handle);
    let mut client = ServiceBuilder::new().layer(ExhaustedAsResponseLayer::new()).service(inner);
    for _ in 0..2 {
        let answer = client.ready().await.unwrap().call(ask()).await.unwrap();
        assert_eq!(answer.status(), 500);
    }
}
