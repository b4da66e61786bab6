//! Waiting for a key.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};

use super::{Demand, KeyPool, Lease, waiting_room::WaitingSeat};
use crate::{error::Error, time::Tick};

pin_project! {
    /// Waits for a key: the future of [`KeyPool::acquire`]. Dropping it leaves the queue and takes nothing along.
    #[must_use = "futures do nothing unless polled"]
    pub struct Acquire {
        pool: KeyPool,
        demand: Arc<Demand>,
        in_time: bool,
        state: Waiting,
        #[pin]
        sleep: Option<Sleep>,
    }

    impl PinnedDrop for Acquire {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Waiting::Queued { index, .. } = *this.state {
                this.pool.cancel(index);
            }
        }
    }
}

enum Waiting {
    New,
    Queued {
        index: u32,
        deadline: Tick,
        /// What the timer is set for.
        timer: Option<Tick>,
        _seat: WaitingSeat,
    },
    Done,
}

impl Acquire {
    /// `in_time`: only while a key may come in time.
    pub(super) fn new(pool: KeyPool, demand: Demand, in_time: bool) -> Self {
        Self { pool, demand: Arc::new(demand), in_time, state: Waiting::New, sleep: None }
    }
}

impl Future for Acquire {
    type Output = Result<Lease, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Waiting::New = this.state {
            match this.pool.begin(this.demand, *this.in_time) {
                Begun::Done(result) => {
                    *this.state = Waiting::Done;
                    return Poll::Ready(*result);
                }
                Begun::Queued { index, deadline, seat } => {
                    *this.state = Waiting::Queued { index, deadline, timer: None, _seat: seat };
                }
            }
        }
        loop {
            let Waiting::Queued { index, deadline, timer, .. } = this.state else {
                unreachable!("polled after it was ready");
            };
            match this.pool.look(*index, this.demand, *deadline, cx.waker()) {
                Look::Done(result) => {
                    *this.state = Waiting::Done;
                    return Poll::Ready(*result);
                }
                Look::Wait { until, now } => {
                    if *timer != Some(until) {
                        *timer = Some(until);
                        this.sleep.set(Some(sleep(until.since(now))));
                    }
                    // A timer that has fired sends us back to look; it is set anew after that.
                    let sleep = this.sleep.as_mut().as_pin_mut().expect("the timer was just set");
                    ready!(sleep.poll(cx));
                    *timer = None;
                }
            }
        }
    }
}

/// What the first look came to.
pub(super) enum Begun {
    Done(Box<Result<Lease, Error>>),
    Queued { index: u32, deadline: Tick, seat: WaitingSeat },
}

/// What a further look came to.
pub(super) enum Look {
    Done(Box<Result<Lease, Error>>),
    Wait { until: Tick, now: Tick },
}

impl fmt::Debug for Acquire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire").field("demand", &self.demand).finish_non_exhaustive()
    }
}
