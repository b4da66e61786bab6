//! A pool on a store: load, say so, then serve.

use std::{error::Error as StdError, fmt, sync::Arc};

use tokio::sync::watch;

use super::{
    KeyPool, KeyPoolBuilder,
    write_behind::{Progress, write_behind},
};
use crate::{
    error::KeyError,
    store::{AnyStore, Batch, Store, StoreError},
};

/// Why a pool could not be opened on its store.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// A key cannot be taken.
    Key(KeyError),
    /// The store cannot be read or written.
    Store(StoreError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl StdError for OpenError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Key(error) => error.source(),
            Self::Store(error) => error.source(),
        }
    }
}

impl From<KeyError> for OpenError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl KeyPoolBuilder {
    /// Builds it on a store: counts, rests and disabled keys are as the last process left them, and what changes is
    /// written behind. [`KeyPool::shutdown`] writes the rest; a process that ends without it loses what the last
    /// 100 ms changed, and never lets more through for it.
    ///
    /// Spawns one task, which ends with the pool.
    ///
    /// ```
    /// use tower_keypool::{Gemini, Key, KeyPool, Limits, store::MemoryStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let store = MemoryStore::new();
    /// let pool = || {
    ///     KeyPool::builder(Gemini::new())
    ///         .key(Key::free("AIza-not-a-real-key-001"))
    ///         .limits("gemini-2.5-flash", Limits::new().per_minute(1))
    ///         .open(store.clone())
    /// };
    /// let first = pool().await?;
    /// drop(first.try_acquire("gemini-2.5-flash")?);
    /// first.shutdown().await;
    ///
    /// let second = pool().await?;
    /// assert!(second.try_acquire("gemini-2.5-flash").is_err(), "the minute is not over");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// When a key cannot be taken, or the store cannot be read or written.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open(self, store: impl Store) -> Result<KeyPool, OpenError> {
        let image = Store::load(&store).await?;
        let (progress, written) = watch::channel(Progress::default());
        let pool = self.assemble(Some(image), Some(written))?;
        let opening = pool.lock().journal.as_mut().map(|journal| {
            journal.takes_started = store.takes_started();
            journal.opening()
        });
        // Before anything is granted: what this run starts unseen, the next one must know of.
        let opening = Batch { run: opening, ..Batch::default() };
        Store::write(&store, Arc::new(opening)).await?;
        let store: Arc<dyn AnyStore> = Arc::new(store);
        tokio::spawn(write_behind(Arc::downgrade(&pool.0), store, progress));
        Ok(pool)
    }
}
