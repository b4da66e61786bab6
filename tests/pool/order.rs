//! Priorities, affinity, exclusion, allowed models and strategies.

use std::collections::BTreeMap;

use tower_keypool::{
    Affinity, Key, Limits, Outcome, Strategy,
    pool::{KeyRequest, UnavailableReason as Reason},
};

use crate::support::{M, answer, builder, id, key, manual, rate_for, refused, secret, secs, served, take};

#[test]
fn paid_keys_serve_only_when_no_free_key_can() {
    let (pool, time) = manual(
        builder()
            .key(Key::paid(secret(0)).named(id(0)))
            .key(Key::free(secret(1)).named(id(1)))
            .limits(M, Limits::new().per_minute(2)),
    );
    let order: Vec<_> = (0..4).map(|_| served(&pool, M)).collect();
    assert_eq!(order, ["k1", "k1", "k0", "k0"]);
    time.advance(secs(61));
    assert_eq!(served(&pool, M), "k1");
}

#[test]
fn changed_priority_applies_at_once() {
    let (pool, _) = manual(builder().key(key(0).priority(1)).key(key(1).priority(5)));
    assert_eq!(served(&pool, M), "k0");
    pool.put(key(0).priority(9)).unwrap();
    assert_eq!((0..3).map(|_| served(&pool, M)).collect::<Vec<_>>(), ["k1"; 3]);
    pool.put(key(0).priority(2)).unwrap();
    assert_eq!(served(&pool, M), "k0");
}

#[test]
fn only_the_required_key_or_project_serves() {
    let (pool, time) = manual(builder().keys((0..4).map(|n| key(n).project(["a", "b"][n / 2]))));
    let of = |affinity| KeyRequest::model(M).affinity(affinity);
    assert_eq!(pool.try_acquire(of(Affinity::RequireKey(id(3)))).unwrap().key(), &id(3));
    let two: Vec<_> = (0..2).map(|_| pool.try_acquire(of(Affinity::RequireProject("a".into()))).unwrap()).collect();
    assert_eq!([two[0].key(), two[1].key()], [&id(0), &id(1)]);
    time.advance(secs(1));
    two[0].report(&rate_for(30).into());
    assert_eq!(
        refused(&pool, of(Affinity::RequireProject("a".into()))).reasons(),
        [(Reason::Cooling, 2), (Reason::Affinity, 2)]
    );
    let unknown = refused(&pool, of(Affinity::RequireKey("k9".into())).wait(secs(60)));
    assert_eq!(unknown.reasons(), [(Reason::Affinity, 4)]);
}

#[test]
fn preferred_key_or_project_serves_if_it_can() {
    let (pool, _) = manual(builder().keys((0..3).map(|n| key(n).project(["a", "a", "b"][n]).max_concurrent(1))));
    let of = |affinity| KeyRequest::model(M).affinity(affinity);
    let first = pool.try_acquire(of(Affinity::PreferKey(id(2)))).unwrap();
    assert_eq!(first.key(), &id(2));
    let second = pool.try_acquire(of(Affinity::PreferProject("b".into()))).unwrap();
    assert_eq!(second.project(), "a");
}

#[test]
fn preferred_key_serves_despite_its_lower_priority() {
    let (pool, _) = manual(builder().key(key(0)).key(key(1).priority(50)));
    let request = KeyRequest::model(M).affinity(Affinity::PreferKey(id(1)));
    assert_eq!(pool.try_acquire(request).unwrap().key(), &id(1));
    assert_eq!(served(&pool, M), "k0");
}

#[test]
fn excluded_keys_and_keys_for_other_models_do_not_serve() {
    let (pool, _) = manual(builder().key(key(0).models(["a", "b-*"])).key(key(1)).key(key(2).models(["a"])));
    assert_eq!(pool.try_acquire(KeyRequest::model("b-1").exclude([id(1)])).unwrap().key(), &id(0));
    let error = refused(&pool, KeyRequest::model("c").exclude([id(1)]));
    assert_eq!(error.reasons(), [(Reason::Model, 2), (Reason::Tried, 1)]);
    assert_eq!(pool.try_acquire(KeyRequest::model("a").exclude([id(1), id(0)])).unwrap().key(), &id(2));
    // The allowed models of a key can change.
    pool.put(key(2).models(["c"])).unwrap();
    assert_eq!(pool.try_acquire(KeyRequest::model("c").exclude([id(1)])).unwrap().key(), &id(2));
}

#[test]
fn key_is_found_among_many_keys_for_other_models() {
    let others = (0..400).map(|n| key(n).models(["a-*"]));
    let (pool, time) = manual(builder().keys(others).key(key(400).models(["b-*"])).key(key(401).models(["c"])));
    for _ in 0..3 {
        assert_eq!(answer(&pool, &time, "b-1", Outcome::Success), "k400");
        assert_eq!(answer(&pool, &time, "c", Outcome::Success), "k401");
    }
}

#[test]
fn key_with_room_is_found_among_many_keys_without() {
    let limits = Limits::new().tokens_per_minute(1_000);
    let (pool, _) = manual(builder().keys((0..600).map(key)).limits(M, limits));
    let serves = |tokens| pool.try_acquire(KeyRequest::model(M).input_tokens(tokens)).map(|lease| lease.key().clone());
    assert_eq!(serves(1).unwrap(), id(0));
    (1..600).for_each(|n| assert_eq!(serves(600).unwrap(), id(n)));
    // Its turn comes last now.
    assert_eq!(serves(1).unwrap(), id(0));
    assert_eq!((serves(500).unwrap(), serves(450).unwrap()), (id(0), id(0)));
}

fn distribution(strategy: Strategy, requests: usize) -> BTreeMap<String, usize> {
    let weights = [1, 2, 5];
    let (pool, _) = manual(
        builder().strategy(strategy).keys(weights.into_iter().enumerate().map(|(n, weight)| key(n).weight(weight))),
    );
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        *counts.entry(served(&pool, M)).or_default() += 1;
    }
    counts
}

#[test]
fn weights_share_requests_under_the_weighted_strategy() {
    let counts = distribution("weighted".parse().unwrap(), 800);
    let near = |key: &str, share: usize| counts[key].abs_diff(share) <= 2;
    assert!(near("k0", 100) && near("k1", 200) && near("k2", 500), "{counts:?}");
    let keys = [key(0).weight(40_000), key(1).weight(60_000)];
    let (pool, _) = manual(builder().strategy(Strategy::Weighted).keys(keys));
    let first = (0..1_000).filter(|_| served(&pool, M) == "k0").count();
    assert!(first.abs_diff(400) <= 2, "{first}");
}

#[test]
fn round_robin_lru_and_least_loaded_use_each_key_equally() {
    for strategy in ["round-robin", "lru", "least-loaded"] {
        let counts = distribution(strategy.parse().unwrap(), 300);
        assert!(counts.values().all(|count| *count == 100), "{strategy}: {counts:?}");
    }
}

#[test]
fn lru_spreads_a_burst_over_all_keys() {
    let (pool, _) = manual(builder().strategy(Strategy::Lru).keys((0..4).map(key)));
    let leases: Vec<_> = (0..8).map(|_| take(&pool, M)).collect();
    let mut counts = BTreeMap::<_, usize>::new();
    for lease in &leases {
        *counts.entry(lease.key().to_string()).or_default() += 1;
    }
    assert!(counts.values().all(|count| *count == 2), "{counts:?}");
    // The key that was released last is used last.
    for lease in leases.into_iter().rev() {
        drop(lease);
    }
    assert_eq!(served(&pool, M), "k3");
}

#[test]
fn least_loaded_counts_leases_of_all_models_and_weights() {
    let (pool, time) = manual(builder().key(key(0)).key(key(1).weight(3)));
    for model in ["a", "b"] {
        answer(&pool, &time, model, Outcome::Success);
    }
    let held: Vec<_> = (0..8).map(|_| take(&pool, "a")).collect();
    assert_eq!(held.iter().filter(|lease| lease.key() == &id(1)).count(), 6);
    // A lease for one model affects the order for the other one, too.
    let other: Vec<_> = (0..4).map(|_| take(&pool, "b")).collect();
    let mut kept: Vec<_> = held.into_iter().chain(other).collect();
    kept.retain(|lease| lease.key() == &id(1));
    assert_eq!((0..3).map(|_| take(&pool, "b")).map(|lease| lease.key().clone()).collect::<Vec<_>>(), vec![id(0); 3]);
}

#[test]
fn adaptive_strategy_prefers_the_fastest_key() {
    let (pool, time) = manual(builder().strategy(Strategy::Adaptive).keys((0..3).map(key)));
    let mut counts = BTreeMap::<_, usize>::new();
    for _ in 0..300 {
        let lease = take(&pool, M);
        let slow = lease.key() != &id(1);
        time.advance(std::time::Duration::from_millis(if slow { 900 } else { 100 }));
        lease.report(&Outcome::Success);
        *counts.entry(lease.key().to_string()).or_default() += 1;
    }
    assert!(counts["k1"] > 200, "{counts:?}");
}

#[test]
fn unknown_strategy_is_an_error() {
    for strategy in Strategy::ALL {
        assert_eq!(strategy.as_str().parse::<Strategy>().unwrap(), strategy);
    }
    let error = "fastest".parse::<Strategy>().unwrap_err().to_string();
    assert!(error.contains("fastest") && error.contains("least-loaded"), "{error}");
}
