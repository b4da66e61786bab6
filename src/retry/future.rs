//! The pause before a retry.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::time::Sleep;

pin_project! {
    /// The future of [`RetryPolicy`](crate::RetryPolicy): the pause before another attempt.
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct RetryFuture {
        #[pin]
        pause: Option<Sleep>,
    }
}

impl RetryFuture {
    pub(super) fn after(pause: Duration) -> Self {
        Self { pause: (!pause.is_zero()).then(|| tokio::time::sleep(pause)) }
    }
}

impl Future for RetryFuture {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().pause.as_pin_mut().map_or(Poll::Ready(()), |pause| pause.poll(cx))
    }
}
