//! A connection whose own work gives it more to do goes on at once.
//!
//! Each chunk of a body that is taken here and goes out there wakes the task that is at it just now. The runtime would
//! put that task behind all others: the bodies of all connections would then advance together, a chunk at a time, and
//! each would be out of the processor's caches, and in memory for long, by the time it has its next turn.

use std::{
    cell::Cell,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Turns that a connection takes in a row before others, and the runtime's timers, have theirs: of a large body's chunks
/// that is a third of a millisecond.
const MOST: u32 = 4;

thread_local!(static AT_WORK: Cell<usize> = const { Cell::new(0) });

/// The turns of a connection's task.
#[derive(Debug)]
pub(in crate::gateway) struct Rounds {
    own: Arc<Own>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Own {
    again: AtomicBool,
    task: OnceLock<Waker>,
}

/// Ends the turn, however it ends.
struct Ending(usize);

impl Drop for Ending {
    fn drop(&mut self) {
        AT_WORK.set(self.0);
    }
}

impl Rounds {
    pub(in crate::gateway) fn new() -> Self {
        let own = Arc::<Own>::default();
        let waker = Waker::from(Arc::clone(&own));
        Self { own, waker }
    }

    /// Polls until it is done, or waits for others, or has had enough turns.
    pub(in crate::gateway) fn poll<T>(
        &self,
        cx: &Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if !self.own.task.get_or_init(|| cx.waker().clone()).will_wake(cx.waker()) {
            // It is in another task by now.
            return poll(&mut Context::from_waker(cx.waker()));
        }
        let mut cx = Context::from_waker(&self.waker);
        for _ in 0..MOST {
            let _ending = Ending(AT_WORK.replace(self.own.place()));
            let polled = poll(&mut cx);
            let woken = self.own.again.swap(false, Ordering::Relaxed);
            if polled.is_ready() || !woken {
                return polled;
            }
        }
        self.waker.wake_by_ref();
        Poll::Pending
    }
}

impl Own {
    fn place(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl Wake for Own {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if AT_WORK.get() == self.place() {
            self.again.store(true, Ordering::Relaxed);
        } else if let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Count {
        fn task(self: &Arc<Self>) -> Waker {
            Waker::from(Arc::clone(self))
        }

        fn woken(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn what_wakes_itself_goes_on_and_wakes_nobody() {
        let (rounds, count) = (Rounds::new(), Arc::new(Count::default()));
        let task = count.task();
        let mut left = 3;
        let polled = rounds.poll(&Context::from_waker(&task), |cx| {
            left -= 1;
            if left > 0 {
                cx.waker().wake_by_ref();
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        assert_eq!((polled, left, count.woken()), (Poll::Pending, 0, 0));
    }

    #[test]
    fn who_never_stops_gives_way_and_comes_back() {
        let (rounds, count) = (Rounds::new(), Arc::new(Count::default()));
        let task = count.task();
        let mut turns = 0;
        let polled = rounds.poll(&Context::from_waker(&task), |cx| {
            turns += 1;
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert_eq!((polled, turns, count.woken()), (Poll::Pending, MOST, 1));
    }

    #[test]
    fn what_happens_later_wakes_the_task() {
        let (rounds, count) = (Rounds::new(), Arc::new(Count::default()));
        let task = count.task();
        let mut kept = None;
        assert_eq!(
            rounds.poll(&Context::from_waker(&task), |cx| {
                kept = Some(cx.waker().clone());
                Poll::<()>::Pending
            }),
            Poll::Pending
        );
        kept.take().unwrap().wake();
        assert_eq!(count.woken(), 1);
        // So does what another thread says meanwhile: that is no work of its own.
        let polled = rounds.poll(&Context::from_waker(&task), |cx| {
            let waker = cx.waker().clone();
            std::thread::spawn(move || waker.wake()).join().unwrap();
            Poll::<()>::Pending
        });
        assert_eq!((polled, count.woken()), (Poll::Pending, 2));
        // In another task it is that which is woken.
        let other = Arc::new(Count::default());
        let waker = other.task();
        let polled = rounds.poll(&Context::from_waker(&waker), |cx| {
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert_eq!((polled, count.woken(), other.woken()), (Poll::Pending, 2, 1));
    }
}
