//! A pool on a store: load, say so, then serve.

use std::{error::Error as StdError, fmt, sync::Arc};

use tokio::sync::watch;

use super::{
    KeyPool, KeyPoolBuilder,
    builder::Opened,
    sharing::{Renewing, Share, Standing},
    write_behind::{Cadence, Progress, write_behind},
};
use crate::{
    error::KeyError,
    share::{Board, Holder, HolderId, Settings},
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
    /// 200 ms changed, and never lets more through for it.
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
        let pool = self.assemble(Some(Opened { image, written: Some(written), share: None, sharing: None }))?;
        let opening = pool.lock().journal.as_mut().map(|journal| {
            journal.takes_started = store.takes_started();
            journal.opening()
        });
        // Before anything is granted: what this run starts unseen, the next one must know of.
        let opening = Batch { run: opening, ..Batch::default() };
        Store::write(&store, Arc::new(opening)).await?;
        let store: Arc<dyn AnyStore> = Arc::new(store);
        tokio::spawn(write_behind(Arc::downgrade(&pool.0), store, progress, Cadence::ALONE));
        Ok(pool)
    }

    /// Builds it on a store that other processes work on as well, and shares owners with them by `board`: no two use
    /// one's windows at a time, so that together they exceed no limit. Counts are the board's; keys, rests and use are
    /// the store's.
    ///
    /// What is not held is asked for when a request wants it; such a request waits a moment for it, also where it would
    /// wait for nothing else. [`KeyPool::shutdown`] gives all back at once; of a process that dies without it the board
    /// hears by its lock, or when its lease ends.
    ///
    /// Spawns two tasks, which end with the pool.
    ///
    /// # Errors
    /// When a key cannot be taken, or store or board cannot be read or written.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open_shared(
        self,
        store: impl Store,
        board: impl Board + 'static,
        sharing: Sharing,
    ) -> Result<KeyPool, OpenError> {
        let Sharing { holder, settings, seed } = sharing;
        let image = Store::load(&store).await?;
        let (progress, written) = watch::channel(Progress::default());
        let (standing, stands) = watch::channel(Standing::default());
        let share = Some(Box::new(Share::new(settings.noting)));
        let pool = self.assemble(Some(Opened { image, written: Some(written), share, sharing: Some(stands) }))?;
        let mut renewing = Renewing {
            holder: Holder::new(holder, settings.clone(), Vec::new(), seed),
            settings: settings.clone(),
            board: Arc::new(board),
            standing,
            noted: 0,
        };
        if let Some(journal) = &mut pool.lock().journal {
            journal.takes_started = store.takes_started();
        }
        renewing.begin(&pool).await.map_err(|error| StoreError::because("the board does not answer", error))?;
        let cadence = if settings.noting { Cadence::NOTING } else { Cadence::IDLE };
        tokio::spawn(write_behind(Arc::downgrade(&pool.0), Arc::new(store), progress, cadence));
        tokio::spawn(renewing.run(Arc::downgrade(&pool.0)));
        Ok(pool)
    }
}

/// How a pool shares owners with other processes.
#[derive(Clone, Debug)]
pub struct Sharing {
    holder: HolderId,
    settings: Settings,
    seed: u64,
}

impl Sharing {
    /// As `holder`, which no other process may be.
    pub fn new(holder: HolderId) -> Self {
        Self { holder, settings: Settings::default(), seed: fastrand::u64(..) }
    }

    /// With these times.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// With this seed of the numbers that a board which lost its records begins anew with; random unless set.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}
