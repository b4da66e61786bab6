//! How long a connection is waited for, counted in ticks of its own task.
//!
//! hyper arms a timer whenever it begins to wait for a head, and takes it out again as soon as the head is there: for
//! each request of a busy connection, which costs more than reading the head. What is waited for here is seconds, so a
//! connection counts them, and hyper's timer is a number.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt;
use hyper_util::rt::TokioTimer;
use tokio::time::{Interval, MissedTickBehavior};

/// A count of [`TICK`]s since a connection began, advanced by its task, which looks at all that waits afterwards.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct Ticks(Arc<AtomicU32>);

/// How often a connection counts.
pub(in crate::gateway) const TICK: Duration = Duration::from_secs(5);

impl Ticks {
    /// One more has passed.
    pub(in crate::gateway) fn pass(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::gateway) fn passed(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// hyper's timer by this count: what it is asked to wait for takes `wait`, and up to one tick more.
    pub(in crate::gateway) fn timer(&self, wait: Duration) -> Timer {
        let count = u32::try_from(wait.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX);
        // The first tick may come at once.
        Timer { ticks: self.clone(), count: count.saturating_add(1), now: rt::Timer::now(&TokioTimer::new()) }
    }
}

/// Ticks that a task counts for itself alone.
#[derive(Debug)]
pub(in crate::gateway) struct OwnTicks {
    ticks: Ticks,
    every: Pin<Box<Interval>>,
}

impl OwnTicks {
    /// None has passed yet.
    pub(in crate::gateway) fn new() -> Self {
        let mut every = tokio::time::interval(TICK);
        every.reset();
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks: Ticks::default(), every: Box::pin(every) }
    }

    pub(in crate::gateway) fn ticks(&self) -> &Ticks {
        &self.ticks
    }

    /// Counts those that have passed; the task is woken at the next.
    pub(in crate::gateway) fn poll(&mut self, cx: &mut Context<'_>) {
        while self.every.as_mut().poll_tick(cx).is_ready() {
            self.ticks.pass();
        }
    }
}

/// Waits for one span, whatever it is asked for: a connection has only one.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Timer {
    ticks: Ticks,
    count: u32,
    now: Instant,
}

impl rt::Timer for Timer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Wait { ticks: self.ticks.clone(), until: self.ticks.passed().wrapping_add(self.count) })
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep(Duration::ZERO)
    }

    fn now(&self) -> Instant {
        self.now
    }
}

/// Ends at a tick. Nobody is woken: the task that passes the tick looks.
#[derive(Debug)]
struct Wait {
    ticks: Ticks,
    until: u32,
}

impl Future for Wait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let left = self.until.wrapping_sub(self.ticks.passed()).cast_signed();
        if left > 0 { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl rt::Sleep for Wait {}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_wait_is_as_long_as_asked_for_and_at_most_a_tick_longer() {
        let ticks = Ticks::default();
        ticks.pass();
        let mut wait = rt::Timer::sleep(&ticks.timer(TICK * 6), Duration::ZERO);
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..6 {
            ticks.pass();
            assert!(wait.as_mut().poll(&mut cx).is_pending());
        }
        ticks.pass();
        assert!(wait.as_mut().poll(&mut cx).is_ready());
    }
}
