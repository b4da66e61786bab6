//! Waiting is fair: freed slots go to the lowest ticket that may use them, over all lanes and affinities.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{task::JoinHandle, time::sleep};
use tower_keypool::{
    Acquire, Affinity, Demand, Error, KeyPool, Lease, Limit, Limits, OutReason, Span, Unit, Verdict, VerdictKind,
};

use crate::support::{FLASH, PRO, answer, builder, id, key, paused, rate_for, secs, suspended, take};

const LONG: Duration = Duration::from_secs(3600);

pub(crate) fn demand(model: &str) -> Demand {
    Demand::new(model).wait(LONG)
}

fn must(n: usize) -> Demand {
    demand(FLASH).affinity(Affinity::MustKey(id(n)))
}

/// Waits in a task of its own, and stands in the queue when this returns.
pub(crate) async fn wait(pool: &KeyPool, demand: Demand) -> JoinHandle<Result<Lease, Error>> {
    let task = tokio::spawn(pool.acquire(demand));
    tokio::task::yield_now().await;
    task
}

async fn got(task: JoinHandle<Result<Lease, Error>>) -> Lease {
    task.await.expect("no panic").expect("a key")
}

fn elapsed(pool: &KeyPool) -> u64 {
    pool.clock().tick().since(tower_keypool::Tick::default()).as_secs()
}

fn poll(acquire: Pin<&mut Acquire>) -> Poll<Result<Lease, Error>> {
    acquire.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test(start_paused = true)]
async fn a_freed_slot_goes_to_the_first_that_came_over_all_lanes() {
    let pool = paused(builder().key(key(0).max_concurrent(1)));
    let held = take(&pool, FLASH);
    let mut tasks = Vec::new();
    for model in [PRO, FLASH, "third", PRO, FLASH] {
        tasks.push(wait(&pool, demand(model)).await);
    }
    assert_eq!(pool.snapshot().waiters, 5);
    drop(held);
    for (at, model) in [PRO, FLASH, "third", PRO, FLASH].into_iter().enumerate() {
        let lease = got(tasks.remove(0)).await;
        assert_eq!(lease.model(), Some(model), "number {at}");
        tokio::task::yield_now().await;
        assert!(tasks.iter().all(|task| !task.is_finished()), "one slot, one lease");
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_rest_wakes() {
    let pool = paused(builder().key(key(0)));
    answer(&pool, FLASH, &rate_for(41));
    let lease = pool.acquire(demand(FLASH)).await.unwrap();
    assert_eq!(elapsed(&pool), 41);
    drop(lease);
    answer(&pool, FLASH, &rate_for(30).scope(tower_keypool::Scope::Lane));
    drop(pool.acquire(demand(FLASH)).await.unwrap());
    assert_eq!(elapsed(&pool), 71);
    answer(&pool, FLASH, &Verdict::new(VerdictKind::Blocked));
    drop(pool.acquire(demand(FLASH)).await.unwrap());
    assert_eq!(elapsed(&pool), 671);
}

#[tokio::test(start_paused = true)]
async fn the_opening_of_a_window_wakes_each_in_turn() {
    let pool = paused(builder().key(key(0)).limits(FLASH, Limits::new().per_minute(1)));
    drop(take(&pool, FLASH));
    let tasks = [wait(&pool, demand(FLASH)).await, wait(&pool, demand(FLASH)).await];
    let mut at = Vec::new();
    for task in tasks {
        drop(got(task).await);
        at.push(elapsed(&pool));
    }
    assert_eq!(at, [60, 120]);
}

#[tokio::test(start_paused = true)]
async fn a_key_added_enabled_or_reprioritised_wakes() {
    let pool = paused(builder());
    let task = wait(&pool, demand(FLASH)).await;
    pool.add(key(0)).unwrap();
    drop(got(task).await);
    pool.disable(&id(0), "x").unwrap();
    let task = wait(&pool, demand(FLASH)).await;
    pool.enable(&id(0)).unwrap();
    drop(got(task).await);
    assert_eq!(elapsed(&pool), 0);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_shortest_interval_wakes() {
    let pool = paused(builder().key(key(0).min_interval(secs(7))));
    drop(take(&pool, FLASH));
    drop(pool.acquire(demand(FLASH)).await.unwrap());
    assert_eq!(elapsed(&pool), 7);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_waiter_takes_nothing_and_wakes_the_next() {
    let pool = paused(builder().key(key(0).max_concurrent(1).min_interval(secs(5))));
    let held = take(&pool, FLASH);
    let started = pool.snapshot().started;
    sleep(secs(10)).await;
    let mut first = Box::pin(pool.acquire(demand(FLASH)));
    assert!(poll(first.as_mut()).is_pending());
    let second = wait(&pool, demand(FLASH)).await;
    drop(held);
    // Granted to the first, who leaves before it looks.
    drop(first);
    drop(got(second).await);
    assert_eq!(elapsed(&pool), 10, "the grant that nobody took left no interval behind");
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.waiters, snapshot.in_flight, snapshot.started), (0, 0, started + 1));
}

#[tokio::test(start_paused = true)]
async fn the_next_in_line_keeps_the_lanes_timer_when_the_first_leaves() {
    let pool = paused(builder().key(key(0)));
    answer(&pool, FLASH, &rate_for(30));
    let first = wait(&pool, demand(FLASH)).await;
    let second = wait(&pool, demand(FLASH)).await;
    sleep(secs(1)).await;
    first.abort();
    drop(got(second).await);
    assert_eq!(elapsed(&pool), 30);
}

#[tokio::test(start_paused = true)]
async fn at_the_deadline_it_says_exactly_when() {
    let pool = paused(builder().key(key(0)));
    answer(&pool, FLASH, &rate_for(41));
    let error = pool.acquire(Demand::new(FLASH).wait(secs(10))).await.unwrap_err();
    assert_eq!(elapsed(&pool), 10);
    assert!(error.is_exhausted());
    assert_eq!(error.retry_after(), Some(secs(31)));
    sleep(secs(31)).await;
    drop(take(&pool, FLASH));
}

#[tokio::test(start_paused = true)]
async fn zero_is_the_default_wait_and_the_pools_own_holds_where_none_is_said() {
    let pool = paused(builder().key(key(0)));
    answer(&pool, FLASH, &rate_for(41));
    assert!(pool.acquire(FLASH).await.unwrap_err().is_exhausted());
    assert_eq!(elapsed(&pool), 0);
    let pool = paused(builder().key(key(0)).wait(secs(60)));
    let before = elapsed(&pool);
    answer(&pool, FLASH, &rate_for(41));
    drop(pool.acquire(FLASH).await.unwrap());
    assert_eq!(elapsed(&pool) - before, 41);
}

#[tokio::test(start_paused = true)]
async fn a_large_waiter_is_not_starved_by_small_ones() {
    let pool = paused(builder().keys((0..2).map(key)).limits(FLASH, Limits::new().tokens_per_minute(10_000)));
    let small = |pool: &KeyPool| pool.try_acquire(Demand::new(FLASH).tokens(1_000)).is_ok();
    for _ in 0..20 {
        assert!(small(&pool));
        sleep(secs(1)).await;
    }
    let large = wait(&pool, demand(FLASH).tokens(9_000)).await;
    let mut taken = 0;
    let large = {
        let mut large = pin!(large);
        loop {
            tokio::select! {
                biased;
                lease = large.as_mut() => break lease.unwrap().unwrap(),
                () = sleep(Duration::from_millis(500)) => taken += usize::from(small(&pool)),
            }
        }
    };
    assert!(elapsed(&pool) <= 78, "the first owner that had room kept it: {}", elapsed(&pool));
    assert!(taken >= 5, "the other owner serves the small ones meanwhile: {taken}");
    drop(large);
}

#[tokio::test(start_paused = true)]
async fn a_large_batch_waits_for_its_window_without_small_ones_near() {
    let pool = paused(builder().key(key(0)).limits(FLASH, Limits::new().per_minute(10)));
    drop(pool.try_acquire(Demand::new(FLASH).requests(6)).unwrap());
    sleep(secs(10)).await;
    drop(pool.try_acquire(Demand::new(FLASH).requests(4)).unwrap());
    let before = elapsed(&pool);
    drop(pool.acquire(demand(FLASH).requests(8)).await.unwrap());
    assert_eq!(elapsed(&pool) - before, 60);
}

/// Whoever stands behind others is told what all of them wait for, and when that may end.
#[tokio::test(start_paused = true)]
async fn the_reason_is_the_limit_that_those_in_front_wait_for() {
    let pool = paused(builder().key(key(0)).limits(FLASH, Limits::new().per_minute(10)));
    drop(pool.try_acquire(Demand::new(FLASH).requests(6)).unwrap());
    sleep(secs(10)).await;
    drop(pool.try_acquire(Demand::new(FLASH).requests(4)).unwrap());
    let first = wait(&pool, demand(FLASH).requests(8)).await;
    let reason = |pool: &KeyPool| pool.outlook(FLASH).map(|out| out.reasons().collect::<Vec<_>>());
    assert_eq!(reason(&pool), Some(vec![(OutReason::Full(Unit::Requests, Span::MINUTE), 1)]));
    // Whoever does not wait is told when to come back, as soon as those in front may be gone.
    let turned_away = pool.try_acquire(FLASH).unwrap_err();
    let why = turned_away.exhausted().unwrap();
    assert_eq!((why.next_in(), turned_away.retry_after()), (None, why.may_serve_in()));
    let answer = turned_away.to_response();
    let whole_seconds = why.may_serve_in().unwrap().as_millis().div_ceil(1000).to_string();
    assert_eq!(answer.headers()["retry-after"], whole_seconds, "{turned_away}");
    // There is room, and it is kept.
    sleep(secs(55)).await;
    assert_eq!(reason(&pool), Some(vec![(OutReason::Queued, 1)]));
    drop(got(first).await);
}

#[tokio::test(start_paused = true)]
async fn a_booking_changes_over_when_its_owner_rests() {
    let pool = paused(builder().keys((0..2).map(key)).limits(FLASH, Limits::new().tokens_per_minute(10_000)));
    let first = pool.try_acquire(Demand::new(FLASH).tokens(10_000)).unwrap();
    sleep(secs(10)).await;
    drop(pool.try_acquire(Demand::new(FLASH).tokens(10_000)).unwrap());
    let large = wait(&pool, demand(FLASH).tokens(9_000)).await;
    first.judge(&rate_for(600));
    drop(first);
    let lease = got(large).await;
    assert_eq!((lease.key_id(), elapsed(&pool)), (&id(1), 70));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_one_key_is_woken_by_it() {
    let pool = paused(builder().keys((0..3).map(key)).limits(FLASH, Limits::new().per_minute(1)));
    drop(pool.try_acquire(must(2)).unwrap());
    drop(pool.acquire(must(2)).await.unwrap());
    assert_eq!(elapsed(&pool), 60);
    let owner = demand(FLASH).affinity(Affinity::MustKey(id(1)));
    answer(&pool, PRO, &rate_for(1));
    drop(pool.acquire(owner).await.unwrap());
    assert_eq!(elapsed(&pool), 60);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_later_priority_is_not_hidden_behind_the_others() {
    let late = key(1).priority(tower_keypool::Priority(10)).max_concurrent(1);
    let pool = paused(builder().keys([key(0).max_concurrent(1), late]));
    let held = (take(&pool, FLASH), pool.try_acquire(must(1)).unwrap());
    let plain = [wait(&pool, demand(FLASH)).await, wait(&pool, demand(FLASH)).await];
    let special = wait(&pool, must(1)).await;
    drop(held.1);
    assert_eq!(got(special).await.key_id(), &id(1), "the others wait for the free key");
    drop(held.0);
    for task in plain {
        assert_eq!(got(task).await.key_id(), &id(0));
    }
}

#[tokio::test(start_paused = true)]
async fn one_blocked_by_images_does_not_hide_those_without() {
    let images = Limit { unit: Unit::Images, span: Span::MINUTE, amount: 4 };
    let output = Limit { unit: Unit::OutputTokens, span: Span::MINUTE, amount: 100 };
    let pool = paused(builder().key(key(0).max_concurrent(1)).limits(FLASH, Limits::new().with(images).with(output)));
    let held = pool.try_acquire(Demand::new(FLASH).images(4).output_tokens(90)).unwrap();
    let blocked = [wait(&pool, demand(FLASH).images(1)).await, wait(&pool, demand(FLASH).output_tokens(50)).await];
    let free = wait(&pool, demand(FLASH)).await;
    drop(held);
    drop(got(free).await);
    assert_eq!(elapsed(&pool), 0);
    let [images, output] = blocked;
    tokio::join!(async { drop(got(images).await) }, async { drop(got(output).await) });
}

#[tokio::test(start_paused = true)]
async fn new_demands_do_not_overtake_who_waits() {
    let pool = paused(builder().key(key(0)).limits(FLASH, Limits::new().per_minute(1)));
    drop(take(&pool, FLASH));
    let mut waiting = Box::pin(pool.acquire(demand(FLASH)));
    assert!(poll(waiting.as_mut()).is_pending());
    // The window opens, and somebody new is the first to ask.
    tokio::time::advance(secs(61)).await;
    assert!(pool.try_acquire(FLASH).is_err());
    assert!(poll(waiting.as_mut()).is_ready());
}

#[tokio::test(start_paused = true)]
async fn a_retry_keeps_its_place() {
    let pool = paused(builder().keys((0..2).map(|n| key(n).max_concurrent(1))).wait(LONG));
    let runner = pool.clone();
    // Its first attempt fails after others have queued up.
    let retried = tokio::spawn(async move {
        let mut attempt = 0;
        let judge = |result: &Result<(), ()>| if result.is_ok() { Verdict::SUCCESS } else { rate_for(3000) };
        let call = |_| {
            attempt += 1;
            let fails = attempt == 1;
            async move {
                sleep(secs(10)).await;
                if fails { Err(()) } else { Ok(()) }
            }
        };
        runner.run(FLASH, judge, call).await.expect("the second attempt is good");
        runner.clock().tick()
    });
    tokio::task::yield_now().await;
    let other = take(&pool, FLASH);
    let waiting = wait(&pool, demand(FLASH)).await;
    sleep(secs(15)).await;
    drop(other);
    let queued = async {
        let _lease = got(waiting).await;
        pool.clock().tick()
    };
    let (retried, queued) = tokio::join!(retried, queued);
    assert!(retried.unwrap() <= queued, "the retry was first in line");
}

#[tokio::test(start_paused = true)]
async fn shutdown_lets_waiters_go_and_waits_for_leases() {
    let pool = paused(builder().key(key(0).max_concurrent(1)));
    let held = take(&pool, FLASH);
    let waiting = wait(&pool, demand(FLASH)).await;
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move { pool.shutdown().await }
    });
    assert!(waiting.await.unwrap().unwrap_err().is_shut_down());
    assert!(pool.try_acquire(FLASH).unwrap_err().is_shut_down());
    assert!(pool.acquire(demand(FLASH)).await.unwrap_err().is_shut_down());
    sleep(secs(5)).await;
    assert!(!closing.is_finished());
    held.judge(&Verdict::SUCCESS);
    drop(held);
    assert_eq!(closing.await.unwrap(), 0);
    assert_eq!(elapsed(&pool), 5);
}

#[tokio::test(start_paused = true)]
async fn shutdown_gives_up_after_thirty_seconds_and_says_how_many_are_out() {
    let pool = paused(builder().key(key(0)));
    let _held = (take(&pool, FLASH), take(&pool, FLASH));
    assert_eq!(pool.shutdown().await, 2);
    assert_eq!(elapsed(&pool), 30);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_granted_but_gone_does_not_hold_the_shutdown_up() {
    let pool = paused(builder().key(key(0).max_concurrent(1)));
    let held = take(&pool, FLASH);
    let mut first = Box::pin(pool.acquire(demand(FLASH)));
    assert!(poll(first.as_mut()).is_pending());
    drop(held);
    let closing = tokio::spawn({
        let pool = pool.clone();
        async move { pool.shutdown().await }
    });
    sleep(secs(1)).await;
    drop(first);
    assert_eq!(closing.await.unwrap(), 0);
    assert_eq!(elapsed(&pool), 1);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_waiters_are_cheap_and_leave_nothing_behind() {
    let pool = paused(builder().keys((0..10).map(|n| key(n).max_concurrent(1))));
    let mut held: Vec<_> = (0..10).map(|_| take(&pool, FLASH)).collect();
    let mut waiting: Vec<_> = (0..10_000).map(|_| Box::pin(pool.acquire(demand(FLASH)))).collect();
    assert!(waiting.iter_mut().all(|acquire| poll(acquire.as_mut()).is_pending()));
    assert_eq!(pool.snapshot().waiters, 10_000);
    // Every other one leaves; the rest are served in order, ten at a time.
    let mut at = 0;
    waiting.retain(|_| {
        at += 1;
        at % 2 == 0
    });
    let mut waiting = waiting.into_iter();
    while waiting.len() > 0 {
        held.clear();
        for mut acquire in waiting.by_ref().take(10) {
            match poll(acquire.as_mut()) {
                Poll::Ready(lease) => held.push(lease.unwrap()),
                Poll::Pending => panic!("out of turn"),
            }
        }
    }
    drop(held);
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.waiters, snapshot.in_flight, snapshot.started), (0, 0, 5_010));
}

#[tokio::test(start_paused = true)]
async fn a_hundred_calls_at_once_on_ten_keys_of_ten_a_minute_all_succeed() {
    let pool = paused(builder().keys((0..10).map(key)).limits(FLASH, Limits::new().per_minute(10)));
    let tasks: Vec<_> = (0..100).map(|_| tokio::spawn(pool.acquire(demand(FLASH)))).collect();
    for task in tasks {
        drop(got(task).await);
    }
    assert_eq!(elapsed(&pool), 0);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_comes_due_wakes_one() {
    let pool = paused(builder().key(key(0)));
    answer(&pool, FLASH, &suspended(60));
    let tasks = [wait(&pool, demand(FLASH)).await, wait(&pool, demand(FLASH)).await];
    let [first, second] = tasks;
    let probe = got(first).await;
    assert_eq!(elapsed(&pool), 60);
    sleep(secs(5)).await;
    assert!(!second.is_finished());
    probe.judge(&Verdict::SUCCESS);
    drop(got(second).await);
    assert_eq!(elapsed(&pool), 65);
}

#[tokio::test(start_paused = true)]
async fn a_window_found_full_when_a_slot_is_freed_wakes_as_well() {
    let pool = paused(builder().key(key(0).max_concurrent(1)).limits(FLASH, Limits::new().per_minute(1)));
    let held = take(&pool, FLASH);
    let waiting = wait(&pool, demand(FLASH)).await;
    sleep(secs(10)).await;
    // Until now the key was busy and nothing was known to come by time; from now on its window is.
    drop(held);
    drop(got(waiting).await);
    assert_eq!(elapsed(&pool), 60);
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_begins_while_somebody_waits_is_waited_for() {
    let pool = paused(builder().key(key(0).max_concurrent(1)));
    let held = take(&pool, FLASH);
    let waiting = wait(&pool, demand(FLASH)).await;
    held.judge(&rate_for(20));
    drop(held);
    drop(got(waiting).await);
    assert_eq!(elapsed(&pool), 20);
}

#[tokio::test(start_paused = true)]
async fn who_comes_behind_one_who_waits_for_a_window_is_told_of_the_window() {
    let pool = paused(builder().key(key(0)).limits(FLASH, Limits::new().per_minute(3)));
    drop(take(&pool, FLASH));
    let large = wait(&pool, demand(FLASH).requests(3)).await;
    let error = pool.try_acquire(FLASH).unwrap_err();
    let out = error.exhausted().expect("it is kept for the one in front");
    assert_eq!(out.reasons().collect::<Vec<_>>(), [(OutReason::Queued, 1)]);
    assert!(!out.may_end_any_time(), "nothing is under way: {out}");
    assert_eq!(out.may_serve_in().map(|at| at.as_secs()), Some(60), "{out}");
    assert!(out.to_string().ends_with("1 behind earlier requests; next in 61 s at the earliest"), "{out}");
    drop(got(large).await);
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_interval_counts_from_a_start_to_come_is_not_what_is_waited_for() {
    let span = Span::Sliding(secs(5));
    let limits = Limits::new().with(Limit { unit: Unit::Requests, span, amount: 5 });
    let pool = paused(builder().keys([key(0).min_interval(secs(1)), key(1)]).limits(FLASH, limits));
    let ahead = pool.try_acquire(must(0).ahead()).unwrap();
    sleep(secs(2)).await;
    for _ in 0..4 {
        drop(pool.try_acquire(must(1)).unwrap());
    }
    let began = elapsed(&pool);
    let error = pool.try_acquire(Demand::new(FLASH).requests(2)).unwrap_err();
    assert!(error.retry_after().is_some_and(|wait| wait > secs(4)), "{error}");
    let lease = got(wait(&pool, demand(FLASH).requests(2)).await).await;
    assert_eq!((lease.key_id(), elapsed(&pool) - began), (&id(1), 5));
    drop(ahead);
}
