//! The pause before the next attempt, and the lease that comes out of it.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::{
    runtime::Handle,
    time::{Sleep, sleep},
};

use crate::{
    error::Error,
    pool::{Acquire, Demand, KeyPool, Lease, Prepared},
};

pin_project! {
    /// Pauses, then has a lease: held since before the pause, or waited for after it.
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct NextLease {
        #[pin]
        state: State,
    }
}

pin_project! {
    #[project = StateProj]
    enum State {
        Pausing {
            #[pin]
            sleep: Sleep,
            then: Option<Then>,
        },
        Waiting {
            #[pin]
            acquire: Acquire,
        },
        Here {
            lease: Option<Lease>,
        },
    }
}

enum Then {
    Lease(Lease),
    Ask(KeyPool, Demand),
}

impl NextLease {
    /// Holds this lease over the pause, so that nobody takes it meanwhile.
    pub(super) fn held(lease: Lease, pause: Duration) -> Self {
        let state = if pause.is_zero() {
            State::Here { lease: Some(lease) }
        } else {
            State::Pausing { sleep: sleep(pause), then: Some(Then::Lease(lease)) }
        };
        Self { state }
    }

    /// Waits for one after the pause, as long as the demand says.
    pub(super) fn awaited(pool: &KeyPool, demand: Demand, pause: Duration) -> Self {
        let state = if pause.is_zero() {
            State::Waiting { acquire: pool.acquire_in_time(demand) }
        } else {
            State::Pausing { sleep: sleep(pause), then: Some(Then::Ask(pool.clone(), demand)) }
        };
        Self { state }
    }
}

impl Future for NextLease {
    type Output = Result<Lease, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        const ONCE: &str = "the future is not polled after it was ready";
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateProj::Pausing { sleep, then } => {
                    ready!(sleep.poll(cx));
                    match then.take().expect(ONCE) {
                        Then::Lease(lease) => {
                            lease.granted().paused();
                            return Poll::Ready(Ok(lease));
                        }
                        Then::Ask(pool, demand) => State::Waiting { acquire: pool.acquire_in_time(demand) },
                    }
                }
                StateProj::Waiting { acquire } => return acquire.poll(cx),
                StateProj::Here { lease } => return Poll::Ready(Ok(lease.take().expect(ONCE))),
            };
            state.set(next);
        }
    }
}

pin_project! {
    /// The pause of [`RetryPolicy`](crate::RetryPolicy) before the next attempt. The lease that it takes travels down
    /// with the request; dropping the future frees it.
    #[must_use = "futures do nothing unless polled"]
    pub struct RetryFuture {
        #[pin]
        next: NextLease,
        prepared: Arc<Prepared>,
    }
}

impl RetryFuture {
    pub(super) fn new(next: NextLease, prepared: Arc<Prepared>) -> Self {
        Self { next, prepared }
    }
}

impl Future for RetryFuture {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        // Without a lease, the layer that gives keys says why there is none.
        if let Ok(lease) = ready!(this.next.poll(cx)) {
            this.prepared.put(lease);
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn(lend(Arc::downgrade(this.prepared)));
            }
        }
        Poll::Ready(())
    }
}

/// How long a lease may stand before what is below is ready for it: mostly it is at once.
const STANDS: Duration = Duration::from_millis(20);

/// A limit between the policy and the layer that gives keys lets nobody through while somebody who has passed it waits for a
/// key. The lease of one who stands before it goes to them, or neither would ever move. tower's `Retry` asks nobody else
/// while it stands there, so that this is looked after from beside it.
async fn lend(prepared: Weak<Prepared>) {
    loop {
        sleep(STANDS).await;
        let Some(prepared) = prepared.upgrade() else { return };
        if prepared.yield_to_waiters() {
            return;
        }
    }
}
