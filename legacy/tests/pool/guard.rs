//! The guard: when many keys fail for good at once, the fault is more likely ours.

use tower_keypool::{Affinity, Demand, Event, Scope, Until, Verdict, VerdictKind};

use crate::support::{FLASH, answer, id, invalid, keys, rate_for, refused, rest, secs, suspended, take};

#[test]
fn five_keys_failing_for_good_within_thirty_seconds_are_held() {
    let (pool, time) = keys(5);
    let mut events = pool.events();
    for _ in 0..5 {
        answer(&pool, FLASH, &invalid());
        time.advance(secs(1));
    }
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.disabled_keys, snapshot.resting_keys), (0, 5));
    assert!(snapshot.keys.iter().all(|key| key.rests[0].held));
    assert!(refused(&pool, FLASH).contains("5 held (many keys failed at once)"));
    let held = std::iter::from_fn(|| events.try_next()).any(|event| matches!(event, Ok(Event::Held { keys: 5 })));
    assert!(held);
}

#[test]
fn the_first_success_lets_the_held_verdicts_take_effect() {
    let (pool, _) = keys(6);
    for _ in 0..5 {
        answer(&pool, FLASH, &invalid());
    }
    assert_eq!(pool.snapshot().disabled_keys, 0);
    assert_eq!(answer(&pool, FLASH, &Verdict::SUCCESS), "k5");
    assert_eq!(pool.snapshot().disabled_keys, 5);
}

#[test]
fn a_held_key_that_serves_again_was_held_for_nothing() {
    let (pool, time) = keys(5);
    for _ in 0..5 {
        answer(&pool, FLASH, &invalid());
    }
    time.advance(secs(60));
    answer(&pool, FLASH, &Verdict::SUCCESS);
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.available_keys, snapshot.disabled_keys), (1, 4));
}

/// It met a limit since then, as no key does that is out for good: what takes effect is not that rest.
#[test]
fn a_held_key_that_rests_for_something_else_since_is_held_no_more() {
    let (pool, time) = keys(6);
    for _ in 0..5 {
        answer(&pool, FLASH, &invalid());
    }
    time.advance(secs(60));
    let again = pool.try_acquire(Demand::new(FLASH).affinity(Affinity::MustKey(id(0)))).unwrap();
    again.settle(&rate_for(600).scope(Scope::Key));
    let other = pool.try_acquire(Demand::new(FLASH).affinity(Affinity::MustKey(id(5)))).unwrap();
    other.settle(&Verdict::SUCCESS);
    assert_eq!((pool.snapshot().disabled_keys, rest(&pool, 0)), (4, Some(secs(600))));
    time.advance(secs(600));
    drop(pool.try_acquire(Demand::new(FLASH).affinity(Affinity::MustKey(id(0)))).unwrap());
}

#[test]
fn four_keys_are_disabled_at_once() {
    let (pool, _) = keys(5);
    for _ in 0..4 {
        answer(&pool, FLASH, &invalid());
    }
    assert_eq!(pool.snapshot().disabled_keys, 4);
}

#[test]
fn slow_failures_are_each_their_own() {
    let (pool, time) = keys(10);
    for _ in 0..10 {
        answer(&pool, FLASH, &invalid());
        time.advance(secs(10));
    }
    assert_eq!(pool.snapshot().disabled_keys, 10);
}

#[test]
fn one_that_is_tried_again_in_vain_speaks_for_all() {
    let (pool, time) = keys(6);
    for _ in 0..6 {
        answer(&pool, FLASH, &invalid());
    }
    for _ in 0..3 {
        time.advance(secs(61));
        answer(&pool, FLASH, &invalid());
        let out = pool.outlook(FLASH).expect("all are held on");
        assert!(out.next_in().is_some_and(|next| next > secs(59)), "{out}");
    }
    assert_eq!(pool.snapshot().disabled_keys, 0);
}

#[test]
fn a_success_between_them_says_that_the_way_is_good() {
    let (pool, time) = keys(12);
    for n in 0..10 {
        answer(&pool, FLASH, &invalid());
        time.advance(secs(1));
        if n % 4 == 3 {
            answer(&pool, FLASH, &Verdict::SUCCESS);
            time.advance(secs(1));
        }
    }
    assert_eq!(pool.snapshot().disabled_keys, 10);
}

#[test]
fn what_went_well_before_the_first_failed_shows_nothing() {
    let (pool, time) = keys(8);
    answer(&pool, FLASH, &Verdict::SUCCESS);
    let under_way = [take(&pool, FLASH), take(&pool, FLASH)];
    time.advance(secs(1));
    for n in 0..6 {
        answer(&pool, FLASH, &invalid());
        if n == 2 {
            under_way[0].judge(&Verdict::SUCCESS);
        }
        time.advance(secs(1));
    }
    assert_eq!(pool.snapshot().disabled_keys, 0, "all that were asked since");
    under_way[1].judge(&Verdict::SUCCESS);
    assert_eq!(pool.snapshot().disabled_keys, 0);
    answer(&pool, FLASH, &Verdict::SUCCESS);
    assert_eq!(pool.snapshot().disabled_keys, 6, "one that was asked later serves");
}

#[test]
fn other_failures_count_among_those_tried() {
    let (pool, _) = keys(20);
    for _ in 0..10 {
        answer(&pool, FLASH, &rate_for(3600));
    }
    for _ in 0..10 {
        answer(&pool, FLASH, &invalid());
    }
    assert_eq!(pool.snapshot().disabled_keys, 10, "half of those tried is not 90 %");
}

#[test]
fn one_key_failing_often_is_one_key() {
    let (pool, _) = keys(2);
    let leases: Vec<_> = (0..20).map(|_| take(&pool, FLASH)).collect();
    for lease in &leases {
        lease.judge(&invalid());
    }
    assert_eq!(pool.snapshot().disabled_keys, 2);
}

/// Which keys were told to be disabled, and how often that disabling pauses.
fn told(events: &mut tower_keypool::Events) -> (Vec<String>, usize) {
    let (mut disabled, mut held) = (Vec::new(), 0);
    while let Some(Ok(event)) = events.try_next() {
        match event {
            Event::Disabled { key, .. } => disabled.push(key.to_string()),
            Event::Held { .. } => held += 1,
            _ => {}
        }
    }
    (disabled, held)
}

#[test]
fn each_key_is_told_once_to_be_disabled_and_once_that_disabling_pauses() {
    let (pool, _) = keys(10);
    let mut events = pool.changes();
    for _ in 0..9 {
        answer(&pool, FLASH, &suspended(3_600));
    }
    answer(&pool, FLASH, &Verdict::SUCCESS);
    let (mut disabled, held) = told(&mut events);
    disabled.sort();
    assert_eq!(disabled, ["k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8"]);
    assert_eq!(held, 1);
    assert_eq!(pool.snapshot().disabled_keys, 9);
}

#[test]
fn held_keys_that_fail_again_stay_held_and_nothing_is_said_anew() {
    let (pool, time) = keys(6);
    let mut events = pool.changes();
    for _ in 0..6 {
        answer(&pool, FLASH, &invalid());
    }
    assert_eq!(told(&mut events), ((0..4).map(|n| format!("k{n}")).collect(), 1));
    for _ in 0..3 {
        time.advance(secs(60));
        // Those under way at once: what the first says holds all, and what the others say changes nothing.
        let under_way: Vec<_> = (0..6).map(|_| take(&pool, FLASH)).collect();
        for lease in under_way {
            lease.settle(&invalid());
        }
        assert_eq!(pool.snapshot().resting_keys, 6);
        assert_eq!(told(&mut events), (vec![], 0));
    }
}

/// What a provider ends a stream with, after its head.
fn broken_by(kind: VerdictKind) -> Verdict {
    Verdict::new(VerdictKind::Broken).broken_by(kind).scope(Scope::Key).until(Until::Lifted)
}

#[test]
fn faults_in_the_middle_of_an_answer_are_held_like_others() {
    let (pool, _) = keys(6);
    for _ in 0..5 {
        answer(&pool, FLASH, &broken_by(VerdictKind::Suspended));
    }
    assert_eq!(pool.snapshot().disabled_keys, 0);
    answer(&pool, FLASH, &Verdict::SUCCESS);
    assert_eq!(pool.snapshot().disabled_keys, 5);
}

#[test]
fn a_key_disabled_in_the_middle_of_an_answer_is_said_to_be() {
    for (kind, said) in
        [(VerdictKind::Suspended, "1 disabled (suspended)"), (VerdictKind::InvalidKey, "1 disabled (invalid)")]
    {
        let (pool, _) = keys(1);
        let mut events = pool.changes();
        answer(&pool, FLASH, &broken_by(kind));
        let Some(Ok(Event::Disabled { kind: told, .. })) = events.try_next() else { panic!("it is told") };
        assert_eq!(told, kind);
        let refused = refused(&pool, FLASH);
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn keys_that_were_passed_over_already_are_tried_again_when_they_are_held() {
    let (pool, time) = keys(5);
    for _ in 0..4 {
        answer(&pool, FLASH, &invalid());
    }
    // The second one looks at those that are disabled, and passes them over.
    let (fifth, again) = (take(&pool, FLASH), take(&pool, FLASH));
    fifth.settle(&invalid());
    drop(again);
    time.advance(secs(60));
    let under_way: Vec<_> = (0..5).map(|_| take(&pool, FLASH)).collect();
    let mut tried: Vec<String> = under_way.iter().map(|lease| lease.key_id().to_string()).collect();
    tried.sort();
    assert_eq!(tried, ["k0", "k1", "k2", "k3", "k4"]);
}
