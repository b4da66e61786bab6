//! Learning: limits that answers name, what remains, who owns the quota, which model's it is.

use std::time::Duration;

use tower_keypool::{
    Affinity, Demand, Event, KeyPool, Limit, LimitSource, LimitView, Limits, QuotaNews, RateHeader, Scope, Span, Tier,
    Unit, Until, Usage, Verdict, VerdictKind, Violation,
};

use crate::support::{
    FLASH, PRO, answer, builder, id, key, keys, limited, next_in, on, owner_limited, rate_for, secs, take, telling,
    view,
};

fn violated(amount: u64) -> QuotaNews {
    let violation = Violation { unit: Unit::Requests, span: Span::MINUTE, amount: Some(amount) };
    QuotaNews { violations: vec![violation], ..QuotaNews::default() }
}

fn remains(remaining: u64, reset: u64) -> QuotaNews {
    let header = RateHeader { unit: Unit::Requests, remaining, limit: Some(100), reset: secs(reset) };
    QuotaNews { remaining: vec![header], ..QuotaNews::default() }
}

fn consumer(name: &str) -> QuotaNews {
    QuotaNews { consumer: Some(name.to_owned()), ..QuotaNews::default() }
}

fn charged_to(model: &str) -> QuotaNews {
    QuotaNews { quota_model: Some(model.to_owned()), ..QuotaNews::default() }
}

fn limits(pool: &KeyPool, n: usize, model: &str) -> Vec<LimitView> {
    let lanes = view(pool, n).lanes;
    lanes.into_iter().find(|lane| lane.model.as_deref() == Some(model)).map(|lane| lane.limits).unwrap_or_default()
}

fn fills_at(pool: &KeyPool, model: &str) -> usize {
    std::iter::from_fn(|| pool.try_acquire(model).ok()).take(1000).count()
}

#[test]
fn a_429_that_names_its_quota_sets_the_limit_for_that_owner_and_lane() {
    let (pool, time) = keys(2);
    assert_eq!(answer(&pool, FLASH, &telling(violated(5))), "k0");
    let learned = limits(&pool, 0, FLASH);
    assert_eq!((learned[0].limit.amount, learned[0].source), (5, LimitSource::Learned));
    assert!(limits(&pool, 1, FLASH).is_empty());
    assert!(limits(&pool, 0, PRO).is_empty());
    time.advance(secs(120));
    pool.disable(&id(1), "x").unwrap();
    assert_eq!(fills_at(&pool, FLASH), 5);
}

#[test]
fn of_several_headers_of_one_unit_the_one_that_holds_counts() {
    let (burst, day) = (remains(5, 2).remaining[0], remains(0, 3_600).remaining[0]);
    for remaining in [vec![burst, day], vec![day, burst]] {
        let (pool, time) = keys(1);
        answer(&pool, FLASH, &Verdict::SUCCESS.news(QuotaNews { remaining, ..QuotaNews::default() }));
        time.advance(secs(60));
        assert_eq!(fills_at(&pool, FLASH), 0, "nothing is left for an hour");
        time.advance(secs(3_600));
        assert!(fills_at(&pool, FLASH) > 0);
    }
}

#[test]
fn the_smaller_of_given_and_learned_holds_and_the_difference_is_told_once() {
    for (given, told, holds, source) in [(10, 5, 5, LimitSource::Learned), (10, 15, 10, LimitSource::Given)] {
        let (pool, time) = limited(1, Limits::new().per_minute(given));
        let mut events = pool.events();
        for _ in 0..3 {
            answer(&pool, FLASH, &telling(violated(told)));
            time.advance(secs(61));
        }
        let view = limits(&pool, 0, FLASH)[0];
        assert_eq!((view.limit.amount, view.source), (holds, source));
        let learned = std::iter::from_fn(|| events.try_next())
            .filter(|event| matches!(event, Ok(Event::Learned { given: Some(given), .. }) if *given == 10))
            .count();
        assert_eq!(learned, 1);
        assert_eq!(fills_at(&pool, FLASH), holds as usize);
    }
}

#[test]
fn what_is_under_way_counts_from_the_start_of_a_learned_limit() {
    let (pool, time) = keys(1);
    let leases: Vec<_> = (0..4).map(|_| take(&pool, FLASH)).collect();
    leases[0].judge(&telling(violated(5)));
    // The fifth, of whom nothing is known, leaves as the provider said: in 1 s, rounded down.
    time.advance(secs(3));
    assert_eq!(fills_at(&pool, FLASH), 1, "four of the five are out already");
}

#[test]
fn a_window_that_was_full_before_it_was_known_opens_as_it_was_filled() {
    let (pool, time) = keys(1);
    for _ in 0..20 {
        answer(&pool, FLASH, &Verdict::SUCCESS);
        time.advance(secs(1));
    }
    // The first of 20 starts leaves in 40 s.
    answer(&pool, FLASH, &rate_for(40).news(violated(20)));
    time.advance(secs(42));
    assert!(fills_at(&pool, FLASH) <= 2, "those that came one by one leave one by one");
    time.advance(secs(10));
    assert!((8..=10).contains(&fills_at(&pool, FLASH)));
}

/// The first answers come while the last requests are still on their way.
#[test]
fn a_window_that_was_filled_at_once_opens_once_its_last_left() {
    let (pool, time) = keys(1);
    let leases: Vec<_> = (0..25).map(|_| take(&pool, FLASH)).collect();
    time.advance(secs(1));
    for (n, lease) in leases.iter().enumerate() {
        lease.judge(&if n < 20 { Verdict::SUCCESS } else { rate_for(59).news(violated(20)) });
    }
    drop(leases);
    time.advance(Duration::from_millis(59_900));
    assert_eq!(fills_at(&pool, FLASH), 0, "those of the second 1 count until 61");
    time.advance(secs(1));
    assert_eq!(fills_at(&pool, FLASH), 20);
}

#[test]
fn fixed_limits_learn_nothing_and_rest_all_the_same() {
    let (pool, time) = on(builder().key(key(0)).fixed_limits(true));
    answer(&pool, FLASH, &telling(violated(5)));
    assert!(pool.try_acquire(FLASH).is_err());
    time.advance(secs(1));
    answer(&pool, FLASH, &Verdict::SUCCESS.news(remains(0, 60)));
    assert_eq!(fills_at(&pool, FLASH), 1000);
}

#[test]
fn the_table_holds_only_where_asked_for_and_a_tier_is_named() {
    let tiered = || key(0).tier(Tier::Free);
    let count = |builder: tower_keypool::KeyPoolBuilder| fills_at(&on(builder).0, FLASH);
    assert_eq!(count(builder().key(tiered())), 1000);
    assert_eq!(count(builder().key(key(0)).known_limits(true)), 1000);
    assert_eq!(count(builder().key(tiered()).known_limits(true)), 3);
    let given = Limits::new().per_minute(7);
    assert_eq!(count(builder().key(tiered()).known_limits(true).limits(FLASH, given)), 7);
    let (pool, time) = on(builder().key(tiered()).known_limits(true));
    drop(take(&pool, FLASH));
    assert_eq!(limits(&pool, 0, FLASH)[0].source, LimitSource::Table);
    answer(&pool, FLASH, &telling(violated(9)));
    time.advance(secs(120));
    assert_eq!(fills_at(&pool, FLASH), 9, "what was learned comes before the table");
}

#[test]
fn a_keys_own_limits_come_before_the_pools() {
    let own = Limits::new().per_minute(2);
    let (pool, _) = on(builder()
        .keys([key(0).limits(FLASH, own.clone()), key(1).limits("*", own)])
        .limits(FLASH, Limits::new().per_minute(3))
        .limits("*", Limits::new().per_minute(50)));
    assert_eq!(fills_at(&pool, FLASH), 4);
    assert_eq!(fills_at(&pool, "third"), 52);
}

#[test]
fn rate_headers_say_what_remains_and_until_when() {
    let (pool, time) = keys(1);
    answer(&pool, FLASH, &Verdict::SUCCESS.news(remains(2, 30)));
    assert_eq!(fills_at(&pool, FLASH), 2);
    assert_eq!(next_in(&pool, FLASH), Some(secs(30)));
    assert_eq!(fills_at(&pool, PRO), 1000, "another lane");
    time.advance(secs(30));
    assert_eq!(fills_at(&pool, FLASH), 1000);
    answer(&pool, FLASH, &Verdict::SUCCESS.news(remains(0, 30)));
    assert_eq!(fills_at(&pool, FLASH), 0);
}

#[test]
fn what_started_after_the_answered_request_is_still_to_be_taken_off() {
    let (pool, _) = keys(1);
    let first = take(&pool, FLASH);
    let _under_way = [take(&pool, FLASH), take(&pool, FLASH)];
    first.judge(&Verdict::SUCCESS.news(remains(5, 30)));
    assert_eq!(fills_at(&pool, FLASH), 3);
}

#[test]
fn a_header_that_says_more_than_the_one_before_opens_at_once() {
    for more in [remains(2, 30), remains(0, 0)] {
        let (pool, _) = keys(2);
        let under_way = [take(&pool, FLASH), take(&pool, FLASH)];
        let others = [take(&pool, FLASH), take(&pool, FLASH)];
        for lease in others {
            lease.judge(&Verdict::SUCCESS.news(remains(0, 30)));
        }
        assert!(pool.try_acquire(FLASH).is_err());
        for lease in under_way {
            lease.judge(&Verdict::SUCCESS.news(more.clone()));
        }
        assert!(pool.try_acquire(FLASH).is_ok(), "{more:?}");
    }
}

#[test]
fn a_demand_larger_than_what_remains_waits_and_smaller_ones_do_not() {
    let (pool, _) = keys(1);
    answer(&pool, FLASH, &Verdict::SUCCESS.news(remains(3, 30)));
    let large = || tower_keypool::Demand::new(FLASH).requests(4);
    assert_eq!(pool.try_acquire(large()).unwrap_err().retry_after(), Some(secs(30)));
    drop(take(&pool, FLASH));
}

#[test]
fn keys_of_one_consumer_are_one_owner_with_one_quota() {
    let (pool, time) = limited(3, Limits::new().per_minute(4));
    let mut events = pool.events();
    for _ in 0..2 {
        answer(&pool, FLASH, &Verdict::SUCCESS.news(consumer("projects/1")));
    }
    assert_eq!(view(&pool, 0).owner.as_deref(), Some("projects/1"));
    assert_eq!(view(&pool, 0).owner, view(&pool, 1).owner);
    assert_eq!(limits(&pool, 1, FLASH)[0].used, 2, "their usage is merged");
    let grouped: Vec<_> = std::iter::from_fn(|| events.try_next())
        .filter(|event| matches!(event, Ok(Event::Grouped { keys: 2, .. })))
        .collect();
    assert_eq!(grouped.len(), 1);
    assert_eq!(fills_at(&pool, FLASH), 2 + 4);
    time.advance(secs(61));
    let first = take(&pool, FLASH);
    first.judge(&owner_limited(60));
    assert_eq!(fills_at(&pool, FLASH), 4, "one owner rests, the other serves");
}

#[test]
fn the_verdict_that_groups_rests_the_common_owner() {
    let (pool, _) = keys(2);
    answer(&pool, FLASH, &Verdict::SUCCESS.news(consumer("projects/1")));
    answer(&pool, FLASH, &rate_for(60).news(QuotaNews { consumer: Some("projects/1".into()), ..violated(10) }));
    assert_eq!(next_in(&pool, FLASH), Some(secs(60)), "both keys");
    assert_eq!(limits(&pool, 0, FLASH)[0].limit.amount, 10, "and both have its limit");
}

#[test]
fn requests_under_way_move_to_the_common_owner_and_end_well() {
    let (pool, time) = limited(2, Limits::new().per_minute(4));
    let (one, two) = (take(&pool, FLASH), take(&pool, FLASH));
    one.judge(&Verdict::SUCCESS.news(consumer("projects/1")));
    two.judge(&Verdict::SUCCESS.news(consumer("projects/1")));
    drop((one, two));
    assert_eq!(fills_at(&pool, FLASH), 2);
    assert_eq!(pool.snapshot().in_flight, 0);
    time.advance(secs(61));
    assert_eq!(fills_at(&pool, FLASH), 4);
}

#[test]
fn an_owner_that_is_called_by_two_names_has_used_once_what_it_used() {
    let (pool, _) = limited(2, Limits::new().per_minute(8));
    for name in ["projects/2", "projects/1", "projects/1", "projects/1", "projects/2"] {
        answer(&pool, FLASH, &Verdict::SUCCESS.news(consumer(name)));
    }
    assert_eq!(view(&pool, 0).owner, view(&pool, 1).owner);
    assert_eq!(limits(&pool, 0, FLASH)[0].used, 5);
    assert_eq!(fills_at(&pool, FLASH), 3);
}

#[test]
fn owners_configured_as_two_stay_two_and_it_is_said_once() {
    let (pool, _) = on(builder().keys([key(0).owner("a"), key(1).owner("b"), key(2).owner("c"), key(3).owner("c")]));
    let mut events = pool.events();
    for _ in 0..20 {
        answer(&pool, FLASH, &Verdict::SUCCESS.news(consumer("projects/1")));
    }
    assert_ne!(view(&pool, 0).owner, view(&pool, 1).owner);
    let said: Vec<_> = std::iter::from_fn(|| events.try_next())
        .filter_map(|event| match event {
            Ok(Event::Grouped { owner, keys, .. }) => Some((owner, keys)),
            _ => None,
        })
        .collect();
    let counts: Vec<u32> = said.iter().map(|(_, keys)| *keys).collect();
    assert!(matches!(counts[..], [2 | 3, 4]), "all that are known to share it: {said:?}");
    assert!(said.iter().all(|(owner, _)| owner == "projects/1 (configured as several owners)"), "{said:?}");
}

#[test]
fn a_model_charged_to_anothers_quota_follows_it() {
    let (pool, time) = on(builder()
        .key(key(0))
        .limits("alias", Limits::new().per_minute(100))
        .limits(PRO, Limits::new().per_minute(4)));
    drop(take(&pool, "alias"));
    answer(&pool, "alias", &Verdict::SUCCESS.news(charged_to(PRO)));
    assert_eq!(limits(&pool, 0, PRO)[0].used, 2, "what was used so far counts there");
    let lease = take(&pool, "alias");
    assert_eq!(lease.model(), Some("alias"), "the request still asks for what it asked for");
    drop(lease);
    drop(take(&pool, PRO));
    assert!(pool.try_acquire("alias").is_err());
    time.advance(secs(61));
    answer(&pool, "alias", &rate_for(60).scope(Scope::OwnerLane));
    assert!(pool.try_acquire(PRO).is_err(), "and they rest together");
}

/// What a request was taken to cost counts from when a limit of tokens holds for it, and no more than that is given back.
#[test]
fn tokens_that_were_counted_nowhere_are_not_taken_off_what_others_used() {
    type Turns = fn(&KeyPool) -> &'static str;
    let given = || builder().key(key(0)).limits("alias", Limits::new().per_minute(100));
    let tokens = || Limits::new().per_minute(100).tokens_per_minute(10_000);
    let by_follow = |pool: &KeyPool| {
        answer(pool, "alias", &Verdict::SUCCESS.news(charged_to(PRO)));
        PRO
    };
    let by_learning = |pool: &KeyPool| {
        let violation = Violation { unit: Unit::InputTokens, span: Span::MINUTE, amount: Some(10_000) };
        answer(
            pool,
            "alias",
            &Verdict::SUCCESS.news(QuotaNews { violations: vec![violation], ..QuotaNews::default() }),
        );
        "alias"
    };
    for (pro, turns) in [(tokens(), by_follow as Turns), (Limits::new(), by_learning)] {
        let (pool, time) = on(given().limits(PRO, pro));
        let early = pool.try_acquire(Demand::new("alias").tokens(2_500)).unwrap();
        time.advance(secs(1));
        let model = turns(&pool);
        let more = |tokens| pool.try_acquire(Demand::new(model).tokens(tokens)).map(drop);
        assert!(more(7_501).is_err(), "what is under way counts");
        more(7_500).unwrap();
        let mut nothing = Usage::default();
        nothing.input_tokens = Some(0);
        early.usage(nothing);
        assert!(more(2_501).is_err(), "it gives back what it took");
        more(2_500).unwrap();
    }
}

#[test]
fn the_verdict_that_tells_of_the_other_model_rests_and_limits_that() {
    let (pool, _) = keys(1);
    let leases = [take(&pool, "alias"), take(&pool, "alias")];
    leases[0].judge(&rate_for(60).news(QuotaNews { quota_model: Some(PRO.into()), ..violated(10) }));
    assert_eq!(next_in(&pool, PRO), Some(secs(60)));
    assert_eq!(next_in(&pool, "alias"), Some(secs(60)));
    assert_eq!((limits(&pool, 0, PRO)[0].limit.amount, limits(&pool, 0, PRO)[0].used), (10, 2));
    drop(leases);
    assert_eq!(pool.snapshot().in_flight, 0);
    assert!(pool.snapshot().lanes.iter().all(|lane| lane.in_flight == 0));
}

#[test]
fn what_was_given_for_a_model_holds_when_it_counts_in_anothers_quota() {
    let of = |requests| Limits::new().per_minute(requests);
    let own = || builder().key(key(0).limits("alias", of(2)));
    let pools = || builder().key(key(0)).limits("alias", of(2));
    let both = || builder().key(key(0).limits("alias", of(2)).limits(PRO, of(9)));
    let other = || builder().key(key(0).limits("alias", of(9)).limits(PRO, of(2)));
    for (nth, given) in [own(), pools(), both(), other()].into_iter().enumerate() {
        let (pool, time) = on(given);
        answer(&pool, "alias", &Verdict::SUCCESS.news(charged_to(PRO)));
        time.advance(secs(61));
        assert_eq!(fills_at(&pool, "alias"), 2, "{nth}");
    }
    // What is given for every model is less than what is given for that one.
    let (pool, time) = on(builder().key(key(0).limits("*", of(2)).limits(PRO, of(9))));
    answer(&pool, "alias", &Verdict::SUCCESS.news(charged_to(PRO)));
    time.advance(secs(61));
    assert_eq!(fills_at(&pool, "alias"), 9);
    // Given later.
    let (pool, time) = on(builder().key(key(0)));
    answer(&pool, "alias", &Verdict::SUCCESS.news(charged_to(PRO)));
    pool.reconfigure(builder().key(key(0)).limits("alias", of(3))).unwrap();
    time.advance(secs(61));
    assert_eq!(fills_at(&pool, "alias"), 3);
}

#[test]
fn rests_go_along_when_a_model_counts_in_anothers_quota() {
    for scope in [Scope::OwnerLane, Scope::KeyLane] {
        for (before, rest, other) in [(10, 3_600, 1), (60, 3_600, 1), (7_200, 3_600, 1)] {
            let (pool, time) = keys(2);
            let at = |n: usize, model: &str| pool.try_acquire(Demand::new(model).affinity(Affinity::MustKey(id(n))));
            at(0, PRO).unwrap().settle(&rate_for(before).scope(scope));
            time.advance(secs(20));
            at(0, "alias").unwrap().settle(&rate_for(rest).scope(scope));
            at(1, "alias").unwrap().settle(&rate_for(other).scope(scope).news(charged_to(PRO)));
            time.advance(secs(1));
            let out = at(0, "alias").unwrap_err().to_string();
            let longest = rest.max(before.saturating_sub(20_u64)) - 1;
            assert!(out.contains(&format!("next in {longest} s")), "{scope:?} after {before}: {out}");
        }
    }
    let (pool, _) = keys(2);
    let overloaded = Verdict::new(VerdictKind::Overloaded).scope(Scope::Lane).until(Until::For(secs(25)));
    let leases: Vec<_> = (0..6).map(|_| take(&pool, "alias")).collect();
    let late = take(&pool, "alias");
    for lease in leases {
        lease.settle(&overloaded);
    }
    assert_eq!(next_in(&pool, "alias"), Some(secs(25)));
    late.settle(&rate_for(1).news(charged_to(PRO)));
    assert_eq!(next_in(&pool, "alias"), Some(secs(25)), "it is as overloaded as it was");
}

#[test]
fn a_limit_of_zero_means_never() {
    let none = Limit { unit: Unit::Requests, span: Span::Day, amount: 0 };
    let (pool, _) = limited(1, Limits::new().with(none));
    assert_eq!(next_in(&pool, FLASH), None);
    answer(&pool, PRO, &telling(violated(0)));
    assert!(limits(&pool, 0, PRO).is_empty(), "no entitlement is a verdict's matter, not a window's");
}

#[test]
fn of_limits_that_two_keys_give_their_owner_the_stricter_holds() {
    let limits_of = |one: Limits, other: Limits| {
        let own = |n: usize, limits: Limits| key(n).owner("p").limits("*", limits);
        let (pool, _) = on(builder().keys([own(0, one), own(1, other)]));
        fills_at(&pool, FLASH)
    };
    let of = |requests| Limits::new().per_minute(requests);
    assert_eq!(limits_of(of(3), of(5)), 3);
    assert_eq!(limits_of(of(5), of(3)), 3);
    assert_eq!(limits_of(of(3), Limits::new().tokens_per_minute(100)), 3, "another unit takes nothing away");
    assert_eq!(limits_of(Limits::new().per_day(2), of(3)), 2);
    // Given anew once all its keys went.
    let (pool, _) = on(builder().key(key(0).owner("p").limits("*", of(3))).key(key(1)));
    pool.remove(&id(0)).unwrap();
    pool.add(key(2).owner("p").limits("*", of(6))).unwrap();
    pool.remove(&id(1)).unwrap();
    assert_eq!(fills_at(&pool, FLASH), 6);
}

#[test]
fn owners_that_turn_out_to_be_one_keep_the_stricter_limits_of_both() {
    for (first, second, pools, holds) in [(9, Some(4), None, 4), (4, Some(9), None, 4), (9, None, Some(3), 3)] {
        let of = |requests| Limits::new().per_minute(requests);
        let mut one = builder().key(key(0).limits("*", of(first)));
        let other = second.map_or_else(|| key(1), |second| key(1).limits("*", of(second)));
        one = one.key(other);
        if let Some(all) = pools {
            one = one.limits("*", of(all));
        }
        let (pool, time) = on(one);
        for _ in 0..2 {
            answer(&pool, FLASH, &Verdict::SUCCESS.news(consumer("projects/1")));
        }
        time.advance(secs(61));
        assert_eq!(fills_at(&pool, FLASH), holds);
    }
}

#[test]
fn what_was_learned_of_an_account_is_forgotten_by_hand_and_with_its_tier() {
    let day = || Violation { unit: Unit::Requests, span: Span::Day, amount: Some(20) };
    let told = || telling(QuotaNews { violations: vec![day()], ..QuotaNews::default() });
    let (pool, time) = keys(1);
    answer(&pool, FLASH, &told());
    time.advance(secs(3 * 86_400));
    assert_eq!(fills_at(&pool, FLASH), 20, "it holds as long as nobody says otherwise");
    pool.enable(&id(0)).unwrap();
    assert!(limits(&pool, 0, FLASH).is_empty());
    assert_eq!(fills_at(&pool, FLASH), 1000);

    let (pool, time) = keys(1);
    answer(&pool, FLASH, &told());
    time.advance(secs(61));
    let paid = || builder().key(key(0).tier(Tier::Paid)).limits(FLASH, Limits::new().per_day(500));
    pool.reconfigure(paid()).unwrap();
    assert_eq!(limits(&pool, 0, FLASH)[0].limit.amount, 500);
    answer(&pool, FLASH, &told());
    time.advance(secs(61));
    pool.reconfigure(paid()).unwrap();
    assert_eq!(limits(&pool, 0, FLASH)[0].limit.amount, 20, "the same tier as before");
}

#[test]
fn what_an_answer_says_of_its_end_comes_before_when_all_is_restored() {
    let (pool, time) = keys(1);
    let rest = rate_for(5).news(remains(0, 360));
    answer(&pool, FLASH, &rest);
    assert!(pool.try_acquire(FLASH).is_err());
    time.advance(secs(6));
    assert!(pool.try_acquire(FLASH).is_ok(), "the provider said 5 s");
}

#[test]
fn a_reset_beyond_a_day_is_not_believed() {
    for (reset, out) in [(60, true), (86_400, true), (10 * 365 * 86_400, false)] {
        let (pool, _) = keys(1);
        answer(&pool, FLASH, &Verdict::SUCCESS.news(remains(0, reset)));
        assert_eq!(pool.try_acquire(FLASH).is_err(), out, "{reset}");
    }
}

#[test]
fn what_began_before_the_limit_was_known_counts_as_it_began() {
    let (pool, time) = keys(1);
    drop(take(&pool, FLASH));
    time.advance(secs(20));
    (0..7).for_each(|_| drop(take(&pool, FLASH)));
    let told = || rate_for(39).news(violated(8));
    let lease = take(&pool, FLASH);
    time.advance(Duration::from_millis(10));
    lease.judge(&told());
    drop(lease);
    time.advance(secs(41));
    assert_eq!(fills_at(&pool, FLASH), 1, "the first has left, as the provider said");
    time.advance(secs(18));
    assert_eq!(fills_at(&pool, FLASH), 0, "{:?}: seven began after 20 s", next_in(&pool, FLASH));
    time.advance(secs(2));
    assert_eq!(fills_at(&pool, FLASH), 7);
}

/// As a bucket does that fills bit by bit.
#[test]
fn who_counts_otherwise_is_believed_as_to_when_the_first_leaves() {
    let (pool, time) = keys(1);
    (0..5).for_each(|_| drop(take(&pool, FLASH)));
    answer(&pool, FLASH, &rate_for(20).news(violated(3)));
    assert!((secs(20)..=secs(22)).contains(&next_in(&pool, FLASH).unwrap()), "{:?}", next_in(&pool, FLASH));
    time.advance(secs(22));
    assert_eq!(fills_at(&pool, FLASH), 1);
    time.advance(secs(37));
    assert_eq!(fills_at(&pool, FLASH), 0);
    time.advance(secs(2));
    assert_eq!(fills_at(&pool, FLASH), 2);
}

#[test]
fn what_began_without_limits_counts_by_those_that_are_given() {
    let (pool, time) = keys(2);
    for _ in 0..10 {
        time.advance(secs(4));
        drop(take(&pool, FLASH));
    }
    let keys = (0..2).map(key).collect::<Vec<_>>();
    pool.reconfigure(builder().keys(keys).limits(FLASH, Limits::new().per_minute(6)).clock(time.clock())).unwrap();
    assert_eq!(fills_at(&pool, FLASH), 2);
}

#[test]
fn absurd_amounts_are_no_limits() {
    for amount in [u64::MAX, 1 << 63, 1_000_000_000_000_000_000] {
        let (pool, time) = keys(1);
        answer(&pool, FLASH, &rate_for(26).news(violated(amount)));
        time.advance(secs(30));
        drop(take(&pool, FLASH));
        assert!(limits(&pool, 0, FLASH).is_empty());
    }
    let (pool, _) = keys(1);
    answer(&pool, FLASH, &rate_for(26).news(violated(1_000_000_000_000)));
    assert!(limits(&pool, 0, FLASH)[0].used <= 1_000_000_000_001);
}

#[test]
fn all_that_began_without_limits_counts_whoever_ended_it() {
    let (pool, time) = keys(1);
    take(&pool, FLASH).settle(&Verdict::SUCCESS);
    take(&pool, FLASH).settle(&Verdict::SUCCESS);
    take(&pool, FLASH).settle(&Verdict::SUCCESS);
    drop(take(&pool, FLASH));
    drop(pool.try_acquire(Demand::new(FLASH).requests(4)).unwrap());
    let limits = || Limits::new().per_minute(10);
    pool.reconfigure(builder().key(key(0)).limits(FLASH, limits()).clock(time.clock())).unwrap();
    assert_eq!(fills_at(&pool, FLASH), 2);

    // Whoever comes in the place of others has none of theirs.
    let many = |from: usize| (from..from + 600).map(key).collect::<Vec<_>>();
    let (pool, time) = on(builder().keys(many(0)));
    (0..1200).for_each(|_| drop(take(&pool, FLASH)));
    (0..600).for_each(|n| pool.remove(&id(n)).unwrap());
    for key in many(600) {
        pool.add(key).unwrap();
    }
    pool.reconfigure(builder().keys(many(600)).limits(FLASH, limits()).clock(time.clock())).unwrap();
    let used = |n| {
        super::support::view(&pool, n)
            .lanes
            .iter()
            .flat_map(|lane| lane.limits.clone())
            .map(|view| view.used)
            .sum::<u64>()
    };
    assert_eq!((600..1200).map(used).sum::<u64>(), 0);
}

#[test]
fn what_began_without_limits_counts_where_a_model_turns_out_to_be_anothers() {
    let (pool, time) = on(builder().key(key(0)).limits(PRO, Limits::new().per_minute(10)));
    (0..9).for_each(|_| drop(take(&pool, FLASH)));
    answer(&pool, FLASH, &Verdict::SUCCESS.news(charged_to(PRO)));
    assert_eq!(fills_at(&pool, FLASH), 0);
    time.advance(secs(61));
    assert_eq!(fills_at(&pool, FLASH), 10);
}

/// Where a limit is learned while requests are under way, those of other models have no part in it.
#[test]
fn a_learned_limit_counts_what_is_under_way_for_that_model_alone() {
    let (pool, _time) = keys(1);
    let [flash, pro] = [(FLASH, 100), (PRO, 400)].map(|(model, tokens)| {
        let lease = pool.try_acquire(Demand::new(model).tokens(tokens)).unwrap();
        assert!(lease.started());
        lease
    });
    let violation = Violation { unit: Unit::InputTokens, span: Span::MINUTE, amount: Some(1000) };
    answer(&pool, FLASH, &telling(QuotaNews { violations: vec![violation], ..QuotaNews::default() }));
    assert_eq!(limits(&pool, 0, FLASH).iter().map(|view| view.used).collect::<Vec<_>>(), [100]);
    drop((flash, pro));
}
