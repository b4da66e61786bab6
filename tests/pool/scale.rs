//! Many keys, many model names and many sets of limits.

use std::time::Duration;

use tower_keypool::{Limits, Outcome, pool::KeyRequest};

use crate::support::{M, builder, id, key, manual, rate_for, secret, take};

#[test]
fn number_of_remembered_model_names_is_limited() {
    let (pool, time) = manual(builder().key(key(0)).limits(M, Limits::new().per_minute(1)));
    for n in 0..6_000 {
        let lease = take(&pool, &format!("made-up-{n}"));
        lease.report(&if n % 2 == 0 { Outcome::Success } else { rate_for(1).into() });
        time.advance(Duration::from_millis(2));
    }
    assert!(pool.snapshot(0, 1).projects[0].models.len() <= 4_100);
    // Limits of configured models are enforced nevertheless.
    drop(take(&pool, M));
    assert!(pool.try_acquire(M).is_err());
}

#[test]
fn seventy_thousand_different_sets_of_limits_are_enforced() {
    let n = 70_000;
    let (pool, _) = manual(
        builder()
            .keys((0..n).map(|at| key(at).limits(M, Limits::new().per_minute(1 + at as u64).per_day(at as u64 + 2)))),
    );
    for at in [0, 1, 65_534, 65_535, 65_536, n - 1] {
        let request = KeyRequest::model(M).affinity(tower_keypool::Affinity::RequireKey(id(at)));
        let limit = 1 + at as u64;
        let held = pool.try_acquire(request.clone().requests(limit as u32)).unwrap();
        assert!(pool.try_acquire(request.clone()).is_err(), "key {at}");
        held.give_back();
        assert!(pool.try_acquire(request.requests(limit as u32 + 1)).is_err(), "key {at}");
    }
}

#[test]
fn many_keys_are_reloaded_and_replaced() {
    let n = 30_000;
    let (pool, _) = manual(
        builder()
            .keys((0..n).map(|at| key(at).project(format!("p{}", at % 5_000)).limits(M, Limits::new().per_minute(9)))),
    );
    drop(take(&pool, M));
    let list = |from: usize| {
        (from..from + n)
            .map(|at| key(at).project(format!("p{}", at % 5_000)).limits(M, Limits::new().per_minute(9)))
            .collect::<Vec<_>>()
    };
    pool.replace_all(&list(0)).unwrap();
    pool.replace_all(&list(n)).unwrap();
    assert_eq!(pool.stats().keys, n);
    assert!(*take(&pool, M).expose() >= *secret(n));
}
