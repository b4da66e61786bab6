//! Changes of the key list while the pool runs.

use tower_keypool::{
    Error, ErrorKind, Key, KeyPool, Limits, Outcome, Secret,
    pool::{KeyRequest, UnavailableReason as Reason},
};

use crate::support::{M, answer, builder, id, key, keys, manual, manual_at, reasons, secret, secs, served, take, view};

fn ids(pool: &KeyPool) -> Vec<String> {
    let mut ids: Vec<_> = pool.snapshot(0, usize::MAX).keys.iter().map(|key| key.id.to_string()).collect();
    ids.sort_unstable();
    ids
}

fn kind(result: Result<(), Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn keys_are_added_and_removed_at_run_time() {
    let (pool, _) = manual(builder().allow_empty());
    assert!(pool.try_acquire(M).unwrap_err().to_string().contains("the pool has no keys"));
    assert_eq!(pool.put(key(0)).unwrap(), id(0));
    assert_eq!(served(&pool, M), "k0");
    pool.put(key(1)).unwrap();
    pool.remove(&id(0)).unwrap();
    assert_eq!((0..3).map(|_| served(&pool, M)).collect::<Vec<_>>(), ["k1"; 3]);
    assert_eq!(kind(pool.remove(&id(0))), Some(ErrorKind::UnknownKey));
}

#[test]
fn pool_without_keys_is_an_error_unless_allowed() {
    assert_eq!(builder().build().unwrap_err().kind(), ErrorKind::Config);
}

#[test]
fn duplicate_key_is_merged_and_the_later_options_apply() {
    let (pool, _) = manual(builder().key(key(0)).key(Key::new(secret(0)).named("twin").max_concurrent(1)));
    assert_eq!(ids(&pool), ["k0"]);
    assert_eq!(view(&pool, 0).max_concurrent, Some(1));
    assert_eq!(pool.put(Key::new(secret(0)).priority(7)).unwrap(), id(0));
    assert_eq!((view(&pool, 0).priority, view(&pool, 0).max_concurrent), (7, None));
}

#[test]
fn replaced_list_keeps_the_state_of_keys_that_stay() {
    let (pool, time) = keys(3);
    let lease = pool.try_acquire(KeyRequest::model(M).exclude([id(0), id(2)])).unwrap();
    time.advance(secs(1));
    lease.report(&crate::support::rate_for(60).into());
    drop(lease);
    pool.replace_all(&[key(1), key(3), Key::new(secret(2)).named("other")]).unwrap();
    assert_eq!(ids(&pool), ["k1", "k2", "k3"]);
    assert_eq!((view(&pool, 1).started, view(&pool, 1).failed), (1, 1));
    let leases: Vec<_> = (0..4).map(|_| take(&pool, M)).collect();
    assert!(leases.iter().all(|lease| lease.key() != &id(1)));
}

#[test]
fn invalid_key_in_a_list_is_an_error_and_the_others_are_replaced() {
    let (pool, _) = keys(2);
    let list = vec![key(1), Key::new("not visible\n").named("bad"), key(2), key(3).zone("Mars/Olympus")];
    let error = pool.replace_all(&list).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidKey);
    assert!(error.to_string().starts_with("key bad: byte 3 of the key"), "{error}");
    assert_eq!(ids(&pool), ["k1", "k2"]);
    let error = pool.replace_all(&[key(1), Key::new(secret(7)).named(id(1)), key(2)]).unwrap_err();
    assert_eq!(error.to_string(), "key k1: another key has the same id");
    assert!([secret(1), secret(2)].iter().all(|secret| take(&pool, M).expose() == secret));
    pool.replace_all(&[key(1), key(1), key(2)]).unwrap();
    // A key whose new options are invalid keeps its old ones.
    let error = pool.replace_all(&[key(1).zone("Mars/Olympus"), key(2)]).unwrap_err();
    assert!(error.to_string().starts_with("key k1: ") && error.to_string().contains("Mars/Olympus"), "{error}");
    assert_eq!(ids(&pool), ["k1", "k2"]);
}

#[test]
fn failed_changes_leave_the_pool_unchanged() {
    let (pool, _) = keys(2);
    let bad: [Result<(), Error>; 4] = [
        pool.put(Key::new("")).map(|_| ()),
        pool.put(Key::new(secret(1)).named(id(0))).map(|_| ()),
        pool.replace_secret(&id(0), &Secret::new(&secret(1)).unwrap()),
        pool.put(key(0).zone("nowhere")).map(|_| ()),
    ];
    assert!(bad.iter().all(Result::is_err), "{bad:?}");
    assert_eq!(bad[2].as_ref().unwrap_err().to_string(), "key k0: another key has the same secret");
    let secrets: Vec<_> = (0..2).map(|_| take(&pool, M)).map(|lease| lease.expose().to_owned()).collect();
    assert_eq!(secrets, [secret(0), secret(1)]);
    assert_eq!(pool.put(Key::new(secret(7)).named(id(7))).unwrap(), id(7));
}

#[test]
fn new_secret_closes_the_breaker_and_keeps_id_counts_and_project() {
    let (pool, time) = manual(builder().key(key(0).project("a").limits(M, Limits::new().per_minute(2))));
    answer(&pool, &time, M, Outcome::from_class(tower_keypool::ErrorClass::KeyRejected));
    assert_eq!(reasons(&pool, M), [(Reason::Disabled, 1)]);
    pool.replace_secret(&id(0), &Secret::new(&secret(5)).unwrap()).unwrap();
    let lease = take(&pool, M);
    assert_eq!((lease.expose(), lease.key(), lease.project()), (&*secret(5), &id(0), "a"));
    assert_eq!(reasons(&pool, M), [(Reason::Limit, 1)]);
    // The old secret can be used for another key.
    assert_eq!(pool.put(Key::new(secret(0)).named("new")).unwrap(), "new".into());
}

#[test]
fn lease_of_a_removed_key_does_not_affect_its_successor() {
    let (pool, time) = manual(builder().key(key(0).max_concurrent(1)));
    let lease = take(&pool, M);
    pool.remove(&id(0)).unwrap();
    assert_eq!(pool.stats().in_flight, 1);
    pool.put(key(1).max_concurrent(1)).unwrap();
    let other = take(&pool, M);
    assert_eq!(other.key(), &id(1));
    time.advance(secs(1));
    lease.report(&Outcome::from_class(tower_keypool::ErrorClass::KeyRejected));
    drop(lease);
    assert_eq!(reasons(&pool, M), [(Reason::Busy, 1)]);
    drop(other);
    assert_eq!((pool.stats().in_flight, view(&pool, 1).in_flight), (0, 0));
    assert_eq!(served(&pool, M), "k1");
}

#[test]
fn key_that_is_added_again_keeps_the_usage_of_its_project() {
    for project in [None, Some("a")] {
        let same = || {
            let key = key(0).limits(M, Limits::new().per_minute(2));
            if let Some(project) = project { key.project(project) } else { key }
        };
        let (pool, time) = manual(builder().key(same()));
        let _ = [take(&pool, M), take(&pool, M)];
        pool.remove(&id(0)).unwrap();
        pool.put(same()).unwrap();
        assert_eq!(reasons(&pool, M), [(Reason::Limit, 1)]);
        time.advance(secs(61));
        assert_eq!(served(&pool, M), "k0");
    }
}

#[test]
fn key_moves_to_another_project_and_back() {
    let limits = || Limits::new().per_minute(2);
    let (pool, time) = manual(builder().keys((0..2).map(|n| key(n).project("a"))).limits(M, limits()));
    let _ = [take(&pool, M), take(&pool, M)];
    pool.put(key(1).project("b")).unwrap();
    assert_eq!((0..2).map(|_| served(&pool, M)).collect::<Vec<_>>(), ["k1", "k1"]);
    assert!(pool.try_acquire(M).is_err());
    pool.put(key(1)).unwrap();
    assert_eq!(&*view(&pool, 1).project, "k1");
    // The only key of a project takes its counts along.
    assert!(pool.try_acquire(M).is_err());
    time.advance(secs(61));
    assert_eq!((0..4).map(|_| served(&pool, M)).filter(|key| key == "k1").count(), 2);
}

#[test]
fn zone_of_a_project_is_the_same_after_a_reload() {
    let list = || vec![key(0).project("a").zone("Asia/Tokyo"), key(1).project("a"), key(2).project("b")];
    let at = "2026-06-15T23:00:00+09:00";
    let opens = |pool: &KeyPool, n: usize| {
        let request = KeyRequest::model(M).affinity(tower_keypool::Affinity::RequireKey(id(n)));
        let _ = pool.try_acquire(request.clone());
        pool.try_acquire(request).unwrap_err().retry_after().unwrap().as_secs()
    };
    let day = Limits::new().per_day(1);
    let (built, _) = manual_at(builder().keys(list()).limits(M, day.clone()), at);
    let (loaded, _) = manual_at(builder().keys((0..3).map(key)).limits(M, day), at);
    loaded.replace_all(&list()).unwrap();
    for pool in [&built, &loaded] {
        assert_eq!([0, 1].map(|n| opens(pool, n)), [3_630; 2]);
        assert_eq!(opens(pool, 2), 17 * 3_600 + 30);
        pool.replace_all(&list()).unwrap();
        assert_eq!([0, 1].map(|n| opens(pool, n)), [3_630; 2]);
    }
}

#[test]
fn invalid_change_does_not_affect_the_others() {
    let (pool, _) = keys(1);
    pool.put(key(1)).unwrap();
    assert_eq!(kind(pool.remove(&id(9))), Some(ErrorKind::UnknownKey));
    pool.disable(&id(0), "test").unwrap();
    pool.put(key(2)).unwrap();
    assert_eq!(ids(&pool), ["k0", "k1", "k2"]);
    assert!((0..6).all(|_| served(&pool, M) != "k0"));
}

#[test]
fn key_that_joins_a_project_is_under_its_limits() {
    let limited = || key(0).project("a").limits(M, Limits::new().per_minute(1));
    let (pool, _) = manual(builder().keys([limited(), key(1)]));
    let second = || KeyRequest::model(M).affinity(tower_keypool::Affinity::RequireKey(id(1)));
    drop(pool.try_acquire(second()).unwrap());
    pool.replace_all(&[limited(), key(1).project("a")]).unwrap();
    // It took its count along.
    assert!(pool.try_acquire(second()).is_err());
    assert!(pool.try_acquire(M).is_err());
}

#[test]
fn key_that_gets_a_project_and_loses_it_again_keeps_its_counts() {
    let (pool, _) = manual(builder().key(key(0)).limits(M, Limits::new().per_day(2)));
    drop(take(&pool, M));
    pool.replace_all(&[key(0).project("a")]).unwrap();
    pool.replace_all(&[key(0)]).unwrap();
    drop(take(&pool, M));
    assert!(pool.try_acquire(M).is_err());
}
