//! Strategies: the order among ready keys of one priority.

use std::collections::BTreeMap;

use tower_keypool::{Key, KeyPool, Priority, Strategy, Verdict};

use crate::support::{FLASH, answer, builder, id, key, keys, on, rate_for, secs, served, take, view};

fn counts(pool: &KeyPool, picks: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..picks {
        *counts.entry(answer(pool, FLASH, &Verdict::SUCCESS)).or_default() += 1;
    }
    counts
}

fn weighted_keys(weights: &[f32]) -> Vec<Key> {
    weights.iter().enumerate().map(|(n, weight)| key(n).weight(*weight)).collect()
}

#[test]
fn have_names() {
    for (name, strategy) in Strategy::NAMES {
        assert_eq!(name.parse(), Ok(strategy));
        assert_eq!(strategy.to_string(), name);
    }
    assert!("fastest".parse::<Strategy>().is_err());
    assert_eq!(Strategy::default(), Strategy::LeastLoaded);
}

#[test]
fn least_loaded_takes_the_fewest_in_flight_for_its_weight() {
    let (pool, _) = on(builder().keys(weighted_keys(&[1.0, 1.0, 2.0])));
    let mut leases: Vec<_> = (0..8).map(|_| take(&pool, FLASH)).collect();
    let out = |n| view(&pool, n).in_flight;
    assert_eq!([out(0), out(1), out(2)], [2, 2, 4]);
    leases.retain(|lease| lease.key_id() != &id(1));
    assert_eq!(served(&pool, FLASH), "k1");
    leases.clear();
    assert_eq!(
        (0..3).map(|_| served(&pool, FLASH)).collect::<Vec<_>>().join(" "),
        "k2 k2 k2",
        "idle, the heaviest is first"
    );
}

#[test]
fn least_loaded_breaks_ties_by_the_last_start() {
    let (pool, _) = keys(3);
    assert_eq!((0..6).map(|_| served(&pool, FLASH)).collect::<Vec<_>>().join(" "), "k0 k1 k2 k0 k1 k2");
}

#[test]
fn round_robin_goes_around_whatever_is_in_flight() {
    let (pool, _) = on(builder().keys(weighted_keys(&[9.0, 1.0, 1.0])).strategy(Strategy::RoundRobin));
    let _held = take(&pool, FLASH);
    let order: Vec<_> = (0..6).map(|_| served(&pool, FLASH)).collect();
    assert_eq!(order.join(" "), "k1 k2 k0 k1 k2 k0");
}

#[test]
fn weighted_shares_are_in_proportion() {
    let (pool, _) = on(builder().keys(weighted_keys(&[1.0, 2.0, 7.0])).strategy(Strategy::Weighted));
    let counts = counts(&pool, 10_000);
    for (name, expected) in [("k0", 1000), ("k1", 2000), ("k2", 7000)] {
        assert!(counts[name].abs_diff(expected) <= 5, "{counts:?}");
    }
}

#[test]
fn weighted_shares_hold_in_a_later_priority_too() {
    let late = |n, weight| key(n).weight(weight).priority(Priority(10));
    let (pool, time) = on(builder().keys([key(0), late(1, 1.0), late(2, 4.0)]).strategy(Strategy::Weighted));
    let mut spilled: BTreeMap<String, usize> = BTreeMap::new();
    for _ in 0..500 {
        for _ in 0..20 {
            answer(&pool, FLASH, &Verdict::SUCCESS);
        }
        answer(&pool, FLASH, &rate_for(1));
        *spilled.entry(answer(&pool, FLASH, &Verdict::SUCCESS)).or_default() += 1;
        time.advance(secs(1));
    }
    assert!(spilled["k1"].abs_diff(100) <= 5 && spilled["k2"].abs_diff(400) <= 5, "{spilled:?}");
}

#[test]
fn whoever_was_away_is_not_owed_the_time_it_missed() {
    let (pool, time) = on(builder().keys(weighted_keys(&[1.0, 1.0])).strategy(Strategy::Weighted));
    assert_eq!(answer(&pool, FLASH, &rate_for(60)), "k0");
    counts(&pool, 100);
    time.advance(secs(60));
    let counts = counts(&pool, 20);
    assert!(counts["k0"].abs_diff(10) <= 1, "{counts:?}");
}

#[test]
fn a_weight_that_is_raised_is_the_share_from_then_on() {
    for strategy in [Strategy::Weighted, Strategy::Adaptive] {
        let (pool, _) = on(builder().keys(weighted_keys(&[1.0, 1.0])).strategy(strategy));
        pool.set_weight(&id(0), 0.001).unwrap();
        counts(&pool, 50);
        pool.set_weight(&id(0), 1.0).unwrap();
        let counts = counts(&pool, 100);
        assert!(counts.get("k0").is_some_and(|served| served.abs_diff(50) <= 2), "{strategy}: {counts:?}");
    }
}

#[test]
fn a_weight_that_is_lowered_is_the_share_from_then_on() {
    let (pool, _) = on(builder().keys(weighted_keys(&[1.0, 1.0])).strategy(Strategy::Weighted));
    pool.set_weight(&id(0), 1000.0).unwrap();
    counts(&pool, 500);
    pool.set_weight(&id(0), 0.25).unwrap();
    let counts = counts(&pool, 100);
    assert!(counts["k0"].abs_diff(20) <= 1, "{counts:?}");
}

#[test]
fn a_key_of_another_priority_has_its_share_there_at_once() {
    for strategy in [Strategy::RoundRobin, Strategy::Weighted, Strategy::Adaptive] {
        let late = |n| key(n).priority(Priority(10));
        let (pool, _) = on(builder().keys([key(0), late(1), late(2)]).strategy(strategy));
        counts(&pool, 1000);
        pool.set_priority(&id(0), Priority(10)).unwrap();
        let shares = counts(&pool, 300);
        assert!(shares.get("k0").is_some_and(|served| served.abs_diff(100) <= 2), "{strategy}: {shares:?}");
        // And back to where the others have stood still.
        pool.set_priority(&id(1), Priority(0)).unwrap();
        pool.set_priority(&id(2), Priority(0)).unwrap();
        let shares = counts(&pool, 100);
        assert!(shares["k1"].abs_diff(50) <= 1, "{strategy}: {shares:?}");
    }
}

#[test]
fn a_key_in_the_place_of_one_that_left_does_not_wait_for_it() {
    let (pool, _) = on(builder().keys(weighted_keys(&[0.001, 1.0])).strategy(Strategy::Weighted));
    counts(&pool, 50);
    pool.remove(&id(0)).unwrap();
    pool.add(key(2)).unwrap();
    let counts = counts(&pool, 100);
    assert!(counts.get("k2").is_some_and(|served| served.abs_diff(50) <= 2), "{counts:?}");
}

#[test]
fn lru_takes_the_longest_not_started() {
    let (pool, _) = on(builder().keys((0..3).map(key)).strategy(Strategy::Lru));
    let _held = [take(&pool, FLASH), take(&pool, FLASH)];
    let order: Vec<_> = (0..5).map(|_| served(&pool, FLASH)).collect();
    assert_eq!(order.join(" "), "k2 k0 k1 k2 k0");
}

#[test]
fn adaptive_learns_within_bounds() {
    let (pool, time) = on(builder().keys(weighted_keys(&[2.0, 1.0])).strategy(Strategy::Adaptive));
    let weight = |n| view(&pool, n).current_weight;
    assert!((weight(0) - 2.0).abs() < 1e-6 && (weight(1) - 1.0).abs() < 1e-6);
    counts(&pool, 200);
    assert!((weight(0) - 4.0).abs() < 1e-4 && (weight(1) - 2.0).abs() < 1e-4, "the ceiling is twice the weight");
    for _ in 0..60 {
        for _ in 0..2 {
            if let Ok(lease) = pool.try_acquire(FLASH) {
                lease.judge(&rate_for(5));
            }
        }
        time.advance(secs(5));
    }
    assert!((weight(0) - 0.2).abs() < 1e-4 && (weight(1) - 0.1).abs() < 1e-4, "the floor is a tenth");
    answer(&pool, FLASH, &Verdict::SUCCESS);
    let grown = if weight(0) > 0.2001 { weight(0) / 0.2 } else { weight(1) / 0.1 };
    assert!((grown - 1.1).abs() < 1e-3, "{grown}");
}

#[test]
fn adaptive_gives_the_better_key_more() {
    let (pool, time) = on(builder().keys((0..2).map(key)).strategy(Strategy::Adaptive));
    let mut good = 0;
    for _ in 0..400 {
        let lease = take(&pool, FLASH);
        if lease.key_id() == &id(0) {
            lease.judge(&Verdict::SUCCESS);
            good += 1;
        } else {
            lease.judge(&rate_for(1));
            time.advance(secs(1));
        }
    }
    assert!(good > 350, "{good}");
}

#[test]
fn half_of_a_thousand_keys_full_and_every_pick_finds_one() {
    for (_, strategy) in Strategy::NAMES {
        let (pool, _) = on(builder().keys((0..1000).map(key)).strategy(strategy));
        for _ in 0..500 {
            answer(&pool, FLASH, &rate_for(3600));
        }
        for _ in 0..10_000 {
            drop(take(&pool, FLASH));
        }
    }
}
