//! A machine on which one process follows another, and a store whose writes can be held up.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
};

use tower_keypool::{
    Error, KeyPool, KeyPoolBuilder, Lease, ManualClock, OutReason,
    store::{Batch, Image, ImportRecord, MemoryStore, Store, StoreError, UsageRecord},
};

use crate::support::noon;

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writes {
    /// Kept at once.
    Kept = 0,
    /// Kept, but nobody hears of it.
    Unanswered = 1,
    /// Not kept, and nobody hears of it.
    Lost = 2,
    /// Refused.
    Refused = 3,
    /// All is gone, once, and said to be; then kept.
    Gone = 4,
    /// The store panics.
    Panics = 5,
}

/// Memory whose writes can be held up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shaky {
    memory: MemoryStore,
    writes: Arc<AtomicU8>,
    written: Arc<AtomicUsize>,
    lasting: Arc<AtomicUsize>,
}

impl Shaky {
    pub(crate) fn set(&self, writes: Writes) {
        self.writes.store(writes as u8, Ordering::Relaxed);
    }
}

impl Store for Shaky {
    fn load(&self) -> impl Future<Output = Result<Image, StoreError>> + Send {
        self.memory.load()
    }

    async fn write(&self, batch: Arc<Batch>) -> Result<(), StoreError> {
        let writes = self.writes.load(Ordering::Relaxed);
        self.written.fetch_add(1, Ordering::Relaxed);
        self.lasting.fetch_add(usize::from(batch.is_lasting()), Ordering::Relaxed);
        if writes == Writes::Refused as u8 {
            return Err(StoreError::new("the disk is full"));
        }
        assert!(writes != Writes::Panics as u8, "the store's own bug");
        if writes == Writes::Gone as u8 {
            self.memory.clear();
            self.set(Writes::Kept);
            return Err(StoreError::begun_anew("the disk was another"));
        }
        if writes != Writes::Lost as u8 {
            self.memory.write(batch).await?;
        }
        if writes != Writes::Kept as u8 {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    fn takes_started(&self) -> bool {
        true
    }

    fn usage(&self, from: &str, to: &str) -> impl Future<Output = Result<Vec<UsageRecord>, StoreError>> + Send {
        self.memory.usage(from, to)
    }

    fn imports(&self) -> impl Future<Output = Result<Vec<ImportRecord>, StoreError>> + Send {
        self.memory.imports()
    }
}

pub(crate) struct Machine {
    pub(crate) memory: MemoryStore,
    written: Arc<AtomicUsize>,
    lasting: Arc<AtomicUsize>,
    pub(crate) time: ManualClock,
}

/// A process: its pool, and its way to the store.
pub(crate) struct Process {
    pub(crate) pool: KeyPool,
    pub(crate) store: Shaky,
}

impl Process {
    /// It is gone from one moment to the next: whatever is left of it here reaches no store any more.
    pub(crate) fn crash(self) {
        self.store.set(Writes::Lost);
    }
}

impl Machine {
    /// It is noon in Los Angeles.
    pub(crate) fn new() -> Self {
        Self { memory: MemoryStore::new(), written: Arc::default(), lasting: Arc::default(), time: noon() }
    }

    /// How many writes there were so far.
    pub(crate) fn writes(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    /// How many of them must outlive the machine.
    pub(crate) fn lasting(&self) -> usize {
        self.lasting.load(Ordering::Relaxed)
    }

    pub(crate) async fn process(&self, builder: KeyPoolBuilder) -> Process {
        let (written, lasting) = (Arc::clone(&self.written), Arc::clone(&self.lasting));
        let store = Shaky { memory: self.memory.clone(), written, lasting, ..Shaky::default() };
        let pool = builder.clock(self.time.clock()).open(store.clone()).await.expect("a pool on this store");
        Process { pool, store }
    }

    pub(crate) async fn start(&self, builder: KeyPoolBuilder) -> KeyPool {
        self.process(builder).await.pool
    }
}

/// Takes so many leases, each as soon as the store allows, and ends them.
pub(crate) async fn spend(pool: &KeyPool, model: &str, count: usize) {
    for n in 0..count {
        drop(next(pool, model).await.unwrap_or_else(|error| panic!("lease {n}: {error}")));
    }
}

/// The next lease, waiting for no more than the store.
pub(crate) async fn next(pool: &KeyPool, model: &str) -> Result<Lease, Error> {
    for _ in 0..4 {
        match pool.try_acquire(model) {
            Err(error) if waits_for_the_store(&error) => pool.flush().await.unwrap(),
            other => return other,
        }
    }
    panic!("the store does not raise the mark")
}

pub(crate) fn waits_for_the_store(error: &Error) -> bool {
    error.exhausted().is_some_and(|out| out.reasons().any(|(reason, _)| reason == OutReason::Unwritten))
}

/// How many leases there are at once.
pub(crate) async fn room(pool: &KeyPool, model: &str) -> usize {
    let mut leases = Vec::new();
    while let Ok(lease) = next(pool, model).await {
        leases.push(lease);
    }
    leases.len()
}
