//! Property tests of the queue: waiters that can be served are served first in, first out.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, UNIX_EPOCH},
};

use proptest::prelude::*;

use super::config;
use crate::{
    Affinity, Clock, Key, KeyPool, Lease, Limits, OpenAi,
    pool::{Acquire, KeyRequest},
};

#[derive(Clone, Debug)]
enum Op {
    /// Joins the queue for any key, or only for this one.
    Join(Option<usize>),
    /// Requests a key without waiting.
    Try,
    Cancel(usize),
    Drop(usize),
    GiveBack(usize),
    Wait(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => prop::option::weighted(0.3, 0..2usize).prop_map(Op::Join),
        1 => Just(Op::Try),
        2 => (0..30usize).prop_map(Op::Cancel),
        5 => (0..8usize).prop_map(Op::Drop),
        1 => (0..8usize).prop_map(Op::GiveBack),
        3 => prop_oneof![1..500u64, 500..30_000u64, 30_000..70_000u64].prop_map(Op::Wait),
    ]
}

/// A waker that records that it was woken.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

struct Waiter {
    future: Pin<Box<Acquire>>,
    woken: Arc<Flag>,
    only: Option<usize>,
}

impl Waiter {
    fn poll(&mut self) -> Option<Lease> {
        let waker = Waker::from(Arc::clone(&self.woken));
        self.woken.0.store(false, Ordering::SeqCst);
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(lease) => Some(lease.expect("its wait is a year")),
            Poll::Pending => None,
        }
    }
}

struct Queue {
    pool: KeyPool,
    waiters: VecDeque<Waiter>,
    leases: Vec<Lease>,
}

fn request(only: Option<usize>) -> KeyRequest {
    let request = KeyRequest::model("m");
    match only {
        Some(key) => request.affinity(Affinity::RequireKey(format!("k{key}").as_str().into())),
        None => request,
    }
}

impl Queue {
    /// Polls woken waiters like an executor, and checks that no waiter waits for a ready key.
    fn settle(&mut self) -> Result<(), TestCaseError> {
        loop {
            let woken = |waiter: &Waiter| waiter.woken.0.load(Ordering::SeqCst);
            let Some(at) = self.waiters.iter().position(woken) else { break };
            if let Some(lease) = self.waiters[at].poll() {
                let waiter = self.waiters.remove(at).expect("it was just polled");
                let key: usize = lease.key().as_str()[1..].parse().unwrap();
                prop_assert!(waiter.only.is_none_or(|only| only == key));
                self.leases.push(lease);
            }
        }
        // No lost wake-up: none of the first sixteen waits while a key is ready.
        let kinds: Vec<_> = self.waiters.iter().take(16).map(|waiter| waiter.only).collect();
        for only in kinds {
            let ready = self.pool.try_acquire(request(only)).is_ok();
            prop_assert!(!ready, "a waiter waits for {only:?}, which is ready");
        }
        Ok(())
    }

    async fn run(&mut self, op: Op) -> Result<(), TestCaseError> {
        match op {
            Op::Join(only) => {
                let future = Box::pin(self.pool.acquire(request(only).wait(Duration::from_secs(30_000_000))));
                let woken = Arc::new(Flag(AtomicBool::new(true)));
                self.waiters.push_back(Waiter { future, woken, only });
            }
            Op::Try => {
                let any_waits = self.waiters.iter().take(16).any(|waiter| waiter.only.is_none());
                if let Ok(lease) = self.pool.try_acquire(request(None)) {
                    prop_assert!(!any_waits, "a request overtook the waiters");
                    self.leases.push(lease);
                }
            }
            Op::Cancel(at) => {
                if !self.waiters.is_empty() {
                    self.waiters.remove(at % self.waiters.len());
                }
            }
            Op::Drop(at) => {
                if !self.leases.is_empty() {
                    let waits: Vec<_> = self.waiters.iter().map(|waiter| waiter.only).collect();
                    let lease = self.leases.swap_remove(at % self.leases.len());
                    let key: usize = lease.key().as_str()[1..].parse().unwrap();
                    drop(lease);
                    // The first waiter that can use the key gets it.
                    let fits = |only: &Option<usize>| only.is_none_or(|only| only == key);
                    let first = waits.iter().take(16).position(fits);
                    let taken = self.waiters.iter().position(|waiter| waiter.woken.0.load(Ordering::SeqCst));
                    if let (Some(first), Some(taken)) = (first, taken) {
                        prop_assert!(taken <= first, "{taken} woke though {first} could be served: {waits:?}");
                    }
                }
            }
            Op::GiveBack(at) => {
                if !self.leases.is_empty() {
                    self.leases.swap_remove(at % self.leases.len()).give_back();
                }
            }
            Op::Wait(millis) => {
                tokio::time::advance(Duration::from_millis(millis)).await;
                // Lets the timers fire.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        self.settle()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn waiters_are_served_in_order_and_no_wake_up_is_lost(
        limit in 1..8u64,
        most in [1..3u32, 1..3u32],
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let keys = most.into_iter().enumerate().map(|(n, most)| {
                Key::new(format!("sk-not-a-real-key-{n}")).named(format!("k{n}").as_str()).max_concurrent(most)
            });
            let pool = KeyPool::builder(OpenAi::new())
                .keys(keys)
                .limits("m", Limits::new().per_minute(limit))
                .clock(Clock::starting_at(UNIX_EPOCH + Duration::from_secs(1_800_000_000)))
                .build()
                .unwrap();
            let mut queue = Queue { pool, waiters: VecDeque::new(), leases: Vec::new() };
            for op in ops {
                queue.run(op).await?;
            }
            // Serves the remaining waiters.
            for _ in 0..400 {
                queue.leases.clear();
                queue.settle()?;
                if queue.waiters.is_empty() {
                    break;
                }
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            queue.leases.clear();
            let stats = queue.pool.stats();
            prop_assert_eq!((queue.waiters.len(), stats.waiting, stats.in_flight), (0, 0, 0));
            Ok(())
        })?;
    }
}
