//! How many may wait at once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::KeyPool;

/// Room for a number of requests that wait for a key: those of one caller, say. Where it is full, a request that would
/// wait gets [`Exhausted`](crate::Exhausted) at once, which [says so](crate::Exhausted::found_no_room); one that finds a key ready needs no room.
///
/// ```
/// use std::sync::Arc;
/// use tower_keypool::{Demand, WaitingRoom};
///
/// let room = Arc::new(WaitingRoom::new(100));
/// let demand = Demand::new("gemini-2.5-flash").waiting_in(&room);
/// assert_eq!(room.waiting(), 0);
/// # let _ = demand;
/// ```
#[derive(Debug)]
pub struct WaitingRoom {
    most: AtomicUsize,
    waiting: AtomicUsize,
}

impl WaitingRoom {
    /// With room for so many.
    pub fn new(most: usize) -> Self {
        Self { most: AtomicUsize::new(most), waiting: AtomicUsize::new(0) }
    }

    /// Has room for so many from now on; those who wait already go on.
    pub fn resize(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// How many wait just now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn enter(self: &Arc<Self>) -> Option<WaitingSeat> {
        let most = self.most.load(Ordering::Relaxed);
        let fits = |waiting: usize| (waiting < most).then_some(waiting + 1);
        self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(WaitingSeat(Arc::clone(self)))
    }
}

impl Default for WaitingRoom {
    /// Without a bound.
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

/// One who waits.
pub(super) struct WaitingSeat(Arc<WaitingRoom>);

impl Drop for WaitingSeat {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl KeyPool {
    /// How long a demand waits that does not say so itself.
    pub fn default_wait(&self) -> Duration {
        Duration::from_millis(self.0.wait.load(Ordering::Relaxed))
    }

    /// At most so many of the demands that bring no [`WaitingRoom`] of their own wait at once, from now
    /// on; others are refused in the place of waiting. Without a bound unless set.
    pub fn bound_waiting(&self, most: usize) {
        self.0.room.resize(most);
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Context, task::Poll, task::Waker, time::Duration};

    use super::*;
    use crate::{Demand, Exhausted, Gemini, Key, KeyPool};

    #[test]
    fn who_finds_no_room_does_not_wait_and_who_leaves_makes_some() {
        let key = Key::new("AIza-not-a-real-key-001").max_concurrent(1);
        let pool = KeyPool::builder(Gemini::new()).key(key).wait(Duration::from_secs(60)).build().unwrap();
        let (own, mut cx) = (Arc::new(WaitingRoom::new(2)), Context::from_waker(Waker::noop()));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _inside = runtime.enter();
        let lease = pool.try_acquire(Demand::any_model()).unwrap();
        let wait = || pool.acquire(Demand::any_model().waiting_in(&own));
        let (mut first, mut second, mut third) = (Box::pin(wait()), Box::pin(wait()), Box::pin(wait()));
        assert!(first.as_mut().poll(&mut cx).is_pending() && second.as_mut().poll(&mut cx).is_pending());
        let Poll::Ready(Err(error)) = third.as_mut().poll(&mut cx) else { panic!("it waits") };
        assert!(error.exhausted().is_some_and(Exhausted::found_no_room), "{error}");
        assert!(error.to_string().contains("as many wait already as may"), "{error}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(1)), "its key is busy");
        let nobodys = pool.try_acquire(Demand::any_model()).unwrap_err();
        assert!(nobodys.exhausted().is_some_and(|out| !out.found_no_room()), "it does not wait: {nobodys}");
        // Another room, and that of those who bring none.
        let mut other = pin!(pool.acquire(Demand::any_model()));
        assert!(other.as_mut().poll(&mut cx).is_pending());
        pool.bound_waiting(1);
        let mut one_more = pin!(pool.acquire(Demand::any_model()));
        assert!(one_more.as_mut().poll(&mut cx).is_ready());
        assert_eq!(own.waiting(), 2);
        drop(second);
        assert_eq!(own.waiting(), 1);
        drop(lease);
        assert!(matches!(first.as_mut().poll(&mut cx), Poll::Ready(Ok(_))));
        assert_eq!(own.waiting(), 0);
    }
}
