//! Writing behind: how much may be started before a write is kept, who waits for it, and what happens when there is none.

use std::time::Duration;

use tower_keypool::{
    Clock, Demand, Event, KeyPoolBuilder, Limits, Priority, Usage, Verdict, VerdictKind,
    store::{KeyStanding, Store},
};

use crate::{
    machine::{Machine, Shaky, Writes, room, waits_for_the_store},
    support::{FLASH, answer, builder, id, key, rate_for, secs, take},
};

fn a_minute(requests: u64) -> KeyPoolBuilder {
    builder().key(key(0)).limits(FLASH, Limits::new().per_minute(requests))
}

/// Leases until none is ready, without a turn for anybody else.
fn at_once(pool: &tower_keypool::KeyPool) -> usize {
    std::iter::from_fn(|| pool.try_acquire(FLASH).ok()).count()
}

#[tokio::test(start_paused = true)]
async fn no_more_is_started_than_what_is_kept_allows() {
    let machine = Machine::new();
    let process = machine.process(a_minute(160)).await;
    process.store.set(Writes::Lost);
    assert_eq!(at_once(&process.pool), 10, "a sixteenth");
    let refused = process.pool.try_acquire(FLASH).unwrap_err();
    assert!(waits_for_the_store(&refused), "{refused}");
    assert!(refused.retry_after().is_some_and(|wait| wait <= Duration::from_millis(100)), "{refused}");
    tokio::time::sleep(secs(1)).await;
    assert_eq!(at_once(&process.pool), 0, "nothing was kept since");
}

#[tokio::test(start_paused = true)]
async fn whoever_has_no_time_waits_for_a_write_all_the_same() {
    let machine = Machine::new();
    let pool = machine.start(a_minute(10)).await;
    let taken = at_once(&pool);
    assert!(taken < 10);
    for _ in taken..10 {
        drop(pool.acquire(FLASH).await.unwrap());
    }
    let full = pool.acquire(FLASH).await.unwrap_err();
    assert!(!waits_for_the_store(&full), "{full}");
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_through_within_half_a_second() {
    let machine = Machine::new();
    let keys = (0..10).map(key);
    let pool = machine.start(builder().keys(keys).limits(FLASH, Limits::new().per_minute(10)).wait(secs(1))).await;
    let clock = Clock::system();
    let began = clock.tick();
    let calls = (0..100).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.acquire(FLASH).await.map(drop) })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    let took = clock.tick().since(began);
    assert!(took <= Duration::from_millis(500), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_large_request_waits_for_the_mark_it_needs() {
    let machine = Machine::new();
    let pool = machine.start(builder().key(key(0)).limits(FLASH, Limits::new().tokens_per_minute(100_000))).await;
    let large = || Demand::new(FLASH).tokens(90_000);
    assert!(waits_for_the_store(&pool.try_acquire(large()).unwrap_err()));
    let lease = pool.acquire(large()).await.unwrap();
    drop(lease);
    let error = pool.acquire(Demand::new(FLASH).tokens(20_000)).await.unwrap_err();
    assert!(!waits_for_the_store(&error), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_later_priority_does_not_open_for_a_write() {
    let machine = Machine::new();
    let paid = key(1).priority(Priority::PAID);
    let pool = machine.start(a_minute(10).key(paid).wait(secs(1))).await;
    for n in 0..10 {
        let lease = pool.acquire(FLASH).await.unwrap();
        assert_eq!(*lease.key_id(), id(0), "lease {n}");
    }
    assert_eq!(*pool.acquire(FLASH).await.unwrap().key_id(), id(1));
}

#[tokio::test(start_paused = true)]
async fn nor_does_it_for_a_large_request_and_small_ones_pass_by() {
    let machine = Machine::new();
    let limits = Limits::new().tokens_per_minute(100_000);
    let paid = key(1).priority(Priority::PAID);
    let pool = machine.start(builder().key(key(0)).key(paid).limits(FLASH, limits)).await;
    let large = pool.try_acquire(Demand::new(FLASH).tokens(50_000)).unwrap_err();
    assert!(waits_for_the_store(&large), "{large}");
    assert_eq!(*take(&pool, FLASH).key_id(), id(0));
    let large = pool.acquire(Demand::new(FLASH).tokens(50_000)).await.unwrap();
    assert_eq!(*large.key_id(), id(0));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_no_writes_stops_no_request_for_long_and_says_so() {
    let machine = Machine::new();
    let process = machine.process(a_minute(10)).await;
    process.store.set(Writes::Refused);
    let taken = at_once(&process.pool);
    assert!(taken < 10);
    let error = process.pool.flush().await.unwrap_err().to_string();
    assert!(error.contains("the disk is full"), "{error}");
    process.pool.store_turns(false).await;
    tokio::time::sleep(secs(10)).await;
    assert_eq!(taken + at_once(&process.pool), 10, "the limit holds all the same");

    process.store.set(Writes::Kept);
    process.pool.store_turns(true).await;
    process.pool.flush().await.unwrap();
    process.crash();
    let next = machine.start(a_minute(10)).await;
    assert_eq!(room(&next, FLASH).await, 0, "all ten were kept in the end");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_is_one_that_fails_and_its_writes_are_tried_again() {
    let machine = Machine::new();
    let process = machine.process(a_minute(10)).await;
    process.store.set(Writes::Panics);
    let taken = at_once(&process.pool);
    assert!(taken < 10);
    let error = process.pool.flush().await.unwrap_err().to_string();
    assert!(error.contains("the store panicked"), "{error}");

    process.store.set(Writes::Kept);
    process.pool.store_turns(true).await;
    process.pool.flush().await.unwrap();
    assert_eq!(taken + room(&process.pool, FLASH).await, 10);
    process.pool.shutdown().await;
    let next = machine.start(a_minute(10)).await;
    assert_eq!(room(&next, FLASH).await, 0, "all ten were kept");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_never_answers_opens_no_pool() {
    let store = Shaky::default();
    store.set(Writes::Lost);
    let opening = tokio::time::timeout(secs(60), a_minute(10).open(store)).await.expect("it does not hang");
    let error = opening.unwrap_err().to_string();
    assert!(error.contains("not answer"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn at_most_ten_writes_a_second() {
    let machine = Machine::new();
    let pool = machine.start(builder().key(key(0))).await;
    let before = machine.writes();
    for _ in 0..300 {
        drop(take(&pool, FLASH));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let writes = machine.writes() - before;
    assert!((18..=21).contains(&writes), "{writes} in 3 s: counts lag by less than 200 ms");
    tokio::time::sleep(secs(1)).await;
    let before = machine.writes();
    tokio::time::sleep(secs(3600)).await;
    assert_eq!(machine.writes(), before, "an idle pool writes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_rest_is_written_with_the_next_batch() {
    let machine = Machine::new();
    let process = machine.process(builder().key(key(0))).await;
    tokio::time::sleep(secs(1)).await;
    answer(&process.pool, FLASH, &rate_for(90));
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(machine.memory.image().rests.len(), 1, "at once, where nothing was written just before");
    process.pool.disable(&id(0), "by hand").unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let key = machine.memory.image().keys.into_values().next().unwrap();
    assert_eq!(key.reason, "by hand", "within the pause");
}

#[tokio::test(start_paused = true)]
async fn a_pool_without_a_store_has_nothing_to_wait_for() {
    let pool = builder().key(key(0)).build().unwrap();
    pool.flush().await.unwrap();
    assert_eq!(pool.shutdown().await, 0);
}

#[tokio::test(start_paused = true)]
async fn leases_that_outlast_the_end_are_not_forgotten() {
    let machine = Machine::new();
    let first = machine.start(a_minute(10)).await;
    let lease = take(&first, FLASH);
    assert_eq!(first.shutdown().await, 1);
    let second = machine.start(a_minute(10)).await;
    assert!(room(&second, FLASH).await <= 9);
    drop(lease);
}

#[tokio::test(start_paused = true)]
async fn a_request_through_the_layers_waits_for_a_write_though_it_waits_for_nothing_else() {
    use bytes::Bytes;
    use http::{Request, Response, StatusCode};
    use http_body_util::Full;
    use tower::{ServiceBuilder, ServiceExt, service_fn};
    use tower_keypool::{Gemini, KeyPool, KeyRotationLayer};

    let machine = Machine::new();
    let limits = Limits::new().per_minute(10);
    let builder = KeyPool::builder(Gemini::new()).key(key(0)).limits("gemini-2.5-flash", limits);
    let pool = machine.start(builder).await;
    let upstream =
        |_: Request<Full<Bytes>>| async { Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::default())) };
    let client = ServiceBuilder::new().layer(KeyRotationLayer::new(&pool)).service(service_fn(upstream));
    for n in 0..10 {
        let request = Request::post("/v1beta/models/gemini-2.5-flash:generateContent").body(Full::default()).unwrap();
        let answer = client.clone().oneshot(request).await;
        assert!(answer.is_ok_and(|answer| answer.status() == StatusCode::OK), "request {n}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_that_no_key_may_serve_while_a_write_is_due() {
    let machine = Machine::new();
    let pool = machine.start(a_minute(10)).await;
    let mut events = pool.changes();
    while at_once(&pool) > 0 {}
    assert!(waits_for_the_store(&pool.try_acquire(FLASH).unwrap_err()));
    while let Some(event) = events.try_next() {
        assert!(!matches!(event, Ok(Event::Exhausted { .. })), "{event:?}");
    }
    for _ in 0..9 {
        drop(pool.acquire(FLASH).await);
    }
    drop(pool.acquire(FLASH).await.unwrap_err());
    let told = std::iter::from_fn(|| events.try_next()).filter(|event| matches!(event, Ok(Event::Exhausted { .. })));
    assert!(told.count() > 0, "who is refused for good is told of");
}

#[tokio::test(start_paused = true)]
async fn a_rest_and_a_disabled_key_wait_for_no_turn() {
    let machine = Machine::new();
    let process = machine.process(builder().keys((0..3).map(key))).await;
    let pool = &process.pool;
    // A write was just made: the next of counts is far.
    drop(take(pool, FLASH));
    tokio::time::sleep(Duration::from_millis(20)).await;
    let writes = machine.writes();
    drop(take(pool, FLASH));
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(machine.writes(), writes, "counts have time");
    let rested = answer(pool, FLASH, &rate_for(90));
    pool.disable(&id(2), "by hand").unwrap();
    tokio::time::sleep(Duration::from_millis(6)).await;
    assert_eq!(machine.writes(), writes + 1, "both in one");
    let image = machine.memory.image();
    assert_eq!(image.rests.len(), 1, "of {rested}");
    assert!(image.keys.values().any(|key| key.state == KeyStanding::Disabled));
    process.crash();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_lost_all_is_told_all() {
    let machine = Machine::new();
    let process = machine.process(builder().keys((0..3).map(key)).limits(FLASH, Limits::new().per_minute(160))).await;
    let pool = &process.pool;
    for _ in 0..9 {
        answer(pool, FLASH, &tower_keypool::Verdict::SUCCESS);
    }
    answer(pool, FLASH, &rate_for(90));
    pool.disable(&id(2), "by hand").unwrap();
    pool.flush().await.unwrap();
    let before = machine.memory.image();
    process.store.set(Writes::Gone);
    drop(take(pool, FLASH));
    pool.flush().await.unwrap();
    let after = machine.memory.image();
    assert_eq!(after.rests, before.rests);
    assert_eq!((after.epoch, after.running), (before.epoch, true));
    let states = |image: &tower_keypool::store::Image| image.keys.values().map(|key| key.state).collect::<Vec<_>>();
    assert_eq!(states(&after), states(&before));
    let started = |image: &tower_keypool::store::Image| -> u64 {
        let windows = image.units.values().flat_map(|unit| &unit.windows);
        windows.map(|window| window.held + window.moments.iter().map(|moment| moment.1).sum::<u64>()).sum()
    };
    assert_eq!((started(&before), started(&after)), (10, 11));
    process.crash();
}

#[tokio::test(start_paused = true)]
async fn what_never_left_is_not_used() {
    let machine = Machine::new();
    let pool = machine.start(builder().key(key(0))).await;
    let refused = Verdict::new(VerdictKind::Transient).code("connect");
    assert!(refused.is_unsent());
    take(&pool, FLASH).judge(&refused);
    let lease = take(&pool, FLASH);
    // A client that says that it goes out before it has a connection.
    lease.started();
    lease.judge(&refused);
    answer(&pool, FLASH, &Verdict::SUCCESS);
    pool.flush().await.unwrap();
    let used = machine.memory.usage("2026-06-15", "2026-06-15").await.unwrap();
    let requests: Vec<i64> = used.iter().map(|used| used.requests).collect();
    assert_eq!(requests, [1]);
}

/// Rows of use that were written, by day: none says less than nothing.
async fn used(machine: &Machine) -> Vec<(String, String, i64)> {
    let rows = machine.memory.usage("2026-06-15", "2026-06-17").await.unwrap();
    let kept = machine.memory.image().usage;
    assert!(kept.values().all(|row| row.requests >= 0), "{kept:?}");
    rows.iter().map(|row| (row.day.to_string(), row.lane.to_string(), row.requests)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_takes_back_only_what_was_written_there() {
    let refused = Verdict::new(VerdictKind::Transient).code("connect");
    let (day, next) = ("2026-06-15".to_owned(), "2026-06-16".to_owned());
    // Written, and refused a while later.
    let machine = Machine::new();
    let pool = machine.start(builder().key(key(0))).await;
    machine.time.advance(secs(1));
    let lease = take(&pool, FLASH);
    pool.flush().await.unwrap();
    lease.judge(&refused);
    pool.flush().await.unwrap();
    assert_eq!(used(&machine).await, [(day.clone(), FLASH.to_owned(), 0)]);
    // Over midnight: it stays one too many on the day before.
    let lease = take(&pool, FLASH);
    let unused = take(&pool, FLASH);
    pool.flush().await.unwrap();
    machine.time.advance(secs(13 * 3600));
    lease.judge(&refused);
    drop(unused);
    answer(&pool, FLASH, &Verdict::SUCCESS);
    pool.flush().await.unwrap();
    assert_eq!(used(&machine).await, [(day, FLASH.to_owned(), 2), (next, FLASH.to_owned(), 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_connection_of_a_secret_that_was_replaced_is_not_the_new_ones() {
    let machine = Machine::new();
    let pool = machine.start(builder().key(key(0))).await;
    let lease = take(&pool, FLASH);
    pool.flush().await.unwrap();
    pool.replace(&id(0), "AIza-not-a-real-key-99999").unwrap();
    lease.judge(&Verdict::new(VerdictKind::Transient).code("connect"));
    pool.flush().await.unwrap();
    let rows: Vec<i64> = used(&machine).await.into_iter().map(|row| row.2).collect();
    assert!(rows.iter().all(|requests| *requests >= 0) && rows.iter().sum::<i64>() <= 1, "{rows:?}");
}

/// What a request cost may be told when its secret has given its place to another: it is the old one's.
#[tokio::test(start_paused = true)]
async fn what_is_under_way_when_a_secret_is_replaced_is_the_old_ones() {
    let machine = Machine::new();
    let pool = machine.start(builder().key(key(0))).await;
    let [early, good, bad] = [(); 3].map(|()| take(&pool, FLASH));
    let tokens = |input| {
        let mut usage = Usage::default();
        (usage.input_tokens, usage.output_tokens) = (Some(input), Some(1));
        usage
    };
    early.usage(tokens(10));
    pool.flush().await.unwrap();
    pool.replace(&id(0), "AIza-not-a-real-key-99998").unwrap();
    early.usage(tokens(15));
    pool.replace(&id(0), "AIza-not-a-real-key-99999").unwrap();
    good.usage(tokens(700));
    good.settle(&Verdict::SUCCESS);
    bad.settle(&Verdict::new(VerdictKind::Transient));
    let new = take(&pool, FLASH);
    new.usage(tokens(5));
    new.settle(&Verdict::SUCCESS);
    pool.flush().await.unwrap();
    let rows = machine.memory.usage("2026-06-15", "2026-06-15").await.unwrap();
    let mut told: Vec<_> = rows
        .iter()
        .map(|row| (row.requests, row.input_tokens, row.output_tokens, row.errors.values().sum::<u64>()))
        .collect();
    told.sort_unstable();
    assert_eq!(told, [(1, 5, 1, 0), (3, 715, 2, 1)]);
    let kept = machine.memory.load().await.unwrap().keys;
    assert!(kept.values().all(|key| key.consecutive_failures == 0), "{kept:?}");
}

/// How keys fare goes with the counts; what takes one out of use does not wait for them, nor is it lost with the machine.
#[tokio::test(start_paused = true)]
async fn what_keys_do_well_need_not_outlive_the_machine() {
    let machine = Machine::new();
    let pool = machine.start(builder().key(key(0)).limits(FLASH, Limits::new().per_minute(1_000))).await;
    pool.flush().await.unwrap();
    let (before, lasting) = (machine.writes(), machine.lasting());
    for _ in 0..60 {
        take(&pool, FLASH).settle(&Verdict::SUCCESS);
        machine.time.advance(secs(1));
        tokio::time::sleep(secs(1)).await;
    }
    assert!(machine.writes() > before + 30, "{}", machine.writes());
    assert_eq!(machine.lasting(), lasting);
    let told = machine.memory.load().await.unwrap().keys.into_values().next().unwrap();
    assert!(told.weight_now > 1.0, "its weight is kept all the same: {}", told.weight_now);
    pool.disable(&id(0), "by hand").unwrap();
    pool.flush().await.unwrap();
    assert_eq!(machine.lasting(), lasting + 1);
}

/// Whoever opens it in a runtime of its own, and ends that one.
#[test]
fn a_pool_outlives_the_runtime_that_it_was_opened_in() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let first = runtime();
    let (machine, pool) = first.block_on(async {
        let machine = Machine::new();
        let pool = machine.start(a_minute(160)).await;
        (machine, pool)
    });
    drop(first);
    runtime().block_on(async {
        assert_eq!(at_once(&pool), 160, "nothing waits for a writer that is gone");
        assert!(!waits_for_the_store(&pool.try_acquire(FLASH).unwrap_err()));
        assert!(pool.flush().await.is_err());
        pool.store_turns(false).await;
        pool.shutdown().await;
    });
    drop(machine);
}
