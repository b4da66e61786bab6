//! Priorities are strict; when a later one opens.

use tower_keypool::{
    Affinity, Demand, Key, KeyPool, Limit, Limits, ManualClock, OutReason, Priority, Span, Spill, Unit,
};

use crate::support::{FLASH, answer, builder, id, key, on, paused, rate_for, refused, secs, served, take};

fn paid(n: usize) -> Key {
    key(n).priority(Priority::PAID)
}

fn two(free: Key, limits: Limits) -> (KeyPool, ManualClock) {
    on(builder().keys([paid(1), free]).limits(FLASH, limits))
}

#[test]
fn the_earlier_comes_first_whatever_its_weight_or_load() {
    let (pool, _) = on(builder().keys([key(0).weight(0.01), paid(1).weight(100.0)]));
    let _held: Vec<_> = (0..50).map(|_| take(&pool, FLASH)).collect();
    assert!((0..50).all(|_| served(&pool, FLASH) == "k0"));
    assert_eq!(pool.snapshot().spills, 0);
}

#[test]
fn full_resting_and_disabled_keys_open_the_later_priority() {
    let (pool, time) = two(key(0), Limits::new().per_minute(1));
    assert_eq!([served(&pool, FLASH), served(&pool, FLASH)], ["k0", "k1"], "full");
    time.advance(secs(61));
    assert_eq!(answer(&pool, FLASH, &rate_for(100)), "k0");
    time.advance(secs(61));
    assert_eq!(served(&pool, FLASH), "k1", "resting");
    pool.enable(&id(0)).unwrap();
    pool.disable(&id(0), "x").unwrap();
    time.advance(secs(61));
    assert_eq!(served(&pool, FLASH), "k1", "disabled");
    assert_eq!(pool.snapshot().spills, 3);
}

#[test]
fn busy_keys_and_short_intervals_are_waited_for() {
    let (pool, _) = two(key(0).max_concurrent(1), Limits::new());
    let held = take(&pool, FLASH);
    assert_eq!(
        refused(&pool, FLASH),
        "no API key may serve flash: 1 busy, 1 of a later priority; next when a request under way ends"
    );
    drop(held);
    assert_eq!(served(&pool, FLASH), "k0");

    let (pool, time) = two(key(0).min_interval(secs(10)), Limits::new());
    drop(take(&pool, FLASH));
    let error = pool.try_acquire(FLASH).unwrap_err();
    assert_eq!(error.retry_after(), Some(secs(10)));
    time.advance(secs(10));
    assert_eq!(served(&pool, FLASH), "k0");
}

#[test]
fn a_busy_key_that_is_full_as_well_is_not_waited_for() {
    let (pool, _) = two(key(0).max_concurrent(1), Limits::new().per_minute(1));
    let _held = take(&pool, FLASH);
    assert_eq!(served(&pool, FLASH), "k1");
}

#[test]
fn a_busy_key_that_begins_to_rest_is_not_waited_for_any_more() {
    let (pool, _) = two(key(0).max_concurrent(1), Limits::new());
    let held = take(&pool, FLASH);
    refused(&pool, FLASH);
    held.judge(&rate_for(60));
    assert_eq!(served(&pool, FLASH), "k1");
}

#[test]
fn a_demand_too_large_for_the_room_that_is_left_spills() {
    let (pool, _) = two(key(0), Limits::new().tokens_per_minute(1000));
    let demand = |tokens| Demand::new(FLASH).tokens(tokens);
    assert_eq!(pool.try_acquire(demand(800)).unwrap().key_id(), &id(0));
    assert_eq!(pool.try_acquire(demand(300)).unwrap().key_id(), &id(1));
    assert_eq!(pool.try_acquire(demand(100)).unwrap().key_id(), &id(0));
}

#[test]
fn spill_any_waits_for_nobody() {
    let (pool, _) = on(builder().keys([key(0).max_concurrent(1), paid(1)]).spill(Spill::Any));
    let _held = take(&pool, FLASH);
    assert_eq!(served(&pool, FLASH), "k1");
}

#[tokio::test(start_paused = true)]
async fn spill_after_waits_that_long_first() {
    let pool =
        paused(builder().keys([key(0), paid(1)]).limits(FLASH, Limits::new().per_minute(1)).spill_after(secs(3)));
    drop(take(&pool, FLASH));
    assert!(pool.try_acquire(FLASH).is_err(), "who cannot wait does not spill");
    let before = pool.clock().tick();
    let lease = pool.acquire(Demand::new(FLASH).wait(secs(10))).await.unwrap();
    assert_eq!(lease.key_id(), &id(1));
    assert_eq!(pool.clock().tick().since(before).as_secs(), 3);
    assert!(pool.acquire(Demand::new(FLASH).wait(secs(2))).await.is_err(), "a shorter wait ends before");
}

/// What is told of a demand that got no key.
fn out(pool: &KeyPool, demand: Demand) -> (Option<u64>, bool, Vec<OutReason>) {
    let error = pool.try_acquire(demand).unwrap_err();
    let out = error.exhausted().unwrap();
    let next = out.next_in().map(|next| next.as_secs());
    (next, out.may_end_any_time(), out.reasons().map(|(reason, _)| reason).collect())
}

#[test]
fn who_may_wait_until_a_later_priority_opens_is_told_that_wait() {
    let minute = OutReason::Full(Unit::Requests, Span::MINUTE);
    let keys = || builder().keys([key(0), paid(1)]).limits(FLASH, Limits::new().per_minute(1)).spill_after(secs(3));
    let (pool, clock) = on(keys());
    drop(take(&pool, FLASH));
    clock.advance(secs(10));
    let patient = || Demand::new(FLASH).wait(secs(5));
    let later = vec![minute, OutReason::LaterPriority];
    assert_eq!(out(&pool, patient()), (Some(3), false, later.clone()));
    // The others never come there.
    let hasty = Demand::new(FLASH).wait(secs(2));
    assert_eq!(out(&pool, hasty.clone()), (Some(50), false, later.clone()));
    assert_eq!(out(&pool, Demand::new(FLASH)), (Some(50), false, later.clone()), "the pool's own wait is none");
    let (waiting, _) = on(keys().wait(secs(5)));
    drop(take(&waiting, FLASH));
    assert_eq!(out(&waiting, Demand::new(FLASH)), (Some(3), false, later));
    // Full as well, until sooner: nothing for who does not come there.
    let full = builder().keys([key(0).limits(FLASH, Limits::new().per_minute(1)), paid(1)]).spill_after(secs(3));
    let (pool, _) = on(full
        .limits(FLASH, Limits::new().with(Limit { unit: Unit::Requests, span: Span::Sliding(secs(20)), amount: 1 })));
    drop(take(&pool, FLASH));
    drop(pool.try_acquire(Demand::new(FLASH).affinity(Affinity::MustKey(id(1)))).unwrap());
    assert_eq!(out(&pool, patient()).0, Some(20));
    assert_eq!(out(&pool, hasty).0, Some(60));
}

#[test]
fn a_later_priority_says_nothing_of_requests_under_way() {
    let (pool, clock) = on(builder().keys([key(0).min_interval(secs(8)), paid(1)]));
    drop(take(&pool, FLASH));
    clock.advance(secs(1));
    let reasons = vec![OutReason::Interval, OutReason::LaterPriority];
    assert_eq!(out(&pool, Demand::new(FLASH)), (Some(7), false, reasons));
    let (pool, _) = on(builder().keys([key(0).max_concurrent(1), paid(1)]));
    let _held = take(&pool, FLASH);
    let reasons = vec![OutReason::Busy, OutReason::LaterPriority];
    assert_eq!(out(&pool, Demand::new(FLASH)), (None, true, reasons));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_busy_free_key_gets_it() {
    let pool = paused(builder().keys([key(0).max_concurrent(1), paid(1)]));
    let held = take(&pool, FLASH);
    let waiting = tokio::spawn(pool.acquire(Demand::new(FLASH).wait(secs(10))));
    tokio::time::sleep(secs(5)).await;
    drop(held);
    assert_eq!(waiting.await.unwrap().unwrap().key_id(), &id(0));
    assert_eq!(pool.snapshot().spills, 0);
}

#[test]
fn priorities_open_one_after_the_other() {
    let keys = (0..5).map(|n| key(n).priority(Priority(n as u16 * 3)));
    let (pool, _) = on(builder().keys(keys).limits(FLASH, Limits::new().per_minute(2)));
    let order: Vec<_> = (0..10).map(|_| served(&pool, FLASH)).collect();
    assert_eq!(order.join(" "), "k0 k0 k1 k1 k2 k2 k3 k3 k4 k4");
}

#[test]
fn no_key_of_an_earlier_priority_no_spill() {
    let (pool, _) = on(builder().keys([key(0), paid(1)]));
    pool.remove(&id(0)).unwrap();
    served(&pool, FLASH);
    assert_eq!(pool.snapshot().spills, 0);
    let (pool, _) = on(builder().keys([paid(1), key(1).id("again")]));
    served(&pool, FLASH);
    assert_eq!(pool.snapshot().spills, 0, "the same secret is one key");
}

#[test]
fn among_the_keys_of_one_owner_a_later_priority_opens_by_the_same_rule() {
    use tower_keypool::Affinity;
    let must = || Demand::new(FLASH).affinity(Affinity::MustOwner("a".into()));
    let rather = || Demand::new(FLASH).affinity(Affinity::RatherOwner("a".into()));
    let keys = || [key(0).owner("a").max_concurrent(1), paid(1).owner("a")];
    let (pool, _) = on(builder().keys(keys()));
    let held = pool.try_acquire(must()).unwrap();
    assert_eq!(held.key_id(), &id(0));
    assert!(pool.try_acquire(must()).is_err(), "a busy key is waited for");
    assert!(pool.try_acquire(rather()).is_err());
    drop(held);
    assert_eq!(pool.try_acquire(rather()).unwrap().key_id(), &id(0));
    answer(&pool, FLASH, &rate_for(60));
    assert_eq!(pool.snapshot().spills, 0);
    pool.disable(&id(0), "x").unwrap();
    pool.enable(&id(1)).unwrap();
    assert_eq!(pool.try_acquire(must()).unwrap().key_id(), &id(1));
    let (pool, _) = on(builder().keys(keys()).spill(Spill::Any));
    let _held = pool.try_acquire(must()).unwrap();
    assert_eq!(pool.try_acquire(must()).unwrap().key_id(), &id(1));
}

#[test]
fn who_must_go_to_a_later_priority_does_not_spill() {
    let (pool, _) = on(builder().keys([key(0), paid(1).owner("theirs")]));
    for affinity in
        [Affinity::MustOwner("theirs".into()), Affinity::RatherOwner("theirs".into()), Affinity::MustKey(id(1))]
    {
        drop(pool.try_acquire(Demand::new(FLASH).affinity(affinity)).unwrap());
    }
    assert_eq!(pool.snapshot().spills, 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_passes_who_waits_for_a_busy_key_whatever_he_needs() {
    for rather in [Affinity::Any, Affinity::MustOwner("a".into())] {
        let limits = Limits::new().per_minute(10).tokens_per_minute(250_000);
        let keys = [key(0).owner("a").max_concurrent(1), paid(1).owner("a"), paid(2)];
        let pool = paused(builder().keys(keys).limits(FLASH, limits));
        let held = take(&pool, FLASH);
        let demand = Demand::new(FLASH).tokens(700).affinity(rather);
        let first = pool.try_acquire(demand.clone()).unwrap_err().to_string();
        assert!(first.contains("1 busy"), "{first}");
        let waits = tokio::spawn(pool.acquire(demand.clone().wait(secs(1_000))));
        tokio::task::yield_now().await;
        for needs in [demand.clone(), Demand::new(FLASH)] {
            let later = pool.try_acquire(needs).map(|lease| lease.key_id().to_string());
            assert!(later.as_ref().is_err_and(|error| error.to_string().contains("1 busy")), "{later:?}");
        }
        drop(held);
        assert_eq!(waits.await.unwrap().unwrap().key_id(), &id(0));
        assert_eq!(pool.snapshot().spills, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_fit_an_earlier_priority_waits_for_nobody_there() {
    let tokens = |per_minute| Limits::new().tokens_per_minute(per_minute);
    let keys = [
        key(0).owner("a").max_concurrent(1).limits(FLASH, tokens(1_000)),
        paid(1).owner("b").limits(FLASH, tokens(250_000)),
    ];
    let pool = paused(builder().keys(keys));
    let held = pool.try_acquire(Demand::new(FLASH).tokens(500)).unwrap();
    let waits = |tokens| tokio::spawn(pool.acquire(Demand::new(FLASH).tokens(tokens).wait(secs(40))));
    let (small, least) = (waits(400), waits(1));
    tokio::task::yield_now().await;
    // There is no room for it at the busy key: the later priority is for that, also behind those who wait for it.
    let large = waits(900);
    let same = waits(400);
    tokio::task::yield_now().await;
    assert_eq!(large.await.unwrap().unwrap().key_id(), &id(1));
    assert!(!small.is_finished() && !least.is_finished() && !same.is_finished());
    drop(held);
    assert_eq!(small.await.unwrap().unwrap().key_id(), &id(0));
    assert_eq!(least.await.unwrap().unwrap().key_id(), &id(0));
}

#[tokio::test(start_paused = true)]
async fn no_key_is_kept_for_whom_it_is_not_open_to() {
    for batch in [Demand::new(FLASH).requests(9), Demand::new(FLASH).tokens(9)] {
        let limits = Limits::new().per_minute(15).tokens_per_minute(15);
        let keys = [key(0).max_concurrent(1), key(1).max_concurrent(1), paid(2)];
        let pool = paused(builder().keys(keys).limits(FLASH, limits));
        let must = |n: usize, batch: &Demand| batch.clone().affinity(Affinity::MustKey(id(n)));
        let busy = pool.try_acquire(must(0, &Demand::new(FLASH))).unwrap();
        drop(pool.try_acquire(must(1, &batch)).unwrap());
        let began = pool.clock().tick();
        let waits = tokio::spawn(pool.acquire(batch.clone().wait(secs(300))));
        tokio::task::yield_now().await;
        // It waits for one that is busy, or for room at the other: the later priority is anybody's who may have it.
        assert!(pool.try_acquire(must(2, &Demand::new(FLASH).tokens(10))).is_ok(), "{batch:?}");
        assert_eq!(waits.await.unwrap().unwrap().key_id(), &id(1));
        assert_eq!(pool.clock().tick().since(began).as_secs(), 60, "{batch:?}");
        drop(busy);
    }
}

#[test]
fn a_later_priority_that_is_not_asked_says_nothing_of_when() {
    let (pool, time) = on(builder().keys([key(0).min_interval(secs(10)), paid(1).min_interval(secs(5))]));
    drop(pool.try_acquire(Demand::new(FLASH).affinity(Affinity::MustKey(id(1)))).unwrap());
    drop(take(&pool, FLASH));
    let error = pool.try_acquire(FLASH).unwrap_err();
    assert_eq!(error.retry_after(), Some(secs(10)), "{error}");
    time.advance(secs(10));
    assert_eq!(served(&pool, FLASH), "k0");
}
