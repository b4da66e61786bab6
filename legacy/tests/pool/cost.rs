//! What counts: attempts that reached the provider do, failed or not; what never left does not.

use tower_keypool::{KeyPool, Limits, Unjudged, Usage, Verdict, VerdictKind};

use crate::support::{FLASH, answer, builder, id, key, limited, on, rate, secs, take, view};

fn used(pool: &KeyPool) -> Vec<u64> {
    let lanes = view(pool, 0).lanes;
    let lane = lanes.into_iter().find(|lane| lane.model.as_deref() == Some(FLASH)).expect("the lane");
    lane.limits.iter().map(|view| view.used).collect()
}

fn tokens(input: u64) -> Usage {
    let mut usage = Usage::default();
    usage.input_tokens = Some(input);
    usage
}

#[test]
fn failed_requests_count_against_minute_and_day() {
    let (pool, _) = limited(1, Limits::new().per_minute(10).per_day(20));
    for kind in [VerdictKind::Transient, VerdictKind::Overloaded, VerdictKind::CallerFault, VerdictKind::Broken] {
        answer(&pool, FLASH, &Verdict::new(kind));
    }
    answer(&pool, FLASH, &Verdict::CANCELLED);
    answer(&pool, FLASH, &rate());
    assert_eq!(used(&pool), [6, 6]);
}

#[test]
fn a_failed_connect_is_given_back() {
    let (pool, _) = limited(1, Limits::new().per_minute(10).per_day(20).tokens_per_minute(1000));
    let lease = pool.try_acquire(tower_keypool::Demand::new(FLASH).tokens(700)).unwrap();
    assert_eq!(used(&pool).iter().sum::<u64>(), 702);
    let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    let verdict = tower_keypool::judge_error(&refused);
    assert_eq!(verdict.code_of(), "connect");
    lease.judge(&verdict);
    lease.judge(&verdict);
    assert_eq!(used(&pool), [0, 0, 0]);
    drop(lease);
    assert_eq!(used(&pool), [0, 0, 0]);
    assert!(view(&pool, 0).rests.is_empty(), "and the key is not blamed");
}

/// A provider may use any word for what is wrong; only we say that nothing was sent.
#[test]
fn an_answer_that_calls_itself_a_failed_connect_is_not_given_back() {
    let (pool, _) = limited(1, Limits::new().per_minute(10));
    let lease = take(&pool, FLASH);
    lease.judge(&Verdict::new(VerdictKind::Transient).code("connect").status(http::StatusCode::BAD_GATEWAY));
    drop(lease);
    assert_eq!(used(&pool), [1]);
}

#[test]
fn a_lease_dropped_unjudged_counts_its_start_and_says_nothing() {
    let (pool, _) = limited(1, Limits::new().per_minute(10));
    drop(take(&pool, FLASH));
    let view = view(&pool, 0);
    assert_eq!((view.started, view.succeeded, view.failed, view.limit_hits), (1, 0, 0, 0));
    assert_eq!(used(&pool), [1]);
    assert!(pool.snapshot().verdicts.is_empty());
}

#[test]
fn unjudged_can_count_as_success() {
    let (pool, _) = on(builder().key(key(0)).unjudged(Unjudged::Success));
    drop(take(&pool, FLASH));
    answer(&pool, FLASH, &rate());
    let view = view(&pool, 0);
    assert_eq!((view.succeeded, view.limit_hits), (1, 1), "what was judged is not judged again");
}

#[test]
fn usage_corrects_what_was_reserved() {
    let (pool, _) = limited(1, Limits::new().tokens_per_minute(10_000));
    let lease = pool.try_acquire(tower_keypool::Demand::new(FLASH).about_tokens(8_000)).unwrap();
    lease.usage(tokens(3_000));
    assert_eq!(used(&pool), [3_000]);
    lease.usage(tokens(9_500));
    assert_eq!(used(&pool), [9_500]);
    drop(lease);
    assert_eq!(used(&pool), [9_500]);
    assert!(pool.try_acquire(tower_keypool::Demand::new(FLASH).tokens(600)).is_err());
}

#[test]
fn more_used_than_the_limit_is_paid_by_whoever_comes_next() {
    let (pool, time) = limited(1, Limits::new().tokens_per_minute(10_000));
    let lease = take(&pool, FLASH);
    lease.usage(tokens(50_000));
    drop(lease);
    assert!(pool.try_acquire(FLASH).is_err());
    time.advance(secs(61));
    drop(take(&pool, FLASH));
}

#[test]
fn a_start_said_later_moves_the_request_in_its_windows() {
    let (pool, time) = limited(1, Limits::new().per_minute(1));
    let lease = take(&pool, FLASH);
    time.advance(secs(30));
    lease.started();
    drop(lease);
    time.advance(secs(59));
    assert!(pool.try_acquire(FLASH).is_err(), "60 s from when it went out");
    time.advance(secs(2));
    drop(take(&pool, FLASH));
}

#[test]
fn the_shortest_interval_counts_from_when_the_request_went_out() {
    let (pool, time) = on(builder().key(key(0).min_interval(secs(10))));
    let lease = take(&pool, FLASH);
    time.advance(secs(5));
    lease.started();
    time.advance(secs(5));
    assert!(pool.try_acquire(FLASH).is_err());
    time.advance(secs(5));
    drop(take(&pool, FLASH));
}

#[test]
fn concurrency_is_never_exceeded_and_each_lease_ends_once() {
    let (pool, _) = on(builder().key(key(0).max_concurrent(3)));
    let leases: Vec<_> = std::iter::from_fn(|| pool.try_acquire(FLASH).ok()).collect();
    assert_eq!(leases.len(), 3);
    let handle = leases[0].granted().clone();
    drop(leases);
    let again: Vec<_> = std::iter::from_fn(|| pool.try_acquire(FLASH).ok()).collect();
    // A handle of a lease that has ended does nothing, though its seat is taken by another.
    handle.judge(&Verdict::new(VerdictKind::InvalidKey));
    handle.usage(tokens(1));
    handle.started();
    assert_eq!(again.len(), 3);
    assert_eq!(pool.snapshot().disabled_keys, 0);
    assert_eq!(handle.key_id(), &id(0));
}

#[test]
fn a_panic_ends_the_lease() {
    let (pool, _) = on(builder().key(key(0).max_concurrent(1)));
    let inner = pool.clone();
    let result = std::thread::spawn(move || {
        let _lease = take(&inner, FLASH);
        panic!("on purpose");
    })
    .join();
    assert!(result.is_err());
    drop(take(&pool, FLASH));
}

#[test]
fn concurrency_of_a_key_counts_over_all_lanes() {
    let (pool, _) = on(builder().key(key(0).max_concurrent(2)));
    let held = (take(&pool, FLASH), take(&pool, "pro"));
    for model in [FLASH, "pro", "third"] {
        assert!(pool.try_acquire(model).is_err());
    }
    drop(held.0);
    drop(take(&pool, "third"));
}
