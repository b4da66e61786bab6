//! The ramp is rank only: less load at first for a key that is back from a fault of its own.

use tower_keypool::{Limits, Strategy, Verdict};

use crate::support::{
    FLASH, answer, builder, id, invalid, key, keys, limited, on, secs, suspended, take, unclear, view,
};

#[test]
fn a_key_back_from_a_fault_of_its_own_gets_little_until_it_succeeds() {
    let (pool, time) = on(builder().keys((0..2).map(key)).strategy(Strategy::Weighted));
    assert_eq!(answer(&pool, FLASH, &unclear()), "k0");
    time.advance(secs(300));
    let weight = || view(&pool, 0).current_weight;
    let mut seen = vec![weight()];
    for _ in 0..200 {
        if answer(&pool, FLASH, &Verdict::SUCCESS) == "k0" {
            seen.push(weight());
        }
    }
    assert_eq!(seen[..5], [0.1, 0.25, 0.5, 1.0, 1.0]);
}

#[test]
fn least_loaded_ramps_too() {
    let (pool, time) = keys(2);
    assert_eq!(answer(&pool, FLASH, &suspended(60)), "k0");
    time.advance(secs(60));
    let probe = std::iter::from_fn(|| Some(take(&pool, FLASH))).take(12).collect::<Vec<_>>();
    let mine: Vec<_> = probe.iter().filter(|lease| lease.key_id() == &id(0)).collect();
    assert_eq!(mine.len(), 1, "of twelve in flight one is the probe's");
    mine[0].judge(&Verdict::SUCCESS);
    assert!((view(&pool, 0).current_weight - 0.25).abs() < 1e-6);
}

#[test]
fn alone_a_ramping_key_takes_all() {
    let (pool, time) = keys(1);
    answer(&pool, FLASH, &unclear());
    time.advance(secs(300));
    let leases: Vec<_> = (0..100).map(|_| take(&pool, FLASH)).collect();
    assert_eq!(leases.len(), 100);
}

#[test]
fn keys_present_at_start_and_back_from_a_full_window_do_not_ramp() {
    let (pool, time) = limited(2, Limits::new().per_minute(1));
    assert!((0..2).all(|n| (view(&pool, n).current_weight - 1.0).abs() < 1e-6));
    drop((take(&pool, FLASH), take(&pool, FLASH)));
    time.advance(secs(61));
    answer(&pool, FLASH, &crate::support::rate_for(1));
    time.advance(secs(61));
    assert!((0..2).all(|n| (view(&pool, n).current_weight - 1.0).abs() < 1e-6));
}

#[test]
fn a_key_added_under_load_ramps_and_one_added_at_rest_does_not() {
    let (pool, _) = keys(1);
    pool.add(key(1)).unwrap();
    let _held = take(&pool, FLASH);
    pool.add(key(2)).unwrap();
    assert!((view(&pool, 1).current_weight - 1.0).abs() < 1e-6);
    assert!((view(&pool, 2).current_weight - 0.1).abs() < 1e-6);
}

#[test]
fn faults_of_the_lane_or_the_exit_ramp_no_key() {
    use tower_keypool::VerdictKind as K;
    let (pool, _) = on(builder().keys((0..2).map(key)).strategy(Strategy::Adaptive));
    let leases = [take(&pool, FLASH), take(&pool, FLASH)];
    let until = tower_keypool::Until::Backoff;
    leases[0].judge(&Verdict::new(K::ModelUnavailable).until(until));
    leases[1].judge(&Verdict::new(K::Blocked));
    assert!((0..2).all(|n| (view(&pool, n).current_weight - 1.0).abs() < 1e-6));
}

#[test]
fn an_enabled_key_comes_back_gently() {
    let (pool, _) = keys(2);
    answer(&pool, FLASH, &invalid());
    pool.enable(&id(0)).unwrap();
    assert!((view(&pool, 0).current_weight - 0.1).abs() < 1e-6);
}

/// One request after the other, each answered before the next: k0's by `bad`.
fn light(pool: &tower_keypool::KeyPool, requests: usize, bad: &Verdict) -> usize {
    (0..requests)
        .filter(|_| {
            let lease = take(pool, FLASH);
            let first = lease.key_id() == &id(0);
            let good = Verdict::SUCCESS;
            lease.settle(if first { bad } else { &good });
            first
        })
        .count()
}

#[test]
fn a_suspect_is_confirmed_under_light_load_with_every_strategy() {
    for (name, strategy) in Strategy::NAMES {
        let (pool, time) = on(builder().keys((0..3).map(key)).strategy(strategy));
        let invalid = invalid().confirm_after(secs(60));
        assert_eq!(light(&pool, 3, &invalid), 1, "{name}");
        assert_eq!(pool.snapshot().disabled_keys, 0, "{name}");
        time.advance(secs(60));
        assert_eq!(light(&pool, 6, &invalid), 1, "{name}");
        assert_eq!(pool.snapshot().disabled_keys, 1, "{name}");
    }
}

#[test]
fn a_key_that_recovered_serves_under_light_load_with_every_strategy() {
    for (name, strategy) in Strategy::NAMES {
        let (pool, time) = on(builder().keys((0..3).map(key)).strategy(strategy));
        light(&pool, 3, &unclear());
        time.advance(secs(300));
        let served = light(&pool, 300, &Verdict::SUCCESS);
        assert!((60..=101).contains(&served), "{name}: {served} of 300");
        assert!(view(&pool, 0).current_weight > 0.75, "{name}");
    }
}

#[test]
fn under_load_a_ramping_key_takes_its_reduced_share() {
    for strategy in [Strategy::LeastLoaded, Strategy::RoundRobin, Strategy::Weighted, Strategy::Adaptive] {
        let (pool, time) = on(builder().keys((0..3).map(key)).strategy(strategy));
        light(&pool, 3, &unclear());
        time.advance(secs(300));
        let leases: Vec<_> = (0..210).map(|_| take(&pool, FLASH)).collect();
        let mine = leases.iter().filter(|lease| lease.key_id() == &id(0)).count();
        assert!((5..=12).contains(&mine), "{strategy}: {mine} of 210 at a tenth of the others' weight");
    }
}
