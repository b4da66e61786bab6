//! An outage in which the provider calls every key invalid disables none.

use tower_keypool::{ErrorClass, Event, Failure, KeyPool, ManualClock, Outcome, Scope, pool::BreakerState};

use crate::support::{M, answer, id, keys, secs, state, take};

fn refuse(pool: &KeyPool, time: &ManualClock, class: ErrorClass, times: usize) {
    for _ in 0..times {
        answer(pool, time, M, Failure::new(class));
    }
}

fn disabled(pool: &KeyPool, keys: usize) -> usize {
    (0..keys).filter(|n| state(pool, *n) == BreakerState::Disabled).count()
}

#[test]
fn every_key_serves_again_within_two_minutes_after_an_outage() {
    let scoped = |class, scope| Failure::new(class).with_scope(scope);
    for failure in [
        scoped(ErrorClass::KeyRejected, Scope::Key),
        scoped(ErrorClass::KeyRejected, Scope::Project),
        scoped(ErrorClass::Unclear, Scope::Key),
    ] {
        let class = failure.class();
        let (pool, time) = keys(20);
        let mut events = pool.events();
        // Before the outage all requests succeed.
        for _ in 0..40 {
            answer(&pool, &time, M, Outcome::Success);
        }
        for _ in 0..20 {
            answer(&pool, &time, M, failure.clone());
        }
        assert!(
            std::iter::from_fn(|| Some(events.try_next()?.0))
                .any(|event| matches!(event, Event::DisablingPaused { .. }))
        );
        assert!(pool.stats().disabling_paused);
        // The outage lasts for ten minutes.
        for _ in 0..60 {
            time.advance(secs(10));
            while let Ok(lease) = pool.try_acquire(M) {
                time.advance(std::time::Duration::from_millis(1));
                lease.report(&failure.clone().into());
            }
        }
        assert_eq!(disabled(&pool, 20), 0, "{class:?}");
        // The outage is over.
        let mut served = std::collections::BTreeSet::new();
        for _ in 0..120 {
            time.advance(secs(1));
            let ready: Vec<_> = std::iter::from_fn(|| pool.try_acquire(M).ok()).take(50).collect();
            time.advance(std::time::Duration::from_millis(1));
            for lease in ready {
                lease.report(&Outcome::Success);
                served.insert(lease.key().to_string());
            }
        }
        assert_eq!(served.len(), 20, "{class:?}");
        assert!(!pool.stats().disabling_paused);
    }
}

#[test]
fn key_that_is_still_refused_after_an_outage_is_disabled() {
    let (pool, time) = keys(6);
    refuse(&pool, &time, ErrorClass::KeyRejected, 6);
    time.advance(secs(30));
    answer(&pool, &time, M, Outcome::Success);
    let leases: Vec<_> = (0..5).map(|_| take(&pool, M)).collect();
    time.advance(secs(1));
    let mut bad = None;
    for (n, lease) in leases.iter().enumerate() {
        if n == 4 {
            bad = Some(lease.key().clone());
            lease.report(&Failure::new(ErrorClass::KeyRejected).into());
        } else {
            lease.report(&Outcome::Success);
        }
    }
    drop(leases);
    let bad = bad.unwrap();
    // The outage may end gradually; it counts as over after a minute of successes.
    assert_eq!(disabled(&pool, 6), 0);
    time.advance(secs(61));
    for _ in 0..12 {
        let lease = take(&pool, M);
        time.advance(secs(1));
        let good = *lease.key() != bad;
        lease.report(&if good { Outcome::Success } else { Failure::new(ErrorClass::KeyRejected).into() });
    }
    let disabled: Vec<_> = (0..6).filter(|n| state(&pool, *n) == BreakerState::Disabled).map(id).collect();
    assert_eq!(disabled, [bad]);
}

#[test]
fn four_bad_keys_are_disabled_at_once() {
    let (pool, time) = keys(4);
    refuse(&pool, &time, ErrorClass::KeyRejected, 4);
    assert_eq!(disabled(&pool, 4), 4);
}

#[test]
fn bad_keys_among_good_ones_are_disabled() {
    let (pool, time) = keys(30);
    for _ in 0..10 {
        refuse(&pool, &time, ErrorClass::KeyRejected, 1);
        answer(&pool, &time, M, Outcome::Success);
    }
    assert_eq!(disabled(&pool, 30), 10);
    assert!(!pool.stats().disabling_paused);
}

#[test]
fn outage_that_ends_gradually_disables_no_key() {
    let (pool, time) = keys(40);
    let mut random = fastrand::Rng::with_seed(1);
    for second in 0..120 {
        let refused = match second {
            0..5 => 0.0,
            5..25 => 1.0,
            _ => (45.0 - f64::from(second)) / 20.0,
        };
        for _ in 0..10 {
            time.advance(secs(1) / 10);
            let Ok(lease) = pool.try_acquire(M) else { continue };
            time.advance(secs(1) / 1_000);
            let is_refused = random.f64() < refused;
            lease.report(&if is_refused { Failure::new(ErrorClass::KeyRejected).into() } else { Outcome::Success });
        }
    }
    assert_eq!(disabled(&pool, 40), 0);
    assert!(!pool.stats().disabling_paused);
}

/// A list of mostly expired keys: with one success in twenty requests it is not an outage.
#[test]
fn mostly_bad_keys_are_tried_a_few_times_each() {
    let (pool, time) = keys(200);
    let mut refused = [0; 200];
    for _ in 0..6_000 {
        time.advance(std::time::Duration::from_millis(20));
        let Ok(lease) = pool.try_acquire(M) else { continue };
        let n: usize = lease.key().as_str()[1..].parse().unwrap();
        time.advance(std::time::Duration::from_millis(1));
        if n.is_multiple_of(20) {
            lease.report(&Outcome::Success);
        } else {
            refused[n] += 1;
            lease.report(&Failure::new(ErrorClass::KeyRejected).into());
        }
    }
    let refused: u32 = refused.iter().sum();
    assert!(refused < 4 * 190, "{refused} of 6000 requests went to the 190 bad keys");
}

#[test]
fn manually_disabled_key_stays_disabled_after_an_outage() {
    let (pool, time) = keys(7);
    pool.disable(&id(6), "by hand").unwrap();
    refuse(&pool, &time, ErrorClass::KeyRejected, 6);
    time.advance(secs(30));
    answer(&pool, &time, M, Outcome::Success);
    assert_eq!(state(&pool, 6), BreakerState::Disabled);
    assert_eq!(disabled(&pool, 7), 1);
}

#[test]
fn rate_limits_are_not_an_outage() {
    let (pool, time) = keys(10);
    refuse(&pool, &time, ErrorClass::RateLimit, 10);
    assert!(!pool.stats().disabling_paused);
}
