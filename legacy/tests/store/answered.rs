//! Whoever was answered may rely on what that request taught being there after a crash.

use std::{
    convert::Infallible,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_keypool::{
    Clock, Gemini, Key, KeyPool, KeyPoolBuilder, KeyPoolLayer, KeyState, LeasedKey, ServedBy, Verdict,
};

use crate::{
    machine::{Machine, Writes},
    support::{FLASH, suspended},
};

const SUSPENDED: &str = r#"{"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "suspended", "details": [{
    "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "CONSUMER_SUSPENDED",
    "domain": "googleapis.com", "metadata": {"consumer": "projects/100000000000"}}]}}"#;

fn keys(count: usize) -> KeyPoolBuilder {
    let key = |n: usize| Key::new(format!("AIzaSy-not-a-real-key-{n:017}")).id(format!("n{n}").as_str());
    KeyPool::builder(Gemini::new()).keys((0..count).map(key))
}

/// Asks once through the whole stack, at a provider that suspends whichever key it sees first.
async fn ask(pool: &KeyPool) -> (u16, usize) {
    let first = Arc::new(Mutex::new(None));
    let provider = service_fn(move |request: Request<_>| {
        let key = request.headers()["x-goog-api-key"].clone();
        let is_first = *first.lock().unwrap().get_or_insert_with(|| key.clone()) == key;
        let (status, body) = if is_first { (403, SUSPENDED) } else { (200, r#"{"candidates": []}"#) };
        let answer = Response::builder().status(status).header("content-type", "application/json");
        async move { Ok::<_, Infallible>(answer.body(Full::<Bytes>::from(body)).unwrap()) }
    });
    let request = Request::post("/v1beta/models/flash:generateContent").body(Full::<Bytes>::from("{}")).unwrap();
    let answer = KeyPoolLayer::new(pool).layer(provider).oneshot(request).await.unwrap();
    let (head, body) = answer.into_parts();
    body.collect().await.unwrap();
    (head.status.as_u16(), head.extensions.get::<ServedBy>().unwrap().attempts())
}

/// The same in the closure form.
async fn run(pool: &KeyPool) {
    let mut asked = 0;
    let judge = |result: &Result<(), io::Error>| if result.is_ok() { Verdict::SUCCESS } else { suspended(6 * 3600) };
    let call = move |_: LeasedKey| {
        asked += 1;
        std::future::ready(if asked == 1 { Err(io::Error::other("suspended")) } else { Ok(()) })
    };
    pool.run(FLASH, judge, call).await.unwrap();
}

async fn out_after_a_crash(machine: &Machine, count: usize) -> usize {
    let next = machine.start(keys(count)).await;
    next.snapshot().keys.iter().filter(|key| !matches!(key.state, KeyState::Ready)).count()
}

#[tokio::test(start_paused = true)]
async fn a_request_that_another_key_served_is_answered_once_the_first_ones_rest_is_kept() {
    for closure in [false, true] {
        let machine = Machine::new();
        let process = machine.process(keys(3)).await;
        if closure {
            run(&process.pool).await;
        } else {
            assert_eq!(ask(&process.pool).await, (200, 2));
        }
        process.crash();
        assert_eq!(out_after_a_crash(&machine, 3).await, 1, "by a closure: {closure}");
    }
}

#[tokio::test(start_paused = true)]
async fn so_is_one_that_gets_the_refusal_itself() {
    let machine = Machine::new();
    let process = machine.process(keys(1)).await;
    assert_eq!(ask(&process.pool).await, (403, 1));
    process.crash();
    assert_eq!(out_after_a_crash(&machine, 1).await, 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_a_moment_nor_for_a_store_that_takes_no_writes() {
    let clock = Clock::system();
    for (writes, most) in [(Writes::Lost, 200), (Writes::Refused, 10)] {
        let machine = Machine::new();
        let process = machine.process(keys(3)).await;
        process.store.set(writes);
        let began = clock.tick();
        assert_eq!(ask(&process.pool).await, (200, 2));
        let took = clock.tick().since(began);
        assert!(took <= Duration::from_millis(most + 2), "{took:?}: {writes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn good_answers_wait_for_nobody() {
    let machine = Machine::new();
    let process = machine.process(keys(3)).await;
    ask(&process.pool).await;
    process.store.set(Writes::Lost);
    let before = machine.writes();
    let first_good = || process.pool.run(FLASH, |_: &Result<(), Infallible>| Verdict::SUCCESS, |_| async { Ok(()) });
    let clock = Clock::system();
    let began = clock.tick();
    for _ in 0..50 {
        first_good().await.unwrap();
    }
    assert_eq!((clock.tick().since(began), machine.writes()), (Duration::ZERO, before));
}
