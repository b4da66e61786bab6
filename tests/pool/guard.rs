//! The guard: when many keys fail for good at once, the fault is more likely ours.

use tower_keypool::{Event, Verdict};

use crate::support::{FLASH, answer, invalid, keys, rate_for, refused, secs, take};

#[test]
fn five_keys_failing_for_good_within_thirty_seconds_are_held() {
    let (pool, time) = keys(5);
    let mut events = pool.events();
    for _ in 0..5 {
        answer(&pool, FLASH, &invalid());
        time.advance(secs(1));
    }
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.disabled_keys, snapshot.resting_keys), (0, 5));
    assert!(snapshot.keys.iter().all(|key| key.rests[0].held));
    assert!(refused(&pool, FLASH).contains("5 held (many keys failed at once)"));
    let held = std::iter::from_fn(|| events.try_next()).any(|event| matches!(event, Ok(Event::Held { keys: 5 })));
    assert!(held);
}

#[test]
fn the_first_success_lets_the_held_verdicts_take_effect() {
    let (pool, _) = keys(6);
    for _ in 0..5 {
        answer(&pool, FLASH, &invalid());
    }
    assert_eq!(pool.snapshot().disabled_keys, 0);
    assert_eq!(answer(&pool, FLASH, &Verdict::SUCCESS), "k5");
    assert_eq!(pool.snapshot().disabled_keys, 5);
}

#[test]
fn a_held_key_that_serves_again_was_held_for_nothing() {
    let (pool, time) = keys(5);
    for _ in 0..5 {
        answer(&pool, FLASH, &invalid());
    }
    time.advance(secs(60));
    answer(&pool, FLASH, &Verdict::SUCCESS);
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.available_keys, snapshot.disabled_keys), (1, 4));
}

#[test]
fn four_keys_are_disabled_at_once() {
    let (pool, _) = keys(5);
    for _ in 0..4 {
        answer(&pool, FLASH, &invalid());
    }
    assert_eq!(pool.snapshot().disabled_keys, 4);
}

#[test]
fn slow_failures_are_each_their_own() {
    let (pool, time) = keys(10);
    for _ in 0..10 {
        answer(&pool, FLASH, &invalid());
        time.advance(secs(10));
    }
    assert_eq!(pool.snapshot().disabled_keys, 10);
}

#[test]
fn a_success_within_thirty_seconds_says_that_the_way_is_good() {
    let (pool, time) = keys(8);
    answer(&pool, FLASH, &Verdict::SUCCESS);
    for _ in 0..7 {
        answer(&pool, FLASH, &invalid());
        time.advance(secs(1));
    }
    assert_eq!(pool.snapshot().disabled_keys, 7);
}

#[test]
fn other_failures_count_among_those_tried() {
    let (pool, _) = keys(20);
    for _ in 0..10 {
        answer(&pool, FLASH, &rate_for(3600));
    }
    for _ in 0..10 {
        answer(&pool, FLASH, &invalid());
    }
    assert_eq!(pool.snapshot().disabled_keys, 10, "half of those tried is not 90 %");
}

#[test]
fn one_key_failing_often_is_one_key() {
    let (pool, _) = keys(2);
    let leases: Vec<_> = (0..20).map(|_| take(&pool, FLASH)).collect();
    for lease in &leases {
        lease.judge(&invalid());
    }
    assert_eq!(pool.snapshot().disabled_keys, 2);
}
