//! What is made by hand for several threads is run under many schedules of them: waiting for a key, which changes hands
//! wherever the pool's lock is taken, and bodies that are read by several attempts and kept within one budget.
//! `RUSTFLAGS='--cfg shuttle' cargo test -p schedules`. A wake-up that is lost is a deadlock here.
#![cfg(shuttle)]

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use shuttle::{
    Config, Runner,
    future::{block_on, yield_now},
    scheduler::{PctScheduler, RandomScheduler},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
use tower::{Layer, Service, service_fn};
use tower_keypool::{
    Backoff, BoxError, Demand, Gemini, Key, KeyPool, ManualClock, ReplayBody, ReplayLayer, Retry, TryClone, Verdict,
    VerdictKind,
};

const SCHEDULES: usize = 3_000;

/// One key that carries one request at a time.
fn narrow_pool() -> KeyPool {
    let clock = ManualClock::at(std::time::SystemTime::UNIX_EPOCH);
    let key = Key::new("AIza-not-a-real-key-0001").max_concurrent(1);
    KeyPool::builder(Gemini::new()).key(key).clock(clock.clock()).build().expect("a pool")
}

fn patient(model: &str) -> Demand {
    Demand::new(model).wait(Duration::from_secs(3_600))
}

/// Runs it under random schedules. Timers belong to a runtime; none of them ever fires here.
fn under_schedules(test: impl Fn() + Copy + Send + Sync + 'static) {
    under(SCHEDULES, test);
}

fn under(schedules: usize, test: impl Fn() + Copy + Send + Sync + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _entered = runtime.enter();
    let mut config = Config::new();
    // A key's secret is hashed and times are formatted on it, unoptimised.
    config.stack_size = 1 << 20;
    Runner::new(RandomScheduler::new(schedules), config.clone()).run(test);
    Runner::new(PctScheduler::new(3, schedules), config).run(test);
}

fn everybody_gets_a_turn(threads: usize) {
    let (pool, out) = (narrow_pool(), Arc::new(AtomicUsize::new(0)));
    let threads: Vec<_> = (0..threads)
        .map(|n| {
            let (pool, out) = (pool.clone(), Arc::clone(&out));
            thread::spawn(move || {
                let lease = block_on(pool.acquire(patient(["a", "b"][n % 2]))).expect("its turn comes");
                assert_eq!(out.fetch_add(1, Ordering::SeqCst), 0, "one at a time");
                thread::yield_now();
                out.fetch_sub(1, Ordering::SeqCst);
                lease.judge(&Verdict::SUCCESS);
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.in_flight, snapshot.waiters), (0, 0));
}

#[test]
fn no_wake_up_is_lost() {
    under_schedules(|| everybody_gets_a_turn(3));
}

/// Whoever leaves, at any moment of its wait, hands on what it was given.
#[test]
fn who_leaves_takes_nothing_along() {
    under_schedules(|| {
        let pool = narrow_pool();
        let held = pool.try_acquire("a").expect("it is free");
        let leaver = {
            let pool = pool.clone();
            thread::spawn(move || {
                block_on(async {
                    let mut acquire = pin!(pool.acquire(patient("a")));
                    for _ in 0..2 {
                        let polled = std::future::poll_fn(|cx: &mut Context<'_>| {
                            Poll::Ready(acquire.as_mut().poll(cx).is_ready())
                        });
                        if polled.await {
                            return;
                        }
                        yield_now().await;
                    }
                });
            })
        };
        let stayer = {
            let pool = pool.clone();
            thread::spawn(move || drop(block_on(pool.acquire(patient("b"))).expect("its turn comes")))
        };
        drop(held);
        leaver.join().expect("no panic");
        stayer.join().expect("no panic");
        let snapshot = pool.snapshot();
        assert_eq!((snapshot.in_flight, snapshot.waiters), (0, 0));
    });
}

/// A key that is added wakes whoever waits for one, though the other never comes free.
#[test]
fn an_added_key_wakes() {
    under_schedules(|| {
        let pool = narrow_pool();
        let held = pool.try_acquire("a").expect("it is free");
        let waiter = {
            let pool = pool.clone();
            thread::spawn(move || drop(block_on(pool.acquire(patient("a"))).expect("its turn comes")))
        };
        pool.add(Key::new("AIza-not-a-real-key-0002")).expect("another key");
        waiter.join().expect("no panic");
        drop(held);
        let snapshot = pool.snapshot();
        assert_eq!((snapshot.in_flight, snapshot.waiters), (0, 0));
    });
}

/// Calls once, with this outcome; how often it was called again.
fn called_again(runner: &tower_keypool::Runner, outcome: Result<(), ()>) -> usize {
    let judge = |result: &Result<(), ()>| match result {
        Ok(()) => Verdict::SUCCESS,
        Err(()) => Verdict::new(VerdictKind::Transient),
    };
    let mut calls = 0;
    let call = |_| {
        calls += 1;
        std::future::ready(outcome)
    };
    assert_eq!(block_on(runner.run("m", judge, call)).is_ok(), outcome.is_ok());
    calls - 1
}

/// What successes earn is paid out once and whole, however those who earn and those who pay take turns.
#[test]
fn every_fifth_success_pays_for_one_retry() {
    under(SCHEDULES / 10, || {
        let clock = ManualClock::at(std::time::SystemTime::UNIX_EPOCH);
        let key = Key::new("AIza-not-a-real-key-0001");
        let pool = KeyPool::builder(Gemini::new()).key(key).clock(clock.clock()).build().expect("a pool");
        let rule = Retry::new().max_retries(1_000).backoff(Backoff::fixed(Duration::ZERO));
        let runner = Arc::new(pool.with_retry(rule));
        assert_eq!(called_again(&runner, Err(())), 100, "what there is beside all that is earned");
        let (earning, paying) = (Arc::clone(&runner), Arc::clone(&runner));
        let earning = [4, 6].map(|successes| {
            let runner = Arc::clone(&earning);
            thread::spawn(move || assert_eq!((0..successes).map(|_| called_again(&runner, Ok(()))).sum::<usize>(), 0))
        });
        let paying = thread::spawn(move || called_again(&paying, Err(())) + called_again(&paying, Err(())));
        for thread in earning {
            thread.join().expect("no panic");
        }
        let paid = paying.join().expect("no panic");
        assert_eq!(paid + called_again(&runner, Err(())), 10 / 5);
    });
}

/// A body in chunks of ten bytes, each of which comes only when it is asked for a second time.
struct Slow {
    left: usize,
    here: bool,
}

impl Body for Slow {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.here = !self.here;
        if self.here {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"0123456789")))))
    }
}

/// A body of so many chunks, as the layer makes it.
fn replayed(layer: &ReplayLayer, chunks: usize) -> ReplayBody<Slow> {
    let hand_on = |request: Request<ReplayBody<Slow>>| std::future::ready(Ok::<_, BoxError>(request.into_body()));
    let mut service = layer.layer(service_fn(hand_on));
    block_on(service.call(Request::new(Slow { left: chunks, here: false }))).expect("it is only handed on")
}

fn read(body: ReplayBody<Slow>) -> Result<usize, BoxError> {
    Ok(block_on(body.collect())?.to_bytes().len())
}

/// Several requests keep what they read while there is room for one of them, and give it back.
#[test]
fn kept_bodies_stay_within_their_budget() {
    under_schedules(|| {
        // A chunk of ten bytes, and its place in the list.
        let layer = ReplayLayer::default().budget(2 * (10 + 32) - 1);
        let keeping = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (layer, keeping) = (layer.clone(), Arc::clone(&keeping));
                thread::spawn(move || {
                    let body = replayed(&layer, 1);
                    let spare = body.try_clone().expect("nothing was read yet");
                    assert_eq!(read(body).expect("it streams, kept or not"), 10);
                    if spare.try_clone().is_some() {
                        assert_eq!(keeping.fetch_add(1, Ordering::SeqCst), 0, "there is room for one");
                        thread::yield_now();
                        keeping.fetch_sub(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert_eq!(layer.kept_bytes(), 0);
    });
}

/// Another attempt takes the body over while the one before still reads: it has all of it, and the other is told.
#[test]
fn an_attempt_that_takes_over_has_the_whole_body() {
    under_schedules(|| {
        let layer = ReplayLayer::default();
        let first = replayed(&layer, 4);
        let mut second = first.try_clone().expect("nothing was read yet");
        let reading = thread::spawn(move || read(first));
        thread::yield_now();
        assert!(second.reclaim());
        assert_eq!(read(second).expect("what was read is kept"), 40);
        assert!(!matches!(reading.join().expect("no panic"), Ok(read) if read != 40), "all of it, or an error");
        assert_eq!(layer.kept_bytes(), 0);
    });
}
