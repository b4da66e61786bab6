//! The walk of one request through the whole stack.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;

pin_project! {
    /// The walk of one request through a [`KeyPoolService`](crate::KeyPoolService). Dropping it frees what it holds.
    #[must_use = "futures do nothing unless polled"]
    pub struct KeyPoolFuture<F> {
        #[pin]
        walk: F,
    }
}

impl<F> KeyPoolFuture<F> {
    #[inline]
    pub(super) fn new(walk: F) -> Self {
        Self { walk }
    }
}

impl<F: Future> Future for KeyPoolFuture<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().walk.poll(cx)
    }
}

impl<F> fmt::Debug for KeyPoolFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPoolFuture").finish_non_exhaustive()
    }
}
