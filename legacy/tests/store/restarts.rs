//! A process ends, or crashes, and another goes on where it was.

use std::time::Duration;

use tower_keypool::{
    Affinity, Demand, KeyPool, KeyPoolBuilder, KeyState, Limit, LimitSource, Limits, QuotaNews, Scope, Span, Strategy,
    Unit, Until, Usage, Verdict, VerdictKind, Violation,
    store::{KeyStanding, Store},
};

use crate::{
    machine::{Machine, room, spend},
    support::{
        FLASH, PRO, answer, builder, daily, id, invalid, key, next_in, owner_limited, rate, rate_for, rest, secret,
        secs, served, suspended, take, telling, view, wall,
    },
};

fn tokens_in(tokens: u64) -> Usage {
    let mut usage = Usage::default();
    usage.input_tokens = Some(tokens);
    usage
}

/// An answer to a request by this key.
fn by(pool: &KeyPool, n: usize, verdict: &Verdict) {
    let demand = Demand::new(FLASH).affinity(Affinity::MustKey(id(n)));
    pool.try_acquire(demand).expect("this key is ready").judge(verdict);
}

fn ten_a_minute() -> KeyPoolBuilder {
    builder().key(key(0)).limits(FLASH, Limits::new().per_minute(10))
}

#[tokio::test(start_paused = true)]
async fn a_minute_goes_on_where_a_process_ended() {
    let machine = Machine::new();
    let first = machine.start(ten_a_minute()).await;
    spend(&first, FLASH, 4).await;
    machine.time.advance(secs(20));
    spend(&first, FLASH, 3).await;
    first.shutdown().await;

    machine.time.advance(secs(10));
    let second = machine.start(ten_a_minute()).await;
    assert_eq!(room(&second, FLASH).await, 3);
    machine.time.advance(secs(30) + Duration::from_millis(300));
    assert_eq!(room(&second, FLASH).await, 4, "those of the first minute's beginning have left");
}

#[tokio::test(start_paused = true)]
async fn a_day_is_found_again_by_the_next_process_after_a_clock_was_on_many_others() {
    let machine = Machine::new();
    let two_a_day = || builder().key(key(0)).limits(FLASH, Limits::new().per_day(2));
    let first = machine.start(two_a_day()).await;
    spend(&first, FLASH, 2).await;
    for day in 16..29 {
        machine.time.set_wall(wall(&format!("2026-06-{day}T12:00:00-07:00")));
        spend(&first, FLASH, 1).await;
    }
    first.shutdown().await;
    let second = machine.start(two_a_day()).await;
    machine.time.set_wall(wall("2026-06-15T12:00:00-07:00"));
    assert_eq!(room(&second, FLASH).await, 0);
    machine.time.set_wall(wall("2026-06-20T12:00:00-07:00"));
    assert_eq!(room(&second, FLASH).await, 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_what_may_have_been_started_unseen_counts_and_no_more() {
    let machine = Machine::new();
    let first = machine.start(ten_a_minute()).await;
    spend(&first, FLASH, 5).await;
    first.flush().await.unwrap();
    let unseen = take(&first, FLASH);
    drop(first);
    drop(unseen);

    machine.time.advance(secs(5));
    let second = machine.start(ten_a_minute()).await;
    let left = room(&second, FLASH).await;
    assert!((1..=4).contains(&left), "{left}: at most 4, and not locked out");
    machine.time.advance(secs(61));
    assert_eq!(room(&second, FLASH).await, 10);
}

#[tokio::test(start_paused = true)]
async fn what_was_never_written_counts_after_a_crash() {
    let machine = Machine::new();
    let first = machine.start(ten_a_minute()).await;
    let mut unseen = Vec::new();
    while let Ok(lease) = first.try_acquire(FLASH) {
        unseen.push(lease);
    }
    assert!(!unseen.is_empty());
    let unseen = unseen.into_iter().map(drop).count();
    // No turn for the task that writes: nobody has awaited anything.
    drop(first);

    let second = machine.start(ten_a_minute()).await;
    let left = room(&second, FLASH).await;
    assert!(left + unseen <= 10 && left >= 6, "{unseen} before the crash, {left} after it");
}

#[tokio::test(start_paused = true)]
async fn a_rest_goes_on_and_ends_when_it_would_have() {
    let machine = Machine::new();
    let first = machine.process(builder().key(key(0)).key(key(1))).await;
    answer(&first.pool, FLASH, &rate_for(90));
    answer(&first.pool, FLASH, &owner_limited(300));
    first.pool.flush().await.unwrap();
    first.crash();

    machine.time.advance(secs(30));
    let second = machine.start(builder().key(key(0)).key(key(1))).await;
    assert_eq!((rest(&second, 0), rest(&second, 1)), (Some(secs(60)), Some(secs(270))));
    let kept = view(&second, 0).rests.remove(0);
    assert_eq!((kept.kind, kept.scope), (VerdictKind::RateLimited, Scope::OwnerLane));
    machine.time.advance(secs(60));
    assert_eq!(served(&second, FLASH), "k0");
}

#[tokio::test(start_paused = true)]
async fn the_next_incident_after_a_restart_is_the_second() {
    let machine = Machine::new();
    let first = machine.start(builder().key(key(0))).await;
    answer(&first, FLASH, &rate());
    first.shutdown().await;
    machine.time.advance(secs(11));
    let second = machine.start(builder().key(key(0))).await;
    answer(&second, FLASH, &rate());
    assert_eq!(rest(&second, 0), Some(secs(20)), "10 s doubled");
}

#[tokio::test(start_paused = true)]
async fn what_is_disabled_stays_disabled_until_somebody_enables_it() {
    let machine = Machine::new();
    let three = || builder().keys((0..3).map(key));
    let first = machine.process(three()).await;
    first.pool.disable(&id(0), "lost on the train").unwrap();
    first.pool.flush().await.unwrap();
    by(&first.pool, 1, &suspended(3600));
    by(&first.pool, 2, &invalid());
    first.pool.flush().await.unwrap();
    let before: Vec<_> = (0..3).map(|n| view(&first.pool, n).state).collect();
    assert_eq!(before, [KeyState::Disabled; 3]);
    first.crash();

    let second = machine.start(three()).await;
    let after: Vec<_> = (0..3).map(|n| view(&second, n).state).collect();
    assert_eq!(before, after);
    let by_hand = view(&second, 0).rests.remove(0);
    assert_eq!((by_hand.kind, &*by_hand.code), (VerdictKind::Unjudged, "lost on the train"));
    second.enable(&id(0)).unwrap();
    second.shutdown().await;

    let third = machine.start(three()).await;
    assert_eq!(view(&third, 0).state, KeyState::Ready, "enabled once is enabled");
}

#[tokio::test(start_paused = true)]
async fn a_suspended_key_is_probed_when_it_would_have_been() {
    let machine = Machine::new();
    let first = machine.start(builder().key(key(0))).await;
    answer(&first, FLASH, &suspended(3600));
    first.shutdown().await;
    machine.time.advance(secs(600));
    let second = machine.start(builder().key(key(0))).await;
    assert_eq!(view(&second, 0).rests[0].probe_in, Some(secs(3000)));
    machine.time.advance(secs(3000));
    answer(&second, FLASH, &Verdict::SUCCESS);
    assert_eq!(view(&second, 0).state, KeyState::Ready);
    second.shutdown().await;
    let third = machine.start(builder().key(key(0))).await;
    assert_eq!(view(&third, 0).state, KeyState::Ready, "and is not suspended again");
}

#[tokio::test(start_paused = true)]
async fn a_day_is_counted_by_its_date_whatever_happens_to_the_process() {
    let machine = Machine::new();
    let day = || builder().key(key(0)).limits(FLASH, Limits::new().per_day(5));
    let first = machine.start(day()).await;
    spend(&first, FLASH, 3).await;
    first.shutdown().await;
    machine.time.advance(secs(6 * 3600));
    let second = machine.start(day()).await;
    assert_eq!(room(&second, FLASH).await, 2, "the same afternoon");
    second.shutdown().await;
    machine.time.set_wall(wall("2026-06-16T00:01:00-07:00"));
    let third = machine.start(day()).await;
    assert_eq!(room(&third, FLASH).await, 5, "the day after");
    third.shutdown().await;
    machine.time.set_wall(wall("2026-06-15T23:00:00-07:00"));
    let fourth = machine.start(day()).await;
    assert_eq!(room(&fourth, FLASH).await, 0, "the clock was set back");
}

#[tokio::test(start_paused = true)]
async fn a_used_up_day_ends_at_its_midnight() {
    let machine = Machine::new();
    let first = machine.start(builder().key(key(0))).await;
    answer(&first, FLASH, &daily().until(Until::DayEnd));
    first.shutdown().await;
    machine.time.set_wall(wall("2026-06-15T23:59:00-07:00"));
    let second = machine.start(builder().key(key(0))).await;
    assert_eq!(rest(&second, 0), Some(secs(90)), "a minute, and the guard");
}

#[tokio::test(start_paused = true)]
async fn on_a_late_clock_nothing_lasts_longer_than_it_was_meant_to() {
    let machine = Machine::new();
    let two = || builder().keys((0..2).map(key)).limits(FLASH, Limits::new().per_minute(10));
    let first = machine.process(two()).await;
    answer(&first.pool, FLASH, &rate_for(40));
    spend(&first.pool, FLASH, 9).await;
    first.pool.flush().await.unwrap();
    first.crash();

    machine.time.set_wall(wall("2026-06-15T09:00:00-07:00"));
    let second = machine.start(two()).await;
    assert_eq!(rest(&second, 0), Some(secs(40)));
    let left = room(&second, FLASH).await;
    assert!(left <= 1, "{left} while nobody knows when the last were started");
    machine.time.advance(secs(61));
    assert_eq!(room(&second, FLASH).await, 20);
}

#[tokio::test(start_paused = true)]
async fn a_learned_limit_is_known_to_the_next_process() {
    let machine = Machine::new();
    let first = machine.start(builder().key(key(0))).await;
    let minute = Limit { unit: Unit::Requests, span: Span::MINUTE, amount: 3 };
    let news = QuotaNews {
        violations: vec![Violation { unit: minute.unit, span: minute.span, amount: Some(3) }],
        ..QuotaNews::default()
    };
    answer(&first, FLASH, &telling(news));
    first.shutdown().await;
    machine.time.advance(secs(70));
    let second = machine.start(builder().key(key(0))).await;
    assert_eq!(room(&second, FLASH).await, 3);
    let limits = view(&second, 0).lanes.into_iter().find(|lane| lane.model.as_deref() == Some(FLASH)).unwrap().limits;
    assert_eq!((limits[0].limit, limits[0].source), (minute, LimitSource::Learned));
}

#[tokio::test(start_paused = true)]
async fn other_limits_find_what_was_used_under_the_old_ones() {
    let machine = Machine::new();
    let first = machine.start(ten_a_minute()).await;
    spend(&first, FLASH, 6).await;
    first.shutdown().await;
    let second = machine.start(builder().key(key(0)).limits(FLASH, Limits::new().per_minute(8).per_day(20))).await;
    assert_eq!(room(&second, FLASH).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_renamed_key_is_the_same_and_another_secret_is_not() {
    let machine = Machine::new();
    let first = machine.start(ten_a_minute()).await;
    spend(&first, FLASH, 10).await;
    first.shutdown().await;
    let ten = |key| builder().key(key).limits(FLASH, Limits::new().per_minute(10));
    let renamed = machine.start(ten(key(0).id("another-name"))).await;
    assert_eq!(room(&renamed, FLASH).await, 0);
    renamed.shutdown().await;
    let other = machine.start(ten(key(1).id("k0"))).await;
    assert_eq!(room(&other, FLASH).await, 10);
}

#[tokio::test(start_paused = true)]
async fn a_replaced_secret_keeps_what_the_key_used_and_why_it_rests() {
    let machine = Machine::new();
    let first = machine.start(ten_a_minute()).await;
    spend(&first, FLASH, 6).await;
    first.flush().await.unwrap();
    first.replace(&id(0), &secret(7)).unwrap();
    answer(&first, FLASH, &rate_for(300));
    first.shutdown().await;
    let second = machine.start(builder().key(key(7)).limits(FLASH, Limits::new().per_minute(10))).await;
    assert_eq!(rest(&second, 7), Some(secs(300)));
    second.enable(&id(7)).unwrap();
    assert_eq!(room(&second, FLASH).await, 3);
}

#[tokio::test(start_paused = true)]
async fn keys_that_share_an_owner_share_its_counts_after_a_restart() {
    let machine = Machine::new();
    let shared = || {
        let keys = (0..3).map(|n| key(n).owner("project-a"));
        builder().keys(keys).limits(FLASH, Limits::new().per_minute(10))
    };
    let first = machine.start(shared()).await;
    spend(&first, FLASH, 7).await;
    first.shutdown().await;
    assert_eq!(room(&machine.start(shared()).await, FLASH).await, 3);
}

#[tokio::test(start_paused = true)]
async fn keys_found_to_be_of_one_project_are_known_to_be() {
    let machine = Machine::new();
    let two = || builder().keys((0..2).map(key)).limits(FLASH, Limits::new().per_minute(10));
    let first = machine.start(two()).await;
    spend(&first, FLASH, 4).await;
    for n in 0..2 {
        first.flush().await.unwrap();
        let news = QuotaNews { consumer: Some("projects/1".to_owned()), ..QuotaNews::default() };
        by(&first, n, &Verdict::SUCCESS.news(news));
    }
    first.shutdown().await;
    let second = machine.start(two()).await;
    assert_eq!(room(&second, FLASH).await, 4, "6 of 10 are used, whichever key they went out by");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_nobody_configured_is_remembered_when_it_is_asked_for_again() {
    let machine = Machine::new();
    let any = || builder().key(key(0)).limits("*", Limits::new().per_minute(10));
    let first = machine.start(any()).await;
    spend(&first, "unheard-of", 6).await;
    first.shutdown().await;
    let second = machine.start(any()).await;
    assert_eq!(room(&second, PRO).await, 10);
    assert_eq!(room(&second, "unheard-of").await, 4);
}

#[tokio::test(start_paused = true)]
async fn use_is_counted_by_day_key_and_model() {
    let machine = Machine::new();
    let first = machine.start(builder().key(key(0))).await;
    for tokens in [100, 20] {
        let lease = take(&first, FLASH);
        lease.usage(tokens_in(tokens));
        lease.judge(&Verdict::SUCCESS);
    }
    answer(&first, PRO, &Verdict::new(VerdictKind::Transient));
    first.flush().await.unwrap();
    answer(&first, FLASH, &Verdict::new(VerdictKind::CallerFault));
    first.shutdown().await;
    let rows = machine.memory.usage("2026-06-15", "2026-06-15").await.unwrap();
    let told: Vec<_> = rows.iter().map(|row| (&*row.id, &*row.lane, row.requests, row.input_tokens)).collect();
    assert_eq!(told, [("k0", FLASH, 3, 120), ("k0", PRO, 1, 0)]);
    assert_eq!(rows[0].errors.get(&VerdictKind::CallerFault), Some(&1));
    assert_eq!(rows[1].errors.get(&VerdictKind::Transient), Some(&1));
    let image = machine.memory.image();
    let kept = image.keys.values().next().unwrap();
    let noon = 1_781_550_000_000;
    assert_eq!((kept.last_success, kept.last_failure, kept.consecutive_failures), (Some(noon), Some(noon), 1));
}

#[tokio::test(start_paused = true)]
async fn a_removed_key_stays_known_and_comes_back_as_it_was() {
    let machine = Machine::new();
    let first = machine.start(ten_a_minute().key(key(1))).await;
    by(&first, 0, &suspended(3600));
    first.flush().await.unwrap();
    first.remove(&id(0)).unwrap();
    first.shutdown().await;
    let states = |machine: &Machine| -> Vec<_> { machine.memory.image().keys.values().map(|key| key.state).collect() };
    assert!(states(&machine).contains(&KeyStanding::Removed));
    let second = machine.start(ten_a_minute().key(key(1))).await;
    assert_eq!(view(&second, 0).state, KeyState::Disabled);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_moved_to_an_owner_that_was_new_does_not_wait_for_the_store_for_ever() {
    let settings = || builder().limits(FLASH, Limits::new().per_minute(20));
    let machine = Machine::new();
    let first = machine.start(settings().keys([key(0).owner("a"), key(1).owner("a")])).await;
    first.reconfigure(settings().keys([key(0).owner("a"), key(1).owner("b")])).unwrap();
    assert_eq!(room(&first, FLASH).await, 40);
    first.shutdown().await;
    let second = machine.start(settings().keys([key(0).owner("a"), key(1).owner("b")])).await;
    assert_eq!(room(&second, FLASH).await, 0, "and the store knows what it used");
}

#[tokio::test(start_paused = true)]
async fn what_an_owner_used_is_known_by_its_new_name() {
    let of = |owner: Option<&str>| {
        let key = if let Some(owner) = owner { key(0).owner(owner) } else { key(0) };
        builder().key(key).limits(FLASH, Limits::new().per_day(20))
    };
    for (before, after) in [(Some("a"), Some("b")), (Some("a"), None), (None, Some("b"))] {
        let machine = Machine::new();
        let first = machine.start(of(before)).await;
        spend(&first, FLASH, 7).await;
        answer(&first, PRO, &owner_limited(300));
        first.reconfigure(of(after)).unwrap();
        first.shutdown().await;
        let second = machine.start(of(after)).await;
        assert_eq!(rest(&second, 0), Some(secs(300)), "{before:?} {after:?}");
        machine.time.advance(secs(301));
        assert_eq!(room(&second, FLASH).await, 13, "{before:?} {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_configuration_changes_of_a_key_is_written() {
    let machine = Machine::new();
    let pool = machine.start(builder().key(key(0))).await;
    pool.flush().await.unwrap();
    let wanted = tower_keypool::Key::new(secret(0)).id("new").weight(3.0).priority(tower_keypool::Priority(7));
    pool.reconfigure(builder().key(wanted.tier(tower_keypool::Tier::Paid).owner("o"))).unwrap();
    pool.flush().await.unwrap();
    let image = machine.memory.load().await.unwrap();
    let record = image.keys.values().next().expect("a key");
    assert_eq!((record.id.as_str(), record.weight, record.priority), ("new", 3.0, 7));
    assert_eq!((record.tier.as_deref(), record.owner.as_deref()), (Some("paid"), Some("o")));
}

#[tokio::test(start_paused = true)]
async fn a_weight_that_grew_by_success_alone_is_known_to_the_next_process() {
    let machine = Machine::new();
    let written = async || machine.memory.load().await.unwrap().keys.values().next().expect("a key").weight_now;
    let adaptive = || builder().strategy(Strategy::Adaptive).key(key(0).weight(2.0));
    let first = machine.start(adaptive()).await;
    first.flush().await.unwrap();
    assert!((written().await - 2.0).abs() < 1e-4, "{}", written().await);
    answer(&first, FLASH, &Verdict::new(VerdictKind::Success));
    first.flush().await.unwrap();
    assert!((written().await - 2.2).abs() < 1e-4, "{}", written().await);
    answer(&first, FLASH, &Verdict::new(VerdictKind::Success));
    first.shutdown().await;
    assert!((written().await - 2.42).abs() < 1e-4, "{}", written().await);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_left_and_came_back_is_in_the_store_as_before() {
    let machine = Machine::new();
    let first = machine.start(builder().key(key(0)).key(key(1))).await;
    answer(&first, FLASH, &rate_for(300));
    first.disable(&id(1), "off").unwrap();
    for n in [0, 1] {
        first.remove(&id(n)).unwrap();
        first.flush().await.unwrap();
        first.add(key(n)).unwrap();
    }
    first.shutdown().await;
    let second = machine.start(builder().key(key(0)).key(key(1))).await;
    assert_eq!(rest(&second, 0), Some(secs(300)));
    assert_eq!(view(&second, 1).state, KeyState::Disabled);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_counts_in_anothers_quota_does_so_after_a_restart() {
    let machine = Machine::new();
    let first = machine.process(builder().key(key(0))).await;
    let news = QuotaNews { quota_model: Some(PRO.to_owned()), ..QuotaNews::default() };
    answer(&first.pool, "pro-latest", &rate_for(50).news(news));
    // What it learned does not wait for its turn.
    tokio::time::sleep(Duration::from_millis(10)).await;
    first.crash();

    machine.time.advance(secs(10));
    let second = machine.start(builder().key(key(0))).await;
    assert_eq!(next_in(&second, "pro-latest"), Some(secs(40)));
    second.shutdown().await;
    machine.time.advance(secs(80));
    let third = machine.start(builder().key(key(0)).limits(PRO, Limits::new().per_minute(1))).await;
    drop(take(&third, "pro-latest"));
    assert!(third.try_acquire(PRO).is_err(), "one quota");
}

/// What a caller has said to them takes no model from keys that are known to have served, whichever process they served.
#[tokio::test(start_paused = true)]
async fn a_key_that_served_an_earlier_process_is_not_rested_by_what_a_request_may_have_asked_for() {
    let machine = Machine::new();
    let two = || builder().keys((0..2).map(key));
    let unexplained =
        || Verdict::new(VerdictKind::InvalidKey).scope(Scope::KeyLane).status(http::StatusCode::FORBIDDEN).unclear();
    let refused = async |pool: &KeyPool| {
        for _ in 0..6 {
            let judge = |_: &Result<(), ()>| unexplained();
            assert!(pool.run(FLASH, judge, |_| async { Err::<(), ()>(()) }).await.is_err());
        }
        pool.snapshot().keys.iter().filter(|key| !key.rests.is_empty()).count()
    };
    let first = machine.start(two()).await;
    assert_eq!(refused(&first).await, 2, "of these nobody knows");
    machine.time.advance(secs(1));
    for _ in 0..4 {
        answer(&first, FLASH, &Verdict::SUCCESS);
    }
    assert_eq!(refused(&first).await, 0);
    first.shutdown().await;

    machine.time.advance(secs(60));
    let second = machine.start(two()).await;
    assert_eq!(refused(&second).await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_names_no_model_goes_on_where_a_process_ended() {
    let machine = Machine::new();
    let make = || builder().key(key(0)).limits("*", Limits::new().per_minute(10));
    let first = machine.start(make()).await;
    for _ in 0..7 {
        first.acquire(Demand::any_model()).await.expect("there is room").settle(&Verdict::SUCCESS);
    }
    first.shutdown().await;
    let second = machine.start(make()).await;
    let mut left = 0;
    while let Ok(lease) = second.acquire(Demand::any_model()).await {
        lease.settle(&Verdict::SUCCESS);
        left += 1;
    }
    assert_eq!(left, 3);
}
