//! Errors are held until they can be judged, and handed up whole.

use std::{io, time::Duration};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};
use tower_keypool::{CooldownLayer, Error, VerdictKind};

use super::support::{Bench, BoxError, ERROR_429, Step, Steps, collect, json, kind, served, text};

#[tokio::test(start_paused = true)]
async fn an_error_rests_the_key_before_anybody_reads_its_body() {
    let bench = Bench::new();
    let response = bench.get(json(400, Steps::chunks(ERROR_429.as_bytes().chunks(5)))).await;
    assert_eq!((kind(&response), served(&response).verdict().code_of()), (VerdictKind::RateLimited, "read"));
    let out = bench.pool.try_acquire("m").unwrap_err();
    assert_eq!(out.retry_after(), Some(Duration::from_secs(30)));
    assert_eq!(text(response).await, ERROR_429);
    assert_eq!(bench.all_told(), [(VerdictKind::RateLimited, 1)]);
}

#[tokio::test(start_paused = true)]
async fn of_a_large_error_64_kib_are_judged() {
    let bench = Bench::new();
    let long: Vec<Vec<u8>> = (0..=255_u8).map(|byte| vec![byte; 1000]).collect();
    let response = bench.get(json(429, Steps::chunks(&long).then(Step::Never))).await;
    assert_eq!((kind(&response), served(&response).verdict().code_of()), (VerdictKind::RateLimited, "status"));
    let bench = Bench::new();
    let response = bench.get(json(429, Steps::chunks(&long))).await;
    assert_eq!(collect(response).await.0, long.concat());
}

#[tokio::test(start_paused = true)]
async fn an_error_that_does_not_end_is_held_5_seconds() {
    let bench = Bench::new();
    let before = bench.now();
    let steps = Steps::chunks(["half a "]).then(Step::Wait(Duration::from_secs(60))).then(Step::Data("story".into()));
    let response = bench.get(json(503, steps)).await;
    assert_eq!(bench.since(before), Duration::from_secs(5));
    assert_eq!(kind(&response), VerdictKind::Overloaded);
    assert_eq!(text(response).await, "half a story");
}

#[tokio::test(start_paused = true)]
async fn an_error_that_breaks_off_is_judged_by_its_status() {
    let bench = Bench::new();
    let response = bench.get(json(429, Steps::chunks(["{\"error\":"]).then(Step::Fail))).await;
    assert_eq!(served(&response).verdict().code_of(), "status");
    let (held, error) = collect(response).await;
    assert_eq!((&held[..], error.is_some()), (&b"{\"error\":"[..], true));
    assert_eq!(bench.all_told(), [(VerdictKind::RateLimited, 1)]);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_nobody_reads_is_not_cancelled() {
    let bench = Bench::new();
    let long = Steps::chunks([vec![b'x'; 100_000]]).then(Step::Never);
    drop(bench.get(json(429, long)).await);
    assert_eq!(bench.all_told(), [(VerdictKind::RateLimited, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_redirect_is_judged_by_its_head() {
    let bench = Bench::new();
    let before = bench.now();
    let response = bench.get(json(302, Steps::new([Step::Never]))).await;
    assert_eq!((kind(&response), bench.since(before)), (VerdictKind::Blocked, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn an_encoding_that_nobody_asked_for_is_judged_by_its_head_and_goes_no_further() {
    let bench = Bench::new();
    let mut response = json(429, Steps::chunks(["\u{1b}\u{3}"]).then(Step::Wait(Duration::from_secs(60))));
    response.headers_mut().insert("content-encoding", "br".parse().unwrap());
    let before = bench.now();
    let response = bench.get(response).await;
    assert_eq!((kind(&response), bench.since(before)), (VerdictKind::RateLimited, Duration::ZERO));
    assert!(!response.headers().contains_key("content-encoding"));
    assert_eq!(text(response).await, "");

    // A good one is an error; the key is not to blame.
    let mut good = json(200, Steps::chunks(["\u{1b}\u{3}"]));
    good.headers_mut().insert("content-encoding", "br".parse().unwrap());
    let bench = Bench::new();
    let error = bench.ask(bench.request(), good).await.unwrap_err();
    assert_eq!(error.verdict().unwrap().code_of(), "unreadable encoding");
    assert_eq!(bench.all_told(), [(VerdictKind::Success, 1)]);

    // A head alone has nothing to look into.
    let mut empty = json(200, Steps::chunks([""; 0]).sized());
    empty.headers_mut().insert("content-encoding", "br".parse().unwrap());
    assert_eq!(Bench::new().get(empty).await.headers()["content-encoding"], "br");
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_transport_says_who_tried() {
    let bench = Bench::new();
    let below =
        service_fn(|_| async { Err::<Response<Full<Bytes>>, _>(io::Error::from(io::ErrorKind::ConnectionRefused)) });
    let error = CooldownLayer::new(&bench.pool).layer(below).oneshot(bench.request()).await.unwrap_err();
    assert!(error.is_upstream());
    assert_eq!(error.served_by().unwrap().key().unwrap().to_string(), "first");
    assert_eq!(error.verdict().unwrap().code_of(), "connect");
    assert_eq!(bench.told(VerdictKind::Transient), 1);
    assert!(std::error::Error::source(&error).unwrap().downcast_ref::<io::Error>().is_some());
}

#[tokio::test(start_paused = true)]
async fn an_error_of_ours_from_below_is_not_wrapped_twice() {
    let bench = Bench::new();
    let inner = bench.pool.clone();
    let below = service_fn(move |_| {
        let exhausted = inner.try_acquire(tower_keypool::Demand::new("m").tokens(9_999_999)).unwrap_err();
        std::future::ready(Err::<Response<Full<Bytes>>, BoxError>(exhausted.into()))
    });
    let error: Error = CooldownLayer::new(&bench.pool).layer(below).oneshot(bench.request()).await.unwrap_err();
    assert!(error.is_never_fits());
    assert!(bench.all_told().is_empty());
}
