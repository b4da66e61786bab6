//! Waiting for a key.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use super::{Demand, KeyPool, Lease};
use crate::error::Error;

/// Waits for a key: the future of [`KeyPool::acquire`].
#[must_use = "futures do nothing unless polled"]
pub struct Acquire {
    pool: KeyPool,
    demand: Demand,
}

impl Acquire {
    pub(super) fn new(pool: KeyPool, demand: Demand) -> Self {
        Self { pool, demand }
    }
}

impl Future for Acquire {
    type Output = Result<Lease, Error>;
    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(self.pool.try_acquire(self.demand.clone()))
    }
}
