//! Counts what a process asks of its store and its board.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tower_keypool::{
    BoxError,
    share::{Board, Hint, Renewal, Reply},
    store::{Batch, Image, ImportRecord, Store, StoreError, UsageRecord},
};

/// Calls so far.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    /// Renewals: round trips of the sharing.
    pub(crate) renewals: AtomicU64,
    /// Batches written behind.
    pub(crate) writes: AtomicU64,
    /// Of these, such as did not go along with a renewal.
    pub(crate) alone: AtomicU64,
    /// What the board said of its own accord: no calls.
    pub(crate) hints: AtomicU64,
}

/// A store and board that is counted.
#[derive(Clone)]
pub(crate) struct Counted<S>(pub(crate) S, pub(crate) Arc<Calls>);

impl<S: Store> Store for Counted<S> {
    async fn load(&self) -> Result<Image, StoreError> {
        self.0.load().await
    }

    async fn write(&self, batch: Arc<Batch>) -> Result<(), StoreError> {
        let Calls { renewals, writes, alone, .. } = &*self.1;
        writes.fetch_add(1, Relaxed);
        let before = renewals.load(Relaxed);
        let written = self.0.write(batch).await;
        // One that is written with a renewal was waiting when that began.
        alone.fetch_add(u64::from(renewals.load(Relaxed) == before), Relaxed);
        written
    }

    fn takes_started(&self) -> bool {
        self.0.takes_started()
    }

    async fn usage(&self, from: &str, to: &str) -> Result<Vec<UsageRecord>, StoreError> {
        self.0.usage(from, to).await
    }

    async fn imports(&self) -> Result<Vec<ImportRecord>, StoreError> {
        self.0.imports().await
    }
}

impl<S: Board> Board for Counted<S> {
    async fn renew(&self, renewal: &Renewal) -> Result<Reply, BoxError> {
        self.1.renewals.fetch_add(1, Relaxed);
        self.0.renew(renewal).await
    }

    async fn hint(&self) -> Hint {
        let hint = self.0.hint().await;
        self.1.hints.fetch_add(1, Relaxed);
        hint
    }
}
