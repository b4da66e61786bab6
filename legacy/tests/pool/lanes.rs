//! Lanes are an attacker's allocator: they stay bounded.

use http::StatusCode;
use tower_keypool::{
    Elsewhere, Event, Gemini, KeyPool, Limits, QuotaNews, Scope, Span, Unit, Until, Verdict, VerdictKind, Violation,
};

use crate::support::{FLASH, PANICS, answer, builder, daily, id, key, keys, limited, on, rate, secs, take, unclear};

fn unknown_model() -> Verdict {
    Verdict::new(VerdictKind::ModelUnavailable).status(StatusCode::NOT_FOUND)
}

#[test]
fn ten_thousand_unknown_models_leave_no_lane_and_no_memory() {
    let (pool, _) = limited(100, Limits::new().per_minute(1_000_000));
    for n in 0..32 {
        answer(&pool, &format!("warm-{n}"), &unknown_model());
    }
    let before = pool.snapshot();
    for n in 0..10_000 {
        answer(&pool, &format!("made-up-{n}"), &unknown_model());
    }
    let after = pool.snapshot();
    assert_eq!(after.lanes.len(), before.lanes.len());
    assert_eq!(after.total_memory_bytes, before.total_memory_bytes);
    assert!(after.lanes.iter().all(|lane| !lane.model.as_deref().unwrap_or_default().starts_with("made-up")));
}

#[test]
fn ten_thousand_confirmed_models_share_once_256_have_their_own() {
    let (pool, _) = keys(20);
    for n in 0..10_000 {
        answer(&pool, &format!("model-{n}"), &Verdict::SUCCESS.status(StatusCode::OK));
        if n == 300 {
            assert!(pool.snapshot().lanes.len() <= 256);
        }
    }
    let snapshot = pool.snapshot();
    assert!(snapshot.lanes.len() <= 256, "{}", snapshot.lanes.len());
    assert_eq!(snapshot.started, 10_000);
    assert!(snapshot.total_memory_bytes < 2 << 20, "{}", snapshot.total_memory_bytes);
}

#[test]
fn names_that_were_only_asked_about_take_no_room_from_real_ones() {
    let (pool, _) = keys(1);
    for n in 0..1000 {
        pool.can_serve(&format!("asked-{n}"));
    }
    answer(&pool, "real", &rate());
    assert!(pool.try_acquire("real").is_err());
    assert!(pool.try_acquire("other").is_ok(), "its rest is not everybody's");
}

#[test]
fn refused_demands_take_no_room_either() {
    let (pool, _) = keys(1);
    pool.disable(&id(0), "later").unwrap();
    for n in 0..1000 {
        assert!(pool.try_acquire(format!("asked-{n}")).is_err());
    }
    pool.enable(&id(0)).unwrap();
    answer(&pool, "real", &rate());
    assert!(pool.try_acquire("other").is_ok());
}

#[test]
fn a_lane_is_given_up_only_when_its_last_request_ends() {
    let (pool, _) = keys(2);
    let (one, two) = (take(&pool, "odd"), take(&pool, "odd"));
    one.judge(&unknown_model());
    drop(one);
    assert!(pool.snapshot().lanes.iter().any(|lane| lane.model.as_deref() == Some("odd")));
    drop(two);
    assert!(!pool.snapshot().lanes.iter().any(|lane| lane.model.as_deref() == Some("odd")));
    drop(take(&pool, "odd"));
}

#[test]
fn keys_of_a_new_priority_come_in_after_a_lane_was_given_up() {
    let (pool, _) = keys(1);
    answer(&pool, "odd", &unknown_model());
    pool.add(key(1).priority(tower_keypool::Priority(7))).unwrap();
    pool.add(key(2).priority(tower_keypool::Priority(3))).unwrap();
    answer(&pool, "even", &Verdict::SUCCESS);
    pool.disable(&id(0), "x").unwrap();
    assert_eq!(answer(&pool, "even", &Verdict::SUCCESS), "k2");
}

#[test]
fn configured_lanes_stay_whatever_answers_say() {
    let (pool, _) = limited(1, Limits::new().per_minute(2));
    answer(&pool, FLASH, &unknown_model());
    answer(&pool, FLASH, &unknown_model());
    assert!(pool.try_acquire(FLASH).is_err(), "its counts are kept");
}

#[test]
fn models_without_a_lane_share_one_and_its_limits() {
    let (pool, _) = on(builder().key(key(0)).limits("*", Limits::new().per_minute(2)));
    let names: Vec<String> = (0..300).map(|n| format!("model-{n}")).collect();
    for name in &names {
        if let Ok(lease) = pool.try_acquire(name.as_str()) {
            lease.judge(&Verdict::SUCCESS);
        }
    }
    let last = names.last().unwrap().as_str();
    assert!(pool.try_acquire(last).is_err(), "two of those that share were started");
    assert!(pool.try_acquire("model-0").is_ok(), "a lane of its own has its own window");
}

#[test]
fn an_overlong_name_gets_no_lane() {
    let (pool, _) = keys(1);
    let before = pool.snapshot().lanes.len();
    answer(&pool, &"x".repeat(5000), &Verdict::SUCCESS);
    assert_eq!(pool.snapshot().lanes.len(), before);
}

fn callers_fault() -> Verdict {
    Verdict::new(VerdictKind::CallerFault).status(StatusCode::BAD_REQUEST)
}

#[test]
fn callers_faults_do_not_merge_the_lanes_of_models_used_later() {
    let (pool, _) = on(builder().key(key(0)).limits("*", Limits::new().per_minute(100)));
    for n in 0..200 {
        answer(&pool, &format!("odd-{n}"), &callers_fault());
    }
    for n in 0..20 {
        drop(take(&pool, &format!("left-{n}")));
    }
    answer(&pool, "real", &daily());
    assert!(pool.try_acquire("real").is_err());
    assert!(pool.try_acquire("other").is_ok(), "its rest is not everybody's");
}

/// What a day counts of names that nothing but a caller's own mistakes was said of keeps no room from real models.
#[test]
fn invented_names_take_no_real_model_out_for_the_day() {
    let limits = Limits::new().per_minute(10).per_day(20);
    let (pool, time) = on(builder().keys((0..2).map(key)).limits("*", limits));
    for n in 0..600 {
        if let Ok(lease) = pool.try_acquire(format!("odd-{n}")) {
            lease.settle(&callers_fault());
        }
    }
    time.advance(secs(66));
    for _ in 0..40 {
        answer(&pool, "real", &Verdict::SUCCESS.status(StatusCode::OK));
        time.advance(secs(6));
    }
    assert!(pool.try_acquire("real").is_err(), "it has a day of its own");
    answer(&pool, "another", &Verdict::SUCCESS.status(StatusCode::OK));
}

/// One start that was no caller's mistake may have counted at the provider: its day is kept.
#[test]
fn a_day_that_something_counted_in_is_kept() {
    let (pool, time) = on(builder().key(key(0)).limits("*", Limits::new().per_day(1)));
    drop(take(&pool, "cancelled"));
    for n in 0..600 {
        if let Ok(lease) = pool.try_acquire(format!("odd-{n}")) {
            lease.settle(&callers_fault());
        }
        time.advance(secs(1));
    }
    assert!(pool.try_acquire("cancelled").is_err());
    assert!(pool.try_acquire("new").is_ok());
}

#[test]
fn the_lane_used_longest_ago_that_holds_nothing_makes_room() {
    let (pool, time) = on(builder().key(key(0)).limits("*", Limits::new().per_minute(1)));
    for n in 0..400 {
        if let Ok(lease) = pool.try_acquire(format!("odd-{n}")) {
            lease.settle(&callers_fault());
        }
    }
    // All windows count something: those for whom there was no room share one.
    assert!(pool.try_acquire("odd-399").is_err());
    assert!(pool.try_acquire("odd-0").is_err(), "its window still counts");
    time.advance(secs(61));
    answer(&pool, "real", &daily());
    assert!(pool.try_acquire("real").is_err());
    let held = pool.snapshot().lanes;
    assert!(held.len() <= 256 && held.iter().any(|lane| lane.model.as_deref() == Some("real")));
    assert!(!held.iter().any(|lane| lane.model.as_deref() == Some("odd-0")), "it was used longest ago");
    assert!(pool.try_acquire("other").is_ok());
    time.advance(secs(3_600));
    for n in 0..1_000 {
        answer(&pool, &format!("again-{n}"), &callers_fault());
        time.advance(secs(1));
    }
    assert!(pool.try_acquire("real").is_err(), "an answer confirmed it: it stays, and rests");
}

#[test]
fn a_name_that_is_used_again_is_not_the_first_to_make_room() {
    let (pool, _) = keys(1);
    for n in 0..300 {
        if n % 200 == 0 {
            answer(&pool, "used twice", &callers_fault());
        }
        answer(&pool, &format!("odd-{n}"), &callers_fault());
    }
    let held = pool.snapshot().lanes;
    let is_held = |name: &str| held.iter().any(|lane| lane.model.as_deref() == Some(name));
    assert_eq!((is_held("odd-0"), is_held("used twice"), is_held("odd-299")), (false, true, true));
}

#[test]
fn what_is_said_of_one_model_of_the_shared_lane_hardly_rests_the_others() {
    let (pool, time) = on(builder().keys((0..3).map(key)));
    for n in 0..300 {
        answer(&pool, &format!("model-{n}"), &Verdict::SUCCESS.status(StatusCode::OK));
    }
    let news = QuotaNews {
        violations: vec![Violation { unit: Unit::Requests, span: Span::MINUTE, amount: Some(1) }],
        ..QuotaNews::default()
    };
    let retired = || Verdict::new(VerdictKind::ModelUnavailable).scope(Scope::OwnerLane).until(Until::Lifted);
    let overloaded = Verdict::new(VerdictKind::Overloaded).status(StatusCode::SERVICE_UNAVAILABLE);
    for verdict in [daily().news(news), retired(), unclear().scope(Scope::KeyLane)] {
        answer(&pool, "one", &verdict);
    }
    assert!(pool.try_acquire("two").is_err(), "no key is tried twice within a second");
    time.advance(secs(1));
    for _ in 0..20 {
        answer(&pool, "one", &overloaded);
    }
    for _ in 0..9 {
        answer(&pool, "two", &Verdict::SUCCESS);
    }
    assert_eq!(pool.snapshot().disabled_keys, 0);
    assert!(pool.snapshot().keys.iter().all(|key| key.rests.is_empty()));
}

#[test]
fn a_model_that_is_closed_to_every_owner_is_not_asked_for_again() {
    let (pool, time) = keys(5);
    let mut events = pool.changes();
    let retired = Verdict::new(VerdictKind::ModelUnavailable)
        .scope(Scope::OwnerLane)
        .until(Until::Lifted)
        .elsewhere(Elsewhere::OtherKey)
        .code("MODEL_RETIRED")
        .status(StatusCode::NOT_FOUND);
    for _ in 0..5 {
        answer(&pool, "old", &retired);
    }
    let Some(Ok(Event::Disabled { model, scope, .. })) = events.try_next() else { panic!("it is told") };
    assert_eq!((model.as_deref(), scope), (Some("old"), Scope::OwnerLane));
    time.advance(secs(100_000));
    let error = pool.try_acquire("old").expect_err("permanent for owner and model");
    assert_eq!((error.status(), error.retry_after()), (StatusCode::NOT_FOUND, None));
    assert!(pool.try_acquire("new").is_ok());
    pool.enable(&id(0)).unwrap();
    assert!(pool.try_acquire("old").is_ok(), "lifted by hand");
}

/// However a model is spelled, its limits hold, and hold together.
#[test]
fn one_lane_for_all_the_spellings_of_a_model() {
    let gemini = || KeyPool::builder(Gemini::new());
    let one = || Limits::new().per_minute(1);
    for (given, asked) in [("models/m", "m"), ("m", "models/m"), ("google/M", "models/m"), ("m", "M")] {
        let pool = gemini().key(key(1)).limits(given, one()).build().unwrap();
        drop(pool.try_acquire(asked).unwrap());
        for again in [asked, given, "m", "models/m"] {
            assert!(pool.try_acquire(again).unwrap_err().is_exhausted(), "{given} {asked} {again}");
        }
        // The key's own, given at the start or later.
        let pool = gemini().key(key(1).limits(given, one())).limits("*", Limits::new().per_minute(9)).build().unwrap();
        pool.add(key(2).limits(given, one())).unwrap();
        let started = (0..9).filter(|_| pool.try_acquire(asked).is_ok()).count();
        assert_eq!(started, 2, "{given} {asked}");
    }
}

/// Which model it is asked about is up to callers.
#[test]
fn a_provider_that_panics_over_a_name_has_no_limits_for_it_and_breaks_nothing() {
    let (pool, _) = on(builder().keys([key(0).tier(tower_keypool::Tier::Free), key(1)]));
    for _ in 0..2 {
        assert!(pool.try_acquire(PANICS).is_ok());
        pool.snapshot();
    }
    pool.add(key(2).tier(tower_keypool::Tier::Free)).unwrap();
    assert_eq!(pool.snapshot().total_keys, 3);
}
