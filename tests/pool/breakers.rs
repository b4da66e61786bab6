//! Which breaker each class of error opens, for how long, and how keys recover.

use std::time::Duration;

use tower_keypool::{
    ErrorClass::{self, *},
    Failure, KeyPool, Outcome, Scope,
    pool::{BreakerState, KeyRequest, UnavailableReason as Reason},
};

use crate::support::{
    HOUR, M, answer, builder, id, key, keys, manual, manual_at, rate, rate_for, reasons, refused, secs, served, state,
    take, view,
};

fn ready(pool: &KeyPool, n: usize, model: &str) -> bool {
    let request = KeyRequest::model(model).affinity(tower_keypool::Affinity::RequireKey(id(n)));
    pool.try_acquire(request).map(tower_keypool::Lease::give_back).is_ok()
}

/// Keys 0 and 1 of project a and account x, key 2 of project b and account x, and key 3 of project c, with two exits.
fn families() -> (KeyPool, tower_keypool::ManualClock) {
    manual(builder().keys([
        key(0).project("a").billing_account("x").exit("one"),
        key(1).project("a").billing_account("x").exit("two"),
        key(2).project("b").billing_account("x").exit("one"),
        key(3).project("c").exit("two"),
    ]))
}

/// Whether each of four keys serves each of two models after key 0 failed for `m`, and how long key 0 is unavailable.
fn effect_of(failure: Failure) -> ([[bool; 2]; 4], Option<Duration>) {
    let (pool, time) = families();
    for model in [M, "other"] {
        answer(&pool, &time, model, Outcome::Success);
    }
    let lease = pool.try_acquire(KeyRequest::model(M).exclude((1..4).map(id))).unwrap();
    time.advance(Duration::from_millis(1));
    lease.report(&failure.into());
    drop(lease);
    let of = |n| [M, "other"].map(|model| ready(&pool, n, model));
    let table = std::array::from_fn(of);
    let until =
        pool.try_acquire(KeyRequest::model(M).exclude((1..4).map(id))).err().and_then(|error| error.retry_after());
    (table, until)
}

const ALL: [[bool; 2]; 4] = [[true; 2]; 4];

#[test]
fn each_class_cools_its_scope_for_its_time() {
    // The clock showed noon three milliseconds before.
    let midnight = secs(12 * 3_600 + 29) + Duration::from_millis(997);
    let project_model = [[false, true], [false, true], [true, true], [true, true]];
    let project = [[false, false], [false, false], [true, true], [true, true]];
    let only_key = [[false, false], [true, true], [true, true], [true, true]];
    let exit = [[false, false], [true, true], [false, false], [true, true]];
    let rows: [(ErrorClass, [[bool; 2]; 4], Option<Duration>); 10] = [
        (RateLimit, project_model, Some(secs(10))),
        (DailyQuota, project_model, Some(midnight)),
        (NotEntitled, project_model, Some(24 * HOUR)),
        (Billing, project, Some(HOUR)),
        (KeyRejected, only_key, None),
        (Unclear, only_key, Some(secs(300))),
        (Egress, exit, Some(secs(600))),
        (Transient, ALL, None),
        (ModelNotFound, ALL, None),
        (Caller, ALL, None),
    ];
    for (class, table, time) in rows {
        assert_eq!(effect_of(Failure::new(class)), (table, time), "{class:?}");
    }
}

#[test]
fn each_scope_covers_its_keys_and_models() {
    let rows = [
        (Scope::Request, ALL),
        (Scope::Key, [[false, false], [true, true], [true, true], [true, true]]),
        (Scope::KeyModel, [[false, true], [true, true], [true, true], [true, true]]),
        (Scope::Project, [[false, false], [false, false], [true, true], [true, true]]),
        (Scope::ProjectModel, [[false, true], [false, true], [true, true], [true, true]]),
        (Scope::Model, [[false, true]; 4]),
        (Scope::BillingAccount, [[false, false], [false, false], [false, false], [true, true]]),
        (Scope::Exit, [[false, false], [true, true], [false, false], [true, true]]),
    ];
    for (scope, table) in rows {
        let cooled = effect_of(Failure::new(NotEntitled).with_scope(scope)).0;
        assert_eq!(cooled, table, "{scope:?}");
    }
}

#[test]
fn requests_for_a_disabled_model_fail_at_once() {
    let (pool, time) = keys(2);
    answer(&pool, &time, M, Failure::new(KeyRejected).with_scope(Scope::Model));
    assert_eq!(reasons(&pool, M), [(Reason::Disabled, 2)]);
    let mut acquire = tokio_test::task::spawn(pool.acquire(KeyRequest::model(M).wait(secs(60))));
    assert!(matches!(acquire.poll(), std::task::Poll::Ready(Err(_))));
}

#[test]
fn after_a_named_delay_all_requests_are_served() {
    let (pool, time) = keys(1);
    answer(&pool, &time, M, rate_for(7));
    assert_eq!(refused(&pool, M).retry_after(), Some(secs(7)));
    assert_eq!(reasons(&pool, M), [(Reason::Cooling, 1)]);
    time.advance(secs(7));
    let leases: Vec<_> = (0..20).map(|_| take(&pool, M)).collect();
    assert_eq!(leases.len(), 20);
}

#[test]
fn unnamed_delay_doubles_up_to_a_maximum() {
    let (pool, time) = keys(1);
    let mut waits = Vec::new();
    for _ in 0..9 {
        answer(&pool, &time, M, rate());
        let wait = refused(&pool, M).retry_after().unwrap();
        waits.push(wait.as_secs());
        time.advance(wait);
    }
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 600, 600, 600]);
    // A success resets the backoff.
    answer(&pool, &time, M, Outcome::Success);
    answer(&pool, &time, M, rate());
    assert_eq!(refused(&pool, M).retry_after(), Some(secs(10)));
}

#[test]
fn after_a_guessed_delay_one_trial_at_a_time_is_sent() {
    let (pool, time) = keys(1);
    answer(&pool, &time, M, rate());
    time.advance(secs(10));
    let trial = take(&pool, M);
    assert_eq!(reasons(&pool, M), [(Reason::Trial, 1)]);
    drop(trial);
    // The trial had no outcome: the next request is the trial.
    let trial = take(&pool, M);
    assert!(pool.try_acquire(M).is_err());
    time.advance(secs(1));
    trial.report(&Outcome::Success);
    // Its response head was good: others need not wait for the end of its body.
    let more: Vec<_> = (0..5).map(|_| take(&pool, M)).collect();
    drop((trial, more));
}

#[test]
fn late_end_of_a_refused_trial_changes_nothing() {
    let (pool, time) = keys(1);
    answer(&pool, &time, M, rate());
    time.advance(secs(10));
    let first = take(&pool, M);
    time.advance(secs(1));
    first.report(&rate().into());
    time.advance(secs(20));
    let second = take(&pool, M);
    drop(first);
    assert_eq!(reasons(&pool, M), [(Reason::Trial, 1)]);
    drop(second);
}

#[test]
fn outcomes_of_requests_that_started_before_a_cooldown_only_extend_it() {
    let (pool, time) = keys(1);
    let leases: Vec<_> = (0..6).map(|_| take(&pool, M)).collect();
    time.advance(secs(1));
    leases[0].report(&rate().into());
    leases[1].report(&rate().into());
    leases[2].report(&Outcome::Success);
    assert_eq!(refused(&pool, M).retry_after(), Some(secs(10)));
    leases[3].report(&rate_for(5).into());
    assert_eq!(refused(&pool, M).retry_after(), Some(secs(10)));
    leases[4].report(&rate_for(30).into());
    time.advance(secs(11));
    assert_eq!(refused(&pool, M).retry_after(), Some(secs(19)));
    time.advance(secs(19));
    // The cooldown ended: five refusals at the same time count as one.
    answer(&pool, &time, M, rate());
    assert_eq!(refused(&pool, M).retry_after(), Some(secs(20)));
}

#[test]
fn outcomes_of_requests_that_started_before_a_trial_change_nothing() {
    let (pool, time) = keys(1);
    let late = [take(&pool, M), take(&pool, M)];
    time.advance(secs(1));
    answer(&pool, &time, M, rate());
    time.advance(secs(10));
    let trial = take(&pool, M);
    time.advance(secs(1));
    late[0].report(&rate().into());
    late[1].report(&Outcome::Success);
    assert_eq!(reasons(&pool, M), [(Reason::Trial, 1)]);
    trial.report(&Outcome::Success);
    assert!(pool.try_acquire(M).is_ok());
}

#[test]
fn callers_fault_changes_nothing() {
    let (pool, time) = keys(1);
    for class in [Caller, ModelNotFound] {
        for _ in 0..10 {
            let lease = take(&pool, M);
            time.advance(secs(1));
            lease.report(&Failure::new(class).into());
        }
    }
    let after = pool.snapshot(0, 1).keys;
    assert_eq!((after[0].failed, after[0].breakers.len()), (0, 0), "{after:?}");
    assert_eq!(pool.stats().by_class[&ErrorClass::Caller], 10);
}

#[test]
fn three_unclear_refusals_in_a_row_disable_a_key() {
    let (pool, time) = keys(1);
    let strike = || {
        answer(&pool, &time, M, Failure::new(Unclear));
        time.advance(secs(300));
    };
    for _ in 0..3 {
        strike();
        strike();
        assert_eq!(state(&pool, 0), BreakerState::HalfOpen);
        answer(&pool, &time, M, Outcome::Success);
        assert_eq!(state(&pool, 0), BreakerState::Closed);
    }
    strike();
    strike();
    strike();
    assert_eq!(state(&pool, 0), BreakerState::Disabled);
    time.advance(24 * HOUR);
    assert_eq!(reasons(&pool, M), [(Reason::Disabled, 1)]);
    pool.enable(&id(0)).unwrap();
    assert_eq!(served(&pool, M), "k0");
}

#[test]
fn manually_disabled_key_is_enabled_only_manually() {
    let (pool, time) = keys(1);
    let lease = take(&pool, M);
    pool.disable(&id(0), "on holiday").unwrap();
    time.advance(secs(1));
    lease.report(&Outcome::Success);
    drop(lease);
    assert_eq!(reasons(&pool, M), [(Reason::Disabled, 1)]);
    let breaker = &view(&pool, 0).breakers[0];
    assert_eq!((breaker.class, breaker.reason.as_deref()), (None, Some("on holiday")));
    pool.enable(&id(0)).unwrap();
    assert_eq!(served(&pool, M), "k0");
}

#[test]
fn five_faults_in_a_row_cool_the_model_down() {
    let (pool, time) = keys(8);
    for _ in 0..4 {
        answer(&pool, &time, M, Failure::new(Transient));
    }
    answer(&pool, &time, M, Outcome::Success);
    for _ in 0..5 {
        answer(&pool, &time, M, Failure::new(Transient));
    }
    assert_eq!(reasons(&pool, M), [(Reason::Cooling, 8)]);
    assert_eq!(refused(&pool, M).retry_after(), Some(secs(1)));
    assert!(pool.try_acquire("another").is_ok());
    time.advance(secs(1));
    let trial = take(&pool, M);
    assert_eq!(reasons(&pool, M), [(Reason::Trial, 8)]);
    time.advance(secs(1));
    trial.report(&Failure::new(Transient).into());
    assert_eq!(refused(&pool, M).retry_after(), Some(secs(2)));
    time.advance(secs(2));
    answer(&pool, &time, M, Outcome::Success);
    drop([take(&pool, M), take(&pool, M)]);
}

#[test]
fn faults_among_as_many_successes_do_not_cool_the_model_down() {
    let (pool, time) = keys(1);
    let burst: Vec<_> = (0..40).map(|_| take(&pool, M)).collect();
    time.advance(secs(1));
    for (n, lease) in burst.iter().enumerate() {
        lease.report(&if n % 2 == 0 { Failure::new(Transient).into() } else { Outcome::Success });
    }
    drop(burst);
    assert!(pool.try_acquire(M).is_ok());
}

#[test]
fn daily_quota_exceeded_before_midnight_is_back_after_it() {
    let (pool, time) = manual_at(builder().key(key(0)), "2026-06-15T23:59:50-07:00");
    let lease = take(&pool, M);
    time.advance(secs(50));
    // The response arrives 40 seconds after midnight, but concerns the day before.
    lease.report(&Failure::new(DailyQuota).into());
    drop(lease);
    assert!(pool.try_acquire(M).is_ok());
    // For a request close after midnight, it is unknown which day the provider counts.
    let (pool, time) = manual_at(builder().key(key(0)), "2026-06-16T00:00:10-07:00");
    answer(&pool, &time, M, Failure::new(DailyQuota));
    assert!(refused(&pool, M).retry_after().unwrap() <= secs(20));
    time.advance(secs(20));
    answer(&pool, &time, M, Failure::new(DailyQuota));
    let left = refused(&pool, M).retry_after().unwrap();
    assert!(left > 23 * HOUR && left < 24 * HOUR + secs(31), "{left:?}");
}

#[test]
fn keys_serve_all_requests_once_their_named_delay_ended() {
    let (pool, time) = keys(2);
    let leases = [take(&pool, M), take(&pool, M)];
    time.advance(Duration::from_millis(10));
    for lease in leases {
        lease.report(&rate_for(2).into());
    }
    assert!(pool.try_acquire(M).is_err());
    time.advance(Duration::from_millis(3_500));
    let four: Vec<_> = (0..4).map(|_| take(&pool, M)).collect();
    for lease in &four {
        lease.report(&Outcome::Success);
    }
}

#[test]
fn exit_is_cooled_down_only_if_another_one_exists() {
    let (pool, time) = manual(builder().keys((0..3).map(|n| key(n).exit("only"))));
    answer(&pool, &time, M, Failure::new(Egress));
    assert!((0..3).all(|n| ready(&pool, n, M)));
    pool.put(key(3)).unwrap();
    let lease = pool.try_acquire(KeyRequest::model(M).exclude([id(3)])).unwrap();
    time.advance(secs(1));
    lease.report(&Failure::new(Egress).into());
    drop(lease);
    assert_eq!([0, 1, 2, 3].map(|n| ready(&pool, n, M)), [false, false, false, true]);
    time.advance(secs(600));
    let trial = pool.try_acquire(KeyRequest::model(M).exclude([id(3)])).unwrap();
    assert_eq!(
        refused(&pool, KeyRequest::model(M).exclude([id(3)])).reasons(),
        [(Reason::Trial, 3), (Reason::Tried, 1)]
    );
    time.advance(secs(1));
    trial.report(&Outcome::Success);
    assert!((0..3).all(|n| ready(&pool, n, M)));
}

#[test]
fn billing_account_cools_all_its_projects_and_one_trial_restores_them() {
    let (pool, time) = families();
    let lease = pool.try_acquire(KeyRequest::model(M).exclude((1..4).map(id))).unwrap();
    time.advance(secs(1));
    lease.report(&Failure::new(Billing).with_scope(Scope::BillingAccount).into());
    drop(lease);
    assert_eq!([0, 1, 2, 3].map(|n| ready(&pool, n, M)), [false, false, false, true]);
    time.advance(HOUR);
    let trial = pool.try_acquire(KeyRequest::model(M).exclude([id(3)])).unwrap();
    assert!(pool.try_acquire(KeyRequest::model(M).exclude([id(3)])).is_err());
    time.advance(secs(1));
    trial.report(&Outcome::Success);
    assert!((0..4).all(|n| ready(&pool, n, M)));
}

#[test]
fn failures_of_a_secret_do_not_affect_its_replacement() {
    let next = "AIza-not-a-real-key-next";
    let renewed = tower_keypool::Key::new(next).named(id(0));
    let secret = tower_keypool::Secret::new(next).unwrap();
    let changes: [&dyn Fn(&KeyPool); 3] = [
        &|pool| pool.replace_secret(&id(0), &secret).unwrap(),
        &|pool| drop(pool.put(renewed.clone()).unwrap()),
        &|pool| pool.replace_all(std::slice::from_ref(&renewed)).unwrap(),
    ];
    for change in changes {
        let (pool, time) = keys(1);
        let late = take(&pool, M);
        answer(&pool, &time, M, Failure::new(KeyRejected));
        change(&pool);
        time.advance(secs(1));
        late.report(&Failure::new(KeyRejected).into());
        drop(late);
        assert_eq!(take(&pool, M).expose(), next);
    }
}

#[test]
fn suspended_project_serves_again_when_one_of_its_keys_is_enabled() {
    let (pool, time) = families();
    let lease = pool.try_acquire(KeyRequest::model(M).exclude([id(2), id(3)])).unwrap();
    time.advance(secs(1));
    lease.report(&Failure::new(KeyRejected).with_scope(Scope::Project).into());
    drop(lease);
    assert_eq!([0, 1, 2].map(|n| ready(&pool, n, M)), [false, false, true]);
    pool.enable(&id(1)).unwrap();
    assert!((0..3).all(|n| ready(&pool, n, M)));
}

#[test]
fn failures_of_different_classes_are_counted_separately() {
    let (pool, time) = keys(1);
    answer(&pool, &time, M, Failure::new(RateLimit).with_scope(Scope::Key));
    time.advance(HOUR);
    answer(&pool, &time, M, Failure::new(RateLimit).with_scope(Scope::Key));
    time.advance(HOUR);
    answer(&pool, &time, M, Failure::new(Unclear));
    assert_eq!(state(&pool, 0), BreakerState::Cooling);
}
