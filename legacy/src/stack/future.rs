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
    pub struct KeyPoolFuture<F, S> {
        #[pin]
        walk: Walk<F, S>,
    }
}

pin_project! {
    #[project = WalkProj]
    enum Walk<F, S> {
        // Through all layers.
        Full {
            #[pin]
            future: F,
        },
        // Past those that have nothing to do with it.
        Short {
            #[pin]
            future: S,
        },
    }
}

impl<F, S> KeyPoolFuture<F, S> {
    #[inline]
    pub(super) fn full(future: F) -> Self {
        Self { walk: Walk::Full { future } }
    }

    #[expect(clippy::inline_always, reason = "on the way of every request, which is copied for a call")]
    #[inline(always)]
    pub(super) fn short(future: S) -> Self {
        Self { walk: Walk::Short { future } }
    }
}

impl<F: Future, S: Future<Output = F::Output>> Future for KeyPoolFuture<F, S> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().walk.project() {
            WalkProj::Full { future } => future.poll(cx),
            WalkProj::Short { future } => future.poll(cx),
        }
    }
}

impl<F, S> fmt::Debug for KeyPoolFuture<F, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPoolFuture").finish_non_exhaustive()
    }
}
