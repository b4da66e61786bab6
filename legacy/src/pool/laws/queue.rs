//! A queue of waiters, some of whom leave.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use proptest::{prelude::*, test_runner::TestCaseError};

use super::model::bench;
use crate::{Affinity, Demand, Limits};

/// Waiters on one lane, some of whom leave: those who stay are served in their order, each as soon as it can be.
pub(super) fn queue(cancels: &[bool], per_minute: u64, pause: Duration) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _inside = runtime.enter();
    let (pool, time) = bench(2, Limits::new().per_minute(per_minute));
    let mut waiting: Vec<Option<Pin<Box<crate::Acquire>>>> = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    let demand = || Demand::new("gemini-2.5-flash").wait(Duration::from_secs(86_400));
    let mut served = Vec::new();
    for (n, _) in cancels.iter().enumerate() {
        let mut acquire = Box::pin(pool.acquire(demand()));
        match acquire.as_mut().poll(&mut context) {
            Poll::Ready(lease) => {
                served.push(n);
                drop(lease);
                waiting.push(None);
            }
            Poll::Pending => waiting.push(Some(acquire)),
        }
    }
    for (n, cancel) in cancels.iter().enumerate() {
        if *cancel {
            waiting[n] = None;
        }
    }
    let mut rounds = 0;
    while waiting.iter().any(Option::is_some) {
        time.advance(pause);
        rounds += 1;
        prop_assert!(rounds < 2_000_000, "law 6: a wake-up was lost");
        // A new demand may not overtake: whatever is free now belongs to the queue.
        let overtaken = pool.try_acquire("gemini-2.5-flash").is_ok();
        for (n, place) in waiting.iter_mut().enumerate() {
            let Some(acquire) = place else { continue };
            if let Poll::Ready(lease) = acquire.as_mut().poll(&mut context) {
                prop_assert!(lease.is_ok());
                served.push(n);
                *place = None;
            }
        }
        prop_assert!(!overtaken || waiting.iter().all(Option::is_none), "law 6: a new demand overtook the queue");
    }
    prop_assert!(served.is_sorted(), "law 6: served {:?}", served);
    let stayed = cancels.iter().filter(|cancel| !**cancel).count();
    prop_assert!(served.len() >= stayed);
    prop_assert_eq!(pool.snapshot().waiters, 0);
    prop_assert_eq!(pool.snapshot().in_flight, 0);
    Ok(())
}

/// Waiters who want different things: each is served, and those who want the same in their order.
pub(super) fn lines(wants: &[(u8, bool)], pause: Duration) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _inside = runtime.enter();
    let (pool, time) = bench(2, Limits::new().per_minute(3).tokens_per_minute(10_000));
    let keys: Vec<_> = pool.snapshot().keys.into_iter().map(|key| key.id).collect();
    let mut context = Context::from_waker(Waker::noop());
    let demand = |want: u8| {
        let demand = Demand::new("gemini-2.5-flash").wait(Duration::from_secs(86_400));
        match want {
            0 => demand.affinity(Affinity::MustKey(keys[0].clone())),
            1 => demand.affinity(Affinity::RatherKey(keys[1].clone())).tokens(2_000),
            2 => demand.tokens(9_000),
            3 => demand.tokens(500),
            _ => demand,
        }
    };
    let mut waiting: Vec<_> = wants.iter().map(|(want, _)| Some(Box::pin(pool.acquire(demand(*want))))).collect();
    let mut served: Vec<(u8, usize)> = Vec::new();
    let mut rounds = 0;
    while waiting.iter().any(Option::is_some) {
        for (n, place) in waiting.iter_mut().enumerate() {
            let Some(acquire) = place else { continue };
            if let Poll::Ready(lease) = acquire.as_mut().poll(&mut context) {
                prop_assert!(lease.is_ok(), "{:?}", lease);
                served.push((wants[n].0, n));
                *place = None;
            }
        }
        // Some leave while they wait.
        for (place, (_, leaves)) in waiting.iter_mut().zip(wants) {
            if *leaves && rounds == 1 {
                *place = None;
            }
        }
        time.advance(pause);
        rounds += 1;
        prop_assert!(rounds < 2_000_000, "law 6: a wake-up was lost");
    }
    for want in 0..5 {
        let order: Vec<_> = served.iter().filter(|(of, _)| *of == want).collect();
        prop_assert!(order.is_sorted(), "law 6: {:?}", order);
    }
    prop_assert_eq!(pool.snapshot().waiters, 0);
    prop_assert_eq!(pool.snapshot().in_flight, 0);
    Ok(())
}
