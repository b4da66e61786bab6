//! An answer that refuses the address rests the exit of the key that it came to: neither that key, nor another exit.

use tower_keypool::{Event, Exit, ExitError, Key, KeyState, OutReason, Scope, Verdict, VerdictKind, judge_error};

use super::support::*;

fn by(n: usize, exit: &str) -> Key {
    key(n).exit(exit)
}

fn blocked() -> Verdict {
    Verdict::new(VerdictKind::Blocked).code("LOCATION")
}

/// k0 and k1 go out the usual way, k2 and k3 by `tokyo`.
fn both_ways() -> tower_keypool::KeyPoolBuilder {
    builder().keys([key(0), key(1), by(2, "tokyo"), by(3, "tokyo")])
}

fn of_key(pool: &tower_keypool::KeyPool, n: usize) -> tower_keypool::Lease {
    let demand = tower_keypool::Demand::new(FLASH).affinity(tower_keypool::Affinity::MustKey(id(n)));
    pool.try_acquire(demand).expect("it is ready")
}

fn exit_rest(pool: &tower_keypool::KeyPool, name: Option<&str>) -> Option<std::time::Duration> {
    let exits = pool.snapshot().exits;
    let exit = exits.iter().find(|exit| exit.name.as_ref().map(Exit::name) == name).expect("an exit");
    exit.rest.as_ref().and_then(|rest| rest.ends_in)
}

#[test]
fn the_exit_rests_and_never_the_keys() {
    let (pool, time) = on(both_ways());
    let leases: Vec<_> = (0..4).map(|_| take(&pool, FLASH)).collect();
    let of = |n: usize| leases.iter().find(|lease| *lease.key_id() == id(n)).unwrap();
    assert_eq!((of(0).exit(), of(2).exit()), (None, Some(Exit::from("tokyo"))));
    of(2).judge(&blocked());
    // A second answer of the same incident does not count twice.
    of(3).judge(&blocked());
    drop(leases);
    assert_eq!((exit_rest(&pool, Some("tokyo")), exit_rest(&pool, None)), (Some(secs(600)), None));
    let snapshot = pool.snapshot();
    assert!(snapshot.exit_rest.is_none(), "others serve");
    assert!(snapshot.keys.iter().all(|key| key.rests.is_empty() && key.failed == 0));
    assert_eq!((view(&pool, 1).state, view(&pool, 2).state), (KeyState::Ready, KeyState::Resting));
    assert_eq!(view(&pool, 2).lanes[0].ready_in, Some(secs(600)));
    assert_eq!((snapshot.available_keys, snapshot.exits[1].keys), (2, 2));
    for _ in 0..20 {
        assert!(["k0", "k1"].contains(&served(&pool, FLASH).as_str()));
    }
    // In other lanes as well, and they come back all at once.
    assert!(["k0", "k1"].contains(&served(&pool, PRO).as_str()));
    time.advance(secs(600));
    let all: std::collections::BTreeSet<String> =
        (0..4).map(|_| take(&pool, FLASH)).map(|l| l.key_id().to_string()).collect();
    assert_eq!(all.len(), 4);
}

#[test]
fn rests_double_and_a_good_answer_ends_them() {
    let (pool, time) = on(both_ways());
    for expected in [600, 1200, 2400, 3600, 3600] {
        let lease = of_key(&pool, 2);
        lease.settle(&blocked());
        assert_eq!(exit_rest(&pool, Some("tokyo")), Some(secs(expected)));
        time.advance(secs(expected));
    }
    answer(&pool, FLASH, &Verdict::SUCCESS);
    of_key(&pool, 3).settle(&Verdict::SUCCESS);
    assert_eq!(exit_rest(&pool, Some("tokyo")), None);
    of_key(&pool, 2).settle(&blocked());
    assert_eq!(exit_rest(&pool, Some("tokyo")), Some(secs(600)), "it begins anew");
}

#[test]
fn a_rest_is_lifted_by_hand_of_the_exit_or_of_a_key_that_goes_out_by_it() {
    let (pool, time) = on(both_ways());
    let lift: [&dyn Fn() -> bool; 2] = [&|| pool.lift_exit(Some("tokyo")), &|| pool.enable(&id(3)).is_ok()];
    for lift in lift {
        let (late, first) = (of_key(&pool, 3), of_key(&pool, 2));
        let mut events = pool.events();
        first.settle(&blocked());
        assert!(exit_rest(&pool, Some("tokyo")).is_some());
        assert!(!pool.lift_exit(None) && !pool.lift_exit(Some("nowhere")), "it is another that rests");
        assert!(lift());
        assert_eq!(exit_rest(&pool, Some("tokyo")), None);
        let told: Vec<_> = std::iter::from_fn(|| events.try_next()).map(Result::unwrap).collect();
        let exit = Some(Exit::from("tokyo"));
        assert!(
            told.iter()
                .any(|event| matches!(event, Event::Recovered { scope: Scope::Exit, exit: it, .. } if *it == exit)),
            "{told:?}"
        );
        // What was sent before brings it not back, what is sent now does, from the beginning.
        late.settle(&blocked());
        assert_eq!(exit_rest(&pool, Some("tokyo")), None);
        of_key(&pool, 2).settle(&blocked());
        assert_eq!(exit_rest(&pool, Some("tokyo")), Some(secs(600)));
        time.advance(secs(600));
        of_key(&pool, 2).settle(&Verdict::SUCCESS);
    }
    assert!(!pool.lift_exit(Some("tokyo")), "it does not rest");
}

#[test]
fn what_rests_is_told_by_name() {
    let (pool, _) = on(both_ways());
    let mut events = pool.events();
    for n in [2, 0] {
        of_key(&pool, n).settle(&blocked());
    }
    let mut told = Vec::new();
    while let Some(Ok(event)) = events.try_next() {
        if let Event::Rested { exit, scope, .. } = event {
            told.push((exit, scope));
        }
    }
    let exit = tower_keypool::Scope::Exit;
    assert_eq!(told, [(Some(Exit::from("tokyo")), exit), (None, exit)]);
    let error = pool.try_acquire(FLASH).unwrap_err();
    let exhausted = error.exhausted().unwrap();
    assert_eq!(exhausted.reasons().collect::<Vec<_>>(), [(OutReason::Blocked, 4)]);
    let exits: Vec<_> = exhausted.exits().collect();
    assert_eq!(exits, [(None, Some(secs(600))), (Some("tokyo"), Some(secs(600)))]);
    let text = error.to_string();
    assert!(text.contains("4 behind a blocked address, exit tokyo rests for 600 s; next in 600 s"), "{text}");
    let json = serde_json::to_value(exhausted).unwrap();
    assert_eq!(json["exits"][1], serde_json::json!({ "exit": "tokyo", "rests_for": 600.0 }));
}

#[test]
fn an_exit_that_lets_nothing_out_rests_for_a_moment_and_counts_nothing() {
    let (pool, time) = on(both_ways().limits(FLASH, tower_keypool::Limits::new().per_minute(1)));
    let error = std::io::Error::other(ExitError::new(Exit::from("tokyo"), "the proxy refused (407)"));
    let verdict = judge_error(&error);
    assert!(verdict.is_unsent() && verdict.advice_of().contains("tokyo"));
    for expected in [5, 10, 20] {
        let lease = of_key(&pool, 2);
        lease.settle(&verdict);
        assert_eq!(exit_rest(&pool, Some("tokyo")), Some(secs(expected)));
        assert!(view(&pool, 2).lanes[0].limits.iter().all(|limit| limit.used == 0));
        time.advance(secs(expected));
    }
}

#[test]
fn a_key_keeps_its_exit_over_a_new_secret_and_leaves_it_when_it_is_told() {
    let (pool, _) = on(both_ways());
    let exit_of = |n: usize| view(&pool, n).exit.map(|exit| exit.to_string());
    pool.replace(&id(2), "AIza-not-a-real-key-new02").unwrap();
    assert_eq!(exit_of(2).as_deref(), Some("tokyo"));
    let old = of_key(&pool, 3);
    of_key(&pool, 2).settle(&blocked());
    // k3 moves to an exit of its own while tokyo rests: it serves at once.
    let second = Key::new("AIza-not-a-real-key-new02").id(id(2)).exit("tokyo");
    let change = pool.reconfigure(builder().keys([key(0), key(1), second, by(3, "lima")])).unwrap();
    assert_eq!(change.changed, [id(3)]);
    assert_eq!((exit_of(2).as_deref(), exit_of(3).as_deref()), (Some("tokyo"), Some("lima")));
    assert_eq!(view(&pool, 3).state, KeyState::Ready);
    // What its request met that went out before is tokyo's.
    old.settle(&blocked());
    assert_eq!((exit_rest(&pool, Some("lima")), view(&pool, 3).state), (None, KeyState::Ready));
    // And back: it rests with the others there.
    let second = Key::new("AIza-not-a-real-key-new02").id(id(2)).exit("tokyo");
    pool.reconfigure(builder().keys([key(0), key(1), second, by(3, "tokyo")])).unwrap();
    assert_eq!(view(&pool, 3).state, KeyState::Resting);
    // A key that left and comes back has the exit that it is given then.
    pool.remove(&id(3)).unwrap();
    pool.add(key(3)).unwrap();
    assert_eq!((exit_of(3), view(&pool, 3).state), (None, KeyState::Ready));
}

#[test]
fn with_one_exit_for_all_it_is_as_with_none() {
    let (pool, time) = on(builder().keys([by(0, "tokyo"), by(1, "tokyo")]));
    answer(&pool, FLASH, &blocked());
    assert_eq!(pool.snapshot().exit_rest.unwrap().ends_in, Some(secs(600)));
    assert_eq!(next_in(&pool, FLASH), Some(secs(600)));
    time.advance(secs(600));
    assert_eq!(pool.snapshot().available_keys, 2);
}

#[test]
fn a_name_that_may_be_no_exits_is_refused() {
    for name in ["", "a b", "x/y", &"x".repeat(65)] {
        let error = builder().key(by(0, name)).build().err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(error, "key k0: an exit's name is 1 to 64 of A-Z a-z 0-9 . _ -", "{name}");
    }
}
