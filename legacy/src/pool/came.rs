//! The secrets that came into a pool, for whoever looks for them in texts: how many, and how all begin; and what is made of them
//! on first need.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use super::KeyPool;
use crate::key::{Bunch, Endings, Secret, Start};

/// Written by whoever holds the pool, and read by anybody.
#[derive(Default)]
pub(super) struct Came {
    count: AtomicU64,
    /// Of all that ever came: a request that went out with one that has left since begins so, too.
    start: AtomicU64,
    /// Whoever wants these clones them: never held for longer.
    bunch: Mutex<Option<Arc<Bunch>>>,
    endings: Mutex<Option<(u64, Arc<Endings>)>>,
}

impl Came {
    /// One more came.
    pub(super) fn note(&self, secret: &Secret) {
        let start = Start::from_bits(self.start.load(Ordering::Relaxed)).with(secret);
        self.start.store(start.bits(), Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Release);
    }
}

fn kept<T>(what: &Mutex<Option<T>>) -> MutexGuard<'_, Option<T>> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KeyPool {
    /// How many secrets have come.
    #[inline]
    pub(crate) fn came(&self) -> u64 {
        self.0.came.count.load(Ordering::Acquire)
    }

    /// How all of them begin, whatever came since somebody knew one: nobody knows one that has not gone out.
    #[inline]
    pub(crate) fn start(&self) -> Start {
        Start::from_bits(self.0.came.start.load(Ordering::Relaxed))
    }

    /// Its keys, those that left lately included, to be found in a text.
    pub(crate) fn bunch(&self) -> Arc<Bunch> {
        if let Some(bunch) = &*kept(&self.0.came.bunch)
            && bunch.is_of(self.came())
        {
            return Arc::clone(bunch);
        }
        let (came, secrets) = self.secrets();
        // Nobody waits for the pool meanwhile.
        let bunch = Arc::new(Bunch::of(came, secrets));
        *kept(&self.0.came.bunch) = Some(Arc::clone(&bunch));
        bunch
    }

    /// How they end, the same ones: tells which of them may stand in a text, however they are spelled there.
    pub(crate) fn endings(&self) -> Arc<Endings> {
        if let Some((then, endings)) = &*kept(&self.0.came.endings)
            && *then == self.came()
        {
            return Arc::clone(endings);
        }
        let (came, secrets) = self.secrets();
        let endings = Arc::new(Endings::of(secrets));
        *kept(&self.0.came.endings) = Some((came, Arc::clone(&endings)));
        endings
    }

    fn secrets(&self) -> (u64, Vec<Secret>) {
        let state = self.state();
        (self.came(), state.roster.keys.iter().map(|key| key.secret.clone()).collect())
    }
}
