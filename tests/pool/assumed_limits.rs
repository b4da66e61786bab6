//! Assumed limits, from the table of known tiers, order the keys but refuse no request.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;
use tower_keypool::{Key, KeyPool, Limits, Outcome, limit::LimitSource, pool::KeyRequest};

use crate::support::{LISTED, Plain, builder, keys, manual, paused, rate_for, secret, secs, take};

/// Three free keys and a paid one.
fn free_and_paid() -> tower_keypool::KeyPoolBuilder {
    builder().keys((0..3).map(|n| Key::free(secret(n)))).key(Key::paid(secret(9)).named("paid").priority(10))
}

/// Sends requests at once to a provider that allows each key `limit` requests a minute. Returns how many attempts used
/// the paid key, and how many got a 429.
async fn burst(pool: &KeyPool, requests: usize, limit: usize) -> (usize, usize) {
    let served = Arc::new(Mutex::new(HashMap::<String, VecDeque<Instant>>::new()));
    let request = |pool: KeyPool, served: Arc<Mutex<HashMap<String, VecDeque<Instant>>>>| async move {
        let (mut paid, mut limited) = (0, 0);
        loop {
            let lease = pool.acquire(KeyRequest::model(LISTED).wait(secs(600))).await.unwrap();
            let key = lease.key().to_string();
            paid += usize::from(key == "paid");
            let fits = {
                let mut served = served.lock().unwrap();
                let served = served.entry(key).or_default();
                served.retain(|at| at.elapsed() < secs(60));
                let fits = served.len() < limit;
                served.extend(fits.then(Instant::now));
                fits
            };
            tokio::time::sleep(Duration::from_millis(200)).await;
            if fits {
                lease.report(&Outcome::Success);
                return (paid, limited);
            }
            limited += 1;
            lease.report(&rate_for(45).into());
        }
    };
    let tasks: Vec<_> = (0..requests).map(|_| tokio::spawn(request(pool.clone(), served.clone()))).collect();
    let (mut paid, mut limited) = (0, 0);
    for task in tasks {
        let (to_paid, refused) = task.await.unwrap();
        paid += to_paid;
        limited += refused;
    }
    (paid, limited)
}

#[tokio::test(start_paused = true)]
async fn free_keys_take_a_burst_that_the_provider_allows_beyond_the_table() {
    let pool = paused(free_and_paid());
    let start = Instant::now();
    assert_eq!(burst(&pool, 100, 100).await, (0, 0));
    assert!(start.elapsed() < secs(2), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn correct_table_leads_to_one_refusal_a_project_and_delay() {
    let pool = paused(builder().keys((0..3).map(|n| Key::free(secret(n)))));
    let start = Instant::now();
    let (_, limited) = burst(&pool, 90, 10).await;
    // One refusal for each project and delay, since the responses name no limit.
    let delays = start.elapsed().as_secs() as usize / 45 + 1;
    assert!(limited <= 3 * delays && delays <= 5, "{limited} of 90 were refused in {delays} delays of 45 s");
}

#[tokio::test(start_paused = true)]
async fn assumed_limits_refuse_no_request() {
    let pool = paused(free_and_paid());
    let leases: Vec<_> = (0..200).map(|_| take(&pool, LISTED)).collect();
    assert!(leases.iter().all(|lease| lease.key().as_str() != "paid"));
}

#[test]
fn keys_below_their_assumed_limit_come_first() {
    let (pool, time) = manual(builder().keys((0..2).map(|n| Key::free(secret(n)).named(crate::support::id(n)))));
    let first = |n| KeyRequest::model(LISTED).affinity(tower_keypool::Affinity::RequireKey(crate::support::id(n)));
    let leases: Vec<_> = (0..10).map(|_| pool.try_acquire(first(0)).unwrap()).collect();
    time.advance(secs(30));
    let more: Vec<_> = (0..10).map(|_| take(&pool, LISTED)).collect();
    assert!(more.iter().all(|lease| lease.key().as_str() == "k1"));
    drop((leases, more));
    // Both keys are over the limit now; half a minute later only the second one is.
    let over: Vec<_> = (0..4).map(|_| take(&pool, LISTED)).collect();
    drop(over);
    time.advance(secs(31));
    for _ in 0..6 {
        assert_eq!(take(&pool, LISTED).key().as_str(), "k0");
    }
}

#[test]
fn success_beyond_the_assumed_limit_removes_it() {
    let (pool, _) = manual(builder().key(Key::free(secret(0))));
    let limits = |pool: &KeyPool| {
        let snapshot = pool.snapshot(0, 1);
        snapshot.projects[0].models.iter().find(|view| &*view.model == LISTED).unwrap().limits.clone()
    };
    let leases: Vec<_> = (0..10).map(|_| take(&pool, LISTED)).collect();
    leases[0].report(&Outcome::Success);
    assert_eq!((limits(&pool)[0].limit, limits(&pool)[0].source), (10, LimitSource::Assumed));
    take(&pool, LISTED).report(&Outcome::Success);
    assert_eq!(limits(&pool), []);
}

#[test]
fn rate_limit_restores_the_assumed_limit() {
    let (pool, time) = manual(builder().key(Key::free(secret(0))));
    let leases: Vec<_> = (0..12).map(|_| take(&pool, LISTED)).collect();
    leases[11].report(&Outcome::Success);
    time.advance(secs(1));
    leases[10].report(&rate_for(1).into());
    drop(leases);
    let snapshot = pool.snapshot(0, 1);
    let view = snapshot.projects[0].models.iter().find(|view| &*view.model == LISTED).unwrap();
    assert_eq!(view.limits[0].source, LimitSource::Assumed);
}

#[test]
fn given_limits_apply_beside_assumed_ones() {
    let (pool, _) = manual(builder().key(Key::free(secret(0))).limits(LISTED, Limits::new().per_minute(12)));
    let leases: Vec<_> = (0..12).map(|_| take(&pool, LISTED)).collect();
    assert!(pool.try_acquire(LISTED).is_err());
    drop(leases);
}

#[test]
fn provider_is_called_without_the_lock() {
    let plain = Plain::default();
    let pool_of_provider = Arc::clone(&plain.1);
    let pool = KeyPool::builder(plain).key(Key::free(secret(0))).build().unwrap();
    pool_of_provider.set(pool.clone()).unwrap();
    let _ = take(&pool, LISTED);
    pool.put(Key::free(secret(1)).limits("new", Limits::new())).unwrap();
    pool.replace_all(&[Key::free(secret(1)).models(["newer"])]).unwrap();
}

#[test]
fn key_of_an_unknown_tier_has_no_assumed_limit() {
    let (pool, _) = keys(1);
    let _ = take(&pool, LISTED);
    let snapshot = pool.snapshot(0, 1);
    assert!(snapshot.projects[0].models.iter().all(|model| model.limits.is_empty()));
}
