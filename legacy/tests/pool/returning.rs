//! Keys that are taken out and put in again: at once, while requests are under way, by hand or by another configuration.

use std::time::Duration;

use tower_keypool::{
    Affinity, Demand, Key, KeyPool, KeyPoolBuilder, KeyState, Limits, Priority, Scope, Until, Verdict, VerdictKind,
};

use crate::support::{
    FLASH, answer, builder, id, key, on, rate_for, refused, secret, secs, served, suspended, take, view,
};

fn one(n: usize) -> Key {
    key(n).max_concurrent(1)
}

/// By hand, and as a file does it that loses a line and gets it back.
fn away_and_back(pool: &KeyPool, by_hand: bool, back: Key, settings: impl Fn() -> KeyPoolBuilder) {
    if by_hand {
        pool.remove(&id(0)).unwrap();
        pool.add(back).unwrap();
    } else {
        pool.reconfigure(settings().key(key(9).priority(Priority(9)))).unwrap();
        let change = pool.reconfigure(settings().keys([key(9).priority(Priority(9)), back])).unwrap();
        assert_eq!(change.added, [id(0)]);
    }
}

#[test]
fn a_request_under_way_counts_when_its_key_comes_back() {
    for by_hand in [true, false] {
        for same_secret in [true, false] {
            let back = if same_secret { one(0) } else { Key::new(secret(5)).id(id(0)).max_concurrent(1) };
            let (pool, _) = on(builder().key(one(0)));
            let held = take(&pool, FLASH);
            away_and_back(&pool, by_hand, back, builder);
            assert_eq!(view(&pool, 0).in_flight, 1, "{by_hand} {same_secret}");
            assert!(pool.try_acquire(FLASH).is_err(), "{by_hand} {same_secret}: its one place is taken");
            drop(held);
            assert_eq!(view(&pool, 0).in_flight, 0);
            let again = take(&pool, FLASH);
            assert_eq!(again.expose(), secret(if same_secret { 0 } else { 5 }));
        }
    }
}

#[test]
fn its_windows_are_known_while_a_request_is_under_way() {
    let settings = || builder().limits(FLASH, Limits::new().per_minute(2));
    for by_hand in [true, false] {
        let (pool, _) = on(settings().key(key(0)));
        let _held = (take(&pool, FLASH), take(&pool, FLASH));
        away_and_back(&pool, by_hand, key(0), settings);
        assert_ne!(pool.try_acquire(FLASH).map(|lease| lease.key_id().clone()).ok(), Some(id(0)), "{by_hand}");
    }
}

#[test]
fn the_time_between_two_starts_goes_on() {
    let calm = || key(0).min_interval(secs(10));
    for by_hand in [true, false] {
        let (pool, time) = on(builder().key(calm()));
        drop(take(&pool, FLASH));
        away_and_back(&pool, by_hand, calm(), builder);
        time.advance(secs(9));
        assert!(pool.try_acquire(FLASH).is_err(), "{by_hand}");
        time.advance(Duration::from_millis(1_001));
        assert_eq!(served(&pool, FLASH), "k0");
    }
}

#[test]
fn rests_counts_and_a_hand_that_switched_it_off_stay() {
    for by_hand in [true, false] {
        let (pool, time) = on(builder().key(key(0)));
        answer(&pool, FLASH, &rate_for(60));
        away_and_back(&pool, by_hand, key(0), builder);
        let back = view(&pool, 0);
        assert_eq!((back.started, back.rests.len()), (1, 1), "{by_hand}");
        time.advance(secs(61));
        assert_eq!(served(&pool, FLASH), "k0");
        pool.disable(&id(0), "leaked").unwrap();
        away_and_back(&pool, by_hand, key(0), builder);
        assert_eq!(view(&pool, 0).state, KeyState::Disabled, "{by_hand}");
        assert_eq!(view(&pool, 0).rests[0].code, "leaked");
    }
}

#[test]
fn with_another_secret_it_serves_whatever_was_wrong_with_the_old_one() {
    for by_hand in [true, false] {
        let (pool, _) = on(builder().key(key(0)));
        answer(&pool, FLASH, &suspended(3_600));
        assert_eq!(view(&pool, 0).state, KeyState::Disabled);
        away_and_back(&pool, by_hand, Key::new(secret(5)).id(id(0)), builder);
        assert_eq!(take(&pool, FLASH).expose(), secret(5), "{by_hand}");
    }
}

/// An answer to a request that went out with the secret before says nothing of this one.
#[test]
fn late_news_of_the_old_secret_rest_nothing_of_the_new_one() {
    let of_secret = [Scope::Key, Scope::KeyLane];
    let for_good = |scope| Verdict::new(VerdictKind::Suspended).scope(scope);
    let out = |scope| Verdict::new(VerdictKind::QuotaExhausted).scope(scope).until(Until::For(secs(600)));
    let rated = |scope| rate_for(60).scope(scope);
    let of_an_owner = [for_good(Scope::Owner), for_good(Scope::OwnerLane)];
    let late = of_secret.into_iter().flat_map(|scope| [for_good(scope), out(scope), rated(scope)]).chain(of_an_owner);
    for verdict in late {
        for by_hand in [true, false] {
            let (pool, _) = on(builder().key(key(0)));
            let held = take(&pool, FLASH);
            away_and_back(&pool, by_hand, Key::new(secret(5)).id(id(0)), builder);
            held.judge(&verdict);
            assert_eq!(take(&pool, FLASH).expose(), secret(5), "{by_hand} {verdict:?}");
            answer(&pool, FLASH, &verdict);
            assert_ne!(
                pool.try_acquire(FLASH).ok().map(|lease| lease.key_id().clone()),
                Some(id(0)),
                "its own are news"
            );
        }
    }
}

#[test]
fn what_is_said_late_of_an_owner_that_stays_holds_for_its_new_secret() {
    let owned = |n: usize| Key::new(secret(n)).id(id(0)).owner("a");
    for scope in [Scope::Owner, Scope::OwnerLane] {
        for verdict in [Verdict::new(VerdictKind::Suspended).scope(scope), rate_for(60).scope(scope)] {
            let (pool, _) = on(builder().key(owned(0)));
            let held = take(&pool, FLASH);
            away_and_back(&pool, true, owned(5), builder);
            held.judge(&verdict);
            refused(&pool, FLASH);
        }
    }
}

#[test]
fn it_comes_back_as_it_is_wanted_now() {
    let (pool, _) = on(builder().keys([key(0).owner("a").label("old", "1"), key(1)]));
    pool.remove(&id(0)).unwrap();
    let limits = Limits::new().per_minute(1);
    let back = Key::new(secret(0)).id("new").weight(3.0).priority(Priority(4)).max_concurrent(2).label("x", "y");
    pool.add(back.owner("b").limits(FLASH, limits)).unwrap();
    pool.remove(&id(1)).unwrap();
    let snapshot = pool.snapshot();
    let new = &snapshot.keys[0];
    assert_eq!((new.id.to_string().as_str(), new.owner.as_deref(), new.priority), ("new", Some("b"), 4));
    assert_eq!((new.weight, new.labels.len(), new.labels["x"].as_str()), (3.0, 1, "y"));
    drop(take(&pool, FLASH));
    refused(&pool, FLASH);
}

#[test]
fn a_key_of_an_owner_that_others_share_comes_back_to_what_they_used() {
    let settings = || builder().limits(FLASH, Limits::new().per_minute(2));
    let (pool, _) = on(settings().keys([key(0).owner("a"), key(1).owner("a")]));
    let held = take(&pool, FLASH);
    pool.remove(held.key_id()).unwrap();
    drop(take(&pool, FLASH));
    pool.add(key(usize::from(*held.key_id() == id(1))).owner("a")).unwrap();
    refused(&pool, FLASH);
    drop(held);
    refused(&pool, FLASH);
}

#[test]
fn a_limit_of_requests_in_flight_that_falls_and_rises_forgets_none() {
    let with = |most| builder().key(key(0).max_concurrent(most));
    let (pool, _) = on(with(3));
    let mut held = vec![take(&pool, FLASH), take(&pool, FLASH), take(&pool, FLASH)];
    pool.reconfigure(with(1)).unwrap();
    held.pop();
    assert!(pool.try_acquire(FLASH).is_err());
    pool.reconfigure(with(3)).unwrap();
    held.push(take(&pool, FLASH));
    assert!(pool.try_acquire(FLASH).is_err());
    pool.reconfigure(with(2)).unwrap();
    held.pop();
    assert!(pool.try_acquire(FLASH).is_err());
    held.pop();
    drop(take(&pool, FLASH));
}

#[test]
fn a_limit_a_minute_that_falls_and_rises_forgets_no_start() {
    let with = |most| builder().key(key(0)).limits(FLASH, Limits::new().per_minute(most));
    let (pool, time) = on(with(20));
    for _ in 0..11 {
        drop(take(&pool, FLASH));
        time.advance(Duration::from_millis(800));
    }
    pool.reconfigure(with(5)).unwrap();
    refused(&pool, FLASH);
    pool.reconfigure(with(12)).unwrap();
    drop(take(&pool, FLASH));
    refused(&pool, FLASH);
}

/// One more than a pool remembers of those that left: the first of them is forgotten, and the next new key has its place.
const TOO_MANY: usize = 257;

/// All of them leave, the first one first.
fn all_leave(pool: &KeyPool) {
    for n in 0..TOO_MANY {
        pool.remove(&id(n)).unwrap();
    }
}

#[test]
fn a_new_key_in_the_place_of_a_forgotten_one_has_none_of_its_rests() {
    let (pool, _) = on(builder().keys((0..TOO_MANY).map(key)));
    let first = pool.try_acquire(Demand::new(FLASH).affinity(Affinity::MustKey(id(0)))).unwrap();
    first.settle(&rate_for(3_600).scope(Scope::KeyLane));
    all_leave(&pool);
    pool.add(key(999)).unwrap();
    assert_eq!(view(&pool, 999).rests.len(), 0);
    assert_eq!(served(&pool, FLASH), "k999");
}

#[test]
fn a_new_key_in_the_place_of_a_forgotten_one_may_be_of_an_owner_that_is_new_as_well() {
    let owned = |n| key(n).owner(format!("project-{n}"));
    let (pool, _) = on(builder().keys((0..TOO_MANY).map(owned)).limits(FLASH, Limits::new().per_minute(1)));
    drop(take(&pool, FLASH));
    all_leave(&pool);
    pool.add(owned(999)).unwrap();
    assert_eq!(served(&pool, FLASH), "k999");
    refused(&pool, FLASH);
}
