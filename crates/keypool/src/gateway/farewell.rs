//! Tells all that flows at once that it may not go on: the gateway ends, or a token opens nothing any more.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use http::StatusCode;
use tokio::sync::watch;

use super::dialect::Refusal;

const STOPPING: Refusal = Refusal::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "the gateway is stopping and could not wait for the rest of this answer: ask again",
);

/// Of an answer that has not begun.
pub(super) const UNANSWERED: Refusal = Refusal::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "the gateway is stopping and could not wait for this answer: ask again",
);

/// Whoever ends.
#[derive(Debug)]
pub(super) struct Farewell {
    why: Refusal,
    told: watch::Sender<()>,
    bid: Arc<AtomicBool>,
}

impl Farewell {
    /// The gateway's.
    pub(super) fn of_gateway() -> Self {
        Self::because(STOPPING)
    }

    /// With this said.
    pub(super) fn because(why: Refusal) -> Self {
        Self { why, told: watch::Sender::default(), bid: Arc::default() }
    }

    /// What has not ended ends now.
    pub(super) fn bid(&self) {
        self.bid.store(true, Ordering::Release);
        self.told.send_replace(());
    }

    /// Whether it has.
    pub(super) fn was_bid(&self) -> bool {
        self.bid.load(Ordering::Acquire)
    }

    /// Whether it has, for whoever asks later.
    pub(super) fn bidding(&self) -> &Arc<AtomicBool> {
        &self.bid
    }

    fn awaited(&self) -> Goodbye {
        let (mut told, bid) = (self.told.subscribe(), Arc::clone(&self.bid));
        let asked = Arc::clone(&bid);
        let told = Box::pin(async move {
            while !asked.load(Ordering::Acquire) {
                if told.changed().await.is_err() {
                    // There is nobody to end any more.
                    std::future::pending::<()>().await;
                }
            }
        });
        Goodbye { why: self.why, told, bid }
    }
}

struct Goodbye {
    why: Refusal,
    told: Pin<Box<dyn Future<Output = ()> + Send>>,
    bid: Arc<AtomicBool>,
}

/// Resolves when one of those ends that something goes on for, and says why.
pub(super) struct Parting {
    first: Goodbye,
    second: Option<Goodbye>,
    /// Who is woken then: with each piece of a stream he is the same as a rule, and nobody need be told.
    waker: Option<Waker>,
}

impl fmt::Debug for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parting")
    }
}

impl Parting {
    /// From this one.
    pub(super) fn from(farewell: &Farewell) -> Self {
        Self { first: farewell.awaited(), second: None, waker: None }
    }

    /// From this one, too.
    pub(super) fn or(self, farewell: &Farewell) -> Self {
        Self { second: Some(farewell.awaited()), ..self }
    }

    /// Whether it is to be, without anybody being woken for it.
    pub(super) fn is_due(&self) -> Option<Refusal> {
        let mut all = [Some(&self.first), self.second.as_ref()].into_iter().flatten();
        all.find(|goodbye| goodbye.bid.load(Ordering::Acquire)).map(|goodbye| goodbye.why)
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Refusal> {
        if let Some(why) = self.is_due() {
            return Poll::Ready(why);
        }
        let is_waited_for = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if is_waited_for {
            return Poll::Pending;
        }
        self.waker = Some(cx.waker().clone());
        for goodbye in [Some(&mut self.first), self.second.as_mut()].into_iter().flatten() {
            if goodbye.told.as_mut().poll(cx).is_ready() {
                return Poll::Ready(goodbye.why);
            }
        }
        Poll::Pending
    }
}
