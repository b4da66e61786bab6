//! The snapshot's numbers, and the words of a refusal.

use tower_keypool::{
    Event, KeyState, LimitSource, Limits, Priority, Scope, Strategy, Tier, Until, Verdict, VerdictKind,
};

use crate::support::{
    FLASH, answer, builder, daily, id, key, keys, limited, on, rate_for, refused, secs, suspended, take, view,
};

#[test]
fn counts_keys_by_state_and_priority() {
    let (pool, _) = on(builder().keys((0..6).map(|n| key(n).priority(Priority(if n < 4 { 0 } else { 10 })))));
    drop(take(&pool, FLASH));
    pool.disable(&id(1), "x").unwrap();
    let lease = take(&pool, FLASH);
    lease.judge(&rate_for(60).scope(Scope::Key));
    let snapshot = pool.snapshot();
    assert_eq!(snapshot.total_keys, 6);
    assert_eq!((snapshot.available_keys, snapshot.resting_keys, snapshot.disabled_keys), (4, 1, 1));
    let by_priority: Vec<_> = snapshot.priorities.iter().map(|p| (p.priority, p.keys, p.available)).collect();
    assert_eq!(by_priority, [(0, 4, 2), (10, 2, 2)]);
    assert_eq!((snapshot.in_flight, snapshot.started), (1, 2));
    assert_eq!(snapshot.provider, "plain");
    assert_eq!(snapshot.strategy, Strategy::LeastLoaded);
}

#[test]
fn keys_whose_only_lane_is_full_are_not_available() {
    let (pool, time) = limited(2, Limits::new().per_minute(1));
    assert_eq!(pool.snapshot().available_keys, 2);
    drop((take(&pool, FLASH), take(&pool, FLASH)));
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.available_keys, snapshot.resting_keys, snapshot.disabled_keys), (0, 2, 0));
    drop(take(&pool, "pro"));
    assert_eq!(pool.snapshot().available_keys, 2, "in another lane they are");
    assert_eq!(view(&pool, 0).state, KeyState::Partly);
    time.advance(secs(61));
    assert_eq!(view(&pool, 0).state, KeyState::Ready);
}

#[test]
fn tells_of_each_key() {
    let (pool, time) = on(builder()
        .keys([
            key(0).owner("a").weight(2.0).max_concurrent(2).tier(Tier::Paid).label("source", "vault"),
            key(1).priority(Priority(5)),
        ])
        .limits(FLASH, Limits::new().per_minute(10).per_day(100)));
    answer(&pool, FLASH, &Verdict::SUCCESS);
    answer(&pool, FLASH, &Verdict::SUCCESS);
    answer(&pool, FLASH, &Verdict::new(VerdictKind::Transient));
    let held = (take(&pool, FLASH), take(&pool, FLASH));
    held.0.judge(&rate_for(30).code("RATE_LIMIT_EXCEEDED").advice("Wait."));
    time.advance(secs(10));
    let key = view(&pool, 0);
    assert_eq!((key.owner.as_deref(), key.priority, key.tier), (Some("a"), 0, Some(Tier::Paid)));
    assert_eq!((key.weight, key.current_weight), (2.0, 2.0));
    assert_eq!(key.labels["source"], "vault");
    assert_eq!((key.in_flight, key.max_concurrent), (2, Some(2)));
    // What the provider failed at is no fault of the key's.
    assert_eq!((key.started, key.succeeded, key.failed, key.limit_hits), (5, 2, 0, 1));
    assert!(key.error_rate.abs() < 1e-9);
    assert!((key.share - 1.0).abs() < 1e-9);
    let rest = &key.rests[0];
    assert_eq!(
        (rest.scope, rest.model.as_deref(), rest.kind),
        (Scope::OwnerLane, Some(FLASH), VerdictKind::RateLimited)
    );
    assert_eq!((rest.code.as_str(), rest.advice.as_str()), ("RATE_LIMIT_EXCEEDED", "Wait."));
    assert_eq!((rest.ends_in, rest.probe_in, rest.held), (Some(secs(20)), None, false));
    let lane = &key.lanes[0];
    assert_eq!((lane.model.as_deref(), lane.ready_in), (Some(FLASH), Some(secs(20))));
    assert_eq!(lane.out.as_deref(), Some("at a limit of the provider's"));
    let limits: Vec<_> = lane.limits.iter().map(|view| (view.limit.amount, view.used, view.source)).collect();
    assert_eq!(limits, [(10, 5, LimitSource::Given), (100, 5, LimitSource::Given)]);
    assert_eq!(view(&pool, 1).state, KeyState::Ready);
}

#[test]
fn tells_of_each_lane_and_of_rests_of_all() {
    let (pool, _) = keys(3);
    let _held = take(&pool, FLASH);
    for _ in 0..5 {
        answer(&pool, "pro", &Verdict::new(VerdictKind::Overloaded));
    }
    let snapshot = pool.snapshot();
    let lane = |model: &str| snapshot.lanes.iter().find(|lane| lane.model.as_deref() == Some(model)).unwrap();
    assert_eq!((lane(FLASH).available_keys, lane(FLASH).in_flight, lane(FLASH).started), (3, 1, 1));
    assert_eq!((lane("pro").available_keys, lane("pro").started), (0, 5));
    assert_eq!(lane("pro").rest.as_ref().unwrap().ends_in, Some(secs(1)));
    assert!(snapshot.exit_rest.is_none());
    answer(&pool, FLASH, &Verdict::new(VerdictKind::Blocked));
    let snapshot = pool.snapshot();
    assert_eq!(snapshot.exit_rest.unwrap().ends_in, Some(secs(600)));
    assert_eq!(snapshot.available_keys, 0);
}

#[test]
fn the_last_minute_is_the_last_minute() {
    let (pool, time) = keys(1);
    for _ in 0..5 {
        answer(&pool, FLASH, &Verdict::SUCCESS);
    }
    time.advance(secs(30));
    answer(&pool, FLASH, &Verdict::SUCCESS);
    answer(&pool, FLASH, &rate_for(1));
    let minute = |pool: &tower_keypool::KeyPool| {
        let snapshot = pool.snapshot();
        (snapshot.requests_last_minute, snapshot.successes_last_minute, snapshot.limit_hits_last_minute)
    };
    assert_eq!(minute(&pool), (7, 6, 1));
    time.advance(secs(31));
    assert_eq!(minute(&pool), (2, 1, 1));
    time.advance(secs(31));
    assert_eq!(minute(&pool), (0, 0, 0));
    let snapshot = pool.snapshot();
    assert_eq!(snapshot.started, 7);
    assert_eq!(snapshot.verdicts[&VerdictKind::Success], 6);
    assert_eq!(snapshot.verdicts[&VerdictKind::RateLimited], 1);
}

#[test]
fn spills_and_exhaustion_are_counted() {
    let (pool, _) =
        on(builder().keys([key(0), key(1).priority(Priority::PAID)]).limits(FLASH, Limits::new().per_minute(1)));
    drop((take(&pool, FLASH), take(&pool, FLASH)));
    refused(&pool, FLASH);
    refused(&pool, FLASH);
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.spills, snapshot.exhausted), (1, 2));
    assert_eq!(snapshot.lanes.iter().map(|lane| lane.spilled).sum::<u64>(), 1);
}

#[test]
fn serialises_to_json_without_a_secret() {
    let (pool, _) = limited(2, Limits::new().per_minute(5).per_day(10));
    answer(&pool, FLASH, &suspended(600));
    let json = serde_json::to_value(pool.snapshot()).unwrap();
    assert_eq!(json["total_keys"], 2);
    assert_eq!(json["keys"][0]["id"], "k0");
    assert_eq!(json["keys"][0]["state"], "disabled");
    assert_eq!(json["keys"][0]["rests"][0]["kind"], "suspended");
    assert_eq!(json["strategy"], "least-loaded");
    assert!(!json.to_string().contains("not-a-real"));
}

#[test]
fn memory_is_told_in_all_and_for_each_key() {
    let limits = Limits::new().per_minute(15).per_day(250);
    let (pool, _) = limited(10_000, limits);
    let snapshot = pool.snapshot();
    assert_eq!(snapshot.bytes_per_key, snapshot.total_memory_bytes / 10_000);
    assert!((100..500).contains(&snapshot.bytes_per_key), "{}", snapshot.bytes_per_key);
}

#[test]
fn a_refusal_says_what_keeps_the_keys_out_and_until_when() {
    let per_day = Limits::new().per_day(1);
    let (pool, time) = on(builder()
        .keys((0..8).map(key))
        .key(key(8).limits(FLASH, per_day))
        .key(key(9))
        .limits(FLASH, Limits::new().per_minute(1)));
    for _ in 0..9 {
        drop(take(&pool, FLASH));
    }
    assert_eq!(answer(&pool, FLASH, &suspended(86_400)), "k9");
    time.advance(secs(48));
    assert_eq!(
        refused(&pool, FLASH),
        "all API keys have reached their rate limits for flash: 8 at requests/minute, 1 at requests/day, \
         1 disabled (suspended); next in 13 s"
    );
}

#[test]
fn a_refusal_says_when_time_alone_will_not_help() {
    let (pool, _) = keys(1);
    pool.disable(&id(0), "x").unwrap();
    assert!(refused(&pool, FLASH).ends_with("1 disabled (by hand); none comes back by itself"));
    let (pool, _) = keys(1);
    answer(&pool, FLASH, &daily());
    assert!(refused(&pool, FLASH).contains("1 out of quota"));
    let error = pool.try_acquire(FLASH).unwrap_err();
    let reasons: Vec<_> = error.exhausted().unwrap().reasons().collect();
    assert_eq!(reasons.len(), 1);
    let json = serde_json::to_value(error.exhausted().unwrap()).unwrap();
    assert_eq!(json["reasons"][0]["reason"], "out of quota");
}

/// A log, a snapshot, a refusal and a table say the same of an account without credit.
#[test]
fn an_account_without_credit_is_disabled_wherever_it_is_told() {
    let (pool, _) = on(builder().keys((0..2).map(key)).limits(FLASH, Limits::new().per_minute(10)));
    let mut events = pool.events();
    let unpaid = Verdict::new(VerdictKind::QuotaExhausted)
        .scope(Scope::BillingAccount)
        .until(Until::Probed(secs(3_600)))
        .code("PREPAY_DEPLETED");
    for _ in 0..2 {
        answer(&pool, FLASH, &unpaid);
    }
    let told = std::iter::from_fn(|| events.try_next()?.ok()).filter(|event| matches!(event, Event::Disabled { .. }));
    assert_eq!(told.count(), 2);
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.disabled_keys, snapshot.resting_keys), (2, 0));
    assert_eq!(view(&pool, 0).state, KeyState::Disabled);
    let said = "disabled (out of credit or quota)";
    assert!(view(&pool, 0).lanes.iter().any(|lane| lane.out.as_deref() == Some(said)));
    assert_eq!(refused(&pool, FLASH), format!("no API key may serve flash: 2 {said}; next in 3600 s"));
}

#[test]
fn in_pieces_it_is_the_same() {
    let (pool, _) = on(builder()
        .keys((0..700).map(|n| key(n).priority(Priority(n as u16 % 3)).owner(format!("owner-{}", n / 2))))
        .limits(FLASH, Limits::new().per_minute(1).per_day(3)));
    for n in 0..100 {
        pool.disable(&id(n), "x").unwrap();
    }
    for _ in 0..5 {
        answer(&pool, FLASH, &Verdict::SUCCESS);
    }
    let _held = take(&pool, FLASH);
    answer(&pool, FLASH, &rate_for(60).scope(Scope::Key));
    let as_json = |snapshot| serde_json::to_value::<&tower_keypool::Snapshot>(snapshot).unwrap();
    let (whole, pieces) = (pool.snapshot(), pool.snapshot_in_pieces(700));
    assert_eq!(as_json(&pieces), as_json(&whole));
    let mut without_keys = pool.snapshot_in_pieces(699);
    assert!(without_keys.keys.is_empty());
    without_keys.keys.clone_from(&whole.keys);
    assert_eq!(as_json(&without_keys), as_json(&whole), "all else is there");
}

#[test]
fn sums_up_what_rests_without_end_and_what_owners_may_use() {
    let (pool, _) = on(builder()
        .keys([key(0).owner("a"), key(1).owner("a"), key(2), key(3).priority(Priority(9))])
        .limits(FLASH, Limits::new().per_minute(10)));
    pool.disable(&id(2), "x").unwrap();
    let lease = take(&pool, FLASH);
    lease.judge(&suspended(3600));
    drop(lease);
    let snapshot = pool.snapshot();
    let disabled: Vec<_> = snapshot.disabled.iter().map(|held| (held.scope, held.kind, held.keys)).collect();
    let (key, owner) = ((Scope::Key, VerdictKind::Unjudged, 1), (Scope::Owner, VerdictKind::Suspended, 2));
    assert_eq!(disabled, [key, owner]);
    let lane = snapshot.lanes.iter().find(|lane| lane.model.as_deref() == Some(FLASH)).unwrap();
    assert!(lane.confirmed);
    let limits: Vec<_> = lane.limits.iter().map(|limit| (limit.amount, limit.used)).collect();
    assert_eq!(limits, [(30, 1)], "three owners, of whom one has two keys");
    let first = snapshot.priorities[0].clone();
    assert_eq!((first.keys, first.available, first.resting, first.disabled, first.in_flight), (3, 0, 0, 3, 0));
    // 2027-01-15 00:00 in Los Angeles, and the guard.
    let left = snapshot.day_ends.duration_since(snapshot.at).unwrap();
    assert!(left <= secs(24 * 3600 + 30), "{left:?}");
}

#[test]
fn finds_the_one_key_that_is_not_disabled() {
    let (pool, _) = keys(2_000);
    for n in 0..1_999 {
        pool.disable(&id(n), "x").unwrap();
    }
    assert!(pool.has_enabled_key());
    pool.disable(&id(1_999), "x").unwrap();
    assert!(!pool.has_enabled_key());
}

#[test]
fn counts_the_events_that_nobody_read_in_time() {
    let (pool, _) = keys(1);
    let mut events = pool.events();
    for _ in 0..1_100 {
        drop(take(&pool, FLASH));
    }
    assert_eq!(pool.snapshot().events_lost, 0, "nobody has missed them yet");
    assert!(matches!(events.try_next(), Some(Err(_))));
    assert!(pool.snapshot().events_lost >= 70);
}
