//! Connections that somebody on the way dropped without a word.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use gemini_sim::Forgetful;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use keypool::{
    client::{Calls, Roots, WaysOut},
    gateway::token::PLACEHOLDER,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_keypool::{Backoff, Gemini, Key, KeyPool, KeyPoolLayer, ReplayBody, Retry};

use crate::{
    serving::{HELLO, ONE, TWO},
    support::{Answer, Served, ask},
};

const WARM: usize = 12;

fn pool(upstream: &str) -> KeyPool {
    let keys = [Key::new(ONE).id("one"), Key::new(TWO).id("two")];
    KeyPool::builder(Gemini::at(upstream).unwrap()).keys(keys).wait(Duration::ZERO).build().unwrap()
}

async fn call(served: &Served) -> Answer {
    let request = Request::post(served.url("/v1beta/models/m:generateContent")).header("x-goog-api-key", PLACEHOLDER);
    ask(request, HELLO).await
}

#[tokio::test]
async fn one_connection_that_was_forgotten_takes_the_others_with_it() {
    let provider = Forgetful::start(WARM).await.unwrap();
    let pool = pool(provider.url());
    let served = Served::pool(&pool, provider.url(), keypool::status::StoreHealth::default()).await;
    for answer in join_all((0..WARM).map(|_| call(&served))).await {
        assert_eq!(answer.status, StatusCode::OK);
    }
    provider.forget();
    for attempts in ["2", "1", "1"] {
        let answer = call(&served).await;
        assert_eq!((answer.status, answer.header("x-keypool-attempts")), (StatusCode::OK, attempts));
    }
    assert_eq!(provider.arrived(), WARM + 3);
    assert!(served_by_all(&pool), "no key is held to blame");
}

/// Whether each key may serve now.
fn served_by_all(pool: &KeyPool) -> bool {
    pool.snapshot().keys.iter().all(|key| key.rests.is_empty())
}

#[tokio::test]
async fn as_many_at_once_are_all_answered() {
    let provider = Forgetful::start(WARM).await.unwrap();
    let served = Served::pool(&pool(provider.url()), provider.url(), keypool::status::StoreHealth::default()).await;
    join_all((0..WARM).map(|_| call(&served))).await;
    provider.forget();
    for answer in join_all((0..WARM).map(|_| call(&served))).await {
        assert_eq!(answer.status, StatusCode::OK);
        assert!(["1", "2"].contains(&answer.header("x-keypool-attempts")), "{answer:?}");
    }
}

#[tokio::test]
async fn what_commands_call_by_connects_anew_as_well() {
    let provider = Forgetful::start(WARM).await.unwrap();
    let pool = pool(provider.url());
    let calls = Calls::new(&Roots::mozilla(), &WaysOut::default());
    // Without a retry that waits: the free one must do.
    let rule = Retry::new().max_retries(1).backoff(Backoff::fixed(Duration::from_secs(3600)));
    let stack = KeyPoolLayer::new(&pool)
        .retry(rule)
        .layer(service_fn(move |request: Request<ReplayBody<_>>| calls.clone().oneshot(request)));
    let call = || async {
        let target = "/v1beta/models/m:generateContent";
        let answer = stack.clone().oneshot(Request::post(target).body(Full::<Bytes>::from(HELLO)).unwrap()).await;
        answer.unwrap().into_body().collect().await.unwrap();
    };
    join_all((0..WARM).map(|_| call())).await;
    provider.forget();
    tokio::time::timeout(Duration::from_secs(20), call()).await.expect("at the second attempt");
    call().await;
    assert_eq!(provider.arrived(), WARM + 2);
}
