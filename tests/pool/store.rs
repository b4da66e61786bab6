//! A pool with an external store.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tower_keypool::{
    Affinity, ErrorClass, ErrorKind, Failure, KeyPool, Limit, Limits, Outcome, Span, Unit,
    pool::{KeyRequest, UnavailableReason as Reason},
    store::{
        Amounts, BreakerTarget, Candidate, Changes, Granted, Record, ReserveRequest, Reserved, ReservedAt, Store,
        StoreFuture,
    },
};

use crate::support::{HOUR, M, NOON, builder, id, key, log, rate_for, secs, wall};

type Answer = Box<dyn Fn(&ReserveRequest) -> Reserved + Send + Sync>;

/// A store that replies as scripted, after a delay or at once, and keeps the records that it gets.
#[derive(Clone)]
struct Scripted(Arc<Script>);

struct Script {
    answer: Answer,
    delay: Option<Duration>,
    away: Mutex<bool>,
    /// Whether reservations and records fail.
    is_read_only: Mutex<bool>,
    now_ms: AtomicI64,
    asked: Mutex<Vec<ReserveRequest>>,
    records: Mutex<Vec<Record>>,
    /// Records of other processes.
    others: Mutex<Vec<Record>>,
}

impl Scripted {
    fn new(delay: Option<Duration>, answer: impl Fn(&ReserveRequest) -> Reserved + Send + Sync + 'static) -> Self {
        Self(Arc::new(Script {
            answer: Box::new(answer),
            delay,
            away: Mutex::default(),
            is_read_only: Mutex::default(),
            now_ms: AtomicI64::default(),
            asked: Mutex::default(),
            records: Mutex::default(),
            others: Mutex::default(),
        }))
    }

    fn granting() -> Self {
        Self::new(None, |_| granted(0))
    }
}

impl Store for Scripted {
    fn load(&self) -> StoreFuture<'_, Changes> {
        if *self.0.away.lock().unwrap() {
            return Box::pin(std::future::ready(Err(tower_keypool::Error::request("the store is away"))));
        }
        let records = self.0.records.lock().unwrap().clone();
        let now_ms = self.0.now_ms.load(Ordering::Relaxed);
        Box::pin(std::future::ready(Ok(Changes { records, now_ms, ..Changes::default() })))
    }

    fn reserve(&self, request: ReserveRequest) -> StoreFuture<'static, Reserved> {
        let script = &self.0;
        script.asked.lock().unwrap().push(request.clone());
        if *script.away.lock().unwrap() || *script.is_read_only.lock().unwrap() {
            return Box::pin(std::future::ready(Err(tower_keypool::Error::request("the store is away"))));
        }
        let (reserved, delay) = ((script.answer)(&request), script.delay);
        Box::pin(async move {
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
            Ok(reserved)
        })
    }

    fn record(&self, records: Vec<Record>) -> StoreFuture<'_, ()> {
        if *self.0.is_read_only.lock().unwrap() {
            return Box::pin(std::future::ready(Err(tower_keypool::Error::request("the store is read-only"))));
        }
        Box::pin(async move {
            if let Some(delay) = self.0.delay {
                tokio::time::sleep(delay).await;
            }
            self.0.records.lock().unwrap().extend(records);
            Ok(())
        })
    }

    fn changes(&self, since: u64) -> StoreFuture<'_, Changes> {
        if *self.0.away.lock().unwrap() {
            return Box::pin(std::future::ready(Err(tower_keypool::Error::request("the store is away"))));
        }
        let others = self.0.others.lock().unwrap();
        let (revision, records) = (others.len() as u64, others[since as usize..].to_vec());
        Box::pin(std::future::ready(Ok(Changes { revision, records, ..Changes::default() })))
    }
}

/// The reply that grants this candidate.
fn granted(candidate: usize) -> Reserved {
    let granted = Granted { candidate, at: ReservedAt { at_ms: 1, date: 2 }, usable_for: secs(1) };
    Reserved { granted: Some(granted), opens_in: vec![secs(30); candidate] }
}

/// The reply that grants no candidate; each has room only after its duration.
fn refused(opens_in: Vec<Duration>) -> Reserved {
    Reserved { granted: None, opens_in }
}

async fn open(store: &Scripted, keys: usize) -> KeyPool {
    builder()
        .keys((0..keys).map(|n| key(n).project(format!("p{n}"))))
        .limits(M, Limits::new().per_minute(2).per_day(50))
        .clock(tower_keypool::Clock::starting_at(wall(NOON)))
        .store(store.clone())
        .open()
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn reservation_carries_candidates_limits_and_cost() {
    let first = Mutex::new(true);
    let store = Scripted::new(None, move |_| {
        let first = std::mem::replace(&mut *first.lock().unwrap(), false);
        if first { refused(vec![secs(30)]) } else { granted(0) }
    });
    let pool = open(&store, 4).await;
    for _ in 0..3 {
        drop(pool.acquire(KeyRequest::model(M).input_tokens(7)).await.unwrap());
    }
    let asked = store.0.asked.lock().unwrap();
    let keys = |request: &ReserveRequest| -> Vec<_> {
        request.candidates.iter().map(|candidate| candidate.key.to_string()).collect()
    };
    // The best candidate alone, and several more after a refusal.
    assert_eq!(keys(&asked[0]), ["k0"]);
    assert_eq!(keys(&asked[1]), ["k1", "k2", "k3"]);
    assert_eq!(asked[2..].iter().map(|request| keys(request).len()).collect::<Vec<_>>(), [1, 1]);
    let request = &asked[0];
    let first = &request.candidates[0];
    assert_eq!((&*first.project, &*first.model, &*first.zone), ("p0", M, "America/Los_Angeles"));
    assert_eq!(first.limits.iter().map(|limit| limit.amount).collect::<Vec<_>>(), [2, 50]);
    assert_eq!(request.cost, Amounts { requests: 1, input_tokens: 7, ..Amounts::default() });
}

#[tokio::test(start_paused = true)]
async fn candidate_that_the_store_grants_serves() {
    for delay in [None, Some(Duration::from_millis(3))] {
        let store = Scripted::new(delay, |request| {
            // The store knows that another process used up the first project.
            match request.candidates.iter().position(|candidate| &*candidate.project != "p0") {
                Some(at) => granted(at),
                None => refused(vec![secs(30); request.candidates.len()]),
            }
        });
        let pool = open(&store, 2).await;
        for _ in 0..2 {
            assert_eq!(pool.acquire(M).await.unwrap().key(), &id(1));
        }
        // The other candidate was given back each time; the pool's own windows counted two requests.
        assert_eq!((pool.stats().sent, pool.stats().in_flight), (2, 0));
        let error = pool.acquire(M).await.unwrap_err();
        let reasons = error.as_unavailable().unwrap().reasons().to_vec();
        assert!(reasons.contains(&(Reason::Store, 1)) && reasons.contains(&(Reason::Limit, 1)), "{reasons:?}");
        assert!(error.retry_after().unwrap() <= secs(30));
    }
}

#[tokio::test(start_paused = true)]
async fn request_waits_until_the_store_has_room() {
    let start = tokio::time::Instant::now();
    let store = Scripted::new(None, move |request| match secs(20).checked_sub(start.elapsed()) {
        Some(left) if !left.is_zero() => refused(vec![left; request.candidates.len()]),
        _ => granted(0),
    });
    let pool = open(&store, 2).await;
    drop(pool.acquire(KeyRequest::model(M).wait(secs(60))).await.unwrap());
    assert_eq!(start.elapsed().as_secs(), 20);
    // Both keys, and then both again each 2 s.
    assert!(store.0.asked.lock().unwrap().len() <= 12);
}

#[tokio::test(start_paused = true)]
async fn many_refused_keys_are_not_asked_for_without_end() {
    let store =
        Scripted::new(Some(Duration::from_millis(2)), |request| refused(vec![secs(40_000); request.candidates.len()]));
    let pool = open(&store, 10_000).await;
    let refused = tokio::time::timeout(secs(60), pool.acquire(M)).await.unwrap();
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(store.0.asked.lock().unwrap().len() <= 1_300);
}

#[tokio::test(start_paused = true)]
async fn refusal_without_a_time_is_retried_after_a_second() {
    let store = Scripted::new(None, |_| refused(Vec::new()));
    let pool = open(&store, 2).await;
    assert!(pool.acquire(M).await.is_err());
    let error = pool.acquire(KeyRequest::model(M).wait(secs(10))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(store.0.asked.lock().unwrap().len() <= 13);
}

#[tokio::test(start_paused = true)]
async fn unavailable_store_fails_requests_unless_the_pool_fails_open() {
    let store = Scripted::granting();
    let pool = open(&store, 2).await;
    *store.0.away.lock().unwrap() = true;
    assert!(pool.acquire(M).await.unwrap_err().to_string().contains("the store is away"));
    assert_eq!(pool.stats().in_flight, 0);
    let pool = builder()
        .key(key(0))
        .limits(M, Limits::new().per_minute(1))
        .store(store.clone())
        .fail_open()
        .open()
        .await
        .unwrap();
    drop(pool.acquire(M).await.unwrap());
    // The pool's own windows still apply.
    assert_eq!(pool.acquire(M).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn request_dropped_during_a_reservation_returns_its_key() {
    let store = Scripted::new(Some(secs(5)), |_| granted(0));
    let pool = open(&store, 2).await;
    assert!(tokio::time::timeout(secs(1), pool.acquire(M)).await.is_err());
    assert_eq!((pool.stats().in_flight, pool.stats().sent), (0, 0));
    // The store's replies come too late each time.
    assert_eq!(pool.acquire(M).await.unwrap_err().kind(), ErrorKind::Store);
    assert_eq!((pool.stats().in_flight, pool.stats().sent), (0, 0));
    assert_eq!(pool.try_acquire(M).unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test(start_paused = true)]
async fn candidates_that_were_not_granted_are_ready_at_once() {
    let store = Scripted::new(Some(Duration::from_millis(2)), |_| granted(0));
    let pool = builder()
        .keys((0..8).map(|n| key(n).min_interval(secs(60)).limits(M, Limits::new().per_minute(1))))
        .store(store)
        .open()
        .await
        .unwrap();
    // Each request takes all ready keys as candidates, and then releases all but one.
    let start = tokio::time::Instant::now();
    let waiting = (0..8).map(|_| pool.acquire(KeyRequest::model(M).wait(secs(30))));
    let leases = futures_util::future::join_all(waiting).await;
    assert!(leases.iter().all(Result::is_ok));
    assert!(start.elapsed() < secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn cooldowns_and_disabled_keys_survive_a_restart() {
    let store = Scripted::granting();
    let pool = open(&store, 4).await;
    let only = |n| KeyRequest::model(M).affinity(Affinity::RequireKey(id(n)));
    let report = async |pool: &KeyPool, n, failure: Failure| {
        let lease = pool.acquire(only(n)).await.unwrap();
        tokio::time::advance(Duration::from_millis(1)).await;
        lease.report(&failure.into());
    };
    report(&pool, 0, rate_for(600)).await;
    report(&pool, 1, Failure::new(ErrorClass::KeyRejected)).await;
    pool.disable(&id(2), "by hand").unwrap();
    pool.shutdown().await;
    drop(pool);
    tokio::time::advance(secs(100)).await;
    let again = builder()
        .keys((0..4).map(|n| key(n).project(format!("p{n}"))))
        .clock(tower_keypool::Clock::starting_at(wall(NOON) + secs(100)))
        .store(store.clone())
        .open()
        .await
        .unwrap();
    let error = again.acquire(KeyRequest::model(M).exclude([id(3)])).await.unwrap_err();
    let reasons = error.as_unavailable().unwrap().reasons().to_vec();
    assert_eq!(reasons, [(Reason::Disabled, 2), (Reason::Cooling, 1), (Reason::Tried, 1)]);
    let left = error.retry_after().unwrap();
    assert!(left > secs(498) && left < secs(502), "{left:?}");
    again.enable(&id(1)).unwrap();
    assert_eq!(again.acquire(only(1)).await.unwrap().key(), &id(1));
}

#[tokio::test(start_paused = true)]
async fn strikes_reset_by_a_success_stay_reset_after_a_restart() {
    let store = Scripted::granting();
    let pool = open(&store, 1).await;
    for outcome in [Failure::new(ErrorClass::Unclear).into(), Outcome::Success] {
        tokio::time::advance(secs(301)).await;
        let lease = pool.acquire(M).await.unwrap();
        tokio::time::advance(Duration::from_millis(1)).await;
        lease.report(&outcome);
    }
    pool.shutdown().await;
    let again = open(&store, 1).await;
    let lease = again.acquire(M).await.unwrap();
    assert!(again.snapshot(0, 1).keys[0].breakers.is_empty());
    drop(lease);
}

#[tokio::test(start_paused = true)]
async fn records_of_other_processes_are_applied() {
    let store = Scripted::granting();
    let pool = open(&store, 2).await;
    let until_ms = wall(NOON).duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64 + 3_600_000;
    let target = BreakerTarget::ProjectModel("p0".into(), M.into());
    let opened = Record::Open {
        target: target.clone(),
        until_ms: Some(until_ms),
        class: Some(ErrorClass::RateLimit),
        reason: None,
    };
    store.0.others.lock().unwrap().push(opened);
    tokio::time::sleep(secs(1)).await;
    assert!(pool.acquire(KeyRequest::model(M).exclude([id(1)])).await.is_err());
    // The breaker closes before its time, and waiting requests are served.
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire(KeyRequest::model(M).exclude([id(1)]).wait(2 * HOUR)).await }
    });
    tokio::time::sleep(secs(1)).await;
    store.0.others.lock().unwrap().push(Record::Closed { target });
    let start = tokio::time::Instant::now();
    drop(waiting.await.unwrap().unwrap());
    assert!(start.elapsed() < secs(1));
    // Another process learned that both keys belong to one project, but the user configured their projects.
    store.0.others.lock().unwrap().push(Record::Project { key: id(1), project: "p0".into() });
    tokio::time::sleep(secs(1)).await;
    assert_eq!(pool.snapshot(0, 2).projects.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn build_fails_for_a_pool_with_a_store() {
    assert_eq!(builder().key(key(0)).store(Scripted::granting()).build().unwrap_err().kind(), ErrorKind::Config);
}

#[tokio::test(start_paused = true)]
async fn reservation_leaves_keys_for_other_requests() {
    let store = Scripted::new(Some(Duration::from_millis(3)), |_| granted(0));
    let keys = (0..4).map(|n| key(n).max_concurrent(1));
    let clock = tower_keypool::Clock::starting_at(wall(NOON));
    let pool = builder().keys(keys).clock(clock).store(store).open().await.unwrap();
    let (one, two) = tokio::join!(pool.acquire(M), pool.acquire(M));
    assert!(one.is_ok() && two.is_ok(), "{:?}", two.err());
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_when_the_store_refuses_the_last_request() {
    let refuse = |request: &ReserveRequest| refused(vec![secs(9); request.candidates.len()]);
    let pool = open(&Scripted::new(Some(Duration::from_millis(3)), refuse), 2).await;
    let spawn = |pool: KeyPool| tokio::spawn(async move { pool.acquire(M).await.is_ok() });
    let waiting = spawn(pool.clone());
    tokio::time::sleep(Duration::from_millis(1)).await;
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move { pool.shutdown().await }
    });
    assert!(!waiting.await.unwrap());
    assert!(tokio::time::timeout(secs(60), closing).await.is_ok(), "shutdown hangs");
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_after_records_that_are_being_written() {
    let store = Scripted::new(Some(secs(1)), |_| granted(0));
    let pool = open(&store, 1).await;
    pool.disable(&id(0), "leaked").unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    pool.shutdown().await;
    assert!(matches!(store.0.records.lock().unwrap()[..], [Record::Open { .. }]));
}

#[tokio::test(start_paused = true)]
async fn late_reservation_is_given_back_and_repeated() {
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    let store = Scripted::new(Some(Duration::from_millis(600)), move |_| {
        let first = std::mem::replace(&mut *count.lock().unwrap(), 1) == 0;
        let usable_for = if first { Duration::from_millis(500) } else { secs(1) };
        let granted = Granted { candidate: 0, at: ReservedAt { at_ms: 7, date: 8 }, usable_for };
        Reserved { granted: Some(granted), opens_in: Vec::new() }
    });
    let pool = open(&store, 1).await;
    let lease = pool.acquire(KeyRequest::model(M).wait(secs(5))).await.unwrap();
    tokio::time::sleep(secs(2)).await;
    let one = Amounts { requests: 1, ..Amounts::default() };
    let at = ReservedAt { at_ms: 7, date: 8 };
    let (key, project, model) = (id(0), "p0".into(), M.into());
    let unused = Record::Used { key, project, model, at, reserved: one, used: Amounts::default() };
    assert_eq!(*store.0.records.lock().unwrap(), [unused]);
    assert_eq!((lease.key(), pool.stats().in_flight), (&id(0), 1));
}

#[tokio::test(start_paused = true)]
async fn usage_is_recorded_in_the_store() {
    let store = Scripted::granting();
    let pool = open(&store, 1).await;
    let lease = pool.acquire(KeyRequest::model(M).input_tokens(100)).await.unwrap();
    lease.report_usage(tower_keypool::Usage::new(60, 9));
    drop(lease);
    pool.acquire(M).await.unwrap().give_back();
    // Nothing to correct, and a request that counts against no limit.
    drop(pool.acquire(M).await.unwrap());
    drop(pool.acquire(KeyRequest::model(M).uncounted()).await.unwrap());
    tokio::time::sleep(secs(2)).await;
    let records = store.0.records.lock().unwrap().clone();
    let used: Vec<_> = records
        .into_iter()
        .map(|record| match record {
            Record::Used { reserved, used, .. } => (reserved, used),
            other => panic!("{other:?}"),
        })
        .collect();
    let amounts = |requests, input_tokens, output_tokens| Amounts { requests, input_tokens, output_tokens };
    assert_eq!(used, [(amounts(1, 100, 0), amounts(1, 60, 9)), (amounts(1, 0, 0), amounts(0, 0, 0))]);
    assert_eq!(store.0.asked.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn store_that_refuses_is_asked_again_with_the_corrections() {
    let (own, grants) = (Arc::new(OnceLock::<Scripted>::new()), Mutex::new(0));
    let store = Scripted::new(None, {
        let own = Arc::clone(&own);
        // It has room for one request beside those that are corrected.
        move |_| {
            let mut grants = grants.lock().unwrap();
            if *grants > own.get().unwrap().0.records.lock().unwrap().len() {
                return refused(vec![secs(61)]);
            }
            *grants += 1;
            granted(0)
        }
    });
    own.set(store.clone()).ok().unwrap();
    let pool = open(&store, 1).await;
    for _ in 0..3 {
        pool.acquire(M).await.unwrap().give_back();
    }
    assert_eq!(store.0.asked.lock().unwrap().len(), 5, "once, and then twice");
    let _held = pool.acquire(M).await.unwrap();
    assert_eq!(pool.acquire(M).await.unwrap_err().retry_after(), Some(secs(61)));
    assert_eq!(store.0.asked.lock().unwrap().len(), 8, "once, since nothing was corrected");
}

#[tokio::test(start_paused = true)]
async fn use_beyond_a_reservation_is_recorded_at_once() {
    let store = Scripted::granting();
    let limited = |n, limits| key(n).project(format!("p{n}")).limits(M, limits);
    let pool = builder()
        .key(limited(0, Limits::new().tokens_per_minute(10_000)))
        .key(limited(1, Limits::new().per_minute(100)))
        .store(store.clone())
        .open()
        .await
        .unwrap();
    let answered = async |n, input, output| {
        let request = KeyRequest::model(M).input_tokens(100).affinity(Affinity::RequireKey(id(n)));
        pool.acquire(request).await.unwrap().report_usage(tower_keypool::Usage::new(input, output));
    };
    let recorded = async |after| {
        tokio::time::sleep(after).await;
        store.0.records.lock().unwrap().len()
    };
    let millis = Duration::from_millis;
    // Fewer tokens, more of a unit without a limit, and more in a project without limits of tokens.
    for (n, input, output) in [(0, 60, 0), (0, 100, 900), (1, 990, 0)] {
        answered(n, input, output).await;
        assert_eq!(recorded(millis(5)).await, 0);
    }
    // Then all are recorded.
    answered(0, 990, 0).await;
    assert_eq!(recorded(millis(1)).await, 4);
    // Of many that follow, at most 20 times a second.
    answered(0, 990, 0).await;
    assert_eq!(recorded(millis(40)).await, 4);
    assert_eq!(recorded(millis(20)).await, 5);
}

#[tokio::test(start_paused = true)]
async fn learned_limits_and_disabled_keys_are_recorded_at_once() {
    let store = Scripted::granting();
    let pool = open(&store, 2).await;
    let recorded = async || {
        tokio::time::sleep(Duration::from_millis(60)).await;
        std::mem::take(&mut *store.0.records.lock().unwrap())
    };
    let lease = pool.acquire(M).await.unwrap();
    lease.learn(&[Limit { unit: Unit::Requests, span: Span::MINUTE, amount: 5 }]);
    assert!(matches!(recorded().await[..], [Record::Limit { .. }]));
    lease.report(&Failure::new(ErrorClass::KeyRejected).into());
    assert!(matches!(recorded().await[..], [Record::Open { until_ms: None, .. }]));
    pool.disable(&id(1), "leaked").unwrap();
    assert!(matches!(recorded().await[..], [Record::Open { until_ms: None, .. }]));
}

#[tokio::test(start_paused = true)]
async fn usage_before_a_restart_is_counted() {
    let store = Scripted::granting();
    let now_ms = wall(NOON).duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let (project, model): (Arc<str>, Arc<str>) = ("p0".into(), M.into());
    let one = Amounts { requests: 1, ..Amounts::default() };
    let date = tower_keypool::store::Day::at("America/Los_Angeles", now_ms).unwrap().date;
    let starts = vec![(now_ms - 50_000, one), (now_ms - 10_000, one)];
    let span = secs(60);
    store.0.records.lock().unwrap().extend([
        Record::Starts { project: Arc::clone(&project), model: Arc::clone(&model), span, starts },
        Record::Day { project, model, date, used: Amounts { requests: 49, ..Amounts::default() } },
    ]);
    store.0.now_ms.store(now_ms, Ordering::Relaxed);
    let pool = open(&store, 1).await;
    let error = pool.acquire(M).await.unwrap_err();
    let opens = error.retry_after().unwrap();
    assert!(opens > secs(9) && opens < secs(11), "{opens:?}");
    assert!(store.0.asked.lock().unwrap().is_empty(), "the pool's own windows refuse");
    // The request that fits in ten seconds is the last one of the day.
    drop(pool.acquire(KeyRequest::model(M).wait(secs(20))).await.unwrap());
    let error = pool.acquire(M).await.unwrap_err();
    assert!(error.retry_after().unwrap() > secs(3_600), "{error}");
}

#[tokio::test(start_paused = true)]
async fn names_of_earlier_requests_do_not_disable_cooldowns_of_new_models() {
    let store = Scripted::granting();
    let now_ms = wall(NOON).duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    let day = tower_keypool::store::Day::at("America/Los_Angeles", now_ms).unwrap().date;
    store.0.records.lock().unwrap().extend((0..2_100).map(|n| Record::Day {
        project: "p0".into(),
        model: format!("invented-{n}").into(),
        date: day,
        used: Amounts { requests: 1, ..Amounts::default() },
    }));
    store.0.now_ms.store(now_ms, Ordering::Relaxed);
    let pool = open(&store, 1).await;
    pool.acquire("new").await.unwrap().report(&rate_for(60).into());
    assert!(pool.acquire("new").await.is_err());
    assert!(pool.acquire("other").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn breaker_of_a_model_without_room_does_not_close_other_models() {
    let store = Scripted::granting();
    let pool = open(&store, 1).await;
    for n in 0..2_100 {
        let lease = pool.acquire(KeyRequest::model(format!("invented-{n}")).wait(Duration::ZERO)).await;
        lease.unwrap().report(&rate_for(1).into());
        tokio::time::advance(Duration::from_millis(2)).await;
    }
    tokio::time::sleep(secs(2)).await;
    store.0.others.lock().unwrap().push(Record::Open {
        target: BreakerTarget::ProjectModel("p0".into(), "real".into()),
        until_ms: None,
        class: Some(ErrorClass::DailyQuota),
        reason: None,
    });
    tokio::time::sleep(secs(2)).await;
    assert!(pool.acquire(KeyRequest::model("another").wait(Duration::ZERO)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn disabled_keys_are_not_reported_as_at_their_limit() {
    let store = Scripted::granting();
    let limits = Limits::new().per_day(1);
    let pool = builder().keys((0..3).map(key)).limits(M, limits).store(store.clone()).open().await.unwrap();
    let reasons = async || pool.acquire(M).await.unwrap_err().as_unavailable().unwrap().reasons().to_vec();
    let leases = [pool.acquire(M).await.unwrap(), pool.acquire(M).await.unwrap(), pool.acquire(M).await.unwrap()];
    assert_eq!(reasons().await, [(Reason::DailyLimit, 3)]);
    tokio::time::sleep(secs(1)).await;
    leases[0].report(&Failure::new(ErrorClass::KeyRejected).into());
    pool.disable(leases[1].key(), "by hand").unwrap();
    let target = BreakerTarget::Key(leases[2].key().clone());
    store.0.others.lock().unwrap().push(Record::Open { target, until_ms: None, class: None, reason: None });
    tokio::time::sleep(secs(2)).await;
    assert_eq!(reasons().await, [(Reason::Disabled, 3)]);
}

#[tokio::test(start_paused = true)]
async fn stored_state_applies_to_a_key_that_is_added_later() {
    let store = Scripted::granting();
    let disabled = Record::Open {
        target: BreakerTarget::Key(id(1)),
        until_ms: None,
        class: Some(ErrorClass::KeyRejected),
        reason: None,
    };
    store.0.records.lock().unwrap().push(disabled);
    let pool = open(&store, 1).await;
    pool.put(key(1)).unwrap();
    tokio::time::sleep(secs(1)).await;
    let error = pool.acquire(KeyRequest::model(M).affinity(Affinity::RequireKey(id(1)))).await.unwrap_err();
    assert!(error.as_unavailable().unwrap().reasons().contains(&(Reason::Disabled, 1)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn try_acquire_reserves_nothing() {
    let store = Scripted::granting();
    let pool = open(&store, 2).await;
    assert_eq!(pool.try_acquire(M).unwrap_err().kind(), ErrorKind::Config);
    assert!(store.0.asked.lock().unwrap().is_empty());
    assert_eq!((pool.stats().in_flight, pool.stats().sent), (0, 0));
    // It was not the first key's turn.
    assert_eq!(pool.acquire(M).await.unwrap().key(), &id(0));
}

#[tokio::test(start_paused = true)]
async fn removed_key_stays_disabled_in_the_store() {
    let store = Scripted::granting();
    let pool = open(&store, 2).await;
    pool.disable(&id(0), "leaked").unwrap();
    tokio::time::sleep(secs(1)).await;
    pool.remove(&id(0)).unwrap();
    tokio::time::sleep(secs(1)).await;
    assert!(!store.0.records.lock().unwrap().iter().any(|record| matches!(record, Record::Closed { .. })));
    // The key is added again and is still disabled.
    pool.put(key(0)).unwrap();
    tokio::time::sleep(secs(1)).await;
    let only = KeyRequest::model(M).affinity(Affinity::RequireKey(id(0)));
    assert_eq!(pool.acquire(only).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn raised_limit_is_reserved_at_once() {
    let first = Mutex::new(true);
    let store = Scripted::new(None, move |_| {
        let first = std::mem::replace(&mut *first.lock().unwrap(), false);
        if first { refused(vec![secs(40_000)]) } else { granted(0) }
    });
    let limited = |day| key(0).limits(M, Limits::new().per_day(day));
    let pool = builder().key(limited(3)).store(store).open().await.unwrap();
    assert_eq!(pool.acquire(M).await.unwrap_err().kind(), ErrorKind::Unavailable);
    pool.put(limited(100)).unwrap();
    assert!(pool.acquire(M).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn slow_store_counts_as_unavailable_when_the_pool_fails_open() {
    let store = Scripted::new(Some(secs(3)), |_| granted(0));
    let pool = builder().key(key(0)).store(store).fail_open().open().await.unwrap();
    drop(pool.acquire(M).await.unwrap());
    assert_eq!((pool.stats().unreserved, pool.stats().in_flight), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn refused_large_request_does_not_block_small_ones() {
    let store =
        Scripted::new(
            None,
            |request| {
                if request.cost.input_tokens > 100 { refused(vec![secs(3_600)]) } else { granted(0) }
            },
        );
    let pool = open(&store, 1).await;
    let large = || KeyRequest::model(M).input_tokens(200);
    assert_eq!(pool.acquire(large()).await.unwrap_err().retry_after(), Some(secs(3_600)));
    drop(pool.acquire(KeyRequest::model(M).input_tokens(10)).await.unwrap());
    // The store is not asked again for the large request before its time.
    assert!(pool.acquire(large()).await.is_err());
    assert_eq!(store.0.asked.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn waiter_refused_by_the_store_keeps_its_turn() {
    let start = tokio::time::Instant::now();
    // After the first request, other processes use the project up for 5 s; then it allows one request a second.
    let store = Scripted::new(None, move |_| {
        let left = secs(5).checked_sub(start.elapsed()).filter(|left| *left < secs(5) && !left.is_zero());
        left.map_or_else(|| granted(0), |left| refused(vec![left]))
    });
    let pool = builder()
        .key(key(0).project("p0").min_interval(secs(1)))
        .clock(tower_keypool::Clock::starting_at(wall(NOON)))
        .store(store)
        .open()
        .await
        .unwrap();
    drop(pool.acquire(M).await.unwrap());
    let served = Arc::new(Mutex::new(Vec::new()));
    let waiting = (0..4).map(|n| {
        let (pool, served) = (pool.clone(), Arc::clone(&served));
        async move {
            tokio::time::sleep(Duration::from_millis(n)).await;
            drop(pool.acquire(KeyRequest::model(M).wait(secs(30))).await.unwrap());
            served.lock().unwrap().push(n);
        }
    });
    futures_util::future::join_all(waiting).await;
    assert_eq!(*served.lock().unwrap(), [0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn unconfirmed_model_has_its_own_count_in_the_store() {
    let store = Scripted::granting();
    let pool = builder().key(key(0)).limits("*", Limits::new().per_day(5)).store(store.clone()).open().await.unwrap();
    let lease = pool.acquire(KeyRequest::model("some-model")).await.unwrap();
    lease.report(&Outcome::Success);
    drop(lease);
    drop(pool.acquire(KeyRequest::model("some-model")).await.unwrap());
    let asked = store.0.asked.lock().unwrap();
    for request in asked.iter() {
        assert_eq!(&*request.candidates[0].model, "some-model");
        assert_eq!(request.candidates[0].limits[0].amount, 5);
    }
}

#[tokio::test(start_paused = true)]
async fn pool_that_fails_open_reserves_again_once_the_store_is_back() {
    let store = Scripted::granting();
    *store.0.away.lock().unwrap() = true;
    let pool = builder().key(key(0)).store(store.clone()).fail_open().open().await.unwrap();
    for _ in 0..3 {
        drop(pool.acquire(M).await.unwrap());
    }
    assert_eq!((store.0.asked.lock().unwrap().len(), pool.stats().unreserved), (0, 3));
    *store.0.away.lock().unwrap() = false;
    tokio::time::sleep(secs(2)).await;
    drop(pool.acquire(M).await.unwrap());
    assert_eq!((store.0.asked.lock().unwrap().len(), pool.stats().unreserved), (1, 3));
}

#[test]
fn store_error_is_shown_once() {
    assert_eq!(tower_keypool::Error::store("Redis is away").with_cause(), "the store failed: Redis is away");
}

#[tokio::test(start_paused = true)]
async fn keys_that_the_store_refused_do_not_hide_others() {
    // The store has room for the last free keys and for the paid key only.
    let store = Scripted::new(None, |request| {
        let has_room = |candidate: &Candidate| matches!(&*candidate.key.to_string(), "k299" | "k300");
        let candidate = request.candidates.iter().position(has_room);
        candidate.map_or_else(|| refused(vec![secs(36_000); request.candidates.len()]), granted)
    });
    let pool = builder()
        .keys((0..300).map(key))
        .key(key(300).priority(1))
        .limits(M, Limits::new().per_day(50))
        .clock(tower_keypool::Clock::starting_at(wall(NOON)))
        .store(store.clone())
        .open()
        .await
        .unwrap();
    let mut served = std::collections::BTreeMap::new();
    for _ in 0..200 {
        if let Ok(lease) = pool.acquire(KeyRequest::model(M).wait(secs(1))).await {
            *served.entry(lease.key().to_string()).or_insert(0) += 1;
        }
    }
    assert_eq!(served["k299"], 50, "{served:?}");
    assert_eq!(served["k300"], 50, "{served:?}");
}

#[tokio::test(start_paused = true)]
async fn waiter_whose_key_is_removed_gets_another() {
    let store = Scripted::granting();
    let pool = builder()
        .keys([key(0).max_concurrent(1), key(1).max_concurrent(1)])
        .clock(tower_keypool::Clock::starting_at(wall(NOON)))
        .store(store.clone())
        .open()
        .await
        .unwrap();
    let held = [pool.acquire(M).await.unwrap(), pool.acquire(M).await.unwrap()];
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire(KeyRequest::model(M).wait(secs(5))).await.map(|lease| lease.key().clone()) }
    });
    tokio::task::yield_now().await;
    let [first, second] = held;
    let (freed, other) = (first.key().clone(), second.key().clone());
    // The waiter is granted the first key, which is removed before the waiter runs.
    drop(first);
    pool.remove(&freed).unwrap();
    drop(second);
    assert_eq!(waiting.await.unwrap().unwrap(), other);
    assert_eq!(pool.stats().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn keys_saved_by_the_guard_are_not_disabled_after_a_restart() {
    let store = Scripted::granting();
    let pool = open(&store, 6).await;
    for _ in 0..5 {
        let lease = pool.acquire(M).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        lease.report(&Outcome::from_class(ErrorClass::KeyRejected));
        drop(lease);
        tokio::time::sleep(secs(1)).await;
    }
    assert!(pool.stats().disabling_paused);
    drop(pool);
    let pool = open(&store, 6).await;
    let disabled = |n| crate::support::state(&pool, n) == tower_keypool::pool::BreakerState::Disabled;
    assert_eq!((0..6).filter(|n| disabled(*n)).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn requirement_of_a_keys_own_project_outlives_its_named_project() {
    let (pool, _) = crate::support::manual(builder().keys([key(0), key(1)]).limits(M, Limits::new().per_day(2)));
    let own = || KeyRequest::model(M).affinity(Affinity::RequireProject("k0".into()));
    drop(pool.try_acquire(own()).unwrap());
    pool.put(key(0).project("a")).unwrap();
    // The project has the key and its counts.
    assert_eq!(pool.try_acquire(own()).unwrap().project(), "a");
    assert!(pool.try_acquire(own()).is_err());
}

#[tokio::test(start_paused = true)]
async fn processes_that_learn_a_project_in_opposite_order_agree() {
    let stores = [Scripted::granting(), Scripted::granting()];
    let mut pools = Vec::new();
    for (store, order) in stores.iter().zip([[1, 0], [0, 1]]) {
        let pool = KeyPool::builder(tower_keypool::Gemini::new())
            .keys((0..2).map(key))
            .clock(tower_keypool::Clock::starting_at(wall(NOON)))
            .store(store.clone())
            .open()
            .await
            .unwrap();
        for n in order {
            let only = KeyRequest::model(M).affinity(Affinity::RequireKey(id(n)));
            let lease = pool.acquire(only).await.unwrap();
            tokio::time::advance(Duration::from_millis(1)).await;
            lease.report(&crate::learning::over_limit(&pool, 9, Some("77")));
        }
        pools.push(pool);
    }
    tokio::time::sleep(secs(1)).await;
    let learned = |store: &Scripted| {
        let records = store.0.records.lock().unwrap();
        records.iter().filter(|record| matches!(record, Record::Project { .. })).cloned().collect::<Vec<_>>()
    };
    let [one, two] = [learned(&stores[0]), learned(&stores[1])];
    stores[0].0.others.lock().unwrap().extend(two);
    stores[1].0.others.lock().unwrap().extend(one);
    tokio::time::sleep(secs(6)).await;
    for pool in &pools {
        assert_eq!(pool.snapshot(0, 2).keys.iter().map(|key| &*key.project).collect::<Vec<_>>(), ["k0", "k0"]);
    }
    // So does a process that reads a record with the other name.
    let store = Scripted::granting();
    store.0.records.lock().unwrap().push(Record::Project { key: id(0), project: "k1".into() });
    let pool = builder().keys((0..2).map(key)).store(store).open().await.unwrap();
    assert_eq!(pool.snapshot(0, 2).keys.iter().map(|key| &*key.project).collect::<Vec<_>>(), ["k0", "k0"]);
}

#[tokio::test(start_paused = true)]
async fn key_serves_again_after_another_process_replaced_its_disabling() {
    let store = Scripted::granting();
    let pool = open(&store, 1).await;
    let start = tokio::time::Instant::now();
    let opened = |left: Option<i64>| {
        let now_ms = wall(NOON).duration_since(std::time::UNIX_EPOCH).unwrap() + start.elapsed();
        Record::Open {
            target: BreakerTarget::Key(id(0)),
            until_ms: left.map(|left| now_ms.as_millis() as i64 + left),
            class: Some(ErrorClass::KeyRejected),
            reason: None,
        }
    };
    // A cooldown that has not ended, and one that has.
    for left in [3_000, -3_000] {
        for (left, wait) in [(None, 1), (Some(left), 4)] {
            store.0.others.lock().unwrap().push(opened(left));
            tokio::time::sleep(secs(wait)).await;
            assert_eq!(pool.acquire(M).await.is_ok(), left.is_some());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn daily_limit_in_the_store_is_refused_at_once_and_soon_asked_again() {
    let start = tokio::time::Instant::now();
    // A correction frees the day's tokens after 3 s.
    let store = Scripted::new(None, move |_| match start.elapsed() {
        early if early < secs(3) => refused(vec![secs(36_000)]),
        _ => granted(0),
    });
    let pool = open(&store, 1).await;
    let waiting = || pool.acquire(KeyRequest::model(M).wait(secs(90)));
    assert_eq!(waiting().await.unwrap_err().retry_after(), Some(secs(36_000)));
    tokio::time::sleep(secs(1)).await;
    let error = waiting().await.unwrap_err();
    assert_eq!(error.retry_after(), Some(secs(35_999)));
    assert!(error.to_string().contains("1 limit used up by all processes"), "{error}");
    assert!(start.elapsed() < secs(2), "{:?}", start.elapsed());
    tokio::time::sleep(secs(2)).await;
    drop(pool.acquire(M).await.unwrap());
    assert_eq!(store.0.asked.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn failed_writes_are_not_hidden_by_reads() {
    let (log, guard) = log();
    let store = Scripted::granting();
    let pool = builder().key(key(0)).store(store.clone()).fail_open().open().await.unwrap();
    *store.0.is_read_only.lock().unwrap() = true;
    for _ in 0..3 {
        drop(pool.acquire(M).await.unwrap());
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(pool.stats().unreserved, 3);
    *store.0.is_read_only.lock().unwrap() = false;
    // No request is needed to notice that the store is back.
    tokio::time::sleep(secs(1)).await;
    drop(pool.acquire(M).await.unwrap());
    assert_eq!(pool.stats().unreserved, 3);
    drop((guard, pool));
    tokio::time::sleep(secs(1)).await;
    let text = std::io::read_to_string(log).unwrap();
    let count = |part| text.matches(part).count();
    let back = r#""message":"the store is back","pool":"plain""#;
    assert_eq!((count("the store is unavailable"), count(back)), (1, 1), "{text}");
}
