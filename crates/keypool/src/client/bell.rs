//! Who is woken when something happens on a connection: whoever waits for its answer, or those who keep the idle ones.

use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

use tokio::sync::Notify;

/// The waker that a connection is polled with, always the same: what a connection has registered with the system stays
/// as it is when another task takes it over.
#[derive(Debug)]
pub(super) struct Bell {
    /// Something happened that nobody has looked at yet.
    rung: AtomicBool,
    hears: Mutex<Hears>,
    keeper: Arc<Notify>,
}

#[derive(Debug)]
enum Hears {
    /// Whoever has the connection looks again before it waits.
    Nobody,
    Task(Waker),
    Keeper,
}

impl Bell {
    /// One that has rung: nobody has looked at its connection yet.
    pub(super) fn new(keeper: &Arc<Notify>) -> Arc<Self> {
        let (rung, hears) = (AtomicBool::new(true), Mutex::new(Hears::Nobody));
        Arc::new(Self { rung, hears, keeper: Arc::clone(keeper) })
    }

    /// Whether it has rung; whoever asks looks.
    pub(super) fn heard(&self) -> bool {
        // A look first: most polls of a task are not for its connection.
        self.has_rung() && self.rung.swap(false, Ordering::SeqCst)
    }

    /// Whether it has rung, and nobody looked.
    pub(super) fn has_rung(&self) -> bool {
        self.rung.load(Ordering::SeqCst)
    }

    /// The next ring wakes this task; false where it rang meanwhile.
    pub(super) fn wakes(&self, waker: &Waker) -> bool {
        {
            let mut hears = self.hears();
            if !matches!(&*hears, Hears::Task(known) if known.will_wake(waker)) {
                *hears = Hears::Task(waker.clone());
            }
        }
        // In this order: a ring that came before, and found nobody, is seen here.
        !self.has_rung()
    }

    /// The connection is in somebody's hands again, who will look at it now.
    pub(super) fn taken(&self) {
        *self.hears() = Hears::Nobody;
        self.rung.store(true, Ordering::SeqCst);
    }

    /// The next ring wakes the keeper of idle connections, as does one that was not heard.
    pub(super) fn wakes_keeper(&self) {
        *self.hears() = Hears::Keeper;
        if self.has_rung() {
            self.keeper.notify_one();
        }
    }

    fn hears(&self) -> MutexGuard<'_, Hears> {
        self.hears.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.rung.swap(true, Ordering::SeqCst) {
            return;
        }
        let hears = mem::replace(&mut *self.hears(), Hears::Nobody);
        match hears {
            Hears::Nobody => {}
            Hears::Task(waker) => waker.wake(),
            Hears::Keeper => self.keeper.notify_one(),
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

    #[test]
    fn a_ring_is_heard_once_by_whom_it_is_for() {
        let keeper = Arc::new(Notify::new());
        let bell = Bell::new(&keeper);
        let count = Arc::new(Count::default());
        let (waker, ring) = (Waker::from(Arc::clone(&count)), Waker::from(Arc::clone(&bell)));
        let woken = || count.0.load(Ordering::Relaxed);

        assert!(bell.heard() && !bell.heard(), "a new one has rung");
        ring.wake_by_ref();
        assert!(!bell.wakes(&waker), "it rang while nobody listened");
        assert!(bell.heard());
        assert!(bell.wakes(&waker));
        ring.wake_by_ref();
        ring.wake_by_ref();
        assert_eq!(woken(), 1, "until somebody looks, one ring is enough");
        assert!(bell.heard());

        bell.taken();
        ring.wake_by_ref();
        assert!(bell.heard());
        assert_eq!(woken(), 1);
    }

    #[tokio::test]
    async fn an_idle_connection_rings_for_its_keeper() {
        let keeper = Arc::new(Notify::new());
        let bell = Bell::new(&keeper);
        assert!(bell.heard());
        bell.wakes_keeper();
        Waker::from(Arc::clone(&bell)).wake();
        keeper.notified().await;
        // Rung before it was laid aside.
        bell.taken();
        bell.wakes_keeper();
        keeper.notified().await;
    }
}
