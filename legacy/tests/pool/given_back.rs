//! Rests that evidence gives back, and that stand again where it is refuted: each as it was, with its strikes and its step.

use std::cell::Cell;

use tower_keypool::{Affinity, Demand, Event, KeyPool, RestTable, Verdict};

use crate::support::{FLASH, builder, id, key, on, rest, secs, unclear};

/// A request with this key alone, answered like this.
fn alone(pool: &KeyPool, n: usize, verdict: &Verdict) {
    pool.try_acquire(Demand::new(FLASH).affinity(Affinity::MustKey(id(n)))).unwrap().settle(verdict);
}

/// One request that the first keys refuse like this and the one with this number serves, if there is such; and the first key.
async fn request(pool: &KeyPool, verdict: &Verdict, serves: usize) -> usize {
    let (asked, first) = (Cell::new(0), Cell::new(None));
    let judge = |result: &Result<(), ()>| if result.is_ok() { Verdict::SUCCESS } else { verdict.clone() };
    let result = pool
        .run(FLASH, judge, |leased| {
            let n = leased.key_id().to_string()[1..].parse::<usize>().unwrap();
            first.set(first.get().or(Some(n)));
            asked.set(asked.get() + 1);
            let served = asked.get() == serves;
            async move { if served { Ok(()) } else { Err(()) } }
        })
        .await;
    assert_eq!(result.is_ok(), asked.get() == serves);
    first.get().expect("some key was asked")
}

fn patient() -> RestTable {
    let mut table = RestTable::default();
    table.strikes = 10;
    table
}

#[tokio::test]
async fn what_is_given_back_counts_as_no_strike_and_no_step() {
    let (pool, time) = on(builder().keys((0..2).map(key)));
    (0..2).for_each(|n| alone(&pool, n, &unclear()));
    time.advance(secs(300));
    let first = request(&pool, &unclear(), 0).await;
    assert_eq!((rest(&pool, first), pool.snapshot().resting_keys), (None, 0));
    alone(&pool, first, &unclear());
    assert_eq!(rest(&pool, first), Some(secs(600)), "the second incident, not the third");
    assert_eq!(pool.snapshot().disabled_keys, 0, "the second strike, not the third");
}

#[tokio::test]
async fn what_is_refuted_counts_as_a_strike() {
    let (pool, time) = on(builder().keys((0..3).map(key)));
    (0..3).for_each(|n| alone(&pool, n, &unclear()));
    time.advance(secs(300));
    let first = request(&pool, &unclear(), 3).await;
    assert_eq!(rest(&pool, first), Some(secs(600)));
    time.advance(secs(600));
    alone(&pool, first, &unclear());
    assert_eq!(pool.snapshot().disabled_keys, 1, "the third strike");
}

#[tokio::test]
async fn what_is_refuted_counts_as_a_step_and_is_told_to_be_over() {
    for before in [0, 1] {
        let (pool, time) = on(builder().keys((0..3).map(key)).rests(patient()));
        (0..3 * before).for_each(|n| alone(&pool, n, &unclear()));
        time.advance(secs(300));
        let first = request(&pool, &unclear(), 3).await;
        time.advance(secs(300 << before));
        alone(&pool, first, &unclear());
        assert_eq!(rest(&pool, first), Some(secs(600 << before)));
        let (pool, time) = on(builder().keys((0..3).map(key)).rests(patient()));
        (0..3 * before).for_each(|n| alone(&pool, n, &unclear()));
        time.advance(secs(300));
        let first = request(&pool, &unclear(), 3).await;
        time.advance(secs(300 << before));
        let mut events = pool.changes();
        alone(&pool, first, &Verdict::SUCCESS);
        let told = events.try_next().map(Result::unwrap);
        assert!(matches!(&told, Some(Event::Recovered { key, .. }) if key == &id(first)), "{told:?}");
    }
}

#[tokio::test]
async fn a_confirmation_that_is_refuted_to_be_given_back_is_still_asked_for() {
    let asks = || unclear().confirm_after(secs(60));
    let mut table = RestTable::default();
    table.strikes = 1;
    let (pool, time) = on(builder().keys((0..3).map(key)).rests(table));
    let first = request(&pool, &asks(), 3).await;
    assert_eq!(rest(&pool, first), Some(secs(60)));
    time.advance(secs(60));
    alone(&pool, first, &asks());
    assert_eq!(pool.snapshot().disabled_keys, 1, "it was confirmed");
}
