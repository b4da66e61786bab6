//! Waiting for a key: in order, without lost wake-ups, and without leaks on cancellation.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use tower_keypool::{
    Affinity, ErrorClass, ErrorKind, Failure, KeyPool, Lease, Limits, Outcome, Usage,
    pool::{Acquire, KeyRequest},
};

use crate::support::{M, builder, id, key, manual, paused, rate, rate_for, secs, take};

fn patient(model: &str) -> KeyRequest {
    KeyRequest::model(model).wait(secs(300))
}

fn only(n: usize) -> KeyRequest {
    patient(M).affinity(Affinity::RequireKey(id(n)))
}

/// Builds a pool with one key for one request at a time.
fn narrow() -> KeyPool {
    paused(builder().key(key(0).max_concurrent(1)))
}

type Waiter = Pin<Box<Acquire>>;

/// Joins the queue.
#[track_caller]
fn join(pool: &KeyPool, request: KeyRequest) -> Waiter {
    let mut waiter = Box::pin(pool.acquire(request));
    assert!(waiter.as_mut().now_or_never().is_none(), "no key is ready");
    waiter
}

fn poll(waiter: &mut Waiter) -> Option<Lease> {
    waiter.as_mut().now_or_never().map(Result::unwrap)
}

/// Waits for a key in a separate task; the names of finished tasks are added to `done`.
fn spawn(
    pool: &KeyPool,
    request: KeyRequest,
    name: usize,
    done: &Arc<Mutex<Vec<usize>>>,
) -> tokio::task::JoinHandle<Lease> {
    let (pool, done) = (pool.clone(), done.clone());
    tokio::spawn(async move {
        let lease = pool.acquire(request).await.unwrap();
        done.lock().unwrap().push(name);
        lease
    })
}

async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn acquire_without_a_wait_needs_no_runtime() {
    let (pool, _) = manual(builder().key(key(0).max_concurrent(1)));
    let lease = take(&pool, M);
    let error = pool.acquire(M).now_or_never().expect("it does not wait").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    drop(lease);
    assert!(pool.acquire(M).now_or_never().unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn wait_ends_at_its_deadline() {
    let pool = narrow();
    let _lease = take(&pool, M);
    let start = tokio::time::Instant::now();
    let error = pool.acquire(KeyRequest::model(M).wait(secs(7))).await.unwrap_err();
    assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Unavailable, secs(7)));
    assert_eq!((pool.stats().waiting, pool.stats().unavailable), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn pools_wait_is_the_default_of_a_request() {
    let pool = paused(builder().key(key(0).max_concurrent(1)).wait(secs(3)));
    let _lease = take(&pool, M);
    let start = tokio::time::Instant::now();
    assert!(pool.acquire(M).await.is_err());
    assert_eq!(start.elapsed(), secs(3));
}

#[tokio::test(start_paused = true)]
async fn request_that_can_never_be_served_fails_at_once() {
    let pool = paused(builder().key(key(0)).limits(M, Limits::new().tokens_per_minute(10)));
    let start = tokio::time::Instant::now();
    assert!(pool.acquire(patient(M).input_tokens(11)).await.is_err());
    assert!(pool.acquire(patient(M).exclude([id(0)])).await.is_err());
    pool.disable(&id(0), "test").unwrap();
    assert!(pool.acquire(patient(M)).await.is_err());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn waiters_fail_as_soon_as_no_key_can_ever_serve_them() {
    let pool = narrow();
    let lease = take(&pool, M);
    let waiters: Vec<_> = (0..100).map(|_| join(&pool, patient(M))).collect();
    pool.disable(&id(0), "test").unwrap();
    drop(lease);
    let start = tokio::time::Instant::now();
    let ends = join_all(waiters).await;
    assert!(ends.iter().all(|end| end.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unavailable)));
    assert_eq!((start.elapsed(), pool.stats().waiting, pool.stats().unavailable), (Duration::ZERO, 0, 100));
    // If the pool is emptied, its keys may just be replaced.
    let pool = paused(builder().limits(M, Limits::new().per_minute(1)).key(key(0)));
    drop(take(&pool, M));
    let mut waiter = join(&pool, patient(M));
    pool.replace_all(&[]).unwrap();
    assert!(waiter.as_mut().now_or_never().is_none());
    pool.put(key(1)).unwrap();
    assert!(waiter.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn request_fails_at_once_if_days_and_cooldowns_end_after_its_deadline() {
    let used_up = || {
        let pool = paused(builder().key(key(0)).limits(M, Limits::new().per_day(1)));
        drop(take(&pool, M));
        pool
    };
    let start = tokio::time::Instant::now();
    let error = used_up().acquire(patient(M)).await.unwrap_err();
    // The provider's midnight is 12 hours away.
    assert_eq!((start.elapsed(), error.retry_after().unwrap().as_secs() / 3_600), (Duration::ZERO, 12));

    // Another key may be free before the deadline.
    let pool = used_up();
    pool.put(key(1).limits(M, Limits::new().per_day(9)).max_concurrent(1)).unwrap();
    let lease = take(&pool, M);
    tokio::time::advance(Duration::from_millis(1)).await;
    let mut waiter = join(&pool, patient(M));
    lease.report(&rate_for(400).into());
    drop(lease);
    assert!(poll(&mut waiter).is_none());
    assert!(pool.acquire(patient(M)).await.is_err());
    drop(waiter);
    let start = tokio::time::Instant::now();
    assert!(pool.acquire(KeyRequest::model(M).wait(secs(401))).await.is_ok());
    assert!(start.elapsed() > secs(399), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn request_waits_for_tokens_of_the_day_that_a_request_in_flight_may_return() {
    let pool = paused(builder().key(key(0)).limits(M, Limits::new().tokens_per_day(1_000)));
    let lease = pool.acquire(patient(M).input_tokens(1_000)).await.unwrap();
    let mut waiter = join(&pool, patient(M).input_tokens(10));
    assert!(poll(&mut waiter).is_none());
    lease.report_usage(Usage::new(5, 0));
    drop(lease);
    assert!(waiter.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn waiters_for_a_window_are_served_in_order() {
    let pool = paused(builder().keys((0..2).map(key)).limits(M, Limits::new().per_minute(3)));
    let done = Arc::default();
    let mut tasks = Vec::new();
    for n in 0..30 {
        tasks.push(spawn(&pool, patient(M), n, &done));
        settle().await;
    }
    join_all(tasks).await;
    assert_eq!(*done.lock().unwrap(), (0..30).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn new_request_does_not_overtake_a_waiter() {
    let pool = paused(builder().key(key(0)).limits(M, Limits::new().per_minute(1)));
    drop(take(&pool, M));
    let mut first = join(&pool, patient(M));
    tokio::time::advance(Duration::from_millis(60_250)).await;
    // The window has room. A new request arrives before the first waiter is polled.
    assert!(pool.try_acquire(M).is_err());
    assert!(pool.acquire(patient(M)).now_or_never().is_none());
    assert!(poll(&mut first).is_some());
}

#[tokio::test(start_paused = true)]
async fn first_waiter_is_served_when_deadline_and_window_end_together() {
    let pool = paused(builder().key(key(0)).limits(M, Limits::new().per_minute(1)));
    drop(take(&pool, M));
    let mut waiters: Vec<_> =
        (0..3).map(|_| join(&pool, KeyRequest::model(M).wait(Duration::from_millis(60_250)))).collect();
    tokio::time::advance(Duration::from_millis(60_250)).await;
    assert!(waiters[2].as_mut().now_or_never().unwrap().is_err());
    assert!(poll(&mut waiters[0]).is_some());
}

#[tokio::test(start_paused = true)]
async fn second_waiter_wakes_when_the_first_is_cancelled() {
    let pool = paused(builder().key(key(0)).limits(M, Limits::new().per_minute(1)));
    drop(take(&pool, M));
    let done = Arc::default();
    let first = spawn(&pool, patient(M), 0, &done);
    settle().await;
    let second = spawn(&pool, patient(M), 1, &done);
    settle().await;
    first.abort();
    settle().await;
    let start = tokio::time::Instant::now();
    drop(second.await.unwrap());
    assert!(start.elapsed() < secs(61), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn second_waiter_wakes_in_time_after_the_first_is_served() {
    // The first waiter is served by the end of a lease just when the second must start to watch the clock.
    let pool = paused(builder().key(key(0).max_concurrent(1)).key(key(1)).limits(M, Limits::new().per_minute(2)));
    let held = pool.try_acquire(only(0)).unwrap();
    drop((pool.try_acquire(only(1)).unwrap(), pool.try_acquire(only(1)).unwrap()));
    let done = Arc::default();
    let tasks = [spawn(&pool, patient(M), 0, &done), spawn(&pool, patient(M), 1, &done)];
    settle().await;
    tokio::time::advance(secs(1)).await;
    drop(held);
    let start = tokio::time::Instant::now();
    let leases = join_all(tasks).await;
    assert!(start.elapsed() < secs(61), "{:?}", start.elapsed());
    drop(leases);
}

#[tokio::test(start_paused = true)]
async fn waiters_that_are_not_polled_do_not_delay_the_others() {
    let keys = (0..2).map(|n| key(n).max_concurrent(1));
    let pool = paused(builder().keys(keys).limits(M, Limits::new().per_minute(1)));
    let leases = [take(&pool, M), take(&pool, M)];
    let stalled = join(&pool, patient(M));
    let other = spawn(&pool, patient(M), 0, &Arc::default());
    settle().await;
    // Only now is it known when the windows open.
    drop(leases);
    let start = tokio::time::Instant::now();
    assert!(other.await.is_ok());
    assert!(start.elapsed() < secs(62), "{:?}", start.elapsed());
    drop(stalled);
}

#[tokio::test(start_paused = true)]
async fn dropped_waiter_passes_its_grant_on() {
    let pool = narrow();
    let lease = take(&pool, M);
    let first = join(&pool, patient(M));
    let mut second = join(&pool, patient(M));
    drop(lease);
    assert_eq!(pool.stats().in_flight, 1);
    drop(first);
    let lease = poll(&mut second).expect("it was passed on");
    drop(lease);
    assert_eq!((pool.stats().in_flight, pool.stats().waiting, pool.stats().sent), (0, 0, 2));
}

#[tokio::test(start_paused = true)]
async fn cancelled_waiter_is_not_counted_in_a_window() {
    let pool = paused(builder().key(key(0).max_concurrent(1)).limits(M, Limits::new().per_minute(2)));
    let lease = take(&pool, M);
    for _ in 0..5 {
        drop(join(&pool, patient(M)));
    }
    let granted = join(&pool, patient(M));
    drop(lease);
    drop(granted);
    assert!(pool.try_acquire(M).is_ok());
}

#[tokio::test(start_paused = true)]
async fn waiter_for_one_key_does_not_block_the_others() {
    let pool = paused(builder().keys((0..2).map(|n| key(n).max_concurrent(1))));
    let leases = [take(&pool, M), take(&pool, M)];
    let mut special = join(&pool, only(0));
    let mut plain = join(&pool, patient(M));
    let [first, second] = leases;
    assert_eq!(first.key(), &id(0));
    drop(second);
    assert!(poll(&mut special).is_none());
    assert_eq!(poll(&mut plain).unwrap().key(), &id(1));
    drop(first);
    assert_eq!(poll(&mut special).unwrap().key(), &id(0));
}

#[tokio::test(start_paused = true)]
async fn many_waiters_for_one_key_do_not_delay_the_others() {
    let pool = paused(builder().keys((0..2).map(|n| key(n).max_concurrent(1))));
    let busy = [take(&pool, M), take(&pool, M)];
    let project = |n: usize| patient(M).affinity(Affinity::RequireProject(format!("k{n}").as_str().into()));
    let mut pinned: Vec<_> = (0..30).map(|n| join(&pool, if n % 2 == 0 { only(0) } else { project(0) })).collect();
    let mut plain = join(&pool, patient(M));
    let [zero, one] = busy;
    drop(one);
    assert_eq!(poll(&mut plain).unwrap().key(), &id(1));
    assert_eq!(pool.acquire(patient(M)).now_or_never().unwrap().unwrap().key(), &id(1));
    // The pinned waiters are served in their order.
    drop(zero);
    for waiter in &mut pinned {
        assert_eq!(poll(waiter).unwrap().key(), &id(0));
    }
}

#[tokio::test(start_paused = true)]
async fn large_request_does_not_block_small_ones() {
    let pool = paused(builder().key(key(0)).limits(M, Limits::new().tokens_per_minute(100)));
    drop(pool.try_acquire(KeyRequest::model(M).input_tokens(60)).unwrap());
    let mut large = join(&pool, patient(M).input_tokens(90));
    assert!(pool.acquire(patient(M).input_tokens(10)).now_or_never().unwrap().is_ok());
    tokio::time::advance(secs(61)).await;
    assert!(poll(&mut large).is_some());
}

#[tokio::test(start_paused = true)]
async fn waiter_that_moves_up_in_the_queue_is_served() {
    let pool = paused(builder().keys((0..2).map(|n| key(n).max_concurrent(1))));
    let busy = [take(&pool, M), take(&pool, M)];
    let mut ahead: Vec<_> = (0..64).map(|_| join(&pool, only(0))).collect();
    let mut behind = join(&pool, patient(M));
    let [_zero, one] = busy;
    drop(one);
    assert!(poll(&mut behind).is_none());
    ahead.pop();
    assert_eq!(poll(&mut behind).expect("a key is ready for it").key(), &id(1));
}

#[tokio::test(start_paused = true)]
async fn models_that_share_a_queue_do_not_block_each_other() {
    let pool = paused(builder().key(key(0).max_concurrent(1)));
    // Neither name is confirmed yet; the first one cools down.
    let lease = take(&pool, "x");
    tokio::time::advance(secs(1)).await;
    lease.report(&rate_for(100).into());
    let mut x = join(&pool, patient("x"));
    let mut y = join(&pool, patient("y"));
    drop(lease);
    assert!(poll(&mut x).is_none());
    assert!(poll(&mut y).is_some());
}

#[tokio::test(start_paused = true)]
async fn longest_waiter_of_all_models_is_served_first() {
    let pool = paused(
        builder()
            .key(key(0).max_concurrent(1))
            .limits("a", Limits::new().per_minute(100))
            .limits("b", Limits::new().per_minute(100)),
    );
    let lease = take(&pool, "a");
    let done = Arc::default();
    let mut tasks = Vec::new();
    for (n, model) in ["b", "a", "b", "a", "a", "b"].into_iter().enumerate() {
        tasks.push(spawn(&pool, patient(model), n, &done));
        settle().await;
    }
    drop(lease);
    for task in tasks {
        drop(task.await.unwrap());
    }
    assert_eq!(*done.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
}

#[tokio::test(start_paused = true)]
async fn requests_during_a_trial_wait_for_its_outcome() {
    let pool = paused(builder().key(key(0)));
    let lease = take(&pool, M);
    tokio::time::advance(secs(1)).await;
    lease.report(&rate().into());
    drop(lease);
    tokio::time::advance(secs(10)).await;
    let trial = take(&pool, M);
    let mut waiters: Vec<_> = (0..3).map(|_| join(&pool, patient(M))).collect();
    tokio::time::advance(secs(1)).await;
    // The head of the trial's response is good; its body may stream for a minute.
    trial.report(&Outcome::Success);
    for waiter in &mut waiters {
        assert!(poll(waiter).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn failed_trial_makes_waiters_wait_for_the_cooldown() {
    let pool = paused(builder().key(key(0)));
    let lease = take(&pool, M);
    tokio::time::advance(secs(1)).await;
    lease.report(&rate().into());
    drop(lease);
    tokio::time::advance(secs(10)).await;
    let trial = take(&pool, M);
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire(patient(M)).await.unwrap() }
    });
    settle().await;
    tokio::time::advance(secs(1)).await;
    // The lease of the trial is kept for a long time.
    trial.report(&rate().into());
    let start = tokio::time::Instant::now();
    drop(waiting.await.unwrap());
    assert_eq!(start.elapsed().as_secs(), 20);
    drop(trial);
}

#[tokio::test(start_paused = true)]
async fn requests_wait_for_a_model_in_cooldown() {
    let pool = paused(builder().keys((0..3).map(key)));
    for _ in 0..5 {
        let lease = take(&pool, M);
        tokio::time::advance(Duration::from_millis(1)).await;
        lease.report(&Failure::new(ErrorClass::Transient).into());
    }
    let start = tokio::time::Instant::now();
    let done = Arc::default();
    let tasks: Vec<_> = (0..3).map(|n| spawn(&pool, patient(M), n, &done)).collect();
    settle().await;
    for task in tasks {
        let lease = task.await.unwrap();
        tokio::time::advance(Duration::from_millis(1)).await;
        lease.report(&Outcome::Success);
    }
    assert!(start.elapsed() < secs(2), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_after_changes_of_the_keys() {
    let busy = || {
        let pool = narrow();
        let lease = take(&pool, M);
        let waiter = join(&pool, patient(M));
        (pool, lease, waiter)
    };
    let (pool, _lease, mut waiter) = busy();
    pool.put(key(1)).unwrap();
    assert!(poll(&mut waiter).is_some());
    let (pool, _lease, mut waiter) = busy();
    pool.put(key(0).max_concurrent(2)).unwrap();
    assert!(poll(&mut waiter).is_some());
    let (pool, _lease, mut waiter) = busy();
    pool.replace_all(&[key(0).max_concurrent(1), key(5)]).unwrap();
    assert!(poll(&mut waiter).is_some());
    let pool = paused(builder().keys([key(0), key(1).max_concurrent(1)]));
    pool.disable(&id(0), "test").unwrap();
    let _lease = take(&pool, M);
    let mut waiter = join(&pool, patient(M));
    pool.enable(&id(0)).unwrap();
    assert!(poll(&mut waiter).is_some());
}

/// A long list is applied in steps, between which requests are served.
#[tokio::test(start_paused = true)]
async fn limit_applies_throughout_a_reload_whichever_key_of_the_project_gives_it() {
    let list = || {
        let mut keys: Vec<_> = (0..700).map(|n| key(n).project(format!("p{}", n % 350)).models(["other"])).collect();
        keys[0] = key(0).project("a").limits(M, Limits::new().per_minute(100));
        keys[400] = key(400).project("a");
        keys[699] = key(699).project("a").limits(M, Limits::new().per_minute(2));
        keys
    };
    let pool = paused(builder().keys(list()));
    let _leases = [take(&pool, M), take(&pool, M)];
    let mut waiters: Vec<_> = (0..5).map(|_| join(&pool, patient(M))).collect();
    for _ in 0..3 {
        pool.replace_all(&list()).unwrap();
        assert!(waiters.iter_mut().all(|waiter| poll(waiter).is_none()));
    }
    // The last key counts: a higher limit at its place does serve them.
    let mut raised = list();
    raised[699] = key(699).project("a").limits(M, Limits::new().per_minute(4));
    pool.replace_all(&raised).unwrap();
    assert_eq!(waiters.iter_mut().filter_map(poll).count(), 2);
}

#[tokio::test(start_paused = true)]
async fn shutdown_fails_waiters_and_ends_with_the_last_lease() {
    let pool = narrow();
    let lease = take(&pool, M);
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire(patient(M)).await }
    });
    settle().await;
    let ends = tokio::spawn({
        let pool = pool.clone();
        async move { pool.shutdown().await }
    });
    settle().await;
    assert_eq!(waiting.await.unwrap().unwrap_err().kind(), ErrorKind::ShutDown);
    assert_eq!(pool.try_acquire(M).unwrap_err().kind(), ErrorKind::ShutDown);
    assert!(!ends.is_finished());
    drop(lease);
    ends.await.unwrap();
    pool.shutdown().await;
}

/// Tasks acquire, report, hold, cancel and give back at random: all end, and each one that waits long enough is served.
#[tokio::test(start_paused = true)]
async fn random_mix_of_requests_is_served() {
    for seed in 0..12 {
        let pool = paused(
            builder()
                .keys((0..4).map(|n| key(n).project(format!("p{}", n / 2)).max_concurrent(1 + n as u32 % 3)))
                .limits(M, Limits::new().per_minute(40).tokens_per_minute(5_000))
                .limits("other", Limits::new().per_minute(25)),
        );
        let tasks: Vec<_> = (0..150)
            .map(|n| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    let mut random = fastrand::Rng::with_seed(seed * 1_000 + n);
                    tokio::time::sleep(Duration::from_millis(random.u64(0..60_000))).await;
                    let model = [M, M, "other", "unknown"][random.usize(0..4)];
                    let mut request = KeyRequest::model(model).wait(secs(3_600)).input_tokens(random.u64(0..400));
                    if random.u8(0..4) == 0 {
                        request = request.affinity(Affinity::RequireProject(format!("p{}", random.u8(0..2)).into()));
                    }
                    let acquire = pool.acquire(request);
                    let lease = if random.u8(0..5) == 0 {
                        let Ok(lease) =
                            tokio::time::timeout(Duration::from_millis(random.u64(0..5_000)), acquire).await
                        else {
                            return;
                        };
                        lease.unwrap()
                    } else {
                        acquire.await.expect("an hour is enough for all")
                    };
                    tokio::time::sleep(Duration::from_millis(random.u64(1..3_000))).await;
                    match random.u8(0..10) {
                        0 => return lease.give_back(),
                        1 => lease.report(&rate_for(random.u64(1..20)).into()),
                        2 => lease.report(&rate().into()),
                        3 => lease.report(&Failure::new(ErrorClass::Transient).into()),
                        4 => {}
                        _ => lease.report(&Outcome::Success),
                    }
                    tokio::time::sleep(Duration::from_millis(random.u64(0..5_000))).await;
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!((pool.stats().in_flight, pool.stats().waiting), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_when_a_granted_waiter_is_cancelled() {
    let pool = narrow();
    let held = take(&pool, M);
    let waiter = join(&pool, patient(M));
    drop(held);
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move { pool.shutdown().await }
    });
    settle().await;
    drop(waiter);
    settle().await;
    assert_eq!(pool.stats().in_flight, 0);
    assert!(tokio::time::timeout(secs(3600), closing).await.is_ok(), "shutdown hangs");
}

#[tokio::test]
async fn failure_classified_by_the_application_shows_no_secret() {
    let (pool, _) = manual(builder().key(key(0)));
    let mut events = pool.events();
    let lease = take(&pool, M);
    let body = format!(r#"{{"error":{{"code":"invalid_api_key","message":"Incorrect API key: {}"}}}}"#, lease.expose());
    let failure = pool.classify(http::StatusCode::UNAUTHORIZED, &http::HeaderMap::new(), body.as_bytes()).unwrap();
    lease.report(&failure.into());
    let mut shown = vec![format!("{:?}", pool.snapshot(0, 9))];
    while let Some((event, _)) = events.try_next() {
        shown.push(format!("{event:?}"));
    }
    assert!(!shown.concat().contains("AIza-not"), "{shown:?}");
}

#[tokio::test]
async fn put_with_a_new_secret_closes_the_breaker() {
    let (pool, _) = manual(builder().key(key(0)));
    take(&pool, M).report(&Failure::new(ErrorClass::KeyRejected).with_code("x").into());
    pool.put(tower_keypool::Key::new("AIza-not-a-real-key-another").named(id(0))).unwrap();
    assert!(pool.try_acquire(M).is_ok());
}

#[tokio::test]
async fn invented_model_names_do_not_disable_cooldowns() {
    let (pool, _) = manual(builder().key(key(0)));
    for n in 0..4_100 {
        if let Ok(lease) = pool.try_acquire(format!("invented-{n}")) {
            lease.report(&rate_for(60).into());
        }
    }
    take(&pool, "real").report(&Outcome::Success);
    take(&pool, "real").report(&rate_for(60).into());
    assert!(pool.try_acquire("real").is_err(), "the named delay is enforced");
}
