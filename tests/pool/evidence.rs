//! Evidence: the same unclear verdict from keys of two owners within one request speaks of the request.

use tower_keypool::{Elsewhere, KeyPool, Limits, Scope, Strategy, Until, Verdict, VerdictKind};

use crate::support::{FLASH, builder, invalid, key, on, unclear, view};

/// One request, every attempt of which is answered like this.
async fn run(pool: &KeyPool, verdict: Verdict) {
    let result = pool.run(FLASH, |_: &Result<(), ()>| verdict.clone(), |_| async { Err::<(), ()>(()) }).await;
    assert!(result.is_err());
}

fn resting(pool: &KeyPool) -> usize {
    pool.snapshot().keys.iter().filter(|key| !key.rests.is_empty()).count()
}

#[tokio::test]
async fn keys_of_two_owners_give_the_first_back_and_keep_the_second() {
    let (pool, _) =
        on(builder().keys((0..2).map(key)).limits(FLASH, Limits::new().per_minute(10)).strategy(Strategy::Adaptive));
    run(&pool, unclear()).await;
    assert_eq!(resting(&pool), 0);
    for n in 0..2 {
        let view = view(&pool, n);
        assert!((view.current_weight - 1.0).abs() < 1e-6, "the weight is given back, the ramp too");
        let lane = view.lanes.iter().find(|lane| lane.model.as_deref() == Some(FLASH)).unwrap();
        assert_eq!(lane.limits[0].used, 1, "its usage is not");
    }
}

#[tokio::test]
async fn strikes_are_given_back() {
    let (pool, _) = on(builder().keys((0..2).map(key)));
    for _ in 0..10 {
        run(&pool, unclear()).await;
    }
    assert_eq!(pool.snapshot().disabled_keys, 0);
    assert_eq!(resting(&pool), 0);
}

#[tokio::test]
async fn keys_of_one_owner_are_no_evidence() {
    let (pool, _) = on(builder().keys((0..2).map(|n| key(n).owner("a"))));
    run(&pool, unclear()).await;
    assert_eq!(resting(&pool), 2);
}

#[tokio::test]
async fn a_named_cause_needs_no_evidence() {
    let (pool, _) = on(builder().keys((0..3).map(key)));
    run(&pool, invalid()).await;
    assert_eq!(pool.snapshot().disabled_keys, 3);
}

#[tokio::test]
async fn an_unclear_model_is_spoken_of_by_two() {
    let (pool, _) = on(builder().keys((0..3).map(key)));
    let missing = Verdict::new(VerdictKind::ModelUnavailable)
        .scope(Scope::OwnerLane)
        .until(Until::Backoff)
        .elsewhere(Elsewhere::OtherKey)
        .unclear();
    run(&pool, missing).await;
    assert_eq!(resting(&pool), 0);
}

#[tokio::test]
async fn what_somebody_switched_off_meanwhile_stays_off() {
    let (pool, _) = on(builder().keys((0..2).map(key)));
    let handle = pool.clone();
    let judge = |_: &Result<(), ()>| unclear();
    let _ = pool
        .run(FLASH, judge, |leased| {
            if leased.key_id() == &crate::support::id(1) {
                handle.disable(&crate::support::id(0), "meanwhile").unwrap();
            }
            async { Err::<(), ()>(()) }
        })
        .await;
    assert!(!view(&pool, 0).rests.is_empty());
    assert_eq!(pool.snapshot().disabled_keys, 1);
}
