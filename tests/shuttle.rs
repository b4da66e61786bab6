//! Waiting is made by hand, so it is run under many schedules of its threads, each changing hands wherever the pool's
//! lock is taken: `RUSTFLAGS='--cfg shuttle' cargo test --test shuttle`. A wake-up that is lost is a deadlock here.
#![cfg(shuttle)]

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use shuttle::{
    Config, Runner,
    future::{block_on, yield_now},
    scheduler::{PctScheduler, RandomScheduler},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
use tower_keypool::{Demand, Gemini, Key, KeyPool, ManualClock, Verdict};

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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _entered = runtime.enter();
    let mut config = Config::new();
    // A key's secret is hashed and times are formatted on it, unoptimised.
    config.stack_size = 1 << 20;
    Runner::new(RandomScheduler::new(SCHEDULES), config.clone()).run(test);
    Runner::new(PctScheduler::new(3, SCHEDULES), config).run(test);
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
