//! Pools of many thousand keys: those who are refused one after the other do not each look at all of them, and what is said is
//! true all the same.

use std::time::Duration;

use tokio::time::sleep;
use tower_keypool::{Demand, KeyPool, Limits, ManualClock, OutReason, Span, Unit};

use crate::support::{FLASH, builder, id, key, on, paused, secs, take};

const KEYS: usize = 5_000;
const FULL: OutReason = OutReason::Full(Unit::Requests, Span::MINUTE);

/// All keys have used their one request a minute.
fn full() -> (KeyPool, ManualClock) {
    let (pool, time) = on(builder().keys((0..KEYS).map(key)).limits(FLASH, Limits::new().per_minute(1)));
    for _ in 0..KEYS {
        drop(take(&pool, FLASH));
    }
    (pool, time)
}

fn refused(pool: &KeyPool) -> (Option<Duration>, usize) {
    let error = pool.try_acquire(FLASH).expect_err("all are full");
    let out = error.exhausted().expect("exhausted");
    (error.retry_after(), out.reasons().filter(|(reason, _)| *reason == FULL).map(|(_, count)| count).sum())
}

#[test]
fn what_was_found_a_moment_ago_is_said_as_of_now() {
    let (pool, time) = full();
    let (first, count) = refused(&pool);
    assert_eq!(count, KEYS);
    time.advance(Duration::from_millis(4));
    let (next, count) = refused(&pool);
    assert_eq!((next, count), (first.and_then(|first| first.checked_sub(Duration::from_millis(4))), KEYS));
    // Another demand is another question.
    assert!(pool.try_acquire(Demand::new(FLASH).tokens(7)).is_err());
}

#[test]
fn what_comes_back_or_goes_is_seen_at_once() {
    let (pool, _time) = full();
    assert_eq!(refused(&pool).1, KEYS);
    pool.add(key(KEYS)).expect("one more");
    drop(take(&pool, FLASH));
    assert_eq!(refused(&pool).1, KEYS + 1);
    pool.disable(&id(3), "a test").expect("it is there");
    assert_eq!(refused(&pool).1, KEYS);
    pool.enable(&id(3)).expect("it is there");
    assert_eq!(refused(&pool).1, KEYS + 1);
}

#[tokio::test(start_paused = true)]
async fn a_large_prompt_gets_its_turn_among_small_ones() {
    let limits = Limits::new().tokens_per_minute(1_000);
    let pool = paused(builder().keys((0..KEYS).map(key)).limits(FLASH, limits));
    for _ in 0..KEYS {
        drop(pool.try_acquire(Demand::new(FLASH).tokens(600)).expect("all are empty"));
    }
    let large = tokio::spawn(pool.acquire(Demand::new(FLASH).tokens(900).wait(secs(100))));
    let began = pool.clock().tick();
    for _ in 0..70 {
        // Small ones that would fit go on, but eat nobody's room for ever.
        let _ = pool.try_acquire(Demand::new(FLASH).tokens(300));
        sleep(secs(1)).await;
    }
    assert!(large.is_finished(), "it waits still");
    drop(large.await.expect("no panic").expect("a key"));
    assert!(pool.clock().tick().since(began) < secs(75));
}
