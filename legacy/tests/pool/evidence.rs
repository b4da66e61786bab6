//! Evidence: the same unclear verdict from keys of two owners within one request speaks of the request.

use http::StatusCode;
use tower_keypool::{
    Affinity, Demand, Elsewhere, Event, Key, KeyPool, Limits, Scope, Strategy, Tier, Until, Verdict, VerdictKind,
};

use crate::support::{FLASH, answer, builder, id, invalid, key, on, paused, secs, unclear, view};

/// One request, every attempt of which is answered like this.
async fn run(pool: &KeyPool, verdict: Verdict) {
    let result = pool.run(FLASH, |_: &Result<(), ()>| verdict.clone(), |_| async { Err::<(), ()>(()) }).await;
    assert!(result.is_err());
}

fn resting(pool: &KeyPool) -> usize {
    pool.snapshot().keys.iter().filter(|key| !key.rests.is_empty()).count()
}

#[tokio::test]
async fn keys_of_two_owners_give_the_first_back_and_keep_the_second() {
    let (pool, _) =
        on(builder().keys((0..2).map(key)).limits(FLASH, Limits::new().per_minute(10)).strategy(Strategy::Adaptive));
    run(&pool, unclear()).await;
    assert_eq!(resting(&pool), 0);
    for n in 0..2 {
        let view = view(&pool, n);
        assert!((view.current_weight - 1.0).abs() < 1e-6, "the weight is given back, the ramp too");
        let lane = view.lanes.iter().find(|lane| lane.model.as_deref() == Some(FLASH)).unwrap();
        assert_eq!(lane.limits[0].used, 1, "its usage is not");
    }
}

#[tokio::test]
async fn what_is_given_back_is_told_once() {
    let (pool, time) = on(builder().keys((0..2).map(key)));
    let mut events = pool.changes();
    run(&pool, unclear()).await;
    time.advance(secs(1));
    for n in [0, 1, 0, 1] {
        let must = Demand::new(FLASH).affinity(Affinity::MustKey(id(n)));
        pool.try_acquire(must).unwrap().settle(&Verdict::SUCCESS);
    }
    let mut told = Vec::new();
    while let Some(event) = events.try_next() {
        match event.unwrap() {
            Event::Rested { key, .. } => told.push(format!("{key} rests")),
            Event::Recovered { key, .. } => told.push(format!("{key} serves again")),
            _ => {}
        }
    }
    assert_eq!(told, [format!("{} rests", id(0)), format!("{} serves again", id(0))]);
}

#[tokio::test]
async fn strikes_are_given_back() {
    let (pool, _) = on(builder().keys((0..2).map(key)));
    for _ in 0..10 {
        run(&pool, unclear()).await;
    }
    assert_eq!(pool.snapshot().disabled_keys, 0);
    assert_eq!(resting(&pool), 0);
}

#[tokio::test]
async fn keys_of_one_owner_are_no_evidence() {
    let (pool, _) = on(builder().keys((0..2).map(|n| key(n).owner("a"))));
    run(&pool, unclear()).await;
    assert_eq!(resting(&pool), 2);
}

#[tokio::test]
async fn a_named_cause_needs_no_evidence() {
    let (pool, _) = on(builder().keys((0..3).map(key)));
    run(&pool, invalid()).await;
    assert_eq!(pool.snapshot().disabled_keys, 3);
}

#[tokio::test]
async fn an_unclear_model_is_spoken_of_by_two() {
    let (pool, _) = on(builder().keys((0..3).map(key)));
    let missing = Verdict::new(VerdictKind::ModelUnavailable)
        .scope(Scope::OwnerLane)
        .until(Until::Backoff)
        .elsewhere(Elsewhere::OtherKey)
        .unclear();
    run(&pool, missing).await;
    assert_eq!(resting(&pool), 0);
}

#[tokio::test]
async fn what_somebody_switched_off_meanwhile_stays_off() {
    let (pool, _) = on(builder().keys((0..2).map(key)));
    let handle = pool.clone();
    let judge = |_: &Result<(), ()>| unclear();
    let _ = pool
        .run(FLASH, judge, |leased| {
            if leased.key_id() == &crate::support::id(1) {
                handle.disable(&crate::support::id(0), "meanwhile").unwrap();
            }
            async { Err::<(), ()>(()) }
        })
        .await;
    assert!(!view(&pool, 0).rests.is_empty());
    assert_eq!(pool.snapshot().disabled_keys, 1);
}

#[tokio::test]
async fn a_cause_that_was_named_meanwhile_is_not_given_back() {
    let (pool, _) = on(builder().keys((0..2).map(key)));
    let late = [0, 1].map(|n| pool.try_acquire(Demand::new(FLASH).affinity(Affinity::MustKey(id(n)))).unwrap());
    let mut first = None;
    let judge = |_: &Result<(), ()>| unclear();
    let _ = pool
        .run(FLASH, judge, |leased| {
            match &first {
                None => first = Some(leased.key_id().clone()),
                Some(first) => {
                    late.iter().filter(|late| late.key_id() == first).for_each(|late| late.judge(&invalid()));
                }
            }
            async { Err::<(), ()>(()) }
        })
        .await;
    assert_eq!((pool.snapshot().disabled_keys, resting(&pool)), (1, 1), "the other one's is");
}

/// One request, answered by each key as `good` says of it: what it came to, and the keys it went to.
async fn ask(pool: &KeyPool, verdict: &Verdict, good: impl Fn(&str) -> bool) -> (bool, Vec<String>) {
    let mut tried = Vec::new();
    let judge = |result: &Result<(), ()>| if result.is_ok() { Verdict::SUCCESS } else { verdict.clone() };
    let result = pool
        .run(FLASH, judge, |leased| {
            tried.push(leased.key_id().to_string());
            let served = good(tried.last().unwrap());
            async move { if served { Ok(()) } else { Err(()) } }
        })
        .await;
    (result.is_ok(), tried)
}

fn plain_429() -> Verdict {
    Verdict::new(VerdictKind::RateLimited).scope(Scope::KeyLane).unclear()
}

#[tokio::test]
async fn a_plain_429_is_never_the_requests_own() {
    let (pool, time) = on(builder().keys((0..20).map(key)));
    let (served, tried) = ask(&pool, &plain_429(), |key| key == "k19").await;
    assert!(served);
    assert_eq!(tried.len(), 20);
    assert_eq!(resting(&pool), 19);
    assert_eq!(ask(&pool, &plain_429(), |key| key == "k19").await, (true, vec!["k19".to_owned()]));
    time.advance(crate::support::secs(10));
    let (_, tried) = ask(&pool, &plain_429(), |_| false).await;
    assert_eq!(tried.len(), 20);
    assert_eq!(crate::support::rest(&pool, 0), Some(crate::support::secs(20)), "doubled");
}

#[tokio::test]
async fn two_owners_who_say_the_same_end_the_request() {
    let (pool, _) = on(builder().keys((0..1_000).map(key)));
    let (served, tried) = ask(&pool, &unclear(), |_| false).await;
    assert!(!served && tried.len() == 3, "keys that never served are believed by three: {tried:?}");
    assert_eq!(resting(&pool), 0);
    for _ in 0..1_000 {
        answer(&pool, FLASH, &Verdict::SUCCESS);
    }
    let (served, tried) = ask(&pool, &unclear(), |_| false).await;
    assert!(!served && tried.len() == 2, "{tried:?}");
    assert_eq!(resting(&pool), 0);
    let (_, tried) = ask(&pool, &unclear().scope(Scope::KeyLane), |_| false).await;
    assert_eq!(tried.len(), 2);
}

#[tokio::test]
async fn a_later_success_of_the_same_request_refutes_it() {
    let (pool, time) = on(builder().keys((0..20).map(key)).strategy(Strategy::Adaptive));
    let mut events = pool.changes();
    let good = |key: &str| !["k0", "k1"].contains(&key);
    let (served, tried) = ask(&pool, &unclear(), good).await;
    assert!(served, "{tried:?}");
    assert_eq!(resting(&pool), 2, "the strikes stand");
    assert!((view(&pool, 0).current_weight - 0.08).abs() < 1e-6 && (view(&pool, 1).current_weight - 0.08).abs() < 1e-6);
    let mut lines = Vec::new();
    while let Some(Ok(event)) = events.try_next() {
        lines.push(serde_json::to_value(&event).unwrap()["event"].as_str().unwrap().to_owned());
    }
    assert_eq!(lines, ["rested", "recovered", "rested", "rested"]);
    for _ in 0..3 {
        time.advance(crate::support::secs(3_600));
        for _ in 0..400 {
            assert!(ask(&pool, &unclear(), good).await.0);
        }
    }
    assert_eq!(pool.snapshot().disabled_keys, 2, "three strikes");
}

#[tokio::test]
async fn keys_that_fail_every_request_are_found_out_among_others() {
    let (pool, _) = on(builder().keys((0..20).map(key)));
    let mut calls = 0;
    for _ in 0..60 {
        calls += ask(&pool, &unclear(), |key| key == "k19").await.1.len();
    }
    assert_eq!(resting(&pool), 19);
    assert!(calls < 110, "{calls}");
    assert_eq!(ask(&pool, &unclear(), |key| key == "k19").await, (true, vec!["k19".to_owned()]));
}

#[tokio::test]
async fn a_rest_taken_back_is_told_and_counts_as_no_step() {
    let (pool, _) = on(builder().keys((0..2).map(key)));
    let mut events = pool.changes();
    run(&pool, unclear()).await;
    let mut kinds = Vec::new();
    while let Some(Ok(event)) = events.try_next() {
        kinds.push(serde_json::to_value(&event).unwrap()["event"].as_str().unwrap().to_owned());
    }
    assert_eq!(kinds[..2], ["rested", "recovered"]);
    answer(&pool, FLASH, &unclear());
    assert_eq!(crate::support::rest(&pool, 0), Some(crate::support::secs(300)), "a first rest, not a second");
}

/// Known by a sentence alone, which may hold the caller's own words.
fn worded() -> Verdict {
    invalid().worded()
}

#[tokio::test]
async fn a_key_s_fault_known_by_words_alone_is_held_against_nobody_where_owners_agree() {
    for n in [2, 5, 10] {
        let (pool, time) = on(builder().keys((0..n).map(key)));
        for _ in 0..4 {
            run(&pool, worded()).await;
            assert_eq!((resting(&pool), pool.snapshot().disabled_keys), (0, 0), "{n} keys");
        }
        // Nothing was held either that a success could let take effect.
        time.advance(secs(61));
        answer(&pool, FLASH, &Verdict::SUCCESS);
        assert_eq!((resting(&pool), pool.snapshot().available_keys), (0, n));
    }
}

#[tokio::test]
async fn five_owners_of_whom_words_say_the_same_are_asked_and_no_more() {
    let (pool, _) = on(builder().keys((0..50).map(key)));
    run(&pool, worded()).await;
    assert_eq!(pool.snapshot().started, 5);
}

#[tokio::test]
async fn words_are_believed_where_another_key_serves_or_no_other_owner_is_asked() {
    let (pool, _) = on(builder().keys((0..3).map(key)));
    let judge = |result: &Result<u32, u32>| if result.is_ok() { Verdict::SUCCESS } else { worded() };
    let calls = std::cell::Cell::new(0);
    let served = pool
        .run(FLASH, judge, |_| {
            calls.set(calls.get() + 1);
            let result = if calls.get() < 3 { Err(0) } else { Ok(1) };
            async move { result }
        })
        .await;
    assert!(served.is_ok());
    assert_eq!(pool.snapshot().disabled_keys, 2, "the third shows that the request was good");
    let (pool, _) = on(builder().keys((0..1).map(key)));
    run(&pool, worded()).await;
    assert_eq!(pool.snapshot().disabled_keys, 1);
}

#[tokio::test]
async fn words_of_money_are_doubted_like_any() {
    let (pool, _) = on(builder().keys((0..3).map(key)));
    let broke =
        Verdict::new(VerdictKind::QuotaExhausted).scope(Scope::Owner).until(Until::Probed(secs(3_600))).worded();
    run(&pool, broke).await;
    assert_eq!(resting(&pool), 0);
}

/// Refused before the request was read.
fn unread() -> Verdict {
    unclear().status(StatusCode::UNAUTHORIZED)
}

#[tokio::test]
async fn among_keys_that_are_refused_unread_those_that_serve_are_found() {
    for bad in [30, 60] {
        let (pool, time) = on(builder().keys((0..100).map(key)));
        let is_good = |key: &str| key[1..].parse::<usize>().unwrap() % 10 >= bad / 10;
        let mut calls = 0;
        for n in 0..300 {
            time.advance(secs(1));
            let (served, tried) = ask(&pool, &unread(), is_good).await;
            assert!(served, "request {n} of {bad} %: {tried:?}");
            calls += tried.len();
        }
        assert!(calls <= 300 + 2 * bad, "{calls}");
    }
}

#[tokio::test]
async fn what_is_found_nowhere_is_asked_of_few() {
    let (pool, _) = on(builder().keys((0..500).map(key)));
    let missing = Verdict::new(VerdictKind::WrongOwner).unclear();
    let (_, tried) = ask(&pool, &missing, |_| false).await;
    assert_eq!(tried.len(), 3);
    // Somebody's own model, and a file that one of them has, as the provider says.
    let said = missing;
    let judge = move |_: &Result<(), ()>| said.clone();
    let _ = pool.run("tunedModels/x", judge, |_| async { Err::<(), ()>(()) }).await;
    assert_eq!(pool.snapshot().started, 503);

    let (served, tried) = ask(&pool, &Verdict::new(VerdictKind::WrongOwner), |key| key == "k499").await;
    assert!(served, "{}", tried.len());
}

/// The model is not for the owner's tier.
fn limit_zero() -> Verdict {
    Verdict::new(VerdictKind::ModelUnavailable)
        .scope(Scope::OwnerLane)
        .until(Until::For(secs(86_400)))
        .elsewhere(Elsewhere::OtherKey)
        .code("LIMIT_ZERO")
}

#[tokio::test]
async fn what_is_not_for_a_tier_is_asked_of_few_of_it_and_of_all_others() {
    let zero = limit_zero();
    let free = |n| key(n).tier(Tier::Free);
    let (pool, _) = on(builder().keys((0..500).map(free)));
    assert_eq!(ask(&pool, &zero, |_| false).await.1.len(), 3);
    let (pool, _) = on(builder().keys((0..499).map(free)).key(Key::paid(crate::support::secret(499)).id("paid")));
    for _ in 0..5 {
        let (served, tried) = ask(&pool, &zero, |key| key == "paid").await;
        assert!(served && tried.len() <= 4, "{tried:?}");
    }
    // Whose tier nobody named may well pay: some more are asked, and other ones by the next request.
    let (pool, _) = on(builder().keys((0..20).map(key)));
    let calls = [ask(&pool, &zero, |_| false).await.1.len(), ask(&pool, &zero, |_| false).await.1.len()];
    assert_eq!((calls, resting(&pool)), ([8, 8], 16));
}

/// Nobody named the tier of these, so that the model is closed to none of them.
#[tokio::test(start_paused = true)]
async fn the_one_of_another_tier_is_waited_for_and_no_other_is_asked() {
    let zero = limit_zero();
    for (rest, served) in [(3, true), (30, false)] {
        let paid = Key::paid(crate::support::secret(20)).id("paid").priority(tower_keypool::Priority(0));
        let pool = paused(builder().keys((0..20).map(key)).key(paid));
        let at_limit = Verdict::new(VerdictKind::RateLimited).scope(Scope::Owner).until(Until::For(secs(rest)));
        pool.try_acquire(Demand::new(FLASH).affinity(Affinity::MustKey("paid".into()))).unwrap().judge(&at_limit);
        let begun = pool.clock().tick();
        let asked = std::sync::Mutex::new(Vec::new());
        let judge = |result: &Result<(), ()>| if result.is_ok() { Verdict::SUCCESS } else { zero.clone() };
        let call = |leased: tower_keypool::LeasedKey| {
            let id = leased.key_id().to_string();
            asked.lock().unwrap().push(id.clone());
            async move { if id == "paid" { Ok(()) } else { Err(()) } }
        };
        let result = pool.run(Demand::new(FLASH).wait(secs(5)), judge, call).await;
        let waited = pool.clock().tick().since(begun);
        let asked = asked.into_inner().unwrap();
        assert_eq!((result.is_ok(), asked.len()), (served, if served { 9 } else { 8 }), "{asked:?}");
        assert_eq!(waited.as_secs(), if served { rest } else { 0 }, "{asked:?}");
    }
}

#[tokio::test]
async fn what_is_not_for_a_tier_is_not_asked_of_it_again_for_a_while() {
    let zero = limit_zero();
    let free = |n| key(n).tier(Tier::Free);
    let keys = || builder().keys((0..500).map(free)).key(Key::paid(crate::support::secret(500)).id("paid"));
    let (pool, time) = on(keys());
    let calls = async || ask(&pool, &zero, |key| key == "paid").await.1.len();
    assert_eq!(calls().await, 4, "three of 500, then the one that may well have it");
    for _ in 0..20 {
        assert_eq!(calls().await, 1);
    }
    let held = view(&pool, 400);
    assert_eq!((held.rests.len(), held.rests[0].ends_in, &*held.rests[0].code), (1, Some(secs(3_600)), "LIMIT_ZERO"));
    // Nobody asked them all: they are asked again, some and ever later.
    for hours in [1, 2, 4] {
        time.advance(secs(3_600 * hours));
        assert_eq!([calls().await, calls().await], [4, 1], "after {hours} h");
    }
    // Another model is another matter, and so is a hand.
    assert_eq!(pool.try_acquire("another").unwrap().key_id().to_string()[..1], *"k");
    pool.enable(&crate::support::id(0)).unwrap();
    assert_eq!([calls().await, calls().await], [4, 1]);
    // Who is served after all opens it to all.
    time.advance(secs(3_600));
    let (served, tried) = ask(&pool, &zero, |key| key != "paid").await;
    assert!(served && tried.len() == 1, "{tried:?}");
    assert!(view(&pool, 400).rests.is_empty());
    // Without a key of another tier nobody is asked at all.
    let (pool, _) = on(builder().keys((0..500).map(free)));
    assert_eq!(ask(&pool, &zero, |_| false).await.1.len(), 3);
    let (served, tried) = ask(&pool, &zero, |_| false).await;
    assert!(!served && tried.is_empty(), "{tried:?}");
    let refused = crate::support::refused(&pool, FLASH);
    assert_eq!(refused, "no API key may serve flash: 500 without this model; next in 3600 s");
}

/// Keys that served what another was refused are known, the last one first, and the next one refused is followed by them.
#[tokio::test]
async fn whoever_served_before_the_last_is_still_known_to_serve() {
    let (pool, _) = on(builder().keys((0..20).map(key)));
    let good = |key: &str| ["k1", "k3"].contains(&key);
    assert_eq!(ask(&pool, &unread(), good).await, (true, vec!["k0".to_owned(), "k1".to_owned()]));
    pool.disable(&id(1), "for a while").unwrap();
    // However often it does.
    for n in [2, 4, 5, 6] {
        assert_eq!(ask(&pool, &unread(), good).await, (true, vec![id(n).to_string(), "k3".to_owned()]));
    }
    pool.disable(&id(3), "for a while").unwrap();
    pool.enable(&id(1)).unwrap();
    let (served, tried) = ask(&pool, &unread(), |key| key == "k1").await;
    assert!(served && tried.len() == 2 && tried[1] == "k1", "{tried:?}");
}

#[tokio::test]
async fn a_later_priority_that_served_waits_for_the_others_of_the_first_all_the_same() {
    let keys = (0..3).map(key).chain([key(3).priority(tower_keypool::Priority::PAID)]);
    let (pool, _) = on(builder().keys(keys));
    for n in [1, 2] {
        pool.disable(&id(n), "for a while").unwrap();
    }
    let good = |key: &str| ["k2", "k3"].contains(&key);
    assert_eq!(ask(&pool, &unread(), good).await, (true, vec!["k0".to_owned(), "k3".to_owned()]));
    for n in [1, 2] {
        pool.enable(&id(n)).unwrap();
    }
    let (served, tried) = ask(&pool, &unread(), good).await;
    assert!(served && tried == ["k1", "k2"], "{tried:?}");
}
