//! Rests: one incident counts once, late answers extend and never shorten, lifts begin a new generation.

use std::time::Duration;

use tower_keypool::{Affinity, Demand, Limits, RestTable, Scope, Strategy, Until, Verdict, VerdictKind};

use crate::support::{
    FLASH, answer, builder, daily, id, invalid, key, keys, limited, next_in, noon, on, owner_limited, rate, rate_for,
    refused, rest, secs, suspended, take, unclear, view,
};

#[test]
fn fifty_failures_of_one_burst_are_one_incident() {
    let (pool, time) = on(builder().key(key(0)).strategy(Strategy::Adaptive));
    let burst: Vec<_> = (0..50).map(|_| take(&pool, FLASH)).collect();
    for lease in &burst {
        lease.judge(&rate());
    }
    assert_eq!(rest(&pool, 0), Some(secs(10)), "the first step of the backoff");
    assert!((view(&pool, 0).current_weight - 0.8).abs() < 1e-6, "the weight is moved once");
    drop(burst);
    time.advance(secs(10));
    answer(&pool, FLASH, &rate());
    assert_eq!(rest(&pool, 0), Some(secs(20)), "the second incident is the second step, not the fifty-first");
}

#[test]
fn a_burst_of_unclear_refusals_is_one_strike() {
    let (pool, time) = keys(1);
    let burst: Vec<_> = (0..50).map(|_| take(&pool, FLASH)).collect();
    for lease in burst {
        lease.judge(&unclear());
    }
    for pause in [300, 600] {
        assert_eq!(rest(&pool, 0), Some(secs(pause)), "a suspect key rests");
        time.advance(secs(pause));
        answer(&pool, FLASH, &unclear());
    }
    assert_eq!(rest(&pool, 0), None, "the third strike is without end");
    assert_eq!(pool.snapshot().disabled_keys, 1);
}

#[test]
fn strikes_can_be_set() {
    let mut table = RestTable::default();
    table.strikes = 1;
    let (pool, _) = on(builder().key(key(0)).rests(table));
    answer(&pool, FLASH, &unclear());
    assert_eq!(pool.snapshot().disabled_keys, 1);
}

#[test]
fn a_late_answer_extends_a_rest_and_never_shortens_it() {
    let (pool, time) = keys(1);
    let (first, short, long) = (take(&pool, FLASH), take(&pool, FLASH), take(&pool, FLASH));
    first.judge(&rate_for(40));
    short.judge(&rate_for(5));
    assert_eq!(rest(&pool, 0), Some(secs(40)));
    time.advance(secs(10));
    long.judge(&rate_for(60));
    assert_eq!(rest(&pool, 0), Some(secs(60)));
}

#[test]
fn a_late_answer_of_an_old_burst_is_no_new_incident_even_after_a_success() {
    let (pool, time) = keys(1);
    let (first, late) = (take(&pool, FLASH), take(&pool, FLASH));
    first.judge(&rate());
    time.advance(secs(10));
    answer(&pool, FLASH, &Verdict::SUCCESS);
    time.advance(secs(1));
    late.judge(&rate());
    assert_eq!(rest(&pool, 0), Some(secs(10)), "it rests all the same");
    time.advance(secs(10));
    answer(&pool, FLASH, &rate());
    assert_eq!(rest(&pool, 0), Some(secs(10)), "the late answer raised no step");
}

#[test]
fn backoff_doubles_is_capped_and_starts_again_after_a_success() {
    let (pool, time) = keys(1);
    for pause in [10, 20, 40, 80, 160, 320, 600, 600] {
        answer(&pool, FLASH, &rate());
        assert_eq!(rest(&pool, 0), Some(secs(pause)));
        time.advance(secs(pause));
    }
    answer(&pool, FLASH, &Verdict::SUCCESS);
    answer(&pool, FLASH, &rate());
    assert_eq!(rest(&pool, 0), Some(secs(10)));
}

#[test]
fn the_providers_own_delay_wins_and_is_bounded() {
    let (pool, time) = keys(1);
    answer(&pool, FLASH, &rate_for(41));
    assert_eq!(next_in(&pool, FLASH), Some(secs(41)));
    time.advance(secs(41));
    answer(&pool, FLASH, &rate_for(10 * 365 * 86_400));
    assert_eq!(rest(&pool, 0), Some(secs(32 * 86_400)), "ten years is no delay");
}

#[test]
fn a_lift_by_hand_is_not_undone_by_late_answers() {
    let (pool, _) = keys(1);
    let (first, late) = (take(&pool, FLASH), take(&pool, FLASH));
    first.judge(&owner_limited(100));
    assert!(pool.try_acquire(FLASH).is_err());
    pool.enable(&id(0)).unwrap();
    late.judge(&owner_limited(100));
    late.judge(&rate_for(100));
    drop(take(&pool, FLASH));
    let new = take(&pool, FLASH);
    new.judge(&owner_limited(100));
    assert!(pool.try_acquire(FLASH).is_err(), "answers of the new generation rest it");
}

#[test]
fn a_days_quota_and_permanent_verdicts_outlive_a_lift_by_hand() {
    for verdict in [daily(), suspended(600), invalid()] {
        let (pool, _) = keys(1);
        let (first, late) = (take(&pool, FLASH), take(&pool, FLASH));
        first.judge(&verdict);
        pool.enable(&id(0)).unwrap();
        assert!(pool.try_acquire(FLASH).is_ok());
        late.judge(&verdict);
        assert!(pool.try_acquire(FLASH).is_err(), "{verdict}");
    }
}

#[test]
fn a_named_reason_disables_at_once() {
    let (pool, time) = keys(2);
    let lost = answer(&pool, FLASH, &invalid());
    time.advance(secs(10 * 86_400));
    for _ in 0..5 {
        assert_ne!(answer(&pool, FLASH, &Verdict::SUCCESS), lost);
    }
    assert_eq!(pool.snapshot().disabled_keys, 1);
}

#[test]
fn one_confirmation_comes_before_the_end_where_the_verdict_asks_for_it() {
    let (pool, time) = keys(1);
    let asks = || invalid().confirm_after(secs(30));
    let (first, second) = (take(&pool, FLASH), take(&pool, FLASH));
    first.judge(&asks());
    second.judge(&asks());
    assert_eq!(next_in(&pool, FLASH), Some(secs(30)), "two of one burst are one");
    time.advance(secs(30));
    answer(&pool, FLASH, &asks());
    assert_eq!(pool.snapshot().disabled_keys, 1);
    assert_eq!(next_in(&pool, FLASH), None);
}

/// One request confirms it, and others wait for what becomes of that, or go to other keys.
#[test]
fn one_request_alone_confirms_or_refutes() {
    let asks = || invalid().confirm_after(secs(60));
    let begin = || {
        let (pool, time) = keys(1);
        answer(&pool, FLASH, &asks());
        assert_eq!((next_in(&pool, FLASH), rest(&pool, 0)), (Some(secs(60)), Some(secs(60))));
        time.advance(secs(60));
        let alone = take(&pool, FLASH);
        assert!(pool.try_acquire(FLASH).is_err() && pool.try_acquire("pro").is_err(), "one at a time");
        assert_eq!(next_in(&pool, FLASH), Some(secs(1)), "as soon as it is answered");
        (pool, time, alone)
    };
    let (pool, _, alone) = begin();
    alone.settle(&asks());
    assert_eq!((pool.snapshot().disabled_keys, next_in(&pool, FLASH)), (1, None));
    let (pool, _, alone) = begin();
    alone.judge(&Verdict::SUCCESS);
    drop((take(&pool, FLASH), take(&pool, FLASH)));
    assert!(view(&pool, 0).rests.is_empty());
    // Whoever is at a limit is somebody.
    let (pool, time, alone) = begin();
    alone.settle(&rate_for(30));
    assert_eq!(next_in(&pool, FLASH), Some(secs(30)));
    drop((take(&pool, "pro"), take(&pool, "pro")));
    time.advance(secs(30));
    drop((take(&pool, FLASH), take(&pool, FLASH)));
    answer(&pool, FLASH, &asks());
    assert_eq!(pool.snapshot().disabled_keys, 1, "it was to be confirmed");
    // Of one that says nothing another one takes the place.
    for verdict in [Verdict::CANCELLED, Verdict::new(VerdictKind::Transient), Verdict::new(VerdictKind::CallerFault)] {
        let (pool, time, alone) = begin();
        alone.settle(&verdict);
        assert_eq!(next_in(&pool, FLASH), Some(secs(1)), "{verdict}");
        time.advance(secs(1));
        let _again = take(&pool, FLASH);
        assert!(pool.try_acquire(FLASH).is_err(), "{verdict}");
    }
}

/// What is to be confirmed keeps no key of a later priority from serving.
#[test]
fn a_later_priority_serves_while_one_confirms() {
    let (pool, time) = on(builder().keys([key(0), key(1).priority(tower_keypool::Priority(10))]));
    answer(&pool, FLASH, &invalid().confirm_after(secs(60)));
    time.advance(secs(60));
    let alone = take(&pool, FLASH);
    assert_eq!(alone.key_id(), &id(0));
    assert_eq!(answer(&pool, FLASH, &Verdict::SUCCESS), "k1");
    alone.settle(&Verdict::SUCCESS);
    assert_eq!(answer(&pool, FLASH, &Verdict::SUCCESS), "k0");
}

/// A longer rest that comes meanwhile is kept to.
#[test]
fn a_longer_rest_outlasts_the_pause_before_a_confirmation() {
    let asks = || invalid().confirm_after(secs(60));
    let limited = || rate_for(7_200).scope(Scope::Key);
    for (one, two) in [(asks(), limited()), (limited(), asks())] {
        let (pool, _) = keys(1);
        let (first, late) = (take(&pool, FLASH), take(&pool, FLASH));
        first.settle(&one);
        late.settle(&two);
        assert_eq!(next_in(&pool, FLASH), Some(secs(7_200)));
    }
}

/// Where it comes while the key rests for less, it is asked for all the same.
#[test]
fn a_confirmation_that_outlasts_another_rest_is_asked_for() {
    let asks = || invalid().confirm_after(secs(60));
    let (pool, time) = keys(1);
    let (first, late) = (take(&pool, FLASH), take(&pool, FLASH));
    first.settle(&rate_for(10).scope(Scope::Key));
    late.settle(&asks());
    assert_eq!((next_in(&pool, FLASH), rest(&pool, 0)), (Some(secs(60)), Some(secs(60))));
    time.advance(secs(60));
    answer(&pool, FLASH, &asks());
    assert_eq!(pool.snapshot().disabled_keys, 1, "that was the confirmation");
}

#[test]
fn a_success_between_takes_the_need_for_confirmation_back() {
    let (pool, time) = keys(1);
    let asks = || invalid().confirm_after(secs(30));
    answer(&pool, FLASH, &asks());
    time.advance(secs(30));
    answer(&pool, FLASH, &Verdict::SUCCESS);
    answer(&pool, FLASH, &asks());
    assert_eq!(pool.snapshot().disabled_keys, 0);
}

#[test]
fn scopes_reach_as_far_as_they_say() {
    let pool_of = || {
        on(builder().keys([
            key(0).owner("a").billing_account("bill"),
            key(1).owner("a").billing_account("bill"),
            key(2).owner("b").billing_account("bill"),
            key(3).owner("c"),
        ]))
    };
    let serve = |scope: Scope| {
        let (pool, _) = pool_of();
        let lease = take(&pool, FLASH);
        assert_eq!(lease.key_id(), &id(0));
        lease.judge(&rate_for(60).scope(scope));
        drop(lease);
        let who = |model: &str| {
            let leases: Vec<_> = std::iter::from_fn(|| pool.try_acquire(model).ok()).take(8).collect();
            let mut ids: Vec<_> = leases.iter().map(|lease| lease.key_id().to_string()).collect();
            ids.sort();
            ids.dedup();
            ids.join(" ")
        };
        (who(FLASH), who("pro"))
    };
    let all = "k0 k1 k2 k3";
    let expect = |here: &str, there: &str| (here.to_owned(), there.to_owned());
    assert_eq!(serve(Scope::Key), expect("k1 k2 k3", "k1 k2 k3"));
    assert_eq!(serve(Scope::KeyLane), expect("k1 k2 k3", all));
    assert_eq!(serve(Scope::OwnerLane), expect("k2 k3", all));
    assert_eq!(serve(Scope::Owner), expect("k2 k3", "k2 k3"));
    assert_eq!(serve(Scope::BillingAccount), expect("k3", "k3"));
    assert_eq!(serve(Scope::Lane), expect("", all));
    assert_eq!(serve(Scope::Exit), expect("", ""));
    assert_eq!(serve(Scope::Caller), expect(all, all));
}

#[test]
fn an_account_that_nobody_named_is_the_owner() {
    let (pool, _) = on(builder().keys([key(0).owner("a"), key(1).owner("a"), key(2).owner("b")]));
    answer(&pool, FLASH, &rate_for(60).scope(Scope::BillingAccount));
    for _ in 0..4 {
        assert_eq!(answer(&pool, FLASH, &Verdict::SUCCESS), "k2");
    }
}

#[test]
fn switched_off_by_hand_stays_off_whatever_answers_say() {
    let (pool, time) = keys(1);
    let leases: Vec<_> = (0..6).map(|_| take(&pool, FLASH)).collect();
    pool.disable(&id(0), "rotating").unwrap();
    leases[0].judge(&suspended(1).scope(Scope::Key));
    leases[1].judge(&rate_for(1).scope(Scope::Key));
    leases[2].judge(&unclear());
    leases[3].judge(&Verdict::SUCCESS);
    drop(leases);
    time.advance(secs(86_400));
    assert!(refused(&pool, FLASH).contains("disabled (by hand)"));
    pool.enable(&id(0)).unwrap();
    drop(take(&pool, FLASH));
}

#[test]
fn overloaded_rests_the_lane_after_five_in_a_row_and_spares_the_keys() {
    let (pool, time) = keys(3);
    let overloaded = Verdict::new(VerdictKind::Overloaded);
    for _ in 0..4 {
        answer(&pool, FLASH, &overloaded);
    }
    answer(&pool, FLASH, &Verdict::SUCCESS);
    for _ in 0..5 {
        answer(&pool, FLASH, &overloaded);
    }
    assert_eq!(next_in(&pool, FLASH), Some(secs(1)));
    drop(take(&pool, "pro"));
    time.advance(secs(1));
    answer(&pool, FLASH, &overloaded);
    assert_eq!(next_in(&pool, FLASH), Some(secs(2)), "it doubles");
    time.advance(secs(2));
    answer(&pool, FLASH, &Verdict::SUCCESS);
    drop(take(&pool, FLASH));
}

#[test]
fn an_overload_does_not_shorten_a_longer_rest_of_the_lane() {
    let (pool, _) = keys(1);
    let leases: Vec<_> = (0..6).map(|_| take(&pool, FLASH)).collect();
    leases[0].judge(&Verdict::new(VerdictKind::ModelUnavailable).until(Until::For(secs(3600))));
    for lease in &leases[1..] {
        lease.judge(&Verdict::new(VerdictKind::Overloaded));
    }
    assert_eq!(next_in(&pool, FLASH), Some(secs(3600)));
}

#[test]
fn a_late_success_does_not_lift_a_block_of_our_address() {
    let (pool, time) = keys(2);
    let early = take(&pool, FLASH);
    time.advance(secs(1));
    answer(&pool, FLASH, &Verdict::new(VerdictKind::Blocked));
    early.judge(&Verdict::SUCCESS);
    assert_eq!(next_in(&pool, FLASH), Some(secs(600)));
    time.advance(secs(600));
    answer(&pool, FLASH, &Verdict::SUCCESS);
}

#[test]
fn a_callers_fault_and_a_cancellation_say_nothing() {
    let (pool, _) = keys(1);
    for verdict in [Verdict::new(VerdictKind::CallerFault), Verdict::CANCELLED, Verdict::UNJUDGED] {
        answer(&pool, FLASH, &verdict);
    }
    assert!(view(&pool, 0).rests.is_empty());
    assert_eq!(noon().clock().tick(), pool.clock().tick());
}

#[test]
fn who_says_at_once_is_given_a_second() {
    for until in [Until::For(Duration::ZERO), Until::For(Duration::from_millis(999)), Until::Probed(Duration::ZERO)] {
        for scope in [Scope::KeyLane, Scope::Key, Scope::OwnerLane, Scope::Owner] {
            let (pool, time) = keys(1);
            answer(&pool, FLASH, &Verdict::new(VerdictKind::RateLimited).scope(scope).until(until));
            assert_eq!(next_in(&pool, FLASH), Some(secs(1)), "{until:?} {scope:?}");
            time.advance(secs(1));
            drop(take(&pool, FLASH));
        }
    }
}

#[test]
fn a_delay_of_nothing_that_is_refused_again_and_again_grows() {
    for stated in [0, 2] {
        let (pool, time) = keys(1);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            answer(&pool, FLASH, &rate_for(stated));
            let pause = rest(&pool, 0).expect("it rests");
            pauses.push(pause.as_secs());
            time.advance(pause);
        }
        let least = stated.max(1);
        let expected: Vec<u64> = [1, 1, 2, 4, 8, 16, 32, 64].iter().map(|pause| least.max(*pause)).collect();
        assert_eq!(pauses, expected);
        // One that is served is as if nothing had been.
        answer(&pool, FLASH, &Verdict::SUCCESS);
        answer(&pool, FLASH, &rate_for(stated));
        assert_eq!(rest(&pool, 0), Some(secs(least)));
    }
    // A delay that may well be meant is kept to the letter.
    let (pool, time) = keys(1);
    for _ in 0..4 {
        answer(&pool, FLASH, &rate_for(7));
        assert_eq!(rest(&pool, 0), Some(secs(7)));
        time.advance(secs(7));
    }
}

#[test]
fn while_all_rest_what_lasts_longer_is_told() {
    let (pool, time) = limited(1, Limits::new().per_minute(5));
    for _ in 0..5 {
        answer(&pool, FLASH, &Verdict::new(VerdictKind::Overloaded));
    }
    let full = next_in(&pool, FLASH);
    assert!((secs(60)..secs(61)).contains(&full.unwrap()), "{}", refused(&pool, FLASH));
    assert_eq!(view(&pool, 0).lanes[0].ready_in, full);
    time.advance(full.unwrap());
    drop(take(&pool, FLASH));

    let (pool, _) = limited(1, Limits::new().per_day(3));
    take(&pool, FLASH).settle(&Verdict::new(VerdictKind::Blocked));
    let tried = |demand: Demand| pool.try_acquire(demand).unwrap_err();
    assert_eq!(tried(Demand::new(FLASH)).retry_after(), Some(secs(600)));
    assert!(tried(Demand::new(FLASH).requests(9)).is_never_fits());
    let nobodys = tried(Demand::new(FLASH).affinity(Affinity::MustOwner("nobody".into())));
    assert!(nobodys.to_string().ends_with("none comes back by itself"), "{nobodys}");
    let day = tried(Demand::new(FLASH).requests(3));
    assert!(day.retry_after() > Some(secs(40_000)), "{day}");
    assert_eq!(view(&pool, 0).lanes[0].ready_in, Some(secs(600)));
    pool.disable(&id(0), "x").unwrap();
    assert!(
        refused(&pool, FLASH).ends_with("1 disabled (by hand); none comes back by itself"),
        "{}",
        refused(&pool, FLASH)
    );
}

#[test]
fn what_rests_and_is_full_is_ready_when_both_are_over() {
    let (pool, _) = limited(1, Limits::new().per_day(1));
    answer(&pool, FLASH, &rate_for(5));
    assert_eq!(view(&pool, 0).lanes[0].ready_in, next_in(&pool, FLASH));
}
