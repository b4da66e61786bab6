use std::time::{Duration, SystemTime};

use super::*;
use crate::{ErrorClass, Failure, Gemini, Key, Limits, ManualClock, Outcome};

fn pool(keys: usize, limits: Limits) -> (ManualClock, KeyPool) {
    let time = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000));
    let keys = (0..keys).map(|at| Key::new(format!("AIza-not-a-real-key-{at:03}")).named(format!("k{at}").as_str()));
    let pool = KeyPool::builder(Gemini::new()).keys(keys).limits("m", limits).clock(time.clock()).build().unwrap();
    (time, pool)
}

#[test]
fn a_limit_is_never_exceeded_and_opens_again() {
    let (time, pool) = pool(2, Limits::new().per_minute(3));
    for _ in 0..6 {
        let _ = pool.try_acquire("m").unwrap();
    }
    let error = pool.try_acquire("m").unwrap_err();
    assert_eq!(error.as_unavailable().unwrap().reasons(), [(UnavailableReason::Limit, 2)]);
    assert_eq!(error.retry_after(), Some(Duration::from_millis(60_250)));
    time.advance(Duration::from_millis(60_250));
    assert!(pool.try_acquire("m").is_ok());
}

#[test]
fn the_least_loaded_key_serves() {
    let (_, pool) = pool(3, Limits::new());
    let leases: Vec<_> = (0..6).map(|_| pool.try_acquire("m").unwrap()).collect();
    let ids: Vec<_> = leases.iter().map(|lease| lease.key().as_str().to_owned()).collect();
    assert_eq!(ids, ["k0", "k1", "k2", "k0", "k1", "k2"]);
}

#[test]
fn a_rejected_key_is_disabled_until_it_is_enabled() {
    let (time, pool) = pool(1, Limits::new());
    pool.try_acquire("m").unwrap().report(&Outcome::of_class(ErrorClass::KeyRejected));
    time.advance(Duration::from_secs(86_400));
    let error = pool.try_acquire("m").unwrap_err();
    assert_eq!(error.as_unavailable().unwrap().reasons(), [(UnavailableReason::Disabled, 1)]);
    pool.enable(&"k0".into()).unwrap();
    assert!(pool.try_acquire("m").is_ok());
}

#[test]
fn a_named_delay_cools_the_project_for_the_model() {
    let (time, pool) = pool(1, Limits::new());
    let failure = Failure::new(ErrorClass::RateLimit).retry_after(Duration::from_secs(7));
    pool.try_acquire("m").unwrap().report(&failure.into());
    assert_eq!(pool.try_acquire("m").unwrap_err().retry_after(), Some(Duration::from_secs(7)));
    assert!(pool.try_acquire("another").is_ok());
    time.advance(Duration::from_secs(7));
    assert!(pool.try_acquire("m").is_ok());
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_their_order() {
    let pool =
        KeyPool::builder(Gemini::new()).key(Key::new("AIza-not-a-real-key-000").max_concurrent(1)).build().unwrap();
    let lease = pool.acquire("m").await.unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    for at in 0..5 {
        let (pool, tell) = (pool.clone(), tell.clone());
        tokio::spawn(async move {
            let lease = pool.acquire(KeyRequest::model("m").wait(Duration::from_secs(10))).await.unwrap();
            tell.send(at).unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(lease);
        });
        tokio::task::yield_now().await;
    }
    drop((lease, tell));
    let mut order = Vec::new();
    while let Some(at) = told.recv().await {
        order.push(at);
    }
    assert_eq!(order, [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_wakes_when_the_window_opens() {
    let pool = KeyPool::builder(Gemini::new())
        .key(Key::new("AIza-not-a-real-key-000"))
        .limits("m", Limits::new().per_minute(1))
        .build()
        .unwrap();
    let started = tokio::time::Instant::now();
    for _ in 0..3 {
        drop(pool.acquire(KeyRequest::model("m").wait(Duration::from_secs(300))).await.unwrap());
    }
    let elapsed = started.elapsed();
    assert!(elapsed >= Duration::from_millis(120_500) && elapsed < Duration::from_millis(120_600), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn assumed_limits_only_order() {
    let pool = KeyPool::builder(Gemini::new())
        .keys((0..3).map(|at| Key::free(format!("AIza-not-a-real-key-{at:03}"))))
        .key(Key::paid("AIza-not-a-real-key-paid").named("paid"))
        .build()
        .unwrap();
    let leases: Vec<_> = (0..200).map(|_| pool.try_acquire("gemini-2.5-flash").unwrap()).collect();
    assert!(leases.iter().all(|lease| lease.key().as_str() != "paid"));
}
