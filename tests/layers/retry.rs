//! What tower's `Retry` sends again under our policy, with which key and when.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keypool::{Backoff, Error, KeyPool, KeyRotationLayer, RetryPolicy};

use crate::support::{Body, BoxError, ask, free_slots, key_of, narrow_pool, ok, pool, refused};

/// Who asked, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, request: &Request<Body>) -> usize {
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
