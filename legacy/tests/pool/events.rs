//! Events: each occurs; they are bounded and lossy with a count.

use tower_keypool::{
    Event, Events, KeyPool, KeyPoolBuilder, LimitHit, LimitSource, Limits, Lost, Priority, QuotaNews, Scope, Span,
    Unit, Verdict, VerdictKind, Violation,
};

use crate::support::{
    FLASH, answer, builder, id, invalid, key, keys, noon, on, rate_for, secs, suspended, take, unclear,
};

fn all(events: &mut Events) -> Vec<Event> {
    std::iter::from_fn(|| events.try_next()).map(|event| event.expect("none was lost")).collect()
}

fn names(events: &mut Events) -> Vec<String> {
    let name = |event: Event| serde_json::to_value(event).unwrap()["event"].as_str().unwrap().to_owned();
    all(events).into_iter().map(name).collect()
}

#[test]
fn leased_rested_and_recovered() {
    let (pool, time) = keys(1);
    let mut events = pool.events();
    answer(&pool, FLASH, &rate_for(30).scope(Scope::Key).code("SLOW"));
    let seen = all(&mut events);
    assert!(matches!(&seen[0], Event::Leased { key, model } if key == &id(0) && model.as_deref() == Some(FLASH)));
    let Event::Rested { key, scope, kind, code, rest, .. } = &seen[1] else { panic!("{seen:?}") };
    assert_eq!((key, scope, kind), (&id(0), &Scope::Key, &VerdictKind::RateLimited));
    assert_eq!((code.as_str(), rest), ("SLOW", &secs(30)));
    time.advance(secs(30));
    answer(&pool, FLASH, &Verdict::SUCCESS);
    assert_eq!(names(&mut events), ["leased", "recovered"]);
    answer(&pool, FLASH, &Verdict::SUCCESS);
    assert_eq!(names(&mut events), ["leased"], "it recovers once");
}

/// A key that is disabled while it rests for the same kind of fault is told to be, and once.
#[test]
fn a_rest_that_turns_out_to_be_for_good_is_told_again() {
    let (pool, _) = keys(1);
    let mut events = pool.changes();
    let leases = [(); 4].map(|()| take(&pool, FLASH));
    for (lease, verdict) in leases.into_iter().zip([unclear(), unclear(), invalid(), invalid()]) {
        lease.settle(&verdict);
    }
    assert_eq!(names(&mut events), ["rested", "disabled"]);
}

/// What the next events say of a scope: its name, whom it concerns and in which lane.
fn told(events: &mut Events) -> Vec<String> {
    let said = |event: Event| {
        let json = serde_json::to_value(event).unwrap();
        format!("{} {} {}", json["event"], json["scope"], json["model"]).replace('"', "")
    };
    all(events).into_iter().map(said).collect()
}

#[test]
fn whatever_rested_is_told_to_serve_again_with_its_first_good_answer() {
    for (scope, shown) in [
        (Scope::Key, "key null"),
        (Scope::KeyLane, "key_lane flash"),
        (Scope::Owner, "owner null"),
        (Scope::OwnerLane, "owner_lane flash"),
        (Scope::BillingAccount, "billing_account null"),
        (Scope::Lane, "lane flash"),
        (Scope::Exit, "exit null"),
    ] {
        let (pool, time) = on(builder().key(key(0).billing_account("a")));
        let mut events = pool.changes();
        answer(&pool, FLASH, &rate_for(30).scope(scope));
        assert_eq!(told(&mut events), [format!("rested {shown}")]);
        time.advance(secs(30));
        answer(&pool, FLASH, &Verdict::SUCCESS);
        assert_eq!(told(&mut events), [format!("recovered {shown}")]);
        answer(&pool, FLASH, &Verdict::SUCCESS);
        assert!(told(&mut events).is_empty(), "it recovers once");
    }
}

#[test]
fn a_model_without_capacity_is_told_to_rest_once() {
    let (pool, time) = keys(2);
    let mut events = pool.changes();
    let burst: Vec<_> = (0..8).map(|_| take(&pool, FLASH)).collect();
    for lease in burst {
        lease.settle(&Verdict::new(VerdictKind::Overloaded).code("UNAVAILABLE"));
    }
    let seen = all(&mut events);
    let [Event::Rested { scope: Scope::Lane, model, kind: VerdictKind::Overloaded, code, rest, .. }] = &seen[..] else {
        panic!("{seen:?}")
    };
    assert_eq!((model.as_deref(), code.as_str(), *rest), (Some(FLASH), "UNAVAILABLE", secs(1)));
    time.advance(secs(1));
    answer(&pool, FLASH, &Verdict::new(VerdictKind::Overloaded));
    let Some(Ok(Event::Rested { rest, .. })) = events.try_next() else { panic!("it rests again") };
    assert_eq!(rest, secs(2));
}

#[test]
fn a_burst_is_told_once() {
    let (pool, _) = keys(1);
    let burst: Vec<_> = (0..50).map(|_| take(&pool, FLASH)).collect();
    let mut events = pool.events();
    for lease in &burst {
        lease.judge(&rate_for(30));
    }
    assert_eq!(names(&mut events), ["rested"]);
}

#[test]
fn disabled_by_a_verdict_and_by_hand_and_recovered() {
    let (pool, _) = keys(2);
    let mut events = pool.events();
    answer(&pool, FLASH, &invalid().advice("Make a new key."));
    let seen = all(&mut events);
    let Event::Disabled { key, scope, kind, code, advice, .. } = &seen[1] else { panic!("{seen:?}") };
    assert_eq!((key, scope, kind), (&id(0), &Scope::Key, &VerdictKind::InvalidKey));
    assert_eq!((code.as_str(), advice.as_str()), ("API_KEY_INVALID", "Make a new key."));
    pool.disable(&id(1), "BY_HAND").unwrap();
    pool.enable(&id(1)).unwrap();
    assert_eq!(names(&mut events), ["disabled", "recovered"]);
}

#[test]
fn a_good_probe_is_a_recovery() {
    let (pool, time) = keys(1);
    let mut events = pool.events();
    answer(&pool, FLASH, &suspended(60));
    time.advance(secs(60));
    answer(&pool, FLASH, &Verdict::SUCCESS);
    assert_eq!(names(&mut events), ["leased", "disabled", "leased", "recovered"]);
}

#[test]
fn spilled_and_exhausted() {
    let (pool, _) =
        on(builder().keys([key(0), key(1).priority(Priority::PAID)]).limits(FLASH, Limits::new().per_minute(1)));
    let mut events = pool.events();
    drop((take(&pool, FLASH), take(&pool, FLASH)));
    assert!(pool.try_acquire(FLASH).is_err());
    let seen = all(&mut events);
    let spilled = |event: &Event| matches!(event, Event::Spilled { key, priority: 10, .. } if key == &id(1));
    assert!(seen.iter().any(spilled), "{seen:?}");
    let exhausted = |event: &Event| matches!(event, Event::Exhausted { model, next_in: Some(_), reason: Some(_) } if model.as_deref() == Some(FLASH));
    assert!(seen.iter().any(exhausted), "{seen:?}");
}

#[test]
fn the_roster_changes() {
    let (pool, _) = keys(1);
    let mut events = pool.events();
    pool.add(key(1)).unwrap();
    pool.replace(&id(1), "AIza-not-a-real-key-again").unwrap();
    pool.set_weight(&id(1), 2.0).unwrap();
    pool.remove(&id(1)).unwrap();
    let changes: Vec<_> = all(&mut events)
        .into_iter()
        .map(|event| match event {
            Event::Roster { key, change } if key == id(1) => change,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(changes, ["added", "replaced", "reweighted", "removed"]);
}

#[test]
fn a_slow_reader_loses_the_oldest_and_is_told_how_many() {
    let (pool, _) = keys(1);
    let mut events = pool.events();
    for _ in 0..3000 {
        drop(take(&pool, FLASH));
    }
    let Some(Err(Lost(lost))) = events.try_next() else { panic!("some were lost") };
    let kept = all(&mut events).len() as u64;
    assert_eq!(lost + kept, 3000);
    assert_eq!(kept, 1024);
}

#[test]
fn no_event_holds_a_secret() {
    let (pool, _) = keys(3);
    let mut events = pool.events();
    answer(&pool, FLASH, &invalid());
    pool.replace(&id(1), "AIza-not-a-real-key-again").unwrap();
    let shown = all(&mut events)
        .iter()
        .fold(String::new(), |shown, event| format!("{shown}{event:?}{}", serde_json::to_string(event).unwrap()));
    assert!(!shown.contains("AIza"));
}

#[tokio::test]
async fn end_with_the_pool() {
    let (pool, _): (KeyPool, _) = keys(1);
    let mut events = pool.events();
    drop(take(&pool, FLASH));
    assert!(matches!(events.next().await, Some(Ok(Event::Leased { .. }))));
    drop(pool);
    assert!(events.next().await.is_none());
}

/// The limit that the last rest was told with.
fn hit(events: &mut Events) -> Option<LimitHit> {
    let rests = all(events).into_iter().filter_map(|event| match event {
        Event::Rested { limit, .. } => Some(limit),
        _ => None,
    });
    rests.last().expect("a rest is told")
}

#[test]
fn a_rest_tells_the_limit_that_decided_and_whose_word_it_is() {
    let minute = |amount| Violation { unit: Unit::Requests, span: Span::MINUTE, amount };
    let day = |amount| Violation { unit: Unit::Requests, span: Span::Day, amount };
    let told = |builder: KeyPoolBuilder, decisive: Violation| {
        let pool = builder.key(key(0)).clock(noon().clock()).build().unwrap();
        let mut events = pool.events();
        let violations = vec![minute(Some(7)), decisive];
        let news = QuotaNews { violations, decisive: Some(decisive), ..QuotaNews::default() };
        answer(&pool, FLASH, &rate_for(30).news(news));
        let hit = hit(&mut events).expect("it names a limit");
        assert_eq!((hit.unit, hit.span, hit.named), (decisive.unit, decisive.span, decisive.amount));
        (hit.held, hit.source)
    };
    let limited = |requests| builder().limits("*", Limits::new().per_day(requests));
    let (given, learned) = (Some(LimitSource::Given), Some(LimitSource::Learned));
    assert_eq!(told(builder(), day(Some(20))), (Some(20), learned));
    assert_eq!(told(limited(20), day(Some(20))), (Some(20), given));
    assert_eq!(told(limited(25), day(Some(20))), (Some(20), learned));
    assert_eq!(told(limited(10), day(Some(20))), (Some(10), given));
    assert_eq!(told(limited(25).fixed_limits(true), day(Some(20))), (Some(25), given));
    assert_eq!(told(limited(25), day(None)), (Some(25), given));
    // Neither was named or learned, nor is a limit of zero ever learned.
    assert_eq!(told(builder(), day(None)), (None, None));
    assert_eq!(told(builder(), day(Some(0))), (None, None));
    // What decided is not always named: the others are not told in its place.
    let pool = builder().key(key(0)).clock(noon().clock()).build().unwrap();
    let mut events = pool.events();
    let news = QuotaNews { violations: vec![minute(Some(7))], ..QuotaNews::default() };
    answer(&pool, FLASH, &rate_for(30).news(news));
    assert_eq!(hit(&mut events), None);
}

#[test]
fn what_is_switched_off_already_is_no_news() {
    let (pool, _) = keys(1);
    let mut events = pool.changes();
    for reason in ["too dear", "too dear", "leaked"] {
        pool.disable(&id(0), reason).unwrap();
    }
    assert_eq!(names(&mut events), ["disabled", "disabled"], "a reason of its own is");
}
