//! Waiting for a key.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use super::{Demand, KeyPool, Lease};
use crate::{error::Error, time::Tick};

/// Waits for a key: the future of [`KeyPool::acquire`].
#[must_use = "futures do nothing unless polled"]
pub struct Acquire {
    pool: KeyPool,
    demand: Demand,
    until: Tick,
    again: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Acquire {
    pub(super) fn new(pool: KeyPool, demand: Demand) -> Self {
        let until = pool.clock().tick().plus(demand.wait.unwrap_or(pool.default_wait()));
        Self { pool, demand, until, again: None }
    }
}

impl Future for Acquire {
    type Output = Result<Lease, Error>;
    // Provisional: asks every 5 ms.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            if let Some(again) = &mut self.again {
                std::task::ready!(again.as_mut().poll(cx));
            }
            match self.pool.try_lease(&self.demand) {
                Err(_) if self.pool.clock().tick() < self.until => {
                    self.again = Some(Box::pin(tokio::time::sleep(Duration::from_millis(5))));
                }
                done => return Poll::Ready(done),
            }
        }
    }
}
