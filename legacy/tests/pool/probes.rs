//! Probes: a scope that rests without end is tried by one real request at growing intervals.

use tower_keypool::{Event, KeyPool, RestTable, Scope, Until, Verdict, VerdictKind};

use crate::support::{
    FLASH, answer, builder, id, invalid, key, keys, next_in, on, paused, rate, refused, secs, served, suspended, take,
    unclear, view,
};

#[test]
fn one_request_probes_at_a_time_and_failures_double_the_interval() {
    let (pool, time) = keys(1);
    answer(&pool, FLASH, &suspended(600));
    assert_eq!(pool.snapshot().disabled_keys, 1);
    let mut interval = 600;
    for _ in 0..4 {
        assert_eq!(next_in(&pool, FLASH), Some(secs(interval)));
        time.advance(secs(interval - 1));
        assert!(pool.try_acquire(FLASH).is_err());
        time.advance(secs(1));
        let probe = take(&pool, FLASH);
        assert!(pool.try_acquire(FLASH).is_err(), "one at a time");
        probe.judge(&suspended(600));
        assert!(pool.try_acquire(FLASH).is_err(), "still one at a time");
        drop(probe);
        interval *= 2;
    }
    assert_eq!(next_in(&pool, FLASH), Some(secs(interval)));
}

#[test]
fn the_interval_is_capped() {
    let mut table = RestTable::default();
    table.probe_cap = secs(1000);
    let (pool, time) = on(builder().key(key(0)).rests(table));
    answer(&pool, FLASH, &suspended(600));
    for next in [600, 1000, 1000] {
        assert_eq!(next_in(&pool, FLASH), Some(secs(next)));
        time.advance(secs(next));
        answer(&pool, FLASH, &suspended(600));
    }
}

#[test]
fn a_success_lifts() {
    let (pool, time) = keys(1);
    answer(&pool, FLASH, &suspended(600));
    time.advance(secs(600));
    let probe = take(&pool, FLASH);
    probe.judge(&Verdict::SUCCESS);
    drop((take(&pool, FLASH), take(&pool, FLASH)));
    assert!(view(&pool, 0).rests.is_empty());
}

/// What covers every key, with one request that shows whether it is over.
fn all_out(scope: Scope) -> Verdict {
    Verdict::new(VerdictKind::Misconfigured).scope(scope).until(Until::Probed(secs(600)))
}

fn recovered(events: &mut tower_keypool::Events) -> usize {
    std::iter::from_fn(|| events.try_next()).filter(|event| matches!(event, Ok(Event::Recovered { .. }))).count()
}

#[test]
fn a_lane_and_an_exit_are_probed_by_one_request_too() {
    for scope in [Scope::Lane, Scope::Exit] {
        let (pool, time) = keys(3);
        answer(&pool, FLASH, &all_out(scope));
        assert_eq!(next_in(&pool, FLASH), Some(secs(600)), "{scope:?}");
        time.advance(secs(600));
        let probe = take(&pool, FLASH);
        assert!(pool.try_acquire(FLASH).is_err(), "{scope:?}: one at a time");
        probe.settle(&all_out(scope));
        assert_eq!(next_in(&pool, FLASH), Some(secs(1200)), "{scope:?}");
        time.advance(secs(1200));
        drop(take(&pool, FLASH));
        assert_eq!(next_in(&pool, FLASH), Some(secs(1200)), "{scope:?}: nobody judged it");
        time.advance(secs(1200));
        let mut events = pool.changes();
        answer(&pool, FLASH, &Verdict::SUCCESS);
        drop([(); 5].map(|()| take(&pool, FLASH)));
        assert_eq!(recovered(&mut events), 1, "{scope:?}");
    }
}

#[test]
fn a_lane_that_is_out_for_good_is_back_once_a_key_is_enabled() {
    let (pool, _) = keys(2);
    let gone = Verdict::new(VerdictKind::ModelUnavailable).scope(Scope::Lane).until(Until::Lifted);
    answer(&pool, FLASH, &gone);
    assert!(pool.try_acquire(FLASH).is_err());
    let mut events = pool.changes();
    pool.enable(&id(1)).unwrap();
    drop((take(&pool, FLASH), take(&pool, FLASH)));
    assert!(recovered(&mut events) >= 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_lane_or_an_exit_goes_out_as_its_probe() {
    for scope in [Scope::Lane, Scope::Exit] {
        let pool: KeyPool = paused(builder().keys((0..2).map(key)));
        answer(&pool, FLASH, &all_out(scope));
        let wait = || pool.acquire(tower_keypool::Demand::new(FLASH).wait(secs(5000)));
        let (first, second) = (tokio::spawn(wait()), tokio::spawn(wait()));
        tokio::time::sleep(secs(601)).await;
        let probe = first.await.unwrap().unwrap();
        assert!(!second.is_finished(), "{scope:?}");
        probe.settle(&all_out(scope));
        tokio::time::sleep(secs(1201)).await;
        second.await.unwrap().unwrap().settle(&Verdict::SUCCESS);
        drop((take(&pool, FLASH), take(&pool, FLASH)));
    }
}

#[test]
fn other_keys_of_the_owner_wait_meanwhile() {
    let (pool, time) = on(builder().keys((0..3).map(|n| key(n).owner("a"))));
    answer(&pool, FLASH, &suspended(600));
    refused(&pool, FLASH);
    time.advance(secs(600));
    let probe = take(&pool, FLASH);
    assert!(pool.try_acquire(FLASH).is_err());
    assert!(pool.try_acquire("pro").is_err(), "in any lane");
    probe.judge(&Verdict::SUCCESS);
    let leases: Vec<_> = (0..3).map(|_| take(&pool, FLASH)).collect();
    assert_eq!(leases.len(), 3);
}

#[test]
fn late_answers_of_the_burst_bring_no_probe_forward_or_out_twice() {
    let (pool, time) = keys(1);
    let (first, late) = (take(&pool, FLASH), take(&pool, FLASH));
    first.judge(&suspended(600));
    time.advance(secs(300));
    late.judge(&suspended(600));
    assert_eq!(next_in(&pool, FLASH), Some(secs(300)));
    time.advance(secs(300));
    let _probe = take(&pool, FLASH);
    late.judge(&suspended(600));
    assert!(pool.try_acquire(FLASH).is_err());
}

#[test]
fn a_probe_that_nobody_judged_says_nothing() {
    let (pool, time) = keys(1);
    answer(&pool, FLASH, &suspended(600));
    time.advance(secs(600));
    drop(take(&pool, FLASH));
    assert_eq!(next_in(&pool, FLASH), Some(secs(600)), "the same interval again");
}

#[test]
fn a_key_and_its_owner_are_probed_by_one_request() {
    let (pool, time) = on(builder().key(key(0).owner("a")));
    let (one, two) = (take(&pool, FLASH), take(&pool, FLASH));
    one.judge(&suspended(600));
    two.judge(&suspended(300).scope(Scope::Key));
    drop((one, two));
    assert_eq!(next_in(&pool, FLASH), Some(secs(600)), "both have to be due");
    time.advance(secs(600));
    let probe = take(&pool, FLASH);
    probe.judge(&Verdict::SUCCESS);
    drop(probe);
    drop(take(&pool, FLASH));
}

#[test]
fn a_probe_that_meets_a_full_minute_has_not_failed_for_long() {
    let (pool, time) = keys(1);
    answer(&pool, FLASH, &suspended(600));
    time.advance(secs(600));
    answer(&pool, FLASH, &rate());
    assert!(next_in(&pool, FLASH).unwrap() <= secs(1200));
}

#[test]
fn what_is_lifted_by_hand_only_is_not_probed() {
    let (pool, time) = keys(1);
    answer(&pool, FLASH, &invalid());
    time.advance(secs(100 * 86_400));
    assert_eq!(next_in(&pool, FLASH), None);
    pool.enable(&crate::support::id(0)).unwrap();
    assert_eq!(served(&pool, FLASH), "k0");
}

#[tokio::test(start_paused = true)]
async fn a_waiter_goes_out_as_the_probe_when_it_is_due() {
    let pool = paused(builder().key(key(0)));
    answer(&pool, FLASH, &suspended(600));
    let before = pool.clock().tick();
    let lease = pool.acquire(tower_keypool::Demand::new(FLASH).wait(secs(3600))).await.unwrap();
    assert_eq!(pool.clock().tick().since(before).as_secs(), 600);
    lease.judge(&Verdict::SUCCESS);
}

#[test]
fn a_key_disabled_without_a_named_cause_is_probed_and_one_that_was_named_is_not() {
    let (pool, time) = keys(1);
    for pause in [300, 600, 0] {
        answer(&pool, FLASH, &unclear());
        time.advance(secs(pause));
    }
    assert_eq!(pool.snapshot().disabled_keys, 1, "three strikes");
    assert_eq!(next_in(&pool, FLASH), Some(secs(3_600)));
    time.advance(secs(3_600));
    answer(&pool, FLASH, &unclear());
    assert_eq!(next_in(&pool, FLASH), Some(secs(7_200)));
    time.advance(secs(7_200));
    answer(&pool, FLASH, &Verdict::SUCCESS);
    drop(take(&pool, FLASH));
    answer(&pool, FLASH, &invalid());
    assert_eq!(next_in(&pool, FLASH), None);
}

/// Disabled for good by one answer, and by a later one with a probe: it goes out, though the key was passed over already.
#[test]
fn a_probe_that_is_granted_late_goes_out() {
    let (pool, time) = keys(1);
    let (first, late) = (take(&pool, FLASH), take(&pool, FLASH));
    first.settle(&Verdict::new(VerdictKind::Suspended));
    assert!(pool.try_acquire(FLASH).is_err());
    late.settle(&suspended(60));
    assert!(pool.try_acquire(FLASH).is_err());
    time.advance(secs(60));
    answer(&pool, FLASH, &Verdict::SUCCESS);
    assert_eq!(pool.snapshot().disabled_keys, 0);
}

#[test]
fn a_probe_that_outlives_its_rest_is_not_the_next_ones() {
    let (pool, time) = keys(1);
    let to_confirm = invalid().confirm_after(secs(60));
    let late = take(&pool, FLASH);
    answer(&pool, FLASH, &to_confirm);
    time.advance(secs(60));
    // Nobody says what became of it, for a day.
    let old = take(&pool, FLASH);
    time.advance(secs(2 * 86_400));
    late.settle(&to_confirm);
    time.advance(secs(60));
    let confirms = take(&pool, FLASH);
    drop(old);
    time.advance(secs(3600));
    assert!(pool.try_acquire(FLASH).is_err(), "one at a time");
    drop(confirms);
}

/// A rest that was confirmed is one without end like any: its probes become rarer, and it is told once.
#[test]
fn the_interval_doubles_after_a_confirmation_too() {
    let asks = || suspended(60).confirm_after(secs(30));
    let (pool, time) = keys(1);
    let mut events = pool.changes();
    answer(&pool, FLASH, &asks());
    time.advance(secs(30));
    answer(&pool, FLASH, &asks());
    assert_eq!((pool.snapshot().disabled_keys, next_in(&pool, FLASH)), (1, Some(secs(60))));
    let mut told = Vec::new();
    for pause in [60, 120] {
        time.advance(secs(pause));
        answer(&pool, FLASH, &asks());
        told.push(next_in(&pool, FLASH));
    }
    assert_eq!(told, [Some(secs(120)), Some(secs(240))]);
    let told = std::iter::from_fn(|| events.try_next());
    let told = told.filter(|event| matches!(event, Ok(Event::Disabled { .. } | Event::Rested { .. })));
    assert_eq!(told.count(), 2, "that it rests, and that it is out");
}
