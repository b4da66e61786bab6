//! What tower's `Retry` sends again under our policy, with which key and when.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keypool::{
    Backoff, Clock, CooldownLayer, Error, Gemini, Key, KeyPool, KeyPoolLayer, KeyRotationLayer, Limits, ReplayBody,
    Retry, RetryPolicy, ServedBy, Until, Verdict, VerdictKind,
};

use crate::{
    support::{self, Body, BoxError, Client, ask, free_slots, key_of, narrow_pool, ok, pool, refused, text},
    upstream::Upstream,
};

/// Who asked, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add<B>(&self, request: &Request<B>) -> usize {
        let mut log = self.0.lock().unwrap();
        log.push(key_of(request));
        log.len()
    }

    fn keys(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn steady(pool: &KeyPool) -> RetryPolicy {
    RetryPolicy::new(pool).backoff(Backoff::fixed(Duration::from_secs(1)))
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_is_followed_by_the_next_key_and_the_error_names_the_last() {
    let (log, pool) = (Log::default(), pool(&["one", "two"]));
    let seen = log.clone();
    let client = ServiceBuilder::new().retry(steady(&pool)).layer(KeyRotationLayer::new(&pool)).service(service_fn(
        move |request: Request<Body>| {
            seen.add(&request);
            async { Err::<Response<Body>, _>(refused()) }
        },
    ));
    let error: Error = client.oneshot(ask()).await.unwrap_err();
    assert_eq!(log.keys(), ["one", "two", "one", "two"]);
    assert_eq!(error.to_string(), "no answer over key two: transient fault (connect), after 4 attempts");
    let tried: Vec<String> = error.served_by().unwrap().earlier().iter().map(|a| a.key.to_string()).collect();
    assert_eq!(tried, ["one", "two", "one"]);
}

/// A client that is ready once, and refuses that one request.
#[derive(Clone, Default)]
struct Once(Arc<Mutex<bool>>);

impl<B> Service<Request<B>> for Once {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = std::future::Ready<Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(if *self.0.lock().unwrap() { Err("it is gone".into()) } else { Ok(()) })
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        *self.0.lock().unwrap() = true;
        std::future::ready(Ok(support::bad(429, "rate")))
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_tried_is_told_where_nothing_below_is_ready_for_another_attempt() {
    let pool = pool(&["one", "two"]);
    let error = KeyPoolLayer::new(&pool).layer(Once::default()).oneshot(ask()).await.map(drop).unwrap_err();
    let served = error.served_by().expect("one attempt was made");
    assert_eq!((served.attempts(), served.earlier()[0].key.to_string()), (1, "one".to_owned()));
}

/// The body was never asked for, so that the start of the first stays provisional to its end.
#[tokio::test(start_paused = true)]
async fn the_same_under_the_whole_stack() {
    let (log, pool) = (Log::default(), pool(&["one", "two"]));
    let seen = log.clone();
    let client = KeyPoolLayer::new(&pool).retry(Retry::new().max_retries(1)).layer(service_fn(
        move |request: Request<ReplayBody<Body>>| {
            seen.add(&request);
            async { Err::<Response<Body>, _>(refused()) }
        },
    ));
    let error = client.oneshot(ask()).await.unwrap_err();
    assert_eq!(log.keys(), ["one", "two"]);
    assert_eq!(error.to_string(), "no answer over key two: transient fault (connect), after 2 attempts");
}

#[tokio::test(start_paused = true)]
async fn the_same_with_a_time_out_between() {
    let (log, pool) = (Log::default(), pool(&["one", "two"]));
    let seen = log.clone();
    let client = ServiceBuilder::new()
        .retry(steady(&pool).max_retries(1))
        .timeout(Duration::from_secs(30))
        .layer(KeyRotationLayer::new(&pool))
        .service(service_fn(move |request: Request<Body>| {
            seen.add(&request);
            async { Err::<Response<Body>, _>(refused()) }
        }));
    let error: BoxError = client.oneshot(ask()).await.unwrap_err();
    assert_eq!(log.keys(), ["one", "two"]);
    let ours = Error::find(&*error).unwrap();
    assert_eq!(ours.served_by().unwrap().key().unwrap().to_string(), "two");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_timed_out_is_tried_again_and_its_key_is_not_at_fault() {
    let (log, pool) = (Log::default(), narrow_pool());
    let seen = log.clone();
    let client = ServiceBuilder::new()
        .retry(steady(&pool))
        .timeout(Duration::from_secs(30))
        .layer(KeyRotationLayer::new(&pool))
        .service(service_fn(move |request: Request<Body>| {
            let n = seen.add(&request);
            async move {
                if n == 1 {
                    std::future::pending::<()>().await;
                }
                Ok::<_, BoxError>(ok())
            }
        }));
    client.oneshot(ask()).await.unwrap();
    assert_eq!(log.keys(), ["one", "one"]);
    assert_eq!(free_slots(&pool), 1);
}

#[tokio::test(start_paused = true)]
async fn no_request_leaves_anything_in_the_policy_for_the_next() {
    let (log, pool) = (Log::default(), pool(&["one", "two"]));
    let seen = log.clone();
    let mut client = ServiceBuilder::new()
        .retry(steady(&pool).max_retries(1))
        .layer(KeyRotationLayer::new(&pool))
        .service(service_fn(move |request: Request<Body>| {
            seen.add(&request);
            async { Err::<Response<Body>, _>(refused()) }
        }));
    for attempts in [2, 2, 2] {
        let error = client.ready().await.unwrap().call(ask()).await.unwrap_err();
        assert_eq!(error.served_by().unwrap().attempts(), attempts);
    }
    assert_eq!(log.keys().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_foreign_error_between_is_handed_up() {
    let pool = pool(&["one"]);
    let client = ServiceBuilder::new()
        .retry(steady(&pool))
        .map_err(|_: Error| BoxError::from("a layer that shed the load"))
        .layer(KeyRotationLayer::new(&pool))
        .service(service_fn(|_: Request<Body>| async { Err::<Response<Body>, _>(refused()) }));
    let before = pool.clock().tick();
    client.oneshot(ask()).await.unwrap_err();
    assert_eq!(pool.clock().tick(), before);
}

#[tokio::test(start_paused = true)]
async fn a_request_dropped_while_it_pauses_frees_the_slot() {
    let pool = narrow_pool();
    let client = ServiceBuilder::new()
        .retry(steady(&pool))
        .layer(KeyRotationLayer::new(&pool))
        .service(service_fn(|_: Request<Body>| async { Err::<Response<Body>, _>(refused()) }));
    let task = tokio::spawn(client.oneshot(ask()));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(free_slots(&pool), 0);
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(free_slots(&pool), 1);
}

// === over answers that were judged ===

fn stack(pool: &KeyPool, policy: RetryPolicy, upstream: &Upstream) -> impl Client {
    ServiceBuilder::new()
        .retry(policy)
        .layer(KeyRotationLayer::new(pool))
        .layer(CooldownLayer::new(pool))
        .service(upstream.clone())
}

#[tokio::test(start_paused = true)]
async fn faults_of_keys_go_from_key_to_key_at_once() {
    let pool = pool(&["a", "b", "c", "d", "e", "f"]);
    let upstream = Upstream::new(&["rate", "invalid", "rate", "rate", "rate"]);
    let response = stack(&pool, RetryPolicy::new(&pool).max_retries(0), &upstream).oneshot(ask()).await.unwrap();
    let served = response.extensions().get::<ServedBy>().unwrap().clone();
    assert_eq!(served.attempts(), 6);
    assert_eq!(served.key().unwrap().to_string(), "f");
    assert_eq!(text(response).await, "fine");
    assert_eq!(upstream.keys(), ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(upstream.seconds(), [0; 6]);
    assert!(upstream.asked().iter().all(|asked| asked.body == "hello"));
}

#[tokio::test(start_paused = true)]
async fn out_of_keys_the_caller_receives_the_last_true_answer() {
    let pool = pool(&["a", "b"]);
    let upstream = Upstream::new(&["rate", "rate"]);
    let client = stack(&pool, RetryPolicy::new(&pool), &upstream);
    let response = client.clone().oneshot(ask()).await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(response.extensions().get::<ServedBy>().unwrap().attempts(), 2);
    assert_eq!(text(response).await, "rate");
    // Both rest now: the next one is told why.
    let error = client.oneshot(ask()).await.unwrap_err();
    assert!(error.is_exhausted());
    assert_eq!(error.retry_after(), Some(Duration::from_secs(40)));
}

#[tokio::test(start_paused = true)]
async fn by_switch_the_caller_receives_the_typed_error() {
    let pool = pool(&["a", "b"]);
    let upstream = Upstream::new(&["rate", "rate"]);
    let policy = RetryPolicy::new(&pool).exhausted_instead(true);
    let error = stack(&pool, policy, &upstream).oneshot(ask()).await.unwrap_err();
    assert!(error.is_exhausted());
    assert_eq!(error.served_by().unwrap().attempts(), 2);
    assert_eq!(pool.snapshot().exhausted, 1, "one request found none");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_key_in_vain_is_counted_once() {
    let pool = pool(&["a", "b"]);
    let upstream = Upstream::new(&["rate", "rate", "rate", "rate"]);
    let policy = RetryPolicy::new(&pool).exhausted_instead(true).wait(Duration::from_secs(50));
    let error = stack(&pool, policy, &upstream).oneshot(ask()).await.unwrap_err();
    assert!(error.is_exhausted());
    assert_eq!(pool.snapshot().exhausted, 1);
}

#[tokio::test(start_paused = true)]
async fn the_only_key_with_one_slot_is_used_again_after_a_fault_of_the_provider() {
    let pool = narrow_pool();
    let upstream = Upstream::new(&["fault", "overloaded"]);
    let response = stack(&pool, steady(&pool), &upstream).oneshot(ask()).await.unwrap();
    assert_eq!(text(response).await, "fine");
    assert_eq!(upstream.seconds(), [0, 1, 2]);
    assert_eq!(free_slots(&pool), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_s_fault_is_handed_up_at_once() {
    let pool = pool(&["a", "b"]);
    let upstream = Upstream::new(&["400"]);
    let response = stack(&pool, steady(&pool), &upstream).oneshot(ask()).await.unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(upstream.keys().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn jitter_repeats_with_its_seed_and_differs_between_requests() {
    let pauses = async || {
        let pool = pool(&["a"]);
        let upstream = Upstream::new(&["fault"; 6]);
        let client = stack(&pool, RetryPolicy::new(&pool).seed(5), &upstream);
        for _ in 0..2 {
            drop(client.clone().oneshot(ask()).await.unwrap());
        }
        upstream.asked().iter().map(|asked| asked.at.as_millis()).collect::<Vec<_>>()
    };
    let first = pauses().await;
    assert_eq!(first, pauses().await);
    assert_eq!(first.len(), 7);
    assert_ne!(first[1] - first[0], first[5] - first[4]);
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_a_key_that_comes_back_while_the_demand_may_wait() {
    let pool = pool(&["a", "b"]);
    let rests = Verdict::new(VerdictKind::RateLimited).until(Until::For(Duration::from_secs(3)));
    pool.try_acquire("m").unwrap().judge(&rests);
    let upstream = Upstream::new(&["rate"]);
    let client = stack(&pool, RetryPolicy::new(&pool).wait(Duration::from_secs(5)), &upstream);
    assert_eq!(text(client.oneshot(ask()).await.unwrap()).await, "fine");
    assert_eq!(upstream.keys(), ["b", "a"]);
    assert_eq!(upstream.seconds(), [0, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_delay_beyond_the_deadline_is_not_waited_for() {
    let pool = pool(&["a"]);
    let upstream = Upstream::new(&["slow down"]);
    let policy = steady(&pool).deadline(Duration::from_secs(15));
    let response = stack(&pool, policy, &upstream).oneshot(ask()).await.unwrap();
    assert_eq!(text(response).await, "slow down");
    let upstream = Upstream::new(&["slow down"]);
    let policy = steady(&pool).deadline(Duration::from_secs(25));
    stack(&pool, policy, &upstream).oneshot(ask()).await.unwrap();
    assert_eq!(upstream.seconds(), [0, 20]);
}

#[tokio::test(start_paused = true)]
async fn what_belongs_to_another_owner_is_tried_once_with_each() {
    let keys = [("a1", "a"), ("a2", "a"), ("b1", "b"), ("c1", "c")];
    let keys = keys.map(|(id, owner)| Key::new(format!("secret-{id}")).id(id).owner(owner));
    let pool = support::builder(&[]).keys(keys).build().unwrap();
    let upstream = Upstream::new(&["owner", "owner", "owner"]);
    let response = stack(&pool, steady(&pool), &upstream).oneshot(ask()).await.unwrap();
    assert_eq!(text(response).await, "owner");
    let owners: BTreeSet<String> = upstream.keys().iter().map(|key| key[..1].to_owned()).collect();
    assert_eq!((upstream.keys().len(), owners.len()), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn attempts_that_never_leave_cost_nothing() {
    // One start a minute: the lease that is taken ahead and dropped in the pause must not use it up.
    let pool = KeyPool::builder(support::Plain::new())
        .key(Key::new("secret-one").id("one"))
        .limits("m", Limits::new().per_minute(2))
        .clock(Clock::tokio_from(std::time::SystemTime::UNIX_EPOCH))
        .build()
        .unwrap();
    let upstream = Upstream::new(&["fault"]);
    let task = tokio::spawn(stack(&pool, steady(&pool), &upstream).oneshot(ask()));
    tokio::time::sleep(Duration::from_millis(500)).await;
    task.abort();
    assert!(task.await.is_err());
    assert_eq!(upstream.keys().len(), 1);
    assert!(pool.try_acquire("m").is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_upgraded_connection_is_never_retried_and_extensions_of_the_caller_s_travel() {
    #[derive(Clone, PartialEq, Debug)]
    struct Mark(u8);
    let pool = pool(&["a", "b"]);
    let marks = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&marks);
    let client = ServiceBuilder::new()
        .retry(steady(&pool))
        .layer(KeyRotationLayer::new(&pool))
        .layer(CooldownLayer::new(&pool))
        .service(service_fn(move |request: Request<Body>| {
            seen.lock().unwrap().push(request.extensions().get::<Mark>().cloned());
            let answer =
                if seen.lock().unwrap().len() == 1 { support::bad(503, "fault") } else { support::bad(101, "") };
            async { Ok::<_, BoxError>(answer) }
        }));
    let mut request = ask();
    request.extensions_mut().insert(Mark(7));
    let response = client.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 101);
    assert_eq!(*marks.lock().unwrap(), [Some(Mark(7)), Some(Mark(7))]);
    assert!(response.extensions().get::<ServedBy>().unwrap().keep().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_retry_keeps_its_place_before_those_that_came_later() {
    let pool = narrow_pool();
    let upstream = Upstream::new(&["fault"]).taking(Duration::from_secs(1));
    let policy = RetryPolicy::new(&pool).backoff(Backoff::fixed(Duration::ZERO)).wait(Duration::from_secs(9));
    let client = ServiceBuilder::new()
        .retry(policy)
        .layer(KeyRotationLayer::new(&pool).wait(Duration::from_secs(60)))
        .layer(CooldownLayer::new(&pool))
        .service(upstream.clone());
    let mut calls = Vec::new();
    for name in ["first", "second", "third", "fourth"] {
        let mut request = ask();
        *request.body_mut() = Body::from(name);
        let call = client.clone().oneshot(request);
        calls.push(tokio::spawn(async { call.await.map(drop) }));
        tokio::task::yield_now().await;
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let order: Vec<Bytes> = upstream.asked().into_iter().map(|asked| asked.body).collect();
    // The slot goes to the one that waits already, then to the one that was first.
    assert_eq!(order, ["first", "second", "first", "third", "fourth"]);
}

#[tokio::test(start_paused = true)]
async fn keys_that_met_a_limit_are_asked_again_when_they_are_back_in_time() {
    let (pool, upstream) = (pool(&["one", "two"]), Upstream::new(&["rate", "rate briefly"]));
    let client = KeyPoolLayer::new(&pool).wait(Duration::from_secs(5)).layer(upstream.clone());
    assert_eq!(text(client.oneshot(ask()).await.unwrap()).await, "fine");
    assert_eq!((upstream.keys(), upstream.seconds()), (vec!["one".into(), "two".into(), "two".into()], vec![0, 0, 2]));

    // Again and again, for no longer than it may wait.
    let (pool, upstream) = (support::pool(&["one"]), Upstream::new(&["rate briefly"; 20]));
    let policy = steady(&pool).wait(Duration::from_secs(7)).exhausted_instead(true);
    let error = stack(&pool, policy, &upstream).oneshot(ask()).await.unwrap_err();
    assert_eq!(upstream.seconds(), [0, 2, 4, 6]);
    // What is said so shortly, again and again, is believed less.
    assert!(error.is_exhausted() && error.retry_after() == Some(Duration::from_secs(4)), "{error}");
}

/// As hyper-util's pooled client tells it.
#[derive(Debug)]
struct SendRequest(std::io::Error);

impl std::fmt::Display for SendRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("client error (SendRequest)")
    }
}

impl std::error::Error for SendRequest {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "tokio's paused clock")]
async fn a_connection_that_was_closed_before_the_answer_costs_no_pause_once() {
    let (log, pool) = (Log::default(), pool(&["one", "two"]));
    let (seen, times) = (log.clone(), Arc::new(Mutex::new(Vec::new())));
    let (begun, at) = (tokio::time::Instant::now(), Arc::clone(&times));
    let client = ServiceBuilder::new().retry(steady(&pool).max_retries(1)).layer(KeyRotationLayer::new(&pool)).service(
        service_fn(move |request: Request<Body>| {
            seen.add(&request);
            at.lock().unwrap().push(begun.elapsed().as_secs());
            async { Err::<Response<Body>, _>(SendRequest(std::io::Error::from(std::io::ErrorKind::ConnectionReset))) }
        }),
    );
    let error: Error = client.oneshot(ask()).await.unwrap_err();
    assert_eq!(*times.lock().unwrap(), [0, 0, 1], "the second time it is a fault like any other");
    assert_eq!(error.verdict().unwrap().code_of(), "closed");
}

/// Where an answer is worth few retries, the last of them is still one with a key that was not tried.
#[tokio::test(start_paused = true)]
async fn the_last_retry_that_an_answer_is_worth_goes_to_a_key_of_any_priority() {
    let (log, pool) = (Log::default(), {
        let key =
            |id: &str, priority| Key::new(format!("secret-{id}")).id(id).priority(tower_keypool::Priority(priority));
        let clock = Clock::tokio_from(std::time::SystemTime::UNIX_EPOCH);
        KeyPool::builder(support::Plain::new()).keys([key("one", 0), key("two", 1)]).clock(clock).build().unwrap()
    });
    let seen = log.clone();
    let client = KeyPoolLayer::new(&pool).layer(service_fn(move |request: Request<ReplayBody<Body>>| {
        let first = seen.add(&request) == 1;
        let mut answer = Response::new(Body::from(if first { "once more" } else { "fine" }));
        *answer.status_mut() = if first { http::StatusCode::GATEWAY_TIMEOUT } else { http::StatusCode::OK };
        std::future::ready(Ok::<_, BoxError>(answer))
    }));
    let answer = client.oneshot(ask()).await.unwrap();
    assert_eq!((answer.status().as_u16(), log.keys()), (200, vec!["one".to_owned(), "two".to_owned()]));
}

/// Whoever stands in line for a permit gives its key to the one who has the permit and waits for a key.
#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "tokio's paused clock")]
async fn a_limit_between_policy_and_rotation_locks_nobody_out() {
    let wait = Duration::from_secs(300);
    let (pool, upstream) = (narrow_pool(), Upstream::new(&["overloaded"]).taking(Duration::from_millis(10)));
    let stack = ServiceBuilder::new()
        .retry(steady(&pool).wait(wait))
        .concurrency_limit(1)
        .layer(KeyRotationLayer::new(&pool).wait(wait))
        .layer(CooldownLayer::new(&pool))
        .service(upstream.clone());
    let begun = tokio::time::Instant::now();
    let ask = || {
        let answer = stack.clone().oneshot(ask());
        tokio::spawn(async { text(answer.await.unwrap()).await })
    };
    let first = ask();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let second = ask();
    for answer in [first, second] {
        assert_eq!(answer.await.unwrap(), "fine");
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(upstream.keys(), ["one"; 3]);
    assert_eq!(free_slots(&pool), 1);
}

#[tokio::test(start_paused = true)]
async fn under_another_pools_policy_what_is_sent_again_goes_out_with_a_key_of_its_own_pool() {
    let (ours, another) = (pool(&["one", "two"]), pool(&["three", "four"]));
    let log = Log::default();
    let seen = log.clone();
    let client = ServiceBuilder::new()
        .retry(steady(&another))
        .layer(KeyRotationLayer::new(&ours))
        .layer(CooldownLayer::new(&ours))
        .service(service_fn(move |request: Request<Body>| {
            let answer = if seen.add(&request) == 1 { support::bad(429, "rate") } else { ok() };
            async { Ok::<_, BoxError>(answer) }
        }));
    let answer = client.oneshot(ask()).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(log.keys(), ["one", "two"]);
    assert_eq!(another.snapshot().in_flight, 0);
    assert_eq!(another.snapshot().requests_last_minute, 0, "the other pool's keys carried nothing");
}

/// Who waits alone for keys that met a limit without a name is the one who finds out that it is over.
#[tokio::test(start_paused = true)]
async fn a_lone_waiter_tries_one_of_its_keys_once_more_and_then_waits_for_nothing() {
    for (keys, limits) in [(3, 3), (5, 5), (3, 20)] {
        let ids = &["a", "b", "c", "d", "e"][..keys];
        let (pool, upstream) = (pool(ids), Upstream::new(&vec!["some limit"; limits]));
        let client = KeyPoolLayer::new(&pool).wait(Duration::from_secs(5)).layer(upstream.clone());
        let answer = client.oneshot(ask()).await;
        let seconds = upstream.seconds();
        assert_eq!((seconds.len(), seconds[keys]), (keys + 1, 1), "{seconds:?}");
        // Where nothing more comes for it in time, it does not stay.
        assert_eq!(upstream.now(), 1);
        let expected = if limits > keys { "some limit" } else { "fine" };
        assert_eq!(text(answer.unwrap()).await, expected, "{keys} keys");
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_more_time_than_there_is_is_left_for_one_other_key() {
    let (pool, upstream) = (pool(&["one", "two", "three"]), Upstream::new(&["come back late"; 2]));
    let response = stack(&pool, steady(&pool), &upstream).oneshot(ask()).await.unwrap();
    assert_eq!(response.status(), 429, "one other was asked, and no more");
    assert_eq!((upstream.keys().len(), upstream.seconds()), (2, vec![0, 0]));
    let upstream = Upstream::new(&["come back late"]);
    let response = stack(&pool, steady(&pool), &upstream).oneshot(ask()).await.unwrap();
    assert_eq!((response.status().as_u16(), upstream.seconds()), (200, vec![0, 0]));
}

/// All keys are out of it together then, each for the same.
#[tokio::test(start_paused = true)]
async fn a_model_that_is_overloaded_for_a_moment_is_waited_for_by_whoever_waits_for_no_key() {
    for (seed, wait) in (0..50).flat_map(|seed| [(seed, 0), (seed, 5)]) {
        let keys = (0..10).map(|n| Key::new(format!("AIza-not-a-real-key-{n:05}")));
        let clock = Clock::tokio_from(std::time::SystemTime::UNIX_EPOCH);
        let pool = KeyPool::builder(Gemini::new()).keys(keys).clock(clock.clone()).build().unwrap();
        let (begun, calls) = (clock.tick(), Arc::new(Mutex::new(0)));
        let asked = Arc::clone(&calls);
        let service = service_fn(move |_: Request<ReplayBody<Body>>| {
            *asked.lock().unwrap() += 1;
            let clock = clock.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                let good = clock.tick().since(begun) >= Duration::from_millis(500);
                let busy = r#"{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}"#;
                Ok::<_, BoxError>(if good { ok() } else { support::bad(503, busy) })
            }
        });
        let stack =
            KeyPoolLayer::new(&pool).retry(Retry::new().seed(seed)).wait(Duration::from_secs(wait)).layer(service);
        let request = || support::request("/v1beta/models/gemini-2.5-flash:generateContent");
        let asked = (0..20).map(|_| tokio::spawn(stack.clone().oneshot(request())));
        for answer in asked.collect::<Vec<_>>() {
            assert_eq!(answer.await.unwrap().unwrap().status(), 200, "{seed}: {wait}");
        }
        let calls = *calls.lock().unwrap();
        assert!(calls <= 80, "{seed}: {calls} calls");
    }
}

/// Its rests grow, and each retry would have waited for a whole one.
#[tokio::test(start_paused = true)]
async fn a_model_that_stays_overloaded_is_waited_for_no_longer_than_a_request_waits() {
    for (wait, most) in [(0, 12), (1, 12), (5, 12), (40, 42)] {
        let keys = (0..10).map(|n| Key::new(format!("AIza-not-a-real-key-{n:05}")));
        let clock = Clock::tokio_from(std::time::SystemTime::UNIX_EPOCH);
        let pool = KeyPool::builder(Gemini::new()).keys(keys).clock(clock.clone()).build().unwrap();
        let busy = r#"{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}"#;
        let service = service_fn(move |_: Request<ReplayBody<Body>>| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok::<_, BoxError>(support::bad(503, busy))
        });
        let stack = KeyPoolLayer::new(&pool).retry(Retry::new().seed(7)).wait(Duration::from_secs(wait)).layer(service);
        for n in 0..20 {
            let begun = clock.tick();
            let asked = stack.clone().oneshot(support::request("/v1beta/models/gemini-2.5-flash:generateContent"));
            let retry_after = match asked.await {
                Ok(_) => Duration::from_secs(1),
                Err(error) => error.retry_after().unwrap(),
            };
            let took = clock.tick().since(begun);
            assert!(took <= Duration::from_secs(most), "{wait} s: request {n} was held for {took:?}");
            tokio::time::sleep(retry_after).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fixed_backoff_tries_an_overloaded_model_as_often_as_it_says() {
    let pool = support::pool(&["0", "1", "2"]);
    let calls = Mutex::new(0);
    let retry = Retry::new().max_retries(5).backoff(Backoff::fixed(Duration::from_millis(100)));
    let judged = |answer: &Result<u32, u32>| match answer {
        Ok(_) => Verdict::SUCCESS,
        Err(_) => Verdict::new(VerdictKind::Overloaded),
    };
    let answer = pool.with_retry(retry).run("m", judged, |_| {
        let n = {
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            *calls
        };
        std::future::ready(if n > 5 { Ok(n) } else { Err(n) })
    });
    assert_eq!(answer.await.unwrap(), 6);
}

/// However long the pause would be, and whoever has the key then.
#[tokio::test(start_paused = true)]
async fn an_overloaded_model_is_waited_for_until_the_deadline_and_no_longer() {
    for (deadline, fixed) in [(5, 3), (3, 1), (10, 3), (30, 9)] {
        let pool = support::pool(&["one"]);
        let judged = |_: &Result<(), ()>| Verdict::new(VerdictKind::Overloaded);
        let clock = pool.clock().clone();
        let begun = clock.tick();
        let last = Mutex::new(Duration::ZERO);
        let retry = Retry::new().max_retries(50).backoff(Backoff::fixed(Duration::from_secs(fixed)));
        let run = pool.with_retry(retry.deadline(Duration::from_secs(deadline))).run("m", judged, |_| {
            *last.lock().unwrap() = clock.tick().since(begun);
            std::future::ready(Err::<(), ()>(()))
        });
        run.await.unwrap_err();
        let (last, over) = (*last.lock().unwrap(), clock.tick().since(begun));
        assert!(last <= Duration::from_secs(deadline), "{last:?} of {deadline} s");
        assert!(over <= Duration::from_secs(deadline + 1), "{over:?} of {deadline} s");
    }
}

/// The second provider's answer shows what the first one was asked with.
#[tokio::test(start_paused = true)]
async fn who_tells_an_answer_anew_overwrites_the_keys_of_all_attempts() {
    let keys = ["AIza-not-a-real-key-00001", "AIza-not-a-real-key-00002"];
    let pool = KeyPool::builder(Gemini::new()).keys(keys.map(Key::new)).build().unwrap();
    let calls = Arc::new(Mutex::new(0));
    let service = service_fn(move |_: Request<ReplayBody<Body>>| {
        let mut calls = calls.lock().unwrap();
        *calls += 1;
        std::future::ready(Ok::<_, BoxError>(if *calls == 1 { support::bad(429, "{}") } else { ok() }))
    });
    let mut request = support::request("/v1beta/models/gemini-2.5-flash:generateContent");
    request.extensions_mut().insert(tower_keypool::Demand::any_model().retold());
    let answer = KeyPoolLayer::new(&pool).layer(service).oneshot(request).await.unwrap();
    let mask = answer.extensions().get::<tower_keypool::KeyMask>().expect("asked for");
    for key in keys {
        let mut plain = format!("it was {key}").into_bytes();
        mask.hide(&mut plain);
        let escaped = mask.hide_escaped(Bytes::from(format!("it was \\u0041{}", &key[1..])));
        for told in [plain, escaped.to_vec()] {
            let told = String::from_utf8(told).unwrap();
            assert!(!told.contains(&key[1..]) && told.ends_with("***"), "{told}");
        }
    }
}
